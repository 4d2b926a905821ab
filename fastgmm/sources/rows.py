"""Rows as a finite array of floats, with some value of each column; errors in scikit-learn's words."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..text import listed, quoted, shortened
from .mapped import STRETCH_BYTES, Mapping
from .numbers import place_of, to_floats

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
    rows = to_floats(X, "X", allow_missing=allow_missing)
    gaps = check_rows(X, rows, estimator, min_samples=min_samples, first=first, allow_missing=allow_missing)
    return rows, gaps


def check_rows(
    X: Any, rows: NDArray[Any], estimator: str, *, min_samples: int, first: int, allow_missing: bool
) -> bool:
    """Refuse shapes and values that cannot be fitted; tell whether values are missing. The rows were made of ``X``."""
    if rows.ndim != 2:
        _refuse_dimensions(X, rows, estimator)
    gaps = not all_finite(rows)
    if gaps:
        _refuse_values(X, rows, estimator, first, allow_missing)
    check_size(rows.shape, estimator, min_samples)
    return gaps


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


def _refuse_dimensions(X: Any, rows: NDArray[Any], estimator: str) -> NoReturn:
    """Raise the error for data that are not two-dimensional."""
    if rows.ndim > 2:
        raise ValueError(
            f"Found array with dim {rows.ndim}, while dim <= 2 is required by {estimator}: X has shape "
            f"{quoted(rows.shape)}. "
            "Flatten each sample to one row."
        )
    reshape = (
        "Reshape your data: X.reshape(-1, 1) if it has a single feature, X.reshape(1, -1) if it is a single sample."
    )
    if hasattr(X, "iloc"):
        raise ValueError(
            f"Expected a 2-dimensional container but got {shortened(type(X))} of shape {rows.shape}. Pass a DataFrame "
            f"with a single column or a single row. {reshape}"
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


def check_observed(observed: NDArray[np.bool_], names: NDArray[Any] | None, estimator: str) -> None:
    """Refuse columns of which no value is known."""
    if observed.all():
        return
    if not observed.any():
        raise ValueError(f"Input X holds nothing but NaN: {estimator} needs some values to learn from.")
    missing = (str(i) if names is None else repr(names[i]) for i in np.flatnonzero(~observed))
    raise ValueError(
        f"Input X has no value but NaN in column {listed(missing)}: nothing can be learned of it. Drop it."
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
            place = place_of(X, (start + row, column), first)
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
