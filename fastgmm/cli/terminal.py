"""Progress on a terminal: one line that is written again and again; nothing where there is no terminal."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from time import perf_counter

from ..text import shortened

INTERVAL = 0.1  # seconds from one line to the next


class Line:
    """A line on the standard error that is written again and again, and gone at the end."""

    def __init__(self) -> None:
        self.seen = sys.stderr.isatty()
        self.last = -INTERVAL

    def tell(self, text: str) -> None:
        """Show a text, unless the last one has just come."""
        now = perf_counter()
        if self.seen and now - self.last >= INTERVAL:
            self.last = now
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)

    def callback(self) -> Callable[[int, float, float], None] | None:
        """The callback of a fit; None where nobody looks, so that starts can run side by side."""
        return self._iteration if self.seen else None

    def _iteration(self, iteration: int, lower_bound: float, elapsed: float) -> None:
        """Show how far a fit has come."""
        self.tell(f"iteration {iteration}, log-likelihood {lower_bound:.6f} per sample, {elapsed:.0f} s")


def note(text: str) -> None:
    """Tell what the person who typed a command should know."""
    wiped = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{wiped}fastgmm: note: {shortened(text, 480)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress() -> Iterator[Line]:
    """Give a line, and wipe it away at the end."""
    line = Line()
    try:
        yield line
    finally:
        if line.seen:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
