"""What a search may cost: no more than fits of its candidates one by one, from as many starts each.

Work is counted in multiply-adds and not in seconds, so that results depend neither on the machine nor on threads.
"""

from collections.abc import Mapping, Sequence

from ...model.structure import Structure
from .trials import Candidate, Outcome, Trials

PASS_WORK = 1 << 20  # multiply-adds in whose time a pass is prepared, however few its rows are
FIT_WORK = 2 * PASS_WORK  # the same for a fit, beyond its passes
SEARCH_WORK = 8 * PASS_WORK  # and for the search as a whole
START_PASSES = 4  # what finding clusters to start from costs, in passes
TYPICAL_PASSES = 6  # of a fit from such clusters, until some have been done
FROM_ABOVE = 0.5  # passes of a fit that starts from one of more components, relative to a fit from clusters
TREE = 0.125  # part of it for Ward's tree
TREE_ROWS_PER_CLUSTER = 4  # at least
PAIR_WORK = 16  # multiply-adds of a step of the tree, beyond one for each feature; there are two for each pair of rows


class Budget:
    """What the single fits would cost, and what has been spent of that."""

    def __init__(self, trials: Trials, candidates: Sequence[Candidate]) -> None:
        self.trials, self.candidates = trials, candidates
        self.passes: dict[Structure, float] = {}  # of fits from clusters
        self.spent = float(SEARCH_WORK)

    def learn(self, chains: Sequence[Sequence[Candidate]], outcomes: Mapping[Candidate, Outcome]) -> None:
        """Guess how many passes fits from clusters need: as many as the first of each structure, which was one.

        If that was cut short, at least as many as follows from those that began above.
        """
        for first, *others in chains:
            passes = [record.n_iter for one in others for record in outcomes[one].records[:1] if one.n_components > 1]
            for record in outcomes[first].records[:1]:
                beyond = 0.0 if record.converged or not passes else sum(passes) / len(passes) / FROM_ABOVE
                self.passes[first.structure] = max(1.0, record.n_iter, beyond)

    def one_pass(self, candidate: Candidate, *, on_sample: bool = False) -> float:
        """Work of a pass over all rows, or over the sample."""
        source = self.trials.data.sample if on_sample else self.trials.data.source
        return source.work(*candidate) + PASS_WORK

    def passes_of_fit(self, candidate: Candidate) -> float:
        """Number of passes of a fit from clusters."""
        return 2 if candidate.n_components == 1 else self.passes.get(candidate.structure, TYPICAL_PASSES)

    def fit(self, candidate: Candidate) -> float:
        """Work of a fit from clusters that are known."""
        return self.done(candidate, self.passes_of_fit(candidate))

    def done(self, candidate: Candidate, passes: float) -> float:
        """Work of a fit of so many passes."""
        return FIT_WORK * (passes > 0) + self.one_pass(candidate) * passes

    def try_start(self, candidate: Candidate, n_passes: int) -> float:
        """Work of a start and of some passes on the sample."""
        return FIT_WORK + (START_PASSES + n_passes) * self.one_pass(candidate, on_sample=True)

    def single_fits(self) -> float:
        """Work of fits of all candidates one by one, with their starts."""
        once = sum(self.fit(one) + START_PASSES * self.one_pass(one) for one in self.candidates)
        return self.trials.settings.n_init * once

    @property
    def left(self) -> float:
        """What may still be spent."""
        return self.single_fits() - self.spent

    def begins_above(self, chain: Sequence[Candidate], above: Candidate) -> bool:
        """Whether a fit of more components than asked for can be paid by the fits below that start from it."""
        fits = sum(map(self.fit, chain))
        return self.fit(above) + self.merging(above) + FROM_ABOVE * fits <= self.trials.settings.n_init * fits

    def merging(self, candidate: Candidate) -> float:
        """Work of looking at all pairs of components that may be merged, of which the covariances are factorized."""
        n_features = self.trials.data.sample.n_features
        cost = 3 * n_features ** (3 if candidate.structure.triangular else 1)
        return cost * candidate.n_components**2 / 2

    def tree_rows(self, most: int, n_clusters: int) -> int:
        """Number of rows in Ward's tree, whose steps grow with their square."""
        n_rows = int((TREE * self.single_fits() / self.tree(1)) ** 0.5)
        return max(TREE_ROWS_PER_CLUSTER * n_clusters, min(most, n_rows))

    def tree(self, n_rows: int) -> float:
        """Work of Ward's tree."""
        return 2.0 * n_rows**2 * (self.trials.data.sample.n_features + PAIR_WORK)
