"""Moves from one optimum toward others: a component goes elsewhere, or the rows are weighed otherwise for a while.

To take a component from where there are too many to where there are too few is the split and merge of N. Ueda et al.,
SMEM algorithm for mixture models, Neural Computation 12, 2000; to run EM under random weights of rows, as in the
Bayesian bootstrap, gets out of optima that a few rows hold (M. A. Newton and A. E. Raftery, Journal of the Royal
Statistical Society B 56, 1994, has the weights).
"""

import math

import numpy as np

from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.array import ArraySource
from ..em import expectation_maximization
from ..settings import Settings
from ..starts.kmeans import Random
from ..starts.methods import Goal
from .cloud import Cloud
from .merging import Parts, assembled, joined, parts_of

NEIGHBORS = 3  # of a component, of which one is merged with it
WORST_OF = 8  # random rows, of which the one that is explained worst is a place for a component
MOST_SHRUNK = 4.0  # by which a component there may have less than its share of the rows
OWN = 0.9  # of the covariance of its rows, and the rest of what all rows have
PASSES = (2, 5, 10)  # under random weights


def moved(cloud: Cloud, parameters: Parameters, random_state: Random) -> Parameters:
    """The mixture with one of its components elsewhere."""
    structure = cloud.structure
    parts = without_one(structure, parts_of(structure, parameters), random_state)
    place = random_state.uniform()
    if place < 1 / 3:
        parts = split(structure, parts, random_state)
    else:
        rows = cloud.draw(1 if place < 2 / 3 else WORST_OF, random_state)
        row = rows[0] if len(rows) == 1 else rows[cloud.log_likelihoods(parameters, rows).argmin()]
        parts = with_another(cloud, parts, row, random_state)
    return assembled(structure, *parts[:3], parameters.noise)


def without_one(structure: Structure, parts: Parts, random_state: Random) -> Parts:
    """One component fewer: it is left out, or merged with one of those that are near."""
    n, total = len(parts.weights), parts.weights.sum()
    gone = int(random_state.uniform() * n)
    kept = np.delete(np.arange(n), gone)
    if n > 2 and random_state.uniform() < 0.5:
        near = nearest_components(structure, parts, gone)[:NEIGHBORS]
        other = near[int(random_state.uniform() * len(near))]
        joint = joined(structure.expanded, parts, np.array([other]), np.array([gone]))
        for values, one in zip(parts, joint, strict=True):
            values[other] = one[0]
    left = Parts(*(values[kept] for values in parts))
    return left._replace(weights=left.weights * (total / left.weights.sum()))


def nearest_components(structure: Structure, parts: Parts, k: int) -> np.ndarray:
    """The other components by their distance from one, in its own deviations."""
    shifts, own = parts.means - parts.means[k], parts.covariances[k]
    if structure.triangular:
        away = (shifts * np.linalg.solve(own, shifts.T).T).sum(axis=1)
    else:
        away = (shifts**2 / own).sum(axis=1)
    order = away.argsort(kind="stable")
    return order[order != k]


def split(structure: Structure, parts: Parts, random_state: Random) -> Parts:
    """A component, drawn by its weight, becomes two halves, along a random direction of its ellipsoid."""
    expanded, n_features = structure.expanded, parts.means.shape[1]
    shares = np.cumsum(parts.weights)
    k = min(int(np.searchsorted(shares, random_state.uniform() * shares[-1])), len(shares) - 1)
    direction = np.asarray(random_state.standard_normal(n_features))
    half = math.sqrt(2 / math.pi / float(direction @ direction))  # the mean of half a standard normal variable
    own = parts.covariances[k]
    shift = half * (np.linalg.cholesky(own) @ direction if structure.triangular else np.sqrt(own) * direction)
    rest = parts.covariances[k] - expanded.outer(shift[None])[0]
    halves = np.append(parts.weights, parts.weights[k] / 2)
    halves[k] /= 2
    means = np.concatenate([parts.means, parts.means[k : k + 1] + shift])
    means[k] -= shift
    covariances = np.concatenate([parts.covariances, rest[None]])
    covariances[k] = rest
    return parts._replace(weights=halves, means=means, covariances=covariances)


def with_another(cloud: Cloud, parts: Parts, row: int, random_state: Random) -> Parts:
    """A component more, of the rows that are nearest to one."""
    total = parts.weights.sum()
    part = 1 / ((len(parts.weights) + 1) * (1 + (MOST_SHRUNK - 1) * random_state.uniform()))
    rows = cloud.near(row, part)
    mean, own = cloud.moments(rows)
    covariance = OWN * own + (1 - OWN) * part * cloud.pooled
    return parts._replace(
        weights=np.append((1 - part) * parts.weights, part * total),
        means=np.concatenate([parts.means, mean[None]]),
        covariances=np.concatenate([parts.covariances, covariance[None]]),
    )


def perturbed(cloud: Cloud, goal: Goal, parameters: Parameters, random_state: Random) -> Parameters:
    """Where EM goes in a few passes while rows have random weights."""
    source = cloud.source
    n_passes = PASSES[int(random_state.uniform() * len(PASSES))]
    weights = random_state.exponential(size=source.n_samples) ** (1 if random_state.uniform() < 0.5 else 2)
    weights *= cloud.weights
    weights = (weights / weights.mean()).astype(source.dtype)
    rows = ArraySource(source.X, source.workers, source.kernels, weights)
    settings = Settings(tol=0.0, max_iter=n_passes, deadline=goal.deadline)
    return expectation_maximization(rows, goal.m_step.on(rows), parameters, settings).parameters
