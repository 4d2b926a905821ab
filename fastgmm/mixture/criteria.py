"""Criteria by which mixtures of the same rows are compared."""

from __future__ import annotations

import math
from typing import Any

from ..sources.intake import total_weight
from .base import Mixture
from .checks import fitted_attributes

__all__ = ["Criteria"]


class Criteria(Mixture):
    """The methods that weigh the likelihood of a mixture against the number of its parameters."""

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
        mixture = self._snapshot()
        deviance, n_samples = mixture._deviance(X, sample_weight)
        return deviance + mixture._n_parameters() * math.log(n_samples)

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
        mixture = self._snapshot()
        return mixture._deviance(X, sample_weight)[0] + 2 * mixture._n_parameters()

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
        mixture = self._snapshot()
        source, model = mixture._prepare(X, sample_weight)
        n_samples = total_weight(source, sample_weight)
        with source:
            log_likelihood, certainty = source.certainty(model)
        return -2 * n_samples * (log_likelihood + certainty) + mixture._n_parameters() * math.log(n_samples)

    def _deviance(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        """Return -2 log-likelihood, and the number of rows that it is of."""
        source, model = self._prepare(X, sample_weight)
        n_samples = total_weight(source, sample_weight)
        with source:
            return -2 * n_samples * source.log_likelihood(model), n_samples

    def _n_parameters(self) -> int:
        """Return the number of free parameters of the mixture."""
        (means,) = fitted_attributes(self, "means_")
        return self._structure().n_parameters(*means.shape)
