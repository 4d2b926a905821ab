"""sample_weight: an integer weight equals repeated rows, zero an absent row, and only ratios matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import Array, assert_same_fit, unit_covariances

from fastgmm import GaussianMixture
from fastgmm.exceptions import DegenerateComponentWarning
from fastgmm.fitting.starts import METHODS, hierarchical, kmeans
from fastgmm.sources.array import ArraySource
from fastgmm.sources.intake import scaled


def weighted_rows(seed: int = 0, n_samples: int = 240) -> tuple[Array, Array]:
    """Three groups of rows with weights from 0 to 3."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 3)) + 4 * rng.integers(3, size=(n_samples, 1)) * [1, -1, 0.5]
    return X, rng.integers(0, 4, n_samples)


def with_start(structure: str, **options: Any) -> GaussianMixture:
    """A mixture that starts at three given means."""
    start = {
        "weights_init": [0.5, 0.3, 0.2],
        "means_init": np.array([[0, 0, 0], [3, -3, 1], [8, -7, 4]]),
        "precisions_init": unit_covariances(structure, 3, 3),
    }
    return GaussianMixture(3, covariance_type=structure, **(start | {"tol": 0, "max_iter": 8} | options))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_integer_weights_equal_repeated_rows(structure: str, dtype: str) -> None:
    """Fit, score, bic and aic with integer weights are those of the repeated rows."""
    X, weights = weighted_rows()
    X = X.astype(dtype)
    copies = np.repeat(X, weights, axis=0)
    one = with_start(structure).fit(X, sample_weight=weights)
    other = with_start(structure).fit(copies)
    rtol = 1e-10 if dtype == "float64" else 1e-4
    assert_same_fit(one, other, rtol, rtol)
    np.testing.assert_allclose(one.score(X, sample_weight=weights), one.score(copies), rtol=rtol)
    np.testing.assert_allclose(one.bic(X, sample_weight=weights), one.bic(copies), rtol=rtol)
    np.testing.assert_allclose(one.aic(X, sample_weight=weights), one.aic(copies), rtol=rtol)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize(
    "options",
    [
        {"acceleration": "squarem", "max_iter": 12},
        {"convergence": "aitken", "tol": 1e-4, "max_iter": 100},
        {"convergence": "parameters", "tol": 1e-3, "max_iter": 100},
        {"reg_covar": "auto"},
        {"weights_init": None, "precisions_init": None, "init_params": "hierarchical"},
        {"weights_init": None, "precisions_init": None, "means_init": None, "init_params": "hierarchical"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_options_with_integer_weights(structure: str, options: dict[str, Any]) -> None:
    """Acceleration, convergence rules, regularization and Ward starts equal those of the repeated rows."""
    X, weights = weighted_rows(1)
    one = with_start(structure, **options).fit(X, sample_weight=weights)
    other = with_start(structure, **options).fit(np.repeat(X, weights, axis=0))
    assert_same_fit(one, other, 1e-8, 1e-8)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_repairs_with_integer_weights(structure: str) -> None:
    """A component on one row, and one without rows, are repaired as with repeated rows."""
    X, weights = weighted_rows(2)
    X[0], weights[0] = [50, 50, 50], 2
    means = np.array([[0, 0, 0], [50, 50, 50], [-900, 900, 900.0]])
    fits = []
    for rows, options in ((X, {"sample_weight": weights}), (np.repeat(X, weights, axis=0), {})):
        mixture = with_start(structure, means_init=means, reg_covar=0)
        with pytest.warns(DegenerateComponentWarning):
            fits.append(mixture.fit(rows, **options))
    assert [repair.component for repair in fits[0].degenerate_] == [repair.component for repair in fits[1].degenerate_]
    assert_same_fit(*fits, 1e-7, 1e-7)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("method", METHODS)
def test_zero_weight_equals_absent_row(method: str, structure: str) -> None:
    """What stands in rows of weight zero changes no fit, from any start; they may as well be left out."""
    X, weights = weighted_rows(3)
    weights = weights * 1.7
    moved = X.copy()
    moved[weights == 0] += 1e3 * np.random.default_rng(0).normal(size=(int((weights == 0).sum()), 3))
    options = {"covariance_type": structure, "init_params": method, "random_state": 0, "max_iter": 5, "tol": 0}
    one = GaussianMixture(3, **options).fit(X, sample_weight=weights)
    other = GaussianMixture(3, **options).fit(moved, sample_weight=weights)
    assert_same_fit(one, other, 1e-9, 1e-9)
    absent = with_start(structure).fit(X[weights > 0], sample_weight=weights[weights > 0])
    assert_same_fit(with_start(structure).fit(moved, sample_weight=weights), absent, 1e-9, 1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_scaled_weights_same_fit(method: str) -> None:
    """Weights times a power of two change no bit, times another factor only rounding; equal weights are none."""
    X, weights = weighted_rows(4)
    options = {"init_params": method, "random_state": 0, "max_iter": 5, "tol": 0, "n_init": 2}
    one = GaussianMixture(3, **options).fit(X, sample_weight=weights)
    for factor in (2.0**-1000, 4.0, 2.0**900):
        other = GaussianMixture(3, **options).fit(X, sample_weight=weights * factor)
        np.testing.assert_array_equal(one.covariances_, other.covariances_)
        assert one.lower_bounds_ == other.lower_bounds_
    options["n_init"] = 1  # of two that are equal but for rounding, rounding chooses
    one = GaussianMixture(3, **options).fit(X, sample_weight=weights)
    assert_same_fit(one, GaussianMixture(3, **options).fit(X, sample_weight=weights * 1e-200 / 3), 1e-9, 1e-9)
    assert_same_fit(
        with_start("full").fit(X), with_start("full").fit(X, sample_weight=np.full(len(X), 7)), 1e-12, 1e-12
    )


def test_rows_sampled_by_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of rows hold each as often as its weight says, and never one of weight zero."""
    rng = np.random.default_rng(5)
    weights = rng.uniform(size=5000) ** 4 * (rng.uniform(size=5000) < 0.3)
    source = ArraySource(rng.normal(size=(5000, 2)), weights=weights)
    counts = np.zeros(5000)
    for seed in range(200):
        rows = kmeans.draw_rows(source, 300, np.random.RandomState(seed))
        assert np.all(np.diff(rows) >= 0)
        counts += np.bincount(rows, minlength=5000)
    assert counts[weights == 0].sum() == 0
    expected = weights / weights.sum() * 300 * 200
    assert abs(counts - expected).max() < 6 * np.sqrt(expected.max())
    np.testing.assert_allclose(counts.reshape(50, -1).sum(axis=1), expected.reshape(50, -1).sum(axis=1), rtol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_starts_from_weighted_samples(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts from a sample find the groups that have weight, not those that have rows."""
    monkeypatch.setattr(kmeans, "SEEDING_ROWS", 100)
    monkeypatch.setattr(kmeans, "SAMPLE_NUMBERS", 600)
    monkeypatch.setattr(kmeans, "SAMPLE_ROWS_PER_CENTER", 10)
    monkeypatch.setattr(hierarchical, "SAMPLE_ROWS", 150)
    rng = np.random.default_rng(6)
    X = rng.normal(size=(3000, 2))
    X[1000:2000] += [100, 0]
    X[2000:] += [0, 100]
    weights = np.repeat([1.0, 0.0, 2.0], 1000)
    for seed in range(3):
        mixture = GaussianMixture(2, init_params=method, random_state=seed, max_iter=50, tol=1e-6)
        mixture.fit(X, sample_weight=weights)
        if method != "random":  # whose two components may stay together
            np.testing.assert_allclose(np.sort(mixture.weights_), [1 / 3, 2 / 3], rtol=1e-6)


def test_ward_tree_of_weighted_rows() -> None:
    """Ward's tree and the features' spread are those of so many copies, where groups overlap too."""
    rng = np.random.default_rng(10)
    points, weights = rng.normal(size=(60, 3)) * [1, 5, 0.2], rng.integers(1, 9, 60).astype(float)
    copies, first = np.repeat(points, weights.astype(int), axis=0), np.r_[0, np.cumsum(weights)[:-1]].astype(int)
    np.testing.assert_allclose(hierarchical.spread(points, weights), hierarchical.spread(copies), rtol=1e-12)
    assert not np.allclose(hierarchical.spread(points), hierarchical.spread(copies), rtol=1e-3)
    source = ArraySource(points, weights=weights)
    tree, expected = hierarchical.grow(source, None).tree, hierarchical.grow(ArraySource(copies), None).tree
    for n_clusters in range(1, 30):
        np.testing.assert_array_equal(tree.labels(n_clusters), expected.labels(n_clusters)[first])
    alike = hierarchical.ward(points / hierarchical.spread(copies))
    assert any((alike.labels(k) != expected.labels(k)[first]).any() for k in range(2, 30))


def test_weights_scaled_by_power_of_two() -> None:
    """Weights are scaled by a power of two, which loses no digit, to a mean between 1/2 and 1."""
    weights = np.random.default_rng(11).uniform(size=1000) ** 3
    for factor in (1.0, 3e-300, 7e280):
        ratios = scaled(weights * factor) / (weights * factor)
        assert np.frexp(ratios)[0].tolist() == [0.5] * 1000 and np.ptp(ratios) == 0
        assert 0.5 <= scaled(weights * factor).mean() < 1


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_zero_weight_row_without_density(structure: str) -> None:
    """A row of weight zero may lie so far away that its density is zero and its logarithm infinite."""
    X, weights = weighted_rows()
    X = X.astype(np.float32)
    X[weights == 0] = 1e25
    one = with_start(structure).fit(X, sample_weight=weights)
    assert_same_fit(one, with_start(structure).fit(X[weights > 0], sample_weight=weights[weights > 0]), 1e-4, 1e-4)
    assert one.score(X, sample_weight=weights) == pytest.approx(one.lower_bound_, rel=1e-3)


def test_weighted_kmeans_equals_scikit_learn() -> None:
    """Lloyd's iteration ends where scikit-learn's does, from the same centers."""
    cluster = pytest.importorskip("sklearn.cluster")
    X, weights = weighted_rows(7, 500)
    start = X[:4]
    expected = cluster.KMeans(4, init=start, n_init=1, tol=0, algorithm="lloyd").fit(X, sample_weight=weights)
    source = ArraySource(X, weights=weights)
    got = kmeans.lloyd(source, start.copy(), tol=0.0)
    np.testing.assert_allclose(got, expected.cluster_centers_, rtol=1e-10)
    np.testing.assert_allclose(source.assign(got)[3], expected.inertia_, rtol=1e-10)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_same_bits_for_any_number_of_threads(n_threads: int) -> None:
    """Weights are split among threads with their rows."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(40_000, 4)) + rng.integers(5, size=(40_000, 1))
    weights = rng.uniform(size=40_000)
    options = {"random_state": 0, "max_iter": 3, "tol": 0}
    one = GaussianMixture(5, n_threads=1, **options).fit(X, sample_weight=weights)
    other = GaussianMixture(5, n_threads=n_threads, **options).fit(X, sample_weight=weights)
    np.testing.assert_array_equal(one.covariances_, other.covariances_)


# ---- what is refused


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(5), r"sample_weight.shape == \(5,\), expected \(240,\)"),
        (np.ones((240, 1)), r"sample_weight.shape == \(240, 1\), expected \(240,\)"),
        (2.0, r"sample_weight.shape == \(\), expected"),
        (np.r_[np.ones(7), -1, np.ones(232)], "Negative values in data passed to `sample_weight`: -1.0 for row 7"),
        (np.r_[np.ones(7), np.nan, np.ones(232)], "NaN or infinity in data passed to `sample_weight`: nan for row 7"),
        (np.r_[np.inf, np.ones(239)], "NaN or infinity .* inf for row 0"),
        (np.zeros(240), "sample_weight is positive for 0 of 240 rows, while a minimum of 2"),
        (np.r_[1, 1, np.zeros(238)], "n_components = 3, n_samples = 2 .rows of positive weight."),
        (["a"] * 240, "could not convert string to float: .a.: sample_weight holds .a. at position 0"),
        (np.full(240, 1e308), "The sum of sample_weight overflows"),
    ],
)
def test_bad_weights(weights: Any, message: str) -> None:
    """The error says what is wrong where; an earlier fit stays."""
    X, _ = weighted_rows()
    mixture = with_start("full").fit(X)
    before = mixture.means_.copy()
    with pytest.raises(ValueError, match=message):
        mixture.fit(X, sample_weight=weights)
    np.testing.assert_array_equal(mixture.means_, before)


def test_criteria_refuse_bad_weights() -> None:
    """bic, aic and score refuse negative weights and weights that are all zero."""
    X, _ = weighted_rows()
    mixture = with_start("full").fit(X)
    for method in (mixture.bic, mixture.aic, mixture.score):
        with pytest.raises(ValueError, match="Negative values"):
            method(X, sample_weight=-np.ones(len(X)))
        with pytest.raises(ValueError, match="positive for 0 of"):
            method(X, sample_weight=np.zeros(len(X)))


# ---- scikit-learn's metadata routing


def test_sklearn_metadata_routing() -> None:
    """Sample weights reach fit and score through a grid search where they are asked for, and clones remember."""
    sklearn = pytest.importorskip("sklearn")
    from sklearn.exceptions import UnsetMetadataPassedError
    from sklearn.model_selection import GridSearchCV

    X, weights = weighted_rows(9)
    grid: dict[str, list[int]] = {"n_components": [1, 2]}
    with pytest.raises(RuntimeError, match="only available when metadata routing is enabled"):
        GaussianMixture().set_fit_request(sample_weight=True)
    with sklearn.config_context(enable_metadata_routing=True):
        mixture = GaussianMixture(random_state=0)
        with pytest.raises(UnsetMetadataPassedError):
            GridSearchCV(mixture, grid, cv=2).fit(X, sample_weight=weights)
        mixture.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(sklearn.base.clone(mixture), grid, cv=2).fit(X, sample_weight=weights)
        direct = GaussianMixture(search.best_params_["n_components"], random_state=0).fit(X, sample_weight=weights)
        np.testing.assert_array_equal(search.best_estimator_.means_, direct.means_)
        half = len(X) // 2
        first, second = slice(0, half), slice(half, len(X))
        scores = [
            GaussianMixture(1).fit(X[a], sample_weight=weights[a]).score(X[b], sample_weight=weights[b])
            for a, b in ((second, first), (first, second))
        ]
        np.testing.assert_allclose(search.cv_results_["mean_test_score"][0], np.mean(scores), rtol=1e-12)
        mixture.set_fit_request(sample_weight=False).set_score_request(sample_weight=False)
        assert mixture.get_metadata_routing().fit.requests == {"sample_weight": False}
