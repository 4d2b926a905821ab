"""Samples of a mixture."""

from __future__ import annotations

import numpy as np

from .factors import root
from .structure import Structure


def draw(
    structure: Structure,
    rng: np.random.RandomState | np.random.Generator,
    means: np.ndarray,
    covariances: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """So many samples of each component, one component after the other, (N, D).

    They are normal numbers by a root of the covariance. ValueError names a component whose covariance has none.
    """
    n_features = means.shape[1]
    normal = {int(k): rng.standard_normal(size=(int(counts[k]), n_features)) for k in np.flatnonzero(counts)}
    if structure.triangular:
        stack = structure.matrices(covariances)
        roots = [root(stack[0], None)] * len(means) if structure.shared else {k: root(stack[k], k) for k in normal}
        return np.concatenate([means[:0], *(means[k] + values @ roots[k] for k, values in normal.items())])
    deviations = np.sqrt(structure.variances(covariances, *means.shape))
    return np.concatenate([means[:0], *(means[k] + values * deviations[k] for k, values in normal.items())])
