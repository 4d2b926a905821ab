"""Fits that begin on samples of their rows, against fits that begin on all rows: time and likelihood of whole fits.

Run `python -P bench/levels.py --output levels.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastgmm import BayesianGaussianMixture, GaussianMixture, kernels

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison import datasets
from comparison.surroundings import machine
from large import Array, colors, few_patches, patches

WAYS = {"all rows": None, "levels": "auto"}
Draw = Callable[[np.random.Generator, int], Array]


# ---- rows


def overlapping(n_components: int, n_features: int, spread: float) -> Draw:
    """Gaussians of unequal weights and shapes, whose centers scatter by so many of their standard deviations."""

    def draw(rng: np.random.Generator, n: int) -> Array:
        weights = rng.dirichlet(np.full(n_components, 5.0))
        means = spread * rng.normal(size=(n_components, n_features))
        shapes = 0.25 * rng.normal(size=(n_components, n_features, n_features)) + np.eye(n_features)
        X, labels = rng.normal(size=(n, n_features)), rng.choice(n_components, size=n, p=weights)
        for j in range(n_components):
            own = labels == j
            X[own] = X[own] @ shapes[j].T + means[j]
        return X

    return draw


def cluttered(rows: Draw) -> Draw:
    """The same with a tenth of the rows anywhere in a box three times as wide as they are."""

    def draw(rng: np.random.Generator, n: int) -> Array:
        X = rows(rng, n)
        lower, width = X.min(axis=0), np.ptp(X, axis=0)
        some = rng.permutation(n)[: n // 10]
        X[some] = lower + width * rng.uniform(-1, 2, size=(len(some), X.shape[1]))
        return X

    return draw


def again(rows: Callable[[Any], datasets.Dataset], whole: int) -> Draw:
    """Some rows of a set that has as many as it takes."""

    def draw(rng: np.random.Generator, n: int) -> Array:
        X = rows(Fraction(whole, 2 * n)).train
        return X[np.sort(rng.permutation(len(X))[:n])]

    return draw


# ---- cases


class Case(NamedTuple):
    """Rows and a fit of them."""

    name: str
    rows: Draw
    n_samples: int
    n_components: int
    structure: str = "full"
    tol: float = 1e-3
    dtype: str = "float64"
    kind: str = ""


def drawn(n: int, d: int, k: int, spread: float, structure: str = "full", tol: float = 1e-3, kind: str = "") -> Case:
    """A case of Gaussians: of half as many groups where there is a posterior, which has to find that out."""
    rows = overlapping(k // 2 if kind == POSTERIOR else k, d, spread)
    name = f"Gaussians, {spread:g}{', ' if kind else ''}{kind}"
    return Case(name, cluttered(rows) if kind == NOISE else rows, n, k, structure, tol, kind=kind)


NOISE, PRIOR, POSTERIOR = "noise", "prior", "posterior"  # beside maximum likelihood
OPTIONS: dict[str, dict[str, Any]] = {NOISE: {"noise": "auto"}, PRIOR: {"prior": "mclust"}}


TERRAIN, FUNNELS = again(datasets.terrain, 100_000), again(datasets.funnels, 50_000)
CASES = (
    drawn(100_000, 8, 16, 0.7),
    drawn(100_000, 16, 8, 0.6),
    drawn(200_000, 8, 16, 0.7),
    drawn(200_000, 2, 8, 1.5),
    drawn(200_000, 4, 64, 2.0),
    drawn(200_000, 8, 16, 2.0),
    drawn(600_000, 32, 16, 0.5),
    drawn(500_000, 2, 16, 1.5),
    drawn(1_000_000, 10, 8, 0.8),
    drawn(1_000_000, 10, 8, 2.0),
    drawn(200_000, 8, 16, 0.7, "diag"),
    drawn(200_000, 8, 16, 0.7, "tied"),
    drawn(200_000, 8, 16, 0.7, "spherical"),
    drawn(200_000, 8, 16, 2.0, "diag"),
    drawn(200_000, 8, 16, 2.0, "tied"),
    drawn(200_000, 8, 16, 2.0, "spherical"),
    drawn(200_000, 32, 16, 0.5, "diag"),
    drawn(200_000, 32, 16, 0.5, "tied"),
    drawn(200_000, 16, 32, 0.6, "EEI"),
    drawn(100_000, 6, 8, 0.8, "VEE"),
    drawn(100_000, 6, 8, 0.8, "EVV"),
    drawn(200_000, 8, 16, 0.7, tol=1e-5),
    drawn(200_000, 8, 16, 2.0, tol=1e-5),
    drawn(200_000, 8, 16, 0.7, "diag", 1e-5),
    drawn(500_000, 4, 8, 1.2, tol=1e-5),
    Case("colors", colors, 400_000, 16),
    Case("colors", colors, 400_000, 64),
    Case("colors", colors, 400_000, 16, "diag"),
    Case("colors", colors, 200_000, 16, "full", 1e-5),
    Case("patches", few_patches, 200_000, 16),
    Case("patches", few_patches, 200_000, 32, "diag"),
    Case("patches of 64", patches, 150_000, 16, "diag"),
    Case("terrain", TERRAIN, 100_000, 7),
    Case("terrain", TERRAIN, 400_000, 20),
    Case("terrain", TERRAIN, 400_000, 20, "diag"),
    Case("funnels", FUNNELS, 200_000, 8),
    Case("funnels", FUNNELS, 400_000, 20),
    Case("funnels", FUNNELS, 200_000, 20, "diag"),
    drawn(100_000, 8, 16, 0.7, kind=NOISE),
    drawn(200_000, 2, 8, 1.5, kind=NOISE),
    drawn(100_000, 8, 8, 2.0, kind=NOISE),
    drawn(1_000_000, 10, 8, 0.8, kind=NOISE),
    drawn(200_000, 8, 16, 0.7, "diag", kind=NOISE),
    Case("colors, noise", colors, 400_000, 16, kind=NOISE),
    drawn(100_000, 8, 16, 0.7, kind=PRIOR),
    drawn(200_000, 2, 8, 1.5, kind=PRIOR),
    drawn(100_000, 8, 8, 2.0, kind=PRIOR),
    drawn(200_000, 8, 16, 0.7, "tied", kind=PRIOR),
    drawn(100_000, 8, 32, 0.7, tol=10.0, kind=POSTERIOR),  # tol is of all rows together
    drawn(200_000, 2, 16, 1.5, tol=10.0, kind=POSTERIOR),
    drawn(100_000, 8, 16, 2.0, tol=10.0, kind=POSTERIOR),
    drawn(500_000, 4, 16, 1.2, tol=10.0, kind=POSTERIOR),
    drawn(200_000, 8, 32, 0.7, "diag", 10.0, POSTERIOR),
    drawn(200_000, 8, 16, 2.0, "tied", 10.0, POSTERIOR),
    Case("colors, posterior", colors, 200_000, 16, tol=10.0, kind=POSTERIOR),
    Case("terrain, posterior", TERRAIN, 100_000, 14, tol=10.0, kind=POSTERIOR),
)


# ---- fits


def fit(X: Array, case: Case, sampling: str | None, seed: int) -> dict[str, Any]:
    """Processor time, passes and the objective per row that a fit reaches: mean log-likelihood, or evidence."""
    options: dict[str, Any] = {"covariance_type": case.structure, "tol": case.tol, "random_state": seed}
    options |= {"n_components": case.n_components, "sampling": sampling, "n_threads": 1, **OPTIONS.get(case.kind, {})}
    estimator: type[Any] = BayesianGaussianMixture if case.kind == POSTERIOR else GaussianMixture
    begun = time.process_time()
    model = estimator(**options).fit(X)
    seconds = time.process_time() - begun
    return {
        "processor": seconds,
        "passes": model.n_iter_,
        "levels": list(model.fits_[0].levels),
        "converged": model.converged_,
        "score": model.elbo_ / len(X) if case.kind == POSTERIOR else float(model.score(X)),
    }


def measure(case: Case, seeds: int) -> dict[str, Any]:
    """Fits of both kinds in turn, of other rows for each seed."""
    line: dict[str, Any] = case._asdict() | {"rows": case.rows.__name__}
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for seed in range(seeds):
        X = case.rows(np.random.default_rng([seed, case.n_samples]), case.n_samples).astype(case.dtype)
        for way in list(WAYS)[:: 1 if seed % 2 else -1]:
            found[way].append(fit(X, case, WAYS[way], seed))
    return line | {"n_features": X.shape[1], "fits": found}


def gains(line: dict[str, Any]) -> tuple[Array, Array]:
    """For each seed how many times as fast it is, and how much higher the likelihood."""
    all_rows, levels = (line["fits"][way] for way in WAYS)
    pairs = list(zip(all_rows, levels, strict=True))
    times = [one["processor"] / other["processor"] for one, other in pairs]
    return np.array(times), np.array([other["score"] - one["score"] for one, other in pairs])


def told(line: dict[str, Any]) -> str:
    """A row of the table."""
    all_rows, levels = (line["fits"][way] for way in WAYS)
    times, higher = gains(line)
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
    on_samples = [sum(passes for _, passes in one["levels"]) for one in levels]
    error = higher.std(ddof=1) / math.sqrt(len(higher)) if len(higher) > 1 else math.nan
    return (
        f"| {line['name']} | {line['n_samples']}, {line['n_features']}, {line['n_components']} | {line['structure']} "
        f"| {line['tol']:g} | {np.median([one['passes'] for one in all_rows]):g} "
        f"| {np.median(on_samples):g} + {np.median([one['passes'] for one in levels]):g} "
        f"| {middle:.1f} ({low:.1f}, {high:.1f}) | {higher.mean():+.4f} ± {error:.4f} |"
    )


def main() -> None:
    """Measure case by case, print the table, write what was asked for."""
    names = list(dict.fromkeys(case.name for case in CASES))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", metavar="NAME", choices=names, default=names, help=", ".join(names))
    parser.add_argument("--seeds", type=int, default=5, help="sets of rows in a case, each fitted once (default 5)")
    parser.add_argument("--quick", action="store_true", help="one seed, 70 000 rows at most: a trial, no result")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| rows | N, D, K | | tol | passes | with levels | times as fast (quartiles) | higher by, per row |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    lines, seeds = [], 1 if chosen.quick else chosen.seeds
    for case in CASES:
        if chosen.quick:
            case = case._replace(n_samples=min(case.n_samples, 70_000))
        if case.name in chosen.cases:
            lines.append(measure(case, seeds))
            print(told(lines[-1]), flush=True)
    mean = math.exp(np.mean([np.log(gains(line)[0]).mean() for line in lines]))
    print(f"\nTimes as fast, geometric mean of {len(lines)} cases: {mean:.2f}")
    if chosen.output:
        about = machine() | {"threads": 1, "variant": kernels.VARIANT, "seeds": seeds}
        chosen.output.write_text(json.dumps({"surroundings": about, "cases": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
