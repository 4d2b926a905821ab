"""Chunks of rows from sequences, functions, stored arrays, Parquet and CSV files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..text import listed, quoted, shortened
from .chunks import Chunks
from .mapped import Mapping

CHUNK_BYTES = 1 << 23  # of a chunk where we choose
EXCHANGED = str.maketrans(",.", ".,")  # decimal commas for points
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "."}

__all__ = ["Chunks", "from_array", "from_chunks", "from_csv", "from_parquet", "refuse_iterator"]


def from_chunks(chunks: Sequence[Any] | Callable[[], Iterable[Any]]) -> Chunks:
    """Take rows from a sequence of chunks, or from a function that returns an iterator over them.

    Parameters
    ----------
    chunks : sequence of array-like, or callable
        Chunks of shape (n, n_features), of any lengths, arrays or tables; or a function without arguments that returns
        a new iterator over the same chunks each time it is called: once for each pass over the rows.

    Returns
    -------
    chunks : Chunks
        What ``fit``, ``predict``, ``score`` and their like take in place of an array. The result of a fit has the same
        bits as that of the same rows in one array.

    Raises
    ------
    TypeError
        If ``chunks`` is an iterator, which can be read only once.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.sources import from_chunks
    >>> def read():
    ...     for year in (1.0, 2.0, 3.0):
    ...         yield np.array([[year, 0.0], [0.0, year]])
    >>> GaussianMixture().fit(from_chunks(read)).means_
    array([[1., 1.]])
    """
    refuse_iterator(chunks)
    if callable(chunks):
        return Chunks(lambda: iter(chunks()))
    if not hasattr(chunks, "__len__"):
        raise TypeError(
            f"from_chunks takes a sequence of chunks or a function that returns an iterator, not "
            f"{type(chunks).__name__}. Pass a list, or a function."
        )
    return Chunks(lambda: iter(chunks))


def from_array(array: Any, chunk_rows: int | None = None) -> Chunks:
    """Take rows from a stored array that is read by slices: h5py, zarr, or a memory map of any type.

    Parameters
    ----------
    array : object of shape (n_samples, n_features)
        With ``shape``, ``dtype`` and slices ``array[a:b]`` that NumPy takes for arrays.
    chunk_rows : int, default=None
        Rows to read at once; None means about 8 MB, in whole chunks of the storage where it has them.

    Returns
    -------
    chunks : Chunks

    Raises
    ------
    ValueError
        If the array is not two-dimensional.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.sources import from_array
    >>> stored = np.array([[0], [2], [4]], dtype=np.int16)  # or h5py.File("rows.h5")["rows"], zarr.open("rows.zarr")
    >>> GaussianMixture().fit(from_array(stored)).means_
    array([[2.]])
    """
    shape = tuple(array.shape)
    if len(shape) != 2:
        raise ValueError(f"Expected a stored array of two dimensions, got shape {shape}. Pass rows of features.")
    rows = chunk_rows or _rows_of(CHUNK_BYTES, shape[1], np.dtype(array.dtype).itemsize)
    stored = getattr(array, "chunks", None)
    if chunk_rows is None and isinstance(stored, tuple) and isinstance(stored[0], int):
        rows = -(-rows // stored[0]) * stored[0]

    mapping = Mapping.of(array) if isinstance(array, np.ndarray) else None

    def read() -> Iterator[np.ndarray]:
        for start in range(0, shape[0], rows):
            part = array[start : start + rows]
            yield np.array(part)
            if mapping is not None:
                mapping.release(part)

    return Chunks(read)


def from_parquet(path: Any, columns: Sequence[str] | None = None, chunk_rows: int | None = None) -> Chunks:
    """Take rows from Parquet files, or from any dataset of pyarrow, batch by batch.

    Parameters
    ----------
    path : path-like, list of path-like, or pyarrow.dataset.Dataset
        A file, a folder of files, several files, or a dataset.
    columns : sequence of str, default=None
        Names of the columns that are the features, in their order; None takes all.
    chunk_rows : int, default=None
        Rows to read at once at most; None means about 8 MB.

    Returns
    -------
    chunks : Chunks
        With the columns' names as those of the features. Missing values become NaN.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If there is no such column, or a column holds no numbers.

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.sources import from_parquet
    >>> rows = from_parquet("rows.parquet", columns=["height", "weight"])  # doctest: +SKIP
    >>> GaussianMixture(3).fit(rows)  # doctest: +SKIP
    """
    try:
        import pyarrow
        import pyarrow.dataset
    except ImportError as error:
        raise ImportError("Reading Parquet needs pyarrow: pip install pyarrow, or fastgmm[files].") from error
    dataset = path if isinstance(path, pyarrow.dataset.Dataset) else pyarrow.dataset.dataset(path)
    names = list(dataset.schema.names if columns is None else columns)
    for name in names:
        if name not in dataset.schema.names:
            raise ValueError(f"There is no column {quoted(name)}: choose among {listed(dataset.schema.names)}.")
        kind = dataset.schema.field(name).type
        if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)):
            raise ValueError(
                f"The column {quoted(name)} holds {shortened(kind)}, not numbers. Leave it out of columns, or convert "
                "it."
            )
    _check_fragments(dataset, names, columns is None)
    single = all(pyarrow.types.is_float32(dataset.schema.field(name).type) for name in names)
    dtype = np.dtype(np.float32 if single else np.float64)
    rows = chunk_rows or _rows_of(CHUNK_BYTES, len(names), dtype.itemsize)

    frugal = pyarrow.dataset.ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)

    def read() -> Iterator[np.ndarray]:
        # With threads, or read ahead, pyarrow holds much of a file in memory.
        batches = dataset.to_batches(columns=names, batch_size=rows, use_threads=False, fragment_scan_options=frugal)
        for batch in batches:
            values = np.empty((batch.num_rows, len(names)), dtype)
            for i, column in enumerate(batch.columns):
                values[:, i] = column.to_numpy(zero_copy_only=False)
            yield values

    return Chunks(read, names, dtype)


def _check_fragments(dataset: Any, names: list[str], all_columns: bool) -> None:
    """Refuse files that lack a column of the first one, or have others where all are wanted."""
    own: list[str] = []
    for number, fragment in enumerate(dataset.get_fragments()):
        found = fragment.physical_schema.names
        own = own or [name for name in names if name in found]  # the rest are in the names of folders
        lacking = [name for name in own if name not in found]
        others = [name for name in found if name not in own] if all_columns else []
        if lacking or others:
            what = f"lacks the column {quoted(lacking[0])}" if lacking else f"has the column {quoted(others[0])}"
            raise ValueError(
                f"{shortened(getattr(fragment, 'path', f'Part {number}'))} {what}, unlike the first file. Name the "
                "columns that all files have by columns."
            )


def from_csv(
    path: str | os.PathLike[str],
    columns: Sequence[str | int] | None = None,
    *,
    delimiter: str = ",",
    decimal: str = ".",
    header: bool = True,
    skip_lines: int = 0,
    encoding: str = "utf-8-sig",
    encoding_errors: str = "strict",
    dtype: DTypeLike = np.float64,
    chunk_rows: int | None = None,
    spool: bool = True,
) -> Chunks:
    """Take rows from a CSV file, read in chunks.

    Parameters
    ----------
    path : path-like
        The file.
    columns : sequence of str or int, default=None
        Names, or numbers from 0, of the columns that are the features, in their order; None takes all.
    delimiter : str, default=','
        What stands between values; a blank means any number of blanks and tabs.
    decimal : {'.', ','}, default='.'
        What stands before decimals. With a comma, points are refused.
    header : bool, default=True
        Whether the first line (after ``skip_lines``) holds the names of the columns.
    skip_lines : int, default=0
        Lines to leave out at the start.
    encoding : str, default='utf-8-sig'
        Encoding of the file.
    encoding_errors : str, default='strict'
        What happens to bytes that it does not know, as for ``open``: 'replace' lets them pass in columns left out.
    dtype : {float64, float32}, default=float64
        Type of the rows.
    chunk_rows : int, default=None
        Rows to read at once; None means about 8 MB.
    spool : bool, default=True
        Write the numbers to a temporary file (in the folder of ``tempfile.gettempdir()``) in the first pass of a fit
        and read that in the others, which is a hundred times as fast as reading text. The file goes with the fit.

    Returns
    -------
    chunks : Chunks
        Empty cells, "NA" and their like become NaN.

    Raises
    ------
    ValueError
        If there is no such column or decimal sign, or (in the pass that comes upon it) if a cell is no number or a line
        has another number of cells.

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.sources import from_csv
    >>> rows = from_csv("rows.csv", columns=["height", "weight"])  # doctest: +SKIP
    >>> GaussianMixture(3).fit(rows)  # doctest: +SKIP
    """
    if decimal not in (".", ","):
        raise ValueError(f"decimal={quoted(decimal)}: choose '.' or ','.")
    before = int(skip_lines) + bool(header)
    with open(path, encoding=encoding, errors=encoding_errors) as stream:
        first = list(islice(stream, skip_lines, skip_lines + 1))
    cells = _split(first[0], delimiter) if first else []
    names = cells if header else None
    chosen = list(range(len(cells))) if columns is None else [_position(column, names, cells) for column in columns]
    rows = chunk_rows or _rows_of(CHUNK_BYTES // 2, len(cells), 8)

    def read() -> Iterator[np.ndarray]:
        with open(path, encoding=encoding, errors=encoding_errors) as stream:
            for _ in islice(stream, before):
                pass
            number = before + 1
            while lines := list(islice(stream, rows)):
                if decimal == ",":
                    lines = [line.translate(EXCHANGED) for line in lines]
                yield _parsed(lines, delimiter, chosen, len(cells), np.dtype(dtype), f"{shortened(path)}, line", number)
                number += len(lines)

    return Chunks(read, None if names is None else [names[i] for i in chosen], dtype, spool)


def _parsed(
    lines: list[str], delimiter: str, chosen: list[int], width: int, dtype: np.dtype, where: str, number: int
) -> np.ndarray:
    """The numbers of some lines, the first of which has a number in the file; blank lines are left out."""
    white = " \t\r\n" if delimiter == " " else " \r\n"  # of blank lines; tabs alone are a row of missing values
    full = [line for line in lines if line.strip(white)]
    if not full:
        return np.empty((0, len(chosen)), dtype)
    usecols = None if chosen == list(range(width)) else chosen
    if usecols is None or _even(full, delimiter, width):  # loadtxt does not miss columns that are left out
        numbers = partial(
            np.loadtxt,
            dtype=dtype,
            comments=None,
            delimiter=None if delimiter == " " else delimiter,
            usecols=usecols,
            ndmin=2,
            quotechar='"',
        )
        with suppress(ValueError):
            return numbers(full)
        with suppress(ValueError):
            return numbers(_filled(full, delimiter))
    parsed = np.empty((len(full), len(chosen)), dtype)  # line by line, which finds the one that is wrong
    row = 0
    for line, text in enumerate(lines, number):
        if not text.strip(white):
            continue
        cells = _split(text, delimiter)
        if len(cells) != width:
            raise ValueError(f"{where} {line}: {len(cells)} cells instead of {width}. Mend or delete the line.")
        for i, column in enumerate(chosen):
            cell = cells[column]
            try:
                parsed[row, i] = np.nan if cell.lower() in MISSING else float(cell.replace("_", "no digit"))
            except ValueError:
                raise ValueError(
                    f"{where} {line}: {cell[:40]!r} in column {column} is no number. Mend it, delete the line, or "
                    "leave the column out."
                ) from None
        row += 1
    return parsed


def _even(lines: list[str], delimiter: str, width: int) -> bool:
    """Whether all lines have so many cells."""
    import csv

    if delimiter == " ":
        return {len(line.split()) for line in lines} == {width}
    return {len(cells) for cells in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)} == {width}


def _filled(lines: list[str], delimiter: str) -> list[str]:
    """The lines with "nan" for what stands for a missing value."""
    return _gaps(delimiter).sub("nan", "".join(lines).rstrip("\n")).split("\n")


@cache
def _gaps(delimiter: str) -> re.Pattern[str]:
    """The pattern of cells that stand for a missing value."""
    words = "|".join(re.escape(word) for word in MISSING if word)
    if delimiter == " ":
        return re.compile(rf"(?<!\S)(?:{words})(?!\S)", re.IGNORECASE)
    edge = f"[^{re.escape(delimiter)}\n]"
    return re.compile(rf'(?<!{edge}) *(?:{words}|""|"(?:{words})")? *(?!{edge})', re.IGNORECASE)


def _split(line: str, delimiter: str) -> list[str]:
    """The cells of a line."""
    import csv

    text = " ".join(line.split()) if delimiter == " " else line.strip("\r\n")
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]


def _position(column: str | int, names: list[str] | None, cells: list[str]) -> int:
    """The number of a column that is given by name or number."""
    if isinstance(column, str):
        if names is not None and names.count(column) == 1:
            return names.index(column)
        some = "the file has no header" if names is None else f"choose among {listed(names)}"
        raise ValueError(f"There is no single column named {quoted(column)}: {some}.")
    if not 0 <= column < len(cells):
        raise ValueError(f"There is no column {column}: choose from 0 to {len(cells) - 1}.")
    return int(column)


def _rows_of(size: int, n_features: int, itemsize: int) -> int:
    """How many rows have about so many bytes."""
    return max(1, size // max(1, n_features * itemsize))


def refuse_iterator(X: Any) -> None:
    """Raise the error for what can be read only once."""
    if hasattr(X, "__next__"):
        raise TypeError(
            f"X is a {type(X).__name__}, which can be read only once, but EM reads the rows in each iteration. Wrap a "
            "function that returns a new iterator each time in fastgmm.sources.from_chunks, or learn from batches that "
            "come once with partial_fit."
        )
