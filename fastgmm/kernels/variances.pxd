"""Variances that components share: six functions of their spectra. The notation is that of constraints.pxd."""
from libc.math cimport exp, fabs, isfinite, log

cdef enum:                          # how variances are shared: volume and shape, each equal or variable, or no shape
    FREE = 0                        # by no constraint
    EI, VI, EE, VE, EV, VV

cdef enum:
    MOST_SWEEPS = 1000              # of what alternates between volumes and shapes


cdef inline double log_mean(const double* x, Py_ssize_t n) noexcept nogil:
    """The logarithm of a geometric mean."""
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(n):
        total += log(x[i])
    return total / n


cdef inline bint scaled(
    const double* omega,            # IN   (K, D)
    const double* weights,          # IN   (K,)  their sum is one
    Py_ssize_t K,
    Py_ssize_t D,
    double* shape,                  # SCRATCH  (2 D,)
    double* v,                      # OUT  (K, D)  lambda_k a_j; until the end the lambda_k stand in its first column
) noexcept nogil:
    """VE by matrix scaling: rows of omega / v add up to D pi_k, columns to one. A convex problem, with one solution."""
    cdef Py_ssize_t _sweep, k, j
    cdef double volume, change
    cdef double* next = shape + D
    for j in range(D):
        shape[j] = 0
        for k in range(K):
            shape[j] += omega[k * D + j]
        if not shape[j] > 0:
            return False
    for k in range(K):
        v[k * D] = 0
    for _sweep in range(MOST_SWEEPS):
        change = 0
        for j in range(D):
            next[j] = 0
        for k in range(K):
            volume = 0
            for j in range(D):
                volume += omega[k * D + j] / shape[j]
            volume /= D * weights[k]
            if not (volume > 0 and isfinite(volume)):
                return False
            change = max(change, fabs(volume - v[k * D]) / volume)
            v[k * D] = volume
            for j in range(D):
                next[j] += omega[k * D + j] / volume
        if change < 1e-13:
            break
        for j in range(D):
            shape[j] = next[j]
    for k in range(K):
        volume = v[k * D]
        for j in range(D):
            v[k * D + j] = volume * shape[j]
    return True


cdef inline bint share(
    int sharing,
    const double* omega,            # IN   (K, D)  spectra
    const double* weights,          # IN   (K,)  their sum is one
    Py_ssize_t K,
    Py_ssize_t D,
    double* work,                   # SCRATCH  (max(K, 2 D),)
    double* v,                      # OUT  (K, D)
) noexcept nogil:
    """The most likely variances of spectra; False where some is not positive."""
    cdef Py_ssize_t k, j
    cdef double total = 0
    if sharing == VE:
        return scaled(omega, weights, K, D, work, v)
    if sharing == EI:
        for k in range(K):
            for j in range(D):
                total += omega[k * D + j]
        for k in range(K * D):
            v[k] = total / D
    elif sharing == VI:
        for k in range(K):
            total = 0
            for j in range(D):
                total += omega[k * D + j]
            for j in range(D):
                v[k * D + j] = total / (D * weights[k])
    elif sharing == EE:
        for j in range(D):
            total = 0
            for k in range(K):
                total += omega[k * D + j]
            for k in range(K):
                v[k * D + j] = total
    elif sharing == EV:
        for k in range(K):
            work[k] = exp(log_mean(omega + k * D, D))
            total += work[k]
        for k in range(K):
            for j in range(D):
                v[k * D + j] = omega[k * D + j] * (total / work[k])
    else:
        for k in range(K):
            for j in range(D):
                v[k * D + j] = omega[k * D + j] / weights[k]
    for k in range(K * D):
        if not (v[k] > 0 and isfinite(v[k])):
            return False
    return True
