"""The compiled kernels: passes over rows and small dense algebra, in the fastest variant this processor runs.

Everything that loops over rows stands here, and nothing else does. Kernels fill arrays that they are given: they do not
validate, warn, allocate results, keep state or start threads, and they know no covariance type, estimator or other
public name, only kinds of geometry. What they compute, and the notation, stands at the head of kernels.pyx.

Each variant is the same source compiled for another instruction set. ``FASTGMM_SIMD`` set to ``base``, ``v3`` or
``v4`` before the import forces one: for tests, or for the same bits on different machines.

Where pairs of rows and components are below rounding, kernels leave them out before they work them out, if this saves
time; ``FASTGMM_DENSE=1`` set before the import has all of them worked out: to see what is saved, and that results agree
to rounding.

To add an instruction set: its flags in meson.build, how it is detected in cpu.pyx, the level it needs in `LEVELS`
below, and the width of its vectors in tiles.h. To add a geometry: its kind, the number of its sums (`width`), what it
needs of a workspace (`layout`) and its log densities in blocks.pxd; its sums in accumulation.pxd; its formulae at the
head of kernels.pyx, and its name at the end of this file and in kernels.pyi; where it serves rows with gaps,
patterns.pxd, pattern_blocks.pxd and pattern_rows.pxd too.
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
            f"FASTGMM_SIMD={name[:20]!r} {why}. Available here: {', '.join(available)}. "
            "Set FASTGMM_SIMD to one of these, or unset it to take the fastest."
        )
    return importlib.import_module(f"{__name__}._{name}")


VARIANT = os.environ.get("FASTGMM_SIMD", "").strip() or variants_available()[0]
CHOSEN = load(VARIANT)
DENSE: bool = os.environ.get("FASTGMM_DENSE", "").strip() == "1"

# The kinds of geometry, the same in every variant.
TRIANGULAR: int = CHOSEN.TRIANGULAR
DIAGONAL: int = CHOSEN.DIAGONAL
COMMON_FRAME: int = CHOSEN.COMMON_FRAME
COMMON_SHAPE: int = CHOSEN.COMMON_SHAPE
COMMON_AXES: int = CHOSEN.COMMON_AXES
