"""A batch of tables: its candidates by compiled calls, and what is left over one by one."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from .. import kernels
from ..fitting.mstep import FLOOR, MaximumLikelihood
from ..fitting.soundness import hardly_any
from ..fitting.starts.kmeans import MOST_PASSES, draw
from ..fitting.tables import Found, Limits, Tables, few, fit_tables, numbers_of, work
from ..mixture.checks import seeded
from ..model.masked import masked
from ..model.structure import Structure
from ..sources.array import ArraySource
from .layouts import Batch
from .plan import FEW, Plan, choose
from .posteriors import posteriors
from .records import Part
from .rows import Rows, reduced
from .single import Problem, fitted

MOST_ITERATIONS = 1 << 10  # of a compiled call
MOST_WORK = 1 << 31  # multiply-adds of a call, if no fit ended before it must, so that Ctrl-C need not wait

Array = np.ndarray


class Job(NamedTuple):
    """A batch, and what is given for each of its tables."""

    batch: Batch
    weights: list[Any] | None
    starts: list[Any] | None
    seeds: list[int]

    def problem(self, i: int) -> Problem:
        """A table by itself."""
        weights, starts = (None if values is None else values[i] for values in (self.weights, self.starts))
        return Problem(self.batch.tables[i], weights, starts, self.seeds[i])


@masked
def fit_batch(plan: Plan, job: Job) -> Part:
    """Fit the candidates of each table, and keep the best."""
    batch, count = job.batch, len(job.batch.tables)
    part, left = Part(count, plan), np.ones(count, bool)
    if batch.X is not None:
        part.of_width(batch.X.shape[1])
        rows = Rows.of(batch, job.weights, drop=plan.missing == "drop")
        left = rows.sizes >= plan.least
        part.status[~left] = FEW
        limits = limits_of(plan) if job.starts is None else None
        if limits is not None:
            left &= ~fit_ordinary(plan, job.seeds, rows, limits, left, part)
    try:
        for i in np.flatnonzero(left).tolist():
            if plan.stop.is_set():
                break
            part.put_single(i, fitted(plan, job.problem(i)))
    except BaseException:  # Ctrl-C; other threads need not end their batches
        plan.stop.set()
        raise
    return part


def limits_of(plan: Plan) -> Limits | None:
    """What compiled calls heed of the arguments; None where these ask for more."""
    mixture = plan.mixture
    usual = {"init_params": "kmeans", "n_init": 1, "acceleration": None, "convergence": "likelihood", "max_time": None}
    others = mixture.prior, mixture.covariance_ratio
    if any(getattr(mixture, name) != value for name, value in usual.items()) or others != (None, None):
        return None
    if not plan.structure.compiled or not 0 < mixture.max_iter <= MOST_ITERATIONS:
        return None
    reg_covar = None if isinstance(mixture.reg_covar, str) else float(mixture.reg_covar)
    return Limits(float(mixture.tol), int(mixture.max_iter), reg_covar, mixture.degenerate)


def fit_ordinary(plan: Plan, seeds: list[int], rows: Rows, limits: Limits, wanted: Array, part: Part) -> Array:
    """Fit those tables that are ordinary for every candidate, and put the best into `part`; tell which were, (P,)."""
    structure, n_features = plan.structure, rows.X.shape[1]
    if structure.univariate and n_features > 1:
        return np.zeros(len(wanted), bool)  # each is refused on its own
    odd, candidates, values = ~wanted, list[Candidate](), np.full((len(wanted), len(plan.numbers)), np.nan)
    collapsed = np.zeros(values.shape, bool)
    spurious = collapsed.copy()
    for i, k in enumerate(plan.numbers):
        asked = rows.sizes >= k
        odd |= asked & ((rows.sizes > few(structure, n_features, k)) | (rows.positive < max(2, k)))
        problems = np.flatnonzero(asked & ~odd)
        if not len(problems):
            continue
        one = Candidate.fitted(structure, k, rows, problems, seeds, limits)
        values[problems, i], far = one.criterion(plan.criterion, rows)
        odd[problems[~one.usual | far]] = True
        collapsed[problems, i], spurious[problems, i] = ~one.sound(rows, limits), ~one.on_enough_rows(rows)
        candidates.append(one)
    chosen = choose(plan, values, collapsed | spurious)
    for one in candidates:
        i = plan.numbers.index(one.k)
        kept = ~odd[one.problems] & (chosen[one.problems] == i)
        problems = one.problems[kept]
        part.put_ordinary(problems, one.k, *one.results(kept), collapsed[problems, i], rows)
    part.scores[~odd] = values[~odd]
    return ~odd


class Candidate(NamedTuple):
    """Fits of some tables with the same number of components."""

    structure: Structure
    k: int
    problems: Array  # (G,)
    spans: Array  # (G, 2)
    found: Found
    parameters: tuple[Array, ...]  # as attributes have them, but for the factors
    dtype: np.dtype[Any]  # of the rows
    usual: Array  # (G,)

    @classmethod
    def fitted(
        cls, structure: Structure, k: int, rows: Rows, problems: Array, seeds: list[int], limits: Limits
    ) -> Self:
        """Fit them by compiled calls."""
        X, sizes, spans = rows.X, rows.sizes[problems], rows.spans[problems]
        drawn = np.stack([np.array(seeds)[problems], sizes], axis=1)
        different, which = np.unique(drawn, axis=0, return_inverse=True)
        numbers = np.array([numbers_of(draw(n, X.shape[1], k, seeded(seed))) for seed, n in different.tolist()])
        tables = Tables(X, rows.weights, spans, rows.totals[problems])
        most = MOST_WORK // (work(structure, X.shape[1], k) * (MOST_PASSES + limits.max_iter))
        found = fit_tables(kernels.CHOSEN, structure, k, tables, int(sizes.max()), numbers, which.ravel(), limits, most)
        exact = found.weights, found.means, found.covariances, found.factors
        rounded = exact if X.dtype == np.float64 else tuple(as_held(values, X.dtype) for values in exact)
        squares = np.square(rounded[3]).reshape(len(problems), -1).sum(axis=1).astype(X.dtype)  # precisions are below
        usual = found.usual & np.isfinite(squares)
        for values in rounded:
            usual &= np.isfinite(values.reshape(len(problems), -1)).all(axis=1)
        return cls(structure, k, problems, spans, found, (*rounded[:3], found.factors), X.dtype, usual)

    def criterion(self, name: str, rows: Rows) -> tuple[Array, Array]:
        """The values of a criterion (G,), and whether rows are so far off that they need more care."""
        X, counts = rows.X, np.full(len(self.problems), self.k)
        scores = np.zeros(len(X), X.dtype)
        shares = np.ones((len(X), self.k), X.dtype) if name == "icl" else None
        weights, means, _, factors = self.parameters
        mixture = weights, means, as_held(factors, X.dtype)
        found = posteriors(self.structure, X, self.spans, counts, mixture, scores=scores, responsibilities=shares)
        n_samples, totals = rows.n_samples[self.problems], rows.totals[self.problems]
        mean = self._sums(scores, rows) / totals - found.log_volumes
        if shares is not None:
            mean += self._sums(np.log(shares.max(axis=1)), rows) / totals
        n_parameters = self.structure.n_parameters(self.k, X.shape[1])
        penalty = 2.0 if name == "aic" else np.log(n_samples)
        return -2 * n_samples * mean + n_parameters * penalty, found.careful

    def _sums(self, values: Array, rows: Rows) -> Array:
        """Sums of a number for each row, times weights."""
        values = values.astype(np.float64, copy=False)
        if rows.weights is not None:
            values = np.where(rows.weights > 0, values, 0) * rows.weights.astype(np.float64)
        return reduced(np.add, values, self.spans)

    def sound(self, rows: Rows, limits: Limits) -> Array:
        """Whether no component has collapsed onto the regularization, as `MaximumLikelihood.sound` has it, (G,)."""
        count, structure = len(self.problems), self.structure
        reg_covar, own = limits.reg_covar, "auto" if limits.reg_covar is None else limits.reg_covar
        hidden = structure.constraint is not None and structure.varies
        if reg_covar == 0 and not hidden:
            return np.ones(count, bool)
        if reg_covar is None or hidden:
            sound = np.zeros(count, bool)
        elif structure.triangular:  # no eigenvalue is below one over the trace of the precision
            traces = np.square(self.found.factors).sum(axis=(-2, -1)).reshape(count, -1)
            sound = FLOOR * reg_covar * traces.max(axis=1) < 1
        else:
            sound = self.found.covariances.reshape(count, -1).min(axis=1) > FLOOR * reg_covar
        for i in np.flatnonzero(self.usual & ~sound).tolist():
            part = slice(*self.spans[i].tolist())
            source = ArraySource(rows.X[part], 1, weights=None if rows.weights is None else rows.weights[part])
            m_step = MaximumLikelihood(source, structure, own, limits.degenerate)
            sound[i] = m_step.sound(self.found.parameters(i))
        return sound

    def on_enough_rows(self, rows: Rows) -> Array:
        """Whether no component rests on hardly any rows, as `soundness.on_enough_rows` has it, (G,)."""
        few = 0 if self.k == 1 else hardly_any(self.structure, rows.X.shape[1])
        if few == 0:
            return np.ones(len(self.problems), bool)
        enough: Array = self.found.weights.min(axis=1) * rows.effective(self.problems) > few
        return enough

    def results(self, kept: Array) -> tuple[tuple[Array, ...], Array, Array, Array]:
        """Parameters of some, numbers of iterations, whether they converged, and bounds in the units of the data."""
        found, dtype = self.found, self.dtype
        bounds = (found.bounds - found.log_volumes[:, None])[kept].astype(dtype).astype(np.float64)
        parameters = tuple(values[kept] for values in self.parameters)
        return parameters, found.n_iter[kept], found.converged[kept], bounds


def as_held(values: Array, dtype: np.dtype[Any]) -> Array:
    """Numbers rounded to a type, in double precision."""
    return values.astype(dtype, copy=False).astype(np.float64, copy=False)
