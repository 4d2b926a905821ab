"""Passes that leave out pairs of rows and components: those whose responsibility is below rounding.

A block of rows is whitened for one component after the other, a few features at a time. The largest log densities found
so far tell from which |y|^2 on another component has no share in any row of the block, and its whitening ends as soon
as a partial sum of |y|^2 is larger. What is evaluated has the bits of the pass that leaves nothing out; what is not has
responsibilities below u / K.

In EM (`expectation_pruned`) rows are taken in the order of the components that were most probable in the pass before,
and among these of how far off they were, so that the rows of a block are alike; their own components come first. Labels
may be any, right or wrong: they decide about time, and in which order sums are added. Answers for each row
(`evaluate_pruned`) take rows as they stand.

While an order is kept, what a pass finds |y_k| to be at least for the rows of a block serves the passes after it. If
parameters move from (W, mu) to (W', mu') then |y'| >= (|y| - |W (mu' - mu)|) / sigma_max(W W'^-1) for any row, by
y = W W'^-1 y' + W (mu' - mu); drift.pxd has these numbers. With `unit` the product of all 1 / sigma_max since then and
`passed` the sum of all shifts, each divided by what came after it, a code q says |y| >= unit q / 4 - passed: it stays
as it is while parameters move, and is rounded once.
"""
from libc.math cimport INFINITY, fabs, log
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memcpy, memset

from accumulation cimport buffer_active, flush, total
from blocks cimport (COMMON_FRAME, TRIANGULAR, Layout, below_rounding, far, integer, load_block, packed_size,
                     take, width)
from pairs cimport Batch, add_lists, batch, list_pairs, load_batch
from tiles cimport (LANES_F32, LANES_F64, PREFETCH, Pruning, count_active, evaluate_others, evaluate_own, floating,
                    largest, normalize_block, panel_lanes, transpose)

cdef enum:
    UNKNOWN = 65535             # no label yet
    BINS = 256
    TILE_BYTES = 1 << 20        # whitened blocks of components that have a share stay in a second-level cache
    SUMMED_BLOCKS = 64          # whose log-likelihoods are added up before they join those of all
    STRETCH_BLOCKS = 128        # of rows as they stand, of which
    TRIAL_BLOCKS = 8            # the first tell whether pruning pays in the others
    MOST_PERCENT = 75           # of all multiply-adds, if it does


cdef inline bint prunes(const Layout* at) noexcept nogil:
    """Whether whitening for a model of this kind and size may end early."""
    return at.kind == TRIANGULAR and at.D >= 12


cdef inline Py_ssize_t stretch_rows(Py_ssize_t itemsize) noexcept nogil:
    """How many rows are answered for together."""
    return STRETCH_BLOCKS * panel_lanes(itemsize)


cdef struct Desk:
    # Where things stand behind a Layout, in numbers from its end.
    Py_ssize_t B            # samples in a block
    Py_ssize_t T            # whitened blocks that are kept; the last of them serves all for which there is no room
    Py_ssize_t rows         # (B, D)      the rows of a block side by side, with a vector of room behind them
    Py_ssize_t x            # (D, B)      the block, transposed
    Py_ssize_t z            # (D, B)      x - center, as far as it is whitened (TRIANGULAR)
    Py_ssize_t y            # (T, D, B)   whitened blocks (TRIANGULAR), or (T, B) squared distances (COMMON_FRAME)
    Py_ssize_t p            # (K + 2, B)  log densities, then responsibilities, of active components, and room
    Py_ssize_t highest      # (B,)        largest log density so far
    Py_ssize_t most         # (B,)        |y|^2 beyond which there is no share, less 2 c_k
    Py_ssize_t extreme, component, scores, weights      # (B,) each
    Py_ssize_t twice        # (K,)        2 c_k, rounded up
    Py_ssize_t inverse      # (K,)        1 / s_k^2, rounded up (COMMON_FRAME)
    Py_ssize_t surpassed    # (K,)        |y|^2 that all rows of the block are known to surpass
    Py_ssize_t found        # (K,)        uint8: codes that the block leaves
    Py_ssize_t active       # (K + 2,)    int32: the components that may have a share in the block, K for noise
    Py_ssize_t seen         # (K + 1,)    uint8: whether they were evaluated first
    Py_ssize_t lists        # a Batch of rows, and the pairs of each component in it (accumulating, not TRIANGULAR)
    Py_ssize_t size


cdef inline Desk desk(const Layout* of, bint accumulating, Py_ssize_t itemsize) noexcept nogil:
    """Sizes that depend on the model and the instruction set alone."""
    cdef Desk at
    cdef Py_ssize_t D = of.D, K = of.K
    cdef Py_ssize_t size = 0, B = panel_lanes(itemsize), lanes = LANES_F64 if itemsize == 8 else LANES_F32
    cdef Py_ssize_t pad = max(lanes, 16), kept = D if of.kind == TRIANGULAR else 1 if of.kind == COMMON_FRAME else 0
    cdef Batch lists = batch(of, itemsize)
    at.B = B
    at.T = K + 2 if of.kind == COMMON_FRAME else min(K, max(4, TILE_BYTES // (D * B * itemsize))) + 1
    at.T = at.T if accumulating else 1
    at.rows = take(&size, B * D + lanes, pad)
    at.x = take(&size, D * B, pad)
    at.z = take(&size, D * B if of.kind == TRIANGULAR else 0, pad)
    at.y = take(&size, at.T * kept * B, pad)
    at.p = take(&size, (K + 2) * B, pad)
    at.highest = take(&size, B, pad)
    at.most = take(&size, B, pad)
    at.extreme = take(&size, B, pad)
    at.component = take(&size, B, pad)
    at.scores = take(&size, B, pad)
    at.weights = take(&size, B, pad)
    at.twice = take(&size, K, pad)
    at.inverse = take(&size, K if of.kind == COMMON_FRAME else 0, pad)
    at.surpassed = take(&size, K, pad)
    at.found = take(&size, K, pad)
    at.active = take(&size, K + 2, pad)
    at.seen = take(&size, K + 1, pad)
    at.lists = take(&size, lists.size if accumulating and of.kind != TRIANGULAR else 0, pad)
    at.size = size
    return at


cdef inline floating raised(floating value) noexcept nogil:
    """A number above what it would be without rounding in the last few operations."""
    return value + <floating> fabs(value) * (<floating> 1e-6 if floating is float else <floating> 1e-15)


cdef inline Py_ssize_t work_of(const Layout* at) noexcept nogil:
    """How many multiply-adds a row and a component take."""
    return packed_size(at.D) if at.kind == TRIANGULAR else at.D


cdef inline void lay_out(
    Pruning* mixture,                   # OUT
    const Layout* at,
    const Desk* to,
    double log_cut,                     # IN   of responsibilities
    const floating* offsets,            # IN   the mixture, as in `accumulate`
    const floating* centers,
    const floating* center_rounding,
    const floating* factors,
    floating* side,                     # IN   the desk
) noexcept nogil:
    """A mixture as blocks are whitened for it."""
    cdef Py_ssize_t k
    for k in range(at.K):
        (side + to.twice)[k] = raised(2 * offsets[k]) if offsets[k] > -INFINITY else offsets[k]
        if at.kind == COMMON_FRAME:
            (side + to.inverse)[k] = raised(1 / (factors[k] * factors[k]))
    mixture.kind, mixture.inverse = at.kind, side + to.inverse
    mixture.d, mixture.packed, mixture.n_tiles, mixture.log_cut = at.D, work_of(at), to.T, log_cut
    mixture.offsets, mixture.twice, mixture.rounding = offsets, side + to.twice, center_rounding
    mixture.centers, mixture.factors, mixture.x = centers, factors, side + to.x
    mixture.z, mixture.y, mixture.p = side + to.z, side + to.y, side + to.p
    mixture.highest, mixture.most, mixture.active = side + to.highest, side + to.most, <int32_t*> (side + to.active)
    mixture.surpassed, mixture.known, mixture.found, mixture.unit, mixture.passed = side + to.surpassed, NULL, NULL, \
        NULL, NULL
    memset(side + to.seen, 0, (at.K + 1) * sizeof(uint8_t))
    memset(side + to.surpassed, 0, at.K * sizeof(floating))


cdef inline Py_ssize_t begin_block(
    const Layout* at, const Desk* to, const Pruning* mixture, const floating* offsets, floating* side
) noexcept nogil:
    """Nothing is known of the block yet; noise has a share, unless it is small. Returns how many are active."""
    cdef Py_ssize_t n, K = at.K
    cdef floating* highest = side + to.highest
    cdef floating* most = side + to.most
    for n in range(to.B):
        highest[n] = -INFINITY
        most[n] = INFINITY
    if at.Q == K:
        return 0
    mixture.active[0] = <int32_t> K
    for n in range(to.B):
        (side + to.p)[n] = highest[n] = offsets[K]
        if offsets[K] > -INFINITY:
            most[n] = raised(-2 * (offsets[K] + <floating> mixture.log_cut))
    return 1


# ---- sums ------------------------------------------------------------------------------------------------


cdef struct Pruned:
    # Rows, and what is known of them.
    const char* X               # (N, D) rows of any strides
    Py_ssize_t row_stride       # in bytes
    Py_ssize_t column_stride
    Py_ssize_t N
    uint16_t* labels            # (N,)  the most probable component in the pass before, K for noise, or UNKNOWN
    uint8_t* bins               # (N,)  how far from it
    int32_t* order              # (N,)  row by row as they are taken
    int32_t* scratch            # see `scratch_size`
    uint8_t* codes              # (N / R, K) what |y| is at least, for R rows of the order each; or NULL
    Py_ssize_t R                # a multiple of the rows of a block
    const float* unit           # (K,)  of the codes,
    const float* passed         # (K,)  and what parameters have moved since
    int64_t pairs               # of a row and a component that has a share
    int64_t macs                # multiply-adds of a row, summed over blocks and components


cdef inline Py_ssize_t rows_of_code(Py_ssize_t K) noexcept nogil:
    """How many rows have a code in common: at most 8 bytes of codes are kept for a row."""
    cdef Py_ssize_t rows = 32
    while rows < 512 and 8 * rows < K:
        rows *= 2
    return rows


cdef inline Py_ssize_t scratch_size(Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    """How many 32-bit integers it takes to sort rows: another order, and counts."""
    return N + BINS + K + 2


cdef inline void sort_rows(Pruned* rows, Py_ssize_t K) noexcept nogil:
    """Order rows by label, then by bin, then as they stand: two stable counting sorts."""
    cdef Py_ssize_t n, key, N = rows.N
    cdef int32_t* first = rows.scratch
    cdef int32_t* counts = first + N
    cdef int32_t* by_label = counts + BINS
    memset(counts, 0, (BINS + K + 2) * sizeof(int32_t))
    for n in range(N):
        counts[rows.bins[n]] += 1
        by_label[min(<Py_ssize_t> rows.labels[n], K + 1)] += 1
    start_from(counts, BINS)
    start_from(by_label, K + 2)
    for n in range(N):
        key = rows.bins[n]
        first[counts[key]] = <int32_t> n
        counts[key] += 1
    for n in range(N):
        key = min(<Py_ssize_t> rows.labels[first[n]], K + 1)
        rows.order[by_label[key]] = first[n]
        by_label[key] += 1


cdef inline void start_from(int32_t* counts, Py_ssize_t n) noexcept nogil:
    """Counts become the places where each begins."""
    cdef Py_ssize_t key
    cdef int32_t sum = 0, count
    for key in range(n):
        count = counts[key]
        counts[key] = sum
        sum += count


cdef inline uint8_t bin_of(float squares) noexcept nogil:
    """Eight steps per octave, from the exponent and three bits of the mantissa: 2^-16 to 2^16."""
    cdef int32_t bits
    if not squares > 0:
        return 0
    memcpy(&bits, &squares, sizeof(bits))
    return <uint8_t> min(max((bits >> 20) - 8 * (127 - 16), 0), BINS - 1)


cdef inline void gather(
    const Pruned* rows, const Desk* to, Py_ssize_t D, Py_ssize_t first, Py_ssize_t count, floating* side
) noexcept nogil:
    """Transpose a block of rows, in their order, into x; lanes past the last row repeat it."""
    cdef Py_ssize_t n, i, B = to.B
    cdef floating* together = side + to.rows
    cdef const char* row
    for n in range(B):
        row = rows.X + rows.order[first + min(n, count - 1)] * rows.row_stride
        if rows.column_stride == sizeof(floating):
            memcpy(together + n * D, row, D * sizeof(floating))
        else:
            for i in range(D):
                together[n * D + i] = (<const floating*> (row + i * rows.column_stride))[0]
    transpose(B, D, <const char*> together, D * sizeof(floating), side + to.x, B)
    for n in range(first + B, min(first + 2 * B, rows.N)):      # fetch what comes next
        row = rows.X + rows.order[n] * rows.row_stride
        for i in range(0, D * <Py_ssize_t> sizeof(floating), 64):
            PREFETCH(row + i)


cdef inline Py_ssize_t evaluate_block(
    Pruned* rows, const Layout* at, const Desk* to, const Pruning* mixture, Py_ssize_t first, Py_ssize_t count,
    const floating* offsets, floating* side
) noexcept nogil:
    """Log densities of all components that may have a share in the block; returns how many they are."""
    cdef Py_ssize_t n, k, n_own, n_active = begin_block(at, to, mixture, offsets, side)
    cdef uint8_t* seen = <uint8_t*> (side + to.seen)
    for n in range(count):              # the own components first
        k = rows.labels[rows.order[first + n]]
        if k < at.K and not seen[k]:
            seen[k] = 1
            evaluate_own(mixture, k, n_active, <floating> 0)
            n_active += 1
    n_own = n_active
    rows.macs += (n_own - (at.Q - at.K)) * mixture.packed
    n_active = evaluate_others(mixture, at.K, seen, n_active, &rows.macs, <floating> 0)
    for n in range(n_own):
        seen[mixture.active[n]] = 0
    return n_active


cdef inline void recall(
    const Pruned* rows, const Desk* to, Pruning* mixture, Py_ssize_t first, Py_ssize_t K, floating* side
) noexcept nogil:
    """What is known of the rows of the order from `first` on."""
    cdef Py_ssize_t k
    cdef floating* surpassed = side + to.surpassed
    cdef const uint8_t* known = rows.codes + first // rows.R * K
    cdef float least
    for k in range(K):
        least = rows.unit[k] * (<float> 0.25 * <float> (1 - 1e-5)) * known[k] - rows.passed[k]
        least = least if least > 0 else 0
        surpassed[k] = least * least
    mixture.known, mixture.found = known, <uint8_t*> (side + to.found)
    mixture.unit, mixture.passed = rows.unit, rows.passed
    memset(side + to.found, BINS - 1, K)


cdef inline void keep_labels(
    Pruned* rows, const Layout* at, const Desk* to, const int32_t* active, Py_ssize_t first, Py_ssize_t count,
    Py_ssize_t n_active, const floating* offsets, floating* side
) noexcept nogil:
    """Remember the most probable component of each row, and how far off it is."""
    cdef Py_ssize_t n, k, row
    largest(to.B, n_active, side + to.p, to.B, side + to.extreme, side + to.component)
    for n in range(count):
        row = rows.order[first + n]
        k = active[integer(side + to.component, n)]
        rows.labels[row] = <uint16_t> k
        rows.bins[row] = bin_of(<float> (2 * (offsets[k] - (side + to.extreme)[n]) / at.D))


cdef inline void accumulate_active(
    Pruned* rows, const Layout* at, const Desk* to, const Pruning* mixture, Py_ssize_t a, floating* work,
    floating* side, double* out
) noexcept nogil:
    """Move the rows in which an active component has a share into its buffer, and flush that if it is full."""
    cdef Py_ssize_t active, k = mixture.active[a], D = at.D, B = to.B
    cdef const floating* p = side + to.p + a * B
    active = count_active(B, p)
    if active == 0:
        return
    rows.pairs += active
    if a >= to.T - 1:                   # there was no room to keep it: once more, into the last tile and row of p
        evaluate_own(mixture, k, at.K + 1, <floating> 0)
    buffer_active(at, k, B, active, p, side + to.y + min(a, to.T - 1) * D * B, B, work,
                  out + k * width(TRIANGULAR, D))


cdef inline void weigh_active(
    const Pruned* rows, const Desk* to, const floating* weights, Py_ssize_t first, Py_ssize_t count,
    Py_ssize_t n_active, floating* side
) noexcept nogil:
    """Multiply responsibilities and log-likelihoods by the weights of their rows; lanes without a row have none."""
    cdef Py_ssize_t a, n
    cdef floating* p
    cdef floating* w = side + to.weights
    cdef floating* scores = side + to.scores
    for n in range(to.B):
        w[n] = 0 if n >= count else 1 if weights == NULL else weights[rows.order[first + n]]
        scores[n] = w[n] * scores[n] if w[n] > 0 else 0
    for a in range(n_active):
        p = side + to.p + a * to.B
        for n in range(to.B):
            p[n] = p[n] * w[n]


cdef inline void expectation_pruned(
    Pruned* rows,
    const Layout* at,                   # IN   accumulating
    Py_ssize_t start,                   # IN   which rows of the order: at 0 sums begin, and
    Py_ssize_t stop,                    # IN   at N they are complete; multiples of R else
    bint sorting,                       # IN   whether the order is made, at 0
    const floating* weights,            # IN   (N,), or NULL: 1 each
    const floating* offsets,            # IN   the mixture, as in `accumulate`
    const floating* centers,
    const floating* center_rounding,
    const floating* factors,
    const double* origin,
    const double* whitener,
    floating* work,                     # SCRATCH  a Layout, then a Desk
    double* out,                        # OUT  as in `expectation`
) noexcept nogil:
    """Sums over rows under the responsibilities that the mixture gives them; labels and bins are brought up to date."""
    cdef Desk to = desk(at, True, sizeof(floating))
    cdef Batch lists = batch(at, sizeof(floating))
    cdef Pruning mixture
    cdef Py_ssize_t block, first, count, place, k, a, n_active, B = to.B, K = at.K, D = at.D, stride = width(at.kind, D)
    cdef bint whitened = at.kind == TRIANGULAR
    cdef double log_likelihood = 0
    cdef floating cut = below_rounding(K, <floating> 0)
    cdef floating* side = work + at.size
    cdef floating* own = side + to.lists
    cdef const floating* squares
    if start == 0:
        memset(out, 0, (K * stride + 1) * sizeof(double))
        memset(work + at.n_buffered, 0, K * sizeof(Py_ssize_t))
        if not whitened:
            memset(own + lists.counts, 0, K * sizeof(int32_t))
        if sorting:
            sort_rows(rows, K)
    lay_out(&mixture, at, &to, log(<double> cut), offsets, centers, center_rounding, factors, side)
    for block in range((stop - start + B - 1) // B):
        first = start + block * B
        count = min(B, stop - first)
        place = block * B % at.B
        if whitened:
            gather(rows, &to, D, first, count, side)
        else:
            if place == 0:
                load_batch(at, &lists, rows.X, rows.row_stride, rows.column_stride, rows.order + first,
                           min(at.B, stop - first), origin, whitener, work, own)
            transpose(B, D, <const char*> (own + lists.rows + place * lists.L), lists.L * sizeof(floating),
                      side + to.x, B)
        if rows.codes != NULL and first % rows.R == 0:
            recall(rows, &to, &mixture, first, K, side)
        n_active = evaluate_block(rows, at, &to, &mixture, first, count, offsets, side)
        if rows.codes != NULL and ((first + B) % rows.R == 0 or first + B >= rows.N):
            memcpy(rows.codes + first // rows.R * K, side + to.found, K)
        keep_labels(rows, at, &to, mixture.active, first, count, n_active, offsets, side)
        normalize_block(n_active, cut, side + to.p, side + to.scores)
        if count < B or weights != NULL:
            weigh_active(rows, &to, weights, first, count, n_active, side)
        log_likelihood += total(side + to.scores, count)
        if block % SUMMED_BLOCKS == SUMMED_BLOCKS - 1:
            out[K * stride] += log_likelihood
            log_likelihood = 0
        for a in range(at.Q - K, n_active):
            if whitened:
                accumulate_active(rows, at, &to, &mixture, a, work, side, out)
            else:
                squares = side + (to.y if at.kind == COMMON_FRAME else to.p) + a * B
                rows.pairs += list_pairs(at, &lists, mixture.active[a], place, count, side + to.p + a * B, squares,
                                         centers, own, out)
        if not whitened and (place + B == at.B or first + B >= stop):
            add_lists(at, &lists, centers, own, out)
    out[K * stride] += log_likelihood
    if whitened and stop == rows.N:
        for k in range(K):
            flush(at, k, work, out + k * width(TRIANGULAR, D))


# ---- answers for each row --------------------------------------------------------------------------------


cdef inline Py_ssize_t evaluate_pruned(
    const Layout* at,                   # IN   TRIANGULAR, of no accumulation
    const char* X,                      # IN   (N, D) rows of any strides
    Py_ssize_t row_stride,              # IN   in bytes
    Py_ssize_t column_stride,
    Py_ssize_t N,                       # IN   a stretch at most
    const floating* offsets,            # IN   the mixture, as in `posterior`
    const floating* centers,
    const floating* center_rounding,
    const floating* factors,
    floating* work,                     # SCRATCH  a Layout, then a Desk
    floating* log_likelihoods,          # OUT  (N,), or NULL
    floating* responsibilities,         # OUT  (N, Q), or NULL
    Py_ssize_t length,                  # IN   of a row of these
    int64_t* labels,                    # OUT  (N,), -1 for noise, or NULL
    Py_ssize_t* n_far,                  # INOUT  see `evaluate`
) noexcept nogil:
    """What a mixture says of each row, responsibilities below u / K as 0; returns how many rows it has come to.

    It comes to all of them, unless the first blocks show that little can be left out.
    """
    cdef Desk to = desk(at, False, sizeof(floating))
    cdef Pruning mixture
    cdef bint normalized = log_likelihoods != NULL or responsibilities != NULL
    cdef Py_ssize_t block, n0, rows, n, k, a, n_active, B = to.B, K = at.K
    cdef int64_t macs = 0
    cdef floating cut = below_rounding(K, <floating> 0)
    cdef floating* side = work + at.size
    cdef floating* share
    lay_out(&mixture, at, &to, log(<double> cut) if normalized else 0, offsets, centers, center_rounding, factors, side)
    for block in range((N + B - 1) // B):
        if block == TRIAL_BLOCKS and 100 * macs > MOST_PERCENT * TRIAL_BLOCKS * K * mixture.packed:
            return block * B
        n0 = block * B
        rows = min(B, N - n0)
        load_block(X + n0 * row_stride, row_stride, column_stride, rows, N - n0, at.D, B, side + to.x)
        n_active = begin_block(at, &to, &mixture, offsets, side)
        n_active = evaluate_others(&mixture, K, <uint8_t*> (side + to.seen), n_active, &macs, <floating> 0)
        if labels != NULL:
            largest(B, n_active, side + to.p, B, side + to.extreme, side + to.component)
            for n in range(rows):
                k = mixture.active[integer(side + to.component, n)]
                labels[n0 + n] = k if k < K else -1     # noise
        if normalized:
            normalize_block(n_active, cut, side + to.p, side + to.scores)
        n_far[0] += far(side + (to.scores if normalized else to.highest), rows)
        if log_likelihoods != NULL:
            memcpy(log_likelihoods + n0, side + to.scores, rows * sizeof(floating))
        if responsibilities != NULL:
            for n in range(rows):
                share = responsibilities + (n0 + n) * length
                memset(share, 0, at.Q * sizeof(floating))
                for a in range(n_active):
                    share[mixture.active[a]] = (side + to.p)[a * B + n]
    return N
