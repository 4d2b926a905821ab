"""Rows some of whose values are missing (NaN): exact statistics of what is observed, pattern by pattern."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np

from ...kernels import COMMON_FRAME, TRIANGULAR
from ...model.cached import cached
from ...model.fitted import Fitted
from ...model.masked import masked
from ...model.parameters import Parameters
from ...model.spread import check_squares, constant
from ...model.statistics import Statistics
from ...model.steps import CancellationError, check_digits
from ...model.structure import Structure
from ...model.structures import DIAG, FULL
from ...model.units import Units, rescaled
from ..array import ArraySource
from ..passes import (
    Arrays,
    Group,
    Pass,
    Sums,
    Workspace,
    allocate,
    work_per_row,
)
from ..source import Model, Source
from .completed import Completed
from .model import IncompleteModel, incomplete_model, model_of_rows, summed_as
from .patterns import Patterns, find_patterns, observed_volume, observed_volumes

GROUP_COMPONENTS = 4  # groups are cut as for so many components, for their patterns to serve every mixture
GAUSSIAN_STEPS = 8  # steps of EM for the Gaussian from which gaps are filled before the first M-step
CORRELATED = 32  # features up to which that Gaussian has correlations whatever the structure: they cost little
OBSERVED_FEATURES = 1 << 10  # features of a group looked at together
RIDGE = 1e-6  # added to the covariance of that Gaussian, relative to variances
SAMPLE_NUMBERS = 1 << 20  # values in the sample of rows from which a start is found
SAMPLE_ROWS_PER_COMPONENT = 256  # rows of that sample per component, where these are more values


class IncompleteSource(Source):
    """The rows of another source, in which NaN stands for values missing at random.

    Groups of rows in memory find their patterns once; those of files, in each pass. Rows without any value
    count in `n_samples` alone, and nothing is added for them that would leave the parameters where they are.
    """

    has_gaps = True

    def __init__(self, rows: Source) -> None:
        self.source = rows
        self.n_features, self.dtype = rows.n_features, rows.dtype
        super().__init__(rows.weights, rows.workers, rows.kernels)
        self._completed: dict[tuple[int, bool], Completed] = {}

    @cached
    def n_samples(self) -> int:
        """Number of rows."""
        return self.source.n_samples

    @property
    def in_memory(self) -> bool:
        return self.source.in_memory

    def read(self, groups: list[slice]) -> Iterator[np.ndarray]:
        return self.source.read(groups)

    def release(self, X: np.ndarray) -> None:
        self.source.release(X)

    def take(self, indices: np.ndarray | None) -> ArraySource:
        """Some rows with their gaps."""
        return self.source.take(indices)

    def subset(self, indices: np.ndarray) -> "IncompleteSource":
        return IncompleteSource(self.source.subset(indices))

    def single_threaded(self) -> Self:
        serial = super().single_threaded()
        serial.source = self.source.single_threaded()
        serial._completed = {n: rows.single_threaded() for n, rows in self._completed.items()}
        return serial

    # ---- EM

    def work(self, structure: Structure, n_components: int) -> int:
        return self.n_samples * work_per_row(summed_as(structure).kind, self.n_features, n_components)

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        """Expected statistics of the complete rows given what is observed."""
        model = incomplete_model(structure, parameters, self.units.inverse(self.dtype))
        n_components, n_features = model.centers.shape
        sums = Sums(self.kernels.patterns_sums(model.kind, n_features, n_components))
        self._pass_over_patterns(model, accumulating=True).run(partial(self._accumulate, model, sums), sums.add)
        try:
            return self._moments(structure, parameters, model, sums.total)
        except CancellationError:
            return structure.pool(self.statistics(structure.expanded, structure.expand(parameters)))

    def _accumulate(self, model: IncompleteModel, sums: Sums, workspace: Workspace, group: Group) -> np.ndarray:
        """The sums over one group."""
        patterns, weights, out = self._patterns(group), self._weights(group.rows), sums.part()
        X = rescaled(group.X, model.scales)
        self.kernels.accumulate_patterns(X, *patterns, weights, *model.arguments, *workspace, out)
        out[-1] += observed_volume(patterns, np.log(model.scales), weights)
        return out

    def _moments(
        self, structure: Structure, parameters: Parameters, model: IncompleteModel, total: np.ndarray
    ) -> Statistics:
        """Statistics from the sums over all groups; CancellationError where scatters would be poor."""
        summed, (n_components, n_features) = summed_as(structure), model.centers.shape
        n_own = 1 + n_features if model.kind == COMMON_FRAME else (len(total) - 1) // n_components
        sums = total[: n_components * n_own].reshape(n_components, n_own)
        second = sums[:, 1 + n_features :]
        if model.kind == COMMON_FRAME:
            check_digits(total[-3], total[-2], self.dtype)
            second = total[sums.size : -3]
        if summed.triangular:
            lower = np.zeros((*second.shape[:-1], n_features, n_features))
            lower[..., *np.tril_indices(n_features)] = second
            second = lower + np.swapaxes(np.tril(lower, -1), -1, -2)
        found = Statistics(
            model.centers,
            sums[:, 0].copy(),
            sums[:, 1 : 1 + n_features].copy(),
            second.copy(),
            float(total[-1]),
            self.total,
            float(np.finfo(self.dtype).eps),
            summed.layout.name,
            axes=parameters.axes,
            noise=parameters.noise,
        )
        found = replace(summed.rescaled_statistics(found, 1 / model.scales), reference=parameters.means)
        found = found if summed is structure else structure.pool(found)
        if parameters.noise is None or not self._unseen:
            return found
        rest = replace(found, n_samples=self.total - self._unseen)  # rows without values belong to whatever there is
        own = replace(parameters, covariances=structure.invert_factors(parameters.precisions_cholesky))
        return rest.merge(structure.equivalent(own, self._unseen, found.resolution))

    # ---- densities, responsibilities, labels and missing values under a mixture

    @cached
    def units(self) -> Units:
        return self.source.units

    @masked
    def model(self, fitted: Fitted) -> IncompleteModel:
        units = Units.of_mixture(fitted.structure, fitted.parameters)
        return model_of_rows(fitted.structure, fitted.parameters, units.inverse(self.dtype))

    def posterior(
        self, X: np.ndarray, model: IncompleteModel, *outputs: np.ndarray | None, workspace: Workspace | None = None
    ) -> None:
        if workspace is None:
            workspace = allocate(self.arrays(model.kind, len(model.centers), accumulating=False))
        self._posterior_of(X, find_patterns(X), model, workspace, *outputs)

    def _posterior_of(
        self,
        X: np.ndarray,
        patterns: Patterns,
        model: IncompleteModel,
        workspace: Workspace,
        *outputs: np.ndarray | None,
    ) -> None:
        """Log-likelihoods, responsibilities and labels of rows with these patterns, where wanted."""
        X, log_likelihoods = rescaled(X, model.scales), outputs[0]
        n_far = self.kernels.posterior_patterns(X, *patterns, *model.arguments, *workspace, *outputs)
        if n_far:
            from ..far import mend_incomplete  # rarely needed

            scores = np.empty(len(X), self.dtype)
            self.kernels.posterior_patterns(X, *patterns, *model.arguments, *workspace, scores, None, None)
            mend_incomplete(X, model, scores, outputs)
        if log_likelihoods is not None:
            volumes = observed_volumes(patterns, np.log(model.scales))
            log_likelihoods[patterns.order] += np.repeat(volumes, np.diff(patterns.starts))

    def impute(self, model: IncompleteModel, deviations: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows with conditional means in their gaps, and if asked for their standard deviations."""
        shape = self.n_samples, self.n_features
        filled = np.empty(shape, self.dtype)
        spread = np.empty(shape, self.dtype) if deviations else None
        self._impute(model, None, None, filled, spread)
        return filled, spread

    def draw(self, model: IncompleteModel, random_state: Any) -> np.ndarray:
        """The rows with draws from the conditional distribution in their gaps."""
        shape = self.n_samples, self.n_features
        shares = self.responsibilities(model).cumsum(axis=1, dtype=np.float64)
        chosen = random_state.uniform(size=self.n_samples) * shares[:, -1]
        labels = np.minimum((shares <= chosen[:, None]).sum(axis=1), shares.shape[1] - 1)
        filled = np.empty(shape, self.dtype)
        self._impute(model, labels, random_state.standard_normal(shape), filled, None)
        return filled

    # ---- where starts are found

    def start_indices(self, n_components: int) -> np.ndarray | None:
        """Indices of the rows from which a start is found; None for all."""
        size = max(SAMPLE_NUMBERS // self.n_features, SAMPLE_ROWS_PER_COMPONENT * n_components)
        if self.n_samples <= size:
            return None
        return self.weighted_quantile_rows((np.arange(size) + 0.5) / size)

    def imputed(self, n_components: int, structure: Structure) -> Completed:
        """Some of the rows, their gaps filled from one Gaussian; of many features, as the structure has it."""
        kept = n_components, structure.triangular or self.n_features <= CORRELATED
        if kept not in self._completed:
            self._completed[kept] = self._complete(*kept)
        return self._completed[kept]

    def _complete(self, n_components: int, correlated: bool) -> Completed:
        """The rows that `imputed` keeps."""
        rows = self.source.take(self.start_indices(n_components))
        of_all = (FULL, self.gaussian) if correlated else (DIAG, self.uncorrelated)
        gaps, model = IncompleteSource(rows), incomplete_model(*of_all)
        drawn = gaps.draw(model, np.random.RandomState(0))
        means, _ = gaps.impute(model)
        workers, kernels, weights = self.workers, self.kernels, rows.weights
        return Completed(means, ArraySource(drawn, workers, kernels, weights), workers, kernels, weights)

    @cached
    def _sample(self) -> "IncompleteSource | None":
        """Rows enough for one Gaussian; None for all."""
        indices = self.start_indices(1)
        return None if indices is None else IncompleteSource(self.source.take(indices))

    @cached
    def uncorrelated(self) -> Parameters:
        """The most likely Gaussian without correlations; a constant feature has variance 1."""
        means, variances = self._observed
        check_squares(variances, means, self.dtype)
        return DIAG.from_covariances(np.ones(1), means[None], np.where(self._constant, 1.0, variances)[None])

    @cached
    def gaussian(self) -> Parameters:
        """One Gaussian fitted to rows by a few steps of EM; a constant feature has variance 1, and stands alone."""
        rows, structure, constant = self._sample or self, FULL, self._constant
        scale = self.uncorrelated.covariances[0]
        gaussian = structure.from_covariances(np.ones(1), self.uncorrelated.means, np.diag(scale)[None])
        for _ in range(GAUSSIAN_STEPS):
            statistics = rows.statistics(structure, gaussian)
            weights, means, covariances = structure.estimate(statistics, RIDGE * scale)
            covariances[:, constant, :] = covariances[:, :, constant] = 0.0
            covariances[:, constant, constant] = 1.0
            gaussian = structure.from_covariances(weights, means, covariances)
        return gaussian

    @cached
    def origin(self) -> np.ndarray:
        """The mean of what is observed of each feature, (D,)."""
        return self._observed[0]

    @cached
    def squares(self) -> np.ndarray:
        """Expected sums of squares of all rows about their mean along each feature, (D,)."""
        if self.n_features <= CORRELATED:
            return np.diagonal(self.scatter)
        return self.total * np.where(self._constant, 0.0, self._observed[1])

    @cached
    def scatter(self) -> np.ndarray:
        """Expected scatter of all rows about their mean, (D, D)."""
        constant = self._constant
        return self.total * np.where(constant | constant[:, None], 0.0, self.gaussian.covariances[0])

    def moments(self, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
        """Those of the Gaussian from which gaps are filled."""
        correlated = structure.triangular or self.n_features <= CORRELATED
        mean = self.gaussian.means[0] if correlated else self.origin
        if structure.triangular:
            return mean, self.scatter / self.total
        return mean, structure.uncorrelated((self.squares / self.total)[None])[0]

    @cached
    def _observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of what is observed of each feature, (D,) each."""
        if self._sample is not None:
            return self._sample._observed
        counts, means, variances = np.zeros((3, self.n_features))
        for about in (None, means):
            sums = np.zeros(self.n_features)
            counts[:] = 0
            for rows, X in zip(self.groups, self.read(self.groups), strict=True):
                weights = self._weights(rows)
                for start in range(0, self.n_features, OBSERVED_FEATURES):
                    part = slice(start, start + OBSERVED_FEATURES)
                    values = X[:, part] if about is None else (X[:, part] - about[part]) ** 2
                    seen = ~np.isnan(values)
                    if weights is not None:
                        seen = seen * weights[:, None].astype(np.float64)
                    counts[part] += seen.sum(axis=0)
                    sums[part] += np.where(seen > 0, values * seen, 0.0).sum(axis=0, dtype=np.float64)
                self.release(X)
            (means if about is None else variances)[:] = sums / np.where(counts > 0, counts, 1.0)
        return means, variances

    @cached
    def _unseen(self) -> float:
        """How many rows have no value at all, by their weights."""
        count = 0.0
        for rows, X in zip(self.groups, self.read(self.groups), strict=True):
            unseen, weights = np.isnan(X).all(axis=1), self._weights(rows)
            count += float(np.count_nonzero(unseen) if weights is None else weights[unseen].sum(dtype=np.float64))
            self.release(X)
        return count

    @cached
    def _constant(self) -> np.ndarray:
        """Which features do not vary but by rounding, (D,)."""
        means, variances = self._observed
        return constant(np.sqrt(variances), means)

    # ---- passes over the rows

    @cached
    def groups(self) -> list[slice]:
        """Groups of rows, the same whatever the mixture."""
        return self._cut(TRIANGULAR, GROUP_COMPONENTS)

    @cached
    def _found(self) -> dict[int, Patterns]:
        """Patterns of the groups, by their first rows."""
        return {}

    def _patterns(self, group: Group) -> Patterns:
        """The patterns of one of the `groups`."""
        if not self.in_memory:
            return find_patterns(group.X)
        start = group.rows.start
        if start not in self._found:
            self._found[start] = find_patterns(group.X)
        return self._found[start]

    def _posterior(self, model: IncompleteModel, *outputs: np.ndarray | None) -> None:
        """Run `posterior_patterns` over all groups, each filling its rows of the outputs."""

        def task(workspace: Workspace, group: Group) -> None:
            parts = (None if out is None else out[group.rows] for out in outputs)
            self._posterior_of(group.X, self._patterns(group), model, workspace, *parts)

        self._pass_over_patterns(model, accumulating=False).run(task, lambda _: None)

    def _impute(self, model: IncompleteModel, *arrays: np.ndarray | None) -> None:
        """Run `impute_patterns` over all groups, with their rows of labels, normals, output and deviations."""

        def task(workspace: Workspace, group: Group) -> None:
            parts = (None if array is None else array[group.rows] for array in arrays)
            self.kernels.impute_patterns(group.X, *self._patterns(group), *model.arguments, workspace[1], *parts)

        self._pass_over_patterns(model, accumulating=False).run(task, lambda _: None)

    def _pass_over_patterns(self, model: Model, *, accumulating: bool) -> Pass:
        """A pass over the `groups`, whose patterns are known from one pass to the next."""
        arrays = self.arrays(model.kind, len(model.centers), accumulating=accumulating)
        return Pass(self, self.groups, arrays)

    def arrays(self, kind: int, n_components: int, *, accumulating: bool) -> Arrays:
        itemsize = self.dtype.itemsize
        workspace, scratch = self.kernels.patterns_sizes(kind, self.n_features, n_components, accumulating, itemsize)
        return (workspace, self.dtype), (scratch, np.dtype(np.float64))


def as_incomplete(source: Source) -> IncompleteSource:
    """A source as one with gaps, though there may be none."""
    return source if isinstance(source, IncompleteSource) else IncompleteSource(source)
