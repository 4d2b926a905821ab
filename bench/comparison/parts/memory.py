"""Part c: the most memory that fit and predict_proba need beyond the array, in fresh processes."""

from __future__ import annotations

from typing import Any

from ..peers import SKLEARN, US
from ..problems import Case, draw
from ..team import Team
from ..worker import Failed

CASE = Case(2_000_000, 10, 8)


def measure(team: Team, case: Case) -> dict[str, Any]:
    """One process for each library and method: the record."""
    X, start = draw(case)
    path = team.share(X)
    del X
    peaks: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    for library in team.workers:
        methods = ["peak_of_fit"]
        if library in (SKLEARN, US):
            methods.append("peak_of_predict_proba")
        for method in methods:
            worker = team.hire(library)
            try:
                peak = worker.call(method, path, start, team.threads)
                peaks.setdefault(library, {})[method.removeprefix("peak_of_")] = peak
            except Failed as error:
                left_out[library] = str(error)
            finally:
                worker.close()
    return {"case": list(case), "array": 8 * case.n_samples * case.n_features, "peaks": peaks, "left_out": left_out}
