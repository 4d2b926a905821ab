"""Intel's oneDAL through daal4py, which today comes with scikit-learn-intelex."""

from __future__ import annotations

import time
from importlib import metadata
from typing import Any

import numpy as np

from ..problems import Array
from .peer import Fitted, Job, Peer, Unavailable

STORAGE = {"full": "full", "diag": "diagonal"}


class Library(Peer):
    """`daal4py.em_gmm` from an explicit start."""

    def __init__(self, folder: str) -> None:
        try:
            import daal4py
        except ImportError as error:
            raise Unavailable(f"{error}; it comes with scikit-learn-intelex (x86-64 only)") from None
        self.daal4py = daal4py

    def about(self) -> dict[str, Any]:
        """Versions of the interface and of the library."""
        return {"version": metadata.version("daal"), "scikit-learn-intelex": metadata.version("scikit-learn-intelex")}

    def fit(self, X: Array, job: Job, n_iterations: int, want_bound: bool) -> Fitted:
        """Fit; an accuracyThreshold of 0 stops only where the total log-likelihood no longer rises."""
        start, kind = job.start, X.dtype
        identity = start.covariances(job.structure).reshape(len(start.weights), -1, X.shape[1])
        self.daal4py.daalinit(job.threads)
        algorithm = self.daal4py.em_gmm(
            nComponents=len(start.weights),
            fptype="float" if kind == np.float32 else "double",
            maxIterations=n_iterations,
            accuracyThreshold=0.0,
            covarianceStorage=STORAGE[job.structure],
        )
        begin = time.perf_counter()
        result = algorithm.compute(X, start.weights[None], start.means, list(identity))
        seconds = time.perf_counter() - begin
        done = int(result.nIterations[0, 0])
        if done != n_iterations:
            raise RuntimeError(f"oneDAL stopped after {done} of {n_iterations} iterations")
        covariances = np.array([result.covariances[k] for k in range(len(start.weights))])
        if job.structure == "diag":
            covariances = covariances[:, 0]
        bound = float(result.goalFunction[0, 0]) / len(X)
        return Fitted(seconds, bound, result.weights[0], result.means, covariances)
