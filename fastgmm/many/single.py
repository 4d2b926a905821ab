"""One of many problems by itself: what is too large, or too unusual, for compiled calls."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..fitting.soundness import on_enough_rows
from ..gaussian_mixture import GaussianMixture
from ..mixture.elsewhere import attributes_of, rows_to_fit
from ..sources.intake import check_sample_weight
from ..sources.numbers import to_floats
from ..text import shortened
from .plan import FEW, INFINITE, MISSING, Plan, choose


class Problem(NamedTuple):
    """A table, and what is given for it."""

    X: Any
    weights: Any
    start: Any
    seed: int


class Outcome(NamedTuple):
    """What became of a problem: its status without a mixture, or the attributes of its mixture."""

    failed: str | None
    n_features: int | None
    state: dict[str, Any] | None = None
    values: NDArray[np.float64] | None = None  # of the criterion, for each candidate
    constant: bool = False  # whether all rows are equal
    collapsed: bool = False  # whether a component has collapsed


def fitted(plan: Plan, problem: Problem) -> Outcome:
    """Fit the candidates of a problem, and return the best; what goes wrong is an outcome too."""
    X, weights, start = problem.X, problem.weights, problem.start
    try:
        rows = to_floats(X, "X", allow_missing=True)
        rows = rows[:, None] if rows.ndim == 1 else rows
        n_features = rows.shape[1] if rows.ndim == 2 and rows.size else None
        if len(rows) < plan.least or rows.size == 0:
            return Outcome(FEW, n_features)
        if plan.missing == "drop":
            kept = ~np.isnan(rows).any(axis=1)
            if weights is not None:
                weights = check_sample_weight(weights, len(rows))[kept]
            if start is not None and np.shape(start)[:1] == rows.shape[:1]:
                start = np.asarray(start)[kept]
            rows = rows[kept]
            if len(rows) < plan.least:
                return Outcome(FEW, n_features)
    except Exception as error:  # of objects of all kinds: no problem may lose the others
        return Outcome(in_words(error), None)
    try:
        return _best(plan, Problem(rows, weights, start, problem.seed))
    except Exception as error:  # of a callable start, too
        known = INFINITE if np.isinf(rows).any() else MISSING if np.isnan(rows).any() else None
        return Outcome(known or in_words(error), n_features)


def in_words(error: Exception) -> str:
    """What an error says, briefly."""
    return shortened(f"{type(error).__name__}: {error}", 300)


def _best(plan: Plan, problem: Problem) -> Outcome:
    """Fit all candidates that the rows allow, and return the best by the criterion."""
    X, weights = problem.X, problem.weights
    most = len(X) if weights is None else np.count_nonzero(check_sample_weight(weights, len(X)))
    values, collapsed = np.full((1, len(plan.numbers)), np.nan), np.zeros((1, len(plan.numbers)), bool)
    spurious = collapsed.copy()
    mixtures = dict[int, GaussianMixture]()
    for i, k in enumerate(plan.numbers):
        if k > max(most, min(plan.numbers)):
            continue
        own = {} if problem.start is None else {"init_params": problem.start}
        mixture = GaussianMixture(k, **{**plan.options, "random_state": problem.seed, **own})
        with rows_to_fit(mixture, X, weights) as source:
            attributes, fit = attributes_of(mixture, source, weights)
            vars(mixture).update(attributes)
            if fit.m_step is not None:
                collapsed[0, i] = not fit.m_step.sound(fit.parameters)
                spurious[0, i] = not on_enough_rows(source, fit.m_step, fit.parameters)
        values[0, i], mixtures[i] = getattr(mixture, plan.criterion)(X, weights), mixture
    chosen = int(choose(plan, values, collapsed | spurious)[0])
    best = mixtures[chosen]
    state = {name: value for name, value in vars(best).items() if name.endswith("_") and name != "fits_"}
    state["n_components"] = best.n_components
    constant = bool(np.equal(X, X[:1]).all())
    return Outcome(None, best.n_features_in_, state, values[0], constant, bool(collapsed[0, chosen]))
