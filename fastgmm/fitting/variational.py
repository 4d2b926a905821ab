"""Variational Bayes: the M-step that raises the evidence lower bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np

from ..model.cached import cached
from ..model.parameters import Parameters
from ..model.posterior import Posterior, VariationalPrior
from ..model.priors import Sticks
from ..model.statistics import Statistics
from ..model.structure import LOG_2_PI, Structure
from .mstep import Rules, least_counts, regularization
from .repair import Constraints, Degeneracy, Repair, Rows

LEAST_GAIN = 1e-6  # nats for which sticks are put into another order
LEAST_COUNT = 0.01  # rows with fewer of which a component is left out, if that is asked for

PriorOf = Callable[[Rows, Structure], tuple[VariationalPrior, list[Repair]]]


class Moves(NamedTuple):
    """What is done beside M-steps: each raises the bound, but for pruning, by which it may fall by `LEAST_COUNT`."""

    sort: bool = False
    prune: bool = False
    fit_prior: bool = False


class Variational:
    """The M-step of a variational mixture; the objective is the evidence lower bound of all rows together.

    The E-step is that of a mixture with other logarithms of weights. Unlike likelihood, the bound knows how many rows
    there are: `n_samples` of them, whatever the statistics that come, of which a sample of the rows may have left some.
    With a proper prior no component collapses, and nothing has to be repaired but a prior that is itself singular.
    """

    proper = True

    def __init__(
        self,
        rows: Rows,
        structure: Structure,
        prior: VariationalPrior | PriorOf,
        reg_covar: float | str = 0.0,
        constraints: Constraints | None = None,
        n_samples: float | None = None,
        moves: Moves | None = None,
    ) -> None:
        self.rows = rows
        self.structure = structure
        self.constraints: Constraints = {}
        self.repairs: list[Repair] = []
        self._reg_covar, self._moves = reg_covar, moves or Moves()
        self.n_samples = rows.total * rows.weight_unit if n_samples is None else n_samples
        self._known: tuple[Posterior, ...] = ()
        self._read: tuple[Parameters | None, Parameters | None] = None, None  # the last parameters that a pass has read
        self._n_informative = self.n_samples  # rows with some value: all, until statistics tell
        if isinstance(prior, VariationalPrior):
            self.prior = prior
        else:
            self.prior, self.repairs = prior(rows, structure)

    @property
    def rows_summed(self) -> float:
        return self.n_samples

    def posterior(self, parameters: Parameters) -> Posterior:
        """The posterior that parameters stand for, its bounds in the units of the rows; the last ones are kept."""
        for known in self._known:
            if known.parameters is parameters and known.prior is self.prior:
                return known
        found = Posterior(self.prior, parameters, self._n_informative, self.rows.units.sizes)
        self._known = (found, *self._known[:1])
        return found

    def evaluated(self, parameters: Parameters) -> Parameters:
        found = self.posterior(parameters).evaluated
        self._read = parameters, found
        return found

    def __call__(self, statistics: Statistics, previous: Parameters | None = None, iteration: int = 0) -> Parameters:
        if previous is not None and not math.isfinite(statistics.log_likelihood):
            Degeneracy(self.rows, self.structure).refuse(statistics)
        found = self._of_all(statistics)
        parameters = self.prior.maximize(found, self.regularization)
        return self._with_fitted_prior(found, parameters) if self._moves.fit_prior else parameters

    def _with_fitted_prior(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The M-step under the prior that is best for the posterior of the present one, if that raises the bound."""
        before, present = self.posterior(parameters), self.prior
        self.prior = before.fitted_prior()
        found = self.prior.maximize(statistics, self.regularization)
        if self.posterior(found).evidence_lower_bound(0.0) >= before.evidence_lower_bound(0.0):
            return found
        self.prior = present
        return parameters

    def value(self, statistics: Statistics, parameters: Parameters) -> float:
        """The bound at any posterior: the log-likelihood of the pass less the divergence from the prior."""
        log_likelihood = self._of_all(statistics).log_likelihood
        return log_likelihood - self.posterior(parameters).divergence()

    def reported(self, statistics: Statistics, before: Parameters, after: Parameters) -> float:
        """The bound after the M-step, at the responsibilities from before it."""
        found, (read, evaluated) = self._of_all(statistics), self._read
        if read is not before or evaluated is None:  # else it is what the pass has read, under the prior of that time
            evaluated = self.posterior(before).evaluated
        return self.posterior(after).bound_after(found, evaluated)

    def offset(self, statistics: Statistics) -> float:
        """By how much the bound in units of the rows exceeds scikit-learn's `lower_bound_`."""
        self._of_all(statistics)
        return self._n_informative * statistics.log_volume + self.dropped

    @property
    def dropped(self) -> float:
        """What the evidence lower bound has beyond scikit-learn's `lower_bound_`, in the units of the data.

        Nothing where scikit-learn has no such posterior or prior.
        """
        if self.prior.exact or self.prior.fitted or self._moves.fit_prior:
            return 0.0
        return self.prior.constant - 0.5 * self._n_informative * self.prior.n_features * LOG_2_PI

    def equivalent(self, parameters: Parameters, n_samples: float, resolution: float) -> Statistics:
        return self.prior.equivalent(parameters, n_samples, resolution, self.regularization)

    def arranged(self, parameters: Parameters) -> Parameters:
        """Sticks in decreasing order, which raises the bound, and no components of hardly a row."""
        counts = self.n_samples * parameters.weights
        order = np.arange(len(counts))
        if self._moves.prune:
            kept = counts >= min(LEAST_COUNT, counts.max())
            order = order[kept]
        if self._moves.sort and isinstance(self.prior.weights, Sticks):
            decreasing = order[np.argsort(-counts[order], kind="stable")]
            evidence = self.prior.weights.log_evidence
            if evidence(counts[decreasing]) > evidence(counts[order]) + LEAST_GAIN:
                order = decreasing
        if np.array_equal(order, np.arange(len(counts))):
            return parameters
        found = self.structure.reorder(parameters, order)
        return replace(found, weights=found.weights / found.weights.sum())

    def on(self, rows: Rows, constraints: Constraints | None = None) -> Self:
        how = self._reg_covar, constraints, self.n_samples, self._moves
        return type(self)(rows, self.structure, self.prior, *how)

    def rules(self, resolution: float, n_components: int) -> Rules | None:
        usual = type(self) is Variational and self._moves == Moves() and n_components == self.prior.n_components
        if not usual or self.n_samples != self.rows.total or self._n_informative != self.n_samples:
            return None
        units, added = self.rows.units, np.array(self.regularization, np.float64, ndmin=1)
        least, _ = least_counts(resolution, "raise")
        rounding = Degeneracy(self.rows, self.structure).rounding(resolution)
        offset = self._n_informative * units.log_volume + self.dropped
        numbers = self.prior.numbers(self.n_samples, units.sizes)
        return Rules(least, -1.0, added, *rounding, offset, variational=numbers)

    def started(self, parameters: Parameters) -> Parameters:
        return parameters

    def renumber(self, order: np.ndarray) -> None:
        """Nothing here is numbered."""

    @cached
    def regularization(self) -> float | np.ndarray:
        """`reg_covar` as numbers."""
        return regularization(self._reg_covar, Degeneracy(self.rows, self.structure))

    def sound(self, parameters: Parameters) -> bool:
        """A proper prior bounds the objective everywhere."""
        return True

    def _of_all(self, statistics: Statistics) -> Statistics:
        """Statistics of some rows as those of all; rows without any value are none."""
        factor = self.n_samples / statistics.n_samples
        found = statistics if factor == 1 else statistics.scaled(factor)
        informative = float(found.counts.sum())
        if abs(informative - self._n_informative) > 1e3 * found.resolution * informative:  # more than rounding
            self._n_informative = informative
        return found
