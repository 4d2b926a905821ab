"""Fits that begin on samples of their rows: the rule of the levels, when there are none, bits, and small groups."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import Array, assert_same_fit, bits, grouped_rows, quiet_fit, unit_covariances

from fastgmm import BayesianGaussianMixture, ConvergenceWarning, GaussianMixture, load
from fastgmm.fitting.convergence import EVERY_RULE, STEP, LikelihoodRule, StepRule
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.settings import Settings
from fastgmm.fitting.starts import levels, on_levels, race
from fastgmm.fitting.starts.kmeans import Random
from fastgmm.fitting.starts.levels import FromLevels, level_sizes
from fastgmm.fitting.starts.methods import Goal, Start, from_kmeans
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.sources import from_array, from_chunks
from fastgmm.sources.array import ArraySource
from fastgmm.sources.complete import CompleteSource

N_ROWS, K, LEAST = 9000, 3, 256


@pytest.fixture(autouse=True)
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels of few rows, so that few rows have them."""
    monkeypatch.setattr(levels, "LEAST_ROWS", LEAST)
    monkeypatch.setattr(levels, "ROWS_PER_COMPONENT", 16)


@pytest.fixture(scope="module")
def X() -> Array:
    """Three groups that overlap, of 2 features."""
    return grouped_rows(N_ROWS, K, [2.5, 1.0], n_features=2)


def options(**changes: Any) -> dict[str, Any]:
    """A fit that takes a while."""
    return {"n_components": K, "random_state": 0, "tol": 1e-5, "max_iter": 300, **changes}


def quiet_bayesian(X: Array, **how: Any) -> BayesianGaussianMixture:
    """A posterior, whether it has converged or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return BayesianGaussianMixture(**how).fit(X)


def rows_of(model: GaussianMixture | BayesianGaussianMixture) -> list[int]:
    """How many rows each level had."""
    return [rows for rows, _ in model.fits_[0].levels]


# The rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "EEI", "VVE"])
@pytest.mark.parametrize("n_features", [1, 5, 80])
def test_sizes(structure: str, n_features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first level has so many rows, each next one eight times as many; the last has all that a level may have."""
    monkeypatch.undo()
    for n_components in (1, 2, 9, 70):
        n_parameters = STRUCTURES[structure].n_parameters(n_components, n_features)
        first = max(8192, 256 * n_components, 8 * n_parameters)
        for n_samples in (8 * first - 1, 8 * first, 32 * first - 1, 32 * first, 300 * first, 10**9):
            many = n_components > 1 and n_samples >= 8 * first
            most = min(n_samples // 4, 2**22 // n_features)
            expected = [first * 8**i for i in range(12) if first * 8**i <= most] if many else []
            if expected and most >= 2 * expected[-1]:
                expected.append(most)
            assert level_sizes(n_samples, n_features, STRUCTURES[structure], n_components) == expected


def evenly(rng: Any, n: int, size: int) -> Array:
    """One row at random of each of as many runs as there are rows in the sample."""
    uniforms = rng.uniform(size=size)
    ends = [i * n // size for i in range(size + 1)]
    return np.array([a + int(u * (b - a)) for a, b, u in zip(ends[:-1], ends[1:], uniforms, strict=True)])


@pytest.mark.parametrize("structure", LAYOUTS)
@pytest.mark.parametrize(
    ("n_samples", "tol", "sizes"),
    [
        (N_ROWS, 1e-2, [LEAST, 8 * LEAST]),
        (N_ROWS, 1e-6, [LEAST, 8 * LEAST]),
        (6000, 1e-6, [LEAST, 1500]),  # which tell more of small gains
        (6000, 1e-2, [LEAST]),
    ],
)
def test_levels_are_fits_of_samples(
    structure: str, n_samples: int, tol: float, sizes: list[int], X: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is an accelerated fit of rows drawn evenly from the largest, from where the last has ended."""
    monkeypatch.setitem(EVERY_RULE, STEP, LikelihoodRule)  # the rule of other fits
    X = X[:n_samples]
    model = quiet_fit(X, **options(covariance_type=structure, tol=tol))
    rng = np.random.RandomState(np.random.RandomState(0).choice(2**31 - 1))
    largest = X[evenly(rng, n_samples, min(n_samples // 4, 8 * LEAST))]
    given, passes = {"init_params": "best", "random_state": rng}, []
    for size in sizes:
        rows = largest if size == len(largest) else largest[evenly(rng, len(largest), size)]
        own = options(covariance_type=structure, tol=max(tol / 10, 2 / size), acceleration="squarem") | given
        level = quiet_fit(rows, **own)
        given = {f"{name}_init": getattr(level, f"{name}_") for name in ("weights", "means", "precisions")}
        passes.append((size, level.n_iter_))
    expected = quiet_fit(X, **options(covariance_type=structure, tol=tol) | given)
    assert model.fits_[0].levels == tuple(passes)
    assert model.fits_[0].n_iter == expected.n_iter_
    assert_same_fit(model, expected, rtol=1e-9)


def by_weight(rng: Any, n: int, size: int) -> Array:
    """The same of rows of equal weight, which are drawn by their weights."""
    return ((np.arange(size) + rng.uniform(size=size)) / size * n).astype(int)


@pytest.mark.parametrize(
    ("structure", "tol", "weight", "changes"),
    [
        ("full", 2e-5, 1.0, {}),
        ("diag", 1e-2, 1.0, {}),
        ("tied", 2e-5, 1.0, {"posterior": "exact"}),
        ("spherical", 2e-5, 1.0, {"weight_concentration_prior_type": "dirichlet_distribution"}),
        ("full", 2e-5, 2.0, {}),
        ("full", 2e-5, 0.0625, {}),  # as many rows as 562 are
    ],
)
def test_levels_of_posteriors_are_fits_of_samples(
    structure: str, tol: float, weight: float, changes: dict[str, Any], X: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the priors of all rows; those of a sample count for all that they stand for."""
    monkeypatch.setitem(EVERY_RULE, STEP, LikelihoodRule)
    monkeypatch.setattr(levels, "ROWS_PER_PARAMETER", 4)
    monkeypatch.setattr(levels, "from_race", lambda source, goal, rng, *_: from_kmeans(source, goal, rng))
    total, weights = N_ROWS * weight, None if weight == 1 else np.full(N_ROWS, weight)
    scale = np.cov(X.T, bias=True) * total / (total - 1)
    own = {"full": scale, "tied": scale, "diag": np.diag(scale), "spherical": np.trace(scale) / 2}[structure]
    given = {"mean_prior": X.mean(axis=0), "covariance_prior": own}
    how = options(covariance_type=structure, n_components=6, sampling=None, **changes)
    rng = np.random.RandomState(np.random.RandomState(0).choice(2**31 - 1))
    chosen = evenly if weights is None else by_weight
    largest = X[chosen(rng, N_ROWS, 8 * LEAST)]
    twin, passes = BayesianGaussianMixture(**how | given | {"random_state": rng}), []
    for size in [LEAST, 8 * LEAST]:
        rows = largest if size == len(largest) else largest[evenly(rng, len(largest), size)]
        twin.set_params(tol=max(tol / 10, 2 / size) * total, acceleration="squarem")
        twin.fit(rows, sample_weight=np.full(size, total / size)).set_params(warm_start=True)
        twin.lower_bound_ = -math.inf  # that of other rows tells nothing
        passes.append((size, twin.n_iter_))
    twin.set_params(tol=tol * total, acceleration=None).fit(X, sample_weight=weights)
    model = BayesianGaussianMixture(**how | {"sampling": "auto", "tol": tol * total}).fit(X, sample_weight=weights)
    assert model.fits_[0].levels == tuple(passes)
    assert model.n_iter_ == twin.n_iter_
    assert model.elbo_ == pytest.approx(twin.elbo_, rel=1e-10)
    np.testing.assert_allclose(model.means_, twin.means_, rtol=1e-6)


def test_posteriors_with_levels_and_without(X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows, small `tol`, and fits that go on from another, have none; threads change no bit."""
    monkeypatch.setattr(levels, "ROWS_PER_PARAMETER", 4)
    without: tuple[dict[str, Any], ...] = ({}, {"max_iter": 9}, {"init_params": "random"}, {"tol": 0.99e-5 * N_ROWS})
    for changes in without:
        rows, own = X if changes else X[: 8 * LEAST - 1], options() | {"tol": 1.0, **changes}
        model, expected = (quiet_bayesian(rows, **own, sampling=way) for way in ("auto", None))
        assert rows_of(model) == []
        assert bits(model) == bits(expected)
    model, *others = (quiet_bayesian(X, **options(tol=1.0, n_components=8, n_threads=n)) for n in (1, 2, 3))
    assert rows_of(model) == [LEAST, 8 * LEAST]
    assert {bits(other) for other in others} == {bits(model)}
    assert model.elbo_ > quiet_bayesian(X, **options(tol=1.0, n_components=8), sampling=None).elbo_ - 1e-3 * N_ROWS
    assert rows_of(model.set_params(warm_start=True).fit(X)) == []


def test_fewer_passes_to_as_high_a_likelihood() -> None:
    """What levels are for; single fits may end a little lower, and these do."""
    X = grouped_rows(100_000, 4, [2.0, 1.0], n_features=2)
    way = {"n_components": 4, "random_state": 0}
    model, whole = (quiet_fit(X, **way, sampling=sampling) for sampling in ("auto", None))
    assert model.n_iter_ < whole.n_iter_ / 2
    assert model.lower_bound_ > whole.lower_bound_ - 0.005


def test_levels_end_with_a_small_step(X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a step of EM that tells: neither the gain of an extrapolation, nor that of the step to its end."""
    rule, start = StepRule(STRUCTURES["full"], 0.1), STRUCTURES["full"].unit(np.zeros((1, 1)))
    steps = [(-5.0, False), (-4.0, False), (-2.0, True), (-1.5, False), (-1.45, True), (-1.4, False)]
    assert [rule.met(bound, start, start, jumped) for bound, jumped in steps] == [False] * 5 + [True]
    found = [quiet_fit(X, **options(n_components=6, random_state=seed)).fits_[0].levels for seed in range(5)]
    monkeypatch.setitem(EVERY_RULE, STEP, LikelihoodRule)
    others = [quiet_fit(X, **options(n_components=6, random_state=seed)).fits_[0].levels for seed in range(5)]
    assert sum(n for one in found for _, n in one) < sum(n for one in others for _, n in one)


def test_passes_of_a_level_are_limited(X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """`max_iter` holds for each level and for the fit of all rows."""
    monkeypatch.setattr(levels, "CHANCE", 0.0)
    model = quiet_fit(X, **options(max_iter=10, tol=0))
    assert (model.n_iter_, model.fits_[0].levels) == (10, ((LEAST, 10), (8 * LEAST, 10)))


# Where there are none ---------------------------------------------------------------------------------------------

LABELS = np.arange(N_ROWS) % K
MEANS = np.array([[0.0, 0.0], [2.0, 1.0], [5.0, 2.0]])
WITHOUT: dict[str, dict[str, Any]] = {
    "weights": {"weights_init": np.full(K, 1 / K)},
    "means": {"means_init": MEANS},
    "precisions": {"precisions_init": unit_covariances("full", K, 2)},
    "another start": {"init_params": "k-means++"},
    "best": {"init_params": "best"},
    "labels": {"init_params": LABELS},
    "a function": {"init_params": lambda X, k, random_state: MEANS},
    "accelerated": {"acceleration": "squarem"},
    "parameters": {"convergence": "parameters"},
    "Aitken": {"convergence": "aitken"},
    "few iterations": {"max_iter": 9},
    "no iteration": {"max_iter": 0},
    "one component": {"n_components": 1},
    "too many components": {"n_components": 71},
}


@pytest.mark.parametrize("name", WITHOUT)
def test_fits_without_levels(name: str, X: Array) -> None:
    """They are those of `sampling=None`, to the last bit."""
    own = options() | {"max_iter": 20} | WITHOUT[name]
    model, expected = (quiet_fit(X, **own, sampling=sampling) for sampling in ("auto", None))
    assert rows_of(model) == []
    assert bits(model) == bits(expected)


def test_few_rows_and_gaps_and_warm_starts(X: Array) -> None:
    """Rows that are too few, gaps, and fits that go on from another have no levels; without gaps there are some."""
    holed = X.copy()
    holed[::7, 0] = np.nan
    for rows in (X[: 8 * LEAST - 1], holed):
        model, expected = (quiet_fit(rows, **options(missing="em", sampling=way, tol=1e-3)) for way in ("auto", None))
        assert rows_of(model) == []
        assert bits(model) == bits(expected)
    model = quiet_fit(X, **options(missing="em", warm_start=True))
    assert rows_of(model) == [LEAST, 8 * LEAST]
    assert rows_of(model.fit(X)) == []


# Bits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_init", [1, 3])
def test_bits(n_init: int, X: Array, tmp_path: Path) -> None:
    """They do not depend on the number of threads, nor on where the rows are."""
    rows = np.repeat(X, 12, axis=0)  # in several groups
    own = options(n_init=n_init, n_components=8, tol=1e-3)
    expected = quiet_fit(rows, **own, n_threads=1)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    pieces = np.split(rows, [10, 9999, 70_000])
    for places in (rows, mapped, from_array(mapped), from_chunks(pieces)):
        for n_threads in (2, 3):
            model = quiet_fit(places, **own, n_threads=n_threads)
            assert bits(model) == bits(expected)
            assert [record.levels for record in model.fits_] == [record.levels for record in expected.fits_]
    assert len(rows_of(expected)) == 3


def test_bits_on_dask(X: Array) -> None:
    """The sample of a Dask collection is that of the rows in memory."""
    da = pytest.importorskip("dask.array")
    model = quiet_fit(da.from_array(X, chunks=(3500, 2)), **options())
    expected = quiet_fit(X, **options())
    assert model.fits_[0].levels == expected.fits_[0].levels
    assert_same_fit(model, expected, rtol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_structure(structure: str, dtype: str, X: Array) -> None:
    """Levels end where all rows end, or higher, in every structure."""
    rows = X if structure not in ("E", "V") else X[:, :1]
    own = options(covariance_type=structure, tol=1e-4)
    model, whole = (quiet_fit(rows.astype(dtype), **own, sampling=way) for way in ("auto", None))
    assert rows_of(model) == [LEAST, 8 * LEAST]
    assert model.converged_
    assert model.lower_bound_ > whole.lower_bound_ - 0.01


@pytest.mark.parametrize(
    "changes", [{"covariance_ratio": 4.0}, {"prior": "mclust"}, {"equal_weights": True}, {"noise": -12.0}]
)
def test_other_objectives(changes: dict[str, Any], X: Array) -> None:
    """Levels heed what the fit heeds."""
    model, whole = (quiet_fit(X, **options(sampling=way, **changes)) for way in ("auto", None))
    assert rows_of(model) == [LEAST, 8 * LEAST]
    assert np.diff(model.lower_bounds_).min() > -1e-12
    assert model.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-3)


def strewn(n_rows: int, part: int, width: float) -> Array:
    """Three groups, and one row of so many anywhere in a box."""
    X, rng = grouped_rows(n_rows, K, [4.0, 1.0], n_features=2), np.random.default_rng(2)
    X[::part] = rng.uniform(-width, width, size=X[::part].shape)
    return X


@pytest.mark.parametrize("n_init", [1, 3])
def test_noise(n_init: int) -> None:
    """It is over the box about all rows; those far away are no group, as starts know that see those near each other."""
    X = strewn(N_ROWS, 10, 400.0)
    model, whole = (quiet_fit(X, **options(noise="auto", n_init=n_init, sampling=way)) for way in ("auto", None))
    assert rows_of(model) == [LEAST, 8 * LEAST]
    assert (len(model.fits_), len(whole.fits_)) == (n_init, n_init + 1)
    assert model.noise_log_density_ == whole.noise_log_density_
    assert model.noise_weight_ == pytest.approx(0.1, abs=0.02)
    assert model.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-3)


def test_noise_where_levels_are_given_up() -> None:
    """Then the start on all rows knows of those near each other, too."""
    source, structure = ArraySource(strewn(N_ROWS, 10, 400.0)), STRUCTURES["full"].with_noise
    goal = Goal(structure, K, MaximumLikelihood(source, structure, noise="auto"))
    start = on_levels([LEAST], goal, "kmeans", Settings(), np.random.RandomState(0))
    found = start.otherwise(source, goal, np.random.RandomState(0))(source)
    assert np.abs(found.means).max() < 20


# Weights ----------------------------------------------------------------------------------------------------------


def test_weights() -> None:
    """Rows are drawn by their weights: those without never, and whole weights count as repeated rows."""
    X, rng = grouped_rows(N_ROWS, K, [6.0, 1.0], n_features=2), np.random.default_rng(1)
    weights = rng.integers(0, 4, size=len(X))
    rows = np.where((weights > 0)[:, None], X, 1e6)  # which would be seen
    model = GaussianMixture(**options()).fit(rows, sample_weight=weights)
    repeated = quiet_fit(np.repeat(X, weights, axis=0), **options())
    assert rows_of(model) == [LEAST, 8 * LEAST]
    assert np.sort(model.means_[:, 0]) == pytest.approx(np.sort(repeated.means_[:, 0]), abs=0.02)
    assert model.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-3)


# Small groups -----------------------------------------------------------------------------------------------------


class Begun:
    """A start by k-means that remembers how many rows it was asked for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, source: CompleteSource, goal: Goal, random_state: Random) -> Start:
        self.sizes.append(source.n_samples)
        return from_kmeans(source, goal, random_state)


def begun_from(rows: Array, sizes: list[int], **settings: Any) -> tuple[Parameters, FromLevels, Begun, Begun]:
    """The start of these levels, and where it has begun."""
    source, structure = ArraySource(rows), STRUCTURES["full"]
    degenerate, deadline = settings.pop("degenerate", "repair"), settings.pop("deadline", math.inf)
    goal = Goal(structure, K, MaximumLikelihood(source, structure, 0.0, degenerate), deadline)
    first, otherwise = Begun(), Begun()
    start = FromLevels(goal, sizes, Settings(**settings), first, otherwise, seed=0)
    return start(source), start, first, otherwise


def rows_with_a_group_of(size: int) -> Array:
    """Two groups, and a third one far away."""
    X = grouped_rows(16_384, 2, 8.0, n_features=2)
    X[:: len(X) // size][:size] += [0.0, 300.0]
    return X


@pytest.mark.parametrize(("size", "begun"), [(16_384 // 4, [256]), (256, [256, 2048]), (32, [256, 2048])])
def test_levels_that_hardly_see_a_group_are_given_up(size: int, begun: list[int]) -> None:
    """A component of fewer than 6 rows is no ground to go on from: the next level begins anew, and finds it."""
    parameters, start, first, otherwise = begun_from(rows_with_a_group_of(size), [256, 2048])
    assert first.sizes == begun
    assert [rows for rows, _ in start.passes] == [256, 2048]
    assert otherwise.sizes == ([16_384] if size == 32 else [])
    assert parameters.weights.min() == pytest.approx(size / 16_384, rel=0.3)


def test_levels_that_cannot_be_fitted() -> None:
    """An error on a level is none of the fit: two rows of a group lie on a line, those of the next level do not."""
    parameters, start, first, otherwise = begun_from(rows_with_a_group_of(128), [256, 2048], degenerate="raise")
    assert (first.sizes, otherwise.sizes) == ([256, 2048], [])
    assert [rows for rows, _ in start.passes] == [2048]
    assert parameters.weights.min() == pytest.approx(128 / 16_384, rel=0.3)


@pytest.mark.parametrize(("structure", "least"), [("full", 6), ("VEE", 6), ("tied", 4), ("diag", 4), ("EII", 4)])
def test_least_counts(structure: str, least: int, X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a level needs of each component is asked of the starts, too: twice the rows that its covariance takes."""
    asked = list[float]()

    def noted(source: CompleteSource, goal: Goal, random_state: Random, least: float, *_: Any) -> Start:
        asked.append(least)
        return from_kmeans(source, goal, random_state)

    monkeypatch.setattr(levels, "from_race", noted)
    quiet_fit(X, **options(covariance_type=structure))
    assert asked == [least]


def test_starts_that_miss_no_group_come_first() -> None:
    """Of the starts that race on the first level one with too few rows of a component wins only if all are so."""
    source, structure = ArraySource(grouped_rows(3000, 2, 8.0, n_features=2)), STRUCTURES["full"]
    goal = Goal(structure, 2, MaximumLikelihood(source, structure, 1e-9, "repair"))
    sharp = np.array([np.eye(2), 1e-8 * np.eye(2)])  # one row is its own component, and the likelihood high

    def one_row(rows: CompleteSource, goal: Goal) -> Parameters:
        means = np.array([[4.0, 4.0], source.X[0]])
        return structure.from_covariances(np.array([1 - 1e-3, 1e-3]), means, 40 * sharp)

    def all_rows(rows: CompleteSource, goal: Goal) -> Parameters:
        return structure.from_covariances(
            np.full(2, 0.5), np.array([[3.0, 3.0], [5.0, 5.0]]), np.full((2, 2, 2), 40) * np.eye(2)
        )

    for least, smallest in ((0, 1), (10, 1000), (5000, 1)):
        found = race.best_start(source, goal, [one_row, all_rows], rungs=(1,), least=least).reached()
        assert found.weights.min() * 3000 == pytest.approx(smallest, rel=0.9)


def test_rows_that_collapse() -> None:
    """Where every level has to repair a component the start is found on all rows, and fits warn of that alone."""
    X = grouped_rows(16_384, 2, 8.0, n_features=2)
    X[::3] = 50.0
    _, start, first, otherwise = begun_from(X, [256, 2048])
    assert (first.sizes, otherwise.sizes) == ([256, 2048], [16_384])
    assert all(passes <= 1 for _, passes in start.passes)  # nothing is spent on what is given up
    model, whole = (quiet_fit(X, **options(reg_covar=0, sampling=way)) for way in ("auto", None))
    assert {repair.problem for repair in model.degenerate_} == {repair.problem for repair in whole.degenerate_}
    with pytest.raises(ValueError, match="ill-defined"):
        begun_from(X, [256, 2048], degenerate="raise")


# What is told -----------------------------------------------------------------------------------------------------


def test_record(X: Array, tmp_path: Path) -> None:
    """Records have rows and passes; callback and bounds know of passes over all rows; files keep them."""
    seen: list[int] = []
    model = quiet_fit(X, **options(n_init=4, callback=lambda n, *_: seen.append(n), drop_restarts=False))
    assert all([rows for rows, _ in record.levels] == [LEAST, 8 * LEAST] for record in model.fits_)
    assert len({record.levels for record in model.fits_}) > 1
    assert len(seen) == sum(record.n_iter for record in model.fits_)
    assert len(model.lower_bounds_) == model.n_iter_
    model.callback = None
    model.save(tmp_path / "model")
    assert [record.levels for record in load(tmp_path / "model").fits_] == [record.levels for record in model.fits_]


def test_no_time(X: Array) -> None:
    """Past the deadline there is no level, and a fit that has none to spare ends with a start."""
    _, start, first, otherwise = begun_from(X, [256], deadline=0.0)
    assert (start.passes, first.sizes, otherwise.sizes) == ([], [], [N_ROWS])
    model = quiet_fit(X, **options(max_time=1e-9))
    assert model.stop_reason_ == "max_time"
    assert rows_of(model) == []
    assert np.isfinite(model.means_).all()


def test_interrupt(X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C on a level leaves the estimator as it was."""

    def pressed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(race, "expectation_maximization", pressed)
    model = GaussianMixture(**options())
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert not hasattr(model, "means_")


def test_argument(X: Array) -> None:
    """What `sampling` may be."""
    with pytest.raises(ValueError, match="sampling"):
        GaussianMixture(sampling="some").fit(X)
