"""What an EM iteration on a Dask cluster of two worker processes costs beyond the computation.

Run `python -P bench/distributed.py --output distributed.json`; bench/README.md says what is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import warnings
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import dask.array as da
import distributed
import numpy as np

from fastgmm import GaussianMixture

Array = np.ndarray[Any, Any]

WORKERS = 2
LIMIT_MS = 60.0  # aimed for


def iterations(X: Any, n_components: int, n_iter: int, **options: Any) -> Array:
    """Milliseconds of each EM iteration but the first, whose time is the cluster's to load the rows."""
    ends: list[float] = []
    start = np.random.RandomState(0).normal(size=(n_components, X.shape[1]))
    mixture = GaussianMixture(
        n_components,
        weights_init=np.full(n_components, 1 / n_components),
        means_init=start,
        precisions_init=np.tile(np.eye(X.shape[1]), (n_components, 1, 1)),
        max_iter=n_iter + 1,
        tol=0,
        callback=lambda *_: ends.append(perf_counter()),
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture.fit(X)
    return np.diff(ends) * 1e3


def quartiles(times: Array) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75])
    return {"low": round(low, 1), "median": round(median, 1), "high": round(high, 1)}


def overhead(n_chunks: int, n_iter: int) -> dict[str, Any]:
    """Iterations over chunks of so few rows that the computation takes no time."""
    X = da.from_array(np.random.default_rng(0).normal(size=(200 * n_chunks, 10)), chunks=(200, 10))
    return {"chunks": n_chunks, "milliseconds": quartiles(iterations(X, 8, n_iter))}


def whole(n_samples: int, n_chunks: int, n_iter: int) -> dict[str, Any]:
    """Iterations over many rows, on the cluster and in memory with as many threads as the cluster has."""
    X = np.random.default_rng(0).normal(size=(n_samples, 10))
    lazy = da.from_array(X, chunks=(-(-n_samples // n_chunks), 10))
    there, here = [], []
    for _ in range(3):
        there.append(iterations(lazy, 8, n_iter))
        here.append(iterations(X, 8, n_iter, n_threads=WORKERS))
    return {
        "rows": n_samples,
        "chunks": n_chunks,
        "cluster": quartiles(np.concatenate(there)),
        "memory": quartiles(np.concatenate(here)),
    }


def main() -> None:
    """Time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="JSON file for the times")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with (
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        overheads = [overhead(n_chunks, arguments.iterations) for n_chunks in (2, 4, 8, 16, 32)]
        large = whole(arguments.rows, 4 * WORKERS, max(3, arguments.iterations // 4))
    result = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "python": platform.python_version(),
        "dask": distributed.__version__,
        "workers": WORKERS,
        "limit_ms": LIMIT_MS,
        "overhead": overheads,
        "whole": large,
    }
    for row in overheads:
        print(f"{row['chunks']:>4} chunks  {row['milliseconds']['median']:>7.1f} ms per iteration without computation")
    print(f"{large['rows']} rows: cluster {large['cluster']['median']} ms, memory {large['memory']['median']} ms")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
