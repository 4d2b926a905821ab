"""The search of ``n_init='auto'`` for the best candidates, until no better one comes up among them."""

from collections.abc import Callable, Sequence
from functools import partial

from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..parallel import Job
from ..starts.kmeans import Random
from .trials import Candidate, Outcome, Trials

CANDIDATES = 6  # that are searched for at a time
WINDOW = 0.25  # in mean log-likelihood, how far behind they may be: such a gain has been seen


def search_thoroughly(
    trials: Trials,
    outcomes: dict[Candidate, Outcome],
    ranking: Callable[[], Sequence[Candidate]],
    rise: Callable[[], object],
    random_state: Random,
) -> None:
    """Search for the best candidates that have not been searched for, again and again until there are none.

    `ranking` has them in order, the best first; `rise` starts structures above from what was found.
    """
    searched = set[Candidate]()
    while not trials.late:
        best = [one for one in ranking() if outcomes[one].fit is not None][:CANDIDATES]
        least = trials.score(best[0], outcomes[best[0]])[1] if best else 0.0
        new = [one for one in best if one.n_components > 1 and one not in searched]
        new = [one for one in new if trials.score(one, outcomes[one])[1] <= least + WINDOW]
        if not new:
            break
        seeds = [int(random_state.choice(2**31 - 1)) for _ in new]
        jobs = [
            Job(trials.work(one), partial(search_for, trials, one, outcomes[one], seed))
            for one, seed in zip(new, seeds, strict=True)
        ]
        trials.together(jobs)
        searched |= set(new)
        rise()


def search_for(
    trials: Trials, candidate: Candidate, outcome: Outcome, seed: int, source: Source, sample: CompleteSource
) -> None:
    """Search for better optima of one candidate."""
    trials.search(candidate, outcome, source, seed)
