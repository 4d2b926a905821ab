"""The arrays of a covariance structure: their shapes, and how they are taken apart by components and features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from .factors import inverse


class Arrays(ABC):
    """What arrays of a structure look like.

    They are covariances, precisions and their factors in `Parameters`, and scatters in `Statistics`. They hold
    matrices, or what stands on their diagonals; one for each component, or one that all share. They have at least one
    axis, and no axis but of K, of D, or of length 1.
    """

    triangular: bool  # whether a precision factor is a matrix, not numbers along its diagonal
    shared: bool  # whether all components have one covariance

    @abstractmethod
    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of `Parameters.covariances`."""

    @abstractmethod
    def outer(self, u: np.ndarray) -> np.ndarray:
        """u_k u_k^T of each component, (K, D), in the shape of `Statistics.scatters`."""

    @abstractmethod
    def outer_sym(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
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

    # ---- its arrays, by components and features

    def variances(self, covariances: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        """Variances of each component along each feature, (K, D)."""
        return np.broadcast_to(self.diagonals(covariances), (n_components, n_features))

    def dense(self, values: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        """A matrix for each component, (K, D, D); perhaps a view, for reading."""
        if self.triangular:
            return np.broadcast_to(values, (n_components, n_features, n_features))
        return self.variances(values, n_components, n_features)[:, :, None] * np.eye(n_features)

    def matrices(self, values: np.ndarray) -> np.ndarray:
        """The matrices as a stack, (K or 1, D, D); values without matrices as a stack of one."""
        return values.reshape(-1, *values.shape[-2:]) if self.triangular else values[None]

    def may_own(self, factors: np.ndarray, n_components: int, n_features: int) -> bool:
        """Whether precision factors may be its own: of its shape, and not evidently a triangle, or none."""
        if factors.shape != self.covariance_shape(n_components, n_features):
            return False
        if self.triangular:
            return n_features == 1 or not bool((factors > 0).all())
        alike = n_features > 1 and factors.shape == (n_features, n_features)
        return not (alike and bool((np.diagonal(factors) > 0).all()) and not np.tril(factors, -1).any())

    def components(self, values: np.ndarray, order: np.ndarray) -> np.ndarray:
        """The array for some components, in this order."""
        return values if self.shared else values[order]

    def features(self, values: np.ndarray, kept: Sequence[int]) -> np.ndarray:
        """Covariances of some features, in this order."""
        chosen = np.asarray(kept)
        return values[..., chosen[:, None], chosen] if self.triangular else values[..., chosen]

    def per_feature(self, values: np.ndarray) -> np.ndarray:
        """A number of each feature (D,) as it may be added to variances."""
        return values

    def uncorrelated(self, variances: np.ndarray) -> np.ndarray:
        """The array for components of these variances, (K, D), without correlations; only if none is shared."""
        return variances[:, :, None] * np.eye(variances.shape[1]) if self.triangular else variances.copy()

    def invert_factors(self, factors: np.ndarray) -> np.ndarray:
        """Covariances from precision factors P: (P P^T)^-1."""
        if not self.triangular:
            return 1 / factors**2
        lower = np.swapaxes(inverse(self.matrices(factors)), 1, 2)
        return np.reshape([np.einsum("ij,kj->ik", one, one) for one in lower], factors.shape)

    def squared(self, values: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Covariances or scatters of such rows."""
        own = self.per_feature(scales)
        return values * (own[:, None] * own if self.triangular else own**2)
