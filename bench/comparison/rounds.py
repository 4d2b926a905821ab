"""Rounds of measurements, one after the other in a new order each time, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np

K = TypeVar("K")
T = TypeVar("T")


class Spread(NamedTuple):
    """Lower quartile, median and upper quartile."""

    low: float
    median: float
    high: float


def interleaved(
    actions: Mapping[K, Callable[[], T]], repeats: int, at_most: Mapping[K, int] | None = None, seed: int = 0
) -> dict[K, list[T]]:
    """Results of every action in every round, those with `at_most` in the first rounds only."""
    order = np.random.default_rng(seed)
    keys = list(actions)
    results: dict[K, list[T]] = {key: [] for key in keys}
    for done in range(repeats):
        for index in order.permutation(len(keys)):
            key = keys[index]
            if done < (at_most or {}).get(key, repeats):
                results[key].append(actions[key]())
    return results


def spread(values: Sequence[float]) -> Spread:
    """Quartiles of what noise has left (see `per_iteration`)."""
    known = [value for value in values if not math.isnan(value)]
    method: Literal["nearest", "linear"] = "nearest" if math.inf in known else "linear"
    return Spread(*(float(value) for value in np.percentile(known or [math.nan], (25, 50, 75), method=method)))


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """Quartiles of their time over ours, taken within each round."""
    return spread([a / b for a, b in zip(theirs, ours, strict=False)])


def geometric_mean(values: Sequence[float]) -> float:
    """The mean for ratios."""
    return float(np.exp(np.mean(np.log(values))))
