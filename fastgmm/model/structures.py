"""Covariance structures: what each adds to the model, its M-step, and the kernel that serves it.

A structure turns Statistics into Parameters (the M-step), Parameters into what a kernel reads, and the kernel's sums
into Statistics. A new structure is a new class here.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from .. import kernels
from .factors import (
    add_to_diagonal,
    algebra_workspace,
    inverse,
    inverse_cholesky,
    invert_precisions,
    log_determinants,
    packed,
    reciprocal_root,
)
from .parameters import Parameters
from .statistics import Statistics

LOG_2_PI = math.log(2 * math.pi)
NOTHING = np.empty(0)

# The pooled scatter of `Tied` is left to a difference only while the scatter of all rows is at most this many times as
# large: beyond, the difference would lose that many times the precision of the sums.
LARGEST_RATIO = {np.dtype(np.float64): 1e6, np.dtype(np.float32): 1e2}


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
        """The structure that accumulates this one's scatters component by component (see `pool`)."""
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
        n_samples: int,
        resolution: float,
    ) -> Statistics:
        """Statistics about the means from what `kernels.accumulate` left.

        The kernel's sums are about means rounded to the precision of the rows, or in the frame of one source.
        """
        components = sums[:-1].reshape(len(model.centers), -1)
        counts = components[:, 0].copy()
        used, first, second = self.moments(parameters, model, components, totals)
        shifts = parameters.means - used
        if shifts.any():
            moved = counts[:, None] * shifts
            second = second - self.crossed(first - 0.5 * moved, shifts)
            first = first - moved
        return Statistics(parameters.means, counts, first, second, float(sums[-1]), n_samples, resolution)


class Full(Structure):
    """Each component has its own covariance matrix."""

    name = "full"
    kind = 0
    triangular = True
    framed = False

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def squared(self, u: np.ndarray) -> np.ndarray:
        return u[:, :, None] * u[:, None, :]

    def crossed(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        products = u[:, :, None] * v[:, None, :]
        return products + np.swapaxes(products, 1, 2)

    def diagonals(self, values: np.ndarray) -> np.ndarray:
        return values.diagonal(axis1=1, axis2=2)

    def divide(self, scatters: np.ndarray, counts: np.ndarray, n_features: int) -> np.ndarray:
        return np.divide(scatters, counts[:, None, None], out=scatters)

    def regularize(self, covariances: np.ndarray, reg_covar: float | np.ndarray) -> np.ndarray:
        return add_to_diagonal(covariances, reg_covar)

    def factorize(self, covariances: np.ndarray) -> np.ndarray:
        return inverse_cholesky(covariances)

    def precisions(self, precisions_cholesky: np.ndarray) -> np.ndarray:
        return precisions_cholesky @ np.swapaxes(precisions_cholesky, -1, -2)

    def from_precisions(self, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> Parameters:
        factors, covariances = invert_precisions(precisions)
        return Parameters(weights, means, covariances, factors)

    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray | None = None) -> KernelModel:
        factors = parameters.precisions_cholesky
        centers = parameters.means.astype(dtype)
        lost = parameters.means - centers
        residues = -np.einsum("ki,kij->kj", lost, factors) if lost.any() else np.zeros_like(lost)
        return KernelModel(
            self.kind,
            offsets(parameters, log_determinants(factors)).astype(dtype),
            np.ascontiguousarray(centers),
            np.ascontiguousarray(residues, dtype),
            packed(factors.astype(dtype)),
            NOTHING,
            NOTHING,
        )

    def moments(
        self, parameters: Parameters, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n_components, n_features = model.centers.shape
        first = np.empty((n_components, n_features))
        second = np.empty((n_components, n_features, n_features))
        applied = np.ascontiguousarray(
            parameters.precisions_cholesky.astype(model.factors.dtype, copy=False), np.float64
        )
        kernels.CHOSEN.unwhiten(np.ascontiguousarray(sums), applied, algebra_workspace(second), first, second)
        return parameters.means, first, second


class Tied(Structure):
    """All components share one covariance matrix.

    Rows are whitened once, not once per component, and the scatter within components follows from the scatter of all
    rows, which is constant: sum_nk r (x - mu_k)(x - mu_k)^T = T - sum_k (s_k mu_k^T + mu_k s_k^T - n_k mu_k mu_k^T).
    """

    name = "tied"
    kind = 2
    triangular = True
    framed = True

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_features, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def squared(self, u: np.ndarray) -> np.ndarray:
        return 0.5 * self.crossed(u, u)

    def crossed(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        products = np.einsum("ki,kj->ij", u, v)
        return products + products.T

    def diagonals(self, values: np.ndarray) -> np.ndarray:
        return values.diagonal()[None]

    def divide(self, scatters: np.ndarray, counts: np.ndarray, n_features: int) -> np.ndarray:
        return scatters / counts.sum()

    def regularize(self, covariances: np.ndarray, reg_covar: float | np.ndarray) -> np.ndarray:
        return add_to_diagonal(covariances, reg_covar)

    def factorize(self, covariances: np.ndarray) -> np.ndarray:
        return inverse_cholesky(covariances[None], tied=True)[0]

    def precisions(self, precisions_cholesky: np.ndarray) -> np.ndarray:
        return precisions_cholesky @ precisions_cholesky.T

    def from_precisions(self, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> Parameters:
        factors, covariances = invert_precisions(precisions[None])
        return Parameters(weights, means, covariances[0], factors[0])

    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray | None = None) -> KernelModel:
        rotation = parameters.precisions_cholesky
        origin = center(parameters) if origin is None else origin
        centers = np.einsum("ki,ij->kj", parameters.means - origin, rotation)
        return KernelModel(
            self.kind,
            offsets(parameters, log_determinants(rotation)).astype(dtype),
            np.ascontiguousarray(centers, dtype),
            np.empty((0, 0), dtype),
            np.ones(len(centers), dtype),
            origin,
            packed(rotation[None]),
        )

    def moments(
        self, parameters: Parameters, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts, first, radial = sums[:, 0], sums[:, 1:-1], sums[:, -1].sum()
        centers = model.centers.astype(np.float64)
        spread = radial + (centers * (2 * first - counts[:, None] * centers)).sum()  # sum over rows of |y|^2
        if spread > radial * LARGEST_RATIO[model.centers.dtype]:
            raise DigitsLost
        first = np.einsum("ki,ij->kj", first, inverse(parameters.precisions_cholesky[None])[0])
        means = parameters.means - totals.origin
        moved = counts[:, None] * means
        within = totals.scatter - self.crossed(first - 0.5 * moved, means)
        return parameters.means, first - moved, within

    @property
    def direct(self) -> Structure:
        return STRUCTURES["full"]

    def split(self, parameters: Parameters) -> Parameters:
        shape = self.direct.covariance_shape(*parameters.means.shape)
        covariances = np.broadcast_to(parameters.covariances, shape)
        factors = np.broadcast_to(parameters.precisions_cholesky, shape)
        return Parameters(parameters.weights, parameters.means, covariances, factors)

    def pool(self, statistics: Statistics) -> Statistics:
        return replace(statistics, scatters=statistics.scatters.sum(axis=0))


class Diagonal(Structure):
    """Each component has its own variance per feature."""

    name = "diag"
    kind = 1
    triangular = False
    framed = False

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def squared(self, u: np.ndarray) -> np.ndarray:
        return u**2

    def crossed(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return 2 * u * v

    def diagonals(self, values: np.ndarray) -> np.ndarray:
        return values

    def divide(self, scatters: np.ndarray, counts: np.ndarray, n_features: int) -> np.ndarray:
        return scatters / counts[:, None]

    def regularize(self, covariances: np.ndarray, reg_covar: float | np.ndarray) -> np.ndarray:
        covariances += reg_covar
        return covariances

    def factorize(self, covariances: np.ndarray) -> np.ndarray:
        return reciprocal_root(covariances)

    def precisions(self, precisions_cholesky: np.ndarray) -> np.ndarray:
        return precisions_cholesky**2

    def from_precisions(self, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> Parameters:
        reciprocal_root(precisions)
        return Parameters(weights, means, 1 / precisions, np.sqrt(precisions))

    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray | None = None) -> KernelModel:
        factors = parameters.precisions_cholesky
        return KernelModel(
            self.kind,
            offsets(parameters, np.log(factors).sum(axis=1)).astype(dtype),
            np.ascontiguousarray(parameters.means, dtype),
            np.empty((0, 0), dtype),
            factors.astype(dtype).ravel(),
            NOTHING,
            NOTHING,
        )

    def moments(
        self, parameters: Parameters, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n_features = model.centers.shape[1]
        return model.centers.astype(np.float64), sums[:, 1 : 1 + n_features], sums[:, 1 + n_features :]


class Spherical(Diagonal):
    """Each component has one variance for all features."""

    name = "spherical"
    kind = 2
    framed = True

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components

    def squared(self, u: np.ndarray) -> np.ndarray:
        return (u**2).sum(axis=1)

    def crossed(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return 2 * (u * v).sum(axis=1)

    def diagonals(self, values: np.ndarray) -> np.ndarray:
        return values[:, None]

    def divide(self, scatters: np.ndarray, counts: np.ndarray, n_features: int) -> np.ndarray:
        return scatters / (counts * n_features)

    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray | None = None) -> KernelModel:
        factors = parameters.precisions_cholesky
        origin = center(parameters) if origin is None else origin
        return KernelModel(
            self.kind,
            offsets(parameters, parameters.means.shape[1] * np.log(factors)).astype(dtype),
            np.ascontiguousarray(parameters.means - origin, dtype),
            np.empty((0, 0), dtype),
            factors.astype(dtype),
            origin,
            NOTHING,
        )

    def moments(
        self, parameters: Parameters, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        means = model.centers.astype(np.float64)
        return totals.origin + means, sums[:, 1:-1] - sums[:, :1] * means, sums[:, -1]


STRUCTURES: dict[str, Structure] = {
    structure.name: structure for structure in (Full(), Tied(), Diagonal(), Spherical())
}
