"""What estimators with a variational posterior have in common: priors, posterior and its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..fitting.em import Fit
from ..fitting.mstep import MSteps
from ..fitting.records import FitRecord
from ..fitting.repair import Degeneracy, Repair, Rows
from ..fitting.starts import StartingValues
from ..fitting.variational import Moves, Variational
from ..model.fitted import Fitted
from ..model.parameters import Parameters
from ..model.posterior import VariationalPrior, evaluated_log_weights, of_gammas, summed_digammas
from ..model.priors import Dirichlet, NormalWishart, Sticks
from ..model.structure import Structure
from .attributes import fitted_attributes
from .base import SMALL
from .checks import check_degrees_of_freedom, check_prior_covariance, check_prior_mean
from .conversion import Conversion
from .persistence import Persistent
from .streaming import Streaming

__all__ = ["WEIGHT_PRIORS", "Bayesian"]

WEIGHT_PRIORS: dict[str, type[Dirichlet] | type[Sticks]] = {
    "dirichlet_process": Sticks,
    "dirichlet_distribution": Dirichlet,
}
OWN = ("mean_precision_", "degrees_of_freedom_", "weight_concentration_", "mean_prior_", "covariance_prior_")
NUMBERS = ("weight_concentration_prior_", "mean_precision_prior_", "degrees_of_freedom_prior_")


class Bayesian(Streaming, Persistent, Conversion):
    """Fits of a posterior, and the attributes that it leaves."""

    _numbers = (*NUMBERS, "elbo_")
    _converted = (*OWN, *NUMBERS)
    weights_init = means_init = precisions_init = None  # not arguments of these estimators
    _repairs_prior = True  # taken from rows whose covariance is singular; else it is refused

    weight_concentration_prior_type: str
    weight_concentration_prior: float | None
    mean_precision_prior: float | None
    mean_prior: ArrayLike | None
    degrees_of_freedom_prior: float | None
    covariance_prior: ArrayLike | float | None
    posterior: str
    prior: str | None
    sort: bool
    prune: bool

    elbo_: float
    weight_concentration_prior_: float
    weight_concentration_: NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]
    mean_precision_prior_: float
    mean_precision_: NDArray[np.float64]
    mean_prior_: NDArray[np.float64]
    degrees_of_freedom_prior_: float
    degrees_of_freedom_: NDArray[np.float64] | float
    covariance_prior_: NDArray[np.float64] | float

    def _m_step(self, state: Mapping[str, Any] | None = None) -> MSteps:
        prior = self._prior if state is None or not _has_posterior(state) else self._prior_of(state)
        moves = Moves(bool(self.sort), bool(self.prune), self.prior == "auto" and state is None)
        return partial(Variational, prior=prior, reg_covar=self.reg_covar, moves=moves)

    def _prior_of(self, state: Mapping[str, Any]) -> VariationalPrior:
        """Return the priors of a fit."""
        structure = self._structure(state)
        names = ("mean_prior_", "covariance_prior_")
        mean, scale = fitted_attributes(self, state, *names)
        weights = WEIGHT_PRIORS[self.weight_concentration_prior_type](float(state["weight_concentration_prior_"]))
        own = float(state["mean_precision_prior_"]), mean, float(state["degrees_of_freedom_prior_"]), scale
        how = len(state["mean_precision_"]), self.posterior == "exact", self.prior == "auto"
        return VariationalPrior(structure, weights, NormalWishart.of(structure, *own), *how)

    def _prior(self, rows: Rows, structure: Structure) -> tuple[VariationalPrior, list[Repair]]:
        """Return the priors, those that are not given as scikit-learn takes them from the rows; and their repairs."""
        given, repairs = self._given_prior(structure, len(rows.origin)), list[Repair]()
        mean, scale = given["mean"], given["scale"]
        if mean is None or scale is None:
            of_rows, covariance = rows.moments(structure)
            total = rows.total * rows.weight_unit
            mean = of_rows if mean is None else mean
            if scale is None:
                unbiased = covariance * (total / max(total - 1, 0.5 * total))
                scale, repairs = Degeneracy(rows, structure).proper(unbiased)
                if repairs and not self._repairs_prior:
                    raise ValueError("The covariance of the rows, which is the prior's, is singular.")
        concentration = self.weight_concentration_prior
        weights = WEIGHT_PRIORS[self.weight_concentration_prior_type]
        return VariationalPrior(
            structure,
            weights(1.0 / self.n_components if concentration is None else concentration),
            NormalWishart.of(structure, given["mean_precision"], mean, given["degrees_of_freedom"], scale),
            self.n_components,
            self.posterior == "exact",
        ), repairs

    def _check_in_sklearn(self) -> None:
        if of_gammas(self._structure(), self.posterior == "exact"):
            raise ValueError(
                f"scikit-learn has no posterior='exact' of {self.covariance_type!r} covariances: it would take the "
                "attributes for those of another posterior, with other densities. Convert to_mixture(), the plug-in "
                "mixture, or fit with posterior='compatible'."
            )

    def _own_arrays(self, state: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        return {name: np.atleast_1d(np.asarray(state[name], np.float64)) for name in OWN if name in state}

    def _own_attributes(self, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        structure, (n_components, n_features) = self._structure(), self.means_.shape
        sticks = self.weight_concentration_prior_type == "dirichlet_process"
        scale = structure.covariance_shape(1, n_features)[0 if structure.shared else 1 :]
        shapes = {
            "mean_precision_": (n_components,),
            "degrees_of_freedom_": (1 if structure.shared else n_components,),
            "weight_concentration_": (2, n_components) if sticks else (n_components,),
            "mean_prior_": (n_features,),
            "covariance_prior_": scale or (1,),
        }
        for name, values in arrays.items():
            if name not in shapes or values.shape != shapes[name]:
                raise ValueError(f"its {name} has shape {values.shape}, not {shapes.get(name)}")
            if not np.isfinite(values).all() or (name in OWN[:3] and values.min() <= 0):
                raise ValueError(f"its {name} holds {values.min()}")
        found: dict[str, Any] = dict(arrays)
        if "weight_concentration_" in found and sticks:
            found["weight_concentration_"] = tuple(found["weight_concentration_"])
        scalars = {"degrees_of_freedom_": structure.shared, "covariance_prior_": not scale}
        for name, is_scalar in scalars.items():
            if is_scalar and name in found:
                found[name] = float(found[name][0])
        return found

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
        if not _has_posterior(state):
            return own
        counts = np.asarray(state["mean_precision_"]) - state["mean_precision_prior_"]
        counts = np.maximum(counts, 10 * np.finfo(np.float64).eps)
        return Parameters(counts / counts.sum(), own.means, own.covariances, own.precisions_cholesky)

    def _evaluated(self, attributes: Mapping[str, Any] | None = None) -> Fitted:
        """Return the mixture that rows are compared with, of expected logarithms; plug-in where none are known."""
        state = vars(self) if attributes is None else attributes
        plug_in = self._fitted(state)
        if not _has_posterior(state):
            return plug_in
        names = ("weight_concentration_", "degrees_of_freedom_", "mean_precision_")
        concentration, *others = (np.atleast_1d(array) for array in fitted_attributes(self, state, *names))
        exact = state.get("posterior") == "exact"
        small = plug_in.parameters.precisions_cholesky.nbytes + plug_in.parameters.means.nbytes <= SMALL
        found = _remembered if small else _with_expected_logs
        return found(plug_in, exact, concentration.shape, concentration.tobytes(), *map(bytes, others))

    def _attributes(
        self,
        structure: Structure,
        fit: Fit,
        dtype: np.dtype[Any],
        n_samples: float,
        names: NDArray[np.object_] | None = None,
        records: list[FitRecord] | None = None,
    ) -> dict[str, Any]:
        m_step = fit.m_step
        assert isinstance(m_step, Variational)
        fit = replace(fit, parameters=m_step.prior.completed(fit.parameters))
        found = super()._attributes(structure, fit, np.dtype(np.float64), n_samples, names, records)
        posterior, weights, prior = m_step.posterior(fit.parameters), m_step.prior.weights, m_step.prior.components
        scale = prior.scale if structure.shared else prior.scale[0]
        degrees = posterior.degrees_of_freedom
        return found | {
            "weights_": weights.mean(posterior.counts),
            "weight_concentration_prior_": float(weights.concentration),
            "weight_concentration_": weights.posterior(posterior.counts),
            "mean_precision_prior_": float(prior.mean_precision),
            "mean_precision_": posterior.mean_precision,
            "mean_prior_": prior.mean.copy(),
            "degrees_of_freedom_prior_": float(prior.degrees_of_freedom),
            "degrees_of_freedom_": float(degrees[0]) if structure.shared else degrees,
            "covariance_prior_": scale.copy() if scale.ndim else float(scale),
            "elbo_": float(found["lower_bound_"] + m_step.dropped),
        }


def _has_posterior(state: Mapping[str, Any]) -> bool:
    """Return whether attributes are those of a fit, not of a mixture set by hand."""
    return all(name in state for name in (*OWN, *NUMBERS))


def _with_expected_logs(
    plug_in: Fitted, exact: bool, shape: tuple[int, ...], concentration: bytes, degrees: bytes, mean_precision: bytes
) -> Fitted:
    """Return a mixture with expected logarithms of weights, from the attributes of its posterior."""
    structure, own = plug_in.structure, plug_in.parameters
    weights = np.frombuffer(concentration).reshape(shape)
    log_weights = Sticks.expected_log_of(*weights) if len(shape) == 2 else Dirichlet.expected_log_of(weights)
    nu, beta = np.frombuffer(degrees), np.frombuffer(mean_precision)
    digammas = summed_digammas(nu, plug_in.n_features, of_gammas(structure, exact))
    expected = evaluated_log_weights(log_weights, digammas, nu, beta, plug_in.n_features)
    parameters = Parameters(own.weights, own.means, own.covariances, own.precisions_cholesky, expected)
    return Fitted(structure, parameters, plug_in.feature_names)


_remembered = lru_cache(maxsize=32)(_with_expected_logs)  # for one row it costs more than densities
