"""Other people's code with scikit-learn's mixtures, as it is and patched: RDT's table of columns, PyOD's detector.

Run `python bench/patched.py --output patched.json`; bench/README.md says what is measured. Needs rdt and pyod.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyod.models.gmm import GMM
from rdt.transformers.numerical import ClusterBasedNormalizer

import fastgmm

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from selection import surroundings

SIZES = {"rdt": (100_000, 20), "pyod": (100_000, 10)}
COMPONENTS = (1, 8)  # of PyOD's detector: its default, and more


def column(number: int, n_rows: int) -> np.ndarray[Any, Any]:
    """A column of one of five kinds: groups, skewed, zeros and amounts, counts, heavy tails."""
    rng = np.random.default_rng(number)
    groups = rng.integers(2, 6)
    labels = rng.choice(groups, n_rows, p=rng.dirichlet(np.full(groups, 3.0)))
    values = (10 * rng.normal(size=groups))[labels] + (0.5 + rng.random(groups))[labels] * rng.normal(size=n_rows)
    kinds = [
        values,
        np.exp(0.1 * values),
        np.where(rng.random(n_rows) < 0.3, 0.0, np.exp(1 + rng.normal(size=n_rows))),
        rng.poisson(5.0 + 20.0 * labels).astype(float),
        values + rng.standard_t(3, size=n_rows),
    ]
    return kinds[number % len(kinds)]


def rows(n_rows: int, n_features: int) -> np.ndarray[Any, Any]:
    """Eight groups that overlap a little, and one row of a hundred far away."""
    rng = np.random.default_rng(0)
    means = 3 * rng.normal(size=(8, n_features))
    X = means[rng.integers(8, size=n_rows)] + rng.normal(size=(n_rows, n_features)) * (0.5 + rng.random(n_features))
    X[::100] = rng.uniform(-30, 30, size=X[::100].shape)
    return X


def timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the work reports, with its seconds and its processor time."""
    begin, processor = time.perf_counter(), time.process_time()
    found = work()
    return {"seconds": time.perf_counter() - begin, "processor": time.process_time() - processor} | found


def pair(work: Callable[[], dict[str, Any]], turn: int) -> dict[str, dict[str, Any]]:
    """The work as it is and patched, in an order that alternates."""
    found = {}
    for how in ("as it is", "patched")[:: 1 if turn % 2 else -1]:
        if how == "patched":
            with fastgmm.patch_sklearn():
                found[how] = timed(work)
        else:
            found[how] = timed(work)
    return found


def normalizer(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """RDT's fit of one column."""
    fitted = ClusterBasedNormalizer(max_clusters=10)
    fitted.fit(pd.DataFrame({"x": values}), "x")
    model = fitted._bgm_transformer
    return {
        "components": int(fitted.valid_component_indicator.sum()),
        "iterations": int(model.n_iter_),
        "lower_bound": float(model.lower_bound_),
    }


def detector(X: np.ndarray[Any, Any], n_components: int) -> dict[str, Any]:
    """PyOD's fit and decisions."""
    fitted = GMM(n_components=n_components, random_state=0).fit(X)
    scores = fitted.decision_function(X)
    return {
        "iterations": int(fitted.n_iter_),
        "likelihood": -float(scores.mean()),
        "outliers": int(fitted.labels_.sum()),
    }


def summary(name: str, pairs: list[dict[str, dict[str, Any]]]) -> str:
    """A row of the table."""
    cells = [name]
    for how in ("as it is", "patched"):
        cells.append(f"{np.median([one[how]['seconds'] for one in pairs]):.3g}")
    for time_of in ("seconds", "processor"):
        ratios = [one["as it is"][time_of] / one["patched"][time_of] for one in pairs]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        cells.append(f"{middle:.3g} ({low:.3g}, {high:.3g})")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of PyOD's detector (default 5)")
    parser.add_argument("--columns", type=int, default=SIZES["rdt"][1], help="columns of RDT's table (default 20)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    pair(lambda: normalizer(column(0, 1000)), 0)  # imports, and first calls
    cases: dict[str, list[Any]] = {}
    X = rows(*SIZES["pyod"])
    for k in COMPONENTS:
        name = f"PyOD's GMM, {X.shape[0]} x {X.shape[1]}, K = {k}: fit and decision"
        cases[name] = [pair(lambda k=k: detector(X, k), turn) for turn in range(options.rounds)]
    columns = [column(number, SIZES["rdt"][0]) for number in range(options.columns)]
    name = f"RDT's ClusterBasedNormalizer, a column of {SIZES['rdt'][0]} rows"
    cases[name] = [pair(lambda values=values: normalizer(values), turn) for turn, values in enumerate(columns)]
    print("| what | as it is, s | patched, s | ratio, median (quartiles) | ratio of processor times |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, pairs in cases.items():
        print(summary(name, pairs))
    whole = [sum(one[how]["seconds"] for one in pairs) for how in ("as it is", "patched")]
    print(f"RDT's table of {options.columns} columns: {whole[0]:.3g} s as it is, {whole[1]:.3g} s patched")
    gains = [one["patched"]["lower_bound"] - one["as it is"]["lower_bound"] for one in pairs]
    counts = [one["patched"]["components"] - one["as it is"]["components"] for one in pairs]
    print(f"bounds patched less as it is: median {np.median(gains):.3g}; components: {sorted(counts)}")
    if options.output:
        versions = {package: version(package) for package in ("rdt", "pyod")}
        record = {"surroundings": surroundings(threads=0) | versions, "cases": cases}
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
