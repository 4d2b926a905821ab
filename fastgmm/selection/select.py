"""select: mixtures of several covariance structures and numbers of components, compared by a criterion."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bayesian_mixture import BayesianGaussianMixture
from ..exceptions import ConvergenceWarning, DegenerateComponentWarning, SelectionWarning, compatible, warn
from ..fitting.search.trials import Candidate, Outcome
from ..fitting.starts.kmeans import Random
from ..gaussian_mixture import GaussianMixture
from ..mixture.checks import check_random_state, listed_values, numbers_of_components
from ..mixture.elsewhere import rows_to_fit
from ..mixture.ending import to_the_end
from ..mixture.progress import INFO, Count, tell
from ..model.masked import masked
from ..model.structures import MCLUST, STRUCTURES, UNCONSTRAINED, UNIVARIATE
from ..sources.intake import total_weight
from ..text import quoted, shortened
from .candidates import Entry, Search
from .result import CRITERIA, HIGHER, Selection

__all__ = ["select"]

LONGEST = 500  # characters of a warning
FEW = (
    "Weights sum to {n:.3g}, so that the rows count as so many, and the criterion weighs parameters against those: "
    "weights are to say how many times each row counts, and are 1 on average where only their ratios are known."
)
DEFAULT_TYPES = ("full", "tied", "diag", "spherical")  # scikit-learn's
ALL = "all"  # for those of mclust

# Arguments of GaussianMixture that a sweep sets itself, or that fit one number of components only.
OWN = ("n_components", "covariance_type", "warm_start", "weights_init", "means_init", "precisions_init")

COLUMNS: list[tuple[str, Any]] = [
    ("n_components", np.int64),
    ("n_parameters", np.int64),
    ("equal_weights", np.bool_),
    ("noise", np.bool_),
    ("log_likelihood", np.float64),
    *((name, np.float64) for name in CRITERIA),
    ("converged", np.bool_),
    ("degenerate", np.bool_),
    ("spurious", np.bool_),
    ("n_iter", np.int64),
    ("seconds", np.float64),
]


@masked
def select(
    X: Any,
    n_components: int | Iterable[int] = range(1, 10),
    covariance_types: str | Iterable[str] = DEFAULT_TYPES,
    criterion: str = "bic",
    *,
    cv: int = 5,
    sample_weight: Any = None,
    n_init: int | str = 2,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    n_threads: int | None = None,
    verbose: int | str = 0,
    **params: Any,
) -> Selection:
    """Fit mixtures of several numbers of components and covariance structures, and find the best by a criterion.

    Each candidate starts from the next larger one with components merged, and from a clustering that all share: the
    sweep takes no more passes than as many single fits, and ends at higher likelihoods. Then each starts from the ends
    of structures that are special cases of its own, so that likelihoods are nested as the structures are, but where a
    component would collapse or ``covariance_ratio`` excludes spheres. With what is saved it searches around the best
    candidates: components are inserted where the rows are explained least, which finds small groups beside large ones,
    and merged again. Those whose order ``tol`` leaves open are fitted on, to a hundredth of it. The more candidates
    there are, the farther this search goes. What goes wrong with a candidate is a line of the table, and does not stop
    the others.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        As for `GaussianMixture.fit`.
    n_components : int or iterable of int, default=range(1, 10)
        Numbers of components.
    covariance_types : str or iterable of str, default=('full', 'tied', 'diag', 'spherical')
        Covariance structures; 'all' are mclust's fourteen, or 'E' and 'V' for rows of one feature. Posteriors
        ('elbo') have four: 'all' are then those of mclust's names.
    criterion : {'bic', 'aic', 'aicc', 'icl', 'cv', 'elbo'}, default='bic'
        What candidates are compared by. 'bic' and 'icl' look for the number of components, 'icl' for separate ones;
        'aic', 'aicc' (corrected for small samples) and 'cv' for the density that predicts new rows best. 'cv' is the
        mean log-likelihood of rows left out. 'elbo' compares `BayesianGaussianMixture`, which begin where the search by
        likelihood ends: the evidence lower bound, plus the log of the number of equal optima with components in another
        order. It is a bound of the log of the probability of the rows under the priors, and takes whatever numbers of
        rows there are. Of 'cv' and 'elbo' the highest is best, of the others the lowest.
    cv : int, default=5
        Number of folds, drawn from ``random_state``, for ``criterion='cv'``: so many more sweeps.
    sample_weight : array-like of shape (n_samples,), default=None
        How many times each row counts; None is once.
    n_init : int or 'auto', default=2
        How much the search may cost: the work of fitting each candidate from so many k-means clusterings. It begins
        with the clusters of a Ward hierarchy of a sample, which serves every number of components; the best three
        candidates get k-means clusterings as well (three times as many if there are no more than 4096 rows, or 256 per
        component), as far as that suffices. A start is given up if after four iterations on as large a sample it is
        behind what is known. 'auto' begins with 2, then searches for better optima of the best six candidates, as
        ``n_init='auto'`` of `GaussianMixture` does, until none among them is new: it takes many times as long.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness; None is NumPy's global ``RandomState``.
    n_threads : int, default=None
        As for `GaussianMixture`. The results do not depend on it.
    verbose : int or 'bar', default=0
        1 counts fitted candidates, 'bar' draws a progress bar, as for `GaussianMixture`.
    **params : dict
        Further arguments of `GaussianMixture`, the same for all candidates, but that ``equal_weights`` may be both
        ``[False, True]``: then each is tried with free weights and with equal ones; and ``noise`` may be
        ``[None, 'auto']``. With 'elbo' those of
        `BayesianGaussianMixture`, with ``posterior='exact'``, ``prior='auto'``, ``max_iter=1000`` and
        ``weight_concentration_prior_type='dirichlet_distribution'`` unless you say otherwise: other posteriors cannot
        compare structures, and with the default priors the bound finds them less often. ``init_params`` replaces the
        shared starts (a callable is called with the sample). ``max_time`` is for all of the search: candidates whose
        turn does not come have a TimeoutError in the table, and the others are judged as after Ctrl-C.

    Returns
    -------
    selection : Selection

    Raises
    ------
    ValueError, TypeError
        If an argument or ``X`` is refused, or if all candidates went wrong.
    KeyboardInterrupt
        If Ctrl-C is pressed. Its attribute ``selection`` is then the `Selection` of what was found so far (in an
        interactive session: ``sys.last_value.selection``); it is not there before a candidate has done an iteration.
        Candidates are judged by the likelihood before their last M-step; 'icl', 'cv' and 'elbo' give way to 'bic'. The
        same holds for what ``callback`` raises.

    Warns
    -----
    ConvergenceWarning
        If the best fit did not converge.
    DegenerateComponentWarning
        If a component of the best fit has collapsed or rests on hardly any rows: then no candidate is sound.
    SelectionWarning
        If the best candidate has the largest number of components tried, or the smallest beyond 1, if candidates with
        a better value of the criterion were set aside because a component has collapsed or rests on hardly any rows,
        or if some failed: ``Selection.notes``. Also if weights sum to less than the D + 2 rows that a component needs.

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
    posteriors = criterion == "elbo"
    types = _types(covariance_types, UNCONSTRAINED if posteriors else STRUCTURES)
    numbers = numbers_of_components(n_components)
    if posteriors and "equal_weights" in options:
        raise TypeError("criterion='elbo' compares posteriors, whose weights are free: leave equal_weights out.")
    if posteriors and options.get("noise") is not None:
        raise ValueError("criterion='elbo' compares posteriors, which have no noise: leave noise out.")
    weights, noises = _weights(options), _noises(options)
    estimator = BayesianGaussianMixture if posteriors else GaussianMixture
    with rows_to_fit(estimator(**options), X, sample_weight) as source:
        rng = check_random_state(random_state)
        types = _for_features(types, source.n_features)
        sizes = source.n_samples, source.n_features
        tell(INFO, "select begins: %d rows of %d features, %s, K = %s", *sizes, types, numbers)
        folds = _folds(cv, source.n_samples, rng) if criterion == "cv" else None
        candidates = [
            Candidate(STRUCTURES[kind].asked(equal, noise), k)
            for kind in types
            for equal in weights
            for noise in noises
            for k in numbers
            if not (equal and len(weights) > 1 and k == 1)  # which is the same
        ]
        n = total_weight(source, sample_weight)
        penalty = (1.0 if criterion in ("aic", "aicc") else 0.5 * math.log(n)) / n
        count = Count(verbose, len(candidates) * (1 if folds is None else 1 + cv))
        search = Search(candidates, options, rng, count, penalty, posteriors)
        outcomes, entries = dict[Candidate, Outcome](), list[Entry]()
        try:
            entries += search.fit(source, n, source.feature_names, outcomes)
            search.judge(entries, source, n)
            if folds is not None:
                search.validate(entries, source, folds)
        except BaseException as error:
            so_far = partial(search.so_far, outcomes, entries, source, n, source.feature_names)
            _hand_over(lambda: _selection(so_far(), criterion)[0], error)
            raise
        finally:
            count.close()
    selection, chosen = _selection(entries, criterion)
    notes = selection.notes
    if sample_weight is not None and criterion != "cv" and n < source.n_features + 2:
        notes.append(FEW.format(n=n))
    _warn(chosen, notes)
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


def _folds(cv: Any, n_samples: int, random_state: Random) -> NDArray[np.intp]:
    """Return the fold of each row, drawn at random; all are of the same size, or of one row more."""
    if not (isinstance(cv, Integral) and 2 <= int(cv) <= n_samples // 2):
        raise ValueError(
            f"cv={quoted(cv)}: the number of folds must be an int from 2 to n_samples // 2 = {n_samples // 2}."
        )
    return random_state.permutation(n_samples) % int(cv)


def _hand_over(make: Callable[[], Selection], error: BaseException) -> None:
    """Let an exception that ends the search carry what has been found so far, if anything."""
    with suppress(ValueError, AttributeError):  # nothing yet, or an exception that takes no attributes
        selection = to_the_end(make)
        error.selection = selection  # type: ignore[attr-defined]
        error.add_note(f"The attribute `selection` of this exception holds what was found so far: {selection!r}")


def _selection(entries: Sequence[Entry], criterion: str) -> tuple[Selection, Entry]:
    """Return the candidates in their order, and the best; by BIC where there was no time for another criterion."""
    lines = [entry.line() for entry in entries]
    if any(math.isfinite(line["bic"]) for line in lines) and all(math.isnan(line[criterion]) for line in lines):
        criterion = "bic"
    sign = -1.0 if criterion in HIGHER else 1.0
    scores = [sign * line[criterion] if math.isfinite(line[criterion]) else math.inf for line in lines]
    order = sorted(
        range(len(lines)),
        key=lambda i: (math.isinf(scores[i]), not entries[i].outcome.sound, scores[i], lines[i]["n_parameters"]),
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
    return Selection(best.model, table, [entries[i].model for i in order], criterion), best


def _warn(best: Entry, notes: Sequence[str]) -> None:
    """Warn of a best fit that did not converge or is not sound, and of what is to be noted."""
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
    elif best.outcome.spurious:
        warn(
            "A component of the best candidate rests on hardly any rows, so that chance decides its likelihood. Try "
            "fewer components, or a structure of fewer parameters.",
            DegenerateComponentWarning,
        )
    if notes:
        warn(shortened(f"Before you take the best candidate: {' '.join(notes)}", LONGEST), SelectionWarning)


def _types(covariance_types: Any, known: Collection[str]) -> list[str]:
    """Return the covariance structures asked for, each once; "all" stands for those of mclust."""
    types = [covariance_types] if isinstance(covariance_types, str) else listed_values(covariance_types)
    if ALL in types and known is not STRUCTURES:
        types = [name for name in MCLUST if name in known]
    if types == [ALL]:
        return types
    if not types or not all(isinstance(kind, str) and kind in known for kind in types):
        raise ValueError(
            f"covariance_types={quoted(covariance_types)}: give '{ALL}', or one or more of {', '.join(known)}."
        )
    return list(dict.fromkeys(types))


def _weights(options: dict[str, Any]) -> list[bool]:
    """Take out the option that each candidate has for itself: whether weights are equal."""
    given = options.pop("equal_weights", False)
    found = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not found or not all(isinstance(one, (bool, np.bool_)) for one in found):
        raise ValueError(f"equal_weights={quoted(given)}: give False, True, or both in a list.")
    return list(dict.fromkeys(bool(one) for one in found))


def _noises(options: dict[str, Any]) -> list[Any]:
    """Return whether candidates have noise, and of which density; leave the option that one of them has."""
    given = options.get("noise")
    found = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    densities = [one for one in found if one is not None]
    if not found or len(densities) > 1:
        raise ValueError(
            f"noise={quoted(given)}: give None, 'auto', a log-density, or None and one of these in a list."
        )
    if densities:
        options["noise"] = densities[0]
    return list(dict.fromkeys(found))


def _for_features(types: list[str], n_features: int) -> list[str]:
    """Return the structures for rows of so many features."""
    if types == [ALL]:
        return list(UNIVARIATE if n_features == 1 else MCLUST)
    for name in types:
        STRUCTURES[name].check_features(n_features)
    return types
