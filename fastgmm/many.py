"""fit_many: independent mixtures of many tables in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from .fits import Fits, Outcome, Plan, fits_of
from .gaussian_mixture import GaussianMixture
from .mixture.base import check_arguments
from .mixture.checks import check_random_state, numbers_of_components
from .mixture.elsewhere import attributes_of, rows_to_fit
from .model.masked import masked
from .sources.problems import Layout, layout_of
from .sources.threads import Workers
from .text import quoted, shortened

__all__ = ["fit_many"]

CRITERIA = ("bic", "aic", "icl")
ORDERS = ("mean", "weight")
ERRORS = ("status", "raise")
LONG = 1 << 15  # numbers of a table whose fit threads had better share
AHEAD = 64  # tables that are read for each thread before their fits are done
OWN = ("n_components", "warm_start", "verbose", "verbose_interval", "callback", "n_threads")
FEW = "few rows"


class Problem(NamedTuple):
    """A table, and what is given for it."""

    number: int
    X: Any
    weights: Any
    start: Any
    seed: int


@masked
def fit_many(
    X: Any,
    n_components: int | Iterable[int],
    *,
    groups: Any = None,
    criterion: str = "bic",
    sample_weight: Any = None,
    missing: str = "raise",
    order: str | None = None,
    on_error: str = "status",
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    n_threads: int | None = None,
    **params: Any,
) -> Fits:
    """Fit a mixture to each of many tables, independently of each other.

    Parameters
    ----------
    X : list or iterator of tables, array of shape (n_problems, n_samples, n_features), or rows with ``groups``
        Tables of the same features, of any numbers of rows. A matrix of which each row is a problem of one feature is
        ``X[:, :, None]``. Of an iterator only a few tables are held at a time.
    n_components : int or iterable of int
        The number of components, or several, of which ``criterion`` chooses one for each problem.
    groups : array-like, default=None
        The problem that each row of ``X`` belongs to, labels of any kind in any order; or the n_problems + 1 offsets of
        groups that lie one after the other. As many numbers as rows are labels.
    criterion : {'bic', 'aic', 'icl'}, default='bic'
        What chooses between several numbers of components: the lowest, of those in which no component has collapsed
        if there are such.
    sample_weight : array-like or list, default=None
        How many times each row counts, in the form of ``X`` without its last axis.
    missing : {'raise', 'drop', 'em'}, default='raise'
        'raise' is an error of the problem, 'drop' leaves out rows with NaN; 'em' as for `GaussianMixture`.
    order : {None, 'mean', 'weight'}, default=None
        Sort components by their means along the first feature, or by falling weight, so that numbers mean the same in
        all problems. None leaves them as single fits have them.
    on_error : {'status', 'raise'}, default='status'
        Whether a problem that cannot be fitted is a line of the result, or an error that names it.
    random_state : int, RandomState, Generator or None, default=None
        With an integer each problem is fitted as if it stood alone, by that seed; others are drawn from for a seed of
        each problem.
    n_threads : int, default=None
        As for `GaussianMixture`. The results do not depend on it.
    **params : dict
        Further arguments of `GaussianMixture`. Arrays of labels or responsibilities as ``init_params`` have the form of
        ``X``.

    Returns
    -------
    fits : Fits

    Raises
    ------
    ValueError, TypeError
        If an argument is refused, if there is no table, or if tables have different features; with ``on_error='raise'``
        if a problem cannot be fitted.

    Notes
    -----
    There are no warnings: ``fits.status_`` tells of each problem whether it converged, whether components were
    repaired, whether its rows are all equal, or what was wrong.

    Examples
    --------
    A mixture of one or two components for each gene of a table of counts by gene and cell:

    >>> import numpy as np
    >>> import fastgmm
    >>> rng = np.random.default_rng(0)
    >>> expression = rng.normal(size=(4, 200)) + np.array([[0], [0], [6], [6]]) * (np.arange(200) < 80)
    >>> fits = fastgmm.fit_many(expression[:, :, None], [1, 2], order="mean", random_state=0)
    >>> fits.n_components_
    array([1, 1, 2, 2])
    >>> fits.means_[2:, :, 0].round()
    array([[0., 6.],
           [0., 6.]])

    Groups of a data frame:

    >>> X, sample = np.array([0.0, 0.1, 5.0, 5.2, 7.0, 7.4]), ["a", "a", "a", "a", "b", "b"]
    >>> fits = fastgmm.fit_many(X, 1, groups=sample)
    >>> dict(zip(fits.names_, fits.means_[:, 0, 0].round(2)))
    {'a': 2.58, 'b': 7.2}
    """
    _check(params, criterion=(criterion, CRITERIA), order=(order, (None, *ORDERS)), on_error=(on_error, ERRORS))
    numbers = numbers_of_components(n_components)
    options = {**params, "missing": "em" if missing == "em" else "raise", "n_threads": 1}
    options["random_state"] = random_state
    given: Any = params.get("init_params", "kmeans")
    named = isinstance(given, str) or callable(given)
    start: Any = None if named else given
    options["init_params"] = given if named else "kmeans"
    check_arguments(GaussianMixture(1, **options))
    plan = Plan(tuple(numbers), criterion, order, missing, options)
    layout = layout_of(X, groups)
    outcomes: list[Outcome] = []
    stream = _problems(layout, sample_weight, start, _seeds(random_state))
    workers = Workers(n_threads)
    try:
        while batch := list(islice(stream, AHEAD * workers.n_threads)):
            long = sum(np.size(problem.X) for problem in batch) > LONG * len(batch)
            runs = workers if long else Workers(1)  # short fits would wait for the interpreter
            runs.run(lambda problem: _fitted(plan, problem), batch, len(batch), outcomes.append)
            if on_error == "raise":
                _raise_first(outcomes[-len(batch) :], len(outcomes) - len(batch))
    finally:
        workers.close()
    return fits_of(plan, outcomes, layout.names)


def _check(params: dict[str, Any], **choices: tuple[Any, tuple[Any, ...]]) -> None:
    """Refuse arguments that are none of the choices, or that a call for many problems sets itself."""
    for name, (value, among) in choices.items():
        if value not in among:
            raise ValueError(f"{name}={quoted(value)}: choose one of {', '.join(map(str, among))}.")
    for name in (*OWN, "weights_init", "means_init", "precisions_init"):
        if name in params:
            raise TypeError(f"fit_many() has no {name}, which is of one problem: leave it out.")


def _seeds(random_state: Any) -> Iterator[int]:
    """A seed for each problem: the one given, or others drawn one after the other."""
    if isinstance(random_state, Integral):
        yield from repeat(int(random_state))
    rng = check_random_state(random_state)
    while True:
        yield int(rng.choice(2**31 - 1))


def _problems(layout: Layout, sample_weight: Any, start: Any, seeds: Iterator[int]) -> Iterator[Problem]:
    """The problems in order."""
    parts = zip(layout.tables(), layout.parts(sample_weight), layout.parts(start), seeds, strict=False)
    for number, (X, weights, own, seed) in enumerate(parts):
        yield Problem(number, X, weights, own, seed)


def _fitted(plan: Plan, problem: Problem) -> Outcome:
    """Fit the candidates of a problem, and return the best; what goes wrong is an outcome too."""
    weights = problem.weights
    try:
        X = problem.X
        if plan.missing == "drop":
            X = np.asarray(X, dtype=None if np.asarray(X).dtype.kind == "f" else np.float64)
            kept = ~np.isnan(X).any(axis=1)
            X, weights = X[kept], weights if weights is None else np.asarray(weights)[kept]
        sizes = np.shape(X)
        if len(sizes) == 2 and sizes[0] < max(2, min(plan.numbers)):
            return Outcome(FEW, sizes[1])
        return _best(plan, problem, X, weights)
    except (ValueError, TypeError, ArithmeticError) as error:
        shape = np.shape(problem.X)
        return Outcome(shortened(f"{type(error).__name__}: {error}", 300), shape[1] if len(shape) == 2 else None)


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
    constant = bool((np.asarray(X) == np.asarray(X)[:1]).all())
    return Outcome.of(best, values, constant, plan.order)


def _raise_first(outcomes: list[Outcome], before: int) -> None:
    """Raise the first error among outcomes, of which so many came before."""
    for i, outcome in enumerate(outcomes):
        if outcome.state is None:
            told = "it has fewer rows than components" if outcome.status == FEW else outcome.status
            raise ValueError(f"Problem {before + i} cannot be fitted: {told}. on_error='status' goes on without it.")
