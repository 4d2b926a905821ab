"""What ``verbose`` prints while a mixture is fitted, in scikit-learn's format."""

from __future__ import annotations

import sys
from threading import Lock
from time import perf_counter


class Printed:
    """Prints the progress of each initialization.

    Parameters
    ----------
    verbose : int or bool
        0 prints nothing, 1 the initializations and iterations, 2 and more also times and log-likelihoods.
    interval : int
        Number of iterations from one line to the next.
    """

    def __init__(self, verbose: int, interval: int) -> None:
        self.verbose = int(verbose)
        self.interval = interval

    def begin(self, number: int, seconds: float = 0.0) -> None:
        """Announce an initialization, or that one goes on after so many seconds, and start its clock."""
        self.previous = perf_counter()
        self.started = self.previous - seconds
        if self.verbose:
            print(f"Initialization {number}{', continued' if seconds else ''}")

    def iteration(self, number: int, n_iter: int, lower_bound: float, change: float) -> None:
        """Report an iteration when its turn has come."""
        if not self.verbose or n_iter % self.interval:
            return
        line = f"  Iteration {n_iter}"
        if self.verbose > 1:
            now = perf_counter()
            line += f"\t time lapse {now - self.previous:.5f}s\t ll change {change:.5f}"
            self.previous = now
        print(line)

    def end(self, number: int, lower_bound: float, stop_reason: str) -> None:
        """Report how an initialization ended: in scikit-learn's words where it has any."""
        if not self.verbose:
            return
        ends = {"tol": "converged", "max_iter": "did not converge"}
        line = f"Initialization {ends.get(stop_reason, f'did not converge (stopped: {stop_reason})')}."
        if self.verbose > 1:
            line += f" time lapse {perf_counter() - self.started:.5f}s\t lower bound {lower_bound:.5f}."
        print(line)

    def drop(self, number: int) -> None:
        """Report that an initialization was given up."""
        if self.verbose:
            print(f"Initialization {number} dropped.")


class Count:
    """Counts what is done of a known number of things: one line on a terminal that is written again, else a line each.

    Parameters
    ----------
    verbose : int or bool
        0 prints nothing.
    total : int
        How many there are.
    """

    def __init__(self, verbose: int, total: int) -> None:
        self.verbose, self.total = bool(verbose), total
        self.done = 0
        self._printing = Lock()

    def step(self, what: str) -> None:
        """One more is done."""
        if not self.verbose:
            return
        with self._printing:
            self.done += 1
            line = f"[{self.done}/{self.total}] {what}"
            if sys.stdout.isatty():
                print(f"\r\x1b[K{line}", end="\n" if self.done == self.total else "", flush=True)
            else:
                print(line)
