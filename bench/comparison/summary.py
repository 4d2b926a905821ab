"""Figures from the record: milliseconds, ratios and their spread."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .peers import SKLEARN, US
from .rounds import Spread, geometric_mean, ratios, spread

Cell = dict[str, Any]


def per_iteration(cell: Cell, setting: str) -> list[float]:
    """Seconds per iteration of each round, the long fit less the short one; NaN where noise made this negative."""
    short, long = cell["iterations"]
    rounds = (np.median(pairs, axis=0) for pairs in cell["seconds"][setting])
    return [float(late - early) / (long - short) if late > early else math.nan for early, late in rounds]


def library_of(setting: str) -> str:
    """The library's name in front of the comma."""
    return setting.partition(",")[0]


def threads_of(setting: str) -> int:
    """The number of threads after the comma."""
    return int(setting.split()[-3 if library_of(setting) == SKLEARN else -2])


def median(cell: Cell, setting: str) -> float:
    """Median of the seconds per iteration."""
    return spread(per_iteration(cell, setting)).median


def settings(cell: Cell, library: str) -> list[str]:
    """The settings in which a library was timed, the fastest first."""
    found = [setting for setting in cell["seconds"] if library_of(setting) == library]
    return sorted(found, key=lambda setting: median(cell, setting))


def with_threads(cell: Cell, library: str, threads: int) -> str | None:
    """The setting with so many threads, if timed."""
    return next((setting for setting in settings(cell, library) if threads_of(setting) == threads), None)


def rivals(cell: Cell, threads: int, one_each: bool = False) -> dict[str, str]:
    """By column: the setting of another library that is held against fastgmm's with all threads, or with one."""
    if one_each:
        columns = {library: with_threads(cell, library, 1) for library in (SKLEARN, "oneDAL")}
    else:
        sklearn = settings(cell, SKLEARN)
        columns = {
            SKLEARN: sklearn[0] if sklearn else None,
            "as it comes": with_threads(cell, SKLEARN, threads),
            "oneDAL": with_threads(cell, "oneDAL", threads),
            "Armadillo": with_threads(cell, "Armadillo", threads),
        }
    return {column: setting for column, setting in columns.items() if setting}


def ratio(cell: Cell, theirs: str, threads: int) -> Spread:
    """Their time over fastgmm's with so many threads."""
    ours = with_threads(cell, US, threads)
    assert ours
    return ratios(per_iteration(cell, theirs), per_iteration(cell, ours))


def means_and_least(values: Iterable[float]) -> tuple[float, float] | None:
    """Geometric mean and smallest of ratios, None where there are none."""
    known = [value for value in values if value == value]
    return (geometric_mean(known), min(known)) if known else None


def group(cells: list[Cell], structure: str, dtype: str) -> list[Cell]:
    """The cells of one covariance structure and dtype."""
    return [cell for cell in cells if (cell["structure"], cell["dtype"]) == (structure, dtype)]


def kinds(cells: list[Cell]) -> list[tuple[str, str]]:
    """Pairs of structure and dtype, in the order measured."""
    return list(dict.fromkeys((cell["structure"], cell["dtype"]) for cell in cells))


def fit_ratios(problem: dict[str, Any]) -> dict[str, Spread]:
    """scikit-learn's default fit over fastgmm's time: to the same likelihood, also as it comes, and default fits."""
    rounds = problem["rounds"]
    ours = next(key for key in rounds[0] if library_of(key) == US)
    seconds = {key: [found[key]["seconds"] for found in rounds] for key in rounds[0]}
    sklearn = {key: float(np.median(seconds[key])) for key in rounds[0] if library_of(key) == SKLEARN}
    if not sklearn:
        return {}
    best, usual = min(sklearn, key=sklearn.__getitem__), max(sklearn, key=threads_of)
    reached = [found["seconds"] for found in problem["reached"]]
    result = {
        "same likelihood": spread([sklearn[best] / each for each in reached]),
        "default": ratios(seconds[best], seconds[ours]),
    }
    if threads_of(usual) >= threads_of(ours):
        result["as it comes"] = spread([sklearn[usual] / each for each in reached])
    return result
