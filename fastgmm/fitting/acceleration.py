"""Fewer passes: SQUAREM, safeguarded extrapolation of EM."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..model.factors import IllDefinedCovariance, inverse
from ..model.parameters import Parameters
from ..model.structure import Structure

NEAR = 0.05  # length of an EM step, in standard deviations, above which it is not extrapolated
LEAST_WEIGHT = 1e-300  # of noise
FIRST_LIMIT = 4.0  # of the step length, and what it grows by where it was too short


class Plain:
    """EM as it is: the next point is where the last step led."""

    jumped = False  # whether the point to be evaluated next was extrapolated
    declined = False  # whether it might have been, and nothing was to be gained

    def next(self, before: Parameters, after: Parameters) -> Parameters:
        """The parameters to evaluate next, EM having led from `before` to `after`."""
        return after

    def refuse(self) -> None:
        """Learn that the extrapolated point was worse than the point before."""

    def anew(self, parameters: Parameters) -> Parameters:
        """Go on from parameters to which no step has led."""
        return parameters


class Squarem(Plain):
    """SQUAREM with step length S3: after two EM steps th0, th1, th2 go on to th0 - 2 a r + a^2 v.

    r = th1 - th0, v = (th2 - th1) - r, and a = -|r| / |v|, the length that makes a linear EM map converge at once
    along the slowest direction. The guard is free: the pass at the new point gives its likelihood, and when this is
    below that of th1, the pass was in vain and EM goes on from th2. After an accepted point an EM step follows, so
    that a cycle is three passes, and convergence is judged by EM steps alone. The length is limited by a bound that
    grows by its use and shrinks with each refusal. Long steps, in which a basin of attraction is chosen, are left to
    EM alone.

    Parameters are unconstrained (`Coordinates`), so that weights stay positive and covariances positive definite, and
    in units of the components, so that nothing depends on the units of the data. A point that a constrained structure
    does not have gives way to the nearest one that it has.

    References
    ----------
    R. Varadhan, C. Roland. Simple and globally convergent methods for accelerating the convergence of any EM
    algorithm. Scandinavian Journal of Statistics 35(2), 2008.
    """

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.jumped = False
        self.limit = FIRST_LIMIT
        self.start: Parameters | None = None
        self.length = 0.0

    def next(self, before: Parameters, after: Parameters) -> Parameters:
        self.declined = False
        if self.jumped:  # an accepted point: one EM step before the next cycle
            self.jumped = False
            if self.length == self.limit:
                self.limit *= FIRST_LIMIT
            return after
        if self.start is None:
            self.start = before
            return after
        point, self.start = self._extrapolate(self.start, before, after), None
        self.jumped, self.declined = point is not None, point is None
        return after if point is None else point

    def refuse(self) -> None:
        self.jumped = False
        self.limit = max(FIRST_LIMIT / 2, self.length / 2)

    def anew(self, parameters: Parameters) -> Parameters:
        self.jumped, self.start = False, None
        return parameters

    def _extrapolate(self, start: Parameters, first: Parameters, second: Parameters) -> Parameters | None:
        """The point that two EM steps point to; None where it is hardly another, or not finite."""
        chart = Chart(self.structure, start)
        r = chart.coordinates(first)
        if chart.length(r) > NEAR:
            return None
        twice = chart.coordinates(second)
        v = Coordinates(*(b - 2 * a for a, b in zip(r, twice, strict=True)))
        bend = chart.length(v)
        self.length = min(chart.length(r) / bend, self.limit) if bend > 0 else self.limit
        if not self.length > 1:
            return None
        moved = Coordinates(*(2 * self.length * a + self.length**2 * b for a, b in zip(r, v, strict=True)))
        point = chart.parameters(moved)
        finite = all(np.isfinite(x).all() for x in (point.weights, point.means, point.precisions_cholesky))
        if not finite or not point.weights.min() > 0:
            return None
        try:
            return self.structure.nearest(replace(point, axes=second.axes))
        except IllDefinedCovariance:
            return None


class Coordinates(NamedTuple):
    """Parameters without constraints, relative to those at the origin of a `Chart`.

    The logarithms of weights, that of noise among them, less their mean; means in standard deviations; logarithms of
    the diagonal of the covariances' Cholesky factor, and what is below it in standard deviations of its row.
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray


def all_weights(parameters: Parameters) -> np.ndarray:
    """Weights, and that of noise if there is any; zero is no number of which there is a logarithm."""
    if parameters.noise is None:
        return parameters.weights
    return np.append(parameters.weights, max(parameters.noise_weight, LEAST_WEIGHT))


class Chart:
    """Coordinates about an origin, in units of its components."""

    def __init__(self, structure: Structure, origin: Parameters) -> None:
        self.structure = structure
        self.origin = origin
        lower = self._lower(origin)
        self.deviations = np.sqrt((lower**2).sum(axis=2)) if structure.triangular else lower
        self.factors = self._logarithmic(lower)

    def coordinates(self, parameters: Parameters) -> Coordinates:
        """The coordinates of parameters."""
        weights = np.log(all_weights(parameters) / all_weights(self.origin))
        factors = self._logarithmic(self._lower(parameters)) - self.factors
        means = (parameters.means - self.origin.means) / self.deviations
        return Coordinates(weights - weights.mean(), means, factors)

    def parameters(self, at: Coordinates) -> Parameters:
        """The parameters at some coordinates; their covariances, which no pass reads, are NaN."""
        weights = all_weights(self.origin) * np.exp(at.weights - at.weights.max())
        weights = (weights / weights.sum())[: len(self.origin.weights)]
        means = self.origin.means + at.means * self.deviations
        logarithmic = self.factors + at.factors
        if self.structure.triangular:
            lower = logarithmic * self.deviations[:, :, None]
            np.einsum("kii->ki", lower)[...] = np.exp(np.einsum("kii->ki", logarithmic)) * self.deviations
            factors = inverse(np.swapaxes(lower, 1, 2))
        else:
            factors = np.exp(-logarithmic) / self.deviations
        factors = factors.reshape(self.origin.precisions_cholesky.shape)
        return Parameters(weights, means, np.asarray(np.nan), factors, noise=self.origin.noise)

    def length(self, at: Coordinates) -> float:
        """A norm after the Fisher information of labeled rows: a component counts as much as its weight.

        A change of a logarithm of the diagonal has twice the information of one beside it; that of a variance shared
        by features has it for each.
        """
        share = self.origin.weights
        squares = (at.means**2).sum(axis=1) + at.weights[: len(share)] ** 2
        inner = at.factors**2
        if self.structure.triangular:
            covariances = inner.sum(axis=(1, 2)) + np.einsum("kii->k", inner)
        else:
            covariances = 2 * inner.sum(axis=1) * (at.means.shape[1] / inner.shape[1])
        of_noise = all_weights(self.origin)[len(share) :] @ at.weights[len(share) :] ** 2
        return math.sqrt(float((share * (squares + covariances)).sum()) + float(of_noise))

    def _lower(self, parameters: Parameters) -> np.ndarray:
        """Cholesky factors of the covariances, (K, D, D), or standard deviations (K, D); 1 where shared."""
        factors = parameters.precisions_cholesky
        if not self.structure.triangular:
            return 1 / self.structure.diagonals(factors)
        return np.swapaxes(inverse(self.structure.matrices(factors)), 1, 2)

    def _logarithmic(self, lower: np.ndarray) -> np.ndarray:
        """Cholesky factors in standard deviations of the origin's rows, their diagonals as logarithms."""
        if not self.structure.triangular:
            return np.log(lower / self.deviations)
        relative = lower / self.deviations[:, :, None]
        diagonals = np.einsum("kii->ki", relative)
        diagonals[...] = np.log(diagonals)
        return relative


ACCELERATIONS = ("squarem",)
