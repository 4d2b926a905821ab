"""Arrays mapped from files: what has been read is let go, so that memory holds a few groups of rows, not the file."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

SHARED = ("r", "r+", "w+")  # modes of np.memmap whose pages the file can give back at any time
STRETCH_BYTES = 1 << 24  # of a file looked at before its pages are let go


class Mapping:
    """A file mapped into memory."""

    def __init__(self, file: mmap.mmap) -> None:
        self.file = file
        self.start = np.frombuffer(file, np.uint8).ctypes.data

    @classmethod
    def of(cls, X: np.ndarray) -> Mapping | None:
        """The mapping behind an array, where its pages may be let go without loss."""
        root: Any = X
        while isinstance(root.base, np.ndarray):
            root = root.base
        if root.base is None or not isinstance(root.base, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
            return None
        return cls(root.base) if getattr(root, "mode", None) in SHARED else None

    def release(self, X: np.ndarray) -> None:
        """Let go of the pages of some rows; whoever reads them again finds them in the file."""
        columnwise = X.strides[0] < X.strides[1]
        for part in X.T if columnwise else [X]:
            spans = [(n - 1) * stride for n, stride in zip(part.shape, part.strides, strict=True)]
            first = part.ctypes.data + sum(min(span, 0) for span in spans) - self.start
            end = part.ctypes.data + sum(max(span, 0) for span in spans) - self.start + part.itemsize
            page = first // mmap.PAGESIZE * mmap.PAGESIZE
            self.file.madvise(mmap.MADV_DONTNEED, page, end - page)

    def take(self, X: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Copy some rows, one stretch of the file after the other: each of them maps many around it."""
        order = np.argsort(indices, kind="stable")
        stretch = max(1, STRETCH_BYTES // max(1, X[:1].nbytes))
        ends = np.searchsorted(indices[order], np.arange(stretch, len(X) + stretch, stretch))
        taken, done = np.empty((len(indices), X.shape[1]), X.dtype), 0
        for number, end in enumerate(ends):
            if end > done:
                taken[order[done:end]] = X[indices[order[done:end]]]
                self.release(X[number * stretch : (number + 1) * stretch])
                done = end
        return taken
