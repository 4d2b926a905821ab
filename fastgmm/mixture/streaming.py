"""partial_fit: batches of rows that need not be seen again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..fitting.em import Fit
from ..fitting.records import FitRecord
from ..fitting.stream import Stream, WaitingRows, steady
from ..model.masked import masked
from ..model.structure import Structure
from ..model.units import Units
from ..sources.columns import Names
from ..sources.intake import as_source, total_weight
from ..sources.passes import GROUP_WORK
from ..sources.source import Source
from .checks import check_n_features
from .ending import to_the_end, warn_of_repairs
from .estimation import Estimation
from .progress import DEBUG, tell

__all__ = ["Streaming"]


SERIAL_WORK = 4 * GROUP_WORK  # multiply-adds of a pass that is over before other threads have started
KEPT_BOUNDS = 1000  # bounds of the last batches, for a stream has no end


class Streaming(Estimation):
    """partial_fit: stepwise EM over batches of rows."""

    learning_decay: float
    n_samples_seen_: float

    _stream: Stream | None
    _pending: WaitingRows | None

    @masked
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from a batch of rows that need not be seen again, by stepwise EM.

        The first batch is fitted as by `fit`, unless there are parameters already. Fitted ones, loaded from a file or
        not, count as a batch of the ``n_samples_seen_`` rows they come from; those set by hand are where the first
        batch starts from, and count nothing. Each further batch is one E-step and one M-step, of statistics in which it
        has the weight (its rows / all rows so far) ** ``learning_decay``. With ``learning_decay=1`` nothing is
        forgotten.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows, as for `fit`; one will do. While batches are small, the first rows wait until there are enough
            for an estimate that the next ones do not upset; until then the mixture is not fitted. The notes say how
            many that are.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts, beside those of other batches too: without a prior only ratios matter.

        Returns
        -------
        self : GaussianMixture
            With the attributes of a fit; ``n_iter_`` counts batches, ``lower_bounds_`` are the mean log-likelihoods of
            the last 1000 of them before they were learned from, ``n_samples_seen_`` is the number of rows so far, and
            ``degenerate_`` has the first repair of each component and problem.

        Raises
        ------
        ValueError, TypeError
            As `fit`, or if the batch has other features than those before, or ``n_components`` or
            ``covariance_type`` has changed. What was learned stays.
        KeyboardInterrupt
            If Ctrl-C is pressed. Then nothing was learned from the batch, unless it was in the iterations of the first
            estimate, which keeps what `fit` keeps.

        Warns
        -----
        DegenerateComponentWarning
            If components were repaired, once for each.

        Notes ----- A stream in batches of at most b rows remembers the last n ** decay * b ** (1 - decay) of n rows or
        so. The first estimate waits until that is four times the number of free parameters divided by the number of
        features, and until there are n_components * (n_features + 1) rows: a first batch of so many does not wait. A
        fit of rows that have waited has to be sound, without repairs and (unless there is a proper prior, under which
        components may be empty) with enough rows for each component; otherwise more rows wait, up to 16 times as many,
        or a million numbers. ``max_time`` limits this fit; other batches are learned from whole.

        For a million rows and more, batches of some thousand rows reach the likelihood of a full fit in little more
        time than one pass of it. ``fit`` begins anew; ``weights_init`` and its like hold for the first batch alone.

        References
        ----------
        O. Cappé, E. Moulines. On-line expectation-maximization algorithm for latent data models. Journal of the Royal
        Statistical Society B 71(3), 2009.

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import GaussianMixture
        >>> rng = np.random.RandomState(0)
        >>> mixture = GaussianMixture(2, random_state=0)
        >>> for _ in range(50):
        ...     batch = rng.normal(size=(200, 1)) + 6 * rng.randint(2, size=(200, 1))
        ...     _ = mixture.partial_fit(batch)
        >>> int(mixture.n_samples_seen_), np.sort(mixture.means_.ravel()).round() + 0.0
        (10000, array([0., 6.]))
        """
        name, state = type(self).__name__, vars(self)
        self._check_params()
        begun = "means_" in state
        pending = None if begun else state.get("_pending")
        known = state.get("feature_names_in_") if begun else pending and pending.feature_names
        names = Names(name, known, fixed=begun)
        how = {"sample_weight": sample_weight, "missing": self.missing}
        with as_source(X, names, n_threads=self.n_threads, **how) as source:
            scale = total_weight(source, sample_weight) / source.total
            if begun:
                check_n_features(source.n_features, np.shape(state["means_"])[-1], name)
                self._check_unchanged(state, source.n_features, "Keep what was fitted, or begin anew with fit.")
                return self._grown(state, self._learned(state, source, scale))
            batch = self._with_waiting(pending, source, scale)
        learned = self._begun(state, batch)
        return self if learned is None else self._grown(state, learned)

    def set_partial_fit_request(self, *, sample_weight: bool | str | None = None) -> Self:
        """Say whether scikit-learn's meta-estimators are to pass sample weights on to ``partial_fit``.

        Parameters
        ----------
        sample_weight : bool, str or None, default=None
            As for `set_fit_request`.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        RuntimeError
            If scikit-learn's metadata routing is not enabled.

        Examples
        --------
        >>> import sklearn
        >>> from fastgmm import GaussianMixture
        >>> with sklearn.config_context(enable_metadata_routing=True):
        ...     mixture = GaussianMixture().set_partial_fit_request(sample_weight="weights")
        >>> mixture.get_metadata_routing().partial_fit.requests
        {'sample_weight': 'weights'}
        """
        return self._request("partial_fit", sample_weight)

    def _grown(self, before: dict[str, Any], learned: dict[str, Any]) -> Self:
        """Take over what was learned, after a warning of components that have not been repaired before."""
        stream = before.get("_stream")
        known = set() if stream is None else {repair.component for repair in stream.repairs}
        new = [repair for repair in learned["degenerate_"] if repair.component not in known]

        def end() -> None:
            warn_of_repairs(new)
            self._adopt(learned)

        to_the_end(end)
        return self

    def _with_waiting(self, waiting: WaitingRows | None, source: Source, scale: float) -> WaitingRows:
        """Return the rows that wait together with those of a batch."""
        if waiting is not None and waiting.n_samples:
            check_n_features(source.n_features, waiting.batches[0].shape[1], type(self).__name__)
        rows = source.take(None)
        weights = np.full(len(rows.X), scale) if rows.weights is None else rows.weights.astype(np.float64) * scale
        own = np.array(rows.X)[weights > 0], weights[weights > 0]
        return (waiting or WaitingRows()).added(*own, source.feature_names)

    def _begun(self, state: dict[str, Any], waiting: WaitingRows) -> dict[str, Any] | None:
        """Return the attributes after a first estimate from the rows that wait; None while they wait on."""
        structure, settings = self._structure(), self._settings().begun()
        size = structure, self.n_components
        patient = waiting.may_wait(*size, self.learning_decay)
        if not waiting.worth_a_try(*size, self.learning_decay) or (patient and not waiting.observed()):
            self._pending = waiting
            return None
        X, weights = waiting.together()
        with self._rows_to_fit(X, None if (weights == 1).all() else weights) as source:
            n_samples = float(weights.sum())
            attributes = partial(self._begun_with, structure, source, n_samples, waiting.feature_names)
            fit, found = self._best_fit(source, self._plans(source, structure, settings), settings, attributes)
            if patient and not steady(fit, settings.m_step(source, structure), len(X)):
                self._pending = waiting.tried_in_vain()
                return None
            state = state | found() | {"n_samples_seen_": 0.0}
            return self._learned(state, source, n_samples / source.total)

    def _begun_with(
        self,
        structure: Structure,
        source: Source,
        n_samples: float,
        names: NDArray[np.object_] | None,
        fit: Fit,
        records: list[FitRecord],
    ) -> dict[str, Any]:
        """Return the attributes after a first estimate."""
        return self._attributes(structure, fit, source.dtype, n_samples, names, records)

    def _learned(self, state: dict[str, Any], source: Source, scale: float) -> dict[str, Any]:
        """Return the attributes after a batch; ``state`` are those before.

        A weight of one in the source stands for a weight of ``scale`` in the stream.
        """
        structure, settings = self._structure(state), self._settings(state)
        dtype = np.promote_types(np.asarray(state["means_"]).dtype, source.dtype)
        stream, earlier = state.get("_stream"), state.get("lower_bounds_", [])
        if stream is None:
            stream, earlier = self._stream_after(state), []
        source.units = Units.of_mixture(structure, stream.parameters)  # known, so that none need be sought
        source.weight_unit = stream.n_samples / source.total + scale  # the batch stands for all rows so far
        serial = source.work(structure, self.n_components) < SERIAL_WORK
        rows = source.single_threaded() if serial else source
        m_step = settings.m_step(source, structure)
        found = rows.statistics(structure, m_step.evaluated(stream.parameters))
        batch = found.in_data_units().scaled(scale)
        bound = m_step.value(batch, stream.parameters) - m_step.offset(batch)
        after = stream.step(structure, batch, self.learning_decay, settings.m_step)
        fit = after.shown(structure, bound, settings.m_step)
        attributes = self._attributes(structure, fit, dtype, after.n_samples, state.get("feature_names_in_"))
        tell(
            DEBUG,
            "batch %d: %d rows, mean log-likelihood %.9g",
            after.n_steps,
            source.n_samples,
            batch.mean_log_likelihood,
        )
        bounds = [*earlier[1 - KEPT_BOUNDS :], *attributes["lower_bounds_"]]
        kept = {name: state[name] for name in ("fits_", "searched_") if name in state}
        return attributes | kept | {"n_iter_": after.n_steps, "lower_bounds_": bounds, "_stream": after}

    def _stream_after(self, state: dict[str, Any]) -> Stream:
        """Return the stream state equivalent to one batch of the rows that the parameters come from."""
        structure, parameters, n_samples = self._structure(state), self._reached(state), state.get("n_samples_seen_", 0)
        if not n_samples > 0:
            return Stream(parameters, parameters)
        resolution = float(np.finfo(np.asarray(state["means_"]).dtype).eps)
        if "covariances_" not in state:
            covariances = structure.invert_factors(parameters.precisions_cholesky)
            parameters = replace(parameters, covariances=covariances)
        return Stream.after(structure, parameters, n_samples, resolution, self._m_step(state))
