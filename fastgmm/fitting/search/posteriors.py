"""Posteriors of the candidates: variational Bayes, begun where the search by likelihood has ended."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..mstep import MStep
from ..parallel import Job
from ..settings import Settings
from .trials import Candidate, Outcome, Trials


class Posteriors(NamedTuple):
    """How candidates get their posteriors: each by an M-step of its own, for priors may depend on their size."""

    settings: Settings
    m_steps: Mapping[Candidate, MStep]

    def found(self, trials: Trials, outcomes: Mapping[Candidate, Outcome]) -> list[Outcome]:
        """The outcomes of variational fits, with the errors of those for which there is nowhere to begin.

        When time is over each still has an iteration, without which it could not be compared.
        """
        own = Trials(trials.data, self.settings, trials.penalty, (), self.m_steps)
        found = {one: Outcome(error=outcomes[one].error) for one in self.m_steps}
        jobs = [Job(own.work(one), partial(begin, own, one, outcomes[one], found[one])) for one in self.m_steps]
        own.together(jobs)
        return list(found.values())


def begin(
    trials: Trials, candidate: Candidate, before: Outcome, outcome: Outcome, source: Source, _: CompleteSource
) -> None:
    """Fit a candidate from where another fit of it has ended."""
    if before.fit is not None:
        parameters = before.fit.parameters
        trials.attempt(candidate, outcome, source, lambda _: parameters)
