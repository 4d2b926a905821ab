"""Part d: calls on few rows, and the time to import."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from itertools import product
from typing import Any

from ..peers import SKLEARN, US
from ..problems import Case
from ..rounds import interleaved
from ..team import Team

CASE = Case(1000, 8, 4)
METHODS = ("predict", "predict_proba", "score_samples")
N_ROWS = (1, 100)
CALLS_LAST = 0.02  # seconds of calls in one measurement
IMPORTS = {US: "import fastgmm", SKLEARN: "from sklearn.mixture import GaussianMixture", "oneDAL": "import daal4py"}
IMPORT = "import time, numpy; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def measure(team: Team, repeats: int) -> dict[str, Any]:
    """Seconds of each call and each import, all rounds: the record."""
    calls = []
    for method, n_rows in product(METHODS, N_ROWS):
        actions = {
            str(setting): partial(team.call, setting, "latency", method, n_rows, CASE, setting.threads, CALLS_LAST)
            for library in (SKLEARN, US)
            for setting in team.settings(library)
        }
        calls.append({"method": method, "n_rows": n_rows, "seconds": interleaved(actions, repeats)})
    imports = {library: partial(import_time, IMPORTS[library]) for library in IMPORTS if library in team.workers}
    return {"case": list(CASE), "calls": calls, "imports": interleaved(imports, repeats)}


def import_time(statement: str) -> float:
    """Seconds a statement takes in a new interpreter that has imported numpy."""
    command = [sys.executable, "-P", "-c", IMPORT.format(statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
