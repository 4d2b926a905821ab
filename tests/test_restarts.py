"""Several initializations: the best fit is kept, with the same bits for any number of threads."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from problems import Array, bits, interrupt

from fastgmm import GaussianMixture
from fastgmm.fitting import parallel, restarts
from fastgmm.fitting.em import Fit
from fastgmm.fitting.parallel import side_by_side
from fastgmm.fitting.restarts import Plan, Restarts, forecast, projected
from fastgmm.fitting.settings import Settings
from fastgmm.mixture.progress import Printed
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.sources.array import ArraySource
from fastgmm.sources.passes import GROUP_WORK

MANY = 8


def ambiguous_rows(n_samples: int = 1500, n_components: int = 6) -> Array:
    """Rows of groups some of which overlap, so that EM is slow and starts end in different places."""
    rng = np.random.default_rng(0)
    centers = 4 * rng.normal(size=(n_components, 2))
    return centers[rng.integers(n_components, size=n_samples)] + rng.normal(size=(n_samples, 2))


@pytest.fixture(scope="module")
def X() -> Array:
    """Small data, of which a pass is one group of rows."""
    return ambiguous_rows()


def options(**changes: Any) -> dict[str, Any]:
    """A fit from several starts."""
    return {
        "init_params": "random_from_data",
        "n_init": MANY,
        "tol": 1e-7,
        "max_iter": 1000,
        "random_state": 0,
        **changes,
    }


def all_bits(model: Any) -> bytes:
    """Everything fitted that is not a time."""
    return bits((model, np.array([record[2:7] for record in model.fits_], float)))


# The same result --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data", "best"])
def test_same_bits_for_any_number_of_threads(
    X: Array, method: str, drop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One, two or five threads, side by side or in order: the same bits, for the fit and for every restart."""
    monkeypatch.setattr(parallel, "LEAST_WORK", 0)
    found = {
        all_bits(GaussianMixture(6, **options(init_params=method, n_threads=n, drop_restarts=drop, tol=1e-5)).fit(X))
        for n in (1, 2, 5)
    }
    monkeypatch.setattr(parallel, "LEAST_WORK", 1 << 60)
    found.add(
        all_bits(GaussianMixture(6, **options(init_params=method, n_threads=2, drop_restarts=drop, tol=1e-5)).fit(X))
    )
    assert len(found) == 1


def test_verbose_same_bits(X: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """A fit that prints goes on in order, with the same result, and tells which starts are dropped."""
    quiet = GaussianMixture(6, **options()).fit(X)
    assert all_bits(GaussianMixture(6, **options(verbose=1)).fit(X)) == all_bits(quiet)
    lines = capsys.readouterr().out.splitlines()
    dropped = [number for number, record in enumerate(quiet.fits_) if record.dropped]
    assert dropped
    assert {line for line in lines if "dropped" in line} == {f"Initialization {number} dropped." for number in dropped}
    assert lines.count("Initialization converged.") == sum(record.converged for record in quiet.fits_)


@pytest.mark.parametrize("structure", LAYOUTS)
def test_undropped_restarts_are_separate_fits(X: Array, structure: str) -> None:
    """Without dropping, n_init fits are what as many fits from one stream of random numbers are."""
    stream = np.random.RandomState(5)
    changes = {"covariance_type": structure, "max_iter": 40, "random_state": stream}
    alone = [GaussianMixture(6, **options(**changes, n_init=1)).fit(X) for _ in range(MANY)]
    changes |= {"random_state": np.random.RandomState(5), "drop_restarts": False}
    together = GaussianMixture(6, **options(**changes)).fit(X)
    assert [record[2:8] for record in together.fits_] == [fit.fits_[0][2:8] for fit in alone]
    sound = [record.sound for record in together.fits_]
    assert True in sound
    best = max((fit for fit, own in zip(alone, sound, strict=True) if own), key=lambda fit: fit.lower_bound_)
    np.testing.assert_array_equal(together.means_, best.means_)
    assert together.lower_bounds_ == best.lower_bounds_


def test_restart_resumes_bitwise(X: Array) -> None:
    """A restart that is paused for comparison and then resumed has the bits of an uninterrupted one."""
    dropping = GaussianMixture(6, **options()).fit(X)
    undisturbed = GaussianMixture(6, **options(drop_restarts=False)).fit(X)
    pairs = list(zip(dropping.fits_, undisturbed.fits_, strict=True))
    assert any(kept.dropped for kept, _ in pairs) and any(kept.n_iter > 20 and not kept.dropped for kept, _ in pairs)
    for kept, free in pairs:
        assert not free.dropped
        assert kept.start_bound == free.start_bound
        if kept.dropped:
            assert kept.n_iter in (10, 20, 40, 80, 160, 320, 640) and kept.n_iter <= free.n_iter and not kept.converged
            assert kept.lower_bound < dropping.lower_bound_
        else:
            assert kept[2:] == free[2:]


# What is told -----------------------------------------------------------------------------------------------------


def test_fit_records(X: Array) -> None:
    """Each restart has its times, bounds and fate; the best is the one whose attributes the estimator has."""
    model = GaussianMixture(6, **options()).fit(X)
    assert len(model.fits_) == MANY
    best = max(model.fits_, key=lambda record: record.lower_bound)
    assert (best.n_iter, best.lower_bound, best.converged) == (model.n_iter_, model.lower_bound_, model.converged_)
    assert best.start_bound == model.lower_bounds_[0]
    for record in model.fits_:
        assert record.seconds_initialization > 0 and record.seconds_em > 0
        assert record.start_bound < record.lower_bound


def test_fit_records_of_warm_starts_and_no_iterations(X: Array) -> None:
    """max_iter=0 has no bounds; a warm start is one fit from where the last one ended."""
    (record,) = GaussianMixture(3, max_iter=0).fit(X).fits_
    assert record.n_iter == 0 and record.start_bound == record.lower_bound == -np.inf and not record.converged
    model = GaussianMixture(3, n_init=4, warm_start=True, random_state=0, tol=1e-9, max_iter=5).fit(X)
    assert len(model.fits_) == 4
    last = model.lower_bound_
    model.fit(X)
    assert len(model.fits_) == 1
    assert model.fits_[0].start_bound > last


# The rule ---------------------------------------------------------------------------------------------------------


def test_forecast_of_geometric_gains() -> None:
    """Gains that shrink by a factor c have c / (1 - c) times the last one still to come."""
    bounds = [1 - 0.5**n for n in range(12)]
    for n in range(2, 12):
        to_come = 1 - bounds[n]
        assert forecast(*bounds[n - 2 : n + 1]) == pytest.approx(bounds[n] + restarts.PATIENCE * to_come, rel=1e-12)
    assert projected(bounds) == forecast(*bounds[5:8])  # the most hopeful of the last five
    assert forecast(0.0, 1.0, 3.0) == forecast(0.0, 1.0, 2.0) == np.inf
    assert projected([*bounds, bounds[-1] + 1.0, *[bounds[-1] + 1.0] * 3]) == np.inf
    assert forecast(0.0, 1.0, 1.0) == 1.0
    assert forecast(0.0, 1.0, 1.0 - 1e-15) == 1.0 - 1e-15


@pytest.mark.parametrize("n_init", [1, 2])
def test_best_restart_is_never_dropped(X: Array, n_init: int) -> None:
    """A single start is never dropped, nor is the best of two."""
    model = GaussianMixture(6, **options(n_init=n_init)).fit(X)
    assert not all(record.dropped for record in model.fits_)


# Threads ----------------------------------------------------------------------------------------------------------


def test_side_by_side_order_and_threads() -> None:
    """Passes of medium size run on a thread each, others in the caller's; results come in order."""
    structure = STRUCTURES["full"]

    def task(number: int) -> Any:
        """Tell how many threads its passes have."""

        def work(source: ArraySource) -> tuple[int, int]:
            return number, source.workers.n_threads

        return work

    for n_samples, several in ((100, False), (20_000, True), (400_000, False)):
        with ArraySource(np.zeros((n_samples, 2)), n_threads=2) as source:
            assert several == (parallel.LEAST_WORK <= source.work(structure, 4) < GROUP_WORK)
            numbers, threads = zip(*side_by_side(source, structure, 4, [task(n) for n in range(5)]), strict=True)
            assert numbers == (0, 1, 2, 3, 4)
            assert set(threads) == {1 if several else 2}


def scripted(fit: Any) -> Plan:
    """A restart that does what a function does in place of EM (see `run_scripts`)."""
    of_m_step = {"repairs": [], "proper": True, "sound": lambda _: True}
    m_step: Any = SimpleNamespace(structure=STRUCTURES["full"], fit=fit, **of_m_step)
    nowhere: Any = None  # where EM begins
    return Plan(lambda _: nowhere, m_step)


@pytest.fixture
def run_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarts run their scripts."""

    def em(source: ArraySource, m_step: Any, parameters: None, settings: Settings, **options: Any) -> None:
        m_step.fit(source, **options)

    monkeypatch.setattr(restarts, "expectation_maximization", em)


@pytest.mark.usefixtures("run_scripts")
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_first_failing_restart_raises(n_threads: int, drop: bool) -> None:
    """The error raised is that of the first failing restart in order; later ones are stopped."""
    told = []

    def em(error: Exception | None, n_iter: int) -> Any:
        """A fit that iterates so many times and then fails or ends."""

        def fit(source: ArraySource, on_iteration: Any, fit: Fit, **options: Any) -> None:
            for n in range(1, n_iter + 1):
                on_iteration(n, -1.0 / n, 0.0)
            told.append(error)
            if error is not None:
                raise error
            fit.lower_bounds, fit.stop_reason = [-1.0] * 3, "tol"

        return fit

    first, second = ValueError("first"), ValueError("second")
    fits = [em(None, 5), em(first, 10_000), em(None, 10**15), em(second, 1), em(second, 1)]
    plans = [scripted(fit) for fit in fits]
    with ArraySource(np.zeros((20_000, 2)), n_threads) as source, pytest.raises(ValueError) as caught:
        Restarts(source, 4, plans, Settings(max_iter=10**15, drop_restarts=drop), progress=Printed(0, 1)).run()
    assert caught.value is first
    assert told[0] is None


@pytest.mark.usefixtures("run_scripts")
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process on Windows")
def test_interruption_stops_all_restarts() -> None:
    """Ctrl-C in one restart ends the others at their next iteration; what there is by then is kept."""

    def endless(source: ArraySource, on_iteration: Any, **options: Any) -> None:
        """A fit that ends only when it is stopped."""
        for n in itertools.count(1):
            on_iteration(n, -1.0 / n, 0.0)

    def pressed(source: ArraySource, fit: Fit, **options: Any) -> None:
        """A fit that is over when Ctrl-C is pressed, so that this thread may be waiting for the other."""
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        fit.lower_bounds, fit.stop_reason = [-1.0] * 3, "tol"

    for order in ((interrupt, endless, endless), (endless, interrupt, endless), (pressed, endless)):
        plans = [scripted(fit) for fit in order]
        settings = Settings(max_iter=10**15, drop_restarts=False)
        with ArraySource(np.zeros((20_000, 2)), 2) as source:
            course = Restarts(source, 4, plans, settings, progress=Printed(0, 1))
            with pytest.raises(KeyboardInterrupt) as caught:
                course.run()
            found = course.cut_short(caught.value)
        assert (found is not None) == (pressed in order)
        if found is not None:
            assert found[0].stop_reason == "interrupt"
            assert [record.n_iter for record in found[1]] == [3, 0]
