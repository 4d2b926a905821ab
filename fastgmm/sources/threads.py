"""Threads over groups of rows, with results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def default_n_threads() -> int:
    """FASTGMM_NUM_THREADS, else OMP_NUM_THREADS, else the processors this process may use."""
    for name in ("FASTGMM_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value.isdigit() and int(value) > 0:
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """A number of threads, started when there is work for several and gone after `close`."""

    def __init__(self, n_threads: int | None = None) -> None:
        self._wanted = n_threads
        self._pool: ThreadPoolExecutor | None = None

    @cached_property
    def n_threads(self) -> int:
        """How many threads, looked up only when it matters."""
        return self._wanted or default_n_threads()

    def map(self, function: Callable[[T], R], items: Iterable[T], n_items: int) -> Iterator[R]:
        """Results of `function` in the order of the items."""
        if n_items == 1 or self.n_threads == 1:
            return map(function, items)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="fastgmm")
        return self._in_order(self._pool, function, items)

    def _in_order(self, pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """At most two rounds of work ahead of the reader; what has not started when it leaves is cancelled."""
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * self.n_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        """Wait for what runs, and let the threads go."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
