"""Mixtures handed to scikit-learn and what reads its models, and taken from there."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from importlib import import_module
from typing import Any, ClassVar, Self

import numpy as np

from ..exceptions import warn
from ..fitting.convergence import MAX_ITER, TOL
from ..model.conditioning import marginal
from ..model.masked import masked
from ..model.parameters import Parameters
from ..model.structure import Structure
from ..model.structures import STRUCTURES
from .attributes import check_finite, check_shapes, fitted_attributes
from .bar import BAR
from .base import FITTED, BaseMixture
from .protocol import made

__all__ = ["Conversion", "shared_attributes", "taken_by_sklearn"]

OWN_WORDS = {"reg_covar": "auto", "n_init": "auto", "verbose": BAR}  # values that it does not know
SKLEARN_STARTS = ("kmeans", "k-means++", "random", "random_from_data")  # names that it knows for init_params
VISIBLE = 1e-3  # standard deviations by which scikit-learn's formulae may move a row without a warning
KEPT = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_", "feature_names_in_")
TAKEN = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "n_features_in_", *KEPT)


class Conversion(BaseMixture):
    """to_sklearn and from_sklearn."""

    _converted: ClassVar[tuple[str, ...]] = ()  # attributes of an estimator that scikit-learn's has as well

    @masked
    def to_sklearn(self) -> Any:
        """Return the same mixture as an estimator of scikit-learn.

        Returns
        -------
        mixture : sklearn.mixture.GaussianMixture or BayesianGaussianMixture
            Of the class of the same name, with the fitted attributes that scikit-learn gives, and equal predictions to
            its rounding. Arguments that scikit-learn does not know are left out, and values that it does not know come
            back as its defaults. Its criteria count the parameters of its own covariance types with free weights, which
            are more than those of mclust's structures and of equal weights.

        Raises
        ------
        ImportError
            If scikit-learn is not installed.
        NotFittedError, ValueError
            If there are no parameters yet, or those set by hand do not fit together.

        Warns
        -----
        UserWarning
            If rounding in scikit-learn's formulae moves rows by more than a thousandth of a standard deviation.

        Notes
        -----
        scikit-learn whitens rows x and means m as x P - m P, in the precision of ``means_``, where fastgmm takes
        (x - m) P: digits are lost where means are many standard deviations from zero. Attributes are in single
        precision after a fit of float32 rows; fit float64 rows, or subtract the mean of each column.

        What reads scikit-learn's models reads this. To serve a mixture with ONNX, for instance::

            from skl2onnx import to_onnx
            onnx_model = to_onnx(mixture.to_sklearn(), X[:1], options={"score_samples": True})
            session = onnxruntime.InferenceSession(onnx_model.SerializeToString())
            labels, probabilities, log_likelihoods = session.run(None, {"X": X})

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [9.0]], [[[1.0]], [[4.0]]])
        >>> mixture.to_sklearn().predict([[1.0], [8.0]])
        array([0, 1])
        """
        kind, own = self._sklearn_class(), vars(self)
        self._check_in_sklearn()
        fitted = self._fitted(own)
        structure, parameters = fitted.structure, fitted.parameters
        whole = marginal(structure, parameters, range(fitted.n_features))
        covariances, precisions = own.get("covariances_", whole.covariances), own.get("precisions_")
        for name in {"covariances_", "precisions_"} & own.keys():
            (values,) = fitted_attributes(self, own, name)
            check_shapes(structure, parameters.weights, parameters.means, **{name: values})
            check_finite(name, values)
        structure = structure.layout
        if structure.in_sklearn != structure.name:
            parameters = structure.expand(replace(parameters, covariances=np.asarray(covariances)))
            structure, covariances, precisions = structure.expanded, parameters.covariances, None
        found = {
            "weights_": parameters.weights,
            "means_": parameters.means,
            "covariances_": covariances,
            "precisions_": structure.precisions(parameters.precisions_cholesky) if precisions is None else precisions,
            "precisions_cholesky_": parameters.precisions_cholesky,
        }
        dtype = np.result_type(np.asarray(own["means_"]), np.float32)
        mixture = kind()
        params = own | {"covariance_type": structure.name}
        common = [name for name in mixture.get_params() if name in params]
        mixture.set_params(**{name: params[name] for name in common if taken_by_sklearn(name, params[name])})
        vars(mixture).update({name: np.array(values, dtype=dtype) for name, values in found.items()})
        _warn_of_offsets(structure, parameters, dtype)
        vars(mixture).update({name: copy(own[name]) for name in (*KEPT, *self._converted) if name in own})
        mixture.n_features_in_ = mixture.means_.shape[1]
        return mixture

    @classmethod
    def from_sklearn(cls, mixture: Any) -> Self:
        """Make a mixture of one that scikit-learn has fitted.

        Parameters
        ----------
        mixture : sklearn.mixture.GaussianMixture or BayesianGaussianMixture
            Of the class of the same name; fitted, or with parameters set by hand.

        Returns
        -------
        mixture : GaussianMixture
            With the same arguments and fitted attributes, and equal predictions.

        Raises
        ------
        ImportError
            If scikit-learn is not installed.
        TypeError
            If ``mixture`` is something else.
        NotFittedError, ValueError
            If it has no parameters yet, or they do not fit together.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> from sklearn import mixture
        >>> X = [[0.0], [1.0], [8.0], [9.0]]
        >>> fitted = mixture.GaussianMixture(2, means_init=[[0], [9]]).fit(X)
        >>> GaussianMixture.from_sklearn(fitted).predict(X)
        array([0, 0, 1, 1])
        """
        kind = cls._sklearn_class()
        if not isinstance(mixture, kind):
            raise TypeError(
                f"from_sklearn takes a sklearn.mixture.{kind.__name__}, but got {type(mixture).__name__}. For another "
                "of scikit-learn's mixtures use the class of the same name, for other mixtures of Gaussians "
                "GaussianMixture.from_parameters."
            )
        ours = made(cls, {name: getattr(mixture, name) for name in kind().get_params()})
        fitted_attributes(mixture, vars(mixture), *FITTED)
        names = (*TAKEN, *cls._converted)
        vars(ours).update({name: copy(getattr(mixture, name)) for name in names if hasattr(mixture, name)})
        ours._fitted()
        if hasattr(mixture, "converged_"):
            vars(ours)["stop_reason_"] = TOL if mixture.converged_ else MAX_ITER
        return ours

    def _check_in_sklearn(self) -> None:
        """Refuse what scikit-learn has nothing for: a hook."""

    @classmethod
    def _sklearn_class(cls) -> type[Any]:
        """Return scikit-learn's class of the same name, imported when it is needed."""
        try:
            mixture = import_module("sklearn.mixture")
        except ImportError as error:
            raise ImportError("This needs scikit-learn: pip install 'fastgmm[sklearn]'") from error
        kind: type[Any] = getattr(mixture, cls._plain().__name__)
        return getattr(kind, "_of_sklearn", kind)  # not what stands in for it: see the room patching/


def _warn_of_offsets(structure: Structure, parameters: Parameters, dtype: np.dtype[Any]) -> None:
    """Warn where rounding of whitened means, as scikit-learn works them out, is no longer small."""
    means, factors = abs(parameters.means), abs(parameters.precisions_cholesky)
    if structure.triangular:
        whitened = np.einsum("ki,kij->kj", means, structure.dense(factors, *means.shape))
    else:
        whitened = means * structure.diagonals(factors)
    lost = float(np.finfo(dtype).eps * whitened.max())
    if lost > VISIBLE:
        remedy = "Fit float64 rows, or subtract" if dtype == np.float32 else "Subtract"
        warn(
            f"scikit-learn's formulae lose digits of this mixture: in {dtype} they move rows by up to some {lost:.1g} "
            f"standard deviations, as means are that far from zero. {remedy} the mean of each column."
        )


def taken_by_sklearn(name: str, value: Any) -> bool:
    """Return whether scikit-learn takes this value for an argument that it shares with fastgmm."""
    if name == "covariance_type":
        structure = STRUCTURES.get(value) if isinstance(value, str) else None
        return structure is not None and structure.in_sklearn == value
    if name == "init_params":
        return isinstance(value, str) and value in SKLEARN_STARTS
    return value != OWN_WORDS[name] if name in OWN_WORDS else not isinstance(value, np.random.Generator)


def shared_attributes(kind: type[Conversion]) -> tuple[str, ...]:
    """Return the attributes that fits of an estimator and of scikit-learn's of the same name leave alike, but names."""
    return tuple(name for name in (*TAKEN, *kind._converted) if name != "feature_names_in_")
