"""Few features, many components: pairs of rows and components that are below rounding are not worked out.

Rows are put in an order in which neighbors lie near each other, and cut into blocks of BOX_ROWS. The rows of a block
are in the box about its middle m with half widths h, and with y = W_k (m - mu_k) and e = |W_k| h

    c_k - 1/2 sum_i (|y_i| + e_i)^2  <=  log p_k  <=  c_k - 1/2 sum_i max(0, |y_i| - e_i)^2

at all of them. A component whose upper bound is below M + log(u / K), M the largest lower bound of all, has
responsibilities below u / K in the whole block, which are 0 in sums anyway: it is left out, exactly.

What is bounded is the number that kernels find, not only the exact one. Both kernels and bounds round y_i by at most
(D + 2) u (sum_j |W_ij| |x_j - mu_j| + |rounding_i|), and m and h are off by u h: e has h + s (|m - mu| + h) in the
place of h, and s |rounding_i|. A squared distance is rounded by a part of at most (D + 2) u, and its difference from
c_k by u of both: bounds take that off as parts s of both. With D <= 4 all of these together are within s = SLACK u,
SLACK = 32. A comparison with NaN is false, and leaves a component in. The log density of noise, the same everywhere, is
another bound.

The order takes time, and where boxes are large nothing is left out: some small blocks of a sample, as wide as those
of all rows would be, tell beforehand, and decide by the rows and the model alone.
"""
from libc.math cimport INFINITY, log
from libc.stdint cimport int32_t, int64_t, uint16_t
from libc.string cimport memset

from accumulation cimport total
from arguments cimport Answers, Mixture, View, normalizes
from blocks cimport TRIANGULAR, Layout, below_rounding, far, integer, packed_size, take, width
from order cimport STRETCH, Grid, find_grid, find_order
from tiles cimport (BOX_ROWS, LANES_F32, LANES_F64, PREFETCH, bounds, box_of, densities, exponentials, floating,
                    join_lanes, lane_sums, largest, shares)

cdef enum:
    LEAST_ROWS = 2048           # below which boxes are large
    SLACK = 32                  # times u
    APART = 61                  # every such row is in the sample: hardly a divisor of the width of a picture
    TRIAL_ROWS = 3              # in a block of the sample, which is about as large as BOX_ROWS among all rows
    TRIALS = 16                 # blocks of the sample that are looked at
    JOINED = 16                 # blocks whose sums are added up in the precision of the rows


cdef struct Boxes:
    # Where things stand in a workspace, behind a block's.
    Py_ssize_t D, K, Q          # Q as in Layout
    Py_ssize_t L                # K padded to whole vectors
    Py_ssize_t model            # (L / LANES, 2 + 2 D + D (D + 1) / 2, LANES)  see bounds in boxes_template.h
    Py_ssize_t upper            # (L,)
    Py_ssize_t middle, half     # (4,)      of a box
    Py_ssize_t x                # (D, R)    a block of rows, R = BOX_ROWS
    Py_ssize_t p                # (K + 1, R)  log densities, then exponentials
    Py_ssize_t peak, scores, inverse, weights  # (R,)
    Py_ssize_t first            # (R,)      integers of the size of the numbers, as `component` of a Layout
    Py_ssize_t sums             # (K, width, LANES)
    Py_ssize_t chosen           # (K + 1,)  int32, K for noise
    Py_ssize_t unjoined         # (K,)      int32, blocks in the sums
    Py_ssize_t order            # (3, STRETCH)  uint16: the order, and what it is made with
    Py_ssize_t size


cdef inline Boxes boxes_behind(const Layout* at, Py_ssize_t itemsize) noexcept nogil:
    """Sizes that depend on the model and the instruction set alone."""
    cdef Boxes to
    cdef Py_ssize_t lanes = LANES_F64 if itemsize == 8 else LANES_F32
    cdef Py_ssize_t pad = max(lanes, 16), size = at.size, D = at.D, K = at.K
    to.D, to.K, to.Q, to.L = D, K, at.Q, (K + lanes - 1) // lanes * lanes
    to.model = take(&size, to.L * (2 + 2 * D + packed_size(D)), pad)
    to.upper = take(&size, to.L, pad)
    to.middle = take(&size, 4, pad)
    to.half = take(&size, 4, pad)
    to.x = take(&size, D * BOX_ROWS, pad)
    to.p = take(&size, (K + 1) * BOX_ROWS, pad)
    to.peak = take(&size, BOX_ROWS, pad)
    to.scores = take(&size, BOX_ROWS, pad)
    to.inverse = take(&size, BOX_ROWS, pad)
    to.first = take(&size, BOX_ROWS, pad)
    to.weights = take(&size, BOX_ROWS, pad)
    to.sums = take(&size, K * width(TRIANGULAR, D) * lanes, pad)
    to.chosen = take(&size, K + 1, pad)
    to.unjoined = take(&size, K, pad)
    to.order = take(&size, 3 * STRETCH * 2 // itemsize, pad)
    to.size = size
    return to


cdef inline bint serves(const Layout* at) noexcept nogil:
    """Whether boxes are for a model of this kind and size."""
    return at.kind == TRIANGULAR and at.D <= 4


cdef inline void set_model(const Boxes* to, const Mixture* mixture, floating* work) noexcept nogil:
    """The mixture as bounds read it; lanes without a component never matter."""
    cdef const floating* offsets = <const floating*> mixture.offsets
    cdef const floating* centers = <const floating*> mixture.centers
    cdef const floating* center_rounding = <const floating*> mixture.center_rounding
    cdef const floating* factors = <const floating*> mixture.factors
    cdef Py_ssize_t lanes = LANES_F64 if floating is double else LANES_F32
    cdef Py_ssize_t k, i, D = to.D, packed = packed_size(D), rows = 2 + 2 * D + packed
    cdef floating* place
    cdef floating room
    cdef floating slack = slack_of(<floating> 0)
    memset(work + to.model, 0, to.L * rows * sizeof(floating))
    for k in range(to.L):
        place = work + to.model + k // lanes * rows * lanes + k % lanes
        if k >= to.K:
            place[0] = place[lanes] = -INFINITY
            continue
        room = slack * (offsets[k] if offsets[k] > 0 else -offsets[k])
        room = room if room < INFINITY else 0
        place[0], place[lanes] = offsets[k] + room, offsets[k] - room
        for i in range(D):
            place[(2 + i) * lanes] = centers[k * D + i]
            place[(2 + D + i) * lanes] = center_rounding[k * D + i]
        for i in range(packed):
            place[(2 + 2 * D + i) * lanes] = factors[k * packed + i]


cdef inline floating slack_of(floating zero) noexcept nogil:
    """SLACK in the precision of the rows; `zero` tells the type."""
    return <floating> (SLACK * (1.1102230246251565e-16 if floating is double else 5.9604645e-08))


cdef inline void gather(
    const View* rows,
    Py_ssize_t apart,                   # IN   1, or every how many rows `order` numbers
    const uint16_t* order,              # IN   from the first row of the block on
    Py_ssize_t count,                   # IN   1 .. BOX_ROWS
    Py_ssize_t ahead,                   # IN   how many more come after these
    Py_ssize_t D,
    floating* x,                        # OUT  (D, BOX_ROWS); lanes past the last row repeat it
) noexcept nogil:
    """A block of rows, while those of the next one are fetched."""
    cdef Py_ssize_t n, i, stride = apart * rows.row_stride
    cdef const char* row
    for n in range(min(count, ahead)):
        PREFETCH(rows.X + order[count + n] * stride)
    for n in range(count):
        row = rows.X + order[n] * stride
        for i in range(D):
            x[i * BOX_ROWS + n] = (<const floating*> (row + i * rows.column_stride))[0]
    for i in range(D):
        for n in range(count, BOX_ROWS):
            x[i * BOX_ROWS + n] = x[i * BOX_ROWS + count - 1]


cdef inline floating find_bounds(const Boxes* to, floating* work) noexcept nogil:
    """Upper bounds of log densities over the box of the block x; returns the lower bound of their largest."""
    box_of(to.D, work + to.x, work + to.middle, work + to.half)
    return bounds(<int> to.D, to.L, work + to.model, slack_of(<floating> 0), work + to.middle,
                  work + to.half, work + to.upper)


cdef inline Py_ssize_t choose(
    const Boxes* to,
    const floating* offsets,            # IN   (Q,)
    floating below,                     # IN   the log of what responsibility counts for none
    floating* work,                     # INOUT  chosen
) noexcept nogil:
    """How many components may have a responsibility in the block x."""
    cdef Py_ssize_t k, n = 0
    cdef int32_t* chosen = <int32_t*> (work + to.chosen)
    cdef const floating* upper = work + to.upper
    cdef floating slack = slack_of(<floating> 0), least = find_bounds(to, work)
    if to.Q > to.K and offsets[to.K] > least:
        least = offsets[to.K]
    least = least + below - slack * ((least if least > 0 else -least) + 64)
    for k in range(to.K):
        chosen[n] = <int32_t> k
        n += not upper[k] < least
    return n


cdef inline floating limit(Py_ssize_t K, floating zero) noexcept nogil:
    """The log of u / K, where a difference of log densities is surely less: `zero` tells the type."""
    return <floating> (log(below_rounding(K, zero)) - 4 * slack_of(zero))


cdef inline Py_ssize_t most_percent(Py_ssize_t K) noexcept nogil:
    """What part of K components may be left for boxes to save time: more of many, where the order costs less."""
    return 44 + min(K, 240) // 16


cdef inline bint pays(
    const Boxes* to,
    const View* rows,                   # IN   at most STRETCH
    const Mixture* mixture,
    floating below,                     # IN   see `choose`
    floating* work,                     # INOUT  order, if it pays
) noexcept nogil:
    """Whether enough components are left out of blocks of a sample; if so, puts the rows in order."""
    cdef Grid grid
    cdef uint16_t* order = <uint16_t*> (work + to.order)
    cdef Py_ssize_t n = (rows.N + APART - 1) // APART, trial, block, n_blocks = n // TRIAL_ROWS, found = 0
    if rows.N < LEAST_ROWS:
        return False
    find_grid(rows.X, APART * rows.row_stride, rows.column_stride, n, to.D, &grid, <floating> 0)
    find_order(rows.X, APART * rows.row_stride, rows.column_stride, n, &grid, order + STRETCH, order + 2 * STRETCH,
               order, <floating> 0)
    for trial in range(TRIALS):
        block = trial * n_blocks // TRIALS
        gather(rows, APART, order + block * TRIAL_ROWS, TRIAL_ROWS, 0, to.D, work + to.x)
        found += choose(to, <const floating*> mixture.offsets, below, work)
        if 100 * found > most_percent(to.K) * TRIALS * to.K:
            return False
    find_order(rows.X, rows.row_stride, rows.column_stride, rows.N, &grid, order + STRETCH, order + 2 * STRETCH, order,
               <floating> 0)
    return True


cdef inline Py_ssize_t find_densities(
    const Boxes* to,
    Py_ssize_t n,                       # IN   how many components are chosen
    const Mixture* mixture,
    floating* work,                     # INOUT  fills p and peak; chosen
) noexcept nogil:
    """Log densities of the chosen components in the block x, and of noise, which joins them; returns how many."""
    cdef Py_ssize_t i
    cdef const floating* offsets = <const floating*> mixture.offsets
    cdef floating* peak = work + to.peak
    densities(<int> to.D, n, <int32_t*> (work + to.chosen), offsets, <const floating*> mixture.centers,
              <const floating*> mixture.center_rounding, <const floating*> mixture.factors, work + to.x, work + to.p,
              peak)
    if to.Q == to.K:
        return n
    (<int32_t*> (work + to.chosen))[n] = <int32_t> to.K
    for i in range(BOX_ROWS):
        (work + to.p)[n * BOX_ROWS + i] = offsets[to.K]
        peak[i] = offsets[to.K] if offsets[to.K] > peak[i] or n == 0 else peak[i]
    return n + 1


cdef inline Py_ssize_t accumulate_in_boxes(
    const Boxes* to,
    const View* given,                  # IN   rows that are in order
    const Mixture* mixture,
    floating* work,
    double* out,                        # INOUT  sums per component, then the log-likelihood
) noexcept nogil:
    """Add the sums over these rows; returns how many pairs of a row and a component were worked out."""
    cdef Py_ssize_t lanes = LANES_F64 if floating is double else LANES_F32
    cdef Py_ssize_t block, n0, n, rows, D = to.D, K = to.K, stride = width(TRIANGULAR, D), found = 0, N = given.N
    cdef const floating* weights = <const floating*> given.weights
    cdef const uint16_t* order = <const uint16_t*> (work + to.order)
    cdef int32_t* chosen = <int32_t*> (work + to.chosen)
    cdef int32_t* unjoined = <int32_t*> (work + to.unjoined)
    cdef floating* w = work + to.weights
    cdef floating* sums = work + to.sums
    cdef floating cut = below_rounding(K, <floating> 0), low = limit(K, <floating> 0)
    memset(sums, 0, K * stride * lanes * sizeof(floating))
    memset(unjoined, 0, K * sizeof(int32_t))
    for block in range((N + BOX_ROWS - 1) // BOX_ROWS):
        n0 = block * BOX_ROWS
        rows = min(BOX_ROWS, N - n0)
        gather(given, 1, order + n0, rows, N - n0 - rows, D, work + to.x)
        for n in range(BOX_ROWS):
            w[n] = 0 if n >= rows else 1 if weights == NULL else weights[order[n0 + n]]
        n = choose(to, <const floating*> mixture.offsets, low, work)
        found += n * rows
        n = find_densities(to, n, mixture, work)
        n = exponentials(n, chosen, low, work + to.p, work + to.peak, work + to.scores, work + to.inverse)
        n -= n > 0 and chosen[n - 1] == K       # noise has no sums
        lane_sums(<int> D, n, chosen, cut, <const floating*> mixture.centers,
                  <const floating*> mixture.center_rounding, <const floating*> mixture.factors, work + to.x,
                  work + to.inverse, w, work + to.p, sums)
        join_full(to, n, sums, out, chosen, unjoined)
        for n in range(rows if weights != NULL else 0):
            (work + to.scores)[n] = w[n] * (work + to.scores)[n] if w[n] > 0 else 0
        out[K * stride] += total(work + to.scores, rows)
    for n in range(K):
        join_lanes(stride, sums + n * stride * lanes, out + n * stride)
    return found


cdef inline void join_full(
    const Boxes* to, Py_ssize_t n, floating* sums, double* out, const int32_t* chosen, int32_t* unjoined
) noexcept nogil:
    """Add to `out` what the chosen components have in sums of enough blocks."""
    cdef Py_ssize_t lanes = LANES_F64 if floating is double else LANES_F32
    cdef Py_ssize_t a, k, stride = width(TRIANGULAR, to.D)
    for a in range(n):
        k = chosen[a]
        unjoined[k] += 1
        if unjoined[k] == JOINED:
            unjoined[k] = 0
            join_lanes(stride, sums + k * stride * lanes, out + k * stride)


cdef inline Py_ssize_t evaluate_in_boxes(
    const Boxes* to,
    const View* given,                  # IN   rows that are in order
    const Mixture* mixture,
    floating low,                       # IN   see `choose`
    floating* work,
    const Answers* out,
) noexcept nogil:
    """What a mixture says of these rows; returns how many are far, as `evaluate`."""
    cdef Py_ssize_t block, n0, n, k, i, rows, D = to.D, K = to.K, n_far = 0, N = given.N
    cdef bint normalized = normalizes(out)
    cdef floating* log_likelihoods = <floating*> out.log_likelihoods
    cdef floating* responsibilities = <floating*> out.responsibilities
    cdef const uint16_t* order = <const uint16_t*> (work + to.order)
    cdef int32_t* chosen = <int32_t*> (work + to.chosen)
    cdef const floating* p = work + to.p
    cdef floating* peak = work + to.peak
    cdef floating* scores = work + to.scores
    cdef floating cut = below_rounding(K, <floating> 0)
    for block in range((N + BOX_ROWS - 1) // BOX_ROWS):
        n0 = block * BOX_ROWS
        rows = min(BOX_ROWS, N - n0)
        gather(given, 1, order + n0, rows, N - n0 - rows, D, work + to.x)
        n = choose(to, <const floating*> mixture.offsets, low, work)
        n = find_densities(to, n, mixture, work)
        if out.labels != NULL:
            largest(BOX_ROWS, n, p, BOX_ROWS, peak, work + to.first)
            for i in range(rows):
                k = chosen[integer(work + to.first, i)]
                out.labels[order[n0 + i]] = k if k < K else -1      # noise
        if normalized:
            n = exponentials(n, chosen, low, work + to.p, peak, scores, work + to.inverse)
        n_far += far(scores if normalized else peak, rows)
        for i in range(rows if log_likelihoods != NULL else 0):
            log_likelihoods[order[n0 + i]] = scores[i]
        if responsibilities != NULL:
            shares(n, cut, work + to.inverse, work + to.p)
            for i in range(rows):
                spread(n, chosen, p + i, to.Q, responsibilities + order[n0 + i] * out.length)
    return n_far


cdef inline void spread(
    Py_ssize_t n, const int32_t* chosen, const floating* p, Py_ssize_t Q, floating* out
) noexcept nogil:
    """The responsibilities of one row, those of components left out 0."""
    cdef Py_ssize_t a
    memset(out, 0, Q * sizeof(floating))
    for a in range(n):
        out[chosen[a]] = p[a * BOX_ROWS]
