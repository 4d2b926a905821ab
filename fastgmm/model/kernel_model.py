"""A mixture as the kernels read it."""

from typing import Any, NamedTuple

import numpy as np

from .parameters import Parameters


class Tails(NamedTuple):
    """What makes Student's t distributions of Gaussian ones; see tails.pxd."""

    numbers: np.ndarray | None = None  # (3, K) constants, exponents and degrees of freedom; None leaves Gaussian ones
    apart: bool = False  # whether a density is a product over features


class KernelModel(NamedTuple):
    """A mixture as the kernels read it, in the precision of the rows; the formulae stand in kernels.pyx."""

    kind: int
    offsets: np.ndarray  # (K,) log pi_k + log det(factor) - D/2 log 2 pi, and that of noise where there is some
    centers: np.ndarray  # (K, D)
    center_rounding: np.ndarray  # (K, D), or nothing
    factors: np.ndarray  # packed (K, D (D + 1) / 2), (K, D) or (K,); flat
    origin: np.ndarray  # (D,) float64, or nothing
    whitener: np.ndarray  # packed (D (D + 1) / 2,) float64, or nothing
    scales: np.ndarray | None = None  # (D,) what rows are multiplied by before the kernels see them
    log_volume: float = 0.0  # what is taken off log densities, which are per unit of volume
    tails: Tails = Tails()  # of the densities of single rows

    @property
    def n_columns(self) -> int:
        """How many responsibilities a row has."""
        return len(self.offsets)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the kernels are given."""
        return self[:7]


def center(parameters: Parameters) -> np.ndarray:
    """The mean of the mixture."""
    weights = parameters.weights
    if parameters.noise is not None:  # which may have all of the weight
        weights = np.maximum(weights, np.finfo(float).tiny)
        weights = weights / weights.sum()
    return np.cumsum(weights[:, None] * np.ascontiguousarray(parameters.means), axis=0)[-1]  # as kernels do
