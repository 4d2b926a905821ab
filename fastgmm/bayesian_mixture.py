"""BayesianGaussianMixture: its arguments, their constraints, and its M-step; all methods stand in mixture/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .fitting.em import Fit
from .fitting.mstep import MSteps
from .fitting.repair import RIDGE, Degeneracy, Repair, Rows
from .fitting.restarts import FitRecord
from .fitting.starts import StartingValues
from .fitting.variational import Variational
from .gaussian_mixture import CONSTRAINTS as COMMON
from .gaussian_mixture import GaussianMixture
from .mixture.attributes import fitted_attributes
from .mixture.checks import (
    ARRAY,
    NONE,
    POSITIVE,
    Constraints,
    check_degrees_of_freedom,
    check_prior_covariance,
    check_prior_mean,
    either,
    one_of,
)
from .mixture.distribution import Distribution
from .mixture.estimation import Estimation
from .mixture.imputation import Imputation
from .mixture.outliers import Outliers
from .mixture.regression import Regression
from .model.fitted import Fitted
from .model.parameters import Parameters
from .model.posterior import VariationalPrior, evaluated_log_weights, of_gammas, summed_digammas
from .model.priors import Dirichlet, NormalWishart, Sticks
from .model.structure import Structure

__all__ = ["BayesianGaussianMixture"]

WEIGHT_PRIORS: dict[str, type[Dirichlet] | type[Sticks]] = {
    "dirichlet_process": Sticks,
    "dirichlet_distribution": Dirichlet,
}
POSTERIORS = ("compatible", "exact")
OWN = ("mean_precision_", "degrees_of_freedom_", "weight_concentration_", "mean_precision_prior_")

CONSTRAINTS: Constraints = {
    name: constraint
    for name, constraint in COMMON.items()
    if name not in ("weights_init", "means_init", "precisions_init", "degenerate", "learning_decay")
} | {
    "weight_concentration_prior_type": one_of(WEIGHT_PRIORS),
    "weight_concentration_prior": either(POSITIVE, NONE),
    "mean_precision_prior": either(POSITIVE, NONE),
    "mean_prior": either(ARRAY, NONE),
    "degrees_of_freedom_prior": either(POSITIVE, NONE),
    "covariance_prior": either(ARRAY, POSITIVE, NONE),
    "posterior": one_of(POSTERIORS),
}


class BayesianGaussianMixture(Estimation, Distribution, Regression, Imputation, Outliers):
    """Gaussian mixture with a posterior of its parameters, by variational Bayes.

    A drop-in for ``sklearn.mixture.BayesianGaussianMixture``: same arguments, methods, fitted attributes and
    exceptions. Weights have a Dirichlet prior or that of a Dirichlet process, means and covariances normal-Wishart
    priors. Components that the rows do not need keep hardly any weight, so that ``n_components`` is a largest number.
    """

    _constraints = CONSTRAINTS
    weights_init = means_init = precisions_init = None  # not arguments of this estimator

    elbo_: float
    weight_concentration_prior_: float
    weight_concentration_: NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]
    mean_precision_prior_: float
    mean_precision_: NDArray[np.float64]
    mean_prior_: NDArray[np.float64]
    degrees_of_freedom_prior_: float
    degrees_of_freedom_: NDArray[np.float64] | float
    covariance_prior_: NDArray[np.float64] | float

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float | str = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "kmeans",
        weight_concentration_prior_type: str = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: ArrayLike | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: ArrayLike | float | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        acceleration: str | None = None,
        convergence: str = "likelihood",
        max_time: float | None = None,
        callback: Callable[[int, float, float], object] | None = None,
        n_threads: int | None = None,
        drop_restarts: bool = True,
        missing: str = "raise",
        posterior: str = "compatible",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.acceleration = acceleration
        self.convergence = convergence
        self.max_time = max_time
        self.callback = callback
        self.n_threads = n_threads
        self.drop_restarts = drop_restarts
        self.missing = missing
        self.posterior = posterior

    def to_mixture(self) -> GaussianMixture:
        """Return the plug-in mixture: the expected weights and the means, with the inverses of the mean precisions."""
        fitted = self._fitted()
        return self._derived(fitted, fitted.parameters, list(range(fitted.n_features)))

    def _bare(self) -> GaussianMixture:
        return GaussianMixture()

    def _m_step(self) -> MSteps:
        return partial(Variational, prior=self._prior, reg_covar=self.reg_covar)

    def _prior(self, rows: Rows, structure: Structure) -> tuple[VariationalPrior, list[Repair]]:
        """Return the priors, those that are not given as scikit-learn takes them from the rows; and their repairs."""
        given, repairs = self._given_prior(structure, len(rows.origin)), list[Repair]()
        mean, scale = given["mean"], given["scale"]
        if mean is None or scale is None:
            of_rows, covariance = rows.moments(structure)
            total = rows.total * rows.weight_unit
            mean = of_rows if mean is None else mean
            if scale is None:
                scale, repairs = _proper(rows, structure, covariance * (total / max(total - 1, 0.5 * total)))
        concentration = self.weight_concentration_prior
        weights = WEIGHT_PRIORS[self.weight_concentration_prior_type]
        return VariationalPrior(
            structure,
            weights(1.0 / self.n_components if concentration is None else concentration),
            NormalWishart.of(structure, given["mean_precision"], mean, given["degrees_of_freedom"], scale),
            self.posterior == "exact",
        ), repairs

    def _given_prior(self, structure: Structure, n_features: int) -> dict[str, Any]:
        """Return the arguments of the priors, checked; None for those that come from the rows."""
        mean, scale, degrees = self.mean_prior, self.covariance_prior, self.degrees_of_freedom_prior
        if degrees is not None:
            check_degrees_of_freedom(degrees, n_features)
        return {
            "mean_precision": 1.0 if self.mean_precision_prior is None else self.mean_precision_prior,
            "mean": None if mean is None else check_prior_mean(mean, n_features),
            "degrees_of_freedom": n_features if degrees is None else degrees,
            "scale": None if scale is None else check_prior_covariance(scale, structure, n_features),
        }

    def _starting_values(self, structure: Structure, n_features: int) -> StartingValues:
        self._given_prior(structure, n_features)
        return super()._starting_values(structure, n_features)

    def _reached(self, state: Mapping[str, Any]) -> Parameters:
        """Return the posterior that a fit has left, as parameters."""
        own = self._fitted(state).parameters
        if not all(name in state for name in OWN):
            return own
        counts = np.asarray(state["mean_precision_"]) - state["mean_precision_prior_"]
        counts = np.maximum(counts, 10 * np.finfo(np.float64).eps)
        return Parameters(counts / counts.sum(), own.means, own.covariances, own.precisions_cholesky)

    def _evaluated(self, attributes: Mapping[str, Any] | None = None) -> Fitted:
        """Return the mixture that rows are compared with, of expected logarithms; plug-in where none are known."""
        state = vars(self) if attributes is None else attributes
        plug_in = self._fitted(state)
        if not all(name in state for name in OWN):
            return plug_in
        names = ("weight_concentration_", "degrees_of_freedom_", "mean_precision_")
        concentration, *others = (np.atleast_1d(array) for array in fitted_attributes(self, state, *names))
        exact = state.get("posterior") == "exact"
        return _with_expected_logs(plug_in, exact, concentration.shape, concentration.tobytes(), *map(bytes, others))

    def _attributes(
        self,
        structure: Structure,
        fit: Fit,
        dtype: np.dtype[Any],
        n_samples: float,
        names: NDArray[np.object_] | None = None,
        records: list[FitRecord] | None = None,
    ) -> dict[str, Any]:
        found = super()._attributes(structure, fit, np.dtype(np.float64), n_samples, names, records)
        m_step = fit.m_step
        assert isinstance(m_step, Variational)
        posterior, weights, prior = m_step.posterior(fit.parameters), m_step.prior.weights, m_step.prior.components
        scale = prior.scale if structure.shared else prior.scale[0]
        degrees = posterior.degrees_of_freedom
        return found | {
            "weights_": weights.mean(posterior.counts),
            "weight_concentration_prior_": weights.concentration,
            "weight_concentration_": weights.posterior(posterior.counts),
            "mean_precision_prior_": prior.mean_precision,
            "mean_precision_": posterior.mean_precision,
            "mean_prior_": prior.mean.copy(),
            "degrees_of_freedom_prior_": prior.degrees_of_freedom,
            "degrees_of_freedom_": float(degrees[0]) if structure.shared else degrees,
            "covariance_prior_": scale.copy() if scale.ndim else float(scale),
            "elbo_": found["lower_bound_"] + m_step.dropped(len(posterior.counts)),
        }


def _proper(rows: Rows, structure: Structure, scale: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[Repair]]:
    """Return the scale of a prior, its variances raised where the rows leave it singular, and that repair."""
    own = np.array(scale if structure.shared else scale[None])
    degeneracy = Degeneracy(rows, structure)
    if degeneracy.acceptable((np.ones(1), rows.origin[None], own), float(np.finfo(rows.dtype).eps)):
        return scale, []
    structure.regularize(own, RIDGE * structure.per_feature(degeneracy.spread))
    remedy = f"variances raised by {RIDGE:g} of the usual ones"
    return own if structure.shared else own[0], [Repair(0, None, "singular as a prior", remedy)]


@lru_cache(maxsize=32)
def _with_expected_logs(
    plug_in: Fitted, exact: bool, shape: tuple[int, ...], concentration: bytes, degrees: bytes, mean_precision: bytes
) -> Fitted:
    """Return a mixture with expected logarithms of weights, from the attributes of its posterior; remembered."""
    structure, own = plug_in.structure, plug_in.parameters
    weights = np.frombuffer(concentration).reshape(shape)
    log_weights = Sticks.expected_log_of(*weights) if len(shape) == 2 else Dirichlet.expected_log_of(weights)
    nu, beta = np.frombuffer(degrees), np.frombuffer(mean_precision)
    digammas = summed_digammas(nu, plug_in.n_features, of_gammas(structure, exact))
    expected = evaluated_log_weights(log_weights, digammas, nu, beta, plug_in.n_features)
    parameters = Parameters(own.weights, own.means, own.covariances, own.precisions_cholesky, expected)
    return Fitted(structure, parameters, plug_in.feature_names)
