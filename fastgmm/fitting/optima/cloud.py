"""The rows of a search as moves look at them: in memory, with each feature in units of its deviation."""

import numpy as np

from ...model.cached import cached
from ...model.fitted import Fitted
from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.array import ArraySource
from ..starts.hierarchical import spread
from ..starts.kmeans import Random


class Cloud:
    """Rows, and what is worked out of them once.

    Attributes
    ----------
    source : ArraySource
    structure : Structure
    """

    def __init__(self, source: ArraySource, structure: Structure) -> None:
        self.source, self.structure = source, structure

    @cached
    def points(self) -> np.ndarray:
        """The rows (N, D) in float64."""
        return self.source.rows(slice(None))

    @cached
    def weights(self) -> np.ndarray:
        """The part of each row in all, (N,)."""
        given = self.source.weights
        weights = np.ones(self.source.n_samples) if given is None else given.astype(np.float64)
        return weights / weights.sum()

    @cached
    def standardized(self) -> np.ndarray:
        """The rows in units of the features' deviations."""
        return self.points / spread(self.points, self.source.weights)

    @cached
    def pooled(self) -> np.ndarray:
        """The covariance of all rows, as the expanded structure has that of a component."""
        return self.source.moments(self.structure.expanded)[1]

    def moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and such a covariance of some rows."""
        source, weights = self.source, self.source.weights
        own = None if weights is None else weights[rows]
        return ArraySource(source.X[rows], source.workers, source.kernels, own).moments(self.structure.expanded)

    def draw(self, size: int, random_state: Random) -> np.ndarray:
        """Indices of rows drawn by their weights."""
        return self.source.weighted_quantile_rows(random_state.uniform(size=size))

    def near(self, row: int, part: float) -> np.ndarray:
        """Indices of the rows nearest to one, that together are such a part of all; no fewer than features."""
        away = ((self.standardized - self.standardized[row]) ** 2).sum(axis=1)
        order = away.argsort(kind="stable")
        reached = int(np.searchsorted(np.cumsum(self.weights[order]), part)) + 1
        return order[: max(reached, self.points.shape[1] + 1)]

    def log_likelihoods(self, parameters: Parameters, rows: np.ndarray) -> np.ndarray:
        """How well a mixture explains some rows."""
        some = self.source.take(rows)
        return some.log_likelihoods(some.model(Fitted(self.structure, parameters)))
