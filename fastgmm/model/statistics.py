"""Sufficient statistics of a Gaussian mixture."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one E-step leaves of the rows: all that an M-step needs, and the log-likelihood.

    With r_nk the responsibilities, everything in float64. Statistics about the same reference add up, in any order
    and from any place.

    Attributes
    ----------
    reference : ndarray of shape (K, D)
        The means about which the moments are taken.
    counts : ndarray of shape (K,)
        sum_n r_nk
    sums : ndarray of shape (K, D)
        sum_n r_nk (x_n - reference_k)
    scatters : ndarray
        sum_n r_nk (x_n - reference_k) (x_n - reference_k)^T, (K, D, D) full; summed over k, (D, D) tied; its
        diagonals, (K, D) diag; its traces, (K,) spherical.
    log_likelihood : float
        sum_n log p(x_n)
    n_samples : float
        Number of rows, or the sum of their weights.
    resolution : float
        Machine epsilon of the rows' precision.
    """

    reference: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    scatters: np.ndarray
    log_likelihood: float
    n_samples: float
    resolution: float

    def merge(self, other: Self) -> Self:
        """The statistics of both sets of rows."""
        if not np.array_equal(self.reference, other.reference):
            raise ValueError(
                "statistics taken about different means do not add up: compute both under the same parameters"
            )
        return replace(
            self,
            counts=self.counts + other.counts,
            sums=self.sums + other.sums,
            scatters=self.scatters + other.scatters,
            log_likelihood=self.log_likelihood + other.log_likelihood,
            n_samples=self.n_samples + other.n_samples,
            resolution=max(self.resolution, other.resolution),
        )

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per row, the bound that EM raises."""
        return self.log_likelihood / self.n_samples
