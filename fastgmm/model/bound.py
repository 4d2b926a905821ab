"""A bound on the ratio of the variances of a mixture, under which its likelihood is bounded.

Sources: R. J. Hathaway, A constrained formulation of maximum-likelihood estimation for normal mixture distributions,
Annals of Statistics 13, 1985; L. A. García-Escudero, A. Gordaliza, C. Matrán, A. Mayo-Iscar, A general trimming
approach to robust cluster analysis, Annals of Statistics 36, 2008; H. Fritz, L. A. García-Escudero, A. Mayo-Iscar, A
fast algorithm for robust constrained clustering, Computational Statistics & Data Analysis 61, 2013.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import kernels
from .arrays import Arrays

if TYPE_CHECKING:
    from .structure import Structure

BOUNDED = {"VVV", "VVI", "VII", "EEE", "EEI", "EII"}  # structures that clipped variances do not leave


def bounded(structure: Structure, ratio: float, deviations: np.ndarray) -> Structure:
    """The structure with a bound on the ratio of variances, of features in units of these deviations (D,)."""
    if structure.letters not in BOUNDED:
        raise ValueError(
            f"covariance_ratio={ratio:g} with covariance_type={structure.name!r}: the most likely covariances of this "
            "structure and a bounded ratio have no closed form. Set covariance_type to 'full' ('VVV'), 'diag' ('VVI'), "
            "'spherical' ('VII', 'V'), 'tied' ('EEE'), 'EEI' or 'EII' ('E'), or leave covariance_ratio out."
        )
    bound = Bound(ratio, structure.per_feature(deviations), structure.constraint is not None)
    return structure.but(bound=bound, compiled=False)


class Bound(NamedTuple):
    """The largest variance in any direction is at most `ratio` times the smallest, over all components.

    Features are in units of `deviations` (D,), or of one for all, (1,); those of none are left out. No variance is less
    than `least`. `together` tells that components have the same covariance, in arrays that repeat it.
    """

    ratio: float
    deviations: np.ndarray
    together: bool
    least: float = 0.0

    def covariances(self, arrays: Arrays, weights: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        """The most likely covariances under it, given those of an M-step without it.

        Axes in these units remain, and variances along them are clipped.
        """
        if self.together:
            covariances = np.broadcast_to(np.average(covariances, axis=0, weights=weights), covariances.shape)
        shares = weights.sum(keepdims=True) if arrays.shared else weights
        kept, found = np.flatnonzero(self.deviations), np.array(covariances)
        own = self.deviations[kept]
        if not arrays.triangular:
            variances = arrays.diagonals(found)
            variances[:, kept] = clipped(variances[:, kept] / own**2, shares, self.ratio, self.least) * own**2
            return found
        matrices, block, units = arrays.matrices(found), (slice(None), kept[:, None], kept), own[:, None] * own
        relative = np.ascontiguousarray(matrices[block] / units)
        if np.isfinite(relative).all():
            axes, variances = np.empty_like(relative), np.empty(relative.shape[:2])
            kernels.CHOSEN.axes_of(relative, axes, variances)
            likeliest = clipped(variances, shares, self.ratio, self.least)
            if likeliest is not variances:
                roots = np.sqrt(likeliest)[:, :, None] * axes
                matrices[block] = units * np.einsum("kij,kil->kjl", roots, roots)
        return found


def clipped(variances: np.ndarray, weights: np.ndarray, ratio: float, least: float = 0.0) -> np.ndarray:
    """Variances (K, D) of components of these weights clipped to [m, ratio m], with the most likely m from `least` on.

    It minimizes sum_kj w_k (log c_kj + v_kj / c_kj), c the clipped ones, whose derivative by m has the sign of sum_kj
    w_k ((m - v_kj)_+ - (v_kj / ratio - m)_+): that rises with m, linearly between two of the v and v / ratio.
    """
    m, largest = max(variances.min(initial=math.inf), 0.0), variances.max(initial=0.0)  # but for rounding
    if not np.isfinite(largest) or (largest <= ratio * m and m >= least):
        return variances
    if largest > ratio * m:
        v, w = variances.ravel(), np.repeat(weights, variances.shape[1])
        reduced = v / ratio
        edges = np.unique([v, reduced])
        i = bisect_left(edges, 0.0, 1, key=lambda m: w @ np.fmax(m - v, 0.0) - w @ np.fmax(reduced - m, 0.0))
        low, high = v < edges[i], reduced >= edges[i]
        m = (w[low] @ v[low] + w[high] @ reduced[high]) / (w[low].sum() + w[high].sum())
    m = max(m, least)
    return np.clip(variances, m, ratio * m)
