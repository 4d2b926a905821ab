"""Arithmetic whose infinities and NaN are found afterwards: NumPy is neither to warn of them nor to raise."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


def masked(function: Callable[P, R]) -> Callable[P, R]:
    """A function in which NumPy is silent about overflow, underflow and NaN, whatever the caller's `numpy.seterr`.

    Threads do not inherit that setting, so what they run is masked too.
    """

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            return function(*arguments, **named)

    return call
