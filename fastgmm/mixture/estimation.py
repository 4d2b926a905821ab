"""What `fit` does: words and checks here, algebra elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import ConvergenceWarning, DegenerateComponentWarning, compatible, warn
from ..fitting.convergence import CALLBACK, INTERRUPT, MAX_ITER, MAX_TIME, Options
from ..fitting.em import Fit, expectation_maximization
from ..fitting.mstep import Maximization, Repair, summary
from ..fitting.restarts import FitRecord, Plan, Progress, best_fit
from ..fitting.starts import prepare
from ..fitting.starts.given import in_order_of
from ..fitting.starts.methods import Goal, Start, fixed
from ..model.parameters import Parameters
from ..sources.intake import as_source, total_weight
from ..sources.source import Source
from .base import Mixture
from .checks import (
    check_means,
    check_precisions,
    check_random_state,
    check_weights,
    feature_names,
)
from .progress import DEBUG, INFO, Logged, Printed, listener, tell

__all__ = ["Estimation", "warn_of_repairs"]

Starts = tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, NDArray[np.float64] | None]

# Attributes that not every fit sets.
TRANSIENT = ("feature_names_in_", "n_samples_seen_", "_stream", "_waiting")

# What the warning says of a fit that ended before it converged; the first in scikit-learn's words.
NOT_CONVERGED = {
    MAX_ITER: "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
    "tol, or check for degenerate data.",
    MAX_TIME: "The fit stopped at max_time = {max_time} s before it converged, with the best parameters so far. Allow "
    "more time, increase tol, or try acceleration='squarem'.",
    CALLBACK: "The callback stopped the fit before it converged; the best parameters so far are kept.",
    INTERRUPT: "The fit was interrupted before it converged; the best parameters so far are kept.",
}


class Estimation(Mixture):
    """The methods that estimate the parameters of a mixture from rows."""

    n_components: int
    tol: float
    reg_covar: float | str
    max_iter: int
    n_init: int
    init_params: str | Callable[..., ArrayLike] | ArrayLike
    weights_init: ArrayLike | None
    means_init: ArrayLike | None
    precisions_init: ArrayLike | None
    warm_start: bool
    verbose: int
    verbose_interval: int
    acceleration: str | None
    convergence: str
    max_time: float | None
    degenerate: str
    callback: Callable[[int, float, float], object] | None
    drop_restarts: bool

    converged_: bool
    stop_reason_: str
    degenerate_: list[Repair]
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    fits_: list[FitRecord]

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the parameters by EM from ``n_init`` starts and keep the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of numbers: an array of any order, strides, byte order and numeric dtype, a list, or a pandas,
            polars or pyarrow table. A float32 or float64 array is not copied, and one that is mapped from a file is
            read block by block. `fastgmm.sources` takes rows from files and chunks of any kind. With a dask.array or
            Dask DataFrame (``pip install fastgmm[dask]``) the work is done where the chunks lie, on the caller's
            ``distributed.Client`` if there is one: see the notes.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts: a row of weight 3 is three equal rows, one of weight 0 is absent. Only
            ratios matter. None means 1 each.

        Returns
        -------
        self : GaussianMixture

        Raises
        ------
        ValueError
            If a constructor argument is out of range, if ``X`` holds infinity, complex numbers or (unless
            ``missing='em'``) NaN, is not two-dimensional, has fewer rows than 2 or ``n_components`` or a column of NaN
            alone, if squares of its numbers overflow, if a starting value does not fit, or, with
            ``degenerate='raise'``, if a covariance becomes ill-defined.
        TypeError
            If ``X`` is sparse or a constructor argument has the wrong type.
        KeyboardInterrupt
            If Ctrl-C comes before the first iteration is done.

        Warns
        -----
        ConvergenceWarning
            If the fit ended before it converged: at ``max_iter``, at ``max_time``, by the callback or by Ctrl-C.
        DegenerateComponentWarning
            If components of the best fit were repaired.

        Notes
        -----
        Of a Dask collection the chunks are computed once and stay on their workers until the fit ends. In each
        iteration a worker returns the statistics of its chunks, n_components (n_features (n_features + 1) / 2 +
        n_features + 1) numbers each, however many the rows. They are added up in a tree of fixed order: the same chunks
        give the same bits each time, and those of the fit in memory up to rounding. What a lost worker held is computed
        again. Starts see the sample of rows that they see in memory; weights, and responsibilities given as
        ``init_params``, pass through this process. An iteration costs some 12 ms and 1 ms for each chunk beyond the
        computation: a few chunks for each thread, of 10 MB and more, are best. ``predict``, ``predict_proba`` and
        ``score_samples`` return dask.arrays that are computed when asked for.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture().fit([[0.0], [2.0], [4.0]]).means_
        array([[2.]])
        """
        mixture = self._snapshot()
        with mixture._source(X, sample_weight) as source:
            attributes = mixture._estimate(source, feature_names(X))
            attributes["n_samples_seen_"] = float(total_weight(source, sample_weight))
        return self._adopt(attributes)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.int64]:
        """Fit, and return the most probable component of each row, as ``fit(X).predict(X)`` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Numbers of the components, from 0.

        Raises
        ------
        ValueError, TypeError
            As `fit`.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture(2, means_init=[[0], [9]], random_state=0).fit_predict([[0.0], [1.0], [8.0], [9.0]])
        array([0, 0, 1, 1])
        """
        mixture = self._snapshot()
        with mixture._source(X, sample_weight) as source:
            attributes = mixture._estimate(source, feature_names(X))
            attributes["n_samples_seen_"] = float(total_weight(source, sample_weight))
            labels = source.labels(mixture._adopt(attributes)._applied(source))
        self._adopt(attributes)
        return labels

    def _adopt(self, attributes: dict[str, Any]) -> Self:
        """Take over fitted attributes in one step; some that an earlier fit has left do not survive it."""
        kept = {name: value for name, value in vars(self).copy().items() if name not in TRANSIENT}
        self.__dict__ = kept | attributes
        return self

    def _source(self, X: Any, sample_weight: Any = None) -> Source:
        """Return checked rows as a source, after the checks of the arguments and of the columns' names."""
        name = type(self).__name__
        self._check_params(self.get_params())
        feature_names(X)
        source = as_source(
            X, name, n_threads=self.n_threads, sample_weight=sample_weight, missing=self.missing, learning=True
        )
        n_samples = source.n_samples if source.weights is None else int(np.count_nonzero(source.weights))
        if n_samples < self.n_components:
            rows = "" if source.weights is None else " (rows of positive weight)"
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {n_samples}{rows}. Decrease n_components or pass more rows."
            )
        return source

    def _estimate(self, source: Source, names: NDArray[np.object_] | None) -> dict[str, Any]:
        """Run EM and return the fitted attributes, leaving the estimator as it is."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what overflows is refused or repaired
            fit, records = self._best_fit(source)
            attributes = self._attributes(fit, source.dtype) | {"fits_": records}
        if not fit.converged and self.max_iter > 0:
            message = NOT_CONVERGED[fit.stop_reason].format(max_time=self.max_time)
            warn(message, compatible(ConvergenceWarning))
        warn_of_repairs(fit.repairs)
        return attributes if names is None else attributes | {"feature_names_in_": names}

    def _best_fit(self, source: Source) -> tuple[Fit, list[FitRecord]]:
        """Run EM from each start; return the fit with the largest lower bound, and what became of all."""
        structure = self._structure()
        given = self._starting_values(source.n_features)
        random_state = check_random_state(self.random_state)
        options = self._options()
        warm = self.warm_start and hasattr(self, "converged_")
        plans = []
        for _ in range(1 if warm else self.n_init):
            maximize = Maximization(source, structure, self.reg_covar, self.degenerate)
            if warm:
                start = fixed(self._previous(source.n_features))
            else:
                start = self._start(source, given, random_state, maximize)
            em = partial(
                expectation_maximization, structure=structure, tol=self.tol, maximize=maximize, options=options
            )
            plans.append(Plan(start, em))
        tell(
            INFO,
            "fit begins: %d rows of %d features, %d %s components, %d initialization(s)",
            *(source.n_samples, source.n_features, self.n_components, self.covariance_type, len(plans)),
        )
        fit, records = best_fit(
            source,
            structure,
            self.n_components,
            plans,
            max_iter=self.max_iter,
            drop=bool(self.drop_restarts) and self.acceleration is None,  # which does not gain step by step
            progress=self._progress(),
            previous_bound=float(self.lower_bound_) if warm else -math.inf,
            in_order=self.verbose > 0 or self.callback is not None,
        )
        tell(
            INFO,
            "fit ended: %s after %d iteration(s) and %.3f s, lower bound %.9g, %d repair(s)",
            *(fit.stop_reason, len(fit.lower_bounds), perf_counter() - options.started),
            *(fit.lower_bounds[-1] if fit.lower_bounds else -math.inf, len(fit.repairs)),
        )
        return fit, records

    def _progress(self) -> Progress:
        """Return who is told how it goes: what prints, behind what logs if anybody listens."""
        progress = Printed(self.verbose, self.verbose_interval)
        logger = listener(DEBUG)
        return progress if logger is None else Logged(logger, progress)

    def _options(self) -> Options:
        """Return how EM goes on and when it ends, with the clock started."""
        return Options(self.acceleration, self.convergence, self.max_time, self.callback, perf_counter())

    def _starting_values(self, n_features: int) -> Starts:
        """Return the user's starting weights, means and precisions, checked; None for those not given."""
        shape = self._structure().covariance_shape(self.n_components, n_features)
        weights, means, precisions = self.weights_init, self.means_init, self.precisions_init
        return (
            None if weights is None else check_weights(weights, self.n_components),
            None if means is None else check_means(means, self.n_components, n_features),
            None if precisions is None else check_precisions(precisions, self.covariance_type, shape),
        )

    def _start(
        self,
        source: Source,
        given: Starts,
        random_state: np.random.RandomState | np.random.Generator,
        maximize: Maximization,
    ) -> Start:
        """Draw a start: the user's parameters, completed by ``init_params``."""
        structure = self._structure()
        weights, means, precisions = given
        if weights is not None and means is not None and precisions is not None:
            return fixed(structure.from_precisions(weights, means, precisions))
        if precisions is not None:  # what is found beside them is thrown away, and so are its repairs
            maximize = Maximization(source, structure, 1.0, "repair")
        k, method, sample = self.n_components, self.init_params, source.sample(self.n_components)
        if sample is not None and not isinstance(method, str) and not callable(method):
            given_for = np.asarray(method)
            method = given_for[sample] if len(given_for) == source.n_samples else given_for
        drawn = prepare(source.complete(k), Goal(structure, k, maximize), method, random_state)

        def start(source: Source) -> Parameters:
            found = drawn(source.complete(k))
            if means is not None and isinstance(method, str):
                found, maximize.repairs[:] = in_order_of(means, found, structure, maximize.repairs)
            pi, mu = found.weights if weights is None else weights, found.means if means is None else means
            if precisions is None:
                return replace(found, weights=pi, means=mu)
            return structure.from_precisions(pi, mu, precisions)

        return start

    def _previous(self, n_features: int) -> Parameters:
        """Return the parameters of the previous fit, for a warm start."""
        parameters = self._parameters()
        seen, expected = parameters.means.shape, (self.n_components, n_features)
        if seen != expected:
            raise ValueError(
                f"warm_start cannot go on from means_ of shape {seen}: n_components and X now ask for {expected}. "
                "Set warm_start=False, or keep n_components and the number of features."
            )
        return parameters

    def _attributes(self, fit: Fit, dtype: np.dtype[Any]) -> dict[str, Any]:
        """Return the fitted attributes, numbers in the given dtype."""
        parameters = fit.parameters
        arrays = {
            "weights_": parameters.weights,
            "means_": parameters.means,
            "covariances_": parameters.covariances,
            "precisions_": self._structure().precisions(parameters.precisions_cholesky),
            "precisions_cholesky_": parameters.precisions_cholesky,
        }
        bounds = [dtype.type(bound) for bound in fit.lower_bounds]
        rounded = {name: np.array(values, dtype=dtype) for name, values in arrays.items()}
        if not all(np.isfinite(values).all() for values in rounded.values()):
            raise ValueError(
                f"The covariances or precisions of the mixture overflow in {dtype}: the means are as large as "
                f"{np.abs(parameters.means).max():.3g}. Divide each column of X by its standard deviation"
                f"{', or pass float64 rows' if dtype == np.float32 else ''}."
            )
        return rounded | {
            "converged_": fit.converged,
            "stop_reason_": fit.stop_reason,
            "degenerate_": fit.repairs,
            "n_iter_": len(bounds),
            "lower_bound_": bounds[-1] if bounds else -math.inf,
            "lower_bounds_": bounds,
            "n_features_in_": parameters.means.shape[1],
        }


def warn_of_repairs(repairs: list[Repair]) -> None:
    """Issue the warning that names the components that were repaired, if there are any."""
    if repairs:
        warn(
            f"Components were repaired: {summary(repairs)}. Decrease n_components, increase reg_covar, or check for "
            "constant, collinear or repeated data; degenerate_ lists all repairs.",
            DegenerateComponentWarning,
        )
