# Whole fits of small problems; included by kernels.pyx.


def iterations_size(int kind, bint triangular, int sharing, int axes, Py_ssize_t n_features, Py_ssize_t n_components):
    """How many doubles `scratch`, and how many numbers `model`, of `iterate_em` must hold."""
    cdef Py_ssize_t D = n_features, K = n_components, size = K * (D * D if triangular else D)
    cdef Py_ssize_t triangle = packed_size(D) if triangular else D, more
    cdef Shape s = shape_of(kind, triangular, False, K, D, size)
    cdef Constraint c
    c.sharing, c.axes = sharing, axes
    more = size_of_constraint(&s, &c) + (D * D if keeps_axes(&c) else 0)
    size = more + 4 * K + 2 * K * D + 2 * D + 3 * size + K * width(kind, D) + 1 + triangle
    return size + algebra_size(D) if triangular else size, K * (1 + 2 * D + triangle)


def iterate_em(
    const floating[:, :] X,                     # IN     (N, D) rows of any strides
    const floating[::1] row_weights,            # IN     (N,), or None: 1 each
    int kind,                                   # IN     the structure as in `describe_mixture`
    bint triangular,
    bint shared,
    const double[::1] units,                    # IN     (D,) densities are per volume of these
    const double[::1] origin,                   # IN     (D,) of the common frame
    const double[:, ::1] scatter,               # IN     (D, D) of all rows about it, where a matrix is shared, or None
    double total,                               # IN     number of rows, or the sum of their weights
    double largest_ratio,                       # IN     see `moments`
    double least,                               # IN     what is added to counts
    double empty,                               # IN     a component of so few rows is empty; negative: do not look
    const double[::1] added,                    # IN     what is added to variances: a number, or one for each feature
    const double[::1] frame,                    # IN     (D,) its rounding counts as noise, or None; see `rounding_part`
    const double[::1] least_deviation,          # IN     (D,)
    double of_mean,
    double of_frame,
    double of_deviation,
    const double[::1] penalty,                  # IN     a prior, or None: see `penalty_of`
    double log_det_scale,                       # IN     of it, in these units
    const double[::1] variational,              # IN     priors whose posterior is wanted, or None: see `variational_of`
    int sharing,                                # IN     the constraint as in `constrain_covariances`
    int constrained_axes,
    bint equal,                                 # IN     whether all weights are
    double tol,                                 # IN     iterations end when the bound changes by less
    double bound,                               # IN     that of the iteration before
    double[::1] weights,                        # INOUT  (K,)    the parameters
    double[:, ::1] means,                       # INOUT  (K, D)
    double[::1] covariances,                    # INOUT  flat
    double[::1] factors,                        # INOUT  flat
    double[:, ::1] axes,                        # INOUT  (D, D)  that covariances have in common, or None
    floating[::1] workspace,                    # SCRATCH  as for `accumulate`
    floating[::1] model,                        # SCRATCH
    double[::1] scratch,                        # SCRATCH
    bint choosing,                              # IN     as in `accumulate`
    Py_ssize_t group_rows,                      # IN     of each group of rows, except for the last
    double[:, ::1] parts,                       # SCRATCH  (groups, n_sums), or None: there is one group
    Team team,                                  # IN     to lead, or None
    double[::1] bounds,                         # OUT    of each iteration: as many as there may be
):
    """EM iterations in one call; returns how many there were, how they ended, and the last mean log-likelihood."""
    cdef Py_ssize_t K = means.shape[0], D = means.shape[1], size = covariances.shape[0], done = 0
    cdef Shape s = shape_of(kind, triangular, shared, K, D, size)
    cdef Layout at = layout(kind, D, K, True, sizeof(floating))
    cdef Boxes boxes = boxes_behind(&at, sizeof(floating))
    cdef Rows rows
    cdef Groups groups
    cdef Rules rules
    cdef Scratch own
    cdef Penalty p
    cdef Variational v
    cdef double log_likelihood = 0
    cdef double* A = NULL if axes is None else &axes[0, 0]
    cdef int ended
    rows.given, rows.units, rows.total = view(X, NULL if row_weights is None else &row_weights[0]), &units[0], total
    rows.origin = &origin[0] if kind == COMMON_FRAME else NULL
    rows.scatter = NULL if scatter is None else &scatter[0, 0]
    rules.tol, rules.largest_ratio, rules.least, rules.empty = tol, largest_ratio, least, empty
    rules.added, rules.n_added, rules.careful = &added[0], added.shape[0], empty >= 0
    rules.frame = NULL if frame is None else &frame[0]
    rules.least_deviation, rules.of_mean, rules.of_frame = &least_deviation[0], of_mean, of_frame
    rules.of_deviation, rules.penalty, rules.log_det_scale = of_deviation, NULL, log_det_scale
    rules.variational, rules.equal = NULL, equal
    rules.constraint.sharing, rules.constraint.axes = sharing, constrained_axes
    if variational is not None:
        v = variational_of(variational, D)
        rules.variational = &v
    if penalty is not None:
        p = penalty_of(penalty, &s)
        rules.penalty = &p
    own.counts = &scratch[0]
    own.weights = own.counts + K
    own.first = own.weights + K
    own.means = own.first + K * D
    own.second = own.means + K * D
    own.covariances = own.second + size
    own.factors = own.covariances + size
    own.sums = own.factors + size
    own.whitener = own.sums + K * width(kind, D) + 1
    own.degrees = own.whitener + (packed_size(D) if triangular else 0)
    own.offsets = own.degrees + K
    own.log_weights = own.offsets + 2 * D
    own.axes = own.log_weights + K
    own.constraint = own.axes + (D * D if keeps_axes(&rules.constraint) else 0)
    own.algebra = own.constraint + size_of_constraint(&s, &rules.constraint)
    groups.crew = NULL if team is None else &team.crew
    if parts is not None:
        groups.rows, groups.n_sums, groups.sums = group_rows, parts.shape[1], &parts[0, 0]
    with nogil:
        ended = iterate(&at, &boxes if choosing else NULL, &s, &rows, NULL if parts is None else &groups, &rules,
                        &weights[0], &means[0, 0], &covariances[0], &factors[0], A, &own, &model[0],
                        aligned(&workspace[0]), &bound, &log_likelihood, bounds.shape[0], &done, &bounds[0])
    return done, ended, log_likelihood


def seeds(
    const floating[:, :] X,                     # IN     (N, D)
    const floating[::1] weights,                # IN     (N,), or None: 1 each
    const double[::1] origin,                   # IN     (D,) a point amid the rows
    const double[:, ::1] uniforms,              # IN     (n_seeds - 1, trials)
    floating[::1] workspace,                    # SCRATCH  as for COMMON_FRAME with as many components as trials
    floating[::1] scratch,                      # SCRATCH  (trials D + N,)
    double[::1] cumulative,                     # SCRATCH  (N + trials,)
    Py_ssize_t[::1] trial,                      # SCRATCH  (trials,)
    Py_ssize_t[::1] chosen,                     # INOUT  (n_seeds,)  rows; the first is given
):
    """k-means++ in one call."""
    cdef Py_ssize_t N = X.shape[0], D = X.shape[1], T = uniforms.shape[1]
    cdef Layout alone = layout(COMMON_FRAME, D, 1, True, sizeof(floating))
    cdef Layout together = layout(COMMON_FRAME, D, T, True, sizeof(floating))
    cdef Points points
    cdef const floating* w = NULL if weights is None else &weights[0]
    points.X, points.row_stride, points.column_stride = <const char*> &X[0, 0], X.strides[0], X.strides[1]
    points.N, points.origin = N, &origin[0]
    with nogil:
        plant(&alone, &together, &points, w, chosen.shape[0], &uniforms[0, 0], aligned(&workspace[0]), &scratch[0],
              &scratch[T * D], &cumulative[0], &cumulative[N], &trial[0], &chosen[0])


def lloyd(
    const floating[:, :] X,                     # IN     (N, D)
    const floating[::1] weights,                # IN     (N,), or None: 1 each
    const double[::1] origin,                   # IN     (D,) a point amid the rows
    double least,                               # IN     see `settle`
    double nothing,
    Py_ssize_t most,
    floating[::1] workspace,                    # SCRATCH  as for COMMON_FRAME
    floating[::1] about,                        # SCRATCH  (K D,)
    double[::1] sums,                           # SCRATCH  (K + K D + 1,)
    double[:, ::1] centers,                     # INOUT  (K, D)
):
    """k-means in one call; returns how many passes are left where a center has no rows, 0 for none, -1 at the end."""
    cdef Layout at = layout(COMMON_FRAME, X.shape[1], centers.shape[0], True, sizeof(floating))
    cdef Points points
    cdef const floating* w = NULL if weights is None else &weights[0]
    cdef Py_ssize_t left
    points.X, points.row_stride, points.column_stride = <const char*> &X[0, 0], X.strides[0], X.strides[1]
    points.N, points.origin = X.shape[0], &origin[0]
    with nogil:
        left = settle(&at, &points, w, least, nothing, most, aligned(&workspace[0]), &about[0], &sums[0],
                      &centers[0, 0])
    return left
