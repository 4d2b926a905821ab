"""A component of noise: rows that belong to no Gaussian, at a constant density.

    p(x) = p_0 / V + sum_k pi_k N_k(x),    p_0 + sum_k pi_k = 1

V is the volume of a box about the rows, but the density is the same everywhere, so that rows far away are noise.

Source: J. D. Banfield, A. E. Raftery, Model-based Gaussian and non-Gaussian clustering, Biometrics 49, 1993.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

START = 0.1  # the weight of noise before there is an estimate


@dataclass(frozen=True, eq=False)
class Box:
    """A box along the features, or along other axes.

    Attributes
    ----------
    lower, widths : ndarray of shape (D,)
    axes : ndarray of shape (D, D), or None
        One in each row; None for the features.
    """

    lower: np.ndarray
    widths: np.ndarray
    axes: np.ndarray | None = None

    @property
    def log_volume(self) -> float:
        """The logarithm of its volume; -inf where the rows have no spread."""
        with np.errstate(divide="ignore"):
            return float(np.log(self.widths).sum())

    def draw(self, rng: np.random.RandomState | np.random.Generator, count: int) -> np.ndarray:
        """So many points in it, (count, D)."""
        points = self.lower + self.widths * rng.uniform(size=(count, len(self.widths)))
        return points if self.axes is None else points @ self.axes


@dataclass(frozen=True, eq=False)
class Noise:
    """What is known of noise before its weight.

    Attributes
    ----------
    log_density : float
        In the units of the data.
    box : Box
        From which samples are drawn.
    given : bool
        Whether the density is the user's, and no parameter.
    """

    log_density: float
    box: Box
    given: bool = False

    def offset(self, weight: float, units: np.ndarray | None) -> float:
        """The log of weight times density, per volume of the units."""
        with np.errstate(divide="ignore"):
            volume = 0.0 if units is None else float(np.log(units).sum())
            return float(np.log(weight)) + self.log_density + volume

    def rescaled(self, scales: np.ndarray) -> Self:
        """That of rows of which each feature is multiplied by a number, (D,); its box stays that of the data."""
        return replace(self, log_density=self.log_density - float(np.log(scales).sum()))
