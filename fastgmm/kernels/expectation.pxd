"""A pass over rows: expectation and accumulation fused, block by block. The notation is that of kernels.pyx."""
from libc.string cimport memset

from accumulation cimport accumulate_block, flush_all, total
from blocks cimport (COMMON_FRAME, Layout, below_rounding, clear_lanes, enter_frame, load_block, log_densities, weigh,
                     width)
from tiles cimport TILE_COLUMNS, floating, normalize


cdef inline void begin(const Layout* at, floating* work, double* out) noexcept nogil:
    """Empty the sums and the buffers."""
    memset(out, 0, (at.K * width(at.kind, at.D) + 1) * sizeof(double))
    memset(work + at.n_buffered, 0, at.K * sizeof(Py_ssize_t))


cdef inline void expectation(
    const Layout* at,
    const char* X,                      # IN   (N, D) rows of any strides
    Py_ssize_t row_stride,              # IN   in bytes
    Py_ssize_t column_stride,
    Py_ssize_t N,
    const floating* weights,            # IN   (N,), or NULL: 1 each
    const floating* offsets,            # IN   the mixture, as in `accumulate`
    const floating* centers,
    const floating* center_rounding,
    const floating* factors,
    const double* origin,
    const double* whitener,
    floating* work,                     # SCRATCH
    double* out,                        # OUT  sums per component, then the log-likelihood
) noexcept nogil:
    """Sums over all rows under the responsibilities that the mixture gives them."""
    cdef Py_ssize_t block, n0, rows, B = at.B
    cdef bint summed
    cdef floating cut = below_rounding(at.K, <floating> 0)
    cdef double* log_likelihood = out + at.K * width(at.kind, at.D)
    begin(at, work, out)
    for block in range((N + B - 1) // B):
        n0 = block * B
        rows = min(B, N - n0)
        load_block(X + n0 * row_stride, row_stride, column_stride, rows, N - n0, at.D, B, work + at.x)
        if at.kind == COMMON_FRAME:
            enter_frame(at, origin, whitener, work)
        summed = rows == B and weights == NULL
        log_densities(at, offsets, centers, center_rounding, factors, work)
        normalize(summed, B, at.K, cut, work + at.p, B, work + at.scores)
        if rows < B:
            clear_lanes(at, rows, work)
        if weights != NULL:
            weigh(at, weights + n0, rows, work)
        log_likelihood[0] += total(work + at.scores, B // TILE_COLUMNS if summed else rows)
        accumulate_block(at, centers, work, out)
    flush_all(at, work, out)
