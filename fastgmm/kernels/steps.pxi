# The steps between two passes, and small dense algebra, in double precision; included by kernels.pyx.


def describe_mixture(
    int kind,                                   # IN     TRIANGULAR, DIAGONAL or COMMON_FRAME
    bint triangular,                            # IN     whether a factor is a matrix, not what stands on its diagonal
    bint shared,                                # IN     whether all components share it
    const double[::1] weights,                  # IN     (K,)
    const double[::1] log_weights,              # IN     (K,) what takes the place of their logarithms, or None
    const double[:, ::1] means,                 # IN     (K, D)
    const double[::1] factors,                  # IN     precision Cholesky, flat
    const double[::1] units,                    # IN     (D,) densities are per volume of these, or None: of 1
    const double[::1] origin,                   # IN     (D,) COMMON_FRAME only
    floating[::1] offsets,                      # OUT    (K,)    what `accumulate` and `posterior` read
    floating[:, ::1] centers,                   # OUT    (K, D)
    floating[:, ::1] center_rounding,           # OUT    (K, D)  TRIANGULAR only
    floating[::1] scales,                       # OUT    packed W_k, s_k (K, D) flat, or s_k (K,)
    double[::1] whitener,                       # OUT    packed W, where a matrix is shared
):
    """A mixture as the passes read it."""
    cdef Shape s = shape_of(kind, triangular, shared, means.shape[0], means.shape[1], factors.shape[0])
    cdef const double* logs = NULL if log_weights is None else &log_weights[0]
    cdef const double* u = NULL if units is None else &units[0]
    cdef const double* o = &origin[0] if kind == COMMON_FRAME else NULL
    cdef floating* rounding = &center_rounding[0, 0] if kind == TRIANGULAR else NULL
    cdef double* W = &whitener[0] if shared else NULL
    with nogil:
        describe(&s, &weights[0], logs, &means[0, 0], &factors[0], u, o, &offsets[0], &centers[0, 0], rounding,
                 &scales[0], W)


def moments_of(
    int kind,                                   # IN     the mixture as in `describe_mixture`
    bint triangular,
    bint shared,
    const double[::1] sums,                     # IN     what `accumulate` left
    const double[:, ::1] means,                 # IN     (K, D)
    const double[::1] factors,                  # IN
    const floating[:, ::1] centers,             # IN     (K, D)  what the pass read
    const double[::1] origin,                   # IN     (D,) COMMON_FRAME only
    const double[:, ::1] scatter,               # IN     (D, D) of all rows about it, where a matrix is shared, or None
    double largest_ratio,                       # IN     see `moments`
    double[::1] workspace,                      # SCRATCH
    double[::1] counts,                         # OUT    (K,)
    double[:, ::1] first,                       # OUT    (K, D)  sums about the means
    double[::1] second,                         # OUT    scatters about the means, flat
):
    """Sufficient statistics from sums; returns whether they have the digits that they should."""
    cdef Shape s = shape_of(kind, triangular, shared, means.shape[0], means.shape[1], factors.shape[0])
    cdef const double* o = &origin[0] if kind == COMMON_FRAME else NULL
    cdef const double* T = NULL if scatter is None else &scatter[0, 0]
    cdef double* algebra = &workspace[0] if triangular else NULL
    cdef bint good
    with nogil:
        good = moments(&s, &sums[0], &means[0, 0], &factors[0], &centers[0, 0], o, T, largest_ratio, algebra,
                       &counts[0], &first[0, 0], &second[0])
    return good


def maximize(
    bint triangular,                            # IN     the shape of a covariance, as in `describe_mixture`
    bint shared,
    const double[::1] counts,                   # IN     (K,)
    const double[:, ::1] sums,                  # IN     (K, D)  about the reference
    const double[::1] scatters,                 # IN     about the reference, flat
    const double[:, ::1] reference,             # IN     (K, D)
    double least,                               # IN     what is added to each count
    const double[::1] added,                    # IN     what is added to variances: a number, or one for each feature
    double[::1] weights,                        # OUT    (K,)
    double[:, ::1] means,                       # OUT    (K, D)
    double[::1] covariances,                    # OUT    flat
):
    """The M-step of maximum likelihood, but for the factors of precisions."""
    cdef Shape s = shape_of(0, triangular, shared, sums.shape[0], sums.shape[1], scatters.shape[0])
    with nogil:
        estimate(&s, &counts[0], &sums[0, 0], &scatters[0], &reference[0, 0], least, &added[0], added.shape[0],
                 &weights[0], &means[0, 0], &covariances[0])


def constraint_size(int sharing, int axes, bint triangular, Py_ssize_t n_features, Py_ssize_t n_components):
    """How many doubles of scratch `constrain_covariances` takes."""
    cdef Py_ssize_t K = n_components, D = n_features
    cdef Shape s = shape_of(0, triangular, False, K, D, K * (D * D if triangular else D))
    cdef Constraint c
    c.sharing, c.axes = sharing, axes
    return size_of_constraint(&s, &c)


def constrain_covariances(
    int sharing,                                # IN     how variances are shared, see constraints.pxd,
    int axes,                                   # IN     and what their axes are
    bint triangular,                            # IN     the shape of a covariance, as in `describe_mixture`
    const double[::1] weights,                  # IN     (K,)  their sum is one
    double[:, ::1] common,                      # INOUT  (D, D)  axes as `common_axes` keeps them, or None
    Py_ssize_t n_features,
    double[::1] workspace,                      # SCRATCH
    double[::1] covariances,                    # INOUT  flat
):
    """The most likely covariances of a structure, given unconstrained ones; False where there are none."""
    cdef Shape s = shape_of(0, triangular, False, weights.shape[0], n_features, covariances.shape[0])
    cdef Constraint c
    cdef double* A = NULL if common is None else &common[0, 0]
    cdef bint defined
    c.sharing, c.axes = sharing, axes
    with nogil:
        defined = constrain(&s, &c, &weights[0], A, &workspace[0], &covariances[0])
    return defined


def axes_of(
    double[:, :, ::1] matrices,                 # INOUT  (K, D, D) symmetric; then nearly diagonal
    double[:, :, ::1] axes,                     # OUT    (K, D, D)  one in each row
    double[:, ::1] variances,                   # OUT    (K, D)  along them, ascending
):
    """Axes of finite symmetric matrices, and what these are along them."""
    cdef Py_ssize_t k, D = matrices.shape[1]
    with nogil:
        for k in range(matrices.shape[0] if D else 0):
            eigenvectors(&matrices[k, 0, 0], D, &axes[k, 0, 0], &variances[k, 0])


def maximize_conjugate(
    bint triangular,                            # IN     the shape of a covariance, as in `describe_mixture`
    bint shared,
    const double[::1] counts,                   # IN     (K,)
    const double[:, ::1] sums,                  # IN     (K, D)  about the reference
    const double[::1] scatters,                 # IN     about the reference, flat
    const double[:, ::1] reference,             # IN     (K, D)
    double least,                               # IN     what is added to counts
    const double[::1] added,                    # IN     what is added to variances: a number, or one for each feature
    double mean_precision,                      # IN     the prior: see `Conjugate`
    double degrees,
    double per_row,
    const double[::1] mean,                     # IN     (D,)
    const double[::1] scale,                    # IN     flat
    double[::1] workspace,                      # SCRATCH  (2 D,)
    double[::1] weights,                        # OUT    (K,)
    double[:, ::1] means,                       # OUT    (K, D)
    double[::1] covariances,                    # OUT    flat
    double[::1] own_degrees,                    # OUT    of each block
):
    """The M-step under a conjugate prior, but for the factors of precisions."""
    cdef Shape s = shape_of(0, triangular, shared, sums.shape[0], sums.shape[1], scatters.shape[0])
    cdef Conjugate prior
    prior.mean_precision, prior.degrees, prior.per_row = mean_precision, degrees, per_row
    prior.mean, prior.scale = &mean[0], &scale[0]
    with nogil:
        estimate_conjugate(&s, &counts[0], &sums[0, 0], &scatters[0], &reference[0, 0], &prior, least, &added[0],
                           added.shape[0], &workspace[0], &weights[0], &means[0, 0], &covariances[0], &own_degrees[0])


cdef Penalty penalty_of(const double[::1] numbers, const Shape* s):
    """A penalty from numbers one after the other, in the order in which `Penalty.numbers` puts them."""
    cdef Penalty p
    cdef Py_ssize_t blocks = 1 if s.shared else s.K
    p.prior.mean_precision, p.prior.degrees, p.prior.per_row = numbers[0], numbers[1], numbers[2]
    p.extra, p.share, p.constant, p.n_samples = numbers[3], numbers[4], numbers[5], numbers[6]
    p.excess = &numbers[7]
    p.prior.mean = p.excess + blocks
    p.prior.scale = p.prior.mean + s.D
    p.root = p.prior.scale + s.size
    return p


def prior_log_density(
    bint triangular,                            # IN     the shape of a covariance, as in `describe_mixture`
    bint shared,
    const double[::1] weights,                  # IN     (K,)
    const double[:, ::1] means,                 # IN     (K, D)
    const double[::1] factors,                  # IN     precision Cholesky, flat
    const double[::1] units,                    # IN     (D,) of the features, or None: of the data
    double log_det_scale,                       # IN     of the prior, in these units
    const double[::1] numbers,                  # IN     see `penalty_of`
):
    """The logarithm of the density of the prior at some parameters."""
    cdef Shape s = shape_of(0, triangular, shared, means.shape[0], means.shape[1], factors.shape[0])
    cdef Penalty p = penalty_of(numbers, &s)
    cdef const double* u = NULL if units is None else &units[0]
    cdef double found
    with nogil:
        found = log_density(&s, &weights[0], &means[0, 0], &factors[0], u, log_det_scale, &p)
    return found


cdef Variational variational_of(const double[::1] numbers, Py_ssize_t D):
    """The priors of a mixture from numbers one after the other, in the order of `VariationalPrior.numbers`."""
    cdef Variational v
    v.prior.mean_precision, v.prior.degrees, v.prior.per_row = numbers[0], numbers[1], numbers[2]
    v.sticks, v.gammas, v.concentration, v.copies = numbers[3] != 0, numbers[4] != 0, numbers[5], numbers[6]
    v.n_samples, v.weights_constant, v.log_normalizer = numbers[7], numbers[8], numbers[9]
    v.prior.mean = &numbers[10]
    v.prior.scale = v.prior.mean + D
    return v


def variational_log_weights(
    bint shared,                                # IN     whether all components share a covariance
    Py_ssize_t n_features,
    const double[::1] weights,                  # IN     (K,)  parts of the counts
    const double[::1] numbers,                  # IN     see `variational_of`
    double[::1] out,                            # OUT    (K,)
):
    """What the E-step takes for logarithms of weights."""
    cdef Shape s = shape_of(0, False, shared, weights.shape[0], n_features, weights.shape[0] * n_features)
    cdef Variational v = variational_of(numbers, n_features)
    with nogil:
        evaluated_log_weights(&s, &v, &weights[0], &out[0])


def variational_bound(
    bint triangular,                            # IN     the shape of a covariance, as in `describe_mixture`
    bint shared,
    double log_likelihood,                      # IN     of a pass, per volume of the units
    const double[::1] log_weights,              # IN     (K,)  what it has taken for those
    const double[::1] read,                     # IN     and for factors, flat
    const double[::1] counts,                   # IN     (K,)  its statistics
    const double[::1] scatters,                 # IN     about its means, flat
    const double[::1] weights,                  # IN     (n,)  the posterior after it; beyond K there are no rows
    const double[::1] factors,                  # IN     flat
    const double[::1] units,                    # IN     (D,)
    const double[::1] numbers,                  # IN     see `variational_of`
):
    """The evidence lower bound at a posterior that is optimal for the responsibilities of a pass."""
    cdef Py_ssize_t K = log_weights.shape[0], D = units.shape[0]
    cdef Shape s = shape_of(0, triangular, shared, K, D, factors.shape[0])
    cdef Variational v = variational_of(numbers, D)
    cdef double entropy, found
    with nogil:
        entropy = log_likelihood - expected_log_joint(&s, &log_weights[0], &read[0], &units[0], &counts[0],
                                                      &scatters[0])
        found = lower_bound(&s, &v, entropy, &weights[0], weights.shape[0], &factors[0], &units[0])
    return found


def rounding(
    const double[:, ::1] means,                 # IN     (K, D)
    const double[::1] origin,                   # IN     (D,) of a common frame, or None
    const double[::1] least,                    # IN     (D,) see `noise`
    double of_mean,
    double of_frame,
    double[:, ::1] out,                         # OUT    (K, D)
):
    """Standard deviations that are no more than rounding."""
    cdef Py_ssize_t k, i
    cdef const double* o = NULL if origin is None else &origin[0]
    with nogil:
        for k in range(means.shape[0]):
            for i in range(means.shape[1]):
                out[k, i] = noise(means[k, i], NULL if o == NULL else o + i, least[i], of_mean, of_frame)


def rounding_part(
    bint triangular,                            # IN     the shape of a covariance, as in `describe_mixture`
    bint shared,
    const double[:, ::1] means,                 # IN     (K, D)
    const double[::1] covariances,              # IN     flat
    const double[::1] factors,                  # IN     flat
    const double[::1] origin,                   # IN     as for `rounding`
    const double[::1] least,
    double of_mean,
    double of_frame,
    double of_deviation,                        # IN     see `largest_noise`
):
    """The largest part that rounding has in a standard deviation along a feature, given those before it."""
    cdef Shape s = shape_of(0, triangular, shared, means.shape[0], means.shape[1], factors.shape[0])
    cdef const double* o = NULL if origin is None else &origin[0]
    cdef double found
    with nogil:
        found = largest_noise(&s, &means[0, 0], &covariances[0], &factors[0], o, &least[0], of_mean, of_frame,
                              of_deviation)
    return found


def pack(
    const double[:, :, ::1] factors,            # IN     (K, D, D) upper triangular precision Cholesky
    double[:, ::1] packed,                      # OUT    (K, D (D + 1) / 2)  W_k in the order in which it is read
):
    """Put triangular factors into the order of the whitening tile."""
    cdef Py_ssize_t k, D = factors.shape[1]
    with nogil:
        for k in range(factors.shape[0]):
            pack_triangle(&factors[k, 0, 0], D, D, &packed[k, 0])


# ---- small dense algebra, in double precision ---------------------------------------------------------


def algebra_size(Py_ssize_t n_features):
    """How many numbers the workspace of the functions below must hold."""
    return (4 * n_features + 8) * padded(n_features)


def factorize(
    const double[:, :, ::1] covariances,        # IN     (K, D, D) symmetric
    double[::1] workspace,                      # SCRATCH
    double[:, :, ::1] precisions_cholesky,      # OUT    (K, D, D) upper triangular inverse of the Cholesky factor
):
    """Invert the Cholesky factor of each covariance; returns the first that is not positive definite, or -1."""
    cdef Py_ssize_t k, D = covariances.shape[1], P = padded(D), bad = -1
    cdef double* U = &workspace[0]
    with nogil:
        for k in range(covariances.shape[0]):
            if not cholesky(&covariances[k, 0, 0], D, U, U + 2 * D * P):
                bad = k
                break
            invert_upper(U, D, U + D * P, U + 2 * D * P)
            copy_rows(U + D * P, P, D, &precisions_cholesky[k, 0, 0], D)
    return bad


def invert(
    const double[:, :, ::1] factors,            # IN     (K, D, D) upper triangular
    double[::1] workspace,                      # SCRATCH
    double[:, :, ::1] out,                      # OUT    (K, D, D) their inverses
):
    """Invert triangular factors."""
    cdef Py_ssize_t k, D = factors.shape[1], P = padded(D)
    cdef double* U = &workspace[0]
    with nogil:
        for k in range(factors.shape[0]):
            copy_rows(&factors[k, 0, 0], D, D, U, P)
            invert_upper(U, D, U + D * P, U + 2 * D * P)
            copy_rows(U + D * P, P, D, &out[k, 0, 0], D)


def within_axes(
    const double[:, :, ::1] matrices,           # IN     (K, D, D) symmetric
    const double[:, ::1] axes,                  # IN     (D, D)  one in each row
    double[::1] workspace,                      # SCRATCH
    double[:, :, ::1] out,                      # OUT    (K, D, D) in the frame of the axes
):
    """Matrices in the frame of axes."""
    cdef Py_ssize_t k, D = axes.shape[0]
    with nogil:
        for k in range(matrices.shape[0]):
            in_frame(&matrices[k, 0, 0], &axes[0, 0], D, 1, &workspace[0], &out[k, 0, 0])


def along_common_axes(
    const double[:, ::1] variances,             # IN     (K, D)
    const double[:, ::1] axes,                  # IN     (D, D)  one in each row
    double[::1] workspace,                      # SCRATCH
    double[:, :, ::1] out,                      # OUT    (K, D, D)
):
    """Covariances of these variances along axes."""
    cdef Py_ssize_t k, D = axes.shape[0]
    with nogil:
        for k in range(variances.shape[0]):
            along_axes(&variances[k, 0], &axes[0, 0], D, &workspace[0], &out[k, 0, 0])
