"""Many candidates on the same rows: covariance structures times numbers of components.

One Ward tree of a sample serves all. Structure by structure from many components to few, beginning a quarter above the
largest number asked for where that pays, each fit with components merged starts the next: that finds groups that no
clustering with so few centers finds, and costs little, for such a start is near its end. Each candidate starts from
its own cut of the tree, too, and is fitted again if after a few passes of EM on the sample that is the better one. With
what is then left of the work of single fits the best candidates are refined (see `budget` and `refinement`).
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
from ..settings import Settings
from ..starts import prepare
from ..starts.cleaned import clean_rows
from ..starts.hierarchical import Hierarchy, clusters, grow
from ..starts.kmeans import Draws, Random, draw, draw_rows, kmeans, sample_size
from ..starts.methods import Goal, from_centers, from_labels
from ..starts.race import Contender, best_start
from .budget import Budget
from .insertion import Clusters
from .lattice import Begin
from .posteriors import Posteriors
from .refinement import RUNGS, Refinement, from_above, run
from .trials import Candidate, Data, Outcome, Trials

SAMPLE_ROWS = 1 << 12  # size of the sample on which starts are sought
SAMPLE_ROWS_PER_COMPONENT = 256  # its size where there are many components
TREE_ROWS = 1000  # rows of the sample in Ward's tree
TREE_ROWS_PER_COMPONENT = 10  # their number where there are many components
HEADROOM = 1.25  # times the largest number of components asked for: where merging begins
HEADROOM_PASSES = 16  # at most, of the fits there, which are but a start for those below


def sweep(
    source: Source,
    candidates: Sequence[Candidate],
    settings: Settings,
    random_state: Random,
    on_fitted: Callable[[Candidate, Outcome], None],
    *,
    method: Any,
    penalty: float,
    thorough: bool = False,
    outcomes: dict[Candidate, Outcome] | None = None,
    posteriors: Posteriors | None = None,
) -> list[Outcome]:
    """Fit all candidates; errors are outcomes too. Nothing but times depends on the number of threads.

    `outcomes` are there for whoever wants to know how far this has come when an exception ends it. `method` is where
    EM starts, as for `prepare`; None takes clusters of the sample. `penalty` is what a parameter must gain in mean
    log-likelihood. A `thorough` sweep goes on beyond what single fits cost. With `posteriors`, which begin where the
    candidates have come to, their outcomes are returned.
    """
    largest = max(candidate.n_components for candidate in candidates)
    size = sample_size(source.n_features, SAMPLE_ROWS, SAMPLE_ROWS_PER_COMPONENT * largest)
    structures = dict.fromkeys(candidate.structure for candidate in candidates)
    whole = source.imputed(largest, max(structures, key=lambda structure: structure.triangular))
    sample = whole.take(draw_rows(whole, size, random_state) if whole.n_samples > size else None)
    for rows in (source, sample):
        _ = rows.origin, rows.total, [structure.squares(rows) for structure in structures]  # computed once
    trials = Trials(Data(source, sample), settings, penalty, candidates)
    outcomes = {} if outcomes is None else outcomes
    found = Sweep(trials, candidates, method, random_state, on_fitted, thorough).run(outcomes)
    return found if posteriors is None else posteriors.found(trials, outcomes)


class Sweep:
    """The work of `sweep`."""

    def __init__(
        self,
        trials: Trials,
        candidates: Sequence[Candidate],
        method: Any,
        random_state: Random,
        on_fitted: Callable[[Candidate, Outcome], None],
        thorough: bool,
    ) -> None:
        self.thorough = thorough
        self.trials, self.candidates, self.method = trials, candidates, method
        self.random_state, self.on_fitted = random_state, on_fitted
        self.budget = Budget(trials, candidates)
        self.starts: dict[int, Begin] = {}  # of each number of components
        self.clean_starts: dict[int, Begin] = {}  # of mixtures with noise, besides
        source = trials.data.source
        self.n_samples = source.n_samples if source.weights is None else int(np.count_nonzero(source.weights))

    def run(self, outcomes: dict[Candidate, Outcome]) -> list[Outcome]:
        """The tree, the way down, each candidate from its own start, and refinement."""
        trials, budget = self.trials, self.budget
        outcomes |= {candidate: Outcome() for candidate in self.candidates}
        chains = [self._chain(structure) for structure in dict.fromkeys(one.structure for one in self.candidates)]
        outcomes |= {chain[0]: Outcome() for chain in chains if chain[0] not in outcomes}
        tree = self._find_starts(sorted({candidate.n_components for candidate in outcomes}))
        descents = [Job(trials.work(chain[0]), partial(self._descend, chain, outcomes)) for chain in chains]
        budget.spent += sum(trials.together(descents))
        budget.learn(chains, outcomes)
        raced = self._affordable_races({chain[0] for chain in chains}, outcomes)
        races = [Job(trials.data.sample.work(*one), partial(self._race, one)) for one in raced]
        contenders = dict(zip(raced, trials.together(races), strict=True))
        jobs = [
            Job(trials.work(one), partial(self._fit, one, outcomes[one], contenders.get(one)))
            for one in self.candidates
        ]
        budget.spent += sum(trials.together(jobs))
        refinement = Refinement(trials, budget, self.candidates, outcomes, partial(Clusters.of, tree))
        refinement.run(self._more_starts, self.random_state if self.thorough else None)
        return [outcomes[candidate] for candidate in self.candidates]

    def _chain(self, structure: Structure) -> list[Candidate]:
        """The candidates of a structure in falling order, with one above them where that pays."""
        own = [one for one in self.candidates if one.structure is structure]
        chain = sorted(own, key=lambda one: -one.n_components)
        largest = chain[0].n_components
        above = chain[0]._replace(n_components=min(math.ceil(HEADROOM * largest), self.n_samples))
        more = above.n_components > largest > 1 and self.budget.begins_above(chain, above)
        return [above, *chain] if more else chain

    def _affordable_races(self, begun: set[Candidate], outcomes: dict[Candidate, Outcome]) -> list[Candidate]:
        """Candidates, the best first, whose own starts can be tried; others than those that have begun from them."""
        raced, left = [], self.budget.left
        several = [one for one in self.candidates if one.n_components > 1 and one not in begun]
        for one in sorted(several, key=lambda one: self.trials.score(one, outcomes[one])):
            price = self.budget.try_start(one, sum(RUNGS))
            if price <= left:
                raced.append(one)
                left -= price
                self.budget.spent += price
        return raced

    # ---- starts

    def _find_starts(self, numbers: Sequence[int]) -> Hierarchy:
        """Grow the tree, and set where each number of components starts."""
        sample, method = self.trials.data.sample, self.method
        size = self.budget.tree_rows(max(TREE_ROWS, TREE_ROWS_PER_COMPONENT * numbers[-1]), numbers[-1])
        rows = draw_rows(sample, size, self.random_state) if sample.n_samples > size else None
        tree = grow(sample, rows, self.trials.settings.deadline)
        for k in numbers:
            self.starts[k] = partial(cut_tree, tree=tree) if method is None else self._by_method()
        self.budget.spent += self.budget.tree(len(tree.points))
        if method is None and any(candidate.structure.noisy for candidate in self.candidates):
            self._find_clean_starts(sample, numbers)
        return tree

    def _find_clean_starts(self, sample: CompleteSource, numbers: Sequence[int]) -> None:
        """Grow a tree of the rows that have near neighbors, and set where each number of components starts there."""
        clean = clean_rows(sample)
        if clean is not None:
            tree = grow(clean, None, self.trials.settings.deadline)
            self.clean_starts = {k: partial(cut_clean, clean=clean, tree=tree) for k in numbers if k <= clean.n_samples}
            self.budget.spent += self.budget.tree(len(tree.points))

    def _starts_of(self, candidate: Candidate) -> list[Begin]:
        """Where a candidate may start."""
        own = self.starts[candidate.n_components]
        clean = self.clean_starts.get(candidate.n_components) if candidate.structure.noisy else None
        return [own] if clean is None else [own, clean]

    def _more_starts(self, n_components: int, n_starts: int) -> list[Begin]:
        """Draw further starts for a number of components."""
        sample = self.trials.data.sample
        if self.method is not None:
            return [self._by_method() for _ in range(n_starts)]
        sizes = sample.n_samples, sample.n_features, n_components
        return [partial(from_clustering, draws=draw(*sizes, self.random_state)) for _ in range(n_starts)]

    def _by_method(self) -> Begin:
        """Draw a start by the method that the caller has chosen."""
        seed = int(self.random_state.choice(2**31 - 1))
        return partial(prepared, method=self.method, seed=seed)

    # ---- fits

    def _descend(
        self, chain: Sequence[Candidate], outcomes: dict[Candidate, Outcome], source: Source, sample: CompleteSource
    ) -> float:
        """Fit candidates of one structure, in falling order, from the fit before with components merged."""
        above: Parameters | None = None
        spent = 0.0
        for candidate in chain:
            outcome = outcomes[candidate]
            if above is None or candidate.n_components == 1:
                most = self.trials.settings.max_iter
                most = most if candidate in self.candidates else min(HEADROOM_PASSES, most)
                passes = self.trials.attempt(candidate, outcome, source, partial(self._own, sample), max_iter=most)
            else:
                passes = self.trials.attempt(candidate, outcome, source, partial(from_above, above=above))
            spent += self.budget.done(candidate, passes)
            above = above if outcome.fit is None else outcome.fit.parameters
        return spent

    def _own(self, sample: CompleteSource, goal: Goal) -> Parameters:
        """The parameters of a candidate's own start, found on the sample."""
        if goal.n_components > self.n_samples:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {goal.n_components}, "
                f"n_samples = {self.n_samples}."
            )
        starts = self._starts_of(Candidate(goal.structure, goal.n_components))
        if len(starts) > 1:
            return best_start(sample, goal, starts, RUNGS).reached()
        return starts[0](sample, goal=goal._replace(m_step=goal.m_step.on(sample)))

    def _race(self, candidate: Candidate, source: Source, sample: CompleteSource) -> Contender | None:
        """A candidate's own start after a few EM iterations on the sample; None where it cannot be carried out."""
        if candidate.n_components > self.n_samples or self.trials.late:
            return None
        return run(self.trials.goal(candidate, sample), sample, self._starts_of(candidate))

    def _fit(
        self,
        candidate: Candidate,
        outcome: Outcome,
        contender: Contender | None,
        source: Source,
        sample: CompleteSource,
    ) -> float:
        """Fit a candidate from its own start if that is promising."""
        passes = self.trials.attempt_promising(candidate, outcome, Data(source, sample), contender)
        self.on_fitted(candidate, outcome)
        return self.budget.done(candidate, passes)


def prepared(rows: CompleteSource, goal: Goal, method: object, seed: int) -> Parameters:
    """The start that a method finds; the seed is the same for all structures."""
    return prepare(rows, goal, method, np.random.RandomState(seed))(rows)


def from_clustering(rows: CompleteSource, goal: Goal, draws: Draws) -> Parameters:
    """Each row belongs to the nearest center of a k-means clustering."""
    return from_centers(rows, goal, kmeans(rows, draws, goal.deadline))


def cut_clean(_: CompleteSource, goal: Goal, clean: CompleteSource, tree: Hierarchy) -> Parameters:
    """Each row that is no clutter belongs to its cluster in Ward's hierarchy of these."""
    return cut_tree(clean, goal, tree)


def cut_tree(rows: CompleteSource, goal: Goal, tree: Hierarchy) -> Parameters:
    """Each row belongs to its cluster in Ward's hierarchy, or to the nearest one."""
    return from_labels(rows, goal, clusters(rows, tree, goal.n_components))
