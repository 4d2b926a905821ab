"""The parameters of a Gaussian mixture."""

from dataclasses import dataclass

import numpy as np

from .masked import masked
from .noise import Noise

ROUNDING = 1e-14  # of the sum of weights


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weights, means and covariances of a mixture, with the factors that whiten samples.

    Everything is float64. Covariances and their factors have the shape of the covariance structure: (K, D, D) full,
    (D, D) tied, (K, D) diag, (K,) spherical.

    Attributes
    ----------
    weights : ndarray of shape (K,)
        Mixing proportions, summing to one, with that of noise: what is reported.
    means : ndarray of shape (K, D)
    covariances : ndarray
        Covariance matrices, or variances for diag and spherical.
    precisions_cholesky : ndarray
        Upper triangular P with inverse covariance P P^T, so that a sample is whitened by (x - mean) P; the square
        root of the precision for diag and spherical.
    expected_log_weights : ndarray of shape (K,), or None
        What the E-step takes for the logarithms of the weights where it is not these: an expectation under a posterior,
        whose exponentials need not sum to one.
    axes : ndarray of shape (D, D), or None
        The axes that all covariances have in common, one in each row, where an M-step has to go on from them.
    noise : Noise, or None
        A component of noise, whose weight is what `weights` lack.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    precisions_cholesky: np.ndarray
    expected_log_weights: np.ndarray | None = None
    axes: np.ndarray | None = None
    noise: Noise | None = None

    @property
    def noise_weight(self) -> float:
        """The weight of noise: zero where there is none."""
        rest = 0.0 if self.noise is None else 1 - float(self.weights.sum())
        return rest if rest > ROUNDING else 0.0

    @property
    @masked
    def log_weights(self) -> np.ndarray:
        """The logarithms of weights that the E-step reads, (K,); -inf for a weight of zero."""
        if self.expected_log_weights is not None:
            return self.expected_log_weights
        return np.log(self.weights)
