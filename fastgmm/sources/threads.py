"""Threads over groups of rows, with results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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


def ordered_map(
    pool: ThreadPoolExecutor, n_threads: int, function: Callable[[T], R], items: Iterable[T]
) -> Iterator[R]:
    """Results of `function` in the order of the items, at most two rounds of work ahead of the reader.

    When the reader stops early (an exception, Ctrl-C), what has not started is cancelled.
    """
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * n_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
