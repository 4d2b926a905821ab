"""Progress bars by tqdm, for ``verbose='bar'``."""

from __future__ import annotations

import sys
from threading import Lock
from typing import Any

__all__ = ["BAR", "Bar", "new_bar"]

BAR = "bar"


def new_bar(total: int | None, unit: str) -> Any:
    """Return a bar of tqdm, in notebooks one of theirs, for so many things; None where nobody knows how many."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "verbose='bar' needs tqdm: pip install 'fastgmm[progress]'. verbose=1 prints lines without it."
        ) from error
    return tqdm(total=total, unit=f" {unit}", disable=sys.stderr is None)  # as where a program has no terminal


class Bar:
    """Shows the iterations of all initializations as one bar, and the last lower bound.

    Parameters
    ----------
    bar : tqdm.tqdm
        Its total is that of initializations that all take as many iterations as they may.
    max_iter : int
        How many that is. What one does not take is subtracted from the total when it ends.
    """

    def __init__(self, bar: Any, max_iter: int) -> None:
        self.bar, self.max_iter = bar, max_iter
        self.done: dict[int, int] = {}  # iterations of each initialization
        self._drawing = Lock()

    def begin(self, number: int, seconds: float = 0.0) -> None:
        """An initialization begins, or goes on: the bar moves with its iterations."""

    def iteration(self, number: int, n_iter: int, lower_bound: float, change: float) -> None:
        """One more iteration is done."""
        with self._drawing:
            self.done[number] = n_iter
            self.bar.set_postfix_str(f"lower bound {lower_bound:.6g}", refresh=False)
            self.bar.update()

    def end(self, number: int, lower_bound: float, stop_reason: str) -> None:
        """An initialization takes no more iterations."""
        self.drop(number)

    def drop(self, number: int) -> None:
        """An initialization is given up."""
        with self._drawing:
            if self.bar.total is not None:
                self.bar.total -= self.max_iter - self.done.get(number, 0)
            self.bar.refresh()
