"""The command line: fit mixtures to tables, choose among them, keep and show them, and use them on other tables.

For developers: arguments are parsed in `arguments`, tables read in `tables` and `layouts`, reports made in `reports`,
and results written in `results`. It must not know how a fit proceeds, and nothing else may know it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence

from ..exceptions import CommandError
from ..text import shortened
from .arguments import parser
from .scripts import run_program

__all__ = ["main"]

LONGEST = 480  # characters of an error, however long the path that it names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        What was typed after the name of the program; None takes ``sys.argv``.

    Returns
    -------
    status : int
        The exit status: 0, 2 after an error, which is told in one line, 130 after Ctrl-C, 143 after SIGTERM. What was
        fitted by then is written where it was asked for.

    Examples
    --------
    >>> from fastgmm.cli import main
    >>> main(["config"])
    fastgmm             ...
    0
    """
    try:
        chosen = parser().parse_args(arguments)
        if chosen.command is not run_program:
            with _terminable():
                chosen.command(chosen)
        sys.stdout.flush()
    except KeyboardInterrupt as signal:
        return getattr(signal, "status", 130)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        _let_go_of_output()
    except OSError as error:  # those of files are told where they come up
        _let_go_of_output()
        return _refused(f"cannot write {error.filename or 'the standard output'}: {error.strerror or error}")
    except CommandError as error:
        return _refused(str(error))
    except MemoryError:
        return _refused("out of memory: fit fewer rows, columns or components")
    return _run(chosen) if chosen.command is run_program else 0


def _run(chosen: argparse.Namespace) -> int:
    """Run somebody else's program, whose errors and signals are its own."""
    try:
        run_program(chosen)
    except CommandError as error:
        return _refused(str(error))
    return 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM, by which batch systems and `timeout` say that time is up: treated like Ctrl-C."""

    status = 143


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Raise `_Terminated` on SIGTERM, unless somebody else sees to it, or only the main thread may."""
    import signal

    def terminate(*_: object) -> None:
        raise _Terminated

    free = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not free or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _let_go_of_output() -> None:
    """Let nothing fail when Python flushes the standard output at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused(why: str) -> int:
    """Print an error as one line; return the status."""
    print("fastgmm: error:", shortened(why, LONGEST), file=sys.stderr)
    return 2
