"""Armadillo, a C++ library of headers: compiled on the spot where these are found."""

from __future__ import annotations

import ctypes
import math
import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..problems import Array
from .peer import Fitted, Job, Peer, Unavailable

FLAGS = ("-O3", "-march=native", "-fopenmp", "-DARMA_NO_DEBUG", "-std=c++17", "-shared", "-fPIC")
LINKS = (("-larmadillo",), ("-DARMA_DONT_USE_WRAPPER", "-llapack", "-lblas"))  # the wrapper, or without it


class Library(Peer):
    """`gmm_full` and `gmm_diag` in double precision."""

    def __init__(self, folder: str) -> None:
        self.compiler = shlex.split(os.environ.get("CXX", "g++"))
        self.library = ctypes.CDLL(self.compiled(Path(folder) / "armadillo.so"))
        self.library.version.restype = ctypes.c_char_p
        for name in ("learn_full", "learn_diag"):
            getattr(self.library, name).restype = ctypes.c_bool
        for name in ("score_full", "score_diag"):
            getattr(self.library, name).restype = ctypes.c_double

    def compiled(self, target: Path) -> str:
        """Path of the shared object; raises `Unavailable` with the compiler's first complaint."""
        complaint = ""
        for links in LINKS:
            command = [*self.compiler, *FLAGS, str(Path(__file__).with_suffix(".cpp")), "-o", str(target), *links]
            try:
                done = subprocess.run(command, capture_output=True, text=True)
            except OSError as error:
                raise Unavailable(f"no C++ compiler: {error}") from None
            if done.returncode == 0:
                return str(target)
            complaint = complaint or next((line for line in done.stderr.splitlines() if "error" in line), "")
        raise Unavailable(
            f"{' '.join(self.compiler)}: {complaint.strip()} (headers: libarmadillo-dev, armadillo-devel)"
        )

    def about(self) -> dict[str, Any]:
        """Version and compiler."""
        told = subprocess.run([*self.compiler, "--version"], capture_output=True, text=True).stdout
        return {
            "version": self.library.version().decode(),
            "compiler": told.splitlines()[0] if told else "unknown",
            "flags": " ".join(FLAGS),
        }

    def fit(self, X: Array, job: Job, n_iterations: int, want_bound: bool) -> Fitted:
        """Fit; for the bound the last iteration is a call of its own, and the likelihood is asked before it."""
        model = Model(self.library, X, job)
        seconds, bound = 0.0, math.nan
        if want_bound:
            seconds += model.learn(n_iterations - 1)
            bound = model.score()
            n_iterations = 1
        seconds += model.learn(n_iterations)
        return Fitted(seconds, bound, model.weights, model.means, model.covariances)


class Model:
    """Parameters on their way through Armadillo."""

    def __init__(self, library: ctypes.CDLL, X: Array, job: Job) -> None:
        self.library, self.job, self.X = library, job, X
        self.weights, self.means = job.start.weights.copy(), job.start.means.copy()
        self.covariances = job.start.covariances(job.structure)

    def learn(self, n_iterations: int) -> float:
        """EM from where the model stands; seconds taken."""
        begin = time.perf_counter()
        good = self.call("learn", n_iterations, self.job.threads)
        seconds = time.perf_counter() - begin
        if not good:
            raise RuntimeError("Armadillo's learn() failed")
        return seconds

    def score(self) -> float:
        """Mean log-likelihood."""
        return float(self.call("score"))

    def call(self, verb: str, *more: int) -> Any:
        """Call the C function of this verb and structure."""
        function = getattr(self.library, f"{verb}_{self.job.structure}")
        sizes = (*self.X.shape, len(self.weights), *more)
        arrays = (self.weights, self.means, self.covariances)
        return function(
            address(self.X), *(ctypes.c_int64(size) for size in sizes), *(address(array) for array in arrays)
        )


def address(array: Array) -> ctypes.c_void_p:
    """Where an array of doubles in C order begins."""
    if array.dtype != np.float64 or not array.flags.c_contiguous:
        raise TypeError(f"expected float64 in C order, got {array.dtype}")
    return ctypes.c_void_p(array.ctypes.data)
