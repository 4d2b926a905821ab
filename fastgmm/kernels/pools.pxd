"""Sums that all components share, for M-steps without a scatter of each. The notation is that of kernels.pyx.

With a pass under the volumes, or variances along common axes, of the iteration before, one matrix is enough for the
next shape, or for a turn of the axes: model/pooled.py has the M-steps.
"""
from libc.string cimport memset

from accumulation cimport accumulate_common_frame, add_products
from blocks cimport DIAGONAL, Layout, width
from tiles cimport floating, pooled_moments, products, sum_weights, triangle


cdef inline void pool_shapes(const Layout* at, const floating* factors, floating* work, double* pool) noexcept nogil:
    """COMMON_SHAPE: sum w, sum w y and sum w y y^T, with w = sum_k r_k s_k^2; squares alone where a frame is scaled."""
    cdef Py_ssize_t k, i0, D = at.D, B = at.B
    cdef int m, a
    cdef floating precision
    cdef floating[16] sums
    cdef floating* w = work + at.v
    cdef const floating* restrict r
    memset(w, 0, B * sizeof(floating))
    for k in range(at.K):
        r = work + at.p + k * B
        precision = factors[k] * factors[k]
        add_scaled(B, precision, r, w)
    if not at.scaled:
        add_products(D, B, w, work + at.x, B, w + at.V, at.V, pool)
        return
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        triangle(m, B, w, work + at.x + i0 * B, B, <floating*> NULL, B, sums)
        for a in range(m):
            pool[1 + D + i0 + a] += sums[5 * a]


cdef inline void add_scaled(
    Py_ssize_t n, floating factor, const floating* restrict x, floating* restrict y
) noexcept nogil:
    """y += factor x."""
    cdef Py_ssize_t i
    for i in range(n):
        y[i] += factor * x[i]


cdef inline void pool_axes(
    const Layout* at,
    const floating* centers,        # IN  (K, D)
    const floating* factors,        # IN  (K, D)
    floating* work,
    double* out,                    # INOUT  (K, width)
    double* pool,                   # INOUT  (D, D)
) noexcept nogil:
    """COMMON_AXES: moments as of DIAGONAL, and sum y v^T with v = sum_k r_k s_k^2 (y - m_k)."""
    cdef Py_ssize_t k, k0, i0, j0, D = at.D, B = at.B, V = at.V, stride = width(DIAGONAL, D)
    cdef int m, columns, a, b
    cdef floating[16] sums
    cdef floating* x = work + at.x
    cdef floating* v = work + at.v
    memset(v, 0, D * V * sizeof(floating))
    for k0 in range(0, at.K, 4):
        m = <int> min(4, at.K - k0)
        sum_weights(m, B, work + at.p + k0 * B, B, work + at.p + k0 * B, B, sums)
        for a in range(m):
            out[(k0 + a) * stride] += sums[a]
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        for k in range(at.K):
            pooled_moments(m, B, work + at.p + k * B, x + i0 * B, B, centers + k * D + i0, factors + k * D + i0,
                           v + i0 * V, V, sums)
            for a in range(m):
                out[k * stride + 1 + i0 + a] += sums[a]
                out[k * stride + 1 + D + i0 + a] += sums[4 + a]
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        for j0 in range(0, D, 4):
            columns = <int> min(4, D - j0)
            products(m, columns, B, x + i0 * B, B, v + j0 * V, V, sums)
            for a in range(m):
                for b in range(columns):
                    pool[(i0 + a) * D + j0 + b] += sums[4 * a + b]


cdef inline void accumulate_pooled(
    const Layout* at,
    const floating* centers,        # IN  (K, D)
    const floating* factors,        # IN  (K, D), or (K,)
    floating* work,
    double* out,                    # INOUT  sums of each component, the log-likelihood, and those that all share
) noexcept nogil:
    """Add a block under its responsibilities to all sums but the log-likelihood."""
    cdef double* pool = out + at.K * width(at.kind, at.D) + 1
    if at.turned:
        pool_axes(at, centers, factors, work, out, pool)
        return
    accumulate_common_frame(at, work, out)
    pool_shapes(at, factors, work, pool)
