"""Log messages of fits and selections, and progress bars."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import Array, bits, quiet_fit, run_python

from fastgmm import GaussianMixture, fit_many, load, select
from fastgmm.fitting.restarts import Plans
from fastgmm.mixture import progress as logs


@pytest.fixture(scope="module")
def X() -> Array:
    """Rows of two groups."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 3])


def test_info_messages(X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """At the level INFO a fit tells how it begins and how it ended."""
    with caplog.at_level(logging.INFO, "fastgmm"):
        mixture = GaussianMixture(2, n_init=3, random_state=0).fit(X)
    assert [(record.name, record.levelname) for record in caplog.records] == [("fastgmm", "INFO")] * 2
    begins, ended = caplog.messages
    assert begins == "fit begins: 200 rows of 2 features, 2 full components, 3 initialization(s)"
    said = re.fullmatch(
        r"fit ended: (\w+) after (\d+) iteration\(s\) and ([\d.]+) s, lower bound (\S+), 0 repair\(s\)", ended
    )
    assert said is not None
    assert said[1] == mixture.stop_reason_ and int(said[2]) == mixture.n_iter_
    assert float(said[3]) < 60
    assert float(said[4]) == pytest.approx(mixture.lower_bound_, rel=1e-8)


STOPS: list[dict[str, Any]] = [
    {"max_iter": 2, "tol": 0},
    {"callback": lambda *_: True},
    {"max_time": 1e-9},
    {"max_iter": 0},
]


def test_stop_reasons(X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """The last message gives the stop reason, also of a fit without iterations."""
    with caplog.at_level(logging.INFO, "fastgmm"):
        for arguments in STOPS:
            quiet_fit(X, n_components=2, random_state=0, **arguments)
    ends = [message.split()[2] for message in caplog.messages if message.startswith("fit ended")]
    assert ends == ["max_iter", "callback", "max_time", "max_iter"]


def test_debug_messages(X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """At the level DEBUG there is a line for each iteration, with the bound that the fit keeps."""
    with caplog.at_level(logging.DEBUG, "fastgmm"):
        mixture = GaussianMixture(2, random_state=0).fit(X)
    lines = [re.match(r"initialization 0, iteration (\d+): lower bound (\S+),", message) for message in caplog.messages]
    told = [(int(line[1]), float(line[2])) for line in lines if line]
    assert [n_iter for n_iter, _ in told] == list(range(1, mixture.n_iter_ + 1))
    np.testing.assert_allclose([bound for _, bound in told], mixture.lower_bounds_, rtol=1e-8)
    assert "initialization 0 begins" in caplog.messages
    assert any(message.startswith("initialization 0 ended: tol") for message in caplog.messages)


def test_messages_of_restarts_and_batches(X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """Restarts and batches are numbered, dropped restarts are told, and nothing is above INFO."""
    with caplog.at_level(logging.DEBUG, "fastgmm"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture = GaussianMixture(4, n_init=6, init_params="random", tol=1e-9, max_iter=300, random_state=0).fit(X)
        mixture.partial_fit(X[:50])
    dropped = {int(m.split()[1]) for m in caplog.messages if re.fullmatch(r"initialization \d dropped", m)}
    assert dropped == {number for number, record in enumerate(mixture_records(mixture, X)) if record.dropped} != set()
    for number in range(6):
        assert f"initialization {number} begins" in caplog.messages
    assert any(message.startswith("batch 1: 50 rows") for message in caplog.messages)
    assert max(record.levelno for record in caplog.records) == logging.INFO


def mixture_records(mixture: GaussianMixture, X: Array) -> list[Any]:
    """What became of the initializations of the same fit."""
    return quiet_fit(X, **mixture.get_params()).fits_


def test_select_messages(X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """A sweep tells how it begins and ended, and each candidate at DEBUG."""
    with caplog.at_level(logging.DEBUG, "fastgmm"):
        best = select(X, [1, 2], ["full", "diag"], random_state=0).best_estimator_
    begins, *candidates, ended = caplog.messages
    assert begins == "select begins: 200 rows of 2 features, ['full', 'diag'], K = [1, 2]"
    assert sorted(candidates) == [f"candidate {kind}, K = {k}" for kind in ("diag", "full") for k in (1, 2)]
    assert ended.startswith("select ended: 4 candidates, the best of bic = ")
    assert ended.endswith(f"{best.covariance_type}, K = {best.n_components}")


def test_verbose_output_unchanged_by_logging(
    X: Array, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output of verbose is the same whether fits are logged or not."""
    GaussianMixture(2, random_state=0, verbose=1, verbose_interval=1).fit(X)
    alone = capsys.readouterr().out
    with caplog.at_level(logging.DEBUG, "fastgmm"):
        GaussianMixture(2, random_state=0, verbose=1, verbose_interval=1).fit(X)
    assert capsys.readouterr().out == alone != ""


def test_logging_changes_no_bit(X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """Logging changes no result."""
    alone = GaussianMixture(3, n_init=4, random_state=0, tol=1e-2).fit(X)
    with caplog.at_level(logging.DEBUG, "fastgmm"):
        logged = GaussianMixture(3, n_init=4, random_state=0, tol=1e-2).fit(X)
    assert bits(logged) == bits(alone)


def test_no_messages_without_listener(
    X: Array, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nobody listens no log record is made."""

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("a message was made")

    monkeypatch.setattr(logging.Logger, "makeRecord", fail)
    assert logs.listener(logging.INFO) is None and logs.listener(logging.DEBUG) is None
    with logs.reporting(0, 10, Plans([]), 100) as progress:
        assert isinstance(progress, logs.Printed)
    GaussianMixture(2, random_state=0).fit(X)
    with caplog.at_level(logging.INFO, "fastgmm"), pytest.raises(AssertionError, match="a message was made"):
        GaussianMixture(2, random_state=0).fit(X)


QUIET = """
import sys
import numpy
there = "logging" in sys.modules
from fastgmm import GaussianMixture
from fastgmm.mixture import progress as logs
GaussianMixture(2, n_threads=1, random_state=0).fit(numpy.arange(40.0).reshape(20, 2))
assert there or "logging" not in sys.modules, "logging was imported"
assert there or logs.listener(50) is None
import logging
assert logs.listener(50).name == "fastgmm"
assert logs.listener(20) is None
GaussianMixture(2, random_state=0).fit(numpy.arange(40.0).reshape(20, 2))
"""


def test_logging_is_not_imported() -> None:
    """Neither the import of fastgmm nor a fit imports logging; without a configuration nothing is printed."""
    done = run_python("-c", QUIET)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Bars --------------------------------------------------------------------------------------------------------------


def last_drawn(err: str) -> str:
    """The bar as it stands at the end."""
    return err.rstrip("\n").rpartition("\r")[2].strip() if err.endswith("\n") else ""


@pytest.mark.parametrize(
    ("options", "total"),
    [
        ({"max_iter": 50}, True),
        ({"max_iter": 3}, True),
        ({"n_init": 4, "drop_restarts": False}, True),
        ({"n_init": 6, "n_components": 4, "init_params": "random", "tol": 1e-9, "max_iter": 300}, True),
        ({"n_init": "auto", "n_components": 3}, False),
        ({"acceleration": "squarem"}, True),
    ],
)
def test_bar_counts_iterations(
    X: Array, options: dict[str, Any], total: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar ends full at the iterations of all initializations, and the fit has the bits that it has without."""
    pytest.importorskip("tqdm")
    options = {"n_components": 2, "random_state": 0, **options}
    mixture = quiet_fit(X, verbose="bar", **options)
    out, err = capsys.readouterr()
    n_iter = sum(record.n_iter for record in mixture.fits_)
    drawn = last_drawn(err)
    assert out == ""
    assert (f"{n_iter}/{n_iter} [" if total else f"{n_iter} iterations [") in drawn
    assert f"lower bound {mixture.fits_[-1].lower_bound:.6g}" in drawn or len(mixture.fits_) > 1
    assert bits(mixture) == bits(quiet_fit(X, **options))


def test_bar_is_closed(X: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors and Ctrl-C close the bar; it stands where the fit has ended, and what is printed then begins a line."""
    tqdm = pytest.importorskip("tqdm.auto").tqdm
    calls: list[int] = []

    def press(iteration: int, *_: Any) -> None:
        calls.append(iteration)
        if iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as pressed:
        GaussianMixture(2, random_state=0, callback=press, verbose="bar").fit(X)
    assert pressed.tb  # which keeps the bar from being closed because nobody needs it any more
    assert "3/100 [" in last_drawn(capsys.readouterr().err)
    with pytest.raises(ValueError, match="ill-defined"):
        quiet_fit(np.repeat(X[:2], 5, axis=0), n_components=2, reg_covar=0, degenerate="raise", verbose="bar")
    assert capsys.readouterr().err.endswith("\n")
    assert len(tqdm._instances) == 0


def test_bars_of_searches(X: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """select counts candidates, fit_many problems; both close their bars, also after errors."""
    tqdm = pytest.importorskip("tqdm.auto").tqdm
    select(X, [1, 2], "full", random_state=0, verbose="bar")
    assert "2/2 [" in last_drawn(capsys.readouterr().err)
    fit_many([X[:90], X[50:]], 1, verbose="bar")
    out, err = capsys.readouterr()
    assert out == "" and "2/2 [" in last_drawn(err)

    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as pressed:
        select(X, [1, 2], "full", random_state=0, callback=press, verbose="bar")
    with pytest.raises(ValueError, match="Problem 1 cannot be fitted") as failed:
        fit_many([X, X[:1]], 3, on_error="raise", verbose="bar")
    assert pressed.tb and failed.tb  # which keep the bars from being closed because nobody needs them any more
    assert capsys.readouterr().err.endswith("\n")
    assert len(tqdm._instances) == 0


def test_bar_without_standard_error(X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without a standard error, such as a service, draws nothing, and fits."""
    pytest.importorskip("tqdm")
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stderr", None)
        mixture = quiet_fit(X, n_components=2, random_state=0, verbose="bar")
        selection = select(X, [1, 2], "full", random_state=0, verbose="bar")
    assert bits(mixture) == bits(quiet_fit(X, n_components=2, random_state=0))
    assert len(selection.table_) == 2


def test_bar_without_tqdm(X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tqdm is missing an error names what to install, and nothing has changed."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    mixture = GaussianMixture(2, random_state=0, verbose="bar")
    with pytest.raises(ImportError, match=r"needs tqdm: pip install 'fastgmm\[progress\]'"):
        mixture.fit(X)
    assert not hasattr(mixture, "means_")


def test_bar_elsewhere(X: Array, tmp_path: Path) -> None:
    """A file keeps the argument; scikit-learn, which does not know it, gets its default."""
    pytest.importorskip("tqdm")
    mixture = GaussianMixture(2, random_state=0, verbose="bar").fit(X)
    mixture.save(tmp_path / "model")
    assert load(tmp_path / "model").verbose == "bar"
    pytest.importorskip("sklearn")
    assert mixture.to_sklearn().verbose == 0
