"""What weights, gaps, files and streams cost beside complete rows in memory.

Run `python -P bench/real_data.py --output real-data.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import fastgmm
from fastgmm import GaussianMixture, kernels
from fastgmm.sources import from_array

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison.surroundings import machine

Array = np.ndarray[Any, Any]

K, D = 8, 10
ITERATIONS = 12  # of a timed fit; the median counts
STRUCTURES = ("full", "tied", "diag", "spherical")


def rows(n_samples: int, seed: int = 0, n_features: int = D, distance: float = 1.0, n_groups: int = K) -> Array:
    """Rows of some Gaussians of any orientation, centers so many standard deviations apart along each feature."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(n_groups, n_features)) * distance
    factors = rng.normal(size=(n_groups, n_features, n_features)) / 3 + np.eye(n_features)
    owner = rng.integers(n_groups, size=n_samples)
    X = rng.normal(size=(n_samples, n_features))
    for k in range(n_groups):
        X[owner == k] = X[owner == k] @ factors[k] + centers[k]
    return X


def milliseconds(X: Any, structure: str = "full", n_iter: int = ITERATIONS, **options: Any) -> float:
    """Median time of an EM iteration from the same start."""
    ends: list[float] = []
    identity = np.eye(D)
    shapes = {"full": np.tile(identity, (K, 1, 1)), "tied": identity, "diag": np.ones((K, D)), "spherical": np.ones(K)}
    weights = options.pop("sample_weight", None)
    mixture = GaussianMixture(
        K,
        covariance_type=structure,
        weights_init=np.full(K, 1 / K),
        means_init=np.random.default_rng(0).normal(size=(K, D)),
        precisions_init=shapes[structure],
        max_iter=n_iter + 1,
        tol=0,
        callback=lambda *_: ends.append(perf_counter()),
        **options,
    )
    mixture.fit(X, sample_weight=weights)
    return float(np.median(np.diff(ends)) * 1e3)


def compared(first: Callable[[], float], second: Callable[[], float], repeats: int) -> dict[str, float]:
    """Medians of both, taken in turn, and the median and quartiles of their ratio."""
    pairs = np.array([(first(), second()) for _ in range(repeats)])
    low, middle, high = np.quantile(pairs[:, 1] / pairs[:, 0], [0.25, 0.5, 0.75])
    one, other = np.median(pairs, axis=0)
    return {"ms": one, "other_ms": other, "ratio": middle, "ratio_low": low, "ratio_high": high}


def gaps(repeats: int) -> list[dict[str, Any]]:
    """Iterations over rows with gaps, against the same rows complete: 20 patterns, and nearly one for each row."""
    found = []
    for name, n_samples in (("20 patterns", 200_000), ("patterns at random", 50_000)):
        X = rows(n_samples)
        rng = np.random.default_rng(1)
        if name == "20 patterns":
            masks = np.zeros((20, D), dtype=bool)
            for mask, pair in zip(masks, rng.permutation(list(combinations(range(D), 2))), strict=False):
                mask[pair] = True
            missing = masks[rng.integers(20, size=n_samples)]
        else:
            missing = rng.random(X.shape) < 0.2
        holed = np.where(missing, np.nan, X)
        for structure in STRUCTURES:
            both = compared(
                lambda X=X, s=structure: milliseconds(X, s),
                lambda X=holed, s=structure: milliseconds(X, s, missing="em"),
                repeats,
            )
            found.append({"gaps": name, "rows": n_samples, "missing": missing.mean(), "structure": structure, **both})
            print(f"{name}, {structure}: {both['ms']:.1f} ms complete, {both['ratio']:.2f} times with gaps", flush=True)
    return found


def weights(repeats: int) -> list[dict[str, Any]]:
    """Iterations over weighted rows, against rows without weights."""
    X, found = rows(200_000), []
    w = np.random.default_rng(2).uniform(0.5, 1.5, len(X))
    for structure in STRUCTURES:
        both = compared(
            lambda s=structure: milliseconds(X, s), lambda s=structure: milliseconds(X, s, sample_weight=w), repeats
        )
        found.append({"structure": structure, **both})
        print(f"weights, {structure}: {both['ratio']:.2f} times as long", flush=True)
    return found


def peak_megabytes() -> float:
    """The most memory that this process has held (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def mapped_child(path: str, mode: str) -> None:
    """Fit the rows of a file from memory, mapped, or in chunks; print times and the growth of memory."""
    X: Any = np.load(path, mmap_mode=None if mode == "memory" else "r")
    if mode == "chunks":
        X = from_array(X)
    before, ends = peak_megabytes(), []
    begun = perf_counter()
    mixture = GaussianMixture(
        K, random_state=0, max_iter=8, tol=0, callback=lambda *_: ends.append(perf_counter())
    ).fit(X)
    told = {
        "fit_s": perf_counter() - begun,
        "iteration_ms": float(np.median(np.diff(ends)) * 1e3),
        "growth_mb": peak_megabytes() - before,
        "lower_bound": float(mixture.lower_bound_),
    }
    print(json.dumps(told))


def mapped(n_samples: int, repeats: int, folder: Path) -> list[dict[str, Any]]:
    """A default fit of a float32 file larger than anything it should hold, each in a fresh process, in turn."""
    path, found = folder / "rows.npy", []
    file = np.lib.format.open_memmap(path, "w+", np.float32, (n_samples, D))
    for start in range(0, n_samples, 1 << 20):
        part = file[start : start + (1 << 20)]
        part[...] = rows(len(part), seed=start)
    file.flush()
    del file
    for _ in range(repeats):
        for mode in ("memory", "mapped", "chunks"):
            command = [sys.executable, "-P", __file__, "--child", str(path), mode]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append({"mode": mode, "rows": n_samples, **json.loads(done.stdout)})
            print({k: round(v, 2) if isinstance(v, float) else v for k, v in found[-1].items()}, flush=True)
    path.unlink()
    return found


class Batches(NamedTuple):
    """A stream to learn from."""

    n_features: int
    n_components: int
    distance: float
    batch: int
    seeds: int


STREAMS = (
    Batches(D, K, 1.0, 10_000, 3),
    Batches(D, K, 0.7, 10_000, 3),
    Batches(2, 4, 0.7, 10_000, 1),
    Batches(5, 10, 0.5, 10_000, 1),
    Batches(5, 10, 0.5, 100_000, 1),
    Batches(10, 16, 1.0, 10_000, 1),
    Batches(6, 12, 0.8, 50_000, 1),
    Batches(10, 4, 1.0, 1_000, 1),
    Batches(20, 8, 0.7, 10_000, 1),
)


def stream(n_samples: int, streams: Sequence[Batches]) -> list[dict[str, Any]]:
    """Batches that come once, against EM on all rows: from where the first batch ended, and from its own start."""
    found = []
    for about in streams:
        k, batch = about.n_components, about.batch
        X = rows(n_samples, seed=3, n_features=about.n_features, distance=about.distance, n_groups=k)
        batches = [X[start : start + batch] for start in range(0, n_samples, batch)]
        for seed in range(about.seeds):
            full = GaussianMixture(k, random_state=seed, max_iter=500, tol=1e-6).fit(X)
            iteration = full.fits_[0].seconds_em / full.n_iter_
            for decay in (0.6, 1.0):
                times = []
                for _ in range(3):
                    mixture = GaussianMixture(k, random_state=seed, learning_decay=decay)
                    begun = perf_counter()
                    mixture.partial_fit(batches[0])
                    start = mixture.weights_, mixture.means_, mixture.precisions_
                    for part in batches[1:]:
                        mixture.partial_fit(part)
                    times.append(perf_counter() - begun)
                seconds = float(np.median(times))
                weights, means, precisions = start
                given = {"weights_init": weights, "means_init": means, "precisions_init": precisions}
                told = about._asdict() | {
                    "seed": seed,
                    "decay": decay,
                    "full": full.score(X),
                    "full_iterations": full.n_iter_,
                    "full_from_the_first_batch": GaussianMixture(k, max_iter=500, tol=1e-6, **given).fit(X).score(X),
                    "with_default_tol": GaussianMixture(k, **given).fit(X).score(X),
                    "stream": mixture.score(X),
                    "seconds": seconds,
                    "iterations_of_time": seconds / iteration,
                }
                found.append(told)
                print({k: round(v, 4) if isinstance(v, float) else v for k, v in told.items()}, flush=True)
    return found


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--quick", action="store_true", help="a trial on few rows")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.child:
        mapped_child(*options.child)
        return
    few = options.quick
    with tempfile.TemporaryDirectory() as folder:
        record = {
            "surroundings": machine() | {"fastgmm": fastgmm.__version__, "variant": kernels.VARIANT},
            "weights": weights(1 if few else 7),
            "gaps": gaps(1 if few else 7),
            "mapped": mapped(1 << 20 if few else 20_000_000, 1 if few else 3, Path(folder)),
            "stream": stream(100_000 if few else 1_000_000, STREAMS[:1] if few else STREAMS),
        }
    if options.output:
        options.output.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
