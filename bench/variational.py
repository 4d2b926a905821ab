"""BayesianGaussianMixture beside scikit-learn's: iterations, whole fits of single columns, and passes saved by SQUAREM.

Run `python -P bench/variational.py --output variational.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.mixture import BayesianGaussianMixture as Theirs
from threadpoolctl import threadpool_limits

from fastgmm import BayesianGaussianMixture as Ours

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison.problems import CASES, STRUCTURES, Array, Case, draw
from comparison.surroundings import machine, usable_cores

ITERATIONS = {"fastgmm": 20, "scikit-learn": 4}  # timed in each fit, beyond the first
COLUMN_SIZES = (10_000, 100_000, 581_000, 1_000_000)  # the largest for one kind alone
# What CTGAN, TVAE and the transformers of RDT fit to each numeric column.
CTGAN = {
    "n_components": 10,
    "weight_concentration_prior_type": "dirichlet_process",
    "weight_concentration_prior": 0.001,
    "max_iter": 100,
    "n_init": 1,
}


class FromResponsibilities(Theirs):
    """scikit-learn's estimator from given responsibilities."""

    given: Array

    def _initialize_parameters(self, X: Array, *_: Any, **__: Any) -> None:
        self._initialize(X, self.given)


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


# ---- iterations


def iteration(library: str, X: Array, given: Array, threads: int, **params: Any) -> float:
    """Seconds per iteration, from fits of one iteration and of more."""

    def fit(max_iter: int) -> None:
        if library == "fastgmm":
            Ours(init_params=given, n_threads=threads, max_iter=max_iter, tol=0, **params).fit(X)
        else:
            theirs = FromResponsibilities(max_iter=max_iter, tol=0, **params)
            theirs.given = given
            theirs.fit(X)

    with threadpool_limits(threads):
        short = seconds(lambda: fit(1))
        more = ITERATIONS[library]
        return (seconds(lambda: fit(1 + more)) - short) / more


def iterations(cases: list[Case], repeats: int, threads: int) -> Iterator[dict[str, Any]]:
    """Both libraries in turn on each case and structure; scikit-learn with one BLAS thread and with all."""
    settings = [("fastgmm", threads), ("scikit-learn", 1), ("scikit-learn", threads)]
    for case in cases:
        X = draw(case)[0]
        given = np.random.default_rng(0).dirichlet(np.ones(case.n_components), size=case.n_samples)
        for structure in STRUCTURES:
            params = {"n_components": case.n_components, "covariance_type": structure}
            found: dict[str, list[float]] = {f"{library}, {n}": [] for library, n in settings}
            for _ in range(repeats):
                for library, n in settings:
                    found[f"{library}, {n}"].append(iteration(library, X, given, n, **params))
            ours = np.array(found[f"fastgmm, {threads}"])
            theirs = np.minimum(found["scikit-learn, 1"], found[f"scikit-learn, {threads}"])
            ratio = float(np.median(theirs / ours))
            yield {"case": list(case), "structure": structure, "seconds": found, "times_faster": ratio}


# ---- columns of tables


def columns(n_samples: int) -> dict[str, Array]:
    """Columns of the kinds that generators of tables meet."""
    rng = np.random.default_rng(n_samples)
    centers, widths = np.array([-3.0, 0.0, 1.0, 6.0]), np.array([0.5, 1.0, 0.2, 2.0])
    labels = rng.choice(4, n_samples, p=[0.2, 0.5, 0.2, 0.1])
    income = np.exp(rng.normal(3.0, 1.2, n_samples))
    return {
        "continuous": centers[labels] + widths[labels] * rng.normal(size=n_samples),
        "integer-valued": rng.poisson(np.where(labels < 2, 30, 45)).astype(float),
        "zero-inflated": np.where(rng.random(n_samples) < 0.6, 0.0, income),
        "heavy-tailed": 1000 * rng.standard_t(2.5, n_samples),
    }


def whole_fits(sizes: list[int], repeats: int, threads: int) -> Iterator[dict[str, Any]]:
    """The call of CTGAN on each column, both libraries in turn; of large columns once, for they take a minute."""
    for n_samples in sizes:
        for kind, column in list(columns(n_samples).items())[: 1 if n_samples > 581_000 else None]:
            X, found = column[:, None], dict[str, list[float]](ours=[], theirs=[])
            for _ in range(repeats if n_samples <= 100_000 else 1):
                models = Ours(random_state=0, n_threads=threads, **CTGAN), Theirs(random_state=0, **CTGAN)
                for name, model in zip(found, models, strict=True):
                    with threadpool_limits(threads):
                        found[name].append(seconds(partial(model.fit, X)))
            ours, theirs = models
            yield {
                "n_samples": n_samples,
                "kind": kind,
                "seconds": found,
                "times_faster": float(np.median(np.divide(found["theirs"], found["ours"]))),
                "n_iter": [ours.n_iter_, theirs.n_iter_],
                "lower_bound": [float(ours.lower_bound_), float(np.ravel(theirs.lower_bound_)[0])],
                "used": [int((model.weights_ > 0.005).sum()) for model in models],
            }


# ---- acceleration


def passes(seeds: int, n_samples: int) -> Iterator[dict[str, Any]]:
    """Passes to within 1e-6 per row of where plain iterations end, on groups that overlap."""
    for seed in range(seeds):
        for structure in STRUCTURES:
            rng = np.random.default_rng(seed)
            groups = int(rng.integers(5, 9))
            centers = 2.5 * rng.normal(size=(groups, 3))
            X = centers[rng.integers(groups, size=n_samples)] + rng.normal(size=(n_samples, 3))
            params = {"n_components": 10, "covariance_type": structure, "random_state": seed, "max_iter": 20_000}
            plain = Ours(tol=1e-7, **params).fit(X)
            fast = Ours(tol=1e-7, acceleration="squarem", **params).fit(X)
            target = plain.lower_bound_ - 1e-6 * n_samples
            reached = [int(np.argmax(np.array(m.lower_bounds_) >= target)) + 1 for m in (plain, fast)]
            there = fast.lower_bound_ >= target
            yield {
                "seed": seed,
                "structure": structure,
                "passes": reached if there else [reached[0], None],
                "gained": float(fast.lower_bound_ - plain.lower_bound_),
                "largest_fall": float(max(0.0, -np.diff(fast.lower_bounds_).min())),
            }


# ---- all of it


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of measurements (default 3)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="threads for all (default: usable cores)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one round: a trial, no result")
    return parser.parse_args()


def main() -> None:
    """Measure, print a line for each result, and write the JSON."""
    options = arguments()
    warnings.simplefilter("ignore")
    cases = [case.tenth() for case in CASES[:3]] if options.quick else list(CASES)
    sizes = [1000] if options.quick else list(COLUMN_SIZES)
    repeats = 1 if options.quick else options.repeats
    parts = {
        "iterations": iterations(cases, repeats, options.threads),
        "columns": whole_fits(sizes, repeats, options.threads),
        "passes": passes(1 if options.quick else 8, 200 if options.quick else 2000),
    }
    results: dict[str, Any] = {
        "surroundings": machine() | {"threads": options.threads, "scikit-learn": sklearn.__version__}
    }
    for name, part in parts.items():
        results[name] = []
        for row in part:
            results[name].append(row)
            print(name, json.dumps(row), flush=True)
    for structure in STRUCTURES:
        ratios = [row["times_faster"] for row in results["iterations"] if row["structure"] == structure]
        mean = math.exp(float(np.mean(np.log(ratios))))
        print(f"{structure}: {mean:.1f} times faster per iteration, {min(ratios):.1f} to {max(ratios):.1f}")
    shares = [b / a for a, b in (row["passes"] for row in results["passes"]) if b]
    print(f"SQUAREM: {np.median(shares):.2f} of the passes, {len(shares)} of {len(results['passes'])} ends reached")
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
