"""Text for people. What users gave is quoted in part: no message grows with their data."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

QUOTED = 80  # characters of one value
LISTED = 120  # characters of several names


class Text(str):
    """Lines that a prompt shows as they are."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the lines."""
        return str(self)


def aligned(columns: Sequence[Sequence[str]]) -> str:
    """Return columns of words as lines, aligned on the right."""
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        for cells in zip(*columns, strict=True)
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it needs it."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def places(deviations: Sequence[float], means: Sequence[float]) -> str:
    """Return the format that shows three digits of the smallest deviation, and the means to the same place."""
    smallest, largest = min(deviations), max(map(abs, means))
    decimals = 2 - math.floor(math.log10(smallest)) if 0 < smallest < math.inf else 9
    return f"z.{max(decimals, 0)}f" if decimals <= 6 and largest < 1e9 else "z.6g"


class _Brief(reprlib.Repr):
    """repr() that looks at a few items of a collection only, and never fails."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 3, QUOTED, 4 * QUOTED, QUOTED
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = 6

    def repr1(self, x: Any, level: int) -> str:
        try:
            return super().repr1(x, level)
        except Exception:  # of a foreign class, or of an int with too many digits
            return f"<{type(x).__name__}>"


_BRIEF = _Brief()


def quoted(value: Any, most: int = QUOTED) -> str:
    """Return the repr() of a value on one line, without its middle where that is long."""
    return shortened(_BRIEF.repr(value), most)


def shortened(text: object, most: int = QUOTED) -> str:
    """Return a text on one line, without its middle where that is long."""
    words = " ".join(str(text).split())
    if len(words) <= most:
        return words
    head = (most - 3) * 2 // 3
    return f"{words[:head]}...{words[head + 3 - most :]}"


def listed(items: Iterable[Any], most: int = LISTED) -> str:
    """Return items separated by commas, as many as there is room for, the first of them always."""
    found, left = list[str](), most
    for item in items:
        word = shortened(item, most // 3)
        left -= len(word) + 2
        if found and left < 0:
            return ", ".join([*found, "..."])
        found.append(word)
    return ", ".join(found)
