"""EM is equivariant under shifts, scalings, rotations, permutations and repetitions, for random problems."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import Array, em, parameters_of

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from fastgmm.model.structures import STRUCTURES  # noqa: E402
from fastgmm.sources.array import ArraySource  # noqa: E402

# derandomize: the same examples at every run, so that a failure is a change of the code
PROFILE = settings(deadline=None, max_examples=25, derandomize=True, database=None)

PROBLEMS = st.fixed_dictionaries(
    {
        "structure": st.sampled_from(twin.STRUCTURES),
        "n_samples": st.integers(30, 200),
        "n_features": st.integers(1, 6),
        "n_components": st.integers(1, 4),
        "seed": st.integers(0, 2**32 - 1),
    }
)


def rows_and_model(
    structure: str, n_samples: int, n_features: int, n_components: int, seed: int
) -> tuple[Array, twin.Model]:
    """Rows, and a model near (not at) the one they come from."""
    rng = np.random.default_rng(seed)
    source = twin.random_model(rng, structure, n_components, n_features, condition=20.0)
    X = twin.sample(rng, source, n_samples)
    return X, source._replace(means=source.means + 0.1 * rng.normal(size=source.means.shape))


def three_iterations(X: Array, model: twin.Model, n_iter: int = 3) -> tuple[Any, list[float]]:
    """Three EM iterations from the model, without a ridge."""
    fit = em(ArraySource(X), STRUCTURES[model.structure], parameters_of(model), tol=0.0, max_iter=n_iter)
    return fit.parameters, fit.lower_bounds


def assert_close(got: Any, expected: Any, scale: float = 1.0) -> None:
    """Equal up to the rounding of a few well-conditioned iterations."""
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-9 * scale)


def fit_or_discard(X: Array, model: twin.Model) -> tuple[Any, list[float]]:
    """Fit, or discard the example where a component has too few rows for its covariance."""
    try:
        parameters, bounds = three_iterations(X, model)
    except ValueError as error:
        hypothesis.assume("ill-defined" not in str(error))
        raise
    covariances = twin.dense(model.structure, parameters.covariances, *model.means.shape).astype(float)
    hypothesis.assume(np.linalg.cond(covariances).max() < 1e6)
    return parameters, bounds


@PROFILE
@given(problem=PROBLEMS, shift=st.floats(-1e4, 1e4))
def test_shift_equivariance(problem: dict[str, Any], shift: float) -> None:
    """Adding a constant to the rows adds it to the means and changes nothing else (loses log10(shift) digits)."""
    X, model = rows_and_model(**problem)
    by = shift * np.linspace(0.5, 1.0, X.shape[1])
    one, bounds = fit_or_discard(X, model)
    two, shifted = fit_or_discard(X + by, model._replace(means=model.means + by))
    scale = 1 + abs(shift)
    assert_close(two.weights, one.weights, scale)
    assert_close(two.means - by, one.means, scale)
    assert_close(two.covariances, one.covariances, scale)
    assert_close(shifted, bounds, scale)


@PROFILE
@given(problem=PROBLEMS, exponent=st.integers(-20, 20))
def test_scale_equivariance(problem: dict[str, Any], exponent: int) -> None:
    """Multiplying the rows by s multiplies means by s, covariances by s^2, densities by s^-D."""
    X, model = rows_and_model(**problem)
    s = 10.0**exponent
    one, bounds = fit_or_discard(X, model)
    two, scaled = fit_or_discard(X * s, model._replace(means=model.means * s, covariances=model.covariances * s**2))
    assert_close(two.weights, one.weights)
    assert_close(two.means / s, one.means)
    assert_close(two.covariances / s**2, one.covariances)
    assert_close(np.array(scaled) + X.shape[1] * np.log(s), bounds, 100.0)


@PROFILE
@given(problem=PROBLEMS)
def test_rotation_equivariance(problem: dict[str, Any]) -> None:
    """full, tied and spherical know no axes: rotating the rows rotates means and covariances."""
    hypothesis.assume(problem["structure"] != "diag")
    X, model = rows_and_model(**problem)
    n_features = X.shape[1]
    rng = np.random.default_rng(problem["seed"])
    rotation = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]

    def turn(covariances: Array) -> Array:
        """Q Sigma Q^T, symmetric to the bit."""
        if model.structure == "spherical":
            return covariances
        turned = rotation @ covariances @ rotation.T
        return (turned + np.swapaxes(turned, -1, -2)) / 2

    one, bounds = fit_or_discard(X, model)
    rotated = model._replace(means=model.means @ rotation.T, covariances=turn(model.covariances))
    two, turned = fit_or_discard(X @ rotation.T, rotated)
    assert_close(two.weights, one.weights)
    assert_close(two.means, one.means @ rotation.T, 10.0)
    assert_close(two.covariances, turn(one.covariances), 10.0)
    assert_close(turned, bounds)


@PROFILE
@given(problem=PROBLEMS)
def test_permutation_equivariance(problem: dict[str, Any]) -> None:
    """Reordering rows changes nothing, reordering features or components reorders the answer."""
    X, model = rows_and_model(**problem)
    rng = np.random.default_rng(problem["seed"])
    one, bounds = fit_or_discard(X, model)

    rows, row_bounds = fit_or_discard(X[rng.permutation(len(X))], model)
    assert_close(rows.means, one.means)
    assert_close(rows.covariances, one.covariances)
    assert_close(row_bounds, bounds)

    order = rng.permutation(X.shape[1])

    def reorder(covariances: Array) -> Array:
        """The features of a covariance in the new order."""
        if model.structure == "spherical":
            return covariances
        if model.structure == "diag":
            return covariances[:, order]
        return covariances[..., order, :][..., :, order]

    permuted = model._replace(means=model.means[:, order], covariances=reorder(model.covariances))
    features, feature_bounds = fit_or_discard(np.ascontiguousarray(X[:, order]), permuted)
    assert_close(features.means, one.means[:, order])
    assert_close(features.covariances, reorder(one.covariances))
    assert_close(feature_bounds, bounds)

    order = rng.permutation(len(model.weights))
    covariances = model.covariances if model.structure == "tied" else model.covariances[order]
    renamed = model._replace(weights=model.weights[order], means=model.means[order], covariances=covariances)
    components, component_bounds = fit_or_discard(X, renamed)
    assert_close(components.weights, one.weights[order])
    assert_close(components.means, one.means[order])
    assert_close(components.covariances, one.covariances if model.structure == "tied" else one.covariances[order])
    assert_close(component_bounds, bounds)


@PROFILE
@given(problem=PROBLEMS, times=st.integers(2, 7))
def test_repeated_rows_invariance(problem: dict[str, Any], times: int) -> None:
    """Every row given several times: the same parameters and the same mean log-likelihood."""
    X, model = rows_and_model(**problem)
    one, bounds = fit_or_discard(X, model)
    for repeated in (np.repeat(X, times, axis=0), np.tile(X, (times, 1))):
        many, many_bounds = fit_or_discard(repeated, model)
        assert_close(many.weights, one.weights)
        assert_close(many.means, one.means)
        assert_close(many.covariances, one.covariances)
        assert_close(many_bounds, bounds)


@PROFILE
@given(problem=PROBLEMS)
def test_affine_map_of_densities(problem: dict[str, Any]) -> None:
    """log p of A x + b under the mapped model is log p(x) - log|det A|; responsibilities stay."""
    hypothesis.assume(problem["structure"] in ("full", "tied"))
    X, model = rows_and_model(**problem)
    n_features = X.shape[1]
    rng = np.random.default_rng(problem["seed"])
    left, right = (np.linalg.qr(rng.normal(size=(n_features, n_features)))[0] for _ in range(2))
    A = (left * rng.uniform(0.2, 5.0, size=n_features)) @ right
    b = rng.normal(size=n_features)
    covariances = A @ model.covariances @ A.T
    covariances = (covariances + np.swapaxes(covariances, -1, -2)) / 2
    rule = STRUCTURES[model.structure]
    before = parameters_of(model)
    after = parameters_of(model._replace(means=model.means @ A.T + b, covariances=covariances))
    plain, mapped = ArraySource(X), ArraySource(X @ A.T + b)
    log_det = np.linalg.slogdet(A)[1]
    assert_close(
        mapped.log_likelihoods(rule.kernel_model(after, mapped.dtype)),
        plain.log_likelihoods(rule.kernel_model(before, plain.dtype)) - log_det,
        100.0,
    )
    assert_close(
        mapped.responsibilities(rule.kernel_model(after, mapped.dtype)),
        plain.responsibilities(rule.kernel_model(before, plain.dtype)),
        100.0,
    )


@PROFILE
@given(problem=PROBLEMS, dtype=st.sampled_from(["float32", "float64"]))
def test_invariants_of_an_em_step(problem: dict[str, Any], dtype: str) -> None:
    """Weights sum to 1, counts to N, covariances are symmetric and positive, the mean of means is that of the rows."""
    X, model = rows_and_model(**problem)
    X = X.astype(dtype)
    rule = STRUCTURES[model.structure]
    start = parameters_of(model)
    source = ArraySource(X)
    loose = 1e-4 if dtype == "float32" else 1e-10
    statistics = source.statistics(rule, start)
    assert abs(statistics.counts.sum() - len(X)) <= loose * len(X)
    total = source.log_likelihoods(rule.kernel_model(start, source.dtype)).astype(float).sum()
    assert abs(statistics.in_data_units().log_likelihood - total) <= 10 * loose * len(X)
    try:
        parameters = rule.maximize(statistics, 1e-6)
    except ValueError as error:
        hypothesis.assume("ill-defined" not in str(error))
        raise
    assert abs(parameters.weights.sum() - 1) <= 1e-14
    means = (statistics.counts[:, None] * statistics.reference + statistics.sums).sum(axis=0) / len(X)
    np.testing.assert_allclose(means, X.astype(float).mean(axis=0), rtol=0, atol=loose * (1 + np.abs(X).max()))
    covariances = twin.dense(model.structure, parameters.covariances, *model.means.shape).astype(float)
    assert np.array_equal(covariances, np.swapaxes(covariances, -1, -2))
    assert np.linalg.eigvalsh(covariances).min() > 0
