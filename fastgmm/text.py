"""Text for people."""

import math
from collections.abc import Sequence


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


def cut(text: str, length: int) -> str:
    """Return a text on one line, cut to so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def places(deviations: Sequence[float], means: Sequence[float]) -> str:
    """Return the format that shows three digits of the smallest deviation, and the means to the same place."""
    smallest, largest = min(deviations), max(map(abs, means))
    decimals = 2 - math.floor(math.log10(smallest)) if 0 < smallest < math.inf else 9
    return f"z.{max(decimals, 0)}f" if decimals <= 6 and largest < 1e9 else "z.6g"
