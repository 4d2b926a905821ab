"""float32 rows far from the origin with ill-conditioned covariances: one EM step is good to 1e-5.

The rows lie 0 or 100 standard deviations from the origin and every covariance has condition number 1e6. The error is
measured in the whitened metric, ||L^-1 (Sigma - Sigma_exact) L^-T||_2 with L L^T = Sigma_exact, so it is relative to
the component's own shape in every direction, against the twin in long double on the same float32 rows.

Measured, worst of 12 (two dimensions, three seeds, two offsets), covariance / mean: full K = 1 2e-6 / 3e-6; full K = 2
4e-6 / 7e-6, with one covariance for both 6e-6 / 4e-6; tied 2e-6 / 2e-6; diag 5e-7 / 3e-6; spherical 8e-8 / 2e-7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import parameters_of

from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource

TOLERANCE = 1e-5
N_SAMPLES = 20_000


def far_problem(
    structure: str, n_features: int, n_components: int, separation: float, seed: int, offset: float = 100.0
) -> Any:
    """float32 rows and a start whose means are 0.1 standard deviations off and not representable in float32.

    A structure of "shared" is full with one covariance for all components: they overlap in every direction, so that
    an error in a density moves responsibilities.
    """
    rng = np.random.default_rng(seed)
    drawn = "tied" if structure == "shared" else structure
    model = twin.random_model(rng, drawn, n_components, n_features, condition=1e6, separation=separation, offset=offset)
    if structure == "shared":
        model = model._replace(structure="full", covariances=np.stack([model.covariances] * n_components))
    X = twin.sample(rng, model, N_SAMPLES, np.float32)
    dense = twin.dense(model.structure, model.covariances, n_components, n_features).astype(np.float64)
    steps = rng.normal(size=model.means.shape)
    moved = model.means + 0.1 * np.einsum("kij,kj->ki", np.linalg.cholesky(dense), steps)
    return X, model._replace(means=moved)


def whitened_errors(got: Any, expected: twin.Model) -> tuple[float, float]:
    """Largest errors of a covariance and of a mean in the metric of the exact covariance."""
    shape = expected.means.shape
    exact = twin.dense(expected.structure, expected.covariances, *shape)
    whiten = twin.inverse_lower(twin.cholesky(exact))
    difference = twin.dense(expected.structure, got.covariances, *shape) - exact
    errors = (whiten @ difference @ np.swapaxes(whiten, -1, -2)).astype(float)
    shifts = np.einsum("kij,kj->ki", whiten, got.means - expected.means).astype(float)
    return max(np.linalg.norm(error, 2) for error in errors), float(np.linalg.norm(shifts, axis=1).max())


@pytest.mark.parametrize(("n_features", "seed", "offset"), [(4, 0, 100.0), (8, 1, 100.0), (8, 2, 0.0), (4, 3, 0.0)])
@pytest.mark.parametrize(
    ("structure", "n_components", "separation"),
    [
        ("full", 1, 0.0),
        ("full", 2, 0.3),
        ("full", 2, 3.0),
        ("shared", 2, 0.5),
        ("shared", 2, 2.0),
        ("tied", 1, 0.0),
        ("tied", 2, 0.5),
        ("tied", 3, 3.0),
        ("tied", 3, 10.0),
        ("tied", 3, 30.0),
        ("diag", 2, 0.5),
        ("diag", 2, 3.0),
        ("spherical", 2, 3.0),
    ],
)
def test_one_em_step_float32(
    structure: str, n_components: int, separation: float, n_features: int, seed: int, offset: float
) -> None:
    """Covariances and means after one EM step from an exact start."""
    X, start = far_problem(structure, n_features, n_components, separation, seed, offset)
    rule = STRUCTURES[start.structure]
    got = rule.maximize(ArraySource(X).statistics(rule, parameters_of(start)), 0.0)
    exact = X.astype(np.float64)  # in float32 the 10 eps that scikit-learn adds to counts would move the means
    expected = twin.maximize(start.structure, exact, twin.responsibilities(exact, start), 0.0)
    covariance_error, mean_error = whitened_errors(got, expected)
    assert covariance_error <= TOLERANCE
    assert mean_error <= TOLERANCE


def test_raw_moments_would_fail() -> None:
    """The measure can see: raw moments in float32 miss the covariance of K = 1 by far more than its size."""
    X, _ = far_problem("full", 4, 1, 0.0, 0)
    expected = twin.maximize("full", X, np.ones((N_SAMPLES, 1)), 0.0)
    mean = X.mean(axis=0)
    with np.errstate(all="ignore"):  # some BLAS raise flags in lanes that nobody reads
        raw = (X.T @ X) / np.float32(N_SAMPLES) - np.outer(mean, mean)
    got = expected._replace(covariances=raw[None].astype(np.float64))
    assert whitened_errors(got, expected)[0] > 1.0


def test_centered_moments_would_fail() -> None:
    """Even two-pass float32 moments about the mean miss it: only whitened accumulation is good enough."""
    X, _ = far_problem("full", 4, 1, 0.0, 0)
    expected = twin.maximize("full", X, np.ones((N_SAMPLES, 1)), 0.0)
    z = X - X.mean(axis=0)
    with np.errstate(all="ignore"):  # as above
        covariance = (z.T @ z) / np.float32(N_SAMPLES)
    got = expected._replace(covariances=covariance[None].astype(np.float64))
    assert whitened_errors(got, expected)[0] > 10 * TOLERANCE
