"""Passes that leave out pairs of rows and components: those whose responsibility is below rounding.

A block of rows is whitened for one component after the other, a few features at a time. The largest log densities found
so far tell from which |y|^2 on another component has no share in any row of the block, and its whitening ends as soon
as a partial sum of |y|^2 is larger. What is evaluated has the bits of the pass that leaves nothing out; what is not has
responsibilities below u / K.

In EM (`expectation_pruned`) rows are taken in the order of the components that were most probable in the pass before,
and among these of how far off they were, so that the rows of a block are alike; their own components come first. Labels
may be any, right or wrong: they decide about time, and in which order sums are added. Answers for each row
(pruned_answers.pxd) take rows as they stand.

While an order is kept, what a pass finds |y_k| to be at least for the rows of a block serves the passes after it. If
parameters move from (W, mu) to (W', mu') then |y'| >= (|y| - |W (mu' - mu)|) / sigma_max(W W'^-1) for any row, by
y = W W'^-1 y' + W (mu' - mu); drift.pxd has these numbers. With `unit` the product of all 1 / sigma_max since then and
`passed` the sum of all shifts, each divided by what came after it, a code q says |y| >= unit q / 4 - passed: it stays
as it is while parameters move, and is rounded once.
"""
from libc.math cimport log
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memcpy, memset

from accumulation cimport buffer_active, flush, total
from arguments cimport Mixture, View
from blocks cimport COMMON_FRAME, TRIANGULAR, Layout, below_rounding, integer, width
from early_exit cimport Desk, begin_block, desk, lay_out
from pairs cimport Batch, add_lists, batch, list_pairs, load_batch
from tiles cimport (PREFETCH, Pruning, count_active, evaluate_others, evaluate_own, floating, largest, normalize_block,
                    transpose)

cdef enum:
    UNKNOWN = 65535             # no label yet
    BINS = 256
    SUMMED_BLOCKS = 64          # whose log-likelihoods are added up before they join those of all


cdef struct Pruned:
    # Rows, and what is known of them.
    View given
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
    cdef Py_ssize_t n, key, N = rows.given.N
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
        row = rows.given.X + rows.order[first + min(n, count - 1)] * rows.given.row_stride
        if rows.given.column_stride == sizeof(floating):
            memcpy(together + n * D, row, D * sizeof(floating))
        else:
            for i in range(D):
                together[n * D + i] = (<const floating*> (row + i * rows.given.column_stride))[0]
    transpose(B, D, <const char*> together, D * sizeof(floating), side + to.x, B)
    for n in range(first + B, min(first + 2 * B, rows.given.N)):      # fetch what comes next
        row = rows.given.X + rows.order[n] * rows.given.row_stride
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
    const Pruned* rows, const Desk* to, Py_ssize_t first, Py_ssize_t count, Py_ssize_t n_active, floating* side
) noexcept nogil:
    """Multiply responsibilities and log-likelihoods by the weights of their rows; lanes without a row have none."""
    cdef Py_ssize_t a, n
    cdef const floating* weights = <const floating*> rows.given.weights
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
    const Mixture* model,
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
    cdef const floating* offsets = <const floating*> model.offsets
    cdef const floating* centers = <const floating*> model.centers
    cdef const floating* squares
    if start == 0:
        memset(out, 0, (K * stride + 1) * sizeof(double))
        memset(work + at.n_buffered, 0, K * sizeof(Py_ssize_t))
        if not whitened:
            memset(own + lists.counts, 0, K * sizeof(int32_t))
        if sorting:
            sort_rows(rows, K)
    lay_out(&mixture, at, &to, log(<double> cut), model, side)
    for block in range((stop - start + B - 1) // B):
        first = start + block * B
        count = min(B, stop - first)
        place = block * B % at.B
        if whitened:
            gather(rows, &to, D, first, count, side)
        else:
            if place == 0:
                load_batch(at, &lists, &rows.given, rows.order + first, min(at.B, stop - first), model, work, own)
            transpose(B, D, <const char*> (own + lists.rows + place * lists.L), lists.L * sizeof(floating),
                      side + to.x, B)
        if rows.codes != NULL and first % rows.R == 0:
            recall(rows, &to, &mixture, first, K, side)
        n_active = evaluate_block(rows, at, &to, &mixture, first, count, offsets, side)
        if rows.codes != NULL and ((first + B) % rows.R == 0 or first + B >= rows.given.N):
            memcpy(rows.codes + first // rows.R * K, side + to.found, K)
        keep_labels(rows, at, &to, mixture.active, first, count, n_active, offsets, side)
        normalize_block(n_active, cut, side + to.p, side + to.scores)
        if count < B or rows.given.weights != NULL:
            weigh_active(rows, &to, first, count, n_active, side)
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
    if whitened and stop == rows.given.N:
        for k in range(K):
            flush(at, k, work, out + k * width(TRIANGULAR, D))
