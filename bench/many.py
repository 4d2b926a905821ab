"""Small fits, one by one and thousands in a call, beside scikit-learn in a loop and in processes.

Run `python -P bench/many.py --output many.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.mixture import GaussianMixture as Theirs
from threadpoolctl import threadpool_limits

from fastgmm import GaussianMixture as Ours
from fastgmm import fit_many

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison.surroundings import machine, usable_cores

Array = np.ndarray[Any, Any]

SINGLE = ((60, 1, 2), (500, 1, 2), (150, 2, 3), (20, 1, 2), (200, 4, 3), (1000, 2, 5), (5000, 4, 5))  # N, D, K
STYLES = {  # colors of Okabe and Ito, as in picture.py
    "fit_many": ("fit_many", "D", "#D55E00"),
    "loop": ("loop over fastgmm", "s", "#E69F00"),
    "processes": ("scikit-learn, processes", "^", "#56B4E9"),
    "theirs": ("scikit-learn, loop", "o", "#0072B2"),
}
BLOCK = 20  # fits in a turn of single ones
SAMPLE = 200  # problems of a kind that scikit-learn fits, in whose time its whole is reckoned


def tables(n_problems: int, n_samples: int, n_features: int, n_groups: int) -> Array:
    """Problems of groups some standard deviations apart, (P, N, D)."""
    rng = np.random.default_rng(n_samples + n_features)
    centers = 4 * rng.normal(size=(n_problems, n_groups, n_features))
    labels = rng.integers(n_groups, size=(n_problems, n_samples, 1))
    return np.take_along_axis(centers, labels, axis=1) + rng.normal(size=(n_problems, n_samples, n_features))


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def single_fits(rounds: int) -> Iterator[dict[str, Any]]:
    """Default fits one by one: both libraries take turns in fitting a block of the same tables.

    Medians over the rounds of microseconds for each fit, and of ratios.
    """
    for n_samples, n_features, k in SINGLE:
        times: dict[str, list[float]] = {"fastgmm": [], "scikit-learn": []}
        X = tables(rounds * BLOCK, n_samples, n_features, k)
        for i in range(rounds):
            block = X[i * BLOCK : (i + 1) * BLOCK]
            for name, kind in (("fastgmm", Ours), ("scikit-learn", Theirs))[:: 1 if i % 2 else -1]:
                fits = [kind(k, random_state=0) for _ in block]
                whole = seconds(lambda fits=fits, block=block: [f.fit(x) for f, x in zip(fits, block, strict=True)])
                times[name].append(whole / BLOCK)
        ratio = np.divide(times["scikit-learn"], times["fastgmm"])
        yield {
            "sizes": [n_samples, n_features, k],
            "microseconds": {name: float(1e6 * np.median(values)) for name, values in times.items()},
            "times_faster": [float(q) for q in np.percentile(ratio, [50, 25, 75])],
        }


def theirs(X: Sequence[Array], numbers: Sequence[int]) -> list[Any]:
    """scikit-learn's best fit of each problem."""
    found = []
    for table in X:
        fits = [Theirs(k, random_state=0).fit(table) for k in numbers]
        found.append(fits[0] if len(fits) == 1 else min(fits, key=lambda fit: fit.bic(table)))
    return found


def loop_of_answers(mixtures: Sequence[Ours], X: Sequence[Array]) -> float:
    """How long the responsibilities of tables take one by one."""
    return seconds(lambda: [mixture.predict_proba(table) for mixture, table in zip(mixtures, X, strict=True)])


def many_fits(rounds: int, threads: int) -> Iterator[dict[str, Any]]:
    """Thousands of problems in a call, beside loops and processes over a part of them."""
    rng = np.random.default_rng(0)
    nanopore = [table[: rng.integers(30, 200)] for table in tables(10_000, 200, 2, 2)]
    kinds: dict[str, tuple[Sequence[Array], list[int]]] = {
        "10 000 x 500 x 1, K = 2": (tables(10_000, 500, 1, 2), [2]),
        "genes: 20 000 x 500 x 1, K of 1, 2, 3": (tables(20_000, 500, 1, 2), [1, 2, 3]),
        "nanopore: 10 000 x 30-200 x 2, K = 2": (nanopore, [2]),
        "pixels: 50 000 x 50 x 1, K = 2": (tables(50_000, 50, 1, 2), [2]),
    }
    for name, (X, numbers) in kinds.items():
        part, times = X[:SAMPLE], dict[str, list[float]](fit_many=[], loop=[], theirs=[], processes=[])
        chunks = [part[i::threads] for i in range(threads)]
        for _ in range(rounds):
            times["fit_many"].append(seconds(lambda X=X, numbers=numbers: fit_many(X, numbers, random_state=0)))
            fits = [seconds(lambda t=t, k=k: Ours(k, random_state=0).fit(t)) for t in part for k in numbers]
            times["loop"].append(sum(fits) * len(X) / SAMPLE)
            times["theirs"].append(seconds(lambda part=part, numbers=numbers: theirs(part, numbers)) * len(X) / SAMPLE)
            with joblib.parallel_config("loky", n_jobs=threads, inner_max_num_threads=1), joblib.Parallel() as parallel:
                parallel(joblib.delayed(len)(chunk) for chunk in chunks)  # begin the processes
                jobs = [joblib.delayed(theirs)(chunk, numbers) for chunk in chunks]
                times["processes"].append(
                    seconds(lambda parallel=parallel, jobs=jobs: parallel(jobs)) * len(X) / SAMPLE
                )
        ours = np.array(times["fit_many"])
        fits = fit_many(X, numbers, random_state=0)
        mixtures = [fits[i] for i in range(SAMPLE)]
        yield {
            "kind": name,
            "seconds": times,
            "times_faster": {way: float(np.median(np.array(values) / ours)) for way, values in times.items()},
            "predict_proba": {
                "one call": [seconds(lambda fits=fits, X=X: fits.predict_proba(X)) for _ in range(rounds)],
                "loop": [loop_of_answers(mixtures, part) * len(X) / SAMPLE for _ in range(rounds)],
            },
        }


def draw(results: dict[str, Any], path: Path) -> None:
    """A line for each kind of problems: seconds, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5.6, 2.6), dpi=200, layout="constrained")
    for place, row in enumerate(reversed(results["many"])):
        for way, (label, marker, color) in STYLES.items():
            seconds = float(np.median(row["seconds"][way]))
            axes.plot(seconds, place, marker, color=color, label=label if place == 0 else None, ms=6)
    axes.set_xscale("log")
    axes.set_yticks(range(len(results["many"])), [row["kind"] for row in reversed(results["many"])], fontsize=7)
    axes.set_ylim(-0.6, len(results["many"]) - 0.4)
    axes.set_xlabel(f"seconds, {results['surroundings']['threads']} cores", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, fontsize=7, frameon=False)
    figure.savefig(path)


def main() -> None:
    """Measure, print a line for each result, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the times of the many")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the many (default 3)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="threads and processes (default: cores)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    surroundings = machine() | {"threads": options.threads, "scikit-learn": sklearn.__version__}
    results: dict[str, Any] = {"surroundings": surroundings, "single": [], "many": []}
    with threadpool_limits(1):
        for name, part in (("single", single_fits(31)), ("many", many_fits(options.rounds, options.threads))):
            for row in part:
                results[name].append(row)
                print(name, json.dumps(row), flush=True)
    if options.picture:
        draw(results, options.picture)
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
