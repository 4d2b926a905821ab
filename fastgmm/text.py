"""Text for people."""

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
