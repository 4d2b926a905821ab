"""partial_fit is stepwise EM over batches, as in a slow twin on raw moments."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import Array, grouped_rows, unit_covariances

import fastgmm
from fastgmm import GaussianMixture, NotFittedError
from fastgmm.exceptions import DegenerateComponentWarning
from fastgmm.mixture import streaming


def overlapping_rows(n_samples: int, seed: int = 0) -> Array:
    """Rows of three overlapping groups."""
    return grouped_rows(n_samples, 3, [2.5, -1.25], seed=seed, n_features=2)


def known(structure: str, **options: Any) -> GaussianMixture:
    """A mixture with parameters set by hand."""
    mixture = GaussianMixture(3, covariance_type=structure, **({"reg_covar": 1e-3} | options))
    mixture.weights_, mixture.means_ = np.array([0.5, 0.3, 0.2]), np.array([[0, 0], [2, -1], [6, -3.0]])
    mixture.covariances_ = mixture.precisions_cholesky_ = unit_covariances(structure, 3, 2)
    return mixture


def raw_moments(X: Array, weights: Array, model: twin.Model) -> tuple[Array, Array, Array, float]:
    """Responsibilities summed against 1, x and x x^T, per unit of weight, and the mean log-likelihood."""
    r = twin.responsibilities(X, model) * weights[:, None]
    total = weights.sum()
    second = np.einsum("nk,ni,nj->kij", r, X, X)
    return r.sum(axis=0) / total, r.T @ X / total, second / total, weights @ twin.log_likelihoods(X, model) / total


def maximize_raw(structure: str, s: tuple[Array, Array, Array], reg_covar: float) -> twin.Model:
    """The M-step from raw moments."""
    counts, first, second = s
    means = first / counts[:, None]
    full = second / counts[:, None, None] - np.einsum("ki,kj->kij", means, means)
    diagonal = np.einsum("kii->ki", full)
    covariances = {
        "full": full + reg_covar * np.eye(2),
        "tied": np.einsum("k,kij->ij", counts, full) / counts.sum() + reg_covar * np.eye(2),
        "diag": diagonal + reg_covar,
        "spherical": diagonal.mean(axis=1) + reg_covar,
    }
    return twin.Model(structure, counts / counts.sum(), means, covariances[structure])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decay", [0.6, 0.9, 1.0])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_partial_fit_equals_twin(structure: str, decay: float, weighted: bool) -> None:
    """Step sizes, forgetting and averaging follow the formulae for batches of any sizes."""
    mixture = known(structure, learning_decay=decay)
    model = twin.Model(structure, mixture.weights_, mixture.means_, mixture.covariances_)
    rng = np.random.default_rng(1)
    seen = 0.0
    remembered, average, bounds = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), []
    for t, size in enumerate([12, 4, 300, 40, 1, 500, 7, 200, 200], start=1):
        X = overlapping_rows(size, seed=t)
        weights = rng.uniform(0.2, 3.0, size) if weighted else np.ones(size)
        mixture.partial_fit(X, sample_weight=weights if weighted else None)
        *s, bound = raw_moments(X, weights, model)
        seen += weights.sum()
        share = weights.sum() / seen
        g, w = share**decay, 1 - (1 - share) ** 4
        remembered = tuple((1 - g) * a + g * b for a, b in zip(remembered, s, strict=True))
        average = tuple((1 - w) * a + w * b for a, b in zip(average, remembered, strict=True))
        model = maximize_raw(structure, remembered, 1e-3)
        shown = model if decay == 1 else maximize_raw(structure, average, 1e-3)
        bounds.append(bound)
        np.testing.assert_allclose(mixture.weights_, shown.weights, rtol=1e-9)
        np.testing.assert_allclose(mixture.means_, shown.means, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(mixture.covariances_, shown.covariances, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(mixture.lower_bounds_, bounds, rtol=1e-9)
        np.testing.assert_allclose(mixture.n_samples_seen_, seen, rtol=1e-12)
    assert mixture.n_iter_ == 9 and mixture.stop_reason_ == "partial_fit" and not mixture.converged_


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_decay_one_equals_full_fit(structure: str) -> None:
    """With decay 1 a single Gaussian is the fit of all rows, however they are cut into batches."""
    X = overlapping_rows(1000)
    expected = GaussianMixture(covariance_type=structure).fit(X)
    for cuts in ([500], [10, 11, 400], [3, 997]):
        mixture = GaussianMixture(covariance_type=structure, learning_decay=1.0)
        for batch in np.split(X, cuts):
            mixture.partial_fit(batch)
        np.testing.assert_allclose(mixture.means_, expected.means_, rtol=1e-10)
        np.testing.assert_allclose(mixture.covariances_, expected.covariances_, rtol=1e-10)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_integer_weights_equal_repeated_rows(structure: str) -> None:
    """Integer weights in batches equal repeated rows, also while the first rows wait."""
    rng = np.random.default_rng(2)
    one, other = (
        GaussianMixture(3, covariance_type=structure, means_init=overlapping_rows(3), max_iter=5) for _ in range(2)
    )
    for size in (5, 300, 80):
        X, weights = overlapping_rows(size, seed=size), rng.integers(0, 4, size)
        weights[0] = 1
        one.partial_fit(X, sample_weight=weights)
        other.partial_fit(np.repeat(X, weights, axis=0))
    assert one.n_samples_seen_ == other.n_samples_seen_
    # "kmeans" gives the first weights and precisions, and draws from rows, not copies: near, but not the same.
    np.testing.assert_allclose(one.score(X), other.score(X), rtol=0.02)
    one, other = known(structure), known(structure)
    for size in (5, 300, 80):
        X, weights = overlapping_rows(size, seed=size), rng.integers(0, 4, size)
        weights[0] = 1
        one.partial_fit(X, sample_weight=weights)
        other.partial_fit(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-9)


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_scaled_weights_same_fit(factor: float) -> None:
    """The unit of weights changes no parameter, and rows of weight zero are as good as absent."""
    one, other = known("full"), known("full")
    rng = np.random.default_rng(3)
    for size in (40, 300, 80, 2):
        X, weights = overlapping_rows(size, seed=size), rng.uniform(0.2, 3.0, size)
        one.partial_fit(X, sample_weight=weights)
        X, weights = np.insert(X, 1, 7.0, axis=0), np.insert(weights, 1, 0.0)
        other.partial_fit(X, sample_weight=factor * weights)
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-9)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_partial_fit_reaches_full_fit_likelihood(structure: str) -> None:
    """A hundred batches end within a hundredth of the likelihood of EM on all rows, float32 too."""
    X = overlapping_rows(100_000).astype(np.float32)
    full = GaussianMixture(3, covariance_type=structure, random_state=0, tol=1e-5, max_iter=500).fit(X)
    for decay in (0.6, 1.0):
        mixture = GaussianMixture(3, covariance_type=structure, random_state=0, learning_decay=decay)
        for batch in np.split(X, 100):
            mixture.partial_fit(batch)
        assert mixture.means_.dtype == np.float32
        assert mixture.score(X) > full.score(X) - 0.01


def test_learning_decay_forgets_old_rows() -> None:
    """With decay 0.6 late batches count most; with decay 1 all count the same."""
    means = []
    for decay in (0.6, 1.0):
        mixture = GaussianMixture(learning_decay=decay)
        for level in (0.0, 10.0):
            for seed in range(50):
                mixture.partial_fit(overlapping_rows(100, seed) + level)
        means.append(mixture.means_[0, 0] - overlapping_rows(5000)[:, 0].mean())
    assert means[0] > 8 and 4.7 < means[1] < 5.3


def test_first_rows_wait_for_enough() -> None:
    """Rows may come one by one; those that wait are counted, and none is lost; there is no end of waiting."""
    X = overlapping_rows(900)
    mixture = GaussianMixture(3, random_state=0, learning_decay=1.0)
    waited = 0
    for n, row in enumerate(X, start=1):
        mixture.partial_fit(row[None])
        if hasattr(mixture, "means_"):
            assert mixture.n_samples_seen_ == n
        else:
            waited = n
            with pytest.raises(NotFittedError, match=rf"not fitted yet: {n} row\(s\) wait for more"):
                mixture.predict(X)
    assert 34 <= waited + 1 <= 16 * 34  # four times 17 free parameters, for two features
    assert mixture.n_iter_ == 900 - waited


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize(("size", "dtype"), [(1, "f8"), (2, "f4")])
def test_small_batches_keep_all_components(structure: str, size: int, dtype: str) -> None:
    """Two groups six deviations apart, a row or two at a time, with the first rows equal or not: both stay."""
    for seed in (0, 2):
        X = grouped_rows(600, 2, [6.0], seed=seed).astype(dtype)
        if seed == 2:
            X[:100] = X[0]
        mixture = GaussianMixture(2, covariance_type=structure, random_state=seed)
        for start in range(0, len(X), size):
            mixture.partial_fit(X[start : start + size])
        assert mixture.weights_.min() > 0.3
        np.testing.assert_allclose(np.sort(mixture.means_[:, 0]), [0, 6], atol=0.5)


def test_gaps_and_weights_wait_too() -> None:
    """A feature that has not been seen, and rows of weight zero, are no reason to begin."""
    rng = np.random.default_rng(0)
    X = grouped_rows(1200, 2, [6.0, 6.0], n_features=2)
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:250, 1] = np.nan
    mixture = GaussianMixture(2, missing="em", random_state=0, reg_covar=1e-3)
    for row in X:
        mixture.partial_fit([row], sample_weight=[1.0])
    np.testing.assert_allclose(np.sort(mixture.means_[:, 0]), [0, 6], atol=0.7)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"covariance_type": "tied"}, r"covariance_type is 'tied' now, .* shape \(2, 2\)"),
        ({"covariance_type": "full"}, r"covariance_type is 'full' now"),
        ({"covariance_type": "spherical"}, r"covariance_type is 'spherical' now"),
        ({"n_components": 3}, r"means_ of shape \(2, 2\): .* ask for \(3, 2\)"),
        ({"n_components": 1}, r"means_ of shape \(2, 2\): .* ask for \(1, 2\)"),
    ],
)
def test_changed_arguments_are_refused(params: dict[str, Any], message: str) -> None:
    """A stream, and a warm start, cannot go on as another mixture: 'tied' and 'diag' have equal shapes here."""
    X = overlapping_rows(400)
    for begin in ("fit", "partial_fit"):
        mixture = GaussianMixture(2, covariance_type="diag", random_state=0, warm_start=True)
        getattr(mixture, begin)(X).set_params(**params)
        before = pickle.dumps(mixture)
        for method in ("fit", "partial_fit"):
            with pytest.raises(ValueError, match=message):
                getattr(mixture, method)(X)
        assert pickle.dumps(mixture) == before


def test_long_streams_take_constant_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of the last thousand batches (here: a hundred) are kept, and the first repair of each kind."""
    assert streaming.KEPT_BOUNDS == 1000
    monkeypatch.setattr(streaming, "KEPT_BOUNDS", 100)
    mixture = GaussianMixture(1, reg_covar=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(200):
            mixture.partial_fit([[7.0]] if i > 0 else np.full((100, 1), 7.0))
    assert (mixture.n_iter_, len(mixture.lower_bounds_), len(mixture.degenerate_)) == (200, 100, 1)
    assert len(caught) == 1 and "collapsed" in str(caught[0].message)


def test_first_batch_equals_fit() -> None:
    """The first batch gives the fit of its rows and one more iteration."""
    X = overlapping_rows(500)
    fit = GaussianMixture(3, random_state=0).fit(X)
    got = GaussianMixture(3, random_state=0, learning_decay=1.0).partial_fit(X)
    step = GaussianMixture(3, max_iter=1, tol=0)
    step.weights_init, step.means_init, step.precisions_init = fit.weights_, fit.means_, fit.precisions_
    np.testing.assert_allclose(got.means_, step.fit(X).means_, rtol=1e-9, atol=1e-12)
    assert got.fits_[0].lower_bound == fit.fits_[0].lower_bound


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_partial_fit_continues_a_fit(structure: str, weighted: bool) -> None:
    """With decay 1 a converged fit and a batch of the same rows again are a fit; a row more hardly moves it."""
    X = overlapping_rows(3000)
    weights = np.random.default_rng(4).uniform(0.5, 2.0, 3000) if weighted else None
    options: dict[str, Any] = {"covariance_type": structure, "reg_covar": 1e-3, "random_state": 0, "tol": 1e-12}
    mixture = GaussianMixture(3, learning_decay=1.0, max_iter=3000, **options).fit(X, sample_weight=weights)
    before = mixture.weights_, mixture.means_, mixture.covariances_
    total = 3000 if weights is None else weights.sum()
    assert mixture.n_samples_seen_ == pytest.approx(total)
    mixture.partial_fit(X, sample_weight=weights)
    assert (mixture.n_iter_, mixture.n_samples_seen_) == (1, pytest.approx(2 * total))
    for one, other in zip(before, (mixture.weights_, mixture.means_, mixture.covariances_), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    for decay in (0.6, 1.0):
        mixture.set_params(learning_decay=decay).fit(X, sample_weight=weights).partial_fit([[60.0, 0.0]])
        moved = mixture.weights_ @ mixture.means_ - before[0] @ before[1]
        share = 1 / (total + 1)
        step = share if decay == 1 else share**decay * (1 - (1 - share) ** 4)
        expected = step * ([60, 0] - before[0] @ before[1])
        np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=1e-8)


def test_partial_fit_with_empty_component() -> None:
    """A component of weight zero stays as it is when partial_fit continues the mixture."""
    mixture = GaussianMixture.from_parameters([1, 0], [[0.0], [9.0]], [1.0, 1.0], covariance_type="spherical")
    mixture.n_samples_seen_ = 1000.0
    with pytest.warns(DegenerateComponentWarning, match="component 1 .* was empty: held as it was"):
        mixture.partial_fit([[1.0], [2.0]])
    np.testing.assert_allclose(mixture.means_[1], 9, rtol=1e-6)
    assert np.isfinite(mixture.precisions_).all()


def test_partial_fit_continues_select_and_maximize() -> None:
    """Mixtures from select, maximize and fit_predict know how many rows they come from."""
    X = overlapping_rows(600)
    best = fastgmm.select(X, [3], "diag", random_state=0).best_estimator_
    stepped = fastgmm.maximize(best, fastgmm.statistics(best, X))
    labeled = GaussianMixture(3)
    labeled.fit_predict(X)
    for mixture in (best, stepped, labeled):
        assert mixture.n_samples_seen_ == 600
        assert mixture.partial_fit(X[:5]).n_samples_seen_ == 605


def test_parameters_set_by_hand_have_no_weight() -> None:
    """From parameters set by hand the first batch is one step of EM."""
    X = overlapping_rows(3000)
    mixture = known("full", learning_decay=0.6)
    step = GaussianMixture(3, reg_covar=1e-3, max_iter=1, tol=0)
    step.weights_init, step.means_init, step.precisions_init = (
        mixture.weights_,
        mixture.means_,
        np.tile(np.eye(2), (3, 1, 1)),
    )
    mixture.partial_fit(X)
    np.testing.assert_allclose(mixture.means_, step.fit(X).means_, rtol=1e-9, atol=1e-12)
    assert mixture.n_samples_seen_ == 3000


def test_fit_resets_the_stream() -> None:
    """fit forgets earlier batches."""
    X = overlapping_rows(3000)
    mixture = GaussianMixture(3, random_state=0).partial_fit(X[:1000]).partial_fit(X[1000:])
    fresh = GaussianMixture(3, random_state=0).fit(X)
    mixture.fit(X)
    np.testing.assert_array_equal(mixture.means_, fresh.means_)
    assert mixture.n_samples_seen_ == 3000
    np.testing.assert_array_equal(mixture.partial_fit(X).means_, fresh.partial_fit(X).means_)


def test_partial_fit_after_pickling_same_bits() -> None:
    """The state is part of the estimator, and no bit depends on threads."""
    batches = np.split(overlapping_rows(60_000), 3)
    one, other = (GaussianMixture(3, random_state=0, n_threads=n) for n in (1, 3))
    for batch in batches:
        one.partial_fit(batch)
        other = pickle.loads(pickle.dumps(other)).partial_fit(batch)
    np.testing.assert_array_equal(one.covariances_, other.covariances_)


def test_partial_fit_continues_saved_mixture(tmp_path: Path) -> None:
    """A saved mixture keeps its parameters and counts, by which the stream goes on; with decay 1 nothing is lost."""
    X = overlapping_rows(400)
    mixture = GaussianMixture(3, random_state=0, learning_decay=1.0).partial_fit(X)
    mixture.save(tmp_path / "mixture.npz")
    loaded = fastgmm.load(tmp_path / "mixture.npz")
    assert (loaded.n_samples_seen_, loaded.stop_reason_, loaded.n_iter_) == (400, "partial_fit", 1)
    np.testing.assert_array_equal(loaded.means_, mixture.means_)
    assert loaded.partial_fit(X[:7]).n_samples_seen_ == 407
    np.testing.assert_allclose(loaded.covariances_, mixture.partial_fit(X[:7]).covariances_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_collapsed_components_are_repaired(seed: int) -> None:
    """A component that a batch leaves on one point is repaired, with a warning."""
    X = np.concatenate([overlapping_rows(300), np.full((50, 2), 40.0)])
    mixture = GaussianMixture(2, means_init=[[0, 0], [40, 40]], reg_covar=0, learning_decay=1.0, random_state=seed)
    with pytest.warns(DegenerateComponentWarning, match="component 1"):
        mixture.partial_fit(X)
    with warnings.catch_warnings(action="error"):  # once is enough
        for seed in range(3):
            mixture.partial_fit(np.concatenate([overlapping_rows(300, seed), np.full((50, 2), 40.0)]))
    assert np.isfinite(mixture.precisions_).all()
    np.testing.assert_allclose(mixture.means_[1], 40)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([[1.0, np.nan]], "contains NaN"),
        ([[1.0]], "expecting 2 features"),
        ([1.0, 2.0], "Reshape your data"),
        (np.empty((0, 2)), "0 sample"),
    ],
)
@pytest.mark.parametrize("n_before", [4, 100])
def test_bad_batches_change_nothing(batch: Any, message: str, n_before: int) -> None:
    """A batch that is refused leaves what was learned, or what waits."""
    X = overlapping_rows(200)
    mixture, other = (GaussianMixture(2, random_state=0).partial_fit(X[:n_before]) for _ in range(2))
    with pytest.raises(ValueError, match=message):
        mixture.partial_fit(batch)
    np.testing.assert_array_equal(mixture.partial_fit(X).means_, other.partial_fit(X).means_)


def test_bad_decay_and_names() -> None:
    """Arguments and column names are checked as in fit."""
    pandas = pytest.importorskip("pandas")
    for decay in (0.5, 1.1, "fast"):
        with pytest.raises(ValueError, match=r"'learning_decay' .* range \(0.5, 1.0\]"):
            GaussianMixture(learning_decay=decay).partial_fit(overlapping_rows(10))
    mixture = GaussianMixture().partial_fit(pandas.DataFrame(overlapping_rows(10), columns=["a", "b"]))
    mixture.partial_fit(pandas.DataFrame(overlapping_rows(10), columns=["a", "b"]))
    assert mixture.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        mixture.partial_fit(pandas.DataFrame(overlapping_rows(10), columns=["a", "c"]))


def test_stream_after_a_fit_takes_off_automatic_regularization() -> None:
    """After a fit, reg_covar="auto" is taken off the variances as the number that it stands for would be."""
    X = np.random.default_rng(3).normal(size=(4000, 1)) * 5
    number = 1e-6 * float(X[:3000].var())
    found = [
        GaussianMixture(1, reg_covar=reg, random_state=0).fit(X[:3000]).partial_fit(X[3000:3010]).covariances_
        for reg in ("auto", number)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=5e-8)


def test_stream_after_parameters_without_covariances() -> None:
    """A stream that goes on from a fit needs no covariances_: they follow from the factors."""
    X = np.random.default_rng(4).normal(size=(500, 2))
    whole, bare = (GaussianMixture(2, random_state=0).fit(X[:400]) for _ in range(2))
    del bare.covariances_
    for mixture in (whole, bare):
        mixture.partial_fit(X[400:])
    np.testing.assert_allclose(bare.covariances_, whole.covariances_, rtol=1e-9)
