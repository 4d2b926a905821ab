"""Axes that all components have in common, of EVE and VVE. The notation is that of constraints.pxd."""
from libc.math cimport INFINITY, isfinite, log

from algebra cimport padded
from axes cimport along_axes, eigenvectors, in_frame, orthonormalize, set_identity, turn
from steps cimport Shape
from variances cimport share

cdef enum:
    MOST_TURNS = 60                 # of axes from a cold start,
    FEW_TURNS = 3                   # and from those of the iteration before
    WORK_OF_START = 1 << 28         # multiply-adds for all candidates of a cold start


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
