"""Rows some of whose values are missing (NaN): exact statistics of what is observed, pattern by pattern."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np

from ...model.cached import cached
from ...model.factors import inverse
from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import DigitsLost, Structure
from ...model.structures import STRUCTURES, check_digits
from ..array import ArraySource
from ..groups import DIAGONAL, ISOTROPIC, TRIANGULAR, cut, work_per_row
from ..source import Source
from .completed import Completed
from .patterns import Patterns, find_patterns

GROUP_COMPONENTS = 4  # groups are cut as for so many components: each finds its patterns once, for every mixture
GAUSSIAN_STEPS = 8  # of EM, for the Gaussian from which gaps are filled before the first M-step
RIDGE = 1e-6  # that keeps its covariance definite, relative to variances
SAMPLE_NUMBERS = 1 << 20  # of the rows from which a start is found,
SAMPLE_ROWS_PER_COMPONENT = 256  # or of so many rows per component where that is more


class Marginals(NamedTuple):
    """A mixture as the kernels for rows with gaps read it; everything float64."""

    kind: int
    log_weights: np.ndarray  # (K,)
    centers: np.ndarray  # (K, D)
    covariances: np.ndarray  # (K, D, D) if TRIANGULAR, (K, D) if DIAGONAL, (D, D) if ISOTROPIC; flat


def summed_as(structure: Structure) -> Structure:
    """The structure whose sums the kernels leave: one variance for all features does not help them."""
    return structure if structure.triangular else structure.direct


def marginals(structure: Structure, parameters: Parameters, *, dense: bool = False) -> Marginals:
    """A mixture before rows with gaps; `dense` asks for matrices whatever the structure.

    Covariances follow from their factors, since an extrapolated point has no others.
    """
    n_features, kind = parameters.means.shape[1], summed_as(structure).kind
    if structure.triangular:
        roots = inverse(parameters.precisions_cholesky.reshape(-1, n_features, n_features))
        covariances = np.einsum("kji,kjl->kil", roots, roots)
    else:
        covariances = structure.split(parameters).precisions_cholesky ** -2.0
        if dense:
            covariances, kind = covariances[:, :, None] * np.eye(n_features), TRIANGULAR
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.weights)
    return Marginals(kind, log_weights, np.ascontiguousarray(parameters.means), np.ravel(covariances))


class IncompleteSource(Source):
    """The rows of another source, in which NaN stands for values missing at random.

    Groups of rows in memory find their patterns once; those of files, in each pass. Rows without any value say nothing:
    they count in `n_samples` alone, and nothing is added for them that would leave the parameters where they are.
    """

    def __init__(self, rows: Source) -> None:
        self.source = rows
        self.n_features, self.dtype = rows.n_features, rows.dtype
        super().__init__(rows.weights, rows.workers, rows.kernels)
        self._completed: dict[int, Completed] = {}

    @cached
    def n_samples(self) -> int:
        """Number of rows."""
        return self.source.n_samples

    def blocks(self, groups: list[slice]) -> Iterator[np.ndarray]:
        return self.source.blocks(groups)

    def release(self, X: np.ndarray) -> None:
        self.source.release(X)

    def take(self, indices: np.ndarray | None) -> ArraySource:
        """Some rows with their gaps."""
        return self.source.take(indices)

    def inline(self) -> Self:
        quiet = super().inline()
        quiet.source = self.source.inline()
        quiet._completed = {n: rows.inline() for n, rows in self._completed.items()}
        return quiet

    def work(self, structure: Structure, n_components: int) -> int:
        return self.n_samples * work_per_row(summed_as(structure).kind, self.n_features, n_components)

    # ---- what EM asks for

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        """Expected statistics of the complete rows given what is observed."""
        try:
            return self._statistics(structure, parameters)
        except DigitsLost:
            return structure.pool(self._statistics(structure.direct, structure.split(parameters)))

    def _statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        """The same, or DigitsLost where scatters would be poor."""
        summed, model = summed_as(structure), marginals(structure, parameters)
        n_components, n_features = model.centers.shape
        n_pairs = n_features * (n_features + 1) // 2
        n_own = 1 + n_features + {TRIANGULAR: n_pairs, DIAGONAL: n_features, ISOTROPIC: 0}[model.kind]
        total = np.zeros(n_components * n_own + (n_pairs + 2 if model.kind == ISOTROPIC else 0) + 1)

        def task(rows: slice, X: np.ndarray, patterns: Patterns, *workspaces: np.ndarray) -> np.ndarray:
            out = np.empty_like(total)
            self.kernels.accumulate_patterns(X, *patterns, self._weights(rows), *model, *workspaces, out)
            return out

        self._each_group(task, model, True, lambda sums: np.add(total, sums, out=total))
        sums = total[: n_components * n_own].reshape(n_components, n_own)
        second = sums[:, 1 + n_features :]
        if model.kind == ISOTROPIC:
            check_digits(total[-3], total[-2], self.dtype)
            second = total[sums.size : -3]
        if summed.triangular:
            lower = np.zeros((*second.shape[:-1], n_features, n_features))
            lower[..., *np.tril_indices(n_features)] = second
            second = lower + np.swapaxes(np.tril(lower, -1), -1, -2)
        found = Statistics(
            parameters.means,
            sums[:, 0].copy(),
            sums[:, 1 : 1 + n_features].copy(),
            second.copy(),
            float(total[-1]),
            self.total,
            float(np.finfo(self.dtype).eps),
            summed.name,
        )
        return found if summed is structure else structure.pool(found)

    # ---- what a mixture says of each row

    def posterior(self, X: np.ndarray, model: Any, *outputs: np.ndarray | None) -> None:
        """Log-likelihoods, responsibilities and labels of some rows, where wanted."""
        sizes = self._sizes(model, False)
        workspaces = np.empty(sizes[0], self.dtype), np.empty(sizes[1])
        self.kernels.posterior_patterns(X, *find_patterns(X), *model, *workspaces, *outputs)

    def impute(self, model: Marginals, deviations: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows with conditional means in their gaps, and if asked for their standard deviations; `dense` model."""
        shape = self.n_samples, self.n_features
        filled = np.empty(shape, self.dtype)
        spread = np.empty(shape, self.dtype) if deviations else None
        self._impute(model, None, None, filled, spread)
        return filled, spread

    def draw(self, model: Marginals, random_state: Any) -> np.ndarray:
        """The rows with draws from the conditional distribution in their gaps; `dense` model."""
        shape = self.n_samples, self.n_features
        shares = self.responsibilities(model).cumsum(axis=1, dtype=np.float64)
        chosen = random_state.uniform(size=self.n_samples) * shares[:, -1]
        labels = np.minimum((shares <= chosen[:, None]).sum(axis=1), shares.shape[1] - 1)
        filled = np.empty(shape, self.dtype)
        self._impute(model, labels, random_state.standard_normal(shape), filled, None)
        return filled

    # ---- where starts are found

    def sample(self, n_components: int) -> np.ndarray | None:
        """Indices of the rows from which a start is found; None for all."""
        size = max(SAMPLE_NUMBERS // self.n_features, SAMPLE_ROWS_PER_COMPONENT * n_components)
        if self.n_samples <= size:
            return None
        return self.at((np.arange(size) + 0.5) / size)

    def complete(self, n_components: int) -> Completed:
        """Some of the rows, their gaps filled from one Gaussian."""
        if n_components not in self._completed:
            self._completed[n_components] = self._complete(n_components)
        return self._completed[n_components]

    def _complete(self, n_components: int) -> Completed:
        """The same, to be done once."""
        rows = self.source.take(self.sample(n_components))
        gaps, model = IncompleteSource(rows), marginals(STRUCTURES["full"], self.gaussian)
        drawn = gaps.draw(model, np.random.RandomState(0))
        means, _ = gaps.impute(model)
        workers, kernels, weights = self.workers, self.kernels, rows.weights
        return Completed(means, ArraySource(drawn, workers, kernels, weights), workers, kernels, weights)

    @cached
    def gaussian(self) -> Parameters:
        """One Gaussian fitted to rows by a few steps of EM; a constant feature has variance 1, and stands alone."""
        sample = self.sample(1)
        if sample is not None:
            return IncompleteSource(self.source.take(sample)).gaussian
        means, variances = self._observed
        if not variances.max() < np.finfo(self.dtype).max / 4:
            raise ValueError(
                f"The rows are too large to be fitted: squares of their distances overflow in {self.dtype} (their "
                f"mean is as large as {np.abs(means).max():.3g}). Divide each column by its standard deviation, or "
                "drop outliers."
            )
        structure, constant = STRUCTURES["full"], self._constant
        scale = np.where(constant, 1.0, variances)
        gaussian = structure.from_covariances(np.ones(1), means[None], np.diag(scale)[None])
        for _ in range(GAUSSIAN_STEPS):
            statistics = self.statistics(structure, gaussian)
            weights, means, covariances = structure.estimate(statistics, RIDGE * scale)
            covariances[:, constant, :] = covariances[:, :, constant] = 0.0
            covariances[:, constant, constant] = 1.0
            gaussian = structure.from_covariances(weights, means, covariances)
        return gaussian

    @cached
    def origin(self) -> np.ndarray:
        """The mean of that Gaussian, (D,)."""
        return self.gaussian.means[0]

    @cached
    def scatter(self) -> np.ndarray:
        """Expected scatter of all rows about it, (D, D)."""
        constant = self._constant
        return self.total * np.where(constant | constant[:, None], 0.0, self.gaussian.covariances[0])

    @cached
    def _observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of what is observed of each feature, (D,) each."""
        totals: list[np.ndarray] = []
        for about in (None, 0):
            counts, sums = np.zeros((2, self.n_features))
            for rows, X in zip(self.groups, self.blocks(self.groups), strict=True):
                weights = self._weights(rows)
                seen = ~np.isnan(X) if weights is None else ~np.isnan(X) * weights[:, None].astype(np.float64)
                values = X if about is None else (X - totals[0]) ** 2
                counts += seen.sum(axis=0)
                sums += np.where(seen > 0, values * seen, 0.0).sum(axis=0, dtype=np.float64)
                self.release(X)
            totals.append(sums / np.where(counts > 0, counts, 1.0))
        return totals[0], totals[1]

    @cached
    def _constant(self) -> np.ndarray:
        """Which features do not vary but by rounding, (D,)."""
        means, variances = self._observed
        return variances <= (8 * np.finfo(np.float64).eps * np.abs(means)) ** 2

    # ---- passes over the rows

    @cached
    def groups(self) -> list[slice]:
        """Groups of rows, the same whatever the mixture."""
        work = work_per_row(TRIANGULAR, self.n_features, GROUP_COMPONENTS)
        return cut(self.n_samples, work, self.n_features * self.dtype.itemsize)

    @cached
    def _found(self) -> dict[int, Patterns]:
        """Patterns of the groups, by their first rows."""
        return {}

    def _patterns(self, rows: slice, X: np.ndarray) -> Patterns:
        """The patterns of a group."""
        if not isinstance(self.source, ArraySource):
            return find_patterns(X)
        if rows.start not in self._found:
            self._found[rows.start] = find_patterns(X)
        return self._found[rows.start]

    def _posterior(self, model: Any, *outputs: np.ndarray | None) -> None:
        """Run `posterior_patterns` over all groups, each filling its rows of the outputs."""

        def task(rows: slice, X: np.ndarray, patterns: Patterns, *workspaces: np.ndarray) -> None:
            parts = (None if out is None else out[rows] for out in outputs)
            self.kernels.posterior_patterns(X, *patterns, *model, *workspaces, *parts)

        self._each_group(task, model, False, lambda _: None)

    def _impute(self, model: Marginals, *arrays: np.ndarray | None) -> None:
        """Run `impute_patterns` over all groups, with their rows of labels, normals, output and deviations."""

        def task(rows: slice, X: np.ndarray, patterns: Patterns, _: np.ndarray, scratch: np.ndarray) -> None:
            parts = (None if array is None else array[rows] for array in arrays)
            self.kernels.impute_patterns(X, *patterns, *model, scratch, *parts)

        self._each_group(task, model, False, lambda _: None)

    def _each_group(
        self, task: Callable, model: Marginals, accumulating: bool, collect: Callable[[Any], object]
    ) -> None:
        """`task(rows, X, patterns, workspace, scratch)` for every group, in parallel; results in order."""
        sizes = self._sizes(model, accumulating)
        idle: list[tuple[np.ndarray, np.ndarray]] = []

        def run(group: tuple[slice, np.ndarray]) -> object:
            rows, X = group
            try:
                workspaces = idle.pop()
            except IndexError:
                workspaces = np.empty(sizes[0], self.dtype), np.empty(sizes[1])
            result = task(rows, X, self._patterns(rows, X), *workspaces)
            idle.append(workspaces)
            self.release(X)
            return result

        blocks = zip(self.groups, self.blocks(self.groups), strict=True)
        self.workers.run(run, blocks, len(self.groups), collect)

    def _sizes(self, model: Marginals, accumulating: bool) -> tuple[int, int]:
        """How many numbers the kernels' two workspaces must hold."""
        itemsize = self.dtype.itemsize
        return self.kernels.patterns_sizes(model.kind, self.n_features, len(model.centers), accumulating, itemsize)
