"""Default fits of many rows against scikit-learn's: processor time of whole fits on one thread, and the likelihood.

Run `python -P bench/default_fits.py --output default-fits.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.mixture import GaussianMixture as Theirs
from threadpoolctl import threadpool_limits

from fastgmm import GaussianMixture, kernels

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison.surroundings import machine
from large import Array
from levels import CASES, Case

OURS, THEIRS = "fastgmm", "scikit-learn"
STRUCTURES = ("full", "tied", "diag", "spherical")
USUAL = tuple(case for case in CASES if case.structure in STRUCTURES and case.tol == 1e-3 and not case.kind)


def fit(library: str, X: Array, case: Case, seed: int) -> dict[str, Any]:
    """Processor time, passes over all rows and the mean log-likelihood of a fit with defaults."""
    options: dict[str, Any] = {"covariance_type": case.structure, "random_state": seed}
    if library == OURS:
        model: Any = GaussianMixture(case.n_components, n_threads=1, **options)
    else:
        model = Theirs(case.n_components, **options)
    with threadpool_limits(1):
        begun = time.process_time()
        model.fit(X)
        seconds = time.process_time() - begun
    return {"processor": seconds, "passes": model.n_iter_, "converged": model.converged_, "bound": model.lower_bound_}


def measure(case: Case, seeds: int) -> dict[str, Any]:
    """Fits of both in turn, of other rows for each seed."""
    found: dict[str, list[dict[str, Any]]] = {OURS: [], THEIRS: []}
    for seed in range(seeds):
        X = case.rows(np.random.default_rng([seed, case.n_samples]), case.n_samples).astype(case.dtype)
        for library in list(found)[:: 1 if seed % 2 else -1]:
            found[library].append(fit(library, X, case, seed))
    sizes = {"n_samples": case.n_samples, "n_features": X.shape[1], "n_components": case.n_components}
    return {"name": case.name, "structure": case.structure, **sizes, "fits": found}


def ratios(line: dict[str, Any]) -> Array:
    """For each seed how many times as long scikit-learn takes."""
    pairs = zip(line["fits"][THEIRS], line["fits"][OURS], strict=True)
    return np.array([theirs["processor"] / ours["processor"] for theirs, ours in pairs])


def told(line: dict[str, Any]) -> str:
    """A row of the table."""
    bounds, passes = (
        [float(np.median([one[name] for one in line["fits"][library]])) for library in (THEIRS, OURS)]
        for name in ("bound", "passes")
    )
    return (
        f"| {line['name']} | {line['n_samples']}, {line['n_features']}, {line['n_components']} | {line['structure']} "
        f"| {passes[0]:g} | {passes[1]:g} | {np.median(ratios(line)):.1f} | {bounds[0]:.3f} | {bounds[1]:.3f} |"
    )


def mean(lines: list[dict[str, Any]]) -> float:
    """The geometric mean of the cases' medians."""
    return math.exp(float(np.mean([np.log(np.median(ratios(line))) for line in lines])))


def main() -> None:
    """Measure case by case, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="sets of rows in a case, each fitted once (default 1)")
    parser.add_argument("--cases", nargs="+", type=int, metavar="I", help="some cases alone, by their numbers")
    parser.add_argument("--quick", action="store_true", help="20 000 rows at most: a trial, no result")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| rows | N, D, K | | passes: scikit-learn | fastgmm | times as fast | bound: scikit-learn | fastgmm |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    lines = list[dict[str, Any]]()
    for case in [USUAL[i] for i in chosen.cases or range(len(USUAL))]:
        if chosen.quick:
            case = case._replace(n_samples=min(case.n_samples, 20_000))
        lines.append(measure(case, chosen.seeds))
        print(told(lines[-1]), flush=True)
        if chosen.output:
            about = machine() | {"threads": 1, "variant": kernels.VARIANT, "scikit-learn": sklearn.__version__}
            chosen.output.write_text(json.dumps({"surroundings": about, "cases": lines}, indent=1) + "\n")
    higher = [np.median([one["bound"] for one in line["fits"][OURS]]) for line in lines]
    lower = [np.median([one["bound"] for one in line["fits"][THEIRS]]) for line in lines]
    print(f"\nTimes as fast, geometric mean of {len(lines)} cases: {mean(lines):.1f}")
    print(f"Mean log-likelihoods are higher by {np.mean(np.subtract(higher, lower)):.4f} in the mean.")


if __name__ == "__main__":
    main()
