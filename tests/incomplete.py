"""The slow twin for rows with gaps: each row by itself, by the textbook formulae, in plain NumPy.

Everything is float64, solved by LU; only `reference.dense` is shared. NaN is what is missing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from reference import Array, Model, dense, scatter_shape


class Moments(NamedTuple):
    """Expected statistics given what is observed, scatters (K, D, D) whatever the structure."""

    counts: Array
    sums: Array
    scatters: Array
    log_likelihood: float


class Row(NamedTuple):
    """What a mixture says of one row."""

    log_likelihood: float
    responsibilities: Array  # (K,)
    means: Array  # (K, D) of the whole row, by component
    covariances: Array  # (K, D, D) likewise


def of_row(x: Array, model: Model) -> Row:
    """Density of what is observed, and the conditional distributions of the rest."""
    weights, centers = np.asarray(model.weights, float), np.asarray(model.means, float)
    covariances = dense(model.structure, model.covariances, *centers.shape).astype(float)
    seen = ~np.isnan(x)
    o, m = np.flatnonzero(seen), np.flatnonzero(~seen)
    observed, between = covariances[:, o[:, None], o], covariances[:, o[:, None], m]
    z = x[o] - centers[:, o]
    solved = np.linalg.solve(observed, np.concatenate([z[:, :, None], between], axis=2))
    squares = np.einsum("ko,ko->k", z, solved[:, :, 0])
    with np.errstate(divide="ignore"):
        logs = np.log(weights) - 0.5 * (np.linalg.slogdet(observed)[1] + len(o) * np.log(2 * np.pi) + squares)
    means, spreads = centers.copy(), np.zeros_like(covariances)
    means[:, o] = x[o]
    means[:, m] += np.einsum("kom,ko->km", between, solved[:, :, 0])
    rest = np.einsum("kol,kom->klm", between, solved[:, :, 1:])
    spreads[:, m[:, None], m] = covariances[:, m[:, None], m] - rest
    total = np.logaddexp.reduce(logs)
    return Row(total if len(o) else 0.0, np.exp(logs - total), means, spreads)


def moments(X: Array, model: Model, weights: Array | None = None) -> Moments:
    """Statistics about the means of the model; rows without any value say nothing."""
    K, D = model.means.shape
    counts, sums, scatters, log_likelihood = np.zeros(K), np.zeros((K, D)), np.zeros((K, D, D)), 0.0
    for n, x in enumerate(np.asarray(X, float)):
        weight = 1.0 if weights is None else float(weights[n])
        if np.isnan(x).all() or weight == 0:
            continue
        row = of_row(x, model)
        r, z = weight * row.responsibilities, row.means - model.means
        counts += r
        sums += r[:, None] * z
        scatters += r[:, None, None] * (z[:, :, None] * z[:, None, :] + row.covariances)
        log_likelihood += weight * row.log_likelihood
    return Moments(counts, sums, scatters, log_likelihood)


def maximize(model: Model, found: Moments, reg_covar: float = 0.0) -> Model:
    """M-step by the definition."""
    D = model.means.shape[1]
    shifts = found.sums / found.counts[:, None]
    scatters = found.scatters - found.counts[:, None, None] * shifts[:, :, None] * shifts[:, None, :]
    reduced = scatter_shape(model.structure, scatters)
    if model.structure == "tied":
        covariances = reduced / found.counts.sum() + reg_covar * np.eye(D)
    elif model.structure == "full":
        covariances = reduced / found.counts[:, None, None] + reg_covar * np.eye(D)
    elif model.structure == "diag":
        covariances = reduced / found.counts[:, None] + reg_covar
    else:
        covariances = reduced / found.counts / D + reg_covar
    return Model(model.structure, found.counts / found.counts.sum(), model.means + shifts, covariances)


def expectation_maximization(X: Array, model: Model, n_iter: int, reg_covar: float = 0.0) -> tuple[Model, list[float]]:
    """EM, and the mean log-likelihood before each M-step."""
    bounds = []
    for _ in range(n_iter):
        found = moments(X, model)
        bounds.append(found.log_likelihood / len(X))
        model = maximize(model, found, reg_covar)
    return model, bounds


def impute(X: Array, model: Model) -> tuple[Array, Array]:
    """Conditional means and standard deviations under the mixture."""
    filled, deviations = np.array(X, float), np.zeros(X.shape)
    for n, x in enumerate(np.asarray(X, float)):
        row = of_row(x, model)
        mean = row.responsibilities @ row.means
        spread = np.diagonal(row.covariances, axis1=1, axis2=2) + (row.means - mean) ** 2
        gaps = np.isnan(x)
        filled[n, gaps], deviations[n, gaps] = mean[gaps], np.sqrt(row.responsibilities @ spread)[gaps]
    return filled, deviations
