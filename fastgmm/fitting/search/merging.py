"""From K components to fewer: a good fit of K is a good start for K - 1, once the right two components are merged."""

import math

import numpy as np

from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import Structure


def merged(structure: Structure, parameters: Parameters, n_components: int) -> Parameters:
    """The mixture after merging pairs, cheapest first, until so many components are left."""
    while len(parameters.weights) > n_components:
        parameters = merge_closest(structure, parameters)
    return parameters


def merge_closest(structure: Structure, parameters: Parameters) -> Parameters:
    """The mixture with two components replaced by the one Gaussian of their weight, mean and covariance.

    Of all pairs it is the one that raises the sum of w log det S least: a bound on what the mixture loses by it
    (A. R. Runnalls, Kullback-Leibler approach to Gaussian mixture reduction, IEEE Transactions on Aerospace and
    Electronic Systems 43, 2007, section VI).
    """
    expanded, parts = structure.expanded, structure.expand(parameters)
    kept, gone = closest_pair(expanded, parts)
    arrays = tuple(np.array(values) for values in (parts.weights, parts.means, parts.covariances))
    for values, joint in zip(arrays, joined(expanded, parts, kept, np.array([gone])), strict=True):
        values[kept] = joint[0]
    weights, means, covariances = (np.delete(values, gone, axis=0) for values in arrays)
    return assembled(structure, weights, means, covariances)


def assembled(structure: Structure, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Parameters:
    """The mixture of components as `structure.expanded` describes them."""
    scatters = column(weights, covariances) * covariances
    moments = Statistics(means, weights, np.zeros_like(means), scatters, 0.0, 1.0, 0.0, structure.expanded.name)
    return structure.maximize(structure.pool(moments), 0.0)


def closest_pair(expanded: Structure, parts: Parameters) -> tuple[int, int]:
    """The two components that cost least to merge, in their order."""
    weights, volumes = parts.weights, log_volumes(expanded, parts.covariances)
    best = (math.inf, 0, 1)
    for i in range(len(weights) - 1):
        others = np.arange(i + 1, len(weights))
        total, _, covariances = joined(expanded, parts, i, others)
        costs = total * log_volumes(expanded, covariances) - weights[i] * volumes[i] - (weights * volumes)[others]
        best = min(best, (float(costs.min()), i, int(others[costs.argmin()])))
    return best[1:]


def joined(
    expanded: Structure, parts: Parameters, i: int, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight, mean and covariance of component i together with each of the others."""
    weights, means, covariances = parts.weights, parts.means, parts.covariances
    total = weights[i] + weights[others]
    share = weights[others] / total
    shift = means[others] - means[i]
    within = column(1 - share, covariances) * covariances[i] + column(share, covariances) * covariances[others]
    between = expanded.outer(np.sqrt(share * (1 - share))[:, None] * shift)
    return total, means[i] + share[:, None] * shift, within + between


def log_volumes(expanded: Structure, covariances: np.ndarray) -> np.ndarray:
    """Log-determinants of covariances."""
    return -2 * np.log(expanded.diagonals(expanded.factorize(covariances))).sum(axis=1)


def column(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A number for each component, to be multiplied with what each component has."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
