"""The command line: fit mixtures to tables, choose among them, keep and show them, and use them on other tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..exceptions import CommandError
from .arguments import parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        What was typed after the name of the program; None takes ``sys.argv``.

    Returns
    -------
    status : int
        The exit status: 0, 2 after an error, which is told in one line, 130 when interrupted.

    Examples
    --------
    >>> from fastgmm.cli import main
    >>> main(["config"])
    fastgmm             ...
    0
    """
    try:
        chosen = parser().parse_args(arguments)
        chosen.command(chosen)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except CommandError as error:
        return _refused(str(error))
    except MemoryError:
        return _refused("out of memory: fit fewer rows, columns or components")
    return 0


def _refused(why: str) -> int:
    """Print an error as one line; return the status."""
    print("fastgmm: error:", *why.split(), file=sys.stderr)
    return 2
