"""Hard assignments of rows to components, worked out group by group where the rows are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from ..model.structure import KernelModel

if TYPE_CHECKING:
    from .complete import CompleteSource
    from .passes import Group


class Labels(Protocol):
    """The component of each row."""

    def of(self, source: CompleteSource, group: Group) -> np.ndarray:
        """The components, int32, of a group of rows of a source."""

    def part(self, rows: slice) -> Self:
        """The same for a source of some consecutive rows only."""


class Known(NamedTuple):
    """Labels (N,) given from outside."""

    labels: np.ndarray

    def of(self, source: CompleteSource, group: Group) -> np.ndarray:
        return np.ascontiguousarray(self.labels[group.rows], np.int32)

    def part(self, rows: slice) -> Known:
        return Known(self.labels[rows])


class Nearest(NamedTuple):
    """The nearest of some centers (K, D)."""

    centers: np.ndarray

    def of(self, source: CompleteSource, group: Group) -> np.ndarray:
        return source.nearest(group, self.centers)

    def part(self, rows: slice) -> Nearest:
        return self


class MostProbable(NamedTuple):
    """The most probable component of a mixture."""

    model: KernelModel

    def of(self, source: CompleteSource, group: Group) -> np.ndarray:
        labels = np.empty(len(group.X), np.int64)
        source.posterior(group.X, self.model, None, None, labels)
        return labels.astype(np.int32)

    def part(self, rows: slice) -> MostProbable:
        return self
