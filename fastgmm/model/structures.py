"""The covariance structures. A new layout is a new class here, a new constraint on one a line in a table."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from ..kernels import COMMON_FRAME, DIAGONAL, TRIANGULAR
from .constraint import Constraint
from .factors import (
    add_to_diagonal,
    inverse_cholesky,
    invert_precisions,
    reciprocal_root,
)
from .parameters import Parameters
from .statistics import Statistics
from .structure import Structure


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

    @property
    def expanded(self) -> Structure:
        return FULL

    def expand(self, parameters: Parameters) -> Parameters:
        shape = self.expanded.covariance_shape(*parameters.means.shape)
        covariances = np.broadcast_to(parameters.covariances, shape)
        factors = np.broadcast_to(parameters.precisions_cholesky, shape)
        return replace(parameters, covariances=covariances, precisions_cholesky=factors)

    def pool(self, statistics: Statistics) -> Statistics:
        return replace(statistics, scatters=reduce(np.add, statistics.scatters), covariance_type=self.layout.name)


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
        return replace(statistics, scatters=reduce(np.add, statistics.scatters.T), covariance_type=self.layout.name)


FULL, TIED, DIAG, SPHERICAL = Full(), Tied(), Diagonal(), Spherical()
FULL.letters, TIED.letters, DIAG.letters, SPHERICAL.letters = "VVV", "EEE", "VVI", "VII"

# mclust's names, from the most parsimonious one on: layouts, by whether they are all that a name says.
MCLUST: dict[str, tuple[Structure, bool]] = {
    "EII": (SPHERICAL, False),
    "VII": (SPHERICAL, True),
    "EEI": (DIAG, False),
    "VEI": (DIAG, False),
    "EVI": (DIAG, False),
    "VVI": (DIAG, True),
    "EEE": (TIED, True),
    "VEE": (FULL, False),
    "EVE": (FULL, False),
    "VVE": (FULL, False),
    "EEV": (FULL, False),
    "VEV": (FULL, False),
    "EVV": (FULL, False),
    "VVV": (FULL, True),
}
UNIVARIATE = {"E": SPHERICAL.under("E", Constraint("EII"), univariate=True), "V": SPHERICAL.under("V", univariate=True)}

LAYOUTS: dict[str, Structure] = {structure.name: structure for structure in (FULL, TIED, DIAG, SPHERICAL)}
STRUCTURES = LAYOUTS | {
    name: layout.under(name, None if free else Constraint(name)) for name, (layout, free) in MCLUST.items()
}
STRUCTURES |= UNIVARIATE
for structure in (*LAYOUTS.values(), *STRUCTURES.values()):
    structure.compiled = True
UNCONSTRAINED = [name for name, structure in STRUCTURES.items() if structure.constraint is None]
CONSTRAINED = [name for name in MCLUST if name not in UNCONSTRAINED]
