"""All libraries found, the threads they get, and the arrays they share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from . import peers
from .peers import SKLEARN, US
from .problems import Array
from .worker import Failed, Worker


class Setting(NamedTuple):
    """A library and the threads it may use; for scikit-learn those of its BLAS."""

    library: str
    threads: int

    def __str__(self) -> str:
        kind = "BLAS thread" if self.library == SKLEARN else "thread"
        return f"{self.library}, {self.threads} {kind}{'s' if self.threads > 1 else ''}"

    def settle(self) -> None:
        """Wait until the threads of the run before sleep: OpenBLAS's spin for some 30 ms first."""
        time.sleep(0.05 if self.library == SKLEARN and self.threads > 1 else 0.01)


class Team:
    """One worker for each library that is here."""

    def __init__(self, libraries: tuple[str, ...], folder: str, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.workers: dict[str, Worker] = {}
        self.absent: dict[str, str] = {}
        for library in libraries:
            try:
                self.workers[library] = self.hire(library)
            except peers.Unavailable as error:
                self.absent[library] = str(error)
        if US not in self.workers:
            raise SystemExit(f"fastgmm cannot be imported: {self.absent[US]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def hire(self, library: str) -> Worker:
        """Another process for a library."""
        return Worker(library, self.folder, self.threads)

    def settings(self, library: str) -> list[Setting]:
        """All threads and, except for Armadillo, one; none where the library is absent."""
        if library not in self.workers:
            return []
        counts = [self.threads] if library == "Armadillo" else sorted({1, self.threads}, reverse=True)
        return [Setting(library, count) for count in counts]

    def call(self, setting: Setting, method: str, *arguments: Any, **keywords: Any) -> Any:
        """The method of the setting's library, in its process."""
        try:
            return self.workers[setting.library].call(method, *arguments, **keywords)
        finally:
            setting.settle()

    def share(self, X: Array) -> str:
        """Path of a file with the rows, in place of those shared before."""
        for library, worker in list(self.workers.items()):
            try:
                worker.call("forget")
            except Failed as error:
                self.absent[library] = str(error)
                del self.workers[library]
        path = str(Path(self.folder) / "rows.npy")
        np.save(path, X)
        return path
