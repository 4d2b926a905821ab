"""Tables of any library: names of columns are compared wherever rows enter, and one rule says what is a number."""

from __future__ import annotations

import datetime
import decimal
import pickle
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import Array, table_of

from fastgmm import GaussianMixture, statistics
from fastgmm.sources import from_chunks, from_parquet
from fastgmm.sources.numbers import to_floats
from fastgmm.sources.rows import as_rows

LIBRARIES = ("pandas", "polars", "pyarrow")
A, B = np.array([0.0, 1, 2, 4]), np.array([100.0, 101, 103, 102])
ORDER, UNSEEN, MISSING = "must be in the same order", "unseen at fit time", "now missing"
MATCH = "The feature names should match those that were passed during fit"


def other_tables(library: str) -> list[tuple[Any, str]]:
    """Tables that do not go with one of columns a and b, and what the error says of each."""
    return [
        (table_of(library, b=B, a=A), ORDER),
        (table_of(library, a=A, c=B), UNSEEN),
        (table_of(library, a=A), MISSING),
        (table_of(library, a=A, b=B, c=B), UNSEEN),
        (table_of(library, **{"a": A, "b" * 10_000: B}), MISSING),
    ]


def ways_in(first: Any, other: Any, folder: Path) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Each way by which rows enter after others: how the error begins, and a call."""
    chunks = {"list": from_chunks([first, other]), "function": from_chunks(lambda: iter([first, first, other]))}
    fitted = GaussianMixture().fit(first)
    stream = GaussianMixture().partial_fit(first)
    waiting = pickle.loads(pickle.dumps(GaussianMixture(4).partial_fit(first)))
    return {
        "predict": ("", lambda: fitted.predict(other)),
        "fit of chunks": ("Chunk 1: ", lambda: GaussianMixture().fit(chunks["list"])),
        "fit of a function's chunks": ("Chunk 2: ", lambda: GaussianMixture().fit(chunks["function"])),
        "predict chunks": ("Chunk 1: ", lambda: fitted.predict(chunks["list"])),
        "score a first chunk": ("Chunk 0: ", lambda: fitted.score(from_chunks(lambda: iter([other])))),
        "first chunk": ("Chunk 0: ", lambda: list(map(fitted.predict_proba, [from_chunks([other])]))),
        "statistics": ("", lambda: statistics(fitted, other)),
        "a stream": ("", lambda: stream.partial_fit(other)),
        "a stream that waits": ("", lambda: waiting.partial_fit(other)),
        "a stream that waits, later": ("", lambda: waiting.partial_fit(first.head(1)).partial_fit(other)),
        "a stream of chunks": ("Chunk 1: ", lambda: GaussianMixture(9).partial_fit(chunks["list"])),
    }


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_names_are_compared_wherever_rows_enter(library: str, tmp_path: Path) -> None:
    """Columns that are renamed, exchanged, missing or added give the error of predict, which names the chunk."""
    first = table_of(library, a=A, b=B)
    for other, words in other_tables(library):
        for way, (start, call) in ways_in(first, other, tmp_path).items():
            with pytest.raises(ValueError, match=MATCH) as caught:
                call()
            message = str(caught.value)
            assert message.startswith(f"{start}The feature names"), way
            assert words in message, way
            assert len(message) <= 500, way


def test_names_in_arrow_tables() -> None:
    """Tables and record batches of Arrow are compared like frames."""
    first = table_of("pyarrow", a=A, b=B)
    for other, words in other_tables("pyarrow"):
        for chunks in ([first, other], [first.to_batches()[0], other.to_batches()[0]]):
            with pytest.raises(ValueError, match=f"(?s)Chunk 1: {MATCH}.*{words}"):
                GaussianMixture().fit(from_chunks(chunks))


def test_names_are_compared_in_every_pass() -> None:
    """A function whose chunks are exchanged in a later pass is found out."""
    passes: list[int] = []

    def read() -> Any:
        passes.append(1)
        yield table_of("pandas", a=A, b=B) if len(passes) < 3 else table_of("pandas", b=B, a=A)

    with pytest.raises(ValueError, match=f"Chunk 0: {MATCH}"):
        GaussianMixture(2, tol=0).fit(from_chunks(read))


def test_names_of_a_fit_come_from_where_there_are_some() -> None:
    """Chunks of a function, and rows that wait, leave the names of their columns in the estimator."""
    first = table_of("pandas", a=A, b=B)
    many = table_of("pandas", a=np.tile(A, 15), b=np.repeat(B, 15))
    for model in (
        GaussianMixture().fit(from_chunks(lambda: iter([first, first]))),
        GaussianMixture().partial_fit(first.head(1)).partial_fit(many).partial_fit(first),
    ):
        assert list(model.feature_names_in_) == ["a", "b"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.predict(first)
    with pytest.warns(UserWarning, match="does not have valid feature names") as caught:
        mixed = GaussianMixture().fit(from_chunks([first.to_numpy(), first, first.to_numpy(), first.to_numpy()]))
    assert len(caught) == 1
    assert list(mixed.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match=f"Chunk 2: {MATCH}"):
        GaussianMixture().fit(from_chunks([first.to_numpy(), first, first[["b", "a"]]]))
    assert not hasattr(GaussianMixture().fit(from_chunks([A[:, None]])), "feature_names_in_")


def test_files_of_other_columns(tmp_path: Path) -> None:
    """Parquet files are read by name: other orders are put right, and what lacks a column is refused."""
    parquet = pytest.importorskip("pyarrow.parquet")
    expected = GaussianMixture().fit(np.column_stack([np.tile(A, 2), np.tile(B, 2)])).means_
    for number, (columns, words) in enumerate(
        [({"b": B, "a": A}, None), ({"a": A}, "lacks the column 'b'"), ({"a": A, "b": B, "c": A}, "has the column 'c'")]
    ):
        paths = [str(tmp_path / f"{name}{number}.parquet") for name in ("first", "other")]
        parquet.write_table(table_of("pyarrow", a=A, b=B), paths[0])
        parquet.write_table(table_of("pyarrow", **columns), paths[1])
        if words is None:
            assert np.array_equal(GaussianMixture().fit(from_parquet(paths)).means_, expected)
            continue
        with pytest.raises(ValueError, match=f"other{number}.parquet {words}, unlike the first file"):
            from_parquet(paths)
        assert from_parquet(paths, columns=["a"]).column_names == ["a"]


# What is a number -------------------------------------------------------------------------------------------------

DAY, NOON, CLOCK, SPAN = (
    datetime.date(2020, 1, 1),
    datetime.datetime(2020, 1, 1, 12),
    datetime.time(12),
    datetime.timedelta(2),
)


def dated_columns() -> dict[str, Any]:
    """Tables and arrays whose last column, named when where it has a name, holds dates, times or durations."""
    pandas, polars, pa = (pytest.importorskip(library) for library in LIBRARIES)
    stamps = pandas.to_datetime(["2020-01-01", "2020-01-02"])
    columns = {
        "datetime64": stamps,
        "zoned": stamps.tz_localize("UTC"),
        "timedelta64": stamps - stamps[0],
        "period": stamps.to_period("D"),
        "NaT": pandas.to_datetime([None, None]),
        "categories": pandas.Categorical(stamps),
        **{
            f"objects {type(value).__name__}": np.array([value, value], dtype=object)
            for value in (DAY, NOON, CLOCK, SPAN, stamps[0], stamps[0] - stamps[1], np.datetime64("2020"))
        },
    }
    arrow = {
        str(kind): pa.array([value, value], kind)
        for value, kind in [
            (DAY, pa.date32()),
            (DAY, pa.date64()),
            (NOON, pa.timestamp("us")),
            (NOON, pa.timestamp("s", "UTC")),
            (CLOCK, pa.time32("s")),
            (CLOCK, pa.time64("ns")),
            (SPAN, pa.duration("ms")),
        ]
    }
    arrow["dictionary"] = pa.array([DAY, DAY]).dictionary_encode()
    found: dict[str, Any] = {}
    for name, column in columns.items():
        found[f"pandas {name}"] = pandas.DataFrame({"x": [1.0, 2.0], "when": column})
        found[f"pandas {name} alone"] = pandas.DataFrame({"when": column})
    for name, column in arrow.items():
        found[f"arrow {name}"] = pa.table({"x": [1.0, 2.0], "when": column})
        found[f"arrow {name} alone"] = pa.table({"when": column})
        found[f"arrow batch {name}"] = pa.record_batch({"x": pa.array([1.0, 2.0]), "when": column})
        if name != "dictionary":
            typed = pandas.Series(column, dtype=pandas.ArrowDtype(column.type))
            found[f"pandas {name}[pyarrow]"] = pandas.DataFrame({"x": [1.0, 2.0], "when": typed})
    for value in (DAY, NOON, CLOCK, SPAN):
        series = polars.Series([value, None])
        found[f"polars {series.dtype}"] = polars.DataFrame({"x": [1.0, 2.0], "when": series})
        found[f"polars {series.dtype} alone"] = polars.DataFrame({"when": series})
    return found


def test_dates_are_refused_by_every_library() -> None:
    """Dates, times and durations are refused with the column's name and the remedy, by fit and predict."""
    model = GaussianMixture().fit(table_of("pandas", x=[1.0, 2.0], when=[1.0, 2.0]))
    alone = GaussianMixture().fit(table_of("pandas", when=[1.0, 2.0]))
    for name, table in dated_columns().items():
        for call in (GaussianMixture().fit, (alone if "alone" in name else model).predict):
            for error in (ValueError, TypeError):  # scikit-learn raises one or the other
                with pytest.raises(error, match=r"(?s)^Column 'when' of X holds dates.*days since a date") as caught:
                    call(table)
                assert len(str(caught.value)) <= 500, name


@pytest.mark.parametrize(
    "rows",
    [
        np.array([["2020-01-01"], ["2020-01-02"]], dtype="M8[D]"),
        np.array([[1], [2]], dtype="m8[s]"),
        [[1.0, DAY], [2.0, DAY]],
        [[DAY], [DAY]],
        [[1.0, np.datetime64("2020")], [2.0, np.datetime64("2021")]],
        [[np.timedelta64(3, "D"), 1.0], [1.0, 2.0]],
        np.array([[1.0, 2.0], [CLOCK, 1.0]], dtype=object),
    ],
)
def test_dates_in_arrays_and_lists(rows: Any) -> None:
    """Arrays and lists are refused like tables; so are weights and starts."""
    with pytest.raises(TypeError, match=r"Column [01] of X holds dates"):
        GaussianMixture().fit(rows)
    with pytest.raises(TypeError, match="Sample_weight holds dates"):
        GaussianMixture().fit(A[:, None], sample_weight=np.array([DAY] * 4))


def test_dates_in_dask() -> None:
    """A Dask DataFrame is refused before anything is computed."""
    dask = pytest.importorskip("dask.dataframe")
    frame = table_of("pandas", x=A, when=np.array(["2020-01-01"] * 4, dtype="M8[ns]"))
    with pytest.raises(TypeError, match="Column 'when' of X holds dates"):
        GaussianMixture().fit(dask.from_pandas(frame, npartitions=2))


def test_partitions_of_other_columns() -> None:
    """Partitions of a Dask DataFrame that are not what it claims are refused, by fit and by lazy predictions."""
    dask = pytest.importorskip("dask.dataframe")
    frame = table_of("pandas", a=A, b=B)

    def exchanged(part: Any, partition_info: Any = None) -> Any:
        return part[["b", "a"]] if partition_info and partition_info["number"] == 1 else part

    whole = dask.from_pandas(frame, npartitions=2)
    mixed = whole.map_partitions(exchanged, meta=frame.iloc[:0], enforce_metadata=False)
    model = GaussianMixture().fit(whole)
    assert np.array_equal(model.predict(whole).compute(), model.predict(frame))
    for call in (lambda: GaussianMixture().fit(mixed), lambda: model.predict(mixed).compute()):
        with pytest.raises(ValueError, match=f"Partition 1: {MATCH}"):
            call()


def numeric_tables() -> dict[str, Any]:
    """Ways to write the rows (1, 0.5), (0, 2): each is a table of numbers."""
    pandas, polars, pa = (pytest.importorskip(library) for library in LIBRARIES)
    one, half = [1, 0], [0.5, 2.0]
    decimals = [decimal.Decimal("0.5"), decimal.Decimal(2)]
    columns = {
        "bool": ([True, False], half),
        "text": (["1", "0"], ["0.5", " 2e0"]),
        "half text": (one, ["0.5", "2"]),
        "decimals": (one, decimals),
    }
    found: dict[str, Any] = {
        f"{library} {name}": table_of(library, x=x, y=y) for library in LIBRARIES for name, (x, y) in columns.items()
    }
    for kind in ("Int8", "Int64", "UInt16", "boolean", "Float32", "int8[pyarrow]", "bool[pyarrow]", "category"):
        found[f"pandas {kind}"] = pandas.DataFrame({"x": pandas.array(one, dtype=kind), "y": half})
    found["pandas categories of text"] = pandas.DataFrame({"x": pandas.Categorical(["1", "0"]), "y": half})
    found["polars categories"] = polars.DataFrame({"x": polars.Series(["1", "0"], dtype=polars.Categorical), "y": half})
    found["arrow categories"] = pa.table({"x": pa.array(one).dictionary_encode(), "y": half})
    found |= {
        "<U": np.array([["1", "0.5"], ["0", "2"]]),
        "S": np.array([[b"1", b"0.5"], [b"0", b"2"]]),
        "T": np.array([["1", "0.5"], ["0", "2"]], dtype=np.dtypes.StringDType()),
        "list of text": [["1", "0.5"], ["0", "2"]],
        "list of both": [[1, "0.5"], ["0", 2.0]],
        "objects": np.array([[True, Fraction(1, 2)], [b"0", np.float32(2)]], dtype=object),
    }
    return found


def test_what_holds_numbers_is_taken() -> None:
    """Booleans, decimals, categories and text of numbers are taken in any library, in double precision."""
    for name, table in numeric_tables().items():
        rows = as_rows(table, "Test")
        assert rows.dtype == np.float64, name
        assert np.array_equal(rows, [[1, 0.5], [0, 2]]), name


@pytest.mark.parametrize("library", ["list", "<U", "S", *LIBRARIES])
@pytest.mark.parametrize("value", ["1,5", "", "ten", "²", "x" * 10_000])
def test_text_that_is_no_number(library: str, value: str) -> None:
    """Any other text is refused with the value and its place."""
    rows: Any = [["1", "2"], ["3", value]]
    if library in LIBRARIES:
        rows = table_of(library, a=["1", "3"], b=["2", value])
    elif library != "list":
        rows = np.array(rows if library == "<U" else [[text.encode() for text in row] for row in rows])
    with pytest.raises(ValueError, match=r"could not convert string to float.*at row 1, column (1|'b')") as caught:
        GaussianMixture().fit(rows)
    assert len(str(caught.value)) <= 500


def test_missing_objects() -> None:
    """None, NaN and pandas' NA and NaT are missing values of columns of objects, and of nullable ones."""
    pandas = pytest.importorskip("pandas")
    expected = np.array([[1.0, np.nan], [np.nan, 4.0], [5.0, 6.0]])
    for missing in (None, np.nan, pandas.NA, pandas.NaT, np.datetime64("NaT", "s")):
        rows = np.array([[1, missing], [missing, 4], [5, 6]], dtype=object)
        for table in (rows, rows.tolist(), pandas.DataFrame(rows, columns=["a", "b"])):
            assert np.array_equal(as_rows(table, "Test", allow_missing=True), expected, equal_nan=True)
            with pytest.raises(ValueError, match="Input X contains NaN, first at row 0, column"):
                GaussianMixture().fit(table)
    for kind in ("Int8", "Int64", "Float32", "Float64", "boolean", "int16[pyarrow]"):
        column = pandas.array([1, None, 0], dtype=kind)
        rows = as_rows(pandas.DataFrame({"a": column, "b": [1.0, 2.0, 3.0]}), "Test", allow_missing=True)
        assert np.array_equal(rows, [[1, 1], [np.nan, 2], [0, 3]], equal_nan=True)


def test_gaps_of_objects_in_chunks() -> None:
    """Chunks with NA, and masked ones, are fitted like the array of the same rows."""
    pandas = pytest.importorskip("pandas")
    rows = np.random.default_rng(0).normal(size=(60, 2))
    rows[::7, 0] = np.nan
    objects = pandas.DataFrame(rows).astype(object).where(~np.isnan(rows), pandas.NA)
    masked = np.ma.masked_array(np.where(np.isnan(rows), 9.0, rows), mask=np.isnan(rows))
    expected = GaussianMixture(missing="em").fit(rows)
    for whole in (objects, masked):
        for X in (whole, from_chunks([whole[:20], whole[20:]])):
            assert np.array_equal(GaussianMixture(missing="em").fit(X).means_, expected.means_)


SMALL_TYPES = ("int8", "int16", "uint8", "uint16", "bool")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("small", SMALL_TYPES)
def test_nulls_do_not_change_the_precision(library: str, small: str) -> None:
    """Columns of small integers and booleans are of the same precision with nulls and without."""
    module = pytest.importorskip(library)

    def table(first: int | None, other: str) -> Any:
        values: dict[str, Array | list[Any]] = {"a": [first, 1, 0], "b": np.array([1.5, 2, 3], other)}
        if small == "bool":
            values["a"] = [None if first is None else bool(first), True, False]
        if library == "pandas":
            kind = "boolean" if small == "bool" else small.replace("i", "I").replace("u", "U")
            return module.DataFrame({"a": module.array(values["a"], dtype=kind), "b": values["b"]})
        if library == "polars":
            kind = module.Boolean if small == "bool" else getattr(module, small.replace("i", "I").replace("u", "U"))
            return module.DataFrame({"a": module.Series(values["a"], dtype=kind), "b": values["b"]})
        kind = module.bool_() if small == "bool" else getattr(module, small)()
        return module.table({"a": module.array(values["a"], kind), "b": module.array(values["b"])})

    for other, expected in (("f4", np.float32), ("f8", np.float64)):
        for first in (1, None):
            rows = to_floats(table(first, other), "X")
            assert rows.dtype == expected
            assert rows[1, 1] == 2
    for first in (1, None):
        whole = table(first, "f4")
        alone = whole.select(["a"]) if hasattr(whole, "select") else whole[["a"]]
        assert to_floats(alone, "X").dtype == np.float64


def test_lazy_frames() -> None:
    """A query of polars is told from its result."""
    polars = pytest.importorskip("polars")
    lazy = polars.LazyFrame({"a": A})
    model = GaussianMixture().fit(polars.DataFrame({"a": A}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in (GaussianMixture().fit, model.predict, model.partial_fit, model.score):
            with pytest.raises(TypeError, match=r"X is a LazyFrame.*X\.collect\(\)"):
                call(lazy)
