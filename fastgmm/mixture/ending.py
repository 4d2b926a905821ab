"""The end of a fit: it is taken over whatever signal comes, and warned of where it is not what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..exceptions import ConvergenceWarning, DegenerateComponentWarning, compatible, warn
from ..fitting.convergence import CALLBACK, MAX_ITER, MAX_TIME
from ..fitting.em import Fit
from ..fitting.repair import Repair

__all__ = ["to_the_end", "warn_of_end", "warn_of_repairs"]

ATTEMPTS = 3  # at taking over a fit while Ctrl-C is pressed again and again

# The warning for each reason why a fit ended before it converged; the first in scikit-learn's words.
NOT_CONVERGED = {
    MAX_ITER: "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
    "tol, or check for degenerate data.",
    MAX_TIME: "The fit stopped at max_time = {max_time} s before it converged, with the best parameters so far. Allow "
    "more time, increase tol, or try acceleration='squarem'.",
    CALLBACK: "The callback stopped the fit before it converged; the best parameters so far are kept.",
}

R = TypeVar("R")


def to_the_end(work: Callable[[], R]) -> R:
    """Return the result of some short work; Ctrl-C has it begun again, and is raised once it is done."""
    pressed: BaseException | None = None
    for _ in range(ATTEMPTS):
        try:
            result = work()
        except Exception:
            raise
        except BaseException as error:
            pressed = error
        else:
            if pressed is None:
                return result
            break
    assert pressed is not None
    raise pressed


def warn_of_end(fit: Fit, max_time: float | None) -> None:
    """Issue the warning that a fit has not converged, and why, if so."""
    if not fit.converged:
        warn(NOT_CONVERGED[fit.stop_reason].format(max_time=max_time), compatible(ConvergenceWarning))


def warn_of_repairs(repairs: list[Repair]) -> None:
    """Issue the warning that names the components that were repaired, if there are any."""
    if repairs:
        warn(
            f"Components were repaired: {repairs_in_words(repairs)}. Decrease n_components, increase reg_covar, or "
            "check for constant, collinear or repeated data; degenerate_ lists all repairs.",
            DegenerateComponentWarning,
        )


def repairs_in_words(repairs: list[Repair]) -> str:
    """Return one line for each component that was repaired: when, why and how."""
    lines = []
    for component in dict.fromkeys(repair.component for repair in repairs):
        own = [repair for repair in repairs if repair.component == component]
        name = "the covariance that all components share" if component is None else f"component {component}"
        first, last = own[0].iteration, own[-1].iteration
        when = f"iteration {first}" if first == last else f"iterations {first} to {last}, {len(own)} times"
        told = "; ".join(dict.fromkeys(f"{repair.problem}: {repair.remedy}" for repair in own))
        lines.append(f"{name} ({when}) was {told}")
    return ".\n".join(lines)
