"""The steps between passes, by the compiled kernels: what a pass reads, what its sums are, and the M-step.

A structure takes them as they are, or puts others in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from .. import kernels
from ..kernels import COMMON_FRAME, DIAGONAL, TRIANGULAR
from .factors import algebra_workspace
from .kernel_model import KernelModel, center
from .parameters import Parameters
from .statistics import Statistics

if TYPE_CHECKING:
    from .priors import NormalWishart
    from .structure import Structure

NOTHING = np.empty(0)

# A scatter within components is left to a difference only while that about a point is at most this many times as large:
# beyond, the difference would lose that many times the precision of the sums.
LARGEST_RATIO = {np.dtype(np.float64): 1e6, np.dtype(np.float32): 1e2}


class CancellationError(ArithmeticError):
    """Scatters that follow from a difference would be poor: accumulate by the `expanded` structure."""


def check_digits(within: float, total: float, dtype: np.dtype) -> None:
    """Refuse a scatter within components that follows from one about a point, by their traces in a common frame."""
    if total > within * LARGEST_RATIO[dtype]:
        raise CancellationError


def flat(values: np.ndarray) -> np.ndarray:
    """All numbers in a row, as the kernels take arrays of any shape."""
    return np.ascontiguousarray(values).ravel()


class Totals(Protocol):
    """Location and scatter of all rows, which structures with a common frame need beside a pass.

    A scatter is a D x D matrix: none but structures with matrices may ask for it.
    """

    @property
    def origin(self) -> np.ndarray:
        """A point amid the rows (D,)."""

    @property
    def scatter(self) -> np.ndarray:
        """Scatter of all rows about the origin (D, D)."""

    @property
    def squares(self) -> np.ndarray:
        """Sums of squares of all rows about the origin along each feature (D,)."""


def described(
    structure: Structure, parameters: Parameters, dtype: np.dtype, origin: np.ndarray | None, units: np.ndarray | None
) -> KernelModel:
    """The mixture as the kernels read it; see `Structure.kernel_model`."""
    means, factors = np.ascontiguousarray(parameters.means), flat(parameters.precisions_cholesky)
    (n_components, n_features), triangle = means.shape, means.shape[1] * (means.shape[1] + 1) // 2
    framed = structure.kind == COMMON_FRAME
    n_scales = {TRIANGULAR: triangle, DIAGONAL: n_features, COMMON_FRAME: 1}[structure.kind]
    noise = parameters.noise
    model = KernelModel(
        structure.kind,
        np.empty(n_components + (noise is not None), dtype),
        np.empty(means.shape, dtype),
        np.empty(means.shape if structure.kind == TRIANGULAR else (0, 0), dtype),
        np.empty(n_components * n_scales, dtype),
        (center(parameters) if origin is None else origin) if framed else NOTHING,
        np.empty(triangle) if framed and structure.triangular else NOTHING,
    )
    weights = np.ascontiguousarray(parameters.weights), parameters.expected_log_weights
    own = structure.kind, structure.triangular, structure.shared, *weights, means, factors, units, model.origin
    places = model.offsets[:n_components], model.centers, model.center_rounding, model.factors, model.whitener
    kernels.CHOSEN.describe_mixture(*own, *places)
    if noise is not None:
        model.offsets[-1] = noise.offset(parameters.noise_weight, units)
    return model


def moments(
    structure: Structure, parameters: Parameters, model: KernelModel, sums: np.ndarray, totals: Totals
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, and sums and scatters about them, from the kernel's sums; see `Structure.moments`."""
    means, factors = np.ascontiguousarray(parameters.means), flat(parameters.precisions_cholesky)
    first, second = np.empty(means.shape), np.empty(structure.covariance_shape(*means.shape))
    how, framed = (structure.kind, structure.triangular, structure.shared), structure.kind == COMMON_FRAME
    scatter = np.ascontiguousarray(totals.scatter) if framed and structure.triangular else None
    workspace = algebra_workspace(means) if structure.triangular else NOTHING
    found = sums.ravel(), means, factors, model.centers, model.origin, scatter, LARGEST_RATIO[model.centers.dtype]
    if not kernels.CHOSEN.moments_of(*how, *found, workspace, np.empty(len(means)), first, second.ravel()):
        raise CancellationError
    return parameters.means, first, second


def estimated_conjugate(
    structure: Structure,
    statistics: Statistics,
    reg_covar: float | np.ndarray,
    prior: NormalWishart,
    per_row: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means, covariances and degrees of freedom of the posterior; each row adds `per_row` to the latter."""
    reference, scatters = np.ascontiguousarray(statistics.reference), statistics.scatters
    (n_components, n_features), covariances = reference.shape, np.empty(scatters.shape)
    weights, means = np.empty(n_components), np.empty(reference.shape)
    degrees = np.empty(1 if structure.shared else n_components)
    kernels.CHOSEN.maximize_conjugate(
        structure.triangular,
        structure.shared,
        np.ascontiguousarray(statistics.counts),
        np.ascontiguousarray(statistics.sums),
        flat(scatters),
        reference,
        10 * statistics.resolution,
        np.array(reg_covar, np.float64, ndmin=1),
        prior.mean_precision,
        prior.degrees_of_freedom,
        per_row,
        np.ascontiguousarray(prior.mean, np.float64),
        flat(prior.scale),
        np.empty(2 * n_features),
        weights,
        means,
        covariances.ravel(),
        degrees,
    )
    return weights, means, covariances, degrees


def estimated(
    structure: Structure, statistics: Statistics, reg_covar: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and covariances under which the statistics are most likely."""
    reference, scatters = np.ascontiguousarray(statistics.reference), statistics.scatters
    weights, means, covariances = np.empty(len(reference)), np.empty(reference.shape), np.empty(scatters.shape)
    kernels.CHOSEN.maximize(
        structure.triangular,
        structure.shared,
        np.ascontiguousarray(statistics.counts),
        np.ascontiguousarray(statistics.sums),
        flat(scatters),
        reference,
        10 * statistics.resolution,
        np.array(reg_covar, np.float64, ndmin=1),
        weights,
        means,
        covariances.ravel(),
    )
    return weights, means, covariances
