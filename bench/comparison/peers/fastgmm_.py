"""fastgmm, as installed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .estimators import Estimator
from .peer import Unavailable


class Library(Estimator):
    """fastgmm's GaussianMixture."""

    def __init__(self, folder: str) -> None:
        try:
            import fastgmm
            from fastgmm import kernels
        except ImportError as error:
            raise Unavailable(f"{error}; python3 -m pip install .") from None
        self.version, self.variant, self.mixture = fastgmm.__version__, kernels.VARIANT, fastgmm.GaussianMixture

    def about(self) -> dict[str, Any]:
        """Version and instruction set."""
        return {"version": self.version, "variant": self.variant}

    def model(self, n_components: int, threads: int, **arguments: Any) -> Any:
        """An unfitted mixture."""
        return self.mixture(n_components, n_threads=threads, **arguments)

    def limited(self, threads: int) -> AbstractContextManager[Any]:
        """Nothing: the mixture has its threads as an argument."""
        return nullcontext()
