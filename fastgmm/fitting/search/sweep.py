"""Many candidates on the same rows: covariance structures times numbers of components.

One Ward tree of a sample serves all. Structure by structure from many components to few, beginning a quarter above the
largest number asked for, each fit with two of its components merged starts the next: that finds groups that no
clustering with so few centers finds, and costs little, for such a start is near its end. Each candidate starts from
its own cut of the tree, too, and is fitted again if after a few passes of EM on the sample that is the better one. What
leads then is refined (see `refinement`).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..parallel import Job
from ..starts import prepare
from ..starts.hierarchical import Hierarchy, clusters, grow
from ..starts.kmeans import Draws, Random, draw, draw_rows, kmeans
from ..starts.methods import Goal, from_centers, from_labels
from ..starts.race import Runner
from .insertion import Clusters
from .refinement import Begin, Refinement, from_above, run
from .trials import Candidate, Outcome, Place, Settings, Trials

SAMPLE_ROWS = 1 << 12  # starts are sought on a sample of this many rows,
SAMPLE_ROWS_PER_COMPONENT = 256  # or of so many per component where that is more;
TREE_ROWS = 1000  # the tree is of so many of these,
TREE_ROWS_PER_COMPONENT = 10  # or of so many per component where that is more
BEYOND = 1.25  # times the largest number of components: where the way down begins


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
        return Sweep(Trials(Place(source, sample), settings), candidates, random_state, on_fitted).run()


class Sweep:
    """The work of `sweep`."""

    def __init__(
        self,
        trials: Trials,
        candidates: Sequence[Candidate],
        random_state: Random,
        on_fitted: Callable[[Candidate, Outcome], None],
    ) -> None:
        self.trials, self.candidates, self.random_state, self.on_fitted = trials, candidates, random_state, on_fitted
        self.starts: dict[int, Begin] = {}  # of each number of components
        source = trials.place.source
        self.n_samples = source.n_samples if source.weights is None else int(np.count_nonzero(source.weights))

    def run(self) -> list[Outcome]:
        """The tree, the way down, each candidate from its own start, and refinement."""
        trials, sample = self.trials, self.trials.place.sample
        largest = max(candidate.n_components for candidate in self.candidates)
        beyond = min(math.ceil(BEYOND * largest), self.n_samples) if largest > 1 else 1
        above = [candidate._replace(n_components=beyond) for candidate in self.candidates]
        outcomes = {candidate: Outcome() for candidate in [*self.candidates, *above]}
        chains: dict[Structure, list[Candidate]] = {}
        for candidate in sorted(outcomes, key=lambda candidate: -candidate.n_components):
            chains.setdefault(candidate.structure, []).append(candidate)
        found = self._find_starts(sorted({candidate.n_components for candidate in outcomes}))
        descents: list[Job[Any]] = [
            Job(trials.work(chain[0]), partial(self._descend, chain, outcomes)) for chain in chains.values()
        ]
        several = [one for one in self.candidates if one.n_components > 1]
        races: list[Job[Any]] = [Job(sample.work(*one), partial(self._race, one)) for one in several]
        runners = dict(zip(several, trials.together([*descents, *races])[len(descents) :], strict=True))
        trials.together(
            [Job(trials.work(one), partial(self._fit, one, outcomes[one], runners.get(one))) for one in self.candidates]
        )
        Refinement(trials, self.candidates, outcomes, found).run(self._more_starts)
        return [outcomes[candidate] for candidate in self.candidates]

    # ---- starts

    def _find_starts(self, numbers: Sequence[int]) -> Clusters:
        """Grow the tree, and set where each number of components starts."""
        sample, method = self.trials.place.sample, self.trials.settings.method
        size = max(TREE_ROWS, TREE_ROWS_PER_COMPONENT * numbers[-1])
        tree = grow(sample, draw_rows(sample, size, self.random_state) if sample.n_samples > size else None)
        for k in numbers:
            self.starts[k] = partial(cut_tree, tree=tree) if method is None else self._by_method()
        return Clusters.of(tree)

    def _more_starts(self, n_components: int, n_starts: int) -> list[Begin]:
        """Draw further starts for a number of components."""
        sample = self.trials.place.sample
        if self.trials.settings.method is not None:
            return [self._by_method() for _ in range(n_starts)]
        sizes = sample.n_samples, sample.n_features, n_components
        return [partial(from_clustering, draws=draw(*sizes, self.random_state)) for _ in range(n_starts)]

    def _by_method(self) -> Begin:
        """Draw a start by the method that the caller has chosen."""
        seed = int(self.random_state.choice(2**31 - 1))
        return partial(prepared, method=self.trials.settings.method, seed=seed)

    # ---- fits

    def _descend(
        self, chain: Sequence[Candidate], outcomes: dict[Candidate, Outcome], source: Source, sample: CompleteSource
    ) -> None:
        """Fit candidates of one structure, in falling order, from the fit before with components merged."""
        above: Parameters | None = None
        for candidate in chain:
            outcome = outcomes[candidate]
            if above is None or candidate.n_components == 1:
                self.trials.attempt(candidate, outcome, source, partial(self._own, sample))
            else:
                self.trials.attempt(candidate, outcome, source, partial(from_above, above=above))
            above = above if outcome.fit is None else outcome.fit.parameters

    def _own(self, sample: CompleteSource, goal: Goal) -> Parameters:
        """Where a candidate's own start leads on the sample."""
        if goal.n_components > self.n_samples:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {goal.n_components}, "
                f"n_samples = {self.n_samples}."
            )
        return self.starts[goal.n_components](sample, goal=goal._replace(maximize=goal.maximize.on(sample)))

    def _race(self, candidate: Candidate, source: Source, sample: CompleteSource) -> Runner | None:
        """How far a candidate's own start leads on the sample; None where it cannot be carried out."""
        if candidate.n_components > self.n_samples:
            return None
        return run(self.trials.goal(candidate, sample), sample, [self.starts[candidate.n_components]])

    def _fit(
        self, candidate: Candidate, outcome: Outcome, runner: Runner | None, source: Source, sample: CompleteSource
    ) -> None:
        """Fit a candidate from its own start if that is promising."""
        self.trials.attempt_promising(candidate, outcome, Place(source, sample), runner)
        self.on_fitted(candidate, outcome)


def prepared(rows: CompleteSource, goal: Goal, method: object, seed: int) -> Parameters:
    """The start that a method finds; the seed is the same for all structures."""
    return prepare(rows, goal, method, np.random.RandomState(seed))(rows)


def from_clustering(rows: CompleteSource, goal: Goal, draws: Draws) -> Parameters:
    """Each row belongs to the nearest center of a k-means clustering."""
    return from_centers(rows, goal, kmeans(rows, draws))


def cut_tree(rows: CompleteSource, goal: Goal, tree: Hierarchy) -> Parameters:
    """Each row belongs to its cluster in Ward's hierarchy, or to the nearest one."""
    return from_labels(rows, goal, clusters(rows, tree, goal.n_components))
