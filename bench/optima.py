"""Which optimum is found: ten starts, the search of n_init='auto', scikit-learn and, where it is installed, mclust.

Run `python -P bench/optima.py --output optima.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastgmm import GaussianMixture, datasets

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison.surroundings import machine

Array = np.ndarray[Any, Any]

STRUCTURES = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}
TIGHT: dict[str, Any] = {"tol": 1e-9, "reg_covar": 0.0, "max_iter": 5000}
SAME = 1e-2  # log-likelihoods of all rows that are those of one optimum
MCLUST = """
suppressMessages(library(mclust))
given <- commandArgs(TRUE)
X <- as.matrix(read.csv(given[1], header = FALSE))
fit <- Mclust(X, G = as.integer(given[2]), modelNames = given[3], verbose = FALSE, control = emControl(tol = 1e-9))
cat(if (is.null(fit)) NA else fit$loglik)
"""


def principal(X: Array, n_components: int) -> Array:
    """Coordinates along the first principal axes."""
    about = X - X.mean(axis=0)
    return np.ascontiguousarray(about @ np.linalg.svd(about, full_matrices=False)[2][:n_components].T)


def tables() -> dict[str, Array]:
    """Small data sets that come with the libraries."""
    from sklearn.datasets import load_breast_cancer, load_digits, load_wine

    cancer, digits = load_breast_cancer().data, load_digits().data
    return {
        "iris": datasets.load_iris().data,
        "Old Faithful": datasets.load_faithful().data,
        "wine": load_wine().data,
        "breast cancer": cancer,
        "breast cancer, 10": np.ascontiguousarray(cancer[:, :10]),
        "digits, 5": principal(digits, 5),
        "digits, 10": principal(digits, 10),
        "digits, 20": principal(digits, 20),
    }


# ---- ways, each of which returns a log-likelihood, or -inf for a degenerate fit, and what it has to tell


def by_fastgmm(n_init: int | str, **options: Any) -> Callable[[Array, str, int, int], tuple[float, dict[str, Any]]]:
    """fastgmm with so many starts."""

    def fit(X: Array, structure: str, k: int, seed: int) -> tuple[float, dict[str, Any]]:
        own = {"covariance_type": structure, "random_state": seed, "n_threads": 1, **TIGHT, **options}
        model = GaussianMixture(k, n_init=n_init, **own).fit(X)
        sound = any(record.sound is not False for record in model.fits_)
        searched = getattr(model, "searched_", None)
        passes = sum(record.n_iter for record in model.fits_) if searched is None else searched.passes
        return len(X) * float(model.lower_bound_) if sound else -math.inf, {"passes": passes}

    return fit


def by_sklearn(X: Array, structure: str, k: int, seed: int) -> tuple[float, dict[str, Any]]:
    """scikit-learn with ten starts, which raises where a component collapses."""
    from sklearn.mixture import GaussianMixture as Theirs

    try:
        model = Theirs(k, covariance_type=structure, n_init=10, random_state=seed, **TIGHT).fit(X)
    except ValueError as error:
        return -math.inf, {"failed": str(error)[:60]}
    return len(X) * float(model.lower_bound_), {}


def by_mclust(X: Array, structure: str, k: int, seed: int) -> tuple[float, dict[str, Any]]:
    """R's mclust, which starts from its own hierarchy."""
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder) / "X.csv", Path(folder) / "fit.R"
        np.savetxt(table, X, delimiter=",")
        script.write_text(MCLUST)
        command = ["Rscript", str(script), str(table), str(k), STRUCTURES[structure]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = done.stdout.strip()
    return (-math.inf if done.returncode or found == "NA" else float(found)), {}


def ways() -> dict[str, Callable[[Array, str, int, int], tuple[float, dict[str, Any]]]]:
    """What is compared on this machine."""
    found: dict[str, Any] = {
        "fastgmm, one start": by_fastgmm(1),
        "fastgmm, n_init=10": by_fastgmm(10),
        "fastgmm, n_init=100, random": by_fastgmm(100, init_params="random"),
        "fastgmm, n_init='auto'": by_fastgmm("auto"),
        "scikit-learn, n_init=10": by_sklearn,
    }
    if shutil.which("Rscript"):
        found["mclust"] = by_mclust
    return found


# ---- the comparison


def measure(X: Array, structure: str, k: int, seed: int) -> dict[str, Any]:
    """All ways in turn on one problem."""
    found: dict[str, Any] = {}
    for way, fit in ways().items():
        begun = time.process_time()
        value, told = fit(X, structure, k, seed)
        found[way] = {"log_likelihood": value, "processor": time.process_time() - begun, **told}
    return found


def table(lines: list[dict[str, Any]]) -> str:
    """How often each way comes to the best optimum of all, how far below it is else, and how long it takes."""
    names = list(lines[0]["ways"])
    base = names.index("scikit-learn, n_init=10")
    values = np.array([[line["ways"][name]["log_likelihood"] for name in names] for line in lines])
    times = np.array([[line["ways"][name]["processor"] for name in names] for line in lines])
    best = {}
    for line, row in zip(lines, values, strict=True):
        key = line["data"], line["structure"], line["components"]
        best[key] = max(best.get(key, -math.inf), row.max())
    highest = np.array([best[line["data"], line["structure"], line["components"]] for line in lines])
    out = ["| | finds the best | below it, worst tenth | seconds, all | time over scikit-learn's, median |"]
    out.append("| --- | ---: | ---: | ---: | ---: |")
    for i, name in enumerate(names):
        short = highest - values[:, i]
        finite = np.where(np.isfinite(short), short, np.inf)
        worst = np.quantile(finite, 0.9, method="higher")
        ratio = "" if name == "mclust" else f"{np.median(times[:, i] / times[:, base]):.2f}"
        seconds = "" if name == "mclust" else f"{times[:, i].sum():.0f}"
        out.append(f"| {name} | {(short < SAME).mean():.3f} | {worst:.2g} | {seconds} | {ratio} |")
    return "\n".join(out)


def main() -> None:
    """Measure problem by problem, print the table, write what was asked for."""
    from threadpoolctl import threadpool_limits

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", metavar="NAME", choices=list(tables()), default=list(tables()))
    parser.add_argument("--components", nargs="+", type=int, default=[1, 2, 3, 4])
    parser.add_argument("--seeds", type=int, default=3, help="runs of each problem (default 3)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    threadpool_limits(1)
    lines = []
    for name in chosen.data:
        X = np.ascontiguousarray(tables()[name], dtype=np.float64)
        for structure in STRUCTURES:
            for k in chosen.components:
                for seed in range(chosen.seeds):
                    line = {"data": name, "structure": structure, "components": k, "seed": seed}
                    lines.append({**line, "ways": measure(X, structure, k, seed)})
        print(name, file=sys.stderr, flush=True)
    print(f"{len(lines)} runs of {len(lines) // chosen.seeds} problems\n\n{table(lines)}")
    if chosen.output:
        chosen.output.write_text(json.dumps({"surroundings": machine(), "runs": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
