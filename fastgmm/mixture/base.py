"""Densities, responsibilities and labels under a fitted mixture: the base of every estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..model.factors import IllDefinedCovariance
from ..model.fitted import Fitted
from ..model.masked import masked
from ..model.parameters import Parameters
from ..model.structure import Structure
from ..model.structures import STRUCTURES
from ..sources.columns import Names
from ..sources.intake import as_source, check_sample_weight
from ..sources.source import Source
from .attributes import check_factors, check_shapes, check_weights_and_means, fitted_attributes
from .checks import Constraints, check_n_features, check_out, check_parameters
from .noise import noise_of
from .protocol import Scored, arguments_of, overrides

if TYPE_CHECKING:
    from ..gaussian_mixture import GaussianMixture

__all__ = [
    "FITTED",
    "SMALL",
    "BaseMixture",
    "Floats",
    "check_arguments",
    "check_no_overflow",
    "checked_out",
    "densities_of",
    "fitted",
    "rows_of",
    "structure_of",
    "weighted_mean",
]

Floats = NDArray[np.floating[Any]]  # of single precision where rows are, else of double precision

FITTED = ("weights_", "means_", "precisions_cholesky_")
LEAST_WEIGHT = 1e-300  # of all that is no noise
SMALL = 1 << 15  # bytes of parameters up to which a `Fitted` is kept from one call to the next


class BaseMixture(Scored):
    """Densities, responsibilities and labels of rows under a mixture, fitted or set by hand.

    Nothing but the public attributes ``weights_``, ``means_`` and ``precisions_cholesky_`` is read.
    """

    _constraints: ClassVar[Constraints]
    _bare: Callable[[], GaussianMixture]  # a hook of the estimator: an empty mixture of no subclass

    covariance_type: str
    random_state: int | np.random.RandomState | np.random.Generator | None
    n_threads: int | None
    missing: str

    weights_: Floats
    means_: Floats
    covariances_: Floats
    precisions_: Floats
    precisions_cholesky_: Floats
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    @classmethod
    def _plain(cls) -> type[BaseMixture]:
        """Return the class of the library that an estimator is of: a hook."""
        raise NotImplementedError

    def score_samples(self, X: Any, *, out: Floats | None = None) -> Floats:
        """Return the log-likelihood of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        out : ndarray, default=None
            Where to put the result, of its shape and type; a memory map serves where it does not fit into memory.

        Returns
        -------
        log_likelihoods : ndarray of shape (n_samples,)
            log p(x) of each row, float32 for float32 rows, else float64.

        Raises
        ------
        NotFittedError
            If there are no parameters yet.
        ValueError, TypeError
            If the rows are refused as by `fit`, or have other features than the mixture.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture(reg_covar=0).fit([[-1.0], [1.0]])
        >>> mixture.score_samples([[0.0], [1.0]]).round(2)
        array([-0.92, -1.42])
        """
        fitted = self._evaluated()
        with self._rows(X, fitted) as source:
            return source.log_likelihoods(source.model(fitted), checked_out(out, source, source.dtype))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean log-likelihood per row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`; the mean is weighted.

        Returns
        -------
        log_likelihood : float

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> round(GaussianMixture(reg_covar=0).fit([[-1.0], [1.0]]).score([[-1.0], [1.0]]), 2)
        -1.42
        """
        if overrides(self, BaseMixture, "score_samples"):
            return weighted_mean(self.score_samples(X), sample_weight)[0]
        fitted = self._evaluated()
        with self._rows(X, fitted, sample_weight) as source:
            return source.log_likelihood(source.model(fitted))

    def predict(self, X: Any, *, out: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        out : ndarray, default=None
            Where to put the result, of its shape and type; a memory map serves where it does not fit into memory.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Numbers of the components, from 0; -1 for noise.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        Examples
        --------
        A mixture with known parameters needs no ``fit``:

        >>> import numpy as np
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture(2, covariance_type="spherical")
        >>> mixture.weights_ = np.array([0.5, 0.5])
        >>> mixture.means_ = np.array([[0.0], [10.0]])
        >>> mixture.precisions_cholesky_ = np.array([1.0, 1.0])
        >>> mixture.predict([[1.0], [8.0]])
        array([0, 1])
        """
        fitted = self._evaluated()
        with self._rows(X, fitted) as source:
            return source.labels(source.model(fitted), checked_out(out, source, np.dtype(np.int64)))

    def predict_proba(self, X: Any, *, out: Floats | None = None) -> Floats:
        """Return the probability of each component for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        out : ndarray, default=None
            Where to put the result, of its shape and type; a memory map serves where it does not fit into memory.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Each row sums to one; float32 for float32 rows, else float64. With noise it is the last of n_components + 1
            columns. Of many rows and components, probabilities below half the machine epsilon over n_components may be
            given as 0.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture(2, means_init=[[0], [9]]).fit([[0.0], [1.0], [8.0], [9.0]])
        >>> mixture.predict_proba([[0.5], [8.5]]).round(3)
        array([[1., 0.],
               [0., 1.]])
        """
        fitted = self._evaluated()
        with self._rows(X, fitted) as source:
            out = checked_out(out, source, source.dtype, fitted.n_columns)
            return source.responsibilities(source.model(fitted), out)

    def _check_params(self, params: Mapping[str, Any] | None = None) -> None:
        """Refuse constructor arguments, these or all, of the wrong type or out of range; defaults need no check."""
        if params is None:
            defaults = arguments_of(self._plain())
            params = {name: value for name, value in vars(self).items() if value is not defaults.get(name, self)}
        check_parameters(self._constraints, params, type(self).__name__)

    def _structure(self, attributes: Mapping[str, Any] | None = None) -> Structure:
        """Return the covariance structure asked for."""
        name: Any = (vars(self) if attributes is None else attributes)["covariance_type"]
        if not (isinstance(name, str) and name in STRUCTURES):
            self._check_params({"covariance_type": name})
        state = vars(self) if attributes is None else attributes
        return STRUCTURES[name].asked(state.get("equal_weights", False), state.get("noise"))

    def _fitted(self, attributes: Mapping[str, Any] | None = None) -> Fitted:
        """Return the mixture of these attributes, or as it is; covariances that nobody has set are NaN.

        A fit in another thread replaces all attributes in one step: they are read from one dictionary, and once.
        """
        state = vars(self) if attributes is None else attributes
        weights, means, factors = fitted_attributes(self, state, *FITTED)
        covariances = _floats_or_nan(state.get("covariances_"))
        structure = self._structure(state)
        noise_weight, noise = noise_of(self, state, means.shape[-1]) if structure.noisy else (0.0, None)
        arrays = (weights, means, factors, covariances)
        if factors.nbytes + means.nbytes > SMALL:
            found = _checked(structure, noise_weight, *arrays)
        else:
            found = _remembered(
                structure, noise_weight, *[part for array in arrays for part in (array.shape, array.tobytes())]
            )
        if noise is not None:
            exact = (1 - noise_weight) / max(weights.sum(), LEAST_WEIGHT) * weights  # they may be in single precision
            found = Fitted(structure, replace(found.parameters, weights=exact, noise=noise))
        names = state.get("feature_names_in_")
        return found if names is None else replace(found, feature_names=names)

    def _evaluated(self, attributes: Mapping[str, Any] | None = None) -> Fitted:
        """Return the mixture that densities and responsibilities of rows are worked out by."""
        return self._fitted(attributes)

    def _rows(
        self, X: Any, fitted: Fitted, sample_weight: Any = None, missing: str | None = None, name: str | None = None
    ) -> Source:
        """Return checked rows of a fitted mixture's features as a source; errors name the estimator that asks."""
        name = name or type(self).__name__
        names = Names(name, fitted.feature_names, fixed=True)
        missing = missing or self.missing
        source = as_source(X, names, n_threads=self.n_threads, sample_weight=sample_weight, missing=missing)
        check_n_features(source.n_features, fitted.n_features, name)
        return source


def check_arguments(mixture: BaseMixture) -> None:
    """Refuse an estimator's arguments if they are of the wrong type or out of range."""
    mixture._check_params()


def fitted(mixture: BaseMixture, attributes: Mapping[str, Any] | None = None) -> Fitted:
    """Return an estimator's mixture as a value: as it is, or of these attributes."""
    return mixture._fitted(attributes)


def densities_of(mixtures: Sequence[BaseMixture], X: Any, name: str) -> NDArray[np.floating[Any]]:
    """Return log p(x) of each row under each of some mixtures of the same features, (N, C), for an estimator."""
    values = [mixture._evaluated() for mixture in mixtures]
    with mixtures[0]._rows(X, values[0], name=name) as source:
        return np.column_stack([source.log_likelihoods(source.model(value)) for value in values])


def structure_of(mixture: BaseMixture) -> Structure:
    """Return the structure that an estimator's arguments ask for."""
    return mixture._structure()


def rows_of(mixture: BaseMixture, value: Fitted, X: Any, sample_weight: Any = None) -> Source:
    """Return checked rows of a mixture's features as a source, by the arguments of its estimator."""
    return mixture._rows(X, value, sample_weight)


def weighted_mean(values: Any, sample_weight: Any) -> tuple[float, float]:
    """Return the mean of a number for each row, which a method of a subclass has found, and the rows' weight."""
    values = np.asarray(values, np.float64)
    if sample_weight is None:
        return float(values.mean()), len(values)
    weights = check_sample_weight(sample_weight, len(values))
    return float(np.average(values[weights > 0], weights=weights[weights > 0])), float(weights.sum())


@masked
def _checked(
    structure: Structure,
    noise_weight: float,
    weights: NDArray[Any],
    means: NDArray[Any],
    factors: NDArray[Any],
    covariances: NDArray[Any],
) -> Fitted:
    """Return the mixture of attributes that may have been set by hand."""
    check_shapes(structure, weights, means, precisions_cholesky_=factors)
    structure.check_features(means.shape[1])
    check_weights_and_means(weights, means, noise_weight)
    if not check_factors(factors, structure):
        try:
            return Fitted(structure, structure.from_precisions(weights, means, structure.precisions(factors)))
        except IllDefinedCovariance:
            raise ValueError(
                "The attribute 'precisions_cholesky_' holds a singular matrix. Set it to factors of precisions, or "
                "call 'fit'."
            ) from None
    return Fitted(structure, Parameters(weights, means, covariances, factors))


@lru_cache(maxsize=32)
def _remembered(structure: Structure, noise_weight: float, *key: Any) -> Fitted:
    """Return `_checked` of arrays given as shapes and bytes, remembered: for one row it costs more than densities."""
    arrays = (np.frombuffer(data).reshape(shape) for shape, data in zip(key[::2], key[1::2], strict=True))
    return _checked(structure, noise_weight, *arrays)


def _floats_or_nan(values: Any) -> NDArray[np.float64]:
    """Return an array in double precision; NaN for anything else, which nobody may ask for."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return np.asarray(np.nan)


@masked
def check_no_overflow(structure: Structure, parameters: Parameters) -> None:
    """Refuse a mixture that was made of another one whose covariances or precisions are out of range."""
    precisions = structure.precisions(parameters.precisions_cholesky)
    if not (np.isfinite(precisions).all() and np.isfinite(parameters.covariances).all()):
        raise ValueError("Covariances or precisions overflow: divide each feature by its standard deviation.")


def checked_out(out: Any, source: Source, dtype: np.dtype[Any], *columns: int) -> NDArray[Any] | None:
    """Return the checked array for a result; None where none is given, so that rows need not be counted."""
    return None if out is None else check_out(out, (source.n_samples, *columns), dtype)
