"""Rows with gaps, block by block: those of patterns of many rows. See patterns.pxd."""
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from accumulation cimport accumulate_block, flush, flush_all
from algebra cimport congruence, invert_upper, padded, product
from blocks cimport (COMMON_FRAME, DIAGONAL, TRIANGULAR, Layout, enter_frame, layout, log_densities, pack_triangle,
                     packed_size, take, width)
from patterns cimport (PatternMixture, SortedRows, add_conditional, distance_sums, fetch, own_width, row_at,
                       second_moments)
from tiles cimport LANES_F32, LANES_F64, TILE_COLUMNS, floating

cdef enum:
    FEW = 8                     # rows below which a pattern is not worth a block


cdef struct MarginalModel:
    # Where the mixture of the observed features, as the kernels for complete rows read it, stands before the workspace
    # of a block; in numbers.
    Py_ssize_t offsets          # (R,)
    Py_ssize_t centers          # (K, o)
    Py_ssize_t center_rounding  # (K, o)
    Py_ssize_t factors          # packed, (K, o) or (K,)
    Py_ssize_t size


cdef inline MarginalModel marginal_model(int kind, Py_ssize_t D, Py_ssize_t K) noexcept nogil:
    """Room for the mixture of any of D features."""
    cdef MarginalModel model
    cdef Py_ssize_t size = 0
    model.offsets = take(&size, K + 1, 16)
    model.centers = take(&size, K * D, 16)
    model.center_rounding = take(&size, K * D if kind == TRIANGULAR else 0, 16)
    model.factors = take(&size, K * (packed_size(D) if kind == TRIANGULAR else D if kind == DIAGONAL else 1), 16)
    model.size = size
    return model


cdef inline Layout pattern_layout(
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


# ---- blocks of the present pattern ------------------------------------------------------------------------


cdef inline Layout begin_pattern(
    const PatternMixture* mix,
    const MarginalModel* model,
    bint accumulating,
    floating* memory,           # OUT  the model, then an empty workspace
) noexcept nogil:
    """Prepare for the blocks of a pattern: their layout, the marginal mixture, and sums of zero."""
    cdef Py_ssize_t o = mix.n_observed
    cdef Layout at = pattern_layout(mix.kind, o, mix.K, accumulating, sizeof(floating))
    cdef Py_ssize_t k
    at.Q = mix.R
    memset(memory + model.size + at.n_buffered, 0, mix.K * sizeof(Py_ssize_t))
    if accumulating:
        memset(mix.block.sums, 0, mix.K * width(mix.kind, o) * sizeof(double))
        if mix.kind == COMMON_FRAME:
            memset(mix.block.pooled, 0, width(TRIANGULAR, o) * sizeof(double))
    if mix.kind == COMMON_FRAME:
        write_shared_model(mix, model, memory)
    else:
        write_model(mix, model, memory)
    for k in range(mix.K, mix.R):
        (memory + model.offsets)[k] = <floating> mix.offsets[k]
    return at


cdef inline void begin_block(
    const PatternMixture* mix,
    const MarginalModel* model,
    const SortedRows* data,
    Py_ssize_t start,           # IN     of the block in the order of rows
    Py_ssize_t rows,            # IN     1 .. B
    Layout* at,                 # INOUT  B becomes no larger than the rows need
    floating* memory,           # INOUT  in the workspace, x and what `log_densities` fills
) noexcept nogil:
    """Read a block of rows of the pattern, and find their log densities."""
    cdef Py_ssize_t tile = TILE_COLUMNS * (LANES_F64 if floating is double else LANES_F32)
    cdef floating* work = memory + model.size
    at.B = (rows + tile - 1) // tile * tile
    if mix.kind == COMMON_FRAME:
        at.P = at.B
    gather_rows(mix, data, start, rows, at.B, work + at.x)
    if mix.kind == COMMON_FRAME:
        enter_frame(at, mix.block.origin, mix.block.whitener, work)
    log_densities(at, memory + model.offsets, memory + model.centers, memory + model.center_rounding,
                  memory + model.factors, work)


cdef inline void accumulate_pattern_block(
    const PatternMixture* mix,
    const MarginalModel* model,
    const Layout* at,
    floating* memory,
) noexcept nogil:
    """Add a block under its responsibilities to the sums of the pattern."""
    cdef floating* work = memory + model.size
    if mix.kind == COMMON_FRAME:
        pool_block(at, work, mix.block.pooled)
    accumulate_block(at, memory + model.centers, work, mix.block.sums)


cdef inline void end_pattern(
    const PatternMixture* mix,
    const Layout* at,
    floating* work,             # INOUT  of the blocks
    double* out,                # INOUT
) noexcept nogil:
    """Add the sums of the pattern to those of all features."""
    flush_all(at, work, mix.block.sums)
    if mix.kind == COMMON_FRAME:
        map_shared(mix, out)
    elif mix.kind == DIAGONAL:
        map_diagonal(mix, <floating> 0, out)
    else:
        map_triangular(mix, <floating> 0, out)


cdef inline void gather_rows(
    const PatternMixture* mix,
    const SortedRows* data,
    Py_ssize_t start,
    Py_ssize_t rows,            # IN   1 .. B
    Py_ssize_t B,
    floating* x,                # OUT  (o, B); lanes past the last row repeat it
) noexcept nogil:
    """Transpose the observed features of a block of rows into its tile."""
    cdef Py_ssize_t n, a
    cdef const char* row
    for n in range(rows):
        fetch(mix, data, start + n, <floating> 0)
        row = row_at(data, start + n)
        for a in range(mix.n_observed):
            x[a * B + n] = (<const floating*> (row + mix.observed[a] * data.column_stride))[0]
    for a in range(mix.n_observed):
        for n in range(rows, B):
            x[a * B + n] = x[a * B + rows - 1]


cdef inline double weigh_block(
    const floating* weights,    # IN     (N,)  by row of X
    const int32_t* order,       # IN     (rows,)
    Py_ssize_t rows,
    const Layout* at,
    floating* work,             # INOUT  p
) noexcept nogil:
    """Multiply responsibilities by the weights of rows; returns the weighted sum of scores."""
    cdef Py_ssize_t n, k, B = at.B
    cdef floating weight
    cdef floating* p = work + at.p
    cdef const floating* scores = work + at.scores
    cdef double total = 0
    for n in range(rows):
        weight = weights[order[n]]
        if weight != 0:
            total += <double> weight * scores[n]
        for k in range(at.K):
            p[k * B + n] = weight * p[k * B + n] if weight != 0 else 0
    return total


cdef inline void pool_block(
    const Layout* at,
    floating* work,             # INOUT  x, p and d2 of a block; lanes without responsibilities are cleared
    double* pooled,             # INOUT  (1 + o + o (o + 1) / 2,)
) noexcept nogil:
    """Sums of a block over all components, about the origin of the frame (COMMON_FRAME)."""
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
    (<Py_ssize_t*> (work + at.n_buffered))[0] = B
    flush(at, 0, work, pooled)


# ---- the marginal mixture ---------------------------------------------------------------------------------


cdef inline void invert_root(const PatternMixture* mix, Py_ssize_t k) noexcept nogil:
    """mix.block.inverse = L_o^-T (o, padded(o)) of component k."""
    cdef Py_ssize_t a, b, o = mix.n_observed, P = padded(o)
    memset(mix.block.upper, 0, o * P * sizeof(double))
    for a in range(o):
        for b in range(a, o):
            mix.block.upper[a * P + b] = mix.columns[(k * mix.D + a) * mix.P + mix.observed[b]]
    invert_upper(mix.block.upper, o, mix.block.inverse, mix.scratch)


cdef inline void write_shared_model(
    const PatternMixture* mix, const MarginalModel* model, floating* memory
) noexcept nogil:
    """The marginal mixture where components share a covariance, and the frame in which rows are whitened."""
    cdef Py_ssize_t k, a, o = mix.n_observed, P = padded(o)
    cdef floating* offsets = memory + model.offsets
    cdef floating* centers = memory + model.centers
    cdef floating* factors = memory + model.factors
    for k in range(mix.K):
        offsets[k], factors[k] = <floating> mix.offsets[k], 1
        for a in range(o):
            centers[k * o + a] = <floating> mix.whitened[a * mix.Q + k]
    invert_root(mix, 0)
    for a in range(o):
        mix.block.origin[a] = mix.origin[mix.observed[a]]
    pack_triangle(mix.block.inverse, P, o, mix.block.whitener)


cdef inline void write_model(const PatternMixture* mix, const MarginalModel* model, floating* memory) noexcept nogil:
    """The marginal mixture where each component has its own covariance."""
    cdef Py_ssize_t k, a, b, i, D = mix.D, o = mix.n_observed, P = padded(o)
    cdef floating* offsets = memory + model.offsets
    cdef floating* centers = memory + model.centers
    cdef floating* center_rounding = memory + model.center_rounding
    cdef floating* factors = memory + model.factors
    cdef double lost
    cdef double* applied
    for k in range(mix.K):
        offsets[k] = <floating> mix.offsets[k]
        for a in range(o):
            centers[k * o + a] = <floating> mix.means[k * D + mix.observed[a]]
        if mix.kind == DIAGONAL:
            for a in range(o):
                factors[k * o + a] = <floating> mix.scales[k * D + mix.observed[a]]
            continue
        invert_root(mix, k)
        for a in range(o):
            center_rounding[k * o + a] = 0
        pack_triangle(mix.block.inverse, P, o, factors + k * packed_size(o))
        if floating is float:
            for b in range(o):
                lost = 0
                for a in range(b + 1):
                    i = mix.observed[a]
                    lost += (mix.means[k * D + i] - centers[k * o + a]) * mix.block.inverse[a * P + b]
                center_rounding[k * o + b] = <floating> -lost
            memset(mix.block.upper, 0, o * P * sizeof(double))
            for a in range(o):
                for b in range(a, o):
                    mix.block.upper[a * P + b] = <float> mix.block.inverse[a * P + b]
            applied = mix.block.applied + k * D * mix.P
            invert_upper(mix.block.upper, o, applied, mix.scratch)      # P may be less than mix.P
            for a in range(o):      # times L_o^-T, row by row in place
                memcpy(mix.scratch, applied + a * P, o * sizeof(double))
                memset(applied + a * P, 0, o * sizeof(double))
                for b in range(a, o):
                    for i in range(b, o):
                        applied[a * P + i] += mix.scratch[b] * mix.block.inverse[b * P + i]


# ---- from observed to all features ------------------------------------------------------------------------


cdef inline void map_diagonal(const PatternMixture* mix, floating zero, double* out) noexcept nogil:
    """Moments of each feature, moved from the means as rounded to the means."""
    cdef Py_ssize_t k, a, i, D = mix.D, o = mix.n_observed, stride = width(DIAGONAL, D)
    cdef const double* sums
    cdef double* first
    cdef double shift, moved
    for k in range(mix.K):
        sums, first = mix.block.sums + k * width(DIAGONAL, o), out + k * stride + 1
        if sums[0] == 0:
            continue
        out[k * stride] += sums[0]
        add_conditional(mix, k, sums[0], out)
        for a in range(o):
            i = mix.observed[a]
            shift = mix.means[k * D + i] - <floating> mix.means[k * D + i]
            moved = sums[0] * shift
            first[i] += sums[1 + a] - moved
            first[D + i] += sums[1 + o + a] - 2 * shift * (sums[1 + a] - 0.5 * moved)


cdef inline void map_triangular(const PatternMixture* mix, floating zero, double* out) noexcept nogil:
    """H s and H S H^T of each component; of float32 rows with L_o as it was rounded when they were whitened."""
    cdef Py_ssize_t k, a, i, D = mix.D, o = mix.n_observed, stride = width(TRIANGULAR, D)
    cdef const double* sums
    cdef const double* H
    cdef double* first
    for k in range(mix.K):
        sums = mix.block.sums + k * width(TRIANGULAR, o)
        if sums[0] == 0:
            continue
        out[k * stride] += sums[0]
        add_conditional(mix, k, sums[0], out)
        if floating is float:
            congruence(mix.block.applied + k * D * mix.P, sums + 1, sums + 1 + o, o, mix.scratch,
                       mix.block.first, mix.block.second)
        else:
            memcpy(mix.block.first, sums + 1, o * sizeof(double))
            unfold(sums + 1 + o, o, mix.block.second)
        H, first = mix.columns + k * D * mix.P, out + k * stride + 1
        for a in range(o):
            for i in range(D):
                first[i] += mix.block.first[a] * H[a * mix.P + i]
        map_second(mix, k, out)


cdef inline void map_shared(const PatternMixture* mix, double* out) noexcept nogil:
    """As `map_triangular`, from sums about a common origin.

    S = sum r y y^T - sum_k (q_k m_k^T + m_k q_k^T - n_k m_k m_k^T)
    """
    cdef Py_ssize_t k, k0, a, a0, b, i, D = mix.D, K = mix.K, P = mix.P, o = mix.n_observed
    cdef Py_ssize_t stride = own_width(COMMON_FRAME, D), block_stride = width(COMMON_FRAME, o)
    cdef const double* sums
    cdef double* s
    cdef double* distances = distance_sums(mix, out)
    cdef double* rows = mix.scratch
    cdef double n_rows = 0
    cdef int m
    for k in range(K):
        sums, s = mix.block.sums + k * block_stride, mix.block.moments + k * P
        n_rows += sums[0]
        distances[0] += sums[1 + o]
        out[k * stride] += sums[0]
        memset(s, 0, P * sizeof(double))
        for a in range(o):
            s[a] = sums[1 + a] - sums[0] * mix.whitened[a * mix.Q + k]
    for k0 in range(0, K, 4):
        m = <int> min(4, K - k0)
        product(m, 0, o, o, mix.block.moments + k0 * P, P, 1, mix.columns, P, rows)
        for k in range(m):
            for i in range(D):
                out[(k0 + k) * stride + 1 + i] += rows[k * P + i]
    for k in range(K):
        for a in range(o):
            mix.block.moments[k * P + a] += 0.5 * mix.block.sums[k * block_stride] * mix.whitened[a * mix.Q + k]
    unfold(mix.block.pooled + 1 + o, o, mix.block.second)
    for a in range(o):
        distances[1] += mix.block.second[a * o + a]
    for a0 in range(0, o, 4):
        m = <int> min(4, o - a0)
        product(m, 0, K, K, mix.whitened + a0 * mix.Q, mix.Q, 1, mix.block.moments, P, rows)
        for a in range(a0, a0 + m):
            for b in range(o):
                mix.block.second[a * o + b] -= rows[(a - a0) * P + b]
                mix.block.second[b * o + a] -= rows[(a - a0) * P + b]
    add_conditional(mix, 0, n_rows, out)
    map_second(mix, 0, out)


cdef inline void unfold(const double* lower, Py_ssize_t o, double* second) noexcept nogil:
    """A symmetric matrix (o, o) from its lower triangle by rows."""
    cdef Py_ssize_t a, b
    for a in range(o):
        for b in range(a + 1):
            second[a * o + b] = second[b * o + a] = lower[a * (a + 1) // 2 + b]


cdef inline void map_second(const PatternMixture* mix, Py_ssize_t k, double* out) noexcept nogil:
    """Add H second H^T to the second moments of component k."""
    cdef Py_ssize_t i, i0, b, D = mix.D, P = mix.P, o = mix.n_observed
    cdef const double* H = mix.columns + k * mix.cov_stride * D * P
    cdef double* second = second_moments(mix, k, out)
    cdef double* rows = mix.scratch + D * P
    cdef int m
    for i0 in range(0, o, 4):
        product(<int> min(4, o - i0), 0, o, o, mix.block.second + i0 * o, o, 1, H, P, mix.scratch + i0 * P)
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        product(m, 0, o, o, H + i0, 1, P, mix.scratch, P, rows)
        for i in range(i0, i0 + m):
            for b in range(i + 1):
                second[i * (i + 1) // 2 + b] += rows[(i - i0) * P + b]
