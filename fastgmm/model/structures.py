"""Covariance structures: what each adds to the model, its M-step, and the kernel that serves it.

A structure turns Statistics into Parameters (the M-step), Parameters into what a kernel reads, and the kernel's sums
into Statistics. A new structure is a new class here.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np

from .. import kernels
from .parameters import Parameters
from .statistics import Statistics

LOG_2_PI = math.log(2 * math.pi)

# The pooled scatter of `Tied` is left to a difference only while the scatter of all rows is at most this many times as
# large: beyond, the difference would lose that many times the precision of the sums.
LARGEST_RATIO = {np.dtype(np.float64): 1e6, np.dtype(np.float32): 1e2}


class DigitsLost(ArithmeticError):
    """Scatters that follow from a difference would be poor: use the structure's `direct` accumulation."""


class KernelModel(NamedTuple):
    """A mixture as the kernels read it, in the precision of the rows (see kernels.pyx for the formulae)."""

    kind: int
    offsets: np.ndarray
    centers: np.ndarray
    factors: np.ndarray
    origin: np.ndarray
    rotation: np.ndarray

    @classmethod
    def build(
        cls,
        kind: int,
        parameters: Parameters,
        log_determinants: np.ndarray,
        factors: np.ndarray,
        dtype: np.dtype,
        *,
        centers: np.ndarray | None = None,
        origin: np.ndarray | None = None,
        rotation: np.ndarray | None = None,
    ) -> Self:
        """Constants hoisted out of the density: c_k = log pi_k + log det(factor) - D/2 log 2 pi."""
        n_features = parameters.means.shape[1]
        with np.errstate(divide="ignore"):
            offsets = np.log(parameters.weights) + log_determinants - 0.5 * n_features * LOG_2_PI
        nothing = np.empty(0, dtype)
        return cls(
            kind,
            np.ascontiguousarray(offsets, dtype),
            np.ascontiguousarray(parameters.means if centers is None else centers, dtype),
            np.ascontiguousarray(factors, dtype).ravel(),
            nothing if origin is None else np.ascontiguousarray(origin, dtype),
            nothing if rotation is None else np.ascontiguousarray(rotation, dtype).ravel(),
        )


class Totals(NamedTuple):
    """What a source knows of its rows whatever the parameters: used by structures that share one covariance."""

    origin: np.ndarray  # (D,) a point amid the rows, exact in their precision
    scatter: Callable[[], np.ndarray]  # (D, D) scatter of all rows about the origin


class Structure(ABC):
    """One covariance structure."""

    name: str
    kind: int

    @abstractmethod
    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of `Parameters.covariances`."""

    @abstractmethod
    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the covariances."""

    @abstractmethod
    def covariances(self, statistics: Statistics, counts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Maximum-likelihood covariances, given the new means as shifts from the reference."""

    @abstractmethod
    def regularize(self, covariances: np.ndarray, reg_covar: float) -> np.ndarray:
        """Add `reg_covar` to every variance."""

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
    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray) -> KernelModel:
        """What the kernel reads."""

    @abstractmethod
    def moments(
        self, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reference means, sums and scatters from the kernel's sums; raises DigitsLost where they would be poor."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the whole mixture."""
        return n_components * (n_features + 1) - 1 + self.n_covariance_parameters(n_components, n_features)

    def from_covariances(self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Parameters:
        """Parameters from weights, means and covariances."""
        return Parameters(weights, means, covariances, self.factorize(covariances))

    def maximize(self, statistics: Statistics, reg_covar: float) -> Parameters:
        """M-step: the parameters under which the statistics are most likely.

        Raises ValueError when a covariance is not positive definite.
        """
        counts = statistics.counts + 10 * statistics.resolution
        shifts = statistics.sums / counts[:, None]
        covariances = self.regularize(self.covariances(statistics, counts, shifts), reg_covar)
        return self.from_covariances(counts / counts.sum(), statistics.reference + shifts, covariances)

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
        self, model: KernelModel, sums: np.ndarray, totals: Totals, n_samples: int, resolution: float
    ) -> Statistics:
        """Statistics from what `kernels.accumulate` left."""
        components = sums[:-1].reshape(len(model.centers), -1)
        reference, first, second = self.moments(model, components, totals)
        return Statistics(reference, components[:, 0].copy(), first, second, float(sums[-1]), n_samples, resolution)


def ill_defined(component: int | None) -> ValueError:
    """The error for a covariance that is not positive definite."""
    which = "the tied covariance" if component is None else f"component {component}"
    return ValueError(
        f"Fitting the mixture failed: {which} has an ill-defined empirical covariance (its rows lie on a point or "
        "in a subspace). Decrease n_components, increase reg_covar, or scale the input data."
    )


def inverse_cholesky(covariances: np.ndarray, tied: bool = False) -> np.ndarray:
    """Upper triangular P with covariance^-1 = P P^T, for a stack (K, D, D)."""
    covariances = np.ascontiguousarray(covariances)
    factors = np.empty_like(covariances)
    bad = kernels.CHOSEN.factorize(covariances, factors, np.empty(covariances.shape[1:]))
    if bad >= 0:
        raise ill_defined(None if tied else bad)
    return factors


def inverse(factors: np.ndarray) -> np.ndarray:
    """Inverses of a stack (K, D, D) of upper triangular factors."""
    factors = np.ascontiguousarray(factors, np.float64)
    out = np.empty_like(factors)
    kernels.CHOSEN.invert(factors, out)
    return out


def log_determinants(factors: np.ndarray) -> np.ndarray:
    """Log-determinants of a stack of triangular factors."""
    return np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)


def reciprocal_root(variances: np.ndarray) -> np.ndarray:
    """1 / sqrt(variance), refused where it is not finite and positive."""
    good = (variances > 0) & np.isfinite(variances)
    if not good.all():
        raise ill_defined(int(np.argmin(good.reshape(len(good), -1).all(axis=1))))
    return 1 / np.sqrt(variances)


def add_to_diagonal(matrices: np.ndarray, value: float) -> np.ndarray:
    """matrices + value I, in place."""
    diagonal = np.einsum("...ii->...i", matrices)
    diagonal += value
    return matrices


def unwhiten(model: KernelModel, sums: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over whitened rows in the units of the data, with the factors (K, D, D) the rows were whitened by."""
    n_components, n_features = model.centers.shape
    first = np.empty((n_components, n_features))
    second = np.empty((n_components, n_features, n_features))
    work = np.empty((2 * n_features, n_features))
    factors = np.ascontiguousarray(rotation, np.float64)
    kernels.CHOSEN.unwhiten(np.ascontiguousarray(sums), factors, work, first, second)
    return first, second


class Full(Structure):
    """Each component has its own covariance matrix."""

    name = "full"
    kind = 0

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def covariances(self, statistics: Statistics, counts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        return statistics.scatters / counts[:, None, None] - shifts[:, :, None] * shifts[:, None, :]

    def regularize(self, covariances: np.ndarray, reg_covar: float) -> np.ndarray:
        return add_to_diagonal(covariances, reg_covar)

    def factorize(self, covariances: np.ndarray) -> np.ndarray:
        return inverse_cholesky(covariances)

    def precisions(self, precisions_cholesky: np.ndarray) -> np.ndarray:
        return precisions_cholesky @ np.swapaxes(precisions_cholesky, -1, -2)

    def from_precisions(self, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> Parameters:
        factors, covariances = invert_precisions(precisions)
        return Parameters(weights, means, covariances, factors)

    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray) -> KernelModel:
        factors = parameters.precisions_cholesky
        return KernelModel.build(self.kind, parameters, log_determinants(factors), factors, dtype)

    def moments(
        self, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n_components, n_features = model.centers.shape
        first, second = unwhiten(model, sums, model.factors.reshape(n_components, n_features, n_features))
        return model.centers.astype(np.float64), first, second


class Tied(Structure):
    """All components share one covariance matrix.

    Rows are whitened once, not once per component, and the scatter within components follows from the scatter of all
    rows, which is constant: sum_nk r (x - mu_k)(x - mu_k)^T = T - sum_k (s_k mu_k^T + mu_k s_k^T - n_k mu_k mu_k^T).
    """

    name = "tied"
    kind = 2

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_features, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def covariances(self, statistics: Statistics, counts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        return (statistics.scatters - (counts[:, None] * shifts).T @ shifts) / counts.sum()

    def regularize(self, covariances: np.ndarray, reg_covar: float) -> np.ndarray:
        return add_to_diagonal(covariances, reg_covar)

    def factorize(self, covariances: np.ndarray) -> np.ndarray:
        return inverse_cholesky(covariances[None], tied=True)[0]

    def precisions(self, precisions_cholesky: np.ndarray) -> np.ndarray:
        return precisions_cholesky @ precisions_cholesky.T

    def from_precisions(self, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> Parameters:
        factors, covariances = invert_precisions(precisions[None])
        return Parameters(weights, means, covariances[0], factors[0])

    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray) -> KernelModel:
        rotation = parameters.precisions_cholesky
        applied = rotation.astype(dtype).astype(np.float64)
        return KernelModel.build(
            self.kind,
            parameters,
            log_determinants(rotation),
            np.ones(len(parameters.weights)),
            dtype,
            centers=(parameters.means - origin) @ applied,
            origin=origin,
            rotation=rotation,
        )

    def moments(
        self, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n_features = model.centers.shape[1]
        counts, first, radial = sums[:, 0], sums[:, 1:-1], sums[:, -1].sum()
        centers = model.centers.astype(np.float64)
        spread = radial + (centers * (2 * first - counts[:, None] * centers)).sum()  # sum over rows of |y|^2
        if spread > radial * LARGEST_RATIO[model.centers.dtype]:
            raise DigitsLost
        unrotation = inverse(model.rotation.reshape(1, n_features, n_features))[0]
        first, means = first @ unrotation, centers @ unrotation
        crossed = first.T @ means
        within = totals.scatter() - crossed - crossed.T + (counts[:, None] * means).T @ means
        return totals.origin + means, first - counts[:, None] * means, within

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

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def covariances(self, statistics: Statistics, counts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        return statistics.scatters / counts[:, None] - shifts**2

    def regularize(self, covariances: np.ndarray, reg_covar: float) -> np.ndarray:
        return covariances + reg_covar

    def factorize(self, covariances: np.ndarray) -> np.ndarray:
        return reciprocal_root(covariances)

    def precisions(self, precisions_cholesky: np.ndarray) -> np.ndarray:
        return precisions_cholesky**2

    def from_precisions(self, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> Parameters:
        reciprocal_root(precisions)
        return Parameters(weights, means, 1 / precisions, np.sqrt(precisions))

    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray) -> KernelModel:
        factors = parameters.precisions_cholesky
        return KernelModel.build(self.kind, parameters, np.log(factors).sum(axis=1), factors, dtype)

    def moments(
        self, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n_features = model.centers.shape[1]
        return model.centers.astype(np.float64), sums[:, 1 : 1 + n_features], sums[:, 1 + n_features :]


class Spherical(Diagonal):
    """Each component has one variance for all features."""

    name = "spherical"
    kind = 2

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components

    def covariances(self, statistics: Statistics, counts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        n_features = shifts.shape[1]
        return (statistics.scatters / counts - (shifts**2).sum(axis=1)) / n_features

    def kernel_model(self, parameters: Parameters, dtype: np.dtype, origin: np.ndarray) -> KernelModel:
        factors = parameters.precisions_cholesky
        return KernelModel.build(
            self.kind,
            parameters,
            parameters.means.shape[1] * np.log(factors),
            factors,
            dtype,
            centers=parameters.means - origin,
            origin=origin,
        )

    def moments(
        self, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        means = model.centers.astype(np.float64)
        return totals.origin + means, sums[:, 1:-1] - sums[:, :1] * means, sums[:, -1]


def invert_precisions(precisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision Cholesky factors and covariances of a stack of precision matrices.

    With J the reversal of the order of features and J precision J = L L^T, P = J L J is upper triangular and
    precision = P P^T.
    """
    exchanged = precisions[:, ::-1, ::-1]
    inverse = inverse_cholesky(exchanged)
    covariances = (inverse @ np.swapaxes(inverse, 1, 2))[:, ::-1, ::-1]
    factors = np.linalg.cholesky(exchanged)[:, ::-1, ::-1]
    return np.ascontiguousarray(factors), np.ascontiguousarray(covariances)


STRUCTURES: dict[str, Structure] = {
    structure.name: structure for structure in (Full(), Tied(), Diagonal(), Spherical())
}
