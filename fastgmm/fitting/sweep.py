"""Many candidates on the same rows: covariance structures times numbers of components.

Starts are shared. One Ward tree of a sample gives labels for every number of components, and a k-means clustering with
K centers serves all structures; for each candidate they race through a few passes of EM on a sample, and the leader is
fitted to all rows. Then, structure by structure from many components to few, each fit with two of its components
merged starts the next smaller candidate once more, which keeps the better of both ends; the first is one of a quarter
more components than asked for. That finds groups that no clustering with so few centers finds, and costs little: such
a start is near its end.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..model.parameters import Parameters
from ..model.structure import Structure
from ..model.structures import STRUCTURES
from ..sources.source import Source
from .convergence import INTERRUPT, Options
from .degeneracy import Maximization
from .em import Fit, expectation_maximization
from .hierarchical import Hierarchy, clusters, grow
from .initialization import prepare
from .kmeans import Draws, Random, draw, draw_rows, kmeans
from .merging import merged
from .parallel import LEAST_WORK, Job, share_out
from .race import leader
from .restarts import FitRecord
from .starts import Goal, from_centers, from_labels

SAMPLE_ROWS = 1 << 12  # starts are sought on a sample of this many rows,
SAMPLE_ROWS_PER_COMPONENT = 256  # or of so many per component where that is more;
TREE_ROWS = 1000  # the tree is of so many of these,
TREE_ROWS_PER_COMPONENT = 10  # or of so many per component where that is more
BEYOND = 1.25  # times the largest number of components: where the way down begins
FLOOR = 2.0  # times reg_covar: a smaller variance is more regularization than data

R = TypeVar("R")


class Candidate(NamedTuple):
    """What may be fitted."""

    structure: Structure
    n_components: int


class Place(NamedTuple):
    """All rows and a sample of them."""

    source: Source
    sample: Source


@dataclass(frozen=True, slots=True)
class Settings:
    """How every candidate is fitted."""

    tol: float
    max_iter: int
    reg_covar: float | str
    degenerate: str
    options: Callable[[], Options]  # as of now: the clock starts with the fit
    method: Any  # where EM starts: None for shared starts, else as for `prepare`
    n_starts: int
    in_order: bool  # whether candidates have to wait for each other


@dataclass(slots=True)
class Outcome:
    """What became of a candidate: its best fit, or the error it ended with."""

    fit: Fit | None = None
    lower_bound: float = -math.inf
    degenerate: bool = False
    records: list[FitRecord] = field(default_factory=list)
    error: Exception | None = None

    def keep(self, fit: Fit, degenerate: bool, record: FitRecord) -> None:
        """Take the fit if it is better: sound rather than degenerate, then by its likelihood."""
        self.records.append(record)
        if self.fit is None or (not degenerate, record.lower_bound) > (not self.degenerate, self.lower_bound):
            self.fit, self.lower_bound, self.degenerate, self.error = fit, record.lower_bound, degenerate, None


def sweep(
    source: Source,
    candidates: Sequence[Candidate],
    settings: Settings,
    random_state: Random,
    on_fitted: Callable[[Candidate, Outcome], None],
) -> list[Outcome]:
    """Fit all candidates; errors are outcomes too. Nothing but times depends on the number of threads."""
    largest = max(candidate.n_components for candidate in candidates)
    size = max(SAMPLE_ROWS, SAMPLE_ROWS_PER_COMPONENT * largest)
    whole = source.complete(largest)
    sample = whole.take(draw_rows(whole, size, random_state) if whole.n_samples > size else None)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what overflows is refused or repaired
        return Sweep(Place(source, sample), candidates, settings, on_fitted).run(random_state)


class Sweep:
    """The work of `sweep`."""

    def __init__(
        self,
        place: Place,
        candidates: Sequence[Candidate],
        settings: Settings,
        on_fitted: Callable[[Candidate, Outcome], None],
    ) -> None:
        for rows in place:
            _ = rows.origin, rows.total, rows.scatter  # computed once
        self.place, self.candidates, self.settings, self.on_fitted = place, candidates, settings, on_fitted
        self.starts: dict[int, list[Callable[..., Parameters]]] = {}  # of each number of components: (rows, goal=)
        weights = place.source.weights
        self.n_samples = place.source.n_samples if weights is None else int(np.count_nonzero(weights))
        self.stopped = False

    def run(self, random_state: Random) -> list[Outcome]:
        """Starts, fits, and the way down from many components to few, which begins above the largest candidates."""
        beyond = math.ceil(BEYOND * max(candidate.n_components for candidate in self.candidates))
        above = [candidate._replace(n_components=min(beyond, self.n_samples)) for candidate in self.candidates]
        outcomes = {candidate: Outcome() for candidate in [*self.candidates, *above]}
        chains: dict[Structure, list[Candidate]] = {}
        for candidate in sorted(outcomes, key=lambda candidate: -candidate.n_components):
            chains.setdefault(candidate.structure, []).append(candidate)
        self._find_starts(sorted({candidate.n_components for candidate in outcomes}), random_state)
        self.together([Job(self._work(one), partial(self._fit, one, outcome)) for one, outcome in outcomes.items()])
        self.together([Job(self._work(chain[0]), partial(self._descend, chain, outcomes)) for chain in chains.values()])
        return [outcomes[candidate] for candidate in self.candidates]

    def _work(self, candidate: Candidate) -> int:
        """Multiply-adds of a pass over all rows."""
        return self.place.source.work(*candidate)

    # ---- starts

    def _find_starts(self, numbers: Sequence[int], random_state: Random) -> None:
        """Draw all random numbers, then look for the starts of each number of components."""
        method, n_starts, sample = self.settings.method, self.settings.n_starts, self.place.sample
        if method is not None:
            for k in numbers:
                seeds = [int(random_state.choice(2**31 - 1)) for _ in range(n_starts)]
                self.starts[k] = [partial(prepared, method=method, seed=seed) for seed in seeds]
            return
        size = max(TREE_ROWS, TREE_ROWS_PER_COMPONENT * numbers[-1])
        leaves = draw_rows(sample, size, random_state) if sample.n_samples > size else None
        jobs: list[Job[Any]] = [Job(LEAST_WORK, lambda _, sample: grow(sample, leaves))]
        several = [k for k in numbers if 1 < k <= sample.n_samples for _ in range(n_starts - 1)]
        for k in several:
            draws = draw(sample.n_samples, sample.n_features, k, random_state)
            jobs.append(Job(sample.work(STRUCTURES["spherical"], k), partial(centers_of, draws=draws)))
        tree, *centers = self.together(jobs)
        for k in numbers:
            self.starts[k] = [partial(cut_tree, tree=tree)]
        for k, found in zip(several, centers, strict=True):
            self.starts[k].append(partial(from_centers, centers=found))

    # ---- fits

    def _fit(self, candidate: Candidate, outcome: Outcome, source: Source, sample: Source) -> None:
        """Fit a candidate from its own starts."""
        starts = self.starts[candidate.n_components]

        def start(goal: Goal) -> Parameters:
            if goal.n_components > self.n_samples:
                raise ValueError(
                    f"Expected n_samples >= n_components but got n_components = {goal.n_components}, "
                    f"n_samples = {self.n_samples}."
                )
            if len(starts) == 1:
                return starts[0](sample, goal=goal._replace(maximize=goal.maximize.on(sample)))
            return leader(sample, goal, starts)

        self._attempt(candidate, outcome, source, start)
        if candidate in self.candidates:
            self.on_fitted(candidate, outcome)

    def _descend(
        self, chain: Sequence[Candidate], outcomes: dict[Candidate, Outcome], source: Source, sample: Source
    ) -> None:
        """Fit candidates of one structure, in falling order, from the fit before with components merged."""
        above: Parameters | None = None
        for candidate in chain:
            outcome = outcomes[candidate]
            if above is not None and candidate.n_components > 1:
                self._attempt(candidate, outcome, source, partial(from_above, above=above))
            above = above if outcome.fit is None else outcome.fit.parameters

    def _attempt(
        self, candidate: Candidate, outcome: Outcome, source: Source, start: Callable[[Goal], Parameters]
    ) -> None:
        """Run EM once; what it ends with, be it an error, goes to the outcome."""
        begun, settings, structure = perf_counter(), self.settings, candidate.structure
        maximize = Maximization(source, structure, settings.reg_covar, settings.degenerate)
        try:
            parameters = start(Goal(structure, candidate.n_components, maximize))
            started = perf_counter()
            fit = expectation_maximization(
                source,
                structure,
                parameters,
                tol=settings.tol,
                max_iter=settings.max_iter,
                maximize=maximize,
                options=settings.options(),
                on_iteration=self._check,
            )
            if fit.stop_reason == INTERRUPT:
                raise KeyboardInterrupt
            degenerate = is_degenerate(maximize, fit)
        except Exception as error:
            if outcome.fit is None:
                outcome.error = error
            return
        except BaseException:
            self.stopped = True
            raise
        bounds = fit.lower_bounds or [-math.inf]
        seconds = started - begun, perf_counter() - started
        record = FitRecord(*seconds, len(fit.lower_bounds), bounds[0], bounds[-1], fit.converged, False)
        outcome.keep(fit, degenerate, record)

    # ---- threads

    def together(self, jobs: Sequence[Job[R]]) -> list[R]:
        """Results of jobs; an interruption of one ends the others."""
        try:
            return share_out(self.place, jobs, in_order=self.settings.in_order)
        except BaseException:
            self.stopped = True
            raise

    def _check(self, n_iter: int, lower_bound: float, change: float) -> None:
        """End a fit when the sweep has ended."""
        if self.stopped:
            raise KeyboardInterrupt


def prepared(rows: Source, goal: Goal, method: Any, seed: int) -> Parameters:
    """The start that a method finds; the seed is the same for all structures."""
    return prepare(rows, goal, method, np.random.RandomState(seed))(rows)


def centers_of(source: Source, sample: Source, draws: Draws) -> np.ndarray:
    """The centers of a k-means clustering of the sample."""
    return kmeans(sample, draws)


def cut_tree(rows: Source, goal: Goal, tree: Hierarchy) -> Parameters:
    """Each row belongs to its cluster in Ward's hierarchy, or to the nearest one."""
    return from_labels(rows, goal, clusters(rows, tree, goal.n_components))


def from_above(goal: Goal, above: Parameters) -> Parameters:
    """A fit of more components, merged."""
    return merged(goal.structure, above, goal.n_components)


def is_degenerate(maximize: Maximization, fit: Fit) -> bool:
    """Whether a component has collapsed, so that nothing but regularization or repair bounds the likelihood.

    Where all rows together have no spread in some direction, that says nothing of a component.
    """
    if any(repair.iteration > 0 for repair in fit.repairs):
        return True
    source, structure, covariances = maximize.source, maximize.structure, fit.parameters.covariances
    reg_covar = np.asarray(maximize.reg_covar, dtype=np.float64)
    if not reg_covar.any():
        return False
    if structure.triangular:
        smallest = smallest_variance(covariances, reg_covar)
    else:
        smallest = float((structure.diagonals(covariances) / reg_covar).min())
    return smallest <= FLOOR < smallest_variance(source.scatter / source.total, reg_covar) + 1


def smallest_variance(covariances: np.ndarray, unit: np.ndarray) -> float:
    """The smallest variance in any direction, with each feature's variance in some unit."""
    scale = np.sqrt(np.broadcast_to(unit, covariances.shape[-1:]))
    relative = covariances / (scale[:, None] * scale)
    return float(np.linalg.eigvalsh(relative).min()) if np.isfinite(relative).all() else math.inf
