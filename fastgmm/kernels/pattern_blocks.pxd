"""Rows with gaps block by block: of patterns of many rows. See patterns.pxd."""
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from accumulation cimport accumulate_common_frame, flush
from algebra cimport congruence, invert_upper, padded, product
from blocks cimport DIAGONAL, COMMON_FRAME, TRIANGULAR, Layout, layout, pack_triangle, take
from patterns cimport Frame, add_conditional, fetch, second_moments, spreads, width
from tiles cimport LANES_F32, LANES_F64, TILE_COLUMNS, floating

cdef enum:
    FEW = 8                     # rows below which a pattern is not worth a block


cdef inline Py_ssize_t model_size(Py_ssize_t D, Py_ssize_t K) noexcept nogil:
    """How many numbers a `marginal` model takes, before the workspace of a block."""
    return (K * (1 + 2 * D + max(D, D * (D + 1) // 2)) + D * D + 15) // 16 * 16


cdef inline Layout block_layout(
    int kind, Py_ssize_t D, Py_ssize_t K, bint accumulating, Py_ssize_t itemsize
) noexcept nogil:
    """The layout for rows of a pattern; of COMMON_FRAME the block is the buffer of all components together, too."""
    cdef Py_ssize_t tile = TILE_COLUMNS * (LANES_F64 if itemsize == 8 else LANES_F32)
    cdef Layout at = layout(kind, D, K, accumulating, itemsize)
    if kind == COMMON_FRAME:
        at.y = at.x
        at.r = take(&at.size, at.B, tile)
        at.u = take(&at.size, 4 * at.B, tile)
    return at


cdef inline void shorten(Layout* at, Py_ssize_t rows, Py_ssize_t itemsize) noexcept nogil:
    """Make the block no longer than its rows need."""
    cdef Py_ssize_t tile = TILE_COLUMNS * (LANES_F64 if itemsize == 8 else LANES_F32)
    at.B = (rows + tile - 1) // tile * tile
    if at.kind == COMMON_FRAME:
        at.P = at.B


cdef inline void marginal(
    const Frame* f,
    floating* offsets,          # OUT  (K,)
    floating* centers,          # OUT  (K, o)
    floating* center_rounding,         # OUT  (K, o)
    floating* factors,          # OUT  packed, (K, o) or (K,)
    floating* dense,            # SCRATCH (o, o)
) noexcept nogil:
    """The mixture of the observed features as the kernels for complete rows read it."""
    if f.kind == COMMON_FRAME:
        shared_marginal(f, offsets, centers, factors)
    else:
        marginals(f, offsets, centers, center_rounding, factors, dense)


cdef inline void invert_root(const Frame* f, Py_ssize_t k) noexcept nogil:
    """f.inverse = L_o^-T (o, padded(o)) of component k."""
    cdef Py_ssize_t a, b, o = f.n_observed, P = padded(o)
    memset(f.upper, 0, o * P * sizeof(double))
    for a in range(o):
        for b in range(a, o):
            f.upper[a * P + b] = f.columns[(k * f.D + a) * f.P + f.observed[b]]
    invert_upper(f.upper, o, f.inverse, f.scratch)


cdef inline void shared_marginal(
    const Frame* f,
    floating* offsets,          # OUT  (K,)
    floating* centers,          # OUT  (K, o)
    floating* factors,          # OUT  (K,)
) noexcept nogil:
    """The same where components share a covariance, and the frame in which rows are whitened."""
    cdef Py_ssize_t k, a, o = f.n_observed, P = padded(o)
    for k in range(f.K):
        offsets[k], factors[k] = <floating> f.offsets[k], 1
        for a in range(o):
            centers[k * o + a] = <floating> f.whitened[a * f.Q + k]
    invert_root(f, 0)
    for a in range(o):
        f.observed_origin[a] = f.origin[f.observed[a]]
        memcpy(f.second + a * o, f.inverse + a * P, o * sizeof(double))
    pack_triangle(f.second, o, f.whitener)


cdef inline void marginals(
    const Frame* f,
    floating* offsets,
    floating* centers,
    floating* center_rounding,
    floating* factors,
    floating* dense,
) noexcept nogil:
    """The same where each component has its own."""
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
        invert_root(f, k)
        for a in range(o):
            center_rounding[k * o + a] = 0
            for b in range(o):
                dense[a * o + b] = <floating> f.inverse[a * P + b]
        pack_triangle(dense, o, factors + k * (o * (o + 1) // 2))
        if floating is float:
            for b in range(o):
                lost = 0
                for a in range(b + 1):
                    i = f.observed[a]
                    lost += (f.means[k * D + i] - centers[k * o + a]) * f.inverse[a * P + b]
                center_rounding[k * o + b] = <floating> -lost
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


cdef inline void accumulate_shared(
    const Layout* at,
    floating* work,             # INOUT  x, p and d2 of a block; where no component owns a lane it is cleared
    double* sums,               # INOUT  (K, 2 + o)
    double* pooled,             # INOUT  (1 + o + o (o + 1) / 2,)
) noexcept nogil:
    """Sums of a block in the frame that components share, and those of all together about its origin."""
    cdef Py_ssize_t k, i, n, B = at.B
    cdef int32_t absent = 0
    cdef floating* restrict owned = work + at.r
    cdef const floating* restrict p
    cdef floating* restrict row
    memset(owned, 0, B * sizeof(floating))
    for k in range(at.K):
        p = work + at.p + k * B
        for n in range(B):
            owned[n] += p[n]
    for n in range(B):
        absent += owned[n] == 0
    if absent > 0:      # such a row may be too far to be squared
        for i in range(at.D + at.K):
            row = work + (at.x + i * B if i < at.D else at.d2 + (i - at.D) * B)
            for n in range(B):
                row[n] = row[n] if owned[n] > 0 else 0
    accumulate_common_frame(at, work, sums)
    (<Py_ssize_t*> (work + at.n_buffered))[0] = B
    flush(at, 0, work, pooled)


cdef inline void map_sums(const Frame* f, floating zero, double* out) noexcept nogil:
    """Add the sums over blocks of the present pattern to those of all features; `zero` tells the type of the rows."""
    if f.kind == COMMON_FRAME:
        map_shared(f, out)
    elif f.kind == DIAGONAL:
        map_diagonal(f, zero, out)
    else:
        map_triangular(f, zero, out)


cdef inline void map_diagonal(const Frame* f, floating zero, double* out) noexcept nogil:
    """Moments about the means, not about these as rounded."""
    cdef Py_ssize_t k, a, i, D = f.D, o = f.n_observed, stride = width(DIAGONAL, D)
    cdef const double* sums
    cdef double* first
    cdef double shift, moved
    for k in range(f.K):
        sums, first = f.sums + k * width(DIAGONAL, o), out + k * stride + 1
        if sums[0] == 0:
            continue
        out[k * stride] += sums[0]
        add_conditional(f, k, sums[0], out)
        for a in range(o):
            i = f.observed[a]
            shift = f.means[k * D + i] - <floating> f.means[k * D + i]
            moved = sums[0] * shift
            first[i] += sums[1 + a] - moved
            first[D + i] += sums[1 + o + a] - 2 * shift * (sums[1 + a] - 0.5 * moved)


cdef inline void map_triangular(const Frame* f, floating zero, double* out) noexcept nogil:
    """H s and H S H^T of each component, of float32 rows with L_o as it was applied to them."""
    cdef Py_ssize_t k, a, i, D = f.D, o = f.n_observed, stride = width(TRIANGULAR, D)
    cdef const double* sums
    cdef const double* H
    cdef double* first
    for k in range(f.K):
        sums = f.sums + k * width(TRIANGULAR, o)
        if sums[0] == 0:
            continue
        out[k * stride] += sums[0]
        add_conditional(f, k, sums[0], out)
        if floating is float:
            congruence(f.applied + k * D * f.P, sums + 1, sums + 1 + o, o, f.scratch, f.first, f.second)
        else:
            memcpy(f.first, sums + 1, o * sizeof(double))
            unfold(sums + 1 + o, o, f.second)
        H, first = f.columns + k * D * f.P, out + k * stride + 1
        for a in range(o):
            for i in range(D):
                first[i] += f.first[a] * H[a * f.P + i]
        map_second(f, k, out)


cdef inline void map_shared(const Frame* f, double* out) noexcept nogil:
    """The same of sums about a common origin: S = sum r y y^T - sum_k (q_k m_k^T + m_k q_k^T - n_k m_k m_k^T)."""
    cdef Py_ssize_t k, k0, a, a0, b, i, D = f.D, K = f.K, P = f.P, o = f.n_observed, stride = width(COMMON_FRAME, D)
    cdef const double* sums
    cdef double* s
    cdef double* among = spreads(f, out)
    cdef double* rows = f.scratch
    cdef double n_rows = 0
    cdef int m
    for k in range(K):
        sums, s = f.sums + k * (2 + o), f.moments + k * P
        n_rows += sums[0]
        among[0] += sums[1 + o]
        out[k * stride] += sums[0]
        memset(s, 0, P * sizeof(double))
        for a in range(o):
            s[a] = sums[1 + a] - sums[0] * f.whitened[a * f.Q + k]
    for k0 in range(0, K, 4):
        m = <int> min(4, K - k0)
        product(m, 0, o, o, f.moments + k0 * P, P, 1, f.columns, P, rows)
        for k in range(m):
            for i in range(D):
                out[(k0 + k) * stride + 1 + i] += rows[k * P + i]
    for k in range(K):
        for a in range(o):
            f.moments[k * P + a] += 0.5 * f.sums[k * (2 + o)] * f.whitened[a * f.Q + k]
    unfold(f.pooled + 1 + o, o, f.second)
    for a in range(o):
        among[1] += f.second[a * o + a]
    for a0 in range(0, o, 4):
        m = <int> min(4, o - a0)
        product(m, 0, K, K, f.whitened + a0 * f.Q, f.Q, 1, f.moments, P, rows)
        for a in range(a0, a0 + m):
            for b in range(o):
                f.second[a * o + b] -= rows[(a - a0) * P + b]
                f.second[b * o + a] -= rows[(a - a0) * P + b]
    add_conditional(f, 0, n_rows, out)
    map_second(f, 0, out)


cdef inline void unfold(const double* lower, Py_ssize_t o, double* second) noexcept nogil:
    """A symmetric matrix (o, o) from its lower triangle by rows."""
    cdef Py_ssize_t a, b
    for a in range(o):
        for b in range(a + 1):
            second[a * o + b] = second[b * o + a] = lower[a * (a + 1) // 2 + b]


cdef inline void map_second(const Frame* f, Py_ssize_t k, double* out) noexcept nogil:
    """Add H second H^T to the second moments of component k."""
    cdef Py_ssize_t i, i0, b, D = f.D, P = f.P, o = f.n_observed
    cdef const double* H = f.columns + k * f.cov_stride * D * P
    cdef double* second = second_moments(f, k, out)
    cdef double* rows = f.scratch + D * P
    cdef int m
    for i0 in range(0, o, 4):
        product(<int> min(4, o - i0), 0, o, o, f.second + i0 * o, o, 1, H, P, f.scratch + i0 * P)
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        product(m, 0, o, o, H + i0, 1, P, f.scratch, P, rows)
        for i in range(i0, i0 + m):
            for b in range(i + 1):
                second[i * (i + 1) // 2 + b] += rows[(i - i0) * P + b]
