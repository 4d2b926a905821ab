"""The EM loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ..model.parameters import Parameters
from ..model.structure import Structure
from ..sources.source import Source
from .acceleration import Plain, Squarem
from .convergence import INTERRUPT, MAX_ITER, RULES, TOL, Options
from .mstep import Maximization, Repair

PLAIN = Options()


@dataclass(frozen=True, slots=True)
class Fit:
    """Where EM ended: parameters, the mean log-likelihood before each M-step, why it stopped, what was repaired."""

    parameters: Parameters
    lower_bounds: list[float]
    stop_reason: str
    repairs: list[Repair] = field(default_factory=list)

    @property
    def converged(self) -> bool:
        """Whether the rule of convergence was met."""
        return self.stop_reason == TOL


def expectation_maximization(
    source: Source,
    structure: Structure,
    parameters: Parameters,
    *,
    tol: float,
    max_iter: int,
    reg_covar: float | str = 0.0,
    maximize: Maximization | None = None,
    options: Options = PLAIN,
    previous_bound: float = -math.inf,
    on_iteration: Callable[[int, float, float], None] | None = None,
) -> Fit:
    """Alternate expectation and maximization until the rule of convergence is met, or something else ends it.

    `maximize` is the M-step, by default that of `structure` with `reg_covar`. A pass at an extrapolated point that
    turns out worse counts as an iteration, whose bound is that of the point before.
    """
    maximize = maximize or Maximization(source, structure, reg_covar)
    rule = RULES[options.convergence](structure, tol, previous_bound)
    step = Plain() if options.acceleration is None else Squarem(structure)
    bound, bounds, fitted, reason = previous_bound, [], parameters, MAX_ITER
    try:
        for n_iter in range(1, max_iter + 1):
            statistics = source.statistics(structure, parameters)
            before, converged = bound, False
            if step.jumped and not statistics.mean_log_likelihood >= bound:
                step.refuse()
                parameters = fitted
            else:
                fitted = maximize(statistics, parameters, n_iter)
                bound = statistics.mean_log_likelihood
                converged = rule.met(bound, parameters, fitted, step.jumped)
                if maximize.scales:
                    step = Plain()  # an extrapolated point could break the constraint on what has collapsed
                parameters = step.next(parameters, fitted)
            bounds.append(bound)
            if on_iteration is not None:
                on_iteration(n_iter, bound, bound - before)
            stop = options.stop(n_iter, bound)
            if converged or stop is not None:
                reason = TOL if converged or stop is None else stop
                break
    except KeyboardInterrupt:
        if not bounds:
            raise
        reason = INTERRUPT
    return Fit(fitted, bounds, reason, maximize.repairs)
