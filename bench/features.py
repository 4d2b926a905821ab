"""Time and peak memory of whole fits against the number of features, without matrices: beside scikit-learn.

Run `python bench/features.py --output features.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.mixture import GaussianMixture as Theirs

import fastgmm
from fastgmm import GaussianMixture, kernels

FEATURES = (1000, 2000, 5000, 10_000, 20_000, 50_000)
ROWS, COMPONENTS = 200, 3
LIBRARIES = ("fastgmm", "scikit-learn")
WAYS = (
    ("diag", "kmeans"),
    ("diag", "hierarchical"),
    ("diag", "best"),
    ("diag", "gaps"),
    ("spherical", "kmeans"),
    ("spherical", "best"),
)
GAPS = 0.05  # share of values missing

Array = np.ndarray[Any, Any]


@dataclass
class Fit:
    """Whole fits of one size: seconds of each, bytes by which the peak exceeds the rows, likelihood and iterations."""

    library: str
    structure: str
    way: str
    features: int
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    log_likelihood: float = 0.0
    iterations: int = 0


def rows(n_features: int, gaps: bool) -> Array:
    """Three groups that overlap in each feature alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, n_features)) + np.arange(ROWS)[:, None] % COMPONENTS
    if gaps:
        X[rng.random(X.shape) < GAPS] = np.nan
    return X


def estimator(fit: Fit) -> Any:
    """The estimator of a fit; both libraries with their defaults beside structure, start and seed."""
    options: dict[str, Any] = {"covariance_type": fit.structure, "random_state": 0}
    if fit.library == "scikit-learn":
        return Theirs(COMPONENTS, **options)
    if fit.way == "gaps":
        return GaussianMixture(COMPONENTS, missing="em", **options)
    return GaussianMixture(COMPONENTS, init_params=fit.way, **options)


def resident() -> tuple[int, int]:
    """Bytes of this process in memory, now and at most (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if "Vm" in name}
    return 1024 * found["VmRSS"], 1024 * found["VmHWM"]


def measure(fit: Fit, repeats: int) -> Fit:
    """Fit once for the peak, in a process that has fitted nothing else of this size, then for the times."""
    X, model = rows(fit.features, fit.way == "gaps"), estimator(fit)
    model.fit(X[:, :5])  # what is loaded late
    before, _ = resident()
    model.fit(X)
    fit.peak_bytes = resident()[1] - before
    for _ in range(repeats):
        begin = time.perf_counter()
        model.fit(X)
        fit.seconds.append(time.perf_counter() - begin)
    fit.log_likelihood, fit.iterations = float(model.score(X)), int(model.n_iter_)
    return fit


def in_fresh_process(fit: Fit, repeats: int) -> Fit:
    """The same, in a process of its own."""
    command = [sys.executable, "-P", __file__, "--one", json.dumps(asdict(fit)), "--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Fit(**json.loads(done.stdout))


def table(fits: list[Fit]) -> str:
    """A line for each way to fit, a column for each number of features: median ms, and MB beyond the rows."""
    sizes = sorted({fit.features for fit in fits})
    lines = ["| structure | start | library | " + " | ".join(f"D = {d:,}" for d in sizes) + " |"]
    lines.append("| --- | --- | --- |" + " ---: |" * len(sizes))
    groups: dict[tuple[str, str, str], dict[int, str]] = {}
    for fit in fits:
        told = f"{1e3 * np.median(fit.seconds):,.0f} ms, {fit.peak_bytes / 2**20:,.0f} MB"
        groups.setdefault((fit.structure, fit.way, fit.library), {})[fit.features] = told
    for names, told in groups.items():
        lines.append(f"| {' | '.join(names)} | " + " | ".join(told.get(d, "") for d in sizes) + " |")
    return "\n".join(lines)


def surroundings() -> dict[str, Any]:
    """What a reader must know to judge the numbers."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": cpu,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "variant": kernels.VARIANT,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "fastgmm": fastgmm.__version__,
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=FEATURES, help="numbers of features")
    parser.add_argument("--repeats", type=int, default=5, help="how often each fit is timed (default 5)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Fit in processes of their own, the libraries in turn; print the table, write what was asked for."""
    options = arguments()
    warnings.simplefilter("ignore")
    if options.one:
        print(json.dumps(asdict(measure(Fit(**json.loads(options.one)), options.repeats))))
        return
    told = surroundings()
    print(*(f"{key}: {value}" for key, value in told.items()), sep="\n", end="\n\n")
    fits = [
        in_fresh_process(Fit(library, structure, way, n_features), options.repeats)
        for structure, way in WAYS
        for n_features in options.features
        for library in LIBRARIES
        if library == "fastgmm" or way == "kmeans"
    ]
    print(f"{ROWS} rows, {COMPONENTS} components: whole fits, and peak memory beyond the rows.\n\n{table(fits)}")
    if options.output:
        record = {"surroundings": told, "rows": ROWS, "components": COMPONENTS, "fits": [asdict(fit) for fit in fits]}
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
