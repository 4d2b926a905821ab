"""Dense algebra on one small matrix in double precision, as products of register tiles.

Written out rather than left to a BLAS, so that the bits depend neither on its version nor on its threads. Matrices
are (D, P): rows of D numbers padded with zeros to P, a whole number of tiles (see `padded`).
"""
from libc.math cimport isfinite, sqrt
from libc.string cimport memcpy, memset

from tiles cimport LANES_F64, TILE_COLUMNS, multiply


cdef inline Py_ssize_t padded(Py_ssize_t D) noexcept nogil:
    """Length of a row of D numbers with its padding."""
    cdef Py_ssize_t width = TILE_COLUMNS * LANES_F64
    return (D + width - 1) // width * width


cdef inline void copy_rows(
    const double* a, Py_ssize_t lda, Py_ssize_t D, double* b, Py_ssize_t ldb
) noexcept nogil:
    """b = a, (D, D) into rows of another length; new padding is zero."""
    cdef Py_ssize_t i
    for i in range(D):
        memcpy(b + i * ldb, a + i * lda, D * sizeof(double))
        memset(b + i * ldb + D, 0, max(ldb - D, 0) * sizeof(double))


cdef inline void product(
    int m,              # IN   number of rows, at most 4
    Py_ssize_t first,   # IN   columns from this one on (and those of its tile before it)
    Py_ssize_t depth,
    Py_ssize_t below,   # IN   b is zero from this row on in its first column, one row later in each next one
    const double* a,    # IN   the first factor, rows `sa` apart, columns `ta` apart
    Py_ssize_t sa,
    Py_ssize_t ta,
    const double* b,    # IN   (depth, P)
    Py_ssize_t P,
    double* c,          # OUT  (m, P)
) noexcept nogil:
    """A few rows of a matrix product."""
    cdef Py_ssize_t width = TILE_COLUMNS * LANES_F64, tile
    for tile in range(first // width, P // width):
        multiply(m, min(depth, below + (tile + 1) * width), a, sa, ta, b + tile * width, P, c + tile * width, P)


cdef inline bint cholesky(
    const double* A,    # IN   (D, D) symmetric
    Py_ssize_t D,
    double* U,          # OUT  (D, P) upper triangular, A = U^T U
    double* work,       # SCRATCH (4, P)
) noexcept nogil:
    """Four rows at a time, each from those above it; False when A is not positive definite."""
    cdef Py_ssize_t P = padded(D), i0, i, j, above
    cdef int m
    cdef double pivot
    memset(U, 0, D * P * sizeof(double))
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        product(m, i0, i0, 0, U + i0, 1, P, U, P, work)
        for i in range(i0, i0 + m):
            for j in range(i, D):
                U[i * P + j] = A[i * D + j] - work[(i - i0) * P + j]
        for i in range(i0, i0 + m):
            for above in range(i0, i):
                for j in range(i, D):
                    U[i * P + j] -= U[above * P + i] * U[above * P + j]
            pivot = U[i * P + i]
            if not (pivot > 0 and isfinite(pivot)):
                return False
            pivot = 1 / sqrt(pivot)
            for j in range(i, D):
                U[i * P + j] *= pivot
    return True


cdef inline void invert_upper(
    const double* U,    # IN   (D, P) upper triangular
    Py_ssize_t D,
    double* V,          # OUT  (D, P) its inverse
    double* work,       # SCRATCH (4, P)
) noexcept nogil:
    """Back substitution for all columns at once, the last four rows first."""
    cdef Py_ssize_t P = padded(D), panel, i0, i, j, r, below
    cdef int m
    cdef double pivot
    memset(V, 0, D * P * sizeof(double))
    for panel in range((D + 3) // 4):
        i0 = ((D + 3) // 4 - 1 - panel) * 4
        m = <int> min(4, D - i0)
        below = i0 + m
        product(m, below, D - below, -below, U + i0 * P + below, P, 1, V + below * P, P, work)
        for i in range(below - 1, i0 - 1, -1):
            for j in range(below, D):
                V[i * P + j] = -work[(i - i0) * P + j]
            for r in range(i + 1, below):
                for j in range(r, D):
                    V[i * P + j] -= U[i * P + r] * V[r * P + j]
            pivot = 1 / U[i * P + i]
            for j in range(i + 1, D):
                V[i * P + j] *= pivot
            V[i * P + i] = pivot


cdef inline void congruence(
    const double* U,    # IN   (D, P) upper triangular
    const double* s,    # IN   (D,)
    const double* S,    # IN   (D (D + 1) / 2,) lower triangle of a symmetric matrix by rows
    Py_ssize_t D,
    double* work,       # SCRATCH (2 D + 4, P)
    double* first,      # OUT  (D,)    U^T s
    double* second,     # OUT  (D, D)  U^T S U
) noexcept nogil:
    """A vector and a symmetric matrix in another frame."""
    cdef Py_ssize_t P = padded(D), i0, i, j
    cdef int m
    cdef double* full = work
    cdef double* SU = work + D * P
    cdef double* rows = work + 2 * D * P
    memset(first, 0, D * sizeof(double))
    for i in range(D):
        for j in range(i, D):
            first[j] += s[i] * U[i * P + j]
        for j in range(i + 1):
            full[i * P + j] = S[i * (i + 1) // 2 + j]
            full[j * P + i] = full[i * P + j]
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        product(m, 0, D, 0, full + i0 * P, P, 1, U, P, SU + i0 * P)
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        product(m, i0, i0 + m, D, U + i0, 1, P, SU, P, rows)
        for i in range(i0, i0 + m):
            for j in range(i, D):
                second[i * D + j] = rows[(i - i0) * P + j]
                second[j * D + i] = second[i * D + j]
