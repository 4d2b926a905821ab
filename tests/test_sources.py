"""Chunks, mapped arrays, Parquet and CSV give the bits of rows in memory; unreadable sources are refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import DTYPES, Array, assert_same_fit, grouped_rows, limit

from fastgmm import GaussianMixture, kernels
from fastgmm.fitting.starts import METHODS
from fastgmm.sources import Chunks, chunks, files, from_array, from_chunks, from_csv, from_parquet, passes
from fastgmm.sources.array import ArraySource
from fastgmm.sources.columns import Names
from fastgmm.sources.intake import as_source
from fastgmm.sources.mapped import Mapping


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut few rows into many groups."""
    monkeypatch.setattr(passes, "GROUP_WORK", 1 << 14)
    monkeypatch.setattr(passes, "MOST_GROUP_BYTES", 1 << 15)


def four_groups(n_samples: int = 5000, seed: int = 0, dtype: str = "float64") -> Array:
    """Rows of four groups well apart."""
    return grouped_rows(n_samples, 4, [5, -5, 1.5], seed=seed).astype(dtype)


def pieces(X: Array, seed: int = 0) -> list[Array]:
    """Chunks of any lengths, an empty one among them."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(X), 9))
    return np.split(X, [*cuts[:4], cuts[3], *cuts[4:]])


# ---- the same bits


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_chunks_same_bits(structure: str, method: str) -> None:
    """Fits and scores of chunks of any lengths have the bits of the array, from every start, weighted or not."""
    X = four_groups(seed=1)
    weights = np.random.default_rng(1).uniform(size=len(X))
    options = {"covariance_type": structure, "init_params": method, "random_state": 0, "max_iter": 3, "tol": 0}
    for sample_weight in (None, weights):
        expected = GaussianMixture(4, **options).fit(X, sample_weight=sample_weight)
        got = GaussianMixture(4, **options).fit(from_chunks(pieces(X)), sample_weight=sample_weight)
        assert_same_fit(got, expected, rtol=0)
        assert got.score(from_chunks(pieces(X)), sample_weight=sample_weight) == expected.score(X, None, sample_weight)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_chunks_threads_and_dtypes(dtype: str, n_threads: int) -> None:
    """Threads change nothing, float32 stays; mixed chunks are float64."""
    X = four_groups(seed=2, dtype=dtype)
    options = {"random_state": 0, "max_iter": 3, "tol": 0}
    expected = GaussianMixture(4, n_threads=1, **options).fit(X)
    assert_same_fit(GaussianMixture(4, n_threads=n_threads, **options).fit(from_chunks(pieces(X))), expected, rtol=0)
    mixed = [part.astype(np.float64) if i % 2 else part for i, part in enumerate(pieces(X))]
    double = GaussianMixture(4, **options).fit(X.astype(np.float64))
    assert_same_fit(GaussianMixture(4, **options).fit(from_chunks(mixed)), double, rtol=0)


def test_options_with_chunks() -> None:
    """Restarts, acceleration, repairs and labels as a start take chunks too."""
    X = four_groups(seed=3)
    X[:4] = 40.0
    labels = np.random.default_rng(3).integers(4, size=len(X))
    for options in (
        {"n_init": 3, "random_state": 0, "max_iter": 30},
        {"acceleration": "squarem", "random_state": 0},
        {"init_params": labels, "max_iter": 5, "tol": 0},
        {"init_params": np.eye(4)[labels], "max_iter": 5, "tol": 0},
        {"reg_covar": "auto", "random_state": 0},
    ):
        assert_same_fit(
            GaussianMixture(4, **options).fit(from_chunks(pieces(X))), GaussianMixture(4, **options).fit(X), rtol=0
        )


def test_predictions_of_chunks(tmp_path: Path) -> None:
    """Labels, responsibilities and densities of chunks are those of the array; into arrays and files too."""
    X = four_groups(seed=4)
    source = from_chunks(pieces(X))
    mixture = GaussianMixture(4, random_state=0).fit(X)
    for method in (mixture.predict, mixture.predict_proba, mixture.score_samples):
        expected = method(X)
        np.testing.assert_array_equal(method(source), expected)
        np.testing.assert_array_equal(np.concatenate(list(source.map(method))), expected)
        out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", expected.dtype, expected.shape)
        assert method(source, out=out) is out
        np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)
    assert mixture.bic(source) == mixture.bic(X)
    np.testing.assert_array_equal(GaussianMixture(4, random_state=0).fit_predict(source), mixture.predict(X))


def test_h5py_zarr_and_memory_maps(tmp_path: Path) -> None:
    """h5py and zarr arrays, and memory maps of any type, order and mode."""
    X = four_groups(seed=5)
    options = {"random_state": 0, "max_iter": 3, "tol": 0}
    expected = GaussianMixture(4, **options).fit(X)
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        stored = file.create_dataset("rows", data=X, chunks=(700, 3))
        assert_same_fit(GaussianMixture(4, **options).fit(from_array(stored)), expected, rtol=0)
    assert_same_fit(
        GaussianMixture(4, **options).fit(from_array(zarr.array(X, chunks=(999, 3)), 1234)), expected, rtol=0
    )
    for order in "CF":
        for mode in ("r", "r+", "c"):
            np.save(tmp_path / "rows.npy", np.asarray(X, order=order))
            mapped = np.load(tmp_path / "rows.npy", mmap_mode=mode)
            assert (Mapping.of(mapped) is None) == (mode == "c")
            if mode == "c":
                mapped[0] = 0.0
                mapped[0] = X[0]
            assert_same_fit(GaussianMixture(4, **options).fit(mapped), expected, rtol=0)
            assert_same_fit(GaussianMixture(4, **options).fit(mapped[::-1][::-1]), expected, rtol=0)
    integers = (X * 100).astype(">i4")
    np.save(tmp_path / "rows.npy", integers)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert_same_fit(GaussianMixture(4, **options).fit(mapped), GaussianMixture(4, **options).fit(integers), rtol=0)


def test_parquet(tmp_path: Path) -> None:
    """Columns by name, in several files, with their names as features; float32 stays."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    X = four_groups(seed=6)
    options = {"random_state": 0, "max_iter": 3, "tol": 0}
    table = pyarrow.table({"a": X[:, 0], "name": ["x"] * len(X), "b": X[:, 1], "c": X[:, 2].astype(np.float32)})
    (tmp_path / "rows").mkdir()
    parquet.write_table(table.slice(0, 2100), tmp_path / "rows" / "1.parquet", row_group_size=500)
    parquet.write_table(table.slice(2100), tmp_path / "rows" / "2.parquet", row_group_size=500)
    got = GaussianMixture(2, **options).fit(from_parquet(tmp_path / "rows", ["b", "a"]))
    assert_same_fit(got, GaussianMixture(2, **options).fit(X[:, [1, 0]]), rtol=0)
    assert got.feature_names_in_.tolist() == ["b", "a"]
    assert got.predict(from_parquet(tmp_path / "rows", ["b", "a"], 300)).shape == (5000,)
    assert GaussianMixture().fit(from_parquet(tmp_path / "rows", ["c"])).means_.dtype == np.float32
    with pytest.raises(ValueError, match="'name' holds string, not numbers"):
        from_parquet(tmp_path / "rows")
    with pytest.raises(ValueError, match=r"no column 'z': choose among a, name, b, c"):
        from_parquet(tmp_path / "rows", ["z"])


@pytest.mark.parametrize("spool", [False, True])
def test_csv(tmp_path: Path, spool: bool) -> None:
    """Columns by name or number; blank lines, quotes and other delimiters; missing values are NaN."""
    X = four_groups(700, seed=7)
    options = {"random_state": 0, "max_iter": 3, "tol": 0}
    path = tmp_path / "rows.csv"
    lines = ["a,text,b,c", *(f'{x!r},t{i},"{y!r}",{z!r}' for i, (x, y, z) in enumerate(X.tolist()))]
    lines.insert(300, "")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    got = GaussianMixture(2, **options).fit(from_csv(path, ["c", "a"], chunk_rows=64, spool=spool))
    assert_same_fit(got, GaussianMixture(2, **options).fit(X[:, [2, 0]]), rtol=0)
    assert got.feature_names_in_.tolist() == ["c", "a"]
    np.savetxt(path, X, fmt="%.17g", header="nothing")
    source = from_csv(path, [0, 2], delimiter=" ", header=False, skip_lines=1, spool=spool)
    assert_same_fit(GaussianMixture(2, **options).fit(source), GaussianMixture(2, **options).fit(X[:, [0, 2]]), rtol=0)
    path.write_text("a;b\n1;2\n;3\n4;NA\n")
    np.testing.assert_array_equal(
        np.concatenate(list(from_csv(path, delimiter=";"))), [[1, 2], [np.nan, 3], [4, np.nan]]
    )


GAPS = [
    (",", 'a,b,c\n1,,3\n,NA, 6\n7,"",nan\n"na",?,.\n1,2,\n N/A ,"NULL",none\n'),
    ("\t", "a\tb\tc\n1\t\t3\n\t\t\n7\tNA\t-9e-3\n"),
    (";", "a;b;c\n1;;3\n;;\n;2;\n"),
    (" ", "a b c\n1 NA 3\n  ?\t5 null \n. nan 9\n"),
]


@pytest.mark.parametrize("columns", [None, ["c", "a"]])
@pytest.mark.parametrize(("delimiter", "text"), GAPS, ids=["comma", "tab", "semicolon", "blank"])
def test_missing_values_in_csv(
    delimiter: str, text: str, columns: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing values are recognized alike in whole chunks and line by line."""
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with monkeypatch.context() as patched:
        chunks = from_csv(path, columns, delimiter=delimiter)
        patched.setattr(files, "_split", lambda *_: pytest.fail("read line by line"))
        (at_once,) = chunks
    assert np.isnan(at_once).any() and not np.isnan(at_once).all()
    monkeypatch.setattr(files, "_filled", lambda lines, _: ["no number"])
    (by_line,) = from_csv(path, columns, delimiter=delimiter)
    np.testing.assert_array_equal(at_once, by_line)
    assert len(at_once) == len(text.splitlines()) - 1


def test_csv_of_another_encoding(tmp_path: Path) -> None:
    """Bytes that the encoding does not know are refused, or pass where they do not matter."""
    path = tmp_path / "rows.csv"
    path.write_bytes("a,text\n1,Köln\n2,Brünn\n".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        list(from_csv(path, ["a"]))
    np.testing.assert_array_equal(next(iter(from_csv(path, ["a"], encoding_errors="replace"))), [[1], [2]])


# ---- the door


def test_values_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether all are finite is asked once of each array or chunk, with missing values allowed or not."""
    asked: list[int] = []

    def noted(X: Array, look: Any = kernels.CHOSEN.all_finite) -> bool:
        asked.append(len(X))
        return bool(look(X))

    monkeypatch.setattr(kernels.CHOSEN, "all_finite", noted)
    X = four_groups(1000)
    gaps = np.where(X > 4, np.nan, X)
    for data, missing in [(X, "raise"), (X, "em"), (gaps, "em")]:
        for kind, found in [(data, [1000]), (from_chunks([data[:400], data[400:]]), [400, 600])]:
            asked.clear()
            source = as_source(kind, Names("Test"), n_threads=1, missing=missing, for_fit=True)
            assert asked == found
            assert source.has_gaps == (data is gaps)


def test_plain_arrays_are_not_taken_for_mapped_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked about a file where an array has its memory for itself."""
    X = four_groups(500).copy()
    monkeypatch.setattr(Mapping, "of", lambda _: pytest.fail("the array was looked up"))
    GaussianMixture(2, n_threads=1, random_state=0, max_iter=2, init_params="random").fit(X).predict(X)


# ---- reading ahead


def test_next_chunk_is_read_ahead() -> None:
    """While one chunk is worked on the next is read, and no more than one."""
    read: list[int] = []

    def reading() -> Iterator[Array]:
        for i in range(4):
            read.append(i)
            yield np.zeros((1, 1))

    seen = []
    for _ in chunks.ahead(reading()):
        deadline = time.monotonic() + limit(60)
        while len(read) < min(len(seen) + 2, 4) and time.monotonic() < deadline:
            time.sleep(1e-3)
        seen.append(len(read))
    assert seen == [2, 3, 4, 4]


def test_failed_pass_leaves_no_thread() -> None:
    """A fit that fails in the middle of a pass leaves no thread behind."""

    def reading() -> Iterator[Array]:
        yield np.zeros((600, 2))
        raise OSError("the disk is gone")

    for _ in range(3):
        with pytest.raises(OSError, match="the disk is gone"):
            GaussianMixture(n_threads=2).fit(from_chunks(reading))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastgmm")]


# ---- memory


def test_mapped_pages_are_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pass hardly anything of the file remains in memory: systems map some pages around each that is read."""
    path = Path("/proc/self/smaps")
    if not path.exists():
        pytest.skip("needs Linux's /proc")
    monkeypatch.setattr(passes, "MOST_GROUP_BYTES", 1 << 23)
    np.save(tmp_path / "mapped-rows.npy", np.zeros((3 << 19, 4)))
    mapped = np.load(tmp_path / "mapped-rows.npy", mmap_mode="r")

    def resident() -> int:
        """Kilobytes of the file in memory."""
        lines = iter(path.read_text().splitlines())
        for line in lines:
            if line.endswith("mapped-rows.npy"):
                return int(next(line for line in lines if line.startswith("Rss:")).split()[1])
        raise AssertionError("the file is not mapped")

    mapped.sum()
    assert resident() > 40_000
    source = ArraySource(np.asarray(mapped), n_threads=2)
    source.assign(np.zeros((2, 4)))
    _ = source.scatter
    assert resident() < 12_000
    for part in (mapped[:, 1:3], mapped[::-1], mapped[10:20].T):
        part.sum()
        mapping = Mapping.of(part)
        assert mapping is not None
        mapping.release(part)
    assert resident() < 12_000


# ---- what is refused


def changing(parts: list[list[Array]]) -> Callable[[], Iterator[Array]]:
    """A function that returns other chunks in each pass."""
    passes = iter(parts)
    return lambda: iter(next(passes, parts[-1]))


X = four_groups(1000)
ONCE = iter([X])


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (lambda: iter([X]), TypeError, "can be read only once.*partial_fit"),
        (lambda: (part for part in [X]), TypeError, "X is a generator.*from_chunks"),
        (lambda: from_chunks(iter([X])), TypeError, "can be read only once"),  # type: ignore[arg-type]
        (lambda: from_chunks(7), TypeError, "takes a sequence of chunks or a function"),  # type: ignore[arg-type]
        (lambda: from_chunks(lambda: ONCE), ValueError, "first gave 1000 rows of 3 features, this one 0 rows"),
        (lambda: from_chunks(changing([[X], [X[:-1]]])), ValueError, "1000 rows of 3 features, this one 999 rows"),
        (lambda: from_chunks(changing([[X], [X, X[:1]]])), ValueError, "1000 rows of 3 features, this one more"),
        (lambda: from_chunks(changing([[X], [X[:, :2]]])), ValueError, r"this one a chunk of shape \(1000, 2\)"),
        (lambda: from_chunks([X, X[:, :2]]), ValueError, "Chunk 1 has 2 features, but those before it have 3"),
        (lambda: from_chunks([]), ValueError, "0 sample"),
        (lambda: from_chunks([X[:1]]), ValueError, "1 sample.* a minimum of 2"),
        (lambda: from_chunks([X, X[0]]), ValueError, "Reshape your data"),
        (lambda: from_chunks([X, np.where(X > 9, np.nan, X)]), ValueError, "contains NaN, first at row 1"),
        (lambda: from_array(np.zeros(3)), ValueError, "two dimensions"),
    ],
)
def test_bad_sources(source: Callable[[], Any], error: type[Exception], message: str) -> None:
    """The error says what was seen and what to do; an earlier fit stays."""
    mixture = GaussianMixture(n_threads=1).fit(X)
    before = mixture.means_
    with pytest.raises(error, match=message):
        mixture.fit(source())
    assert mixture.means_ is before


def test_message_names_row_in_later_chunk() -> None:
    """The row of a value that is not finite is counted from the first chunk on."""
    later = X.copy()
    later[17, 2] = np.inf
    with pytest.raises(ValueError, match="row 2017, column 2"):
        GaussianMixture().fit(from_chunks([X, X, later]))


def test_callable_starts_need_memory() -> None:
    """A callable gets all rows, so chunks are refused with what to do instead."""
    with pytest.raises(ValueError, match=r"X does not lie in memory.*means_init"):
        GaussianMixture(2, init_params=lambda X, k, rng: X[:k]).fit(from_chunks([X]))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n3,x\n", {}, r"line 3: 'x' in column 1 is no number"),
        ("a,b\n1,2\n3\n", {}, r"line 3: 1 cells instead of 2"),
        ("a,b\n1,2\n3,4,5\n", {"columns": ["a"]}, r"line 3: 3 cells instead of 2"),
        ("a b\n1 2\n3\n", {"columns": ["a"], "delimiter": " "}, r"line 3: 1 cells instead of 2"),
        ("a,b\n1,2\n3,1_0\n", {}, r"line 3: '1_0' in column 1 is no number"),
        ("a,b\n1,2\n3,NAN4\n", {}, r"line 3: 'NAN4' in column 1 is no number"),
        ("a,b\n1,2\n", {"columns": ["c"]}, "no single column named 'c': choose among a, b"),
        ("1,2\n", {"columns": ["c"], "header": False}, "the file has no header"),
        ("1,2\n", {"columns": [2], "header": False}, "no column 2: choose from 0 to 1"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    """Errors name the line and the remedy."""
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        GaussianMixture().fit(from_csv(path, **options))


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty(1000, np.int32), ValueError),
        (np.empty(999, np.int64), ValueError),
        (np.empty(2000, np.int64)[::2], ValueError),
        ([0] * 1000, TypeError),
    ],
)
def test_bad_outputs(out: Any, error: type[Exception]) -> None:
    """An out array of wrong shape, dtype or layout is refused."""
    with pytest.raises(error, match="out must be a"):
        GaussianMixture(n_threads=1).fit(X).predict(X, out=out)


def test_missing_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the error names what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        from_parquet("rows.parquet")
    assert isinstance(from_chunks([X]), Chunks) and files.CHUNK_BYTES > 0
