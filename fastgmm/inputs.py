"""From what a user passes as rows and weights to a source, checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sources.array import ArraySource
from .sources.source import Source
from .validation import as_rows, check_sample_weight


def as_source(
    X: Any,
    estimator: str,
    *,
    n_threads: int | None,
    sample_weight: Any = None,
    min_samples: int = 1,
) -> Source:
    """Return a source of the rows of ``X`` with their weights, of which at least ``min_samples`` are positive."""
    rows = as_rows(X, estimator, min_samples=min_samples)
    weights = None
    if sample_weight is not None:
        weights = scaled(check_sample_weight(sample_weight, len(rows), min_samples))
    return ArraySource(rows, n_threads=n_threads, weights=weights)


def scaled(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights times a power of two, so that their mean is about one: nothing is rounded, nothing overflows."""
    weights = np.ldexp(weights, -math.frexp(weights.max())[1])
    return np.ldexp(weights, -math.frexp(weights.mean())[1])


def total_weight(source: Source, sample_weight: Any) -> float:
    """Return the number of rows, or the sum of their weights as the user gave them."""
    if sample_weight is None:
        return source.n_samples
    return float(np.asarray(sample_weight, dtype=np.float64).sum())
