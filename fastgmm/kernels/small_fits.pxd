"""Whole fits of tables of few rows: where they lie, k-means, a first M-step, and EM; of the steps that all fits have.

What is out of the ordinary is told, and left to fitting/. The notation is that of kernels.pyx.
"""
from libc.math cimport INFINITY, NAN, fabs, isfinite, sqrt
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from algebra cimport padded
from arguments cimport View
from blocks cimport COMMON_FRAME, DIAGONAL, TRIANGULAR, Layout, aligned, packed_size, width
from clustering cimport Points, nearest_centers, plant, reached, settle
from constraints cimport constrain, keeps_axes, size_of_constraint
from expectation cimport accumulate_all_labeled
from location cimport Sample, choose, locate
from steps cimport DEFINITE, Shape, describe, estimate, find_factors, largest_noise, moments
from tiles cimport floating
from whole_fits cimport UNUSUAL, Rows, Rules, Scratch, equalize, iterate

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int timespec_get(timespec*, int)
    const int TIME_UTC

cdef enum:
    ORIGIN_ROWS = 1024              # as in sources/complete.py
    UNIT_ROWS = 128
    MOST_PASSES = 100               # of k-means


cdef struct Common:
    # What all tables of a call have in common.
    Shape s                         # of the mixture
    Shape wide                      # of the statistics of labels, from which its own follow
    Layout own, labeled, centers, trials, alone, square, matrix
    Py_ssize_t n_trials, N          # N: rows of the longest table
    double resolution               # of the rows
    double least_deviation          # that the rows' type can hold: in units of the features where that is float32
    double least_float64            # that double precision can hold
    double largest                  # variance whose squares the rows' type can hold
    double constant                 # a deviation of this part of the mean is rounding
    double tol                      # of k-means
    double ridge                    # what part of the variance of all rows is added to variances; 0: as `rules` has it
    Rules rules
    double seconds                  # that all starts have taken


cdef inline double clock() noexcept nogil:
    """Seconds since some time."""
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return now.tv_sec + 1e-9 * now.tv_nsec


cdef struct Desk:
    # Scratch of a thread.
    double* cumulative              # (N + trials,)
    double* rows                    # (N, D), and
    double* weights                 # (N,)  in double precision
    double* square                  # for passes in it
    double* square_sums
    double* seeds                   # (K, D)
    double* unit                    # factors that are one
    double* wide                    # scatters of labels
    double* least_deviation         # (D,)
    double* matrix                  # (D, D)
    double* added                   # (D,)
    Py_ssize_t* chosen              # rows
    int32_t* labels                 # (N,)
    Scratch steps


cdef inline double* reserve(double** next, Py_ssize_t count) noexcept nogil:
    """So many doubles of what is left, from a multiple of 64 bytes on."""
    cdef double* here = next[0]
    next[0] = here + (count + 7) // 8 * 8
    return here


cdef inline Py_ssize_t set_desk(Desk* at, const Common* c, double* memory) noexcept nogil:
    """Lay out the scratch; returns how many doubles it takes."""
    cdef Py_ssize_t K = c.s.K, D = c.s.D, N = c.N, T = c.n_trials, P = padded(D)
    cdef Py_ssize_t size = c.s.size if c.s.shared else K * c.s.size
    cdef double* next = memory
    at.cumulative = reserve(&next, N + T)
    at.rows = reserve(&next, N * D)
    at.weights = reserve(&next, N)
    at.square = reserve(&next, max(c.square.size, c.matrix.size if c.s.triangular else 0))
    at.square_sums = reserve(&next, width(TRIANGULAR if c.s.triangular else DIAGONAL, D) + 1)
    at.seeds = reserve(&next, K * D)
    at.unit = reserve(&next, max(K * c.wide.size, D))
    at.wide = reserve(&next, K * c.wide.size)
    at.least_deviation = reserve(&next, D)
    at.added = reserve(&next, D)
    at.matrix = reserve(&next, D * D if c.s.triangular else 0)
    at.chosen = <Py_ssize_t*> reserve(&next, max(K + T, ORIGIN_ROWS))
    at.labels = <int32_t*> reserve(&next, N)
    at.steps.counts = reserve(&next, K)
    at.steps.weights = reserve(&next, K)
    at.steps.first = reserve(&next, K * D)
    at.steps.means = reserve(&next, K * D)
    at.steps.second = reserve(&next, size)
    at.steps.covariances = reserve(&next, size)
    at.steps.factors = reserve(&next, size)
    at.steps.sums = reserve(&next, K * max(width(c.wide.kind, D), width(c.s.kind, D)) + 1)
    at.steps.whitener = reserve(&next, packed_size(D) if c.s.triangular else 0)
    at.steps.algebra = reserve(&next, (4 * D + 8) * P if c.s.triangular else 0)
    at.steps.axes = reserve(&next, D * D if keeps_axes(&c.rules.constraint) else 0)
    at.steps.constraint = reserve(&next, size_of_constraint(&c.s, &c.rules.constraint))
    return next - memory


cdef inline Py_ssize_t numbers_of_model(const Shape* s) noexcept nogil:
    """How many numbers `describe` fills for a mixture, or for one of the shape of its labels' statistics."""
    return s.K * (1 + 2 * s.D + (packed_size(s.D) if s.triangular else s.D))


cdef inline Py_ssize_t n_numbers(const Common* c, Py_ssize_t itemsize) noexcept nogil:
    """How many numbers of the rows' type the scratch takes."""
    cdef Py_ssize_t K = c.s.K, D = c.s.D, most = max(c.own.size, c.labeled.size)
    most = max(most, max(c.centers.size, max(c.trials.size, c.alone.size)))
    return c.N + (c.n_trials + K) * D + numbers_of_model(&c.s) + most + 3 * 64 // itemsize


cdef inline void in_double(const Rows* rows, Py_ssize_t D, Desk* at, View* out, floating zero) noexcept nogil:
    """The rows, and their weights, in double precision: where they are, or a copy; `zero` tells their type."""
    cdef Py_ssize_t n, i
    cdef const floating* weights = <const floating*> rows.given.weights
    out[0] = rows.given
    if weights != NULL:
        out.weights = at.weights
        for n in range(rows.given.N):
            at.weights[n] = weights[n]
    if floating is float:
        for n in range(rows.given.N):
            for i in range(D):
                at.rows[n * D + i] = (<const float*> (rows.given.X + n * rows.given.row_stride
                                                      + i * rows.given.column_stride))[0]
        out.X, out.row_stride, out.column_stride = <const char*> at.rows, D * sizeof(double), sizeof(double)


cdef inline void moments_of_all(
    const Layout* at,               # IN   of one component, DIAGONAL or TRIANGULAR
    const View* rows,               # IN   in double precision
    const double* origin,
    Desk* desk,
    double* out,                    # OUT  (D,) squares, or (D, D)
) noexcept nogil:
    """Second moments of all rows about the origin."""
    cdef Py_ssize_t i, j, D = at.D
    cdef double* sums = desk.square_sums
    memset(desk.labels, 0, rows.N * sizeof(int32_t))
    memset(desk.unit, 0, D * sizeof(double))        # there is no rounding
    accumulate_all_labeled(at, rows, desk.labels, origin, desk.unit, desk.square, sums)
    sums += 1 + D
    if at.kind == DIAGONAL:
        for i in range(D):
            out[i] = sums[i]
        return
    for i in range(D):
        for j in range(i + 1):
            out[i * D + j] = out[j * D + i] = sums[packed_size(i) + j]


cdef inline void survey(
    const Common* c,
    const Rows* rows,
    Desk* at,
    double* origin,                 # OUT  (D,)
    double* units,                  # OUT  (D,)
    double* squares,                # OUT  (D,)  about the origin
    double* scatter,                # OUT  (D, D)  or NULL
    floating zero,                  # tells the type of the rows
) noexcept nogil:
    """Where the rows lie."""
    cdef Sample sample
    cdef View double_rows
    cdef bint weighted = rows.given.weights != NULL
    cdef Py_ssize_t n, N = rows.given.N, size = max(1, min(<Py_ssize_t> ORIGIN_ROWS, (1 << 20) // c.s.D))
    cdef double total = 0
    sample.X, sample.row_stride, sample.column_stride = rows.given.X, rows.given.row_stride, rows.given.column_stride
    sample.step, sample.chosen = max(1, N // size), NULL
    sample.n = (N + sample.step - 1) // sample.step
    in_double(rows, c.s.D, at, &double_rows, zero)
    if weighted:
        for n in range(N):
            total += at.weights[n]
            at.cumulative[n] = total
        choose(at.cumulative, N, size, at.chosen)
        sample.n, sample.chosen = size, at.chosen
    sample.apart = max(1, sample.n // max(2, min(<Py_ssize_t> UNIT_ROWS, (1 << 17) // c.s.D)))
    locate(&sample, c.s.D, origin, units, <floating> 0)
    moments_of_all(&c.square, &double_rows, origin, at, squares)
    if scatter != NULL:
        moments_of_all(&c.matrix, &double_rows, origin, at, scatter)


cdef inline bint regularize(
    const Common* c,
    double total,                   # IN   number of rows, or sum of their weights
    const double* origin,           # IN   (D,)
    const double* units,            # IN   (D,)
    const double* squares,          # IN   (D,)  about the origin
    const double* scatter,          # IN   (D, D)  where there are matrices: then its diagonal counts
    double* added,                  # OUT  (D,) or (1,)
) noexcept nogil:
    """What is added to variances (`Degeneracy.spread` times a number); False where that takes more care."""
    cdef Py_ssize_t i, D = c.s.D
    cdef double variance, typical, mean = 0, largest = 0, least = c.least_float64 * c.least_float64
    for i in range(D):
        variance = (scatter[i * D + i] if c.s.triangular else squares[i]) / total
        if not variance < c.largest:
            return False
        typical = 1e-3 * origin[i]
        typical = typical * typical
        if not (sqrt(variance) > c.constant * fabs(origin[i]) and variance > least):
            variance = typical if typical > least else 1
        added[i] = variance
        mean += variance
        largest = max(largest, units[i])
    if c.s.W == 1 and not c.s.triangular:
        added[0] = mean / D
    for i in range(c.s.W):
        added[i] = c.ridge * added[i]
    return largest >= c.least_float64 and (D < 8 or c.s.W == D)     # sums of more are taken in another order


cdef inline bint cluster(
    const Common* c,
    const Rows* rows,
    const double* draws,            # IN   which part of all is the first seed, and (K - 1, trials) for the others
    const double* squares,          # IN   (D,)
    Desk* at,
    floating* numbers,              # SCRATCH
    floating* work,                 # SCRATCH
) noexcept nogil:
    """k-means: centers into `seeds`, nearest centers into `labels`; False where a center has lost its rows."""
    cdef Py_ssize_t k, i, K = c.s.K, D = c.s.D, N = rows.given.N, T = c.n_trials
    cdef const floating* weights = <const floating*> rows.given.weights
    cdef floating* about = numbers + N + T * D
    cdef double all_squares = 0
    cdef Points points
    points.X, points.row_stride, points.column_stride = rows.given.X, rows.given.row_stride, rows.given.column_stride
    points.N, points.origin = N, rows.origin
    if K == 1:                                                      # which takes all rows, wherever its center is
        memcpy(at.seeds, rows.origin, D * sizeof(double))
        memset(at.labels, 0, N * sizeof(at.labels[0]))
        return True
    if weights == NULL:
        at.chosen[0] = <Py_ssize_t> (draws[0] * N)
    else:
        choose_one(at.cumulative, N, draws[0], at.chosen)
    plant(&c.alone, &c.trials, &points, weights, K, draws + 1, work, numbers + N, numbers, at.cumulative,
          at.cumulative + N, at.chosen + K, at.chosen)
    for k in range(K):
        for i in range(D):
            at.seeds[k * D + i] = (<const floating*> (rows.given.X + at.chosen[k] * rows.given.row_stride
                                                      + i * rows.given.column_stride))[0]
    for i in range(D):
        all_squares += squares[i]
    if settle(&c.centers, &points, weights, c.tol * (all_squares / rows.total / D),
              c.resolution * c.resolution * all_squares, MOST_PASSES, work, about, at.steps.sums, at.seeds) > 0:
        return False
    for i in range(K * D):
        about[i] = <floating> (at.seeds[i] - rows.origin[i % D])
    nearest_centers(&c.centers, &points, weights, about, work, at.labels, at.steps.sums)
    return True


cdef inline void choose_one(const double* cumulative, Py_ssize_t N, double part, Py_ssize_t* chosen) noexcept nogil:
    """The row at which some part of the total weight is passed."""
    cdef Py_ssize_t last = reached(cumulative, N, cumulative[N - 1])
    cdef double value = part * cumulative[N - 1]
    chosen[0] = 0
    while chosen[0] < last and cumulative[chosen[0]] <= value:
        chosen[0] += 1


cdef inline bint first_step(
    const Common* c,
    const Rows* rows,
    Desk* at,
    floating* model,                # SCRATCH
    floating* work,                 # SCRATCH
    double* own_weights,            # OUT  the parameters
    double* means,
    double* covariances,
    double* factors,
    double* axes,                   # OUT  or NULL
) noexcept nogil:
    """M-step from labels; False where a component is empty or collapsed."""
    cdef Py_ssize_t k, i, K = c.s.K, D = c.s.D, size = c.wide.size
    cdef floating* centers = model + K
    cdef floating* rounding = centers + K * D
    cdef const Rules* rules = &c.rules
    cdef const Scratch* own = &at.steps
    cdef double* pooled
    memset(at.unit, 0, K * size * sizeof(double))
    for k in range(K):
        own_weights[k] = 1
        for i in range(D):
            at.unit[k * size + (i * D + i if c.wide.triangular else i)] = 1
    describe(&c.wide, own_weights, NULL, at.seeds, at.unit, NULL, NULL, model, centers, rounding, rounding + K * D,
             NULL)
    accumulate_all_labeled(&c.labeled, &rows.given, at.labels, centers, rounding, work, own.sums)
    moments(&c.wide, own.sums, at.seeds, at.unit, centers, NULL, NULL, 0, own.algebra, own.counts, own.first, at.wide)
    pooled = at.wide
    if c.s.kind == COMMON_FRAME:
        pooled = own.second
        pool(&c.s, at.wide, pooled)
    estimate(&c.s, own.counts, own.first, pooled, at.seeds, rules.least, rules.added, rules.n_added, own_weights, means,
             covariances)
    if axes != NULL:
        axes[0] = NAN
    if not constrain(&c.s, &rules.constraint, own_weights, axes, own.constraint, covariances):
        return False
    if find_factors(&c.s, covariances, own.algebra, factors) != DEFINITE:
        return False
    if rules.equal:
        equalize(own_weights, K)
    if rules.careful:
        for k in range(K):
            if not own.counts[k] > rules.empty:
                return False
        return largest_noise(&c.s, means, covariances, factors, rules.frame, rules.least_deviation, rules.of_mean,
                             rules.of_frame, rules.of_deviation) < 1
    return True


cdef inline void pool(const Shape* s, const double* wide, double* out) noexcept nogil:
    """Scatters of one matrix, or of one variance each, from those of each component, or feature."""
    cdef Py_ssize_t k, i, D = s.D
    if s.shared:
        for i in range(D * D):
            out[i] = wide[i]
        for k in range(1, s.K):
            for i in range(D * D):
                out[i] += wide[k * D * D + i]
        return
    for k in range(s.K):
        out[k] = 0
        for i in range(D):
            out[k] += wide[k * D + i]


cdef inline int fit_table(
    Common* c,
    Rows* rows,                     # INOUT  their origin, units and scatter are found
    const double* draws,            # IN   see `cluster`
    Desk* at,                       # SCRATCH
    floating* numbers,              # SCRATCH
    double* place,                  # OUT  origin (D,), units (D,), squares (D,), and the scatter where it is needed
    double* parameters,             # OUT  weights (K,), means (K, D), covariances, factors, and axes that are kept
    Py_ssize_t most,                # IN   iterations
    Py_ssize_t* n_iter,             # OUT
    double* bounds,                 # OUT  (most,)
) noexcept nogil:
    """Fit a table from k-means; tells how that ended."""
    cdef Py_ssize_t i, K = c.s.K, D = c.s.D, size = c.s.size if c.s.shared else K * c.s.size
    cdef double* means = parameters + K
    cdef double* covariances = means + K * D
    cdef double* factors = covariances + size
    cdef double* axes = factors + size if keeps_axes(&c.rules.constraint) else NULL
    cdef floating* model = numbers + rows.given.N + (c.n_trials + K) * D
    cdef floating* work = aligned(model + numbers_of_model(&c.s))
    cdef double bound = -INFINITY, log_likelihood = 0, begun = clock()
    cdef double* matrix = NULL
    cdef bint usual
    n_iter[0] = 0
    rows.origin, rows.units, rows.scatter = place, place + D, place + 3 * D if c.s.shared else NULL
    if c.s.shared:
        matrix = place + 3 * D
    elif c.s.triangular and c.ridge > 0:
        matrix = at.matrix
    survey(c, rows, at, place, place + D, place + 2 * D, matrix, <floating> 0)
    for i in range(D):
        at.least_deviation[i] = c.least_deviation * (1 if floating is double else rows.units[i])
        if not isfinite(place[2 * D + i]):
            return UNUSUAL
        if floating is float and not 0.00390625 <= rows.units[i] <= 16777216:
            return UNUSUAL              # squares would not do as they are
    if c.ridge > 0:
        c.rules.added, c.rules.n_added = at.added, c.s.W
        if not regularize(c, rows.total, rows.origin, rows.units, place + 2 * D, matrix, at.added):
            return UNUSUAL
    c.rules.frame = rows.origin if c.s.kind == COMMON_FRAME else NULL
    c.rules.least_deviation = at.least_deviation
    usual = cluster(c, rows, draws, place + 2 * D, at, numbers, work)
    usual = usual and first_step(c, rows, at, model, work, parameters, means, covariances, factors, axes)
    c.seconds += clock() - begun
    if not usual:
        return UNUSUAL
    return iterate(&c.own, NULL, &c.s, rows, NULL, &c.rules, parameters, means, covariances, factors, axes,
                   &at.steps, model, work, &bound, &log_likelihood, most, n_iter, bounds)
