"""The EM loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ..model.parameters import Parameters
from ..sources.source import Source
from .acceleration import Plain, Squarem
from .convergence import INTERRUPT, MAX_ITER, RULES, TOL
from .mstep import MStep
from .repair import Repair
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Fit:
    """The end of EM: parameters, the bound reported for each iteration, the reason why it stopped, and repairs.

    `value` is the objective at the last point that was evaluated and kept, before its M-step, and `bound` the last
    bound: both in the units of the source, by whose digits fits of the same rows are compared. The bounds reported are
    in the units of the data.
    """

    parameters: Parameters
    lower_bounds: list[float]
    stop_reason: str
    repairs: list[Repair] = field(default_factory=list)
    value: float = -math.inf
    bound: float = -math.inf

    @property
    def converged(self) -> bool:
        """Whether the rule of convergence was met."""
        return self.stop_reason == TOL


def expectation_maximization(
    source: Source,
    m_step: MStep,
    parameters: Parameters,
    settings: Settings,
    *,
    previous_bound: float = -math.inf,
    on_iteration: Callable[[int, float, float], None] | None = None,
) -> Fit:
    """Alternate expectation and maximization until the rule of convergence is met, or something else ends it.

    `previous_bound` is in the units of the source, what `on_iteration` hears in those of the data.

    A pass at an extrapolated point whose objective turns out lower counts as an iteration, whose bound is that of the
    point before.
    """
    structure = m_step.structure
    rule = RULES[settings.convergence](structure, settings.tol, previous_bound)
    step = Plain() if settings.acceleration is None else Squarem(structure)
    value, bound, bounds, maximized, reason = -math.inf, previous_bound, list[float](), parameters, MAX_ITER
    try:
        for n_iter in range(1, settings.max_iter + 1):
            statistics = source.statistics(structure, m_step.evaluated(parameters))
            reached = m_step.value(statistics, parameters)
            before, converged = bound, False
            if step.jumped and not reached >= value:
                step.refuse()
                parameters = maximized
            else:
                maximized = m_step(statistics, parameters, n_iter)
                value, bound = reached, m_step.reported(statistics, parameters, maximized)
                converged = rule.met(bound, parameters, maximized, step.jumped)
                if m_step.constraints:
                    step = Plain()  # an extrapolated point could break the constraint on what has collapsed
                parameters = step.next(parameters, maximized)
            bounds.append(bound - statistics.log_volume)
            if on_iteration is not None:
                on_iteration(n_iter, bounds[-1], bound - before)
            stop = settings.stop(n_iter, bounds[-1])
            if converged or stop is not None:
                reason = TOL if converged or stop is None else stop
                break
    except KeyboardInterrupt:
        if not bounds:
            raise
        reason = INTERRUPT
    return Fit(maximized, bounds, reason, m_step.repairs, value, bound)
