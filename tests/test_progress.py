"""Log messages of fits and selections, and the progress bar of the docstring."""

from __future__ import annotations

import inspect
import logging
import re
import textwrap
import warnings
from typing import Any

import numpy as np
import pytest
from problems import Array, bits, quiet_fit, run_python

from fastgmm import GaussianMixture, select
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
    assert not isinstance(GaussianMixture()._progress(), logs.Logged)
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


def test_tqdm_recipe(X: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """The progress bar of the docstring runs, and counts iterations."""
    pytest.importorskip("tqdm")
    documented = inspect.cleandoc(GaussianMixture.__doc__ or "")
    recipe = re.search(r"A progress bar by tqdm is a ``callback``::\n\n((?: .*\n|\n)+)", documented)
    assert recipe is not None
    space: dict[str, Any] = {"mixture": GaussianMixture(2, random_state=0, max_iter=50), "X": X}
    exec(textwrap.dedent(recipe[1]), space)
    n_iter = space["mixture"].n_iter_
    assert space["bar"].n == n_iter > 0
    assert f"{n_iter}/50" in capsys.readouterr().err
