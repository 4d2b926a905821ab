"""The line of names above the rows of a text table, and the columns that label rows or are empty."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..sources.files import MISSING
from ..text import listed

Rows = Sequence[Sequence[str]]  # cells of lines

WHOLE = re.compile(r"[+-]?\d+")
NAMELESS = re.compile(r"(Unnamed: ?\d+.*|__index_level_\d+__)?")  # as pandas calls what has no name
YEARS = range(1800, 2101)


class Header(NamedTuple):
    """The columns of a table, as its first lines tell them."""

    names: list[str]  # one for each cell of a row, empty where there is none
    lines: int  # that hold names, 0 or 1
    set_aside: dict[int, str]  # columns that are no features unless they are asked for, and what they are
    doubt: str = ""  # what to tell of a choice that may be wrong


def find_header(rows: Rows, wanted: bool | None) -> Header:
    """Return the header of the first rows of a table; ``wanted`` says whether there is a line of names, if known."""
    head, below = rows[0], rows[1:]
    short = bool(below) and all(len(row) == len(head) + 1 for row in below)
    shown = listed(map(repr, head))
    if wanted is False or not (wanted or short or _holds_names(head, below)):
        doubt = wanted is None and _resembles_names(head, _columns(below, len(head)))
        question = f"the first line ({shown}) is read as a row, but looks like names: say --header or --no-header"
        return Header([""] * len(head), 0, {}, question if doubt else "")
    names = [*head]
    if short:  # as R writes the names of rows, which have no name themselves; or a delimiter ends each line
        names = [*head, ""] if all(row[-1] == "" for row in below) else ["", *head]
    numbers = wanted is None and any(kind_of(cell) == "number" for cell in head)
    told = f"the first line ({shown}) is taken for names: say --no-header if it is a row" if numbers else ""
    return Header(names, 1, _set_aside(names, _columns(below, len(names)), short), told)


def kind_of(cell: str) -> str:
    """Return whether a cell is a number, missing, infinite, or text."""
    if cell.lower() in MISSING:
        return "missing"
    try:
        return "number" if math.isfinite(float(cell.replace("_", "no digit"))) else "infinite"
    except ValueError:
        return "text"


def _columns(rows: Rows, width: int) -> list[list[str]]:
    """Return the cells of each column."""
    return [[row[i] for row in rows if i < len(row)] for i in range(width)]


def _holds_names(head: Sequence[str], below: Rows) -> bool:
    """Tell whether a line surely holds names."""
    kinds, columns = [kind_of(cell) for cell in head], _columns(below, len(head))
    if "text" in kinds and "number" not in kinds:
        return True
    if head[0] == "" and columns[0] and "" not in columns[0]:  # the corner above the names of rows
        return _resembles_names(head[1:], columns[1:])
    whole = all(WHOLE.fullmatch(cell) for cell, kind in zip(head, kinds, strict=True) if kind == "number")
    numeric = [bool(column) and set(map(kind_of, column)) <= {"number", "missing"} for column in columns]
    return whole and any(kind == "text" and below for kind, below in zip(kinds, numeric, strict=True))


def _resembles_names(cells: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Tell whether numbers may be names: 0, 1, 2 ..., years, or whole numbers above others that are not."""
    if not cells or not all(map(WHOLE.fullmatch, cells)) or len(set(cells)) < len(cells):
        return False
    values = [int(cell) for cell in cells]
    several = len(values) > 1
    if several and (values == list(range(len(values))) or (sorted(values) == values and set(values) <= set(YEARS))):
        return True
    return all(column and not any(map(WHOLE.fullmatch, column)) for column in columns)


def _set_aside(names: Sequence[str], columns: Sequence[Sequence[str]], row_names: bool) -> dict[int, str]:
    """Return the columns that are no features: labels of rows before the others, empty ones behind them."""
    found = {}
    for i, (name, cells) in enumerate(zip(names, columns, strict=True)):
        if not NAMELESS.fullmatch(name) or not (_are_labels(cells) or (i == 0 and row_names)):
            break
        found[i] = "labels of rows"
    for i in reversed(range(len(names))):
        if names[i] or any(columns[i]) or not columns[i]:
            break
        found[i] = "empty"
    return found if len(found) < len(names) else {}


def _are_labels(cells: Iterable[str]) -> bool:
    """Tell whether cells may label rows: text, or whole numbers none of which comes twice."""
    known = list(cells)
    text = all(kind_of(cell) == "text" for cell in known)
    return bool(known) and (text or (all(map(WHOLE.fullmatch, known)) and len(set(known)) == len(known)))
