"""Many tables in one call: how they lie in what the caller gives, and how answers for their rows go back there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..text import quoted

Array = np.ndarray


class Layout(Protocol):
    """Where tables lie.

    Attributes
    ----------
    names : ndarray or None
        What problems are called, where groups have labels.
    """

    names: Array | None

    def tables(self) -> Iterator[Any]:
        """The tables, in order."""

    def parts(self, values: Any) -> Iterator[Any]:
        """Values of rows, such as weights, cut into those of each table; None for None."""

    def gathered(self, parts: Sequence[Array]) -> Any:
        """Values for the rows of each table, in the form of what was given."""


def layout_of(X: Any, groups: Any = None) -> Layout:
    """How the tables lie: in a list or iterator, a stack, or rows with groups."""
    if groups is not None:
        return Groups(X, groups)
    ndim = getattr(X, "ndim", None)
    if ndim == 3:
        return Stack(np.asarray(X))
    if ndim is not None or isinstance(X, (str, bytes)) or not hasattr(X, "__iter__"):
        shape = f"of shape {np.shape(X)}" if ndim is not None else f"a {type(X).__name__}"
        raise ValueError(
            f"X is {shape}: many problems are a list of tables, an array (n_problems, n_samples, n_features), or rows "
            "with groups=. A matrix with a problem of one feature in each row is X[:, :, None]; a single table is [X]."
        )
    return Listed(X)


class Listed:
    """Tables in a list, or from an iterator, one after the other; of one axis, they have one feature."""

    names: Array | None = None

    def __init__(self, X: Any) -> None:
        self.X = X

    def tables(self) -> Iterator[Any]:
        """Each as it is, or as a column."""
        for table in self.X:
            flat = getattr(table, "ndim", None) == 1 or (isinstance(table, (list, tuple)) and np.ndim(table) == 1)
            yield np.asarray(table).reshape(-1, 1) if flat else table

    def parts(self, values: Any) -> Iterator[Any]:
        """A list of as many arrays."""
        while values is None:
            yield None
        yield from values

    def gathered(self, parts: Sequence[Array]) -> list[Array]:
        """A list."""
        return list(parts)


class Stack:
    """Tables of the same size, (P, N, D)."""

    names: Array | None = None

    def __init__(self, X: Array) -> None:
        self.X = X

    def tables(self) -> Iterator[Array]:
        """Each along the first axis."""
        return iter(self.X)

    def parts(self, values: Any) -> Iterator[Any]:
        """Values of shape (P, N), or (N,) for all alike."""
        while values is None:
            yield None
        yield from np.broadcast_to(np.asarray(values), self.X.shape[:2])

    def gathered(self, parts: Sequence[Array]) -> Array:
        """An array with the problems along its first axis."""
        return np.stack(parts) if parts else np.empty((0, self.X.shape[1]))


class Groups:
    """Rows of a table that belong to groups: a label for each row, or where groups begin and end."""

    names: Array | None = None

    def __init__(self, X: Any, groups: Any) -> None:
        self.X = np.asarray(X)
        self.X = self.X[:, None] if self.X.ndim == 1 else self.X
        labels, n_samples = np.asarray(groups), len(self.X)
        if labels.ndim == 1 and len(labels) == n_samples:
            self.names, inverse = np.unique(labels, return_inverse=True)
            self.order = np.argsort(inverse, kind="stable")
            self.starts = np.searchsorted(inverse[self.order], np.arange(len(self.names) + 1))
            return
        ends = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer) and len(labels) > 1
        if not (ends and labels[0] == 0 and labels[-1] == n_samples and (np.diff(labels) >= 0).all()):
            raise ValueError(
                f"groups has shape {labels.shape} for {n_samples} rows: give a label for each row, or the n_problems + "
                f"1 offsets of groups that lie one after the other, from 0 to {n_samples}. Got {quoted(groups)}."
            )
        self.order, self.starts = np.arange(n_samples), labels.astype(np.intp)

    def tables(self) -> Iterator[Array]:
        """The rows of each group, in their order."""
        return self.parts(self.X)

    def parts(self, values: Any) -> Iterator[Any]:
        """Values of all rows, cut."""
        while values is None:
            yield None
        values = np.asarray(values)
        if len(values) != len(self.order):
            raise ValueError(f"There are {len(values)} values for {len(self.order)} rows.")
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield values[self.order[start:stop]]

    def gathered(self, parts: Sequence[Array]) -> Array:
        """An array with a value for each row, where that stands."""
        out = np.empty((len(self.order), *parts[0].shape[1:]), np.result_type(*parts)) if parts else np.empty(0)
        for start, stop, part in zip(self.starts[:-1], self.starts[1:], parts, strict=True):
            out[self.order[start:stop]] = part
        return out
