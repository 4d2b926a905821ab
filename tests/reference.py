"""The slow twin of fastgmm: every formula in plain NumPy, for the tests to compare with.

Nothing here is shared with the library and nothing is clever. All structures are expanded to dense matrices, the
arrays of N x K and N x K x D are formed, and everything is computed in long double (64 bits of mantissa on x86-64 and
most of Linux, plain double elsewhere). The linear algebra is written out because NumPy's has no long double.

Notation: N samples, D features, K components; r_nk responsibilities; z = x - mu_k; P_k upper triangular with
P_k P_k^T = Sigma_k^-1 (scikit-learn's `precisions_cholesky_`); y = P_k^T z, so that y^T y = z^T Sigma_k^-1 z.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

REAL = np.longdouble
STRUCTURES = ("full", "tied", "diag", "spherical")
Array = np.ndarray[Any, Any]


class Model(NamedTuple):
    """A mixture: weights (K,), means (K, D), covariances in the structure's shape."""

    structure: str
    weights: Array
    means: Array
    covariances: Array


class Statistics(NamedTuple):
    """Sufficient statistics about the reference means; scatters in the structure's covariance shape."""

    counts: Array
    sums: Array
    scatters: Array
    log_likelihood: Any


class Fit(NamedTuple):
    """What the EM loop returns."""

    model: Model
    lower_bounds: list[float]
    converged: bool


# Linear algebra ---------------------------------------------------------------------------------------------------


def cholesky(matrices: Array) -> Array:
    """Lower triangular L with L L^T = A, for a stack (..., D, D), column by column."""
    rest = np.array(matrices, dtype=REAL)
    factor = np.zeros_like(rest)
    for j in range(rest.shape[-1]):
        pivot = rest[..., j, j]
        if not np.all(pivot > 0):
            raise np.linalg.LinAlgError(f"not positive definite: pivot {j} is {pivot.min()}")
        column = rest[..., :, j] / np.sqrt(pivot)[..., None]
        factor[..., j:, j] = column[..., j:]
        rest = rest - column[..., :, None] * column[..., None, :]
    return factor


def inverse_lower(factor: Array) -> Array:
    """L^-1 of a stack of lower triangular matrices, by forward substitution into the identity."""
    factor = np.asarray(factor, dtype=REAL)
    inverse = np.zeros_like(factor)
    for i in range(factor.shape[-1]):
        unit = np.zeros(factor.shape[-1], dtype=REAL)
        unit[i] = 1
        known = np.einsum("...j,...jc->...c", factor[..., i, :i], inverse[..., :i, :])
        inverse[..., i, :] = (unit - known) / factor[..., i, i, None]
    return inverse


def dense(structure: str, values: Array, n_components: int, n_features: int) -> Array:
    """Any structure's covariances, precisions or factors as K dense D x D matrices."""
    values = np.asarray(values, dtype=REAL)
    identity = np.eye(n_features, dtype=REAL)
    if structure == "full":
        return values
    if structure == "tied":
        return np.repeat(values[None], n_components, axis=0)
    if structure == "diag":
        return values[:, :, None] * identity
    return values[:, None, None] * identity


def precision_factors(model: Model) -> Array:
    """P_k = L_k^-T for every component, dense (K, D, D)."""
    covariances = dense(model.structure, model.covariances, *model.means.shape)
    return np.swapaxes(inverse_lower(cholesky(covariances)), -1, -2)


# Expectation ------------------------------------------------------------------------------------------------------


def log_joint(X: Array, weights: Array, means: Array, factors: Array) -> Array:
    """log(pi_k N(x_n; mu_k, Sigma_k)), (N, K), from dense factors P_k."""
    n_features = X.shape[1]
    result = np.empty((X.shape[0], len(weights)), dtype=REAL)
    for k in range(len(weights)):
        z = X.astype(REAL) - np.asarray(means[k], dtype=REAL)
        y = z @ np.asarray(factors[k], dtype=REAL)
        log_det = np.sum(np.log(np.diagonal(factors[k]).astype(REAL)))
        with np.errstate(divide="ignore"):
            log_weight = np.log(REAL(weights[k]))
        log_two_pi = np.log(2 * REAL("3.14159265358979323846264338327950288"))
        result[:, k] = log_weight + log_det - n_features * log_two_pi / 2 - np.sum(y * y, axis=1) / 2
    return result


def log_sum_exp(logs: Array) -> Array:
    """log sum_k exp(l_nk), (N,)."""
    top = logs.max(axis=1)
    return top + np.log(np.sum(np.exp(logs - top[:, None]), axis=1))


def log_likelihoods(X: Array, model: Model) -> Array:
    """log p(x_n), (N,)."""
    return log_sum_exp(log_joint(X, model.weights, model.means, precision_factors(model)))


def responsibilities(X: Array, model: Model) -> Array:
    """r_nk = pi_k N_k(x_n) / p(x_n), (N, K)."""
    logs = log_joint(X, model.weights, model.means, precision_factors(model))
    return np.exp(logs - log_sum_exp(logs)[:, None])


def scatter_shape(structure: str, scatters: Array) -> Array:
    """Dense scatters (K, D, D) reduced to what the structure keeps: all, their sum, diagonals, traces."""
    if structure == "full":
        return scatters
    if structure == "tied":
        return scatters.sum(axis=0)
    diagonals = np.diagonal(scatters, axis1=1, axis2=2)
    return diagonals if structure == "diag" else diagonals.sum(axis=1)


def statistics_of(structure: str, X: Array, r: Array, reference: Array) -> Statistics:
    """Counts, sums and scatters of given responsibilities about the reference means."""
    z = X.astype(REAL)[:, None, :] - np.asarray(reference, dtype=REAL)[None, :, :]
    scatters = np.stack([(r[:, k, None] * z[:, k]).T @ z[:, k] for k in range(r.shape[1])])
    sums = np.einsum("nk,nkd->kd", r, z)
    return Statistics(r.sum(axis=0), sums, scatter_shape(structure, scatters), REAL(np.nan))


def statistics(X: Array, model: Model, reference: Array) -> Statistics:
    """The fused E-step of the library, unfused."""
    result = statistics_of(model.structure, X, responsibilities(X, model), reference)
    return result._replace(log_likelihood=log_likelihoods(X, model).sum())


# Maximization -----------------------------------------------------------------------------------------------------


def maximize(structure: str, X: Array, r: Array, reg_covar: float) -> Model:
    """scikit-learn's M-step, in two passes: means first, then scatters about the new means."""
    r = r.astype(REAL)
    n_features = X.shape[1]
    counts = r.sum(axis=0) + 10 * np.finfo(X.dtype).eps
    means = (r.T @ X.astype(REAL)) / counts[:, None]
    scatters = statistics_of("full", X, r, means).scatters
    ridge = REAL(reg_covar) * np.eye(n_features, dtype=REAL)
    if structure == "tied":
        covariances = scatters.sum(axis=0) / counts.sum() + ridge
    else:
        covariances = scatters / counts[:, None, None] + ridge
    if structure == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    if structure == "spherical":
        covariances = np.trace(covariances, axis1=1, axis2=2) / n_features
    return Model(structure, counts / counts.sum(), means, covariances)


def expectation_maximization(
    X: Array, model: Model, *, tol: float, max_iter: int, reg_covar: float, previous_bound: float = -np.inf
) -> Fit:
    """EM with scikit-learn's rule: stop when the mean log-likelihood changes by less than tol."""
    bounds: list[float] = []
    for _ in range(max_iter):
        bound = float(log_likelihoods(X, model).mean())
        model = maximize(model.structure, X, responsibilities(X, model), reg_covar)
        bounds.append(bound)
        if abs(bound - previous_bound) < tol:
            return Fit(model, bounds, True)
        previous_bound = bound
    return Fit(model, bounds, False)


# k-means ----------------------------------------------------------------------------------------------------------


def squared_distances(X: Array, centers: Array) -> Array:
    """||x_n - c_k||^2, (N, K)."""
    return np.sum((X.astype(REAL)[:, None, :] - np.asarray(centers, dtype=REAL)[None]) ** 2, axis=2)


def potential(X: Array, centers: Array) -> float:
    """k-means++ potential, also called inertia: the sum of squared distances to the nearest center."""
    return float(squared_distances(X, centers).min(axis=1).sum())


def lloyd_step(X: Array, centers: Array) -> tuple[Array, Array]:
    """Labels by the nearest center, and the mean of every cluster (an empty one keeps its center)."""
    labels = squared_distances(X, centers).argmin(axis=1)
    new = np.array(centers, dtype=REAL)
    for k in range(len(centers)):
        if np.any(labels == k):
            new[k] = X[labels == k].astype(REAL).mean(axis=0)
    return labels, new


# Test models ------------------------------------------------------------------------------------------------------


def random_model(
    rng: np.random.Generator,
    structure: str,
    n_components: int,
    n_features: int,
    *,
    condition: float = 10.0,
    separation: float = 1.5,
    offset: float = 0.0,
) -> Model:
    """A mixture whose covariances have the given condition number (spherical: variances 1 to 4).

    Neighboring means are about `separation` standard deviations apart in each direction, and the whole lies `offset`
    standard deviations of each feature from the origin.
    """

    def spectrum() -> Array:
        """Variances from 1/condition to 1, both ends present when there are two features or more."""
        return rng.permutation(np.geomspace(1.0, 1.0 / condition, n_features))

    def matrix() -> Array:
        """A symmetric matrix with that spectrum in a random orientation."""
        rotation = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
        product = (rotation * spectrum()) @ rotation.T
        return (product + product.T) / 2

    covariances: Array
    if structure == "full":
        covariances = np.stack([matrix() for _ in range(n_components)])
    elif structure == "tied":
        covariances = matrix()
    elif structure == "diag":
        covariances = np.stack([spectrum() for _ in range(n_components)])
    else:
        covariances = rng.uniform(1.0, 4.0, size=n_components)
    weights = rng.uniform(0.5, 2.0, size=n_components)
    expanded = dense(structure, covariances, n_components, n_features).astype(np.float64)
    deviations = np.sqrt(np.diagonal(expanded, axis1=1, axis2=2))
    directions = rng.normal(size=(n_components, n_features))
    lower = np.linalg.cholesky(expanded)
    means = separation * np.einsum("kij,kj->ki", lower, directions) + offset * deviations.mean(axis=0)
    return Model(structure, weights / weights.sum(), means, covariances)


def sample(rng: np.random.Generator, model: Model, n_samples: int, dtype: Any = np.float64) -> Array:
    """Rows drawn from the mixture, in random order."""
    n_components, n_features = model.means.shape
    covariances = dense(model.structure, model.covariances, n_components, n_features).astype(np.float64)
    factors = np.linalg.cholesky(covariances)
    weights = np.asarray(model.weights, dtype=np.float64)
    labels = rng.choice(n_components, size=n_samples, p=weights / weights.sum())
    noise = rng.normal(size=(n_samples, n_features))
    rows = np.asarray(model.means, dtype=np.float64)[labels] + np.einsum("nij,nj->ni", factors[labels], noise)
    return np.ascontiguousarray(rows.astype(dtype))


# Rounding ---------------------------------------------------------------------------------------------------------


class Bounds(NamedTuple):
    """How far a kernel in precision u may be from the twin, to first order."""

    log_joint: Array
    responsibilities: Array
    log_likelihoods: Array
    counts: Array
    sums: Array
    scatters: Array
    log_likelihood: float


def rounding_bounds(X: Array, model: Model, factors: Array, reference: Array, u: float) -> Bounds:
    """Bounds on the error of any sensible kernel with unit roundoff u.

    The kernel rounds mu and P to its precision, forms z = x - mu, then y = P^T z with D multiply-adds. With
    a = |P|^T |z| the error of y is at most (D + 3) u a + u |P|^T |mu|, that of log p_k is |y| times this plus
    u (|c_k| + D y^T y), where log p_k = c_k - y^T y / 2. Responsibilities and log-likelihoods follow to first order;
    exp and the sum over K add a few u. Statistics are sums over rows of r, r y and r y y^T: the error of r enters
    with |y| <= a, rounding in the products and in sums of at most 128 terms per lane with (D + 128) u, and going back
    from y to z multiplies by |L| on each side, whose product with |P|^T is where the condition number enters.
    Sums over more than a block are in double precision, hence the terms with the unit roundoff of double.
    Where all components share a frame (tied, spherical) a kernel may whiten x - origin instead, for any point amid
    the rows: then |x - origin| and |mu - origin| count with |z|. The largest errors measured are half of a bound.
    """
    n_components, n_features = model.means.shape
    double = 2.0**-53
    rows = X.astype(REAL)
    logs = log_joint(X, model.weights, model.means, factors)
    total = log_sum_exp(logs)
    r = np.exp(logs - total[:, None])
    lower = np.abs(inverse_lower(np.swapaxes(factors, -1, -2)))

    frame = REAL(0)
    if model.structure in ("tied", "spherical"):
        origin = rows.mean(axis=0)
        frame = np.abs(rows - origin) + np.abs(np.asarray(model.means) - origin).max(axis=0)

    log_error = np.empty_like(logs)
    sizes = []
    for k in range(n_components):
        z = np.abs(rows - model.means[k])
        y = np.abs((rows - model.means[k]) @ factors[k])
        a = (z + frame) @ np.abs(factors[k])
        shift = np.abs(model.means[k]) @ np.abs(factors[k])
        square = np.sum(y * y, axis=1)
        constant = np.abs(logs[:, k] + square / 2)
        y_error = (n_features + 3) * u * a + u * shift
        log_error[:, k] = np.sum(y * y_error + y_error**2, axis=1) + u * (constant + (n_features + 4) * square)
        sizes.append(a + np.abs((np.asarray(reference[k], dtype=REAL) - model.means[k]) @ factors[k]))
    mean_error = np.sum(r * log_error, axis=1)
    row_error = 2 * mean_error + u * (np.abs(total) + n_components + 8)
    r_error = np.minimum(1, r * (log_error + row_error[:, None] + 8 * u) + u)

    noise = r_error + (n_features + 128) * u * r + 64 * double * r
    sums = np.stack([lower[k] @ (noise[:, k] @ sizes[k]) for k in range(n_components)])
    scatters = np.stack(
        [lower[k] @ ((noise[:, k, None] * sizes[k]).T @ sizes[k]) @ lower[k].T for k in range(n_components)]
    )
    return Bounds(
        log_error,
        r_error,
        row_error,
        noise.sum(axis=0),
        sums,
        scatter_shape(model.structure, scatters),
        float(np.sum(row_error) + 64 * double * np.sum(np.abs(total))),
    )
