"""Files that are written: looked at before the work, and there as a whole or not at all."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ..exceptions import CommandError

INSTALL_PLOT = "pip install 'fastgmm[plot]'"
TARGETS = ("output", "save", "plot")
FOREIGN = (".parquet", ".npz", ".xlsx", ".xls", ".gz")  # of outputs that would not be what their name says


def check_targets(chosen: argparse.Namespace, sources: dict[str, str]) -> None:
    """Refuse, before the work, files that cannot be written, are named twice, or are among the sources."""
    named: dict[str, str] = {}
    for option in TARGETS:
        target = getattr(chosen, option, None)
        if target is None or (target == "-" and option == "output"):
            continue
        folder = os.path.dirname(os.path.abspath(target))
        if os.path.isdir(target):
            raise CommandError(f"cannot write {target}: it is a directory")
        if not os.path.isdir(folder):
            raise CommandError(f"cannot write {target}: there is no directory {folder}")
        if not os.access(folder if not os.path.exists(target) or os.path.isfile(target) else target, os.W_OK):
            raise CommandError(f"cannot write {target}: permission denied")
        real = os.path.realpath(target)
        for what, source in sources.items():
            if os.path.exists(source) and os.path.realpath(source) == real:
                raise CommandError(f"cannot write {target}: it is {what}")
        if real in named:
            raise CommandError(f"--{named[real]} and --{option} both name {target}")
        named[real] = option
    _check_kinds(getattr(chosen, "output", None), getattr(chosen, "plot", None))


def _check_kinds(output: str | None, plot: str | None) -> None:
    """Refuse files of kinds that cannot be written."""
    if output is not None and output.lower().endswith(FOREIGN):
        raise CommandError(f"cannot write {output}: end its name in .csv, .tsv or .npy")
    if plot is None:
        return
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise CommandError(f"--plot needs matplotlib: {INSTALL_PLOT}") from error
    if suffix(plot) not in FigureCanvasBase.get_supported_filetypes():
        raise CommandError(f"cannot write {plot}: end its name in .png, .pdf or .svg")


@contextlib.contextmanager
def written(path: str) -> Iterator[str]:
    """Give a temporary name beside a file, and rename it to the file once it is written whole."""
    target = os.path.realpath(path)
    special = os.path.exists(target) and not os.path.isfile(target)  # a device or a pipe, which must not be replaced
    temporary = target if special else f"{target}.{os.getpid()}.tmp"
    try:
        yield temporary
        if not special:
            os.replace(temporary, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if not special:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def save_picture(display: Any, path: str) -> None:
    """Write a picture into a file."""
    with written(path) as temporary:
        display.figure_.savefig(temporary, format=suffix(path), dpi=200)


def suffix(path: str) -> str:
    """Return the format that a file's name asks for."""
    return os.path.splitext(path)[1][1:].lower() or "png"
