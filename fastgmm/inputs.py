"""From what a user passes as rows and weights to a source, checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sources.array import ArraySource
from .sources.chunks import Chunks, ChunkSource
from .sources.dask import DaskSource, is_dask
from .sources.files import from_array, refuse_iterator
from .sources.rows import as_rows, check_size
from .sources.source import Source
from .validation import check_sample_weight


def as_source(
    X: Any,
    estimator: str,
    *,
    n_threads: int | None,
    sample_weight: Any = None,
    min_samples: int = 1,
) -> Source:
    """Return a source of the rows of ``X`` with their weights, of which at least ``min_samples`` are positive."""
    if type(X) is not np.ndarray:
        refuse_iterator(X)
        if is_dask(X):
            source = DaskSource(X, estimator, n_threads, min_samples)
            if sample_weight is not None:
                source.weigh(scaled(check_sample_weight(sample_weight, source.n_samples, min_samples)))
            return source
        if isinstance(X, np.memmap) and (X.dtype.char not in "fd" or not X.dtype.isnative):
            X = from_array(X)
        if isinstance(X, Chunks) and X.spool:
            X = spooled(X, estimator)
        if isinstance(X, Chunks):
            shape, dtype = survey(X, estimator, min_samples)
            weights = _weights(sample_weight, shape[0], min_samples)
            return ChunkSource(X, shape, dtype, n_threads=n_threads, weights=weights)
    rows = as_rows(X, estimator, min_samples=min_samples)
    return ArraySource(rows, n_threads=n_threads, weights=_weights(sample_weight, len(rows), min_samples))


def survey(chunks: Chunks, estimator: str, min_samples: int) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Read all chunks once: check them, and return their common shape and type."""
    n_samples, n_features, dtypes = 0, 0, set()
    for number, rows in enumerate(checked(chunks, estimator)):
        if number > 0 and rows.shape[1] != n_features:
            raise ValueError(
                f"Chunk {number} has {rows.shape[1]} features, but those before it have {n_features}. All chunks must "
                "have the same columns."
            )
        n_samples, n_features = n_samples + len(rows), rows.shape[1]
        dtypes.add(rows.dtype)
    check_size((n_samples, n_features), estimator, min_samples)
    return (n_samples, n_features), np.dtype(np.float32 if dtypes == {np.dtype(np.float32)} else np.float64)


def checked(chunks: Chunks, estimator: str) -> Any:
    """Yield the chunks as finite arrays."""
    n_samples = 0
    for chunk in chunks:
        rows = as_rows(chunk, estimator, min_samples=0, first=n_samples)
        n_samples += len(rows)
        yield rows


def spooled(chunks: Chunks, estimator: str) -> NDArray[Any]:
    """Write all chunks to a temporary file, and return it as a mapped array; it is gone when the array is."""
    from tempfile import TemporaryFile

    n_samples, n_features, dtype = 0, 0, np.dtype(chunks.dtype)
    with TemporaryFile(prefix="fastgmm-") as file:
        for rows in checked(chunks, estimator):
            file.write(np.ascontiguousarray(rows, dtype).data)
            n_samples, n_features = n_samples + len(rows), rows.shape[1]
        if n_samples == 0:
            return np.empty((0, n_features), dtype)
        file.flush()
        return np.memmap(file, dtype, "r", shape=(n_samples, n_features))


def _weights(sample_weight: Any, n_samples: int, min_samples: int) -> NDArray[np.float64] | None:
    """Return checked weights times a power of two, so that their mean is about one: no rounding, no overflow."""
    if sample_weight is None:
        return None
    return scaled(check_sample_weight(sample_weight, n_samples, min_samples))


def scaled(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights times a power of two, so that their mean is about one: nothing is rounded, nothing overflows."""
    weights = np.ldexp(weights, -math.frexp(weights.max())[1])
    return np.ldexp(weights, -math.frexp(weights.mean())[1])


def total_weight(source: Source, sample_weight: Any) -> float:
    """Return the number of rows, or the sum of their weights as the user gave them."""
    if sample_weight is None:
        return source.n_samples
    return float(np.asarray(sample_weight, dtype=np.float64).sum())
