"""What the mixtures of many problems say of the rows of tables like theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..gaussian_mixture import GaussianMixture
from ..model.masked import masked
from ..sources.rows import all_finite
from ..sources.threads import Workers
from .layouts import Batch, Layout
from .plan import Plan
from .posteriors import posteriors
from .records import Mixtures

METHODS = {"labels": "predict", "responsibilities": "predict_proba", "scores": "score_samples"}

Array = np.ndarray
Single = Callable[[int], GaussianMixture]  # the mixture of a problem


class Job(NamedTuple):
    """Some tables, and the problems whose mixtures are asked."""

    batch: Batch
    problems: Array
    out: Array | None  # room for the answers


def answers(plan: Plan, mixtures: Mixtures, single: Single, layout: Layout, problems: Array, what: str) -> Any:
    """The answers for all rows, in the form in which these are given; NaN, or -1, where a problem has no mixture."""
    workers, found, most = Workers(plan.n_threads), list[tuple[Batch, Array]](), mixtures.weights.shape[1]
    whole = None if layout.n_rows is None else room(what, layout.n_rows, most, layout.X.dtype)
    asked = n_rows = 0

    def jobs() -> Iterator[Job]:
        nonlocal asked, n_rows
        for batch in layout.batches(workers.n_threads):
            own = problems[asked : asked + len(batch.tables)]
            if len(own) < len(batch.tables):
                raise ValueError(f"There are more tables than the {len(problems)} problems that were fitted.")
            rows = slice(n_rows, n_rows + int(batch.starts[-1]))
            asked, n_rows = asked + len(own), rows.stop
            yield Job(batch, own, None if whole is None else whole[rows])

    try:
        work, n_jobs = partial(answer, plan, mixtures, single, what), 1 if layout.n_tables == 1 else workers.n_threads
        workers.run(work, jobs(), n_jobs, found.append)
    finally:
        workers.close()
    if asked != len(problems):
        raise ValueError(f"There are {asked} tables for {len(problems)} problems.")
    return layout.gathered(found, whole)


def room(what: str, n_samples: int, n_components: int, dtype: np.dtype[Any]) -> Array:
    """Room for answers."""
    size = (n_samples, n_components) if what == "responsibilities" else n_samples
    return np.empty(size, np.int64 if what == "labels" else dtype)


@masked
def answer(plan: Plan, mixtures: Mixtures, single: Single, what: str, job: Job) -> tuple[Batch, Array]:
    """The answers for a batch: by a compiled call, and one by one where that is not enough."""
    batch, problems, out = job
    X, k, most = batch.X, mixtures.n_components[problems], mixtures.weights.shape[1]
    if X is None:
        (table,) = batch.tables
        X = np.empty((len(table) if hasattr(table, "__len__") and not isinstance(table, (str, bytes)) else 0, 0))
        batch = batch._replace(starts=np.array([0, len(X)]))
    if out is None:
        out = room(what, len(X), most, X.dtype)
    if k.min() < most:
        out[...] = -1 if what == "labels" else np.nan
    careful: Array = k > 0
    unknown: Array = np.zeros(len(X), bool)
    if batch.X is not None and X.shape[1] == mixtures.means.shape[2]:
        odd: Array = np.zeros(len(X), bool)
        if not all_finite(X):
            odd = np.logical_not(np.isfinite(X).all(axis=1))
            unknown = np.logical_and(np.isnan(X).any(axis=1), plan.missing == "drop")
            X = np.where(odd[:, None], X.dtype.type(0), X)
        factors, lossy = mixtures.factors[problems], mixtures.single[problems]
        factors[lossy] = factors[lossy].astype(np.float32)
        parameters = mixtures.weights[problems], mixtures.means[problems], factors
        careful, volumes = posteriors(plan.structure, X, batch.spans, k, parameters, **{what: out})
        if what == "scores":
            out -= np.repeat(volumes.astype(X.dtype), np.diff(batch.starts))
        owners = np.searchsorted(batch.starts, np.flatnonzero(odd & ~unknown), side="right") - 1
        careful[owners] |= k[owners] > 0
    for i in np.flatnonzero(careful).tolist():
        rows = slice(batch.starts[i], batch.starts[i + 1])
        if rows.stop > rows.start or batch.X is None:
            place = out[rows, : k[i]] if what == "responsibilities" else out[rows]
            table = batch.tables[i] if batch.X is None else batch.X[rows]
            place[...] = by_itself(single(int(problems[i])), what, table, int(problems[i]))
    out[unknown] = -1 if what == "labels" else np.nan
    return batch, out


def by_itself(mixture: GaussianMixture, what: str, table: Any, problem: int) -> Array:
    """The answers of a single mixture, or its error with the number of the problem."""
    try:
        found: Array = getattr(mixture, METHODS[what])(table)
    except (ValueError, TypeError) as error:
        raise type(error)(f"Problem {problem}: {error}") from error
    return found
