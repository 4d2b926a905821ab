"""Rows so far from all components that squared distances overflow, or leave no digits to compare: worked out anew.

There the nearest component, each in its own metric, has all responsibility: the limit of the formula. Rows are scaled
down, and with y_k = W_k u - b_k the whitened row of component k, |y_k|^2 - |y_j|^2 = ((W_k - W_j) u - (b_k - b_j)) (y_k
+ y_j) tells components apart however far they are, even where W_k = W_j; where nothing does, weights and volumes do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..kernels import DIAGONAL, TRIANGULAR
from ..model.factors import packed
from ..model.kernel_model import KernelModel, Tails
from ..model.masked import masked
from ..model.structure import LOG_2_PI

if TYPE_CHECKING:
    from .incomplete.model import IncompleteModel

LOWEST = -1e15, -1e7  # log densities, of float64 and float32, that still tell components apart; as in the kernels
NUMBERS = 1 << 18  # that are worked on together

Outputs = tuple[np.ndarray | None, ...]  # log-likelihoods, responsibilities, labels


@masked
def mend(X: np.ndarray, model: KernelModel, scores: np.ndarray, outputs: Outputs) -> None:
    """Fill the outputs of complete rows that are far by their log-likelihoods, the scores."""
    n_components, n_features = model.centers.shape
    factors, offsets = model.factors.astype(np.float64), model.offsets.astype(np.float64)
    offsets, noise = offsets[:n_components], offsets[n_components:]
    factors = unpacked(factors, n_features) if model.kind == TRIANGULAR else factors.reshape(n_components, -1)
    shifts = shifts_of(factors, model.centers.astype(np.float64))
    if model.kind == TRIANGULAR:
        shifts -= model.center_rounding
    whitener = whitener_of(model)
    for rows in parts(np.flatnonzero(far(scores)), model.centers.size):
        u, exponents = scaled_down(X[rows], model.origin)
        if model.origin.size:
            u = whitened(whitener, u - np.ldexp(model.origin, -exponents[:, None]))
        if model.tails.numbers is None:
            put(rows, *limit(u, exponents, factors, shifts, offsets), noise, outputs)
        else:
            put(rows, *heavy(u, exponents, factors, shifts, model.tails), noise, outputs)


@masked
def mend_incomplete(X: np.ndarray, model: IncompleteModel, scores: np.ndarray, outputs: Outputs) -> None:
    """The same for rows with gaps, pattern by pattern."""
    lost, (n_components, n_features) = np.flatnonzero(far(scores)), model.centers.shape
    masks, pattern = np.unique(~np.isnan(X[lost]), axis=0, return_inverse=True)
    for number, mask in enumerate(masks):
        seen = np.flatnonzero(mask)
        if model.kind == DIAGONAL:
            factors = model.covariances.reshape(n_components, n_features)[:, seen] ** -0.5
            log_determinants = np.log(factors).sum(axis=1)
        else:
            roots = np.linalg.cholesky(model.covariances.reshape(-1, n_features, n_features)[:, seen[:, None], seen])
            factors = np.broadcast_to(np.linalg.inv(roots), (n_components, len(seen), len(seen)))
            log_determinants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        offsets = model.log_weights + log_determinants - 0.5 * len(seen) * LOG_2_PI
        shifts, logs = shifts_of(factors, model.centers[:, seen]), model.noise
        noise = logs[:1] + logs[1:2] + (logs[2] * (not mask.all()) + logs[3:][~mask].sum() if logs.size else 0.0)
        for rows in parts(lost[pattern.ravel() == number], model.centers.size):
            u, exponents = scaled_down(X[np.ix_(rows, seen)])
            put(rows, *limit(u, exponents, factors, shifts, offsets), noise, outputs)


def far(scores: np.ndarray) -> np.ndarray:
    """Which log-likelihoods are too low to tell components apart, or no numbers."""
    return ~(scores >= LOWEST[scores.dtype.itemsize < 8])


def parts(rows: np.ndarray, width: int) -> list[np.ndarray]:
    """Rows in parts small enough for `width` numbers of each."""
    return np.array_split(rows, len(rows) * width // NUMBERS + 1)


def limit(
    u: np.ndarray, exponents: np.ndarray, factors: np.ndarray, shifts: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihoods (n,) and responsibilities (n, K) of rows u (n, D) times 2**exponents (n,).

    Component k has y_k = factor u - shift, and adds its offset c_k to - |y_k|^2 / 2.
    """
    down, up = -exponents[:, None], exponents[:, None]
    y = np.stack([whitened(factor, u) - np.ldexp(shift, down) for factor, shift in zip(factors, shifts, strict=True)])
    norms = np.where(offsets > -np.inf, norm(y).T, np.inf)
    nearest = norms.argmin(axis=1)
    log_densities = np.empty(norms.shape)
    for j in np.unique(nearest):
        rows = nearest == j
        for k, offset in enumerate(offsets):
            both = y[k, rows] + y[j, rows]
            apart = (whitened(factors[k] - factors[j], u[rows]) * both).sum(axis=1, keepdims=True)
            shifted = ((shifts[k] - shifts[j]) * both).sum(axis=1, keepdims=True)
            more = np.where(
                apart == 0,
                np.ldexp(-shifted, up[rows] - 1),
                np.ldexp(apart - np.ldexp(shifted, down[rows]), 2 * up[rows] - 1),
            )
            log_densities[rows, k] = offset - more[:, 0]
    log_densities = np.minimum(log_densities, np.finfo(np.float64).max)
    peak = log_densities.max(axis=1)
    responsibilities = np.exp(log_densities - peak[:, None])
    total = responsibilities.sum(axis=1)
    squares = np.ldexp(norms.min(axis=1) ** 2, 2 * exponents - 1)
    return peak + np.log(total) - squares, responsibilities / total[:, None]


def heavy(
    u: np.ndarray, exponents: np.ndarray, factors: np.ndarray, shifts: np.ndarray, tails: Tails
) -> tuple[np.ndarray, np.ndarray]:
    """As `limit`, of Student's t distributions, whose tails follow from the logarithms of distances."""
    assert tails.numbers is not None
    constants, powers, degrees = tails.numbers.astype(np.float64)
    down = -exponents[:, None]
    y = np.stack([whitened(factor, u) - np.ldexp(shift, down) for factor, shift in zip(factors, shifts, strict=True)])
    distances = np.abs(y) if tails.apart else norm(y)[..., None]  # (K, n, D or 1)
    with np.errstate(divide="ignore"):
        logs = 2 * (np.log(distances) + (math.log(2) * exponents)[:, None]) - np.log(degrees)[:, None, None]
    log_densities = (constants[:, None] - powers[:, None] * np.logaddexp(0, logs).sum(axis=2)).T
    peak = log_densities.max(axis=1)
    responsibilities = np.exp(log_densities - peak[:, None])
    total = responsibilities.sum(axis=1)
    return peak + np.log(total), responsibilities / total[:, None]


def scaled_down(X: np.ndarray, *points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in double precision over a power of two each, so that they and some points are at most 1; and exponents."""
    rows = X.astype(np.float64)
    largest = max((float(np.abs(point).max()) for point in points if point.size), default=0.0)
    exponents = np.frexp(np.maximum(np.abs(rows).max(axis=1), largest))[1]
    return np.ldexp(rows, -exponents[:, None]), exponents


def whitened(factor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows times a matrix, or times a number for each or for all features."""
    return np.einsum("ij,nj->ni", factor, rows) if factor.ndim == 2 else rows * factor


def shifts_of(factors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """b_k, (K, D)."""
    return np.stack([whitened(factor, center[None])[0] for factor, center in zip(factors, centers, strict=True)])


def whitener_of(model: KernelModel) -> np.ndarray:
    """What takes rows into the frame of a model: a matrix, or a number for each or for all features."""
    n_features = model.centers.shape[1]
    if model.whitener.size in (0, n_features):
        return model.whitener if model.whitener.size else np.ones(1)
    if model.whitener.size == n_features**2:
        return model.whitener.reshape(n_features, n_features)
    return unpacked(model.whitener, n_features)[0]


def unpacked(factors: np.ndarray, n_features: int) -> np.ndarray:
    """Triangular matrices W (K, D, D) from the order in which the kernels read them."""
    numbers = np.arange(n_features**2, dtype=np.float64).reshape(1, n_features, n_features)
    places = packed(numbers).astype(np.intp)  # in W^T, row by row
    upper = np.zeros((factors.size // len(places), n_features**2))
    upper[:, places] = factors.reshape(len(upper), -1)
    return np.swapaxes(upper.reshape(-1, n_features, n_features), 1, 2)


def norm(y: np.ndarray) -> np.ndarray:
    """Length of vectors along the last axis, without overflow."""
    largest = np.abs(y).max(axis=-1)
    return largest * np.sqrt(((y / np.where(largest > 0, largest, 1.0)[..., None]) ** 2).sum(axis=-1))


def put(
    rows: np.ndarray, log_likelihoods: np.ndarray, responsibilities: np.ndarray, noise: np.ndarray, outputs: Outputs
) -> None:
    """Store the results of some rows where they are wanted; `noise` (1,) is the log density of noise, if any."""
    n_components = responsibilities.shape[1]
    if noise.size:
        alone, log_likelihoods = log_likelihoods, np.logaddexp(log_likelihoods, noise)
        of_noise = np.where(noise > -np.inf, np.exp(noise - log_likelihoods), 0.0)
        responsibilities = responsibilities * np.where(noise > -np.inf, np.exp(alone - log_likelihoods), 1.0)[:, None]
        responsibilities = np.column_stack([responsibilities, of_noise])
    labels = responsibilities.argmax(axis=1)
    results = log_likelihoods, responsibilities, np.where(labels < n_components, labels, -1)
    for out, values in zip(outputs, results, strict=True):
        if out is not None:
            out[rows] = values  # a log-likelihood below the range of the rows' type is -inf
