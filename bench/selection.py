"""Model selection: `fastgmm.select` against the same loop over scikit-learn's estimators, time and the best BIC.

Run `python bench/selection.py --output selection.json`; bench/README.md says what is measured.
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
from sklearn.mixture import GaussianMixture as Theirs
from threadpoolctl import threadpool_limits

import fastgmm
from fastgmm import GaussianMixture, kernels, select

STRUCTURES = ("full", "tied", "diag", "spherical")
N, D = 20_000, 6
GROUPS, DISTANCES = (4, 7, 10), (0.7, 1.5)  # numbers of components of the data, and how far these are apart

Array = np.ndarray[Any, Any]
Table = dict[str, float]  # BIC by "structure K"


@dataclass
class Case:
    """Rows drawn from a mixture."""

    groups: int
    distance: float
    data_seed: int

    def rows(self) -> Array:
        """Groups of any shape, about standard in size; means are normal with the distance as standard deviation."""
        rng = np.random.default_rng(self.data_seed)
        means = self.distance * rng.normal(size=(self.groups, D))
        labels = rng.choice(self.groups, N, p=rng.dirichlet(np.full(self.groups, 5.0)))
        X = np.empty((N, D))
        for k in range(self.groups):
            shape = rng.normal(size=(D, D)) / np.sqrt(D) + 0.3 * np.eye(D)
            X[labels == k] = means[k] + rng.normal(size=(int((labels == k).sum()), D)) @ shape.T
        return X


@dataclass
class Result:
    """What one way to select came to on one case: times of all repeats, and for each seed the BIC of each candidate."""

    case: Case
    way: str
    seconds: list[float] = field(default_factory=list)
    bic: list[Table] = field(default_factory=list)

    def best(self) -> list[float]:
        """The lowest BIC for each seed."""
        return [min(table.values()) for table in self.bic]


def loop(estimator: Any, X: Array, largest: int, seed: int, **options: Any) -> Table:
    """Fit candidate after candidate."""
    table = {}
    for kind in STRUCTURES:
        for k in range(1, largest + 1):
            model = estimator(k, covariance_type=kind, random_state=seed, **options).fit(X)
            table[f"{kind} {k}"] = float(model.bic(X))
    return table


def sweep(X: Array, largest: int, seed: int, threads: int) -> Table:
    """All at once."""
    table = select(X, range(1, largest + 1), STRUCTURES, random_state=seed, n_threads=threads).table_
    return {f"{row['covariance_type']} {row['n_components']}": float(row["bic"]) for row in table}


def ways(largest: int, threads: int) -> dict[str, tuple[int, Callable[[Array, int], Table]]]:
    """Threads of BLAS, and how to get a table from rows and a seed, by name."""
    ours = {"n_threads": threads}
    return {
        "scikit-learn, BLAS on 1 thread": (1, lambda X, seed: loop(Theirs, X, largest, seed)),
        f"scikit-learn, BLAS on {threads}": (threads, lambda X, seed: loop(Theirs, X, largest, seed)),
        "fastgmm, a loop": (threads, lambda X, seed: loop(GaussianMixture, X, largest, seed, **ours)),
        "fastgmm.select": (threads, lambda X, seed: sweep(X, largest, seed, threads)),
    }


def measure(cases: list[Case], seeds: int, repeats: int, largest: int, threads: int) -> list[Result]:
    """Every way on every case, in turn and in a new order for each repeat of each seed."""
    results, order = [], np.random.default_rng(0)
    for case in cases:
        X, known = case.rows(), ways(largest, threads)
        rows = {name: Result(case, name) for name in known}
        for seed in range(seeds):
            for repeat in range(repeats):
                for name in order.permutation(list(known)):
                    blas, way = known[str(name)]
                    with threadpool_limits(blas):
                        begin = time.perf_counter()
                        table = way(X, seed)
                        rows[str(name)].seconds.append(time.perf_counter() - begin)
                    if repeat == 0:
                        rows[str(name)].bic.append(table)
        results += rows.values()
        print(report(list(rows.values())), flush=True)
    return results


def report(rows: list[Result]) -> str:
    """A line for each way: time, ratio to the faster of scikit-learn's, and the best BIC against scikit-learn's."""
    theirs = [row for row in rows if row.way.startswith("scikit-learn")]
    fastest = min(float(np.median(row.seconds)) for row in theirs)
    case = rows[0].case
    lines = []
    for row in rows:
        seconds = float(np.median(row.seconds))
        gains = np.subtract(row.best(), theirs[0].best())
        right = sum(min(table, key=lambda name: table[name]) == f"full {case.groups}" for table in row.bic)
        lines.append(
            f"| {case.groups} groups, {case.distance:g} apart | {row.way} | {seconds:.3f} | {fastest / seconds:.1f} "
            f"| {gains.min():+.1f} to {gains.max():+.1f} | {right} of {len(row.bic)} |"
        )
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
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0 (default 3)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each seed is timed (default 3)")
    parser.add_argument("--largest", type=int, default=12, help="most components (default 12)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of both (default: all cores)")
    parser.add_argument("--quick", action="store_true", help="one case, one seed, one repeat")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    return parser.parse_args()


def main() -> None:
    """Select, print the table, write what was asked for."""
    options = arguments()
    warnings.simplefilter("ignore")  # of fits that stop at max_iter: both libraries' defaults do
    told = surroundings(options.threads)
    print(*(f"{key}: {value}" for key, value in told.items()), sep="\n", end="\n\n")
    cases = [Case(groups, distance, groups) for groups in GROUPS for distance in DISTANCES]
    seeds, repeats = options.seeds, options.repeats
    if options.quick:
        cases, seeds, repeats = cases[2:3], 1, 1
    print("| data | way | seconds | times faster | best BIC less scikit-learn's | truth found |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    results = measure(cases, seeds, repeats, options.largest, options.threads)
    if options.output:
        record = {"surroundings": told, "selections": [asdict(row) for row in results]}
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
