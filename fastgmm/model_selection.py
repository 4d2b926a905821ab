"""select: mixtures of several covariance structures and numbers of components, compared by a criterion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exceptions import ConvergenceWarning, DegenerateComponentWarning, SelectionWarning, compatible, warn
from .fitting.parallel import Job, share_out
from .fitting.search.sweep import sweep
from .fitting.search.trials import Candidate, Outcome
from .fitting.starts.kmeans import Random
from .gaussian_mixture import GaussianMixture
from .mixture.base import fitted
from .mixture.checks import check_random_state
from .mixture.estimation import rows_to_fit, settings_of, take_over
from .mixture.progress import DEBUG, INFO, Count, tell
from .model.fitted import Fitted
from .model.structures import STRUCTURES
from .selection import CRITERIA, Selection
from .sources.intake import total_weight
from .sources.source import Source
from .text import quoted, shortened

__all__ = ["select"]

LONGEST = 500  # characters of a warning
DEFAULT_TYPES = ("full", "tied", "diag", "spherical")  # scikit-learn's

# Arguments of GaussianMixture that a sweep sets itself, or that fit one number of components only.
OWN = ("n_components", "covariance_type", "warm_start", "weights_init", "means_init", "precisions_init")

COLUMNS: list[tuple[str, Any]] = [
    ("n_components", np.int64),
    ("n_parameters", np.int64),
    ("log_likelihood", np.float64),
    *((name, np.float64) for name in CRITERIA),
    ("converged", np.bool_),
    ("degenerate", np.bool_),
    ("n_iter", np.int64),
    ("seconds", np.float64),
]


def select(
    X: Any,
    n_components: int | Iterable[int] = range(1, 10),
    covariance_types: str | Iterable[str] = DEFAULT_TYPES,
    criterion: str = "bic",
    *,
    cv: int = 5,
    sample_weight: Any = None,
    n_init: int = 2,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    n_threads: int | None = None,
    verbose: int = 0,
    **params: Any,
) -> Selection:
    """Fit mixtures of several numbers of components and covariance structures, and find the best by a criterion.

    Each candidate starts from the next larger one with components merged, and from a clustering that all share: the
    sweep takes no longer than as many single fits, and ends at higher likelihoods. With what it saves it searches
    around the best candidates: components are inserted where the rows are explained least, which finds small groups
    beside large ones, and merged again. Those whose order ``tol`` leaves open are fitted on, to a hundredth of it. The
    more candidates there are, the farther this search goes. What goes wrong with a candidate is a line of the table,
    and does not stop the others.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        As for `GaussianMixture.fit`.
    n_components : int or iterable of int, default=range(1, 10)
        Numbers of components.
    covariance_types : str or iterable of str, default=('full', 'tied', 'diag', 'spherical')
        Covariance structures.
    criterion : {'bic', 'aic', 'aicc', 'icl', 'cv'}, default='bic'
        What candidates are compared by. 'bic' and 'icl' look for the number of components, 'icl' for separate ones;
        'aic', 'aicc' (corrected for small samples) and 'cv' for the density that predicts new rows best. 'cv' is the
        mean log-likelihood of rows left out, the higher the better; of the others the lowest is best.
    cv : int, default=5
        Number of folds, drawn from ``random_state``, for ``criterion='cv'``: so many more sweeps.
    sample_weight : array-like of shape (n_samples,), default=None
        How many times each row counts; None is once.
    n_init : int, default=2
        How much the search may cost: the work of fitting each candidate from so many k-means clusterings. It begins
        with the clusters of a Ward hierarchy of a sample, which serves every number of components; the best three
        candidates get k-means clusterings as well (three times as many if there are no more than 4096 rows, or 256 per
        component), as far as that suffices. A start is given up if after four iterations on as large a sample it is
        behind what is known.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness; None is NumPy's global ``RandomState``.
    n_threads : int, default=None
        As for `GaussianMixture`. The results do not depend on it.
    verbose : int, default=0
        1 counts fitted candidates.
    **params : dict
        Further arguments of `GaussianMixture`, the same for all candidates. ``init_params`` replaces the shared starts
        (a callable is called with the sample).

    Returns
    -------
    selection : Selection

    Raises
    ------
    ValueError, TypeError
        If an argument or ``X`` is refused, or if all candidates went wrong.

    Warns
    -----
    ConvergenceWarning
        If the best fit did not converge.
    DegenerateComponentWarning
        If a component of the best fit has collapsed: then this is so in all candidates.
    SelectionWarning
        If the best candidate has the largest number of components tried, or the smallest beyond 1, if candidates with
        a better value of the criterion were set aside because a component has collapsed, or if some failed:
        ``Selection.notes``.

    References
    ----------
    C. Fraley, A. E. Raftery. Model-based clustering, discriminant analysis, and density estimation. Journal of the
    American Statistical Association 97, 2002.

    C. M. Hurvich, C.-L. Tsai. Regression and time series model selection in small samples. Biometrika 76(2), 1989.

    N. Ueda, R. Nakano, Z. Ghahramani, G. E. Hinton. SMEM algorithm for mixture models. Neural Computation 12, 2000.

    P. Smyth. Model selection for probabilistic clustering using cross-validated likelihood. Statistics and Computing
    10, 2000.

    Examples
    --------
    >>> from fastgmm import select
    >>> from fastgmm.datasets import load_iris
    >>> selection = select(load_iris().data, range(1, 5), ["full", "tied"], random_state=0)
    >>> print(selection)
    covariance type  n components  n parameters  log likelihood     bic     icl
               full             2            29         -214.35  574.02  574.02
               ...
    >>> labels = selection.best_estimator_.predict(load_iris().data)
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion={quoted(criterion)}: choose one of {', '.join(CRITERIA)}.")
    for name in OWN:
        if name in params:
            raise TypeError(f"select() sets {name} itself, or needs another for each candidate: leave {name} out.")
    start = params.get("init_params", "kmeans")
    if not (isinstance(start, str) or callable(start)):
        raise TypeError("init_params holds an array, which fits one number of components: give a name or a callable.")
    options = {"n_init": n_init, "random_state": random_state, "n_threads": n_threads, **params}
    types, numbers = _types(covariance_types), _numbers(n_components)
    with rows_to_fit(GaussianMixture(**options), X, sample_weight) as source:
        rng = check_random_state(random_state)
        sizes = source.n_samples, source.n_features
        tell(INFO, "select begins: %d rows of %d features, %s, K = %s", *sizes, types, numbers)
        folds = _folds(cv, source.n_samples, rng) if criterion == "cv" else None
        candidates = [Candidate(STRUCTURES[kind], k) for kind in types for k in numbers]
        n = total_weight(source, sample_weight)
        penalty = (1.0 if criterion in ("aic", "aicc") else 0.5 * math.log(n)) / n
        count = Count(verbose, len(candidates) * (1 if folds is None else 1 + cv))
        search = _Search(candidates, options, rng, count, penalty)
        entries = search.fit(source, n, source.feature_names)
        search.judge(entries, source, n)
        if folds is not None:
            search.validate(entries, source, folds)
    selection = _selection(entries, criterion)
    best = selection.table_[0]
    tell(
        INFO,
        "select ended: %d candidates, the best of %s = %.9g: %s, K = %d",
        len(entries),
        criterion,
        best[criterion],
        best["covariance_type"],
        best["n_components"],
    )
    return selection


@dataclass(slots=True)
class _Entry:
    """A candidate, its outcome, and its columns of the table."""

    candidate: Candidate
    outcome: Outcome
    model: GaussianMixture | None = None
    values: dict[str, float] = field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        """Return its line of the table."""
        structure, n_components = self.candidate
        records, fit, error = self.outcome.records, self.outcome.fit, self.outcome.error
        return {
            **dict.fromkeys(("log_likelihood", *CRITERIA), math.nan),
            "covariance_type": structure.name,
            "n_components": n_components,
            "converged": fit is not None and fit.converged,
            "degenerate": self.outcome.degenerate,
            "n_iter": 0 if fit is None else len(fit.lower_bounds),
            "seconds": sum(record.seconds_initialization + record.seconds_em for record in records),
            "error": "" if error is None else f"{type(error).__name__}: {error}",
            **self.values,
        }


class _Search:
    """The sweep over all candidates, and what they are compared by."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        options: dict[str, Any],
        random_state: Random,
        count: Count,
        penalty: float,
    ) -> None:
        self.candidates, self.options, self.random_state = candidates, options, random_state
        self.count, self.penalty = count, penalty
        self.settings = settings_of(GaussianMixture(**options))

    def fit(self, source: Source, n: float, names: NDArray[np.object_] | None = None) -> list[_Entry]:
        """Fit all candidates to some rows, which count as ``n``."""
        outcomes = sweep(
            source,
            self.candidates,
            self.settings,
            self.random_state,
            self._tell,
            method=self.options.get("init_params"),
            penalty=self.penalty,
        )
        entries = [_Entry(*pair) for pair in zip(self.candidates, outcomes, strict=True)]
        for entry in entries:
            structure, n_components = entry.candidate
            entry.values["n_parameters"] = structure.n_parameters(n_components, source.n_features)
            if entry.outcome.fit is not None:
                model = GaussianMixture(n_components, covariance_type=structure.name, **self.options)
                attributes = {"names": names, "records": entry.outcome.records}
                try:
                    entry.model = take_over(model, entry.outcome.fit, source.dtype, float(n), **attributes)
                except ValueError as error:
                    entry.outcome.error = error
        return entries

    def judge(self, entries: Sequence[_Entry], source: Source, n: float) -> None:
        """Work out the information criteria of the fitted models on the ``n`` rows they were fitted to."""
        models = [(entry, entry.model) for entry in entries if entry.model is not None]
        jobs = [Job(source.work(*entry.candidate), partial(_icl_terms, value=fitted(model))) for entry, model in models]
        for (entry, _), (log_likelihood, log_largest) in zip(models, share_out([source], jobs), strict=True):
            p = entry.values["n_parameters"]
            deviance, penalty = -2 * n * log_likelihood, p * math.log(n)
            entry.values |= {
                "log_likelihood": n * log_likelihood,
                "bic": deviance + penalty,
                "aic": deviance + 2 * p,
                "aicc": deviance + 2 * p * n / (n - p - 1) if n > p + 1 else math.inf,
                "icl": deviance + penalty - 2 * n * log_largest,
            }

    def validate(self, entries: Sequence[_Entry], source: Source, folds: NDArray[np.intp]) -> None:
        """Work out the mean log-likelihood of rows left out, fold by fold; NaN where a fold went wrong."""
        totals, weight = np.zeros(len(entries)), 0.0
        for fold in range(folds.max() + 1):
            kept, left = (source.subset(np.flatnonzero(rows)) for rows in (folds != fold, folds == fold))
            models = [entry.model for entry in self.fit(kept, kept.total)]
            jobs = [
                Job(left.work(*candidate), partial(_score, value=None if model is None else fitted(model)))
                for candidate, model in zip(self.candidates, models, strict=True)
            ]
            totals += left.total * np.array(share_out([left], jobs))
            weight += left.total
        for entry, total in zip(entries, totals, strict=True):
            entry.values["cv"] = float(total) / weight

    def _tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Report that a candidate has been fitted."""
        what = f"{candidate.structure.name}, K = {candidate.n_components}"
        told = what if outcome.error is None else f"{what}: {outcome.error}"
        tell(DEBUG, "candidate %s", told)
        self.count.step(told)


def _icl_terms(source: Source, value: Fitted) -> tuple[float, float]:
    """Return the mean log-likelihood per row, and the mean log of the largest responsibility."""
    return source.icl_terms(source.model(value))


def _score(source: Source, value: Fitted | None) -> float:
    """Return the mean log-likelihood per row; NaN without a mixture."""
    return math.nan if value is None else source.log_likelihood(source.model(value))


def _folds(cv: Any, n_samples: int, random_state: Random) -> NDArray[np.intp]:
    """Return the fold of each row, drawn at random; all are of the same size, or of one row more."""
    if not (isinstance(cv, Integral) and 2 <= int(cv) <= n_samples // 2):
        raise ValueError(
            f"cv={quoted(cv)}: the number of folds must be an int from 2 to n_samples // 2 = {n_samples // 2}."
        )
    return random_state.permutation(n_samples) % int(cv)


def _selection(entries: Sequence[_Entry], criterion: str) -> Selection:
    """Return the candidates in their order."""
    lines = [entry.line() for entry in entries]
    sign = -1.0 if criterion == "cv" else 1.0
    scores = [sign * line[criterion] if math.isfinite(line[criterion]) else math.inf for line in lines]
    order = sorted(
        range(len(lines)),
        key=lambda i: (math.isinf(scores[i]), lines[i]["degenerate"], scores[i], lines[i]["n_parameters"]),
    )
    best = entries[order[0]]
    if math.isinf(scores[order[0]]) or best.model is None:
        told = next((line["error"] for line in lines if line["error"]), f"ArithmeticError: no {criterion} is finite")
        raise ValueError(
            f"None of the {len(lines)} candidates could be fitted and judged. The first failed by {told.rstrip('.')}. "
            "Try smaller n_components, a larger reg_covar, or degenerate='repair'."
        )
    texts = {name: f"U{max(1, *(len(line[name]) for line in lines))}" for name in ("covariance_type", "error")}
    dtype = np.dtype([("covariance_type", texts["covariance_type"]), *COLUMNS, ("error", texts["error"])])
    names = dtype.names or ()
    table = np.array([tuple(lines[i][name] for name in names) for i in order], dtype=dtype)
    selection = Selection(best.model, table, [entries[i].model for i in order], criterion)
    _warn(best)
    if selection.notes:
        warn(shortened(f"Before you take the best candidate: {' '.join(selection.notes)}", LONGEST), SelectionWarning)
    return selection


def _warn(best: _Entry) -> None:
    """Warn of a best fit that did not converge or has collapsed."""
    if best.outcome.fit is not None and not best.outcome.fit.converged and best.outcome.fit.lower_bounds:
        warn(
            "The best candidate did not converge. Increase max_iter or tol.",
            compatible(ConvergenceWarning),
        )
    if best.outcome.degenerate:
        warn(
            "A component has collapsed in the best candidate, so that its likelihood depends on reg_covar or repairs "
            "more than on the data. Check for constant, collinear or repeated columns or rows, or increase reg_covar.",
            DegenerateComponentWarning,
        )


def _numbers(n_components: Any) -> list[int]:
    """Return the numbers of components asked for, each once."""
    numbers = [n_components] if isinstance(n_components, Integral) else _listed(n_components)
    if not numbers or not all(isinstance(k, Integral) and int(k) >= 1 for k in numbers):
        raise ValueError(f"n_components={quoted(n_components)}: give one or more numbers of components, ints from 1.")
    return list(dict.fromkeys(int(k) for k in numbers))


def _types(covariance_types: Any) -> list[str]:
    """Return the covariance structures asked for, each once."""
    types = [covariance_types] if isinstance(covariance_types, str) else _listed(covariance_types)
    if not types or not all(isinstance(kind, str) and kind in STRUCTURES for kind in types):
        raise ValueError(f"covariance_types={quoted(covariance_types)}: give one or more of {', '.join(STRUCTURES)}.")
    return list(dict.fromkeys(types))


def _listed(values: Any) -> list[Any]:
    """Return the values as a list, which is empty when there are none."""
    return list(values) if isinstance(values, Iterable) else []
