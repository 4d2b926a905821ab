"""The EM loop has the iterates of the slow twin, a monotone likelihood and mclust's published optima.

The twin itself is compared with scikit-learn here where that is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import DATASETS, Array, em, overlapping_problem, parameters_of, unit_covariances

from fastgmm import GaussianMixture, datasets
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.sources.array import ArraySource


def fit_from(X: Array, start: twin.Model, **options: Any) -> Any:
    """The library's EM from a model of the twin."""
    options = {"tol": 0.0, "max_iter": 100, "reg_covar": 1e-6, **options}
    return em(ArraySource(X), STRUCTURES[start.structure], parameters_of(start), **options)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("seed", range(4))
def test_likelihood_never_falls(structure: str, seed: int) -> None:
    """With reg_covar = 0 every step raises the mean log-likelihood, but for rounding (a few u |l|)."""
    X, start = overlapping_problem(structure, seed=seed)
    bounds = np.array(fit_from(X, start, max_iter=150, reg_covar=0.0).lower_bounds)
    assert len(bounds) == 150
    assert np.all(np.diff(bounds) >= -8 * np.finfo(float).eps * np.abs(bounds[1:]))
    assert bounds[-1] > bounds[0] + 0.05


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_likelihood_never_falls_float32(structure: str) -> None:
    """In float32 the mean log-likelihood never falls by more than 4 roundoffs."""
    X, start = overlapping_problem(structure, dtype="float32", seed=7)
    bounds = np.array(fit_from(X, start, max_iter=100, reg_covar=0.0).lower_bounds)
    assert np.all(np.diff(bounds) >= -4 * 2.0**-24 * np.abs(bounds[1:]))


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_iterates_equal_twin(structure: str, dtype: str, rtol: float) -> None:
    """Parameters and bounds after 1, 5 and 20 iterations are the twin's."""
    X, start = overlapping_problem(structure, dtype=dtype)
    expected = start
    done = 0
    bounds: list[float] = []
    for n_iter in (1, 5, 20):
        more = twin.expectation_maximization(X, expected, tol=0.0, max_iter=n_iter - done, reg_covar=1e-6)
        expected, done, bounds = more.model, n_iter, bounds + more.lower_bounds
        got = fit_from(X, start, max_iter=n_iter)
        assert not got.converged
        assert len(got.lower_bounds) == n_iter
        np.testing.assert_allclose(got.lower_bounds, bounds, rtol=rtol / 10)
        parameters = got.parameters
        np.testing.assert_allclose(parameters.weights, expected.weights.astype(float), rtol=rtol)
        np.testing.assert_allclose(parameters.means, expected.means.astype(float), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(parameters.covariances, expected.covariances.astype(float), rtol=rtol, atol=rtol)
        factors = twin.dense(structure, parameters.precisions_cholesky, 4, 3).astype(float)
        np.testing.assert_allclose(factors, twin.precision_factors(expected).astype(float), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_stopping_rule(structure: str, tol: float) -> None:
    """EM stops at the first iteration whose bound differs from the one before by less than tol."""
    X, start = overlapping_problem(structure)
    everything = fit_from(X, start, max_iter=400).lower_bounds
    stop = 1 + int(np.flatnonzero(np.abs(np.diff(everything)) < tol)[0]) + 1
    got = fit_from(X, start, max_iter=400, tol=tol)
    assert got.converged
    assert len(got.lower_bounds) == stop
    assert got.lower_bounds == everything[:stop]
    assert not fit_from(X, start, max_iter=stop - 1, tol=tol).converged
    last = fit_from(X, start, max_iter=stop, tol=tol)
    assert last.converged
    assert np.array_equal(last.parameters.means, got.parameters.means)


def test_previous_bound_starts_the_rule() -> None:
    """A warm start compares its first bound with the one given; without one a first iteration never converges."""
    X, start = overlapping_problem("full")
    first = fit_from(X, start, max_iter=1).lower_bounds[0]
    assert not fit_from(X, start, max_iter=1, tol=1e9).converged
    warm = fit_from(X, start, max_iter=5, tol=1e-3, previous_bound=first + 5e-4)
    assert warm.converged
    assert len(warm.lower_bounds) == 1


def test_no_iterations() -> None:
    """max_iter = 0 returns the start itself."""
    X, start = overlapping_problem("diag")
    got = fit_from(X, start, max_iter=0)
    assert got.lower_bounds == []
    assert not got.converged
    assert np.array_equal(got.parameters.means, start.means)


def test_zero_tolerance_never_converges() -> None:
    """At tol = 0 EM runs on even where the bound no longer moves."""
    X, start = overlapping_problem("spherical")
    got = fit_from(X[:50], start, max_iter=300)
    assert len(got.lower_bounds) == 300
    assert not got.converged


def test_callback() -> None:
    """on_iteration is told number, bound and change after every iteration."""
    X, start = overlapping_problem("tied")
    told: list[tuple[int, float, float]] = []
    got = fit_from(X, start, max_iter=6, on_iteration=lambda *news: told.append(news))
    assert [news[0] for news in told] == list(range(1, 7))
    assert [news[1] for news in told] == got.lower_bounds
    assert told[0][2] == np.inf
    np.testing.assert_allclose([news[2] for news in told[1:]], np.diff(got.lower_bounds), rtol=0, atol=1e-15)


def test_ill_defined_covariance() -> None:
    """Without a ridge a component on one repeated point is refused in scikit-learn's words."""
    X = np.repeat([[0.0, 0.0], [5.0, 5.0]], 10, axis=0)
    start = twin.Model("full", np.full(2, 0.5), np.array([[0.0, 0.0], [5.0, 5.0]]), np.stack([np.eye(2)] * 2))
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        fit_from(X, start, max_iter=20, reg_covar=0.0)


# Published values -------------------------------------------------------------------------------------------------


def start_from_labels(structure: str, X: Array, labels: Array) -> twin.Model:
    """The M-step of a hard assignment."""
    r = (labels[:, None] == np.unique(labels)[None, :]).astype(np.float64)
    model = twin.maximize(structure, X, r, reg_covar=0.0)
    return twin.Model(
        structure, model.weights.astype(float), model.means.astype(float), model.covariances.astype(float)
    )


def golden_labels(name: str, structure: str, n_components: int) -> Array:
    """A grouping in the basin of the published optimum.

    Iris by species, or cut by petal length for diag, where the species lead to a better optimum than mclust's;
    Old Faithful by quantiles of the waiting time, in the proportions of the published weights.
    """
    if name == "iris":
        species = np.repeat(np.arange(3), 50)
        if structure == "diag":
            return np.digitize(DATASETS[name][:, 2], [2.5, 5.2])
        return np.minimum(species, n_components - 1)
    waiting = DATASETS[name][:, 1]
    return np.searchsorted(np.quantile(waiting, [0.36, 0.52][: n_components - 1]), waiting)


GOLDEN = [
    ("iris", "tied", 3, -256.354043),
    ("iris", "diag", 3, -307.177572),
    ("iris", "full", 2, -214.354704),
    ("faithful", "tied", 3, -1126.315928),
    ("faithful", "full", 2, -1130.263960),
    ("faithful", "diag", 2, -1147.806353),
    ("faithful", "spherical", 2, -1709.529282),
]


@pytest.mark.parametrize(("name", "structure", "n_components", "published"), GOLDEN)
def test_published_log_likelihood(name: str, structure: str, n_components: int, published: float) -> None:
    """mclust 6.0.0 at tolerance 1e-12 from the same basin of attraction, to the six decimals printed."""
    X = DATASETS[name]
    labels = golden_labels(name, structure, n_components)
    got = fit_from(X, start_from_labels(structure, X, labels), tol=1e-12, max_iter=5000, reg_covar=0.0)
    assert got.converged
    total = ArraySource(X).log_likelihoods(STRUCTURES[structure].kernel_model(got.parameters, X.dtype)).sum()
    assert total == pytest.approx(published, abs=2e-6)


def test_published_parameters() -> None:
    """Old Faithful, tied, K = 3: weights, means and covariance as printed by mclust.

    mclust stopped at a relative change of 1e-5, with means 0.1 %, covariance 2 % and weights 0.003 from the optimum.
    """
    X = DATASETS["faithful"]
    start = start_from_labels("tied", X, golden_labels("faithful", "tied", 3))
    got = fit_from(X, start, tol=1e-12, max_iter=5000, reg_covar=0.0).parameters
    order = np.argsort(got.weights)
    np.testing.assert_allclose(got.weights[order], [0.16568, 0.35637, 0.47795], atol=5e-3)
    means = [[3.7931, 77.5211], [2.0376, 54.4912], [4.4632, 80.8334]]
    np.testing.assert_allclose(got.means[order], means, rtol=2e-3)
    np.testing.assert_allclose(got.covariances, [[0.078254, 0.480198], [0.480198, 33.7671]], rtol=0.03)


@pytest.mark.parametrize(
    ("name", "structure", "bic"),
    [
        ("iris", "full", -829.9782),
        ("iris", "tied", -829.9782),
        ("iris", "diag", -1522.1202),
        ("iris", "spherical", -1804.0854),
        ("faithful", "full", -2607.6),
        ("faithful", "tied", -2607.6),
        ("faithful", "diag", -3055.8),
        ("faithful", "spherical", -4024.7),
    ],
)
def test_one_component_is_closed_form(name: str, structure: str, bic: float) -> None:
    """K = 1 is the sample mean and covariance after one step; mclust's BIC = 2 log L - df log n, as printed."""
    X = DATASETS[name]
    start = start_from_labels(structure, X, np.zeros(len(X)))
    got = fit_from(X, start._replace(means=start.means + 1.0), tol=0.0, max_iter=2, reg_covar=0.0)
    covariance = np.cov(X.T, bias=True)
    expected = {
        "full": covariance[None],
        "tied": covariance,
        "diag": np.diag(covariance)[None],
        "spherical": np.array([np.trace(covariance) / X.shape[1]]),
    }[structure]
    np.testing.assert_allclose(got.parameters.means[0], X.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(got.parameters.covariances, expected, rtol=1e-12)
    total = ArraySource(X).log_likelihoods(STRUCTURES[structure].kernel_model(got.parameters, X.dtype)).sum()
    free = STRUCTURES[structure].n_parameters(1, X.shape[1])
    decimals = 1e-4 if name == "iris" else 0.05
    assert 2 * total - free * np.log(len(X)) == pytest.approx(bic, abs=decimals)


# The twin ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_twin_equals_scikit_learn(structure: str) -> None:
    """The twin's iterates are scikit-learn's: parameters after 1, 5 and 20 iterations, bounds, responsibilities."""
    mixture = pytest.importorskip("sklearn.mixture")
    X, start = overlapping_problem(structure)
    factors = twin.precision_factors(start)
    precisions = (factors @ np.swapaxes(factors, -1, -2)).astype(float)
    initial = {
        "full": lambda: precisions,
        "tied": lambda: precisions[0],
        "diag": lambda: np.diagonal(precisions, axis1=1, axis2=2),
        "spherical": lambda: precisions[:, 0, 0],
    }[structure]()
    for n_iter in (1, 5, 20):
        expected = mixture.GaussianMixture(
            4,
            covariance_type=structure,
            tol=0.0,
            max_iter=n_iter,
            weights_init=start.weights,
            means_init=start.means,
            precisions_init=initial,
        )
        with pytest.warns(UserWarning, match="did not converge"):
            expected.fit(X)
        got = twin.expectation_maximization(X, start, tol=0.0, max_iter=n_iter, reg_covar=1e-6)
        np.testing.assert_allclose(got.lower_bounds, expected.lower_bounds_, rtol=1e-12)
        np.testing.assert_allclose(got.model.weights.astype(float), expected.weights_, rtol=1e-10)
        np.testing.assert_allclose(got.model.means.astype(float), expected.means_, rtol=1e-10)
        np.testing.assert_allclose(got.model.covariances.astype(float), expected.covariances_, rtol=1e-9, atol=1e-12)
        r = twin.responsibilities(X, got.model).astype(float)
        np.testing.assert_allclose(r, expected.predict_proba(X), rtol=1e-8, atol=1e-12)
        scores = twin.log_likelihoods(X, got.model).astype(float)
        np.testing.assert_allclose(scores, expected.score_samples(X), rtol=1e-10)


@pytest.mark.parametrize("structure", LAYOUTS)
def test_iris_bounds_equal_scikit_learn(structure: str) -> None:
    """Sepal length and width, three components: from the same start, the same lower bounds to 1e-10."""
    mixture = pytest.importorskip("sklearn.mixture")
    X = datasets.load_iris().data[:, :2]
    start = {
        "weights_init": np.full(3, 1 / 3),
        "means_init": X[[0, 60, 120]],
        "precisions_init": 4 * unit_covariances(structure, 3, 2),
    }
    options = {"n_components": 3, "covariance_type": structure, "tol": 1e-6, "max_iter": 1000, **start}
    got, expected = GaussianMixture(**options).fit(X), mixture.GaussianMixture(**options).fit(X)
    assert got.converged_
    assert got.n_iter_ == expected.n_iter_
    np.testing.assert_allclose(got.lower_bounds_, expected.lower_bounds_, rtol=0, atol=1e-10)
