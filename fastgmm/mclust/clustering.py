"""Mclust: model-based clustering under mclust's name and defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, cast

import numpy as np

from ..mixture.checks import listed_values
from ..mixture.prior import Prior
from ..model.structures import MCLUST, UNIVARIATE
from ..selection.result import Selection
from ..selection.select import select
from ..text import quoted
from .result import NOISE, MclustResult, as_table, classified, name_of
from .table import BicTable

__all__ = ["Mclust"]

ELSEWHERE = {  # arguments of R or of `select`, and what there is instead
    "initialization": "noise needs no first guess, pass noise=True; other starts by init_params",
    "control": "pass tol, max_iter and equal_weights themselves",
    "equalPro": "it is called equal_weights",
    "sample_weight": "it is called weights",
    "criterion": "models are compared by BIC; fastgmm.select has others",
    "n_components": "it is called G",
    "covariance_types": "it is called modelNames",
}
DEFAULTS = {"tol": 1e-5, "max_iter": 1000, "reg_covar": "auto"}


def Mclust(
    data: Any,
    G: int | Sequence[int] = range(1, 10),
    modelNames: str | Sequence[str] | None = None,
    prior: bool | Prior | None = None,
    noise: bool = False,
    *,
    weights: Any = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = 0,
    **params: Any,
) -> MclustResult:
    """Fit Gaussian mixtures of several models and numbers of components, and choose one by BIC, as R's mclust.

    This is `fastgmm.select` in mclust's words. ``help("fastgmm.mclust")`` tells what differs.

    Parameters
    ----------
    data : array-like of shape (n, d), or (n,) for one feature
        The rows.
    G : int or sequence of int, default=range(1, 10)
        Numbers of components; with ``noise`` also 0, which is noise alone.
    modelNames : str or sequence of str, default=None
        Models from 'EII' to 'VVV', of one feature 'E' and 'V'. None takes all, but if there are no more rows than
        features only the six without correlations.
    prior : bool or fastgmm.Prior, default=None
        True takes mclust's default prior; with any, ``reg_covar`` is 0.
    noise : bool, default=False
        Whether there is a component of constant density for rows that belong to no cluster. No first guess is needed.
    weights : array-like of shape (n,), default=None
        How many times each row counts; None is once.
    random_state : int, RandomState, Generator or None, default=0
        Source of randomness. As in mclust, the same call gives the same result.
    **params : dict
        Further arguments of `fastgmm.select` and `fastgmm.GaussianMixture`, such as ``equal_weights`` (mclust's
        equalPro), ``n_init``, ``n_threads``, ``missing``, ``verbose``. Unless you say otherwise, ``tol`` is 1e-5,
        ``max_iter`` 1000 and ``reg_covar`` 'auto', or 0 with a prior or noise.

    Returns
    -------
    result : MclustResult

    Raises
    ------
    ValueError, TypeError
        If an argument is refused, or no model could be fitted.

    Warns
    -----
    SelectionWarning, ConvergenceWarning, DegenerateComponentWarning
        As `fastgmm.select`.

    References
    ----------
    L. Scrucca, C. Fraley, T. B. Murphy, A. E. Raftery. Model-Based Clustering, Classification, and Density Estimation
    Using mclust in R. Chapman and Hall/CRC, 2023.

    Examples
    --------
    >>> from fastgmm.datasets import load_iris
    >>> from fastgmm.mclust import Mclust
    >>> fit = Mclust(load_iris().data)
    >>> fit.modelName, fit.G, round(fit.bic, 4)
    ('VEV', 2, -561.7285)
    """
    for name, remedy in ELSEWHERE.items():
        if name in params:
            raise TypeError(f"Mclust has no argument {name!r}: {remedy}.")
    data = as_table(data)
    numbers, names = _numbers(G, noise), _names(modelNames, np.shape(data))
    own: dict[str, Any] = dict(DEFAULTS)
    if prior is not None and prior is not False:
        own |= {"prior": "mclust" if prior is True else prior, "reg_covar": 0.0}
    if noise:
        own |= {"noise": "auto", "reg_covar": 0.0}  # of outliers far away variances say nothing
    fitted = [number for number in numbers if number > 0] or [1]  # one component knows the volume of the noise, too
    selection = select(data, fitted, names, "bic", sample_weight=weights, random_state=random_state, **own | params)
    return _result(data, selection, numbers, names)


def _result(data: Any, selection: Selection, numbers: list[int], names: list[str]) -> MclustResult:
    """Return the best of the candidates, or noise alone if that is better."""
    best, mixture = selection.table_[0], cast(Any, selection.best_estimator_)
    values = np.full((len(numbers), len(names)), np.nan)
    for line in selection.table_[::-1]:  # the best last, if there are several of a kind
        if line["n_components"] in numbers and not line["degenerate"] and not line["error"]:
            values[numbers.index(line["n_components"]), names.index(line["covariance_type"])] = -line["bic"]
    chosen: dict[str, Any] = {
        "G": int(best["n_components"]),
        "modelName": name_of(str(best["covariance_type"]), int(best["n_components"])),
        "loglik": float(best["log_likelihood"]),
        "df": int(best["n_parameters"]),
        "bic": -float(best["bic"]),
        "icl": -float(best["icl"]),
    }
    if 0 in numbers:
        n = float(mixture.n_samples_seen_)
        loglik = n * float(mixture.noise_log_density_)
        values[numbers.index(0)] = alone = 2 * loglik - math.log(n)
        if numbers == [0] or alone > chosen["bic"]:
            chosen = {"G": 0, "modelName": NOISE, "loglik": loglik, "df": 1, "bic": alone, "icl": alone}
            mixture = None
    found = classified(mixture, data)
    return MclustResult(
        data=data,
        n=len(found.z),
        d=selection.best_estimator_.n_features_in_,
        BIC=BicTable(values, numbers, names),
        uncertainty=np.zeros(len(found.z)) if mixture is None else mixture.uncertainty(data),
        mixture=mixture,
        selection=selection,
        **chosen,
        **found._asdict(),
    )


def _numbers(G: Any, noise: bool) -> list[int]:
    """Return the numbers of components asked for, each once, in rising order."""
    if not isinstance(noise, (bool, np.bool_)):
        raise ValueError(
            f"noise={quoted(noise)}: give True or False, for no first guess of the rows is needed. For your own "
            "volume pass the logarithm of one over it to fastgmm.select(noise=)."
        )
    numbers = [G] if isinstance(G, Integral) else listed_values(G)
    least = 0 if noise else 1
    if not numbers or not all(isinstance(number, Integral) and int(number) >= least for number in numbers):
        also = " (0, noise alone, needs noise=True)" if 0 in numbers and not noise else ""
        raise ValueError(f"G={quoted(G)}: give one or more numbers of components, ints from {least}{also}.")
    return sorted({int(number) for number in numbers})


def _names(modelNames: Any, shape: tuple[int, ...]) -> list[str]:
    """Return the models asked for, or mclust's for rows of this shape."""
    n, d = shape if len(shape) == 2 else (1, 0)  # of what is no array nothing is known
    if modelNames is None:
        if d == 1:
            return list(UNIVARIATE)
        return [name for name in MCLUST if n > d or name.endswith("I")]
    names = [modelNames] if isinstance(modelNames, str) else listed_values(modelNames)
    if not names or not all(isinstance(name, str) and name in {**MCLUST, **UNIVARIATE} for name in names):
        raise ValueError(
            f"modelNames={quoted(modelNames)}: give one or more of {', '.join(MCLUST)}, and for one feature of "
            f"{', '.join(UNIVARIATE)}."
        )
    return list(dict.fromkeys(names))
