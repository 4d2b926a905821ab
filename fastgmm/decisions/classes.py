"""Classes as mixtures: Bayes' rule over the densities of one Gaussian mixture for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import warnings_of
from ..mixture.base import densities_of
from ..mixture.checks import ARRAY, NONE, either
from ..mixture.protocol import Scored
from ..model.masked import masked
from ..sources.columns import Names
from ..sources.dask.source import is_dask
from ..sources.intake import as_source, check_sample_weight
from ..text import quoted
from .holder import MIXTURE, Holder, Mixture
from .labels import by_class, check_kind, checked_labels, class_priors, rows_by_class
from .sizes import SIZES, Sizes, class_mixture

__all__ = ["GaussianMixtureClassifier"]

Floats = NDArray[np.floating[Any]]
CONSTRAINTS = {
    "n_components": SIZES,
    "mixture": MIXTURE,
    "priors": either(ARRAY, (lambda v: isinstance(v, Mapping), "a mapping of classes to probabilities"), NONE),
}


class GaussianMixtureClassifier(Holder, Scored):
    """Classifier by Bayes' rule: one Gaussian mixture for each class (mixture discriminant analysis).

    The mixture of each class is fitted to its rows alone. A row belongs to class c with the probability
    prior_c p_c(x) / sum over all classes of prior p(x). With one component each this is quadratic discriminant
    analysis; with more, classes may consist of several groups, or have any shape.

    Parameters
    ----------
    n_components : int, 'bic', sequence of int, or mapping, default=None
        Number of components of each class; a mapping has it class by class. 'bic' takes the number from 1 to 5 of the
        lowest BIC, found by `fastgmm.select` among the rows of the class; a sequence, among its numbers. None takes
        that of ``mixture``.
    mixture : GaussianMixture or BayesianGaussianMixture, default=None
        What is fitted to each class, with all its options: ``covariance_type``, ``missing='em'`` for rows with gaps,
        ``prior`` or ``covariance_ratio`` for classes of few rows. It stays as it is: copies are fitted. None is
        ``GaussianMixture()``. Starting values, if it has some, are those of every class.
    priors : array-like of shape (n_classes,), or mapping, default=None
        Probability of each class, in the order of ``classes_`` or by class. They sum to one. None takes the shares of
        the classes among the rows, weights included.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    class_prior_ : ndarray of shape (n_classes,)
        The probability of each class before its row is seen.
    mixtures_ : list of GaussianMixture or BayesianGaussianMixture
        The fitted mixture of each class, in the order of ``classes_``.
    n_features_in_ : int
        Number of features seen by ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen by ``fit``, if these are all strings.

    See Also
    --------
    GaussianMixture.regress : For a target that is measured.

    Notes
    -----
    It is kept by `pickle`. ``save`` of each of ``mixtures_`` keeps that mixture in a file that executes nothing when it
    is loaded: keep ``classes_`` and ``class_prior_`` beside them.

    References
    ----------
    T. Hastie, R. Tibshirani. Discriminant analysis by Gaussian mixtures. Journal of the Royal Statistical Society B
    58(1), 1996.

    C. Fraley, A. E. Raftery. Model-based clustering, discriminant analysis, and density estimation. Journal of the
    American Statistical Association 97, 2002.

    Examples
    --------
    >>> from fastgmm import GaussianMixtureClassifier
    >>> from fastgmm.datasets import load_iris
    >>> iris = load_iris()
    >>> classifier = GaussianMixtureClassifier(2, priors=[0.25, 0.25, 0.5]).fit(iris.data, iris.target)
    >>> classifier.predict(iris.data[[0, 60, 120]])
    array([0, 1, 2])
    >>> GaussianMixtureClassifier("bic").fit(iris.data, iris.target).score(iris.data, iris.target)
    0.98
    """

    classes_: NDArray[Any]
    class_prior_: NDArray[np.float64]
    mixtures_: list[Mixture]

    _constraints = CONSTRAINTS
    _found = "mixtures_"

    def __init__(
        self,
        n_components: Sizes | Mapping[Any, Sizes] | None = None,
        *,
        mixture: Mixture | None = None,
        priors: ArrayLike | Mapping[Any, float] | None = None,
    ) -> None:
        self.n_components = n_components
        self.mixture = mixture
        self.priors = priors

    @masked
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit a mixture to the rows of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `GaussianMixture.fit`, but for Dask collections. The rows of one class at a time are copied.
        y : array-like of shape (n_samples,)
            The class of each row: whole numbers, strings or bools.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts, for the mixtures and for the shares of the classes.

        Returns
        -------
        self : GaussianMixtureClassifier

        Raises
        ------
        ValueError, TypeError
            If an argument, ``X`` or ``y`` is refused, or the rows of a class by `GaussianMixture.fit` or `select`: a
            class needs two rows, and as many as components.
        KeyboardInterrupt
            If Ctrl-C is pressed: the classifier stays as it was, since classes have no mixture yet.

        Warns
        -----
        ConvergenceWarning, DegenerateComponentWarning, SelectionWarning
            For each class, as `GaussianMixture.fit` and `select`.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureClassifier
        >>> X, y = [[0.0], [1.0], [8.0], [9.0], [10.0]], ["a", "a", "b", "b", "b"]
        >>> GaussianMixtureClassifier({"a": 1, "b": 1}).fit(X, y).class_prior_
        array([0.4, 0.6])
        """
        self._check_params()
        name, empty = type(self).__name__, self._unfitted()
        if is_dask(X):
            raise TypeError(f"{name} takes rows of each class into memory, and no Dask collection: pass X.compute().")
        with as_source(X, Names(name), n_threads=empty.n_threads, missing=empty.missing, for_fit=True) as source:
            labels = checked_labels(y, source.n_samples, name)
            weights = None if sample_weight is None else check_sample_weight(sample_weight, source.n_samples)
            there = np.arange(len(labels)) if weights is None else np.flatnonzero(weights)
            classes, members = rows_by_class(labels, there)
            counts = [len(rows) if weights is None else weights[rows].sum() for rows in members]
            sizes, priors = self._sizes(classes), class_priors(self.priors, classes, counts)
            mixtures = []
            for label, size, rows in zip(classes.tolist(), sizes, members, strict=True):
                if weights is not None and len(rows) == 1 and weights[rows] >= 2:
                    rows = rows.repeat(2)  # which is what it stands for; only ratios of weights matter
                own, subject = None if weights is None else weights[rows], f"Class {quoted(label)}"
                try:
                    with warnings_of(subject):
                        mixtures.append(class_mixture(empty, size, source.take(rows).X, own))
                except ValueError as error:
                    raise ValueError(f"{subject}: {error}") from error
            names = source.feature_names
        if names is not None:
            for mixture in mixtures:
                mixture.feature_names_in_ = names
        self._take_over(
            classes_=classes,
            class_prior_=priors,
            n_features_in_=source.n_features,
            feature_names_in_=names,
            mixtures_=mixtures,
        )
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Of the type of ``classes_``.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `GaussianMixture.score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureClassifier
        >>> classifier = GaussianMixtureClassifier().fit([[0.0], [1.0], [8.0], [9.0]], ["a", "a", "b", "b"])
        >>> classifier.predict([[2.0], [7.0]]).tolist()
        ['a', 'b']
        """
        best = self._joint(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; each row sums to one. Where a row is so far from every class that no density
            is above zero, they are ``class_prior_``.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `GaussianMixture.score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureClassifier
        >>> classifier = GaussianMixtureClassifier().fit([[0.0], [1.0], [8.0], [9.0]], ["a", "a", "b", "b"])
        >>> classifier.predict_proba([[4.5], [9.0]]).round(3)
        array([[0.5, 0.5],
               [0. , 1. ]])
        """
        return np.exp(self.predict_log_proba(X))

    @masked
    def predict_log_proba(self, X: Any) -> Floats:
        """Return the logarithm of the probability of each class for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `GaussianMixture.score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureClassifier
        >>> classifier = GaussianMixtureClassifier().fit([[0.0], [1.0], [8.0], [9.0]], ["a", "a", "b", "b"])
        >>> classifier.predict_log_proba([[4.5]]).round(3)
        array([[-0.693, -0.693]])
        """
        joint = self._joint(X)
        joint = joint - joint.max(axis=1, keepdims=True)
        return joint - np.log(np.exp(joint).sum(axis=1, keepdims=True))

    @masked
    def decision_function(self, X: Any) -> Floats:
        """Return log(prior p(x)) of each class for each row; of two classes, by how much that of the second is larger.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        decisions : ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            The largest is that of the class of `predict`; of two classes it is the second where they are positive.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `GaussianMixture.score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureClassifier
        >>> classifier = GaussianMixtureClassifier().fit([[0.0], [1.0], [8.0], [9.0]], ["a", "a", "b", "b"])
        >>> classifier.decision_function([[4.0], [5.0]]).round(1)
        array([-16.,  16.])
        """
        joint = self._joint(X)
        return joint[:, 1] - joint[:, 0] if joint.shape[1] == 2 else joint

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows whose class is predicted right.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        y : array-like of shape (n_samples,)
            The class of each row.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts.

        Returns
        -------
        accuracy : float

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `GaussianMixture.score_samples`, or if there is not a label, and a weight, for each row, or labels are
            strings and classes numbers, or the reverse.

        Examples
        --------
        >>> from fastgmm import GaussianMixtureClassifier
        >>> X, y = [[0.0], [1.0], [8.0], [9.0]], ["a", "a", "b", "b"]
        >>> GaussianMixtureClassifier().fit(X, y).score([[2.0], [3.0]], ["a", "b"])
        0.5
        """
        found = self.predict(X)
        labels = checked_labels(y, len(found), type(self).__name__)
        check_kind(labels, self.classes_)
        right = labels.astype(object) == found.astype(object)
        weights = None if sample_weight is None else check_sample_weight(sample_weight, len(found))
        return float(np.average(right, weights=weights))

    def __sklearn_tags__(self) -> Any:
        """Describe the classifier to scikit-learn's checks and meta-estimators."""
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags, tags.target_tags.required = "classifier", ClassifierTags(), True
        return tags

    # ---- steps

    def _sizes(self, classes: NDArray[Any]) -> list[Sizes | None]:
        """Return the number of components of each class, or what it is chosen among; None for the mixture's own."""
        if isinstance(self.n_components, Mapping):
            return by_class("n_components", self.n_components, classes)
        return [self.n_components] * len(classes)

    @masked
    @masked
    def _joint(self, X: Any) -> Floats:
        """Return log(prior p(x)) of each class, (N, C); the logarithm of the priors where no density is above zero."""
        log_densities = densities_of(self._fitted_attribute(), X, type(self).__name__)
        log_priors = np.log(self.class_prior_)
        joint = log_densities + log_priors.astype(log_densities.dtype)
        nowhere = joint.max(axis=1) == -np.inf
        joint[nowhere] = log_priors
        return joint

    def _fitted_page(self) -> str:
        """Return as HTML the classes, their shares and their mixtures."""
        from ..mixture.notebook import escape, table

        if "mixtures_" not in vars(self):
            return super()._fitted_page()
        rows = [
            [escape(str(label)), f"{prior:.4f}", str(len(mixture.weights_)), escape(mixture.covariance_type)]
            for label, prior, mixture in zip(self.classes_, self.class_prior_, self.mixtures_, strict=True)
        ]
        return table(["class", "prior", "components", "covariances"], rows)
