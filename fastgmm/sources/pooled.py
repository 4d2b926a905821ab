"""Rows known by their statistics alone, for an M-step where the rows themselves are out of reach."""

import numpy as np

from ..model.cached import cached
from ..model.statistics import Statistics
from ..model.structure import Structure
from ..model.units import Units

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class PooledRows:
    """The size and the spread of rows, from their statistics: all that an M-step asks of a source.

    Attributes
    ----------
    total : float
        Number of rows, or the sum of their weights.
    weight_unit : float
        What a row of weight one stands for, where the statistics are those of some of all rows.
    dtype : numpy.dtype
        float32 or float64.
    """

    def __init__(self, structure: Structure, statistics: Statistics, n_samples: float | None = None) -> None:
        self.structure = structure
        self.statistics = statistics
        self.total = float(statistics.n_samples)
        self.weight_unit = 1.0 if n_samples is None else n_samples / self.total
        self.dtype = FLOAT32 if statistics.resolution > np.finfo(FLOAT64).eps else FLOAT64

    @cached
    def origin(self) -> np.ndarray:
        """The mean of all rows (D,)."""
        statistics = self.statistics
        return (statistics.counts[:, None] * statistics.reference + statistics.sums).sum(axis=0) / self.total

    @cached
    def units(self) -> Units:
        """Units near the standard deviations of all rows."""
        return Units.of(np.sqrt(self.squares / self.total))

    @cached
    def scatter(self) -> np.ndarray:
        """Scatter of all rows about their mean (D, D), of a structure with matrices."""
        return self.structure.total_scatter(self.statistics, self.origin)

    def moments(self, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance of all rows, as the structure of the statistics has that of one component."""
        about = np.broadcast_to(self.origin, self.statistics.reference.shape)
        scatters = self.structure.recentered(self.statistics, about).scatters
        shared = scatters if self.structure.shared else scatters.sum(axis=0, keepdims=True)
        pooled = self.structure.divide(shared.copy(), np.array([self.total]), len(self.origin))
        return self.origin, pooled if self.structure.shared else pooled[0]

    @cached
    def squares(self) -> np.ndarray:
        """Sums of squares of all rows about their mean (D,), as far as the structure knows them."""
        return self.structure.total_squares(self.statistics, self.origin)
