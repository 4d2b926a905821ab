"""Eight Python threads fit and predict at once, on free-threaded CPython in parallel; needs numpy and pytest only."""

from __future__ import annotations

import sys
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from problems import Array, bits, elongated_groups, grouped_rows, limit, run_python

from fastgmm import BayesianGaussianMixture, GaussianMixture, fit_many

N_WORKERS = 8
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

FEW = grouped_rows(300, 3, 4, seed=1)  # rows that are fitted in one call
MANY = elongated_groups(3000, 3, 4)  # those that take passes, and threads
APART = grouped_rows(6000, 24, 30, seed=2, n_features=2)  # those of components far apart, most of which are left out
GAPS = np.where(np.random.default_rng(3).uniform(size=FEW.shape) < 0.1, np.nan, FEW)
WEIGHTS = np.random.default_rng(4).uniform(0.5, 2, size=len(MANY))
SHARED = GaussianMixture(4, random_state=0, max_iter=5, tol=1e9).fit(MANY)


def fitted(X: Array, n_components: int = 3, *, weights: Array | None = None, **params: Any) -> bytes:
    """Every bit of a short fit and of its labels."""
    params = {"max_iter": 4, "tol": 0, "random_state": 0, **params}
    mixture = GaussianMixture(n_components, **params).fit(X, sample_weight=weights)
    return bits((mixture, mixture.predict(X)))


def variational(X: Array) -> bytes:
    """Every bit of a posterior."""
    mixture = BayesianGaussianMixture(n_components=3, max_iter=4, tol=0, random_state=0).fit(X)
    return bits((mixture.weights_, mixture.means_, mixture.covariances_, mixture.predict_proba(X)))


JOBS: dict[str, Callable[[], bytes]] = {
    "full": lambda: fitted(MANY),
    "float32": lambda: fitted(MANY.astype(np.float32)),
    "tied": lambda: fitted(MANY, covariance_type="tied"),
    "diag": lambda: fitted(MANY, covariance_type="diag", n_threads=2),
    "spherical": lambda: fitted(FEW, covariance_type="spherical"),
    "whole fits": lambda: fitted(FEW, n_init=2),
    "a team": lambda: fitted(MANY, n_threads=3),
    "boxes": lambda: fitted(APART, 24),
    "weights": lambda: fitted(MANY, weights=WEIGHTS),
    "gaps": lambda: fitted(GAPS, missing="em"),
    "variational": lambda: variational(FEW),
    "tables": lambda: bits(fit_many(FEW.reshape(10, 30, 3), 2, max_iter=5, tol=0, random_state=0).means_),
    "labels": lambda: bits(SHARED.predict(MANY)),
    "densities": lambda: bits(SHARED.score_samples(MANY)),
    "one row": lambda: bits(SHARED.predict_proba(MANY[:1])),
}


@pytest.mark.filterwarnings("ignore")
def test_threads_at_once() -> None:
    """Every thread does all jobs, in an order of its own, and gets the bits of one thread."""
    alone = {name: job() for name, job in JOBS.items()}
    start = threading.Barrier(N_WORKERS)

    def work(seed: int) -> list[str]:
        """Begin with the others, and tell the jobs that came out otherwise."""
        order = np.random.default_rng(seed).permutation(list(JOBS))
        start.wait(limit(60))
        return [name for name in order if JOBS[name]() != alone[name]]

    with ThreadPoolExecutor(N_WORKERS) as pool:
        assert list(pool.map(work, range(N_WORKERS))) == [[]] * N_WORKERS


@pytest.mark.skipif(not FREE_THREADED, reason="this CPython has a GIL")
def test_gil_stays_off() -> None:
    """Neither the import of the kernels nor a fit turns the GIL on."""
    code = "import sys, fastgmm; fastgmm.GaussianMixture().fit([[0.0], [1.0]]); print(sys._is_gil_enabled())"
    assert run_python("-W", "error", "-c", code).stdout.strip() == "False"
    assert not sys._is_gil_enabled()  # nor all that was done here
