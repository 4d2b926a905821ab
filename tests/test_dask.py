"""Fits on Dask collections equal those in memory, with the same bits each time, even if a worker is lost."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from problems import Array, assert_same_fit, grouped_rows, limit, run_python

from fastgmm import GaussianMixture, maximize, merge, statistics
from fastgmm.exceptions import DegenerateComponentWarning
from fastgmm.fitting.starts import METHODS
from fastgmm.model.structures import LAYOUTS
from fastgmm.sources.array import ArraySource
from fastgmm.sources.complete import ORIGIN_ROWS
from fastgmm.sources.dask import source as on_dask
from fastgmm.sources.dask.partitions import IncompletePartition, Partition
from fastgmm.sources.dask.source import DaskSource
from fastgmm.sources.incomplete import source as incomplete

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
pytest.importorskip("distributed")


pytestmark = [
    pytest.mark.filterwarnings("ignore:Best performing initialization did not converge"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of the cluster, closed a moment later
]


def sorted_rows(n_samples: int = 5000, seed: int = 0) -> Array:
    """Rows of four groups, one group after the other, so that chunks differ."""
    return grouped_rows(n_samples, 4, 4, seed=seed, scale=[1, 2, 0.5], offset=-20, ordered=True)


def chunked(X: Array, *lengths: int) -> Any:
    """A dask.array with chunks of these lengths, or of 700 rows."""
    return da.from_array(X, chunks=(lengths or 700, X.shape[1]))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A cluster of two worker processes."""
    from distributed import Client, LocalCluster

    try:
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    except (OSError, RuntimeError) as error:
        pytest.skip(f"worker processes cannot be started: {error}")
    with cluster, Client(cluster) as client:
        yield client


@pytest.fixture(params=["synchronous", "threads"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[None]:
    """Dask's schedulers in this process."""
    with dask.config.set(scheduler=request.param):
        yield


@pytest.fixture
def synchronous() -> Iterator[None]:
    """The simplest of them."""
    with dask.config.set(scheduler="synchronous"):
        yield


# ---- on Dask's schedulers in this process


@pytest.mark.parametrize("structure", LAYOUTS)
def test_fit_equals_memory(structure: str, scheduler: None) -> None:
    """Two k-means initializations, of which the better is kept, give the fit of rows in memory."""
    X = sorted_rows()
    options: dict[str, Any] = {"covariance_type": structure, "random_state": 0, "n_init": 2, "max_iter": 20}
    assert_same_fit(GaussianMixture(4, **options).fit(chunked(X)), GaussianMixture(4, **options).fit(X))


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("method", [*METHODS, "labels", "responsibilities"])
def test_every_start_equals_memory(method: str, weighted: bool, synchronous: None) -> None:
    """Each method draws the rows it draws in memory, by their weights too; arrays are cut along the chunks."""
    X = sorted_rows(20000)
    rng = np.random.default_rng(1)
    given = {"labels": rng.integers(4, size=len(X)), "responsibilities": rng.dirichlet(np.ones(4), len(X))}
    weights = rng.integers(0, 3, len(X)) * 0.3 if weighted else None
    mixture = GaussianMixture(4, init_params=given.get(method, method), random_state=1, max_iter=3, tol=0)
    there = mixture.fit(chunked(X, 9000, 1, 10999), sample_weight=weights)
    assert_same_fit(there, GaussianMixture(**mixture.get_params()).fit(X, sample_weight=weights), 1e-9)


def test_take_and_assign_equal_memory(synchronous: None) -> None:
    """Rows taken by index, k-means assignments, scatter and origin are those of rows in memory."""
    X = sorted_rows(1000)
    source = DaskSource(chunked(X, 300, 1, 699), "Test")
    for indices in (np.array([999, 0, 300, 300, 5]), np.array([301]), np.arange(1000)):
        np.testing.assert_array_equal(source.take(indices).X, X[indices])
    assert isinstance(source.take(None), ArraySource)
    np.testing.assert_array_equal(source.take(None).X, X)
    centers = X[[0, 500, 999]]
    for ours, theirs in zip(source.assign(centers), ArraySource(X).assign(centers), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)
    np.testing.assert_allclose(source.scatter, ArraySource(X).scatter, rtol=1e-13)
    np.testing.assert_allclose(source.squares, np.diagonal(ArraySource(X).scatter), rtol=1e-13)
    np.testing.assert_array_equal(source.origin, ArraySource(X).origin)


@pytest.mark.parametrize("structure", ["EEI", "VEE", "EVE"])
def test_few_sums_equal_memory(structure: str, synchronous: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """M-steps from sums that components share: these travel, and no rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 16)) + 3 * rng.integers(0, 4, size=(30_000, 1))
    read, count = DaskSource.read, list[int]()
    monkeypatch.setattr(DaskSource, "read", lambda self, groups: count.append(1) or read(self, groups))
    options: dict[str, Any] = {"covariance_type": structure, "random_state": 0, "tol": 0}
    GaussianMixture(12, max_iter=0, **options).fit(da.from_array(X, chunks=(10_000, 16)))
    of_start = len(count)
    spread = GaussianMixture(12, max_iter=6, **options).fit(da.from_array(X, chunks=(10_000, 16)))
    assert len(count) == 2 * of_start
    own = GaussianMixture(12, max_iter=6, **options).fit(X)
    assert spread.lower_bounds_ == pytest.approx(own.lower_bounds_, rel=1e-12)


def test_weights(synchronous: None) -> None:
    """sample_weight may be an array, a list or a Dask array, with chunks of zeros; criteria take it too."""
    X = sorted_rows()
    weights = np.random.default_rng(2).uniform(0, 1e3, len(X))
    weights[:1500] = 0
    options: dict[str, Any] = {"covariance_type": "tied", "random_state": 0, "max_iter": 8}
    whole = GaussianMixture(3, **options).fit(X, sample_weight=weights)
    for given in (weights, da.from_array(weights, chunks=999), list(weights)):
        mixture = GaussianMixture(3, **options).fit(chunked(X), sample_weight=given)
        assert_same_fit(mixture, whole)
        for criterion in ("score", "bic", "aic", "icl"):
            expected = getattr(whole, criterion)(X, sample_weight=weights)
            assert getattr(mixture, criterion)(chunked(X), sample_weight=given) == pytest.approx(expected, rel=1e-11)
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(10,\), expected \(5000,\)"):
        GaussianMixture(3).fit(chunked(X), sample_weight=weights[:10])


def test_closed_source_releases_rows(synchronous: None) -> None:
    """A closed source holds no rows, even where something keeps the source itself."""
    with DaskSource(chunked(sorted_rows(1000)), "Test") as source:
        assert source.total == 1000 and source.handles
    assert "parts" not in vars(source)


@pytest.mark.parametrize("dtype", ["float32", "int16", ">f8"])
def test_dtypes(dtype: str, synchronous: None) -> None:
    """float32 stays, the rest becomes float64."""
    X = sorted_rows().astype(dtype)
    whole = GaussianMixture(4, random_state=0, max_iter=5, tol=0).fit(X)
    there = GaussianMixture(4, random_state=0, max_iter=5, tol=0).fit(chunked(X))
    assert_same_fit(there, whole, 1e-4 if dtype == "float32" else 1e-10)
    assert there.predict_proba(chunked(X)).dtype == whole.means_.dtype


def test_chunked_columns(synchronous: None) -> None:
    """Chunks of columns are put together."""
    X = sorted_rows()
    there = GaussianMixture(4, random_state=0).fit(da.from_array(X, chunks=(1000, 2)))
    assert_same_fit(there, GaussianMixture(4, random_state=0).fit(X))


def test_predictions_stay_lazy(synchronous: None) -> None:
    """Predictions are computed when asked for; their shapes, chunks and dtypes are known before."""
    X = sorted_rows()
    computed = []

    def noted(chunk: Array) -> Array:
        computed.append(len(chunk))
        return chunk

    mixture = GaussianMixture(4, random_state=0).fit(X)
    lazy = chunked(X).map_blocks(noted, dtype=float, meta=np.empty((0, 0)))
    for method, columns in [("predict", ()), ("predict_proba", (4,)), ("score_samples", ())]:
        result, expected = getattr(mixture, method)(lazy), getattr(mixture, method)(X)
        assert computed == []
        assert result.shape == expected.shape and result.dtype == expected.dtype
        assert result.chunks == (lazy.chunks[0], *((n,) for n in columns))
        np.testing.assert_array_equal(result.compute(), expected)
        assert sorted(computed) == sorted(lazy.chunks[0])
        computed.clear()
    assert mixture.score(lazy) == pytest.approx(mixture.score(X), rel=1e-13)
    assert mixture.fit_predict(chunked(X)).compute().tolist() == mixture.predict(X).tolist()
    with pytest.raises(TypeError, match="stays lazy"):
        mixture.predict(chunked(X), out=np.empty(len(X), np.int64))


def test_dataframes(synchronous: None) -> None:
    """Chunks of unknown length, some of them empty; names of columns are remembered and compared."""
    pandas, frames = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X = sorted_rows()
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    lazy = frames.from_pandas(table, npartitions=4)
    lazy = lazy[lazy.a > table.a.quantile(0.3)]  # which leaves nothing of the first partition
    kept = table[table.a > table.a.quantile(0.3)]
    assert 0 in lazy.map_partitions(len).compute().tolist()
    options: dict[str, Any] = {"n_components": 3, "random_state": 0, "max_iter": 10}
    mixture, whole = GaussianMixture(**options).fit(lazy), GaussianMixture(**options).fit(kept)
    assert_same_fit(mixture, whole)
    assert list(mixture.feature_names_in_) == ["a", "b", "c"]
    np.testing.assert_array_equal(mixture.predict(lazy).compute(), whole.predict(kept))
    np.testing.assert_allclose(mixture.predict_proba(lazy).compute(), whole.predict_proba(kept), atol=1e-9)
    assert mixture.bic(lazy) == pytest.approx(whole.bic(kept), rel=1e-12)
    weights = np.arange(len(kept)) % 3
    assert_same_fit(
        GaussianMixture(**options).fit(lazy, sample_weight=weights),
        GaussianMixture(**options).fit(kept, sample_weight=weights),
    )
    with pytest.raises(ValueError, match="feature names should match"):
        mixture.predict(lazy[["b", "a", "c"]])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D Dask collection"):
        mixture.fit(lazy["a"])


def test_unknown_chunk_lengths(synchronous: None) -> None:
    """An array whose chunks do not tell their lengths is counted when it is loaded."""
    X = sorted_rows()
    lazy = chunked(X)
    some = lazy[lazy[:, 0] > X[2000, 0]]
    assert_same_fit(
        GaussianMixture(2, random_state=0).fit(some),
        GaussianMixture(2, random_state=0).fit(X[X[:, 0] > X[2000, 0]]),
    )


def test_repairs_equal_memory(synchronous: None) -> None:
    """Collapsed and empty components are repaired as in memory."""
    X = sorted_rows()
    X[:2000] = -100.0
    options: dict[str, Any] = {"reg_covar": 0, "random_state": 0, "max_iter": 5, "tol": 0}
    with pytest.warns(DegenerateComponentWarning):
        whole = GaussianMixture(3, **options).fit(X)
    with pytest.warns(DegenerateComponentWarning):
        there = GaussianMixture(3, **options).fit(chunked(X))
    assert there.degenerate_ == whole.degenerate_ != []
    assert_same_fit(there, whole, 1e-9)


def test_statistics_of_collections(synchronous: None) -> None:
    """statistics, merge and maximize take Dask collections."""
    X = sorted_rows()
    mixture = GaussianMixture(3, random_state=0, max_iter=0).fit(X)
    there, here = statistics(mixture, chunked(X)), statistics(mixture, X)
    np.testing.assert_allclose(there.scatters, here.scatters, rtol=1e-12)
    assert merge(there, here).n_samples == 2 * len(X)
    assert_same_fit(maximize(mixture, there), maximize(mixture, here))


# ---- refusals


def test_nonfinite_rows_are_named(synchronous: None) -> None:
    """Errors give row and column of a NaN or infinity in the whole collection, in fits and predictions."""
    X = sorted_rows()
    mixture = GaussianMixture(2, random_state=0).fit(X)
    before = pickle.dumps(mixture)
    X[3210, 1] = np.nan
    for use in (mixture.fit, mixture.score, lambda X: mixture.predict(X).compute()):
        with pytest.raises(ValueError, match="contains NaN, first at row 3210, column 1"):
            use(chunked(X))
    X[800, 2] = np.inf
    with pytest.raises(ValueError, match=r"infinity .* at row 800, column 2"):
        mixture.fit(chunked(X))
    assert pickle.dumps(mixture) == before
    pandas, frames = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    with pytest.raises(ValueError, match="at row 800, column 'c'"):
        mixture.fit(frames.from_pandas(pandas.DataFrame(X, columns=["a", "b", "c"]), npartitions=4))


def test_bad_collections(synchronous: None) -> None:
    """Wrong dimensions, too few rows, other types, other widths: refused with their cause."""
    X = sorted_rows(100)
    for bad, error, message in [
        (da.ones(10, chunks=5), ValueError, "Expected 2D array, got 1D"),
        (da.ones((1, 3)), ValueError, r"Found array with 1 sample\(s\)"),
        (da.ones((5, 0)), ValueError, r"Found array with 0 feature\(s\)"),
        (da.ones((3, 3), chunks=2), ValueError, "n_components = 4, n_samples = 3"),
        (chunked(X)[:, chunked(X)[0] > 0], ValueError, "number of columns of X is unknown"),
        (chunked(X) * 1j, ValueError, "Complex data not supported"),
        (da.from_array(np.array([["a"]] * 4)), ValueError, "could not convert string to float: .*row 0, column 0"),
        (dask.delayed(X), TypeError, "Pass a dask.array or a Dask DataFrame"),
        (chunked(X).map_blocks(lambda chunk: chunk[:, :2], dtype=float), ValueError, "chunk of X from row 0 on has"),
        (
            chunked(X).map_blocks(lambda chunk: chunk[:50], dtype=float),
            ValueError,
            "claims 100 rows, but its chunks hold 50",
        ),
    ]:
        with pytest.raises(error, match=message):
            GaussianMixture(4).fit(bad)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="2 features, but GaussianMixture is expecting 3"):
        mixture.predict(chunked(X[:, :2]))
    with pytest.raises(ValueError, match="does not lie in memory"):
        GaussianMixture(2, init_params=lambda X, k, r: X[:k]).fit(chunked(X))


def test_dask_is_not_imported_for_arrays() -> None:
    """fastgmm does not import Dask for arrays."""
    code = "import sys, fastgmm; fastgmm.GaussianMixture().fit([[0], [1]]); print(*sys.modules)"
    result = run_python("-c", code, check=True)
    found = [name for name in result.stdout.split() if "dask" in name]
    assert found and all(name.startswith("fastgmm.sources.dask") for name in found)


def with_gaps(X: Array, seed: int = 5) -> Array:
    """A fifth of the values missing, in one row all of them, and none in the last 700 rows."""
    gaps = np.random.default_rng(seed).uniform(size=X.shape) < 0.2
    gaps[7], gaps[-700:] = True, False
    return np.where(gaps, np.nan, X)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("structure", LAYOUTS)
def test_missing_values_equal_memory(structure: str, weighted: bool, synchronous: None) -> None:
    """Fits, criteria and predictions with missing values are those of memory."""
    X = with_gaps(sorted_rows())
    weights = np.random.default_rng(2).uniform(0, 1e3, len(X)) * (np.arange(len(X)) > 1500) if weighted else None
    options: dict[str, Any] = {
        "covariance_type": structure,
        "missing": "em",
        "random_state": 0,
        "max_iter": 8,
        "tol": 0,
    }
    whole = GaussianMixture(4, **options).fit(X, sample_weight=weights)
    there = GaussianMixture(4, **options).fit(chunked(X), sample_weight=weights)
    assert_same_fit(there, whole)
    for use in ("score", "bic", "icl"):
        expected = getattr(whole, use)(X, sample_weight=weights)
        assert getattr(there, use)(chunked(X), sample_weight=weights) == pytest.approx(expected, rel=1e-11)
    for use in ("predict", "predict_proba", "score_samples"):
        lazy = getattr(whole, use)(chunked(X))
        assert isinstance(lazy, da.Array)
        np.testing.assert_allclose(lazy.compute(), getattr(whole, use)(X), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("method", ["best", "hierarchical", "random", "labels"])
def test_starts_with_missing_values(method: str, synchronous: None) -> None:
    """Each start finds the rows that it finds in memory; a sample of many is drawn where they lie."""
    X = with_gaps(sorted_rows(600))
    given = {"labels": np.random.default_rng(1).integers(3, size=len(X))}
    mixture = GaussianMixture(3, missing="em", init_params=given.get(method, method), random_state=1, max_iter=3, tol=0)
    assert_same_fit(mixture.fit(chunked(X, 100, 1, 499)), GaussianMixture(**mixture.get_params()).fit(X), 1e-9)


def test_start_with_missing_values_uses_a_sample(synchronous: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With missing values a start gathers no more rows than its sample has."""
    monkeypatch.setattr(incomplete, "SAMPLE_NUMBERS", 1000)
    monkeypatch.setattr(incomplete, "SAMPLE_ROWS_PER_COMPONENT", 10)
    taken = []
    take = DaskSource.take
    monkeypatch.setattr(DaskSource, "take", lambda self, rows: taken.append(len(rows)) or take(self, rows))
    X = with_gaps(sorted_rows())
    there = GaussianMixture(4, missing="em", random_state=0, max_iter=4, tol=0).fit(chunked(X))
    assert set(taken) == {333, len(np.arange(0, len(X), max(1, len(X) // ORIGIN_ROWS)))}, "the second, for units"
    taken.clear()
    whole = GaussianMixture(4, missing="em", random_state=0, max_iter=4, tol=0).fit(X)
    assert_same_fit(there, whole)


def test_missing_em_on_complete_rows_same_bits(synchronous: None) -> None:
    """missing='em' gives the bits of missing='raise' where nothing is missing."""
    X = sorted_rows()
    fits = [GaussianMixture(4, missing=m, random_state=0, max_iter=4).fit(chunked(X)) for m in ("em", "raise")]
    assert_same_fit(*fits, rtol=0)


def test_missing_values_refusals(synchronous: None) -> None:
    """Infinity, columns without values and draws per chunk are refused; impute equals that in memory."""
    X = with_gaps(sorted_rows())
    mixture = GaussianMixture(2, missing="em", random_state=0).fit(X)
    np.testing.assert_array_equal(mixture.impute(chunked(X)), mixture.impute(X))
    with pytest.raises(TypeError, match="apply impute to each chunk"):
        mixture.impute(chunked(X), random_state=0)
    X[3210, 1] = np.inf
    for use in (mixture.fit, mixture.score, lambda X: mixture.predict(X).compute()):
        with pytest.raises(ValueError, match=r"infinity .* at row 3210, column 1"):
            use(chunked(X))
    X[:, 1] = np.nan
    with pytest.raises(ValueError, match="no value but NaN in column 1"):
        mixture.fit(chunked(X))


@pytest.mark.parametrize("kind", [Partition, IncompletePartition])
def test_pickle_of_partitions(kind: Any) -> None:
    """A partition is pickled with its rows and weights, and tells Dask its size."""
    X = sorted_rows(100)
    partition = kind(X, 3, weights=np.arange(100.0))
    copy = pickle.loads(pickle.dumps(partition))
    assert np.array_equal(copy.X, X) and np.array_equal(copy.weights, partition.weights) and copy.workers.n_threads == 3
    assert sys.getsizeof(partition) >= X.nbytes


def test_tree_reduction_same_bits(synchronous: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics merged here or by tasks on the cluster have the same bits."""
    X = sorted_rows()
    here = GaussianMixture(4, random_state=0, max_iter=3).fit(chunked(X, *[250] * 20))
    monkeypatch.setattr(on_dask, "GATHERED_BYTES", 0)
    assert_same_fit(GaussianMixture(4, random_state=0, max_iter=3).fit(chunked(X, *[250] * 20)), here, 0)


# ---- on a cluster of two processes


@pytest.mark.parametrize("missing", ["raise", "em"])
def test_cluster_equals_memory(missing: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster gives the fit of memory, with the same bits however statistics are merged and parameters sent."""
    X = sorted_rows(20000) if missing == "raise" else with_gaps(sorted_rows(20000))
    options: dict[str, Any] = {"missing": missing, "random_state": 0, "max_iter": 5, "tol": 0}
    there = GaussianMixture(4, **options).fit(chunked(X, *[2000] * 10))
    assert_same_fit(there, GaussianMixture(4, **options).fit(X))
    assert_same_fit(GaussianMixture(4, **options).fit(chunked(X, *[2000] * 10)), there, 0)
    monkeypatch.setattr(on_dask, "GATHERED_BYTES", 0)
    monkeypatch.setattr("fastgmm.sources.dask.schedulers.SHARED_BYTES", 0)
    assert_same_fit(GaussianMixture(4, **options).fit(chunked(X, *[2000] * 10)), there, 0)


def test_rows_stay_on_their_workers(client: Any) -> None:
    """Chunks are computed once, both workers have some, and all is let go after the fit."""
    X = chunked(sorted_rows(8000), *[1000] * 8)
    seen: list[set[str]] = []

    def look(*_: Any) -> None:
        held = client.has_what().items()
        seen.append({worker for worker, keys in held if any("load" in str(key) for key in keys)})

    GaussianMixture(3, random_state=0, max_iter=2, tol=0, callback=look).fit(X)
    assert seen == [set(client.nthreads())] * 2
    deadline = time.monotonic() + limit(60)
    while time.monotonic() < deadline:
        left = [key for keys in client.has_what().values() for key in keys if "load" in str(key)]
        if not left:
            break
        time.sleep(0.05)
    assert left == []


def test_worker_error_is_raised(client: Any) -> None:
    """An exception on a worker is raised by fit."""
    X = sorted_rows()

    def broken(chunk: Array, block_info: Any = None) -> Array:
        if block_info[0]["chunk-location"][0] == 3:
            raise OSError("the disk of chunk 3 is gone")
        return chunk

    with pytest.raises(OSError, match="the disk of chunk 3 is gone"):
        GaussianMixture(2).fit(chunked(X).map_blocks(broken, dtype=float, meta=np.empty((0, 0))))
    X[4000, 0] = np.nan
    with pytest.raises(ValueError, match="row 4000, column 0"):
        GaussianMixture(2).fit(chunked(X))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_interruption_keeps_best_parameters(client: Any) -> None:
    """Ctrl-C while the cluster works ends the fit with the best parameters so far, and the cluster goes on."""
    X = chunked(sorted_rows())
    main = threading.main_thread().ident
    assert main is not None

    def soon(iteration: int, *_: Any) -> None:
        if iteration == 2:
            threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGINT)).start()

    mixture = GaussianMixture(3, random_state=0, tol=0, max_iter=100_000, callback=soon)
    with pytest.raises(KeyboardInterrupt):
        mixture.fit(X)
    assert mixture.stop_reason_ == "interrupt" and mixture.n_iter_ >= 2
    assert mixture.score(X) >= mixture.lower_bounds_[0]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_worker_same_bits(client: Any) -> None:
    """A worker killed in mid-fit changes no bit of the result."""
    X = chunked(sorted_rows(), *[500] * 10)
    weights = np.random.default_rng(0).uniform(size=5000)
    options: dict[str, Any] = {"random_state": 0, "max_iter": 6, "tol": 0}
    undisturbed = GaussianMixture(3, **options).fit(X, sample_weight=weights)
    victim = next(iter(client.run(os.getpid).values()))

    def kill(iteration: int, *_: Any) -> None:
        if iteration == 3:
            os.kill(victim, signal.SIGKILL)

    disturbed = GaussianMixture(3, **options, callback=kill).fit(X, sample_weight=weights)
    assert victim not in client.run(os.getpid).values()
    assert_same_fit(disturbed, undisturbed, 0)
