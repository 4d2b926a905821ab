"""From K components to more: a new one goes where a cluster of the hierarchy is least explained by the mixture."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from ...model.fitted import Fitted
from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.array import ArraySource
from ..optima.merging import assembled
from ..starts.hierarchical import Hierarchy

LEAST_ROWS = 5  # of a cluster, and one more than there are features: fewer say little
NARROW = 1e-6  # of the variance of all rows: narrower clusters are taken for as wide


@dataclass(frozen=True, slots=True)
class Clusters:
    """Clusters of all sizes of a hierarchy: runs of its points in some order.

    Attributes
    ----------
    points : ndarray of shape (n, D)
    weights : ndarray of shape (n,)
        Parts of the whole.
    begin, end : ndarray of shape (M,)
        The run of each cluster.
    shares : ndarray of shape (M,)
        Parts of the whole.
    means, variances : ndarray of shape (M, D)
    log_densities : ndarray of shape (M,)
        Of a new row of each cluster, in the mean, under its own Gaussian without correlations.
    """

    points: np.ndarray
    weights: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    shares: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    log_densities: np.ndarray

    @classmethod
    def of(cls, hierarchy: Hierarchy) -> Self:
        """The clusters of enough rows."""
        order, begin, end = hierarchy.tree.runs()
        points, weights = hierarchy.points[order], np.ones(len(order))
        if hierarchy.weights is not None:
            weights = hierarchy.weights[order].astype(np.float64)
        weights /= weights.sum()
        enough = end - begin >= max(LEAST_ROWS, points.shape[1] + 1)
        begin, end = begin[enough], end[enough]
        center = points.mean(axis=0)
        relative = (points - center) / hierarchy.scale
        shares = total(weights, begin, end)
        means = total(weights[:, None] * relative, begin, end) / shares[:, None]
        squares = total(weights[:, None] * relative**2, begin, end) / shares[:, None]
        n_rows = (end - begin)[:, None]
        unbiased = np.maximum(squares - means**2, 0.0) * n_rows / (n_rows - 1)
        variances = np.maximum(unbiased, NARROW)
        optimism = (1 + 1 / n_rows) * (n_rows - 1) / (n_rows - 3)  # a row that has not shaped the cluster lies farther
        terms = np.log(2 * math.pi * variances * hierarchy.scale**2) + optimism * unbiased / variances
        means, variances = center + means * hierarchy.scale, variances * hierarchy.scale**2
        return cls(points, weights, begin, end, shares, means, variances, -0.5 * terms.sum(axis=1))

    def least_explained(self, log_densities: np.ndarray, number: int) -> list[int]:
        """Disjoint clusters whose likelihood would rise most if they were components of their own, the first most."""
        own = self.shares * (np.log(self.shares) + self.log_densities)
        gains = own - total(self.weights * log_densities, self.begin, self.end)
        free, chosen = np.ones(len(gains), dtype=bool), list[int]()
        while free.any() and len(chosen) < number:
            chosen.append(int(np.where(free, gains, -np.inf).argmax()))
            free &= (self.end <= self.begin[chosen[-1]]) | (self.begin >= self.end[chosen[-1]])
        return chosen


def total(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sums over runs of rows."""
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    return sums[end] - sums[begin]


def insertions(structure: Structure, parameters: Parameters, clusters: Clusters, number: int) -> list[Parameters]:
    """The mixture with one more component, at each of the clusters that it explains least.

    To grow a mixture by one component at a time, where the likelihood gains most, is due to N. Vlassis and A. Likas,
    A greedy EM algorithm for Gaussian mixture learning, Neural Processing Letters 15, 2002.
    """
    rows = ArraySource(clusters.points, 1)
    log_densities = rows.log_likelihoods(rows.model(Fitted(structure, parameters)))
    chosen = clusters.least_explained(log_densities, number)
    return [
        inserted(structure, parameters, clusters.shares[i], clusters.means[i], clusters.variances[i]) for i in chosen
    ]


def inserted(
    structure: Structure, parameters: Parameters, share: float, mean: np.ndarray, variances: np.ndarray
) -> Parameters:
    """The mixture with one more component, without correlations, that takes a share of the weight of all others."""
    parts = structure.expand(parameters)
    return assembled(
        structure,
        np.append((1 - share) * parts.weights, share),
        np.concatenate([parts.means, mean[None]]),
        np.concatenate([parts.covariances, structure.expanded.uncorrelated(variances[None])]),
        parameters.noise,
    )


def recast(structure: Structure, parameters: Parameters, other: Structure) -> Parameters:
    """The mixture as another structure has it: what that cannot say is left out or averaged."""
    parts = structure.expand(parameters)
    if structure.triangular and other.triangular:
        covariances = parts.covariances
    else:
        covariances = other.expanded.uncorrelated(structure.expanded.variances(parts.covariances, *parts.means.shape))
    if parameters.noise is None or other.noisy:
        return assembled(other, parts.weights, parts.means, covariances, parameters.noise)
    return assembled(other, parts.weights / parts.weights.sum(), parts.means, covariances, None)
