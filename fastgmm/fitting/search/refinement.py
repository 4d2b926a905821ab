"""Around the best candidate: a search for better fits, where it decides what is selected.

The best few candidates get further starts. Then, in the best structure, a component is inserted where the mixture
explains the rows least, and the fits of that many components and of fewer, two merged at a time, are compared with
those known, for as long as this finds better ones: the split and merge of N. Ueda et al., SMEM algorithm for mixture
models, Neural Computation 12, 2000, with the number of components free. It finds small groups beside large ones. What
is best then serves as a start for the other structures. Candidates whose scores differ by less than `tol` are fitted
on, to a smaller tolerance.
"""

from collections.abc import Callable, Sequence
from functools import partial

from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..parallel import Job
from ..starts.methods import Goal
from ..starts.race import Contender, best_start
from .insertion import Clusters, insertions, recast
from .merging import merged
from .trials import Candidate, Data, Outcome, Trials

RETRIED = 3  # candidates that get further starts
EXTRA_STARTS = 3  # times as many starts where the rows are so few that they are their own sample: that costs little
RUNGS = (4,)  # passes of EM on the sample before a start is judged
INSERTIONS = 4  # places for a new component, among which a race decides
ROUNDS = 3  # most rounds of insertion and merging, and of changes of the structure
MERGES_TRIED = 2  # how many fewer components than the best are tried, while each fit is better than the known one
SCORE_WINDOW = 0.1  # in mean log-likelihood, how far behind a structure may be for its best fit to be searched around
TIGHT_TOL = 1e-2  # times `tol`: the tolerance of candidates whose order `tol` leaves open

Begin = Callable[..., Parameters]  # (rows, goal=)


class Refinement:
    """The search, in which the outcomes of candidates become better."""

    def __init__(
        self, trials: Trials, candidates: Sequence[Candidate], outcomes: dict[Candidate, Outcome], clusters: Clusters
    ) -> None:
        self.trials, self.candidates, self.outcomes, self.clusters = trials, candidates, outcomes, clusters

    def run(self, more_starts: Callable[[int, int], list[Begin]]) -> None:
        """All of it; `more_starts(n_components, n_starts)` draws the further starts."""
        self._contend(more_starts)
        searched: dict[Structure, tuple[bool, float]] = {}  # structures, and the score of what was found
        for _ in range(ROUNDS):
            fresh = [one for one in self._rivals() if self._score(one) != searched.get(one.structure)]
            if not fresh:
                break
            work = self.trials.work
            self.trials.together([Job(work(one), partial(self._swap_all, one.structure)) for one in fresh])
            searched |= {one.structure: self._score(self._best(one.structure)) for one in fresh}
            self._convey(self._best())
        self._finish()

    def _score(self, candidate: Candidate) -> tuple[bool, float]:
        return self.trials.score(candidate, self.outcomes[candidate])

    def _best(self, structure: Structure | None = None) -> Candidate:
        """The best candidate, of all or of one structure."""
        return min((one for one in self.candidates if structure in (None, one.structure)), key=self._score)

    def _rivals(self) -> list[Candidate]:
        """The best candidate of each structure that is not far behind."""
        degenerate, least = self._score(self._best())
        best = [self._best(structure) for structure in dict.fromkeys(one.structure for one in self.candidates)]
        return [one for one in best if self._score(one) <= (degenerate, least + SCORE_WINDOW)]

    # ---- further starts

    def _contend(self, more_starts: Callable[[int, int], list[Begin]]) -> None:
        """Give the best candidates more starts."""
        trials = self.trials
        n_starts = (trials.settings.n_init - 1) * (EXTRA_STARTS if trials.whole else 1)
        several = [one for one in self.candidates if 1 < one.n_components <= trials.data.sample.n_samples]
        jobs = []
        for one in sorted(several, key=self._score)[:RETRIED]:
            starts = more_starts(one.n_components, n_starts)
            jobs.append(Job(trials.work(one), partial(self._try_all, one, starts)))
        trials.together(jobs)

    def _try_all(self, candidate: Candidate, starts: Sequence[Begin], source: Source, sample: CompleteSource) -> None:
        """Fit a candidate from each of its starts that is promising, or from all where that costs little."""
        outcome = self.outcomes[candidate]
        for start in starts:
            contender = run(self.trials.goal(candidate, sample), sample, [start])
            if not self.trials.whole:
                self.trials.attempt_promising(candidate, outcome, Data(source, sample), contender)
            elif contender is not None:
                self.trials.attempt(candidate, outcome, source, partial(reached, contender=contender))

    # ---- insertion and merging

    def _swap_all(self, structure: Structure, source: Source, sample: CompleteSource) -> None:
        """Insert and merge in the best fit of a structure, for as long as its best becomes better."""
        for _ in range(ROUNDS):
            best = self._best(structure)
            _, before = self._score(best)
            if self.outcomes[best].fit is None or best.n_components >= source.n_samples:
                return
            self._swap(best, source, sample)
            _, after = self._score(self._best(structure))
            if not after < before - self.trials.penalty:
                return

    def _swap(self, best: Candidate, source: Source, sample: CompleteSource) -> None:
        """Insert a component, then merge two again and again."""
        below = [one for one in self.candidates if one.structure is best.structure and one.n_components > 1]
        below = [one for one in below if best.n_components - MERGES_TRIED <= one.n_components <= best.n_components]
        above = best._replace(n_components=best.n_components + 1)
        start = partial(self._inserted, sample, best)
        for one in [above, *sorted(below, key=lambda one: -one.n_components)]:
            found = Outcome()
            self.trials.attempt(one, found, source, start)
            better = self.trials.score(one, found) < self.trials.score(one, self.outcomes.get(one, Outcome()))
            if one in self.outcomes:
                self.outcomes[one].keep_all(found)
            if found.fit is None or not (better or one is above):
                return
            start = partial(from_above, above=found.fit.parameters)

    def _inserted(self, sample: CompleteSource, best: Candidate, goal: Goal) -> Parameters:
        """The best fit with one more component, where a short race on the sample finds that best."""
        fit = self.outcomes[best].fit
        assert fit is not None
        places = insertions(goal.structure, fit.parameters, self.clusters, INSERTIONS)
        starts = [partial(from_parameters, parameters=place) for place in places]
        return best_start(sample, goal, starts, RUNGS).reached()

    # ---- the other structures, and the end

    def _convey(self, best: Candidate) -> None:
        """Start the other structures from the best fit, with as many components."""
        others = [one for one in self.candidates if one.n_components == best.n_components > 1]
        fit = self.outcomes[best].fit
        if fit is None:
            return
        jobs = []
        for other in others:
            if other.structure is not best.structure:
                start = partial(from_parameters, parameters=recast(best.structure, fit.parameters, other.structure))
                jobs.append(Job(self.trials.work(other), partial(self._try_all, other, [start])))
        self.trials.together(jobs)

    def _finish(self) -> None:
        """Fit on those whose scores are as near to the best as `tol` leaves them uncertain."""
        tol = self.trials.settings.tol
        degenerate, least = self._score(self._best())
        jobs = []
        for one in self.candidates:
            worse, score = self._score(one)
            fit = self.outcomes[one].fit
            if worse == degenerate and score < least + tol and fit is not None and fit.converged:
                jobs.append(Job(self.trials.work(one), partial(self._go_on, one)))
        self.trials.together(jobs)

    def _go_on(self, candidate: Candidate, source: Source, sample: CompleteSource) -> None:
        self.trials.go_on(candidate, self.outcomes[candidate], source, TIGHT_TOL * self.trials.settings.tol)


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
