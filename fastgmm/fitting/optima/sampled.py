"""A search on some of the rows, of which the best optima go on to ends on all rows, beside the fits asked for."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ...sources.array import ArraySource
from ...sources.source import Source
from ..em import Fit
from ..records import FitRecord, Searched
from ..restarts import Plan, Progress, Restarts
from ..settings import Settings
from ..starts.kmeans import draw_rows, sample_size
from ..starts.methods import Goal, fixed
from ..starts.race import RACE_ROWS, RACE_ROWS_PER_COMPONENT
from .search import Search

GO_ON = 2  # optima of the sample


def searching(
    source: Source,
    n_components: int,
    plans: Sequence[Plan],
    settings: Settings,
    seed: int,
    *,
    progress: Progress,
) -> "Search | Sampled":
    """The search for a mixture of some rows: on all of these where they are few, complete and in memory."""
    goal = Goal(plans[0].m_step.structure, n_components, plans[0].m_step, settings.deadline)
    size = sample_size(source.n_features, RACE_ROWS, RACE_ROWS_PER_COMPONENT * n_components)
    if isinstance(source, ArraySource) and source.n_samples <= size:
        return Search(source, goal, plans, settings, seed, progress=progress)
    complete = source.imputed(n_components, goal.structure)
    rows = draw_rows(complete, size, np.random.default_rng(seed)) if complete.n_samples > size else None
    search = partial(Search, goal=goal, plans=[], settings=settings, seed=seed, progress=progress)
    return Sampled(source, search(complete.take(rows)), plans, settings, progress)


class Sampled:
    """The fits asked for, and those that begin at the best optima of a sample, on all rows."""

    def __init__(
        self, source: Source, search: Search, plans: Sequence[Plan], settings: Settings, progress: Progress
    ) -> None:
        self.source, self.search, self.plans = source, search, plans
        self.settings, self.progress = settings, progress
        self.ends: Restarts | None = None

    def run(self) -> tuple[Fit, list[FitRecord]]:
        """The best fit to all rows, and a record of each."""
        search, settings = self.search, self.settings
        search.explore()
        plans = list(self.plans)
        for one in search.optima()[:GO_ON]:
            assert one.fit is not None
            m_step = settings.m_step(self.source, search.goal.structure)
            plans.append(Plan(fixed(one.fit.parameters), m_step, one.plan.kind))
        self.ends = Restarts(
            self.source,
            search.n_components,
            plans,
            settings,
            progress=self.progress,
            in_order=settings.callback is not None,
            first=len(search.restarts),
        )
        fit, records = self.ends.run()
        return fit, search.records() + records

    def cut_short(self, error: BaseException) -> tuple[Fit, list[FitRecord]] | None:
        """The best fit so far, and the records; None where there is none."""
        if self.ends is None:
            return self.search.cut_short(error)
        found = self.ends.cut_short(error)
        return None if found is None else (found[0], self.search.records() + found[1])

    @property
    def searched(self) -> Searched:
        """What the search has done."""
        return self.search.searched
