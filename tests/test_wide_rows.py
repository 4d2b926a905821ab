"""Rows of many features: mixtures without matrices hold no D x D array, whatever is done with them.

Every allocation is watched while they are fitted and asked. The bound lies below what an array of a single byte for
each pair of features would take.
"""

from __future__ import annotations

import copy
import pickle
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import Array, quiet_fit

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.plotting import marginal_covariances
from fastgmm.sources import from_array, from_chunks, from_csv
from fastgmm.sources.array import ArraySource

ROWS, FEATURES = 24, 7000
BOUND = FEATURES**2  # bytes
WITHOUT_MATRICES = ("diag", "spherical")
METHODS = ("kmeans", "k-means++", "random", "random_from_data", "hierarchical", "best")
HALF = np.arange(0, FEATURES, 2)


def wide_rows(dtype: Any = np.float64) -> Array:
    """Two groups of rows, one after the other."""
    X = np.random.default_rng(0).normal(size=(ROWS, FEATURES))
    X[ROWS // 2 :] += 1
    return X.astype(dtype)


def with_gaps(X: Array) -> Array:
    """The same rows with a twentieth of their values missing."""
    return np.where(np.random.default_rng(1).random(X.shape) < 0.05, np.nan, X).astype(X.dtype)


def with_both(names: Sequence[str]) -> Any:
    """Parametrize by name, structure and gaps, each two of them together."""
    each = [(name, kind, (i + j) % 2 == 1) for i, name in enumerate(names) for j, kind in enumerate(WITHOUT_MATRICES)]
    told = [f"{name}-{kind}-{'gaps' if gaps else 'complete'}" for name, kind, gaps in each]
    return pytest.mark.parametrize(("name", "structure", "gaps"), each, ids=told)


@contextmanager
def watched(bound: float = BOUND) -> Iterator[None]:
    """Refuse allocations of `bound` bytes in all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracemalloc.start()
        try:
            yield
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < bound, f"{peak / 1e6:.0f} MB, of which {bound / 1e6:.0f} are a D x D array of bytes"


def mixture_of_two(structure: str, **options: Any) -> GaussianMixture:
    """An estimator on one thread."""
    return GaussianMixture(2, covariance_type=structure, random_state=0, n_threads=1, max_iter=5, **options)


def mapped(X: Array, folder: Path) -> Array:
    """The rows mapped from a file."""
    np.save(folder / "rows.npy", X)
    return np.load(folder / "rows.npy", mmap_mode="r")


def csv_file(X: Array, folder: Path) -> Any:
    """The rows read from text."""
    np.savetxt(folder / "rows.csv", X, delimiter=",", fmt="%.5g")
    return from_csv(folder / "rows.csv", header=False)


def on_dask(X: Array, folder: Path) -> Any:
    """The rows in chunks of Dask."""
    pytest.importorskip("dask")
    return pytest.importorskip("dask.array").from_array(X, chunks=(10, -1))


SOURCES: dict[str, Callable[[Array, Path], Any]] = {
    "array": lambda X, _: X,
    "columns": lambda X, _: np.asfortranarray(X),
    "float32": lambda X, _: X.astype(np.float32),
    "memory map": mapped,
    "chunks": lambda X, _: from_chunks([X[:9], X[9:]]),
    "array in chunks": lambda X, _: from_array(X, chunk_rows=7),
    "csv": csv_file,
    "dask": on_dask,
}


@with_both([*SOURCES])
def test_fits_of_every_source(name: str, structure: str, gaps: bool, tmp_path: Path) -> None:
    """Fits with regularization in units of the rows, weighted or not, and probabilities, wherever rows come from."""
    X = SOURCES[name](with_gaps(wide_rows()) if gaps else wide_rows(), tmp_path)
    mixture = mixture_of_two(structure, missing="em" if gaps else "raise", reg_covar="auto")
    with watched():
        labels = np.asarray(mixture.fit(X).predict(X))
        assert np.isfinite([mixture.score(X), mixture.bic(X)]).all()
    assert (labels == (labels[0] ^ (np.arange(ROWS) >= ROWS // 2))).all()
    weights = np.linspace(0.5, 1.5, ROWS)
    with watched():
        mixture.fit(X, sample_weight=weights)


@with_both([*METHODS, "labels", "responsibilities", "function", "parameters"])
def test_fits_from_every_start(name: str, structure: str, gaps: bool) -> None:
    """Each start, with components that collapse or are empty, and repairs."""
    X, labels = wide_rows(), np.repeat([0, 1], ROWS // 2)
    X[5:10], X[:, 3] = X[5], 0.1  # repeated rows and a constant feature
    X = with_gaps(X) if gaps else X
    given: Any = {"labels": labels, "responsibilities": np.eye(2)[labels], "function": lambda *_: labels}
    options: Any = {"init_params": given.get(name, name)}
    if name == "parameters":
        options = {"means_init": np.nan_to_num(X[[0, -1]]), "weights_init": [0.5, 0.5]}
        options["precisions_init"] = np.ones((2, FEATURES) if structure == "diag" else 2)
    with watched():
        for k, reg_covar in ((2, 1e-6), (7, 0.0), (7, "auto")):
            if k == 2 or isinstance(options.get("init_params"), str):
                missing = "em" if gaps else "raise"
                mixture = mixture_of_two(structure, missing=missing, n_init=2, reg_covar=reg_covar, **options)
                assert np.isfinite(mixture.set_params(n_components=k).fit(X).means_).all()


def round_trip(mixture: GaussianMixture, X: Array, folder: Path) -> None:
    """Save, load, pickle and copy."""
    mixture.save(folder / "mixture")
    for other in (fastgmm.load(folder / "mixture"), pickle.loads(pickle.dumps(mixture)), copy.deepcopy(mixture)):
        np.testing.assert_array_equal(other.covariances_, mixture.covariances_)


def through_sklearn(mixture: GaussianMixture, X: Array, folder: Path) -> None:
    """To scikit-learn and back."""
    back = GaussianMixture.from_sklearn(mixture.to_sklearn())
    np.testing.assert_array_equal(back.covariances_, mixture.covariances_)


def by_hand(mixture: GaussianMixture, X: Array, folder: Path) -> None:
    """Statistics of two parts, merged, stored and maximized."""
    merged = fastgmm.merge(fastgmm.statistics(mixture, X[:13]), fastgmm.statistics(mixture, X[13:]))
    np.testing.assert_allclose(fastgmm.maximize(mixture.set_params(reg_covar="auto"), merged).weights_, 0.5)


def streamed(mixture: GaussianMixture, X: Array, folder: Path) -> None:
    """Batches that go on from the fit, and with less weight for early ones."""
    for decay in (1.0, 0.7):
        mixture = copy.deepcopy(mixture).set_params(learning_decay=decay, reg_covar="auto")
        for start in (0, 8, 16):
            mixture.partial_fit(X[start : start + 8])


def cut_in_two(mixture: GaussianMixture, X: Array, folder: Path) -> None:
    """Marginal, conditional and regression on half of the features; without correlations the rest do not follow."""
    rest = np.setdiff1d(np.arange(FEATURES), HALF)
    given = mixture.condition(rest, X[0, rest])
    means, deviations = mixture.regress(X[:, rest], HALF, return_std=True)
    np.testing.assert_array_equal(given.means_, mixture.marginal(HALF).means_)
    np.testing.assert_allclose(means[0], given.weights_ @ given.means_)
    assert deviations.shape == means.shape
    holes = with_gaps(X)[:, rest]
    mixture.set_params(missing="em").regress(holes, HALF, return_std=True)
    mixture.set_params(missing="raise")


def imputed(mixture: GaussianMixture, X: Array, folder: Path) -> None:
    """Conditional means with deviations, and draws."""
    holes = with_gaps(X)
    filled, deviations = mixture.impute(holes, return_std=True)
    drawn = mixture.impute(holes, random_state=0)
    seen = ~np.isnan(holes)
    assert (filled[seen] == X[seen]).all() and (drawn[seen] == X[seen]).all()
    assert (deviations[~seen] > 0).all() and (drawn[~seen] != filled[~seen]).all()


QUESTIONS: dict[str, Callable[[GaussianMixture, Array, Path], Any]] = {
    **{
        name: lambda mixture, X, _, name=name: getattr(mixture, name)(X)  # type: ignore[misc]
        for name in ("predict_proba", "score_samples", "aic", "icl", "uncertainty", "anomaly_scores", "fit_predict")
    },
    "anomaly_threshold": lambda mixture, X, _: mixture.anomaly_threshold(X, 0.1),
    "sample": lambda mixture, *_: mixture.sample(20, random_state=0),
    "round_trip": round_trip,
    "sklearn": through_sklearn,
    "by_hand": by_hand,
    "streamed": streamed,
    "cut_in_two": cut_in_two,
    "imputed": imputed,
    "repr": lambda mixture, *_: repr(mixture),
    "picture": lambda mixture, *_: marginal_covariances(mixture, [5, 70]),
    "from_parameters": lambda mixture, *_: GaussianMixture.from_parameters(
        mixture.weights_, mixture.means_, mixture.covariances_
    ),
}


@pytest.mark.parametrize("structure", WITHOUT_MATRICES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_questions(question: str, structure: str, tmp_path: Path) -> None:
    """Everything that a fitted mixture can be asked."""
    X = wide_rows()
    mixture = quiet_fit(X, n_components=2, covariance_type=structure, random_state=0, n_threads=1)
    if question == "sklearn":
        pytest.importorskip("sklearn.mixture")  # modules are memory, too
    with watched():
        QUESTIONS[question](mixture, X, tmp_path)


@pytest.mark.parametrize("acceleration", [None, "squarem"])
def test_streams_and_acceleration(acceleration: str | None) -> None:
    """A stream from its first rows on, and extrapolated fits."""
    X, mixture = wide_rows(), mixture_of_two("diag", acceleration=acceleration, tol=1e-6)
    few = mixture_of_two("spherical")
    with watched():
        mixture.fit(X)
        for start in range(0, ROWS, 8):
            few.partial_fit(X[start : start + 8])


@pytest.mark.parametrize("options", [{}, {"criterion": "cv", "cv": 2}, {"missing": "em"}, {"init_params": "kmeans"}])
def test_selection(options: dict[str, Any]) -> None:
    """A search among structures without matrices: hierarchy, merging, insertion, and judging of what has collapsed."""
    X = wide_rows()
    X = with_gaps(X) if "missing" in options else X
    with watched():
        selection = fastgmm.select(X, [1, 2, 3], WITHOUT_MATRICES, reg_covar="auto", n_threads=1, **options)
    assert selection.best_estimator_.n_components in (1, 2, 3)


def test_squares_without_scatter(monkeypatch: pytest.MonkeyPatch) -> None:
    """What mixtures without matrices do in few dimensions asks no source for its scatter either."""

    def refuse(self: Any) -> None:
        raise AssertionError("a scatter was asked for")

    monkeypatch.setattr(ArraySource, "scatter", property(refuse))
    X = np.repeat(wide_rows()[:, :4], 3, axis=0)
    for structure in WITHOUT_MATRICES:
        mixture = partial(quiet_fit, X, covariance_type=structure, random_state=0)
        for method in METHODS:
            mixture(n_components=5, init_params=method, reg_covar="auto")
    fastgmm.select(X, [1, 2, 3], WITHOUT_MATRICES, reg_covar=1e-3)
    with pytest.raises(AssertionError, match="scatter"):
        quiet_fit(X, n_components=2, covariance_type="tied", init_params="random", random_state=0)
