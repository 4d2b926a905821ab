"""Rows that come in chunks, again for each pass: files and stores larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .array import ArraySource
from .complete import CompleteSource
from .threads import Helpers, Workers, await_all

T = TypeVar("T")
R = TypeVar("R")


class Chunks:
    """Rows in chunks that can be read again and again, as EM does in each iteration.

    `from_chunks`, `from_array`, `from_parquet` and `from_csv` make one; ``fit``, ``predict``, ``score`` and their like
    take it in place of an array. Iterating over it yields the chunks.

    Parameters
    ----------
    open : callable
        Returns an iterator over chunks of rows: arrays or tables of shape (n, n_features), of any lengths.
    column_names : list of str, default=None
        Names of the features.
    dtype : data-type, default=None
        Type of all chunks if known.
    spool : bool, default=False
        Whether chunks are slow to read: they are then written to a temporary file in the first pass, in ``dtype``, and
        read from there.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm.sources import from_chunks
    >>> chunks = from_chunks([np.zeros((2, 3)), np.ones((4, 3))])
    >>> [len(chunk) for chunk in chunks]
    [2, 4]
    """

    def __init__(
        self,
        open: Callable[[], Iterator[Any]],
        column_names: list[str] | None = None,
        dtype: DTypeLike | None = None,
        spool: bool = False,
    ) -> None:
        self.open = open
        self.column_names = column_names
        self.dtype = None if dtype is None else np.dtype(dtype)
        self.spool = spool

    def __iter__(self) -> Iterator[Any]:
        """Read the chunks, from the first."""
        return self.open()

    def map(self, function: Callable[[Any], R]) -> Iterator[R]:
        """Yield ``function(chunk)`` for each chunk that has rows, the next one read meanwhile.

        Parameters
        ----------
        function : callable
            For instance the ``predict`` of a mixture.

        Yields
        ------
        object
            What the function returns.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> from fastgmm.sources import from_chunks
        >>> chunks = from_chunks([[[0.0], [1.0], [8.0]], [[9.0]]])
        >>> mixture = GaussianMixture(2, means_init=[[0], [9]]).fit(chunks)
        >>> list(chunks.map(mixture.predict))
        [array([0, 0, 1]), array([1])]
        """
        return (function(chunk) for chunk in ahead(self) if len(chunk))


class ChunkSource(CompleteSource):
    """Rows in chunks, cut again into the groups that the same rows would have in memory: so are all bits.

    The next chunk is read while the present one is worked on.
    """

    def __init__(
        self,
        chunks: Iterable[Any],
        shape: tuple[int, int],
        dtype: np.dtype,
        n_threads: int | Workers | None = None,
        kernels: ModuleType | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        self.chunks = chunks
        self.n_samples, self.n_features = shape
        self.dtype = dtype
        super().__init__(weights, n_threads, kernels)

    def read(self, groups: list[slice]) -> Iterator[np.ndarray]:
        n_read, held, parts = 0, 0, list[np.ndarray]()
        chunks = ahead(self._floats())
        for rows in groups:
            wanted = rows.stop - rows.start
            while held < wanted:
                chunk = next(chunks, None)
                if chunk is None:
                    raise self._changed(f"{n_read} rows")
                parts.append(chunk)
                held, n_read = held + len(chunk), n_read + len(chunk)
            rest = held - wanted
            last = parts[-1]
            parts[-1] = last[: len(last) - rest]
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)
            parts, held = [last[len(last) - rest :]], rest
        if held or any(len(chunk) for chunk in chunks):
            raise self._changed("more")

    def take(self, indices: np.ndarray | None) -> ArraySource:
        if indices is None:
            everything = next(self.read([slice(0, self.n_samples)]))
            return ArraySource(everything, self.workers, self.kernels, self.weights)
        order = np.argsort(indices, kind="stable")
        wanted, X = indices[order], np.empty((len(indices), self.n_features), self.dtype)
        start, done = 0, 0
        for chunk in ahead(self._floats()):
            upto = int(np.searchsorted(wanted, start + len(chunk)))
            X[order[done:upto]] = chunk[wanted[done:upto] - start]
            start, done = start + len(chunk), upto
            if done == len(wanted):
                return ArraySource(X, self.workers, self.kernels)
        raise self._changed(f"{start} rows")

    def _floats(self) -> Iterator[np.ndarray]:
        """The chunks as arrays of the common type."""
        for chunk in self.chunks:
            array = chunk.astype(self.dtype, copy=False)
            if array.ndim != 2 or array.shape[1] != self.n_features:
                raise self._changed(f"a chunk of shape {array.shape}")
            yield array

    def _changed(self, found: str) -> ValueError:
        """The error for chunks that are not what they were in the first pass."""
        return ValueError(
            f"The source changed between passes: the first gave {self.n_samples} rows of {self.n_features} features, "
            f"this one {found}. EM reads the rows once in each iteration: give a source that yields the same each time "
            "(a function that returns a new iterator, not one iterator again)."
        )


END: Any = object()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, the next one fetched by another thread while the present one is used."""
    iterator, reader = iter(items), Helpers("fastgmm-reader")
    try:
        coming = reader.submit(1, next, iterator, END)
        while coming is not None:
            await_all([coming])
            if (item := coming.result()) is END:
                return
            coming = reader.submit(1, next, iterator, END)
            yield item
    finally:
        reader.close()
    yield from iterator  # where no thread can be had
