"""Around the best candidate: a search for better fits, where it decides what is selected.

The best few candidates get further starts. Then, in the best structure, a component is inserted where the mixture
explains the rows least, and the fits of that many components and of fewer, two merged at a time, are compared with
those known, for as long as this finds better ones: the split and merge of N. Ueda et al., SMEM algorithm for mixture
models, Neural Computation 12, 2000, with the number of components free. It finds small groups beside large ones. What
is best then serves as a start for the other structures. Candidates whose scores differ by less than `tol` are fitted
on, to a smaller tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ...model.cached import cached
from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..optima.merging import merged
from ..parallel import Job
from ..starts.kmeans import Random
from ..starts.methods import Goal
from ..starts.race import Contender, best_start
from .budget import FROM_ABOVE, Budget
from .insertion import Clusters, insertions
from .lattice import Begin, Lattice, lifted
from .thorough import search_thoroughly
from .trials import Candidate, Data, Outcome, Trials

RETRIED = 3  # candidates that get further starts
EXTRA_STARTS = 3  # times as many starts where the rows are so few that they are their own sample: that costs little
RUNGS = (4,)  # passes of EM on the sample before a start is judged
INSERTIONS = 4  # places for a new component, among which a race decides
ROUNDS = 3  # most rounds of insertion and merging, and of changes of the structure
MERGES_TRIED = 2  # how many fewer components than the best are tried, while each fit is better than the known one
SCORE_WINDOW = 0.1  # in mean log-likelihood, how far behind a structure may be for its best fit to be searched around
RISE, CONTEND, SWAP = 0.1, 0.25, 0.5  # parts of what is left: for structures above, further starts, inserting
CONTEND_ALL = 0.8  # for further starts of all candidates, of rows that are their own sample
FINISH = 0.1  # the part that is kept for the end
TIGHT_TOL = 1e-2  # times `tol`: the tolerance of candidates whose order `tol` leaves open


class Refinement:
    """The search, in which the outcomes of candidates become better."""

    def __init__(
        self,
        trials: Trials,
        budget: Budget,
        candidates: Sequence[Candidate],
        outcomes: dict[Candidate, Outcome],
        clusters: Callable[[], Clusters],
    ) -> None:
        self.trials, self.budget, self.candidates, self.outcomes = trials, budget, candidates, outcomes
        self._clusters = clusters

    @cached
    def clusters(self) -> Clusters:
        """Where components may be inserted."""
        return self._clusters()

    def run(self, more_starts: Callable[[int, int], list[Begin]], random_state: Random | None = None) -> None:
        """All of it; `more_starts(n_components, n_starts)` draws the further starts.

        With random numbers it goes on beyond the budget until the best candidates are found again and again.
        """
        budget, trials, work = self.budget, self.trials, self.trials.work
        reserve = FINISH * budget.left
        budget.spent += self._rise(RISE * budget.left)
        budget.spent += self._contend(more_starts, (CONTEND_ALL if self.trials.whole else CONTEND) * budget.left)
        searched: dict[Structure, tuple[bool, float]] = {}  # structures, and the score of what was found
        purse = SWAP * budget.left
        for _ in range(ROUNDS):
            fresh = [one for one in self._rivals() if self._score(one) != searched.get(one.structure)]
            if not fresh or purse <= 0 or self.trials.late:
                break
            jobs = [Job(work(one), partial(self._swap_all, one.structure, purse / len(fresh))) for one in fresh]
            spent = sum(self.trials.together(jobs))
            searched |= {one.structure: self._score(self._best(one.structure)) for one in fresh}
            spent += self._convey(self._best(), purse - spent)
            budget.spent, purse = budget.spent + spent, purse - spent
        budget.spent += self._rise(0.0)
        if random_state is not None:
            search_thoroughly(trials, self.outcomes, self._ranking, partial(self._rise, 0.0), random_state)
        self._finish(max(budget.left, reserve))

    def _ranking(self) -> list[Candidate]:
        """The candidates, the best first."""
        return sorted(self.candidates, key=self._score)

    def _score(self, candidate: Candidate) -> tuple[bool, float]:
        return self.trials.score(candidate, self.outcomes[candidate])

    def _best(self, structure: Structure | None = None) -> Candidate:
        """The best candidate, of all or of one structure."""
        return min((one for one in self.candidates if structure in (None, one.structure)), key=self._score)

    def _rivals(self) -> list[Candidate]:
        """The best candidate of each structure that is not far behind."""
        doubtful, least = self._score(self._best())
        best = [self._best(structure) for structure in dict.fromkeys(one.structure for one in self.candidates)]
        return [one for one in best if self._score(one) <= (doubtful, least + SCORE_WINDOW)]

    # ---- structures above each other

    def _rise(self, purse: float) -> float:
        """Start candidates from the ends of structures within theirs; returns what that cost."""

        def price(one: Candidate) -> float:
            return self.budget.try_start(one, sum(RUNGS)) + FROM_ABOVE * self.budget.fit(one)

        return Lattice(self.trials, self.candidates, self.outcomes).rise(self._fit_all, self._try_all, price, purse)

    def _fit_all(self, candidate: Candidate, starts: Sequence[Begin], source: Source, sample: CompleteSource) -> float:
        """Fit a candidate from each of its starts."""
        passes = 0
        for start in starts:
            passes += self.trials.attempt(candidate, self.outcomes[candidate], source, partial(start, sample))
        return self.budget.done(candidate, passes)

    # ---- further starts

    def _contend(self, more_starts: Callable[[int, int], list[Begin]], purse: float) -> float:
        """Give candidates more starts, as far as the purse reaches; returns what that cost.

        The best ones get several, in turn; before that all get one where the rows are their own sample.
        """
        trials, budget = self.trials, self.budget
        n_starts = (trials.settings.n_init - 1) * (EXTRA_STARTS if trials.whole else 1)
        several = [one for one in self.candidates if 1 < one.n_components <= trials.data.sample.n_samples]
        several.sort(key=self._score)
        counts: dict[Candidate, int] = {}
        for one in several[: None if trials.whole and n_starts else 0] + several[:RETRIED] * n_starts:
            passes = 0 if trials.whole else sum(RUNGS)  # of a fit, where the rows are their own sample
            price = budget.try_start(one, passes) + budget.fit(one)
            if price <= purse:
                counts[one], purse = counts.get(one, 0) + 1, purse - price
        jobs = []
        for one, count in counts.items():
            starts = more_starts(one.n_components, count)
            jobs.append(Job(trials.work(one), partial(self._try_all, one, starts)))
        return sum(trials.together(jobs))

    def _try_all(self, candidate: Candidate, starts: Sequence[Begin], source: Source, sample: CompleteSource) -> float:
        """Fit a candidate from each of its starts that is promising, or from all where that costs little."""
        outcome, passes = self.outcomes[candidate], 0
        for start in starts:
            if self.trials.late:
                break
            contender = run(self.trials.goal(candidate, sample), sample, [start])
            if not self.trials.whole:
                passes += self.trials.attempt_promising(candidate, outcome, Data(source, sample), contender)
            elif contender is not None:
                passes += self.trials.attempt(candidate, outcome, source, partial(reached, contender=contender))
        return len(starts) * self.budget.try_start(candidate, sum(RUNGS)) + self.budget.done(candidate, passes)

    # ---- insertion and merging

    def _swap_all(self, structure: Structure, purse: float, source: Source, sample: CompleteSource) -> float:
        """Insert and merge in the best fit of a structure, for as long as its best becomes better."""
        spent = 0.0
        for _ in range(ROUNDS):
            best = self._best(structure)
            _, before = self._score(best)
            if self.trials.late or self.outcomes[best].fit is None or best.n_components >= source.n_samples:
                break
            spent += self._swap(best, purse - spent, source, sample)
            _, after = self._score(self._best(structure))
            if not after < before - self.trials.penalty:
                break
        return spent

    def _swap(self, best: Candidate, purse: float, source: Source, sample: CompleteSource) -> float:
        """Insert a component, then merge two again and again, as far as the purse reaches; returns what that cost."""
        budget = self.budget
        above = best._replace(n_components=best.n_components + 1)
        below = [one for one in self.candidates if one.structure is best.structure and one.n_components > 1]
        below = [one for one in below if best.n_components - MERGES_TRIED <= one.n_components <= best.n_components]
        if not (below or above in self.outcomes):
            return 0.0
        start, race = partial(self._inserted, sample, best), INSERTIONS * sum(RUNGS)
        spent, price = 0.0, budget.try_start(above, race) + budget.fit(above)
        for one in [above, *sorted(below, key=lambda one: -one.n_components)]:
            if price > purse - spent:
                break
            found = Outcome()
            passes = self.trials.attempt(one, found, source, start)
            spent += budget.done(one, passes) + (one is above) * budget.try_start(one, race)
            better = self.trials.score(one, found) < self.trials.score(one, self.outcomes.get(one, Outcome()))
            if one in self.outcomes:
                self.outcomes[one].keep_all(found)
            if found.fit is None or not (better or one is above):
                break
            start, price = partial(from_above, above=found.fit.parameters), FROM_ABOVE * budget.fit(best)
        return spent

    def _inserted(self, sample: CompleteSource, best: Candidate, goal: Goal) -> Parameters:
        """The best fit with one more component, where a short race on the sample finds that best."""
        fit = self.outcomes[best].fit
        assert fit is not None
        places = insertions(goal.structure, fit.parameters, self.clusters, INSERTIONS)
        starts = [partial(from_parameters, parameters=place) for place in places]
        return best_start(sample, goal, starts, RUNGS).reached()

    # ---- the other structures, and the end

    def _convey(self, best: Candidate, purse: float) -> float:
        """Start the other structures from the best fit, with as many components; returns what that cost."""
        others = [one for one in self.candidates if one.n_components == best.n_components > 1]
        fit = self.outcomes[best].fit
        if fit is None:
            return 0.0
        jobs = []
        for other in others:
            price = self.budget.try_start(other, sum(RUNGS)) + FROM_ABOVE * self.budget.fit(other)
            if other.structure is not best.structure and price <= purse:
                purse -= price
                start = partial(lifted, structure=best.structure, parameters=fit.parameters)
                jobs.append(Job(self.trials.work(other), partial(self._try_all, other, [start])))
        return sum(self.trials.together(jobs))

    def _finish(self, purse: float) -> None:
        """Fit on those whose scores are as near to the best as `tol` leaves them uncertain."""
        tol = self.trials.settings.tol
        doubtful, least = self._score(self._best())
        near = []
        for one in self.candidates:
            worse, score = self._score(one)
            fit = self.outcomes[one].fit
            if worse == doubtful and score < least + tol and fit is not None and fit.converged:
                near.append(one)
        self.trials.together([Job(self.trials.work(one), partial(self._go_on, one, purse / len(near))) for one in near])

    def _go_on(self, candidate: Candidate, purse: float, source: Source, sample: CompleteSource) -> None:
        settings = self.trials.settings
        passes = min(settings.max_iter, int(purse / self.budget.one_pass(candidate)))
        if passes > 0:
            tol = TIGHT_TOL * settings.tol
            self.trials.go_on(candidate, self.outcomes[candidate], source, tol=tol, max_iter=passes)


def run(goal: Goal, sample: CompleteSource, starts: Sequence[Begin]) -> Contender | None:
    """The start with the highest bound after a few EM iterations on the sample; None if none can be carried out."""
    try:
        contender = best_start(sample, goal, starts, RUNGS)
    except ValueError:
        return None
    return None if contender.parameters is None else contender


def reached(goal: Goal, contender: Contender) -> Parameters:
    """The parameters that a contender has reached on the sample."""
    return contender.reached()


def from_above(goal: Goal, above: Parameters) -> Parameters:
    """Start from a fit of more components, merged in pairs down to the number of the goal."""
    return merged(goal.structure, above, goal.n_components)


def from_parameters(rows: CompleteSource, goal: Goal, parameters: Parameters) -> Parameters:
    """A start from parameters that are known."""
    return parameters
