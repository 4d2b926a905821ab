"""The EM loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..model.parameters import Parameters
from ..sources.source import Source
from ..sources.threads import OutOfTime
from . import whole
from .acceleration import Plain, Squarem
from .convergence import CALLBACK, EVERY_RULE, INTERRUPT, MAX_ITER, MAX_TIME, TOL
from .mstep import MStep
from .pooling import steps_of
from .repair import Repair
from .settings import Settings


@dataclass(slots=True)
class Fit:
    """How far EM has come: parameters, the bound reported for each iteration, repairs, and the reason why it stopped.

    EM brings it up to date after each iteration, so that whatever cuts EM short leaves the last whole one. Until it has
    ended, `stop_reason` is the reason if it were cut short now. `value` is the objective at the last point that was
    evaluated and kept, before its M-step, and `bound` the last bound: both in the units of the source, by whose digits
    fits of the same rows are compared. The bounds reported are in the units of the data, and so is `log_likelihood`,
    the mean one at that point, by which mixtures of different sizes are compared. `m_step` is what led there.
    """

    parameters: Parameters
    lower_bounds: list[float] = field(default_factory=list)
    stop_reason: str = INTERRUPT
    repairs: list[Repair] = field(default_factory=list)
    value: float = -math.inf
    bound: float = -math.inf
    m_step: MStep | None = None
    log_likelihood: float = -math.inf

    @property
    def converged(self) -> bool:
        """Whether the rule of convergence was met."""
        return self.stop_reason == TOL

    def cut(self, stop_reason: str) -> "Fit":
        """The fit as the last whole iteration left it."""
        bounds = self.lower_bounds.copy()
        repairs = [repair for repair in self.repairs if repair.iteration <= len(bounds)]
        ends = self.value, self.bound, self.m_step, self.log_likelihood
        return Fit(self.parameters, bounds, stop_reason, repairs, *ends)

    def add(self, several: whole.Reached, on_iteration: Callable[[int, float, float], None] | None) -> None:
        """Bring it up to date by several iterations at once."""
        done, bounds = len(self.lower_bounds), several.bounds
        reported = [bound - several.offset for bound in bounds]
        self.stop_reason = INTERRUPT
        self.parameters, self.value, self.bound = several.parameters, bounds[-1], bounds[-1]
        self.log_likelihood = several.log_likelihood
        self.lower_bounds += reported
        self.stop_reason = CALLBACK  # if one of these raises
        if on_iteration is not None:
            for i, before in enumerate([several.before, *bounds[:-1]]):
                on_iteration(done + 1 + i, reported[i], bounds[i] - before)
        self.stop_reason = TOL if several.converged else MAX_ITER


def expectation_maximization(
    source: Source,
    m_step: MStep,
    parameters: Parameters,
    settings: Settings,
    *,
    previous_bound: float = -math.inf,
    on_iteration: Callable[[int, float, float], None] | None = None,
    fit: Fit | None = None,
) -> Fit:
    """Alternate expectation and maximization until the rule of convergence is met, or something else ends it.

    A pass at an extrapolated point whose objective turns out lower counts as an iteration, whose bound is that of the
    point before. A pass that is not over in time counts for nothing. `fit` is brought up to date, and gone on with
    where it has iterations; it belongs to whoever wants to know how far EM has come when an exception ends it.
    `previous_bound`, that of a fit which has not iterated, and what `on_iteration` hears are in the units of the data.
    """
    structure = m_step.structure
    parameters = structure.with_axes(parameters) if structure.bound is None else structure.nearest(parameters)
    if settings.deadline < math.inf:
        source = source.until(settings.deadline)
    source = source.remembering(structure, len(parameters.weights))
    fit = fit or Fit(parameters)
    fit.parameters = parameters
    fit.repairs, fit.m_step = m_step.repairs, m_step
    rule = EVERY_RULE[settings.convergence](structure, settings.tol, fit.bound)
    step = Plain() if settings.acceleration is None else Squarem(structure)
    steps = steps_of(source, m_step, settings, parameters)
    value, bound, maximized, log_likelihood = -math.inf, fit.bound, parameters, -math.inf
    for several in () if steps.lean else whole.iterations(source, m_step, settings, fit, previous_bound):
        fit.add(several, on_iteration)
        if several.converged:
            return fit
        parameters, bound, rule.bounds = fit.parameters, fit.bound, [fit.bound]
    for n_iter in range(len(fit.lower_bounds) + 1, settings.max_iter + 1):
        fit.stop_reason = INTERRUPT
        try:
            statistics: Any = steps.pools(parameters, last=n_iter == settings.max_iter)
            if statistics is None:
                statistics = source.statistics(structure, m_step.evaluated(parameters))
        except OutOfTime:
            fit.stop_reason = MAX_TIME
            return fit
        offset = m_step.offset(statistics)
        if not fit.lower_bounds:
            bound = previous_bound + offset
            rule.bounds = [bound]
        reached = m_step.value(statistics, parameters)
        before, converged = bound, False
        if steps.doubtful and not reached >= value:
            rule.repeated()
            parameters = maximized = steps.taken_back()
        elif step.jumped and not reached >= value:
            step.refuse()
            rule.refused(value - reached)
            parameters = maximized
        else:
            maximized = steps.maximized(parameters) or m_step(statistics, parameters, n_iter)
            log_likelihood = statistics.mean_log_likelihood - statistics.log_volume
            value, bound = reached, m_step.reported(statistics, parameters, maximized)
            converged = rule.met(bound, parameters, maximized, step.jumped)
            if converged and steps.doubtful:
                maximized = parameters  # which are no worse than those before
            if m_step.constraints:
                step = Plain()  # an extrapolated point could break the constraint on what has collapsed
            arranged = m_step.arranged(maximized)
            parameters = step.next(parameters, maximized) if arranged is maximized else step.anew(arranged)
            maximized = arranged
            if step.declined:
                rule.refused(0.0)
        reported = bound - offset
        fit.parameters, fit.value, fit.bound, fit.log_likelihood = maximized, value, bound, log_likelihood
        fit.lower_bounds.append(reported)  # at once: Python looks for Ctrl-C after calls, not between assignments
        fit.stop_reason = CALLBACK  # if one of these raises
        if on_iteration is not None:
            on_iteration(n_iter, reported, bound - before)
        stop = settings.stop(n_iter, reported)
        if converged or stop is not None:
            fit.stop_reason = TOL if converged or stop is None else stop
            return fit
    fit.stop_reason = MAX_ITER
    return fit
