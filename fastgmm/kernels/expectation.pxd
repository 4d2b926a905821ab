"""Passes over rows, block by block: expectation and accumulation fused; sums by labels; answers for each row.

The notation is that of kernels.pyx.
"""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from accumulation cimport accumulate_block, accumulate_labeled, flush_all, total
from blocks cimport (Layout, below_rounding, clear_lanes, enter_frame, far, integer, is_few, load_block,
                     log_densities, store_responsibilities, weigh, width)
from boxes cimport Boxes, accumulate_in_boxes, boxes_behind, evaluate_in_boxes, limit, pays, serves, set_model
from few_features cimport accumulate_few, evaluate_few
from order cimport STRETCH
from pools cimport accumulate_pooled
from pruning cimport desk, evaluate_pruned, prunes, stretch_rows
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
    double* out,                        # OUT  sums per component, then the log-likelihood, and sums that all share
) noexcept nogil:
    """Sums over all rows under the responsibilities that the mixture gives them.

    Returns how many pairs of a row and a component were worked out.
    """
    cdef Py_ssize_t stretch, first, rows, n_pairs = 0
    cdef const floating* w
    begin(at, work, out)
    if boxes == NULL or not serves(at):
        expectation_in_order(at, X, row_stride, column_stride, N, weights, offsets, centers, center_rounding, factors,
                             origin, whitener, work, out)
        flush_all(at, work, out)
        return N * at.K
    set_model(boxes, offsets, centers, center_rounding, factors, work)
    for stretch in range((N + STRETCH - 1) // STRETCH):
        first = stretch * STRETCH
        rows = min(STRETCH, N - first)
        w = NULL if weights == NULL else weights + first
        if pays(boxes, X + first * row_stride, row_stride, column_stride, rows, offsets,
                limit(at.K, <floating> 0), work):
            n_pairs += accumulate_in_boxes(boxes, X + first * row_stride, row_stride, column_stride, rows, w, offsets,
                                           centers, center_rounding, factors, work, out)
        else:
            n_pairs += rows * at.K
            expectation_in_order(at, X + first * row_stride, row_stride, column_stride, rows, w, offsets, centers,
                                 center_rounding, factors, origin, whitener, work, out)
    flush_all(at, work, out)
    return n_pairs


cdef inline void expectation_in_order(
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
    double* out,                        # INOUT sums per component, then the log-likelihood, and sums that all share
) noexcept nogil:
    """Add the sums over these rows, block by block, all components each; what is buffered is not yet added."""
    cdef Py_ssize_t block, n0, rows, B = at.B
    cdef bint summed
    cdef floating cut = below_rounding(at.K, <floating> 0)
    cdef double* log_likelihood = out + at.K * width(at.kind, at.D)
    if is_few(at):
        accumulate_few(at, X, row_stride, column_stride, N, weights, offsets, centers, center_rounding, factors, work,
                       out)
        return
    for block in range((N + B - 1) // B):
        n0 = block * B
        rows = min(B, N - n0)
        load_block(X + n0 * row_stride, row_stride, column_stride, rows, N - n0, at.D, B, work + at.x)
        if at.framed:
            enter_frame(at, origin, whitener, work)
        summed = rows == B and weights == NULL
        log_densities(at, offsets, centers, center_rounding, factors, work)
        normalize(summed, B, at.Q, cut, work + at.p, B, work + at.scores)
        if rows < B:
            clear_lanes(at, rows, work)
        if weights != NULL:
            weigh(at, weights + n0, rows, work)
        log_likelihood[0] += total(work + at.scores, B // TILE_COLUMNS if summed else rows)
        if at.pool > 0:
            accumulate_pooled(at, centers, factors, work, out)
        else:
            accumulate_block(at, centers, work, out)


cdef inline void accumulate_all_labeled(
    const Layout* at,
    const char* X,                      # IN   (N, D) rows of any strides
    Py_ssize_t row_stride,              # IN   in bytes
    Py_ssize_t column_stride,
    Py_ssize_t N,
    const int32_t* labels,              # IN   (N,)
    const floating* weights,            # IN   (N,), or NULL: 1 each
    const floating* centers,            # IN   (K, D)
    const floating* center_rounding,
    floating* work,                     # SCRATCH
    double* out,                        # OUT  sums per component, then 0
) noexcept nogil:
    """Sums over the rows of each component, about its center; W_k is taken as the identity."""
    cdef Py_ssize_t block, n0, rows, B = at.B
    begin(at, work, out)
    for block in range((N + B - 1) // B):
        n0 = block * B
        rows = min(B, N - n0)
        load_block(X + n0 * row_stride, row_stride, column_stride, rows, N - n0, at.D, B, work + at.x)
        accumulate_labeled(at, labels + n0, weights + n0 if weights != NULL else NULL, rows, centers, center_rounding,
                           work, out)
    flush_all(at, work, out)


cdef inline Py_ssize_t evaluate(
    const Layout* at,                   # IN   of no accumulation
    const Boxes* boxes,                 # IN   where components may be left out, or NULL
    const char* X,                      # IN   (N, D) rows of any strides
    Py_ssize_t row_stride,              # IN   in bytes
    Py_ssize_t column_stride,
    Py_ssize_t N,
    const floating* offsets,            # IN   the mixture, as in `posterior`
    const floating* centers,
    const floating* center_rounding,
    const floating* factors,
    const double* origin,
    const double* whitener,
    const floating* tails,              # IN   or NULL
    bint apart,
    floating* work,                     # SCRATCH
    floating* log_likelihoods,          # OUT  (N,), or NULL
    floating* responsibilities,         # OUT  (N, Q), or NULL
    Py_ssize_t length,                  # IN   of a row of these
    int64_t* labels,                    # OUT  (N,), -1 for noise, or NULL
) noexcept nogil:
    """What a mixture says of each row; returns how many are so far off that log densities do not tell components apart.
    """
    cdef Py_ssize_t stretch, size, first, rows, done, n_far = 0
    cdef floating low = 0               # labels alone need the largest
    cdef const char* x
    cdef floating* scores
    cdef floating* shares
    cdef int64_t* chosen
    if boxes == NULL or tails != NULL or not (serves(at) or prunes(at)):
        return evaluate_in_order(at, X, row_stride, column_stride, N, offsets, centers, center_rounding, factors,
                                 origin, whitener, tails, apart, work, log_likelihoods, responsibilities, length,
                                 labels)
    if serves(at):
        set_model(boxes, offsets, centers, center_rounding, factors, work)
    if log_likelihoods != NULL or responsibilities != NULL:
        low = limit(at.K, <floating> 0)
    size = STRETCH if serves(at) else stretch_rows(sizeof(floating))
    for stretch in range((N + size - 1) // size):
        first = stretch * size
        rows = min(size, N - first)
        x = X + first * row_stride
        scores = NULL if log_likelihoods == NULL else log_likelihoods + first
        shares = NULL if responsibilities == NULL else responsibilities + first * length
        chosen = NULL if labels == NULL else labels + first
        done = 0
        if prunes(at):
            done = evaluate_pruned(at, x, row_stride, column_stride, rows, offsets, centers, center_rounding, factors,
                                   work, scores, shares, length, chosen, &n_far)
        elif pays(boxes, x, row_stride, column_stride, rows, offsets, low, work):
            n_far += evaluate_in_boxes(boxes, x, row_stride, column_stride, rows, offsets, centers, center_rounding,
                                       factors, low, work, scores, shares, length, chosen)
            done = rows
        if done < rows:
            n_far += evaluate_in_order(
                at, x + done * row_stride, row_stride, column_stride, rows - done, offsets, centers, center_rounding,
                factors, origin, whitener, tails, apart, work, NULL if scores == NULL else scores + done,
                NULL if shares == NULL else shares + done * length, length, NULL if chosen == NULL else chosen + done)
    return n_far


cdef inline Py_ssize_t evaluate_in_order(
    const Layout* at,                   # IN   of no accumulation
    const char* X,                      # IN   (N, D) rows of any strides
    Py_ssize_t row_stride,              # IN   in bytes
    Py_ssize_t column_stride,
    Py_ssize_t N,
    const floating* offsets,            # IN   the mixture, as in `posterior`
    const floating* centers,
    const floating* center_rounding,
    const floating* factors,
    const double* origin,
    const double* whitener,
    const floating* tails,              # IN   or NULL
    bint apart,
    floating* work,                     # SCRATCH
    floating* log_likelihoods,          # OUT  (N,), or NULL
    floating* responsibilities,         # OUT  (N, Q), or NULL
    Py_ssize_t length,                  # IN   of a row of these
    int64_t* labels,                    # OUT  (N,), -1 for noise, or NULL
) noexcept nogil:
    """What a mixture says of these rows, block by block, all components each."""
    cdef Py_ssize_t n, block, n0, rows, B = at.B, n_far = 0
    cdef bint normalized = log_likelihoods != NULL or responsibilities != NULL
    if is_few(at) and tails == NULL:
        return evaluate_few(at, X, row_stride, column_stride, N, offsets, centers, center_rounding, factors, work,
                            log_likelihoods, responsibilities, length, labels)
    memset(work + at.n_buffered, 0, at.K * sizeof(Py_ssize_t))
    for block in range((N + B - 1) // B):
        n0 = block * B
        rows = min(B, N - n0)
        load_block(X + n0 * row_stride, row_stride, column_stride, rows, N - n0, at.D, B, work + at.x)
        if at.framed:
            enter_frame(at, origin, whitener, work)
        log_densities(at, offsets, centers, center_rounding, factors, work)
        if tails != NULL:
            heavy_tails(at, tails, apart, centers, factors, work)
        if labels != NULL:
            largest(B, at.Q, work + at.p, B, work + at.extreme, work + at.component)
            for n in range(rows):
                labels[n0 + n] = integer(work + at.component, n)
                if labels[n0 + n] == at.K:
                    labels[n0 + n] = -1         # noise
        if normalized:
            normalize(False, B, at.Q, <floating> 0, work + at.p, B, work + at.scores)
        n_far += far(work + (at.scores if normalized else at.extreme), rows)
        if log_likelihoods != NULL:
            memcpy(log_likelihoods + n0, work + at.scores, rows * sizeof(floating))
        if responsibilities != NULL:
            store_responsibilities(at, work, rows, length, responsibilities + n0 * length)
    return n_far
