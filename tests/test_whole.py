"""Compiled iterations of small problems: the bits of the loop, and what is left to it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from problems import Array

from fastgmm import BayesianGaussianMixture, GaussianMixture, Prior
from fastgmm.fitting import restarts, tables, whole
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.model.structures import FULL, MCLUST
from fastgmm.sources import array, passes
from fastgmm.sources.array import ArraySource

STRUCTURES = ("full", "tied", "diag", "spherical")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[whole.Reached]:
    """What compiled code came to, call by call, from k-means or from other starts."""
    found: list[whole.Reached] = []
    iterations, from_kmeans = whole.iterations, restarts.from_kmeans_at_once

    def counted(*arguments: Any) -> Iterator[whole.Reached]:
        for reached in iterations(*arguments):
            found.append(reached)
            yield reached

    def counted_whole(*arguments: Any, **named: Any) -> tables.Whole | None:
        one = from_kmeans(*arguments, **named)
        if one is not None:
            found.append(one.reached)
        return one

    monkeypatch.setattr(whole, "iterations", counted)
    monkeypatch.setattr(restarts, "from_kmeans_at_once", counted_whole)
    return found


@pytest.fixture
def only_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts are found step by step."""
    monkeypatch.setattr(restarts, "from_kmeans_at_once", lambda *_, **__: None)


def problem(seed: int, structures: Sequence[str] = STRUCTURES) -> tuple[Array, Array | None, dict[str, Any]]:
    """Random rows, perhaps far from the origin, whole, tiny or repeated; perhaps with weights; and options."""
    rng = np.random.default_rng(seed)
    n_samples, n_features = int(rng.integers(5, 300)), int(rng.integers(1, 7))
    n_components = int(rng.integers(1, min(6, n_samples)))
    centers = rng.choice([0.5, 3.0, 20.0]) * rng.normal(size=(n_components, n_features))
    X = centers[rng.integers(n_components, size=n_samples)] + rng.normal(size=(n_samples, n_features))
    X = X * rng.choice([1.0, 1.0, 1e-3, 1e5]) + rng.choice([0.0, 0.0, 1e3])
    X = np.round(X) if rng.random() < 0.2 else X
    if rng.random() < 0.1:
        X[: n_samples // 2] = X[0]
    weights = rng.integers(3, size=n_samples) + 0.5 if rng.random() < 0.3 else None
    params = {
        "n_components": n_components,
        "covariance_type": structures[seed % len(structures)],
        "random_state": seed,
        "tol": [1e-3, 1e-6, 0.0][rng.integers(3)],
        "max_iter": [1, 5, 40][rng.integers(3)],
        "reg_covar": [0.0, 1e-6, "auto"][rng.integers(3)],
        "n_init": [1, 1, 3][rng.integers(3)],
        "degenerate": ["repair", "repair", "raise"][rng.integers(3)],
    }
    return X.astype(["float32", "float64"][rng.integers(2)]), weights, params


def outcome(X: Array, weights: Array | None, kind: Any = GaussianMixture, **params: Any) -> list[Any]:
    """All that a fit leaves, as bits; or its error."""
    with warnings.catch_warnings(action="ignore"):
        try:
            mixture = kind(**params).fit(X, sample_weight=weights)
        except ValueError as error:
            return [str(error)]
    arrays = mixture.weights_, mixture.means_, mixture.covariances_, mixture.precisions_cholesky_
    found: list[Any] = [array.tobytes() for array in arrays]
    ends = mixture.n_iter_, mixture.converged_, mixture.stop_reason_
    return [*found, *map(float, mixture.lower_bounds_), *ends, repr(mixture.degenerate_)]


@pytest.mark.parametrize("structures", [STRUCTURES, tuple(MCLUST)], ids=["scikit-learn", "mclust"])
def test_bits_of_the_loop(
    calls: list[whole.Reached], monkeypatch: pytest.MonkeyPatch, structures: tuple[str, ...]
) -> None:
    """Over hundreds of problems compiled fits, and iterations, leave what the loop leaves, with repairs and errors."""
    problems = [problem(seed, structures) for seed in range(400)]
    for seed, (_, _, params) in enumerate(problems):
        params["equal_weights"] = structures is not STRUCTURES and seed % 3 == 0
    compiled = [outcome(X, weights, **params) for X, weights, params in problems]
    assert len(calls) > 300
    monkeypatch.setattr(restarts, "from_kmeans_at_once", lambda *_, **__: None)
    n_called = len(calls)
    for seed, (X, weights, params) in enumerate(problems):
        assert compiled[seed] == outcome(X, weights, **params), f"seed {seed}, from its start on"
    assert len(calls) > n_called + 300
    n_called = len(calls)
    monkeypatch.setattr(whole, "iterations", lambda *_: iter(()))
    for seed, (X, weights, params) in enumerate(problems):
        assert compiled[seed] == outcome(X, weights, **params), f"seed {seed}"
    assert len(calls) == n_called
    repaired = [one for one in compiled if len(one) > 1 and one[-1] != "[]"]
    assert len(repaired) > 8 and sum(len(one) == 1 for one in compiled) > 3


def test_bits_of_the_loop_with_priors(calls: list[whole.Reached], monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode of the posterior, and the log density of the prior in the bound, are those of the loop."""
    priors = ("mclust", Prior(mean_precision=0.5, weight_concentration=2.0), Prior(mean_precision=None))
    problems = [problem(seed) for seed in range(200)]
    for seed, (_, _, params) in enumerate(problems):
        params["prior"] = priors[seed % 3]
    compiled = [outcome(X, weights, **params) for X, weights, params in problems]
    assert len(calls) > 180
    monkeypatch.setattr(whole, "iterations", lambda *_: iter(()))
    for seed, (X, weights, params) in enumerate(problems):
        assert compiled[seed] == outcome(X, weights, **params), f"seed {seed}"


def test_bits_of_the_loop_of_variational_mixtures(calls: list[whole.Reached], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both posteriors and both priors of weights; bounds, weights and iterations are those of the loop."""
    problems = []
    for seed in range(200):
        X, weights, params = problem(seed)
        params.pop("degenerate")
        params["posterior"] = ["compatible", "exact"][seed // 4 % 2]
        params["weight_concentration_prior_type"] = ["dirichlet_process", "dirichlet_distribution"][seed // 8 % 2]
        problems.append((X, weights, params))

    def all_outcomes() -> list[list[Any]]:
        return [outcome(X, weights, kind=BayesianGaussianMixture, **params) for X, weights, params in problems]

    compiled = all_outcomes()
    assert len(calls) > 150 and sum(len(reached.bounds) for reached in calls) > 1500
    monkeypatch.setattr(whole, "iterations", lambda *_: iter(()))
    for seed, (one, other) in enumerate(zip(compiled, all_outcomes(), strict=True)):
        assert one == other, f"seed {seed}"


@pytest.mark.parametrize("structure", STRUCTURES)
def test_goes_on_where_the_call_has_come_to(structure: str, calls: list[whole.Reached]) -> None:
    """A component that collapses in the middle of a fit is repaired by the loop, which does the rest."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(100, 2)), np.tile([[1.5, 1.5]], (20, 1))])
    start = {"means_init": [[0.0, 0.0], [1.4, 1.4]], "weights_init": [0.9, 0.1], "reg_covar": 0.0}
    ones = {"full": [np.eye(2)] * 2, "tied": np.eye(2), "diag": np.ones((2, 2)), "spherical": np.ones(2)}
    with warnings.catch_warnings(action="ignore"):
        mixture = GaussianMixture(
            2, covariance_type=structure, precisions_init=ones[structure], tol=1e-9, max_iter=300, **start
        ).fit(X)
    done = sum(len(reached.bounds) for reached in calls)
    if structure == "tied":  # does not collapse
        assert mixture.degenerate_ == [] and done == mixture.n_iter_
    else:
        assert [repair.problem for repair in mixture.degenerate_][:1] == ["collapsed to rounding"]
        assert 0 < done < mixture.n_iter_ and done == mixture.degenerate_[0].iteration - 1


@pytest.mark.usefixtures("only_iterations")
def test_ctrl_c_between_calls(calls: list[whole.Reached], monkeypatch: pytest.MonkeyPatch) -> None:
    """Long fits are cut into calls; Ctrl-C between two keeps what the first has come to."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    options: dict[str, Any] = {"tol": 0.0, "max_iter": 12, "random_state": 0}
    with warnings.catch_warnings(action="ignore"):
        plain = GaussianMixture(3, **options).fit(X)
        assert len(calls) == 1
        monkeypatch.setattr(whole, "MOST_WORK", 5 * (ArraySource(X, 1).work(FULL, 3) + 3 * 4 * 2**3))
        assert GaussianMixture(3, **options).fit(X).means_.tobytes() == plain.means_.tobytes()
        assert [len(reached.bounds) for reached in calls[1:]] == [5, 5, 2]
        five = GaussianMixture(3, **options).set_params(max_iter=5).fit(X)
    iterations = whole.iterations

    def interrupted(*arguments: Any) -> Iterator[whole.Reached]:
        for reached in iterations(*arguments):
            yield reached
            raise KeyboardInterrupt

    monkeypatch.setattr(whole, "iterations", interrupted)
    mixture = GaussianMixture(3, **options)
    with pytest.raises(KeyboardInterrupt):
        mixture.fit(X)
    assert mixture.stop_reason_ == "interrupt" and mixture.n_iter_ == 5 and not mixture.converged_
    assert mixture.means_.tobytes() == five.means_.tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"acceleration": "squarem"},
        {"convergence": "parameters"},
        {"callback": lambda *_: False},
        {"max_time": 1e6},
        {"missing": "em"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_is_left_to_the_loop(options: dict[str, Any], calls: list[whole.Reached]) -> None:
    """Whatever else has a say in how a fit goes on."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    if "missing" in options:
        X[3, 0] = np.nan
    with warnings.catch_warnings(action="ignore"):
        GaussianMixture(2, random_state=0, **options).fit(X)
    assert calls == []


def test_other_m_steps_are_left_to_the_loop(calls: list[whole.Reached]) -> None:
    """An M-step that is not quite maximum likelihood keeps its own formulae."""

    class Other(MaximumLikelihood):
        pass

    class Mixture(GaussianMixture):
        def _m_step(self, state: Any = None) -> Any:
            return Other

    Mixture(2, random_state=0).fit(np.random.default_rng(0).normal(size=(100, 2)))
    assert calls == []


def test_the_largest_problems_are_left_to_the_loop(calls: list[whole.Reached], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several groups compiled iterations take what is over soon; Ctrl-C would have to wait for the others."""
    X = np.random.default_rng(0).normal(size=(4000, 2))
    monkeypatch.setattr(passes, "GROUP_WORK", 1 << 14)
    for most, expected in ((1 << 30, 1), (1 << 16, 0)):
        monkeypatch.setattr(array, "MOST_GROUP_WORK", most)
        calls.clear()
        outcome(X, None, n_components=2, random_state=0, max_iter=2)
        assert len(calls) == expected


def test_progress_tells_each_iteration(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """verbose=2 prints the same lines, but for times."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    told = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(restarts, "from_kmeans_at_once", lambda *_, **__: None)
            monkeypatch.setattr(ArraySource, "at_once", lambda *_: None)
        with warnings.catch_warnings(action="ignore"):
            GaussianMixture(2, random_state=0, verbose=2, verbose_interval=1, max_iter=5).fit(X)
        told.append(re.sub(r"[0-9.]+ ?s\b", "", capsys.readouterr().out).splitlines())
    assert told[0] == told[1] and len(told[0]) > 5


def test_no_iterations_ask_for_nothing() -> None:
    """max_iter=0 takes starting values as they are, even where regularization could not be worked out."""
    X = np.array([[0.0], [1.0], [2.0], [5.0]]) * 1e-160
    start = {"init_params": [0, 0, 1, 1], "precisions_init": np.full((2, 1, 1), 1e300), "reg_covar": "auto"}
    found = [GaussianMixture(2, max_iter=0, callback=f, **start).fit(X).means_ for f in (None, lambda *_: False)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_calls_are_short_where_matrices_are_large(structure: str, calls: list[whole.Reached]) -> None:
    """The algebra of wide rows counts: Ctrl-C would have to wait for it."""
    X = np.random.default_rng(0).normal(size=(3, 300))
    with warnings.catch_warnings(action="ignore"):
        GaussianMixture(1, covariance_type=structure, tol=0, max_iter=12, reg_covar=1.0, init_params=[0, 0, 0]).fit(X)
    assert max(len(reached.bounds) for reached in calls) <= 4  # of twelve


def test_long_fits_from_kmeans_are_cut(calls: list[whole.Reached], monkeypatch: pytest.MonkeyPatch) -> None:
    """A call from k-means does some iterations, others the rest, and many passes of k-means are left to more calls."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    options: dict[str, Any] = {"tol": 0.0, "max_iter": 12, "random_state": 0}
    with warnings.catch_warnings(action="ignore"):
        plain = GaussianMixture(3, **options).fit(X)
        assert [len(reached.bounds) for reached in calls] == [12]
        one = whole.work_of_iteration(ArraySource(X, 1), FULL, 3)
        for most, expected in ((tables.MOST_PASSES + 7, [7, 5]), (tables.MOST_PASSES, [12])):
            calls.clear()
            monkeypatch.setattr(tables, "MOST_WORK", most * one)
            cut = GaussianMixture(3, **options).fit(X)
            assert [len(reached.bounds) for reached in calls] == expected
            assert cut.means_.tobytes() == plain.means_.tobytes() and cut.lower_bounds_ == plain.lower_bounds_
    record = plain.fits_[0]
    assert record.seconds_initialization > 0 and record.seconds_em > 0 and record.n_iter == 12
