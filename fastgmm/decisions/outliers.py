"""Rows of low density as outliers, in the conventions of scikit-learn's outlier detectors."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..mixture.checks import CONTAMINATION
from ..mixture.ending import to_the_end
from .holder import MIXTURE, Holder, Mixture

__all__ = ["GaussianMixtureOutlierDetector"]

Floats = NDArray[np.floating[Any]]

CONSTRAINTS = {"mixture": MIXTURE, "contamination": CONTAMINATION}


class GaussianMixtureOutlierDetector(Holder):
    """Outlier detector: rows to which a Gaussian mixture gives a low density are outliers.

    A mixture is fitted to all rows, outliers included; the share of rows that ``contamination`` says have the lowest
    densities and are outliers, and so is any new row of lower density than the others. Methods, labels and signs are
    those of scikit-learn's outlier detectors, ``sklearn.covariance.EllipticEnvelope`` and its like.

    Parameters
    ----------
    mixture : GaussianMixture or BayesianGaussianMixture, default=None
        What is fitted, with all its options: the number of components, ``missing='em'`` for rows with gaps,
        ``covariance_ratio`` or ``prior`` so that no component collapses onto a few outliers. It stays as it is: a copy
        is fitted. None is ``GaussianMixture()``, whose single component makes an ellipse.
    contamination : float, default=0.1
        Share of the rows that are outliers, above 0 and at most 0.5.

    Attributes
    ----------
    mixture_ : GaussianMixture or BayesianGaussianMixture
        The fitted mixture.
    offset_ : float
        The log density below which a row is an outlier: the quantile ``contamination`` of those of the rows fitted.
    n_features_in_ : int
        Number of features seen by ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen by ``fit``, if these are all strings.

    See Also
    --------
    GaussianMixture.anomaly_threshold : The same threshold of a mixture that is there.

    Notes
    -----
    A component may settle on outliers that lie together, and its rows then count as usual ones. Few components, or
    ``GaussianMixture(noise='auto')`` with its component of constant density, leave them out.

    It is kept by `pickle`. ``mixture_.save`` keeps the mixture in a file that executes nothing when it is loaded: keep
    ``offset_`` beside it.

    References
    ----------
    C. M. Bishop. Novelty detection and neural network validation. IEE Proceedings: Vision, Image and Signal Processing
    141(4), 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, GaussianMixtureOutlierDetector
    >>> X = np.append(np.linspace(-1, 1, 99), 9.0)[:, np.newaxis]
    >>> detector = GaussianMixtureOutlierDetector(GaussianMixture(reg_covar=0), contamination=0.01)
    >>> np.flatnonzero(detector.fit_predict(X) == -1)
    array([99])
    >>> detector.predict([[0.0], [7.0]])
    array([ 1, -1])
    """

    mixture_: Mixture
    offset_: float

    _constraints = CONSTRAINTS
    _found = "mixture_"

    def __init__(self, mixture: Mixture | None = None, *, contamination: float = 0.1) -> None:
        self.mixture = mixture
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the mixture, and find the density below which rows are outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `GaussianMixture.fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts, for the mixture and for ``contamination``.

        Returns
        -------
        self : GaussianMixtureOutlierDetector

        Raises
        ------
        ValueError, TypeError
            If ``contamination`` or ``mixture`` is refused, or by `GaussianMixture.fit`.
        KeyboardInterrupt
            If Ctrl-C is pressed; the detector then is that of the best mixture so far, if there is any.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureOutlierDetector
        >>> detector = GaussianMixtureOutlierDetector(contamination=0.25).fit([[0.0], [1.0], [2.0], [9.0]])
        >>> detector.mixture_.means_
        array([[3.]])
        """
        self._check_params()
        mixture = self._unfitted()

        def end() -> None:
            self._take_over(
                offset_=-mixture.anomaly_threshold(X, self.contamination, sample_weight),
                n_features_in_=mixture.n_features_in_,
                feature_names_in_=getattr(mixture, "feature_names_in_", None),
                mixture_=mixture,
            )

        try:
            mixture.fit(X, sample_weight=sample_weight)
        finally:
            if hasattr(mixture, "means_"):  # also of a fit that was cut short
                to_the_end(end)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.int64]:
        """Fit, and return which rows are outliers, as ``fit(X).predict(X)`` does.

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
            -1 for outliers, 1 for all others.

        Raises
        ------
        ValueError, TypeError, KeyboardInterrupt
            As `fit`.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureOutlierDetector
        >>> GaussianMixtureOutlierDetector(contamination=0.25).fit_predict([[0.0], [1.0], [2.0], [9.0]])
        array([ 1,  1,  1, -1])
        """
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return which rows are outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`; new rows, or those of the fit.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            -1 for outliers, 1 for all others.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `GaussianMixture.score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureOutlierDetector
        >>> GaussianMixtureOutlierDetector().fit([[0.0], [1.0], [2.0]]).predict([[1.0], [7.0]])
        array([ 1, -1])
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def decision_function(self, X: Any) -> Floats:
        """Return how far the log density of each row is above the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        decisions : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``: negative for outliers.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `GaussianMixture.score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureOutlierDetector
        >>> detector = GaussianMixtureOutlierDetector().fit([[0.0], [1.0], [2.0]])
        >>> detector.decision_function([[1.0], [7.0]]).round(2)
        array([  0.75, -26.25])
        """
        return self.score_samples(X) - self.offset_

    def score_samples(self, X: Any) -> Floats:
        """Return the log density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        log_densities : ndarray of shape (n_samples,)
            log p(x) under the mixture: the lower, the more unusual; float32 for float32 rows, else float64.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `GaussianMixture.score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixture, GaussianMixtureOutlierDetector
        >>> detector = GaussianMixtureOutlierDetector(GaussianMixture(reg_covar=0)).fit([[-1.0], [1.0]])
        >>> detector.score_samples([[0.0], [1.0]]).round(2)
        array([-0.92, -1.42])
        """
        mixture: Mixture = self._fitted_attribute()
        return mixture.score_samples(X)

    def __sklearn_tags__(self) -> Any:
        """Describe the detector to scikit-learn's checks and meta-estimators."""
        tags = super().__sklearn_tags__()
        tags.estimator_type = "outlier_detector"
        return tags

    def _fitted_page(self) -> str:
        """Return as HTML the components of the mixture, and the threshold."""
        from ..mixture.notebook import components

        if "mixture_" not in vars(self):
            return super()._fitted_page()
        return f"{components(self.mixture_)}<p>outliers: log density below {self.offset_:.6g}</p>"
