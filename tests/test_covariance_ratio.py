"""covariance_ratio: the M-step against brute force, EM under the bound, and everything that has to follow it."""

from __future__ import annotations

import math
import warnings
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import DATASETS, Array, grouped_rows, quiet_fit

import fastgmm
from fastgmm import GaussianMixture, kernels
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.mstep import bounded as bounded_m_step
from fastgmm.model.bound import bounded, clipped
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource

TAKEN = ("full", "diag", "spherical", "tied", "EEI", "EII", "VVV", "VVI", "VII", "EEE")
FREE = ("full", "diag", "spherical", "tied", "EEI")  # under which the bound may act, each once
REFUSED = ("VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV")


def rows_of(seed: int, n_samples: int = 120) -> Array:
    """Overlapping groups in features of different units."""
    X = grouped_rows(n_samples, 3, 2.0, seed=seed)
    X[: n_samples // 3] *= 0.2  # of smaller variance
    return X * [1.0, 100.0, 0.01] + [0.0, 5.0, -3.0]


def dense_covariances(mixture: GaussianMixture) -> Array:
    """The covariances as matrices (K, D, D)."""
    return mixture._structure().dense(mixture.covariances_, *mixture.means_.shape)


def relative_variances(mixture: GaussianMixture, X: Array, weights: Array | None = None) -> Array:
    """Variances along all axes, features in units of their deviations; spherical: of the components alone."""
    if mixture._structure().layout.name == "spherical":
        return mixture.covariances_
    center = np.average(X, axis=0, weights=weights)
    deviations = np.sqrt(np.average((X - center) ** 2, axis=0, weights=weights))
    return np.linalg.eigvalsh(dense_covariances(mixture) / np.outer(deviations, deviations))


def ratio_of(mixture: GaussianMixture, X: Array, weights: Array | None = None) -> float:
    """The largest variance over the smallest."""
    variances = relative_variances(mixture, X, weights)
    return float(variances.max() / variances.min())


def cost(variances: Array, weights: Array, found: Array) -> Any:
    """What the most likely variances minimize, for one or for many proposals (..., K, D)."""
    return (weights[:, None] * (np.log(found) + variances / found)).sum(axis=(-2, -1))


# ---- the M-step


@pytest.mark.parametrize("seed", range(40))
def test_clipped_against_a_grid(seed: int) -> None:
    """No level of clipping on a fine grid is likelier; zeros, ties and tiny weights are no trouble."""
    rng = np.random.default_rng(seed)
    variances = rng.lognormal(sigma=rng.choice([0.5, 3.0]), size=(rng.integers(1, 6), rng.integers(1, 5)))
    variances[rng.random(variances.shape) < 0.2] = 0.0
    variances[0, 0] = 1.0
    if seed % 4 == 0:
        variances = np.round(variances)
    weights = rng.lognormal(sigma=2, size=len(variances))
    weights[rng.random(len(weights)) < 0.2] = 1e-200
    ratio = float(rng.choice([1.0, 1.5, 10.0, 1000.0]))
    least = float(rng.choice([0.0, 0.0, 0.3]))
    found = clipped(variances, weights, ratio, least)
    if variances.max() <= ratio * variances.min() and variances.min() >= least:
        assert found is variances
        return
    assert found.max() <= ratio * found.min() * (1 + 1e-12)
    assert found.min() >= least
    levels = np.concatenate([np.geomspace(1e-5, 1e3, 5001) * unit for unit in (1.0, found.min())])
    levels = levels[levels >= least]
    grid = cost(variances, weights, np.clip(variances, *(unit * levels[:, None, None] for unit in (1.0, ratio)))).min()
    own = cost(variances, weights, found)
    assert own <= grid + 1e-12 * abs(grid)
    assert own == pytest.approx(grid, abs=1e-5 * weights.sum() * variances.shape[1])


def test_axes() -> None:
    """Axes and variances are those of LAPACK, of singular matrices too."""
    roots = np.random.default_rng(0).normal(size=(4, 5, 5))
    roots[1, :, 2:] = roots[2] = 0
    matrices = roots @ np.swapaxes(roots, 1, 2)
    axes, variances = np.empty_like(matrices), np.empty((4, 5))
    kernels.CHOSEN.axes_of(matrices.copy(), axes, variances)
    np.testing.assert_allclose(variances, np.linalg.eigvalsh(matrices), atol=1e-13)
    np.testing.assert_allclose(np.einsum("kij,ki,kil->kjl", axes, variances, axes), matrices, atol=1e-13)
    np.testing.assert_allclose(axes @ np.swapaxes(axes, 1, 2), np.broadcast_to(np.eye(5), (4, 5, 5)), atol=1e-13)


def test_nothing_to_clip() -> None:
    """Variances within the bound, all zero or not finite stay as they are."""
    for values in (np.array([[1.0, 2.0]]), np.zeros((2, 2)), np.array([[1.0, math.inf]]), np.array([[1.0, math.nan]])):
        assert clipped(values, np.ones(len(values)), 2.0) is values


@pytest.mark.parametrize(("structure", "seed"), [*product(FREE, range(3))])
def test_no_likelier_covariances(structure: str, seed: int) -> None:
    """An M-step beats all random covariances of its structure within the bound, near and far, by its own objective."""
    X, rng = rows_of(seed), np.random.default_rng(seed)
    mixture = quiet_fit(X, n_components=3, covariance_type=structure, reg_covar=0, max_iter=2, random_state=0)
    shares, statistics = mixture.predict_proba(X), fastgmm.statistics(mixture, X)
    ratio = math.sqrt(ratio_of(fastgmm.maximize(mixture, statistics), X))
    following = fastgmm.maximize(mixture.set_params(covariance_ratio=ratio), statistics)
    unit = X.std(axis=0) if structure != "spherical" else np.ones(3)
    counts = shares.sum(axis=0)
    means = shares.T @ X / counts[:, None]
    scatters = np.array([(r[:, None] * (X - m)).T @ (X - m) for r, m in zip(shares.T, means, strict=True)])
    scatters /= np.outer(unit, unit)

    def objective(covariances: Array) -> float:
        squares = np.trace(np.linalg.solve(covariances, scatters), axis1=1, axis2=2)
        return float(-counts @ np.linalg.slogdet(covariances)[1] - squares.sum())

    own = dense_covariances(following) / np.outer(unit, unit)
    best = objective(own)
    np.testing.assert_allclose(following.means_, means)
    active = 0
    for trial in range(300):
        moved = own.copy()
        for k in range(3):
            root = np.eye(3) + rng.normal(size=(3, 3)) * rng.choice([1e-3, 0.03, 0.5])
            moved[k] = root @ own[k] @ root.T
        if structure in ("tied", "EEI"):
            moved[:] = moved[0]
        if structure in ("diag", "EEI"):
            moved *= np.eye(3)
        if structure == "spherical":
            moved = np.trace(moved, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
        values, axes = np.linalg.eigh(moved)
        ends = sorted([values.max() / ratio, values.min()])
        level = rng.uniform(0.95 * ends[0], 1.05 * ends[1])
        values = np.clip(values, level, ratio * level)
        moved = np.einsum("kij,kj,klj->kil", axes, values, axes)
        assert objective(moved) <= best + 1e-9 * abs(best), trial
        active += bool(values.max() > 0.99 * ratio * values.min())
    assert active > 15
    spread = relative_variances(following, X)
    assert spread.max() / spread.min() == pytest.approx(ratio)


# ---- EM


@pytest.mark.parametrize(("structure", "acceleration", "seed"), [*product(FREE, (None, "squarem"), range(4))])
def test_em_rises_within_the_bound(structure: str, acceleration: str | None, seed: int) -> None:
    """The likelihood never falls without any ridge, and no covariances exceed the bound."""
    X, ratio = rows_of(seed), (1.0, 2.0, 8.0, 50.0)[seed]
    how = {"covariance_type": structure, "acceleration": acceleration, "covariance_ratio": ratio}
    mixture = quiet_fit(X, n_components=4, reg_covar=0, tol=1e-9, max_iter=400, random_state=seed, **how)
    assert not mixture.degenerate_
    assert np.diff(mixture.lower_bounds_).min() > -1e-11
    assert ratio_of(mixture, X) <= ratio * (1 + 1e-9)
    bound = mixture._structure()
    assert mixture.bic(X) == pytest.approx(-2 * len(X) * mixture.score(X) + bound.n_parameters(4, 3) * math.log(len(X)))


@pytest.mark.parametrize("structure", FREE)
def test_units(structure: str) -> None:
    """Units and shifts of features change nothing but the units of the answer; spherical: a unit of all."""
    X = rows_of(1)
    factors = np.array([1e-3, 7.0, 400.0]) if structure != "spherical" else np.full(3, 7.0)
    Y = X * factors + [1.0, -2.0, 3.0]
    options: dict[str, Any] = {"covariance_type": structure, "covariance_ratio": 4.0, "reg_covar": 0, "max_iter": 300}
    start = np.random.default_rng(0).integers(3, size=len(X))
    one, other = (quiet_fit(rows, n_components=3, init_params=start, tol=1e-9, **options) for rows in (X, Y))
    np.testing.assert_allclose(other.weights_, one.weights_, rtol=1e-6)
    expected = dense_covariances(one) * np.outer(factors, factors)
    np.testing.assert_allclose(dense_covariances(other), expected, rtol=1e-6, atol=1e-9 * float(factors.min()) ** 2)


@pytest.mark.parametrize("structure", TAKEN)
def test_bound_that_does_not_act(structure: str) -> None:
    """Under a bound beyond what there is, fits are those without."""
    X = DATASETS["iris"]
    options: dict[str, Any] = {"n_components": 3, "covariance_type": structure, "tol": 1e-7, "random_state": 0}
    free, held = (quiet_fit(X, **options, covariance_ratio=ratio) for ratio in (None, 1e7))
    assert held.n_iter_ == free.n_iter_
    np.testing.assert_allclose(held.lower_bounds_, free.lower_bounds_, rtol=1e-9)
    np.testing.assert_allclose(held.covariances_, free.covariances_, rtol=1e-6, atol=1e-9)


def test_one_feature() -> None:
    """Of one feature it is Hathaway's ratio of variances, under all names alike."""
    X = np.concatenate([np.random.default_rng(0).normal(scale=s, size=200) for s in (0.1, 5.0)])[:, None]
    labels = np.repeat([0, 1], 200)
    options: dict[str, Any] = {
        "covariance_ratio": 9.0,
        "reg_covar": 0,
        "init_params": labels,
        "tol": 1e-10,
        "max_iter": 999,
    }
    fits = [quiet_fit(X, n_components=2, covariance_type=name, **options) for name in ("V", "VII", "diag", "full")]
    variances = [np.sort(mixture.covariances_.ravel()) for mixture in fits]
    assert variances[0][1] / variances[0][0] == pytest.approx(9.0)
    for other in variances[1:]:
        np.testing.assert_allclose(other, variances[0], rtol=1e-6)
    equal = quiet_fit(X, n_components=2, covariance_type="E", init_params=labels, tol=1e-10, max_iter=999)
    bound = quiet_fit(X, n_components=2, covariance_type="E", **{**options, "reg_covar": 1e-6})
    np.testing.assert_allclose(bound.covariances_, equal.covariances_, rtol=1e-8)


def test_spurious_optima_are_kept_out() -> None:
    """Starts on rows of Old Faithful with equal waiting times collapse without a bound, and under it none does."""
    X = DATASETS["faithful"]
    collapsed = 0
    for waiting in (46, 54, 75, 78, 81, 83):
        labels = (X[:, 0] > 3).astype(int)
        labels[X[:, 1] == waiting] = 2
        options: dict[str, Any] = {
            "n_components": 3,
            "reg_covar": 0,
            "init_params": labels,
            "tol": 1e-6,
            "max_iter": 999,
        }
        free = quiet_fit(X, **options)
        least = relative_variances(free, X).min()
        collapsed += bool(free.degenerate_) or least < 1e-4
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            held = GaussianMixture(covariance_ratio=20.0, **options).fit(X)
        assert not held.degenerate_ and relative_variances(held, X).min() > 0.005
        assert ratio_of(held, X) <= 20 * (1 + 1e-9)
    assert collapsed >= 3


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_component_on_equal_rows(structure: str) -> None:
    """A component whose rows are equal has the smallest variance that the bound allows, and is nothing to repair."""
    X = np.concatenate([np.zeros((20, 2)), np.random.default_rng(0).normal(size=(30, 2)) + 9])
    labels = np.repeat([0, 1], [20, 30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for degenerate in ("repair", "raise"):
            how = {"covariance_type": structure, "degenerate": degenerate}
            mixture = GaussianMixture(2, covariance_ratio=7.0, reg_covar=0, init_params=labels, **how).fit(X)
            assert not mixture.degenerate_
            assert ratio_of(mixture, X) == pytest.approx(7.0)
            assert np.ptp(relative_variances(mixture, X)[0]) < 1e-12


def test_all_components_on_points() -> None:
    """Where all collapse no ratio helps: they are repaired, with a warning, or that is an error."""
    X = np.repeat([[0.0, 1.0], [5.0, 3.0]], 10, axis=0)
    options: dict[str, Any] = {"covariance_ratio": 10.0, "reg_covar": 0, "init_params": np.repeat([0, 1], 10)}
    with pytest.warns(fastgmm.DegenerateComponentWarning):
        mixture = GaussianMixture(2, **options).fit(X)
    assert ratio_of(mixture, X) <= 10 * (1 + 1e-9)
    with pytest.raises(ValueError, match="increase reg_covar"):
        GaussianMixture(2, degenerate="raise", **options).fit(X)


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_empty_beside_equal_rows(structure: str) -> None:
    """Beside an empty component, which is held, one on equal rows is still nothing to repair."""
    X = np.concatenate([np.zeros((20, 2)), np.random.default_rng(0).normal(size=(30, 2)) + 9])
    options: dict[str, Any] = {"covariance_type": structure, "covariance_ratio": 7.0, "reg_covar": 0}
    mixture = quiet_fit(X, n_components=3, init_params=np.repeat([0, 1], [20, 30]), tol=0, max_iter=30, **options)
    assert {repair.problem for repair in mixture.degenerate_} == {"empty"}
    assert ratio_of(mixture, X) == pytest.approx(7.0)
    assert np.diff(mixture.lower_bounds_).min() > -1e-11


@pytest.mark.parametrize("structure", FREE)
def test_rows_on_few_points(structure: str) -> None:
    """Whatever collapses, the likelihood never falls once all components are held, and the bound is kept."""
    held = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        points = rng.integers(0, 4, size=(rng.integers(2, 5), rng.integers(1, 4))).astype(float)
        X, k, ratio = points[rng.integers(len(points), size=40)], int(rng.integers(2, 5)), float(rng.choice([1, 3, 50]))
        options: dict[str, Any] = {"covariance_type": structure, "covariance_ratio": ratio, "reg_covar": 0, "tol": 0}
        options |= {"init_params": rng.integers(k, size=40), "max_iter": 50}
        mixture = quiet_fit(X, n_components=k, **options)
        first = max((repair.iteration for repair in {r[1:]: r for r in mixture.degenerate_[::-1]}.values()), default=0)
        assert np.diff(mixture.lower_bounds_[first + 1 :]).min(initial=0.0) > -1e-9
        if X.std(axis=0).all():
            assert ratio_of(mixture, X) <= ratio * (1 + 1e-9)
            held += first > 0
    assert held


def test_held_components_that_recover() -> None:
    """Components that have been held and have spread again are no repair, and as they would be without."""
    source, structure = ArraySource(rows_of(0)), STRUCTURES["full"]
    parameters = quiet_fit(rows_of(0), n_components=3, covariance_ratio=3.0, random_state=0)._fitted().parameters
    likelihood, ratio = partial(MaximumLikelihood, degenerate="repair"), {"covariance_ratio": 3.0}
    held, free = (bounded_m_step(source, structure, one, **ratio, of=likelihood) for one in ({0: np.ones(3)}, None))
    statistics = source.statistics(structure, parameters)
    found, expected = (one(statistics, parameters, 1) for one in (held, free))
    np.testing.assert_array_equal(found.covariances, expected.covariances)
    assert not held.repairs and held.constraints and not free.constraints


@pytest.mark.parametrize("structure", ["full", "diag", "tied", "EEI"])
def test_constant_feature_is_left_out(structure: str) -> None:
    """A feature that does not vary has no unit: the others are fitted as without it."""
    X = rows_of(0)
    options: dict[str, Any] = {"n_components": 3, "covariance_type": structure, "covariance_ratio": 3.0}
    options |= {"init_params": np.random.default_rng(0).integers(3, size=len(X)), "reg_covar": 1e-9}
    plain, wider = quiet_fit(X, **options), quiet_fit(np.insert(X, 1, 4.0, axis=1), **options)
    kept = [0, 2, 3]
    np.testing.assert_allclose(dense_covariances(wider)[:, kept][:, :, kept], dense_covariances(plain), rtol=1e-7)
    assert dense_covariances(wider)[:, 1, 1] == pytest.approx(1e-9)


# ---- with everything else


def test_starts_are_projected() -> None:
    """Covariances given, or found by an earlier fit, give way to the most likely ones within the bound."""
    X = rows_of(2)
    free = quiet_fit(X, n_components=3, random_state=0, reg_covar=1e-9)
    start = {"weights_init": free.weights_, "means_init": free.means_, "precisions_init": free.precisions_}
    for options in (start, {"precisions_init": free.precisions_}):
        mixture = GaussianMixture(3, covariance_ratio=4.0, max_iter=0, random_state=0, **options).fit(X)
        assert ratio_of(mixture, X) == pytest.approx(4.0)
    assert ratio_of(free, X) > 8
    free.set_params(covariance_ratio=4.0, warm_start=True, tol=1e-9, max_iter=300, reg_covar=0)
    free.fit(X)
    assert ratio_of(free, X) <= 4 * (1 + 1e-9)
    assert np.diff(free.lower_bounds_).min() > -1e-11


@pytest.mark.parametrize("structure", FREE)
def test_weights_are_repetitions(structure: str) -> None:
    """A row of weight three is three rows, in the units of the bound, too."""
    X = rows_of(3)
    weights = np.random.default_rng(1).integers(1, 4, size=len(X))
    labels = np.random.default_rng(2).integers(3, size=len(X))
    options: dict[str, Any] = {"n_components": 3, "covariance_type": structure, "covariance_ratio": 1.2}
    options |= {"reg_covar": 0, "max_iter": 25}
    weighted = GaussianMixture(init_params=labels, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weighted.fit(X, sample_weight=weights)
    repeated = quiet_fit(np.repeat(X, weights, axis=0), init_params=np.repeat(labels, weights), **options)
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-7, atol=1e-12)
    assert ratio_of(weighted, X, weights) == pytest.approx(1.2)


def test_gaps() -> None:
    """With gaps EM rises within the bound, too; rows without gaps are fitted as always."""
    X = rows_of(0)
    options: dict[str, Any] = {"n_components": 3, "covariance_ratio": 4.0, "reg_covar": 0, "random_state": 0}
    options |= {"tol": 1e-8, "max_iter": 300, "missing": "em"}
    whole = quiet_fit(X, **options)
    np.testing.assert_allclose(whole.covariances_, quiet_fit(X, **{**options, "missing": "raise"}).covariances_)
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    for structure in FREE:
        mixture = quiet_fit(X, covariance_type=structure, **options)
        assert np.diff(mixture.lower_bounds_).min() > -1e-11
        unit = np.ones(3) if structure == "spherical" else np.nanstd(X, axis=0)
        variances = np.linalg.eigvalsh(dense_covariances(mixture) / np.outer(unit, unit))
        assert variances.max() <= 4 * variances.min() * 1.3  # units are those expected under one Gaussian


def test_streams_and_chunks() -> None:
    """Streams, EM by hand and rows in chunks are within the bound."""
    X = rows_of(4, 900)
    options: dict[str, Any] = {"covariance_ratio": 5.0, "random_state": 0}
    stream = GaussianMixture(3, **options)
    for start in range(0, 900, 300):
        stream.partial_fit(X[start : start + 300])
    assert ratio_of(stream, X) <= 5 * 1.5  # the units of what is remembered
    whole = quiet_fit(X, n_components=3, **options)
    following = fastgmm.maximize(whole, fastgmm.statistics(whole, X))
    assert ratio_of(following, X) == pytest.approx(5.0)
    parts = fastgmm.merge(*(fastgmm.statistics(whole, part) for part in np.split(X, 3)))
    np.testing.assert_allclose(
        fastgmm.maximize(whole, parts).covariances_, following.covariances_, rtol=1e-8, atol=1e-12
    )


def test_restarts_threads_and_dtypes() -> None:
    """Restarts, whether dropped or not, any number of threads and single precision are within the bound."""
    X = rows_of(5, 400)
    options: dict[str, Any] = {"n_components": 4, "covariance_ratio": 5.0, "random_state": 0, "n_init": 4}
    options |= {"init_params": "random_from_data", "max_iter": 300}
    one, two = (quiet_fit(X, n_threads=n, **options) for n in (1, 2))
    np.testing.assert_array_equal(one.covariances_, two.covariances_)
    single = quiet_fit(X.astype(np.float32), **options)
    for mixture in (
        one,
        single,
        quiet_fit(X, equal_weights=True, **options),
        quiet_fit(X, **options, drop_restarts=False),
    ):
        assert ratio_of(mixture, X) <= 5 * (1 + (1e-9 if mixture.means_.dtype == np.float64 else 1e-4))


def test_select_and_many() -> None:
    """Selections and fits of many tables heed it."""
    X = rows_of(6, 300)
    options: dict[str, Any] = {"covariance_ratio": 6.0, "random_state": 0, "reg_covar": 0}
    selection = fastgmm.select(X, [1, 2, 3, 4], ["full", "diag", "tied", "EEI"], **options)
    best = selection.best_estimator_
    assert best.covariance_ratio == 6.0 and ratio_of(best, X) <= 6 * (1 + 1e-9)
    assert selection.table_[0]["bic"] == pytest.approx(best.bic(X))
    assert not selection.table_["degenerate"].any()
    tables = [X[:150], X[150:]]
    fits = fastgmm.fit_many(tables, 2, **options)
    for i, rows in enumerate(tables):
        one = quiet_fit(rows, n_components=2, **options)
        np.testing.assert_array_equal(fits[i].covariances_, one.covariances_)
        assert ratio_of(fits[i], rows) <= 6 * (1 + 1e-9)


def test_files_and_copies(tmp_path: Path) -> None:
    """The argument goes into files and comes back, and is one of those of get_params."""
    X = rows_of(0)
    mixture = quiet_fit(X, n_components=2, covariance_ratio=3.0, random_state=0)
    mixture.save(tmp_path / "mixture.npz")
    loaded = fastgmm.load(tmp_path / "mixture.npz")
    assert loaded.covariance_ratio == 3.0 and loaded.get_params()["covariance_ratio"] == 3.0
    np.testing.assert_array_equal(loaded.covariances_, mixture.covariances_)
    assert "covariance_ratio=3.0" in repr(loaded)
    assert ratio_of(loaded.set_params(covariance_ratio=2, warm_start=True).fit(X), X) <= 2 * (1 + 1e-9)


def test_structures_with_a_bound() -> None:
    """A structure keeps its bound with equal weights."""
    structure = STRUCTURES["full"]
    assert structure.equally_weighted.bound is None
    held = bounded(structure, 2.0, np.ones(3)).equally_weighted
    assert held.equal_weights and held.bound is not None and not held.compiled and held.layout is structure.layout


# ---- errors


@pytest.mark.parametrize("given", [0.99, 0, -3.0, math.nan, math.inf, "auto", [2.0]])
def test_bad_ratios(given: Any) -> None:
    """What is no ratio is refused with the value seen and what it may be."""
    with pytest.raises((ValueError, TypeError), match=r"'covariance_ratio'.*\[1.0, inf\), or None for no bound. Got"):
        GaussianMixture(covariance_ratio=given).fit(np.eye(3))


@pytest.mark.parametrize("structure", REFUSED)
def test_structures_without_an_exact_m_step(structure: str) -> None:
    """Structures that clipping would leave are refused, and the error names those that take a ratio."""
    with pytest.raises(ValueError, match=f"covariance_type='{structure}'.*'full' .*'EEI' or 'EII'"):
        GaussianMixture(2, covariance_type=structure, covariance_ratio=3).fit(rows_of(0))


def test_no_ratio_beside_a_prior() -> None:
    """A prior bounds the objective already."""
    with pytest.raises(ValueError, match=r"prior with covariance_ratio=3: .*Leave one"):
        GaussianMixture(2, prior="mclust", covariance_ratio=3).fit(rows_of(0))
