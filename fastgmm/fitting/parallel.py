"""Several fits on the same rows at once."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from ..model.structure import Structure
from ..sources.passes import GROUP_WORK
from ..sources.source import Source

R = TypeVar("R")

LEAST_WORK = 1 << 20  # multiply-adds of a pass below which threads wait for the interpreter most of the time
SHARED_WORK = 1 << 27  # multiply-adds of a pass from which all threads had better work on one job, then on the next


class Job(NamedTuple, Generic[R]):
    """A piece of work: how many multiply-adds a pass over its rows takes, and what is called with the sources."""

    work: int
    task: Callable[..., R]


def side_by_side(
    source: Source, structure: Structure, n_components: int, tasks: Sequence[Callable[[Source], R]]
) -> list[R]:
    """Results of tasks on the same rows, each on one thread where passes over the rows are too short to be shared."""
    if len(tasks) == 1 or not LEAST_WORK <= source.work(structure, n_components) < GROUP_WORK:
        return [task(source) for task in tasks]
    _ = source.origin  # computed once
    serial, results = source.single_threaded(), list[R]()
    source.workers.run(lambda task: task(serial), tasks, len(tasks), results.append)
    return results


def share_out(sources: Sequence[Source], jobs: Sequence[Job[R]], *, in_order: bool = False) -> list[R]:
    """Results of jobs of any size on the same rows.

    Those of long passes, and one alone, come one after the other, on all threads; then each of the rest has a thread,
    the longest first. The shortest are left to the calling thread: others would wait for the interpreter most of the
    time. Rows that do not lie in memory, or have gaps, are read by one job after the other.
    """
    in_order = in_order or not all(source.in_memory and not source.has_gaps for source in sources)
    serial, results = [source.single_threaded() for source in sources], dict[int, R]()
    order = sorted(range(len(jobs)), key=lambda i: -jobs[i].work)
    apart = [i for i in order if LEAST_WORK <= jobs[i].work < SHARED_WORK and not in_order]
    apart = apart if len(apart) > 1 else []
    for i in sorted(set(order) - set(apart)):
        results[i] = jobs[i].task(*sources)

    def work(i: int) -> tuple[int, R]:
        return i, jobs[i].task(*serial)

    sources[0].workers.run(work, apart, len(apart), lambda result: results.update([result]))
    return [results[i] for i in range(len(jobs))]
