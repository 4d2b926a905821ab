"""How many components a class has, and its mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..gaussian_mixture import GaussianMixture
from ..mixture.checks import NONE, Constraint, either, integer
from ..mixture.protocol import changed, made
from ..selection.select import select
from ..text import quoted
from .holder import Mixture

__all__ = ["SIZES", "Sizes", "class_mixture"]

Sizes = int | str | Sequence[int]  # of one class: a number of components, or those among which BIC chooses

BIC = "bic"
TRIED = range(1, 6)  # numbers of components of each class, as in mclust's MclustDA
SWEEP_SETS = ("n_components", "covariance_type", "warm_start")  # what `select` is not given


def _is_list_of_sizes(value: Any) -> bool:
    """Tell whether a value lists numbers of components."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        return False
    return len(value) > 0 and all(map(integer(1)[0], value))


ONE_SIZE: Constraint = either(
    integer(1),
    (lambda v: isinstance(v, str) and v == BIC, f"'{BIC}'"),
    (_is_list_of_sizes, "a sequence of ints from 1, among which BIC chooses"),
)
SIZES: Constraint = either(
    ONE_SIZE,
    (lambda v: isinstance(v, Mapping) and all(map(ONE_SIZE[0], v.values())), "a mapping of classes to one of these"),
    NONE,
)


def class_mixture(
    empty: Mixture, size: Sizes | None, X: NDArray[Any], sample_weight: NDArray[np.float64] | None
) -> Mixture:
    """Return the mixture of the rows of one class, fitted with the arguments of an empty one."""
    if size is None or isinstance(size, Integral):
        own = {} if size is None else {"n_components": size}
        return made(type(empty), empty.get_params() | own).fit(X, sample_weight=sample_weight)
    if type(empty) is not GaussianMixture:
        raise ValueError(
            f"n_components={quoted(size)} compares objects of GaussianMixture by BIC, but mixture is a "
            f"{type(empty).__name__}: give the number of its components."
        )
    # What is no Integral is no int, which mypy does not know.
    tried = list(TRIED) if isinstance(size, str) else [int(k) for k in size]  # type: ignore[union-attr]
    n_rows = len(X) if sample_weight is None else int(np.count_nonzero(sample_weight))
    fewer = [k for k in tried if k <= n_rows]
    options = {name: value for name, value in changed(empty).items() if name not in SWEEP_SETS}
    return select(X, fewer or tried, empty.covariance_type, sample_weight=sample_weight, **options).best_estimator_
