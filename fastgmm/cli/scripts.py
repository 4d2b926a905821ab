"""The command `run`: a Python program whose scikit-learn mixtures are fastgmm's."""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import sys
from collections.abc import Iterator

from ..exceptions import CommandError
from ..patching import patch_sklearn


def run_program(chosen: argparse.Namespace) -> None:
    """Run a script or a module as Python would, with its own arguments; what it raises is its own affair."""
    if not chosen.program:
        raise CommandError("name a script, or a module after -m (see fastgmm run --help)")
    name = chosen.program[0]
    if not chosen.module and not os.path.exists(name):
        raise CommandError(f"there is no script {name}; a module goes after -m")
    try:
        patch = patch_sklearn()
    except ImportError as error:
        raise CommandError(str(error)) from error
    with patch, _called(chosen.program, os.getcwd() if chosen.module else os.path.dirname(os.path.abspath(name))):
        if chosen.module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(os.path.abspath(name), run_name="__main__")


@contextlib.contextmanager
def _called(words: list[str], folder: str) -> Iterator[None]:
    """Have a program see its own arguments, and import what lies beside it unless Python is told not to (-P)."""
    arguments, path = sys.argv, sys.path[:]
    sys.argv = words
    if not sys.flags.safe_path:
        sys.path[0] = folder
    try:
        yield
    finally:
        sys.argv, sys.path[:] = arguments, path
