"""The covariance structures. A new one is a new class here."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .. import kernels
from ..kernels import COMMON_FRAME, DIAGONAL, TRIANGULAR
from .factors import (
    add_to_diagonal,
    algebra_workspace,
    inverse,
    inverse_cholesky,
    invert_precisions,
    packed,
    reciprocal_root,
)
from .kernel_model import KernelModel, center
from .parameters import Parameters
from .statistics import Statistics
from .structure import CancellationError, Structure, Totals

NOTHING = np.empty(0)

# The pooled scatter of `Tied` is left to a difference only while the scatter of all rows is at most this many times as
# large: beyond, the difference would lose that many times the precision of the sums.
LARGEST_RATIO = {np.dtype(np.float64): 1e6, np.dtype(np.float32): 1e2}


def check_digits(within: float, total: float, dtype: np.dtype) -> None:
    """Refuse a scatter within components that follows from one about a point, by their traces in a common frame."""
    if total > within * LARGEST_RATIO[dtype]:
        raise CancellationError


class Full(Structure):
    """Each component has its own covariance matrix."""

    name = in_sklearn = "full"
    kind = TRIANGULAR
    shared = False
    triangular = True
    common_frame = False

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def outer(self, u: np.ndarray) -> np.ndarray:
        return u[:, :, None] * u[:, None, :]

    def outer_sym(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
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

    def kernel_model(
        self,
        parameters: Parameters,
        dtype: np.dtype,
        origin: np.ndarray | None = None,
        units: np.ndarray | None = None,
    ) -> KernelModel:
        factors = parameters.precisions_cholesky
        centers = parameters.means.astype(dtype)
        lost = parameters.means - centers
        center_rounding = -np.einsum("ki,kij->kj", lost, factors) if lost.any() else np.zeros_like(lost)
        return KernelModel(
            self.kind,
            self.offsets(parameters, units).astype(dtype),
            np.ascontiguousarray(centers),
            np.ascontiguousarray(center_rounding, dtype),
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

    name = in_sklearn = "tied"
    kind = COMMON_FRAME
    shared = True
    triangular = True
    common_frame = True

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_features, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def outer(self, u: np.ndarray) -> np.ndarray:
        return 0.5 * self.outer_sym(u, u)

    def outer_sym(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
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

    def kernel_model(
        self,
        parameters: Parameters,
        dtype: np.dtype,
        origin: np.ndarray | None = None,
        units: np.ndarray | None = None,
    ) -> KernelModel:
        whitener = parameters.precisions_cholesky
        origin = center(parameters) if origin is None else origin
        centers = np.einsum("ki,ij->kj", parameters.means - origin, whitener)
        return KernelModel(
            self.kind,
            self.offsets(parameters, units).astype(dtype),
            np.ascontiguousarray(centers, dtype),
            np.empty((0, 0), dtype),
            np.ones(len(centers), dtype),
            origin,
            packed(whitener[None]),
        )

    def moments(
        self, parameters: Parameters, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts, first, radial = sums[:, 0], sums[:, 1:-1], sums[:, -1].sum()
        centers = model.centers.astype(np.float64)
        total = radial + (centers * (2 * first - counts[:, None] * centers)).sum()  # sum over rows of |y|^2
        check_digits(radial, total, model.centers.dtype)
        first = np.einsum("ki,ij->kj", first, inverse(parameters.precisions_cholesky[None])[0])
        means = parameters.means - totals.origin
        moved = counts[:, None] * means
        within = totals.scatter - self.outer_sym(first - 0.5 * moved, means)
        return parameters.means, first - moved, within

    @property
    def expanded(self) -> Structure:
        return FULL

    def expand(self, parameters: Parameters) -> Parameters:
        shape = self.expanded.covariance_shape(*parameters.means.shape)
        covariances = np.broadcast_to(parameters.covariances, shape)
        factors = np.broadcast_to(parameters.precisions_cholesky, shape)
        return replace(parameters, covariances=covariances, precisions_cholesky=factors)

    def pool(self, statistics: Statistics) -> Statistics:
        return replace(statistics, scatters=statistics.scatters.sum(axis=0), covariance_type=self.name)


class Diagonal(Structure):
    """Each component has its own variance per feature."""

    name = in_sklearn = "diag"
    kind = DIAGONAL
    shared = False
    triangular = False
    common_frame = False

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def outer(self, u: np.ndarray) -> np.ndarray:
        return u**2

    def outer_sym(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
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

    def kernel_model(
        self,
        parameters: Parameters,
        dtype: np.dtype,
        origin: np.ndarray | None = None,
        units: np.ndarray | None = None,
    ) -> KernelModel:
        factors = parameters.precisions_cholesky
        return KernelModel(
            self.kind,
            self.offsets(parameters, units).astype(dtype),
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

    name = in_sklearn = "spherical"
    kind = COMMON_FRAME
    common_frame = True

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components

    def outer(self, u: np.ndarray) -> np.ndarray:
        return (u**2).sum(axis=1)

    def outer_sym(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return 2 * (u * v).sum(axis=1)

    def diagonals(self, values: np.ndarray) -> np.ndarray:
        return values[:, None]

    def features(self, values: np.ndarray, kept: Sequence[int]) -> np.ndarray:
        return values

    def per_feature(self, values: np.ndarray) -> np.ndarray:
        return values.mean(keepdims=True)

    def uncorrelated(self, variances: np.ndarray) -> np.ndarray:
        return variances.mean(axis=1)

    def divide(self, scatters: np.ndarray, counts: np.ndarray, n_features: int) -> np.ndarray:
        return scatters / (counts * n_features)

    @property
    def expanded(self) -> Structure:
        return DIAG

    def expand(self, parameters: Parameters) -> Parameters:
        shape = self.expanded.covariance_shape(*parameters.means.shape)
        covariances = np.broadcast_to(parameters.covariances.reshape(-1, 1), shape)
        factors = np.broadcast_to(parameters.precisions_cholesky[:, None], shape)
        return replace(parameters, covariances=covariances, precisions_cholesky=factors)

    def pool(self, statistics: Statistics) -> Statistics:
        return replace(statistics, scatters=statistics.scatters.sum(axis=1), covariance_type=self.name)

    def kernel_model(
        self,
        parameters: Parameters,
        dtype: np.dtype,
        origin: np.ndarray | None = None,
        units: np.ndarray | None = None,
    ) -> KernelModel:
        factors = parameters.precisions_cholesky
        origin = center(parameters) if origin is None else origin
        return KernelModel(
            self.kind,
            self.offsets(parameters, units).astype(dtype),
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
        return model.origin + means, sums[:, 1:-1] - sums[:, :1] * means, sums[:, -1]


FULL, TIED, DIAG, SPHERICAL = Full(), Tied(), Diagonal(), Spherical()
STRUCTURES: dict[str, Structure] = {structure.name: structure for structure in (FULL, TIED, DIAG, SPHERICAL)}
