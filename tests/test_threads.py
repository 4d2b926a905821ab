"""Results have the same bits for any number of threads; concurrent use, fork and Ctrl-C are safe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import DTYPES, Array, bits, limit, parameters_of, run_python, source_bits

from fastgmm import GaussianMixture
from fastgmm.model.parameters import Parameters
from fastgmm.sources.array import ArraySource
from fastgmm.sources.chunks import ahead
from fastgmm.sources.threads import Workers

THREADS = (1, 2, 3, 7)


def rows_and_parameters(
    structure: str, dtype: str, n_samples: int, n_features: int, n_components: int
) -> tuple[Array, Parameters]:
    """Rows and the parameters they were drawn from."""
    rng = np.random.default_rng(n_samples)
    model = twin.random_model(rng, structure, n_components, n_features)
    return twin.sample(rng, model, n_samples, dtype), parameters_of(model)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_pass_same_bits_for_any_number_of_threads(structure: str, dtype: str) -> None:
    """Statistics and per-row answers are the same bytes for 1, 2, 3 and 7 threads, small and large."""
    for shape in ((50, 3, 2), (3001, 6, 5), (30011, 5, 4), (20000, 16, 3)):
        X, parameters = rows_and_parameters(structure, dtype, *shape)
        first = source_bits(ArraySource(X, 1), structure, parameters)
        for n_threads in THREADS[1:]:
            found = source_bits(ArraySource(X, n_threads), structure, parameters)
            assert found == first, f"{shape} with {n_threads} threads"


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data", "hierarchical", "best"])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_fit_same_bits_for_any_number_of_threads(structure: str, method: str) -> None:
    """A whole fit, from initialization on, has the same bits for any thread count."""
    X, _ = rows_and_parameters(structure, "float64", 20011, 4, 5)
    results = set()
    for n_threads in THREADS:
        model = GaussianMixture(
            5,
            covariance_type=structure,
            init_params=method,
            random_state=0,
            max_iter=6,
            tol=1e-12,
            n_threads=n_threads,
        )
        with pytest.warns(UserWarning, match="did not converge"):
            model.fit(X)
        results.add(bits(model))
    assert len(results) == 1


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_concurrent_sources(structure: str) -> None:
    """Eight Python threads working on the same and on different rows at once get what one alone gets."""
    problems = [rows_and_parameters(structure, dtype, n, 5, 4) for dtype in DTYPES for n in (5003, 20011)]
    alone = [source_bits(ArraySource(X, 1), structure, parameters) for X, parameters in problems]

    def work(i: int) -> bool:
        """One problem, answered again."""
        X, parameters = problems[i % len(problems)]
        return source_bits(ArraySource(X, 1 + i % 3), structure, parameters) == alone[i % len(problems)]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(32)))


def test_concurrent_fits() -> None:
    """Whole fits in concurrent Python threads do not disturb each other."""
    X, _ = rows_and_parameters("full", "float64", 5003, 4, 4)

    def fit(seed: int) -> bytes:
        """The bits of one fit."""
        model = GaussianMixture(4, random_state=seed, max_iter=5, tol=1e3, n_threads=2)
        return bits(model.fit(X))

    alone = [fit(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fit, [0, 1, 2, 3] * 3)) == alone * 3


def start_script(script: str, tmp_path: Path, **options: Any) -> subprocess.Popen[str]:
    """Start a script in a fresh interpreter, away from the source tree."""
    path = tmp_path / "script.py"
    path.write_text(script)
    return subprocess.Popen(
        [sys.executable, "-u", str(path)],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from fastgmm import GaussianMixture

X = np.random.default_rng(0).normal(size=(40_000, 4))
model = GaussianMixture(4, n_threads=2, max_iter=3, random_state=0).fit(X)
child = os.fork()
if child == 0:
    again = GaussianMixture(4, n_threads=2, max_iter=3, random_state=0).fit(X)
    same = np.array_equal(again.means_, model.means_) and np.array_equal(again.predict(X), model.predict(X))
    os._exit(0 if same else 3)
_, status = os.waitpid(child, 0)
again = GaussianMixture(4, n_threads=2, max_iter=3, random_state=0).fit(X)
print("child", os.waitstatus_to_exitcode(status), "parent", np.array_equal(again.means_, model.means_))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.skipif(sys.platform == "darwin", reason="fork without exec is not safe on macOS")
def test_fork_after_use(tmp_path: Path) -> None:
    """A forked child fits with threads after its parent did; neither hangs and both get the same bits."""
    process = start_script(FORK, tmp_path)
    try:
        out, err = process.communicate(timeout=limit(120))
    finally:
        process.kill()
    assert out.split() == ["child", "0", "parent", "True"], out + err


INTERRUPT = """
import os, signal, threading, time
import numpy as np
from fastgmm import GaussianMixture

rng = np.random.default_rng(0)
X = rng.normal(size=(300_000, 24))
options = dict(n_threads={n_threads}, tol=0.0, max_iter=10_000, random_state=0)
if {explicit}:
    K = 150
    options |= dict(weights_init=np.full(K, 1 / K), means_init=X[:K], precisions_init=np.stack([np.eye(24)] * K))
else:
    K = 400
model = GaussianMixture(K, **options)

def interrupt():
    time.sleep(1.0)
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

sent = []
threading.Thread(target=interrupt).start()
try:
    model.fit(X)
    kept = "all"
except KeyboardInterrupt:
    kept = getattr(model, "stop_reason_", "nothing")
print("stopped", time.process_time() - sent[0], kept)
GaussianMixture(2, max_iter=2, tol=1e9).fit(X[:1000])
print("alive")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process on Windows")
@pytest.mark.parametrize("explicit", [True, False], ids=["EM", "initialization"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_interrupt(tmp_path: Path, n_threads: int, explicit: bool) -> None:
    """Ctrl-C in a fit whose one pass takes seconds ends it long before the pass would; all lives on.

    What counts is the processor's time: other programs may delay the end for as long as they like. Before the first
    iteration is done it raises KeyboardInterrupt, afterwards it keeps what there is.
    """
    process = start_script(INTERRUPT.format(n_threads=n_threads, explicit=explicit), tmp_path)
    try:
        out, err = process.communicate(timeout=limit(120))
    finally:
        process.kill()
    words = out.split()
    assert words[:1] == ["stopped"] and words[3:] == ["alive"], out + err
    assert words[2] == "nothing" or (explicit and words[2] == "interrupt")
    assert float(words[1]) < limit(2.0)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of threads are POSIX")
def test_sigint_delivered_to_another_thread() -> None:
    """Ctrl-C that the system hands to another thread still interrupts the caller."""
    both, stopped, in_time = threading.Barrier(2), threading.Event(), []

    def work(_: int) -> None:
        """One item for each thread: the caller's is done soon, while the other takes the signal and goes on."""
        both.wait(limit(60))
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.1)
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            in_time.append(stopped.wait(limit(60)))

    workers = Workers(2)
    with pytest.raises(KeyboardInterrupt):
        workers.run(work, [0, 1], 2, lambda _: None)
    stopped.set()
    workers.close()
    assert in_time == [True]


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_are_collected_in_order(n_threads: int) -> None:
    """Items are taken and results collected in order, however long each takes; every item once."""
    taken, collected = [], []

    def items() -> Any:
        """Numbers, noted when they are taken."""
        for i in range(40):
            taken.append(i)
            yield i

    def work(i: int) -> int:
        """Early items last longer."""
        time.sleep(0.002 if i % 3 == 0 else 0)
        return i * i

    workers = Workers(n_threads)
    workers.run(work, items(), 40, collected.append)
    workers.close()
    assert taken == list(range(40))
    assert collected == [i * i for i in range(40)]


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_worker_error_reaches_caller(n_threads: int) -> None:
    """The first error ends the work of all threads and is raised; the workers can be used again."""
    done = []

    def work(i: int) -> int:
        """Fails once."""
        if i == 7:
            raise ZeroDivisionError("seven")
        time.sleep(0.001)
        done.append(i)
        return i

    workers = Workers(n_threads)
    with pytest.raises(ZeroDivisionError, match="seven"):
        workers.run(work, range(1000), 1000, lambda _: None)
    assert len(done) < 20
    again: list[int] = []
    workers.run(lambda i: i, range(9), 9, again.append)
    workers.close()
    assert again == list(range(9))


def test_interruption_does_not_wait_for_threads() -> None:
    """Ctrl-C between two items of this thread is raised although another thread is still at work."""
    begun, told, ended = threading.Event(), threading.Event(), threading.Event()

    def items() -> Any:
        """Two items, and Ctrl-C when this thread asks for a third."""
        yield from (0, 1)
        raise KeyboardInterrupt

    def work(i: int) -> None:
        """What the other thread does lasts until it is told to end; this one waits until that has begun."""
        if threading.current_thread() is threading.main_thread():
            assert begun.wait(limit(60))
        else:
            begun.set()
            told.wait(5)
            ended.set()

    workers = Workers(2)
    with pytest.raises(KeyboardInterrupt):
        workers.run(work, items(), 3, lambda _: None)
    assert begun.is_set() and not ended.is_set()
    told.set()
    workers.close()


# Where no thread can be had -------------------------------------------------------------------------------------------

ALONE = """
import atexit, os, sys, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from fastgmm import GaussianMixture, select
from fastgmm.sources import from_chunks

X = np.random.default_rng(0).normal(size=(60_000, 4))
options = dict(n_threads=4, max_iter=3, random_state=0)
if sys.argv[1] in ("warm thread", "warm atexit"):  # threads have been had before
    GaussianMixture(4, **options).fit(X)

def work(told="done"):
    mixture = GaussianMixture(4, n_init=2, **options).fit(from_chunks([X[:30_000], X[30_000:]]))
    best = select(X[:3000], [1, 2], "full", random_state=0, n_threads=4).best_estimator_
    values = mixture.means_.tobytes() + mixture.predict(X).tobytes() + best.means_.tobytes()
    import hashlib
    print(told, hashlib.sha256(values).hexdigest(), flush=True)

def late():
    threading.main_thread().join()
    time.sleep(0.1)
    work()

if sys.argv[1] == "here":
    work()
elif sys.argv[1].endswith("thread"):
    threading.Thread(target=late).start()
elif sys.argv[1].endswith("atexit"):
    atexit.register(work)
elif sys.argv[1] == "limit":
    import resource
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    threading.stack_size(1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), used + (1 << 29)))
    try:
        threading.Thread(target=print).start()
    except RuntimeError:
        work()
elif sys.argv[1] == "patched":
    def refuse(*_, **__):
        raise RuntimeError("can't start new thread")
    threading.Thread.start = refuse
    work()
"""


def test_without_other_threads(tmp_path: Path) -> None:
    """In a thread that outlives the main one, at exit, and where the system has no thread left: the same bits."""
    (tmp_path / "script.py").write_text(ALONE)
    places = ["here", "thread", "warm thread", "atexit", "warm atexit", "patched"]
    places += ["limit"] * sys.platform.startswith("linux")
    told = {}
    for place in places:
        done = run_python("script.py", place, cwd=tmp_path)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        told[place] = done.stdout
    assert set(told.values()) == {told["here"]} and told["here"].startswith("done"), told


def test_threads_that_fail_halfway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the second thread cannot be had two do the work; every item is done once, and errors still reach us."""
    start, started = threading.Thread.start, list[int]()

    def scarce(self: threading.Thread) -> None:
        if len(started) % 2:
            started.append(0)
            raise RuntimeError("can't start new thread")
        started.append(1)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    workers = Workers(4)
    for _ in range(20):
        found: list[int] = []
        workers.run(lambda i: i, range(100), 100, found.append)
        assert found == list(range(100))
    with pytest.raises(ZeroDivisionError):
        workers.run(lambda i: 1 // (i - 50), range(100), 100, found.append)
    workers.close()
    assert list(ahead(iter(range(50)))) == list(range(50))
