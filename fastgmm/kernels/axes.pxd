"""Axes of covariances by rotations of pairs: those of one matrix (Jacobi), and those that several have in common.

Written out rather than left to a LAPACK, so that the bits depend neither on its version nor on its threads. Axes are
the rows of an orthogonal matrix A (D, D), and A S A^T is a matrix S in their frame.

Source: B. N. Flury, W. Gautschi, An algorithm for simultaneous orthogonal transformation of several positive definite
symmetric matrices to nearly diagonal form, SIAM Journal on Scientific and Statistical Computing 7, 1986. For fixed
weights p_kj of the diagonals, each rotation is the best one of its pair.
"""
from libc.math cimport fabs, sqrt
from libc.string cimport memset

from algebra cimport copy_rows, padded, product

cdef extern from "<float.h>" nogil:
    const double DBL_EPSILON

cdef enum:
    MOST_ROTATIONS = 30             # sweeps over all pairs

cdef inline void set_identity(double* A, Py_ssize_t D) noexcept nogil:
    """The features as axes."""
    cdef Py_ssize_t i
    memset(A, 0, D * D * sizeof(double))
    for i in range(D):
        A[i * D + i] = 1


cdef inline void rotate_rows(double* A, Py_ssize_t D, Py_ssize_t i, Py_ssize_t j, double c, double s) noexcept nogil:
    """Two rows in the plane that they span."""
    cdef Py_ssize_t m
    cdef double x, y
    cdef double* a = A + i * D
    cdef double* b = A + j * D
    for m in range(D):
        x, y = a[m], b[m]
        a[m] = c * x + s * y
        b[m] = c * y - s * x


cdef inline void rotate(double* S, Py_ssize_t D, Py_ssize_t i, Py_ssize_t j, double c, double s) noexcept nogil:
    """A symmetric matrix with two axes of its frame rotated."""
    cdef Py_ssize_t m
    cdef double x, y, z
    rotate_rows(S, D, i, j, c, s)
    x, y, z = S[i * D + i], S[i * D + j], S[j * D + j]
    S[i * D + i] = c * x + s * y
    S[j * D + j] = c * z - s * S[j * D + i]
    S[i * D + j] = S[j * D + i] = c * y - s * x
    for m in range(D):
        if m != i and m != j:
            S[m * D + i], S[m * D + j] = S[i * D + m], S[j * D + m]


cdef inline void eigenvectors(
    double* S,                      # INOUT  (D, D) symmetric; then nearly diagonal
    Py_ssize_t D,
    double* A,                      # OUT    (D, D)  axes, by ascending variance
    double* variances,              # OUT    (D,)
) noexcept nogil:
    """Jacobi's method, whose small variances are as precise as the large ones."""
    cdef Py_ssize_t _sweep, i, j, m, least
    cdef double x, y, off, t, c, value
    cdef bint rotated = True
    set_identity(A, D)
    for _sweep in range(MOST_ROTATIONS):
        if not rotated:
            break
        rotated = False
        for i in range(D - 1):
            for j in range(i + 1, D):
                x, y, off = S[i * D + i], S[j * D + j], S[i * D + j]
                if off * off <= DBL_EPSILON * DBL_EPSILON * fabs(x * y) or off == 0:
                    continue
                rotated = True
                t = 0.5 * (x - y) / off
                t = (1 if t >= 0 else -1) / (fabs(t) + sqrt(t * t + 1))
                c = 1 / sqrt(t * t + 1)
                rotate(S, D, i, j, c, t * c)
                rotate_rows(A, D, i, j, c, t * c)
                S[i * D + i], S[j * D + j] = x + t * off, y - t * off
                S[i * D + j] = S[j * D + i] = 0
    for i in range(D):
        least = i
        for j in range(i, D):
            if S[j * D + j] < S[least * D + least]:
                least = j
        variances[i], S[least * D + least] = S[least * D + least], S[i * D + i]
        for m in range(D if least != i else 0):
            value = A[i * D + m]
            A[i * D + m], A[least * D + m] = A[least * D + m], value


cdef inline bint turn(
    double* S,                      # INOUT  (K, D, D)  matrices in the frame of the axes
    const double* p,                # IN     (K, D)  weights of their diagonals
    Py_ssize_t K,
    Py_ssize_t D,
    double* A,                      # INOUT  (D, D)
) noexcept nogil:
    """Rotate each pair of common axes once, so that sum_kj p_kj (A S_k A^T)_jj falls; False if none needed to."""
    cdef Py_ssize_t i, j, k
    cdef double a, b, r, c, s, difference
    cdef double* one
    cdef bint rotated = False
    for i in range(D - 1):
        for j in range(i + 1, D):
            a = b = 0           # by an angle t the sum changes to a cos 2t + b sin 2t and a constant
            for k in range(K):
                one, difference = S + k * D * D, p[k * D + i] - p[k * D + j]
                a += 0.5 * difference * (one[i * D + i] - one[j * D + j])
                b += difference * one[i * D + j]
            r = sqrt(a * a + b * b)
            if not r > 4 * DBL_EPSILON or (a <= 0 and fabs(b) <= -DBL_EPSILON * a):
                continue
            if a <= 0:
                c = sqrt(0.5 * (1 - a / r))
                s = -0.5 * b / (r * c)
            else:
                s = -sqrt(0.5 * (1 + a / r)) if b > 0 else sqrt(0.5 * (1 + a / r))
                c = -0.5 * b / (r * s)
            rotated = rotated or fabs(s) > 1e-10
            for k in range(K):
                rotate(S + k * D * D, D, i, j, c, s)
            rotate_rows(A, D, i, j, c, s)
    return rotated


cdef inline void orthonormalize(double* A, Py_ssize_t D) noexcept nogil:
    """Take the rounding of many rotations out of axes (Gram and Schmidt)."""
    cdef Py_ssize_t i, j, m
    cdef double along
    for i in range(D):
        for j in range(i):
            along = 0
            for m in range(D):
                along += A[i * D + m] * A[j * D + m]
            for m in range(D):
                A[i * D + m] -= along * A[j * D + m]
        along = 0
        for m in range(D):
            along += A[i * D + m] * A[i * D + m]
        along = 1 / sqrt(along)
        for m in range(D):
            A[i * D + m] *= along


cdef inline void in_frame(
    const double* S,                # IN   (D, D) symmetric
    const double* A,                # IN   (D, D)  axes
    Py_ssize_t D,
    double factor,                  # IN   what the result is multiplied by
    double* work,                   # SCRATCH  (2 D + 4, P)
    double* out,                    # OUT  (D, D)  factor A S A^T
) noexcept nogil:
    """A symmetric matrix in the frame of axes."""
    cdef Py_ssize_t P = padded(D), i0, i, j
    cdef int m
    cdef double* AS = work + D * P
    cdef double* rows = work + 2 * D * P
    copy_rows(S, D, D, work, P)
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        product(m, 0, D, D, A + i0 * D, D, 1, work, P, AS + i0 * P)
    memset(work, 0, D * P * sizeof(double))
    for i in range(D):
        for j in range(D):
            work[j * P + i] = A[i * D + j]
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        product(m, 0, D, D, AS + i0 * P, P, 1, work, P, rows)
        for i in range(i0, i0 + m):
            for j in range(i, D):
                out[i * D + j] = factor * rows[(i - i0) * P + j]
                out[j * D + i] = out[i * D + j]


cdef inline void along_axes(
    const double* variances,        # IN   (D,)
    const double* A,                # IN   (D, D)  axes
    Py_ssize_t D,
    double* work,                   # SCRATCH  (D + 4, P)
    double* out,                    # OUT  (D, D)  A^T diag(variances) A
) noexcept nogil:
    """The covariance of these variances along axes; `out` may not be A."""
    cdef Py_ssize_t P = padded(D), i0, i, j
    cdef int m
    cdef double* rows = work + D * P
    memset(work, 0, D * P * sizeof(double))
    for i in range(D):
        for j in range(D):
            work[i * P + j] = variances[i] * A[i * D + j]
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        product(m, i0, D, D, A + i0, 1, D, work, P, rows)
        for i in range(i0, i0 + m):
            for j in range(i, D):
                out[i * D + j] = rows[(i - i0) * P + j]
                out[j * D + i] = out[i * D + j]
