"""Prior: what is known of a mixture before its rows, and what mclust takes for it by default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..fitting.repair import Degeneracy, Repair, Rows
from ..model.factors import correlations
from ..model.penalty import MixturePrior
from ..model.priors import Dirichlet, NormalWishart
from ..model.structure import Structure
from ..text import quoted
from .checks import NONE, NONNEGATIVE, NUMBERS, POSITIVE, Constraints, check_parameters, either, is_symmetric

__all__ = ["Prior", "prior_of"]

Numbers = NDArray[np.float64]

CONSTRAINTS: Constraints = {
    "mean_precision": either(NONNEGATIVE, NONE),
    "mean": either(NUMBERS, NONE),
    "degrees_of_freedom": either(POSITIVE, NONE),
    "scale": either(NUMBERS, POSITIVE, NONE),
    "weight_concentration": (
        lambda v: isinstance(v, Real) and 1.0 <= float(v) < math.inf,
        "a float in the range [1.0, inf)",
    ),
}


@dataclass(frozen=True, eq=False)
class Prior:
    """Conjugate prior of a Gaussian mixture, under which `GaussianMixture` finds the most probable parameters.

    Means are normal about ``mean`` with covariance Sigma_k / ``mean_precision``. Covariances are inverse Wishart with
    ``degrees_of_freedom`` and ``scale``; of 'diag' and 'spherical' each variance v is inverse gamma with the shape
    ``degrees_of_freedom`` / 2 and the scale ``scale`` / 2. Weights are Dirichlet. So the prior acts like
    ``mean_precision`` rows at ``mean`` and some ``degrees_of_freedom`` rows with the scatter ``scale``, which keep each
    component from collapsing.

    With no arguments it is the default prior of mclust, which leaves components of many rows as they are.

    Parameters
    ----------
    mean_precision : float or None, default=0.01
        How many rows the prior counts for in a mean, kappa; 0 or None is no prior on means.
    mean : array-like of shape (n_features,), default=None
        Where means are expected; None is the mean of all rows.
    degrees_of_freedom : float, default=None
        nu, above n_features - 1: how sure the scale is; None is n_features + 2.
    scale : array-like or float, default=None
        Scatter that each covariance is pulled towards, S, in squared units of the data: a matrix of shape (n_features,
        n_features), a variance of each feature or one for all. Of a matrix 'diag' takes the diagonal, 'spherical' its
        mean. The mode of a covariance without rows is S / (nu + n_features + 1), of a variance S / (nu + 2), before the
        1 (spherical: n_features) that a prior on means adds to the divisor. None is the covariance of all rows divided
        by n_components ** (2 / n_features), without correlations where there are no more rows than features.
    weight_concentration : float, default=1
        Parameter of the Dirichlet prior of the weights, at least 1, which leaves them to the rows; more pulls them
        together, as that many rows less one in each component.

    Notes
    -----
    The density of the parameters is that of weights, means and covariances as they are, and its mode depends on that
    choice, not on units. For component k with n_k rows of mean m_k and scatter A_k about it, the M-step is ::

        mean       = (kappa mean + n_k m_k) / (kappa + n_k)
        covariance = (S + A_k + kappa n_k / (kappa + n_k) (m_k - mean) (m_k - mean)^T) / (nu + n_k + n_features + 2)

    with ``n_features + 1`` where means have no prior. Departures from mclust's defaults: for 'diag' and 'spherical' the
    scale is each feature's own variance, resp. their mean (mclust: their mean for both, so that units matter), and
    ``degrees_of_freedom`` is heeded with the default scale, too. Where the rows leave the default scale singular (a
    constant feature), its variances are raised to at least a millionth of the usual ones, with a warning.

    References
    ----------
    C. Fraley, A. E. Raftery. Bayesian regularization for normal mixture estimation and model-based clustering. Journal
    of Classification 24, 2007.

    Examples
    --------
    Four of the rows are equal, and without a prior the component that starts there would collapse:

    >>> import fastgmm
    >>> X = [[0.0], [0.0], [0.0], [0.0], [1.0], [2.0], [3.0], [20.0], [21.0], [22.0]]
    >>> prior = fastgmm.Prior(degrees_of_freedom=4, scale=2.0)
    >>> start = {"means_init": [[0.0], [2.0], [21.0]], "random_state": 0, "reg_covar": 0, "max_iter": 500}
    >>> mixture = fastgmm.GaussianMixture(3, prior=prior, **start).fit(X)
    >>> mixture.covariances_.ravel().round(2)
    array([0.27, 0.31, 0.6 ])
    """

    mean_precision: float | None = 0.01
    mean: ArrayLike | None = None
    degrees_of_freedom: float | None = None
    scale: ArrayLike | float | None = None
    weight_concentration: float = 1.0

    def __post_init__(self) -> None:
        check_parameters(CONSTRAINTS, vars(self), type(self).__name__)


def prior_of(rows: Rows, structure: Structure, prior: Prior) -> tuple[MixturePrior, list[Repair]]:
    """Return a prior for rows and a structure, of which the rows give what is None; and its repairs."""
    if structure.bound is not None:
        raise ValueError(
            f"prior with covariance_ratio={structure.bound.ratio:g}: under a prior no component collapses, and there "
            "is no M-step for both. Leave one of these arguments out."
        )
    n_features, repairs, power = len(rows.origin), list[Repair](), 0.0
    degrees = n_features + 2 if prior.degrees_of_freedom is None else float(prior.degrees_of_freedom)
    if not degrees > n_features - 1:
        raise ValueError(
            f"The prior has degrees_of_freedom={degrees:g}: with {n_features} features there must be more than "
            f"{n_features - 1}, for the prior to be proper. Raise it, or leave it None."
        )
    mean = None if prior.mean is None else _mean(prior.mean, n_features)
    scale = None if prior.scale is None else _scale(prior.scale, structure, n_features)
    if mean is None or scale is None:
        of_rows, covariance = rows.moments(structure)
        mean = of_rows if mean is None else mean
        if scale is None:
            total, power = rows.total * rows.weight_unit, 2.0 / n_features
            unbiased = covariance * (total / max(total - 1, 0.5 * total))
            if structure.triangular and total <= n_features:
                unbiased = np.diag(np.diagonal(unbiased))
            scale, repairs = Degeneracy(rows, structure).proper(unbiased)
    components = NormalWishart.of(structure, float(prior.mean_precision or 0.0), mean, degrees, scale)
    return MixturePrior(structure, Dirichlet(float(prior.weight_concentration)), components, power), repairs


def _mean(mean: ArrayLike, n_features: int) -> Numbers:
    """Return the mean of a prior, checked."""
    array = np.asarray(mean, np.float64)
    if array.shape != (n_features,) or not np.isfinite(array).all():
        raise ValueError(
            f"The mean of the prior is {quoted(mean)}, of shape {array.shape}: it must be {n_features} finite "
            "numbers, one for each feature of X. Give these, or None for the mean of the rows."
        )
    return array


def _scale(scale: ArrayLike | float, structure: Structure, n_features: int) -> Numbers:
    """Return the scale of a prior as the structure has one component's covariance, checked."""
    array = np.asarray(scale, np.float64)
    if array.shape not in ((), (n_features,), (n_features, n_features)) or not np.isfinite(array).all():
        raise ValueError(
            f"The scale of the prior is {quoted(scale)}, of shape {array.shape}: with {n_features} features of X it "
            f"must be finite, of shape {(n_features, n_features)}, {(n_features,)} or (). Give a covariance matrix, "
            "variances, or None for the default."
        )
    if array.ndim < 2:
        array = np.diag(np.broadcast_to(array, (n_features,)))
    smallest = np.linalg.eigvalsh(correlations(array)).min() if np.diagonal(array).min() > 0 else -math.inf
    if not (is_symmetric(array) and smallest > 4 * n_features * np.finfo(np.float64).eps):
        raise ValueError(
            f"The scale of the prior is {quoted(scale)}, which is not symmetric and positive definite (smallest "
            f"eigenvalue of its correlations {smallest:.3g}). Give a covariance matrix of features none of which "
            "follows from the others, positive variances, or None for the default."
        )
    array = (array + array.T) / 2
    return array if structure.triangular else structure.uncorrelated(np.diagonal(array)[None])[0]
