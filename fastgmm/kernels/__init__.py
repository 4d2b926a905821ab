"""The compiled kernels, in the fastest variant this processor runs.

Each variant is the same source compiled for another instruction set. ``FASTGMM_SIMD`` set to ``base``, ``v3`` or
``v4`` before the import forces one: for tests, or for the same bits on different machines.
"""

import importlib
import importlib.util
import os
from types import ModuleType

from . import cpu

LEVELS = {"v4": 4, "v3": 3, "base": 0}  # best first; x86-64 level a variant needs


def variants_available() -> list[str]:
    """Variants that are built and that this processor runs, best first."""
    level = cpu.x86_level()
    runs = [name for name, needs in LEVELS.items() if needs <= level]
    return [name for name in runs if importlib.util.find_spec(f"{__name__}._{name}")]


def load(name: str) -> ModuleType:
    """The compiled module of one variant."""
    available = variants_available()
    if name not in available:
        why = "is not a variant" if name not in LEVELS else "is not in this build, or not for this processor"
        raise ImportError(
            f"FASTGMM_SIMD={name!r} {why}. Available here: {', '.join(available)}. "
            "Set FASTGMM_SIMD to one of these, or unset it to take the fastest."
        )
    return importlib.import_module(f"{__name__}._{name}")


VARIANT = os.environ.get("FASTGMM_SIMD") or variants_available()[0]
CHOSEN = load(VARIANT)
TRIANGULAR, DIAGONAL, COMMON_FRAME = range(3)
