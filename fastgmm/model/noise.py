"""A component of noise: rows that belong to no Gaussian, at a constant density.

    p(x) = p_0 / V + sum_k pi_k N_k(x),    p_0 + sum_k pi_k = 1

V is the volume of a box about the rows, but the density is the same everywhere, so that rows far away are noise.

Source: J. D. Banfield, A. E. Raftery, Model-based Gaussian and non-Gaussian clustering, Biometrics 49, 1993.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        One in each row, of whatever length; None for the features.
    """

    lower: np.ndarray
    widths: np.ndarray
    axes: np.ndarray | None = None

    @property
    def log_volume(self) -> float:
        """The logarithm of its volume; -inf where the rows have no spread."""
        with np.errstate(divide="ignore"):
            along = float(np.log(self.widths).sum())
        return along if self.axes is None else along + float(np.linalg.slogdet(self.axes)[1])

    @property
    def along_features(self) -> Box:
        """The smallest box along the features that holds it."""
        if self.axes is None:
            return self
        half = 0.5 * self.widths @ np.abs(self.axes)
        return Box((self.lower + 0.5 * self.widths) @ self.axes - half, 2 * half)

    def of(self, features: Sequence[int]) -> Box:
        """The box along some features that holds it."""
        whole = self.along_features
        return Box(whole.lower[features], whole.widths[features])

    def rescaled(self, scales: np.ndarray) -> Self:
        """That of rows of which each feature is multiplied by a number, (D,)."""
        if self.axes is None:
            return type(self)(self.lower * scales, self.widths * scales)
        return type(self)(self.lower, self.widths, self.axes * scales)

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
        """That of rows of which each feature is multiplied by a number, (D,)."""
        return type(self)(self.log_density - float(np.log(scales).sum()), self.box.rescaled(scales), self.given)

    def observed(self, features: Sequence[int]) -> Self:
        """That of some features, whatever the others: constant over their box, though it reaches beyond it."""
        box = self.box.of(features)
        return type(self)(self.log_density + self.box.log_volume - box.log_volume, box, self.given)

    def beside(self, features: Sequence[int]) -> Self:
        """That of some features given the others, which say nothing of it."""
        box = self.box.of(features)
        return type(self)(-box.log_volume, box, self.given)

    def logs(self, weight: float) -> np.ndarray:
        """What kernels for rows with gaps read, (D + 3,), logarithms all of them.

        Weight; density; what the box along the features is smaller by, negative; and its widths.
        """
        with np.errstate(divide="ignore"):
            log_weight, around = np.log(weight), self.box.along_features
        excess = self.box.log_volume - around.log_volume
        return np.r_[log_weight, self.log_density, excess, np.log(around.widths)]
