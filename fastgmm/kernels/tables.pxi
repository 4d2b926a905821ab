# Many tables in one call; included by kernels.pyx.


def locate_sample(
    const floating[:, :] X,                     # IN     (n, D) some rows
    Py_ssize_t apart,                           # IN     of these, every such one tells of units
    double[::1] origin,                         # OUT    (D,)
    double[::1] units,                          # OUT    (D,)
):
    """A point amid the rows, and units of their features (see location.pxd)."""
    cdef Sample sample
    sample.X, sample.row_stride, sample.column_stride = <const char*> &X[0, 0], X.strides[0], X.strides[1]
    sample.chosen, sample.step, sample.n, sample.apart = NULL, 1, X.shape[0], apart
    with nogil:
        locate(&sample, X.shape[1], &origin[0], &units[0], <floating> 0)


cdef Common common(int kind, bint triangular, bint shared, int sharing, int axes, Py_ssize_t n_features,
                   Py_ssize_t n_components, Py_ssize_t n_trials, Py_ssize_t n_rows, Py_ssize_t itemsize):
    """What tables of a call have in common: sizes, and where things stand."""
    cdef Common c
    cdef Py_ssize_t K = n_components, D = n_features, size
    cdef int wide = TRIANGULAR if triangular else DIAGONAL
    size = D * D if triangular else D if kind == DIAGONAL else 1
    c.s = shape_of(kind, triangular, shared, K, D, size if shared else K * size)
    c.wide = shape_of(wide, triangular, False, K, D, K * (D * D if triangular else D))
    c.own = layout(kind, D, K, True, itemsize)
    c.labeled = layout(wide, D, K, True, itemsize)
    c.centers = layout(COMMON_FRAME, D, K, True, itemsize)
    c.trials = layout(COMMON_FRAME, D, n_trials, True, itemsize)
    c.alone = layout(COMMON_FRAME, D, 1, True, itemsize)
    c.square = layout(DIAGONAL, D, 1, True, sizeof(double))
    c.matrix = layout(TRIANGULAR, D, 1, True, sizeof(double))
    c.n_trials, c.N, c.seconds = n_trials, n_rows, 0
    c.rules.constraint.sharing, c.rules.constraint.axes = sharing, axes
    return c


def tables_sizes(int kind, bint triangular, bint shared, int sharing, int axes, Py_ssize_t n_features,
                 Py_ssize_t n_components, Py_ssize_t n_trials, Py_ssize_t n_rows, Py_ssize_t itemsize):
    """How many doubles `memory`, and how many numbers `numbers`, of `fit_tables` must hold."""
    cdef Common c = common(kind, triangular, shared, sharing, axes, n_features, n_components, n_trials, n_rows,
                           itemsize)
    cdef Desk desk
    return set_desk(&desk, &c, NULL) + 8, n_numbers(&c, itemsize)


def fit_tables(
    const floating[:, :] X,                     # IN     (N, D)  rows of all tables
    const floating[::1] weights,                # IN     (N,)    or None: 1 each
    const Py_ssize_t[:, ::1] spans,             # IN     (P, 2)  where each table starts and ends in them
    const double[::1] totals,                   # IN     (P,)    number of rows, or sum of their weights
    const double[:, ::1] draws,                 # IN     (S, 1 + (K - 1) T)  random numbers of k-means, by seed
    const Py_ssize_t[::1] which,                # IN     (P,)    which of them a table has
    Py_ssize_t n_components,
    int kind,                                   # IN     the structure as in `describe_mixture`
    bint triangular,
    bint shared,
    int sharing,                                # IN     the constraint as in `constrain_covariances`
    int axes,
    bint equal,                                 # IN     whether all weights are
    const double[::1] limits,                   # IN     see below
    const double[::1] added,                    # IN     what is added to variances: a number, or one for each feature
    double[::1] memory,                         # SCRATCH
    floating[::1] numbers,                      # SCRATCH
    double[:, ::1] places,                      # OUT    (P, 3 D or 3 D + D D)  origin, units, squares, scatter
    double[:, ::1] parameters,                  # OUT    (P, ...)  weights, means, covariances, factors, kept axes
    double[:, ::1] bounds,                      # OUT    (P, most)  of each iteration
    Py_ssize_t[::1] n_iter,                     # OUT    (P,)    how many iterations there were,
    Py_ssize_t[::1] ended,                      # OUT    (P,)    and how they ended
):
    """Fit every table from k-means; returns how many seconds the starts took. See whole_fits.pxd for how fits may end.

    `limits` are what is added to counts, what part of a row a component must have (negative: do not look), the smallest
    deviation that can be held, what parts of means, of the frame and of deviations are rounding, the tolerances of EM
    and of k-means, the largest ratio of squares, the resolution of the rows; and, where the variance of all rows says
    what is added (`regularize`), what part of it, the smallest deviation and the largest variance for that, and what
    part of a mean is rounding.
    """
    cdef Py_ssize_t p, P = spans.shape[0], D = X.shape[1], K = n_components, longest = 0
    cdef Py_ssize_t T = (draws.shape[1] - 1) // (K - 1) if K > 1 else 3
    cdef Common c
    cdef Desk desk
    cdef Rows rows
    cdef View all_rows = view(X, NULL if weights is None else &weights[0])
    for p in range(P):
        longest = max(longest, spans[p, 1] - spans[p, 0])
    c = common(kind, triangular, shared, sharing, axes, D, K, T, longest, sizeof(floating))
    c.rules.least, c.rules.empty, c.rules.careful, c.least_deviation = limits[0], limits[1], limits[1] >= 0, limits[2]
    c.rules.of_mean, c.rules.of_frame, c.rules.of_deviation = limits[3], limits[4], limits[5]
    c.rules.tol, c.tol, c.rules.largest_ratio, c.resolution = limits[6], limits[7], limits[8], limits[9]
    c.ridge, c.least_float64, c.largest, c.constant = limits[10], limits[11], limits[12], limits[13]
    c.rules.equal = equal
    c.rules.added, c.rules.n_added, c.rules.penalty, c.rules.variational = &added[0], added.shape[0], NULL, NULL
    set_desk(&desk, &c, aligned(&memory[0]))
    with nogil:
        for p in range(P):
            rows.given = part(&all_rows, spans[p, 0], spans[p, 1] - spans[p, 0], sizeof(floating))
            rows.total = totals[p]
            ended[p] = fit_table(&c, &rows, &draws[which[p], 0], &desk, &numbers[0], &places[p, 0], &parameters[p, 0],
                                 bounds.shape[1], &n_iter[p], &bounds[p, 0])
    return c.seconds


def posterior_tables_size(int kind, bint triangular, Py_ssize_t n_features, Py_ssize_t n_components,
                          Py_ssize_t itemsize):
    """How many numbers `numbers` of `posterior_tables` must hold."""
    cdef Shape s = shape_of(kind, triangular, False, n_components, n_features, n_components)
    return numbers_of_model(&s) + layout(kind, n_features, n_components, False, itemsize).size + 64 // itemsize


def posterior_tables(
    const floating[:, :] X,                     # IN     (N, D)  rows of all tables
    const Py_ssize_t[:, ::1] spans,             # IN     (P, 2)  where each table starts and ends in them
    int kind,                                   # IN     the structure as in `describe_mixture`
    bint triangular,
    bint shared,
    const Py_ssize_t[::1] n_components,         # IN     (P,)    at most K
    const double[:, ::1] weights,               # IN     (P, K)  of these, the first ones are a table's
    const double[:, ::1] means,                 # IN     (P, K D)
    const double[:, ::1] factors,               # IN     (P, ...)
    const double[:, ::1] origins,               # IN     (P, D)  COMMON_FRAME only
    floating[::1] numbers,                      # SCRATCH
    double[::1] whitener,                       # SCRATCH  (D (D + 1) / 2,), or one where no matrix is shared
    double[:, ::1] units,                       # OUT    (P, D)  log-likelihoods are per volume of these
    floating[::1] log_likelihoods,              # OUT    (N,)    or None
    floating[:, ::1] responsibilities,          # OUT    (N, K)  or None
    int64_t[::1] labels,                        # OUT    (N,)    or None
    Py_ssize_t[::1] n_far,                      # OUT    (P,)    how many rows are too far off; -1 for a mixture that is
):
    """Log-likelihood, responsibilities and most probable component of each row, where wanted; as `posterior`."""
    cdef Py_ssize_t p, P = spans.shape[0], D = X.shape[1], K = weights.shape[1], here
    cdef Py_ssize_t size = factors.shape[1] if shared else factors.shape[1] // K
    cdef Layout at
    cdef Shape s
    cdef View rows, all_rows = view(X, <const floating*> NULL)
    cdef Mixture mixture
    cdef Answers own, answers = places_of(log_likelihoods, responsibilities, labels, K)
    cdef double* W = &whitener[0] if kind == COMMON_FRAME and triangular else NULL
    cdef floating* centers
    cdef floating* rounding
    cdef floating* scales
    with nogil:
        for p in range(P):
            here, n_far[p] = spans[p, 0], 0
            if n_components[p] == 0 or spans[p, 1] == here:
                continue
            s = shape_of(kind, triangular, shared, n_components[p], D, size if shared else n_components[p] * size)
            at = layout(kind, D, s.K, False, sizeof(floating))
            centers = &numbers[0] + s.K
            rounding = centers + s.K * D
            scales = rounding + s.K * D
            find_units(&s, &factors[p, 0], &units[p, 0])
            mixture.offsets, mixture.centers, mixture.center_rounding = &numbers[0], centers, rounding
            mixture.factors, mixture.origin, mixture.whitener = scales, &origins[p, 0], W
            describe(&s, &weights[p, 0], NULL, &means[p, 0], &factors[p, 0], &units[p, 0], mixture.origin, &numbers[0],
                     centers, rounding, scales, W)
            if not in_range(&s, centers, rounding, &means[p, 0], &factors[p, 0], &units[p, 0]):
                n_far[p] = -1
                continue
            rows = part(&all_rows, here, spans[p, 1] - here, sizeof(floating))
            own = answers_from(&answers, here, sizeof(floating))
            n_far[p] = evaluate(&at, NULL, &rows, &mixture, <floating*> NULL, False,
                                aligned(&numbers[0] + numbers_of_model(&s)), &own)
