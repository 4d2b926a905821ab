"""Dense algebra on one small matrix, row by row so that every inner loop is contiguous and vectorizes.

Written out rather than left to a BLAS, so that the bits depend neither on its version nor on its threads.
"""
from libc.math cimport isfinite, sqrt
from libc.string cimport memcpy, memset


cdef inline bint cholesky(
    const double* A,    # IN   (D, D) symmetric
    Py_ssize_t D,
    double* U,          # OUT  (D, D) upper triangular, A = U^T U
) noexcept nogil:
    """False when A is not positive definite."""
    cdef Py_ssize_t i, j, m
    cdef double pivot
    memcpy(U, A, D * D * sizeof(double))
    for j in range(D):
        pivot = U[j * D + j]
        if not (pivot > 0 and isfinite(pivot)):
            return False
        pivot = 1 / sqrt(pivot)
        for i in range(j):
            U[j * D + i] = 0
        for i in range(j, D):
            U[j * D + i] *= pivot
        for m in range(j + 1, D):
            for i in range(m, D):
                U[m * D + i] -= U[j * D + m] * U[j * D + i]
    return True


cdef inline void invert_upper(
    const double* U,    # IN   (D, D) upper triangular
    Py_ssize_t D,
    double* V,          # OUT  (D, D) its inverse
) noexcept nogil:
    """Back substitution for all columns at once, last row first."""
    cdef Py_ssize_t i, j, m
    cdef double pivot
    memset(V, 0, D * D * sizeof(double))
    for i in range(D - 1, -1, -1):
        pivot = 1 / U[i * D + i]
        for m in range(i + 1, D):
            for j in range(m, D):
                V[i * D + j] -= U[i * D + m] * V[m * D + j]
        for j in range(i + 1, D):
            V[i * D + j] *= pivot
        V[i * D + i] = pivot


cdef inline void congruence(
    const double* U,    # IN   (D, D) upper triangular
    const double* s,    # IN   (D,)
    const double* S,    # IN   (D (D + 1) / 2,) lower triangle of a symmetric matrix by rows
    Py_ssize_t D,
    double* work,       # SCRATCH (D, D)
    double* first,      # OUT  (D,)    U^T s
    double* second,     # OUT  (D, D)  U^T S U
) noexcept nogil:
    """A vector and a symmetric matrix in another frame."""
    cdef Py_ssize_t i, j, m
    memset(first, 0, D * sizeof(double))
    memset(work, 0, D * D * sizeof(double))
    memset(second, 0, D * D * sizeof(double))
    for m in range(D):
        for j in range(m, D):
            first[j] += s[m] * U[m * D + j]
    for i in range(D):                              # work = S U
        for m in range(i + 1):
            for j in range(m, D):
                work[i * D + j] += S[i * (i + 1) // 2 + m] * U[m * D + j]
        for m in range(i):
            for j in range(i, D):
                work[m * D + j] += S[i * (i + 1) // 2 + m] * U[i * D + j]
    for i in range(D):                              # upper triangle of U^T (S U), then its mirror
        for m in range(i + 1):
            for j in range(i, D):
                second[i * D + j] += U[m * D + i] * work[m * D + j]
        for j in range(i):
            second[i * D + j] = second[j * D + i]
