"""The variational posterior of a mixture, from its parameters and the prior.

The formulae are those of model/posterior.py, the notation is that of kernels.pyx; blocks are what has a Wishart
distribution, or gammas, of its own: a component, or all where they share a covariance.
"""
from libc.math cimport log

from priors cimport Conjugate
from steps cimport Shape, log_determinant

cdef enum:
    SHIFT = 12                      # arguments below are shifted by it: from it on the series are exact to rounding


cdef struct Variational:
    # The priors of a mixture.
    Conjugate prior
    bint sticks                     # of a Dirichlet process, else of a Dirichlet distribution
    bint gammas                     # variances are distributed by gammas, not precision matrices by Wisharts
    double concentration            # alpha
    double copies                   # how many times a block counts
    double n_samples
    double weights_constant         # the part of the evidence of labels that does not depend on counts
    double log_normalizer           # of the prior of a block, in the units of the rows


# ---- special functions of positive numbers


cdef inline double digamma(double x) noexcept nogil:
    """The derivative of log gamma."""
    cdef double shifted = x if x >= SHIFT else x + SHIFT
    cdef double squares = 1 / (shifted * shifted), value, lost = 0
    cdef int i
    value = 1. / 12
    value = value * squares - 691. / 32760
    value = value * squares + 1. / 132
    value = value * squares - 1. / 240
    value = value * squares + 1. / 252
    value = value * squares - 1. / 120
    value = value * squares + 1. / 12
    value = log(shifted) - 0.5 / shifted - squares * value
    if x < SHIFT:
        for i in range(SHIFT):
            lost += 1 / (x + i)
    return value - lost


cdef inline double log_gamma(double x) noexcept nogil:
    """log gamma(x)."""
    cdef double shifted = x if x >= SHIFT else x + SHIFT
    cdef double squares = 1 / (shifted * shifted), value, product = 1
    cdef int i
    value = 1. / 156
    value = value * squares - 691. / 360360
    value = value * squares + 1. / 1188
    value = value * squares - 1. / 1680
    value = value * squares + 1. / 1260
    value = value * squares - 1. / 360
    value = value * squares + 1. / 12
    value = (shifted - 0.5) * log(shifted) - shifted + 0.9189385332046727418 + value / shifted
    if x < SHIFT:
        for i in range(SHIFT):
            product *= x + i
        value -= log(product)
    return value


# ---- weights


cdef inline void expected_logs(
    const Variational* v,
    const double* weights,          # IN   (K,)  parts of the counts
    Py_ssize_t K,
    double* out,                    # OUT  (K,)  expectations of logarithms of weights
) noexcept nogil:
    """E log pi_k."""
    cdef Py_ssize_t k
    cdef double later = 0, before = 0, a, b, all_of = 0
    if not v.sticks:
        for k in range(K):
            all_of += v.concentration + v.n_samples * weights[k]
        all_of = digamma(all_of)
        for k in range(K):
            out[k] = digamma(v.concentration + v.n_samples * weights[k]) - all_of
        return
    for k in range(K - 1, -1, -1):          # rows of the components after each
        out[k] = later
        later += v.n_samples * weights[k]
    for k in range(K):
        a, b = 1 + v.n_samples * weights[k], v.concentration + out[k]
        all_of = digamma(a + b)
        out[k] = digamma(a) - all_of + before
        before += digamma(b) - all_of


cdef inline double log_evidence(const Variational* v, const double* weights, Py_ssize_t K) noexcept nogil:
    """log of the probability of labels of so many rows each, weights integrated out."""
    cdef Py_ssize_t k
    cdef double later = 0, total = v.weights_constant, a, b, all_of = 0
    if not v.sticks:
        for k in range(K):
            a = v.concentration + v.n_samples * weights[k]
            all_of += a
            total += log_gamma(a)
        return total - log_gamma(all_of)
    for k in range(K - 1, -1, -1):
        a, b = 1 + v.n_samples * weights[k], v.concentration + later
        total += log_gamma(a) + log_gamma(b) - log_gamma(a + b)
        later += v.n_samples * weights[k]
    return total


# ---- blocks


cdef inline double degrees_of(const Shape* s, const Variational* v, const double* weights, Py_ssize_t k) noexcept nogil:
    """nu of block k."""
    cdef Py_ssize_t i
    cdef double seen = 0
    if not s.shared:
        return v.prior.degrees + v.prior.per_row * (v.n_samples * weights[k])
    for i in range(s.K):
        seen += v.n_samples * weights[i]
    return v.prior.degrees + v.prior.per_row * seen


cdef inline double digammas(const Shape* s, const Variational* v, double degrees) noexcept nogil:
    """Psi of a block: E log |Lambda| = Psi + D log 2 - log |S|."""
    cdef Py_ssize_t i
    cdef double total = 0
    if v.gammas:
        return s.D * digamma(0.5 * degrees)
    for i in range(s.D):
        total += digamma(0.5 * (degrees - i))
    return total


cdef inline double log_normalizer(const Shape* s, const Variational* v, double degrees, double log_det) noexcept nogil:
    """log B(S, nu) of a block, from nu and log |S|."""
    cdef Py_ssize_t i
    cdef double total, share = <double> s.W / s.D
    log_det -= s.D * 0.6931471805599453094
    if v.gammas:
        return 0.5 * degrees * share * log_det - s.W * log_gamma(0.5 * degrees)
    total = 0.5 * degrees * log_det - 0.25 * s.D * (s.D - 1) * 1.1447298858494001741
    for i in range(s.D):
        total -= log_gamma(0.5 * (degrees - i))
    return total


# ---- what a pass reads, and the bound


cdef inline void evaluated_log_weights(
    const Shape* s,
    const Variational* v,
    const double* weights,          # IN   (K,)  parts of the counts
    double* out,                    # OUT  (K,)
) noexcept nogil:
    """What the E-step takes for logarithms of weights.

    Added to their expectations is half of E log |Lambda| - D / beta, less the log-determinant that the kernels know.
    """
    cdef Py_ssize_t k, D = s.D
    cdef double degrees = 0, spread = 0
    expected_logs(v, weights, s.K, out)
    for k in range(s.K):
        if k == 0 or not s.shared:
            degrees = degrees_of(s, v, weights, k)
            spread = digammas(s, v, degrees) + D * log(2 / degrees)
        out[k] += 0.5 * (spread - D / (v.prior.mean_precision + v.n_samples * weights[k]))


cdef inline double expected_log_joint(
    const Shape* s,
    const double* log_weights,      # IN   (K,)  what the E-step has taken for them
    const double* factors,          # IN   of the parameters of the pass
    const double* units,            # IN   (D,)
    const double* counts,           # IN   (K,)  statistics of the pass
    const double* scatters,         # IN   about the means of the parameters
) noexcept nogil:
    """sum_nk r_nk log(pi_k N(x_n | k)) from statistics under the same parameters."""
    cdef Py_ssize_t k, i, j, m, D = s.D
    cdef double total = 0, squares = 0, log_det = 0, precision
    cdef const double* F
    for k in range(s.K):
        F = factors + (0 if s.shared else k * s.size)
        if k == 0 or not s.shared:
            log_det = log_determinant(s, F, units)
        if counts[k] > 0:
            total += counts[k] * (log_weights[k] + log_det - 0.9189385332046727418 * D)
        if s.shared and k > 0:
            continue
        for i in range(s.size if not s.triangular else 0):
            squares += F[i] * F[i] * scatters[k * s.size + i]
        for i in range(D if s.triangular else 0):
            for j in range(i + 1):
                precision = 0
                for m in range(i, D):           # F F^T, where F is upper triangular
                    precision += F[i * D + m] * F[j * D + m]
                squares += (1 if i == j else 2) * precision * scatters[k * D * D + i * D + j]
    return total - 0.5 * squares


cdef inline double lower_bound(
    const Shape* s,
    const Variational* v,
    double entropy,                 # IN   of responsibilities for which the posterior is optimal
    const double* weights,          # IN   (n,)  the posterior; those beyond K components have no rows
    Py_ssize_t n,
    const double* factors,          # IN
    const double* units,            # IN   (D,)
) noexcept nogil:
    """The evidence lower bound with all constants, per volume of the units."""
    cdef Py_ssize_t k, D = s.D
    cdef double of_means = 0, of_blocks = 0, rows = 0, degrees, log_det
    for k in range(s.K):
        rows += v.n_samples * weights[k]
        of_means += log(v.prior.mean_precision / (v.prior.mean_precision + v.n_samples * weights[k]))
    for k in range(1 if s.shared else s.K):
        degrees = degrees_of(s, v, weights, k)
        log_det = D * log(degrees) - 2 * log_determinant(s, factors + k * s.size, units)
        of_blocks += v.log_normalizer - log_normalizer(s, v, degrees, log_det)
    return (entropy + log_evidence(v, weights, n) + 0.5 * D * of_means + v.copies * of_blocks
            - rows * D * 0.9189385332046727418)
