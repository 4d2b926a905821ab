"""Numbers of any kind as floats: what holds numbers is taken, whatever its type; what does not is refused by name."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..text import quoted, shortened
from .columns import column_label, column_types, complex_error, date_error, is_single, refuse_lazy, refuse_types

DATE_TYPES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


def to_floats(values: Any, name: str, *, allow_missing: bool = False) -> NDArray[Any]:
    """Convert anything NumPy can view to an aligned native array; float32 is kept, the rest becomes float64.

    Booleans count as 0 and 1, decimals, fractions and text as the numbers that they hold, categories as their values;
    missing values become NaN. Dates, times and durations, complex numbers and any other text are refused. With
    ``allow_missing`` what is masked becomes NaN, too.
    """
    if type(values) is np.ndarray and values.dtype.char in "fd" and values.flags.aligned and values.dtype.isnative:
        return values
    if allow_missing and isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "biuf":
        values = np.ma.filled(values.astype(np.result_type(values.dtype, np.float32)), np.nan)
    _refuse_containers(values, name)
    types = None if hasattr(values, "iloc") else _checked_types(values, name)
    array = _as_array(values, name)
    kind = array.dtype.kind
    if kind != "f" and types is None:  # pandas, which makes objects of dates where others make floats
        types = _checked_types(values, name)
    if kind in "mM":
        raise date_error(f"column {column_label(values, 0)} of {name}" if array.ndim == 2 else name, str(array.dtype))
    if kind == "c":
        raise complex_error(name, str(array.dtype))
    if kind == "O":
        array = _objects_to_floats(values, array, name)
    elif kind in "UST":
        array = _text_to_floats(values, array, name)
    elif kind not in "biuf":
        raise ValueError(
            f"{name} has dtype {shortened(array.dtype)}, which holds no numbers. Convert its columns to numbers, or "
            "drop those that cannot be converted."
        )
    single = array.dtype.char == "f" if types is None else is_single(types)
    with np.errstate(all="ignore"):  # a long double may be out of range; it is refused as an infinity afterwards
        return np.require(array.astype(np.float32 if single else np.float64, copy=False), requirements="A")


def place_of(X: Any, index: tuple[int, ...], first: int = 0) -> str:
    """Say where a value stands, with the column's name where it has one; ``first`` is the number of the first row."""
    if len(index) != 2:
        return f"position {', '.join(map(str, index)) or '0'}"
    return f"row {first + index[0]}, column {column_label(X, index[1])}"


def _refuse_containers(values: Any, name: str) -> None:
    """Refuse what NumPy would not see as an array, or would see wrongly."""
    refuse_lazy(values)
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


def _checked_types(values: Any, name: str) -> list[Any] | None:
    """Return the types of the columns of a table, all of which may hold numbers; None for what has none."""
    types = column_types(values)
    if types is not None:
        refuse_types(types, values, name)
    return types


def _as_array(values: Any, name: str) -> NDArray[Any]:
    """View values as an array; of objects where NumPy knows no common type."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, MemoryError):
        raise
    except Exception as error:  # of a library that cannot convert a type of its own
        raise TypeError(
            f"{name} ({type(values).__name__}) cannot be viewed as an array: {shortened(error, 200)}. Convert its "
            "columns to numbers, or drop those that cannot be converted."
        ) from error


def _objects_to_floats(values: Any, array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Convert objects; the error names the first that is no number."""
    if any(map(_is_peculiar, set(map(type, array.flat)))):
        array = np.where(_is_missing(array), np.nan, array)
        _refuse_date_objects(values, array, name)
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        for index, value in np.ndenumerate(array):
            place = place_of(values, index)
            try:
                _number(value)
            except OverflowError:
                raise ValueError(
                    f"{name} contains infinity or a value too large for float64: {quoted(value)} at {place}. Drop the "
                    "row or clip the value."
                ) from error
            except (TypeError, ValueError) as cause:
                raise type(cause)(
                    f"{shortened(cause, 120)}: {name} holds {quoted(value)} at {place}. Convert that column to numbers "
                    "or drop it."
                ) from error
        raise


def _number(value: Any) -> float:
    """Return an object as a number; refuse sequences, which NumPy converts where they have one item."""
    if np.ndim(value) > 0:
        raise TypeError(f"float() argument must be a string or a real number, not '{type(value).__name__}'")
    return float(value)


def _is_peculiar(kind: type) -> bool:
    """Tell whether objects of a type are missing values of pandas, or dates."""
    return issubclass(kind, DATE_TYPES) or kind.__name__ in ("NAType", "Period")


def _is_missing(array: NDArray[Any]) -> Any:
    """Tell which objects are missing values: None, NaN, pandas' NA and NaT of any kind."""
    pandas = sys.modules.get("pandas")
    return array != array if pandas is None else pandas.isna(array)


def _refuse_date_objects(values: Any, array: NDArray[Any], name: str) -> None:
    """Refuse objects that are dates, times or durations."""
    if not any(map(_is_peculiar, set(map(type, array.flat)))):
        return
    index, value = next((index, value) for index, value in np.ndenumerate(array) if _is_peculiar(type(value)))
    if len(index) == 2:
        raise date_error(f"column {column_label(values, index[1])} of {name}", f"{quoted(value)}, row {index[0]}")
    raise date_error(name, f"{quoted(value)}, {place_of(values, index)}")


def _text_to_floats(values: Any, array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Convert text that holds numbers; the error names the first that does not."""
    try:
        return array.astype(np.float64)
    except ValueError:
        return _objects_to_floats(values, array.astype(object), name)
