"""select with n_init="auto", and candidates whose components rest on hardly any rows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from problems import DATASETS, Array, interrupt, run_python

from fastgmm import GaussianMixture, SelectionWarning, fit_many, select
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.optima import search
from fastgmm.fitting.search import thorough
from fastgmm.fitting.search.trials import Candidate, Data, Outcome, Trials
from fastgmm.fitting.settings import Settings
from fastgmm.fitting.soundness import on_enough_rows
from fastgmm.fitting.starts import prepare
from fastgmm.fitting.starts.methods import Goal
from fastgmm.mclust import Mclust
from fastgmm.mixture.base import fitted
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource

IRIS, FAITHFUL = DATASETS["iris"], DATASETS["faithful"]
TIGHT: dict[str, Any] = {"tol": 1e-9, "reg_covar": 0.0, "max_iter": 2000}


# The search for the best candidates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "k", "best"), [("full", 3, -180.1858), ("full", 2, -214.3547)])
def test_search_for_a_candidate(kind: str, k: int, best: float) -> None:
    """From a poor end it comes to the best optimum that is known of iris (mclust's), with a record of each fit."""
    source, structure = ArraySource(IRIS, 1), STRUCTURES[kind]
    m_step, one = MaximumLikelihood(source, structure, 0.0, "repair"), Candidate(STRUCTURES[kind], k)
    settings = Settings(tol=1e-9, max_iter=2000, m_step=lambda *_, **__: m_step)
    trials, outcome = Trials(Data(source, source), settings, 0.01, [one]), Outcome()
    goal = Goal(structure, k, m_step)
    trials.attempt(one, outcome, source, lambda _: prepare(source, goal, "random", np.random.RandomState(3))(source))
    assert outcome.lower_bound * len(IRIS) < best - 1
    before = len(outcome.records)
    thorough.search_for(trials, one, outcome, 0, source, source)
    assert outcome.lower_bound * len(IRIS) == pytest.approx(best, abs=1e-3) and outcome.sound
    records = outcome.records[before:]
    assert len(records) > 3 and {"moves"} <= {record.start for record in records}
    assert max(record.lower_bound for record in records if record.sound) == outcome.lower_bound


def test_auto_is_no_worse_than_a_usual_search() -> None:
    """Candidates end no lower, and the best ones where a search for each alone ends."""
    usual, auto = (select(IRIS, range(2, 6), ["full", "diag"], n_init=n, random_state=0, **TIGHT) for n in (2, "auto"))
    both = [np.sort(found.table_, order=["covariance_type", "n_components"]) for found in (usual, auto)]
    assert (both[1]["log_likelihood"] >= both[0]["log_likelihood"] - 1e-6).all()
    assert (both[1]["log_likelihood"] > both[0]["log_likelihood"] + 0.5).any()
    for line, model in zip(auto.table_[:3], auto.estimators_, strict=False):
        alone = GaussianMixture(
            line["n_components"], covariance_type=line["covariance_type"], n_init="auto", random_state=1, **TIGHT
        ).fit(IRIS)
        assert line["log_likelihood"] >= alone.score(IRIS) * len(IRIS) - 1e-2
        assert model is not None and model.n_init == "auto" and "moves" in {record.start for record in model.fits_}


@pytest.mark.parametrize("gaps", [False, True])
def test_threads_do_not_matter(gaps: bool) -> None:
    """The same table on one thread and on three."""
    X = np.where(np.random.default_rng(0).random(IRIS.shape) < 0.05, np.nan, IRIS) if gaps else IRIS
    options: dict[str, Any] = {"n_init": "auto", "random_state": 0, "missing": "em" if gaps else "raise"}
    one, three = (select(X, [2, 3], ["full", "tied"], n_threads=n, **options).table_ for n in (1, 3))
    for name in set(one.dtype.names or ()) - {"seconds"}:
        np.testing.assert_array_equal(one[name], three[name], err_msg=name)


def test_rounds_end_when_none_of_the_best_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each candidate is searched for once, in batches of the best few."""
    seen = list[Candidate]()
    monkeypatch.setattr(thorough, "CANDIDATES", 2)
    monkeypatch.setattr(Trials, "search", lambda _, one, *__: seen.append(one))
    selection = select(FAITHFUL, range(1, 6), n_init="auto", random_state=0)
    first = [(line["covariance_type"], line["n_components"]) for line in selection.table_[:2]]
    assert [(one.structure.name, one.n_components) for one in seen] == first


def test_interrupt_while_it_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves what was found, none of it worse than before the search."""
    usual = select(IRIS, [2, 3], "full", random_state=0).table_["log_likelihood"]
    monkeypatch.setattr(search.Search, "_race", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        select(IRIS, [2, 3], "full", n_init="auto", random_state=0)
    found = caught.value.selection.table_
    assert (np.sort(found["log_likelihood"]) >= np.sort(usual) - 0.2).all()


def test_callback_ends_it() -> None:
    """What the callback raises hands over what there is."""
    calls = itertools.count()
    select(IRIS, [2, 3], "full", random_state=0, callback=lambda *_: next(calls) < 0)
    usual = next(calls)

    def stop(*_: Any) -> None:
        if next(calls) == 2 * usual + 10:  # in the search
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        select(IRIS, [2, 3], "full", n_init="auto", random_state=0, callback=stop)
    assert np.isfinite(caught.value.selection.table_["bic"]).all()


def test_many_rows_and_noise() -> None:
    """On a sample where rows are many; with noise, priors and equal weights as they come."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(m, 1, (15_000, 2)) for m in (0, 4)] + [rng.uniform(-20, 20, (1000, 2))])
    options: dict[str, Any] = {"n_init": "auto", "random_state": 0, "tol": 1e-4}
    selection = select(X, [1, 2], "spherical", noise=[None, "auto"], equal_weights=[False, True], **options)
    best = selection.best_estimator_
    assert best.noise == "auto" and best.n_components == 2
    with_prior = select(IRIS, [2, 3], "full", prior="mclust", **options)
    assert with_prior.best_estimator_.n_components == 2
    usual, auto = (select(IRIS, [2, 3], "full", "elbo", n_init=n, random_state=0) for n in (2, "auto"))
    assert auto.table_["elbo"][0] >= usual.table_["elbo"][0] - 1e-3


def test_command(tmp_path: Any) -> None:
    """The command line takes it."""
    path = tmp_path / "iris.csv"
    np.savetxt(path, IRIS, delimiter=",", header="a,b,c,d", comments="")
    done = run_python(
        "-m", "fastgmm", "select", str(path), "-k", "2-3", "--covariance-types", "full", "--n-init", "auto"
    )
    assert done.returncode == 0 and "full" in done.stdout, done.stderr


# Components on hardly any rows ---------------------------------------------------------------------------------------


def with_a_knot(size: int, seed: int = 0) -> Array:
    """A group of 80 rows, and some that are close together."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(80, 2)), 10 + 0.1 * rng.normal(size=(size, 2))])


@pytest.mark.parametrize(("size", "spurious"), [(3, True), (4, True), (5, False)])
def test_spurious_candidates_are_set_aside(size: int, spurious: bool) -> None:
    """A component of D + 2 rows or fewer wins only where there is no other candidate; its table says so."""
    X, options = with_a_knot(size), {"random_state": 0, "reg_covar": 0.0}
    with pytest.warns(SelectionWarning) if spurious else pytest.warns(match="try more") as caught:
        selection = select(X, [1, 2], "full", **options)
    line = selection.table_[selection.table_["n_components"] == 2][0]
    assert line["bic"] < selection.table_["bic"][selection.table_["n_components"] == 1][0]
    assert (line["degenerate"], line["spurious"]) == (False, spurious)
    assert selection.best_estimator_.n_components == (1 if spurious else 2)
    assert any("rests on hardly any rows" in str(one.message) for one in caught) == spurious
    assert ("spurious" in str(selection)) == spurious
    fits = fit_many([X, X], [1, 2], covariance_type="full", **options)
    apart = fit_many([X, X], [1, 2], covariance_type="full", acceleration="squarem", **options)
    for found in (fits, apart):
        assert (found.n_components_ == (1 if spurious else 2)).all() and (found.status_ == "ok").all()
        assert (found.set_aside_ == (2 if spurious else 0)).all()


def test_mclust_tells_its_value() -> None:
    """The table in mclust's words has the BIC of a spurious candidate: mclust has it, too."""
    with pytest.warns(SelectionWarning, match="hardly any"):
        fit = Mclust(with_a_knot(4), [1, 2], "VVV")
    assert np.isfinite(fit.BIC.values).all() and fit.G == 1


def test_only_spurious_candidates_warn() -> None:
    """Where no candidate is sound, the best of them comes with a warning."""
    with pytest.warns(match="hardly any rows, so that chance"):
        selection = select(with_a_knot(4), [2], "full", random_state=0, reg_covar=0.0)
    assert selection.table_["spurious"].all()


@pytest.mark.parametrize("structure", sorted(STRUCTURES))
@pytest.mark.parametrize("weighted", [False, True])
def test_many_tables_are_judged_as_one(structure: str, weighted: bool) -> None:
    """Which numbers of components are set aside, against the rule on each fit by itself."""
    rng = np.random.default_rng(0)
    n_features = 1 if STRUCTURES[structure].univariate else 2
    tables = [rng.normal(size=(n, n_features)) for n in rng.integers(8, 25, 12)]
    weights = [rng.choice([0.1, 1.0, 3.0], len(X)) for X in tables] if weighted else None
    options: dict[str, Any] = {"covariance_type": structure, "reg_covar": 1e-3, "max_iter": 40, "tol": 1e-5}
    fits = fit_many(tables, [1, 2, 3], sample_weight=weights, random_state=0, **options)
    seen = set[bool]()
    for i, X in enumerate(tables):
        own = None if weights is None else weights[i]
        source = ArraySource(X, 1, weights=None if own is None else own / own.mean())
        m_step, sound = MaximumLikelihood(source, STRUCTURES[structure], 1e-3, "repair"), []
        for k in (1, 2, 3):
            model = GaussianMixture(k, random_state=0, **options).fit(X, sample_weight=own)
            parameters = fitted(model).parameters
            enough = on_enough_rows(source, m_step, parameters)
            seen.add(enough)
            sound.append(m_step.sound(parameters) and enough)
        scores = np.where(sound, fits.scores_[i], np.inf)
        assert fits.n_components_[i] == (1 + int(scores.argmin()) if any(sound) else 1)
    assert seen == ({True, False} if "V" in STRUCTURES[structure].letters[:2] else {True})
