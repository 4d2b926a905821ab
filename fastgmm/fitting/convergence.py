"""Rules of convergence, by name, and the reasons for which EM stops."""

import math
from abc import ABC, abstractmethod

import numpy as np

from ..model.parameters import Parameters
from ..model.structure import Structure

# What `GaussianMixture.stop_reason_` may be; the first is the only one that means convergence.
TOL, MAX_ITER, MAX_TIME, CALLBACK, INTERRUPT = "tol", "max_iter", "max_time", "callback", "interrupt"
PARTIAL = "partial_fit"  # of a stream, which has no end


class Rule(ABC):
    """A test for convergence, asked after each EM step."""

    def __init__(self, structure: Structure, tol: float, previous_bound: float = -math.inf) -> None:
        self.structure = structure
        self.tol = tol
        self.bounds = [previous_bound]
        self.extrapolation_gain = 0.0  # what the last extrapolation gained

    def met(self, bound: float, before: Parameters, after: Parameters, jumped: bool) -> bool:
        """Whether EM has converged, having led from `before`, of mean log-likelihood `bound`, to `after`.

        `jumped` says that no EM step led to `before`, so that there is no gain to judge.
        """
        if jumped:
            self.extrapolation_gain = bound - self.bounds[-1]
            self.bounds = []
        self.bounds = [*self.bounds[-2:], bound]
        return not jumped and self.distance(before, after) < self.tol

    def refused(self, loss: float) -> None:
        """Learn that an extrapolated point was given up: where it was hardly worse, there is nothing to be gained."""
        if loss < self.tol:
            self.extrapolation_gain = 0.0

    def repeated(self) -> None:
        """Learn that the last EM step is made anew, from where it had led from."""
        self.bounds = self.bounds[:-1]

    @abstractmethod
    def distance(self, before: Parameters, after: Parameters) -> float:
        """The distance to convergence, which has to fall below `tol`."""


class StepRule(Rule):
    """The mean log-likelihood has changed by less than `tol` in the last EM step."""

    def distance(self, before: Parameters, after: Parameters) -> float:
        return abs(self.bounds[-1] - self.bounds[-2]) if len(self.bounds) > 1 else math.inf


class LikelihoodRule(StepRule):
    """The same, scikit-learn's rule; where EM is accelerated the last extrapolation must have gained less, too."""

    def distance(self, before: Parameters, after: Parameters) -> float:
        return max(super().distance(before, after), self.extrapolation_gain)


class ParametersRule(Rule):
    """No parameter moves by `tol`: weights relative to themselves, means in standard deviations of their component.

    Covariances are divided by the standard deviations of their two features.
    """

    def distance(self, before: Parameters, after: Parameters) -> float:
        deviations = np.sqrt(self.structure.diagonals(before.covariances))
        moved = after.covariances - before.covariances
        if self.structure.triangular:
            moved = moved / (deviations[:, :, None] * deviations[:, None, :])
        else:
            moved = self.structure.diagonals(moved) / deviations**2
        changes = (after.weights / before.weights - 1, (after.means - before.means) / deviations, moved)
        return max(float(np.abs(change).max()) for change in changes)


class AitkenRule(Rule):
    """The mean log-likelihood is within `tol` of its limit, as Aitken's acceleration projects it from three steps.

    With gains g1, g2 the rate is a = g2 / g1, and what is left to gain is g2 a / (1 - a) (D. Böhning et al., The
    distribution of the likelihood ratio for mixtures of densities from the one-parameter exponential family, Annals of
    the Institute of Statistical Mathematics 46, 1994, section 2; P. D. McNicholas et al., Serial and parallel
    implementations of model-based clustering via parsimonious Gaussian mixture models, Computational Statistics and
    Data Analysis 54, 2010, section 2.4).
    """

    def distance(self, before: Parameters, after: Parameters) -> float:
        if len(self.bounds) < 3 or not math.isfinite(self.bounds[0]):
            return math.inf
        first, last = self.bounds[1] - self.bounds[0], self.bounds[2] - self.bounds[1]
        if abs(last) <= 4 * np.finfo(np.float64).eps * abs(self.bounds[2]):
            return 0.0  # gains that are rounding say nothing of the rate
        return abs(last * last / (first - last)) if first > abs(last) else math.inf


RULES: dict[str, type[Rule]] = {
    "likelihood": LikelihoodRule,
    "parameters": ParametersRule,
    "aitken": AitkenRule,
}
STEP = "step"  # the rule of samples, on which a fit does not end
EVERY_RULE = RULES | {STEP: StepRule}
