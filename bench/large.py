"""Many components: whole fits that leave out pairs of rows and components below rounding, against fits that do not.

Run `python -P bench/large.py --output large.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastgmm import GaussianMixture, kernels

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison.surroundings import machine

Array = np.ndarray[Any, Any]

SAMPLE = 10_000  # rows whose responsibilities are counted
PEER_ITERATIONS = 2  # of the others, whose time of an iteration is told
RIDGE = 1e-3  # in units of the data


# ---- rows


def pictures() -> list[Array]:
    """scikit-learn's two photographs, (427, 640, 3)."""
    from sklearn.datasets import load_sample_images

    return [image.astype(np.float64) for image in load_sample_images().images]


def colors(rng: np.random.Generator, n: int) -> Array:
    """Pixels of both photographs, each anywhere within its step of the color scale."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in pictures()])
    return pixels[rng.integers(len(pixels), size=n)] + rng.uniform(-0.5, 0.5, size=(n, 3))


def patches(rng: np.random.Generator, n: int, side: int = 8) -> Array:
    """Squares of the gray photographs less their mean, each value anywhere within its step of the scale."""
    windows = [np.lib.stride_tricks.sliding_window_view(image.mean(axis=2), (side, side)) for image in pictures()]
    rows, columns = windows[0].shape[:2]
    which, i, j = rng.integers(len(windows), size=n), rng.integers(rows, size=n), rng.integers(columns, size=n)
    X = np.empty((n, side * side))
    for number, window in enumerate(windows):
        own = which == number
        X[own] = window[i[own], j[own]].reshape(-1, side * side)
    X += rng.uniform(-0.5, 0.5, size=X.shape)
    return X - X.mean(axis=1, keepdims=True) + rng.normal(size=(n, 1)) * 0.1


def principal(X: Array, n_components: int) -> Array:
    """Coordinates along the first principal axes."""
    about = X - X.mean(axis=0)
    axes = np.linalg.eigh(about.T @ about)[1][:, ::-1]
    return np.ascontiguousarray(about @ axes[:, :n_components])


def few_patches(rng: np.random.Generator, n: int) -> Array:
    """Sixteen principal components of the patches."""
    return principal(patches(rng, n), 16)


def digits(rng: np.random.Generator, n: int) -> Array:
    """Twenty principal components of scikit-learn's digits, drawn again and again with noise of one gray level."""
    from sklearn.datasets import load_digits

    X = load_digits().data
    return principal(X[rng.integers(len(X), size=n)] + rng.normal(size=(n, X.shape[1])), 20)


def clusters(n_groups: int, n_features: int, distance: float) -> Callable[[np.random.Generator, int], Array]:
    """Groups of unit variance whose centers are so many standard deviations apart along each feature."""

    def draw(rng: np.random.Generator, n: int) -> Array:
        centers = distance * rng.normal(size=(n_groups, n_features))
        return centers[rng.integers(n_groups, size=n)] + rng.normal(size=(n, n_features))

    return draw


# ---- cases


class Case(NamedTuple):
    """Rows, and fits of them, or predictions; a start of `copies` has the same component over and over."""

    name: str
    rows: Callable[[np.random.Generator, int], Array]
    n_samples: int
    n_components: int
    dtype: str
    iterations: int
    structure: str = "full"
    copies: bool = False
    task: str = "fit"

    def start(self, X: Array) -> dict[str, Array]:
        """Weights, means and precisions of one iteration from k-means."""
        k = 1 if self.copies else self.n_components
        options: dict[str, Any] = {"covariance_type": self.structure, "reg_covar": RIDGE, "random_state": 0}
        first = GaussianMixture(k, max_iter=1, **options).fit(X.astype(np.float64))
        times = self.n_components // k
        found = {"weights_init": first.weights_, "means_init": first.means_, "precisions_init": first.precisions_}
        found = {name: np.repeat(values, times, axis=0).astype(X.dtype) for name, values in found.items()}
        return {**found, "weights_init": found["weights_init"] / found["weights_init"].sum()}


BLOB, APART = clusters(1, 3, 0.0), clusters(64, 3, 20.0)
CASES = (
    Case("colors", colors, 200_000, 256, "float64", 40),
    Case("colors", colors, 200_000, 256, "float32", 40),
    Case("colors, K = 64", colors, 200_000, 64, "float64", 40),
    Case("colors, K = 16", colors, 200_000, 16, "float64", 40),
    Case("clusters in 3", APART, 200_000, 64, "float64", 20),
    Case("patches", patches, 100_000, 200, "float64", 20),
    Case("patches", patches, 100_000, 200, "float32", 20),
    Case("patches, K = 64", patches, 100_000, 64, "float64", 20),
    Case("patches, K = 1024", patches, 20_000, 1024, "float64", 10),
    Case("patches, K = 1024", patches, 20_000, 1024, "float32", 10),
    Case("16 of patches", few_patches, 100_000, 256, "float64", 20),
    Case("16 of patches", few_patches, 100_000, 256, "float32", 20),
    Case("digits", digits, 100_000, 64, "float64", 40),
    Case("digits", digits, 100_000, 64, "float32", 40),
    Case("patches, diag", patches, 60_000, 200, "float64", 20, "diag"),
    Case("patches, predict", patches, 100_000, 200, "float64", 5, task="predict"),
    Case("patches, predict", patches, 100_000, 200, "float32", 5, task="predict"),
    Case("colors, predict", colors, 200_000, 256, "float64", 5, task="predict"),
    Case("colors, predict", colors, 200_000, 256, "float32", 5, task="predict"),
    Case("one blob in 3", BLOB, 200_000, 64, "float64", 20),
    Case("one blob in 3, K = 16", BLOB, 200_000, 16, "float64", 20),
    Case("copies in 3", BLOB, 200_000, 64, "float64", 20, copies=True),
    Case("overlap in 3", clusters(16, 3, 1.0), 200_000, 16, "float32", 20),
    Case("one blob in 32", clusters(1, 32, 0.0), 50_000, 32, "float64", 10),
    Case("copies in 32", clusters(1, 32, 0.0), 50_000, 32, "float64", 10, copies=True),
    Case("overlap in 32", clusters(64, 32, 0.4), 50_000, 64, "float64", 10),
)


# ---- fits, each in a process of its own


def fit(path: str, library: str, iterations: int, threads: int) -> dict[str, Any]:
    """Fit the rows in a file from the start there: seconds, and what was found."""
    with np.load(path) as stored:
        given = dict(stored)
    X, structure, task = given.pop("X"), str(given.pop("structure")), str(given.pop("task"))
    if library == "oneDAL":
        return fit_onedal(X, structure, given, iterations, threads)
    most = iterations if task == "fit" else 1
    options = {"covariance_type": structure, "max_iter": most, "tol": 0.0, "reg_covar": RIDGE, **given}
    if library == "fastgmm":
        model: Any = GaussianMixture(len(given["weights_init"]), n_threads=threads, **options)
    else:
        from sklearn.mixture import GaussianMixture as Theirs

        model = Theirs(len(given["weights_init"]), **options)
    if task == "predict":
        model.fit(X)
    begun, processor = time.perf_counter(), time.process_time()
    if task == "predict":
        for _ in range(iterations):
            model.predict(X)
    else:
        model.fit(X)
    found = {"seconds": time.perf_counter() - begun, "processor": time.process_time() - processor}
    found |= {"iterations": iterations if task == "predict" else model.n_iter_, "bound": float(model.lower_bound_)}
    if library == "fastgmm":
        rows = X[:: max(1, len(X) // SAMPLE)]
        cut = np.finfo(X.dtype).eps / 2 / len(model.weights_)
        found["pairs"] = float((model.predict_proba(rows) >= cut).mean())
    return found


def fit_onedal(X: Array, structure: str, start: dict[str, Array], iterations: int, threads: int) -> dict[str, Any]:
    """The same by Intel's library, which has no ridge."""
    import daal4py

    daal4py.daalinit(threads)
    precisions = start["precisions_init"]
    covariances = 1 / precisions[:, None] if structure == "diag" else np.linalg.inv(precisions)
    algorithm = daal4py.em_gmm(
        nComponents=len(precisions),
        fptype="float" if X.dtype == np.float32 else "double",
        maxIterations=iterations,
        accuracyThreshold=0.0,
        covarianceStorage="diagonal" if structure == "diag" else "full",
    )
    begun, processor = time.perf_counter(), time.process_time()
    result = algorithm.compute(X, start["weights_init"][None], start["means_init"], list(covariances))
    seconds, processor = time.perf_counter() - begun, time.process_time() - processor
    return {"seconds": seconds, "processor": processor, "iterations": int(result.nIterations[0, 0])}


def apart(path: str, library: str, iterations: int, threads: int, dense: bool = False) -> dict[str, Any]:
    """A fit in a fresh process, or why there is none."""
    settings = {"FASTGMM_DENSE": str(int(dense)), "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-P", __file__, "--fit", path, library, str(iterations), str(threads)]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(case: Case, repeats: int, threads: int, peers: list[str], folder: str) -> dict[str, Any]:
    """Fits with pairs left out and without in turn, and a few iterations of the others."""
    X = case.rows(np.random.default_rng(0), case.n_samples).astype(case.dtype)
    path = str(Path(folder) / "problem.npz")
    np.savez(path, X=X, structure=case.structure, task=case.task, **case.start(X))
    ways: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for number in range(repeats):
        for dense in (False, True)[:: 1 if number % 2 else -1]:
            found = apart(path, "fastgmm", case.iterations, threads, dense)
            if "failed" in found:
                raise RuntimeError(f"{case.name}: {found['failed']}")
            ways[dense].append(found)
    line = {"name": case.name, "rows": case.n_samples, "features": X.shape[1], "components": case.n_components}
    line |= {"dtype": case.dtype, "structure": case.structure, "task": case.task}
    line |= {"pairs": ways[False][0]["pairs"]}
    line |= {"iterations": [ways[dense][0]["iterations"] for dense in (False, True)]}
    line |= {"bounds": [ways[dense][0]["bound"] for dense in (False, True)]}
    for key in ("seconds", "processor"):
        line[key] = {name: [found[key] for found in ways[dense]] for name, dense in (("with", False), ("dense", True))}
    peers = peers if case.task == "fit" else []
    line["peers"] = {library: per_iteration(path, library, threads) for library in peers}
    return line


def per_iteration(path: str, library: str, threads: int) -> float | str:
    """Seconds of an iteration: a longer fit less a shorter one; or why there is none."""
    seconds = []
    for count in (1, 1 + PEER_ITERATIONS):
        found = apart(path, library, count, threads)
        if "failed" in found:
            return str(found["failed"])
        if found["iterations"] != count:
            return f"stopped after {found['iterations']} iterations of {count}"
        seconds.append(found["seconds"])
    return float(seconds[1] - seconds[0]) / PEER_ITERATIONS


def told(line: dict[str, Any]) -> str:
    """A row of the table."""
    ours, dense = (np.array(line["processor"][name]) for name in ("with", "dense"))
    low, middle, high = np.quantile(dense / ours, [0.25, 0.5, 0.75])
    gain = f"{middle:.2f} ({low:.2f}, {high:.2f})"
    one, other = line["bounds"]
    others = "; ".join(
        f"{library} {1e3 * value:.0f}" if isinstance(value, float) else f"{library} none"
        for library, value in line["peers"].items()
    )
    return (
        f"| {line['name']} | {line['rows']}, {line['features']}, {line['components']} | {line['dtype']} "
        f"| {line['pairs']:.3f} | {np.median(ours):.2f} | {np.median(dense):.2f} | {gain} "
        f"| {abs(one - other) / abs(other):.0e} | {1e3 * np.median(ours) / line['iterations'][0]:.0f} | {others} |"
    )


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """How many times as fast each case is, beside how many of its pairs count."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(line["name"] for line in lines))
    figure, axes = plt.subplots(figsize=(7.2, 0.32 * len(names) + 1.1), layout="constrained")
    for dtype, color, shift in (("float64", "#1f6f9f", -0.19), ("float32", "#e0903a", 0.19)):
        own = [line for line in lines if line["dtype"] == dtype]
        gains = [float(np.median(np.divide(line["processor"]["dense"], line["processor"]["with"]))) for line in own]
        places = [names.index(line["name"]) + shift for line in own]
        axes.barh(places, gains, height=0.36, color=color, label=dtype)
        for place, gain, line in zip(places, gains, own, strict=True):
            words = f"{gain:.1f}  ({line['pairs']:.0%} of pairs)"
            axes.text(max(gain, 1.0) + 0.1, place, words, va="center", fontsize=7)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * axes.get_xlim()[1])
    axes.set_xlabel("times as fast as with FASTGMM_DENSE=1 (processor time)")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def arguments() -> argparse.Namespace:
    """The command line."""
    names = list(dict.fromkeys(case.name for case in CASES))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", metavar="NAME", choices=names, default=names, help=", ".join(names))
    parser.add_argument("--dtypes", nargs="+", choices=("float64", "float32"), default=["float64", "float32"])
    parser.add_argument("--repeats", type=int, default=5, help="fits of each kind, in turn (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of all (default 1)")
    parser.add_argument("--peers", nargs="+", default=[], choices=("scikit-learn", "oneDAL"), help="time these, too")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the rows, three iterations: a trial, no result"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw how many times as fast each case is")
    parser.add_argument("--fit", nargs=4, help=argparse.SUPPRESS)  # what a fresh process does
    return parser.parse_args()


def main() -> None:
    """Measure case by case, print the table, write what was asked for."""
    chosen = arguments()
    warnings.simplefilter("ignore")
    if chosen.fit:
        path, library, *numbers = chosen.fit
        print(json.dumps(fit(path, library, *map(int, numbers))))
        return
    print(
        "| case | N, D, K | | pairs | s | dense, s | times as fast (quartiles) | bounds differ by | ms | others, ms |"
    )
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            if chosen.quick:
                case = case._replace(n_samples=case.n_samples // 10, iterations=3)
            if case.name in chosen.cases and case.dtype in chosen.dtypes:
                lines.append(measure(case, chosen.repeats, chosen.threads, chosen.peers, folder))
                print(told(lines[-1]), flush=True)
    if chosen.picture:
        draw(lines, chosen.picture)
    if chosen.output:
        about = machine() | {"threads": chosen.threads, "variant": kernels.VARIANT, "repeats": chosen.repeats}
        chosen.output.write_text(json.dumps({"surroundings": about, "cases": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
