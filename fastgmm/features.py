"""Features, named or numbered."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["feature_numbers"]


def feature_numbers(features: Any, n_features: int, names: NDArray[np.object_] | None) -> list[int]:
    """Return the numbers of features that are named or numbered, each of them once."""
    try:
        chosen = [features] if isinstance(features, (str, Integral)) else list(features)
    except TypeError:
        raise TypeError(f"Features are given as {features!r}. Give a number, a name, or a sequence of them.") from None
    found = [_feature_number(feature, n_features, names) for feature in chosen]
    if not found or len(set(found)) < len(found):
        problem = "names one of them twice" if found else "names none"
        raise ValueError(f"The list of features {chosen!r} {problem}. Give each of them once.")
    return found


def _feature_number(feature: Any, n_features: int, names: NDArray[np.object_] | None) -> int:
    """Return the number of one feature."""
    if isinstance(feature, str):
        known = [] if names is None else list(names)
        if known.count(feature) != 1:
            shown = ", ".join(map(repr, known[:20])) + (", ..." if len(known) > 20 else "")
            remedy = f"give one of {shown}" if known else "the mixture knows no names, so give a number from 0"
            raise ValueError(f"There is no feature {feature!r}: {remedy}.")
        return known.index(feature)
    if not isinstance(feature, Integral) or isinstance(feature, bool):
        raise TypeError(f"A feature is given as {feature!r}. Give its number from 0, or its name.")
    number = int(feature)
    if not -n_features <= number < n_features:
        raise ValueError(f"There is no feature {number}: give a number from 0 to {n_features - 1}.")
    return number % n_features
