"""Version, instruction set, compiler and threads of this installation."""

import sys

import numpy as np

from . import kernels
from .kernels import cpu
from .sources.threads import default_n_threads

__version__: str = cpu.VERSION


def config() -> dict[str, str]:
    """Version, instruction-set variants, compiler and threads, by name."""
    return {
        "fastgmm": __version__,
        "variant": kernels.VARIANT,
        "variants available": ", ".join(kernels.variants_available()),
        "compiler": cpu.COMPILER,
        "threads": str(default_n_threads()),
        "numpy": np.__version__,
        "python": sys.version.split()[0],
    }


def show_config() -> None:
    """Print version, instruction-set variant in use and available, compiler and threads.

    The variant is chosen at import; the environment variable ``FASTGMM_SIMD`` (``base``, ``v3`` or ``v4``) forces one.
    ``FASTGMM_DENSE=1`` has pairs of rows and components worked out that are known to be below rounding, too.
    The number of threads is that of ``FASTGMM_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the processors this process
    may use.

    Examples
    --------
    >>> import fastgmm
    >>> fastgmm.show_config()  # doctest: +ELLIPSIS
    fastgmm             ...
    variant             ...
    """
    for name, value in config().items():
        print(f"{name:<20}{value}")
