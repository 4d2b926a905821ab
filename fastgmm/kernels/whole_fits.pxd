"""Whole fits of small problems: the EM loop of fitting/em.py, of the same steps, with no call into Python."""
from libc.math cimport fabs, isfinite

from arguments cimport Mixture, View
from blocks cimport Layout, width
from boxes cimport Boxes
from constraints cimport Constraint, constrain
from groups cimport Expectation, Groups, sum_all
from priors cimport Conjugate, Penalty, estimate_conjugate, find_mode, log_density
from steps cimport DEFINITE, Shape, describe, estimate, find_factors, largest_noise, moments
from tiles cimport floating
from variational cimport Variational, evaluated_log_weights, expected_log_joint, lower_bound

cdef enum:                          # how iterations end
    GOES_ON = 0                     # no more of them were asked for
    CONVERGED = 1
    UNUSUAL = 2                     # the next one needs more care than there is here


cdef struct Rows:
    # All rows of a problem.
    View given
    const double* units             # (D,)
    const double* origin            # (D,)    COMMON_FRAME only
    const double* scatter           # (D, D)  about the origin, where one matrix is shared
    double total                    # the number of rows, or the sum of their weights


cdef struct Rules:
    # What an M-step and the rule of convergence heed.
    double tol
    double largest_ratio            # see `moments`
    double least                    # what is added to counts
    double empty                    # a component of so few rows is empty
    const double* added             # what is added to variances
    Py_ssize_t n_added
    bint careful                    # whether to look for components that are empty or collapsed
    const double* frame             # (D,) whose rounding counts as noise, or NULL
    const double* least_deviation   # (D,) see `largest_noise`
    double of_mean, of_frame, of_deviation
    const Penalty* penalty          # a prior, or NULL
    double log_det_scale            # of it, in the units of the rows
    const Variational* variational  # priors whose posterior is worked out, or NULL
    Constraint constraint           # on covariances
    bint equal                      # whether all weights are


cdef struct Scratch:
    # Arrays that the steps work in, in double precision.
    double* sums                    # what a pass leaves
    double* counts                  # (K,)
    double* first                   # (K, D)
    double* second                  # scatters
    double* weights                 # parameters after the M-step
    double* means
    double* covariances
    double* factors
    double* whitener                # (D (D + 1) / 2,)
    double* degrees                 # (K,)    under a prior
    double* offsets                 # (2 D,)
    double* log_weights             # (K,)    that passes read
    double* axes                    # (D, D)  that covariances have in common, where they are kept
    double* constraint              # see `constrain`
    double* algebra


cdef inline void equalize(double* weights, Py_ssize_t K) noexcept nogil:
    """Equal weights."""
    cdef Py_ssize_t k
    for k in range(K):
        weights[k] = 1 / <double> K


cdef inline int iterate(
    const Layout* at,
    const Boxes* boxes,             # IN     where components may be left out, or NULL
    const Shape* s,
    const Rows* rows,
    const Groups* groups,           # IN     or NULL: one of all rows
    const Rules* rules,
    double* weights,                # INOUT  (K,)  the parameters
    double* means,                  # INOUT  (K, D)
    double* covariances,            # INOUT
    double* factors,                # INOUT
    double* axes,                   # INOUT  (D, D)  that covariances have in common, or NULL: none are kept
    const Scratch* own,
    floating* model,                # SCRATCH  the mixture as passes read it
    floating* work,                 # SCRATCH
    double* bound,                  # INOUT  of the iteration before
    double* log_likelihood,         # OUT    the mean one of the last iteration
    Py_ssize_t most,                # IN     how many iterations
    Py_ssize_t* n_iter,             # OUT    how many were done
    double* bounds,                 # OUT    (most,) of each
) noexcept nogil:
    """Iterate; an iteration that turns out unusual leaves everything as it was before it."""
    cdef Py_ssize_t k, i, K = s.K, D = s.D
    cdef floating* offsets = model
    cdef floating* centers = offsets + K
    cdef floating* rounding = centers + K * D
    cdef floating* scales = rounding + K * D
    cdef const double* log_weights = NULL
    cdef const Conjugate* prior = NULL
    cdef Mixture mixture
    cdef Expectation e_step
    cdef double before, value
    mixture.offsets, mixture.centers, mixture.center_rounding, mixture.factors = offsets, centers, rounding, scales
    mixture.origin, mixture.whitener = rows.origin, own.whitener if rows.scatter != NULL else NULL
    e_step.at, e_step.boxes, e_step.rows, e_step.mixture, e_step.groups = at, boxes, &rows.given, &mixture, groups
    n_iter[0] = 0
    if rules.penalty != NULL:
        prior = &rules.penalty.prior
    if rules.variational != NULL:
        prior, log_weights = &rules.variational.prior, own.log_weights
    while n_iter[0] < most:
        if log_weights != NULL:
            evaluated_log_weights(s, rules.variational, weights, own.log_weights)
        describe(s, weights, log_weights, means, factors, rows.units, rows.origin, offsets, centers, rounding, scales,
                 own.whitener)
        sum_all(&e_step, work, own.sums)
        value = own.sums[K * width(s.kind, D)]
        if not isfinite(value):
            return UNUSUAL
        if not moments(s, own.sums, means, factors, centers, rows.origin, rows.scatter, rules.largest_ratio,
                       own.algebra, own.counts, own.first, own.second):
            return UNUSUAL
        if prior == NULL:
            estimate(s, own.counts, own.first, own.second, means, rules.least, rules.added, rules.n_added,
                     own.weights, own.means, own.covariances)
            for i in range(D * D if axes != NULL else 0):
                own.axes[i] = axes[i]
            if not constrain(s, &rules.constraint, own.weights, own.axes, own.constraint, own.covariances):
                return UNUSUAL
        else:
            estimate_conjugate(s, own.counts, own.first, own.second, means, prior, rules.least,
                               rules.added, rules.n_added, own.offsets, own.weights, own.means, own.covariances,
                               own.degrees)
        if find_factors(s, own.covariances, own.algebra, own.factors) != DEFINITE:
            return UNUSUAL
        if rules.penalty != NULL:
            find_mode(s, own.counts, rules.penalty, rules.least, own.degrees, own.weights, own.covariances, own.factors)
        if rules.equal:
            equalize(own.weights, K)
        if rules.careful:
            for k in range(K):
                if not own.counts[k] > rules.empty:
                    return UNUSUAL
            if not largest_noise(s, own.means, own.covariances, own.factors, rules.frame, rules.least_deviation,
                                 rules.of_mean, rules.of_frame, rules.of_deviation) < 1:
                return UNUSUAL
        before, log_likelihood[0] = bound[0], value / rows.total
        bound[0] = log_likelihood[0]
        if rules.penalty != NULL:
            value = log_density(s, weights, means, factors, rows.units, rules.log_det_scale, rules.penalty)
            bound[0] += value / rules.penalty.n_samples
        if log_weights != NULL:
            value -= expected_log_joint(s, log_weights, factors, rows.units, own.counts, own.second)
            bound[0] = lower_bound(s, rules.variational, value, own.weights, K, own.factors, rows.units)
        bounds[n_iter[0]] = bound[0]
        n_iter[0] += 1
        for k in range(K):
            weights[k] = own.weights[k]
        for i in range(K * D):
            means[i] = own.means[i]
        for i in range(D * D if axes != NULL else 0):
            axes[i] = own.axes[i]
        for i in range(s.size if s.shared else K * s.size):
            covariances[i] = own.covariances[i]
            factors[i] = own.factors[i]
        if fabs(bound[0] - before) < rules.tol:
            return CONVERGED
    return GOES_ON
