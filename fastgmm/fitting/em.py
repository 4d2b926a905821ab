"""The EM loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..model.parameters import Parameters
from ..model.structures import Structure
from ..sources.array import ArraySource


@dataclass(frozen=True, slots=True)
class Fit:
    """Where EM ended: parameters, the mean log-likelihood before each M-step, and whether it converged."""

    parameters: Parameters
    lower_bounds: list[float]
    converged: bool


def expectation_maximization(
    source: ArraySource,
    structure: Structure,
    parameters: Parameters,
    *,
    tol: float,
    max_iter: int,
    reg_covar: float,
    previous_bound: float = -math.inf,
    on_iteration: Callable[[int, float, float], None] | None = None,
) -> Fit:
    """Alternate expectation and maximization until the mean log-likelihood changes by less than `tol`."""
    bound, bounds = previous_bound, []
    for n_iter in range(1, max_iter + 1):
        statistics = source.statistics(structure, parameters)
        parameters = structure.maximize(statistics, reg_covar)
        bound, change = statistics.mean_log_likelihood, statistics.mean_log_likelihood - bound
        bounds.append(bound)
        if on_iteration is not None:
            on_iteration(n_iter, bound, change)
        if abs(change) < tol:
            return Fit(parameters, bounds, True)
    return Fit(parameters, bounds, False)
