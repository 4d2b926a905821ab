"""Criteria by which mixtures of the same rows are compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..model.fitted import Fitted
from ..model.masked import masked
from ..sources.intake import total_weight
from .base import BaseMixture, weighted_mean
from .protocol import overrides

__all__ = ["Criteria"]


class Criteria(BaseMixture):
    """bic, aic and icl: the likelihood of a mixture against the number of its parameters."""

    @masked
    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Return the Bayesian information criterion of the mixture on ``X``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts; their sum stands for n_samples.

        Returns
        -------
        bic : float
            -2 log-likelihood + (number of free parameters) log(n_samples); the lower the better.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        References
        ----------
        G. Schwarz. Estimating the dimension of a model. Annals of Statistics 6(2), 1978.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> X = [[0.0], [1.0], [8.0], [9.0]]
        >>> GaussianMixture(2, means_init=[[0], [9]]).fit(X).bic(X) < GaussianMixture(1).fit(X).bic(X)
        True
        """
        fitted = self._fitted()
        deviance, n_samples = self._deviance(fitted, X, sample_weight)
        return deviance + fitted.n_parameters * math.log(n_samples)

    @masked
    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Return the Akaike information criterion of the mixture on ``X``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts.

        Returns
        -------
        aic : float
            -2 log-likelihood + 2 (number of free parameters); the lower the better.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        References
        ----------
        H. Akaike. A new look at the statistical model identification. IEEE Transactions on Automatic Control 19(6),
        1974.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> X = [[0.0], [1.0], [8.0], [9.0]]
        >>> GaussianMixture(2, means_init=[[0], [9]]).fit(X).aic(X) < GaussianMixture(1).fit(X).aic(X)
        True
        """
        fitted = self._fitted()
        return self._deviance(fitted, X, sample_weight)[0] + 2 * fitted.n_parameters

    @masked
    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Return the integrated completed likelihood criterion: the BIC, and a penalty for rows that lie between.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts; their sum stands for n_samples.

        Returns
        -------
        icl : float
            BIC - 2 sum of the logarithms of each row's largest responsibility; the lower the better.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        References
        ----------
        C. Biernacki, G. Celeux, G. Govaert. Assessing a mixture model for clustering with the integrated completed
        likelihood. IEEE Transactions on Pattern Analysis and Machine Intelligence 22(7), 2000.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> X = [[0.0], [1.0], [8.0], [9.0]]
        >>> mixture = GaussianMixture(2, means_init=[[0], [9]]).fit(X)
        >>> mixture.bic(X) <= mixture.icl(X) < GaussianMixture(1).fit(X).icl(X)
        True
        """
        fitted = self._fitted()
        if overrides(self, BaseMixture, "score_samples", "predict_proba"):
            log_likelihood, n_samples = weighted_mean(self.score_samples(X), sample_weight)
            log_largest, _ = weighted_mean(np.log(np.max(self.predict_proba(X), axis=1)), sample_weight)
        else:
            with self._rows(X, fitted, sample_weight) as source:
                n_samples = total_weight(source, sample_weight)
                log_likelihood, log_largest = source.icl_terms(source.model(fitted))
        return -2 * n_samples * (log_likelihood + log_largest) + fitted.n_parameters * math.log(n_samples)

    def _deviance(self, fitted: Fitted, X: Any, sample_weight: Any) -> tuple[float, float]:
        """Return -2 log-likelihood, and the number of rows that it is of."""
        if overrides(self, BaseMixture, "score_samples"):
            mean, n_samples = weighted_mean(self.score_samples(X), sample_weight)
            return -2 * n_samples * mean, n_samples
        with self._rows(X, fitted, sample_weight) as source:
            n_samples = total_weight(source, sample_weight)
            return -2 * n_samples * source.log_likelihood(source.model(fitted)), n_samples
