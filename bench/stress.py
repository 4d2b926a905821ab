"""Small problems that other libraries give up on: every fit must end, with finite parameters and an honest trace.

Run `python bench/stress.py --problems 10000`; bench/README.md says what is drawn and what is checked.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastgmm import GaussianMixture
from fastgmm.model.structures import CONSTRAINED, LAYOUTS, STRUCTURES

Array = np.ndarray[Any, Any]

OF_PRIOR = "singular as a prior"  # a repair of the prior, not of a component
ROUGH = {"float64": 1e-9, "float32": 1e-5}  # rounding of a bound, relative to its size and that of the dimension


def draw(seed: int, kinds: Sequence[str] = tuple(LAYOUTS)) -> tuple[Array, dict[str, Any], list[str]]:
    """Rows, constructor arguments with one of some covariance types, and what is bad about them."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 120)), int(rng.integers(1, 9))
    dtype = str(rng.choice(["float64", "float32"]))
    X = rng.normal(size=(n, d)) + rng.integers(0, 3, size=(n, 1)) * rng.normal(scale=3.0, size=d)
    bad = [str(name) for name in rng.choice(list(BAD), size=rng.integers(0, 4), replace=False)]
    for name in bad:
        X = BAD[name](rng, X)
    k = int(rng.integers(1, min(len(X), 12) + 1))
    if "as many components as rows" in bad:
        k = len(X)
    largest = (150 if dtype == "float64" else 15) - (13 if "outlier" in bad else 4)
    if rng.random() < 0.3:
        X = X * 10.0 ** int(rng.integers(-largest, largest + 1))
        bad.append("scale")
    options = {
        "n_components": k,
        "covariance_type": str(rng.choice(kinds)),
        "reg_covar": [0.0, 0.0, 1e-6, "auto"][int(rng.integers(4))],
        "init_params": str(rng.choice(["kmeans", "k-means++", "random", "random_from_data"])),
        "tol": [1e-3, 1e-9][int(rng.integers(2))],
        "max_iter": 60,
        "acceleration": [None, "squarem"][int(rng.integers(2))],
        "convergence": str(rng.choice(["likelihood", "parameters", "aitken"])),
        "random_state": seed,
    }
    return X.astype(dtype), options, bad


def duplicated(rng: np.random.Generator, X: Array) -> Array:
    """Few different rows, each many times."""
    return X[rng.integers(0, max(1, len(X) // int(rng.integers(2, 20))), size=len(X))]


def constant(rng: np.random.Generator, X: Array) -> Array:
    """Columns of one value each."""
    columns = rng.random(X.shape[1]) < 0.5
    return np.where(columns, rng.choice([0.0, 1.0, -7.3, 1e5], size=X.shape[1]), X)


def collinear(rng: np.random.Generator, X: Array) -> Array:
    """A feature that follows from the others."""
    return np.column_stack([X, X @ rng.normal(size=X.shape[1])])


def outlier(rng: np.random.Generator, X: Array) -> Array:
    """A row very far away."""
    X = X.copy()
    X[rng.integers(len(X))] = rng.normal(size=X.shape[1]) * 1e12
    return X


def few_rows(rng: np.random.Generator, X: Array) -> Array:
    """Fewer rows than features."""
    return X[: max(2, X.shape[1] // 2)]


def far(rng: np.random.Generator, X: Array) -> Array:
    """Rows far from the origin."""
    return X + rng.normal(size=X.shape[1]) * 1e6


def whole(rng: np.random.Generator, X: Array) -> Array:
    """Whole numbers, so that many rows coincide along features."""
    return np.round(X)


BAD = {
    "duplicated": duplicated,
    "constant": constant,
    "collinear": collinear,
    "outlier": outlier,
    "few rows": few_rows,
    "far": far,
    "whole": whole,
    "as many components as rows": lambda rng, X: X[:40],
}


def check(
    seed: int, prior: str | None = None, kinds: Sequence[str] = tuple(LAYOUTS)
) -> tuple[list[str], list[str], set[str]]:
    """What went wrong with one problem, what was bad about it, and which kinds of things were repaired."""
    X, options, bad = draw(seed, kinds)
    wrong = []
    model = GaussianMixture(**options, prior=prior)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Best performing initialization|Components were repaired")
        try:
            model.fit(X)
            labels, scores, probabilities = model.predict(X), model.score_samples(X), model.predict_proba(X)
        except Exception:
            return [f"exception: {traceback.format_exc()}"], bad, set()
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        if not np.isfinite(getattr(model, name)).all():
            wrong.append(f"{name} is not finite")
    if not (np.isfinite(scores).all() and np.isfinite(probabilities).all() and labels.min() >= 0):
        wrong.append("scores or probabilities are not finite")
    if abs(model.weights_.sum() - 1) > 1e-5 or model.weights_.min() < 0:
        wrong.append("weights are no weights")
    bounds = np.array(model.lower_bounds_, dtype=np.float64)
    if not np.isfinite(bounds).all():
        wrong.append("a bound is not finite")
    elif options["reg_covar"] == 0.0:
        named = [repair for repair in reversed(model.degenerate_) if repair.iteration]
        first = {repair[1:]: repair.iteration for repair in named}  # afterwards a component is under its constraint
        repaired = {0, *first.values()}
        slack = ROUGH[X.dtype.name] * (np.abs(bounds[1:]) + X.shape[1]) + amplified(model, X)
        for i in np.flatnonzero(np.diff(bounds) < -slack):
            if not {i + 1, i + 2} & repaired:  # the fall shows in the pass after the M-step
                wrong.append(f"likelihood falls after iteration {i + 1} from {bounds[i]} to {bounds[i + 1]}")
    return wrong, bad, {"prior" if repair.problem == OF_PRIOR else "component" for repair in model.degenerate_}


def amplified(model: GaussianMixture, X: Array) -> float:
    """Rounding of the mean log-likelihood beyond that of ordinary sums.

    Covariances that are nearly singular amplify their own rounding by their largest variance inflation. Rows and means
    are rounded relative to their distance from the origin, and from the mean of the rows where a kernel starts from
    that; what counts is this in standard deviations.
    """
    structure, means = STRUCTURES[model.covariance_type], model.means_.astype(np.float64)
    variances, pivots = (
        structure.diagonals(getattr(model, name).astype(np.float64))
        for name in ("covariances_", "precisions_cholesky_")
    )
    inflation = 10 * float((variances * pivots**2).max()) * float(np.finfo(np.float64).eps)
    distances = np.abs(means) + np.abs(means - X.mean(axis=0, dtype=np.float64))
    blur = float((distances * pivots).max()) * float(np.finfo(X.dtype).eps)
    return X.shape[1] * (inflation + blur + blur**2)


def main() -> int:
    """Fit all problems; the exit status says whether anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument(
        "--prior", choices=["mclust"], help="fit with this prior, under which no component needs repair"
    )
    parser.add_argument("--mclust", action="store_true", help="with the structures that only mclust has")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the counts as JSON")
    chosen = parser.parse_args()
    structures = tuple(CONSTRAINED if chosen.mclust else LAYOUTS)
    kinds, repaired, failures = Counter[str](), Counter[str](), 0
    for seed in range(chosen.first, chosen.first + chosen.problems):
        wrong, bad, mended = check(seed, chosen.prior, structures)
        kinds.update(bad or ["ordinary"])
        repaired.update(mended)
        failures += bool(wrong)
        for line in wrong:
            print(f"problem {seed} ({', '.join(bad)}; {draw(seed, structures)[1]}): {line}", flush=True)
    record = {
        "first": chosen.first,
        "problems": chosen.problems,
        "failures": failures,
        "with repairs": repaired["component"],
        **({"prior": chosen.prior, "with a raised prior": repaired["prior"]} if chosen.prior else {}),
        "kinds": dict(kinds),
    }
    print(json.dumps(record))
    if chosen.output:
        chosen.output.write_text(json.dumps(record, indent=1) + "\n")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
