"""Rows in memory some of whose values are missing (NaN): exact statistics of what is observed, pattern by pattern."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from ..model.factors import inverse
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure
from ..model.structures import STRUCTURES
from .array import DIAGONAL, TRIANGULAR, ArraySource, cut, work_per_row
from .completed import complete
from .patterns import Patterns, find_patterns

GROUP_COMPONENTS = 4  # groups are cut as for so many components: each finds its patterns once, for every mixture
GAUSSIAN_STEPS = 8  # of EM, for the Gaussian from which gaps are filled before the first M-step
RIDGE = 1e-6  # that keeps its covariance definite, relative to variances


class Marginals(NamedTuple):
    """A mixture as the kernels for rows with gaps read it; everything float64."""

    kind: int
    log_weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, D)
    covariances: np.ndarray  # (K, D, D) if TRIANGULAR, (K, D) if DIAGONAL; flat


def marginals(structure: Structure, parameters: Parameters, *, dense: bool = False) -> Marginals:
    """A mixture before rows with gaps; `dense` asks for matrices whatever the structure.

    Covariances follow from their factors, since an extrapolated point has no others.
    """
    factors = structure.split(parameters).precisions_cholesky
    if structure.triangular:
        roots = inverse(factors)
        covariances = np.einsum("kji,kjl->kil", roots, roots)
    else:
        covariances = factors**-2.0
        if dense:
            covariances = covariances[:, :, None] * np.eye(covariances.shape[1])
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.weights)
    kind = TRIANGULAR if covariances.ndim == 3 else DIAGONAL
    return Marginals(kind, log_weights, np.ascontiguousarray(parameters.means), np.ravel(covariances))


class IncompleteSource(ArraySource):
    """A two-dimensional float32 or float64 array in which NaN stands for values missing at random.

    Groups of rows find their patterns once. Rows without any value say nothing: they count in `n_samples` alone, and
    nothing is added for them that would leave the parameters where they are.
    """

    def inline(self) -> Self:
        completed = self.completed
        quiet = super().inline()
        quiet.__dict__["completed"] = completed.inline()
        return quiet

    def work(self, structure: Structure, n_components: int) -> int:
        return self.n_samples * work_per_row(structure.direct.kind, self.n_features, n_components)

    # ---- what EM asks for

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        """Expected statistics of the complete rows given what is observed."""
        direct, model = structure.direct, marginals(structure, parameters)
        n_components, n_features = model.means.shape
        n_moments = n_features * (n_features + 1) // 2 if direct.triangular else n_features
        total = np.zeros(n_components * (1 + n_features + n_moments) + 1)

        def task(rows: slice, patterns: Patterns, *workspaces: np.ndarray) -> np.ndarray:
            out = np.empty_like(total)
            self.kernels.accumulate_patterns(self.X[rows], *patterns, None, *model, *workspaces, out)
            return out

        self._each_group(task, model, True, lambda sums: np.add(total, sums, out=total))
        sums = total[:-1].reshape(n_components, -1)
        second = sums[:, 1 + n_features :]
        if direct.triangular:
            lower = np.zeros((n_components, n_features, n_features))
            lower[:, *np.tril_indices(n_features)] = second
            second = lower + np.swapaxes(np.tril(lower, -1), 1, 2)
        return structure.pool(
            Statistics(
                parameters.means,
                sums[:, 0].copy(),
                sums[:, 1 : 1 + n_features].copy(),
                second.copy(),
                float(total[-1]),
                self.n_samples,
                float(np.finfo(self.dtype).eps),
            )
        )

    # ---- what a mixture says of each row

    def log_likelihoods(self, model: Any) -> np.ndarray:
        """log p(what is observed) of each row, (N,)."""
        out = np.empty(self.n_samples, self.dtype)
        self._posterior(model, out, None, None)
        return out

    def responsibilities(self, model: Any) -> np.ndarray:
        """Posterior probability of each component for each row, (N, K)."""
        out = np.empty((self.n_samples, len(model.means)), self.dtype)
        self._posterior(model, None, out, None)
        return out

    def impute(self, model: Marginals, deviations: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows with conditional means in their gaps, and if asked for their standard deviations; `dense` model."""
        filled = np.empty(self.X.shape, self.dtype)
        spread = np.empty(self.X.shape, self.dtype) if deviations else None
        self._impute(model, None, None, filled, spread)
        return filled, spread

    def draw(self, model: Marginals, random_state: Any) -> np.ndarray:
        """The rows with draws from the conditional distribution in their gaps; `dense` model."""
        shares = self.responsibilities(model).cumsum(axis=1, dtype=np.float64)
        chosen = random_state.uniform(size=self.n_samples) * shares[:, -1]
        labels = np.minimum((shares <= chosen[:, None]).sum(axis=1), shares.shape[1] - 1)
        filled = np.empty(self.X.shape, self.dtype)
        self._impute(model, labels, random_state.standard_normal(self.X.shape), filled, None)
        return filled

    # ---- what does not depend on the mixture

    @cached_property
    def completed(self) -> ArraySource:
        """The same rows without gaps, filled from one Gaussian: for the starts of EM."""
        model = marginals(STRUCTURES["full"], self.gaussian)
        return complete(self.X, model, self.workers, self.kernels)

    @cached_property
    def gaussian(self) -> Parameters:
        """One Gaussian fitted to all rows by a few steps of EM; a constant feature has variance 1, and stands alone."""
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

    @cached_property
    def origin(self) -> np.ndarray:
        """The mean of that Gaussian, (D,)."""
        return self.gaussian.means[0]

    @cached_property
    def scatter(self) -> np.ndarray:
        """Expected scatter of all rows about it, (D, D)."""
        constant = self._constant
        return self.n_samples * np.where(constant | constant[:, None], 0.0, self.gaussian.covariances[0])

    @cached_property
    def _observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of what is observed of each feature, (D,) each."""
        counts, first, second = np.zeros((3, self.n_features))
        for rows in self.groups:
            seen = ~np.isnan(self.X[rows])
            counts += seen.sum(axis=0)
            first += np.add.reduce(self.X[rows], axis=0, dtype=np.float64, where=seen)
        counts = np.maximum(counts, 1)
        means = first / counts
        for rows in self.groups:
            away = self.X[rows] - means
            second += np.einsum("ni,ni->i", *[np.where(np.isnan(away), 0.0, away)] * 2)
        return means, second / counts

    @cached_property
    def _constant(self) -> np.ndarray:
        """Which features do not vary but by rounding, (D,)."""
        means, variances = self._observed
        return variances <= (8 * np.finfo(np.float64).eps * np.abs(means)) ** 2

    @cached_property
    def groups(self) -> list[slice]:
        """Groups of rows, the same whatever the mixture."""
        return cut(self.n_samples, work_per_row(TRIANGULAR, self.n_features, GROUP_COMPONENTS))

    @cached_property
    def _found(self) -> dict[int, Patterns]:
        """Patterns of the groups, by their first rows."""
        return {}

    # ---- passes over the rows

    def _posterior(self, model: Any, *outputs: np.ndarray | None) -> None:
        """Run `posterior_patterns` over all groups, each filling its rows of the outputs."""

        def task(rows: slice, patterns: Patterns, *workspaces: np.ndarray) -> None:
            parts = (None if out is None else out[rows] for out in outputs)
            self.kernels.posterior_patterns(self.X[rows], *patterns, *model, *workspaces, *parts)

        self._each_group(task, model, False, lambda _: None)

    def _impute(self, model: Marginals, *arrays: np.ndarray | None) -> None:
        """Run `impute_patterns` over all groups, with their rows of labels, normals, output and deviations."""

        def task(rows: slice, patterns: Patterns, _: np.ndarray, scratch: np.ndarray) -> None:
            parts = (None if array is None else array[rows] for array in arrays)
            self.kernels.impute_patterns(self.X[rows], *patterns, *model[1:], scratch, *parts)

        self._each_group(task, model, False, lambda _: None)

    def _each_group(
        self, task: Callable, model: Marginals, accumulating: bool, collect: Callable[[Any], object]
    ) -> None:
        """`task(rows, patterns, workspace, scratch)` for every group, in parallel; results in order."""
        sizes = self.kernels.patterns_sizes(
            model.kind, self.n_features, len(model.means), accumulating, self.dtype.itemsize
        )
        idle: list[tuple[np.ndarray, np.ndarray]] = []

        def run(rows: slice) -> object:
            patterns = self._found.get(rows.start)
            if patterns is None:
                patterns = self._found[rows.start] = find_patterns(self.X[rows])
            try:
                workspaces = idle.pop()
            except IndexError:
                workspaces = np.empty(sizes[0], self.dtype), np.empty(sizes[1])
            result = task(rows, patterns, *workspaces)
            idle.append(workspaces)
            return result

        self.workers.run(run, self.groups, len(self.groups), collect)
