"""Few features and full covariances: sums and answers of whole blocks, beside long double and beside other rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import DTYPES, VARIANTS, Array, bits, parameters_of
from test_boxes import Problem, accumulated, answers, assert_close_sums, exact_log_densities, matrices, unit

from fastgmm import kernels

FEATURES = [1, 2, 3, 4]
BLOCK = 512  # bytes of a row of a block in the kernels


def overlapping(n_samples: int, n_features: int, n_components: int, dtype: Any, seed: int = 0) -> Problem:
    """Components that many rows belong to at once."""
    rng = np.random.default_rng(seed)
    drawn = twin.random_model(rng, "full", n_components, n_features, condition=10.0, separation=2.0)
    return Problem(twin.sample(rng, drawn, n_samples, dtype), parameters_of(drawn))


def exact_logs(problem: Problem) -> Array:
    """Log densities in long double; the last column is that of noise, if any."""
    logs = exact_log_densities(problem.X, problem._replace(noise=None).model)
    return logs if problem.noise is None else np.column_stack([logs, np.full(len(logs), problem.noise, twin.REAL)])


def exact_sums(problem: Problem, weights: Array | None = None) -> tuple[Array, Array, int]:
    """The sums of `accumulated`, in long double."""
    model, X = problem.model, problem.X
    n_components, n_features = model.centers.shape
    logs = exact_logs(problem)
    scores = twin.log_sum_exp(logs)
    w = np.ones(len(X), twin.REAL) if weights is None else weights.astype(twin.REAL)
    r = np.exp(logs - scores[:, None])[:, :n_components] * w[:, None]
    z = X[:, None, :] - model.centers.astype(twin.REAL)
    y = model.center_rounding + np.einsum("kij,nkj->nki", matrices(model), z)
    squares = np.einsum("nk,nki,nkj->kij", r, y, y)
    i, j = np.tril_indices(n_features)
    sums = np.column_stack([r.sum(axis=0), np.einsum("nk,nki->ki", r, y), squares[:, i, j]])
    return sums.astype(float), np.array(float((w * scores).sum())), 0


@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_sums_are_exact(variant: str, dtype: str, n_features: int) -> None:
    """Rows that do not divide a block, one row, several blocks; weighted and not; with noise and without."""
    module, rng = kernels.load(variant), np.random.default_rng(n_features)
    rows = BLOCK // np.dtype(dtype).itemsize
    for n_samples, n_components in ((1, 1), (rows - 1, 3), (rows, 2), (3 * rows + 5, 11), (1100, 7)):
        for noise in (None, -4.0):
            problem = overlapping(n_samples, n_features, n_components, dtype)._replace(noise=noise)
            for weights in (None, rng.integers(0, 3, n_samples).astype(dtype)):
                found = accumulated(module, problem, False, weights)
                assert_close_sums(found, exact_sums(problem, weights), dtype, 4e-6)


@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_answers_do_not_depend_on_rows_beside(variant: str, dtype: str, n_features: int) -> None:
    """Alone, reversed or strided, a row has the bits that it has among others; labels, scores and shares are exact."""
    module, problem = kernels.load(variant), overlapping(333, n_features, 5, dtype)._replace(noise=-5.0)
    scores, r, labels, n_far = answers(module, problem, False)
    logs = exact_logs(problem)
    error = 64 * unit(dtype) * (1 + np.abs(logs).max(axis=1))
    total = twin.log_sum_exp(logs)
    assert np.all(np.abs(scores - total) <= error)
    assert np.all(np.abs(r - np.exp(logs - total[:, None])) <= error[:, None])
    assert np.all(logs.max(axis=1) - logs[np.arange(333), labels] <= error)
    assert n_far == 0
    assert np.any(labels == -1)
    for rows in (slice(None, None, -1), slice(7, None, 3), slice(100, 101), slice(0, 70)):
        found = answers(module, problem._replace(X=problem.X[rows]), False)
        assert bits(found[:3]) == bits((scores[rows], r[rows], labels[rows]))


@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_infinitely_far_add_nothing(variant: str, dtype: str, n_features: int) -> None:
    """From one component only, whose whitened rows are infinite: the sums are those without this component."""
    module, problem = kernels.load(variant), overlapping(700, n_features, 4, dtype)
    offsets, factors = problem.model.offsets.copy(), problem.model.factors.copy()
    size = len(factors) // 4
    factors[:size] = 0
    diagonal = np.cumsum([0, *range(n_features, 1, -1)])
    factors[diagonal] = np.finfo(dtype).max
    model = problem.model._replace(offsets=offsets, factors=factors)
    X = problem.X + np.array(100, dtype)
    found = sums_of(module, X, model)
    offsets[0] = -np.inf
    factors[:size] = problem.model.factors[:size]
    expected = sums_of(module, X, model)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, expected)


def sums_of(module: Any, X: Array, model: Any) -> Array:
    """What `accumulate` leaves."""
    n_components, n_features = model.centers.shape
    size = module.workspace_size(model.kind, n_features, n_components, True, False, X.dtype.itemsize)
    out = np.empty(module.n_sums(model.kind, n_features, n_components))
    module.accumulate(X, None, None, None, *model.arguments, np.full(size, np.nan, X.dtype), False, out)
    return out
