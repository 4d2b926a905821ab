"""Anything that looks like rows of numbers, as a finite array of floats; errors in scikit-learn's words."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .mapped import STRETCH_BYTES, Mapping

_STRETCH = 1 << 16  # values looked at together in the search for one that is not finite


def as_rows(
    X: Any, estimator: str, *, min_samples: int = 1, first: int = 0, allow_missing: bool = False
) -> NDArray[Any]:
    """Return ``X`` as a finite 2-D array of float32 or float64, the same object where it is one already.

    ``X`` may have any strides. Only what is of another type, byte order or alignment is copied. ``first`` is the number
    of its first row, for errors. With ``allow_missing`` NaN and what is masked stand for missing values.
    """
    rows, _ = rows_and_gaps(X, estimator, min_samples=min_samples, first=first, allow_missing=allow_missing)
    return rows


def rows_and_gaps(
    X: Any, estimator: str, *, min_samples: int = 1, first: int = 0, allow_missing: bool = False
) -> tuple[NDArray[Any], bool]:
    """Return what `as_rows` does, and whether values are missing."""
    if allow_missing and isinstance(X, np.ma.MaskedArray) and X.dtype.kind in "biuf":
        X = np.ma.filled(X.astype(np.result_type(X.dtype, np.float32)), np.nan)
    if type(X) is not np.ndarray or X.dtype.char not in "fd" or not X.flags.aligned or not X.dtype.isnative:
        rows = to_floats(X, "X")
    else:
        rows = X
    if rows.ndim != 2:
        _refuse_dimensions(X, rows, estimator)
    gaps = not all_finite(rows)
    if gaps:
        _refuse_values(X, rows, estimator, first, allow_missing)
    check_size(rows.shape, estimator, min_samples)
    return rows, gaps


def check_size(shape: tuple[int, ...], estimator: str, min_samples: int) -> None:
    """Refuse too few rows, and rows without features."""
    if shape[0] >= min_samples and shape[1] >= 1:
        return
    for count, noun, minimum in zip(shape, ("sample(s)", "feature(s)"), (min_samples, 1), strict=True):
        if count < minimum:
            raise ValueError(
                f"Found array with {count} {noun} (shape={shape}) while a minimum of {minimum} is required "
                f"by {estimator}. Pass an array of shape (n_samples, n_features)."
            )


def to_floats(values: Any, name: str) -> NDArray[Any]:
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


def all_finite(rows: NDArray[Any]) -> bool:
    """Tell whether no value is NaN or infinite, letting go of the pages of a mapped file."""
    small = rows.base is None or rows.nbytes <= STRETCH_BYTES  # whose pages are let go by the passes that follow
    mapping = None if small else Mapping.of(rows)
    if mapping is None:
        return kernels.CHOSEN.all_finite(rows)
    step = max(1, STRETCH_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        finite = kernels.CHOSEN.all_finite(part)
        mapping.release(part)
        if not finite:
            return False
    return True


def _place(X: Any, index: tuple[int, ...], first: int = 0) -> str:
    """Say where a value stands, with the column's name where it has one."""
    if len(index) != 2:
        return f"position {', '.join(map(str, index)) or '0'}"
    names = None if isinstance(X, np.ndarray) else column_names(X)
    column = index[1] if names is None else repr(names[index[1]])
    return f"row {first + index[0]}, column {column}"


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


def observed_columns(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which columns hold a value that is not NaN."""
    observed = np.zeros(rows.shape[1], dtype=bool)
    step = max(1, _STRETCH // rows.shape[1])
    for start in range(0, rows.shape[0], step):
        observed |= ~np.isnan(rows[start : start + step]).all(axis=0)
        if observed.all():
            break
    return observed


def check_observed(observed: NDArray[np.bool_], names: list[Any] | None, estimator: str) -> None:
    """Refuse columns of which no value is known."""
    if observed.all():
        return
    if not observed.any():
        raise ValueError(f"Input X holds nothing but NaN: {estimator} needs some values to learn from.")
    missing = [str(i) if names is None else repr(names[i]) for i in np.flatnonzero(~observed)]
    raise ValueError(
        f"Input X has no value but NaN in column {', '.join(missing)}: nothing can be learned of it. Drop it."
    )


def _refuse_values(X: Any, rows: NDArray[Any], estimator: str, first: int, allow_missing: bool) -> None:
    """Raise the error for infinity, and for NaN if it is not allowed: the first of them is named."""
    mapping = None if rows.base is None else Mapping.of(rows)
    step = max(1, _STRETCH // rows.shape[1])
    for start in range(0, rows.shape[0], step):
        part = rows[start : start + step]
        bad = np.isinf(part) if allow_missing else ~np.isfinite(part)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            value = rows[start + row, column]
            place = _place(X, (start + row, column), first)
            if np.isnan(value):
                raise ValueError(
                    f"Input X contains NaN, first at {place}. {estimator} does not accept missing values encoded as "
                    "NaN unless missing='em': set that, impute them or drop their rows."
                )
            raise ValueError(
                f"Input X contains infinity or a value too large for {rows.dtype!r}: {value} at {place}. Drop the "
                "row or clip the value."
            )
        if mapping is not None:
            mapping.release(rows[max(0, start - 15 * step) : start + step])  # systems map pages on either side, too


def column_names(X: Any) -> list[Any] | None:
    """Return the column names of a table; None for what has none."""
    names = getattr(X, "column_names", None)  # pyarrow, whose `columns` are the data
    if names is None:
        names = getattr(X, "columns", None)
    return None if names is None or callable(names) else list(names)
