"""The steps between passes, in double precision: what a pass reads, what its sums are, and the M-step.

Covariances, their factors and scatters are matrices, or what stands on their diagonals: a number for each feature, or
one for all. Each component has its own, or all share one matrix. The notation is that of kernels.pyx.
"""
from libc.math cimport fabs, isfinite, log, sqrt

from algebra cimport cholesky, congruence, copy_rows, invert_upper, padded
from blocks cimport COMMON_FRAME, TRIANGULAR, pack_triangle, packed_size, width
from tiles cimport floating

cdef enum:
    DEFINITE = -1           # no covariance is ill-defined


cdef struct Shape:
    int kind                # of geometry
    bint triangular         # matrices
    bint shared             # one matrix for all
    Py_ssize_t K, D
    Py_ssize_t W            # numbers on a diagonal: D, or 1
    Py_ssize_t size         # numbers of one covariance


cdef inline Shape shape_of(int kind, bint triangular, bint shared, Py_ssize_t K, Py_ssize_t D,
                           Py_ssize_t numbers) noexcept nogil:
    """The shape of arrays of so many numbers."""
    cdef Shape s
    s.kind, s.triangular, s.shared, s.K, s.D = kind, triangular, shared, K, D
    s.size = numbers if shared else numbers // K
    s.W = D if triangular else s.size
    return s


cdef inline double on_diagonal(const Shape* s, const double* one, Py_ssize_t i) noexcept nogil:
    """Number i of the diagonal of one covariance, or of what stands for it."""
    return one[i * s.D + i] if s.triangular else one[i if s.W > 1 else 0]


# ---- before a pass


cdef inline double log_determinant(const Shape* s, const double* factor, const double* units) noexcept nogil:
    """Log-determinant of one factor, with features in these units, or in the data's where there are none."""
    cdef Py_ssize_t i
    cdef double total = 0, largest = 0
    if s.W == s.D:
        for i in range(s.D):
            total += log(on_diagonal(s, factor, i) * (units[i] if units != NULL else 1))
        return total
    if units == NULL:
        return s.D * log(factor[0])
    for i in range(s.D):
        largest = max(largest, units[i])
    for i in range(s.D):
        total += log(units[i] / largest)
    return s.D * log(factor[0] * largest) + total


cdef inline void describe(
    const Shape* s,
    const double* weights,          # IN   (K,)
    const double* log_weights,      # IN   (K,) what takes the place of their logarithms, or NULL
    const double* means,            # IN   (K, D)
    const double* factors,          # IN   precision Cholesky
    const double* units,            # IN   (D,) of the features, or NULL: densities are per volume of these
    const double* origin,           # IN   (D,)    COMMON_FRAME only
    floating* offsets,              # OUT  (K,)    what a pass reads: see `accumulate`
    floating* centers,              # OUT  (K, D)
    floating* center_rounding,      # OUT  (K, D)  TRIANGULAR only
    floating* scales,               # OUT  packed W_k, s_k (K, D), or s_k (K,)
    double* whitener,               # OUT  packed W, where one matrix is shared
) noexcept nogil:
    """The mixture as the passes read it."""
    cdef Py_ssize_t k, i, j, D = s.D
    cdef double log_det = 0, value
    cdef bint framed = s.kind == COMMON_FRAME and s.triangular
    cdef const double* F = factors
    cdef const double* mean
    if framed:
        pack_triangle(factors, D, D, whitener)
    if s.shared:
        log_det = log_determinant(s, factors, units)
    for k in range(s.K):
        mean = means + k * D
        if not s.shared:
            F = factors + k * s.size
            log_det = log_determinant(s, F, units)
        value = log(weights[k]) if log_weights == NULL else log_weights[k]
        offsets[k] = <floating> (value + log_det - 0.9189385332046727418 * D)       # log(2 pi) / 2
        for j in range(D):
            value = mean[j] if s.kind != COMMON_FRAME else mean[j] - origin[j]
            if framed:
                value = 0
                for i in range(j + 1):
                    value += (mean[i] - origin[i]) * F[i * D + j]
            centers[k * D + j] = <floating> value
        if s.kind == TRIANGULAR:
            pack_triangle(F, D, D, scales + k * packed_size(D))
            for j in range(D):
                value = 0
                for i in range(j + 1):
                    value -= (mean[i] - <double> centers[k * D + i]) * F[i * D + j]
                center_rounding[k * D + j] = <floating> value
        elif framed:
            scales[k] = 1
        else:
            for i in range(s.W):
                scales[k * s.W + i] = <floating> F[i]


# ---- after a pass


cdef inline bint moments(
    const Shape* s,
    const double* sums,             # IN   what `accumulate` left
    const double* means,            # IN   (K, D)  those of the parameters
    const double* factors,          # IN   precision Cholesky
    const floating* centers,        # IN   (K, D)  those that the pass read
    const double* origin,           # IN   (D,)    COMMON_FRAME only
    const double* scatter,          # IN   (D, D)  of all rows about `origin`, where one matrix is shared
    double largest_ratio,           # IN   of squares about the origin to those within: beyond, digits are lost
    double* work,                   # SCRATCH
    double* counts,                 # OUT  (K,)
    double* first,                  # OUT  (K, D)  sums about the means
    double* second,                 # OUT  scatters about the means
) noexcept nogil:
    """Moments about the means of the parameters; False where they would be poor."""
    cdef Py_ssize_t k, i, j, D = s.D, P = padded(D), n = width(s.kind, D)
    cdef double shift, moved, within = 0, total = 0, c
    cdef const double* row
    cdef double* U = work
    if s.shared:
        for k in range(s.K):
            row = sums + k * n
            within += row[1 + D]
            for i in range(D):
                c = centers[k * D + i]
                total += c * (2 * row[1 + i] - row[0] * c)
        if within + total > within * largest_ratio:
            return False
        copy_rows(factors, D, D, U, P)
        invert_upper(U, D, U + D * P, U + 2 * D * P)
        for i in range(D * D):
            second[i] = scatter[i]
    for k in range(s.K):
        row = sums + k * n
        counts[k] = row[0]
        if s.kind == TRIANGULAR:
            applied(factors + k * D * D, D, U, <floating> 0)
            invert_upper(U, D, U + D * P, U + 2 * D * P)
            congruence(U + D * P, row + 1, row + 1 + D, D, U + 2 * D * P, first + k * D, second + k * D * D)
            continue
        if s.shared:
            share(s, row, means + k * D, origin, U + D * P, first + k * D, second)
            continue
        for i in range(s.W):
            second[k * s.W + i] = row[1 + D + i]
        for i in range(D):
            c = centers[k * D + i]
            j = i if s.W > 1 else 0
            if s.kind == COMMON_FRAME:      # sums about the origin, squares about the centers
                first[k * D + i] = row[1 + i] - row[0] * c
                c += origin[i]
            else:
                first[k * D + i] = row[1 + i]
            shift = means[k * D + i] - c
            moved = row[0] * shift
            second[k * s.W + j] -= 2 * (first[k * D + i] - 0.5 * moved) * shift
            first[k * D + i] -= moved
    return True


cdef inline void applied(const double* factor, Py_ssize_t D, double* U, floating zero) noexcept nogil:
    """A factor (D, D) with its padding, in the precision in which a pass applies it; `zero` tells this."""
    cdef Py_ssize_t i, j, P = padded(D)
    copy_rows(factor, D, D, U, P)
    if floating is float:
        for i in range(D):
            for j in range(D):
                U[i * P + j] = <float> U[i * P + j]


cdef inline void share(
    const Shape* s,
    const double* row,              # IN     sums of a component
    const double* mean,             # IN     (D,)
    const double* origin,           # IN     (D,)
    const double* V,                # IN     (D, P)  inverse of the factor
    double* first,                  # OUT    (D,)
    double* second,                 # INOUT  (D, D)
) noexcept nogil:
    """Take a component's part out of the scatter of all rows: m u^T + u m^T with u = s - n m / 2, m = mean - origin."""
    cdef Py_ssize_t i, j, D = s.D, P = padded(D)
    cdef double u, v
    for j in range(D):
        first[j] = 0
        for i in range(j + 1):
            first[j] += row[1 + i] * V[i * P + j]
    for i in range(D):
        u = first[i] - 0.5 * row[0] * (mean[i] - origin[i])
        for j in range(i + 1):
            v = first[j] - 0.5 * row[0] * (mean[j] - origin[j])
            second[i * D + j] -= u * (mean[j] - origin[j]) + v * (mean[i] - origin[i])
            second[j * D + i] = second[i * D + j]
    for i in range(D):
        first[i] -= row[0] * (mean[i] - origin[i])


# ---- M-step


cdef inline void estimate(
    const Shape* s,
    const double* counts,           # IN   (K,)
    const double* sums,             # IN   (K, D)  about the reference
    const double* scatters,         # IN   about the reference
    const double* reference,        # IN   (K, D)
    double least,                   # IN   what is added to each count
    const double* added,            # IN   (W,) or (1,)  what is added to variances
    Py_ssize_t n_added,             # IN   how many numbers these are
    double* weights,                # OUT  (K,)
    double* means,                  # OUT  (K, D)
    double* covariances,            # OUT
) noexcept nogil:
    """The most likely parameters: d_k = s_k / n_k, mu_k = reference + d_k, Sigma_k = (S_k - n_k d_k d_k^T) / n_k."""
    cdef Py_ssize_t k, i, j, D = s.D
    cdef double n, root, a, total = 0
    cdef double* d
    cdef double* C = covariances
    for k in range(s.K):
        weights[k] = counts[k] + least
        total += weights[k]
    if s.shared:
        for i in range(s.size):
            C[i] = scatters[i]
    for k in range(s.K):
        n, d = weights[k], means + k * D
        root = sqrt(n)
        weights[k] = n / total
        if not s.shared:
            C = covariances + k * s.size
            for i in range(s.size):
                C[i] = scatters[k * s.size + i]
        for i in range(D):
            d[i] = root * (sums[k * D + i] / n)
        for i in range(D):
            a = d[i]
            if not s.triangular:
                C[i if s.W > 1 else 0] -= a * a
                continue
            for j in range(i + 1):
                C[i * D + j] -= a * d[j]
                C[j * D + i] = C[i * D + j]
        if not s.shared:
            for i in range(s.size):
                C[i] /= n * (D // s.W)
        for i in range(D):
            d[i] = reference[k * D + i] + sums[k * D + i] / n
    if s.shared:
        for i in range(s.size):
            C[i] /= total * (D // s.W)
    for k in range(1 if s.shared else s.K):
        C = covariances + k * s.size
        for i in range(s.W):
            C[i * D + i if s.triangular else i] += added[i if n_added > 1 else 0]


cdef inline Py_ssize_t find_factors(
    const Shape* s,
    const double* covariances,      # IN
    double* work,                   # SCRATCH
    double* factors,                # OUT  precision Cholesky
) noexcept nogil:
    """Factors of precisions; returns the first component that has none, or DEFINITE."""
    cdef Py_ssize_t k, i, D = s.D, P = padded(D)
    cdef double variance
    for k in range(1 if s.shared else s.K):
        if s.triangular:
            if not cholesky(covariances + k * D * D, D, work, work + 2 * D * P):
                return k
            invert_upper(work, D, work + D * P, work + 2 * D * P)
            copy_rows(work + D * P, P, D, factors + k * D * D, D)
            continue
        for i in range(s.size):
            variance = covariances[k * s.size + i]
            if not (variance > 0 and isfinite(variance)):
                return k
            factors[k * s.size + i] = 1 / sqrt(variance)
    return DEFINITE


cdef inline double noise(
    double mean,
    const double* origin,           # IN   of a common frame, or NULL
    double least,                   # IN   the smallest standard deviation that can be held
    double of_mean,                 # IN   what part of a mean is rounding,
    double of_frame,                # IN   and of its distance from the origin
) noexcept nogil:
    """A standard deviation along a feature that is no more than rounding."""
    return of_mean * fabs(mean) + least + (of_frame * fabs(mean - origin[0]) if origin != NULL else 0)


cdef inline double largest_noise(
    const Shape* s,
    const double* means,            # IN   (K, D)
    const double* covariances,      # IN
    const double* factors,          # IN
    const double* origin,           # IN   (D,)  of a common frame, or NULL
    const double* least,            # IN   (D,)
    double of_mean,                 # IN   see `noise`
    double of_frame,
    double of_deviation,            # IN   what part of a standard deviation is rounding, given the features before it
) noexcept nogil:
    """The largest part that rounding has in a standard deviation along a feature, given those before it."""
    cdef Py_ssize_t k, i, D = s.D, place
    cdef double smallest, part, largest = 0
    for k in range(s.K):
        place = 0 if s.shared else k * s.size
        for i in range(D):
            smallest = noise(means[k * D + i], NULL if origin == NULL else origin + i, least[i], of_mean, of_frame)
            if s.triangular:
                smallest += of_deviation * sqrt(on_diagonal(s, covariances + place, i))
            part = smallest * on_diagonal(s, factors + place, i)
            if part != part:
                return part
            largest = max(largest, part)
    return largest
