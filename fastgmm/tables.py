"""Tables from files: text with any of the usual delimiters, or .npy; errors name the line and the remedy."""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CommandError", "Table", "counted", "read_table"]

DELIMITERS = (",", "\t", ";", " ")
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "."}


class CommandError(Exception):
    """What the person who typed the command can mend; shown as one line."""


class Table(NamedTuple):
    """The chosen columns of a file."""

    values: NDArray[Any]
    names: list[str]


class Layout(NamedTuple):
    """How a text file is laid out."""

    path: str
    encoding: str
    delimiter: str
    names: list[str]
    first_line: int  # number of the first line that holds a row, from 1


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it needs it."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def read_table(path: str, columns: str | None = None) -> Table:
    """Return the columns of a text table or of a .npy array, chosen by "name,number,..." or all."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise CommandError(f"cannot read {path}: it is not a file")
    try:
        with open(path, "rb") as stream:
            start = stream.read(1 << 16)
        if not start.strip():
            raise CommandError(f"{path} is empty")
        if start.startswith(b"\x93NUMPY") or path.lower().endswith(".npy"):
            table = _read_npy(path, columns)
        else:
            table = _read_text(path, start, columns)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    return table


def _read_npy(path: str, columns: str | None) -> Table:
    """Return the chosen columns of a .npy array, mapped from the file when these are all."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises half a dozen types on files that are damaged or pickled
        raise CommandError(f"cannot read {path} as an array of numbers, as numpy.save writes it: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = getattr(array, "dtype", "several arrays")
        raise CommandError(f"{path} holds {kind}, not one array of real numbers: save numbers with numpy.save")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.size == 0:
        raise CommandError(f"{path} holds an array of shape {array.shape}: it needs rows and columns")
    names = [f"column {i}" for i in range(1, array.shape[1] + 1)]
    chosen = _chosen(columns, names, path)
    if columns is not None:
        array = array[:, chosen]
    strange = np.argwhere(~np.isfinite(array))
    if len(strange):
        row, column = strange[0]
        raise CommandError(
            f"{path}: row {row + 1} of {names[chosen[column]]} is {array[row, column]}: "
            "fill it in, delete the row, or leave the column out with --columns"
        )
    return Table(array, [names[i] for i in chosen])


def _read_text(path: str, start: bytes, columns: str | None) -> Table:
    """Return the chosen columns of a text file that starts with these bytes."""
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if re.search(r"[\x00-\x08\x0e-\x1f]", start.decode(encoding, errors="replace")):
        raise CommandError(f"{path} is not a text table: save it as CSV, or as .npy with numpy.save")
    with open(path, encoding=encoding, errors="replace") as stream:
        head = [(number, line) for number, line in enumerate(islice(stream, 50), 1) if line.strip()]
    layout, sample = _layout(path, encoding, head)
    chosen = _chosen(columns, layout.names, path)
    _check_numeric(layout, sample, chosen)
    everything = chosen == list(range(len(layout.names)))
    # One letter of each column that was not chosen is kept, so that rows of another length are noticed.
    fields = [(f"f{i}", "f8" if i in chosen else "U1") for i in range(len(layout.names))]
    try:
        with open(path, encoding=encoding, errors="replace") as stream:
            values: Any = np.loadtxt(
                filter(str.strip, islice(stream, layout.first_line - 1, None)),
                dtype=np.float64 if everything else np.dtype(fields),
                delimiter=None if layout.delimiter == " " else layout.delimiter,
                quotechar='"',
                comments=None,
                ndmin=2 if everything else 1,
            )
    except ValueError as error:
        _explain(layout, chosen)
        raise CommandError(f"cannot read {path}: {error}") from error
    if not everything:
        values = np.stack([values[f"f{i}"] for i in chosen], axis=1)
    if values.shape[1] != len(chosen) or not np.isfinite(values).all():
        _explain(layout, chosen)
    return Table(values, [layout.names[i] for i in chosen])


def _layout(path: str, encoding: str, head: list[tuple[int, str]]) -> tuple[Layout, list[list[str]]]:
    """Return the layout of a file and its first rows, from its first lines that are not blank."""
    while len(head) > 1 and head[0][1].startswith("#") and head[1][1].startswith("#"):
        head = head[1:]
    if not head:
        raise CommandError(f"{path} is empty")
    delimiter = _delimiter([line for _, line in head[:20]])
    rows = [_cells(line, delimiter) for _, line in head]
    names, first = [""] * len(rows[0]), 0
    kinds = {_kind(cell) for cell in rows[0]}
    if head[0][1].startswith("#"):  # a comment; it may hold the names
        marked = _cells(head[0][1].lstrip("# "), delimiter)
        first = 1
        names = marked if len(rows) > 1 and len(marked) == len(rows[1]) else [""] * len(rows[min(1, len(rows) - 1)])
    elif "text" in kinds and "number" not in kinds:
        names, first = rows[0], 1
    if first == len(rows):
        raise CommandError(f"{path} holds a line of column names, but no rows")
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    return Layout(path, encoding, delimiter, names, head[first][0]), rows[first:]


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter that makes the lines most regular and numeric."""

    def merit(delimiter: str) -> float:
        rows = [_cells(line, delimiter) for line in lines[1:] or lines]  # the first may hold names
        width, regular = Counter(map(len, rows)).most_common(1)[0]
        cells = [cell.replace(",", ".") for row in rows for cell in row]
        numbers = sum(_kind(cell) != "text" for cell in cells)
        return 0.0 if width == 1 else regular / len(rows) * (0.01 + numbers / len(cells))

    best = max(DELIMITERS, key=merit)
    return best if merit(best) > 0 else ","


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line; spaces and tabs are one delimiter however many."""
    text = " ".join(line.split()) if delimiter == " " else line
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]


def _kind(cell: str) -> str:
    """Return whether a cell is a number, missing, infinite, or text."""
    if cell.lower() in MISSING:
        return "missing"
    try:
        return "number" if math.isfinite(float(cell)) else "infinite"
    except ValueError:
        return "text"


def _chosen(columns: str | None, names: Sequence[str], path: str) -> list[int]:
    """Return the columns named by "name,number,...", or all."""
    if columns is None:
        return list(range(len(names)))
    chosen = []
    for word in _cells(columns, ","):
        if names.count(word) == 1:
            chosen.append(names.index(word))
        elif word.isdecimal() and 1 <= int(word) <= len(names):
            chosen.append(int(word) - 1)
        else:
            some = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            problem = "has several columns named" if word in names else "has no column"
            raise CommandError(f"{path} {problem} {word!r}: choose by number from 1 to {len(names)}, or among {some}")
    if not chosen or len(set(chosen)) != len(chosen):
        raise CommandError(f"--columns {columns!r} names {'a column twice' if chosen else 'no column'}")
    return chosen


def _check_numeric(layout: Layout, sample: list[list[str]], chosen: list[int]) -> None:
    """Refuse chosen columns that hold text wherever the first rows hold anything."""
    kinds = [{_kind(row[i]) for row in sample if i < len(row)} - {"missing"} for i in range(len(layout.names))]
    text = [i for i in chosen if kinds[i] == {"text"}]
    if not text:
        return
    shown = ", ".join(repr(layout.names[i]) for i in text[:20])
    value = next(row[text[0]] for row in sample if text[0] < len(row) and _kind(row[text[0]]) == "text")
    numeric = ",".join(str(i + 1) for i in chosen if i not in text)
    if _kind(value.replace(",", ".", 1)) == "number":
        remedy = "write decimals with a point"
    else:
        remedy = f"choose the others with --columns {numeric}" if numeric else "a mixture needs columns of numbers"
    plural = "columns are" if len(text) > 1 else "column is"
    raise CommandError(f"{layout.path}: {plural} not numeric: {shown} (holds {value[:40]!r}); {remedy}")


def _explain(layout: Layout, chosen: Sequence[int]) -> None:
    """Raise the error that names the first line with a cell that cannot be fitted."""
    for line, cells in _numbered_rows(layout):
        where = f"{layout.path}, line {line}"
        if len(cells) != len(layout.names):
            raise CommandError(
                f"{where}: {counted(len(cells), 'cell')} instead of {len(layout.names)}: mend or delete the line"
            )
        for i in chosen:
            kind = _kind(cells[i])
            if kind != "number":
                problem = {"missing": "is missing", "infinite": "is infinite", "text": "is not a number"}[kind]
                raise CommandError(
                    f"{where}: the value of {layout.names[i]!r} {problem} ({cells[i][:40]!r}): "
                    "mend it, delete the line, or leave the column out with --columns"
                )


def _numbered_rows(layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line and its cells, blank lines left out."""
    with open(layout.path, encoding=layout.encoding, errors="replace") as stream:
        lines: Iterable[tuple[int, str]] = enumerate(stream, 1)
        for number, line in islice(lines, layout.first_line - 1, None):
            if line.strip():
                yield number, _cells(line, layout.delimiter)
