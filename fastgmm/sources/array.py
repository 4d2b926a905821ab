"""Rows in memory, or mapped into it: an array of any strides."""

from collections.abc import Iterator
from types import ModuleType
from typing import Self

import numpy as np

from ..kernels import COMMON_FRAME
from ..model.structure import Structure
from ..model.units import COMFORTABLE
from .complete import CompleteSource
from .mapped import Mapping
from .passes import MOST_GROUP_WORK, AtOnce
from .threads import Workers


class ArraySource(CompleteSource):
    """A two-dimensional float32 or float64 array, read in place; the pages of a mapped file are let go once read."""

    def __init__(
        self,
        X: np.ndarray,
        n_threads: int | Workers | None = None,
        kernels: ModuleType | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        self.X = X
        self.n_samples, self.n_features = X.shape
        self.dtype = X.dtype
        self.mapping = None if X.base is None else Mapping.of(X)
        super().__init__(weights, n_threads, kernels)

    @property
    def in_memory(self) -> bool:
        return True

    def read(self, groups: list[slice]) -> Iterator[np.ndarray]:
        return map(self.X.__getitem__, groups)

    def release(self, X: np.ndarray) -> None:
        if self.mapping is not None:
            self.mapping.release(X)

    def at_once(self, structure: Structure, n_components: int) -> AtOnce | None:
        least, most = COMFORTABLE
        sizes, of_model = self.units.sizes, (structure.kind, n_components)
        if self.dtype.itemsize < 8 and not (least <= sizes.min() and sizes.max() <= most):
            return None
        first, *others = self._cut(*of_model)
        if others:
            read_alike = self.memory is None and self.mapping is None  # group by group, in any order
            if not read_alike or self.work(structure, n_components) > MOST_GROUP_WORK:
                return None
        return AtOnce(self.X, first.stop, self._choosing(*of_model))

    def points(self, n_centers: int) -> tuple[np.ndarray, np.ndarray, float] | None:
        """All rows, their origin, and what both are multiplied by, where one call may see to them all; else None."""
        if len(self._cut(COMMON_FRAME, n_centers)) > 1:
            return None
        return self._scaled(self.X), self.origin * self._scale, self._scale

    def take(self, indices: np.ndarray | None) -> Self:
        if indices is None:
            return self
        X = self.X[indices] if self.mapping is None else self.mapping.take(self.X, indices)
        return type(self)(X, self.workers, self.kernels)

    def rows(self, indices: np.ndarray | slice) -> np.ndarray:
        """Some rows, in float64."""
        return self.X[indices].astype(np.float64)
