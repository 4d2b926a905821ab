"""What a covariance structure is: its M-step, and how its mixture is put before a kernel.

A structure turns Statistics into Parameters (the M-step), Parameters into what a kernel reads, and the kernel's sums
into Statistics. The structures there are stand in structures.py.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from .parameters import Parameters
from .statistics import Statistics

LOG_2_PI = math.log(2 * math.pi)


class DigitsLost(ArithmeticError):
    """Scatters that follow from a difference would be poor: use the structure's `direct` accumulation."""


class KernelModel(NamedTuple):
    """A mixture as the kernels read it, in the precision of the rows; the formulae stand in kernels.pyx."""

    kind: int
    offsets: np.ndarray  # (K,) log pi_k + log det(factor) - D/2 log 2 pi
    centers: np.ndarray  # (K, D)
    residues: np.ndarray  # (K, D), or nothing
    factors: np.ndarray  # packed (K, D (D + 1) / 2), (K, D) or (K,); flat
    origin: np.ndarray  # (D,) float64, or nothing
    rotation: np.ndarray  # packed (D (D + 1) / 2,) float64, or nothing


def offsets(parameters: Parameters, log_determinants: np.ndarray | float) -> np.ndarray:
    """What does not depend on the sample in the log of weight times density."""
    with np.errstate(divide="ignore"):
        return np.log(parameters.weights) + log_determinants - 0.5 * parameters.means.shape[1] * LOG_2_PI


def center(parameters: Parameters) -> np.ndarray:
    """The mean of the mixture."""
    return (parameters.weights[:, None] * parameters.means).sum(axis=0)


class Totals(Protocol):
    """What a source knows of its rows whatever the parameters: for structures that need a common frame."""

    @property
    def origin(self) -> np.ndarray:
        """A point amid the rows (D,)."""

    @property
    def scatter(self) -> np.ndarray:
        """Scatter of all rows about the origin (D, D)."""


class Structure(ABC):
    """One covariance structure."""

    name: str
    kind: int
    triangular: bool  # whether a precision factor is a matrix, not numbers along its diagonal
    framed: bool  # whether kernels put rows into a frame that components share, with its rounding

    @abstractmethod
    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of `Parameters.covariances`."""

    @abstractmethod
    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the covariances."""

    @abstractmethod
    def squared(self, u: np.ndarray) -> np.ndarray:
        """u_k u_k^T of each component, (K, D), in the shape of `Statistics.scatters`."""

    @abstractmethod
    def crossed(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """u_k v_k^T + v_k u_k^T of each component, (K, D) each, in the shape of `Statistics.scatters`."""

    @abstractmethod
    def diagonals(self, values: np.ndarray) -> np.ndarray:
        """Diagonals of covariances, precisions or factors, (K, D), or with 1 for K or D where these are shared."""

    @abstractmethod
    def divide(self, scatters: np.ndarray, counts: np.ndarray, n_features: int) -> np.ndarray:
        """Covariances from scatters about the means, which may be overwritten."""

    @abstractmethod
    def regularize(self, covariances: np.ndarray, reg_covar: float | np.ndarray) -> np.ndarray:
        """Add `reg_covar`, a number or one for each feature (spherical: a number), to every variance, in place."""

    @abstractmethod
    def factorize(self, covariances: np.ndarray) -> np.ndarray:
        """`Parameters.precisions_cholesky` of the covariances; ValueError names a component that has none."""

    @abstractmethod
    def precisions(self, precisions_cholesky: np.ndarray) -> np.ndarray:
        """Inverse covariances."""

    @abstractmethod
    def from_precisions(self, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> Parameters:
        """Parameters from inverse covariances."""

    @abstractmethod
    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray | None = None) -> KernelModel:
        """What the kernel reads; a common frame is taken about `origin`, or about the mean of the mixture."""

    @abstractmethod
    def moments(
        self, parameters: Parameters, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The means used, sums and scatters about them, from the kernel's sums; DigitsLost where they would be poor."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the whole mixture."""
        return n_components * (n_features + 1) - 1 + self.n_covariance_parameters(n_components, n_features)

    def from_covariances(self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Parameters:
        """Parameters from weights, means and covariances."""
        return Parameters(weights, means, covariances, self.factorize(covariances))

    def maximize(self, statistics: Statistics, reg_covar: float | np.ndarray) -> Parameters:
        """M-step: the parameters under which the statistics are most likely.

        Raises IllDefinedCovariance, a ValueError, when a covariance is not positive definite.
        """
        return self.from_covariances(*self.estimate(statistics, reg_covar))

    def estimate(
        self, statistics: Statistics, reg_covar: float | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and covariances of the M-step, whether positive definite or not."""
        counts = statistics.counts + 10 * statistics.resolution
        shifts = statistics.sums / counts[:, None]
        between = self.squared(np.sqrt(counts)[:, None] * shifts)
        scatters = np.subtract(statistics.scatters, between, out=between)
        covariances = self.regularize(self.divide(scatters, counts, shifts.shape[1]), reg_covar)
        return counts / counts.sum(), statistics.reference + shifts, covariances

    def unit(self, means: np.ndarray) -> Parameters:
        """Equal weights and unit covariances: the frame in which given responsibilities are accumulated."""
        n_components, n_features = means.shape
        shape = self.covariance_shape(n_components, n_features)
        ones = np.broadcast_to(np.eye(n_features) if len(shape) == 3 else 1.0, shape)
        return Parameters(np.full(n_components, 1 / n_components), means, ones, ones)

    @property
    def direct(self) -> "Structure":
        """The structure that accumulates this one's scatters for each component, or for each feature (see `pool`)."""
        return self

    def split(self, parameters: Parameters) -> Parameters:
        """The same mixture as `direct` describes it."""
        return parameters

    def pool(self, statistics: Statistics) -> Statistics:
        """This structure's statistics from those of `direct`."""
        return statistics

    def statistics(
        self,
        parameters: Parameters,
        model: KernelModel,
        sums: np.ndarray,
        totals: Totals,
        n_samples: float,
        resolution: float,
    ) -> Statistics:
        """Statistics about the means from what `kernels.accumulate` left.

        The kernel's sums are about means rounded to the precision of the rows, or in the frame of one source.
        """
        components = sums[:-1].reshape(len(model.centers), -1)
        counts = components[:, 0].copy()
        used, first, second = self.moments(parameters, model, components, totals)
        found = Statistics(used, counts, first, second, float(sums[-1]), n_samples, resolution, self.name)
        return self.about(found, parameters.means)

    def about(self, statistics: Statistics, means: np.ndarray) -> Statistics:
        """The same statistics with their moments about other means."""
        shifts = means - statistics.reference
        if not shifts.any():
            return statistics
        moved = statistics.counts[:, None] * shifts
        scatters = statistics.scatters - self.crossed(statistics.sums - 0.5 * moved, shifts)
        return replace(statistics, reference=means, sums=statistics.sums - moved, scatters=scatters)
