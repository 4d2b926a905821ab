"""The layout of a text table, found in its first lines, and the defects of one that cannot be read."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ..exceptions import CommandError
from ..sources.files import MISSING
from ..text import counted

__all__ = ["Layout", "cells_of", "check_numeric", "explain", "sniff"]

DELIMITERS = (",", "\t", ";", " ")
HEAD_LINES = 50  # that are looked at


class Layout(NamedTuple):
    """Delimiter, header and columns of a text file."""

    path: str
    shown: str  # its name in messages
    encoding: str
    delimiter: str
    names: list[str]
    first_line: int  # number of the first line that holds a row, from 1


def sniff(path: str, shown: str, start: bytes) -> tuple[Layout, list[list[str]]]:
    """Return the layout of a text file that starts with these bytes, and its first rows."""
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if re.search(r"[\x00-\x08\x0e-\x1f]", start.decode(encoding, errors="replace")):
        raise CommandError(f"{shown} is not a text table: save it as CSV, or as .npy with numpy.save")
    with open(path, encoding=encoding, errors="replace") as stream:
        head = [(number, line) for number, line in enumerate(islice(stream, HEAD_LINES), 1) if line.strip()]
    while len(head) > 1 and head[0][1].startswith("#") and head[1][1].startswith("#"):
        head = head[1:]
    if not head:
        raise CommandError(f"{shown} is empty")
    delimiter = _delimiter([line for _, line in head[:20]])
    rows = [cells_of(line, delimiter) for _, line in head]
    names, first = [""] * len(rows[0]), 0
    kinds = {_kind(cell) for cell in rows[0]}
    if head[0][1].startswith("#"):  # a comment; it may hold the names
        marked = cells_of(head[0][1].lstrip("# "), delimiter)
        first = 1
        names = marked if len(rows) > 1 and len(marked) == len(rows[1]) else [""] * len(rows[min(1, len(rows) - 1)])
    elif "text" in kinds and "number" not in kinds:
        names, first = rows[0], 1
    if first == len(rows):
        raise CommandError(f"{shown} holds a line of column names, but no rows")
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    return Layout(path, shown, encoding, delimiter, names, head[first][0]), rows[first:]


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter that makes the lines most regular and numeric."""

    def merit(delimiter: str) -> float:
        rows = [cells_of(line, delimiter) for line in lines[1:] or lines]  # the first may hold names
        width, regular = Counter(map(len, rows)).most_common(1)[0]
        cells = [cell.replace(",", ".") for row in rows for cell in row]
        numbers = sum(_kind(cell) != "text" for cell in cells)
        return 0.0 if width == 1 else regular / len(rows) * (0.01 + numbers / len(cells))

    best = max(DELIMITERS, key=merit)
    return best if merit(best) > 0 else ","


def cells_of(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line; spaces and tabs are one delimiter however many."""
    text = " ".join(line.split()) if delimiter == " " else line
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]


def _kind(cell: str) -> str:
    """Return whether a cell is a number, missing, infinite, or text."""
    if cell.lower() in MISSING:
        return "missing"
    try:
        return "number" if math.isfinite(float(cell.replace("_", "no digit"))) else "infinite"
    except ValueError:
        return "text"


def check_numeric(layout: Layout, sample: list[list[str]], chosen: list[int]) -> None:
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
    raise CommandError(f"{layout.shown}: {plural} not numeric: {shown} (holds {value[:40]!r}); {remedy}")


def explain(layout: Layout, chosen: Sequence[int], gaps: Collection[int] = (), rows_read: int = 0) -> None:
    """Raise the error that names the first line with a cell that cannot be fitted, after rows that could be read.

    Columns in ``gaps`` may have missing values.
    """
    for line, cells in _numbered_rows(layout, rows_read):
        where = f"{layout.shown}, line {line}"
        if len(cells) != len(layout.names):
            raise CommandError(
                f"{where}: {counted(len(cells), 'cell')} instead of {len(layout.names)}: mend or delete the line"
            )
        for i in chosen:
            kind = _kind(cells[i])
            if kind == "number" or (kind == "missing" and i in gaps):
                continue
            problem = {"missing": "is missing", "infinite": "is infinite", "text": "is not a number"}[kind]
            other = ", or fit what is there with --missing em" if kind == "missing" else ""
            raise CommandError(
                f"{where}: the value of {layout.names[i]!r} {problem} ({cells[i][:40]!r}): "
                f"mend it, delete the line, or leave the column out with --columns{other}"
            )


def _numbered_rows(layout: Layout, rows_read: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line and its cells, blank lines and as many lines as rows have been read left out."""
    white = " \t\r\n" if layout.delimiter == " " else " \r\n"
    with open(layout.path, encoding=layout.encoding, errors="replace") as stream:
        lines: Iterable[tuple[int, str]] = enumerate(stream, 1)
        for number, line in islice(lines, layout.first_line - 1 + rows_read, None):
            if line.strip(white):
                yield number, cells_of(line, layout.delimiter)
