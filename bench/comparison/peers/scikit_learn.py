"""scikit-learn: where users come from."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from .estimators import Estimator
from .peer import Unavailable


class Library(Estimator):
    """scikit-learn's GaussianMixture; threads are those of its BLAS, OpenMP (k-means) keeps all."""

    def __init__(self, folder: str) -> None:
        try:
            import sklearn
            import threadpoolctl
            from sklearn.mixture import GaussianMixture
        except ImportError as error:
            raise Unavailable(f"{error}; python3 -m pip install '.[bench]'") from None
        self.version, self.mixture, self.pools = sklearn.__version__, GaussianMixture, threadpoolctl

    def about(self) -> dict[str, Any]:
        """Version and thread pools, BLAS among them."""
        told = ("user_api", "internal_api", "version", "architecture", "threading_layer", "num_threads")
        pools = [{key: pool.get(key) for key in told} for pool in self.pools.threadpool_info()]
        return {"version": self.version, "thread_pools": pools}

    def model(self, n_components: int, threads: int, **arguments: Any) -> Any:
        """An unfitted mixture."""
        return self.mixture(n_components, **arguments)

    def limited(self, threads: int) -> AbstractContextManager[Any]:
        """BLAS with so many threads."""
        limits: AbstractContextManager[Any] = self.pools.threadpool_limits(threads, user_api="blas")
        return limits
