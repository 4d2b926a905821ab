"""Rows whose gaps have been filled from one Gaussian: where starts of EM, which ask for complete rows, are found."""

from types import ModuleType
from typing import Any, Self

import numpy as np

from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure
from .array import TRIANGULAR, ArraySource
from .patterns import find_patterns
from .threads import Workers

KEPT = 1 << 20  # numbers up to which filled rows are kept; k-means takes a sample of about as many where there are more


class Completed(ArraySource):
    """Rows filled twice: by conditional means for distances, by draws for statistics of mixtures.

    Means are the best guess of where a row stands. But they lie in a subspace, which would make components too narrow
    there; draws have the covariance that complete rows would have.
    """

    def __init__(
        self, X: Any, drawn: ArraySource, n_threads: int | Workers | None = None, kernels: ModuleType | None = None
    ) -> None:
        super().__init__(X, n_threads, kernels)
        self.drawn = drawn

    def take(self, indices: np.ndarray) -> Self:
        return type(self)(self.X[indices], self.drawn.take(indices), self.workers, self.kernels)

    def inline(self) -> Self:
        quiet = super().inline()
        quiet.drawn = self.drawn.inline()
        return quiet

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        return self.drawn.statistics(structure, parameters)

    def statistics_given(self, structure: Structure, means: np.ndarray, responsibilities: Any) -> Statistics:
        return self.drawn.statistics_given(structure, means, responsibilities)


class Filled:
    """Looks like an array of rows, whose gaps are filled when they are asked for."""

    def __init__(self, X: np.ndarray, gaussian: Any, kernels: ModuleType, drawn: bool) -> None:
        self.X, self.gaussian, self.kernels, self.drawn = X, gaussian, kernels, drawn
        self.shape, self.dtype = X.shape, X.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        X = self.X[index]
        out, n_features = np.empty_like(X, order="C"), X.shape[1]
        _, size = self.kernels.patterns_sizes(TRIANGULAR, n_features, 1, False, X.itemsize)
        labels = normals = None
        if self.drawn:
            first = (index.start or 0) if isinstance(index, slice) else int(index[0])
            labels = np.zeros(len(X), np.int64)
            normals = np.random.RandomState(first % 2**32).standard_normal(X.shape)
        self.kernels.impute_patterns(
            X, *find_patterns(X), *self.gaussian[1:], np.empty(size), labels, normals, out, None
        )
        return out

    def view(self) -> np.ndarray:
        """All rows, as an array."""
        return self[:]


def complete(X: np.ndarray, gaussian: Any, workers: Workers, kernels: ModuleType) -> Completed:
    """Rows (N, D) filled from the conditional distributions of a Gaussian (`Marginals`): at once if they are few."""
    means, draws = (Filled(X, gaussian, kernels, drawn) for drawn in (False, True))
    arrays: tuple[Any, Any] = (means[:], draws[:]) if X.size <= KEPT else (means, draws)
    return Completed(arrays[0], ArraySource(arrays[1], workers, kernels), workers, kernels)
