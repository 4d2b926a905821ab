"""A pass that leaves out pairs of rows and components: those whose responsibility is below rounding. For TRIANGULAR.

Rows are taken in the order of the components that were most probable in the pass before, and among these of how far
off they were. A block of such rows is first whitened for its own components: these tell how large log densities are
at least, and so from which |y|^2 on a component has no share in any row of the block. Then whitening for any other
component ends as soon as a partial sum of |y|^2 is larger. What is evaluated has the bits of the pass that leaves
nothing out; what is not has responsibilities below u / K, which are 0 there, too. Labels may be any, right or wrong:
they decide about time, and in which order sums are added.
"""
from libc.math cimport INFINITY, fabs, log
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memcpy, memset

from accumulation cimport flush, total
from blocks cimport TRIANGULAR, Layout, below_rounding, integer, packed_size, take, width
from tiles cimport (LANES_F32, LANES_F64, PREFETCH, Pruning, evaluate_others, evaluate_own, floating, largest,
                    normalize_block, panel_lanes, transpose)

cdef enum:
    UNKNOWN = 65535             # no label yet
    BINS = 256
    TILE_BYTES = 1 << 20        # the whitened blocks of components that have a share should stay in a second-level cache


cdef struct Desk:
    # Where things stand behind those of a Layout, in numbers from its end.
    Py_ssize_t B            # samples in a block
    Py_ssize_t T            # whitened blocks that are kept; the last of them serves all for which there is no room
    Py_ssize_t rows         # (B, D)      the rows of a block side by side, with a vector of room behind them
    Py_ssize_t x            # (D, B)      the block, transposed
    Py_ssize_t z            # (D, B)      x - center, as far as it is whitened
    Py_ssize_t y            # (T, D, B)   whitened blocks
    Py_ssize_t p            # (K + 2, B)  log densities, then responsibilities, of active components, and room
    Py_ssize_t highest      # (B,)        largest log density so far
    Py_ssize_t most         # (B,)        |y|^2 beyond which there is no share, less 2 c_k
    Py_ssize_t extreme, component, scores, weights      # (B,) each
    Py_ssize_t twice        # (K,)        2 c_k, rounded up
    Py_ssize_t size


cdef inline Desk desk(Py_ssize_t D, Py_ssize_t K, Py_ssize_t itemsize) noexcept nogil:
    """Sizes that depend on the model and the instruction set alone."""
    cdef Desk at
    cdef Py_ssize_t size = 0, B = panel_lanes(itemsize), lanes = LANES_F64 if itemsize == 8 else LANES_F32
    cdef Py_ssize_t pad = max(lanes, 16)
    at.B = B
    at.T = min(K, max(4, TILE_BYTES // (D * B * itemsize))) + 1
    at.rows = take(&size, B * D + lanes, pad)
    at.x = take(&size, D * B, pad)
    at.z = take(&size, D * B, pad)
    at.y = take(&size, at.T * D * B, pad)
    at.p = take(&size, (K + 2) * B, pad)
    at.highest = take(&size, B, pad)
    at.most = take(&size, B, pad)
    at.extreme = take(&size, B, pad)
    at.component = take(&size, B, pad)
    at.scores = take(&size, B, pad)
    at.weights = take(&size, B, pad)
    at.twice = take(&size, K, pad)
    at.size = size
    return at


cdef struct Pruned:
    # Rows, a mixture, and what is known of the rows.
    const char* X               # (N, D) rows of any strides
    Py_ssize_t row_stride       # in bytes
    Py_ssize_t column_stride
    Py_ssize_t N
    uint16_t* labels            # (N,)  the most probable component in the pass before, K for noise, or UNKNOWN
    uint8_t* bins               # (N,)  how far from it
    int32_t* order              # (N,)  row by row as they are taken; behind it (N,) and
    int32_t* active             # (2 K + 2,)  the components that may have a share in a block, and
    uint8_t* seen               # (K + 1,)    whether they are among these
    int64_t pairs               # row and component with a share
    int64_t macs                # multiply-adds of a row, summed over blocks and components


cdef inline Py_ssize_t integers_size(Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    """How many 32-bit integers a pass needs: two orders, the active components and what was seen, and counts."""
    return 2 * N + 4 * (K + 2) + BINS


cdef inline void sort_rows(Pruned* rows, Py_ssize_t K, int32_t* scratch) noexcept nogil:
    """Order rows by label, then by bin, then as they stand: two stable counting sorts; `scratch` has N + K + 2 + BINS.
    """
    cdef Py_ssize_t n, key, N = rows.N
    cdef int32_t* first = scratch
    cdef int32_t* counts = scratch + N
    cdef int32_t* by_label = counts + BINS
    cdef int32_t sum = 0, count
    memset(counts, 0, (BINS + K + 2) * sizeof(int32_t))
    for n in range(N):
        if rows.labels[n] > K:
            rows.labels[n] = UNKNOWN
        counts[rows.bins[n]] += 1
        by_label[min(<Py_ssize_t> rows.labels[n], K + 1)] += 1
    for key in range(BINS):
        count = counts[key]
        counts[key] = sum
        sum += count
    sum = 0
    for key in range(K + 2):
        count = by_label[key]
        by_label[key] = sum
        sum += count
    for n in range(N):
        key = rows.bins[n]
        first[counts[key]] = <int32_t> n
        counts[key] += 1
    for n in range(N):
        key = min(<Py_ssize_t> rows.labels[first[n]], K + 1)
        rows.order[by_label[key]] = first[n]
        by_label[key] += 1


cdef inline floating raised(floating value) noexcept nogil:
    """A number above what it would be without rounding in the last few operations."""
    return value + <floating> fabs(value) * (<floating> 1e-6 if floating is float else <floating> 1e-15)


cdef inline uint8_t bin_of(float squares) noexcept nogil:
    """Eight steps per octave, from the exponent and three bits of the mantissa: 2^-16 to 2^16."""
    cdef int32_t bits
    if not squares > 0:
        return 0
    memcpy(&bits, &squares, sizeof(bits))
    return <uint8_t> min(max((bits >> 20) - 8 * (127 - 16), 0), BINS - 1)


cdef inline void gather(
    const Pruned* rows, const Desk* to, Py_ssize_t D, Py_ssize_t first, Py_ssize_t count, floating* desk
) noexcept nogil:
    """Transpose a block of rows, in their order, into x; lanes past the last row repeat it."""
    cdef Py_ssize_t n, i, B = to.B
    cdef floating* side = desk + to.rows
    cdef const char* row
    for n in range(B):
        row = rows.X + rows.order[first + min(n, count - 1)] * rows.row_stride
        if rows.column_stride == sizeof(floating):
            memcpy(side + n * D, row, D * sizeof(floating))
        else:
            for i in range(D):
                side[n * D + i] = (<const floating*> (row + i * rows.column_stride))[0]
    transpose(B, D, <const char*> side, D * sizeof(floating), desk + to.x, B)
    if rows.column_stride == sizeof(floating):
        for n in range(first + B, min(first + 2 * B, rows.N)):
            row = rows.X + rows.order[n] * rows.row_stride
            for i in range(0, D * <Py_ssize_t> sizeof(floating), 64):
                PREFETCH(row + i)


cdef inline Py_ssize_t share_of(
    Pruned* rows,
    const Layout* at,
    const Pruning* mixture,             # IN   with the block in x; fills y, p and the active components
    Py_ssize_t B,
    Py_ssize_t first,
    Py_ssize_t count,
    const floating* offsets,
) noexcept nogil:
    """Log densities of all components that may have a share in the block; returns how many they are."""
    cdef Py_ssize_t n, k, a, K = at.K, n_active = 0, n_own
    cdef floating* highest = <floating*> mixture.highest
    cdef floating* most = <floating*> mixture.most
    for n in range(B):
        highest[n] = -INFINITY
        most[n] = INFINITY
    if at.Q > K:                        # noise has a share everywhere, unless it is small
        for n in range(B):
            (<floating*> mixture.p)[n] = highest[n] = offsets[K]
            if offsets[K] > -INFINITY:
                most[n] = raised(-2 * (offsets[K] + <floating> mixture.log_cut))
        mixture.active[0] = <int32_t> K
        n_active = 1
    for n in range(count):              # the own components first
        k = rows.labels[rows.order[first + n]]
        if k >= K or rows.seen[k]:
            continue
        rows.seen[k] = 1
        evaluate_own(mixture, k, n_active, <floating> 0)
        n_active += 1
    n_own = n_active
    rows.macs += (n_own - (at.Q - K)) * mixture.packed
    n_active = evaluate_others(mixture, K, rows.seen, n_active, &rows.macs, <floating> 0)
    for a in range(at.Q - K, n_own):
        rows.seen[rows.active[a]] = 0
    return n_active


cdef inline void keep_labels(
    Pruned* rows, const Layout* at, const Desk* to, Py_ssize_t first, Py_ssize_t count, Py_ssize_t n_active,
    const floating* offsets, floating* desk
) noexcept nogil:
    """Remember the most probable component of each row, and how far off it is."""
    cdef Py_ssize_t n, k, row
    largest(to.B, n_active, desk + to.p, to.B, desk + to.extreme, desk + to.component)
    for n in range(count):
        row = rows.order[first + n]
        k = rows.active[integer(desk + to.component, n)]
        rows.labels[row] = <uint16_t> k
        rows.bins[row] = bin_of(<float> (2 * (offsets[k] - (desk + to.extreme)[n]) / at.D))


cdef inline void accumulate_active(
    Pruned* rows, const Layout* at, const Desk* to, const Pruning* mixture, Py_ssize_t a, Py_ssize_t count,
    floating* work, floating* desk, double* out
) noexcept nogil:
    """Move the rows in which an active component has a share into its buffer, and flush that if it is full."""
    cdef Py_ssize_t n, i, used = 0, k = rows.active[a], D = at.D, B = to.B, P = at.P
    cdef Py_ssize_t* n_buffered = <Py_ssize_t*> (work + at.n_buffered)
    cdef int32_t[64] chosen             # at least B
    cdef const floating* p = desk + to.p + a * B
    cdef floating* source = desk + to.y + min(a, to.T - 1) * D * B
    cdef floating* restrict r = work + at.r + k * P + n_buffered[k]
    cdef floating* y = work + at.y + k * D * P + n_buffered[k]
    for n in range(count):
        chosen[used] = <int32_t> n
        used += p[n] > 0
    if used == 0:
        return
    rows.pairs += used
    if a >= to.T - 1:                   # there was no room to keep it
        evaluate_own(mixture, k, at.K + 1, <floating> 0)    # into the last tile and the last row of p
    if 2 * used > B:
        used = B
        for n in range(B):
            r[n] = p[n]
        for i in range(D):
            memcpy(y + i * P, source + i * B, B * sizeof(floating))
    else:
        for n in range(used):
            r[n] = p[chosen[n]]
        for i in range(D):
            for n in range(used):
                y[i * P + n] = source[i * B + chosen[n]]
    n_buffered[k] += used
    if n_buffered[k] + B > at.C:
        flush(at, k, work, out + k * width(TRIANGULAR, D))


cdef inline void expectation_pruned(
    Pruned* rows,
    const Layout* at,                   # IN   TRIANGULAR, accumulating
    Py_ssize_t start,                   # IN   which rows of the order: at 0 the order is made, and
    Py_ssize_t stop,                    # IN   sums begin; at N they are complete
    const floating* weights,            # IN   (N,), or NULL: 1 each
    const floating* offsets,            # IN   the mixture, as in `accumulate`
    const floating* centers,
    const floating* center_rounding,
    const floating* factors,
    floating* work,                     # SCRATCH  a Layout, then a Desk
    double* out,                        # OUT  as in `expectation`
) noexcept nogil:
    """Sums over rows under the responsibilities that the mixture gives them; labels and bins are brought up to date."""
    cdef Desk to = desk(at.D, at.K, sizeof(floating))
    cdef Py_ssize_t block, first, count, n, k, a, n_active, B = to.B, K = at.K, D = at.D
    cdef floating cut = below_rounding(K, <floating> 0)
    cdef floating* side = work + at.size
    cdef Pruning mixture
    cdef floating* p
    cdef double* log_likelihood = out + K * width(TRIANGULAR, D)
    if start == 0:
        memset(out, 0, (K * width(TRIANGULAR, D) + 1) * sizeof(double))
        memset(work + at.n_buffered, 0, K * sizeof(Py_ssize_t))
        sort_rows(rows, K, rows.active + 2 * (K + 2))
    mixture.d, mixture.packed, mixture.n_tiles, mixture.log_cut = D, packed_size(D), to.T, log(<double> cut)
    mixture.offsets, mixture.twice, mixture.rounding = offsets, side + to.twice, center_rounding
    mixture.centers, mixture.factors, mixture.x, mixture.z, mixture.y = centers, factors, side + to.x, side + to.z, \
        side + to.y
    mixture.p, mixture.highest, mixture.most, mixture.active = side + to.p, side + to.highest, side + to.most, \
        rows.active
    memset(rows.seen, 0, K + 1)
    for k in range(K):
        (side + to.twice)[k] = raised(2 * offsets[k]) if offsets[k] > -INFINITY else offsets[k]
    for block in range((stop - start + B - 1) // B):
        first = start + block * B
        count = min(B, stop - first)
        gather(rows, &to, D, first, count, side)
        n_active = share_of(rows, at, &mixture, B, first, count, offsets)
        keep_labels(rows, at, &to, first, count, n_active, offsets, side)
        normalize_block(n_active, cut, side + to.p, B, side + to.scores)
        for a in range(n_active):
            p = side + to.p + a * B
            for n in range(count, B):
                p[n] = 0
            if weights != NULL:
                for n in range(count):
                    p[n] = p[n] * weights[rows.order[first + n]]
        if weights != NULL:
            p = side + to.weights
            for n in range(count):
                p[n] = weights[rows.order[first + n]]
                (side + to.scores)[n] = p[n] * (side + to.scores)[n] if p[n] > 0 else 0
        log_likelihood[0] += total(side + to.scores, count)
        for a in range(at.Q - K, n_active):
            accumulate_active(rows, at, &to, &mixture, a, count, work, side, out)
    if stop == rows.N:
        for k in range(K):
            flush(at, k, work, out + k * width(TRIANGULAR, D))
