"""Mixtures kept in files, and handed to scikit-learn and what reads its models."""

from __future__ import annotations

import math
import os
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ModelFileError
from ..fitting.convergence import CALLBACK, INTERRUPT, MAX_ITER, MAX_TIME, PARTIAL, TOL
from ..fitting.repair import Repair
from ..fitting.restarts import FitRecord
from ..model.conditioning import marginal
from ..model.structure import Structure
from ..sources.numbers import to_floats
from ..text import quoted, shortened
from .base import FITTED, BaseMixture, check_shapes
from .checks import check_weights, fitted_attributes, is_upper_triangular

if TYPE_CHECKING:
    import sklearn.mixture

__all__ = ["Persistent"]

Numbers = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

MODEL = "GaussianMixture"
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
ARRAYS = (*PARAMETERS, "lower_bounds_")
NUMBERS = ("converged_", "stop_reason_", "n_iter_", "lower_bound_", "n_features_in_", "n_samples_seen_")
RECORDS: dict[str, type[NamedTuple]] = {"degenerate_": Repair, "fits_": FitRecord}
SLACK = 100.0  # roundings for each row of a product by which arrays that belong together may differ
SKLEARN_STARTS = ("kmeans", "k-means++", "random", "random_from_data")  # names that it knows for init_params
REASONS = (TOL, MAX_ITER, MAX_TIME, CALLBACK, INTERRUPT, PARTIAL)


class Persistent(BaseMixture):
    """save, load, to_sklearn and from_sklearn."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the mixture to one file, to be read by `fastgmm.load`.

        Nothing in the file is ever executed: it holds arrays and a JSON header (see the notes), with a checksum.

        Parameters
        ----------
        path : str or path-like
            Where to; nothing is appended to the name. A file that is there is replaced as a whole: when saving
            fails it stays as it was.

        Raises
        ------
        NotFittedError
            If there are no parameters yet.
        ValueError
            If attributes set by hand do not fit together, or ``path`` is a folder or device.
        OSError
            If the file cannot be written.

        Notes
        -----
        Kept are the parameters of the mixture to the last bit, the names of the features, how the fit ended, and those
        constructor arguments that are numbers, strings, bools or None. Not kept, so that they come back as their
        defaults, are arrays and callables (starting values, ``init_params`` that is no name, ``callback``) and random
        generators as ``random_state``.

        The file is a zip file without compression: ``numpy.load`` reads its arrays, ``unzip -p FILE header.json`` shows
        the rest.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastgmm
        >>> mixture = fastgmm.GaussianMixture(2, means_init=[[0], [9]]).fit([[0.0], [1.0], [8.0], [9.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "mixture.npz")
        ...     mixture.save(path)
        ...     fastgmm.load(path).predict([[0.5], [8.5]])
        array([0, 1])
        """
        from ..model.archive import write  # a third of the time to import fastgmm

        header, arrays = _contents(self, vars(self))
        _restored(type(self)(), header, arrays)
        write(path, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a mixture that `GaussianMixture.save` has saved.

        The file may come from anywhere: nothing in it is executed, memory is bounded by its size, and shapes, types,
        finiteness, weights, covariances and the checksum are validated.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        mixture : GaussianMixture
            The mixture as it was saved, to the last bit.

        Raises
        ------
        ModelFileError
            A ValueError: if the file is damaged, cut off, of another kind, or of a later format.
        OSError
            If the file cannot be opened.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastgmm
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "mixture.npz")
        ...     fastgmm.GaussianMixture.from_parameters([1], [[3.0]], [1.0], "spherical").save(path)
        ...     fastgmm.load(path)
        GaussianMixture(covariance_type='spherical')
        """
        from ..model.archive import read

        header, arrays = read(path)
        try:
            return _restored(cls(), header, arrays)
        except Exception as error:  # what is written by no fastgmm may be wrong in any way
            version = shortened(header.get("library_version"), 20)
            raise ModelFileError(
                f"{shortened(path, 150)} holds no valid mixture ({type(error).__name__}: {shortened(error, 150)}); "
                f"fastgmm {version} is said to have written it. Save the model again, or upgrade fastgmm."
            ) from error

    def to_sklearn(self) -> sklearn.mixture.GaussianMixture:
        """Return the same mixture as an estimator of scikit-learn.

        Returns
        -------
        mixture : sklearn.mixture.GaussianMixture
            With the fitted attributes that scikit-learn gives, and equal predictions. Arguments that scikit-learn does
            not know are left out, and values that it does not know come back as its defaults.

        Raises
        ------
        ImportError
            If scikit-learn is not installed.
        NotFittedError, ValueError
            If there are no parameters yet, or those set by hand do not fit together.

        Notes
        -----
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
        kind, own = _sklearn_class(), vars(self)
        fitted = self._fitted(own)
        structure, parameters = fitted.structure, fitted.parameters
        whole = marginal(structure, parameters, range(fitted.n_features))
        covariances, precisions = own.get("covariances_", whole.covariances), own.get("precisions_")
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
        dtype = _floats(own["means_"]).dtype
        mixture = kind()
        params = {name: own[name] for name in self.get_params()} | {"covariance_type": structure.name}
        mixture.set_params(**{n: params[n] for n in mixture.get_params() if n in params and _is_known(n, params[n])})
        vars(mixture).update({name: np.array(values, dtype=dtype) for name, values in found.items()})
        kept = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_", "feature_names_in_")
        vars(mixture).update({name: copy(own[name]) for name in kept if name in own})
        mixture.n_features_in_ = mixture.means_.shape[1]
        return mixture

    @classmethod
    def from_sklearn(cls, mixture: Any) -> Self:
        """Make a mixture of one that scikit-learn has fitted.

        Parameters
        ----------
        mixture : sklearn.mixture.GaussianMixture
            Fitted, or with parameters set by hand.

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
        if not isinstance(mixture, _sklearn_class()):
            raise TypeError(
                f"from_sklearn takes a sklearn.mixture.GaussianMixture, but got {type(mixture).__name__}. For other "
                "mixtures of Gaussians, use GaussianMixture.from_parameters."
            )
        ours = cls().set_params(**mixture.get_params())
        fitted_attributes(mixture, vars(mixture), *FITTED)
        kept = (*ARRAYS, *NUMBERS, "feature_names_in_")
        vars(ours).update({name: copy(getattr(mixture, name)) for name in kept if hasattr(mixture, name)})
        ours._fitted()
        if hasattr(mixture, "converged_"):
            vars(ours)["stop_reason_"] = TOL if mixture.converged_ else MAX_ITER
        return ours


def _sklearn_class() -> type[sklearn.mixture.GaussianMixture]:
    """Return scikit-learn's class, imported when it is needed."""
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise ImportError("This needs scikit-learn: pip install 'fastgmm[sklearn]'") from error
    return GaussianMixture


def _is_known(name: str, value: Any) -> bool:
    """Return whether scikit-learn takes this value for an argument that it shares with fastgmm."""
    if name == "init_params":
        return isinstance(value, str) and value in SKLEARN_STARTS
    return value != "auto" if name == "reg_covar" else not isinstance(value, np.random.Generator)


def _contents(model: Any, state: dict[str, Any]) -> tuple[dict[str, Any], Arrays]:
    """Return the header and the arrays of the file of a mixture with these attributes."""
    fitted_attributes(model, state, *FITTED)
    arrays = {name: _floats(state[name]) for name in ARRAYS if name in state}
    plain = {name: _plain(state[name]) for name in model.get_params()}
    fitted = {name: _plain(state[name]) for name in NUMBERS if name in state}
    for name in RECORDS:
        if name in state:
            fitted[name] = [[_plain(value) for value in record] for record in state[name]]
    names = state.get("feature_names_in_")
    header = {
        "model": MODEL,
        "params": {name: value for name, value in plain.items() if isinstance(value, (str, int, float, type(None)))},
        "fitted": fitted,
        "feature_names": None if names is None else list(names),
    }
    return header, arrays


def _floats(values: Any) -> NDArray[Any]:
    """Return numbers as float32 if they are, else as float64."""
    return to_floats(values, "An attribute of the mixture")


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python, and one that is not finite as a string, which JSON can express."""
    value = value.item() if isinstance(value, np.generic) else value
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _restored(model: Any, header: dict[str, Any], arrays: Arrays) -> Any:
    """Return the mixture of a file, after all checks."""
    if header["model"] != MODEL:
        raise ValueError(f"it is a {header['model']!r}, not a {MODEL}")
    params, fitted, names = header["params"], header["fitted"], header["feature_names"]
    model.set_params(**params)
    model._check_params(params)
    if not set(arrays) <= set(ARRAYS) or not all(np.isfinite(values).all() for values in arrays.values()):
        raise ValueError(f"its arrays {sorted(arrays)} should be among {sorted(ARRAYS)}, with finite values")
    _check_mixture(model._structure(), arrays)
    vars(model).update(arrays)
    if "lower_bounds_" in arrays:
        model.lower_bounds_ = list(arrays["lower_bounds_"])
    n_features = arrays["means_"].shape[1]
    if names is not None:
        if len(names) != n_features or not all(isinstance(name, str) for name in names):
            raise ValueError(f"feature_names are {quoted(names)}, not {n_features} strings")
        model.feature_names_in_ = np.array(names, dtype=object)
    vars(model).update(_checked_numbers(fitted, n_features, model.means_.dtype.type))
    return model


def _check_mixture(structure: Structure, arrays: Arrays) -> None:
    """Refuse arrays that do not make a mixture, or contradict each other."""
    weights, means = arrays["weights_"], arrays["means_"]
    shaped = {name: arrays[name] for name in PARAMETERS[2:] if name in arrays}
    check_shapes(structure, weights, means, **shaped)
    check_weights(weights, len(weights))
    if means.size == 0:
        raise ValueError(f"means_ have the shape {means.shape}, but a mixture has components and features")
    if arrays.get("lower_bounds_", weights).ndim != 1:
        raise ValueError("lower_bounds_ should be a list of numbers")
    eps = max(float(np.finfo(values.dtype).eps) for values in shaped.values())
    agree = _matrices_agree if structure.triangular else _variances_agree
    stacks = {name: structure.matrices(values) for name, values in shaped.items()}
    for k in range(len(stacks["precisions_cholesky_"])):  # one by one: together they take several times the memory
        own = {name: stack[k].astype(np.float64) for name, stack in stacks.items()}
        agree(eps, own["precisions_cholesky_"], own.get("covariances_"), own.get("precisions_"))


def _variances_agree(eps: float, roots: Numbers, variances: Numbers | None, precisions: Numbers | None) -> None:
    """Refuse variances that are not positive, or not the inverses of squares of the roots."""
    if not (roots > 0).all():
        raise ValueError(f"precisions_cholesky_ should be positive, but the smallest is {roots.min()}")
    if variances is not None and not (abs(roots * variances * roots - 1) <= SLACK * eps).all():
        raise ValueError("covariances_ are not those that belong to precisions_cholesky_: set all or none of them")
    if precisions is not None and not (abs(precisions / roots / roots - 1) <= SLACK * eps).all():
        raise ValueError("precisions_ are not those that belong to precisions_cholesky_: set all or none of them")


def _matrices_agree(eps: float, factors: Numbers, covariances: Numbers | None, precisions: Numbers | None) -> None:
    """Refuse factors that are singular, and matrices that are not those of the factors to rounding.

    Where P P^T = Sigma^-1, P^T Sigma P = I: to a few roundings of |P^-1 P|^T |P^-1 P|, which bounds all intermediate
    results, so that ill-conditioned matrices pass as they are.
    """
    transposed = np.swapaxes(factors, -1, -2)
    if is_upper_triangular(factors) and not (np.diagonal(factors, axis1=-2, axis2=-1) > 0).all():
        raise ValueError("precisions_cholesky_ have diagonals that are not positive")
    rounding = SLACK * eps * factors.shape[-1]
    growth = abs(np.linalg.inv(factors)) @ abs(factors)
    slack = rounding * (np.swapaxes(growth, -1, -2) @ growth)
    if not np.isfinite(slack).all():
        raise ValueError("precisions_cholesky_ are singular")
    if covariances is not None:
        whitened = transposed @ covariances @ factors
        if not (abs(whitened - np.eye(factors.shape[-1])) <= slack).all():
            raise ValueError("covariances_ are not those that belong to precisions_cholesky_: set all or none of them")
    if precisions is not None:
        bound = rounding * (abs(factors) @ abs(transposed))
        if not (abs(precisions - factors @ transposed) <= bound).all():
            raise ValueError("precisions_ are not those that belong to precisions_cholesky_: set all or none of them")


def _checked_numbers(fitted: dict[str, Any], n_features: int, number: type[np.floating[Any]]) -> dict[str, Any]:
    """Return what is known of the fit, each value in its type."""
    types: dict[str, Any] = {
        "converged_": bool,
        "stop_reason_": str,
        "n_iter_": int,
        "n_features_in_": int,
        "n_samples_seen_": float,
    }
    found: dict[str, Any] = {}
    for name, value in fitted.items():
        if name in RECORDS:
            found[name] = [_record(RECORDS[name], values) for values in value]
        elif name == "lower_bound_":
            bound = _typed(name, value, float)
            found[name] = number(bound) if math.isfinite(bound) else bound  # Python's where there was no iteration
        else:
            found[name] = _typed(name, value, types[name])
    if found.get("stop_reason_", TOL) not in REASONS:
        raise ValueError(f"stop_reason_ is {quoted(found['stop_reason_'])}, not one of {REASONS}")
    if found.get("n_features_in_", n_features) != n_features:
        raise ValueError(f"n_features_in_ is {quoted(found['n_features_in_'])}, but means_ have {n_features} columns")
    return found


def _record(kind: type[NamedTuple], values: Any) -> NamedTuple:
    """Return a record of a fit."""
    types = get_type_hints(kind)
    return kind(*[_typed(name, value, types[name]) for name, value in zip(types, values, strict=True)])


def _typed(name: str, value: Any, kind: Any) -> Any:
    """Return a value if it is of this type; strings stand for floats that are not finite."""
    if kind is float and value in ("inf", "-inf", "nan"):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {quoted(value)}, not of the type {kind}")
    return value
