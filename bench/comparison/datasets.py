"""Data for whole fits: one real set, and two drawn in the likeness of real ones. Each has rows held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .problems import Array


class Dataset(NamedTuple):
    """Rows to fit and rows held out."""

    train: Array
    test: Array


def digits(thin: int) -> Dataset:
    """scikit-learn's 1797 scanned digits, 64 pixels reduced to 20 dimensions by PCA; every fifth held out."""
    from sklearn.datasets import load_digits

    X = np.asarray(load_digits().data, float)
    X -= X.mean(axis=0)
    X = X @ np.linalg.svd(X, full_matrices=False)[2][:20].T
    held_out = np.arange(len(X)) % 5 == 0
    return Dataset(np.ascontiguousarray(X[~held_out]), np.ascontiguousarray(X[held_out]))


def terrain(thin: int) -> Dataset:
    """100 000 x 10 after the forest cover types: seven classes of very unequal size, skewed and correlated."""
    rng = np.random.default_rng(7)
    n, d = (100_000 + 20_000) // thin, 10
    shares = np.array([0.365, 0.488, 0.062, 0.005, 0.016, 0.030, 0.034])
    X = np.empty((n, d))
    labels = rng.choice(len(shares), size=n, p=shares / shares.sum())
    common = rng.normal(size=(d, d)) / np.sqrt(d)
    for j in range(len(shares)):
        rows = np.flatnonzero(labels == j)
        mixing = common + 0.5 * rng.normal(size=(d, d)) / np.sqrt(d) + 0.3 * np.eye(d)
        X[rows] = rng.normal(scale=1.2, size=d) + rng.normal(size=(len(rows), d)) @ mixing
    X[:, :4] = np.expm1(0.6 * X[:, :4])  # distances: skewed
    X[:, 4:7] = np.tanh(0.5 * X[:, 4:7])  # shades: bounded
    return split(X, 5 * n // 6)


def funnels(thin: int) -> Dataset:
    """50 000 x 15, eight curved funnels: the width of a mode changes 20-fold along it.

    After the public GMM-benchmark of J. Buchner, whose sets have 14 to 15 dimensions, 50 000 rows to fit, many modes
    and funnels, and which asks for the best likelihood of held-out rows.
    """
    rng = np.random.default_rng(15)
    n, d, modes = (50_000 + 10_000) // thin, 15, 8
    X = np.empty((n, d))
    labels = rng.choice(modes, size=n, p=rng.dirichlet(np.full(modes, 5.0)))
    for j in range(modes):
        rows = np.flatnonzero(labels == j)
        along = rng.normal(size=(len(rows), 1))
        across = rng.normal(size=(len(rows), d - 1)) * np.exp(0.75 * along * rng.uniform(0.5, 1.0, size=d - 1))
        across += rng.normal(size=d - 1) * along**2
        rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
        X[rows] = np.hstack([2 * along, across]) @ rotation + rng.normal(scale=3.0, size=d)
    return split(X, 5 * n // 6)


def split(X: Array, n_train: int) -> Dataset:
    """The first rows to fit, the others held out."""
    return Dataset(X[:n_train], X[n_train:])


class Problem(NamedTuple):
    """A data set by its name, and how many components to fit."""

    name: str
    draw: Callable[[int], Dataset]  # the argument divides the number of rows
    n_components: int


PROBLEMS = (
    Problem("digits", digits, 10),
    Problem("terrain", terrain, 7),
    *(Problem("funnels", funnels, k) for k in (5, 20, 60, 120)),
)


def mean_log_likelihood(X: Array, weights: Array, means: Array, covariances: Array) -> float:
    """Mean log-likelihood of rows under a mixture of full covariances, in plain NumPy: the judge of all libraries."""
    n, d = X.shape
    total = np.full(n, -np.inf)
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        factor = np.linalg.cholesky(np.asarray(covariance, float))
        distances = (np.linalg.solve(factor, (X - mean).T) ** 2).sum(axis=0)
        constant = np.log(weight) - np.log(np.diag(factor)).sum() - 0.5 * d * np.log(2 * np.pi)
        total = np.logaddexp(total, constant - 0.5 * distances)
    return float(total.mean())
