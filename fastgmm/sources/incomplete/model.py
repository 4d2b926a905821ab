"""A mixture as the kernels for rows with gaps read it."""

from typing import Any, NamedTuple

import numpy as np

from ...kernels import COMMON_FRAME
from ...model.factors import inverse
from ...model.kernel_model import center
from ...model.parameters import Parameters
from ...model.structure import Structure

FAR = 1e3  # standard deviations from the origin of a common frame at which it takes digits of a row


class IncompleteModel(NamedTuple):
    """A mixture as the kernels for rows with gaps read it; everything float64."""

    kind: int
    log_weights: np.ndarray  # (K,)
    centers: np.ndarray  # (K, D)
    covariances: np.ndarray  # (K, D, D) if TRIANGULAR, (K, D) if DIAGONAL, (D, D) if COMMON_FRAME; flat
    noise: np.ndarray  # (D + 3,) see `Noise.logs`; nothing without noise
    scales: np.ndarray  # (D,) what rows are multiplied by before the kernels see them

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the kernels are given."""
        return self[:5]

    @property
    def n_columns(self) -> int:
        """How many responsibilities a row has."""
        return len(self.centers) + (self.noise.size > 0)


def summed_as(structure: Structure) -> Structure:
    """The structure whose sums the kernels leave: one variance for all features, say, would save them nothing."""
    own = structure.triangular and (not structure.shared or structure.kind == COMMON_FRAME)
    return structure if own else structure.expanded


def incomplete_model(structure: Structure, parameters: Parameters, scales: np.ndarray | None = None) -> IncompleteModel:
    """The mixture as the kernels for rows with gaps read it.

    Covariances follow from their factors, since an extrapolated point has no others.
    """
    summed = summed_as(structure)
    scales = np.ones(parameters.means.shape[1]) if scales is None else scales
    parameters = summed.rescaled(parameters if summed is structure else structure.expand(parameters), scales)
    factors = parameters.precisions_cholesky
    if summed.triangular:
        roots = inverse(summed.matrices(factors))
        covariances = np.einsum("kji,kjl->kil", roots, roots)
    else:
        covariances = factors**-2.0
    means = np.ascontiguousarray(parameters.means)
    noise = np.empty(0) if parameters.noise is None else parameters.noise.logs(parameters.noise_weight)
    return IncompleteModel(summed.kind, parameters.log_weights, means, np.ravel(covariances), noise, scales)


def model_of_rows(structure: Structure, parameters: Parameters, scales: np.ndarray | None = None) -> IncompleteModel:
    """The same for questions about single rows, which keep their digits however far apart the means are."""
    if summed_as(structure).kind == COMMON_FRAME:  # its origin lies amid the means
        own = structure.expand(parameters)
        distances = np.einsum("ki,kij->kj", own.means - center(own), own.precisions_cholesky)
        if not np.abs(distances).max() < FAR:
            return incomplete_model(structure.expanded, own, scales)
    return incomplete_model(structure, parameters, scales)
