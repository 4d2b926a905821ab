"""mclust's fourteen structures: what an EM iteration takes in each, and `select` over all of them.

Run `python -P bench/structures.py --output structures.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fastgmm import GaussianMixture, select
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.model.structures import MCLUST

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from selection import surroundings

SIZES = ((200_000, 8), (50_000, 32), (40_000, 64))  # rows and features of passes
K = 16
SWEEPS = ((20_000, 6), (150_000, 30))  # and of `select`
ITERATIONS = 4

Array = np.ndarray[Any, Any]


def rows(n: int, d: int, k: int, seed: int) -> tuple[Array, Array]:
    """Correlated groups that overlap, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    shapes = np.eye(d) + 0.3 * rng.normal(size=(k, d, d)) / np.sqrt(d)
    X = 1.5 * rng.normal(size=(k, d))[labels]
    for j in range(k):
        own = labels == j
        X[own] += rng.normal(size=(int(own.sum()), d)) @ shapes[j]
    return X, labels


def seconds_of_fit(X: Array, labels: Array, structure: str, iterations: int, threads: int) -> float:
    """A fit from labels of so many iterations."""
    options: dict[str, Any] = {"init_params": labels, "tol": 0.0, "max_iter": iterations, "n_threads": threads}
    mixture = GaussianMixture(int(labels.max()) + 1, covariance_type=structure, **options)
    begun = time.perf_counter()
    mixture.fit(X)
    return time.perf_counter() - begun


def iterations(repeats: int, threads: int) -> list[dict[str, Any]]:
    """Milliseconds of an iteration in each structure, in turn: the time of longer fits less that of shorter ones."""
    found = []
    for n, d in SIZES:
        X, labels = rows(n, d, K, 0)
        times: dict[str, list[float]] = {name: [] for name in MCLUST}
        for _ in range(repeats):
            for name, own in times.items():
                short, long = (seconds_of_fit(X, labels, name, count, threads) for count in (1, 1 + ITERATIONS))
                own.append(1000 * (long - short) / ITERATIONS)
        full = np.array(times["VVV"])
        for name, own in times.items():
            line = {"rows": n, "features": d, "components": K, "structure": name}
            line |= {"ms": own, "median": float(np.median(own)), "of full": float(np.median(full / np.array(own)))}
            print(f"{n:7} x {d:2}  {name}  {line['median']:7.1f} ms, full takes {line['of full']:.2f} times as long")
            found.append(line)
    return found


def sweeps(repeats: int, threads: int) -> list[dict[str, Any]]:
    """Seconds of `select(X, range(1, 10), "all")`, and what it chooses."""
    data = {"iris": load_iris().data, "faithful": load_faithful().data}
    data |= {f"{n} x {d}": rows(n, d, 5, 1)[0] for n, d in SWEEPS}
    found = []
    for name, X in data.items():
        own = []
        for _ in range(repeats if len(X) < 100_000 else 1):
            begun = time.perf_counter()
            best = select(X, range(1, 10), "all", random_state=0, n_threads=threads).best_estimator_
            own.append(time.perf_counter() - begun)
        line = {"data": name, "seconds": own, "median": float(np.median(own))}
        line |= {"best": f"{best.covariance_type}, {best.n_components}", "bic": float(best.bic(X))}
        print(f"select, {name}: {line['median']:.2f} s, {line['best']}")
        found.append(line)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    chosen = parser.parse_args()
    with warnings.catch_warnings(action="ignore"):
        record = {
            "surroundings": surroundings(chosen.threads),
            "iterations": iterations(chosen.repeats, chosen.threads),
            "select": sweeps(chosen.repeats, chosen.threads),
        }
    if chosen.output:
        chosen.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
