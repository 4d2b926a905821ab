"""partial_fit: batches of rows that need not be seen again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..fitting.convergence import PARTIAL
from ..fitting.em import Fit
from ..fitting.stream import Stream
from ..model.units import Units
from ..sources.columns import Names
from ..sources.intake import as_source, total_weight
from ..sources.passes import GROUP_WORK
from ..sources.source import Source
from .checks import check_n_features
from .estimation import Estimation, warn_of_repairs
from .progress import DEBUG, tell

__all__ = ["Streaming"]


SERIAL_WORK = 4 * GROUP_WORK  # multiply-adds of a pass that is over before other threads have started


class PendingRows(NamedTuple):
    """The first rows, their weights and the names of their columns, while they are too few to start from."""

    X: NDArray[Any]
    weights: NDArray[np.float64]
    feature_names: NDArray[np.object_] | None = None


class Streaming(Estimation):
    """partial_fit: stepwise EM over batches of rows."""

    learning_decay: float
    n_samples_seen_: float

    _stream: Stream | None
    _pending: PendingRows | None

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
            The rows, as for `fit`; one will do. The first call waits with its estimate until there are
            n_components * (n_features + 1) rows; until then the mixture is not fitted.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts, beside those of other batches too: only ratios matter.

        Returns
        -------
        self : GaussianMixture
            With the attributes of a fit; ``n_iter_`` counts batches, ``lower_bounds_`` are the mean log-likelihoods of
            batches before they were learned from, and ``n_samples_seen_`` is the number of rows so far.

        Raises
        ------
        ValueError, TypeError
            As `fit`, or if the batch has other features than those before. What was learned stays.

        Warns
        -----
        DegenerateComponentWarning
            If components were repaired.

        Notes
        -----
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
        >>> int(mixture.n_samples_seen_), np.sort(mixture.means_.ravel()).round()
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
                return self._adopt(self._learned(state, source, scale))
            pending = self._with_pending(pending, source, scale)
        if len(pending.X) < max(2, self.n_components * (source.n_features + 1)):
            self._pending = pending
            return self
        weights = None if (pending.weights == 1).all() else pending.weights
        structure, settings = self._structure(), self._settings().begun()
        with self._rows_to_fit(pending.X, weights) as source:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                fit, records = self._best_fit(source, self._plans(source, structure, settings), settings)
                state = state | self._attributes(structure, fit, source.dtype, 0.0, pending.feature_names, records)
            learned = self._learned(state, source, pending.weights.sum() / source.total)
        return self._adopt(learned)

    def _learned(self, state: dict[str, Any], source: Source, scale: float) -> dict[str, Any]:
        """Return the attributes after a batch; ``state`` are those before.

        A weight of one in the source stands for a weight of ``scale`` in the stream.
        """
        structure, settings = self._structure(state), self._settings()
        dtype = np.promote_types(np.asarray(state["means_"]).dtype, source.dtype)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what overflows is refused or repaired
            stream, earlier = state.get("_stream"), state.get("lower_bounds_", [])
            if stream is None:
                stream, earlier = self._stream_after(state), []
            source.units = Units.of_mixture(structure, stream.parameters)  # known, so that none need be sought
            serial = source.work(structure, self.n_components) < SERIAL_WORK
            rows = source.single_threaded() if serial else source
            m_step = settings.m_step(source, structure)
            found = rows.statistics(structure, m_step.evaluated(stream.parameters))
            batch = found.in_data_units().scaled(scale)
            bound = m_step.value(batch, stream.parameters)
            after = stream.step(structure, batch, self.learning_decay, settings.m_step)
            fit = Fit(after.averaged, [bound], PARTIAL, after.repairs)
            attributes = self._attributes(structure, fit, dtype, after.n_samples, state.get("feature_names_in_"))
        tell(
            DEBUG,
            "batch %d: %d rows, mean log-likelihood %.9g",
            len(earlier) + 1,
            source.n_samples,
            batch.mean_log_likelihood,
        )
        warn_of_repairs(after.repairs[len(stream.repairs) :])
        bounds = [*earlier, *attributes["lower_bounds_"]]
        kept = {name: state[name] for name in ("fits_",) if name in state}
        return attributes | kept | {"n_iter_": len(bounds), "lower_bounds_": bounds, "_stream": after}

    def _stream_after(self, state: dict[str, Any]) -> Stream:
        """Return the stream state equivalent to one batch of the rows that the parameters come from."""
        fitted, n_samples = self._fitted(state), state.get("n_samples_seen_", 0.0)
        if not n_samples > 0:
            return Stream(fitted.parameters, fitted.parameters)
        resolution = float(np.finfo(np.asarray(state["means_"]).dtype).eps)
        structure, parameters = fitted.structure, fitted.parameters
        if "covariances_" not in state:
            covariances = structure.invert_factors(parameters.precisions_cholesky)
            parameters = replace(parameters, covariances=covariances)
        return Stream.after(structure, parameters, n_samples, resolution, self._m_step())

    def _with_pending(self, pending: PendingRows | None, source: Source, scale: float) -> PendingRows:
        """Return the pending rows together with those of a batch."""
        rows = source.take(None)
        weights = np.full(len(rows.X), scale) if rows.weights is None else rows.weights.astype(np.float64) * scale
        names = source.feature_names
        if pending is None:
            return PendingRows(np.array(rows.X), weights, names)
        check_n_features(source.n_features, pending.X.shape[1], type(self).__name__)
        return PendingRows(np.concatenate([pending.X, rows.X]), np.concatenate([pending.weights, weights]), names)
