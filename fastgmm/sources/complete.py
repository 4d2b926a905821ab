"""Rows without gaps, which serve k-means and starts from labels or responsibilities as well as EM; and their labels."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from ..kernels import COMMON_FRAME
from ..model.cached import cached
from ..model.fitted import Fitted
from ..model.kernel_model import KernelModel
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.steps import CancellationError
from ..model.structure import Structure
from ..model.structures import DIAG, FULL
from ..model.units import Units, rescaled, scales
from .passes import Arrays, Group, Pass, Sums, Workspace, allocate, chooses
from .pruning import Memory, prunable
from .source import Source

if TYPE_CHECKING:
    from .array import ArraySource

Given = Callable[[slice], np.ndarray]  # responsibilities of some rows

ORIGIN_ROWS = 1024  # whose mean is a point amid all rows
UNIT_ROWS = 128  # of these, from whose steps the units of features are taken
UNIT_NUMBERS = 1 << 17  # values in them, where rows are wide
ORIGIN_NUMBERS = 1 << 20  # values in them, where rows are so wide that these are fewer


class Labels(Protocol):
    """The component of each row."""

    def of(self, source: CompleteSource, group: Group) -> np.ndarray:
        """The components, int32, of a group of rows of a source."""

    def part(self, rows: slice) -> Self:
        """These labels cut to some consecutive rows, for a source that holds only them."""


class CompleteSource(Source):
    """Rows of which every value is known; subclasses say how they are read and taken."""

    memory: Memory | None = None  # of the passes of one fit

    def imputed(self, n_components: int, structure: Structure) -> Self:
        return self

    def subset(self, indices: np.ndarray) -> ArraySource:
        rows = self.take(indices)
        rows.weights = None if self.weights is None else self.weights[indices]
        return rows

    def model(self, fitted: Fitted) -> KernelModel:
        return fitted.kernel_model(self.dtype)

    def posterior(
        self, X: np.ndarray, model: KernelModel, *outputs: np.ndarray | None, workspace: Workspace | None = None
    ) -> None:
        kind, n_components = model.kind, len(model.centers)
        choosing = workspace is not None and self._choosing(kind, n_components, accumulating=False)
        if workspace is None:
            size = self.kernels.workspace_size(kind, self.n_features, n_components, False, False, self.dtype.itemsize)
            workspace = (np.empty(size, self.dtype),)
        if model.scales is not None:
            X = rescaled(X, model.scales)
        n_far = self.kernels.posterior(X, *model.arguments, *model.tails, *workspace, choosing, *outputs)
        if n_far:
            from .far import mend  # rarely needed

            scores = np.empty(len(X), self.dtype)
            self.kernels.posterior(X, *model.arguments, *model.tails, *workspace, choosing, scores, None, None)
            mend(X, model, scores, outputs)
        log_likelihoods = outputs[0]
        if log_likelihoods is not None:
            log_likelihoods -= model.log_volume

    # ---- what does not depend on parameters

    @property
    def log_volume(self) -> float:
        return self.units.log_volume

    @cached
    def origin(self) -> np.ndarray:
        """A point amid the rows (D,): the mean of about 1024 of them, or of fewer that are wide."""
        return self._located[0]

    @cached
    def units(self) -> Units:
        """Units in which the kernels see these rows, from some of the same."""
        return self._located[1]

    @cached
    def _located(self) -> tuple[np.ndarray, Units]:
        """Origin and units, from one reading."""
        size = max(1, min(ORIGIN_ROWS, ORIGIN_NUMBERS // self.n_features))
        if self.weights is None:
            indices = np.arange(0, self.n_samples, max(1, self.n_samples // size))
        else:
            indices = self.weighted_quantile_rows((np.arange(size) + 0.5) / size)
        X, (origin, units) = self.take(indices).X, np.empty((2, self.n_features))
        few = max(2, min(UNIT_ROWS, UNIT_NUMBERS // self.n_features))
        self.kernels.locate_sample(X, max(1, len(X) // few), origin, units)
        return origin, Units.of_sizes(units)

    @cached
    def squares(self) -> np.ndarray:
        """Sums of squares of all rows about the origin along each feature, (D,)."""
        return self._second_moments(DIAG)

    @cached
    def scatter(self) -> np.ndarray:
        """Scatter of all rows about the origin, (D, D)."""
        lower = np.zeros((self.n_features, self.n_features))
        lower[np.tril_indices(self.n_features)] = self._second_moments(FULL)
        return lower + np.tril(lower, -1).T

    def _second_moments(self, structure: Structure) -> np.ndarray:
        """Second moments of all rows about the origin, as kernels leave them, in double precision whatever the rows."""
        double = np.dtype(np.float64)
        model = structure.kernel_model(structure.unit(self.origin[None]), double)
        sums = Sums(self._n_sums(model))

        def task(workspace: Workspace, group: Group) -> np.ndarray:
            weights, out = self._weights(group.rows), sums.part()
            weights = weights if weights is None else weights.astype(np.float64)
            X, labels = group.X.astype(np.float64, copy=False), np.zeros(len(group.X), np.int32)
            self.kernels.accumulate(X, None, labels, weights, *model.arguments, *workspace, False, out)
            return out

        arrays = self.arrays(model.kind, 1, dtype=double)
        Pass(self, self._cut(model.kind, 1), arrays).run(task, sums.add)
        return sums.total[1 + self.n_features : -1]

    def moments(self, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
        about = self.origin[None]
        _, means, covariances = structure.estimate(self.statistics_labeled(structure, about, Nearest(about)), 0.0)
        return means[0], covariances if structure.shared else covariances[0]

    # ---- statistics

    def remembering(self, structure: Structure, n_components: int) -> Self:
        if not prunable(structure.kind, self.n_samples, self.n_features, n_components):
            return self
        _ = self.units  # found once, for all fits
        remembering = copy(self)
        row_bytes = self.n_features * self.dtype.itemsize
        remembering.memory = Memory(
            structure.kind, self.n_samples, self.n_features, n_components, row_bytes, self.kernels
        )
        return remembering

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        if structure.noisy and structure.shared:  # whose scatter within would be that of all rows less that between
            return structure.pool(self.statistics(structure.expanded, structure.expand(parameters)))
        model = self._kernel_model(structure, parameters)
        sums = Sums(self._n_sums(model))  # not by `sums`: a call is felt where rows are few
        if self.memory is not None and self.memory.serves(model):
            self.memory.follow(parameters, model)
            self._pruned_pass(self.memory).run(partial(self._accumulate_pruned, model, sums, self.memory), sums.add)
        else:
            self._pass(model.kind, len(model.centers)).run(partial(self._accumulate, model, sums, None), sums.add)
        try:
            return self._moments(structure, parameters, model, sums)
        except CancellationError:
            return structure.pool(self.statistics(structure.expanded, structure.expand(parameters)))

    def sums(self, model: KernelModel) -> np.ndarray:
        """What the kernels leave of all rows under the responsibilities of an E-step."""
        return self._sums(model, None, None).total

    def _sums(self, model: KernelModel, labels: Labels | None, given: Given | None) -> Sums:
        """The same, for labels or responsibilities from outside, too."""
        sums = Sums(self._n_sums(model))
        task = partial(self._accumulate, model, sums, labels)
        self._pass(model.kind, len(model.centers)).run(task, sums.add, given)
        return sums

    def statistics_given(
        self, structure: Structure, means: np.ndarray, responsibilities: Callable[[slice], np.ndarray]
    ) -> Statistics:
        """Statistics about `means` for responsibilities from outside, asked for group by group in the order of rows."""
        return self._assigned(structure, means, None, responsibilities)

    def statistics_labeled(self, structure: Structure, means: np.ndarray, labels: Labels) -> Statistics:
        """Statistics about `means` where each row belongs to one component."""
        return self._assigned(structure, means, labels, None)

    def _assigned(
        self,
        structure: Structure,
        means: np.ndarray,
        labels: Labels | None,
        responsibilities: Callable[[slice], np.ndarray] | None,
    ) -> Statistics:
        """Statistics about `means` for labels or responsibilities."""
        expanded = structure.expanded
        if expanded.kind == COMMON_FRAME:  # whose sums the kernels take in an E-step alone
            raise TypeError(
                f"The structure {structure.name!r} is expanded to {expanded.name!r}, which is accumulated in a common "
                "frame. Its `expanded` must be a structure of the kind TRIANGULAR or DIAGONAL."
            )
        units = self.units.scales(expanded, self.dtype, means)
        parameters = expanded.unit(means if units is None else means * units)
        if units is not None:
            parameters = expanded.rescaled(parameters, 1 / units)
        model = self._kernel_model(expanded, parameters)._replace(log_volume=0.0)  # there are no densities
        sums = self._sums(model, labels, responsibilities)
        return structure.pool(self._moments(expanded, parameters, model, sums))

    def _kernel_model(self, structure: Structure, parameters: Parameters) -> KernelModel:
        """The mixture as the kernels read it, about the origin where its components share a frame."""
        origin = self.origin if structure.common_frame else None
        return self.units.kernel_model(structure, parameters, self.dtype, origin)

    def _accumulate(
        self, model: KernelModel, sums: Sums, labels: Labels | None, workspace: Workspace, group: Group
    ) -> np.ndarray:
        """The sums over one group."""
        owners = None if labels is None else labels.of(self, group)
        weights, out = self._weights(group.rows), sums.part()
        X, choosing = rescaled(group.X, model.scales), self._choosing(model.kind, len(model.centers))
        self.kernels.accumulate(X, group.given, owners, weights, *model.arguments, *workspace, choosing, out)
        return out

    def _accumulate_pruned(
        self, model: KernelModel, sums: Sums, memory: Memory, workspace: Workspace, group: Group
    ) -> np.ndarray:
        """The sums over one group without what is below rounding, where that is much."""
        weights, out = self._weights(group.rows), sums.part()
        X = rescaled(group.X, model.scales)
        memory.accumulate(model, group.rows, X, weights, workspace, out)
        return out

    def _moments(self, structure: Structure, parameters: Parameters, model: KernelModel, sums: Sums) -> Statistics:
        """Statistics from the sums over all groups; CancellationError where they would be poor."""
        resolution = float(np.finfo(self.dtype).eps)
        return structure.statistics(parameters, model, sums.total, self, self.total, resolution)

    # ---- k-means

    def assign(self, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Nearest centers (N,), the weight that each has, the sums of these rows about it, and the inertia."""
        labels, n_centers = np.empty(self.n_samples, np.int32), len(centers)
        sums, (about, origin) = Sums(n_centers * (1 + self.n_features) + 1), self._about_origin(centers)

        def task(workspace: Workspace, group: Group) -> np.ndarray:
            out = sums.part()
            labels[group.rows] = self._assign(self._scaled(group.X), group.rows, about, origin, workspace, out)
            return out

        self._pass(COMMON_FRAME, n_centers).run(task, sums.add)
        counts, first = sums.total[:n_centers], sums.total[n_centers:-1].reshape(centers.shape) / self._scale
        inertia = float(sums.total[-1]) / self._scale**2
        return labels, counts, first - counts[:, None] * (centers - self.origin), inertia

    def nearest(self, group: Group, centers: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
        """Nearest centers (n,) of a group, where features are measured in units of a scale."""
        if scale is None:
            X, (about, origin) = self._scaled(group.X), self._about_origin(centers)
        else:
            relative = np.subtract(group.X, self.origin)
            X = np.divide(relative, scale, out=relative).astype(self.dtype, copy=False)
            about, origin = (centers - self.origin) / scale, np.zeros(self.n_features)
        workspace = allocate(self.arrays(COMMON_FRAME, len(centers)))
        return self._assign(X, group.rows, about, origin, workspace, np.empty(len(centers) * (1 + self.n_features) + 1))

    def _assign(
        self,
        X: np.ndarray,
        rows: slice,
        about: np.ndarray,
        origin: np.ndarray,
        workspace: Workspace,
        out: np.ndarray,
    ) -> np.ndarray:
        """Nearest of centers about an origin (n,); `out` takes their weights, the sums about it, and the inertia."""
        labels = np.empty(len(X), np.int32)
        weights = self._weights(rows)
        self.kernels.assign(X, weights, about.astype(self.dtype, copy=False), origin, *workspace, labels, out)
        return labels

    def potentials(self, candidates: np.ndarray, closest: np.ndarray, update: bool = False) -> np.ndarray:
        """Sum over rows of min(closest, squared distance to a candidate), for each; `update` keeps the minimum.

        Distances are between rows multiplied by a number that is the same in every pass.
        """
        (about, origin), sums = self._about_origin(candidates), Sums(len(candidates))

        def task(workspace: Workspace, group: Group) -> np.ndarray:
            weights, near, out = self._weights(group.rows), closest[group.rows], sums.part()
            self.kernels.potentials(self._scaled(group.X), weights, about, origin, *workspace, near, update, out)
            return out

        self._pass(COMMON_FRAME, len(candidates)).run(task, sums.add)
        return sums.total

    @cached
    def _scale(self) -> float:
        """What rows are multiplied by where they are squared as they are."""
        common = None if self.dtype.itemsize == 8 else scales(self.units.sizes.max(keepdims=True))
        return 1.0 if common is None else float(common[0])

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        """Rows multiplied by this number."""
        return X if self._scale == 1 else rescaled(X, np.float64(self._scale))

    def _about_origin(self, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centers about the origin, and the origin, multiplied likewise."""
        scale, origin = self._scale, self.origin
        return ((centers - origin) * scale).astype(self.dtype), origin * scale

    # ---- passes over the rows

    def _n_sums(self, model: KernelModel) -> int:
        """How many numbers `accumulate` leaves of a group."""
        n_components, n_features = model.centers.shape
        return self.kernels.n_sums(model.kind, n_features, n_components)

    def _pruned_pass(self, memory: Memory) -> Pass:
        """A pass that may leave out what is below rounding."""
        n_rows = max(group.stop - group.start for group in memory.groups)
        sizes = self.n_features, memory.n_components, self.dtype.itemsize, n_rows
        numbers, scratch = self.kernels.pruned_size(memory.kind, *sizes)
        return Pass(self, memory.groups, ((numbers, self.dtype), (scratch, np.dtype(np.int32))))

    def arrays(
        self, kind: int, n_components: int, *, accumulating: bool = True, dtype: np.dtype | None = None
    ) -> Arrays:
        dtype, choosing = dtype or self.dtype, self._choosing(kind, n_components, accumulating=accumulating)
        of_model = kind, self.n_features, n_components
        return ((self.kernels.workspace_size(*of_model, accumulating, choosing, dtype.itemsize), dtype),)

    def _choosing(self, kind: int, n_components: int, *, accumulating: bool = True) -> bool:
        """Whether kernels may leave out components of rows that are far from them."""
        return chooses(self.n_samples, kind, self.n_features, n_components, sums=accumulating)


# ---- labels


class Known(NamedTuple):
    """Labels (N,) given from outside."""

    labels: np.ndarray

    def of(self, source: CompleteSource, group: Group) -> np.ndarray:
        return np.ascontiguousarray(self.labels[group.rows], np.int32)

    def part(self, rows: slice) -> Known:
        return Known(self.labels[rows])


class Nearest(NamedTuple):
    """The nearest of some centers (K, D), where features are measured in units of a scale (D,)."""

    centers: np.ndarray
    scale: np.ndarray | None = None

    def of(self, source: CompleteSource, group: Group) -> np.ndarray:
        if len(self.centers) == 1:
            return np.zeros(len(group.X), np.int32)
        return source.nearest(group, self.centers, self.scale)

    def part(self, rows: slice) -> Nearest:
        return self
