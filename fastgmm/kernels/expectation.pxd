"""Passes over rows, block by block: expectation and accumulation fused; sums by labels; answers for each row.

The notation is that of kernels.pyx.
"""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from accumulation cimport accumulate_block, accumulate_labeled, flush_all, total
from arguments cimport Answers, Mixture, View, answers_from, normalizes, part
from blocks cimport (Layout, below_rounding, clear_lanes, enter_frame, far, integer, is_few, load_block,
                     log_densities, store_responsibilities, weigh, width)
from boxes cimport Boxes, accumulate_in_boxes, boxes_behind, evaluate_in_boxes, limit, pays, serves, set_model
from early_exit cimport desk
from few_features cimport accumulate_few, evaluate_few
from order cimport STRETCH
from pools cimport accumulate_pooled
from pruned_answers cimport evaluate_pruned, prunes, stretch_rows
from tails cimport heavy_tails
from tiles cimport TILE_COLUMNS, floating, largest, normalize


cdef inline Py_ssize_t behind(const Layout* at, Py_ssize_t itemsize) noexcept nogil:
    """How many numbers a workspace has where pairs may be left out."""
    if serves(at):
        return boxes_behind(at, itemsize).size
    return at.size + (desk(at, False, itemsize).size if prunes(at) else 0)


cdef inline void begin(const Layout* at, floating* work, double* out) noexcept nogil:
    """Empty the sums and the buffers."""
    memset(out, 0, (at.K * width(at.kind, at.D) + 1 + at.pool) * sizeof(double))
    memset(work + at.n_buffered, 0, at.K * sizeof(Py_ssize_t))


cdef inline Py_ssize_t expectation(
    const Layout* at,
    const Boxes* boxes,                 # IN   where components may be left out, or NULL
    const View* rows,
    const Mixture* mixture,
    floating* work,                     # SCRATCH
    double* out,                        # OUT  sums per component, then the log-likelihood, and sums that all share
) noexcept nogil:
    """Sums over all rows under the responsibilities that the mixture gives them.

    Returns how many pairs of a row and a component were worked out.
    """
    cdef Py_ssize_t stretch, n_pairs = 0, N = rows.N
    cdef floating low = limit(at.K, <floating> 0)
    cdef View some
    begin(at, work, out)
    if boxes == NULL or not serves(at):
        expectation_in_order(at, rows, mixture, work, out)
        flush_all(at, work, out)
        return N * at.K
    set_model(boxes, mixture, work)
    for stretch in range((N + STRETCH - 1) // STRETCH):
        some = part(rows, stretch * STRETCH, min(STRETCH, N - stretch * STRETCH), sizeof(floating))
        if pays(boxes, &some, mixture, low, work):
            n_pairs += accumulate_in_boxes(boxes, &some, mixture, work, out)
        else:
            n_pairs += some.N * at.K
            expectation_in_order(at, &some, mixture, work, out)
    flush_all(at, work, out)
    return n_pairs


cdef inline void expectation_in_order(
    const Layout* at,
    const View* rows,
    const Mixture* mixture,
    floating* work,                     # SCRATCH
    double* out,                        # INOUT sums per component, then the log-likelihood, and sums that all share
) noexcept nogil:
    """Add the sums over these rows, block by block, all components each; what is buffered is not yet added."""
    cdef Py_ssize_t block, n0, count, B = at.B, N = rows.N
    cdef bint summed
    cdef floating cut = below_rounding(at.K, <floating> 0)
    cdef const floating* weights = <const floating*> rows.weights
    cdef const floating* centers = <const floating*> mixture.centers
    cdef double* log_likelihood = out + at.K * width(at.kind, at.D)
    if is_few(at):
        accumulate_few(at, rows, mixture, work, out)
        return
    for block in range((N + B - 1) // B):
        n0 = block * B
        count = min(B, N - n0)
        load_block(rows.X + n0 * rows.row_stride, rows.row_stride, rows.column_stride, count, N - n0, at.D, B,
                   work + at.x)
        if at.framed:
            enter_frame(at, mixture.origin, mixture.whitener, work)
        summed = count == B and weights == NULL
        log_densities(at, <const floating*> mixture.offsets, centers, <const floating*> mixture.center_rounding,
                      <const floating*> mixture.factors, work)
        normalize(summed, B, at.Q, cut, work + at.p, B, work + at.scores)
        if count < B:
            clear_lanes(at, count, work)
        if weights != NULL:
            weigh(at, weights + n0, count, work)
        log_likelihood[0] += total(work + at.scores, B // TILE_COLUMNS if summed else count)
        if at.pool > 0:
            accumulate_pooled(at, centers, <const floating*> mixture.factors, work, out)
        else:
            accumulate_block(at, centers, work, out)


cdef inline void accumulate_all_labeled(
    const Layout* at,
    const View* rows,
    const int32_t* labels,              # IN   (N,)
    const floating* centers,            # IN   (K, D)
    const floating* center_rounding,
    floating* work,                     # SCRATCH
    double* out,                        # OUT  sums per component, then 0
) noexcept nogil:
    """Sums over the rows of each component, about its center; W_k is taken as the identity."""
    cdef Py_ssize_t block, n0, count, B = at.B, N = rows.N
    cdef const floating* weights = <const floating*> rows.weights
    begin(at, work, out)
    for block in range((N + B - 1) // B):
        n0 = block * B
        count = min(B, N - n0)
        load_block(rows.X + n0 * rows.row_stride, rows.row_stride, rows.column_stride, count, N - n0, at.D, B,
                   work + at.x)
        accumulate_labeled(at, labels + n0, weights + n0 if weights != NULL else NULL, count, centers, center_rounding,
                           work, out)
    flush_all(at, work, out)


cdef inline Py_ssize_t evaluate(
    const Layout* at,                   # IN   of no accumulation
    const Boxes* boxes,                 # IN   where components may be left out, or NULL
    const View* rows,
    const Mixture* mixture,
    const floating* tails,              # IN   (3, K), or NULL
    bint apart,
    floating* work,                     # SCRATCH
    const Answers* out,
) noexcept nogil:
    """What a mixture says of each row; returns how many are so far off that log densities do not tell components apart.
    """
    cdef Py_ssize_t stretch, size, first, done, n_far = 0, N = rows.N
    cdef floating low = limit(at.K, <floating> 0) if normalizes(out) else 0   # labels alone need the largest
    cdef View some
    cdef Answers answers
    if boxes == NULL or tails != NULL or not (serves(at) or prunes(at)):
        return evaluate_in_order(at, rows, mixture, tails, apart, work, out)
    if serves(at):
        set_model(boxes, mixture, work)
    size = STRETCH if serves(at) else stretch_rows(sizeof(floating))
    for stretch in range((N + size - 1) // size):
        first, done = stretch * size, 0
        some = part(rows, first, min(size, N - first), sizeof(floating))
        answers = answers_from(out, first, sizeof(floating))
        if prunes(at):
            done = evaluate_pruned(at, &some, mixture, work, &answers, &n_far)
        elif pays(boxes, &some, mixture, low, work):
            n_far += evaluate_in_boxes(boxes, &some, mixture, low, work, &answers)
            done = some.N
        if done < some.N:
            some = part(rows, first + done, some.N - done, sizeof(floating))
            answers = answers_from(out, first + done, sizeof(floating))
            n_far += evaluate_in_order(at, &some, mixture, tails, apart, work, &answers)
    return n_far


cdef inline Py_ssize_t evaluate_in_order(
    const Layout* at,                   # IN   of no accumulation
    const View* rows,
    const Mixture* mixture,
    const floating* tails,              # IN   (3, K), or NULL
    bint apart,
    floating* work,                     # SCRATCH
    const Answers* out,
) noexcept nogil:
    """What a mixture says of these rows, block by block, all components each."""
    cdef Py_ssize_t n, block, n0, count, B = at.B, n_far = 0, N = rows.N
    cdef bint normalized = normalizes(out)
    cdef const floating* centers = <const floating*> mixture.centers
    cdef const floating* factors = <const floating*> mixture.factors
    if is_few(at) and tails == NULL:
        return evaluate_few(at, rows, mixture, work, out)
    memset(work + at.n_buffered, 0, at.K * sizeof(Py_ssize_t))
    for block in range((N + B - 1) // B):
        n0 = block * B
        count = min(B, N - n0)
        load_block(rows.X + n0 * rows.row_stride, rows.row_stride, rows.column_stride, count, N - n0, at.D, B,
                   work + at.x)
        if at.framed:
            enter_frame(at, mixture.origin, mixture.whitener, work)
        log_densities(at, <const floating*> mixture.offsets, centers, <const floating*> mixture.center_rounding,
                      factors, work)
        if tails != NULL:
            heavy_tails(at, tails, apart, centers, factors, work)
        if out.labels != NULL:
            largest(B, at.Q, work + at.p, B, work + at.extreme, work + at.component)
            for n in range(count):
                out.labels[n0 + n] = integer(work + at.component, n)
                if out.labels[n0 + n] == at.K:
                    out.labels[n0 + n] = -1         # noise
        if normalized:
            normalize(False, B, at.Q, <floating> 0, work + at.p, B, work + at.scores)
        n_far += far(work + (at.scores if normalized else at.extreme), count)
        if out.log_likelihoods != NULL:
            memcpy(<floating*> out.log_likelihoods + n0, work + at.scores, count * sizeof(floating))
        if out.responsibilities != NULL:
            store_responsibilities(at, work, count, out.length,
                                   <floating*> out.responsibilities + n0 * out.length)
    return n_far
