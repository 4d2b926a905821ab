"""The parameters of a Gaussian mixture."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weights, means and covariances of a mixture, with the factors that whiten samples.

    Everything is float64. The last two attributes have the shape of the covariance structure: (K, D, D) full,
    (D, D) tied, (K, D) diag, (K,) spherical.

    Attributes
    ----------
    weights : ndarray of shape (K,)
        Mixing proportions, summing to one.
    means : ndarray of shape (K, D)
    covariances : ndarray
        Covariance matrices, or variances for diag and spherical.
    precisions_cholesky : ndarray
        Upper triangular P with inverse covariance P P^T, so that a sample is whitened by (x - mean) P; the square
        root of the precision for diag and spherical.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    precisions_cholesky: np.ndarray
