"""Rows whose gaps have been filled from one Gaussian: where starts of EM, which ask for complete rows, are found."""

from collections.abc import Callable
from types import ModuleType
from typing import Self

import numpy as np

from ...model.kernel_model import KernelModel
from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import Structure
from ...model.units import Units
from ..array import ArraySource
from ..complete import Known, Labels
from ..passes import Group
from ..threads import Workers


class Completed(ArraySource):
    """Rows filled twice: by conditional means for distances, by draws for statistics of mixtures.

    Means are the best guess of where a row stands. But they lie in a subspace, which would make components too narrow
    there; draws have the covariance that complete rows would have.
    """

    def __init__(
        self,
        X: np.ndarray,
        drawn: ArraySource,
        n_threads: int | Workers | None = None,
        kernels: ModuleType | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        super().__init__(X, n_threads, kernels, weights)
        self.drawn = drawn

    @property
    def units(self) -> Units:  # type: ignore[override]
        return self.drawn.units

    def take(self, indices: np.ndarray | None) -> Self:
        if indices is None:
            return self
        return type(self)(self.X[indices], self.drawn.take(indices), self.workers, self.kernels)

    def subset(self, indices: np.ndarray) -> Self:
        rows = self.take(indices)
        rows.weights = None if self.weights is None else self.weights[indices]
        rows.drawn.weights = rows.weights
        return rows

    def single_threaded(self) -> Self:
        serial = super().single_threaded()
        serial.drawn = self.drawn.single_threaded()
        return serial

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        return self.drawn.statistics(structure, parameters)

    def sums(self, model: KernelModel) -> np.ndarray:
        return self.drawn.sums(model)

    def statistics_given(
        self, structure: Structure, means: np.ndarray, responsibilities: Callable[[slice], np.ndarray]
    ) -> Statistics:
        return self.drawn.statistics_given(structure, means, responsibilities)

    def statistics_labeled(self, structure: Structure, means: np.ndarray, labels: Labels) -> Statistics:
        everything = Group(slice(0, self.n_samples), self.X)
        return self.drawn.statistics_labeled(structure, means, Known(labels.of(self, everything)))
