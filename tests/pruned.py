"""Problems, passes and answers that the tests of pruning share."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastgmm import kernels
from fastgmm.model.kernel_model import KernelModel
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import FULL
from fastgmm.sources.array import ArraySource

Array = np.ndarray[Any, Any]
TOLERANCES = {"float64": 1e-13, "float32": 1e-6}  # of sums, relative to the largest
ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}


class Problem(NamedTuple):
    """Rows, the component that each was drawn from, and the parameters."""

    X: Array
    labels: Array
    parameters: Parameters


def problem(n: int, d: int, k: int, *, apart: float = 6.0, seed: int = 0, dtype: str = "float64") -> Problem:
    """Correlated components of different volumes, whose centers are about so many deviations apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    shapes = (np.eye(d) + 0.5 * rng.normal(size=(k, d, d)) / np.sqrt(d)) * np.exp(rng.uniform(-0.7, 0.7, (k, 1, 1)))
    means = 1 + apart * rng.normal(size=(k, d)) / np.sqrt(2 * d)
    X = means[labels] + np.einsum("ni,nij->nj", rng.normal(size=(n, d)), shapes[labels])
    covariances = np.einsum("kij,kil->kjl", shapes, shapes)
    return Problem(X.astype(dtype), labels, FULL.from_covariances(rng.dirichlet(np.full(k, 5.0)), means, covariances))


class Answer(NamedTuple):
    """What a pruned pass leaves."""

    sums: Array
    labels: Array
    bins: Array
    pairs: int
    multiply_adds: int


def model_of(X: Array, parameters: Parameters, noise: float | None = None) -> KernelModel:
    """The mixture as kernels read it, with noise of a log density if wanted."""
    model = ArraySource(X)._kernel_model(FULL, parameters)
    assert model.scales is None
    return model if noise is None else model._replace(offsets=np.append(model.offsets, X.dtype.type(noise)))


def dense_sums(X: Array, model: KernelModel, weights: Array | None = None, module: Any = None) -> Array:
    """Sums of the pass that leaves nothing out."""
    module = module or kernels.CHOSEN
    k, d = model.centers.shape
    workspace = np.empty(module.workspace_size(model.kind, d, k, True, False, X.itemsize), X.dtype)
    out = np.empty(module.n_sums(model.kind, d, k))
    module.accumulate(X, None, None, weights, *model.arguments, workspace, False, out)
    return out


def pruned(
    X: Array,
    model: KernelModel,
    labels: Array,
    weights: Array | None = None,
    *,
    bins: Array | None = None,
    pieces: int = 1,
    module: Any = None,
) -> Answer:
    """Sums of a pruned pass in so many pieces, from these labels, in a workspace of NaN."""
    module = module or kernels.CHOSEN
    (k, d), n = model.centers.shape, len(X)
    own = labels.astype(np.uint16), np.zeros(n, np.uint8) if bins is None else bins.copy()
    numbers, integers = module.pruned_size(model.kind, d, k, X.itemsize, n)
    workspace = np.full(numbers, np.nan, X.dtype), np.full(integers, -1, np.int32)
    own = *own, np.empty(n, np.int32), None, np.zeros((2, 1), np.float32)
    out, pairs, work = np.full(module.n_sums(model.kind, d, k), np.nan), 0, 0
    edges = np.linspace(0, n, pieces + 1).astype(int)
    for start, stop in pairwise(edges):
        found = module.accumulate_pruned(X, *own, start, stop, True, weights, *model.arguments, *workspace, out)
        pairs, work = pairs + found[0], work + found[1]
    return Answer(out, *own[:2], pairs, work)


def log_joint(X: Array, parameters: Parameters) -> Array:
    """log of weight times density (N, K) in extended precision, up to a constant, straight from the covariances."""
    out = np.empty((len(X), len(parameters.weights)), np.longdouble)
    for k, (weight, mean, factor) in enumerate(
        zip(parameters.weights, parameters.means, parameters.precisions_cholesky, strict=True)
    ):
        y = (X.astype(np.longdouble) - mean) @ factor.astype(np.longdouble)
        logs = np.log(np.append(np.diag(factor), weight).astype(np.longdouble))
        out[:, k] = logs.sum() - (y * y).sum(axis=1) / 2
    return out


def close(got: Array, expected: Array, dtype: Any) -> bool:
    """Whether sums agree to rounding, relative to the largest, and the log-likelihood, the last of them."""
    size = np.abs(expected[:-1]).max()
    agree = np.abs(got - expected)[:-1].max() <= TOLERANCES[np.dtype(dtype).name] * size
    return bool(agree and abs(got[-1] - expected[-1]) <= TOLERANCES[np.dtype(dtype).name] * abs(expected[-1]))
