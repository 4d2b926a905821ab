"""The layout of a text table, found in its first lines, and the defects of one that cannot be read."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ..exceptions import CommandError
from ..sources.files import EXCHANGED
from ..text import counted, listed, quoted
from .headers import Header, find_header, kind_of

__all__ = ["Layout", "cells_of", "check_numeric", "explain", "sniff"]

DELIMITERS = (",", "\t", ";", "|", " ")
HEAD_LINES = 50  # that are looked at
NAMED_DELIMITER = re.compile(r'"?sep=(.)"?[,;]*', re.IGNORECASE)  # a line for Excel
COMMA_DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


class Layout(NamedTuple):
    """Delimiter, header and columns of a text file."""

    path: str
    shown: str  # its name in messages
    encoding: str
    delimiter: str
    decimal: str  # the point or comma of its numbers
    names: list[str]
    first_line: int  # number of the first line that holds a row, from 1
    set_aside: dict[int, str]  # columns that are no features unless they are asked for, and what they are
    doubt: str  # what to tell of a choice that may be wrong

    def cells(self, line: str) -> list[str]:
        """Return the cells of a line, numbers with a decimal point."""
        cells = cells_of(line, self.delimiter)
        return cells if self.decimal == "." else [cell.translate(EXCHANGED) for cell in cells]


def sniff(path: str, shown: str, start: bytes, header: bool | None = None) -> tuple[Layout, list[list[str]]]:
    """Return the layout of a text file that starts with these bytes, and its first rows.

    ``header`` says whether there is a line of names, where that is known.
    """
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if re.search(r"[\x00-\x08\x0e-\x1f]", start.decode(encoding, errors="replace")):
        raise CommandError(f"{shown} is not a text table: save it as CSV, or as .npy with numpy.save")
    delimiter, comment, head = _head(path, encoding)
    if not head:
        raise CommandError(f"{shown} {'holds comments, but no rows' if comment else 'is empty'}")
    delimiter = delimiter or _delimiter([line for _, line in head[:20]])
    rows = [cells_of(line, delimiter) for _, line in head]
    found = find_header(rows, header)
    marked = cells_of(comment.lstrip("# "), delimiter)
    if header is None and found.lines == 0 and comment and len(marked) == len(rows[0]):
        found = Header(marked, 0, {})
    if found.lines == len(rows):
        raise CommandError(f"{shown} holds a line of column names, but no rows")
    rows = rows[found.lines :]
    decimal = "." if delimiter == "," else _decimal([row[i] for row in rows for i in range(len(row))])
    names = [name or f"column {i}" for i, name in enumerate(found.names, 1)]
    first_line = head[found.lines][0]
    layout = Layout(path, shown, encoding, delimiter, decimal, names, first_line, found.set_aside, found.doubt)
    return layout, [layout.cells(line) for _, line in head[found.lines :]]


def _head(path: str, encoding: str) -> tuple[str, str, list[tuple[int, str]]]:
    """Return the delimiter that the first line names, the last comment at the top, and numbered lines below."""
    delimiter, comment, head = "", "", list[tuple[int, str]]()
    with open(path, encoding=encoding, errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            text = line.strip()
            if not text:
                continue
            if number == 1 and (named := NAMED_DELIMITER.fullmatch(text)):
                delimiter = named[1]
            elif text.startswith("#") and not head:
                comment = text
            else:
                head.append((number, line))
                if len(head) == HEAD_LINES:
                    break
    return delimiter, comment, head


def _decimal(cells: Sequence[str]) -> str:
    """Return the point, or the comma where cells show that it stands before decimals, not between thousands."""
    commas = [cell for cell in cells if COMMA_DECIMAL.fullmatch(cell)]
    known = any(not THOUSANDS.fullmatch(cell) for cell in commas)
    return "," if known and not any("." in cell and kind_of(cell) == "number" for cell in cells) else "."


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter that makes the lines most regular and numeric."""

    def merit(delimiter: str) -> float:
        rows = [cells_of(line, delimiter) for line in lines[1:] or lines]  # the first may hold names
        width, regular = Counter(map(len, rows)).most_common(1)[0]
        cells = [cell.replace(",", ".") for row in rows for cell in row]
        numbers = sum(kind_of(cell) != "text" for cell in cells)
        share = 0.7 if delimiter == " " else 1.0  # blanks stand within words, too
        return 0.0 if width == 1 else share * regular / len(rows) * (0.01 + numbers / len(cells))

    best = max(DELIMITERS, key=merit)
    return best if merit(best) > 0 else ","


def cells_of(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line; spaces and tabs are one delimiter however many."""
    text = " ".join(line.split()) if delimiter == " " else line
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]


def check_numeric(layout: Layout, sample: list[list[str]], chosen: list[int]) -> None:
    """Refuse chosen columns that hold text wherever the first rows hold anything."""
    kinds = [{kind_of(row[i]) for row in sample if i < len(row)} - {"missing"} for i in range(len(layout.names))]
    text = [i for i in chosen if kinds[i] == {"text"}]
    if not text:
        return
    shown = listed(repr(layout.names[i]) for i in text)
    value = next(row[text[0]] for row in sample if text[0] < len(row) and kind_of(row[text[0]]) == "text")
    numeric = ",".join(str(i + 1) for i in chosen[:100] if i not in text)
    if kind_of(value.replace(",", ".", 1)) == "number":
        remedy = "write numbers with a decimal point, and nothing between thousands"
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
            kind = kind_of(cells[i])
            if kind == "number" or (kind == "missing" and i in gaps):
                continue
            problem = {"missing": "is missing", "infinite": "is infinite", "text": "is not a number"}[kind]
            other = ", or fit what is there with --missing em" if kind == "missing" else ""
            raise CommandError(
                f"{where}: the value of {quoted(layout.names[i])} {problem} ({cells[i][:40]!r}): "
                f"mend it, delete the line, or leave the column out with --columns{other}"
            )


def _numbered_rows(layout: Layout, rows_read: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line and its cells, blank lines and as many lines as rows have been read left out."""
    white = " \t\r\n" if layout.delimiter == " " else " \r\n"
    with open(layout.path, encoding=layout.encoding, errors="replace") as stream:
        lines: Iterable[tuple[int, str]] = enumerate(stream, 1)
        for number, line in islice(lines, layout.first_line - 1 + rows_read, None):
            if line.strip(white):
                yield number, layout.cells(line)
