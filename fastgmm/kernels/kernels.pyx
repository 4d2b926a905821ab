"""The passes over rows. Compiled once per instruction set; see __init__.py for the choice.

Notation
    N, D, K     samples (rows), features, components;  n, i, k their indices
    B           rows in a block; a block is held transposed, feature by sample, so a lane is a sample
    C           columns of a component's buffer of whitened samples (see `Layout`)
    r_nk        responsibility;  u the unit roundoff

The log of weight times density of component k at a sample x is, for the three kinds of geometry,

    TRIANGULAR      log p_k = c_k - 1/2 |W_k (x - mu_k)|^2      W_k lower triangular
    DIAGONAL        log p_k = c_k - 1/2 |s_k * (x - mu_k)|^2    s_k a vector
    COMMON_FRAME    log p_k = c_k - 1/2 s_k^2 |y - m_k|^2       y = W (x - origin), one whitener W for all, or none
    COMMON_AXES     log p_k = c_k - 1/2 |s_k * (y - m_k)|^2     the same, W any matrix

with c_k = log pi_k + log det(factor) - D/2 log 2 pi. Sums over rows (`accumulate`) are, per component,

    TRIANGULAR      sum r,  sum r y (D),  sum r y y^T (lower triangle by rows)      y = W_k (x - mu_k)
    DIAGONAL        sum r,  sum r z (D),  sum r z^2 (D)                             z = x - mu_k
    COMMON_FRAME    sum r,  sum r y (D),  sum r |y - m_k|^2
    COMMON_AXES     sum r,  sum r z (D),  sum r z^2 (D)                             z = y - m_k

followed by one number, the log-likelihood: in the precision of the rows inside a block, in double across blocks.
COMMON_SHAPE is COMMON_FRAME with one sum of all components behind it: sum w, sum w y and sum w y y^T of w = sum_k r_nk
s_k^2, as one of TRIANGULAR, or only its diagonal after 1 + D numbers where W is diagonal. COMMON_AXES has sum y v^T (D,
D), v = sum_k r_nk s_k^2 * (y - m_k).
Rows may have weights w_n: r_nk then stands for w_n r_nk in sums, and the log-likelihood is sum_n w_n log p(x_n).
In float32 the rounding of mu_k itself would show in the narrow directions of W_k: TRIANGULAR takes it back by
y = rounding_k + W_k (x - center_k), rounding_k = -W_k (mu_k - center_k). A common frame, entered once per row and not
once per component, is computed in double precision.

Nothing here validates, allocates, or keeps state: callers size `workspace` by `workspace_size` and `out` by `n_sums`,
and own every output. The pieces: blocks.pxd (workspace, reading rows, log densities), tails.pxd (Student's t),
arguments.pxd (what passes are given), accumulation.pxd and pools.pxd (sums), few_features.pxd (few features),
boxes.pxd, order.pxd, early_exit.pxd, pruning.pxd, pairs.pxd, drift.pxd and pruned_answers.pxd (pairs left out),
expectation.pxd (passes), groups.pxd and crew.pxd (passes of several threads), steps.pxd (between passes), priors.pxd,
variational.pxd, location.pxd (origin and units), whole_fits.pxd (the EM loop), small_fits.pxd (fits of small tables),
algebra.pxd (small matrices), clustering.pxd (k-means), hierarchy.pxd (Ward's merges), the register tiles behind
tiles.pxd, and for rows with gaps patterns.pxd, pattern_blocks.pxd and pattern_rows.pxd.
"""
cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.pythread cimport (PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
                               PyThread_release_lock, WAIT_LOCK)
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memset

from accumulation cimport accumulate_block, flush_all, total
from algebra cimport cholesky, copy_rows, invert_upper, padded
from answers cimport find_units, in_range
from arguments cimport Answers, Mixture, View, answers_from, part
from axes cimport along_axes, eigenvectors, in_frame
from blocks cimport (COMMON_AXES, COMMON_FRAME, COMMON_SHAPE, DIAGONAL, TRIANGULAR, Layout, aligned, below_rounding,
                     clear_lanes, enter_frame, far, finite_row, given_responsibilities, integer, layout, load_block,
                     pack_triangle, packed_size, pool_size, width)
from boxes cimport BOX_ROWS, Boxes, boxes_behind, find_bounds, set_model
from clustering cimport Points, nearest_centers, plant, potentials_of, settle
from constraints cimport Constraint, constrain, keeps_axes, size_of_constraint
from crew cimport Crew, Member, assist, dismiss, shared_add
from drift cimport drift
from early_exit cimport desk
from expectation cimport accumulate_all_labeled, begin, behind, evaluate, expectation
from groups cimport Groups
from hierarchy cimport merge_clusters
from location cimport Sample, locate
from pattern_blocks cimport (FEW, MarginalModel, accumulate_pattern_block, begin_block, begin_pattern, end_pattern,
                             marginal_model, pattern_layout, weigh_block)
from pattern_rows cimport accumulate_rows, draw, filled, flush_rows, posterior_of_row, read_row, squares
from patterns cimport PatternMixture, SortedRows, condition, own_width, pattern_mixture, set_mixture, sorted_rows
from priors cimport Conjugate, Penalty, estimate_conjugate, log_density
from pruning cimport Pruned, expectation_pruned, rows_of_code, scratch_size
from small_fits cimport Common, Desk, fit_table, n_numbers, numbers_of_model, set_desk
from steps cimport Shape, describe, estimate, largest_noise, moments, noise, shape_of
from tiles cimport TILE_COLUMNS, exp_all, floating, largest, log_all, normalize
from variational cimport Variational, evaluated_log_weights, expected_log_joint, lower_bound
from whole_fits cimport Rows, Rules, Scratch, iterate

globals().update(TRIANGULAR=TRIANGULAR, DIAGONAL=DIAGONAL, COMMON_FRAME=COMMON_FRAME, COMMON_SHAPE=COMMON_SHAPE,
                 COMMON_AXES=COMMON_AXES)  # for Python


def workspace_size(int kind, Py_ssize_t n_features, Py_ssize_t n_components, bint accumulating, bint choosing,
                   Py_ssize_t itemsize):
    """How many numbers a workspace must hold."""
    cdef Layout at = layout(kind, n_features, n_components, accumulating, itemsize)
    if choosing:
        return behind(&at, itemsize) + 64 // itemsize
    return at.size + 64 // itemsize


def n_sums(int kind, Py_ssize_t n_features, Py_ssize_t n_components):
    """How many numbers `accumulate` leaves: of each component, the log-likelihood, and of all components."""
    return n_components * width(kind, n_features) + 1 + pool_size(kind, n_features)


cdef View view(const floating[:, :] X, const floating* weights):
    """Rows as passes are given them, with their weights or NULL."""
    cdef View rows
    rows.X, rows.N = <const char*> &X[0, 0] if X.shape[0] > 0 else NULL, X.shape[0]
    rows.row_stride, rows.column_stride = X.strides[0], X.strides[1]
    rows.weights = weights
    return rows


cdef Mixture mixture_of(
    const floating[::1] offsets,
    const floating[:, ::1] centers,
    const floating[:, ::1] center_rounding,
    const floating[::1] factors,
    const double[::1] origin,
    const double[::1] whitener,
):
    """A mixture as passes are given it; what it has not is empty."""
    cdef Mixture mixture
    mixture.offsets, mixture.centers, mixture.factors = &offsets[0], &centers[0, 0], &factors[0]
    mixture.center_rounding = &center_rounding[0, 0] if center_rounding.shape[0] > 0 else NULL
    mixture.origin = &origin[0] if origin.shape[0] > 0 else NULL
    mixture.whitener = &whitener[0] if whitener.shape[0] > 0 else NULL
    return mixture


cdef Answers places_of(
    floating[::1] log_likelihoods, floating[:, ::1] responsibilities, int64_t[::1] labels, Py_ssize_t length
):
    """Where answers for rows go; each may be None."""
    cdef Answers out
    out.log_likelihoods = NULL if log_likelihoods is None else &log_likelihoods[0]
    out.responsibilities, out.length = NULL if responsibilities is None else &responsibilities[0, 0], length
    out.labels = NULL if labels is None else &labels[0]
    return out


cdef bint is_diagonal(const Layout* at, Py_ssize_t numbers):
    """Whether so many numbers are a diagonal whitener."""
    return at.kind == COMMON_FRAME and numbers == at.D and at.D > 1


def accumulate(
    const floating[:, :] X,                     # IN     (N, D) rows of any strides
    const floating[:, ::1] responsibilities,    # IN     (N, K), or None: given by labels or the E-step
    const int32_t[::1] labels,                  # IN     (N,) the component that owns each row, or None
    const floating[::1] weights,                # IN     (N,), or None: 1 each
    int kind,                                   # IN     the geometry; those with a frame are for the E-step only
    const floating[::1] offsets,                # IN     (Q,)    c_k, and where there is noise its log density
    const floating[:, ::1] centers,             # IN     (K, D)  mu_k or m_k
    const floating[:, ::1] center_rounding,     # IN     (K, D)  rounding_k; TRIANGULAR only
    const floating[::1] factors,                # IN     packed W_k (see `pack`), s_k (K, D) flat, or s_k (K,)
    const double[::1] origin,                   # IN     (D,)    where there is a frame
    const double[::1] whitener,                 # IN     packed W, its diagonal, or nothing; COMMON_AXES: W (D, D) flat
    floating[::1] workspace,                    # SCRATCH
    bint choosing,                              # IN     whether pairs below rounding may be left out; see boxes.pxd
    double[::1] out,                            # OUT    `n_sums` of them
):
    """One fused pass: expectation and accumulation, block by block, without any N x K array.

    Returns how many pairs of a row and a component were worked out.
    """
    cdef Py_ssize_t N = X.shape[0], K = centers.shape[0], block, n0, count, B, n_pairs = N * K
    cdef View rows = view(X, NULL if weights is None else &weights[0])
    cdef Mixture mixture = mixture_of(offsets, centers, center_rounding, factors, origin, whitener)
    cdef const floating* w = <const floating*> rows.weights
    cdef Layout at = layout(kind, centers.shape[1], K, True, sizeof(floating))
    cdef floating* work = aligned(&workspace[0])
    cdef Boxes boxes
    at.Q = offsets.shape[0]
    boxes = boxes_behind(&at, sizeof(floating))
    at.scaled = is_diagonal(&at, whitener.shape[0])
    with nogil:
        if labels is not None:
            accumulate_all_labeled(&at, &rows, &labels[0], &centers[0, 0],
                                   <const floating*> mixture.center_rounding, work, &out[0])
        elif responsibilities is None:
            n_pairs = expectation(&at, &boxes if choosing else NULL, &rows, &mixture, work, &out[0])
        else:
            B = at.B
            begin(&at, work, &out[0])
            for block in range((N + B - 1) // B):
                n0 = block * B
                count = min(B, N - n0)
                load_block(rows.X + n0 * rows.row_stride, rows.row_stride, rows.column_stride, count, N - n0, at.D, B,
                           work + at.x)
                if at.framed:
                    enter_frame(&at, mixture.origin, mixture.whitener, work)
                given_responsibilities(&at, &responsibilities[n0, 0], w + n0 if w != NULL else NULL, count, centers,
                                       center_rounding, work)
                accumulate_block(&at, &centers[0, 0], work, &out[0])
            flush_all(&at, work, &out[0])
    return n_pairs


def pruned_size(int kind, Py_ssize_t n_features, Py_ssize_t n_components, Py_ssize_t itemsize, Py_ssize_t n_rows):
    """How many numbers the workspace of `accumulate_pruned` must hold, and how many integers its scratch."""
    cdef Layout at = layout(kind, n_features, n_components, True, itemsize)
    return at.size + desk(&at, True, itemsize).size + 64 // itemsize, scratch_size(n_rows, n_components)


def accumulate_pruned(
    const floating[:, :] X,                     # IN     (N, D) rows of any strides, N > 0
    uint16_t[::1] labels,                       # INOUT  (N,) the most probable component of each row, K for noise
    uint8_t[::1] bins,                          # INOUT  (N,) how far from it, in steps of logarithms
    int32_t[::1] order,                         # INOUT  (N,) in which rows are taken
    uint8_t[:, ::1] codes,                      # INOUT  (N / R, K) what is known of R rows of the order each, or None
    const float[:, ::1] moved,                  # IN     (2, K) unit of the codes, and what has passed since; see drift
    Py_ssize_t start,                           # IN     which rows of the order: at 0 sums begin, at N they are
    Py_ssize_t stop,                            # IN     complete; multiples of 512 else
    bint sorting,                               # IN     whether the order is made first
    const floating[::1] weights,                # IN     (N,), or None: 1 each
    int kind,                                   # IN     the model as in `accumulate`, of no sums that all share
    const floating[::1] offsets,
    const floating[:, ::1] centers,
    const floating[:, ::1] center_rounding,
    const floating[::1] factors,
    const double[::1] origin,
    const double[::1] whitener,
    floating[::1] workspace,                    # SCRATCH  `pruned_size`
    int32_t[::1] scratch,                       # SCRATCH  `pruned_size`
    double[::1] out,                            # INOUT    `n_sums` of them
):
    """`accumulate` without pairs of row and component that are below rounding; labels may be any but decide about time.

    Returns how many pairs have a share, and how many multiply-adds whitening has taken.
    """
    cdef Py_ssize_t K = centers.shape[0]
    cdef Layout at = layout(kind, centers.shape[1], K, True, sizeof(floating))
    cdef Mixture mixture = mixture_of(offsets, centers, center_rounding, factors, origin, whitener)
    cdef Pruned rows
    at.Q = offsets.shape[0]
    at.scaled = is_diagonal(&at, whitener.shape[0])
    rows.given = view(X, NULL if weights is None else &weights[0])
    rows.labels, rows.bins, rows.order, rows.scratch = &labels[0], &bins[0], &order[0], &scratch[0]
    rows.pairs, rows.macs, rows.codes = 0, 0, NULL
    if codes is not None:
        rows.codes, rows.R = &codes[0, 0], rows_of_code(K)
        rows.unit, rows.passed = &moved[0, 0], &moved[1, 0]
    with nogil:
        expectation_pruned(&rows, &at, start, stop, sorting, &mixture, aligned(&workspace[0]), &out[0])
    return rows.pairs, rows.macs * desk(&at, True, sizeof(floating)).B


def drifts(
    const double[:, :, ::1] before,             # IN     (K, D, D) upper triangular precision factors
    const double[:, :, ::1] after,              # IN     (K, D, D)
    const double[:, ::1] means_before,          # IN     (K, D)
    const double[:, ::1] means_after,           # IN     (K, D)
    double[:, :, ::1] scratch,                  # SCRATCH  (2, D, D)
    double[:, ::1] out,                         # OUT    (2, K) at least sigma_max(W W'^-1), and |W (mu' - mu)|
):
    """How far components have moved from one pass to the next; see pruning.pxd."""
    cdef Py_ssize_t k, D = before.shape[1]
    with nogil:
        for k in range(before.shape[0]):
            drift(D, &before[k, 0, 0], &after[k, 0, 0], &means_before[k, 0], &means_after[k, 0], &scratch[0, 0, 0],
                  &scratch[1, 0, 0], &out[0, k], &out[1, k])


def n_codes(Py_ssize_t n_rows, Py_ssize_t n_components):
    """How many rows the codes of so many rows have."""
    return (n_rows + rows_of_code(n_components) - 1) // rows_of_code(n_components)


def posterior(
    const floating[:, :] X,                     # IN     (N, D) rows of any strides
    int kind,                                   # IN     the model as in `accumulate`
    const floating[::1] offsets,
    const floating[:, ::1] centers,
    const floating[:, ::1] center_rounding,
    const floating[::1] factors,
    const double[::1] origin,
    const double[::1] whitener,
    const floating[:, ::1] tails,               # IN     (3, K) c_k, e_k, nu_k of Student's t distributions, or None
    bint apart,                                 # IN     whether these are products over features
    floating[::1] workspace,                    # SCRATCH
    bint choosing,                              # IN     as in `accumulate`
    floating[::1] log_likelihoods,              # OUT    (N,)   or None
    floating[:, ::1] responsibilities,          # OUT    (N, Q) or None; the last column is that of noise
    int64_t[::1] labels,                        # OUT    (N,)   or None; -1 for noise
):
    """Log-likelihood, responsibilities and most probable component of each row, where wanted.

    Returns how many rows are so far from all components that their log densities do not tell these apart.
    """
    cdef Py_ssize_t K = centers.shape[0], n_far
    cdef View rows = view(X, <const floating*> NULL)
    cdef Mixture mixture = mixture_of(offsets, centers, center_rounding, factors, origin, whitener)
    cdef Layout at = layout(kind, centers.shape[1], K, False, sizeof(floating))
    cdef const floating* t = NULL if tails is None else &tails[0, 0]
    cdef Answers answers = places_of(log_likelihoods, responsibilities, labels, offsets.shape[0])
    cdef Boxes boxes
    at.Q = offsets.shape[0]
    boxes = boxes_behind(&at, sizeof(floating))
    at.scaled = is_diagonal(&at, whitener.shape[0])
    with nogil:
        n_far = evaluate(&at, &boxes if choosing else NULL, &rows, &mixture, t, apart, aligned(&workspace[0]), &answers)
    return n_far


def all_finite(const floating[:, :] X):
    """Whether no value is NaN or infinite: their exponent bits are all ones."""
    cdef Py_ssize_t n, N = X.shape[0], D = X.shape[1], outer = X.strides[0], inner = X.strides[1]
    cdef const char* row
    cdef bint finite = True
    if N == 0 or D == 0:
        return True
    if abs(inner) > abs(outer):
        N, D, inner, outer = D, N, outer, inner
    if inner == sizeof(floating) and outer == D * inner:      # one long row
        N, D = 1, N * D
    with nogil:
        for n in range(N):
            row = <const char*> &X[0, 0] + n * outer
            if not finite_row(row, D, inner, <floating> 0):
                finite = False
                break
    return finite


# ---- k-means and hierarchical clustering --------------------------------------------------------------


def assign(
    const floating[:, :] X,                     # IN     (N, D)
    const floating[::1] weights,                # IN     (N,), or None: 1 each
    const floating[:, ::1] centers,             # IN     (K, D)  about `origin`
    const double[::1] origin,                   # IN     (D,)
    floating[::1] workspace,                    # SCRATCH  as for COMMON_FRAME
    int32_t[::1] labels,                        # OUT    (N,)  nearest center
    double[::1] out,                            # OUT    counts (K), sums of rows about the origin (K, D), inertia
):
    """Lloyd's pass: nearest centers, and the sums from which the next centers follow."""
    cdef Layout at = layout(COMMON_FRAME, centers.shape[1], centers.shape[0], True, sizeof(floating))
    cdef Points points
    cdef const floating* w = NULL if weights is None else &weights[0]
    points.X, points.row_stride, points.column_stride = <const char*> &X[0, 0], X.strides[0], X.strides[1]
    points.N, points.origin = X.shape[0], &origin[0]
    with nogil:
        nearest_centers(&at, &points, w, &centers[0, 0], aligned(&workspace[0]), &labels[0], &out[0])


def potentials(
    const floating[:, :] X,                     # IN     (N, D)
    const floating[::1] weights,                # IN     (N,), or None: 1 each
    const floating[:, ::1] candidates,          # IN     (T, D)  about `origin`
    const double[::1] origin,                   # IN     (D,)
    floating[::1] workspace,                    # SCRATCH  as for COMMON_FRAME with T components
    floating[::1] closest,                      # INOUT  (N,)  squared distance to the nearest center so far
    bint update,                                # IN     lower `closest` by the (only) candidate
    double[::1] out,                            # OUT    (T,)  weighted sum of min(closest, distance^2 to candidate t)
):
    """k-means++: the sum of squared distances to the nearest center if each candidate were the next."""
    cdef Layout at = layout(COMMON_FRAME, candidates.shape[1], candidates.shape[0], True, sizeof(floating))
    cdef Points points
    cdef const floating* w = NULL if weights is None else &weights[0]
    points.X, points.row_stride, points.column_stride = <const char*> &X[0, 0], X.strides[0], X.strides[1]
    points.N, points.origin = X.shape[0], &origin[0]
    with nogil:
        potentials_of(&at, &points, w, &candidates[0, 0], update, aligned(&workspace[0]), &closest[0], &out[0])


def agglomerate(
    double[:, ::1] centers,                     # INOUT  (D, n)  points, then clusters, feature by point
    double[::1] sizes,                          # INOUT  (n,)    their weights, positive
    double[:, ::1] scratch,                     # INOUT  (2, n)  the second of zeros: the last height in each cluster
    Py_ssize_t[:, ::1] order,                   # INOUT  (2, n)  the first of 0, 1, ...: the names of those left
    Py_ssize_t[::1] absorbed,                   # OUT    (n - 1,)  at each merge one cluster, named by a point of it,
    Py_ssize_t[::1] into,                       # OUT    (n - 1,)  joins another
    double[::1] heights,                        # OUT    (n - 1,)  u v / (u + v) |a - b|^2, not less than before in them
    Py_ssize_t first,                           # IN     which merges: from the one after those done before
    Py_ssize_t last,                            # IN     up to the one before this
):
    """Ward's merges by chains of nearest neighbors: from cluster to cluster until two are nearest to each other."""
    with nogil:
        merge_clusters(&centers[0, 0], centers.shape[0], centers.shape[1], &sizes[0], &scratch[0, 0], &scratch[1, 0],
                       &order[0, 0], &order[1, 0], &absorbed[0], &into[0], &heights[0], first, last)


include "steps.pxi"
include "crew.pxi"
include "whole_fits.pxi"
include "tables.pxi"


# ---- rows with gaps, pattern by pattern ---------------------------------------------------------------

# A pattern is a set of observed features. X may hold anything where a feature is missing. COMMON_FRAME here means that
# components share one covariance.


def patterns_sizes(int kind, Py_ssize_t n_features, Py_ssize_t n_components, bint accumulating, Py_ssize_t itemsize):
    """How many numbers `workspace`, and how many doubles `scratch`, must hold."""
    cdef Py_ssize_t d, size = 0
    for d in range(1, n_features + 1):
        size = max(size, pattern_layout(kind, d, n_components, accumulating, itemsize).size)
    return (marginal_model(kind, n_features, n_components).size + size + 64 // itemsize,
            pattern_mixture(kind, n_features, n_components, NULL).size + 8)


def patterns_sums(int kind, Py_ssize_t n_features, Py_ssize_t n_components):
    """How many numbers `accumulate_patterns` leaves: of each component, of all, then the log-likelihood."""
    cdef Py_ssize_t shared = packed_size(n_features) + 2 if kind == COMMON_FRAME else 0
    return n_components * own_width(kind, n_features) + shared + 1


def accumulate_patterns(
    const floating[:, :] X,                     # IN     (N, D) rows of any strides
    const int32_t[::1] order,                   # IN     (N,)  rows sorted by pattern
    const Py_ssize_t[::1] starts,               # IN     (P + 1,)  where each pattern starts in `order`
    const uint8_t[:, ::1] masks,                # IN     (P, D)  features observed, in lexicographic order
    const floating[::1] weights,                # IN     (N,)  how often each row counts, or None: once
    int kind,                                   # IN     TRIANGULAR, DIAGONAL or COMMON_FRAME
    const double[::1] log_weights,              # IN     (K,)
    const double[:, ::1] means,                 # IN     (K, D)
    const double[::1] covariances,              # IN     (K, D, D), (K, D) or (D, D), flat
    const double[::1] beside,                   # IN     (D + 3,) what is known of noise, or ()
    floating[::1] workspace,                    # SCRATCH
    double[::1] scratch,                        # SCRATCH
    double[::1] out,                            # OUT    sums per component, then the log-likelihood
):
    """Expected sums of complete rows given what is observed, about the means and in the units of the data.

    As those that `accumulate` leaves with W_k = 1; where components share a covariance (COMMON_FRAME)

        sum r, sum r z (D) of each,  sum r z z^T of all (lower triangle by rows),  sum r |y - m_k|^2,  sum r |y|^2

    of which the last two, in the frame of each pattern, tell how many digits the scatter may have lost as a difference.
    Rows of which nothing is observed add nothing. Of noise `beside` has the logs of its weight, of its density, of the
    volume of its box relative to that of a box along the features about it, and of the widths of the latter: where some
    features are missing the density is one over the other widths, times as much as that of complete rows is of one over
    the volume.
    """
    cdef Py_ssize_t D = X.shape[1], K = means.shape[0], pattern, start, stop, block, longest, n0, rows
    cdef PatternMixture mix = pattern_mixture(kind, D, K, aligned(&scratch[0]))
    cdef MarginalModel model = marginal_model(kind, D, K)
    cdef SortedRows data = sorted_rows(X, order)
    cdef const double* given = &beside[0] if beside.shape[0] > 0 else NULL
    cdef Layout at
    cdef floating* memory = aligned(&workspace[0])
    cdef floating* work = memory + model.size
    cdef const floating* w = NULL if weights is None else &weights[0]
    cdef floating cut = below_rounding(K, <floating> 0)
    cdef double* log_likelihood = &out[out.shape[0] - 1]
    with nogil:
        memset(&out[0], 0, out.shape[0] * sizeof(double))
        set_mixture(&mix, &log_weights[0], &means[0, 0], &covariances[0], given)
        for pattern in range(masks.shape[0]):
            start, stop = starts[pattern], starts[pattern + 1]
            condition(&mix, &masks[pattern, 0])
            if mix.n_observed == 0:
                continue
            if stop - start < FEW:
                log_likelihood[0] += accumulate_rows(&mix, &data, start, stop, w, cut, &out[0])
                continue
            at = begin_pattern(&mix, &model, True, memory)
            longest = at.B
            for block in range((stop - start + longest - 1) // longest):
                n0 = start + block * longest
                rows = min(longest, stop - n0)
                begin_block(&mix, &model, &data, n0, rows, &at, memory)
                normalize(rows == at.B and w == NULL, at.B, at.Q, cut, work + at.p, at.B, work + at.scores)
                if rows < at.B:
                    clear_lanes(&at, rows, work)
                if w != NULL:
                    log_likelihood[0] += weigh_block(w, &order[n0], rows, &at, work)
                else:
                    log_likelihood[0] += total(work + at.scores, rows if rows < at.B else at.B // TILE_COLUMNS)
                accumulate_pattern_block(&mix, &model, &at, memory)
            end_pattern(&mix, &at, work, &out[0])
        flush_rows(&mix, &out[0])


def posterior_patterns(
    const floating[:, :] X,                     # IN     rows, patterns and mixture as in `accumulate_patterns`
    const int32_t[::1] order,
    const Py_ssize_t[::1] starts,
    const uint8_t[:, ::1] masks,
    int kind,
    const double[::1] log_weights,
    const double[:, ::1] means,
    const double[::1] covariances,
    const double[::1] beside,
    floating[::1] workspace,                    # SCRATCH
    double[::1] scratch,                        # SCRATCH
    floating[::1] log_likelihoods,              # OUT    (N,)   or None
    floating[:, ::1] responsibilities,          # OUT    (N, R) or None
    int64_t[::1] labels,                        # OUT    (N,)   or None
):
    """As `posterior`, given the features observed; by the weights alone where there are none."""
    cdef Py_ssize_t D = X.shape[1], K = means.shape[0], pattern, start, stop, block, longest, n0, rows, n, k, top
    cdef Py_ssize_t n_far = 0
    cdef int32_t row
    cdef PatternMixture mix = pattern_mixture(kind, D, K, aligned(&scratch[0]))
    cdef MarginalModel model = marginal_model(kind, D, K)
    cdef SortedRows data = sorted_rows(X, order)
    cdef const double* given = &beside[0] if beside.shape[0] > 0 else NULL
    cdef Layout at
    cdef floating* memory = aligned(&workspace[0])
    cdef floating* work = memory + model.size
    cdef double score
    with nogil:
        set_mixture(&mix, &log_weights[0], &means[0, 0], &covariances[0], given)
        for pattern in range(masks.shape[0]):
            start, stop = starts[pattern], starts[pattern + 1]
            condition(&mix, &masks[pattern, 0])
            if stop - start < FEW or mix.n_observed == 0:
                for n in range(start, stop):
                    row = order[n]
                    read_row(&mix, &data, n, <floating> 0)
                    score = posterior_of_row(&mix)
                    n_far += far(&score, 1)
                    if log_likelihoods is not None:
                        log_likelihoods[row] = <floating> (score if mix.n_observed > 0 else 0)
                    top = 0
                    for k in range(mix.R):
                        if mix.row.p[k] > mix.row.p[top]:
                            top = k
                        if responsibilities is not None:
                            responsibilities[row, k] = <floating> mix.row.r[k]
                    if labels is not None:
                        labels[row] = top if top < K else -1
                continue
            at = begin_pattern(&mix, &model, False, memory)
            longest = at.B
            for block in range((stop - start + longest - 1) // longest):
                n0 = start + block * longest
                rows = min(longest, stop - n0)
                begin_block(&mix, &model, &data, n0, rows, &at, memory)
                if labels is not None:
                    largest(at.B, at.Q, work + at.p, at.B, work + at.extreme, work + at.component)
                    for n in range(rows):
                        top = integer(work + at.component, n)
                        labels[order[n0 + n]] = top if top < K else -1
                if log_likelihoods is None and responsibilities is None:
                    n_far += far(work + at.extreme, rows)
                    continue
                normalize(False, at.B, at.Q, <floating> 0, work + at.p, at.B, work + at.scores)
                n_far += far(work + at.scores, rows)
                for n in range(rows):
                    row = order[n0 + n]
                    if log_likelihoods is not None:
                        log_likelihoods[row] = (work + at.scores)[n]
                    if responsibilities is not None:
                        for k in range(at.Q):
                            responsibilities[row, k] = (work + at.p)[k * at.B + n]
    return n_far


def impute_patterns(
    const floating[:, :] X,                     # IN     rows, patterns and mixture as in `accumulate_patterns`
    const int32_t[::1] order,
    const Py_ssize_t[::1] starts,
    const uint8_t[:, ::1] masks,
    int kind,
    const double[::1] log_weights,
    const double[:, ::1] means,
    const double[::1] covariances,
    const double[::1] beside,
    double[::1] scratch,                        # SCRATCH
    const int64_t[::1] labels,                  # IN     (N,)   components to draw from, or None: conditional means
    const double[:, ::1] normals,               # IN     (N, D) standard normals to draw with, or None
    floating[:, ::1] out,                       # OUT    (N, D) the rows with their gaps filled
    floating[:, ::1] deviations,                # OUT    (N, D) standard deviations given the row, or None
):
    """Fill gaps by conditional means under the whole mixture, or by draws from one component of each row."""
    cdef Py_ssize_t D = X.shape[1], K = means.shape[0], n, k, a, i, pattern
    cdef int32_t row
    cdef PatternMixture mix = pattern_mixture(kind, D, K, aligned(&scratch[0]))
    cdef SortedRows data = sorted_rows(X, order)
    cdef const double* given = &beside[0] if beside.shape[0] > 0 else NULL
    cdef double mean, deviation = 0
    with nogil:
        set_mixture(&mix, &log_weights[0], &means[0, 0], &covariances[0], given)
        for pattern in range(masks.shape[0]):
            condition(&mix, &masks[pattern, 0])
            for n in range(starts[pattern], starts[pattern + 1]):
                row = order[n]
                for i in range(D):
                    out[row, i] = X[row, i]
                    if deviations is not None:
                        deviations[row, i] = 0
                if mix.n_missing == 0:
                    continue
                read_row(&mix, &data, n, <floating> 0)
                if labels is None:
                    posterior_of_row(&mix)
                else:
                    k = labels[row]
                    squares(&mix, k, k + 1)
                    draw(&mix, k, &normals[row, 0])
                for a in range(mix.n_missing):
                    i = mix.missing[a]
                    if labels is None:
                        mean = filled(&mix, i, &deviation)
                        if deviations is not None:
                            deviations[row, i] = <floating> deviation
                    else:
                        mean = mix.means[k * D + i] + mix.row.z[k * mix.S + i]
                    out[row, i] = <floating> mean


# ---- for tests ----------------------------------------------------------------------------------------


def bounds_of_box(
    const floating[:, :] X,                     # IN     (n, D) rows, at most BOX_ROWS
    const floating[::1] offsets,                # IN     the mixture as in `accumulate`
    const floating[:, ::1] centers,
    const floating[:, ::1] center_rounding,
    const floating[::1] factors,
    floating[::1] workspace,                    # SCRATCH
    floating[::1] upper,                        # OUT    (K,)  what log p_k is at most, at any of these rows
):
    """Bounds of log densities over the box of some rows; returns what the largest of a row is at least."""
    cdef Py_ssize_t k, n, i, K = centers.shape[0]
    cdef Layout at = layout(TRIANGULAR, X.shape[1], K, True, sizeof(floating))
    cdef Boxes boxes = boxes_behind(&at, sizeof(floating))
    cdef floating* work = aligned(&workspace[0])
    cdef Mixture mixture
    cdef floating least
    mixture.offsets, mixture.centers, mixture.factors = &offsets[0], &centers[0, 0], &factors[0]
    mixture.center_rounding = &center_rounding[0, 0]
    set_model(&boxes, &mixture, work)
    for i in range(X.shape[1]):
        for n in range(BOX_ROWS):
            (work + boxes.x)[i * BOX_ROWS + n] = X[min(n, X.shape[0] - 1), i]
    least = find_bounds(&boxes, work)
    for k in range(K):
        upper[k] = (work + boxes.upper)[k]
    return least


def vector_exp(const floating[::1] x, floating[::1] out):
    """out = exp(x) for x <= 0."""
    exp_all(x.shape[0], &x[0], &out[0])


def vector_log(const floating[::1] x, floating[::1] out):
    """out = log(x) for x >= 1."""
    log_all(x.shape[0], &x[0], &out[0])
