"""Schedulers of Dask's tasks: the caller's cluster, or Dask's own in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ..threads import default_n_threads

SHARED_BYTES = 1 << 20  # above which an argument travels once to the cluster, not once with each pass's tasks


class Scheduler(Protocol):
    """Functions applied where values lie; handles stand for values that stay there."""

    @property
    def n_threads(self) -> int:
        """How many tasks run at a time."""

    def hold(self, tasks: Sequence[Any]) -> list[Any]:
        """Begin with Dask's delayed tasks; handles of their results, which are kept."""

    def map(self, function: Callable[..., Any], *columns: Iterable[Any]) -> list[Any]:
        """Apply a function to handles, lists of handles, or plain values; handles of the results."""

    def share(self, value: Any, n_bytes: int) -> Any:
        """A value that many tasks take, or a handle of it, to be passed to `map`."""

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """The values."""


class LocalScheduler:
    """Dask's default scheduler, or the one that Dask's configuration names."""

    @property
    def n_threads(self) -> int:
        return default_n_threads()

    def hold(self, tasks: Sequence[Any]) -> list[Any]:
        from dask.base import persist

        return list(persist(*tasks))

    def map(self, function: Callable[..., Any], *columns: Iterable[Any]) -> list[Any]:
        from dask.delayed import delayed

        return self.hold([delayed(function)(*arguments) for arguments in zip(*columns, strict=True)])

    def share(self, value: Any, n_bytes: int) -> Any:
        from dask.delayed import delayed

        return delayed(value, traverse=False)

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        from dask.base import compute

        return list(compute(*handles))


class ClusterScheduler:
    """A cluster of `distributed`. What a lost worker held is computed again: nothing exists in one place alone."""

    def __init__(self, client: Any) -> None:
        self.client = client

    @property
    def n_threads(self) -> int:
        return sum(self.client.nthreads().values())

    def hold(self, tasks: Sequence[Any]) -> list[Any]:
        return self.client.compute(list(tasks))

    def map(self, function: Callable[..., Any], *columns: Iterable[Any]) -> list[Any]:
        import dask

        # Weights and responsibilities from outside have to travel, so that a warning of their size is of no use.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            return self.client.map(function, *map(list, columns), pure=False)

    def share(self, value: Any, n_bytes: int) -> Any:
        return value if n_bytes <= SHARED_BYTES else self.map(same, [value])[0]

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        return self.client.gather(list(handles))


def same(value: Any) -> Any:
    """The value itself; unlike scattered data the cluster can make it again."""
    return value


def scheduler() -> Scheduler:
    """The scheduler that Dask would take: the caller's `distributed.Client`, if there is one, or its default."""
    from dask.base import get_scheduler

    client = getattr(get_scheduler(), "__self__", None)
    return ClusterScheduler(client) if hasattr(client, "gather") else LocalScheduler()
