"""How far a component moves from one pass to the next, for bounds that are kept; see pruning.pxd."""
from libc.math cimport sqrt
from libc.string cimport memset


cdef inline void drift(
    Py_ssize_t D,
    const double* before,           # IN   (D, D) upper triangular, U = W^T
    const double* after,            # IN   (D, D)  likewise, U'
    const double* means_before,     # IN   (D,)
    const double* means_after,      # IN   (D,)
    double* G,                      # SCRATCH  (D, D)
    double* A,                      # SCRATCH  (D, D)
    double* stretch,                # OUT  not less than sigma_max(W W'^-1)
    double* shift,                  # OUT  |W (mu' - mu)|
) noexcept nogil:
    """How far a component has moved. G = U'^-1 U has the singular values, and sigma_max^2 <= 1 + |G^T G - I|_F."""
    cdef Py_ssize_t i, j, m
    cdef double factor, squares = 0, y
    for i in range(D - 1, -1, -1):
        for m in range(i, D):
            G[i * D + m] = before[i * D + m]
        for j in range(i + 1, D):
            factor = after[i * D + j]
            for m in range(j, D):
                G[i * D + m] -= factor * G[j * D + m]
        factor = 1 / after[i * D + i]
        for m in range(i, D):
            G[i * D + m] *= factor
    memset(A, 0, D * D * sizeof(double))
    for j in range(D):
        for i in range(j, D):
            factor = G[j * D + i]
            for m in range(i, D):
                A[i * D + m] += factor * G[j * D + m]
    for i in range(D):
        squares += (A[i * D + i] - 1) * (A[i * D + i] - 1)
        for m in range(i + 1, D):
            squares += 2 * A[i * D + m] * A[i * D + m]
    stretch[0] = sqrt(1 + sqrt(squares))
    squares = 0
    for i in range(D):
        y = 0
        for j in range(i + 1):
            y += before[j * D + i] * (means_after[j] - means_before[j])
        squares += y * y
    shift[0] = sqrt(squares)
