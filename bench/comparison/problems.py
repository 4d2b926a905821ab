"""Data for the time of an iteration: overlapping Gaussians, and a start that is not their truth."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SEPARATION = 3.0  # mean distance of two components' centers in standard deviations, whatever D
STRUCTURES = ("full", "tied", "diag", "spherical")
DTYPES = ("float64", "float32")


class Case(NamedTuple):
    """Number of samples, features and components."""

    n_samples: int
    n_features: int
    n_components: int

    def __str__(self) -> str:
        return ",".join(map(str, self))

    def tenth(self) -> Case:
        """A tenth of the rows."""
        return self._replace(n_samples=max(self.n_samples // 10, 2 * self.n_components))


class Start(NamedTuple):
    """Weights (K,) and means (K, D) to start from; every covariance starts as the identity."""

    weights: Array
    means: Array

    def covariances(self, structure: str) -> Array:
        """The identity in scikit-learn's shape, which is also that of the precisions."""
        k, d = self.means.shape
        identity = {"full": np.broadcast_to(np.eye(d), (k, d, d)), "tied": np.eye(d), "diag": np.ones((k, d))}
        return np.array(identity.get(structure, np.ones(k)), self.means.dtype, order="C")

    def astype(self, dtype: str) -> Start:
        """The start in the precision of the data."""
        return Start(*(array.astype(dtype) for array in self))


CASES = (
    Case(200_000, 2, 8),
    Case(200_000, 8, 16),
    Case(100_000, 16, 16),
    Case(50_000, 32, 16),
    Case(40_000, 64, 16),
    Case(20_000, 128, 16),
)


def draw(case: Case) -> tuple[Array, Start]:
    """Rows of a mixture of overlapping Gaussians, and a start: equal weights, the true means moved."""
    n, d, k = case
    rng = np.random.default_rng([n, d, k])
    means = rng.normal(scale=SEPARATION / math.sqrt(2 * d), size=(k, d))
    spread = [np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.5, 1.5, size=d) for _ in range(k)]
    labels = rng.choice(k, size=n, p=rng.dirichlet(np.full(k, 10.0)))
    X = rng.normal(size=(n, d))
    for j in range(k):
        rows = labels == j
        X[rows] = X[rows] @ spread[j].T + means[j]
    moved = means + rng.normal(scale=0.5 * SEPARATION / math.sqrt(2 * d), size=(k, d))
    return X, Start(np.full(k, 1 / k), moved)
