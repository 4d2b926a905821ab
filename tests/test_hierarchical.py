"""Ward's hierarchical clustering has the partitions and costs of scikit-learn and SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from problems import DTYPES, Array

from fastgmm import GaussianMixture
from fastgmm.datasets import load_iris
from fastgmm.fitting.repair import Degeneracy
from fastgmm.fitting.starts import hierarchical
from fastgmm.fitting.starts.hierarchical import MergeTree, clusters, draw_sample, grow, spread, ward
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource
from fastgmm.sources.incomplete.source import IncompleteSource
from fastgmm.sources.passes import Group


def unequal_groups(n_samples: int, n_features: int, seed: int) -> Array:
    """Rows in a few clumps of unequal size."""
    rng = np.random.default_rng(seed)
    centers = 2 * rng.normal(size=(5, n_features))
    return centers[rng.integers(5, size=n_samples) ** 2 % 5] + rng.normal(size=(n_samples, n_features))


def same_partition(a: Array, b: Array) -> bool:
    """Whether two labelings differ in the numbers of the clusters only."""
    pairs = {(int(x), int(y)) for x, y in zip(a, b, strict=True)}
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


@pytest.mark.parametrize("value", [0.1, 1e-30, -12345.678, 0.3e15])
def test_constant_features_have_no_spread(value: float) -> None:
    """Means of equal values are rounded; what that leaves is no spread, of however many rows; a trillionth is."""
    n_samples = 3000
    X = np.full((n_samples, 3), value)
    X[:, 1] *= 1 + 1e-12 * np.arange(n_samples)
    X[:, 2] = np.random.default_rng(0).normal(size=n_samples)
    weights = np.random.default_rng(1).uniform(0.5, 2, n_samples)
    for given in (None, weights):
        scale = spread(X, given)
        assert scale[0] == 1
        np.testing.assert_allclose(scale[1:], np.sqrt(np.cov(X[:, 1:].T, bias=True, aweights=given).diagonal()))
    gaps = IncompleteSource(ArraySource(np.where(np.random.default_rng(2).random(X.shape) < 0.1, np.nan, X)))
    varies = [gaps.uncorrelated.covariances[0] != 1, gaps.squares > 0, np.diagonal(gaps.scatter) > 0]
    if abs(value) > 1e-20:  # beside what is added to all variances
        np.testing.assert_array_equal(varies, [[False, True, True]] * 3)
    of_all = Degeneracy(ArraySource(X), STRUCTURES["diag"]).spread
    np.testing.assert_allclose(of_all[[0, 1]], [(1e-3 * value) ** 2, X[:, 1].var()], rtol=1e-3)


def within(X: Array, labels: Array) -> float:
    """Sum of squares about the means of the clusters."""
    return sum(((X[labels == k] - X[labels == k].mean(axis=0)) ** 2).sum() for k in np.unique(labels))


@pytest.mark.parametrize(("n_samples", "n_features"), [(2, 1), (3, 2), (40, 1), (150, 4), (701, 3), (300, 20)])
def test_equals_scikit_learn(n_samples: int, n_features: int) -> None:
    """One tree gives scikit-learn's partitions for every number of clusters."""
    cluster = pytest.importorskip("sklearn.cluster")
    X = unequal_groups(n_samples, n_features, n_samples)
    tree = ward(X)
    for n_clusters in {1, 2, 3, 7, n_samples // 2, n_samples - 1, n_samples}:
        if 1 <= n_clusters <= n_samples:
            expected = cluster.AgglomerativeClustering(n_clusters, linkage="ward").fit_predict(X)
            assert same_partition(tree.labels(n_clusters), expected)


def test_equals_scipy() -> None:
    """Costs of merges are half the squares of SciPy's distances, also far from the origin."""
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    X = unequal_groups(400, 3, 0)
    expected = 0.5 * hierarchy.ward(X)[:, 2] ** 2
    np.testing.assert_allclose(ward(X).costs, expected, rtol=1e-9)
    np.testing.assert_allclose(ward(X + 1e6).costs, expected, rtol=1e-5)


def test_costs_are_sums_of_squares() -> None:
    """The costs so far are the sum of squares within clusters, and never fall."""
    X = unequal_groups(60, 2, 1)
    tree = ward(X)
    assert np.all(np.diff(tree.costs) >= 0)
    for n_clusters in range(1, 61):
        labels = tree.labels(n_clusters)
        assert labels.max() == n_clusters - 1
        np.testing.assert_allclose(tree.costs[: 60 - n_clusters].sum(), within(X, labels), rtol=1e-9, atol=1e-12)


def test_partitions_are_nested() -> None:
    """Each partition splits one cluster of the one before; clusters are numbered by their first rows."""
    X = unequal_groups(90, 2, 2)
    tree = ward(X)
    for n_clusters in range(1, 90):
        coarse, fine = tree.labels(n_clusters), tree.labels(n_clusters + 1)
        assert len(set(zip(coarse.tolist(), fine.tolist(), strict=True))) == n_clusters + 1
        firsts = [int(np.argmax(fine == k)) for k in range(n_clusters + 1)]
        assert firsts == sorted(firsts)


def test_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that may run out of time is the same if it does not; if so, it ends with rows merged in their order."""
    X = unequal_groups(300, 3, 3)
    whole = ward(X)
    in_time = ward(X, deadline=1e300)
    np.testing.assert_allclose(in_time.costs, whole.costs, rtol=1e-12)
    for n_clusters in (2, 7, 100, 299):
        assert same_partition(in_time.labels(n_clusters), whole.labels(n_clusters))
    looks = itertools.count()
    monkeypatch.setattr(hierarchical, "perf_counter", lambda: next(looks))
    late = ward(X, deadline=2.0)  # after two looks at the clock
    assert next(looks) == 3
    n_merges = 2 * hierarchical.STRETCH
    assert len(late.costs) == len(X) - 1 and np.all(np.diff(late.costs) >= 0)
    assert late.costs[n_merges - 1] == late.costs[-1] and np.isin(late.costs[:n_merges], whole.costs).sum() > 100
    for n_clusters in (1, 10, len(X) - n_merges, 250, 300):
        assert set(late.labels(n_clusters)) == set(range(n_clusters))
    never = ward(X, deadline=-1.0)
    assert not never.costs.any()
    np.testing.assert_array_equal(never.labels(3), [0] * 298 + [1, 2])


@pytest.mark.parametrize("n_distinct", [1, 3])
def test_duplicates(n_distinct: int) -> None:
    """Equal rows are merged first, at no cost; more clusters than distinct rows can still be had."""
    X = np.repeat(10.0 * np.eye(3)[:n_distinct], 30, axis=0)
    tree = ward(X)
    assert isinstance(tree, MergeTree)
    np.testing.assert_allclose(tree.costs[: len(X) - n_distinct], 0.0, atol=1e-12)
    assert same_partition(tree.labels(n_distinct), np.repeat(np.arange(n_distinct), 30))
    half = len(X) // 2
    assert sorted(set(tree.labels(half).tolist())) == list(range(half))


def test_feature_spread() -> None:
    """A feature that does not vary, up to rounding, is left as it is."""
    X = np.column_stack([np.full(50, 0.1), 1e12 + np.arange(50.0), 1e-150 * np.arange(50.0)])
    np.testing.assert_allclose(spread(X), [1.0, np.arange(50).std(), 1e-150 * np.arange(50).std()], rtol=1e-3)


def test_scale_invariance() -> None:
    """Other units of the features give the same clusters."""
    X = load_iris().data
    labels = [GaussianMixture(3, init_params="hierarchical", max_iter=0, reg_covar=0).fit(X * unit).weights_
              for unit in (1.0, [1, 1e3, 1e-3, 7])]  # fmt: skip
    np.testing.assert_allclose(labels[0], labels[1], rtol=1e-12)


def test_small_data_need_no_sample() -> None:
    """Up to 2000 rows all are in the tree, and the start is that of its labels."""
    X = unequal_groups(300, 3, 3)
    assert draw_sample(ArraySource(np.zeros((2000, 1))), 5, np.random.RandomState(0)) is None
    tree = ward((X - X.mean(axis=0)) / X.std(axis=0))
    expected = GaussianMixture(4, init_params=tree.labels(4), max_iter=0).fit(X)
    for seed in (0, 1):
        got = GaussianMixture(4, init_params="hierarchical", max_iter=0, random_state=seed).fit(X)
        np.testing.assert_array_equal(got.means_, expected.means_)
        np.testing.assert_array_equal(got.covariances_, expected.covariances_)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sample_of_large_data(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of some rows says where all belong: the nearest mean, with features in units of their spread."""
    monkeypatch.setattr(hierarchical, "SAMPLE_ROWS", 100)
    X = (unequal_groups(1000, 3, 4) * [1, 50, 0.02] + [0, 1e3, 0]).astype(dtype)
    source = ArraySource(X)
    sample = draw_sample(source, 4, np.random.RandomState(0))
    assert sample is not None and len(set(sample.tolist())) == 100 and np.all(np.diff(sample) > 0)
    hierarchy = grow(source, sample)
    model = clusters(source, hierarchy, 4)
    labels = model.of(source, Group(slice(0, 1000), X))
    picked = X[sample].astype(np.float64)
    scale, tree_labels = picked.std(axis=0), hierarchy.tree.labels(4)
    centers = np.stack([picked[tree_labels == k].mean(axis=0) for k in range(4)])
    distances = (((X[:, None] - centers) / scale) ** 2).sum(axis=2)
    assert np.mean(labels == distances.argmin(axis=1)) >= (1.0 if dtype == "float64" else 0.995)


def test_more_components_than_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample has a row for each component at least."""
    monkeypatch.setattr(hierarchical, "SAMPLE_ROWS", 10)
    X = unequal_groups(200, 2, 5)
    fit = GaussianMixture(30, init_params="hierarchical", max_iter=0, random_state=0).fit(X)
    assert np.all(fit.weights_ > 1e-3)
