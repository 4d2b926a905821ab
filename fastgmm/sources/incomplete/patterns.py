"""Which features each row has: rows sorted by their pattern of gaps."""

from typing import NamedTuple

import numpy as np


class Patterns(NamedTuple):
    """The patterns of observed features among some rows, in lexicographic order, missing before observed."""

    order: np.ndarray  # (N,) int32, the rows pattern by pattern, in their order within each
    starts: np.ndarray  # (P + 1,) intp, where each pattern starts
    masks: np.ndarray  # (P, D) uint8, 1 where a feature is observed


def find_patterns(X: np.ndarray) -> Patterns:
    """The patterns of rows (N, D) in which NaN stands for what is missing."""
    n_samples, n_features = X.shape
    n_bytes = -(-n_features // 64) * 8
    packed = np.zeros((n_samples, n_bytes), np.uint8)
    packed[:, : -(-n_features // 8)] = np.packbits(~np.isnan(X), axis=1)
    words = packed.view(">u8").astype(np.uint64)  # compare as the features do, the first one first
    order = np.argsort(words[:, 0], kind="stable") if n_bytes == 8 else np.lexsort(words.T[::-1])
    words = words[order]
    first = np.flatnonzero(np.concatenate([[True], (words[1:] != words[:-1]).any(axis=1)]))
    masks = np.unpackbits(packed[order[first]], axis=1, count=n_features)
    return Patterns(order.astype(np.int32), np.append(first, n_samples), np.ascontiguousarray(masks))


def observed_volumes(patterns: Patterns, log_sizes: np.ndarray) -> np.ndarray:
    """The sum, over what is observed in each pattern, of a number of each feature (D,)."""
    return np.einsum("pd,d->p", patterns.masks, log_sizes)  # a product of arrays would copy the masks as floats


def observed_volume(patterns: Patterns, log_sizes: np.ndarray, weights: np.ndarray | None) -> float:
    """The sum, over all values that are observed, of a number of each feature (D,) times the weight of the row."""
    if weights is None:
        counts = np.diff(patterns.starts)
    else:
        counts = np.add.reduceat(weights[patterns.order], patterns.starts[:-1], dtype=np.float64)
    return float((counts * observed_volumes(patterns, log_sizes)).sum())
