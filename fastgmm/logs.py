"""What is told to the logger "fastgmm": fits at INFO, their iterations at DEBUG, and nothing above.

Python's logging is not imported here: where nobody has, nobody listens, and `import fastgmm` takes less time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .fitting.restarts import Progress

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["DEBUG", "INFO", "Logged", "listener", "tell"]

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
