"""Constraints on covariances: how components share variances, along which axes.

With weights pi_k and unconstrained covariances S_k of an M-step, the most likely covariances of a structure are
A_k^T diag(v_k) A_k, where the rows of A_k are axes, omega_kj = pi_k (A_k S_k A_k^T)_jj is a spectrum, and the variances
v_kj are one of six functions of the spectra. They minimize sum_k pi_k (log |Sigma_k| + tr(S_k Sigma_k^-1)).

Sources: J. D. Banfield, A. E. Raftery, Biometrics 49, 1993; G. Celeux, G. Govaert, Gaussian parsimonious clustering
models, Pattern Recognition 28, 1995.
"""
from libc.math cimport INFINITY, exp, fabs, frexp, isfinite, ldexp, log

from algebra cimport cholesky, invert_upper, padded
from axes cimport along_axes, eigenvectors, in_frame, orthonormalize, set_identity, turn
from steps cimport Shape, on_diagonal

cdef enum:                          # how variances are shared: volume and shape, each equal or variable, or no shape
    FREE = 0                        # by no constraint
    EI, VI, EE, VE, EV, VV

cdef enum:                          # axes
    OF_FEATURES = 0
    COMMON
    OWN

cdef enum:
    MOST_SWEEPS = 1000              # of what alternates between volumes and shapes
    MOST_TURNS = 60                 # of common axes from a cold start,
    FEW_TURNS = 3                   # and from those of the iteration before
    WORK_OF_START = 1 << 28         # multiply-adds for all candidates of a cold start

cdef struct Constraint:
    int sharing
    int axes


cdef inline bint keeps_axes(const Constraint* c) noexcept nogil:
    """Whether axes are found by iterations, and kept from one M-step to the next."""
    return c.axes == COMMON and (c.sharing == EV or c.sharing == VV)


# ---- variances


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


cdef struct Turning:
    # Common axes that are sought.
    double* spectra                 # (K, D)
    double* v                       # (K, D)
    double* p                       # (K, D)
    double* W                       # (K, D, D)  weighted covariances in the frame of the axes
    double* A                       # (D, D)  the axes
    double* best                    # (D, D)
    double* S                       # (D, D)
    double* work                    # (2 D + 4, P)
    double* scratch                 # (max(K, 2 D),)
    double loss                     # sum_kj pi_k log v_kj


cdef inline bint read_spectra(Turning* t, const Shape* s, int sharing, const double* weights) noexcept nogil:
    """Variances along the axes, and their loss; False where some variance vanishes."""
    cdef Py_ssize_t k, j, D = s.D
    for k in range(s.K):
        for j in range(D):
            t.spectra[k * D + j] = t.W[k * D * D + j * D + j]
    if not share(sharing, t.spectra, weights, s.K, D, t.scratch, t.v):
        return False
    t.loss = 0
    for k in range(s.K):
        for j in range(D):
            t.loss += weights[k] * log(t.v[k * D + j])
            t.p[k * D + j] = 1 / t.v[k * D + j]
    return True


cdef inline bint turn_some(
    Turning* t,
    const Shape* s,
    int sharing,
    const double* weights,          # IN   (K,)
    const double* C,                # IN   (K, D, D)
    Py_ssize_t most,
) noexcept nogil:
    """Turn axes until they settle, or so many times."""
    cdef Py_ssize_t _sweep, k, D = s.D
    cdef double before
    for k in range(s.K):
        in_frame(C + k * D * D, t.A, D, weights[k], t.work, t.W + k * D * D)
    if not read_spectra(t, s, sharing, weights):
        return False
    for _sweep in range(most):
        before = t.loss
        if not turn(t.W, t.p, s.K, D, t.A):
            return True
        if not read_spectra(t, s, sharing, weights):
            return False
        if before - t.loss < 1e-9:
            return True
    return True


cdef inline bint start_axes(
    Turning* t,
    const Shape* s,
    int sharing,
    const double* weights,          # IN   (K,)
    const double* C,                # IN   (K, D, D)
) noexcept nogil:
    """Axes from a cold start, as there are local optima: of all features, of pooled scatters and of each one's own."""
    cdef Py_ssize_t candidate, k, i, D = s.D, most = WORK_OF_START // ((s.K + 3) * s.K * D * D * D)
    cdef double factor, least = INFINITY
    most = min(<Py_ssize_t> 60, max(<Py_ssize_t> 2, most))
    for candidate in range(s.K + 3):
        set_identity(t.A, D)
        if candidate > 0:
            for i in range(D * D):
                t.S[i] = C[(candidate - 3) * D * D + i] if candidate > 2 else 0
            for k in range(s.K if candidate < 3 else 0):
                factor = 0
                for i in range(D):
                    factor += C[k * D * D + i * D + i]
                if not factor > 0:
                    return False
                factor = weights[k] if candidate == 1 else 1 / factor
                for i in range(D * D):
                    t.S[i] += factor * C[k * D * D + i]
            eigenvectors(t.S, D, t.A, t.spectra)
        if not turn_some(t, s, sharing, weights, C, most):
            return False
        if t.loss < least:
            least = t.loss
            for i in range(D * D):
                t.best[i] = t.A[i]
    for i in range(D * D):
        t.A[i] = t.best[i]
    return turn_some(t, s, sharing, weights, C, MOST_TURNS)


cdef inline void order_axes(Turning* t, const Shape* s, const double* weights) noexcept nogil:
    """Put axes in ascending order of the mean logarithms of variances, whatever their order was to begin with."""
    cdef Py_ssize_t i, j, k, least, D = s.D
    cdef double value, smallest
    for j in range(D):
        t.spectra[j] = 0
        for k in range(s.K):
            t.spectra[j] += weights[k] * log(t.v[k * D + j])
    for i in range(D):
        least, smallest = i, t.spectra[i]
        for j in range(i + 1, D):
            if t.spectra[j] < smallest:
                least, smallest = j, t.spectra[j]
        if least == i:
            continue
        t.spectra[least] = t.spectra[i]
        for j in range(D):
            value = t.A[i * D + j]
            t.A[i * D + j], t.A[least * D + j] = t.A[least * D + j], value
        for k in range(s.K):
            value = t.v[k * D + i]
            t.v[k * D + i], t.v[k * D + least] = t.v[k * D + least], value


cdef inline bint common_axes(
    const Shape* s,
    int sharing,
    const double* weights,          # IN     (K,)
    double* axes,                   # INOUT  (D, D)  those of the iteration before; NaN for a cold start
    double* work,                   # SCRATCH
    double* C,                      # INOUT  (K, D, D)
) noexcept nogil:
    """EVE and VVE: the axes under which spectra are most likely, and variances along them."""
    cdef Py_ssize_t k, D = s.D, K = s.K
    cdef Turning t
    t.spectra = work
    t.v = t.spectra + K * D
    t.p = t.v + K * D
    t.W = t.p + K * D
    t.best = t.W + K * D * D
    t.S = t.best + D * D
    t.work = t.S + D * D
    t.scratch = t.work + (2 * D + 4) * padded(D)
    t.A = axes
    if isfinite(axes[0]):
        orthonormalize(axes, D)
        if not turn_some(&t, s, sharing, weights, C, FEW_TURNS):
            return False
    elif not start_axes(&t, s, sharing, weights, C):
        return False
    order_axes(&t, s, weights)
    for k in range(K):
        along_axes(t.v + k * D, axes, D, t.work, C + k * D * D)
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
