"""What the benchmark asks of a library."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..problems import Array, Start


class Unavailable(Exception):
    """The library is not here; the message says what is missing."""


class Fitted(NamedTuple):
    """A fit from a given start: how long it took, the mean log-likelihood before the last M-step, what it found."""

    seconds: float
    bound: float
    weights: Array
    means: Array
    covariances: Array


class Job(NamedTuple):
    """A fit to be done: the file with the rows, the start, and how."""

    path: str
    start: Start
    structure: str
    threads: int


@lru_cache(maxsize=1)
def rows(path: str) -> Array:
    """The array in a .npy file, kept until another is asked for."""
    array: Array = np.load(path)
    return array


class Peer(ABC):
    """One library, in one process."""

    @abstractmethod
    def __init__(self, folder: str) -> None:
        """Import (or compile into the folder) the library, or raise `Unavailable`."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Version, and what else decides the speed."""

    @abstractmethod
    def fit(self, X: Array, job: Job, n_iterations: int, want_bound: bool) -> Fitted:
        """Fit from the start without regularization; stop after `n_iterations`. The bound may be NaN if not wanted."""

    def check(self, job: Job, iterations: tuple[int, int]) -> list[Fitted]:
        """A fit of each length; these are also the warm-up."""
        return [self.fit(rows(job.path), job, n, True) for n in iterations]

    def time(self, job: Job, iterations: tuple[int, int], number: int) -> list[tuple[float, float]]:
        """Seconds that a short and a long fit take, `number` times one after the other."""
        X = rows(job.path)
        gc.collect()
        return [
            (self.fit(X, job, iterations[0], False).seconds, self.fit(X, job, iterations[1], False).seconds)
            for _ in range(number)
        ]

    def forget(self) -> None:
        """Drop the rows read so far."""
        rows.cache_clear()

    def peak_of_fit(self, path: str, start: Start, threads: int) -> float:
        """Bytes that three iterations need beyond what the process held before, the array included."""
        X = rows(path)
        before = resident("VmRSS")
        self.fit(X, Job(path, start, "full", threads), 3, False)
        return resident("VmHWM") - before


def resident(field: str) -> float:
    """Bytes of this process in memory, now (VmRSS) or at most so far (VmHWM), from Linux's /proc."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return 1024 * float(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")
