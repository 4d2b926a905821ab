"""Checks of data, constructor arguments and starting values, with scikit-learn's exception types and key words."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Collection
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .exceptions import InvalidParameterError, NotFittedError, compatible
from .fitting.acceleration import ACCELERATIONS
from .fitting.convergence import RULES
from .fitting.initialization import METHODS
from .model.structures import STRUCTURES

_BLOCK = 1 << 16  # values looked at together in the search for the one that is not finite

# ----------------------------------------------------------------------------------------------------------------------
# Rows


def as_rows(X: Any, estimator: str, *, min_samples: int = 1, allow_nan: bool = False) -> NDArray[Any]:
    """Return ``X`` as a finite 2-D array of float32 or float64, the same object where it is one already.

    ``X`` may have any strides. Only what is of another type, byte order or alignment is copied. With ``allow_nan`` NaN
    and what is masked stand for missing values.
    """
    if allow_nan and isinstance(X, np.ma.MaskedArray) and X.dtype.kind in "biuf":
        X = np.ma.filled(X.astype(np.result_type(X.dtype, np.float32)), np.nan)
    if type(X) is not np.ndarray or X.dtype.char not in "fd" or not X.flags.aligned or not X.dtype.isnative:
        rows = _to_floats(X, "X")
    else:
        rows = X
    if rows.ndim != 2:
        _refuse_dimensions(X, rows, estimator)
    _check_finite(X, rows, estimator, allow_nan)
    for count, noun, minimum in zip(rows.shape, ("sample(s)", "feature(s)"), (min_samples, 1), strict=True):
        if count < minimum:
            raise ValueError(
                f"Found array with {count} {noun} (shape={rows.shape}) while a minimum of {minimum} is required "
                f"by {estimator}. Pass an array of shape (n_samples, n_features)."
            )
    return rows


def _to_floats(values: Any, name: str) -> NDArray[Any]:
    """Convert anything NumPy can view to an aligned native array; float32 is kept, the rest becomes float64."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(values):
        raise TypeError(
            f"Sparse data was passed for {name} ({type(values).__name__}), but dense data is required. "
            f"Use {name}.toarray() to convert it to a dense array."
        )
    if isinstance(values, np.matrix):
        raise TypeError(f"np.matrix is not supported for {name}. Convert it with np.asarray({name}).")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(f"{name} contains {np.ma.count_masked(values)} masked values. Fill them or drop their rows.")
    array = np.asarray(values)
    kind = array.dtype.kind
    if kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} has dtype {array.dtype}. Pass real numbers, for instance "
            f"{name}.real and {name}.imag side by side."
        )
    if kind == "O":
        return _objects_to_floats(values, array, name)
    if kind not in "biuf":
        raise ValueError(
            f"{name} has dtype {array.dtype}, which holds no numbers. Convert its columns to numbers, or drop those "
            "that cannot be converted."
        )
    dtype = np.float32 if kind == "f" and array.dtype.itemsize == 4 else np.float64
    with np.errstate(over="ignore"):  # a long double may be out of range; it is refused as an infinity afterwards
        return np.require(array.astype(dtype, copy=False), requirements="A")


def _objects_to_floats(values: Any, array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Convert objects one by one; the error names the first that is no number."""
    try:
        if hasattr(values, "iloc"):  # pandas converts its own missing values to NaN
            return np.asarray(values.astype(np.float64))
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        for index, value in np.ndenumerate(array):
            try:
                np.float64(value)
            except (TypeError, ValueError) as cause:
                raise type(error)(
                    f"{cause}: {name} holds {value!r} at {_place(values, index)}. Convert that column to numbers or "
                    "drop it."
                ) from error
        raise


def _place(X: Any, index: tuple[int, ...]) -> str:
    """Say where a value stands, with the column's name where it has one."""
    if len(index) != 2:
        return f"position {', '.join(map(str, index)) or '0'}"
    names = None if isinstance(X, np.ndarray) else _column_names(X)
    column = index[1] if names is None else repr(names[index[1]])
    return f"row {index[0]}, column {column}"


def _refuse_dimensions(X: Any, rows: NDArray[Any], estimator: str) -> NoReturn:
    """Raise the error for data that are not two-dimensional."""
    if rows.ndim > 2:
        raise ValueError(
            f"Found array with dim {rows.ndim}, while dim <= 2 is required by {estimator}: X has shape {rows.shape}. "
            "Flatten each sample to one row."
        )
    reshape = (
        "Reshape your data: X.reshape(-1, 1) if it has a single feature, X.reshape(1, -1) if it is a single sample."
    )
    if hasattr(X, "iloc"):
        raise ValueError(
            f"Expected a 2-dimensional container but got {type(X)} of shape {rows.shape}. Pass a DataFrame with a "
            f"single column or a single row. {reshape}"
        )
    what = "scalar array" if rows.ndim == 0 else "1D array"
    raise ValueError(f"Expected 2D array, got {what} instead: X has shape {rows.shape}.\n{reshape}")


def has_gaps(rows: NDArray[Any]) -> bool:
    """Tell whether values are missing in rows without infinity."""
    return not kernels.CHOSEN.all_finite(rows)


def check_observed(X: Any, rows: NDArray[Any], estimator: str) -> None:
    """Refuse columns of which no value is known."""
    observed = np.zeros(rows.shape[1], dtype=bool)
    step = max(1, _BLOCK // rows.shape[1])
    for start in range(0, rows.shape[0], step):
        observed |= ~np.isnan(rows[start : start + step]).all(axis=0)
        if observed.all():
            return
    if not observed.any():
        raise ValueError(f"Input X holds nothing but NaN: {estimator} needs some values to learn from.")
    names = None if isinstance(X, np.ndarray) else _column_names(X)
    missing = [str(i) if names is None else repr(names[i]) for i in np.flatnonzero(~observed)]
    raise ValueError(
        f"Input X has no value but NaN in column {', '.join(missing)}: nothing can be learnt of it. Drop it."
    )


def _check_finite(X: Any, rows: NDArray[Any], estimator: str, allow_nan: bool) -> None:
    """Refuse infinity, and NaN if it is not allowed; blocks of rows are searched for the first one."""
    if kernels.CHOSEN.all_finite(rows):
        return
    step = max(1, _BLOCK // rows.shape[1])
    for start in range(0, rows.shape[0], step):
        block = rows[start : start + step]
        bad = np.isinf(block) if allow_nan else ~np.isfinite(block)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            value = rows[start + row, column]
            place = _place(X, (start + row, column))
            if np.isnan(value):
                raise ValueError(
                    f"Input X contains NaN, first at {place}. {estimator} does not accept missing values encoded as "
                    "NaN unless missing='em': set that, impute them or drop their rows."
                )
            raise ValueError(
                f"Input X contains infinity or a value too large for {rows.dtype!r}: {value} at {place}. Drop the "
                "row or clip the value."
            )


# ----------------------------------------------------------------------------------------------------------------------
# Names and number of features


def _column_names(X: Any) -> list[Any] | None:
    """Return the column names of a table; None for what has none."""
    names = getattr(X, "column_names", None)  # pyarrow, whose `columns` are the data
    if names is None:
        names = getattr(X, "columns", None)
    return None if names is None or callable(names) else list(names)


def feature_names(X: Any) -> NDArray[np.object_] | None:
    """Return the column names of a table if they are all strings, else None.

    Raises
    ------
    TypeError
        If some names are strings and others are not.
    """
    names = None if type(X) is np.ndarray else _column_names(X)
    if not names:
        return None
    types = sorted({type(name).__name__ for name in names})
    if types == ["str"]:
        return np.array(names, dtype=object)
    if "str" in types:
        raise TypeError(
            f"Feature names are only supported if all input features have string names, but X has {types} as column "
            "name types. Convert them all, for instance by X.columns = X.columns.astype(str)."
        )
    return None


def check_feature_names(X: Any, fitted: NDArray[np.object_] | None, estimator: str) -> None:
    """Compare the column names of ``X`` with those seen by ``fit``: warn when one has none, refuse when they differ."""
    if fitted is None and type(X) is np.ndarray:
        return
    names = feature_names(X)
    if names is None and fitted is None:
        return
    if fitted is None:
        warnings.warn(f"X has feature names, but {estimator} was fitted without feature names", stacklevel=4)
    elif names is None:
        warnings.warn(
            f"X does not have valid feature names, but {estimator} was fitted with feature names", stacklevel=4
        )
    elif list(names) != list(fitted):
        raise ValueError(_different_names(set(names), set(fitted)))


def _different_names(names: set[str], fitted: set[str]) -> str:
    """Say how two sets of column names differ, at most five of each kind."""
    message = "The feature names should match those that were passed during fit.\n"
    for title, different in (
        ("Feature names unseen at fit time:\n", sorted(names - fitted)),
        ("Feature names seen at fit time, yet now missing:\n", sorted(fitted - names)),
    ):
        if different:
            lines = [*different[:5], "..."] if len(different) > 5 else different
            message += title + "".join(f"- {name}\n" for name in lines)
    if names == fitted:
        message += "Feature names must be in the same order as they were in fit.\n"
    return message


def check_n_features(n_features: int, expected: int, estimator: str) -> None:
    """Refuse rows with another number of features than the model has."""
    if n_features != expected:
        raise ValueError(
            f"X has {n_features} features, but {estimator} is expecting {expected} features as input. Pass the "
            "columns used in fit, or fit again."
        )


# ----------------------------------------------------------------------------------------------------------------------
# Constructor arguments


def check_random_state(seed: Any) -> np.random.RandomState | np.random.Generator:
    """Return the generator that ``random_state`` stands for; None is NumPy's global one."""
    if seed is None:
        return np.random.mtrand._rand
    if isinstance(seed, Integral):
        return np.random.RandomState(int(seed))
    return seed


def _integer(low: int, high: int | None = None) -> tuple[Callable[[Any], bool], str]:
    """Return a test for integers from ``low`` to ``high`` and its description."""
    end = "inf)" if high is None else f"{high}]"
    return (
        lambda v: isinstance(v, Integral) and low <= int(v) <= (math.inf if high is None else high),
        f"an int in the range [{low}, {end}",
    )


def _one_of(options: Collection[str]) -> tuple[Callable[[Any], bool], str]:
    """Return a test for a string among ``options`` and its description."""
    return (
        lambda v: isinstance(v, str) and v in options,
        f"a str among {{{', '.join(map(repr, options))}}}",
    )


def _either(*tests: tuple[Callable[[Any], bool], str]) -> tuple[Callable[[Any], bool], str]:
    """Return the test that passes when one of ``tests`` does."""
    return lambda v: any(test(v) for test, _ in tests), " or ".join(description for _, description in tests)


def _holds_numbers(values: Any) -> bool:
    """Tell whether NumPy makes an array of numbers of ``values``."""
    try:
        return np.asarray(values).dtype.kind in "biuf"
    except ValueError:  # of uneven lengths
        return False


_NONE: tuple[Callable[[Any], bool], str] = (lambda v: v is None, "None")
_BOOL: tuple[Callable[[Any], bool], str] = (lambda v: isinstance(v, (bool, np.bool_)), "a bool")
_NONNEGATIVE: tuple[Callable[[Any], bool], str] = (
    lambda v: isinstance(v, Real) and 0.0 <= float(v) < math.inf,
    "a float in the range [0.0, inf)",
)
_GENERATOR: tuple[Callable[[Any], bool], str] = (
    lambda v: isinstance(v, (np.random.RandomState, np.random.Generator)),
    "a numpy.random.RandomState or numpy.random.Generator",
)
_ARRAY: tuple[Callable[[Any], bool], str] = (
    lambda v: any(hasattr(v, name) for name in ("__len__", "shape", "__array__")) and not np.isscalar(v),
    "an array-like",
)
_NUMBERS: tuple[Callable[[Any], bool], str] = (
    lambda v: _ARRAY[0](v) and _holds_numbers(v),
    "an array-like of numbers",
)
_POSITIVE: tuple[Callable[[Any], bool], str] = (
    lambda v: isinstance(v, Real) and 0.0 < float(v) < math.inf,
    "a float in the range (0.0, inf)",
)
_CALLABLE: tuple[Callable[[Any], bool], str] = (callable, "a callable")
_CONSTRAINTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "n_components": _integer(1),
    "covariance_type": _one_of(STRUCTURES),
    "tol": _NONNEGATIVE,
    "reg_covar": _either(_NONNEGATIVE, _one_of(["auto"])),
    "max_iter": _integer(0),
    "n_init": _integer(1),
    "init_params": _either(_one_of(METHODS), _NUMBERS, _CALLABLE),
    "weights_init": _either(_ARRAY, _NONE),
    "means_init": _either(_ARRAY, _NONE),
    "precisions_init": _either(_ARRAY, _NONE),
    "random_state": _either(_integer(0, 2**32 - 1), _GENERATOR, _NONE),
    "warm_start": _BOOL,
    "verbose": _either(_integer(0), _BOOL),
    "verbose_interval": _integer(1),
    "acceleration": _either(_one_of(ACCELERATIONS), _NONE),
    "convergence": _one_of(RULES),
    "max_time": _either(_POSITIVE, _NONE),
    "degenerate": _one_of(["repair", "raise"]),
    "callback": _either(_CALLABLE, _NONE),
    "n_threads": _either(_integer(1), _NONE),
    "drop_restarts": _BOOL,
    "missing": _one_of(["raise", "em"]),
}


def check_parameters(params: dict[str, Any], estimator: str) -> None:
    """Refuse constructor arguments of the wrong type or out of range."""
    for name, (valid, description) in _CONSTRAINTS.items():
        if name in params and not valid(params[name]):
            raise compatible(InvalidParameterError)(
                f"The {name!r} parameter of {estimator} must be {description}. Got {params[name]!r} instead."
            )


# ----------------------------------------------------------------------------------------------------------------------
# Starting values


def _as_start(values: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return starting values as a finite array of floats of the given shape."""
    array = _to_floats(values, name)
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}. Its shape follows from "
            "n_components, covariance_type and the number of features of X."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"The parameter '{name}' contains NaN or infinity. Give finite values.")
    return array


def check_weights(weights: Any, n_components: int) -> NDArray[np.float64]:
    """Check ``weights_init``: one weight per component, from 0 to 1, with the sum 1."""
    array = _as_start(weights, "weights", (n_components,))
    if array.min() < 0.0 or array.max() > 1.0:
        raise ValueError(
            f"The parameter 'weights' should be in the range [0, 1], but got min value {array.min():.5f}, max value "
            f"{array.max():.5f}. Divide nonnegative weights by their sum."
        )
    total = array.sum()
    if abs(total - 1.0) > (1e-6 if array.dtype == np.float32 else 1e-8):
        raise ValueError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {total:.5f}. Divide them by their "
            "sum."
        )
    return array.astype(np.float64, copy=False)


def check_means(means: Any, n_components: int, n_features: int) -> NDArray[np.float64]:
    """Check ``means_init``: one mean per component."""
    return _as_start(means, "means", (n_components, n_features)).astype(np.float64, copy=False)


def check_precisions(precisions: Any, covariance_type: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Check ``precisions_init``: positive, or symmetric and positive-definite matrices."""
    name = f"{covariance_type} precision"
    array = _as_start(precisions, name, shape).astype(np.float64, copy=False)
    if covariance_type in ("diag", "spherical"):
        if array.min() <= 0.0:
            raise ValueError(f"'{name}' should be positive, but its smallest value is {array.min():.5g}.")
        return array
    for k, matrix in enumerate(array if array.ndim == 3 else array[np.newaxis]):
        where = f" of component {k}" if array.ndim == 3 else ""
        required = f"'{name}' should be symmetric, positive-definite, but the matrix{where}"
        if not np.allclose(matrix, matrix.T):
            raise ValueError(f"{required} is not symmetric. Take (P + P.T) / 2 if only rounding made it so.")
        smallest = np.linalg.eigvalsh(matrix).min()
        if smallest <= 0.0:
            raise ValueError(f"{required} has the eigenvalue {smallest:.5g}. Give the inverse of a covariance matrix.")
    return array


# ----------------------------------------------------------------------------------------------------------------------
# Fitted attributes, which may also have been set by hand


def fitted_attributes(estimator: Any, *names: str) -> list[NDArray[np.float64]]:
    """Return the named attributes in double precision, or raise NotFittedError."""
    try:
        return [np.asarray(getattr(estimator, name), dtype=np.float64) for name in names]
    except AttributeError:
        missing = [name for name in names if not hasattr(estimator, name)]
        raise compatible(NotFittedError)(
            f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments before "
            f"using this estimator, or set what it lacks by hand: {', '.join(missing)}."
        ) from None


def check_attribute_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Refuse an attribute, set by hand or left by other arguments, that does not fit the others."""
    if shape != expected:
        raise ValueError(
            f"The attribute '{name}' should have the shape of {expected}, but got {shape}. Its shape follows from "
            "weights_, means_ and covariance_type: set them together, or call 'fit'."
        )


def check_sample_size(n_samples: Any) -> int:
    """Return the number of samples to draw, which is at least one."""
    if not isinstance(n_samples, Integral):
        raise TypeError(f"Invalid value for 'n_samples': {n_samples!r}. Give an int.")
    if n_samples < 1:
        raise ValueError(f"Invalid value for 'n_samples': {n_samples}. The sampling requires at least one sample.")
    return int(n_samples)


@lru_cache(maxsize=64)
def _below_diagonal(n_features: int) -> NDArray[np.bool_]:
    """Return the mask of the entries below the diagonal."""
    return np.tri(n_features, k=-1, dtype=bool)


def is_upper_triangular(factors: NDArray[Any]) -> bool:
    """Tell whether all matrices of a stack are upper triangular."""
    return not np.logical_and(factors, _below_diagonal(factors.shape[-1])).any()
