"""What all problems of a call have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..gaussian_mixture import GaussianMixture
from ..model.structure import Structure
from ..model.structures import STRUCTURES

OK, REPAIRED, CONSTANT, NOT_CONVERGED = "ok", "repaired", "constant", "not converged"  # what becomes of a problem
FEW = "few rows"


class Plan(NamedTuple):
    """The arguments of a call."""

    numbers: tuple[int, ...]  # of components
    criterion: str
    order: str | None
    missing: str
    n_threads: int | None
    options: dict[str, Any]  # of GaussianMixture

    @property
    def mixture(self) -> GaussianMixture:
        """An estimator with these options."""
        return GaussianMixture(**self.options)

    @property
    def structure(self) -> Structure:
        """The covariance structure."""
        return STRUCTURES[self.mixture.covariance_type]

    @property
    def least(self) -> int:
        """How many rows a table must have."""
        return max(2, min(self.numbers))
