"""Penalized likelihood: the M-step that raises the posterior density of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import numpy as np

from ..model.cached import cached
from ..model.factors import IllDefinedCovariance
from ..model.parameters import Parameters
from ..model.penalty import N_SAMPLES, MixturePrior, Penalty
from ..model.statistics import Statistics
from ..model.structure import Structure
from .mstep import Rules, least_counts, regularization
from .noise import BesideNoise, Density
from .repair import RIDGE, Constraints, Degeneracy, Repair, Rows

RAISED = "variances raised by a small part of the usual ones"

PriorOf = Callable[[Rows, Structure], tuple[MixturePrior, list[Repair]]]


class Penalized(BesideNoise):
    """The M-step of a mixture with priors; the objective is the log posterior density per row.

    That is log p(rows | parameters) + log p(parameters), all constants included, divided by the number of rows. A
    prior knows how many these are: `n_samples`, of which the rows at hand may be a sample. With a proper prior the
    objective is bounded, no component collapses, and nothing has to be repaired but a prior that the rows leave
    singular, to rounding or altogether. Regularization is added to the covariances of the rows, and has no part in the
    objective.
    """

    proper = True
    rows_summed = 1.0

    def __init__(
        self,
        rows: Rows,
        structure: Structure,
        prior: MixturePrior | PriorOf,
        reg_covar: float | str = 0.0,
        constraints: Constraints | None = None,
        n_samples: float | None = None,
        noise: Density = None,
    ) -> None:
        self.rows = rows
        self.structure = structure
        self.constraints: Constraints = {}
        self.repairs: list[Repair] = []
        self.n_samples = rows.total * rows.weight_unit if n_samples is None else n_samples
        self.density = noise
        self._reg_covar, self._degeneracy = reg_covar, Degeneracy(rows, structure)
        self._penalties: dict[int, Penalty] = {}  # of each number of components
        self._known: tuple[Parameters, float] | None = None  # the last log density
        if isinstance(prior, MixturePrior):
            self.prior = prior
        else:
            self.prior, self.repairs = prior(rows, structure)

    def penalty(self, n_components: int) -> Penalty:
        """The prior of so many components."""
        if n_components not in self._penalties:
            self._penalties[n_components] = self.prior.penalty(n_components)
        return self._penalties[n_components]

    def evaluated(self, parameters: Parameters) -> Parameters:
        return parameters

    def __call__(self, statistics: Statistics, previous: Parameters | None = None, iteration: int = 0) -> Parameters:
        statistics = self.beside_noise(statistics, previous)
        arrays = statistics.counts, statistics.sums, statistics.scatters
        evaluated = previous is None or math.isfinite(statistics.log_likelihood)
        if not evaluated or not all(np.isfinite(array).all() for array in arrays):
            self._degeneracy.refuse(statistics)
        factor = self.n_samples / self.rows.total
        found = statistics if factor == 1 else statistics.scaled(factor)
        penalty = self.penalty(len(found.counts))
        try:
            return penalty.maximize(found, self.regularization)
        except IllDefinedCovariance:  # the rounding of scatters exceeds the prior
            if previous is not None:  # a start may be anywhere
                self.repairs.append(Repair(iteration, None, "singular to rounding", RAISED))
            added = max(RIDGE, math.sqrt(statistics.resolution)) * self.structure.per_feature(self._degeneracy.spread)
            return penalty.maximize(found, self.regularization + added)

    def value(self, statistics: Statistics, parameters: Parameters) -> float:
        if self._known is None or self._known[0] is not parameters:
            penalty, units = self.penalty(len(statistics.counts)), self.rows.units
            log_density = penalty.log_density(parameters, units.sizes)
            log_density -= penalty.dimension * (units.log_volume - statistics.log_volume)
            self._known = parameters, log_density
        return statistics.mean_log_likelihood + self._known[1] / self.n_samples

    def reported(self, statistics: Statistics, before: Parameters, after: Parameters) -> float:
        return self.value(statistics, before)

    def offset(self, statistics: Statistics) -> float:
        return self._offset(statistics.log_volume, len(statistics.counts))

    def _offset(self, log_volume: float, n_components: int) -> float:
        """The same for a volume of the units."""
        return log_volume * (1 + self.penalty(n_components).dimension / self.n_samples)

    def equivalent(self, parameters: Parameters, n_samples: float, resolution: float) -> Statistics:
        penalty = self.penalty(len(parameters.weights))
        return penalty.equivalent(parameters, n_samples, resolution, self.regularization)

    def arranged(self, parameters: Parameters) -> Parameters:
        return parameters

    def on(self, rows: Rows, constraints: Constraints | None = None) -> Self:
        return type(self)(
            rows, self.structure, self.prior, self._reg_covar, constraints, self.n_samples, self.known_density
        )

    def rules(self, resolution: float, n_components: int) -> Rules | None:
        if type(self) is not Penalized or self.n_samples != self.rows.total or self.structure.constraint is not None:
            return None
        penalty, units = self.penalty(n_components), self.rows.units
        numbers = penalty.numbers.copy()
        numbers[N_SAMPLES] = self.n_samples
        least, _ = least_counts(resolution, "raise")
        added = np.array(self.regularization, np.float64, ndmin=1)
        rounding = self._degeneracy.rounding(resolution)
        offset = self._offset(units.log_volume, n_components)
        return Rules(least, -1.0, added, *rounding, offset, numbers, penalty.log_det_scale(units.sizes))

    def renumber(self, order: np.ndarray) -> None:
        """Nothing here is numbered."""

    @cached
    def regularization(self) -> float | np.ndarray:
        """`reg_covar` as numbers."""
        return regularization(self._reg_covar, self._degeneracy)

    def sound(self, parameters: Parameters) -> bool:
        """A proper prior bounds the objective everywhere."""
        return True
