"""Mixtures kept in files."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ModelFileError
from ..fitting.convergence import CALLBACK, INTERRUPT, MAX_ITER, MAX_TIME, PARTIAL, TOL
from ..fitting.records import FitRecord, Searched
from ..fitting.repair import Repair
from ..model.factors import correlations
from ..model.masked import masked
from ..model.structure import Structure
from ..sources.numbers import to_floats
from ..text import quoted, shortened
from .attributes import check_factors, check_finite, check_shapes, check_weights_and_means, fitted_attributes
from .base import FITTED, BaseMixture
from .noise import NAMES, noise_of
from .prior import Prior
from .protocol import arguments_of, made

__all__ = ["Persistent", "loaded"]

Numbers = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
ARRAYS = (*PARAMETERS, "lower_bounds_")
NUMBERS = ("converged_", "stop_reason_", "n_iter_", "lower_bound_", "n_features_in_", "n_samples_seen_")
RECORDS: dict[str, type[NamedTuple]] = {"degenerate_": Repair, "fits_": FitRecord}
SLACK = 100.0  # roundings for each row of a product by which arrays that belong together may differ
REASONS = (TOL, MAX_ITER, MAX_TIME, CALLBACK, INTERRUPT, PARTIAL)


class Persistent(BaseMixture):
    """save, load and pickle."""

    _numbers: ClassVar[tuple[str, ...]] = NAMES[:2]  # what files keep of an estimator's fit beside `NUMBERS`: floats

    def _own_arrays(self, state: Mapping[str, Any]) -> Arrays:
        """Return what files keep of an estimator beside a mixture's arrays."""
        return {name: _floats(state[name]) for name in NAMES[2:] if name in state}

    def _own_attributes(self, arrays: Arrays) -> dict[str, Any]:
        """Return the attributes that such arrays of a file stand for, checked against the others."""
        if arrays.keys() - set(NAMES):
            raise ValueError(f"it has the arrays {sorted(arrays)} beside {sorted(ARRAYS)}")
        return dict(arrays)

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
        constructor arguments, a subclass's own among them, that are numbers, strings, bools, None or a `Prior`. Not
        kept, so that they come back as their defaults, are arrays and callables (starting values, ``init_params`` that
        is no name, ``callback``) and random generators as ``random_state``. The seconds in ``fits_`` are not kept
        either and come back as NaN, so that equal fits give equal files.

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

        plain = self._plain()
        header, arrays = _contents(self, vars(self) | _untimed(vars(self)), plain)
        _restored(plain, header, arrays)
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
            The mixture as it was saved, to the last bit, of the class that ``load`` is called on.

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
        return loaded(path, {cls._plain().__name__: cls})

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the attributes, of equal fits as equal bytes, so that times are not among them."""
        state = super().__getstate__()
        return {name: _canonical(value) for name, value in state.items()} | _untimed(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled mixture, with the times of none."""
        super().__setstate__(state | _untimed(state))


def loaded(path: str | os.PathLike[str], kinds: Mapping[str, type[Any]]) -> Any:
    """Return the mixture that a file holds, of the class that stands for its kind."""
    from ..model.archive import read

    header, arrays = read(path)
    try:
        if header["model"] not in kinds:
            raise ValueError(f"it is a {quoted(header['model'])}, not a {' or a '.join(kinds)}: see fastgmm.load")
        return _restored(kinds[header["model"]], header, arrays)
    except Exception as error:  # what is written by no fastgmm may be wrong in any way
        version = shortened(header.get("library_version"), 20)
        raise ModelFileError(
            f"{shortened(path, 150)} holds no valid mixture ({type(error).__name__}: {shortened(error, 150)}); "
            f"fastgmm {version} is said to have written it. Save the model again, or upgrade fastgmm."
        ) from error


def _canonical(value: Any) -> Any:
    """Return a string or an array of floats as what pickles of equal ones have in common."""
    if type(value) is np.ndarray and value.dtype in (np.float32, np.float64) and value.dtype.isnative:
        return value.view(value.dtype.type)  # NumPy's own type, not an equal one that came out of another pickle
    return sys.intern(value) if type(value) is str else value


def _untimed(state: dict[str, Any]) -> dict[str, Any]:
    """Return ``fits_`` without times if there are any: with math.nan itself, so that equal records are equal."""
    return {name: [record.untimed for record in state[name]] for name in ("fits_",) if name in state}


def _contents(model: Any, state: dict[str, Any], plain: type[Any]) -> tuple[dict[str, Any], Arrays]:
    """Return the header and the arrays of the file of a mixture with these attributes; `plain` is of no subclass."""
    fitted_attributes(model, state, *FITTED)
    arrays = {name: _floats(state[name]) for name in ARRAYS if name in state} | model._own_arrays(state)
    known = {name: _plain(state[name]) for name in arguments_of(type(model)) if name in state}
    priors = {name for name in known if isinstance(state[name], Prior)}
    kept = {n: value for n, value in known.items() if n in priors or isinstance(value, (str, int, float, type(None)))}
    usual = arguments_of(plain)
    fitted = {name: _plain(state[name]) for name in (*NUMBERS, *model._numbers) if name in state}
    for name in RECORDS:
        if name in state:
            fitted[name] = [[_plain(value) for value in record] for record in state[name]]
    if "searched_" in state:
        fitted["searched_"] = list(state["searched_"])
    names, others = state.get("feature_names_in_"), {name: value for name, value in kept.items() if name not in usual}
    header = {
        "model": plain.__name__,
        "params": {name: value for name, value in kept.items() if name in usual},
        **({"params_of_subclass": others} if others else {}),
        "fitted": fitted,
        "feature_names": None if names is None else list(names),
    }
    return header, arrays


def _floats(values: Any) -> NDArray[Any]:
    """Return numbers as float32 if they are, else as float64."""
    return to_floats(values, "An attribute of the mixture")


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python, one that is not finite as a string, a prior as a dictionary."""
    if isinstance(value, Prior):
        return {name: part if part is None else np.asarray(part).tolist() for name, part in vars(value).items()}
    value = value.item() if isinstance(value, np.generic) else value
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


@masked
def _restored(cls: type[Any], header: dict[str, Any], arrays: Arrays) -> Any:
    """Return the mixture of a file, as one of a class, after all checks."""
    params, fitted, names = header["params"], header["fitted"], header["feature_names"]
    if isinstance(params.get("prior"), dict):
        if params["prior"].keys() != vars(Prior()).keys():
            raise ValueError(f"its prior has {quoted(list(params['prior']))}, not {list(vars(Prior()))}")
        params = params | {"prior": Prior(**params["prior"])}
    known = arguments_of(cls)
    others = {name: value for name, value in header.get("params_of_subclass", {}).items() if name in known}
    model = made(cls, params | others)
    model._check_params(params)
    own = {name: values for name, values in arrays.items() if name not in ARRAYS}
    arrays = {name: values for name, values in arrays.items() if name in ARRAYS}
    noise = _typed(NAMES[0], fitted.get(NAMES[0], 0.0), float)
    _check_mixture(model._structure(), arrays, noise)
    vars(model).update(arrays)
    vars(model).update(model._own_attributes(own))
    if "lower_bounds_" in arrays:
        model.lower_bounds_ = list(arrays["lower_bounds_"])
    n_features = arrays["means_"].shape[1]
    if names is not None:
        if len(names) != n_features or not all(isinstance(name, str) for name in names):
            raise ValueError(f"feature_names are {quoted(names)}, not {n_features} strings")
        model.feature_names_in_ = np.array(names, dtype=object)
    vars(model).update(_checked_numbers(fitted, n_features, model.means_.dtype.type, model._numbers))
    if model._structure().noisy:
        noise_of(model, vars(model), n_features)
    return model


def _check_mixture(structure: Structure, arrays: Arrays, noise_weight: float) -> None:
    """Refuse arrays that do not make a mixture, or contradict each other."""
    weights, means = (arrays[name].astype(np.float64) for name in PARAMETERS[:2])
    shaped = {name: arrays[name] for name in PARAMETERS[2:] if name in arrays}
    check_shapes(structure, weights, means, **shaped)
    check_weights_and_means(weights, means, noise_weight)
    for name, values in shaped.items():
        check_finite(name, values.astype(np.float64))
    check_factors(arrays["precisions_cholesky_"].astype(np.float64), structure)
    bounds = arrays.get("lower_bounds_", weights)
    if bounds.ndim != 1 or not (bounds < math.inf).all():
        raise ValueError("lower_bounds_ should be a list of numbers")
    eps = max(float(np.finfo(values.dtype).eps) for values in shaped.values())
    agree = _matrices_agree if structure.triangular else _variances_agree
    stacks = {name: structure.matrices(values) for name, values in shaped.items()}
    for k in range(len(stacks["precisions_cholesky_"])):  # one by one: together they take several times the memory
        own = {name: stack[k].astype(np.float64) for name, stack in stacks.items()}
        factors = own["precisions_cholesky_"]
        for name, related in zip(
            PARAMETERS[2:4], agree(eps, factors, own.get("covariances_"), own.get("precisions_")), strict=True
        ):
            if not related:
                raise ValueError(f"{name} are not those that belong to precisions_cholesky_: set all or none of them")


def _variances_agree(
    eps: float, roots: Numbers, variances: Numbers | None, precisions: Numbers | None
) -> tuple[bool, bool]:
    """Return whether variances, and precisions, are those of the roots to a few roundings."""
    products = np.ones(1) if variances is None else roots * variances * roots
    quotients = np.ones(1) if precisions is None else precisions / roots / roots
    good = [bool((abs(values - 1) <= SLACK * eps).all()) for values in (products, quotients)]
    return good[0], good[1]


def _matrices_agree(
    eps: float, factors: Numbers, covariances: Numbers | None, precisions: Numbers | None
) -> tuple[bool, bool]:
    """Return whether covariances, and precisions, are those of the factors to rounding.

    Where P P^T = Sigma^-1, P^T Sigma P = I. Both are looked at in units in which the diagonal of Sigma, or of P P^T, is
    one: there no number is above one, none that is too small to be represented matters, and rounding is a few eps of
    what is added up, at most |P|^T 1 1^T |P|, so that ill-conditioned matrices pass as they are.
    """
    rounding, good = SLACK * eps * len(factors), [True, True]
    if covariances is not None:
        deviations = np.sqrt(np.diagonal(covariances))
        scaled, related = deviations[:, np.newaxis] * factors, correlations(covariances)
        growth = abs(scaled).sum(axis=0)
        residues = abs(scaled.T @ related @ scaled - np.eye(len(factors)))
        good[0] = bool((residues <= rounding * growth * growth[:, np.newaxis]).all())
    if precisions is not None:
        norms = np.linalg.norm(factors, axis=1, keepdims=True)
        scaled = factors / norms
        good[1] = bool((abs(precisions / norms / norms.T - scaled @ scaled.T) <= rounding).all())
    return good[0], good[1]


def _checked_numbers(
    fitted: dict[str, Any], n_features: int, number: type[np.floating[Any]], others: tuple[str, ...]
) -> dict[str, Any]:
    """Return what is known of the fit, each value in its type."""
    types: dict[str, Any] = {
        "converged_": bool,
        "stop_reason_": str,
        "n_iter_": int,
        "n_features_in_": int,
        "n_samples_seen_": float,
        **dict.fromkeys(others, float),
    }
    found: dict[str, Any] = {}
    for name, value in fitted.items():
        if name in RECORDS:
            found[name] = [_record(RECORDS[name], values) for values in value]
        elif name == "searched_":
            found[name] = _record(Searched, value)
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
    """Return a record of a fit; files of earlier versions lack the last of its fields."""
    types = get_type_hints(kind)
    if len(values) > len(types):
        raise ValueError(f"a {kind.__name__} of {len(values)} values, not {len(types)}")
    names = list(types)[: len(values)]
    found: list[Any] = [
        _levels(value) if name == "levels" else _typed(name, value, types[name])
        for name, value in zip(names, values, strict=True)
    ]
    return kind(*found)


def _levels(values: Any) -> tuple[tuple[int, int], ...]:
    """Return the rows and passes of each level of a fit."""
    return tuple((_typed("levels", rows, int), _typed("levels", passes, int)) for rows, passes in values)


def _typed(name: str, value: Any, kind: Any) -> Any:
    """Return a value if it is of this type; strings stand for floats that are not finite."""
    if kind is float and value in ("inf", "-inf", "nan"):
        return math.nan if value == "nan" else float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {quoted(value)}, not of the type {kind}")
    return value
