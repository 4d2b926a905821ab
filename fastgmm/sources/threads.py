"""Threads over groups of rows, with results in order."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..model.cached import cached
from ..model.masked import masked

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")
R = TypeVar("R")

ALERT_SECONDS = 0.1  # after which a waiting thread looks up


def default_n_threads() -> int:
    """FASTGMM_NUM_THREADS, else OMP_NUM_THREADS, else the processors this process may use."""
    for name in ("FASTGMM_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()  # OpenMP's is a list, by levels of nesting
        if value.isdecimal() and len(value) < 7 and int(value) > 0:
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def await_all(futures: Collection[Future[Any]]) -> None:
    """Wait until all are done, or for Ctrl-C: the system may hand a signal to a thread that does not wake this one."""
    from concurrent.futures import wait

    while wait(futures, timeout=ALERT_SECONDS).not_done:
        pass


class OutOfTime(Exception):
    """Raised between two items when workers are out of time."""


def in_time(items: Iterable[T], deadline: float) -> Iterator[T]:
    """The items, as long as `time.perf_counter` is before the deadline."""
    for item in items:
        if perf_counter() >= deadline:
            raise OutOfTime
        yield item


class Helpers:
    """Threads that help, as far as they can be had: the system may have none left, or the interpreter be ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, most: int, function: Callable[..., R], *arguments: Any) -> Future[R] | None:
        """Have one of at most so many threads call a function; None where none can be had."""
        try:
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor  # half of the time to import fastgmm

                self._pool = ThreadPoolExecutor(most, thread_name_prefix=self._name)
            return self._pool.submit(function, *arguments)
        except RuntimeError:
            self._let_go(wait=False)
            return None

    def close(self) -> None:
        """Wait for what runs, and let the threads go."""
        self._let_go(wait=True)

    def _let_go(self, *, wait: bool) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=wait, cancel_futures=True)


class InOrder(Generic[T, R]):
    """Items that several threads work off; results are collected one at a time, in the order of the items."""

    def __init__(
        self,
        prepare: Callable[[], Callable[[T], R]],
        items: Iterable[T],
        collect: Callable[[R], object],
        done: Callable[[T], object],
    ) -> None:
        self._prepare, self._collect, self._done = prepare, collect, done
        self._items = enumerate(items)
        self._stopped = False
        self._taking, self._handing_in = Lock(), Lock()
        self._early: dict[int, R] = {}  # results that wait for one before them
        self._next = 0

    def work(self) -> None:
        """Take items until none is left; an error here stops the other threads too."""
        try:
            function: Callable[[T], R] | None = None
            while not self._stopped:
                with self._taking:
                    taken = next(self._items, None)
                if taken is None:
                    return
                number, item = taken
                function = function or self._prepare()
                result = function(item)
                self._done(item)
                self._hand_in(number, result)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Let no thread take another item."""
        self._stopped = True

    def _hand_in(self, number: int, result: R) -> None:
        """Collect what is complete up to here."""
        with self._handing_in:
            self._early[number] = result
            while self._next in self._early:
                self._collect(self._early.pop(self._next))
                self._next += 1


class Workers:
    """A number of threads, the caller's among them; the others start when there is work and are gone after `close`.

    Where the others cannot be had the caller's does it all. After a deadline, a reading of `time.perf_counter`, no
    further item is taken, and OutOfTime is raised.
    """

    def __init__(
        self, n_threads: int | None = None, helpers: Helpers | None = None, deadline: float = math.inf
    ) -> None:
        self._wanted = n_threads
        self._helpers = helpers or Helpers("fastgmm")
        self._deadline = deadline

    def until(self, deadline: float) -> Workers:
        """The same threads with a deadline."""
        return Workers(self._wanted, self._helpers, deadline)

    @cached
    def n_threads(self) -> int:
        """How many threads, looked up only when it matters."""
        return self._wanted or default_n_threads()

    def run(self, function: Callable[[T], R], items: Iterable[T], n_items: int, collect: Callable[[R], object]) -> None:
        """Call `function` for each item, and `collect` with its results in the order of the items."""
        self.share(lambda: function, items, n_items, collect, lambda _: None)

    def share(
        self,
        prepare: Callable[[], Callable[[T], R]],
        items: Iterable[T],
        n_items: int,
        collect: Callable[[R], object],
        done: Callable[[T], object],
    ) -> None:
        """Like `run`, with a function that is prepared once in each thread, and `done` called after each item."""
        if self._deadline < math.inf:
            items = in_time(items, self._deadline)
        if n_items == 1 or self.n_threads == 1:
            function = prepare()
            for item in items:
                result = function(item)
                done(item)
                collect(result)
            return
        queue = InOrder(prepare, items, collect, done)
        others: list[Future[None]] = []
        try:
            while len(others) < min(self.n_threads, n_items) - 1:
                other = self._helpers.submit(self.n_threads - 1, masked(queue.work))
                if other is None:
                    break
                others.append(other)
            queue.work()
        except BaseException:  # Ctrl-C must not wait for what others are at; `close` does
            queue.stop()
            for other in others:
                other.cancel()
            raise
        others = [other for other in others if not other.cancel()]
        await_all(others)
        for other in others:
            other.result()

    def lead(self, work: Callable[[], R], others: Iterable[Callable[[], object]], dismiss: Callable[[], object]) -> R:
        """Do some work while the other threads assist, each by a call that returns once they are dismissed."""
        assisting: list[Future[object]] = []
        try:
            for other in others:
                assistant = self._helpers.submit(self.n_threads - 1, masked(other))
                if assistant is None:
                    break
                assisting.append(assistant)
            result = work()
        finally:
            dismiss()
            assisting = [assistant for assistant in assisting if not assistant.cancel()]
            await_all(assisting)
        for assistant in assisting:
            assistant.result()
        return result

    def close(self) -> None:
        """Wait for what runs, and let the threads go."""
        self._helpers.close()
