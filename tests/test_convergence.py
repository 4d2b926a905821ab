"""When and why a fit stops: convergence rules, max_time, callback and Ctrl-C, with their warnings and reports."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import pickle
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import Array, interrupt, quiet_fit, unit_covariances

from fastgmm import ConvergenceWarning, GaussianMixture
from fastgmm.cli.reports import fit_report
from fastgmm.cli.tables import Table
from fastgmm.fitting import restarts, settings
from fastgmm.fitting.convergence import RULES, AitkenRule, ParametersRule
from fastgmm.mixture.progress import Printed
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources import from_chunks, passes, threads
from fastgmm.sources.array import ArraySource
from fastgmm.sources.complete import CompleteSource
from fastgmm.sources.incomplete.source import IncompleteSource
from fastgmm.sources.passes import Pass


def rows_and_start(structure: str = "full", n_samples: int = 600) -> tuple[Array, dict[str, Any]]:
    """Overlapping rows and an explicit start from which EM takes some hundred iterations."""
    rng = np.random.default_rng(2)
    X = twin.sample(rng, twin.random_model(rng, structure, 3, 2, separation=1.0), n_samples)
    precisions = unit_covariances(structure, 3, 2)
    start = {"weights_init": np.full(3, 1 / 3), "means_init": X[:3], "precisions_init": precisions}
    return X, {"n_components": 3, "covariance_type": structure, **start}


# Rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("tol", [1e-2, 1e-3])
def test_parameters_rule(structure: str, tol: float) -> None:
    """EM stops at the first iteration that moves no parameter by tol, in dense NumPy."""
    X, start = rows_and_start(structure)
    rule, source = STRUCTURES[structure], ArraySource(X)
    path = [rule.from_precisions(start["weights_init"], start["means_init"], start["precisions_init"])]
    while len(path) < 1500:
        path.append(rule.maximize(source.statistics(rule, path[-1]), 1e-6))

    def distance(before: Parameters, after: Parameters) -> float:
        """The largest change, from dense covariances."""
        old, new = (twin.dense(structure, model.covariances, 3, 2).astype(float) for model in (before, after))
        deviations = np.sqrt(np.diagonal(old, axis1=1, axis2=2))
        return max(
            np.abs(after.weights / before.weights - 1).max(),
            np.abs((after.means - before.means) / deviations).max(),
            np.abs((new - old) / (deviations[:, :, None] * deviations[:, None, :])).max(),
        )

    distances = np.array([distance(before, after) for before, after in itertools.pairwise(path)])
    stop = int(np.flatnonzero(distances < tol)[0]) + 1
    model = GaussianMixture(**start, tol=tol, max_iter=1500, convergence="parameters").fit(X)
    assert (model.n_iter_, model.converged_, model.stop_reason_) == (stop, True, "tol")
    np.testing.assert_array_equal(model.means_, path[stop].means)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_aitken_rule(structure: str) -> None:
    """Where EM has come to its linear rate it stops about tol from the limit; scikit-learn's rule, several tol."""
    X, start = rows_and_start(structure)
    limit = quiet_fit(X, **start, tol=1e-14, max_iter=20_000).lower_bound_
    gaps = [
        limit - GaussianMixture(**start, tol=1e-7, max_iter=20_000, convergence=name).fit(X).lower_bound_
        for name in ("aitken", "likelihood")
    ]
    assert 0.3e-7 < gaps[0] < 1.5e-7
    assert gaps[1] > 5e-7


def test_aitken_on_a_geometric_series() -> None:
    """Bounds that approach their limit geometrically: the projected distance is the true one."""
    rule = AitkenRule(STRUCTURES["full"], 1e-4)
    unit = STRUCTURES["full"].unit(np.zeros((1, 1)))
    bounds = [-1.0 - 0.9**n for n in range(200)]
    met = [rule.met(bound, unit, unit, jumped=False) for bound in bounds]
    assert np.flatnonzero(met)[0] == np.flatnonzero(np.array(bounds) > -1.0 - 1e-4)[0]


def test_aitken_waits_for_three_steps() -> None:
    """Neither two bounds, nor growing gains, nor bounds across an extrapolation tell a limit."""
    unit = STRUCTURES["full"].unit(np.zeros((1, 1)))
    rule = AitkenRule(STRUCTURES["full"], 1e3)
    assert not any(rule.met(bound, unit, unit, jumped=False) for bound in (-3.0, -2.0))
    assert rule.met(-1.5, unit, unit, jumped=False)
    assert not rule.met(-0.5, unit, unit, jumped=False)
    assert not rule.met(-0.4, unit, unit, jumped=True)
    assert not rule.met(-0.3, unit, unit, jumped=False)
    assert rule.met(-0.25, unit, unit, jumped=False)


@pytest.mark.parametrize("name", list(RULES))
def test_zero_tolerance_never_converges(name: str) -> None:
    """At tol = 0 each rule lets EM run to max_iter."""
    X, start = rows_and_start("spherical", n_samples=40)
    model = quiet_fit(X, **start, tol=0.0, max_iter=400, convergence=name)
    assert (model.n_iter_, model.converged_, model.stop_reason_) == (400, False, "max_iter")


def test_start_with_zero_weight() -> None:
    """A start with an empty component does not divide by zero."""
    X, start = rows_and_start()
    start["weights_init"] = [0.5, 0.5, 0.0]
    rule = ParametersRule(STRUCTURES["full"], 1e-3)
    assert rule.extrapolation_gain == 0.0
    model = quiet_fit(X, **start, convergence="parameters", max_iter=30)
    assert np.isfinite(model.means_).all()


# Callback and time ------------------------------------------------------------------------------------------------


def test_callback() -> None:
    """The callback is told each iteration, its bound and the elapsed time, and returns True to stop."""
    X, start = rows_and_start()
    told: list[tuple[int, float, float]] = []

    def callback(iteration: int, lower_bound: float, elapsed: float) -> bool:
        """Stop after the seventh."""
        told.append((iteration, lower_bound, elapsed))
        return iteration == 7

    model = GaussianMixture(**start, tol=0.0, callback=callback)
    with pytest.warns(ConvergenceWarning, match="callback stopped the fit"):
        model.fit(X)
    assert [news[0] for news in told] == list(range(1, 8))
    assert [news[1] for news in told] == model.lower_bounds_
    times = [news[2] for news in told]
    assert times == sorted(times) and times[0] > 0
    assert (model.n_iter_, model.converged_, model.stop_reason_) == (7, False, "callback")
    np.testing.assert_array_equal(model.means_, quiet_fit(X, **start, tol=0.0, max_iter=7).means_)


def test_callback_sees_last_iteration() -> None:
    """The callback is called at the last iteration too, and convergence wins over its answer."""
    X, start = rows_and_start()
    told: list[int] = []
    plain = GaussianMixture(**start, tol=1e-2).fit(X)
    model = GaussianMixture(**start, tol=1e-2, callback=lambda n, *_: told.append(n) or n == plain.n_iter_).fit(X)
    assert told[-1] == model.n_iter_ == plain.n_iter_
    assert model.stop_reason_ == "tol"


@pytest.mark.parametrize("error", [ZeroDivisionError, ValueError, SystemExit, GeneratorExit])
def test_callback_that_raises(error: type[BaseException]) -> None:
    """An exception of the callback is raised by fit, and the estimator has the iterations done."""
    X, start = rows_and_start()

    def callback(iteration: int, *_: float) -> None:
        """Fail in the fourth."""
        if iteration == 4:
            raise error

    model = GaussianMixture(**start, tol=0.0, callback=callback)
    with pytest.raises(error):
        model.fit(X)
    assert_cut_short(model, X, "callback", {**start, "tol": 0.0}, 4)


def test_max_time() -> None:
    """A fit ends after the first iteration beyond its time; a long limit changes nothing."""
    X, start = rows_and_start()
    model = GaussianMixture(**start, tol=0.0, max_time=1e-9)
    with pytest.warns(ConvergenceWarning, match=r"stopped at max_time = 1e-09 s"):
        model.fit(X)
    assert (model.n_iter_, model.converged_, model.stop_reason_) == (1, False, "max_time")
    one, two = (GaussianMixture(**start, max_time=limit).fit(X) for limit in (None, 1e6))
    assert one.lower_bounds_ == two.lower_bounds_ and two.stop_reason_ == "tol"


def test_stop_ends_all_starts() -> None:
    """A stop ends the whole fit, not one of its starts, and keeps the best of them."""
    X, _ = rows_and_start()
    ended: list[float] = []

    def callback(iteration: int, lower_bound: float, elapsed: float) -> bool:
        """Stop in the third start."""
        if iteration == 1:
            ended.append(-math.inf)
        ended[-1] = lower_bound
        return len(ended) == 3

    with pytest.warns(ConvergenceWarning, match="callback stopped"):
        model = GaussianMixture(3, n_init=9, random_state=0, callback=callback).fit(X)
    assert len(ended) == 3
    assert (model.converged_, model.stop_reason_, model.lower_bound_) == (False, "callback", max(ended))


# Interruption -----------------------------------------------------------------------------------------------------


def assert_cut_short(model: Any, X: Any, reason: str, options: dict[str, Any], n_iter: int | None = None) -> None:
    """A fit that was cut short has what a fit of so many iterations has, and nothing else but why."""
    assert (model.converged_, model.stop_reason_) == (False, reason)
    assert n_iter is None or model.n_iter_ == n_iter
    expected = quiet_fit(X, **options, max_iter=model.n_iter_)
    assert {name for name in vars(model) if name.endswith("_")} == {n for n in vars(expected) if n.endswith("_")}
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))
    assert model.lower_bounds_ == expected.lower_bounds_ and model.lower_bound_ == expected.lower_bound_
    assert [record[2:5] for record in model.fits_] == [record[2:5] for record in expected.fits_]
    assert model.n_samples_seen_ == expected.n_samples_seen_ and model.degenerate_ == expected.degenerate_


@contextlib.contextmanager
def interrupted(kind: type, number: int, method: str = "statistics") -> Iterator[None]:
    """Have the pass of this number over rows of this kind, from 1, interrupted."""
    whole, passes = getattr(kind, method), itertools.count(1)

    def counted(self: Any, *arguments: Any) -> Any:
        if next(passes) == number:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, method, counted)
        patch.setattr(ArraySource, "at_once", lambda *_: None)
        yield


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process on Windows")
def test_interruption_keeps_the_best() -> None:
    """Ctrl-C in the sixth iteration: what five left, marked not converged, and KeyboardInterrupt."""
    X, start = rows_and_start()

    def callback(iteration: int, *_: float) -> None:
        """Interrupt as the terminal would."""
        if iteration == 5:
            os.kill(os.getpid(), signal.SIGINT)

    model = GaussianMixture(**start, tol=0.0, max_iter=10**7, callback=callback)
    with warnings.catch_warnings(action="error"), pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert 5 <= model.n_iter_ <= 6
    assert_cut_short(model, X, "interrupt", {**start, "tol": 0.0})


@pytest.mark.parametrize("acceleration", [None, "squarem"])
@pytest.mark.parametrize("method", ["fit", "fit_predict", "partial_fit"])
def test_interruption_in_any_pass(method: str, acceleration: str | None) -> None:
    """Whatever pass is interrupted, the whole iterations before it are kept; before the first, nothing changes."""
    X, start = rows_and_start()
    options = {**start, "tol": 0.0, "acceleration": acceleration}
    for number in range(1, 8):
        model = GaussianMixture(**options)
        with interrupted(ArraySource, number), pytest.raises(KeyboardInterrupt):
            getattr(model, method)(X)
        if number == 1:
            assert vars(model).keys() == vars(GaussianMixture()).keys()
        else:
            assert_cut_short(model, X, "interrupt", options, number - 1)


@pytest.mark.parametrize("kind", ["gaps", "chunks", "mapped"])
def test_interruption_wherever_rows_are(kind: str, tmp_path: Path) -> None:
    """Rows with gaps, in chunks and in files: as in memory."""
    X, start = rows_and_start()
    rows: Any = X
    if kind == "gaps":
        rows = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
        start["missing"] = "em"
    elif kind == "chunks":
        rows = from_chunks([X[:200], X[200:]])
    else:
        np.save(tmp_path / "rows.npy", X)
        rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    model = GaussianMixture(**start, tol=0.0)
    with interrupted(IncompleteSource if kind == "gaps" else CompleteSource, 4), pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert_cut_short(model, rows, "interrupt", {**start, "tol": 0.0}, 3)


def test_interruption_of_a_warm_start() -> None:
    """Before the first iteration the earlier fit stays as it was; then it is replaced by a better one."""
    X, start = rows_and_start()
    model = quiet_fit(X, **start, tol=0.0, max_iter=3, warm_start=True).set_params(max_iter=100)
    before = pickle.dumps(model)
    with interrupted(ArraySource, 1), pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert pickle.dumps(model) == before
    with interrupted(ArraySource, 3), pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert (model.n_iter_, model.stop_reason_) == (2, "interrupt")
    np.testing.assert_array_equal(model.means_, quiet_fit(X, **start, tol=0.0, max_iter=5).means_)


@pytest.mark.parametrize("number", [3, 10**6])
def test_interruption_pressed_again(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the fit is taken over, for the second time or the first: it is taken over nevertheless, whole."""
    X, start = rows_and_start()
    attributes, calls = GaussianMixture._attributes, itertools.count()

    def pressed(self: Any, *arguments: Any) -> Any:
        if next(calls) < 2:
            raise KeyboardInterrupt
        return attributes(self, *arguments)

    model = GaussianMixture(**start, tol=1e-2)
    monkeypatch.setattr(GaussianMixture, "_attributes", pressed)
    with interrupted(ArraySource, number), pytest.raises(KeyboardInterrupt):
        model.fit(X)
    monkeypatch.undo()
    if number == 3:
        assert_cut_short(model, X, "interrupt", {**start, "tol": 0.0}, 2)
    else:
        assert model.converged_ and model.stop_reason_ == "tol"


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data", "hierarchical", "best"])
def test_interruption_of_starts(method: str) -> None:
    """Ctrl-C in any pass of a start leaves the estimator as it was, or with the starts before it."""
    X, _ = rows_and_start()
    for number in (1, 2, 3, 7, 12):
        model = GaussianMixture(3, init_params=method, random_state=0, n_init=2, tol=0.0)
        with interrupted(Pass, number, "run"), pytest.raises(KeyboardInterrupt):
            model.fit(X)
        if hasattr(model, "means_"):
            assert model.stop_reason_ == "interrupt" and model.n_iter_ == len(model.lower_bounds_) > 0
            assert len(model.fits_) == 2
        else:
            assert vars(model).keys() == vars(GaussianMixture()).keys()


def test_interruption_in_a_later_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the second start is sought keeps the first fit."""
    X, _ = rows_and_start()
    starts, draw = list[int](), restarts.completed

    def second_interrupted(*args: Any) -> Any:
        """Draw starts of which the second is interrupted."""
        starts.append(1)
        return interrupt if len(starts) == 2 else draw(*args)

    monkeypatch.setattr(restarts, "completed", second_interrupted)
    model = GaussianMixture(3, n_init=5, drop_restarts=False, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    monkeypatch.undo()
    assert model.stop_reason_ == "interrupt"
    assert [record.n_iter > 0 for record in model.fits_] == [True, False, False, False, False]
    np.testing.assert_array_equal(model.means_, GaussianMixture(3, random_state=0).fit(X).means_)


def test_interruption_before_the_first_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before the first iteration raises KeyboardInterrupt."""
    X, _ = rows_and_start()
    model = GaussianMixture(3)

    monkeypatch.setattr(restarts, "completed", lambda *_: interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("place", ["begin", "iteration", "end", "drop"])
def test_progress_that_raises(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised where progress is told, a pipe that is closed say, reaches the caller; what there is is kept."""
    X, _ = rows_and_start()
    calls = itertools.count()

    def broken(*_: Any) -> None:
        if next(calls) == 2 or place == "drop":
            raise BrokenPipeError

    monkeypatch.setattr(Printed, place, broken)
    model = GaussianMixture(3, n_init=8, random_state=0, tol=1e-9, max_iter=300, verbose=1)
    model.drop_restarts = place == "drop"
    with pytest.raises(BrokenPipeError):
        model.fit(X)
    assert model.stop_reason_ == "callback" and model.n_iter_ > 0 and not model.converged_


# Time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data", "hierarchical", "best"])
def test_max_time_of_starts(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its time a start takes the shortest way to parameters, which a fit without iterations has."""
    X = np.random.default_rng(0).normal(size=(40_000, 4))
    monkeypatch.setattr(passes, "GROUP_WORK", 1 << 17)
    for n_init in (1, 3):
        model = quiet_fit(X, n_components=6, max_time=1e-9, init_params=method, n_init=n_init, random_state=0)
        assert (model.stop_reason_, model.n_iter_, model.lower_bound_) == ("max_time", 0, -math.inf)
        assert np.isfinite(model.score(X)) and model.weights_.sum() == pytest.approx(1)


def test_max_time_within_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that takes long is given up between two groups of rows; the iterations before it stand."""
    X, start = rows_and_start(n_samples=20_000)
    monkeypatch.setattr(passes, "GROUP_WORK", 1 << 17)
    now = [0.0]
    accumulate = CompleteSource._accumulate

    def slow(self: Any, *arguments: Any) -> Any:
        """Each group takes a second."""
        now[0] += 1.0
        return accumulate(self, *arguments)

    monkeypatch.setattr(CompleteSource, "_accumulate", slow)
    for module in (threads, settings):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    quiet_fit(X, **start, tol=0.0, max_iter=1, max_time=1e6)
    in_pass = int(now[0])
    expected = quiet_fit(X, **start, tol=0.0, max_iter=2)
    for n_threads in (1, 2):
        begun = now[0]
        model = quiet_fit(X, **start, tol=0.0, max_time=2.5 * in_pass, n_threads=n_threads)
        assert 2.5 * in_pass <= now[0] - begun <= 2.5 * in_pass + n_threads
        assert (model.stop_reason_, model.n_iter_) == ("max_time", 2)
        np.testing.assert_array_equal(model.means_, expected.means_)


# Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tol": 1e-2}, r"converged after \d+ iterations \(tol 0\.01\)"),
        ({"tol": 0.0, "max_iter": 3}, r"NOT converged after 3 iterations \(tol 0\): allow more with --max-iter"),
        ({"tol": 0.0, "max_time": 1e-9}, r"NOT converged after 1 iteration \(tol 0\): allow more with --max-time"),
        ({"tol": 0.0, "callback": lambda *_: True}, r"NOT converged after 1 iteration \(tol 0\): stopped by callback"),
    ],
)
def test_stop_reason_in_report_and_verbose(
    options: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report and verbose say why the fit stopped."""
    X, start = rows_and_start()
    model = quiet_fit(X, **start, **options, verbose=1)
    report = fit_report(model, Table(X, ["a", "b"]), np.bincount(model.predict(X)), "rows", 1.0)
    assert re.search(rf"^stopped +{told}$", report, re.MULTILINE)
    ends = {
        "tol": "Initialization converged.",
        "max_iter": "Initialization did not converge.",
        "max_time": "Initialization did not converge (stopped: max_time).",
        "callback": "Initialization did not converge (stopped: callback).",
    }
    assert capsys.readouterr().out.splitlines()[-1] == ends[model.stop_reason_]


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("acceleration", "anderson", "a str among {'squarem'} or None"),
        ("acceleration", True, "a str among {'squarem'} or None"),
        ("convergence", "gain", "a str among {'likelihood', 'parameters', 'aitken'}"),
        ("convergence", None, "a str among {'likelihood', 'parameters', 'aitken'}"),
        ("max_time", 0.0, r"a float in the range \(0.0, inf\) or None"),
        ("max_time", -1, r"a float in the range \(0.0, inf\) or None"),
        ("max_time", math.inf, r"a float in the range \(0.0, inf\) or None"),
        ("max_time", math.nan, r"a float in the range \(0.0, inf\) or None"),
        ("max_time", "1 s", r"a float in the range \(0.0, inf\) or None"),
        ("callback", "print", "a callable or None"),
    ],
)
def test_arguments_are_checked(name: str, bad: Any, words: str) -> None:
    """Each argument is refused with its name, what it may be and the value seen."""
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of GaussianMixture must be {words}. Got "):
        GaussianMixture(**{name: bad}).fit(np.eye(3))
