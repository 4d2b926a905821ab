"""Part a: what one more EM iteration costs, from the same start on the same array."""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..peers import SKLEARN, US
from ..peers.peer import Fitted, Job
from ..problems import Case, draw
from ..rounds import interleaved
from ..team import Setting, Team
from ..worker import Failed

BOUND_RTOL = {"float64": 1e-9, "float32": 1e-5}  # how far lower bounds may differ
STATE_TOL = {
    "float64": 1e-6,
    "float32": 2e-2,
}  # parameters, in units of the mean weight and of 1 (data have deviations near 1)
AT_LEAST = 0.03  # seconds of additional iterations in a measurement, by repeating short ones
PATIENCE = 5.0  # seconds: a slower pair of fits by another library than scikit-learn is not repeated
SUPPORTED = {  # what a library has; the others have all
    "oneDAL": {("full", "float64"), ("full", "float32"), ("diag", "float64"), ("diag", "float32")},
    "Armadillo": {("full", "float64"), ("diag", "float64")},
}


class Cell(NamedTuple):
    """A place in the grid."""

    structure: str
    dtype: str
    case: Case


def measure(team: Team, cell: Cell, iterations: int, repeats: int) -> dict[str, Any]:
    """Check that all settings find the same, then time them in turn: the record of one cell."""
    X, start = draw(cell.case)
    path = team.share(X.astype(cell.dtype))
    lengths = (1, 1 + iterations)
    settings = [
        setting
        for library in team.workers
        if (cell.structure, cell.dtype) in SUPPORTED.get(library, {(cell.structure, cell.dtype)})
        for setting in team.settings(library)
    ]
    jobs = {s: Job(path, start.astype(cell.dtype), cell.structure, s.threads) for s in settings}
    checked, left_out = check(team, jobs, lengths, cell)
    number, at_most, actions = {}, {}, {}
    for setting, fits in checked.items():
        short, long = (fitted.seconds for fitted in fits)
        number[setting] = min(max(1, math.ceil(AT_LEAST / max(long - short, 1e-4))), 10)
        at_most[setting] = repeats
        if long + short > PATIENCE and setting.library not in (SKLEARN, US):
            at_most[setting] = 0
        actions[setting] = partial(team.call, setting, "time", jobs[setting], lengths, number[setting])
    timed = interleaved(actions, repeats, at_most)
    for setting in timed:
        timed[setting] = timed[setting] or [[tuple(fitted.seconds for fitted in checked[setting])]]
    return {
        "structure": cell.structure,
        "dtype": cell.dtype,
        "case": list(cell.case),
        "iterations": list(lengths),
        "bounds": {str(setting): [fitted.bound for fitted in fits] for setting, fits in checked.items()},
        "seconds": {
            str(setting): [[[round(seconds, 7) for seconds in pair] for pair in pairs] for pairs in rounds]
            for setting, rounds in timed.items()
        },
        "left_out": left_out,
    }


def check(
    team: Team, jobs: dict[Setting, Job], lengths: tuple[int, int], cell: Cell
) -> tuple[dict[Setting, list[Fitted]], dict[str, str]]:
    """The fits of all settings that agree with fastgmm's, and why others are left out."""
    checked: dict[Setting, list[Fitted]] = {}
    left_out: dict[str, str] = {}
    for setting, job in jobs.items():
        try:
            checked[setting] = team.call(setting, "check", job, lengths)
        except Failed as error:
            left_out[str(setting)] = str(error)
    ours = next(fits for setting, fits in checked.items() if setting.library == US)
    for setting in list(checked):
        complaint = disagreement(checked[setting], ours, cell)
        if complaint and setting.library in (SKLEARN, US):
            sys.exit(f"{cell.structure}, {cell.dtype}, {cell.case}: {setting} and fastgmm differ: {complaint}")
        if complaint:
            left_out[str(setting)] = f"differs from fastgmm: {complaint}"
            del checked[setting]
    return checked, left_out


def disagreement(theirs: list[Fitted], ours: list[Fitted], cell: Cell) -> str:
    """Where two libraries differ by more than rounding, empty where they agree."""
    bounds, our_bounds = ([fitted.bound for fitted in fits] for fits in (theirs, ours))
    if not np.allclose(bounds, our_bounds, rtol=BOUND_RTOL[cell.dtype], atol=0):
        return f"lower bounds {bounds} and {our_bounds}"
    for name in ("weights", "means", "covariances"):
        found, expected = (np.asarray(getattr(fits[-1], name), float).ravel() for fits in (theirs, ours))
        worst = float(np.abs(found - expected).max())
        if not worst <= STATE_TOL[cell.dtype] * (expected.mean() if name == "weights" else 1.0):
            return f"{name} by {worst:.1e}"
    return ""
