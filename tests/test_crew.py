"""Threads that stay for several passes: the same bits for any number of them, and nobody is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from problems import Array, limit
from test_whole import outcome

from fastgmm import BayesianGaussianMixture, GaussianMixture
from fastgmm.kernels import CHOSEN
from fastgmm.sources import from_chunks, passes
from fastgmm.sources.array import ArraySource
from fastgmm.sources.threads import Helpers, Workers


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows make several groups."""
    monkeypatch.setattr(passes, "GROUP_WORK", 1 << 15)


def rows(dtype: str = "float64", n_features: int = 3) -> Array:
    """Rows of four clumps, in eleven or more groups of which the last is no whole block."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(5500, n_features)) + 4 * rng.integers(2, size=(5500, 2)).repeat(2, axis=1)[:, :n_features]
    ).astype(dtype)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (GaussianMixture, {"covariance_type": "full"}),
        (GaussianMixture, {"covariance_type": "tied", "weighted": True}),
        (GaussianMixture, {"covariance_type": "diag", "prior": "mclust"}),
        (GaussianMixture, {"covariance_type": "VEE", "equal_weights": True}),
        (GaussianMixture, {"n_components": 20}),
        (BayesianGaussianMixture, {}),
    ],
    ids=["full", "tied, weights", "diag, prior", "VEE", "boxes", "Bayes"],
)
def test_bits_do_not_depend_on_threads(
    kind: Any, params: dict[str, Any], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled iterations of one to eight threads leave what the loop does."""
    params = {"n_components": 4, "random_state": 0, "max_iter": 6, "tol": 0.0} | params
    weights = np.random.default_rng(1).integers(3, size=5500) + 0.5 if params.pop("weighted", False) else None
    n_led, lead = [], Workers.lead

    def counted(workers: Workers, work: Callable[[], Any], others: list[Any], dismiss: Callable[[], None]) -> Any:
        n_led.append(len(others))
        return lead(workers, work, others, dismiss)

    monkeypatch.setattr(Workers, "lead", counted)
    found = [outcome(rows(dtype), weights, kind, n_threads=n_threads, **params) for n_threads in (1, 2, 3, 8)]
    assert {1, 2} <= set(n_led) <= {1, 2, 7}
    monkeypatch.setattr(ArraySource, "at_once", lambda *_: None)
    found.append(outcome(rows(dtype), weights, kind, n_threads=2, **params))
    assert len(found[0]) > 1 and all(one == found[0] for one in found)


@pytest.mark.usefixtures("small_groups")
def test_bits_of_chunks() -> None:
    """Rows that come in chunks, which the loop passes over, leave the same."""
    X = rows()
    start = {"weights_init": np.full(4, 0.25), "means_init": X[:4], "precisions_init": np.tile(np.eye(3), (4, 1, 1))}
    given: dict[str, Any] = {"n_components": 4, "max_iter": 5, "tol": 0.0, **start}
    chunks = from_chunks(lambda: iter(np.array_split(X, 7)))
    mixture, other = GaussianMixture(**given).fit(X), GaussianMixture(**given).fit(chunks)
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(mixture, name), getattr(other, name))


@pytest.mark.usefixtures("small_groups")
def test_without_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no thread left, one does it all."""
    params: dict[str, Any] = {"n_components": 4, "random_state": 0, "max_iter": 6}
    expected = outcome(rows(), None, n_threads=3, **params)
    monkeypatch.setattr(Helpers, "submit", lambda *_: None)
    assert outcome(rows(), None, n_threads=3, **params) == expected


@pytest.mark.usefixtures("small_groups")
def test_fits_side_by_side() -> None:
    """More threads than processors, in several fits at a time, many times over: each ends, with the same bits."""
    params: dict[str, Any] = {"n_components": 3, "random_state": 0, "max_iter": 40, "tol": 0.0, "n_threads": 4}
    expected, found = outcome(rows(), None, **params), list[Any]()
    fits = [threading.Thread(target=lambda: found.append(outcome(rows(), None, **params))) for _ in range(6)]
    for fit in fits:
        fit.start()
    for fit in fits:
        fit.join(limit(120))
    assert len(found) == 6 and all(one == expected for one in found)


@pytest.mark.usefixtures("small_groups")
def test_an_error_dismisses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between two calls, or an error, leaves no thread behind."""
    n_before, calls = threading.active_count(), []

    def interrupted(*_: Any) -> None:
        calls.append(threading.active_count())
        time.sleep(0.02)  # so that the others have fallen asleep
        raise KeyboardInterrupt

    monkeypatch.setattr(CHOSEN, "iterate_em", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GaussianMixture(4, means_init=rows()[:4], n_threads=3).fit(rows())
    assert calls and threading.active_count() == n_before


def test_a_team_that_is_dismissed() -> None:
    """Who comes late returns at once; who sleeps is woken."""
    team, workspace = CHOSEN.Team(3), np.empty(100)
    sleeper = threading.Thread(target=team.assist, args=(workspace,))
    sleeper.start()
    time.sleep(0.02)
    assert sleeper.is_alive()
    team.dismiss()
    sleeper.join(limit(60))
    assert not sleeper.is_alive()
    team.assist(workspace)
