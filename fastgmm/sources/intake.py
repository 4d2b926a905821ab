"""Checks of what users pass as rows and weights, which become a source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.masked import masked
from ..text import quoted
from .array import ArraySource
from .chunks import Chunks, ChunkSource
from .columns import Names
from .dask.incomplete import IncompleteDask
from .dask.source import DaskSource, is_dask
from .files import from_array, refuse_iterator
from .incomplete.source import IncompleteSource
from .numbers import to_floats
from .rows import check_observed, check_rows, check_size, observed_columns, rows_and_gaps
from .source import Source


def as_source(
    X: Any,
    names: Names,
    *,
    n_threads: int | None,
    sample_weight: Any = None,
    missing: str = "raise",
    for_fit: bool = False,
) -> Source:
    """Return a source of the rows of ``X`` with their weights, whose columns have these names.

    With ``missing='em'`` NaN stands for what is missing. ``for_fit`` asks for two rows of positive weight at least,
    and for columns of which some value is known.
    """
    return Intake(names, n_threads, sample_weight, missing == "em", for_fit).source(X)


class Intake:
    """Options of a call, by which rows and weights are checked before they become a source.

    Attributes
    ----------
    names : Names
        Of the columns, and of the estimator in errors.
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

    def __init__(self, names: Names, n_threads: int | None, weights: Any, allow_missing: bool, for_fit: bool) -> None:
        self.names, self.estimator = names, names.estimator
        self.n_threads, self.weights = n_threads, weights
        self.allow_missing, self.for_fit, self.min_samples = allow_missing, for_fit, 2 if for_fit else 1

    def source(self, X: Any) -> Source:
        """Return a source of rows of any kind."""
        if type(X) is not np.ndarray:
            refuse_iterator(X)
            if is_dask(X):
                return self._named(self.dask(X))
            if isinstance(X, np.memmap) and (X.dtype.char not in "fd" or not X.dtype.isnative):
                X = from_array(X)
            if isinstance(X, Chunks):
                chunks = FloatChunks(X, self.names, self.allow_missing)
                return self._named(self.array(spooled(chunks, X.dtype)) if X.spool else self.chunks(chunks))
        self.names.check(X)
        return self._named(self.array(X))

    def _named(self, source: Source) -> Source:
        """Return a source that knows the names of its columns."""
        if self.names.names is not None:
            source.feature_names = self.names.names
        if self.weights is not None:
            source.weight_unit = 2.0 ** round(math.log2(total_weight(source, self.weights) / source.total))
        return source

    def array(self, X: Any) -> Source:
        """Return a source of rows in memory, or mapped into it."""
        rows, gaps = rows_and_gaps(X, self.estimator, min_samples=self.min_samples, allow_missing=self.allow_missing)
        weights = None if self.weights is None else self.checked_weights(len(rows))
        source = ArraySource(rows, self.n_threads, weights=weights)
        if not gaps:
            return source
        if self.for_fit:
            check_observed(observed_columns(rows), self.names.names, self.estimator)
        return IncompleteSource(source)

    def chunks(self, chunks: FloatChunks) -> Source:
        """Return a source of rows in chunks, which are read once to be checked."""
        shape, dtype, observed = survey(chunks, self.min_samples)
        weights = None if self.weights is None else self.checked_weights(shape[0])
        source = ChunkSource(chunks, shape, dtype, self.n_threads, weights=weights)
        if observed is None:
            return source
        if self.for_fit:
            check_observed(observed, self.names.names, self.estimator)
        return IncompleteSource(source)

    def dask(self, X: Any) -> Source:
        """Return a source of the rows of a Dask collection."""
        self.names.check(X)
        source = DaskSource(X, self.estimator, self.n_threads, self.min_samples, self.allow_missing)
        if self.weights is not None:
            source.weigh(self.checked_weights(source.n_samples))
        if not self.allow_missing:
            return source
        if self.for_fit:
            if source.observed is None:
                source.close_gaps()
                return source
            check_observed(source.observed, self.names.names, self.estimator)
        return IncompleteDask(source)

    def checked_weights(self, n_samples: int) -> NDArray[np.float64]:
        """Return the weights, checked and scaled."""
        return scaled(check_sample_weight(self.weights, n_samples, self.min_samples))


class FloatChunks:
    """Chunks as arrays of floats; the names of their columns are compared whenever they are read."""

    def __init__(self, chunks: Chunks, names: Names, allow_missing: bool) -> None:
        self._chunks, self.names, self.allow_missing = chunks, names, allow_missing
        self._named = chunks.column_names is not None  # whether arrays among the chunks have names, too
        if self._named:
            names.check(chunks)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (rows for _, rows in self._read())

    def checked(self) -> Iterator[tuple[NDArray[Any], bool]]:
        """Yield the chunks, whose values and widths are checked, and whether values are missing in each."""
        n_samples, n_features = 0, None
        for number, (chunk, rows) in enumerate(self._read()):
            first, estimator = n_samples, self.names.estimator
            gaps = check_rows(chunk, rows, estimator, min_samples=0, first=first, allow_missing=self.allow_missing)
            if n_features not in (None, rows.shape[1]):
                raise ValueError(
                    f"Chunk {number} has {rows.shape[1]} features, but those before it have {n_features}. All chunks "
                    "must have the same columns."
                )
            n_samples, n_features = n_samples + len(rows), rows.shape[1]
            yield rows, gaps

    def _read(self) -> Iterator[tuple[Any, NDArray[Any]]]:
        """Yield each chunk as it comes and as an array of floats."""
        for number, chunk in enumerate(self._chunks):
            if not (self._named and isinstance(chunk, np.ndarray)):
                self.names.check(chunk, f"Chunk {number}: ")
            yield chunk, to_floats(chunk, "X", allow_missing=self.allow_missing)


def survey(chunks: FloatChunks, min_samples: int) -> tuple[tuple[int, int], np.dtype[Any], NDArray[np.bool_] | None]:
    """Read all chunks once: check them, and return their common shape and type, and which columns hold values.

    The last is None where no value is missing.
    """
    n_samples, n_features, dtypes, observed, any_gaps = 0, 0, set(), np.zeros(0, dtype=bool), False
    for rows, gaps in chunks.checked():
        n_samples, n_features = n_samples + len(rows), rows.shape[1]
        dtypes.add(rows.dtype)
        if chunks.allow_missing:
            seen = observed_columns(rows)
            observed = seen | observed if len(observed) else seen
            any_gaps = any_gaps or gaps
    check_size((n_samples, n_features), chunks.names.estimator, min_samples)
    dtype = np.dtype(np.float32 if dtypes == {np.dtype(np.float32)} else np.float64)
    return (n_samples, n_features), dtype, observed if any_gaps else None


def spooled(chunks: FloatChunks, dtype: np.dtype[Any] | None) -> NDArray[Any]:
    """Write all chunks to a temporary file, and return it as a mapped array; it is gone when the array is."""
    from tempfile import TemporaryFile

    n_samples, n_features, dtype = 0, 0, np.dtype(np.float64 if dtype is None else dtype)
    with TemporaryFile(prefix="fastgmm-") as file:
        for rows, _ in chunks.checked():
            file.write(np.ascontiguousarray(rows, dtype).data)
            n_samples, n_features = n_samples + len(rows), rows.shape[1]
        if n_samples == 0:
            return np.empty((0, n_features), dtype)
        file.flush()
        return np.memmap(file, dtype, "r", shape=(n_samples, n_features))


@masked
def check_sample_weight(sample_weight: Any, n_samples: int, min_samples: int = 1) -> NDArray[np.float64]:
    """Return the weights of rows: one each, finite and not negative, at least ``min_samples`` of them positive."""
    weights = to_floats(sample_weight, "sample_weight").astype(np.float64, copy=False)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight.shape == {quoted(weights.shape)}, expected ({n_samples},)! Pass one weight for each "
            "row of X."
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
