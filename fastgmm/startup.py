"""The error for an installation whose kernels cannot be loaded."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from typing import NoReturn


def refuse(error: ImportError) -> NoReturn:
    """Raise what the import ran into; tell it in one line where the import is that of the command line."""
    if not _is_command():
        raise error
    print("fastgmm: error:", *str(error).split(), file=sys.stderr)
    raise SystemExit(2) from None


def _is_command() -> bool:
    """Return whether this process is `python -m fastgmm`, whose name is "-m" at this point, or `fastgmm`."""
    name = getattr(sys, "argv", [""])[0]
    if name == "-m":
        return ("-m", "fastgmm") in pairwise(sys.orig_argv)
    return os.path.splitext(os.path.basename(name))[0] == "fastgmm"
