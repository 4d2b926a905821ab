"""Where fits end and what they cost, start by start, on five real data sets: against scikit-learn's default fit.

Run `python bench/initialization.py --output initialization.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as Theirs
from threadpoolctl import threadpool_limits

import fastgmm
from fastgmm import GaussianMixture, kernels
from fastgmm.datasets import load_faithful, load_iris

STRUCTURES = ("full", "tied", "diag", "spherical")
N_INIT, TIGHT = 10, 1e-6  # of the part on restarts: how many, and their tolerance

Array = np.ndarray[Any, Any]


@dataclass
class Case:
    """A data set and its number of components."""

    name: str
    X: Array
    k: int


@dataclass
class Result:
    """What one way to fit came to on one data set: a number for each seed, times [seed][repeat]."""

    data: str
    structure: str
    way: str
    log_likelihoods: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)

    def mean(self) -> float:
        """Mean log-likelihood per sample over the seeds."""
        return float(np.mean(self.log_likelihoods))

    def time(self) -> float:
        """Mean over the seeds of the median time."""
        return float(np.mean(np.median(self.seconds, axis=1)))


def cases() -> list[Case]:
    """The five data sets, with as many components as they have classes (geyser: two)."""
    return [
        Case("iris", load_iris().data, 3),
        Case("Old Faithful", load_faithful().data, 2),
        Case("digits, 20 principal components", PCA(20, random_state=0).fit_transform(load_digits().data), 10),
        Case("wine", load_wine().data, 3),
        Case("breast cancer", load_breast_cancer().data, 2),
    ]


def ways(structure: str, threads: int) -> dict[str, Callable[[int, int], Any]]:
    """Estimators by name, made of a number of components and a seed."""

    def ours(method: str) -> Callable[[int, int], Any]:
        return lambda k, seed: GaussianMixture(
            k, covariance_type=structure, init_params=method, random_state=seed, n_threads=threads
        )

    return {
        "scikit-learn": lambda k, seed: Theirs(k, covariance_type=structure, random_state=seed),
        "default": ours("kmeans"),
        "best": ours("best"),
        "hierarchical": ours("hierarchical"),
    }


def compare(structure: str, seeds: int, repeats: int, threads: int) -> list[Result]:
    """Fit each data set in every way, the ways in turn and in a new order for each repeat of each seed."""
    results, order = [], np.random.default_rng(0)
    for case in cases():
        makers = ways(structure, threads)
        rows = [Result(case.name, structure, way) for way in makers]
        for seed in range(seeds):
            times: list[list[float]] = [[] for _ in rows]
            models = [make(case.k, seed) for make in makers.values()]
            for _ in range(repeats):
                for i in order.permutation(len(rows)):
                    begin = time.perf_counter()
                    models[i].fit(case.X)
                    times[i].append(time.perf_counter() - begin)
            for row, model, taken in zip(rows, models, times, strict=True):
                row.log_likelihoods.append(float(model.score(case.X)))
                row.iterations.append(int(model.n_iter_))
                row.seconds.append(taken)
        results += rows
    return results


def restart(structure: str, seeds: int, threads: int) -> list[Result]:
    """Ten restarts at a tight tolerance, with hopeless ones dropped and without: iterations of all of them."""
    results = []
    for case in cases():
        for drop in (False, True):
            row = Result(case.name, structure, "dropping" if drop else "all to the end")
            for seed in range(seeds):
                model = GaussianMixture(
                    case.k,
                    covariance_type=structure,
                    n_init=N_INIT,
                    tol=TIGHT,
                    max_iter=1000,
                    random_state=seed,
                    n_threads=threads,
                    drop_restarts=drop,
                )
                begin = time.perf_counter()
                model.fit(case.X)
                row.seconds.append([time.perf_counter() - begin])
                row.log_likelihoods.append(float(model.score(case.X)))
                row.iterations.append(sum(record.n_iter for record in model.fits_))
            results.append(row)
    return results


def table(results: list[Result]) -> str:
    """A line for each data set and way to fit it."""
    lines = [
        "| structure | data | fit | mean log-likelihood | standard error | iterations | ms |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in results:
        error = np.std(row.log_likelihoods) / np.sqrt(len(row.log_likelihoods))
        lines.append(
            f"| {row.structure} | {row.data} | {row.way} | {row.mean():.4f} | {error:.4f} "
            f"| {np.mean(row.iterations):.1f} | {1e3 * row.time():.2f} |"
        )
    return "\n".join(lines)


def totals(results: list[Result]) -> str:
    """Mean log-likelihood over the data sets, and the time for one fit of each."""
    lines = [
        "| structure | fit | mean log-likelihood of five data sets | ms for five fits |",
        "| --- | --- | ---: | ---: |",
    ]
    groups: dict[tuple[str, str], list[Result]] = {}
    for row in results:
        groups.setdefault((row.structure, row.way), []).append(row)
    for (structure, way), rows in groups.items():
        mean, total = np.mean([row.mean() for row in rows]), 1e3 * sum(row.time() for row in rows)
        lines.append(f"| {structure} | {way} | {mean:.4f} | {total:.1f} |")
    return "\n".join(lines)


def surroundings(threads: int) -> dict[str, Any]:
    """What a reader must know to judge the numbers."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": cpu,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "threads": threads,
        "variant": kernels.VARIANT,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "fastgmm": fastgmm.__version__,
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds, from 0 (default 10)")
    parser.add_argument("--repeats", type=int, default=5, help="how often each fit is timed (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads for both libraries (default 1)")
    parser.add_argument("--structures", nargs="+", choices=STRUCTURES, default=STRUCTURES, help="default: all four")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    return parser.parse_args()


def main() -> None:
    """Fit, print the tables, write what was asked for."""
    options = arguments()
    warnings.simplefilter("ignore")  # of fits that stop at max_iter: both libraries' defaults do
    told = surroundings(options.threads)
    print(*(f"{key}: {value}" for key, value in told.items()), sep="\n", end="\n\n")
    starts, restarts = [], []
    with threadpool_limits(options.threads):
        for structure in options.structures:
            starts += compare(structure, options.seeds, options.repeats, options.threads)
            restarts += restart(structure, options.seeds, options.threads)
    print(f"{totals(starts)}\n\n{table(starts)}\n\n{N_INIT} restarts, tol = {TIGHT:g}:\n\n{totals(restarts)}\n")
    print(table(restarts))
    if options.output:
        record = {
            "surroundings": told,
            "starts": [asdict(row) for row in starts],
            "restarts": [asdict(row) for row in restarts],
        }
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
