"""fit and fit_predict: checks, messages, fitted attributes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..fitting.em import Fit
from ..fitting.mstep import MSteps
from ..fitting.optima.sampled import Sampled, searching
from ..fitting.records import FitRecord, Searched
from ..fitting.repair import Repair
from ..fitting.restarts import Plan, Plans, Progress, Restarts, alone, drawn_plans
from ..fitting.settings import Settings
from ..fitting.starts import StartingValues
from ..fitting.starts.methods import fixed
from ..model.masked import masked
from ..model.parameters import Parameters
from ..model.structure import Structure
from ..sources.columns import Names
from ..sources.intake import as_source, total_weight
from ..sources.rows import all_finite
from ..sources.source import Source
from ..text import quoted
from .attributes import fitted_attributes
from .bar import BAR
from .base import BaseMixture
from .checks import check_means, check_precisions, check_random_state, check_weights, seeded
from .ending import to_the_end, warn_of_end, warn_of_repairs
from .noise import NAMES as NOISE
from .noise import check_same_noise, noise_attributes
from .progress import INFO, listener, reporting, tell_begin, tell_end
from .protocol import overrides

__all__ = ["Estimation"]

AUTO = "auto"  # n_init: as many starts as a search takes
MAY_OVERFLOW = ("means_", "covariances_", "precisions_")  # where the squares of factors do not, factors do not

# Attributes that not every fit sets.
TRANSIENT = ("feature_names_in_", "fits_", "searched_", "n_samples_seen_", *NOISE, "_stream", "_pending")


class Estimation(BaseMixture):
    """fit and fit_predict: EM from several starts, of which the best fit is kept."""

    n_components: int
    tol: float
    reg_covar: float | str
    max_iter: int
    n_init: int | str
    init_params: str | Callable[..., ArrayLike] | ArrayLike
    weights_init: ArrayLike | None
    means_init: ArrayLike | None
    precisions_init: ArrayLike | None
    warm_start: bool
    verbose: int | str
    verbose_interval: int
    acceleration: str | None
    convergence: str
    max_time: float | None
    degenerate: str
    callback: Callable[[int, float, float], object] | None
    drop_restarts: bool
    sampling: str | None

    _m_step: Callable[..., MSteps]  # a hook: makes the M-step of each fit, or of more rows of one with attributes

    converged_: bool
    stop_reason_: str
    degenerate_: list[Repair]
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    fits_: list[FitRecord]
    searched_: Searched

    @masked
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
            How many times each row counts: a row of weight 3 is three equal rows, one of weight 0 is absent. Without a
            prior only ratios matter. None means 1 each.

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
            If Ctrl-C is pressed. The best parameters so far are then those of the estimator, with ``stop_reason_``
            'interrupt'; before the first iteration is done it stays as it was.
        Exception
            Whatever ``callback`` raises, with the same care; ``stop_reason_`` is then 'callback'.

        Warns
        -----
        ConvergenceWarning
            If the fit ended before it converged: at ``max_iter``, at ``max_time``, or by the callback.
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
        computation: a few chunks for each thread, of 10 MB and more, are best. ``max_time`` is looked at between
        iterations. ``predict``, ``predict_proba`` and
        ``score_samples`` return dask.arrays that are computed when asked for.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture().fit([[0.0], [2.0], [4.0]]).means_
        array([[2.]])
        """
        with self._rows_to_fit(X, sample_weight) as source:
            self._estimate(source, sample_weight)
        return self

    @masked
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
            Numbers of the components, from 0; -1 for noise.

        Raises
        ------
        ValueError, TypeError, KeyboardInterrupt
            As `fit`; once the fit is done the estimator keeps it, whatever happens then.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture(2, means_init=[[0], [9]], random_state=0).fit_predict([[0.0], [1.0], [8.0], [9.0]])
        array([0, 0, 1, 1])
        """
        if overrides(self, Estimation, "fit", "predict"):
            given = {} if sample_weight is None else {"sample_weight": sample_weight}
            return self.fit(X, **given).predict(X)
        with self._rows_to_fit(X, sample_weight) as source:
            attributes = self._estimate(source, sample_weight)
            return source.labels(source.model(self._evaluated(vars(self) | attributes)))

    # ---- steps of a fit

    def _adopt(self, attributes: Mapping[str, Any]) -> Self:
        """Take over fitted attributes in one step; some that an earlier fit has left do not survive it."""
        kept = vars(self).copy()
        for name in TRANSIENT:
            kept.pop(name, None)
        self.__dict__ = kept | dict(attributes)
        return self

    def _settings(self, state: Mapping[str, Any] | None = None) -> Settings:
        """Return the constructor's arguments that every fit heeds; for more rows of a fit that has left attributes."""
        return Settings(
            tol=self.tol,
            max_iter=self.max_iter,
            convergence=self.convergence,
            acceleration=self.acceleration,
            n_init=1 if isinstance(self.n_init, str) else self.n_init,
            drop_restarts=bool(self.drop_restarts),
            max_time=self.max_time,
            callback=self.callback,
            sampling=self.sampling,
            m_step=self._m_step(state),
        )

    def _reached(self, state: Mapping[str, Any]) -> Parameters:
        """Return the parameters that a fit has left, to go on from."""
        fitted = self._fitted(state)
        return fitted.structure.own(fitted.parameters)

    def _rows_to_fit(self, X: Any, sample_weight: Any = None) -> Source:
        """Return checked rows as a source, after the checks of the arguments."""
        self._check_params()
        how = {"sample_weight": sample_weight, "missing": self.missing, "for_fit": True}
        source = as_source(X, Names(type(self).__name__), n_threads=self.n_threads, **how)
        self._structure().check_features(source.n_features)
        n_samples = source.n_samples if source.weights is None else int(np.count_nonzero(source.weights))
        if n_samples < self.n_components:
            rows = "" if source.weights is None else " (rows of positive weight)"
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {n_samples}{rows}. Decrease n_components or pass more rows."
            )
        return source

    def _estimate(self, source: Source, sample_weight: Any) -> dict[str, Any]:
        """Run EM, warn, take over the fitted attributes, and return them."""
        fit, attributes = self._found(source, sample_weight)

        def end() -> dict[str, Any]:
            found = attributes()
            if self.max_iter > 0:
                warn_of_end(fit, self.max_time)
            warn_of_repairs(fit.repairs)  # as an error, a warning leaves the estimator as it is
            self._adopt(found)
            return found

        return to_the_end(end)

    def _found(self, source: Source, sample_weight: Any) -> tuple[Fit, Callable[[], dict[str, Any]]]:
        """Run EM; return the fit, and what makes attributes of it."""
        settings, structure, state = self._settings().begun(), self._structure(), vars(self)
        warm: Parameters | None = None
        if self.warm_start and "converged_" in state:
            self._check_unchanged(state, source.n_features, "Set warm_start=False, or keep what was fitted.")
            warm = self._reached(state)
        plans = self._plans(source, structure, settings, warm)
        bound = state.get("lower_bound_", -math.inf)  # scikit-learn's, of a shared covariance, is an array of one
        previous_bound = -math.inf if warm is None else float(np.asarray(bound).item())

        def attributes(fit: Fit, records: list[FitRecord]) -> dict[str, Any]:
            n_samples = float(total_weight(source, sample_weight))
            return self._attributes(structure, fit, source.dtype, n_samples, source.feature_names, records)

        return self._best_fit(source, plans, settings, attributes, previous_bound)

    def _plans(self, source: Source, structure: Structure, settings: Settings, warm: Parameters | None = None) -> Plans:
        """Draw the starts, one after the other, or start from a mixture that is known."""
        given = self._starting_values(structure, source.n_features)
        random_state = (check_random_state if callable(self.init_params) else seeded)(self.random_state)
        if warm is not None:
            m_step = settings.m_step(source, structure)
            return Plans([Plan(fixed(m_step.started(warm)), m_step)])
        sizes = structure, self.n_components
        plans = drawn_plans(source, *sizes, settings, given, self.init_params, random_state)
        return Plans(plans, int(random_state.choice(2**31 - 1)) if self.n_init == AUTO else None)

    def _best_fit(
        self,
        source: Source,
        plans: Plans,
        settings: Settings,
        attributes: Callable[[Fit, list[FitRecord]], dict[str, Any]],
        previous_bound: float = -math.inf,
    ) -> tuple[Fit, Callable[[], dict[str, Any]]]:
        """Run EM from each start; return the best fit, and what makes attributes of it and of a record of each.

        Where Ctrl-C or the callback cuts that short, the attributes of the best fit so far are taken over.
        """
        silent = self.verbose == 0 and listener(INFO) is None and plans.seed is None
        if silent and (found := alone(source, plans.starts, settings)) is not None:
            return found[0], partial(attributes, *found)
        tell_begin(source, self.n_components, self.covariance_type, plans)
        with reporting(self.verbose, self.verbose_interval, plans, self.max_iter) as progress:
            return self._best_of(self._restarts(source, plans, settings, progress, previous_bound), attributes)

    def _best_of(
        self, restarts: Restarts | Sampled, attributes: Callable[[Fit, list[FitRecord]], dict[str, Any]]
    ) -> tuple[Fit, Callable[[], dict[str, Any]]]:
        """Return the best fit of restarts, and what makes attributes of it."""

        def with_search(fit: Fit, records: list[FitRecord]) -> dict[str, Any]:
            searched = restarts.searched
            return attributes(fit, records) | ({} if searched is None else {"searched_": searched})

        try:
            fit, records = restarts.run()
        except BaseException as error:
            cut_short = partial(restarts.cut_short, error)

            def keep() -> None:
                if (found := cut_short()) is not None:
                    self._adopt(with_search(*found))

            with suppress(ValueError):  # what cannot be held in the type of the rows is of no use
                to_the_end(keep)
            raise
        tell_end(fit, restarts.settings.started)
        return fit, partial(with_search, fit, records)

    def _restarts(
        self, source: Source, plans: Plans, settings: Settings, progress: Progress, previous_bound: float
    ) -> Restarts | Sampled:
        """Return what runs EM from each start, or what searches from there."""
        own = source, self.n_components, plans.starts, settings
        if plans.seed is not None:
            return searching(*own, plans.seed, progress=progress)
        in_order = self.verbose not in (0, BAR) or self.callback is not None
        return Restarts(*own, progress=progress, previous_bound=previous_bound, in_order=in_order)

    def _starting_values(self, structure: Structure, n_features: int) -> StartingValues:
        """Return the user's starting weights, means and precisions, checked; None for those not given."""
        sizes = self.n_components, n_features
        weights, means, precisions = self.weights_init, self.means_init, self.precisions_init
        if weights is not None and structure.equal_weights:
            raise ValueError(
                f"weights_init={quoted(weights)} with equal_weights=True, by which all weights are 1 / n_components: "
                "leave one of these arguments out."
            )
        return StartingValues(
            None if weights is None else check_weights(weights, self.n_components, all_of_it=not structure.noisy),
            None if means is None else check_means(means, *sizes),
            None if precisions is None else check_precisions(precisions, structure, *sizes),
        )

    def _check_unchanged(self, state: Mapping[str, Any], n_features: int, remedy: str) -> None:
        """Refuse to go on from parameters of another number of components or features, or another structure."""
        factors, means = fitted_attributes(self, state, "precisions_cholesky_", "means_")
        check_same_noise(state, remedy)
        if means.ndim == 2 and not self._structure().may_own(factors, *means.shape):
            raise ValueError(
                f"covariance_type is {self.covariance_type!r} now, but the parameters to go on from are of another: "
                f"their precisions_cholesky_ have shape {quoted(factors.shape)}. {remedy}"
            )
        if means.shape != (self.n_components, n_features):
            raise ValueError(
                f"The parameters to go on from have means_ of shape {quoted(means.shape)}: n_components and X now ask "
                f"for {(self.n_components, n_features)}. {remedy}"
            )

    def _attributes(
        self,
        structure: Structure,
        fit: Fit,
        dtype: np.dtype[Any],
        n_samples: float,
        names: NDArray[np.object_] | None = None,
        records: list[FitRecord] | None = None,
    ) -> dict[str, Any]:
        """Return the fitted attributes, numbers in the given dtype."""
        parameters = fit.parameters
        arrays = {
            "weights_": parameters.weights,
            "means_": parameters.means,
            "covariances_": parameters.covariances,
            "precisions_": structure.precisions(parameters.precisions_cholesky),
            "precisions_cholesky_": parameters.precisions_cholesky,
        }
        bounds = [dtype.type(bound) for bound in fit.lower_bounds]
        rounded = {name: np.array(values, dtype=dtype) for name, values in arrays.items()}
        if not all(all_finite(rounded[name].reshape(-1, 1)) for name in MAY_OVERFLOW):
            raise ValueError(
                f"The covariances or precisions of the mixture overflow in {dtype}: the means are as large as "
                f"{np.abs(parameters.means).max():.3g}. Divide each column of X by its standard deviation"
                f"{', or pass float64 rows' if dtype == np.float32 else ''}."
            )
        optional = {"feature_names_in_": names, "fits_": records}
        return rounded | {
            "converged_": fit.converged,
            "stop_reason_": fit.stop_reason,
            "degenerate_": fit.repairs,
            "n_iter_": len(bounds),
            "lower_bound_": bounds[-1] if bounds else -math.inf,
            "lower_bounds_": bounds,
            "n_features_in_": parameters.means.shape[1],
            "n_samples_seen_": n_samples,
            **noise_attributes(parameters),
            **{name: value for name, value in optional.items() if value is not None},
        }
