"""One of many problems by itself: what is too large, or too unusual, for compiled calls."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..gaussian_mixture import GaussianMixture
from ..mixture.elsewhere import attributes_of, rows_to_fit
from ..text import shortened
from .plan import FEW, Plan


class Problem(NamedTuple):
    """A table, and what is given for it."""

    X: Any
    weights: Any
    start: Any
    seed: int


class Outcome(NamedTuple):
    """What became of a problem: an error's text, or the attributes of its mixture."""

    error: str | None
    n_features: int | None
    state: dict[str, Any] | None = None
    values: NDArray[np.float64] | None = None  # of the criterion, for each candidate
    constant: bool = False  # whether all rows are equal


def fitted(plan: Plan, problem: Problem) -> Outcome:
    """Fit the candidates of a problem, and return the best; what goes wrong is an outcome too."""
    weights = problem.weights
    shape = np.shape(problem.X)
    n_features = shape[1] if len(shape) == 2 else None
    try:
        X = problem.X
        if plan.missing == "drop":
            X = np.asarray(X, dtype=None if np.asarray(X).dtype.kind == "f" else np.float64)
            kept = ~np.isnan(X).any(axis=1)
            X, weights = X[kept], weights if weights is None else np.asarray(weights)[kept]
        if n_features is not None and len(X) < plan.least:
            return Outcome(FEW, n_features)
        return _best(plan, problem, X, weights)
    except (ValueError, TypeError, ArithmeticError) as error:
        return Outcome(shortened(f"{type(error).__name__}: {error}", 300), n_features)


def _best(plan: Plan, problem: Problem, X: Any, weights: Any) -> Outcome:
    """Fit all candidates that the rows allow, and return the best by the criterion."""
    values = np.full(len(plan.numbers), np.nan)
    best, chosen = None, (True, np.inf)
    for i, k in enumerate(plan.numbers):
        own = {} if problem.start is None else {"init_params": problem.start}
        mixture = GaussianMixture(k, **{**plan.options, "random_state": problem.seed, **own})
        try:
            with rows_to_fit(mixture, X, weights) as source:
                attributes, fit = attributes_of(mixture, source, weights)
                vars(mixture).update(attributes)
        except ValueError:
            if i == 0 or k <= len(X):
                raise
            continue  # more components than rows
        values[i] = getattr(mixture, plan.criterion)(X, weights)
        sound = len(plan.numbers) == 1 or fit.m_step is None or fit.m_step.sound(fit.parameters)
        if best is None or (not sound, values[i]) < chosen:
            best, chosen = mixture, (not sound, values[i])
    assert best is not None
    state = {name: value for name, value in vars(best).items() if name.endswith("_") and name != "fits_"}
    constant = bool((np.asarray(X) == np.asarray(X)[:1]).all())
    return Outcome(None, best.n_features_in_, state | {"n_components": best.n_components}, values, constant)
