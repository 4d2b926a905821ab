"""What M-steps have to do with a component of noise: its density, its start, its part of the rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.cached import cached
from ..model.noise import START, Noise
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure
from ..sources.source import Source

if TYPE_CHECKING:
    from .repair import Rows

LEAST = 1e-6  # part of the rows that a start may leave the noise

Density = Any  # its logarithm, "auto", or the M-step that knows it, of rows of which others are a sample


class BesideNoise:
    """The part of an M-step for mixtures that may have noise."""

    rows: Rows
    structure: Structure
    density: Density

    @cached
    def noise(self) -> Noise:
        """Noise of these rows, over the box about them or of the density that is given."""
        if isinstance(self.density, BesideNoise):
            return self.density.noise
        assert isinstance(self.rows, Source)
        box, density = self.rows.box, self.density
        if not box.widths.all():
            flat = [str(one) for one in np.flatnonzero(box.along_features.widths == 0)]
            raise ValueError(
                f"noise={density!r} needs a box about the rows, but of feature(s) {', '.join(flat)} all values are the "
                "same: leave constant columns out."
            )
        if density is None or isinstance(density, str):
            return Noise(-box.log_volume, box)
        return Noise(float(density), box, given=True)

    @property
    def known_density(self) -> Density:
        """What the M-step for other rows has to know, which may be a sample of these; worked out when it is asked."""
        return self if self.structure.noisy and isinstance(self.rows, Source) else self.density

    def beside_noise(self, statistics: Statistics, previous: Parameters | None) -> Statistics:
        """Statistics that know of the noise: that of the mixture before, or of a start, of which no row is noise."""
        if not self.structure.noisy or statistics.noise is not None:
            return statistics
        if previous is not None and previous.noise is not None:
            return replace(statistics, noise=previous.noise)
        return replace(statistics, noise=self.noise, n_samples=statistics.n_samples / (1 - START))

    def started(self, parameters: Parameters) -> Parameters:
        """A start with the noise of these rows, where the mixture has some: what weights that are given leave of one.

        Where they sum to one, that is a usual part.
        """
        if not self.structure.noisy:
            return parameters
        weights, total = parameters.weights, math.fsum(parameters.weights)
        if parameters.noise is None and total > 1 - LEAST:
            weights = (1 - START) / total * weights
        return replace(parameters, weights=weights, noise=self.noise)
