"""Checks of what users pass as rows and weights, which become a source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array import ArraySource
from .chunks import Chunks, ChunkSource
from .dask.incomplete import IncompleteDask
from .dask.source import DaskSource, is_dask
from .files import from_array, refuse_iterator
from .incomplete.source import IncompleteSource
from .rows import check_observed, check_size, column_names, observed_columns, rows_and_gaps, to_floats
from .source import Source


def as_source(
    X: Any,
    estimator: str,
    *,
    n_threads: int | None,
    sample_weight: Any = None,
    missing: str = "raise",
    for_fit: bool = False,
) -> Source:
    """Return a source of the rows of ``X`` with their weights.

    With ``missing='em'`` NaN stands for what is missing. ``for_fit`` asks for two rows of positive weight at least,
    and for columns of which some value is known.
    """
    return Intake(estimator, n_threads, sample_weight, missing == "em", for_fit).source(X)


class Intake:
    """Options of a call, by which rows and weights are checked before they become a source.

    Attributes
    ----------
    estimator : str
        Named in errors.
    n_threads : int or None
    weights : array-like or None
        As the user gives them.
    allow_missing : bool
        Whether NaN stands for what is missing.
    for_fit : bool
        Whether some value must be known of each column.
    min_samples : int
        How many rows of positive weight there must be.
    """

    def __init__(self, estimator: str, n_threads: int | None, weights: Any, allow_missing: bool, for_fit: bool) -> None:
        self.estimator, self.n_threads, self.weights = estimator, n_threads, weights
        self.allow_missing, self.for_fit, self.min_samples = allow_missing, for_fit, 2 if for_fit else 1

    def source(self, X: Any) -> Source:
        """Return a source of rows of any kind."""
        if type(X) is not np.ndarray:
            refuse_iterator(X)
            if is_dask(X):
                return self.dask(X)
            if isinstance(X, np.memmap) and (X.dtype.char not in "fd" or not X.dtype.isnative):
                X = from_array(X)
            if isinstance(X, Chunks) and X.spool:
                X = spooled(X, self.estimator, self.allow_missing)
            if isinstance(X, Chunks):
                return self.chunks(X)
        return self.array(X)

    def array(self, X: Any) -> Source:
        """Return a source of rows in memory, or mapped into it."""
        rows, gaps = rows_and_gaps(X, self.estimator, min_samples=self.min_samples, allow_missing=self.allow_missing)
        weights = None if self.weights is None else self.checked_weights(len(rows))
        source = ArraySource(rows, self.n_threads, weights=weights)
        if not gaps:
            return source
        if self.for_fit:
            check_observed(observed_columns(rows), column_names(X), self.estimator)
        return IncompleteSource(source)

    def chunks(self, chunks: Chunks) -> Source:
        """Return a source of rows in chunks, which are read once to be checked."""
        shape, dtype, observed = survey(chunks, self.estimator, self.min_samples, self.allow_missing)
        weights = None if self.weights is None else self.checked_weights(shape[0])
        source = ChunkSource(chunks, shape, dtype, self.n_threads, weights=weights)
        if observed is None:
            return source
        if self.for_fit:
            check_observed(observed, chunks.column_names, self.estimator)
        return IncompleteSource(source)

    def dask(self, X: Any) -> Source:
        """Return a source of the rows of a Dask collection."""
        source = DaskSource(X, self.estimator, self.n_threads, self.min_samples, self.allow_missing)
        if self.weights is not None:
            source.weigh(self.checked_weights(source.n_samples))
        if not self.allow_missing:
            return source
        if self.for_fit:
            if source.observed is None:
                source.close_gaps()
                return source
            check_observed(source.observed, column_names(X), self.estimator)
        return IncompleteDask(source)

    def checked_weights(self, n_samples: int) -> NDArray[np.float64]:
        """Return the weights, checked and scaled."""
        return scaled(check_sample_weight(self.weights, n_samples, self.min_samples))


def survey(
    chunks: Chunks, estimator: str, min_samples: int, allow_missing: bool
) -> tuple[tuple[int, int], np.dtype[Any], NDArray[np.bool_] | None]:
    """Read all chunks once: check them, and return their common shape and type, and which columns hold values.

    The last is None where no value is missing.
    """
    n_samples, n_features, dtypes, observed, any_gaps = 0, 0, set(), np.zeros(0, dtype=bool), False
    for number, (rows, gaps) in enumerate(checked(chunks, estimator, allow_missing)):
        if number > 0 and rows.shape[1] != n_features:
            raise ValueError(
                f"Chunk {number} has {rows.shape[1]} features, but those before it have {n_features}. All chunks must "
                "have the same columns."
            )
        n_samples, n_features = n_samples + len(rows), rows.shape[1]
        dtypes.add(rows.dtype)
        if allow_missing:
            seen = observed_columns(rows)
            observed = seen | observed if len(observed) else seen
            any_gaps = any_gaps or gaps
    check_size((n_samples, n_features), estimator, min_samples)
    dtype = np.dtype(np.float32 if dtypes == {np.dtype(np.float32)} else np.float64)
    return (n_samples, n_features), dtype, observed if any_gaps else None


def checked(chunks: Chunks, estimator: str, allow_missing: bool) -> Iterator[tuple[NDArray[Any], bool]]:
    """Yield the chunks as arrays, and whether values are missing in each."""
    n_samples = 0
    for chunk in chunks:
        rows, gaps = rows_and_gaps(chunk, estimator, min_samples=0, first=n_samples, allow_missing=allow_missing)
        n_samples += len(rows)
        yield rows, gaps


def spooled(chunks: Chunks, estimator: str, allow_missing: bool) -> NDArray[Any]:
    """Write all chunks to a temporary file, and return it as a mapped array; it is gone when the array is."""
    from tempfile import TemporaryFile

    n_samples, n_features, dtype = 0, 0, np.dtype(chunks.dtype)
    with TemporaryFile(prefix="fastgmm-") as file:
        for rows, _ in checked(chunks, estimator, allow_missing):
            file.write(np.ascontiguousarray(rows, dtype).data)
            n_samples, n_features = n_samples + len(rows), rows.shape[1]
        if n_samples == 0:
            return np.empty((0, n_features), dtype)
        file.flush()
        return np.memmap(file, dtype, "r", shape=(n_samples, n_features))


def check_sample_weight(sample_weight: Any, n_samples: int, min_samples: int = 1) -> NDArray[np.float64]:
    """Return the weights of rows: one each, finite and not negative, at least ``min_samples`` of them positive."""
    weights = to_floats(sample_weight, "sample_weight").astype(np.float64, copy=False)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected ({n_samples},)! Pass one weight for each row of X."
        )
    wrong = ~((weights >= 0) & (weights < math.inf))
    if wrong.any():
        row = int(wrong.argmax())
        kind = "Negative values" if weights[row] < 0 else "NaN or infinity"
        raise ValueError(
            f"{kind} in data passed to `sample_weight`: {weights[row]} for row {row}. Weights count rows: give finite "
            "numbers that are not negative, 0 for rows to be left out."
        )
    positive = int(np.count_nonzero(weights))
    if positive < min_samples:
        raise ValueError(
            f"sample_weight is positive for {positive} of {n_samples} rows, while a minimum of {min_samples} is "
            "required. Give more rows a weight above zero."
        )
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not total < math.inf:
        raise ValueError(f"The sum of sample_weight overflows: its largest value is {weights.max()}. Scale it down.")
    return weights


def scaled(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights times a power of two, so that their mean is about one: nothing is rounded, nothing overflows."""
    weights = np.ldexp(weights, -math.frexp(weights.max())[1])
    return np.ldexp(weights, -math.frexp(weights.mean())[1])


def total_weight(source: Source, sample_weight: Any) -> float:
    """Return the number of rows, or the sum of their weights as the user gave them."""
    if sample_weight is None:
        return source.n_samples
    return float(np.asarray(sample_weight, dtype=np.float64).sum())
