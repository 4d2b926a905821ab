"""M-steps under a conjugate prior, and its density. The notation is that of kernels.pyx."""
from libc.math cimport log, sqrt

from steps cimport Shape, log_determinant, on_diagonal


cdef struct Conjugate:
    # A normal-Wishart prior of means and covariances; blocks are components, or all where they share a matrix.
    double mean_precision           # beta0
    double degrees                  # nu0
    double per_row                  # what a row adds to the degrees of freedom of its block
    const double* mean              # (D,)  m0
    const double* scale             # S0, of one block


cdef inline void estimate_conjugate(
    const Shape* s,
    const double* counts,           # IN   (K,)
    const double* sums,             # IN   (K, D)  about the reference
    const double* scatters,         # IN   about the reference
    const double* reference,        # IN   (K, D)
    const Conjugate* prior,
    double least,                   # IN   what is added to each count
    const double* added,            # IN   (W,) or (1,)  what is added to variances of the rows
    Py_ssize_t n_added,             # IN   how many numbers these are
    double* work,                   # SCRATCH  (2 D,)
    double* weights,                # OUT  (K,)  parts of the counts
    double* means,                  # OUT  (K, D)
    double* covariances,            # OUT
    double* degrees,                # OUT  nu of each block
) noexcept nogil:
    """The posterior given responsibilities: m_k = m0 + n_k / (beta0 + n_k) (xbar_k - m0), Sigma_k = S_k / nu_k.

    S_k = S0 + per_row (n_k C_k + beta0 n_k / (beta0 + n_k) (xbar_k - m0)(xbar_k - m0)^T), C_k the covariance of the
    rows with what is added to it.
    """
    cdef Py_ssize_t k, i, j, D = s.D
    cdef double n, total = 0
    cdef double* within = work
    cdef double* between = work + D
    cdef double* C = covariances
    for k in range(s.K):
        weights[k] = counts[k] + least
        total += weights[k]
    if s.shared:
        for i in range(s.size):
            C[i] = scatters[i]
    for k in range(s.K):
        n = weights[k]
        weights[k] = n / total
        if not s.shared:
            C = covariances + k * s.size
            for i in range(s.size):
                C[i] = scatters[k * s.size + i]
        for i in range(D):
            within[i] = sums[k * D + i] / n
            between[i] = reference[k * D + i] + within[i] - prior.mean[i]
            means[k * D + i] = prior.mean[i] + n / (prior.mean_precision + n) * between[i]
            within[i] *= sqrt(n)
            between[i] *= sqrt(prior.mean_precision * n / (prior.mean_precision + n))
        for i in range(D):
            if not s.triangular:
                C[i if s.W > 1 else 0] += between[i] * between[i] - within[i] * within[i]
                continue
            for j in range(i + 1):
                C[i * D + j] += between[i] * between[j] - within[i] * within[j]
                C[j * D + i] = C[i * D + j]
        if not s.shared:
            settle_block(s, n, prior, added, n_added, C, degrees + k)
    if s.shared:
        settle_block(s, total, prior, added, n_added, C, degrees)


cdef inline void settle_block(
    const Shape* s,
    double n,                       # IN     rows of the block
    const Conjugate* prior,
    const double* added,
    Py_ssize_t n_added,
    double* C,                      # INOUT  scatter, then S / nu
    double* degrees,                # OUT    nu
) noexcept nogil:
    """The covariance of a block under the prior."""
    cdef Py_ssize_t i
    cdef double seen = prior.per_row * n
    for i in range(s.size):
        C[i] /= n * (s.D // s.W)
    for i in range(s.W):
        C[i * s.D + i if s.triangular else i] += added[i if n_added > 1 else 0]
    degrees[0] = prior.degrees + seen
    for i in range(s.size):
        C[i] = (prior.scale[i] + seen * C[i]) / degrees[0]


cdef struct Penalty:
    # The logarithm of a prior as a penalty, and the mode of the posterior.
    Conjugate prior
    double extra                    # alpha - 1: rows that the prior adds to each component's weight
    double share                    # variances of a block for each feature
    double constant                 # what depends neither on the parameters nor on units
    double n_samples                # rows, by which the log density is divided
    const double* excess            # by how much the mode's divisor exceeds nu, of each block
    const double* root              # R with S0 = R^T R, or the factor of S0^-1 where there are no matrices


cdef inline void find_mode(
    const Shape* s,
    const double* counts,           # IN     (K,)
    const Penalty* p,
    double least,                   # IN     what is added to each count
    const double* degrees,          # IN     nu of each block
    double* weights,                # OUT    (K,)
    double* covariances,            # INOUT  those of the posterior's mean
    double* factors,                # INOUT
) noexcept nogil:
    """From the posterior's mean to its mode."""
    cdef Py_ssize_t k, i
    cdef double total = 0, ratio
    for k in range(s.K):
        weights[k] = counts[k] + least + p.extra
        total += weights[k]
    for k in range(s.K):
        weights[k] /= total
    for k in range(1 if s.shared else s.K):
        ratio = degrees[k] / (degrees[k] + p.excess[k])
        for i in range(s.size):
            covariances[k * s.size + i] *= ratio
            factors[k * s.size + i] /= sqrt(ratio)


cdef inline double log_density(
    const Shape* s,
    const double* weights,          # IN   (K,)
    const double* means,            # IN   (K, D)
    const double* factors,          # IN   precision Cholesky
    const double* units,            # IN   (D,) of the features, or NULL: of the data
    double log_det_scale,           # IN   log |S0| in these units
    const Penalty* p,
) noexcept nogil:
    """log p(parameters)."""
    cdef Py_ssize_t k, i, j, m, D = s.D, blocks = 1 if s.shared else s.K
    cdef double lost = 0, squares = 0, of_weights = 0, value, offset
    cdef const double* F
    for k in range(blocks):
        F = factors + k * s.size
        lost -= 2 * (p.prior.degrees + p.excess[k]) * log_determinant(s, F, units)
        if not s.triangular:
            for i in range(s.size):
                value = F[i] / p.root[i]
                squares += value * value
            continue
        for i in range(D):
            for j in range(i, D):
                value = 0
                for m in range(i, j + 1):
                    value += p.root[i * D + m] * F[m * D + j]
                squares += value * value
    for k in range(s.K):
        F = factors + (0 if s.shared else k * s.size)
        if p.extra != 0:
            of_weights += log(weights[k])
        for j in range(D):
            value = 0
            for i in range(j + 1 if s.triangular else 1):
                m = i if s.triangular else j
                offset = means[k * D + m] - p.prior.mean[m]
                value += offset * (F[i * D + j] if s.triangular else on_diagonal(s, F, j))
            squares += p.prior.mean_precision * value * value
    value = p.share * (blocks * p.prior.degrees * log_det_scale - lost) - squares
    return p.constant + p.extra * of_weights + 0.5 * value
