"""What M-steps have to do with a component of noise: its density, its start, its part of the rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..model.cached import cached
from ..model.noise import START, Noise
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure
from ..sources.source import Source

if TYPE_CHECKING:
    from .repair import Rows

Density = float | str | Noise | None  # its logarithm, "auto", or what was made of one of these


class BesideNoise:
    """The part of an M-step for mixtures that may have noise."""

    rows: Rows
    structure: Structure
    density: Density

    @cached
    def noise(self) -> Noise:
        """Noise of these rows, over the box about them or of the density that is given."""
        if isinstance(self.density, Noise):
            return self.density
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
        """What the M-step for other rows has to know, which may be a sample of these."""
        return self.noise if self.structure.noisy and isinstance(self.rows, Source) else self.density

    def beside_noise(self, statistics: Statistics, previous: Parameters | None) -> Statistics:
        """Statistics that know of the noise: that of the mixture before, or of a start, of which no row is noise."""
        if not self.structure.noisy or statistics.noise is not None:
            return statistics
        if previous is not None and previous.noise is not None:
            return replace(statistics, noise=previous.noise)
        return replace(statistics, noise=self.noise, n_samples=statistics.n_samples / (1 - START))

    def started(self, parameters: Parameters) -> Parameters:
        """A start with noise, where the mixture has some: the weights leave it its part."""
        if not self.structure.noisy or parameters.noise is not None:
            return parameters
        weights = (1 - START) / math.fsum(parameters.weights) * parameters.weights
        return replace(parameters, weights=weights, noise=self.noise)
