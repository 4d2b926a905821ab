"""Ward's agglomeration of a sample of the rows: one tree of merges serves every number of clusters."""

import math
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from ... import kernels
from ...model.spread import constant
from ...sources.complete import CompleteSource, Known, Labels, Nearest
from .kmeans import Random, draw_rows, sample_size

SAMPLE_ROWS = 2000  # the tree takes time for the square of this
STRETCH = 64  # merges between two looks at the clock
SPREAD_FEATURES = 1 << 10  # features looked at together


@dataclass(frozen=True, slots=True)
class MergeTree:
    """A dendrogram: the merges of clusters, one pair at a time, from single rows to one cluster of all.

    Attributes
    ----------
    absorbed, into : ndarray of shape (n - 1,)
        At each merge the cluster of the first row joins that of the second, and is never named again.
    costs : ndarray of shape (n - 1,)
        By how much each merge raised the sum of squares within clusters; never falls from one merge to the next.
    """

    absorbed: np.ndarray
    into: np.ndarray
    costs: np.ndarray

    def labels(self, n_clusters: int) -> np.ndarray:
        """The cluster of each row (n,) when `n_clusters` are left, numbered by their first rows."""
        n_merges = len(self.costs) + 1 - n_clusters
        owner = np.arange(len(self.costs) + 1)
        owner[self.absorbed[:n_merges]] = self.into[:n_merges]
        while not np.array_equal(owner, owner[owner]):
            owner = owner[owner]
        _, first, labels = np.unique(owner, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[labels]

    def runs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """An order of the rows (n,) in which the cluster that each merge makes is a run, from where and to where."""
        n = len(self.costs) + 1
        merges = list(zip(self.absorbed.tolist(), self.into.tolist(), strict=True))
        sizes, firsts = [1] * n, []
        for absorbed, into in merges:
            firsts.append(sizes[into])
            sizes[into] += sizes[absorbed]
        begin, end, runs = [0] * n, [n] * n, []
        for (absorbed, into), first in zip(reversed(merges), reversed(firsts), strict=True):
            runs.append((begin[into], end[into]))
            begin[absorbed], end[absorbed] = begin[into] + first, end[into]
            end[into] = begin[absorbed]
        return np.argsort(begin), *np.array(runs[::-1], np.intp).reshape(-1, 2).T


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A merge tree and the rows it is of.

    Attributes
    ----------
    points : ndarray of shape (n, D)
    weights : ndarray of shape (n,), or None for 1 each
    scale : ndarray of shape (D,)
        By what the features were divided.
    tree : MergeTree
    complete : bool
        Whether the points are all rows.
    """

    points: np.ndarray
    weights: np.ndarray | None
    scale: np.ndarray
    tree: MergeTree
    complete: bool


def ward(points: np.ndarray, weights: np.ndarray | None = None, deadline: float = math.inf) -> MergeTree:
    """Ward's hierarchy of points (n, D), by chains of nearest neighbors (Murtagh 1983), in n^2 D steps.

    Past the deadline the nearest are not sought any more: clusters merge in the order of their rows, at the largest
    cost so far.
    """
    n = len(points)
    centers = np.array(points.T, np.float64, order="C")
    centers -= points.mean(axis=0)[:, None]
    sizes = np.ones(n) if weights is None else weights.astype(np.float64)
    absorbed, into, heights = np.empty(n - 1, np.intp), np.empty(n - 1, np.intp), np.empty(n - 1)
    scratch, indices = np.zeros((2, n)), np.empty((2, n), np.intp)
    indices[0] = np.arange(n)
    stretch, done = n - 1 if deadline == math.inf else STRETCH, 0
    while done < n - 1 and perf_counter() < deadline:
        last = min(done + stretch, n - 1)
        kernels.CHOSEN.agglomerate(centers, sizes, scratch, indices, absorbed, into, heights, done, last)
        done = last
    left = np.sort(indices[0, : n - done])
    absorbed[done:], into[done:], heights[done:] = left[:-1], left[1:], heights[:done].max(initial=0.0)
    order = np.argsort(heights, kind="stable")
    return MergeTree(absorbed[order], into[order], heights[order])


def draw_sample(source: CompleteSource, n_clusters: int, random_state: Random) -> np.ndarray | None:
    """Indices of the rows that a tree is to be grown from; None means all."""
    size = sample_size(source.n_features, SAMPLE_ROWS, n_clusters)
    return None if source.n_samples <= size else draw_rows(source, size, random_state)


def grow(source: CompleteSource, sample: np.ndarray | None, deadline: float = math.inf) -> Hierarchy:
    """Ward's hierarchy of some rows, or of all, with features in units of their spread."""
    rows = source.take(sample)
    points, weights = rows.rows(slice(None)), rows.weights
    complete = sample is None
    if weights is not None and not weights.all():
        points, weights, complete = points[weights > 0], weights[weights > 0], False
    scale = spread(points, weights)
    return Hierarchy(points, weights, scale, ward(points / scale, weights, deadline), complete)


def clusters(source: CompleteSource, hierarchy: Hierarchy, n_clusters: int) -> Labels:
    """The cluster of each row (N,); the nearest by its mean when the hierarchy is of a sample."""
    labels = hierarchy.tree.labels(n_clusters)
    if hierarchy.complete:
        return Known(labels)
    counts = np.bincount(labels, minlength=n_clusters)
    sums = np.zeros((n_clusters, source.n_features))
    np.add.at(sums, labels, hierarchy.points)
    return Nearest(sums / counts[:, None], hierarchy.scale)


def spread(points: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Standard deviation of each feature (D,), one where it does not vary but by rounding."""
    means, deviations = np.average(points, axis=0, weights=weights), np.empty(points.shape[1])
    for start in range(0, len(deviations), SPREAD_FEATURES):
        part = slice(start, start + SPREAD_FEATURES)
        if weights is None:
            deviations[part] = points[:, part].std(axis=0)
        else:
            squares = (points[:, part] - means[part]) ** 2
            deviations[part] = np.sqrt(np.average(squares, axis=0, weights=weights))
    return np.where(constant(deviations, means), 1.0, deviations)
