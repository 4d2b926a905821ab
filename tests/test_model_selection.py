"""fastgmm.select: its table against the estimators, mclust's tables and scikit-learn; merging and inserting."""

from __future__ import annotations

import itertools
import threading
import warnings
from functools import partial, partialmethod
from typing import Any

import numpy as np
import pytest
from problems import DATASETS, Array, copy_parameters, elongated_groups, interrupt, limit, quiet_fit

import fastgmm
from fastgmm import (
    ConvergenceWarning,
    DegenerateComponentWarning,
    GaussianMixture,
    Selection,
    SelectionWarning,
    select,
)
from fastgmm.fitting import parallel, restarts
from fastgmm.fitting.em import Fit
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.optima.merging import costs_of_merging, merged, parts_of
from fastgmm.fitting.records import FitRecord
from fastgmm.fitting.search import budget, refinement, sweep, trials
from fastgmm.fitting.search.insertion import Clusters, insertions, recast
from fastgmm.fitting.settings import Settings
from fastgmm.fitting.starts.hierarchical import grow
from fastgmm.fitting.starts.race import Contender
from fastgmm.mixture.base import fitted
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.sources import from_chunks
from fastgmm.sources.array import ArraySource
from fastgmm.sources.complete import CompleteSource

IRIS, FAITHFUL = DATASETS["iris"], DATASETS["faithful"]
TIGHT = {"tol": 1e-9, "max_iter": 5000, "reg_covar": 0.0}


def line(selection: Selection, kind: str, n_components: int) -> Any:
    """The line of one candidate."""
    table = selection.table_
    (found,) = table[(table["covariance_type"] == kind) & (table["n_components"] == n_components)]
    return found


@pytest.fixture(scope="module")
def faithful_selection() -> Selection:
    """All structures, one to four components."""
    return select(FAITHFUL, range(1, 5), random_state=0, **TIGHT)


# What the table says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_table_and_estimators_agree(dtype: type) -> None:
    """Every number of the table is what the estimator of its row computes."""
    X = elongated_groups().astype(dtype)
    selection = select(X, range(1, 6), random_state=0)
    assert len(selection.table_) == len(selection.estimators_) == 20
    assert selection.best_estimator_ is selection.estimators_[0]
    n = len(X)
    for row, model in zip(selection.table_, selection.estimators_, strict=True):
        assert model is not None
        assert (row["covariance_type"], row["n_components"]) == (model.covariance_type, model.n_components)
        assert (row["bic"], row["aic"], row["icl"]) == pytest.approx(
            (model.bic(X), model.aic(X), model.icl(X)), rel=1e-13
        )
        p = row["n_parameters"]
        assert row["log_likelihood"] == pytest.approx(n * model.score(X), rel=1e-12)
        assert row["aicc"] == pytest.approx(row["aic"] + 2 * p * (p + 1) / (n - p - 1))
        assert np.isnan(row["cv"]) and row["error"] == ""
        assert (row["n_iter"], row["converged"]) == (model.n_iter_, model.converged_)
    assert selection.best_estimator_.bic(X) == selection.table_["bic"][0]


def test_criteria_against_scikit_learn() -> None:
    """The parameters, given to scikit-learn, have the same criteria there; ICL by its definition."""
    mixture = pytest.importorskip("sklearn.mixture")
    selection = select(IRIS, [1, 3], random_state=0)
    for row, model in zip(selection.table_, selection.estimators_, strict=True):
        assert model is not None
        other = copy_parameters(
            mixture.GaussianMixture(model.n_components, covariance_type=model.covariance_type), model
        )
        assert (row["bic"], row["aic"]) == pytest.approx((other.bic(IRIS), other.aic(IRIS)), rel=1e-9)
        assert row["n_parameters"] == other._n_parameters()
        largest = other.predict_proba(IRIS).max(axis=1)
        assert row["icl"] == pytest.approx(other.bic(IRIS) - 2 * np.log(largest).sum(), rel=1e-9)


def test_best_model_is_complete() -> None:
    """The best estimator has all attributes of a fit, with the columns' names."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(FAITHFUL, columns=["eruptions", "waiting"])
    best = select(frame, [2, 3], "full", random_state=0).best_estimator_
    plain = GaussianMixture(best.n_components, random_state=0).fit(frame)
    assert set(vars(best)) == set(vars(plain))
    assert list(best.feature_names_in_) == ["eruptions", "waiting"]
    assert best.predict(frame).shape == (272,)
    for record in best.fits_:
        assert record.n_iter > 0 and record.lower_bound <= best.lower_bound_


@pytest.mark.parametrize(
    ("criterion", "sign"), [("bic", 1), ("aic", 1), ("aicc", 1), ("icl", 1), ("cv", -1), ("elbo", -1)]
)
def test_sorted_by_the_criterion(criterion: str, sign: int) -> None:
    """Candidates are sorted by the criterion, the best first."""
    selection = select(FAITHFUL, range(1, 4), ["full", "diag"], criterion, cv=3, random_state=0)
    values = sign * selection.table_[criterion]
    assert np.isfinite(values).all() and (np.diff(values) >= 0).all()
    assert selection.criterion == criterion


def test_sample_weight() -> None:
    """Weights are repetitions: from the same start the same criteria."""
    X, counts = elongated_groups(60, 2, 2), np.arange(60) % 3
    weighted = select(X, 1, sample_weight=counts, random_state=0)
    repeated = select(np.repeat(X, counts, axis=0), 1, random_state=0)
    for kind in LAYOUTS:
        for name in ("log_likelihood", "bic", "aic", "aicc", "icl"):
            assert line(weighted, kind, 1)[name] == pytest.approx(line(repeated, kind, 1)[name], rel=1e-9)
    model = select(X, [2], "full", sample_weight=counts, random_state=0)
    best = model.best_estimator_
    assert best.icl(X, sample_weight=counts) == pytest.approx(model.table_["icl"][0], rel=1e-12)
    assert best.icl(np.repeat(X, counts, axis=0)) == pytest.approx(model.table_["icl"][0], rel=1e-9)


def test_weights_that_sum_to_few_rows() -> None:
    """Weights normalized to a sum of one leave BIC without a penalty: that is told, but of cross-validation."""
    X = elongated_groups(60, 2, 1)
    with pytest.warns(SelectionWarning, match="Weights sum to 1, so that the rows count as so many"):
        select(X, [1, 2], "full", sample_weight=np.full(60, 1 / 60), random_state=0)
    for options in ({"sample_weight": np.ones(60)}, {"sample_weight": np.full(60, 1 / 60), "criterion": "cv"}):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            select(X, [1, 2], "spherical", random_state=0, **options)
        assert [str(warning.message) for warning in told if "Weights sum" in str(warning.message)] == []


# How good the fits are -----------------------------------------------------------------------------------------------

MCLUST = {  # BIC by mclust's tables (see test_mclust.py), of which ours is the negative: best values per structure
    ("faithful", "tied", 3): -2314.3,
    ("faithful", "full", 2): -2322.2,
    ("faithful", "diag", 3): -2342.4,
    ("iris", "full", 2): -574.0178,
    ("iris", "tied", 3): -632.9647,
    ("iris", "tied", 4): -646.0258,
    ("iris", "diag", 3): -744.6382,
    ("iris", "spherical", 4): -812.6048,
}


def test_never_above_mclust(faithful_selection: Selection) -> None:
    """The sweep reaches mclust's values, structure by structure, and its best model."""
    found = {"faithful": faithful_selection, "iris": select(IRIS, range(1, 6), random_state=0, **TIGHT)}
    for (data, kind, n_components), published in MCLUST.items():
        assert line(found[data], kind, n_components)["bic"] <= -published + (0.06 if data == "faithful" else 2e-3)
    assert repr(faithful_selection) == "Selection(criterion='bic', best='tied', n_components=3, candidates=16)"
    assert (found["iris"].best_estimator_.covariance_type, found["iris"].best_estimator_.n_components) == ("full", 2)


@pytest.mark.parametrize("seed", [7, 10])
def test_merging_beats_clustering(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where eight groups are hard to find from eight clusters, they are found from more components down."""
    X = elongated_groups(2400, 3, 8, seed=seed, apart=5.0)
    selection = select(X, range(1, 12), "full", random_state=0)
    ideal = GaussianMixture(8, init_params=np.repeat(np.arange(8), 300)).fit(X)
    assert selection.best_estimator_.n_components == 8
    assert selection.table_["bic"][0] == pytest.approx(ideal.bic(X), abs=1.0)
    assert select(X, 8, "full", random_state=0).table_["bic"][0] == pytest.approx(ideal.bic(X), abs=1.0)
    monkeypatch.setattr(refinement.Refinement, "run", lambda *_: None)
    assert select(X, 8, "full", random_state=0).table_["bic"][0] == pytest.approx(ideal.bic(X), abs=1.0)
    monkeypatch.setattr(sweep.Sweep, "_descend", lambda *_: 0.0)
    assert select(X, 8, "full", random_state=0).table_["bic"][0] > ideal.bic(X) + 100


def tight_groups(n_samples: int = 6000, seed: int = 12) -> tuple[Array, Array]:
    """A wide group, and far from it two pairs of small tight ones; their labels."""
    rng = np.random.default_rng(seed)
    centers = np.array([0.0, 30.0, 30.5, -20.0, -19.6])
    labels = rng.choice(5, n_samples, p=[0.8, 0.05, 0.05, 0.05, 0.05])
    widths = np.where(labels == 0, 5.0, 0.1)
    return centers[labels][:, None] + widths[:, None] * rng.normal(size=(n_samples, 4)), labels


def test_small_tight_groups_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components are inserted where no clustering puts any, and the structure is theirs."""
    X, labels = tight_groups()
    best = select(X, range(1, 9), random_state=0).best_estimator_
    ideal = GaussianMixture(5, covariance_type="spherical", init_params=labels).fit(X)
    assert (best.covariance_type, best.n_components) == ("spherical", 5)
    assert best.bic(X) == pytest.approx(ideal.bic(X), abs=0.1)
    monkeypatch.setattr(refinement, "SCORE_WINDOW", -1.0)
    assert select(X, range(1, 9), random_state=0).table_["bic"][0] > ideal.bic(X) + 1000


def test_best_is_fitted_to_convergence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best candidate is fitted beyond tol, from where it was, to what a long fit reaches."""
    X = elongated_groups(3000, 2, 3, seed=1, apart=1.5)
    selection = select(X, range(3, 6), "full", n_init=8, random_state=0)
    best = selection.best_estimator_
    start = {"weights_init": best.weights_, "means_init": best.means_, "precisions_init": best.precisions_}
    left = best.bic(X) - GaussianMixture(best.n_components, tol=1e-7, max_iter=5000, **start).fit(X).bic(X)
    assert best.converged_ and np.diff(best.lower_bounds_[-2:]) < 1e-5 and left > 0
    assert (np.diff(best.lower_bounds_) > -1e-12).all() and best.n_iter_ == len(best.lower_bounds_)
    monkeypatch.setattr(refinement, "TIGHT_TOL", 1.0)
    coarse = select(X, range(3, 6), "full", n_init=8, random_state=0)
    assert coarse.best_estimator_.n_components == best.n_components
    assert coarse.table_["bic"][0] - selection.table_["bic"][0] > 2 * left


def test_further_starts_are_fitted() -> None:
    """A larger n_init means more fits."""
    X = elongated_groups(500, 3, 3)
    fits = [
        [len(m.fits_) for m in select(X, range(1, 6), "full", n_init=n, random_state=0).estimators_ if m]
        for n in (1, 3)
    ]
    assert sum(fits[0]) < sum(fits[1])


SHAPES = [
    (300, 2, (1, 200), "full"),
    (300, 2, (1, 200), LAYOUTS),
    (300, 2, 60, "tied"),
    (400, 1, (2, 30, 60), "diag"),
    (60, 3, range(1, 20), LAYOUTS),
    (30, 2, range(1, 6), LAYOUTS),
    (1000, 8, 6, "full"),
    (6000, 2, (2, 40), "spherical"),
    (9000, 3, range(1, 6), LAYOUTS),
    (500, 50, (1, 8), "full"),
]


@pytest.mark.parametrize(("n_samples", "n_features", "numbers", "kinds"), SHAPES)
def test_no_more_work_than_single_fits(
    n_samples: int, n_features: int, numbers: Any, kinds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes of EM and k-means, each by its work, are hardly more than in a loop over fits with as many starts."""
    X = elongated_groups(n_samples, n_features, 3, apart=3.0)
    spent: list[float] = []
    statistics, assign, potentials = CompleteSource.statistics, CompleteSource.assign, CompleteSource.potentials

    def counted(source: Any, structure: Any, parameters: Any) -> Any:
        spent.append(source.work(structure, len(parameters.means)) + budget.PASS_WORK)
        return statistics(source, structure, parameters)

    def counted_centers(source: Any, centers: Array, *others: Any, then: Any, **named: Any) -> Any:
        spent.append(source.n_samples * centers.size + budget.PASS_WORK / 8)
        return then(source, centers, *others, **named)

    for at_once in ("at_once", "points"):  # what compiled calls do would not be counted
        monkeypatch.setattr(ArraySource, at_once, lambda *_: None)
    monkeypatch.setattr(restarts, "from_kmeans_at_once", lambda *_, **__: None)
    monkeypatch.setattr(CompleteSource, "statistics", counted)
    monkeypatch.setattr(CompleteSource, "assign", partialmethod(counted_centers, then=assign))
    monkeypatch.setattr(CompleteSource, "potentials", partialmethod(counted_centers, then=potentials))
    select(X, numbers, kinds, random_state=0, n_threads=1)
    search = sum(spent)
    spent.clear()
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        for k in [numbers] if isinstance(numbers, int) else numbers:
            quiet_fit(X, n_components=k, covariance_type=kind, n_init=2, drop_restarts=False, random_state=0)
    assert search < 1.2 * sum(spent)


def test_unpromising_start_is_not_fitted() -> None:
    """A start is fitted to all rows only if it beats the fit so far on the sample."""
    source, candidate = ArraySource(FAITHFUL, 1), trials.Candidate(STRUCTURES["full"], 2)
    settings = Settings(m_step=partial(MaximumLikelihood, reg_covar=1e-6, degenerate="repair"))
    data = trials.Data(source, source)
    trial = trials.Trials(data, settings, penalty=0.01, candidates=[candidate])
    good = fitted(GaussianMixture(2, random_state=0).fit(FAITHFUL)).parameters
    poor = fitted(GaussianMixture(2, init_params="random", random_state=0, max_iter=0).fit(FAITHFUL)).parameters
    outcome = trials.Outcome()
    trial.attempt_promising(candidate, outcome, data, None)
    assert outcome.records == []
    for start, bound, n_fits in [(poor, -9.0, 1), (good, -3.0, 2), (poor, -9.0, 2), (good, 0.0, 3)]:
        contender = Contender(trial.goal(candidate, source), lambda *_, **__: good, start, bound)
        trial.attempt_promising(candidate, outcome, data, contender)
        assert len(outcome.records) == n_fits
    assert outcome.lower_bound == max(record.lower_bound for record in outcome.records)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_more_starts_never_worse(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger n_init never makes a candidate worse; starts alone do without merging from above."""
    X = elongated_groups(1000, 3, 6, seed=1, apart=2.0)
    plain, more = (select(X, range(2, 9), kind, n_init=n, random_state=0).table_ for n in (1, 4))
    assert more["bic"].min() <= plain["bic"].min() + 0.5
    monkeypatch.setattr(sweep.Sweep, "_descend", lambda *_: 0.0)
    alone = select(X, range(2, 9), kind, random_state=0).table_
    assert (alone["error"] == "").all() and alone["bic"].min() >= more["bic"].min() - 100


def test_degenerate_candidates_come_last() -> None:
    """On iris, rounded to a millimeter, candidates with a component of constant width come last."""
    selection = select(IRIS, range(2, 10), "full", random_state=0)
    table = selection.table_
    sound = ~(table["degenerate"] | table["spurious"])
    assert 0 < sound.sum() < 8 and (np.flatnonzero(sound) < sound.sum()).all()
    assert table["degenerate"].any() and table["spurious"].any()
    for model, line in zip(selection.estimators_, table, strict=True):
        assert model is not None
        assert (np.linalg.eigvalsh(model.covariances_).min() <= 2e-6) == line["degenerate"]
        assert (model.weights_.min() * len(IRIS) <= 6.001) == line["spurious"] or line["degenerate"]


def test_sound_fit_beats_degenerate_fit() -> None:
    """The fit kept for a candidate is neither degenerate nor spurious if there is one, and then the most likely."""
    nowhere = fitted(GaussianMixture().fit(FAITHFUL)).parameters
    outcome, fits, kept = trials.Outcome(error=ValueError()), [Fit(nowhere, [], "tol") for _ in range(5)], []
    for i, (fit, bound) in enumerate(zip(fits, [5.0, 3.0, 1.0, 9.0, 2.0], strict=True)):
        outcome.keep(fit, i == 0, i in (1, 3), FitRecord(0.0, 0.0, 1, 0.0, bound, True, False))
        kept.append([outcome.fit is one for one in fits].index(True))
    assert kept == [0, 1, 2, 2, 4]
    assert (outcome.sound, outcome.lower_bound, outcome.error) == (True, 2.0, None)
    assert [record.sound for record in outcome.records] == [False, False, True, False, True]


def test_constant_column_is_not_degenerate() -> None:
    """A constant column makes no candidate degenerate, and does not change the best one."""
    X = elongated_groups(600, 2, 3)
    plain = select(X, range(1, 5), "full", random_state=0)
    constant = select(np.column_stack([X, np.full(600, 7.0)]), range(1, 5), "full", random_state=0)
    assert not constant.table_["degenerate"].any()
    assert constant.best_estimator_.n_components == plain.best_estimator_.n_components == 3


def test_cross_validation_finds_number_of_groups() -> None:
    """The held-out likelihood is that of fits to the other rows, and prefers the number of groups there are."""
    X = elongated_groups(600, 2, 3)
    selection = select(X, range(1, 6), "full", "cv", cv=4, random_state=0)
    assert selection.best_estimator_.n_components == 3
    one = line(selection, "full", 1)["cv"]
    folds = folds_of_one_gaussian(X)
    assert one == pytest.approx(folds, abs=0.02)
    assert one < selection.table_["log_likelihood"][-1] / len(X)


def folds_of_one_gaussian(X: Array) -> float:
    """Four-fold cross-validation of a single Gaussian, with folds of its own."""
    held = np.random.default_rng(1).permutation(len(X)) % 4
    scores = [GaussianMixture().fit(X[held != k]).score_samples(X[held == k]).sum() for k in range(4)]
    return float(np.sum(scores) / len(X))


# The same for any number of threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sample_rows"),
    [
        ({}, 500),
        ({}, sweep.SAMPLE_ROWS),
        ({"init_params": "random_from_data"}, 500),
        ({"criterion": "cv", "cv": 2}, 500),
        ({"criterion": "elbo"}, sweep.SAMPLE_ROWS),
    ],
)
def test_same_table_for_any_number_of_threads(
    arguments: dict[str, Any], sample_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One, two or five threads, each candidate on one or all on each: the same table but for times."""
    X = elongated_groups(1500, 3, 3)
    monkeypatch.setattr(sweep, "SAMPLE_ROWS", sample_rows)
    monkeypatch.setattr(sweep, "SAMPLE_ROWS_PER_COMPONENT", 1)
    tables = []
    for n_threads, least, shared in [(1, 1 << 20, 1 << 27), (2, 0, 1 << 60), (5, 0, 1 << 60), (2, 0, 0)]:
        monkeypatch.setattr(parallel, "LEAST_WORK", least)
        monkeypatch.setattr(parallel, "SHARED_WORK", shared)
        selection = select(X, range(1, 5), random_state=3, n_threads=n_threads, **arguments)
        names = [name for name in selection.table_.dtype.names or () if name != "seconds"]
        tables.append((selection.table_[names].tolist(), selection.best_estimator_.means_.tobytes()))
    assert all(repr(table) == repr(tables[0]) for table in tables[1:])


def test_starts_from_a_sample_of_many_rows() -> None:
    """Starts come from a sample; the fits are of all rows."""
    X = elongated_groups(3 * sweep.SAMPLE_ROWS, 2, 3, seed=4)
    selection = select(X, [2, 3, 4], "full", random_state=0)
    assert selection.best_estimator_.n_components == 3
    assert selection.best_estimator_.bic(X) == selection.table_["bic"][0]
    np.testing.assert_allclose(np.sort(selection.best_estimator_.weights_), 1 / 3, atol=1e-3)


def test_chunks() -> None:
    """Rows that come in chunks have the table of rows in memory."""
    X = elongated_groups(6000, 2, 3)
    names = ["covariance_type", "n_components", "bic", "icl", "n_iter"]
    arguments = {"n_components": range(1, 4), "covariance_types": ["full", "tied"], "random_state": 0}
    here, there = (select(rows, **arguments).table_[names] for rows in (X, from_chunks(np.array_split(X, 4))))
    assert here.tolist() == there.tolist()


# Merging -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYOUTS)
def test_merging_keeps_moments(kind: str) -> None:
    """Merging two components leaves the mixture's mean and, as far as the structure has it, its covariance."""
    model = GaussianMixture(5, covariance_type=kind, random_state=0).fit(elongated_groups(500, 3, 5))
    structure, before = STRUCTURES[kind], fitted(model).parameters
    after = merged(structure, before, 4)

    def moments(parameters: Any) -> tuple[Array, Array]:
        parts = structure.expand(parameters)
        covariances = parts.covariances if structure.expanded.triangular else parts.covariances[..., None] * np.eye(3)
        if kind == "spherical":
            covariances = covariances[:, :, :3] if covariances.ndim == 3 else covariances
        mean = parts.weights @ parts.means
        centered = parts.means - mean
        total = np.einsum("k,kij->ij", parts.weights, covariances)
        return mean, total + np.einsum("k,ki,kj->ij", parts.weights, centered, centered)

    (mean, total), (new_mean, new_total) = moments(before), moments(after)
    np.testing.assert_allclose(new_mean, mean, rtol=1e-12)
    if kind in ("full", "tied"):
        np.testing.assert_allclose(new_total, total, rtol=1e-10)
    np.testing.assert_allclose(np.trace(new_total), np.trace(total), rtol=1e-10)
    assert len(after.weights) == 4 and after.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_closest_pair_is_merged(kind: str) -> None:
    """Two halves of one group are put together again, whatever else there is."""
    X = elongated_groups(800, 3, 4)
    labels = np.repeat(np.arange(4), 200)
    labels[200:400:2] = 4  # every other row of the second group
    model = GaussianMixture(5, covariance_type=kind, init_params=labels, max_iter=0).fit(X)
    structure = STRUCTURES[kind]
    costs = costs_of_merging(structure.expanded, parts_of(structure, fitted(model).parameters))
    assert divmod(int(costs.argmin()), 5) == (1, 4)
    whole = GaussianMixture(4, covariance_type=kind, init_params=np.repeat(np.arange(4), 200), max_iter=0).fit(X)
    joined = merged(structure, fitted(model).parameters, 4)
    np.testing.assert_allclose(joined.means, whole.means_, rtol=1e-9)
    np.testing.assert_allclose(joined.covariances, whole.covariances_, rtol=1e-4)
    assert len(merged(structure, fitted(model).parameters, 2).weights) == 2


# Inserting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_clusters_of_the_tree(weighted: bool) -> None:
    """Each cluster that a cut of the tree has is a run of the points, with its own moments; weights are repetitions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2)) * [1.0, 100.0] + 50.0
    counts = rng.integers(1, 4, 60) if weighted else None
    tree = grow(ArraySource(X, 1, weights=None if counts is None else counts.astype(float)), None)
    clusters = Clusters.of(tree)
    found = set()
    for k in range(1, 60):
        labels = tree.tree.labels(k)
        found |= {frozenset(np.flatnonzero(labels == c)) for c in range(k)}
    expected = {members for members in found if len(members) >= 5}
    index = {tuple(row): i for i, row in enumerate(X)}
    repeats = np.ones(60) if counts is None else counts
    seen = set()
    for i, (begin, end) in enumerate(zip(clusters.begin, clusters.end, strict=True)):
        members = [index[tuple(row)] for row in clusters.points[begin:end]]
        seen.add(frozenset(members))
        share = repeats[members].sum() / repeats.sum()
        mean = np.average(X[members], axis=0, weights=repeats[members])
        spread = np.average((X[members] - mean) ** 2, axis=0, weights=repeats[members])
        assert clusters.shares[i] == pytest.approx(share)
        np.testing.assert_allclose(clusters.means[i], mean, rtol=1e-9)
        np.testing.assert_allclose(clusters.variances[i], spread * len(members) / (len(members) - 1), rtol=1e-6)
    assert seen == expected


def test_cluster_log_density_of_new_rows() -> None:
    """The log-density of a cluster is the mean over rows it has not seen, as a simulation finds."""
    rng = np.random.default_rng(0)
    told, simulated = [], []
    for _ in range(2000):
        X = rng.normal(size=(8, 2))
        clusters = Clusters.of(grow(ArraySource(X, 1), None))
        whole = int(np.flatnonzero(clusters.end - clusters.begin == 8)[0])
        mean, variances = clusters.means[whole], clusters.variances[whole]
        told.append(clusters.log_densities[whole])
        expected = (1 + mean**2) / variances  # of a new row about the cluster's mean
        simulated.append(-0.5 * (np.log(2 * np.pi * variances) + expected).sum())
    assert np.mean(told) == pytest.approx(np.mean(simulated), abs=0.1)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_component_inserted_at_missing_group(kind: str) -> None:
    """Where one of three groups has no component, the new one gets it and the others stay."""
    labels = np.repeat(np.arange(3), 300)
    X = 40.0 * np.eye(3)[labels] + np.random.default_rng(0).normal(size=(900, 3)) * [1.0, 2.0, 3.0]
    model = GaussianMixture(2, covariance_type=kind, init_params=labels[:600], max_iter=0).fit(X[:600])
    structure, before = STRUCTURES[kind], fitted(model).parameters
    clusters = Clusters.of(grow(ArraySource(X, 1), None))
    first, *others = insertions(structure, before, clusters, 3)
    assert len(others) == 2
    np.testing.assert_allclose(first.means[:2], before.means, rtol=1e-12)
    np.testing.assert_allclose(first.means[2], X[600:].mean(axis=0), rtol=1e-6)
    assert first.weights == pytest.approx([1 / 3, 1 / 3, 1 / 3], rel=1e-6)
    np.testing.assert_allclose(first.weights[:2] / first.weights[:2].sum(), before.weights, rtol=1e-12)
    if kind in ("diag", "spherical"):
        variances = X[600:].var(axis=0, ddof=1)
        np.testing.assert_allclose(first.covariances[2], variances if kind == "diag" else variances.mean(), rtol=1e-6)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("other", LAYOUTS)
def test_recast_to_another_structure(kind: str, other: str) -> None:
    """recast keeps weights, means and as much of the covariances as the other structure has."""
    model = GaussianMixture(3, covariance_type=kind, random_state=0).fit(elongated_groups(400, 3, 3))
    before = fitted(model).parameters
    after = recast(STRUCTURES[kind], before, STRUCTURES[other])

    def full(name: str, covariances: Array) -> Array:
        if name in ("full", "tied"):
            return np.broadcast_to(covariances, (3, 3, 3))
        return np.broadcast_to(covariances.reshape(3, -1), (3, 3))[..., None] * np.eye(3)

    mine, its = full(kind, before.covariances), full(other, after.covariances)
    assert after.covariances.shape == STRUCTURES[other].covariance_shape(3, 3)
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-12)
    np.testing.assert_allclose(after.means, before.means, rtol=1e-12)
    if other == "tied":
        mine = np.broadcast_to(np.einsum("k,kij->ij", before.weights, mine), mine.shape)
    elif other == "diag" or kind in ("diag", "spherical"):
        mine = np.einsum("kii->ki", mine)[..., None] * np.eye(3)
    if other == "spherical":
        mine = np.einsum("kii->k", mine)[:, None, None] / 3 * np.eye(3)
    np.testing.assert_allclose(its, mine, rtol=1e-9, atol=1e-12)


def test_certainty_and_log_likelihood_in_one_pass() -> None:
    """The mean log-likelihood beside the largest responsibilities has the bits of that alone; many components too."""
    X = elongated_groups(5000, 2, 3)
    for n_components in (1, 3, 300):
        options = {"max_iter": 2, "tol": 0, "init_params": "random_from_data", "random_state": 0}
        model = quiet_fit(X, n_components=n_components, **options)
        source, mixture = ArraySource(X), fitted(model).kernel_model(X.dtype)
        mean, certainty = source.icl_terms(mixture)
        assert mean == source.log_likelihood(mixture)
        assert certainty == pytest.approx(np.log(model.predict_proba(X).max(axis=1)).mean(), rel=1e-12, abs=1e-300)


# What goes wrong -----------------------------------------------------------------------------------------------------


def test_failed_candidates_in_table() -> None:
    """A candidate that cannot be fitted has its error in the table, comes last, and stops no other."""
    selection = select(FAITHFUL[:6], [1, 2, 7, 8], ["full", "diag"], random_state=0)
    failed = selection.table_[selection.table_["error"] != ""]
    assert sorted(failed["n_components"]) == [7, 7, 8, 8]
    assert np.isnan(failed["bic"]).all() and not failed["converged"].any()
    assert "n_components = 7, n_samples = 6" in failed["error"][0] + failed["error"][1]
    assert (selection.table_["error"][-4:] != "").all()
    assert selection.estimators_[-4:] == [None] * 4
    assert "ValueError: Expected" in str(selection)


def test_degenerate_raise_in_table() -> None:
    """With degenerate='raise' a collapsed candidate has its error in the table."""
    X = np.concatenate([elongated_groups(50, 2, 1), np.full((50, 2), 99.0)])
    selection = select(X, [1, 2], "full", random_state=0, degenerate="raise", reg_covar=0)
    assert selection.best_estimator_.n_components == 1
    assert "ill-defined" in line(selection, "full", 2)["error"]


def test_all_candidates_fail() -> None:
    """When no candidate can be fitted the error says why and what to try."""
    with pytest.raises(ValueError, match=r"None of the 2 candidates .*n_samples = 3\. Try"):
        select([[0.0], [1.0], [2.0]], [4, 5], "full")


def test_warnings_for_best_candidate_only() -> None:
    """Candidates other than the best give no warnings; the table tells of them."""
    with pytest.warns(ConvergenceWarning, match="best candidate"):
        selection = select(FAITHFUL, [3], "full", max_iter=1, tol=1e-12, random_state=0)
    assert not selection.table_["converged"][0]
    line_of_points = np.column_stack([np.arange(50.0), np.ones(50)])
    with pytest.warns(DegenerateComponentWarning, match="collapsed in the best"):
        select(line_of_points, [1], "full", random_state=0, reg_covar=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "ints from 1"),
        ({"n_components": []}, ValueError, "ints from 1"),
        ({"n_components": 2.5}, ValueError, "ints from 1"),
        ({"covariance_types": None}, ValueError, "covariance_types=None"),
        ({"n_components": [1, 2.5]}, ValueError, "2.5"),
        ({"covariance_types": "round"}, ValueError, "round"),
        ({"covariance_types": []}, ValueError, "give .all., or one or more of full"),
        ({"criterion": "BIC"}, ValueError, "'BIC': choose one of bic"),
        ({"criterion": "cv", "cv": 1}, ValueError, "cv=1"),
        ({"criterion": "cv", "cv": 137}, ValueError, "2 to n_samples // 2 = 136"),
        ({"means_init": [[0.0, 0.0]]}, TypeError, "leave means_init out"),
        ({"warm_start": True}, TypeError, "leave warm_start out"),
        ({"init_params": np.zeros(272)}, TypeError, "init_params holds an array"),
        ({"covariance_type": "full"}, TypeError, "leave covariance_type out"),
        ({"tolerance": 1.0}, TypeError, "tolerance"),
        ({"tol": -1.0}, ValueError, "'tol' parameter"),
        ({"n_init": 0}, ValueError, "'n_init' parameter"),
        ({"sample_weight": [1.0]}, ValueError, "sample_weight"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """Invalid arguments are refused at once, with the value seen."""
    with pytest.raises(error, match=message):
        select(FAITHFUL, **arguments)


def test_bad_rows() -> None:
    """Rows are checked once, before the sweep."""
    with pytest.raises(ValueError, match="NaN, first at row 1"):
        select([[0.0], [np.nan]])


def test_interrupt() -> None:
    """Ctrl-C in a fit, and any error of the callback, ends the sweep; it carries what there is by then."""
    for error in (KeyboardInterrupt, ZeroDivisionError, SystemExit):
        for number in (60, 150):
            calls = itertools.count(1)

            def callback(*_: Any, error: Any = error, number: int = number, calls: Any = calls) -> None:
                if next(calls) == number:
                    raise error

            with pytest.raises(error) as caught:
                select(FAITHFUL, range(1, 5), ["full", "diag"], callback=callback, random_state=0, tol=1e-6)
            selection = caught.value.selection
            assert "`selection`" in caught.value.__notes__[0]
            assert len(selection.table_) == 8 and selection.best_estimator_.predict(FAITHFUL).shape == (272,)
            fitted = [model for model in selection.estimators_ if model is not None]
            assert len(fitted) == np.isfinite(selection.table_["bic"]).sum() >= 1
            reason = "interrupt" if error is KeyboardInterrupt else "callback"
            assert {model.stop_reason_ for model in fitted} <= {"tol", "max_iter", reason}
            line, best = selection.table_[0], selection.best_estimator_
            assert line["bic"] == pytest.approx(
                -2 * 272 * float(best.lower_bound_) + line["n_parameters"] * np.log(272), rel=1e-12
            )


def test_interrupt_before_any_fit() -> None:
    """Ctrl-C while the tree is grown: nothing was found, and nothing is carried."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastgmm.fitting.search.sweep.grow", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            select(FAITHFUL)
    assert not hasattr(caught.value, "selection")


@pytest.mark.parametrize("criterion", ["icl", "cv", "elbo"])
def test_interrupt_of_judgement(criterion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C once all candidates are fitted: they are compared by BIC, or by what is known already."""
    candidates, posteriors = "fastgmm.selection.candidates", "fastgmm.fitting.search.posteriors.begin"
    place = {"icl": f"{candidates}._icl_terms", "cv": f"{candidates}._score", "elbo": posteriors}[criterion]
    monkeypatch.setattr(place, interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        select(FAITHFUL, [1, 2, 3], "full", criterion, random_state=0, cv=2)
    selection = caught.value.selection
    assert type(selection.best_estimator_) is GaussianMixture
    assert selection.criterion == "bic" and np.isfinite(selection.table_["bic"]).all()
    assert np.isfinite(selection.table_["icl"]).all() == (criterion == "cv")


@pytest.mark.parametrize("criterion", ["bic", "icl", "cv", "elbo"])
def test_max_time(criterion: str) -> None:
    """max_time is for all of the search: candidates whose turn does not come are lines that say so."""
    with warnings.catch_warnings(action="ignore"):
        selection = select(FAITHFUL, range(1, 9), criterion=criterion, max_time=1e-9, random_state=0)
    errors = selection.table_["error"]
    assert selection.estimators_[0] is not None and errors[0] == ""
    assert all("TimeoutError: max_time" in error for error in errors[1:])
    same = [select(FAITHFUL, [1, 2], random_state=0, max_time=limit).table_["bic"] for limit in (None, 1e6)]
    np.testing.assert_array_equal(*same)


def test_interrupt_ends_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits on other threads end with the sweep, however long they would go on."""
    running = threading.Event()

    def endless(source: Any, m_step: Any, *others: Any, on_iteration: Any, fit: Any) -> None:
        if m_step.structure.name == "tied":
            assert running.wait(limit(60))
            raise KeyboardInterrupt
        while True:
            running.set()
            on_iteration(1, 0.0, 0.0)

    monkeypatch.setattr(parallel, "LEAST_WORK", 0)
    monkeypatch.setattr(trials, "expectation_maximization", endless)
    with pytest.raises(KeyboardInterrupt):
        select(FAITHFUL, [2, 3], ["full", "tied"], n_threads=2)


# What to know before taking the best ----------------------------------------------------------------------------------


def zero_inflated(n_samples: int, dtype: str = "float64") -> Array:
    """Half zeros, half N(5, 1)."""
    normals = np.random.default_rng(0).normal(5, 1, n_samples // 2)
    return np.concatenate([np.zeros(n_samples // 2), normals])[:, None].astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_samples", [200, 500])
def test_candidates_set_aside_are_named(n_samples: int, dtype: str) -> None:
    """Where a better value was set aside for a collapsed component, a warning and the table say how to take it."""
    X = zero_inflated(n_samples, dtype)
    with pytest.warns(SelectionWarning) as caught:
        selection = select(X, range(1, 13), random_state=0)
    (message,) = [str(warning.message) for warning in caught if warning.category is SelectionWarning]
    assert len(message) <= 500 and "are best: try more" in message
    index = int(message.partition("selection.estimators_[")[2].partition("]")[0])
    taken, table = selection.estimators_[index], selection.table_
    assert taken is not None and taken.n_components == 2
    assert taken.bic(X) == pytest.approx(table["bic"][table["degenerate"]].min(), rel=1e-6)
    assert f"{taken.covariance_type} K=2 ({table['bic'][index]:.2f})" in message
    assert sorted(np.round(taken.predict_proba(X).mean(axis=0), 6)) == [0.5, 0.5]
    better = (table["degenerate"] & (table["bic"] < table["bic"][0])).sum()
    assert f"{better} candidates of better bic set aside" in message
    told = " ".join(str(selection).split())
    assert all(note[1:] in told for note in selection.notes) and len(selection.notes) == 2


@pytest.mark.parametrize(
    ("numbers", "note"),
    [
        (range(1, 3), "the most components that were tried, 2, are best: try more."),
        ([5, 4], "the fewest components that were tried, 4, are best: try fewer."),
        (range(1, 7), None),
        ([1, 3], "the most components that were tried, 3, are best: try more."),
        (3, None),
        ([2], None),
    ],
)
@pytest.mark.parametrize("criterion", ["bic", "cv", "elbo"])
def test_edge_of_the_range_is_told(numbers: Any, note: str | None, criterion: str) -> None:
    """A best number of components at the edge of those tried is told, unless it is the only one."""
    X = elongated_groups(600, 2, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        selection = select(X, numbers, "full", criterion, cv=2, random_state=0)
    assert selection.notes == ([] if note is None else [note])
    assert [w.category for w in caught] == [SelectionWarning] * (note is not None)


def test_no_edge_where_nothing_lies_beyond() -> None:
    """One component has none below it, and as many as rows none above."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    assert select(X, range(1, 5), "full", random_state=0).notes == []
    with pytest.warns(DegenerateComponentWarning):
        selection = select([[0.0], [1.0], [9.0]], [2, 3], "full", random_state=0)
    assert selection.best_estimator_.n_components == 3 and selection.notes == []


def test_failed_candidates_are_told() -> None:
    """The number of failed candidates and the first error are told, in a message of bounded length."""
    with pytest.warns(SelectionWarning, match="2 candidates failed, .* K=7 by ValueError") as w:
        select(FAITHFUL[:6], [1, 7], ["full", "diag"], random_state=0)
    assert all(len(str(warning.message)) <= 500 for warning in w)


# How it is told ------------------------------------------------------------------------------------------------------


def test_printed_table_and_progress(faithful_selection: Selection, capsys: pytest.CaptureFixture[str]) -> None:
    """str shows ten lines of the table; verbose prints a line for each fit without a terminal."""
    lines = str(faithful_selection).splitlines()
    assert " ".join(lines[0].split()) == "covariance type n components n parameters log likelihood bic icl"
    assert lines[1].split()[:3] == ["tied", "3", "11"]
    assert len(lines) == 12 and lines[-1] == "... and 6 more"
    assert capsys.readouterr().out == ""
    select(FAITHFUL, [1, 2], "full", verbose=1)
    assert capsys.readouterr().out.splitlines() == ["[1/2] full, K = 1", "[2/2] full, K = 2"]


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal verbose rewrites one line."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    select(FAITHFUL, [1, 2], "full", verbose=1)
    assert capsys.readouterr().out == "\r\x1b[K[1/2] full, K = 1\r\x1b[K[2/2] full, K = 2\n"


def test_to_pandas(faithful_selection: Selection) -> None:
    """The data frame has the columns and the order of the table."""
    pytest.importorskip("pandas")
    frame = faithful_selection.to_pandas()
    assert list(frame.columns) == list(faithful_selection.table_.dtype.names or ())
    assert frame["bic"].is_monotonic_increasing and frame.loc[0, "covariance_type"] == "tied"


def test_public_names() -> None:
    """select and Selection are names of the package."""
    assert fastgmm.select is select and fastgmm.Selection is Selection


@pytest.mark.parametrize("criterion", ["bic", "cv"])
def test_missing_values(criterion: str) -> None:
    """Missing values are no obstacle: the groups are found, and the best mixture's BIC is the table's."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) + 6.0 * np.repeat([[0.0], [1.0]], 200, axis=0)
    X[rng.random(X.shape) < 0.25] = np.nan
    selection = select(X, range(1, 4), criterion=criterion, missing="em", random_state=0)
    best = selection.best_estimator_
    assert best.n_components == 2
    np.testing.assert_allclose(best.bic(X), selection.table_["bic"][0], rtol=1e-12)
    np.testing.assert_allclose(best.icl(X), selection.table_["icl"][0], rtol=1e-12)
