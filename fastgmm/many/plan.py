"""What all problems of a call have in common."""

from __future__ import annotations

from threading import Event
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..gaussian_mixture import GaussianMixture
from ..mixture.base import structure_of
from ..model.structure import Structure

OK, REPAIRED, COLLAPSED, CONSTANT = "ok", "repaired", "collapsed", "constant"  # what becomes of a problem
NOT_CONVERGED, FEW, MISSING, INFINITE = "not converged", "few rows", "NaN", "infinite"


class Plan(NamedTuple):
    """The arguments of a call."""

    numbers: tuple[int, ...]  # of components
    criterion: str
    order: str | None
    missing: str
    n_threads: int | None
    options: dict[str, Any]  # of GaussianMixture
    stop: Event  # set where the call has ended

    @property
    def mixture(self) -> GaussianMixture:
        """An estimator with these options."""
        return GaussianMixture(**self.options)

    @property
    def structure(self) -> Structure:
        """The covariance structure."""
        return structure_of(self.mixture)

    @property
    def least(self) -> int:
        """How many rows a table must have."""
        return max(2, min(self.numbers))


def choose(plan: Plan, values: NDArray[np.float64], doubtful: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The best candidate of each problem, (P,): the lowest value of the criterion, (P, C), of those without doubt.

    Where there are none of these, the fewest components; NaN stands for candidates that were not fitted.
    """
    missing = np.isnan(values)
    sound = np.where(missing | doubtful, np.inf, values)
    numbers = np.where(missing, np.inf, np.array(plan.numbers, np.float64))
    found: NDArray[np.intp] = np.where(np.isinf(sound).all(axis=1), numbers.argmin(axis=1), sound.argmin(axis=1))
    return found
