"""The progress of a fit: printed as ``verbose`` asks, in scikit-learn's format, or drawn, and logged to "fastgmm".

Fits are logged at INFO, their iterations at DEBUG, and nothing above. Python's logging is not imported here: where
nobody has, nobody listens, and `import fastgmm` takes less time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING

from ..fitting.em import Fit
from ..fitting.restarts import Plans, Progress
from ..sources.source import Source
from .bar import BAR, Bar, new_bar

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["DEBUG", "INFO", "Count", "Logged", "Printed", "listener", "reporting", "tell", "tell_begin", "tell_end"]

DEBUG, INFO = 10, 20  # as in logging


def listener(level: int) -> Logger | None:
    """Return the logger if anybody listens to messages of this level."""
    if "logging" not in sys.modules:
        return None
    import logging

    logger = logging.getLogger("fastgmm")
    return logger if logger.isEnabledFor(level) else None


def tell(level: int, message: str, *values: object) -> None:
    """Log a message, which is put together only if anybody listens."""
    logger = listener(level)
    if logger is not None:
        logger.log(level, message, *values, stacklevel=2)


def tell_begin(source: Source, n_components: int, covariance_type: str, plans: Plans) -> None:
    """Log that a fit begins."""
    tell(
        INFO,
        "fit begins: %d rows of %d features, %d %s components, %d initialization(s)%s",
        source.n_samples,
        source.n_features,
        n_components,
        covariance_type,
        len(plans.starts),
        "" if plans.seed is None else " before a search",
    )


def tell_end(fit: Fit, started: float) -> None:
    """Log how a fit that started at a reading of `time.perf_counter` has ended."""
    tell(
        INFO,
        "fit ended: %s after %d iteration(s) and %.3f s, lower bound %.9g, %d repair(s)",
        fit.stop_reason,
        len(fit.lower_bounds),
        perf_counter() - started,
        fit.lower_bounds[-1] if fit.lower_bounds else -math.inf,
        len(fit.repairs),
    )


@contextmanager
def reporting(verbose: int | str, interval: int, plans: Plans, max_iter: int) -> Iterator[Progress]:
    """Yield what reports a fit: what prints or draws, behind what logs if anybody listens. A bar is closed at the end.

    Nobody knows how many iterations a search takes.
    """
    with ExitStack() as stack:
        if isinstance(verbose, str):
            total = max_iter * len(plans.starts) if plans.seed is None else None
            progress: Progress = Bar(stack.enter_context(new_bar(total, "iterations")), max_iter)
        else:
            progress = Printed(verbose, interval)
        logger = listener(DEBUG)
        yield progress if logger is None else Logged(logger, progress)


class Logged:
    """Logs the progress of initializations, and passes it on.

    Parameters
    ----------
    logger : logging.Logger
    progress : Progress
        Who is told too.
    """

    def __init__(self, logger: Logger, progress: Progress) -> None:
        self.logger, self.progress = logger, progress

    def begin(self, number: int, seconds: float = 0.0) -> None:
        """Log that an initialization begins, or goes on."""
        self.logger.debug("initialization %d %s", number, "goes on" if seconds else "begins")
        self.progress.begin(number, seconds)

    def iteration(self, number: int, n_iter: int, lower_bound: float, change: float) -> None:
        """Log an iteration."""
        self.logger.debug(
            "initialization %d, iteration %d: lower bound %.9g, change %.3g", number, n_iter, lower_bound, change
        )
        self.progress.iteration(number, n_iter, lower_bound, change)

    def end(self, number: int, lower_bound: float, stop_reason: str) -> None:
        """Log how an initialization ended."""
        self.logger.debug("initialization %d ended: %s, lower bound %.9g", number, stop_reason, lower_bound)
        self.progress.end(number, lower_bound, stop_reason)

    def drop(self, number: int) -> None:
        """Log that an initialization was given up."""
        self.logger.debug("initialization %d dropped", number)
        self.progress.drop(number)


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
    verbose : int, bool or 'bar'
        0 prints nothing, 'bar' draws a progress bar.
    total : int
        How many there are.
    """

    def __init__(self, verbose: int | str, total: int) -> None:
        self.verbose, self.total = bool(verbose), total
        self.bar = new_bar(total, "fits") if verbose == BAR else None
        self.done = 0
        self._printing = Lock()

    def step(self, what: str) -> None:
        """One more is done."""
        if not self.verbose:
            return
        with self._printing:
            if self.bar is not None:
                self.bar.set_postfix_str(what, refresh=False)
                self.bar.update()
                return
            self.done += 1
            line = f"[{self.done}/{self.total}] {what}"
            if sys.stdout.isatty():
                print(f"\r\x1b[K{line}", end="\n" if self.done == self.total else "", flush=True)
            else:
                print(line)

    def close(self) -> None:
        """Nothing more will be done."""
        if self.bar is not None:
            self.bar.close()
