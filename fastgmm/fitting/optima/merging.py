"""From K components to fewer: a good fit of K is a good start for K - 1, once the right two components are merged."""

from typing import NamedTuple

import numpy as np

from ...model.noise import Noise
from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import Structure

Indices = np.ndarray | int

BLOCK = 1 << 18  # numbers in the covariances of pairs that are looked at together


class Parts(NamedTuple):
    """Components as `structure.expanded` describes them, and the log-determinants of their covariances."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    log_volumes: np.ndarray


def merged(structure: Structure, parameters: Parameters, n_components: int) -> Parameters:
    """The mixture after merging pairs, cheapest first, until so many components are left.

    Two components become the one Gaussian of their weight, mean and covariance. Of all pairs it is the one that raises
    the sum of w log det S least: a bound on what the mixture loses by it (A. R. Runnalls, Kullback-Leibler approach to
    Gaussian mixture reduction, IEEE Transactions on Aerospace and Electronic Systems 43, 2007, section VI).
    """
    expanded, parts = structure.expanded, parts_of(structure, parameters)
    costs = costs_of_merging(expanded, parts)
    left = np.arange(len(costs))
    while len(left) > n_components:
        kept, gone = divmod(int(costs.argmin()), len(costs))
        for values, joint in zip(parts, joined(expanded, parts, kept, np.array([gone])), strict=True):
            values[kept] = joint[0]
        left, costs[gone], costs[:, gone] = left[left != gone], np.inf, np.inf
        others = left[left != kept]
        costs[np.minimum(kept, others), np.maximum(kept, others)] = rises(expanded, parts, kept, others)
    weights, means, covariances = (values[left] for values in parts[:3])
    return assembled(structure, weights, means, covariances, parameters.noise)


def assembled(
    structure: Structure, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, noise: Noise | None
) -> Parameters:
    """The mixture of components as `structure.expanded` describes them, and of noise, which has what weights lack."""
    scatters = column(weights, covariances) * covariances
    own = np.zeros_like(means), scatters, 0.0, 1.0, 0.0, structure.expanded.layout.name
    moments = Statistics(means, weights, *own, noise=noise)
    return structure.maximize(structure.pool(moments), 0.0)


def parts_of(structure: Structure, parameters: Parameters) -> Parts:
    """The components of a mixture, in arrays of their own."""
    parts = structure.expand(parameters)
    weights, means, covariances = (np.array(values) for values in (parts.weights, parts.means, parts.covariances))
    return Parts(weights, means, covariances, log_volumes(structure.expanded, covariances))


def costs_of_merging(expanded: Structure, parts: Parts) -> np.ndarray:
    """What each pair costs to merge, (K, K): inf but above the diagonal."""
    n = len(parts.weights)
    costs = np.full((n, n), np.inf)
    first, second = np.triu_indices(n, 1)
    size = max(1, BLOCK // parts.covariances[0].size)
    for begin in range(0, len(first), size):
        i, j = first[begin : begin + size], second[begin : begin + size]
        costs[i, j] = rises(expanded, parts, i, j)
    return costs


def rises(expanded: Structure, parts: Parts, i: Indices, j: Indices) -> np.ndarray:
    """By how much merging each pair raises the sum of w log det S."""
    weights, volumes = parts.weights, parts.log_volumes
    total, _, _, joint = joined(expanded, parts, i, j)
    return total * joint - weights[i] * volumes[i] - weights[j] * volumes[j]


def joined(expanded: Structure, parts: Parts, i: Indices, j: Indices) -> Parts:
    """Each pair together, as one component."""
    weights, means, covariances = parts.weights, parts.means, parts.covariances
    total = weights[i] + weights[j]
    share = weights[j] / total
    shift = means[j] - means[i]
    within = column(1 - share, covariances) * covariances[i] + column(share, covariances) * covariances[j]
    both = within + expanded.outer(np.sqrt(share * (1 - share))[:, None] * shift)
    return Parts(total, means[i] + share[:, None] * shift, both, log_volumes(expanded, both))


def log_volumes(expanded: Structure, covariances: np.ndarray) -> np.ndarray:
    """Log-determinants of covariances."""
    return -2 * np.log(expanded.diagonals(expanded.factorize(covariances))).sum(axis=1)


def column(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A number for each component, to be multiplied with what each component has."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
