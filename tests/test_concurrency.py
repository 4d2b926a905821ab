"""Fits and predictions in many threads, processes and workers at once give the answers of calls in sequence."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import Array, bits, grouped_rows, limit

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.mixture.base import _remembered
from fastgmm.model.cached import cached

TRIALS = 30  # of threads that get into each other's way


@pytest.fixture(scope="module")
def X() -> Array:
    """Rows of three groups."""
    return grouped_rows(600, 3, 4, seed=4)


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads that take turns as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


METHODS: dict[str, Callable[[GaussianMixture, Array], Any]] = {
    "predict": lambda mixture, X: mixture.predict(X),
    "predict_proba": lambda mixture, X: mixture.predict_proba(X),
    "score_samples": lambda mixture, X: mixture.score_samples(X),
    "score": lambda mixture, X: mixture.score(X),
    "bic": lambda mixture, X: mixture.bic(X),
    "aic": lambda mixture, X: mixture.aic(X),
    "icl": lambda mixture, X: mixture.icl(X),
    "uncertainty": lambda mixture, X: mixture.uncertainty(X),
    "anomaly_scores": lambda mixture, X: mixture.anomaly_scores(X),
    "sample": lambda mixture, X: mixture.sample(5, random_state=0),
    "marginal": lambda mixture, X: mixture.marginal([1, 0]),
    "condition": lambda mixture, X: mixture.condition(0, 1.5),
    "regress": lambda mixture, X: mixture.regress(X[:, 1:], 0, return_std=True),
    "impute": lambda mixture, X: mixture.impute(np.where(X > 4, np.nan, X)),
    "statistics": lambda mixture, X: fastgmm.statistics(mixture, X).sums,
    "pickle": lambda mixture, X: pickle.loads(pickle.dumps(mixture)),
    "to_sklearn": lambda mixture, X: mixture.to_sklearn().means_,
}


class Interrupted(GaussianMixture):
    """A mixture that another thread refits while someone looks at its attributes."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name == "__dict__" or name in WATCHED:
            Interrupted.seen(self)
        return value

    seen: Callable[[Any], None] = staticmethod(lambda mixture: None)


WATCHED = {"covariance_type", "weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "missing"}


@pytest.mark.parametrize("name", METHODS)
def test_refit_during_prediction_is_atomic(X: Array, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever a refit in another thread takes effect, an answer is that of the mixture before or after it.

    The second mixture has another number of components and another structure.
    """
    if name == "to_sklearn":
        pytest.importorskip("sklearn")
    answer = METHODS[name]
    first = Interrupted(2, random_state=0, max_iter=5, tol=9).fit(X)
    second = Interrupted(3, covariance_type="diag", random_state=1, max_iter=5, tol=9).fit(X)
    before, after = vars(first), vars(second)
    expected = {bits(answer(first, X)), bits(answer(second, X))}
    assert len(expected) == 2
    left = 0

    def seen(mixture: Any) -> None:
        """The refit takes effect after so many looks."""
        nonlocal left
        if mixture is first:
            left -= 1
            if left == 0:
                first.__dict__ = after

    monkeypatch.setattr(Interrupted, "seen", staticmethod(seen))
    looks = 0
    while left <= 0:
        looks += 1
        first.__dict__, left = before, looks
        assert bits(answer(first, X)) in expected, f"after {looks} looks"
    assert looks > 1


@pytest.mark.parametrize("name", ["fit", "fit_predict"])
def test_fit_sets_attributes_at_once(X: Array, name: str) -> None:
    """During a refit all attributes are those of the fit before; afterwards all are new."""
    mixture = GaussianMixture(2, random_state=0, max_iter=3, tol=9).fit(X)
    seen: list[int] = []

    def look(*_: Any) -> None:
        """During the next fit the mixture is as it was."""
        seen.append(len(mixture.means_) + mixture.n_iter_)

    before = len(mixture.means_) + mixture.n_iter_
    getattr(mixture.set_params(n_components=3, callback=look), name)(X)
    assert seen and set(seen) == {before}
    assert len(mixture.means_) == 3


@pytest.mark.usefixtures("switching")
def test_predictions_during_refits(X: Array) -> None:
    """Threads that predict while another refits the same mixture get the answers of one of its fits."""
    mixture = GaussianMixture(3, max_iter=4, tol=9, n_threads=1)
    expected = set()
    for seed in range(2):
        expected.add(bits(mixture.set_params(random_state=seed).fit(X).predict_proba(X[:50])))
    assert len(expected) == 2
    done = threading.Event()

    def refit() -> None:
        """Fit again and again."""
        try:
            for i in range(TRIALS):
                mixture.set_params(random_state=i % 2).fit(X)
        finally:
            done.set()

    def predict(_: int) -> set[bytes]:
        """Predict until there are no more fits."""
        found = set()
        while not done.is_set():
            found.add(bits(mixture.predict_proba(X[:50])))
        return found

    with ThreadPoolExecutor(4) as pool:
        fits = pool.submit(refit)
        found = set().union(*pool.map(predict, range(3)))
        fits.result()
    assert found <= expected


@pytest.mark.usefixtures("switching")
def test_threads_share_a_mixture(X: Array) -> None:
    """Eight threads that ask one fitted mixture all kinds of questions get the answers of one thread."""
    mixture = GaussianMixture(3, random_state=0, max_iter=5, tol=9).fit(X)
    names = [name for name in METHODS if name not in ("pickle", "to_sklearn")]
    alone = {name: bits(METHODS[name](mixture, X)) for name in names}

    def ask(i: int) -> bool:
        """One question."""
        name = names[i % len(names)]
        return bits(METHODS[name](mixture, X)) == alone[name]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(4 * len(names))))


@pytest.mark.usefixtures("switching")
def test_threads_with_own_mixtures(X: Array) -> None:
    """Threads that fit and ask mixtures of their own, more than the cache of kernel models holds."""

    def work(seed: int) -> bytes:
        """A fit and its answers, of as many structures as there are."""
        kind = twin.STRUCTURES[seed % len(twin.STRUCTURES)]
        mixture = GaussianMixture(3, covariance_type=kind, random_state=seed, max_iter=3, tol=9).fit(X)
        return bits((mixture, mixture.predict_proba(X[:9]), mixture.predict(X[:9].astype(np.float32))))

    seeds = list(range(40))
    alone = list(map(work, seeds))
    _remembered.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, seeds)) == alone


def test_concurrent_selections(X: Array) -> None:
    """Model selection in several threads at once."""

    def work(seed: int) -> bytes:
        """The best of a small sweep."""
        selection = fastgmm.select(X, range(1, 4), ["full", "diag"], random_state=seed, tol=0.1, n_threads=2)
        return bits(selection.best_estimator_)

    alone = [work(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == alone


PROCESSES = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import numpy as np
from fastgmm import GaussianMixture

X = np.random.default_rng(0).normal(size=(40_000, 4))

def work(seed):
    mixture = GaussianMixture(4, n_threads=2, max_iter=2, tol=9, random_state=seed).fit(X)
    return mixture.predict_proba(X).tobytes(), mixture

def meet(method):
    alone = [work(seed) for seed in range(3)]
    with ThreadPoolExecutor(2) as threads:
        busy = threads.submit(work, 0)
        if method == "fork":  # which is not safe for NumPy's BLAS as long as other threads are at work
            busy.result()
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
            found = list(pool.map(work, range(3)))
        busy.result()
    for (answer, mixture), (expected, other) in zip(found, alone):
        assert answer == expected
        assert mixture.means_.tobytes() == other.means_.tobytes()
        assert mixture.predict_proba(X).tobytes() == expected
    print("as alone")

if __name__ == "__main__":
    meet(sys.argv[1])
"""


class Slow:
    """Something that takes its time to be computed."""

    def __init__(self, begun: threading.Event, told: threading.Event) -> None:
        self.begun, self.told = begun, told

    @cached
    def value(self) -> bool:
        """Whether the end was told, which is waited for."""
        self.begun.set()
        return self.told.wait(limit(60))


def test_cached_properties_do_not_block_each_other() -> None:
    """While one thread computes a property of an object, another gets that of another object."""
    begun, told, always = threading.Event(), threading.Event(), threading.Event()
    always.set()
    slow, quick = Slow(begun, told), Slow(threading.Event(), always)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: slow.value)
        assert begun.wait(limit(60))
        assert quick.value and not waiting.done()
        told.set()
        assert waiting.result()
    quick.begun.clear()
    assert quick.value and not quick.begun.is_set()  # kept
    assert isinstance(Slow.value, cached)


def run_worker(tmp_path: Path, script: str, *arguments: str) -> None:
    """Run a script in a process of its own; it must come to its end."""
    path = tmp_path / "worker.py"
    path.write_text(script)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(path), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=limit(240), check=False)
    assert done.stdout.split() == ["as", "alone"], done.stdout + done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_fork_spawn_and_forkserver(tmp_path: Path, method: str) -> None:
    """Processes that start during a fit in a thread, or after it: they fit with threads, and mixtures come back."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    if method == "fork" and sys.platform == "darwin":
        pytest.skip("fork without exec is not safe on macOS")
    run_worker(tmp_path, PROCESSES, method)


JOBLIB = """
from joblib import Parallel, delayed
import numpy as np
from fastgmm import GaussianMixture
from fastgmm.sources.threads import default_n_threads

X = np.random.default_rng(0).normal(size=(40_000, 4))

def work(seed):
    mixture = GaussianMixture(4, max_iter=2, tol=9, random_state=seed).fit(X)
    return default_n_threads(), mixture.predict_proba(X[:99]).tobytes(), mixture

if __name__ == "__main__":
    alone = [work(seed)[1] for seed in range(4)]
    for backend in ("loky", "threading"):
        found = Parallel(n_jobs=2, backend=backend)(delayed(work)(seed) for seed in range(4))
        assert [answer for _, answer, _ in found] == alone
        assert [mixture.predict_proba(X[:99]).tobytes() for *_, mixture in found] == alone
        if backend == "loky":
            assert max(n_threads for n_threads, *_ in found) <= max(1, default_n_threads() // 2)
    print("as alone")
"""

DASK = """
from distributed import Client, LocalCluster
import numpy as np
from fastgmm import GaussianMixture
from fastgmm.sources.threads import default_n_threads

X = np.random.default_rng(0).normal(size=(40_000, 4))

def work(seed):
    mixture = GaussianMixture(4, max_iter=2, tol=9, random_state=seed).fit(X)
    return default_n_threads(), mixture.predict_proba(X[:99]).tobytes()

if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster, Client(cluster) as client:
        found = client.gather(client.map(work, range(4)))
    assert [n_threads for n_threads, _ in found] == [1] * 4
    assert [answer for _, answer in found] == [work(seed)[1] for seed in range(4)]
    print("as alone")
"""


@pytest.mark.parametrize(("module", "script"), [("joblib", JOBLIB), ("distributed", DASK)], ids=["joblib", "Dask"])
def test_joblib_and_dask_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, script: str) -> None:
    """Workers of joblib's processes and of Dask share the processors, and get what one process gets."""
    pytest.importorskip(module)
    for name in ("FASTGMM_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    run_worker(tmp_path, script)
