"""fit_many: independent mixtures of many tables in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from numbers import Integral
from threading import Event
from time import perf_counter
from typing import Any

import numpy as np

from ..gaussian_mixture import GaussianMixture
from ..mixture.bar import BAR, new_bar
from ..mixture.base import check_arguments
from ..mixture.checks import check_random_state, numbers_of_components
from ..mixture.protocol import arguments_of
from ..model.masked import masked
from ..sources.threads import Workers
from ..text import quoted
from .batches import Job, fit_batch
from .fits import Fits, fits_of
from .layouts import Layout, layout_of
from .plan import FEW, Plan
from .records import Part, Records

__all__ = ["fit_many"]

CRITERIA = ("bic", "aic", "icl")
ORDERS = ("mean", "weight")
ERRORS = ("status", "raise")
MISSING = ("raise", "drop", "em")
OWN = ("n_components", "warm_start", "verbose_interval", "callback", "weights_init", "means_init", "precisions_init")
EVERY = 1.0  # seconds from one line of progress to the next


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
    verbose: int | str = 0,
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
        onto few or equal rows, as the zeros of counts are; the fewest if there are none. ``fits.set_aside_`` tells
        where a lower one was set aside.
    sample_weight : array-like or list, default=None
        How many times each row counts, in the form of ``X`` without its last axis.
    missing : {'raise', 'drop', 'em'}, default='raise'
        'raise' is an error of the problem; 'drop' leaves out rows with NaN, and answers NaN for them; 'em' as for
        `GaussianMixture`.
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
    verbose : int, bool or 'bar', default=0
        Whether to print each second how many problems are done, or to draw it as for `GaussianMixture`.
    **params : dict
        Further arguments of `GaussianMixture`, but for ``warm_start``, ``callback``, ``verbose_interval`` and starting
        values, which are of one problem. Arrays of labels or responsibilities as ``init_params`` have the form of
        ``X``. Where units are small, ``reg_covar='auto'`` keeps regularization small beside each table's variance.

    Returns
    -------
    fits : Fits

    Raises
    ------
    ValueError, TypeError
        If an argument is refused, if there is no table, or if tables have different features; with ``on_error='raise'``
        if a problem cannot be fitted.
    Exception, KeyboardInterrupt
        What an iterator of tables raises, and Ctrl-C: with what was fitted until then as the attribute ``fits``.

    See Also
    --------
    Fits : The result.

    Notes
    -----
    Tables are fitted by compiled calls, a batch of them by each thread, unless they are large or ask for more than
    k-means and EM (gaps, priors, several initializations, other starts), or a component empties or collapses: such
    problems are done one by one, in Python. Either way problem i has the bits of
    ``GaussianMixture(k, **params).fit(X[i])``, in any company and for any number of threads; its criterion may differ
    by rounding. There are no warnings: ``fits.status_`` tells of each problem whether it converged, whether components
    were repaired or have collapsed, whether its rows are all equal, or what was wrong.

    A wide component may own both ends of a feature: where "low" and "high" must be intervals, compare with a threshold
    between the means, or use ``covariance_type='tied'``.

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
    >>> fits.means_[2:, 1, 0].round()
    array([6., 6.])

    The genes of an AnnData object, which holds cells by genes in ``adata.X`` (sparse ones as ``adata.X.toarray()``):

    >>> from types import SimpleNamespace
    >>> adata = SimpleNamespace(X=expression.T.astype("float32"), var_names=["CD3D", "GAPDH", "CD19", "XIST"])
    >>> fits = fastgmm.fit_many(adata.X.T[:, :, None], [1, 2], random_state=0)
    >>> [name for name, k in zip(adata.var_names, fits.n_components_) if k == 2]
    ['CD19', 'XIST']

    What a loop over ``groupby`` does to a data frame; labels may come in any order:

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"sample": ["a", "a", "b", "a", "b"], "signal": [0.0, 0.1, 7.0, 5.3, 7.4]})
    >>> fits = fastgmm.fit_many(frame[["signal"]], 1, groups=frame["sample"])
    >>> fits.to_pandas()["mean_0_signal"].round(2).to_dict()
    {'a': 1.8, 'b': 7.2}
    >>> fits.predict_proba(frame[["signal"]], groups=frame["sample"]).shape
    (5, 1)
    """
    _check(
        params,
        criterion=(criterion, CRITERIA),
        order=(order, (None, *ORDERS)),
        on_error=(on_error, ERRORS),
        missing=(missing, MISSING),
    )
    numbers = numbers_of_components(n_components)
    options = {**params, "missing": "em" if missing == "em" else "raise", "n_threads": 1}
    options["random_state"] = random_state
    given: Any = params.get("init_params", "kmeans")
    named = isinstance(given, str) or callable(given)
    start: Any = None if named else given
    options["init_params"] = given if named else "kmeans"
    unknown = [name for name in params if name not in arguments_of(GaussianMixture)]
    if unknown:
        raise TypeError(f"fit_many() has no argument {unknown[0]!r}, nor has GaussianMixture.")
    if params.get("noise") is not None:
        raise ValueError(
            f"noise={params['noise']!r} is for single fits: leave it out, or call GaussianMixture.fit of each."
        )
    check_arguments(GaussianMixture(1, **{**options, "n_threads": n_threads}))
    plan = Plan(tuple(numbers), criterion, order, missing, n_threads, options, Event())
    layout, records, report = layout_of(X, groups), Records(plan), Report(verbose)
    workers = Workers(n_threads)

    def collect(part: Part) -> None:
        if on_error == "raise":
            _raise_first(part, records.n_problems)
        records.add(part)
        report.tell(records.n_problems, layout.n_tables)

    jobs = _jobs(layout, workers.n_threads, sample_weight, start, _seeds(random_state))
    try:
        workers.run(partial(fit_batch, plan), jobs, 1 if layout.n_tables == 1 else workers.n_threads, collect)
    except BaseException as error:
        plan.stop.set()
        workers.close()
        if records.n_problems:
            error.fits = fits_of(records, None, layout.columns)  # type: ignore[attr-defined]
        raise
    finally:
        report.close()
    workers.close()
    if not records.parts:
        raise ValueError("There is no table in X.")
    return fits_of(records, layout.names, layout.columns)


class Report:
    """Prints, or draws, how many problems are done."""

    def __init__(self, verbose: int | str) -> None:
        self.begun = perf_counter()
        self.bar = new_bar(None, "problems") if verbose == BAR else None
        self.next = self.begun + EVERY if verbose else np.inf

    def tell(self, done: int, of: int | None) -> None:
        """Print a line if it is time for one."""
        if self.bar is not None:
            self.bar.total = of
            self.bar.update(done - self.bar.n)
            return
        now = perf_counter()
        if now >= self.next:
            self.next = now + EVERY
            print(f"{done}{'' if of is None else f' of {of}'} problems in {now - self.begun:.0f} s", flush=True)

    def close(self) -> None:
        """No more will be done."""
        if self.bar is not None:
            self.bar.close()


def _check(params: dict[str, Any], **choices: tuple[Any, tuple[Any, ...]]) -> None:
    """Refuse arguments that are none of the choices, or that a call for many problems sets itself."""
    for name, (value, among) in choices.items():
        if not (value is None or isinstance(value, str)) or value not in among:
            raise ValueError(f"{name}={quoted(value)}: choose one of {', '.join(map(str, among))}.")
    for name in OWN:
        if name in params:
            raise TypeError(f"fit_many() has no {name}, which is of one problem: leave it out.")


def _seeds(random_state: Any) -> Iterator[int]:
    """A seed for each problem: the one given, or others drawn one after the other."""
    if isinstance(random_state, Integral):
        yield from repeat(int(random_state))
    rng = check_random_state(random_state)
    while True:
        yield int(rng.choice(2**31 - 1))


def _jobs(layout: Layout, n_threads: int, sample_weight: Any, start: Any, seeds: Iterator[int]) -> Iterator[Job]:
    """The tables in order, batch by batch, and what is given for them."""
    given = {"sample_weight": layout.parts(sample_weight), "init_params": layout.parts(start)}
    for batch in layout.batches(n_threads):
        count = len(batch.tables)
        own = {name: list(islice(parts, count)) for name, parts in given.items()}
        for name, parts in own.items():
            if len(parts) < count:
                raise ValueError(f"{name} has fewer parts than there are tables: give one for each.")
        weights, starts = (None if all(part is None for part in parts) else parts for parts in own.values())
        yield Job(batch, weights, starts, list(islice(seeds, count)))


def _raise_first(part: Part, before: int) -> None:
    """Raise the first error among problems, of which so many came before."""
    for i, status in enumerate(part.status):
        if part.mixtures is None or part.mixtures.n_components[i] == 0:
            told = f"it has fewer rows than {part.plan.least}" if status == FEW else status.rstrip(".")
            raise ValueError(f"Problem {before + i} cannot be fitted: {told}. on_error='status' goes on without it.")
