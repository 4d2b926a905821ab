"""What `partial_fit` does: batches of rows that come once."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..fitting.convergence import PARTIAL
from ..fitting.em import Fit
from ..fitting.mstep import Maximization
from ..fitting.stream import Stream
from ..model.structure import Structure
from ..sources.intake import as_source, total_weight
from ..sources.passes import GROUP_WORK
from ..sources.source import Source
from .checks import check_feature_names, check_n_features, feature_names
from .estimation import Estimation, warn_of_repairs
from .progress import DEBUG, tell

__all__ = ["Streaming"]


ALONE = 4 * GROUP_WORK  # multiply-adds of a pass that is over before other threads have started


class Waiting(NamedTuple):
    """Rows that came first, too few to start from, and their weights."""

    X: NDArray[Any]
    weights: NDArray[np.float64]


class Streaming(Estimation):
    """The method that estimates the parameters of a mixture from batches of rows."""

    learning_decay: float
    n_samples_seen_: float

    _stream: Stream | None
    _waiting: Waiting | None

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
        name = type(self).__name__
        self._check_params(self.get_params())
        fitted = hasattr(self, "means_")
        if fitted:
            check_feature_names(X, getattr(self, "feature_names_in_", None), name)
        names = feature_names(X)
        how = {"sample_weight": sample_weight, "missing": self.missing}
        with as_source(X, name, n_threads=self.n_threads, **how) as source:
            scale = total_weight(source, sample_weight) / source.total
            if fitted:
                check_n_features(source.n_features, np.shape(self.means_)[-1], name)
                return self._learn(source, scale, {})
            waiting = self._gathered(source, scale)
        if len(waiting.X) < max(2, self.n_components * (source.n_features + 1)):
            self._waiting = waiting
            return self
        weights = None if (waiting.weights == 1).all() else waiting.weights
        with self._source(waiting.X, weights) as source:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                fit, records = self._best_fit(source)
            first = type(self)(**self.get_params())._adopt(self._attributes(fit, source.dtype))
            first._learn(source, waiting.weights.sum() / source.total, {"fits_": records})
        named = {} if names is None else {"feature_names_in_": names}
        return self._adopt(vars(first) | named)

    def _learn(self, source: Source, scale: float, others: dict[str, Any]) -> Self:
        """Take over what a batch tells; ``scale`` is what a weight of one in the source stands for."""
        structure, state = self._structure(), vars(self)  # of one moment, should another thread refit
        stream, earlier = state.get("_stream"), state.get("lower_bounds_", [])
        if stream is None:
            stream, earlier = self._begun(structure, state.get("n_samples_seen_", 0.0)), []
        maximization = partial(Maximization, structure=structure, reg_covar=self.reg_covar, degenerate=self.degenerate)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what overflows is refused or repaired
            alone = source.work(structure, self.n_components) < ALONE
            rows = source.inline() if alone else source
            batch = rows.statistics(structure, stream.parameters).scaled(scale)
            after = stream.step(structure, batch, self.learning_decay, maximization)
            fit = Fit(after.averaged, [batch.mean_log_likelihood], PARTIAL, after.repairs)
            dtype = np.promote_types(np.asarray(self.means_).dtype, source.dtype)
            attributes = self._attributes(fit, dtype) | others
        attributes |= {"n_iter_": len(earlier) + 1, "lower_bounds_": [*earlier, *attributes["lower_bounds_"]]}
        told = len(earlier) + 1, source.n_samples, batch.mean_log_likelihood
        tell(DEBUG, "batch %d: %d rows, mean log-likelihood %.9g", *told)
        warn_of_repairs(after.repairs[len(stream.repairs) :])
        names = {name: getattr(self, name) for name in ("feature_names_in_",) if hasattr(self, name)}
        return self._adopt(attributes | names | {"_stream": after, "n_samples_seen_": after.n_samples})

    def _begun(self, structure: Structure, n_samples: float) -> Stream:
        """Return where a stream begins that goes on from parameters, which come from so many rows."""
        parameters = self._parameters()
        if not n_samples > 0:
            return Stream(parameters, parameters)
        reg_covar = 0.0 if isinstance(self.reg_covar, str) else self.reg_covar
        resolution = float(np.finfo(np.asarray(self.means_).dtype).eps)
        with np.errstate(divide="ignore", invalid="ignore"):  # a component may have no rows
            return Stream.after(structure, parameters, n_samples, reg_covar, resolution)

    def _gathered(self, source: Source, scale: float) -> Waiting:
        """Return the rows that wait together with those of a batch."""
        rows = source.take(None)
        weights = np.full(len(rows.X), scale) if rows.weights is None else rows.weights.astype(np.float64) * scale
        waiting = getattr(self, "_waiting", None)
        if waiting is None:
            return Waiting(np.array(rows.X), weights)
        check_n_features(source.n_features, waiting.X.shape[1], type(self).__name__)
        return Waiting(np.concatenate([waiting.X, rows.X]), np.concatenate([waiting.weights, weights]))
