"""Whether a change leaves every bit of every fit as it was: varied fits, and a checksum of all that each leaves.

    python bench/same_bits.py --write before.json       # with the version before
    python bench/same_bits.py --against before.json     # with the version after, on the same machine

Another machine, instruction set or version of NumPy may round otherwise: both runs must share them. Exit status 1, and
the names of the fits, where bits differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.sources import from_chunks

TYPES = ("full", "tied", "diag", "spherical")
FITTED = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "lower_bounds_", "n_iter_")
CASES: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Register a case under its name."""
    CASES[function.__name__] = function
    return function


def blobs(n: int, d: int, k: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    """Rows around k centers, along correlated axes."""
    rng = np.random.RandomState(seed)
    centers, labels = 3 * rng.normal(size=(k, d)), rng.randint(k, size=n)
    axes = rng.normal(size=(k, d, d)) / np.sqrt(d)
    return (centers[labels] + np.einsum("nij,nj->ni", axes[labels], rng.normal(size=(n, d)))).astype(dtype)


def gaps(X: np.ndarray, share: float = 0.2) -> np.ndarray:
    """The same rows with some values missing."""
    holes = np.random.RandomState(9).uniform(size=X.shape) < share
    return np.where(holes, np.nan, X).astype(X.dtype)


def fitted(mixture: GaussianMixture) -> list[Any]:
    """What a fit leaves: parameters, bounds, repairs."""
    ends = [mixture.stop_reason_, [tuple(map(str, repair)) for repair in mixture.degenerate_]]
    starts = [(f.n_iter, f.start_bound, f.lower_bound, f.dropped) for f in getattr(mixture, "fits_", [])]
    return [*(np.asarray(getattr(mixture, name)) for name in FITTED), str(ends), np.array(starts, np.float64)]


def applied(mixture: GaussianMixture, X: np.ndarray) -> list[Any]:
    """What a mixture tells of rows."""
    outputs = [mixture.predict(X), mixture.predict_proba(X), mixture.score_samples(X), mixture.score(X)]
    return [*outputs, mixture.bic(X), mixture.aic(X), mixture.icl(X), mixture.uncertainty(X)]


@case
def every_structure_and_precision() -> Any:
    found = []
    for kind in TYPES:
        for dtype in (np.float64, np.float32):
            X = blobs(3000, 5, 4, dtype=dtype)
            mixture = GaussianMixture(4, covariance_type=kind, random_state=0, tol=1e-6).fit(X)
            found += fitted(mixture) + applied(mixture, X)
    return found


@case
def many_groups_of_rows() -> Any:
    X = blobs(120_000, 8, 6, seed=1)
    fits = [GaussianMixture(6, covariance_type=kind, random_state=1, max_iter=8, n_threads=2).fit(X) for kind in TYPES]
    return [part for mixture in fits for part in fitted(mixture) + applied(mixture, X[:5000])]


@case
def every_start() -> Any:
    X, found = blobs(2500, 3, 3, seed=2), []
    for init in ("kmeans", "k-means++", "random", "random_from_data", "hierarchical", "best"):
        for kind in TYPES:
            found += fitted(GaussianMixture(3, covariance_type=kind, init_params=init, random_state=2).fit(X))
    labels = np.random.RandomState(0).randint(3, size=len(X))
    shares = np.random.RandomState(0).dirichlet([1.0, 1.0, 1.0], size=len(X))
    for init in (labels, shares, lambda rows, k, rng: rows[:k]):
        found += fitted(GaussianMixture(3, init_params=init, random_state=2).fit(X))
    return found


@case
def given_starting_values() -> Any:
    X, found = blobs(1500, 4, 3, seed=3), []
    means = X[:3]
    for kind in TYPES:
        once = GaussianMixture(3, covariance_type=kind, means_init=means, random_state=0).fit(X)
        again = GaussianMixture(
            3,
            covariance_type=kind,
            weights_init=once.weights_,
            means_init=once.means_,
            precisions_init=once.precisions_,
            warm_start=True,
        )
        found += fitted(once) + fitted(again.fit(X)) + fitted(again.fit(X[:1000]))
        found += fitted(
            GaussianMixture(3, covariance_type=kind, precisions_init=once.precisions_, random_state=0).fit(X)
        )
    return found


@case
def sample_weights() -> Any:
    X, found = blobs(4000, 4, 3, seed=4), []
    weights = np.random.RandomState(1).randint(0, 4, size=len(X)) * 1e3
    for kind in TYPES:
        for init in ("kmeans", "hierarchical", "best", "random"):
            mixture = GaussianMixture(3, covariance_type=kind, init_params=init, random_state=0)
            found += fitted(mixture.fit(X, sample_weight=weights))
        found += [mixture.score(X, sample_weight=weights), mixture.bic(X, weights), mixture.icl(X, weights)]
    return found


@case
def missing_values() -> Any:
    X, found = gaps(blobs(3000, 4, 3, seed=5)), []
    for kind in TYPES:
        for dtype in (np.float64, np.float32):
            mixture = GaussianMixture(3, covariance_type=kind, missing="em", random_state=0, max_iter=20)
            found += fitted(mixture.fit(X.astype(dtype))) + applied(mixture, X.astype(dtype))
            found += [*mixture.impute(X[:500], return_std=True), mixture.impute(X[:500], random_state=3)]
            found += [*mixture.regress(X[:500, :3], [3], return_std=True)]
    return found


@case
def chunks_and_maps() -> Any:
    X, found = blobs(50_000, 6, 4, seed=6), []
    chunks = from_chunks([X[i : i + 7001] for i in range(0, len(X), 7001)])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.npy")
        np.save(path, X)
        for rows in (chunks, np.load(path, mmap_mode="r"), np.asfortranarray(X), X[::-1]):
            for kind in ("full", "tied"):
                mixture = GaussianMixture(4, covariance_type=kind, random_state=0, max_iter=5).fit(rows)
                found += [*fitted(mixture), mixture.predict_proba(rows)]
        holes = from_chunks([gaps(X)[i : i + 9001] for i in range(0, len(X), 9001)])
        found += fitted(GaussianMixture(3, missing="em", random_state=0, max_iter=4).fit(holes))
    return found


@case
def streams() -> Any:
    X, found = blobs(20_000, 3, 3, seed=7), []
    for kind in TYPES:
        for decay in (0.6, 1.0):
            mixture = GaussianMixture(3, covariance_type=kind, random_state=0, learning_decay=decay)
            for start in range(0, len(X), 2000):
                mixture.partial_fit(X[start : start + 2000], sample_weight=None if decay < 1 else np.ones(2000))
            found += [*fitted(mixture)[:6], mixture.n_samples_seen_]
        mixture = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X[:5000])
        found += fitted(mixture.partial_fit(X[5000:5200]).partial_fit(X[5200:5300]))
        mixture = GaussianMixture(3, covariance_type=kind, random_state=0, missing="em")
        for start in range(0, 50, 5):
            mixture.partial_fit(gaps(X)[start : start + 5])
        found += fitted(mixture)[:6]
    return found


@case
def squarem() -> Any:
    X, found = blobs(3000, 3, 5, seed=8), []
    for kind in TYPES:
        for rule in ("likelihood", "parameters", "aitken"):
            mixture = GaussianMixture(5, covariance_type=kind, random_state=0, tol=1e-5, max_iter=300)
            found += fitted(mixture.set_params(acceleration="squarem", convergence=rule).fit(X))
            found += fitted(mixture.set_params(acceleration=None).fit(X))
    return found


@case
def restarts() -> Any:
    X, found = blobs(4000, 4, 6, seed=9), []
    for drop in (True, False):
        for kind in ("full", "spherical"):
            mixture = GaussianMixture(
                6, covariance_type=kind, n_init=7, random_state=0, drop_restarts=drop, n_threads=2
            )
            found += fitted(mixture.set_params(tol=1e-6, max_iter=200, n_threads=2).fit(X))
    return found


@case
def degenerate_data() -> Any:
    rng, found = np.random.RandomState(0), []
    X = blobs(300, 4, 3, seed=10)
    X[:60] = X[0]
    X[60:120, 2] = X[60:120, 1]
    for kind in TYPES:
        for reg in (0.0, 1e-6, "auto"):
            for rows in (X, np.column_stack([X, np.full(len(X), 7.0)]), np.repeat(X[:3], 20, axis=0)):
                mixture = GaussianMixture(5, covariance_type=kind, reg_covar=reg, random_state=0, n_init=2)
                found += fitted(mixture.fit(rows))
        mixture = GaussianMixture(4, covariance_type=kind, random_state=0, reg_covar=0)
        for start in range(0, 300, 60):
            mixture.partial_fit(X[start : start + 60])
        found += fitted(mixture)[:6]
        found += fitted(GaussianMixture(4, covariance_type=kind, missing="em", random_state=0).fit(gaps(X, 0.3)))
    return [*found, rng.uniform()]


@case
def far_from_the_origin() -> Any:
    X, found = blobs(2000, 3, 3, seed=11), []
    for kind in TYPES:
        for shift, dtype in ((1e7, np.float64), (1e3, np.float32)):
            found += fitted(GaussianMixture(3, covariance_type=kind, random_state=0).fit((X + shift).astype(dtype)))
    return found


@case
def selection() -> Any:
    found = []
    for X, params in (
        (load_iris().data, {}),
        (load_faithful().data, {"criterion": "cv", "cv": 3}),
        (blobs(6000, 3, 4, seed=12), {"criterion": "icl", "n_threads": 2}),
        (gaps(blobs(800, 3, 3, seed=13)), {"missing": "em", "reg_covar": "auto"}),
    ):
        chosen = fastgmm.select(X, range(1, 6), random_state=0, **params)
        table = chosen.table_
        names = [name for name in table.dtype.names if name not in ("seconds", "covariance_type", "error")]
        found += [table["covariance_type"].tolist().__str__(), *(np.ascontiguousarray(table[name]) for name in names)]
        found += [part for model in chosen.estimators_ if model is not None for part in fitted(model)[:6]]
    weights = np.arange(150) % 3 + 0.5
    chosen = fastgmm.select(load_iris().data, [2, 3], ["full", "tied"], sample_weight=weights, random_state=1, n_init=3)
    return [*found, *fitted(chosen.best_estimator_)]


@case
def selection_by_a_method() -> Any:
    found = []
    for init in ("kmeans", "random_from_data", lambda rows, k, rng: rows[rng.choice(len(rows), k, replace=False)]):
        chosen = fastgmm.select(load_faithful().data, range(1, 5), random_state=0, init_params=init)
        found += [part for model in chosen.estimators_ if model is not None for part in fitted(model)[:6]]
    return found


@case
def em_by_hand() -> Any:
    X, found = blobs(3000, 4, 3, seed=14), []
    for kind in TYPES:
        mixture = GaussianMixture(3, covariance_type=kind, max_iter=0, random_state=0).fit(X[::5])
        for _ in range(5):
            parts = [fastgmm.statistics(mixture, X[:1000]), fastgmm.statistics(mixture, X[1000:], np.full(2000, 3.0))]
            merged = fastgmm.merge(*parts)
            found += [merged.counts, merged.sums, merged.scatters, merged.log_likelihood, merged.n_samples]
            mixture = fastgmm.maximize(mixture, merged)
            found += [getattr(mixture, name) for name in FITTED[:5]]
        found += [np.asarray(mixture.partial_fit(X[:500]).means_)]
    return found


@case
def distributions() -> Any:
    X, found = blobs(2000, 4, 3, seed=15), []
    for kind in TYPES:
        mixture = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X)
        marginal, condition = mixture.marginal([2, 0]), mixture.condition([1, 3], X[0, [1, 3]])
        found += [getattr(part, name) for part in (marginal, condition) for name in FITTED[:5]]
        found += [*mixture.sample(100, random_state=5), *mixture.regress(X[:, [1, 3]], [0, 2], return_cov=True)]
        found += [mixture.regress(X[:, [0, 2, 3]], 1), mixture.anomaly_threshold(X), *marginal.sample(7)]
        found += [getattr(GaussianMixture.from_sklearn(mixture.to_sklearn()), name) for name in FITTED[:5]]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "mixture.npz")
            mixture.save(path)
            found += fitted(fastgmm.load(path))
    return found


@case
def one_feature() -> Any:
    X, found = load_faithful().data[:, :1], []
    for kind in TYPES:
        for k in (1, 2, 3):
            found += fitted(GaussianMixture(k, covariance_type=kind, random_state=0, n_init=3).fit(X))
    return found


@case
def many_components() -> Any:
    X = blobs(5000, 2, 30, seed=16)
    fits = [GaussianMixture(60, covariance_type=kind, random_state=0, max_iter=10).fit(X) for kind in TYPES]
    return [part for mixture in fits for part in fitted(mixture)]


@case
def stopped_early() -> Any:
    X, seen = blobs(2000, 3, 3, seed=17), []

    def callback(iteration: int, lower_bound: float, elapsed: float) -> bool:
        seen.append((iteration, lower_bound))
        return len(seen) == 7

    mixture = GaussianMixture(3, random_state=0, tol=0, n_init=3, callback=callback).fit(X)
    return [*fitted(mixture), np.array(seen)]


@case
def dask_collections() -> Any:
    import dask.array as da

    X, found = blobs(20_000, 4, 3, seed=18), []
    for rows, missing in ((X, "raise"), (gaps(X), "em")):
        lazy = da.from_array(rows, chunks=(6000, -1))
        for kind in TYPES:
            mixture = GaussianMixture(3, covariance_type=kind, missing=missing, random_state=0, max_iter=5).fit(lazy)
            found += [*fitted(mixture), mixture.predict_proba(lazy).compute(), mixture.score(lazy)]
    weighted = da.from_array(X, chunks=5000)
    found += fitted(GaussianMixture(3, random_state=0).fit(weighted, sample_weight=np.arange(len(X)) % 3 + 1.0))
    return found


def checksum(values: list[Any]) -> str:
    """A digest of arrays, numbers and strings, with their types and shapes."""
    digest = hashlib.sha256()
    for value in values:
        array = np.asarray(value)
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def main() -> int:
    """Run all cases; write their checksums, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", metavar="JSON")
    parser.add_argument("--against", metavar="JSON")
    parser.add_argument("--only", nargs="*", choices=tuple(CASES), default=tuple(CASES))
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    found = {}
    for name in chosen.only:
        np.random.seed(0)
        found[name] = checksum(CASES[name]())
    if chosen.write is not None:
        with open(chosen.write, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    if chosen.against is None:
        return 0
    with open(chosen.against, encoding="utf-8") as file:
        before = json.load(file)
    changed = [name for name, digest in found.items() if digest != before.get(name)]
    print(f"{len(found) - len(changed)} of {len(found)} fits have the same bits", *changed, sep="\n  ")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
