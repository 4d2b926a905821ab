"""The libraries with scikit-learn's interface: scikit-learn itself and fastgmm."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from ..problems import Array, Case, Start, draw
from .peer import Fitted, Job, Peer, resident, rows

MOST_STARTS = 30  # after so many that end below a likelihood it counts as out of reach


class Whole(NamedTuple):
    """A whole fit with the library's own start."""

    seconds: float
    n_iterations: int
    bounds: list[float]
    weights: Array
    means: Array
    covariances: Array


class Reached(NamedTuple):
    """How long it took to reach a likelihood, in how many iterations of the last of how many fits."""

    seconds: float
    n_iterations: int
    n_starts: int


class Estimator(Peer):
    """A library whose mixture has scikit-learn's constructor and methods."""

    def model(self, n_components: int, threads: int, **arguments: Any) -> Any:
        """An unfitted mixture."""
        raise NotImplementedError

    def limited(self, threads: int) -> AbstractContextManager[Any]:
        """Within this context the library uses so many threads."""
        raise NotImplementedError

    def fit(self, X: Array, job: Job, n_iterations: int, want_bound: bool) -> Fitted:
        """Fit from the start; tol=0 makes all iterations happen."""
        start, structure = job.start, job.structure
        model = self.model(
            len(start.weights),
            job.threads,
            covariance_type=structure,
            tol=0.0,
            reg_covar=0.0,
            max_iter=n_iterations,
            weights_init=start.weights,
            means_init=start.means,
            precisions_init=start.covariances(structure),
        )
        seconds = self.timed(partial(model.fit, X), job.threads)
        return Fitted(seconds, float(model.lower_bound_), model.weights_, model.means_, model.covariances_)

    def timed(self, action: Callable[[], Any], threads: int) -> float:
        """Seconds an action takes; the warning that tol=0 never converges is expected."""
        with self.limited(threads), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Best performing initialization did not converge")
            begin = time.perf_counter()
            action()
            return time.perf_counter() - begin

    def whole(self, path: str, n_components: int, seed: int, threads: int, **arguments: Any) -> Whole:
        """A fit with the library's defaults (full covariance, k-means start) except for the arguments given."""
        model = self.model(n_components, threads, random_state=seed, **arguments)
        seconds = self.timed(partial(model.fit, rows(path)), threads)
        bounds = [float(bound) for bound in model.lower_bounds_]
        return Whole(seconds, int(model.n_iter_), bounds, model.weights_, model.means_, model.covariances_)

    def reach(self, path: str, n_components: int, seed: int, threads: int, target: float) -> Reached:
        """Time of default fits from one seed after another, the last until its bound is at the target."""
        spent = 0.0
        for n_starts in range(1, MOST_STARTS + 1):
            fit = partial(self.whole, path, n_components, seed + 1000 * (n_starts - 1), threads)
            whole = fit()
            n_iterations = next((i for i, bound in enumerate(whole.bounds, 1) if bound >= target), 0)
            if n_iterations:
                spent += fit(tol=0.0, max_iter=n_iterations).seconds
                return Reached(spent, n_iterations, n_starts)
            spent += whole.seconds
        return Reached(math.inf, 0, MOST_STARTS)

    # ---- memory

    def peak_of_fit(self, path: str, start: Start, threads: int) -> float:
        """Bytes that a fit needs: k-means start and three iterations."""
        X = rows(path)
        before = resident("VmRSS")
        model = self.model(len(start.weights), threads, max_iter=3, tol=0.0, random_state=0)
        self.timed(partial(model.fit, X), threads)
        return resident("VmHWM") - before

    def peak_of_predict_proba(self, path: str, start: Start, threads: int) -> float:
        """Bytes that predict_proba needs beside the array it returns."""
        X = rows(path)
        model = self.model(len(start.weights), threads, max_iter=3, tol=0.0, means_init=start.means)
        self.timed(partial(model.fit, X[:1000]), threads)
        before = resident("VmRSS")
        with self.limited(threads):
            result = model.predict_proba(X)
        return resident("VmHWM") - before - float(result.nbytes)

    # ---- latency

    def latency(self, method: str, n_rows: int, case: Case, threads: int, seconds: float) -> float:
        """Seconds one call takes, the mean over calls that last about `seconds` together."""
        model, X = self.fitted(case, threads)
        call = partial(getattr(model, method), np.ascontiguousarray(X[:n_rows]))
        with self.limited(threads):
            return mean_time(call, max(1, int(seconds / mean_time(call, 3))))

    @cache  # noqa: B019 (there is one peer in a process)
    def fitted(self, case: Case, threads: int) -> tuple[Any, Array]:
        """A mixture fitted to the rows of a case, and these."""
        X, start = draw(case)
        model = self.model(case.n_components, threads, max_iter=2, tol=0.0, means_init=start.means, random_state=0)
        self.timed(partial(model.fit, X), threads)
        return model, X


def mean_time(call: Callable[[], Any], number: int) -> float:
    """Seconds one call takes, on average."""
    begin = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - begin) / number
