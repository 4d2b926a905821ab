"""What statistics alone tell of all rows, for an M-step where the rows themselves are out of reach."""

import numpy as np

from ..model.cached import cached
from ..model.statistics import Statistics
from ..model.structure import Structure

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class PooledRows:
    """Rows that only their statistics are known of; to `Maximization` they are as good as a source.

    Attributes
    ----------
    total : float
        Number of rows, or the sum of their weights.
    dtype : numpy.dtype
        float32 or float64.
    """

    def __init__(self, structure: Structure, statistics: Statistics) -> None:
        self.structure = structure
        self.statistics = statistics
        self.total = float(statistics.n_samples)
        self.dtype = FLOAT32 if statistics.resolution > np.finfo(FLOAT64).eps else FLOAT64

    @cached
    def origin(self) -> np.ndarray:
        """The mean of all rows (D,)."""
        statistics = self.statistics
        return (statistics.counts[:, None] * statistics.reference + statistics.sums).sum(axis=0) / self.total

    @cached
    def scatter(self) -> np.ndarray:
        """Scatter of all rows about their mean (D, D), as far as it is known.

        Nothing but variances if 'diag', and nothing but their mean if 'spherical'.
        """
        n_features = len(self.origin)
        means = np.broadcast_to(self.origin, self.statistics.reference.shape)
        scatters = self.structure.about(self.statistics, means).scatters
        if self.structure.triangular:
            return scatters.reshape(-1, n_features, n_features).sum(axis=0)
        along = scatters.reshape(len(means), -1).sum(axis=0)
        return np.diag(np.full(n_features, along / (n_features // len(along))))
