"""Rows with gaps block by block: of patterns of many rows. See patterns.pxd."""
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from algebra cimport congruence, invert_upper, padded, product
from blocks cimport DIAGONAL, Layout, layout, pack_triangle
from patterns cimport Frame, add_conditional, fetch
from tiles cimport LANES_F32, LANES_F64, TILE_COLUMNS, floating

cdef enum:
    FEW = 8                     # rows below which a pattern is not worth a block


cdef inline Py_ssize_t model_size(Py_ssize_t D, Py_ssize_t K) noexcept nogil:
    """How many numbers a `marginal` model takes, before the workspace of a block."""
    return (K * (1 + 2 * D + max(D, D * (D + 1) // 2)) + D * D + 15) // 16 * 16


cdef inline Layout block_layout(
    int kind, Py_ssize_t D, Py_ssize_t K, bint accumulating, Py_ssize_t itemsize, Py_ssize_t rows
) noexcept nogil:
    """The layout for so many rows of a pattern: no longer blocks than needed."""
    cdef Py_ssize_t tile = TILE_COLUMNS * (LANES_F64 if itemsize == 8 else LANES_F32)
    cdef Layout at = layout(kind, D, K, accumulating, itemsize)
    at.B = min(at.B, (rows + tile - 1) // tile * tile)
    return at


cdef inline void marginal(
    const Frame* f,
    floating* offsets,          # OUT  (K,)
    floating* centers,          # OUT  (K, o)
    floating* residues,         # OUT  (K, o)
    floating* factors,          # OUT  packed, or (K, o)
    floating* dense,            # SCRATCH (o, o)
) noexcept nogil:
    """The mixture of the observed features as the kernels for complete rows read it."""
    cdef Py_ssize_t k, a, b, i, D = f.D, o = f.n_observed, P = padded(o)
    cdef double lost
    cdef double* applied
    for k in range(f.K):
        offsets[k] = <floating> f.offsets[k]
        for a in range(o):
            centers[k * o + a] = <floating> f.means[k * D + f.observed[a]]
        if f.kind == DIAGONAL:
            for a in range(o):
                factors[k * o + a] = <floating> f.scales[k * D + f.observed[a]]
            continue
        memset(f.upper, 0, o * P * sizeof(double))
        for a in range(o):
            for b in range(a, o):
                f.upper[a * P + b] = f.columns[(k * D + a) * f.P + f.observed[b]]
        invert_upper(f.upper, o, f.inverse, f.scratch)
        for a in range(o):
            residues[k * o + a] = 0
            for b in range(o):
                dense[a * o + b] = <floating> f.inverse[a * P + b]
        pack_triangle(dense, o, factors + k * (o * (o + 1) // 2))
        if floating is float:
            for b in range(o):
                lost = 0
                for a in range(b + 1):
                    i = f.observed[a]
                    lost += (f.means[k * D + i] - centers[k * o + a]) * f.inverse[a * P + b]
                residues[k * o + b] = <floating> -lost
            memset(f.upper, 0, o * P * sizeof(double))
            for a in range(o):
                for b in range(a, o):
                    f.upper[a * P + b] = dense[a * o + b]
            applied = f.applied + k * D * f.P
            invert_upper(f.upper, o, applied, f.scratch)        # P may be less than f.P
            for a in range(o):                                  # times L_o^-T, row by row in place
                memcpy(f.scratch, applied + a * P, o * sizeof(double))
                memset(applied + a * P, 0, o * sizeof(double))
                for b in range(a, o):
                    for i in range(b, o):
                        applied[a * P + i] += f.scratch[b] * f.inverse[b * P + i]


cdef inline void gather_block(
    const Frame* f,
    const char* X,
    Py_ssize_t row_stride,
    Py_ssize_t column_stride,
    const int32_t* order,       # IN   (rows,)
    Py_ssize_t rows,            # IN   1 .. B
    Py_ssize_t after,           # IN   rows in `order` after these
    Py_ssize_t B,
    floating* x,                # OUT  (o, B); lanes past the last row repeat it
) noexcept nogil:
    """Transpose the observed features of a block of rows into its tile."""
    cdef Py_ssize_t n, a
    cdef const char* row
    for n in range(rows):
        fetch(f, X, row_stride, order, n, rows + after, <floating> 0)
        row = X + order[n] * row_stride
        for a in range(f.n_observed):
            x[a * B + n] = (<const floating*> (row + f.observed[a] * column_stride))[0]
    for a in range(f.n_observed):
        for n in range(rows, B):
            x[a * B + n] = x[a * B + rows - 1]


cdef inline double weigh_block(
    const floating* weights,    # IN     by row
    const int32_t* order,       # IN     (rows,)
    Py_ssize_t rows,
    Py_ssize_t B,
    Py_ssize_t K,
    const floating* scores,     # IN     (rows,)
    floating* p,                # INOUT  (K, B)  responsibilities
) noexcept nogil:
    """Multiply responsibilities by the weights of rows; returns the weighted sum of scores."""
    cdef Py_ssize_t n, k
    cdef floating weight
    cdef double total = 0
    for n in range(rows):
        weight = weights[order[n]]
        if weight != 0:
            total += <double> weight * scores[n]
        for k in range(K):
            p[k * B + n] = weight * p[k * B + n] if weight != 0 else 0
    return total


cdef inline void map_sums(const Frame* f, floating zero, double* out) noexcept nogil:
    """Add the sums over blocks of the present pattern to those of all features; `zero` tells the type of the rows."""
    cdef Py_ssize_t k, a, b, i, i0, D = f.D, P = f.P, o = f.n_observed
    cdef Py_ssize_t width = 1 + o + (o if f.kind == DIAGONAL else o * (o + 1) // 2)
    cdef Py_ssize_t stride = 1 + D + (D if f.kind == DIAGONAL else D * (D + 1) // 2)
    cdef const double* sums
    cdef const double* H
    cdef const double* s
    cdef double* second
    cdef double* rows = f.scratch + D * P
    cdef double shift, moved
    cdef int m
    for k in range(f.K):
        sums = f.sums + k * width
        if sums[0] == 0:
            continue
        out[k * stride] += sums[0]
        second = out + k * stride + 1 + D
        add_conditional(f, k, sums[0], out + k * stride)
        if f.kind == DIAGONAL:
            for a in range(o):      # about the means, not about these as rounded
                i = f.observed[a]
                shift = f.means[k * D + i] - <floating> f.means[k * D + i]
                moved = sums[0] * shift
                out[k * stride + 1 + i] += sums[1 + a] - moved
                second[i] += sums[1 + o + a] - 2 * shift * (sums[1 + a] - 0.5 * moved)
            continue
        if floating is float:
            congruence(f.applied + k * D * P, sums + 1, sums + 1 + o, o, f.scratch, f.first, f.second)
            s = f.first
        else:
            s = sums + 1
            for a in range(o):
                for b in range(a + 1):
                    f.second[a * o + b] = sums[1 + o + a * (a + 1) // 2 + b]
                    f.second[b * o + a] = f.second[a * o + b]
        H = f.columns + k * D * P
        for a in range(o):
            for i in range(D):
                out[k * stride + 1 + i] += s[a] * H[a * P + i]
        for i0 in range(0, o, 4):
            product(<int> min(4, o - i0), 0, o, o, f.second + i0 * o, o, 1, H, P, f.scratch + i0 * P)
        for i0 in range(0, D, 4):
            m = <int> min(4, D - i0)
            product(m, 0, o, o, H + i0, 1, P, f.scratch, P, rows)
            for i in range(i0, i0 + m):
                for b in range(i + 1):
                    second[i * (i + 1) // 2 + b] += rows[(i - i0) * P + b]
