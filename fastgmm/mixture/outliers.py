"""Rows that stand out: those of low density, and those between components."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.masked import masked
from ..sources.intake import check_sample_weight
from ..sources.responsibilities import map_responsibilities
from .base import BaseMixture, Floats
from .checks import check_contamination
from .protocol import overrides

__all__ = ["Outliers"]


class Outliers(BaseMixture):
    """uncertainty, anomaly_scores and anomaly_threshold: rows that stand out."""

    @masked
    def uncertainty(self, X: Any) -> Floats:
        """Return how uncertain the label of each row is.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        uncertainties : ndarray of shape (n_samples,)
            Probability that a row comes from another component than `predict` says, from 0 to 1 - 1 / n_components;
            float32 for float32 rows, else float64.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture(2, means_init=[[0], [9]]).fit([[0.0], [1.0], [8.0], [9.0]])
        >>> mixture.uncertainty([[0.5], [4.5]]).round(3)
        array([0. , 0.5])
        """

        def others(rows: slice, X: NDArray[Any], responsibilities: NDArray[Any]) -> NDArray[Any]:
            responsibilities[np.arange(len(responsibilities)), responsibilities.argmax(axis=1)] = 0
            return responsibilities.sum(axis=1)  # not one less the largest, which has no digits left where that is one

        if overrides(self, BaseMixture, "predict_proba"):
            responsibilities = np.array(self.predict_proba(X))
            return others(slice(None), responsibilities, responsibilities)
        fitted = self._fitted()
        with self._rows(X, fitted) as source:
            return np.concatenate(map_responsibilities(source, source.model(fitted), others))

    @masked
    def anomaly_scores(self, X: Any) -> Floats:
        """Return how unusual each row is.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            -log p(x): the larger, the less the mixture expects such a row. `anomaly_threshold` says what is large.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture(reg_covar=0).fit([[-1.0], [1.0]])
        >>> mixture.anomaly_scores([[0.0], [4.0]]).round(2)
        array([0.92, 8.92])
        """
        return -self.score_samples(X)

    @masked
    def anomaly_threshold(self, X: Any, contamination: float = 0.01, sample_weight: Any = None) -> float:
        """Return the anomaly score that a given share of rows exceeds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows among which outliers are as frequent as ``contamination`` says: those of `fit`, as a rule.
        contamination : float, default=0.01
            Share of the rows that are outliers, above 0 and at most 0.5.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts: with a row of weight 3 the threshold is that of three equal rows.

        Returns
        -------
        threshold : float
            The quantile 1 - ``contamination`` of the scores; rows above it are outliers. Infinite if more rows than
            that are too far from every mean for their density to be a number above zero.

        Raises
        ------
        ValueError
            If ``contamination`` is out of range, or a weight.
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import GaussianMixture
        >>> X = np.append(np.linspace(-1, 1, 99), 9.0)[:, np.newaxis]
        >>> mixture = GaussianMixture().fit(X)
        >>> threshold = mixture.anomaly_threshold(X, contamination=0.01)
        >>> np.flatnonzero(mixture.anomaly_scores(X) > threshold)
        array([99])
        """
        check_contamination(contamination)
        scores = np.asarray(self.anomaly_scores(X))  # of a Dask collection, one number for each row comes here
        if sample_weight is None:
            threshold = float(np.quantile(scores, 1 - contamination))
            if not math.isfinite(threshold):  # there is nothing between a number and infinity
                threshold = float(np.quantile(scores, 1 - contamination, method="lower"))
            return threshold
        return weighted_quantile(scores, 1 - contamination, check_sample_weight(sample_weight, len(scores)))


@masked
def weighted_quantile(values: NDArray[Any], share: float, weights: NDArray[np.float64]) -> float:
    """Return the quantile of values that count so many times, as `numpy.quantile` of repeated ones has it.

    Between two neighbors among repeated values it goes from one to the other: it is the mean of the quantile function,
    which has steps, over the weight of one value from share (total - 1) on (A. Akinshin, Weighted quantile estimators,
    2023). Where weights are below 1 in the mean, that mean stands for the 1, so that equal weights are none.
    """
    order = np.argsort(values, kind="stable")
    order = order[weights[order] > 0]
    ordered, reached = values[order], np.cumsum(weights[order])
    one = min(1.0, reached[-1] / len(reached))
    begin = share * (reached[-1] - one)
    reached = np.clip(reached, begin, begin + one)
    parts = np.diff(reached, prepend=begin) / one
    part = parts > 0
    lowest = ordered[part][0]
    quantile = lowest + parts[part] @ (ordered[part] - lowest)  # equal values are their own quantile, to the last bit
    return float(values.dtype.type(quantile if math.isfinite(quantile) else lowest))
