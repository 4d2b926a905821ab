"""What is said of rows once a mixture has parameters: densities and labels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..model.parameters import Parameters
from ..model.structure import KernelModel, Structure
from ..model.structures import STRUCTURES
from ..sources.incomplete.source import IncompleteSource, marginals
from ..sources.intake import as_source
from ..sources.source import Source
from .checks import (
    Constraints,
    check_attribute_shape,
    check_feature_names,
    check_n_features,
    check_out,
    check_parameters,
    fitted_attributes,
    is_upper_triangular,
)
from .protocol import Estimator

__all__ = ["Floats", "Mixture"]

Floats = NDArray[np.floating[Any]]  # of single precision where rows are, else of double precision


class Mixture(Estimator):
    """The methods that tell something of rows by the parameters of a mixture, fitted or set by hand.

    They read nothing but the public attributes ``weights_``, ``means_`` and ``precisions_cholesky_``.
    """

    _constraints: ClassVar[Constraints]

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
        source, model = self._prepare(X)
        with source:
            return source.log_likelihoods(model, _checked_out(out, source, source.dtype))

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
        source, model = self._prepare(X, sample_weight)
        with source:
            return source.log_likelihood(model)

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
            Numbers of the components, from 0.

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
        source, model = self._prepare(X)
        with source:
            return source.labels(model, _checked_out(out, source, np.dtype(np.int64)))

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
            Each row sums to one; float32 for float32 rows, else float64.

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
        source, model = self._prepare(X)
        with source:
            return source.responsibilities(model, _checked_out(out, source, source.dtype, len(model.centers)))

    @classmethod
    def _check_params(cls, params: Mapping[str, Any]) -> None:
        """Refuse constructor arguments of the wrong type or out of range."""
        check_parameters(cls._constraints, params, cls.__name__)

    def _snapshot(self) -> Self:
        """Return the mixture as it is now: a fit in another thread, which replaces all attributes, leaves it alone."""
        mixture = object.__new__(type(self))
        mixture.__dict__ = vars(self)
        return mixture

    def _structure(self) -> Structure:
        """Return the covariance structure asked for."""
        name: Any = self.covariance_type
        if not (isinstance(name, str) and name in STRUCTURES):
            self._check_params({"covariance_type": name})
        return STRUCTURES[name]

    def _parameters(self) -> Parameters:
        """Return the parameters that the public attributes hold; covariances nobody has set are NaN."""
        weights, means, factors = fitted_attributes(self, "weights_", "means_", "precisions_cholesky_")
        covariances = np.asarray(getattr(self, "covariances_", np.nan), dtype=np.float64)
        return _checked_parameters(self._structure(), weights, means, factors, covariances)

    def _kernel_model(self, dtype: np.dtype[Any]) -> KernelModel:
        """Return the mixture as the kernels read it."""
        arrays = fitted_attributes(self, "weights_", "means_", "precisions_cholesky_")
        structure = self._structure()
        if sum(array.nbytes for array in arrays) > _SMALL:
            return _kernel_model(structure, dtype, *arrays)
        key = [part for array in arrays for part in (array.shape, array.tobytes())]
        return _small_kernel_model(structure, dtype, *key)

    def _prepare(self, X: Any, sample_weight: Any = None, missing: str | None = None) -> tuple[Source, Any]:
        """Return checked rows as a source, and the mixture as it is to be applied to them."""
        mixture = self._snapshot()
        name = type(self).__name__
        (means,) = fitted_attributes(mixture, "means_")
        check_feature_names(X, getattr(mixture, "feature_names_in_", None), name)
        source = as_source(
            X, name, n_threads=mixture.n_threads, sample_weight=sample_weight, missing=missing or mixture.missing
        )
        model = mixture._applied(source)
        check_n_features(source.n_features, means.shape[1], name)
        return source, model

    def _applied(self, source: Source) -> Any:
        """Return the mixture as the source puts it before its rows."""
        if isinstance(source, IncompleteSource):
            return marginals(self._structure(), self._parameters())
        return self._kernel_model(source.dtype)


_SMALL = 1 << 15  # bytes of parameters up to which what the kernels read is kept from one call to the next


def _checked_parameters(
    structure: Structure,
    weights: NDArray[Any],
    means: NDArray[Any],
    factors: NDArray[Any],
    covariances: NDArray[Any],
) -> Parameters:
    """Return parameters made of attributes that may have been set by hand."""
    check_shapes(structure, weights, means, precisions_cholesky_=factors)
    if structure.name in ("full", "tied") and not is_upper_triangular(factors):
        return structure.from_precisions(weights, means, structure.precisions(factors))
    return Parameters(weights, means, covariances, factors)


def _kernel_model(structure: Structure, dtype: np.dtype[Any], *arrays: NDArray[Any]) -> KernelModel:
    """Return the mixture of these weights, means and factors as the kernels read it."""
    weights, means, factors = arrays
    return structure.kernel_model(_checked_parameters(structure, weights, means, factors, np.asarray(np.nan)), dtype)


@lru_cache(maxsize=32)
def _small_kernel_model(structure: Structure, dtype: np.dtype[Any], *key: Any) -> KernelModel:
    """Return the same from shapes and bytes: remembered, since for one row it costs more than the densities."""
    arrays = (np.frombuffer(data).reshape(shape) for shape, data in zip(key[::2], key[1::2], strict=True))
    return _kernel_model(structure, dtype, *arrays)


def check_shapes(structure: Structure, weights: NDArray[Any], means: NDArray[Any], **others: NDArray[Any]) -> None:
    """Refuse attributes, possibly set by hand, that do not fit together."""
    check_attribute_shape("means_", means.shape, (weights.size, means.shape[-1] if means.ndim == 2 else 1))
    check_attribute_shape("weights_", weights.shape, means.shape[:1])
    for name, values in others.items():
        check_attribute_shape(name, values.shape, structure.covariance_shape(*means.shape))


def _checked_out(out: Any, source: Source, dtype: np.dtype[Any], *columns: int) -> NDArray[Any] | None:
    """Return the array that a result is to be put into, if there is one; else nobody counts the rows."""
    return None if out is None else check_out(out, (source.n_samples, *columns), dtype)
