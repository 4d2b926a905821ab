"""Constraints on covariances: how components share variances, along which axes.

With weights pi_k and unconstrained covariances S_k of an M-step, the most likely covariances of a structure are
A_k^T diag(v_k) A_k, where the rows of A_k are axes, omega_kj = pi_k (A_k S_k A_k^T)_jj is a spectrum, and the variances
v_kj are one of six functions of the spectra. They minimize sum_k pi_k (log |Sigma_k| + tr(S_k Sigma_k^-1)).

Sources: J. D. Banfield, A. E. Raftery, Biometrics 49, 1993; G. Celeux, G. Govaert, Gaussian parsimonious clustering
models, Pattern Recognition 28, 1995.
"""
from libc.math cimport exp, fabs, frexp, isfinite, ldexp, log

from algebra cimport cholesky, invert_upper, padded
from axes cimport along_axes, eigenvectors
from common_axes cimport common_axes
from steps cimport Shape, on_diagonal
from variances cimport EV, FREE, MOST_SWEEPS, VE, VV, share

cdef enum:                          # axes
    OF_FEATURES = 0
    COMMON
    OWN


cdef struct Constraint:
    int sharing
    int axes


cdef inline bint keeps_axes(const Constraint* c) noexcept nogil:
    """Whether axes are found by iterations, and kept from one M-step to the next."""
    return c.axes == COMMON and (c.sharing == EV or c.sharing == VV)


# ---- matrices


cdef inline bint equal_volumes(
    const Shape* s,
    const double* weights,          # IN     (K,)
    double* work,                   # SCRATCH  (K + (D + 4) P,)
    double* C,                      # INOUT  (K, D, D)
) noexcept nogil:
    """EVV: each matrix divided by its volume |S_k|^(1/D), times the mean volume."""
    cdef Py_ssize_t k, i, D = s.D, P = padded(D)
    cdef double mean = 0
    cdef double* logs = work
    cdef double* U = work + s.K
    for k in range(s.K):
        if not cholesky(C + k * D * D, D, U, U + D * P):
            return False
        logs[k] = 0
        for i in range(D):
            logs[k] += 2 * log(U[i * P + i]) / D
        mean += weights[k] * exp(logs[k])
    for k in range(s.K):
        for i in range(D * D):
            C[k * D * D + i] *= mean / exp(logs[k])
    return True


cdef inline bint common_shape(
    const Shape* s,
    const double* weights,          # IN     (K,)
    double* work,                   # SCRATCH  (K + D D + (2 D + 4) P,)
    double* C,                      # INOUT  (K, D, D)
) noexcept nogil:
    """VEE: lambda_k B, where B = sum_k pi_k S_k / lambda_k and lambda_k = tr(S_k B^-1) / D in turn: one solution."""
    cdef Py_ssize_t _sweep, k, i, j, m, D = s.D, P = padded(D)
    cdef double change, trace
    cdef double* volumes = work
    cdef double* B = work + s.K
    cdef double* U = B + D * D
    cdef double* V = U + D * P
    for k in range(s.K):
        volumes[k] = 0
        for i in range(D):
            volumes[k] += C[k * D * D + i * D + i] / D
        if not (volumes[k] > 0 and isfinite(volumes[k])):
            return False
    for _sweep in range(MOST_SWEEPS):
        for i in range(D * D):
            B[i] = 0
            for k in range(s.K):
                B[i] += weights[k] / volumes[k] * C[k * D * D + i]
        if not cholesky(B, D, U, V + D * P):
            return False
        invert_upper(U, D, V, V + D * P)
        for i in range(D):          # the inverse of B below the diagonal of U, twice, and its diagonal
            for j in range(i + 1):
                trace = 0
                for m in range(i, D):
                    trace += V[i * P + m] * V[j * P + m]
                U[i * P + j] = trace if i == j else 2 * trace
        change = 0
        for k in range(s.K):
            trace = 0
            for i in range(D):
                for j in range(i + 1):
                    trace += U[i * P + j] * C[k * D * D + i * D + j]
            trace /= D
            if not (trace > 0 and isfinite(trace)):
                return False
            change = max(change, fabs(trace - volumes[k]) / trace)
            volumes[k] = trace
        if change < 1e-13:
            break
    for k in range(s.K):
        for i in range(D * D):
            C[k * D * D + i] = volumes[k] * B[i]
    return True


cdef inline bint own_axes(
    const Shape* s,
    int sharing,
    const double* weights,          # IN     (K,)
    double* work,                   # SCRATCH  (2 K D + max(K, 2 D) + D D + (D + 4) P,)
    double* C,                      # INOUT  (K, D, D)
) noexcept nogil:
    """EEV and VEV: spectra in ascending order, for this pairs shared variances best."""
    cdef Py_ssize_t k, i, D = s.D, K = s.K
    cdef double* omega = work
    cdef double* v = omega + K * D
    cdef double* scratch = v + K * D
    cdef double* S = scratch + max(K, 2 * D)
    for k in range(K):
        for i in range(D * D):
            S[i] = C[k * D * D + i]
        eigenvectors(S, D, C + k * D * D, omega + k * D)
        for i in range(D):
            omega[k * D + i] = weights[k] * max(omega[k * D + i], 0)
    if not share(sharing, omega, weights, K, D, scratch, v):
        return False
    for k in range(K):
        for i in range(D * D):
            S[i] = C[k * D * D + i]
        along_axes(v + k * D, S, D, S + D * D, C + k * D * D)
    return True


# ---- the whole


cdef inline Py_ssize_t size_of_constraint(const Shape* s, const Constraint* c) noexcept nogil:
    """How many doubles of scratch `constrain` takes."""
    cdef Py_ssize_t D = s.D, K = s.K, P = padded(D)
    if c.sharing == FREE:
        return 0
    if not s.triangular:
        return 2 * K * D + max(K, 2 * D)
    return 3 * K * D + (K + 2) * D * D + (2 * D + 4) * P + max(K, 2 * D) + K


cdef inline bint constrain(
    const Shape* s,
    const Constraint* c,
    const double* weights,          # IN     (K,)  their sum is one
    double* axes,                   # INOUT  see `common_axes`; where there are none, not read
    double* work,                   # SCRATCH
    double* covariances,            # INOUT
) noexcept nogil:
    """The most likely covariances of a structure, given unconstrained ones; False where there are none."""
    cdef Py_ssize_t k, i, K = s.K, numbers = K * s.size
    cdef double largest = 0
    cdef double* omega = work
    cdef int exponent = 0
    cdef bint defined = True
    if c.sharing == FREE:
        return True
    for k in range(K):
        for i in range(s.W):
            largest = max(largest, on_diagonal(s, covariances + k * s.size, i))
    if not (largest > 0 and isfinite(largest)):
        return False
    frexp(largest, &exponent)
    for i in range(numbers):
        covariances[i] = ldexp(covariances[i], -exponent)
    if not s.triangular:
        for k in range(K):
            for i in range(s.W):
                omega[k * s.W + i] = weights[k] * covariances[k * s.W + i]
        defined = share(c.sharing, omega, weights, K, s.W, omega + K * s.W, covariances)
    elif c.axes == OWN:
        if c.sharing == EV:
            defined = equal_volumes(s, weights, work, covariances)
        else:
            defined = own_axes(s, c.sharing, weights, work, covariances)
    elif c.sharing == VE:
        defined = common_shape(s, weights, work, covariances)
    else:
        defined = common_axes(s, c.sharing, weights, axes, work, covariances)
    for i in range(numbers):
        covariances[i] = ldexp(covariances[i], exponent)
    return defined
