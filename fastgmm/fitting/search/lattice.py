"""Upwards: the end of a fit is a start for the structures of which its own is a special case.

It is as likely there, and EM only raises that: a structure ends no lower than those within it, as the best optima do,
and good optima are handed on.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..parallel import Job
from ..starts.methods import Goal
from .insertion import recast
from .trials import Candidate, Outcome, Trials

Begin = Callable[..., Parameters]  # (rows, goal=)
Try = Callable[[Candidate, Sequence[Begin], Source, CompleteSource], float]  # returns what it costs


class Lattice:
    """Candidates of the same number of components, one above the other."""

    def __init__(self, trials: Trials, candidates: Sequence[Candidate], outcomes: Mapping[Candidate, Outcome]) -> None:
        self.trials, self.candidates, self.outcomes = trials, candidates, outcomes
        structures = list(dict.fromkeys(candidate.structure for candidate in candidates))
        below = {one: [other for other in structures if other.within(one)] for one in structures}
        self.direct = {
            one: [other for other in own if not any(other in below[between] for between in own)]
            for one, own in below.items()
        }
        self.ranks: dict[Structure, int] = {}
        for one in sorted(structures, key=lambda one: len(below[one])):  # those within another have fewer below them
            self.ranks[one] = max((self.ranks[other] + 1 for other in below[one]), default=0)

    def rise(self, fit: Try, attempt: Try, price: Callable[[Candidate], float], purse: float) -> float:
        """Start candidates from the ends below them, the lowest first; returns what that cost.

        Those that are better than a candidate's own are fitted, others attempted as far as the purse reaches.
        """
        spent = 0.0
        for rank in range(1, max(self.ranks.values()) + 1):
            jobs = []
            for one in self.candidates:
                if self.ranks[one.structure] == rank and one.n_components > 1:
                    better, others = self._ends(one)
                    if len(others) * price(one) > purse:
                        others = []
                    purse -= len(others) * price(one)
                    if better or others:
                        job = partial(climb, one, ((fit, better), (attempt, others)))
                        jobs.append(Job(self.trials.work(one), job))
            spent += sum(self.trials.together(jobs))
        return spent

    def _ends(self, candidate: Candidate) -> tuple[list[Begin], list[Begin]]:
        """Starts from sound ends below that are better than the candidate's own, and from others."""
        better, others = list[Begin](), list[Begin]()
        own = self.outcomes[candidate]
        for structure in self.direct[candidate.structure]:
            found = self.outcomes[candidate._replace(structure=structure)]
            if found.fit is None or not found.sound:
                continue
            missing = own.fit is None or not own.sound or own.fit.log_likelihood < found.fit.log_likelihood
            start = partial(lifted, structure=structure, parameters=found.fit.parameters)
            (better if missing else others).append(start)
        return better, others


def climb(
    candidate: Candidate, tries: Sequence[tuple[Try, Sequence[Begin]]], source: Source, sample: CompleteSource
) -> float:
    """Try several kinds of starts of a candidate; returns what that costs."""
    return sum(function(candidate, starts, source, sample) for function, starts in tries if starts)


def lifted(rows: CompleteSource, goal: Goal, structure: Structure, parameters: Parameters) -> Parameters:
    """A start from parameters of another structure."""
    return goal.m_step.started(recast(structure, parameters, goal.structure))
