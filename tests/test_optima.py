"""Several starts and the search among them: what is kept, how candidates are made, and that nothing is lost."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from problems import COMMAND, DATASETS, assert_same_fit, bits, grouped_rows, quiet_fit, run_python
from reference import Model, dense, log_likelihoods

from fastgmm import BayesianGaussianMixture, GaussianMixture, load
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.optima import moves, search
from fastgmm.fitting.optima.cloud import Cloud
from fastgmm.fitting.optima.merging import parts_of
from fastgmm.fitting.repair import Repair
from fastgmm.fitting.soundness import effective_rows, sound
from fastgmm.fitting.starts import prepare
from fastgmm.fitting.starts.methods import Goal
from fastgmm.fitting.starts.spaces import FURTHER, TURNS
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources import from_chunks
from fastgmm.sources.array import ArraySource

Array = Any
NAMES = ("full", "tied", "diag", "spherical")
IRIS, FAITHFUL = DATASETS["iris"], DATASETS["faithful"]
TIGHT: dict[str, Any] = {"tol": 1e-9, "reg_covar": 0.0, "max_iter": 2000}


def begun(X: Array, structure: str, n_components: int, method: str, seed: int = 0, **source: Any) -> Parameters:
    """Where a start by a method begins."""
    rows = ArraySource(np.ascontiguousarray(X), 1, **source)
    goal = Goal(STRUCTURES[structure], n_components, MaximumLikelihood(rows, STRUCTURES[structure]))
    return prepare(rows, goal, method, np.random.RandomState(seed))(rows)


def start_of(structure: str, n_components: int = 4, n_samples: int = 400) -> tuple[Cloud, Goal, Parameters]:
    """Rows of more groups than components, and a mixture that has come some way."""
    X = grouped_rows(n_samples, n_components + 1, [3.0, -1.0, 0.5], scale=[1.0, 0.5, 2.0], seed=3)
    source, kind = ArraySource(X, 1), STRUCTURES[structure]
    goal = Goal(kind, n_components, MaximumLikelihood(source, kind))
    return Cloud(source, kind), goal, begun(X, structure, n_components, "kmeans")


def mixture_moments(structure: str, parameters: Parameters) -> tuple[Array, Array]:
    """Mean and covariance of a mixture."""
    weights, means = parameters.weights, parameters.means
    covariances = dense(structure, parameters.covariances, *means.shape).astype(np.float64)
    center = weights @ means
    about = means - center
    return center, np.einsum("k,kij->ij", weights, covariances) + np.einsum("k,ki,kj->ij", weights, about, about)


# Starts in turn ---------------------------------------------------------------------------------------------------


def test_the_first_of_several_starts_is_that_of_a_single_one() -> None:
    """More starts by k-means change nothing of the first, and are of other kinds."""
    one = GaussianMixture(3, random_state=0, tol=1e-6).fit(IRIS)
    several = GaussianMixture(3, random_state=0, tol=1e-6, n_init=12, drop_restarts=False).fit(IRIS)
    assert several.fits_[0][2:8] == one.fits_[0][2:8]
    assert [record.start for record in several.fits_] == [TURNS[i % len(TURNS)] for i in range(12)]
    assert one.fits_[0].sound is None and {record.sound for record in several.fits_} <= {True, False}


@pytest.mark.parametrize("options", [{"init_params": "random"}, {"means_init": IRIS[[0, 60, 120]]}], ids=str)
def test_other_methods_do_not_take_turns(options: dict[str, Any]) -> None:
    """What the user asks for is what several starts are."""
    model = quiet_fit(IRIS, n_components=3, n_init=3, random_state=0, **options)
    assert {record.start for record in model.fits_} == {options.get("init_params", "kmeans")}


@pytest.mark.parametrize("method", FURTHER)
@pytest.mark.parametrize("structure", ["full", "diag", "tied"])
def test_units_of_features_do_not_matter(method: str, structure: str) -> None:
    """Starts in spaces of their own are the same in other units."""
    X, units = grouped_rows(300, 3, [4.0, 1.0, 0.0]), np.array([2.0**-10, 1.0, 2.0**7])
    one, other = begun(X, structure, 3, method), begun(X * units, structure, 3, method)
    np.testing.assert_allclose(other.means, one.means * units, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.weights, one.weights, rtol=1e-9)


@pytest.mark.parametrize("method", FURTHER)
def test_starts_heed_weights(method: str) -> None:
    """Rows of weight zero hardly count, wherever a start looks."""
    X = grouped_rows(600, 3, 5.0)
    far = np.concatenate([X, np.full((20, 3), 1e3)])
    weights = np.concatenate([np.ones(600), np.full(20, 1e-12)])
    found = begun(far, "diag", 3, method, weights=weights)
    assert np.abs(found.means).max() < 100


@pytest.mark.parametrize("narrow", [False, True])
def test_random_rows_have_the_covariance_of_all(narrow: bool) -> None:
    """Means are rows, covariances those of all rows, or of a part of the volume."""
    found = begun(IRIS, "full", 5, "random rows, narrow" if narrow else "random rows")
    assert all((mean == IRIS).all(axis=1).any() for mean in found.means)
    expected = np.cov(IRIS.T, bias=True) * (5 ** (-2 / 4) if narrow else 1.0)
    np.testing.assert_allclose(found.covariances, np.tile(expected, (5, 1, 1)), rtol=1e-10)
    np.testing.assert_allclose(found.weights, np.full(5, 0.2), rtol=1e-14)


@pytest.mark.parametrize(("method", "power"), [("kmeans, principal axes", 0.25), ("nearest, sphered", 0.5)])
def test_axes(method: str, power: float) -> None:
    """Along the axes rows are uncorrelated, with the root of the variances that they had, or of unit variance."""
    from fastgmm.fitting.starts.spaces import along_principal_axes, sphered

    space = along_principal_axes if power == 0.25 else sphered
    n_directions, axes = space(4, np.random.RandomState(0))
    about = IRIS - IRIS.mean(axis=0)
    covariance = np.cov((about @ axes(about, None)).T, bias=True)
    variances = np.linalg.eigvalsh(np.corrcoef(IRIS.T))
    assert n_directions == 4
    np.testing.assert_allclose(covariance, np.diag(variances ** (1 - 2 * power)), atol=1e-12)


@pytest.mark.parametrize(("X", "structure", "k"), [(IRIS, "diag", 3), (IRIS, "tied", 5), (FAITHFUL, "full", 4)])
def test_starts_in_turn_find_what_one_kind_does_not(X: Array, structure: str, k: int) -> None:
    """Ten starts by k-means as it is all end alike."""
    options: dict[str, Any] = {"n_components": k, "covariance_type": structure, **TIGHT}
    state = np.random.RandomState(0)
    alike = [quiet_fit(X, **options, random_state=state).lower_bound_ for _ in range(10)]
    first = quiet_fit(X, **options, random_state=np.random.RandomState(0))
    turns = quiet_fit(X, **options, random_state=np.random.RandomState(0), n_init=10)
    assert turns.fits_[0].start_bound == pytest.approx(first.fits_[0].start_bound, rel=1e-12)
    assert len(X) * (turns.lower_bound_ - max(alike)) > 0.2


# What is sound ----------------------------------------------------------------------------------------------------


def test_a_spurious_optimum_is_not_kept() -> None:
    """A component on equal rows has any likelihood; of several fits the best sound one is kept."""
    X = np.concatenate([np.random.default_rng(0).normal(size=(60, 2)), np.full((6, 2), 0.5)])
    spurious, honest = np.repeat([0, 1], [60, 6]), (X[:, 0] > 0).astype(int)
    starts = iter([spurious, honest, spurious])
    options: dict[str, Any] = {"n_components": 2, "n_init": 3, "drop_restarts": False, **TIGHT}
    model = quiet_fit(X, **options, init_params=lambda *_: np.eye(2)[next(starts)])
    assert [record.sound for record in model.fits_] == [False, True, False]
    assert model.fits_[0].lower_bound > model.fits_[1].lower_bound + 0.1
    assert model.lower_bound_ == model.fits_[1].lower_bound and model.degenerate_ == []


@pytest.mark.parametrize("method", [*FURTHER, "kmeans"])
@pytest.mark.parametrize("structure", NAMES)
def test_starts_of_poor_rows(method: str, structure: str) -> None:
    """Where rows lie on a line, or hardly any differ, every start leads somewhere."""
    line = np.repeat(np.arange(10.0)[:, None], 2, axis=1)
    for X in (line, np.array([[0.0, 1], [0, 1], [0, 2]]), np.concatenate([np.ones((30, 2)), line[:3]]), line * 1e-160):
        source, kind = ArraySource(X, 1), STRUCTURES[structure]
        goal = Goal(kind, 3, MaximumLikelihood(source, kind, 0.0, "repair"))
        found = prepare(source, goal, method, np.random.RandomState(0))(source)
        assert np.isfinite(found.precisions_cholesky).all() and found.weights.sum() == pytest.approx(1)


def test_where_nothing_is_sound_the_best_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows on a line have no other fits; a search ends, too."""
    monkeypatch.setattr(search, "MOST_PASSES", 300)
    X = np.repeat(np.arange(10.0)[:, None], 2, axis=1)
    for n_init in (4, "auto"):
        model = quiet_fit(X, n_components=2, n_init=n_init, random_state=0, tol=1e-6, reg_covar=0.0)
        assert {record.sound for record in model.fits_} == {False}
        assert model.lower_bound_ == max(record.lower_bound for record in model.fits_)


@pytest.mark.parametrize(
    ("structure", "least"),
    [("full", 6), ("VVV", 6), ("diag", 3), ("spherical", 3), ("VEE", 3), ("tied", 0), ("EEE", 0), ("EEV", 0)],
)
def test_components_of_hardly_any_rows(structure: str, least: int) -> None:
    """A component with a volume of its own needs more rows than these; with a matrix of its own, of D + 2."""
    source = ArraySource(IRIS, 1)
    m_step = MaximumLikelihood(source, STRUCTURES[structure])
    parameters = begun(IRIS, structure, 2, "kmeans")
    for rows in (least + 0.5, least - 0.5):
        share = max(rows, 0.5) / len(IRIS)
        own = Parameters(np.array([share, 1 - share]), *(getattr(parameters, n) for n in PARTS))
        assert sound(source, m_step, own) is (rows > least or least == 0)
    m_step.repairs.append(Repair(1, 0, "collapsed", ""))
    assert not sound(source, m_step, parameters)


PARTS = ("means", "covariances", "precisions_cholesky")


def test_rows_that_count() -> None:
    """Units of weights do not matter; rows of no weight do not count."""
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    for unit in (1.0, 1e-3):
        assert effective_rows(ArraySource(np.zeros((5, 1)), 1, weights=weights * unit)) == pytest.approx(4)
    assert effective_rows(ArraySource(np.zeros((5, 1)), 1)) == 5


# Moves ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", [name for name, one in STRUCTURES.items() if not one.univariate])
def test_moves_make_mixtures(structure: str) -> None:
    """Whatever is drawn, weights sum to one, and covariances are positive definite."""
    cloud, _, parameters = start_of(structure)
    for seed in range(30):
        found = moves.moved(cloud, parameters, np.random.default_rng(seed))
        assert found.means.shape == parameters.means.shape
        assert math.fsum(found.weights) == pytest.approx(1) and found.weights.min() > 0
        name = STRUCTURES[structure].layout.name
        covariances = dense(name, found.covariances, *found.means.shape).astype(np.float64)
        assert np.linalg.eigvalsh(covariances).min() > 0


def test_a_split_keeps_moments() -> None:
    """Halves of a component have its mean and its covariance together; so have merged ones."""
    _, _, parameters = start_of("full")
    parts, before = parts_of(STRUCTURES["full"], parameters), mixture_moments("full", parameters)
    for seed in range(10):
        found = moves.split(STRUCTURES["full"], parts, np.random.default_rng(seed))
        assert len(found.weights) == 5
        after = mixture_moments("full", Parameters(*found[:3], found.covariances))
        np.testing.assert_allclose(after[0], before[0], rtol=1e-12)
        np.testing.assert_allclose(after[1], before[1], rtol=1e-10)
        assert np.linalg.eigvalsh(found.covariances).min() > 0


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_a_split_is_into_halves(structure: str) -> None:
    """Means are those of the two sides of a plane through the mean, by quadrature of the normal density along it."""
    _, _, parameters = start_of(structure)
    z = np.linspace(0, 12, 100_001)
    half = np.exp(-0.5 * z**2)
    half[0] /= 2  # by the trapezoidal rule
    mean = (z * half).sum() / half.sum()
    parts = parts_of(STRUCTURES[structure], parameters)
    before = dense("full" if structure == "full" else "diag", parts.covariances, *parts.means.shape).astype(np.float64)
    for seed in range(10):
        found = moves.split(STRUCTURES[structure], parts, np.random.default_rng(seed))
        (k,) = np.flatnonzero((found.means[:-1] != parts.means).any(axis=1))
        for one, sign in ((k, 1), (-1, -1)):
            shift = sign * (parts.means[k] - found.means[one])
            assert math.sqrt(shift @ np.linalg.solve(before[k], shift)) == pytest.approx(mean, rel=1e-6)
            assert found.weights[one] == parts.weights[k] / 2


def test_one_fewer() -> None:
    """A component is left out, with its weight shared out, or merged with one that is near: both happen."""
    _, _, parameters = start_of("full", 5)
    parts, merged = parts_of(STRUCTURES["full"], parameters), 0
    for seed in range(40):
        copied = type(parts)(*(values.copy() for values in parts))
        found = moves.without_one(STRUCTURES["full"], copied, np.random.default_rng(seed))
        assert len(found.weights) == 4 and math.fsum(found.weights) == pytest.approx(1)
        old = [(mean == parts.means).all(axis=1).any() for mean in found.means]
        merged += not all(old)
        if not all(old):
            after = mixture_moments("full", Parameters(*found[:3], found.covariances))
            np.testing.assert_allclose(after[0], mixture_moments("full", parameters)[0], rtol=1e-12)
    assert 5 < merged < 35


def test_neighbors() -> None:
    """The nearest components are so in deviations of the one that goes."""
    _, _, parameters = start_of("full", 5)
    parts = parts_of(STRUCTURES["full"], parameters)
    for k in range(5):
        shifts = parts.means - parts.means[k]
        away = [float(s @ np.linalg.inv(parts.covariances[k]) @ s) for s in shifts]
        expected = [j for j in np.argsort(away) if j != k]
        assert list(moves.nearest_components(STRUCTURES["full"], parts, k)) == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_a_component_of_near_rows(weighted: bool) -> None:
    """It has the moments of the rows nearest to one, in units of the deviations, and a little of those of all."""
    X = grouped_rows(300, 3, [4.0, 100.0, 0.0], scale=[1.0, 30.0, 0.1])
    weights = np.random.default_rng(0).uniform(0.5, 2, 300) if weighted else np.ones(300)
    cloud = Cloud(ArraySource(X, 1, weights=weights if weighted else None), STRUCTURES["full"])
    mean = np.average(X, axis=0, weights=weights)
    scale = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    order = np.argsort((((X - X[17]) / scale) ** 2).sum(axis=1), kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    expected = order[: int((reached < 0.112).sum()) + 1]
    rows = cloud.near(17, 0.112)
    np.testing.assert_array_equal(rows, expected)
    own, covariance = cloud.moments(rows)
    np.testing.assert_allclose(own, np.average(X[rows], axis=0, weights=weights[rows]), rtol=1e-10)
    np.testing.assert_allclose(covariance, np.cov(X[rows].T, bias=True, aweights=weights[rows]), rtol=1e-8)
    np.testing.assert_allclose(cloud.pooled, np.cov(X.T, bias=True, aweights=weights), rtol=1e-8)


def test_perturbation_is_em_under_random_weights() -> None:
    """The slow twin: weights drawn in the same way, and rows that count by them."""
    X = FAITHFUL[:60]
    source, kind = ArraySource(X, 1), STRUCTURES["full"]
    goal = Goal(kind, 2, MaximumLikelihood(source, kind))
    parameters = begun(X, "full", 2, "kmeans")
    found = moves.perturbed(Cloud(source, kind), goal, parameters, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    n_passes = moves.PASSES[int(rng.uniform() * 3)]
    weights = rng.exponential(size=60) ** (1 if rng.uniform() < 0.5 else 2)
    start = {"weights_init": parameters.weights, "means_init": parameters.means}
    start |= {"precisions_init": np.linalg.inv(parameters.covariances)}
    options: dict[str, Any] = {"tol": 0.0, "reg_covar": 0.0, "max_iter": n_passes, **start}
    with pytest.warns(UserWarning, match="did not converge"):
        expected = GaussianMixture(2, **options).fit(X, sample_weight=weights)
    np.testing.assert_allclose(found.means, expected.means_, rtol=1e-8)
    assert not np.allclose(found.means, parameters.means, rtol=1e-3)


# The search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", NAMES)
def test_no_partition_of_few_rows_leads_higher(structure: str) -> None:
    """Brute force: EM from every partition of nine rows in two ends in no better sound optimum."""
    X = np.random.default_rng(4).normal(size=(9, 1)) + np.repeat([0.0, 4.0, 9.0], 3)[:, None]
    X = np.concatenate([X, X[::-1] ** 2 / 9], axis=1)
    best = -math.inf
    for labels in itertools.product((0, 1), repeat=8):
        model = quiet_fit(X, n_components=2, covariance_type=structure, init_params=(1, *labels), **SHORT)
        few = model.weights_.min() * 9 <= {"full": 4, "tied": 0}.get(structure, 3) + 1e-3
        if not few and all(repair.iteration == 0 for repair in model.degenerate_):
            best = max(best, model.lower_bound_)
    model = quiet_fit(X, n_components=2, covariance_type=structure, n_init="auto", random_state=0, **SHORT)
    kept = max(model.fits_, key=lambda record: (record.sound, record.lower_bound))
    if best > -math.inf:
        assert kept.sound and model.lower_bound_ >= best - 1e-4
    assert model.lower_bound_ == kept.lower_bound


SHORT: dict[str, Any] = {"tol": 1e-7, "reg_covar": 0.0, "max_iter": 300, "acceleration": "squarem"}


@pytest.mark.parametrize("seed", range(3))
def test_best_known_optima(seed: int) -> None:
    """What thousands of starts of many kinds have found, in log-likelihood of all rows."""
    for X, structure, k, known in (
        (IRIS, "full", 3, -180.1855),
        (IRIS, "spherical", 4, -334.2861),
        (FAITHFUL, "full", 3, -1114.4399),
        (FAITHFUL, "tied", 4, -1120.8281),
    ):
        model = quiet_fit(X, n_components=k, covariance_type=structure, n_init="auto", random_state=seed, **TIGHT)
        assert len(X) * model.lower_bound_ >= known - 1e-3
        assert len(X) * log_likelihoods_mean(X, model) == pytest.approx(len(X) * model.lower_bound_, abs=1e-5)


def log_likelihoods_mean(X: Array, model: GaussianMixture) -> float:
    """The mean log-likelihood under the slow twin."""
    own = Model(model.covariance_type, model.weights_, model.means_, model.covariances_)
    return float(log_likelihoods(X, own).mean())


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_candidates_are_what_they_are_called(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move leaves all components of an optimum but three, a perturbation none, and a fresh start knows of none."""
    monkeypatch.setattr(search, "MOST_PASSES", 600)
    race, kept = search.Search._race, dict[str, set[int]]()

    def noted(self: Any, candidates: Any) -> Any:
        optima = [one.fit.parameters.means for one in self.optima()[: search.BEST_OF]]
        for name, start in candidates:
            means = start(self.source, goal=self.goal).means
            same = [(means[:, None] == known).all(axis=2).any(axis=1).sum() for known in optima]
            kept.setdefault(name, set()).add(int(max(same)))
        return race(self, candidates)

    monkeypatch.setattr(search.Search, "_race", noted)
    X = grouped_rows(400, 6, [3.0, -1.0, 0.5], scale=[1.0, 0.5, 2.0], seed=3)
    quiet_fit(X, n_components=7, covariance_type=structure, n_init="auto", random_state=0, tol=1e-6)
    assert kept.pop("moves") == {4, 5, 6}
    assert kept.pop("perturbations") == {0}
    assert len(kept) > 5 and set.union(*kept.values()) == {0}


def test_what_is_told() -> None:
    """The first fit is that of a single start; records and numbers agree."""
    model = quiet_fit(IRIS, n_components=3, n_init="auto", random_state=0, **TIGHT)
    one = quiet_fit(IRIS, n_components=3, random_state=0, acceleration="squarem", **TIGHT)
    searched, records = model.searched_, model.fits_
    assert records[0].start == "kmeans" and records[0].start_bound == one.fits_[0].start_bound
    assert {"moves", "perturbations"} <= {record.start for record in records}
    assert len(records) <= searched.rounds + 1
    assert searched.passes > sum(record.n_iter for record in records)
    assert searched.found >= search.FOUND and model.converged_
    assert model.lower_bound_ == max(record.lower_bound for record in records if record.sound)
    assert model.lower_bound_ >= one.lower_bound_ - 1e-9
    assert not hasattr(one, "searched_")
    assert not hasattr(model.set_params(n_init=1).fit(IRIS), "searched_")


def test_bits_do_not_depend_on_threads() -> None:
    """Neither in a search of few rows nor in one on a sample, of an array or of chunks."""
    X = grouped_rows(3000, 5, 2.0, n_features=8, seed=1)
    models = [quiet_fit(X, n_components=5, n_init="auto", random_state=3, n_threads=n) for n in (1, 2, 5)]
    assert len({bits(model) + bits(model.lower_bounds_) for model in models}) == 1
    assert len({str([record.untimed for record in model.fits_]) for model in models}) == 1


def test_a_sample_is_searched_where_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best two optima of the sample go on with all rows, beside a single start; chunks are as arrays."""
    monkeypatch.setattr("fastgmm.fitting.optima.sampled.RACE_ROWS", 1000)
    monkeypatch.setattr("fastgmm.fitting.optima.sampled.RACE_ROWS_PER_COMPONENT", 10)
    X = grouped_rows(5000, 4, 2.5, seed=2)
    options: dict[str, Any] = {"n_components": 4, "n_init": "auto", "random_state": 0, "tol": 1e-6}
    model = quiet_fit(X, **options)
    number = [record.start for record in model.fits_].index("kmeans")
    first, *best = model.fits_[number:]
    assert number > 3 and 1 <= len(best) <= 2
    assert model.lower_bound_ == max(record.lower_bound for record in (first, *best) if record.sound)
    chunks = from_chunks(np.array_split(X, [100, 3000, 3001]))
    assert_same_fit(quiet_fit(chunks, **options), model, rtol=0)
    few = from_chunks(np.array_split(X[:900], [100, 301]))
    assert quiet_fit(few, **options).searched_.rounds > 0


@pytest.mark.parametrize(
    "options",
    [
        {"prior": "mclust"},
        {"noise": "auto"},
        {"covariance_ratio": 20.0},
        {"equal_weights": True},
        {"covariance_type": "VEE"},
        {"covariance_type": "EVV"},
        {"init_params": np.repeat([0, 1, 2], 50)},
        {"means_init": IRIS[[0, 60, 120]]},
        {"acceleration": "squarem", "convergence": "aitken"},
    ],
    ids=str,
)
def test_searches_with_everything(options: dict[str, Any]) -> None:
    """No worse than a single start, whatever the mixture, and sound where that is."""
    own = {"tol": 1e-6, "max_iter": 500, "reg_covar": 0.0, "random_state": 0, "n_components": 3, **options}
    one, model = quiet_fit(IRIS, **own), quiet_fit(IRIS, **own, n_init="auto")
    assert model.searched_.rounds > 0
    assert model.lower_bound_ >= one.lower_bound_ - 1e-4
    assert max(model.fits_, key=lambda record: record.lower_bound).sound is not None


def test_weights_gaps_and_float32() -> None:
    """Repeated rows are weights; rows with gaps, and those of single precision, are searched, too."""
    times = np.random.default_rng(0).integers(1, 3, len(IRIS)).astype(float)
    options: dict[str, Any] = {"n_components": 3, "n_init": "auto", "random_state": 0, **TIGHT}
    weighted = GaussianMixture(**options).fit(IRIS, sample_weight=times)
    repeated = GaussianMixture(**options).fit(np.repeat(IRIS, times.astype(int), axis=0))
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-5)
    gaps = IRIS.copy()
    gaps[::7, 1] = np.nan
    own = {"missing": "em", "tol": 1e-5, "max_iter": 300, "random_state": 0, "n_components": 3}
    one, model = quiet_fit(gaps, **own), quiet_fit(gaps, **own, n_init="auto")
    assert model.searched_.rounds > 0 and model.lower_bound_ >= one.lower_bound_ - 1e-9
    single = quiet_fit(IRIS.astype(np.float32), n_components=3, n_init="auto", random_state=0, tol=1e-6)
    assert single.means_.dtype == np.float32 and len(IRIS) * single.lower_bound_ > -182


def test_bayesian_search() -> None:
    """The evidence is what is searched."""
    options: dict[str, Any] = {"random_state": 0, "tol": 1e-6, "max_iter": 500}
    one, model = (BayesianGaussianMixture(n_components=4, n_init=n, **options).fit(IRIS) for n in (1, "auto"))
    assert model.searched_.rounds > 0 and model.lower_bound_ >= one.lower_bound_ - 1e-6


@pytest.mark.parametrize(("n_components", "options"), [(1, {}), (3, {"max_iter": 0}), (3, {"warm_start": True})])
def test_where_there_is_nothing_to_search(n_components: int, options: dict[str, Any]) -> None:
    """One component, no iterations, a fit that goes on."""
    model = GaussianMixture(n_components, n_init="auto", random_state=0, **options).fit(IRIS)
    if model.warm_start:
        model.fit(IRIS)
        assert len(model.fits_) == 1 and not hasattr(model, "searched_")
    else:
        assert model.searched_ == (0, 0, model.n_iter_)


# Ends -------------------------------------------------------------------------------------------------------------


def test_max_time_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has converged has, so that nothing warns; the search simply ends. The clock here is one of rounds."""
    options: dict[str, Any] = {"n_components": 4, "n_init": "auto", "random_state": 0, **TIGHT}
    whole = GaussianMixture(**options).fit(IRIS)
    times = itertools.chain([0.0] * 3, itertools.repeat(math.inf))
    monkeypatch.setattr(search, "perf_counter", lambda: next(times))
    model = GaussianMixture(**options, max_time=1e6).fit(IRIS)
    assert model.searched_.rounds == 3 < whole.searched_.rounds
    assert model.converged_ and model.lower_bound_ <= whole.lower_bound_ + 1e-9


@pytest.mark.parametrize("after", [5, 60])
def test_callback_and_interruption(after: int) -> None:
    """Both leave the best mixture so far."""
    calls, whole = itertools.count(), quiet_fit(IRIS, n_components=3, random_state=0, acceleration="squarem", **TIGHT)
    options: dict[str, Any] = {"n_components": 3, "n_init": "auto", "random_state": 0, **TIGHT}
    with pytest.warns(UserWarning, match="callback"):
        model = GaussianMixture(**options, callback=lambda *_: next(calls) == after).fit(IRIS)
    assert model.stop_reason_ == "callback" and (after < whole.n_iter_ or model.lower_bound_ >= whole.lower_bound_)

    def pressed(*_: Any) -> None:
        if next(calls) == 2 * after + 1:
            raise KeyboardInterrupt

    model = GaussianMixture(**options, callback=pressed)
    with pytest.raises(KeyboardInterrupt):
        model.fit(IRIS)
    assert model.stop_reason_ == "interrupt" and np.isfinite(model.score(IRIS)) and model.searched_.passes > 0


def test_interruption_of_a_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between fits keeps the best of them."""
    race, calls = search.Search._race, itertools.count()

    def pressed(self: Any, candidates: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return race(self, candidates)

    monkeypatch.setattr(search.Search, "_race", pressed)
    model = GaussianMixture(3, n_init="auto", random_state=0, **TIGHT)
    with pytest.raises(KeyboardInterrupt):
        model.fit(IRIS)
    assert model.stop_reason_ == "interrupt" and len(model.fits_) == 3 and model.searched_.rounds == 2


def test_candidates_that_cannot_be_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round without candidates is a round; the first fit stays."""
    monkeypatch.setattr(search, "prepare", lambda *_: _impossible)
    monkeypatch.setattr(search, "moved", _impossible)
    monkeypatch.setattr(search, "perturbed", _impossible)
    monkeypatch.setattr(search, "MOST_PASSES", 400)
    model = quiet_fit(IRIS, n_components=3, n_init="auto", random_state=0, **TIGHT)
    assert len(model.fits_) == 1 and model.searched_.found == 0 and model.searched_.passes >= 400


def _impossible(*_: Any) -> Any:
    raise ValueError("impossible")


def test_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Fits that go beyond their first passes are told of by number."""
    model = GaussianMixture(3, n_init="auto", random_state=0, verbose=1, **TIGHT).fit(IRIS)
    printed = capsys.readouterr().out
    assert f"Initialization {len(model.fits_) - 1}" in printed
    assert printed.count("dropped") == sum(record.dropped for record in model.fits_)


def test_files_and_copies(tmp_path: Any) -> None:
    """What a search has done is kept in files; files of before have shorter records."""
    model = quiet_fit(IRIS, n_components=3, n_init="auto", random_state=0, tol=1e-6)
    model.save(tmp_path / "mixture.fgmm")
    again = load(tmp_path / "mixture.fgmm")
    assert again.searched_ == model.searched_ and type(again.searched_) is type(model.searched_)
    assert [record[2:] for record in again.fits_] == [record[2:] for record in model.fits_]
    from fastgmm.fitting.records import FitRecord
    from fastgmm.mixture.persistence import _record

    assert _record(FitRecord, list(model.fits_[0][:7])) == FitRecord(*model.fits_[0][:7])
    with pytest.raises(ValueError, match="a FitRecord of"):
        _record(FitRecord, [*model.fits_[0], 1, 2])
    assert model.to_sklearn().n_init == 1


def test_command_line(tmp_path: Any) -> None:
    """The option takes a number or the word."""
    np.savetxt(tmp_path / "rows.csv", IRIS, delimiter=",")
    arguments = [*COMMAND[1:], "fit", str(tmp_path / "rows.csv"), "-k", "3", "--n-init", "auto", "--save"]
    done = run_python(*arguments, str(tmp_path / "mixture.fgmm"))
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "mixture.fgmm").searched_.rounds > 0
