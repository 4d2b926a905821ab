"""Iterations of small problems in compiled code, as far as they are ordinary.

They are those of the loop in em.py, of the same steps and with the same bits. What takes more than these (a component
that empties or collapses, rows without density) is left to that loop, which goes on where compiled code has come to.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..model.parameters import Parameters
from ..model.steps import LARGEST_RATIO
from ..model.structure import Structure
from ..sources.passes import allocate
from ..sources.source import Source
from .mstep import MStep
from .settings import Settings

if TYPE_CHECKING:
    from .em import Fit

MOST_WORK = 1 << 29  # multiply-adds of each thread in a call, after which Ctrl-C is looked for: a twentieth of a second
GOES_ON, CONVERGED = 0, 1  # how a call may end; see kernels/whole_fits.pxd


class Reached(NamedTuple):
    """What a few iterations have come to: their bounds in the units of the source, with the one before them."""

    parameters: Parameters
    before: float
    bounds: list[float]
    offset: float  # by how much these exceed bounds in the units of the data
    converged: bool
    log_likelihood: float  # the mean one of the last iteration, in the units of the data


def work_of_iteration(source: Source, structure: Structure, n_components: int) -> int:
    """Multiply-adds of a pass and an M-step."""
    algebra = (1 if structure.shared else n_components) * 4 * source.n_features**3 if structure.triangular else 0
    return source.work(structure, n_components) + algebra


def iterations(source: Source, m_step: MStep, settings: Settings, fit: Fit, previous_bound: float) -> Iterator[Reached]:
    """What a fit comes to, a few iterations at a time, so that Ctrl-C need not wait; as far as they are ordinary."""
    parameters, most = fit.parameters, settings.max_iter - len(fit.lower_bounds)
    structure, (n_components, n_features) = m_step.structure, parameters.means.shape
    ordinary = most > 0 and settings.plain and structure.compiled
    rules = m_step.rules(float(np.finfo(source.dtype).eps), n_components) if ordinary else None
    rows = None if rules is None else source.at_once(structure, n_components)
    if rules is None or rows is None:
        return
    (X, group_rows, choosing), framed = rows, structure.common_frame
    kind, triangular, shared, *constraint, equal = structure.how
    sizes = source.kernels.iterations_size(kind, triangular, *constraint, n_features, n_components)
    given = (
        *(X, source.weights, kind, triangular, shared, source.units.sizes),
        source.origin if framed else None,
        np.ascontiguousarray(source.scatter) if framed and structure.triangular else None,
        *(source.total, LARGEST_RATIO[source.dtype], *rules[:8], *rules[9:], *constraint, equal, settings.tol),
    )
    scratch, model = allocate(tuple(zip(sizes, (np.dtype(np.float64), source.dtype), strict=True)))
    n_groups = -(-len(X) // group_rows)
    parts = np.empty((n_groups, source.kernels.n_sums(kind, n_features, n_components))) if n_groups > 1 else None
    n_threads = min(n_groups, source.workers.n_threads) if n_groups > 1 else 1
    arrays = source.arrays(structure.kind, n_components, accumulating=True)
    (workspace,), *others = [allocate(arrays) for _ in range(n_threads)]
    offset = rules.offset
    bound = fit.bound if fit.lower_bounds else previous_bound + offset
    at_a_time = max(1, n_threads * MOST_WORK // work_of_iteration(source, structure, n_components))
    while most > 0:
        own = parameters.weights, parameters.means, parameters.covariances, parameters.precisions_cholesky
        weights, means, covariances, factors = (np.array(values, order="C") for values in own)
        bounds = np.empty(min(most, at_a_time))
        axes = None if parameters.axes is None else parameters.axes.copy()
        if axes is None and structure.keeps_axes:
            axes = np.full((n_features, n_features), np.nan)  # a cold start
        changed = weights, means, covariances.ravel(), factors.ravel(), axes
        iterate = partial(source.kernels.iterate_em, *given, bound, *changed, workspace, model, scratch, choosing)
        if n_threads == 1:
            n_iter, ended, log_likelihood = iterate(group_rows, parts, None, bounds)
        else:
            team = source.kernels.Team(n_threads)
            assisting = [partial(team.assist, *other) for other in others]
            leading = partial(iterate, group_rows, parts, team, bounds)
            n_iter, ended, log_likelihood = source.workers.lead(leading, assisting, team.dismiss)
        source.release(X)
        if n_iter == 0:
            return
        parameters, before = Parameters(weights, means, covariances, factors, axes=axes), bound
        bound, most = float(bounds[n_iter - 1]), most - n_iter
        log_likelihood -= source.log_volume
        yield Reached(parameters, before, bounds[:n_iter].tolist(), offset, ended == CONVERGED, log_likelihood)
        if ended != GOES_ON:
            return
