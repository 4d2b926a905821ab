"""Initializations are reproducible, equal scikit-learn's where that is fixed, and are as good as its k-means."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import DTYPES, Array, bits, initialize, m_step, spherical_groups

from fastgmm import GaussianMixture
from fastgmm.exceptions import DegenerateComponentWarning
from fastgmm.fitting.starts import kmeans, race
from fastgmm.fitting.starts.methods import Goal
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.sources.array import ArraySource

RANDOM_METHODS = ("kmeans", "k-means++", "random", "random_from_data", "best")
ALL_METHODS = (*RANDOM_METHODS, "hierarchical")  # which draws nothing from small data
STREAMS = {"RandomState": np.random.RandomState, "Generator": np.random.default_rng}


def initial_parameters(X: Array, structure: str, n_components: int, method: str, stream: Any, **options: Any) -> Any:
    """The library's start; `stream` is a seed for RandomState, or a stream."""
    stream = np.random.RandomState(stream) if isinstance(stream, int) else stream
    source = ArraySource(X, **options)
    return initialize(source, STRUCTURES[structure], n_components, method, stream, 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("method", RANDOM_METHODS)
def test_same_seed_same_start(method: str, stream: str, dtype: str) -> None:
    """A seed fixes every bit, for any thread count; another seed gives another start."""
    X, _, _ = spherical_groups(900, 3, 6, 4.0, 0, dtype)
    first = initial_parameters(X, "full", 6, method, STREAMS[stream](3))
    for n_threads in (1, 2, 3):
        assert bits(initial_parameters(X, "full", 6, method, STREAMS[stream](3), n_threads=n_threads)) == bits(first)
    others = {bits(initial_parameters(X, "full", 6, method, STREAMS[stream](seed))) for seed in range(4, 10)}
    assert others != {bits(first)}


@pytest.mark.parametrize("method", RANDOM_METHODS)
def test_successive_starts_differ(method: str) -> None:
    """Starts drawn one after the other from one random state differ."""
    X, _, _ = spherical_groups(200, 2, 5, 1.0, 1)
    stream = np.random.RandomState(0)
    starts = {bits(initial_parameters(X, "diag", 5, method, stream)) for _ in range(4)}
    assert len(starts) > 1


@pytest.mark.parametrize("method", ALL_METHODS)
def test_random_state_of_the_estimator(method: str) -> None:
    """An int, a RandomState and a Generator each reproduce; an int means the RandomState of that seed."""
    X, _, _ = spherical_groups(300, 2, 4, 3.0, 2)

    def fitted(random_state: Any) -> bytes:
        """The bits of a start through the public door."""
        model = GaussianMixture(4, init_params=method, random_state=random_state, max_iter=0)
        return bits(model.fit(X))

    assert fitted(5) == fitted(5) == fitted(np.random.RandomState(5))
    assert fitted(np.random.default_rng(5)) == fitted(np.random.default_rng(5))


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("method", ["random", "random_from_data"])
def test_equals_scikit_learn(method: str, structure: str) -> None:
    """The start scikit-learn makes from the same RandomState.

    But for the weights of random_from_data, which there are 1 / N each and here sum to 1: a factor that leaves every
    responsibility as it is and adds log(K / N) to scikit-learn's first bound alone.

    Not for tied with random_from_data: scikit-learn's formula there takes all rows for the scatter and one row per
    component for its means. diag and spherical random_from_data leave reg_covar = 1e-6 as a difference of squares of
    order 10, hence the absolute tolerance on covariances.
    """
    mixture = pytest.importorskip("sklearn.mixture")
    if method == "random_from_data" and structure == "tied":
        pytest.skip("scikit-learn's formula differs there")
    X, _, _ = spherical_groups(257, 3, 5, 2.0, 3)
    for seed in range(3):
        expected = mixture.GaussianMixture(
            5, covariance_type=structure, init_params=method, max_iter=0, random_state=seed
        ).fit(X)
        got = initial_parameters(X, structure, 5, method, seed)
        np.testing.assert_allclose(got.weights, expected.weights_ / expected.weights_.sum(), rtol=1e-13)
        np.testing.assert_allclose(got.means, expected.means_, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(got.covariances, expected.covariances_, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_random_equals_scikit_learn_float32(structure: str) -> None:
    """In float32 too the responsibilities are those of the same stream (rounded to float32 there)."""
    mixture = pytest.importorskip("sklearn.mixture")
    X, _, _ = spherical_groups(257, 3, 5, 2.0, 3, np.float32)
    expected = mixture.GaussianMixture(
        5, covariance_type=structure, init_params="random", max_iter=0, random_state=1
    ).fit(X)
    got = initial_parameters(X, structure, 5, "random", 1)
    np.testing.assert_allclose(got.weights, expected.weights_, rtol=1e-5)
    np.testing.assert_allclose(got.means, expected.means_, rtol=1e-4, atol=1e-4)
    scale = np.abs(expected.covariances_).max()
    np.testing.assert_allclose(got.covariances, expected.covariances_, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_random_equals_twin(structure: str) -> None:
    """init_params='random' is the M-step of uniform responsibilities, rows normalized."""
    X, _, _ = spherical_groups(130, 4, 3, 2.0, 4)
    r = np.random.RandomState(8).uniform(size=(130, 3))
    expected = twin.maximize(structure, X, r / r.sum(axis=1, keepdims=True), reg_covar=1e-6)
    got = initial_parameters(X, structure, 3, "random", 8)
    np.testing.assert_allclose(got.weights, expected.weights.astype(float), rtol=1e-12)
    np.testing.assert_allclose(got.means, expected.means.astype(float), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(got.covariances, expected.covariances.astype(float), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("method", ["random_from_data", "k-means++"])
def test_means_are_distinct_rows(method: str) -> None:
    """Both methods take rows of X as means, no row twice, all spreads at reg_covar."""
    X, _, _ = spherical_groups(400, 2, 8, 5.0, 5)
    for seed in range(5):
        got = initial_parameters(X, "full", 8, method, seed)
        distances = twin.squared_distances(X, got.means).astype(float)
        rows = distances.argmin(axis=0)
        assert np.all(distances[rows, np.arange(8)] < 1e-20)
        assert len(set(rows.tolist())) == 8
        np.testing.assert_allclose(got.covariances, np.stack([1e-6 * np.eye(2)] * 8), atol=1e-15)


def test_kmeans_plusplus_seeds_every_group() -> None:
    """On blobs 40 apart greedy k-means++ takes one row in each of 10, which chance would do once in 2755."""
    X, labels, _ = spherical_groups(500, 2, 10, 40.0, 6)
    for seed in range(10):
        means = initial_parameters(X, "spherical", 10, "k-means++", seed).means
        rows = twin.squared_distances(X, means).argmin(axis=0)
        assert len(set(labels[rows].tolist())) == 10


def test_kmeans_plusplus_is_greedy() -> None:
    """The potential of the seeds: at most that of scikit-learn's greedy seeding, on average over 40 seeds (within 3 %).

    Plain k-means++ (one trial) is about 15 % worse on these overlapping blobs.
    """
    cluster = pytest.importorskip("sklearn.cluster")
    X, _, _ = spherical_groups(600, 2, 20, 3.0, 7)
    ours = [twin.potential(X, initial_parameters(X, "spherical", 20, "k-means++", seed).means) for seed in range(40)]
    theirs = [twin.potential(X, cluster.kmeans_plusplus(X, 20, random_state=seed)[0]) for seed in range(40)]
    assert np.mean(ours) <= 1.03 * np.mean(theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n_features", "n_components"), [(1, 3), (2, 7), (5, 4), (17, 9), (33, 5)])
def test_kmeans_finds_separated_blobs(n_features: int, n_components: int, dtype: str) -> None:
    """Blobs 30 apart are found without an error: weights, means and scatters are those of the true labels."""
    X, labels, _ = spherical_groups(611, n_features, n_components, 30.0, 8, dtype)
    r = (labels[:, None] == np.arange(n_components)).astype(np.float64)
    expected = twin.maximize("full", X, r, reg_covar=1e-6)
    rtol = 1e-3 if dtype == "float32" else 1e-9
    for seed in range(3):
        got = initial_parameters(X, "full", n_components, "kmeans", seed)
        order = twin.squared_distances(expected.means.astype(float), got.means).argmin(axis=1)
        assert sorted(order.tolist()) == list(range(n_components))
        np.testing.assert_allclose(got.weights[order], expected.weights.astype(float), rtol=1e-6)
        np.testing.assert_allclose(got.means[order], expected.means.astype(float), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(
            got.covariances[order], expected.covariances.astype(float), rtol=rtol, atol=10 * rtol
        )


def test_kmeans_inertia() -> None:
    """Over ten seeds: the best within 0.5 % of scikit-learn's best, the median within 3 % of its median."""
    cluster = pytest.importorskip("sklearn.cluster")
    for n_features, n_components, distance in ((2, 8, 5.0), (8, 12, 4.0), (3, 25, 3.0)):
        X, _, _ = spherical_groups(1500, n_features, n_components, distance, 9)
        theirs = [cluster.KMeans(n_components, n_init=1, random_state=seed).fit(X).inertia_ for seed in range(10)]
        ours = [
            twin.potential(X, initial_parameters(X, "full", n_components, "kmeans", seed).means) for seed in range(10)
        ]
        assert min(ours) <= 1.005 * min(theirs)
        assert np.median(ours) <= 1.03 * np.median(theirs)


def test_kmeans_is_nearly_a_fixed_point() -> None:
    """On rows without clusters one more Lloyd step by the twin lowers the inertia by less than 0.1 %.

    After only one to three steps it still falls by 0.5 to 3 %.
    """
    for seed in range(5):
        X = np.random.default_rng(seed).uniform(size=(1200, 2))
        means = initial_parameters(X, "full", 10, "kmeans", seed).means
        _, better = twin.lloyd_step(X, means)
        before, after = twin.potential(X, means), twin.potential(X, better)
        assert after <= before * (1 + 1e-12)
        assert after >= 0.999 * before


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random_from_data"])
def test_as_many_components_as_rows(method: str, structure: str) -> None:
    """K = N: every row is its own component."""
    X, _, _ = spherical_groups(9, 2, 9, 5.0, 11)
    got = initial_parameters(X, structure, 9, method, 0)
    rows = twin.squared_distances(X, got.means).argmin(axis=0)
    assert sorted(rows.tolist()) == list(range(9))
    np.testing.assert_allclose(got.weights, 1 / 9, rtol=1e-12)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("method", ALL_METHODS)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_duplicated_rows(method: str, structure: str, offset: float) -> None:
    """Fewer distinct rows than components: a finite start all the same, its means inside the data's range."""
    X = np.repeat(np.array([[0.0, 1.0], [4.0, -2.0]]), 20, axis=0) + offset
    for seed in range(4):
        got = initial_parameters(X, structure, 5, method, seed)
        for array in (got.weights, got.means, got.covariances, got.precisions_cholesky):
            assert np.all(np.isfinite(array))
        assert np.all(got.weights >= 0)
        slack = 1e-9 * (1 + offset)
        used = got.means[got.weights > 1e-9]
        assert np.all(used >= X.min(axis=0) - slack) and np.all(used <= X.max(axis=0) + slack)


@pytest.mark.parametrize("method", ALL_METHODS)
def test_far_from_the_origin(method: str) -> None:
    """Blobs of unit spread 1e7 from the origin: k-means distances must not be formed from squared norms."""
    X, _, _ = spherical_groups(400, 2, 4, 30.0, 12)
    near = initial_parameters(X, "full", 4, method, 2)
    far = initial_parameters(X + 1e7, "full", 4, method, 2)
    order = twin.squared_distances(near.means, far.means - 1e7).argmin(axis=1)
    np.testing.assert_allclose(far.means[order] - 1e7, near.means, atol=1e-6)
    np.testing.assert_allclose(far.weights[order], near.weights, rtol=1e-12)


@pytest.mark.parametrize("method", ALL_METHODS)
@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_one_to_three_rows(method: str, n_samples: int) -> None:
    """One component on one, two or three rows."""
    X = np.arange(2.0 * n_samples).reshape(n_samples, 2)
    got = initial_parameters(X, "full", 1, method, 0)
    assert got.weights.shape == (1,) and got.means.shape == (1, 2)
    assert np.all(np.isfinite(got.covariances))
    if method in ("kmeans", "random", "hierarchical"):
        np.testing.assert_allclose(got.means[0], X.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_one_component_takes_all_rows(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One component is the mean and the covariance of all rows, far from zero and with rows far away; no k-means."""
    monkeypatch.setattr(kmeans, "lloyd", None)
    rng = np.random.default_rng(3)
    X = 1e5 + np.cumsum(rng.normal(size=(3000, 3)), axis=0)
    X[1234] = 1e9
    weights = rng.uniform(0, 2, size=len(X)) if weighted else None
    got = initial_parameters(X, "full", 1, "kmeans", 0, weights=weights)
    mean = np.average(X, axis=0, weights=weights)
    np.testing.assert_allclose(got.means[0], mean, rtol=1e-12)
    expected = np.cov(X.T, aweights=weights, ddof=0) + 1e-6 * np.eye(3)
    np.testing.assert_allclose(got.covariances[0], expected, rtol=1e-9)


# Large data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "best"])
def test_samples_of_large_data(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only some rows are looked at, separated blobs are found all the same, from all rows for k-means."""
    for name, value in (("SEEDING_ROWS", 64), ("SEEDING_ROWS_PER_CENTER", 8), ("SAMPLE_NUMBERS", 600),
                        ("SAMPLE_ROWS_PER_CENTER", 16)):  # fmt: skip
        monkeypatch.setattr(kmeans, name, value)
    monkeypatch.setattr(race, "RACE_ROWS", 300)
    monkeypatch.setattr(race, "RACE_ROWS_PER_COMPONENT", 16)
    X, labels, _ = spherical_groups(1000, 3, 4, 30.0, 13)
    for seed in range(5):
        got = initial_parameters(X, "full", 4, method, seed)
        owners = twin.squared_distances(X, got.means).argmin(axis=0)
        assert sorted(labels[owners].tolist()) == [0, 1, 2, 3]
        order = np.argsort(labels[owners])
        if method == "kmeans":
            np.testing.assert_allclose(got.weights[order], np.bincount(labels) / 1000, rtol=1e-12)
        if method == "best":
            np.testing.assert_allclose(got.weights[order], np.bincount(labels) / 1000, atol=0.06)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize(("n_samples", "size"), [(10, 10), (10, 9), (11, 5), (1000, 7), (10**12, 100)])
def test_draw_rows(kind: str, n_samples: int, size: int) -> None:
    """Distinct rows in order, one from each run of equal length."""
    for seed in range(5):
        rows = kmeans.draw_rows(SimpleNamespace(n_samples=n_samples, weights=None), size, STREAMS[kind](seed))
        assert len(rows) == size and rows[0] >= 0 and rows[-1] < n_samples
        assert np.all(np.diff(rows) > 0)
        assert np.all(abs(rows / n_samples - (np.arange(size) + 0.5) / size) <= 1 / size + 1 / n_samples)


def test_lloyd_ends_when_no_distinct_row_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """More centers than distinct rows: some stay empty, and no more passes are spent on them."""
    passes = []
    assign = ArraySource.assign
    monkeypatch.setattr(ArraySource, "assign", lambda *a: passes.append(a) or assign(*a))
    initial_parameters(np.repeat(np.array([[0.0, 1.0], [4.0, -2.0]]), 20, axis=0), "full", 5, "kmeans", 0)
    assert len(passes) <= 3


# The race ----------------------------------------------------------------------------------------------------------


def test_best_beats_kmeans_on_wine() -> None:
    """On wine, whose features have very different scales, "best" beats every k-means start by far."""
    X = pytest.importorskip("sklearn.datasets").load_wine().data
    fits = {
        method: [GaussianMixture(3, init_params=method, random_state=seed).fit(X).lower_bound_ for seed in range(8)]
        for method in ("kmeans", "best")
    }
    assert min(fits["best"]) > max(fits["kmeans"]) + 0.1


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_best_beats_default_start(structure: str) -> None:
    """'best' starts higher than one iteration of EM from the default start leads."""
    X, _, _ = spherical_groups(600, 3, 6, 2.5, 14)
    for seed in range(3):
        best = GaussianMixture(6, covariance_type=structure, init_params="best", max_iter=1, random_state=seed)
        usual = GaussianMixture(6, covariance_type=structure, max_iter=1, random_state=seed)
        assert best.fit(X).lower_bound_ > usual.fit(X).lower_bound_


def test_best_skips_collapsed_runs() -> None:
    """'best' leaves out starts whose covariance collapses; when all do, it raises the error of EM."""
    X = np.concatenate([np.zeros((30, 2)), np.random.default_rng(0).normal(size=(60, 2)) + 5])
    with pytest.raises(ValueError, match="covariance"):
        GaussianMixture(2, init_params="best", reg_covar=0, degenerate="raise", random_state=0).fit(X)
    assert GaussianMixture(2, init_params="best", degenerate="raise", random_state=0).fit(X).converged_


# What the user gives -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_given_labels_and_responsibilities(structure: str, dtype: str) -> None:
    """The start is the M-step of what is given, exact far from the origin too."""
    X, labels, _ = spherical_groups(300, 3, 4, 6.0, 15)
    X = (X + 300.0).astype(dtype)
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(4), size=300)
    hard = np.eye(4)[labels]
    options = {"covariance_type": structure, "max_iter": 0, "reg_covar": 1e-3}
    rtol = 1e-10 if dtype == "float64" else 2e-4
    for given, responsibilities in (
        (labels, hard),
        (labels.tolist(), hard),
        (labels.astype(np.uint8), hard),
        (labels.astype(np.float32), hard),
        (hard, hard),
        (soft, soft),
        (soft.tolist(), soft),
        (np.asfortranarray(soft), soft),
        (lambda rows, k, stream: labels, hard),
        (lambda rows, k, stream: soft, soft),
    ):
        expected = twin.maximize(structure, X.astype(np.float64), responsibilities, reg_covar=1e-3)
        got = GaussianMixture(4, init_params=given, **options).fit(X)
        np.testing.assert_allclose(got.weights_, expected.weights.astype(float), rtol=rtol)
        np.testing.assert_allclose(got.means_, expected.means.astype(float), rtol=rtol)
        np.testing.assert_allclose(got.covariances_, expected.covariances.astype(float), rtol=rtol, atol=10 * rtol)


def test_callable_start() -> None:
    """A callable sees the rows, read-only, the number of components and the stream; its means attract the rows."""
    X, labels, centers = spherical_groups(200, 2, 3, 12.0, 16)
    seen = []

    def initial(rows: Array, n_components: int, random_state: Any) -> Array:
        """Means near the centers."""
        seen.append((rows, n_components, random_state))
        return centers + random_state.uniform(-1, 1, size=centers.shape)

    fit = GaussianMixture(3, init_params=initial, random_state=3, n_init=2, max_iter=0).fit(X)
    expected = GaussianMixture(3, init_params=labels, max_iter=0).fit(X)
    np.testing.assert_allclose(fit.means_, expected.means_, rtol=1e-12)
    assert len(seen) == 2
    for rows, n_components, random_state in seen:
        np.testing.assert_array_equal(rows, X)
        assert not rows.flags.writeable and X.flags.writeable
        assert n_components == 3
        assert random_state is seen[0][2] and isinstance(random_state, np.random.RandomState)


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("dtype", [*DTYPES, "int64"])
def test_callable_as_many_rows_as_components_and_features(dtype: str, size: int) -> None:
    """With N = K = D what cannot be responsibilities is means: negative, or a row does not sum to one."""
    rng = np.random.default_rng(size)
    X = np.round(rng.normal(size=(size, size)) * 100).astype(dtype)
    options = {"max_iter": 0, "reg_covar": 1e-3}
    order = rng.permutation(size)
    for rows in (X, abs(X) + 2, np.where(np.eye(size) == 1, X, 0) - 1):  # means at the rows, in another order
        found = GaussianMixture(size, init_params=lambda X, *_: X[order], **options).fit(rows)
        np.testing.assert_allclose(found.means_, rows[order], rtol=1e-6)
    soft = rng.dirichlet(np.ones(size), size=size)
    for given in (soft, np.eye(size, dtype=dtype)[order]):
        found = GaussianMixture(size, init_params=lambda *_, given=given: given, **options).fit(X)
        expected = GaussianMixture(size, init_params=given, **options).fit(X)
        np.testing.assert_array_equal(found.means_, expected.means_)
    with pytest.raises(ValueError, match="means with NaN"):
        GaussianMixture(size, init_params=lambda X, *_: X * np.nan, **options).fit(X)
    with pytest.raises(ValueError, match="init_params holds"):
        GaussianMixture(size, init_params=-X.astype(float) - 0.5, **options).fit(X)


@pytest.mark.parametrize("method", ["kmeans", "best", "hierarchical"])
@pytest.mark.parametrize("structure", LAYOUTS)
def test_given_means_get_nearest_rows(structure: str, method: str) -> None:
    """Beside given means, weights and covariances are those of the rows around each mean, in any order."""
    stream, sizes, spreads = np.random.default_rng(0), [30, 60, 120, 240], [1.0, 0.1, 0.5, 2.0]
    centers = np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0], [90.0, 90.0]])
    X = np.concatenate([c + s * stream.normal(size=(n, 2)) for c, s, n in zip(centers, spreads, sizes, strict=True)])
    labels = np.repeat(range(4), sizes)
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(4)
        options = {"covariance_type": structure, "means_init": centers[order] + 5, "max_iter": 0, "random_state": seed}
        place = np.empty(4, dtype=int)
        place[order] = range(4)
        found = GaussianMixture(4, init_params=method, n_init=2, **options).fit(X)
        expected = GaussianMixture(4, init_params=place[labels], **options).fit(X)
        np.testing.assert_array_equal(found.means_, centers[order] + 5)
        np.testing.assert_allclose(found.weights_, expected.weights_, rtol=1e-6)
        np.testing.assert_allclose(found.covariances_, expected.covariances_, rtol=1e-6, atol=1e-6)


def test_repairs_numbered_by_given_means() -> None:
    """A repair of the start names the component by the number of its mean."""
    X = np.concatenate([np.random.default_rng(0).normal(size=(50, 2)), np.full((50, 2), 90.0), np.full((20, 2), -80.0)])
    for seed in range(6):
        mixture = GaussianMixture(3, means_init=[[90, 90], [0, 0], [-80, -80]], reg_covar=0, random_state=seed)
        with pytest.warns(DegenerateComponentWarning):
            mixture.fit(X)
        assert {repair.component for repair in mixture.degenerate_} == {0, 2}
        np.testing.assert_allclose(mixture.weights_, [50 / 120, 50 / 120, 20 / 120])


def test_means_whose_distance_overflows() -> None:
    """Given means so far apart that their squared distance overflows are kept."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    options = {"means_init": [[1e200, 0], [-1e200, 0]], "max_iter": 0, "n_init": 2, "n_threads": 2, "random_state": 0}
    np.testing.assert_array_equal(GaussianMixture(2, **options).fit(X).means_, [[1e200, 0], [-1e200, 0]])


def test_labels_with_empty_component() -> None:
    """Labels need not use every component: the empty one is repaired, which is told."""
    X, _, _ = spherical_groups(50, 2, 2, 5.0, 17)
    with pytest.warns(DegenerateComponentWarning, match="component 1 .* was empty"):
        fit = GaussianMixture(3, init_params=np.repeat([0, 2], 25), max_iter=0).fit(X)
    assert fit.weights_[1] < 0.03
    assert np.all(np.isfinite(fit.means_)) and np.all(np.isfinite(fit.precisions_cholesky_))


N_ROWS = 20
GIVEN = [
    (np.full(N_ROWS, 2), r"the label 2 for row 0.* from 0 to n_components - 1 = 1"),
    (np.r_[np.zeros(N_ROWS - 1), -1], r"the label -1.0 for row 19"),
    (np.r_[0.5, np.zeros(N_ROWS - 1)], r"the label 0.5 for row 0"),
    (np.r_[0, np.nan, np.zeros(N_ROWS - 2)], r"the label nan for row 1"),
    (
        np.zeros(N_ROWS - 1, int),
        r"shape \(19,\), but must be labels of shape \(20,\), responsibilities of shape \(20, 2\)",
    ),
    (np.zeros((N_ROWS, 3)), r"shape \(20, 3\)"),
    (np.zeros((N_ROWS, 2, 1)), r"shape \(20, 2, 1\)"),
    (np.array(1), r"shape \(\)"),
    (np.full((N_ROWS, 2), 0.4), r"row 0 that sum to 0.8, but must sum to 1.*Divide"),
    (np.r_[[[0.5, 0.5]] * (N_ROWS - 1), [[1.5, -0.5]]], r"the responsibility -0.5 for row 19"),
    (np.r_[[[np.nan, 0.5]], [[0.5, 0.5]] * (N_ROWS - 1)], r"the responsibility nan for row 0"),
    (np.r_[[[np.inf, 0.0]], [[0.5, 0.5]] * (N_ROWS - 1)], r"the responsibility inf for row 0"),
]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(("given", "words"), GIVEN)
def test_bad_labels_and_responsibilities(given: Array, words: str, wrapped: bool) -> None:
    """Wrong labels and responsibilities are refused with the value seen, given as they are or by a callable."""
    X = np.random.default_rng(0).normal(size=(N_ROWS, 3))
    name = "returned by init_params" if wrapped else "^init_params"
    model = GaussianMixture(2, init_params=(lambda *_: given) if wrapped else given)
    with pytest.raises(ValueError, match=f"{name}.*{words}"):
        model.fit(X)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\).*or means of shape \(2, 3\)"),
        (np.full((2, 3), np.inf), "means with NaN or infinity"),
        (None, "dtype object, which holds no numbers"),
        (["a"] * N_ROWS, "holds no numbers"),
    ],
)
def test_bad_callables(returned: Any, words: str) -> None:
    """The result of a callable init_params is checked."""
    X = np.random.default_rng(0).normal(size=(N_ROWS, 3))
    with pytest.raises(ValueError, match=words):
        GaussianMixture(2, init_params=lambda *_: returned).fit(X)


def test_contenders_have_their_own_m_steps() -> None:
    """Each start of a race has an M-step of its own: a repair in one does not constrain the others."""
    rows, structure = ArraySource(np.random.default_rng(0).normal(size=(200, 2)), 1), STRUCTURES["full"]
    goal = Goal(structure, 2, m_step(rows, structure, degenerate="repair"))
    start = initialize(rows, structure, 2, "kmeans", np.random.RandomState(0), 1e-6)
    seen = []

    def noted(rows: ArraySource, goal: Goal) -> Parameters:
        """The start, and note the M-step that runs from it."""
        seen.append(goal.m_step)
        return start

    race.best_start(rows, goal, [noted, noted])
    assert len({id(step) for step in [goal.m_step, *seen]}) == 3
