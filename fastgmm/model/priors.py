"""Conjugate priors: of weights, and of means and covariances.

The counts n_k, (K,), that occur here are sums of responsibilities. Formulae are those of C. M. Bishop, Pattern
Recognition and Machine Learning, 2006, section 10.2, and for stick-breaking weights of D. M. Blei and M. I. Jordan,
Variational inference for Dirichlet process mixtures, Bayesian Analysis 1(1), 2006.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from .special import digamma, log_beta, log_gamma
from .structure import Structure


class WeightPrior(Protocol):
    """A prior of the weights, and what follows from it and counts: the posterior of the weights."""

    @property
    def concentration(self) -> float:
        """alpha"""

    def posterior(self, counts: np.ndarray) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The parameters of the posterior, `weight_concentration_` of scikit-learn."""

    def mean(self, counts: np.ndarray) -> np.ndarray:
        """Expectations of the weights, (K,), which sum to one."""

    def expected_log(self, counts: np.ndarray) -> np.ndarray:
        """Expectations of their logarithms, (K,)."""

    def log_evidence(self, counts: np.ndarray) -> float:
        """log of the probability of labels of which there are so many, weights integrated out."""

    def constant(self, n_components: int) -> float:
        """The part of `log_evidence` that does not depend on the counts."""


@dataclass(frozen=True)
class Dirichlet:
    """pi ~ Dirichlet(alpha, ..., alpha)."""

    concentration: float

    def posterior(self, counts: np.ndarray) -> np.ndarray:
        """Its parameters, (K,)."""
        return self.concentration + counts

    def mean(self, counts: np.ndarray) -> np.ndarray:
        alpha = self.posterior(counts)
        return alpha / alpha.sum()

    def expected_log(self, counts: np.ndarray) -> np.ndarray:
        return self.expected_log_of(self.posterior(counts))

    @staticmethod
    def expected_log_of(alpha: np.ndarray) -> np.ndarray:
        """Expectations of logarithms under a Dirichlet distribution."""
        return digamma(alpha) - digamma(alpha.sum())

    def log_evidence(self, counts: np.ndarray) -> float:
        alpha = self.posterior(counts)
        return self.constant(len(counts)) + float(log_gamma(alpha).sum() - log_gamma(alpha.sum()))

    def constant(self, n_components: int) -> float:
        return math.lgamma(n_components * self.concentration) - n_components * math.lgamma(self.concentration)

    def mode(self, counts: np.ndarray) -> np.ndarray:
        """The weights at which the posterior is densest, (K,), for alpha of at least one."""
        more = counts + (self.concentration - 1)
        return more / np.cumsum(more)[-1]  # in the order of the kernels


@dataclass(frozen=True)
class Sticks:
    """Weights of a Dirichlet process: pi_k = v_k prod_{j<k} (1 - v_j) with v_k ~ Beta(1, alpha)."""

    concentration: float

    def posterior(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Its parameters: v_k ~ Beta(a_k, b_k), (K,) each."""
        later = np.append(counts[:0:-1].cumsum()[::-1], 0.0)  # rows of the components after each
        return 1.0 + counts, self.concentration + later

    def mean(self, counts: np.ndarray) -> np.ndarray:
        a, b = self.posterior(counts)
        weights = a / (a + b) * np.append(1.0, np.cumprod(b / (a + b))[:-1])
        return weights / weights.sum()

    def expected_log(self, counts: np.ndarray) -> np.ndarray:
        return self.expected_log_of(*self.posterior(counts))

    @staticmethod
    def expected_log_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Expectations of logarithms where the sticks are distributed by Beta(a_k, b_k)."""
        of_a, of_b, of_both = digamma(np.stack([a, b, a + b]))
        return np.asarray(of_a - of_both + np.append(0.0, np.cumsum(of_b - of_both)[:-1]))

    def log_evidence(self, counts: np.ndarray) -> float:
        return self.constant(len(counts)) + float(log_beta(*self.posterior(counts)).sum())

    def constant(self, n_components: int) -> float:
        return n_components * math.log(self.concentration)


@dataclass(frozen=True, eq=False)
class NormalWishart:
    """mu_k | Lambda_k ~ N(m0, (beta0 Lambda_k)^-1) and Lambda_k ~ Wishart(S0^-1, nu0), of means and precisions.

    Where covariances have no matrices each variance is inverse gamma(nu0 / 2, S0 / 2).

    Attributes
    ----------
    mean_precision : float
        beta0: the number of rows that the prior mean counts for.
    mean : ndarray of shape (D,)
        m0
    degrees_of_freedom : float
        nu0: the number of rows that the prior covariance counts for.
    scale : ndarray
        S0 in the shape of the covariances of one component: (1, D, D), or without the first axis where it is shared.
    factor : ndarray
        Upper triangular P0 with S0^-1 = P0 P0^T, of the same shape.
    """

    mean_precision: float
    mean: np.ndarray
    degrees_of_freedom: float
    scale: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(
        cls,
        structure: Structure,
        mean_precision: float,
        mean: np.ndarray,
        degrees_of_freedom: float,
        scale: np.ndarray,
    ) -> "NormalWishart":
        """The prior with a scale in the shape of one component's covariance, without the axis of components.

        Raises IllDefinedCovariance, a ValueError, where it is not positive definite.
        """
        own = scale if structure.shared else scale[None]
        return cls(mean_precision, mean, degrees_of_freedom, own, structure.factorize(own))

    def shrunk(self, factor: float) -> Self:
        """The prior with its scale multiplied by a number."""
        return replace(self, scale=factor * self.scale, factor=self.factor / math.sqrt(factor))
