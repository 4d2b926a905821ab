"""Rows of a Dask collection some of whose values are missing."""

from typing import Any, NoReturn

import numpy as np

from ...model.cached import cached
from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import Structure
from ..incomplete.source import IncompleteSource
from ..source import Model
from .source import DaskSource


class IncompleteDask(IncompleteSource):
    """Patterns are found where the chunks lie, each once; starts, on a sample of the rows that is drawn there."""

    source: DaskSource

    def __exit__(self, *error: Any) -> None:
        self.source.__exit__(*error)

    def work(self, structure: Structure, n_components: int) -> int:
        return self.source.work(structure, n_components)

    # ---- passes over the partitions

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        return self.source.statistics(structure, parameters)

    def log_likelihood(self, model: Model) -> float:
        return self.source.log_likelihood(model)

    def log_likelihoods(self, model: Model, out: np.ndarray | None = None) -> Any:
        return self.source.log_likelihoods(model, out)

    def responsibilities(self, model: Model, out: np.ndarray | None = None) -> Any:
        return self.source.responsibilities(model, out)

    def labels(self, model: Model, out: np.ndarray | None = None) -> Any:
        return self.source.labels(model, out)

    def draw(self, model: Model, random_state: Any) -> NoReturn:
        """Not of rows that stay elsewhere."""
        raise TypeError(
            "Draws into the gaps of a Dask collection would have to come here: apply impute to each chunk, with a "
            "random_state of its own."
        )

    # ---- estimates from a sample

    @cached
    def _sample(self) -> IncompleteSource:
        """Rows enough for one Gaussian, in memory."""
        return IncompleteSource(self.take(self.start_indices(1)))
