"""How many tables lie in what the caller gives: they are read in batches, and answers for their rows go back there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..sources.numbers import to_floats
from ..text import quoted

MOST_TABLES = 1 << 10  # of a batch
LEAST_TABLES = 1 << 4  # of a batch of one of several threads
MOST_NUMBERS = 1 << 17  # of a batch of more than one table

Array = np.ndarray


class Batch(NamedTuple):
    """Some tables one after the other."""

    tables: Any  # a sequence
    X: Array | None  # (N, D) rows of all, float32 or float64; None for a single table that cannot be had like this
    starts: Array  # (P + 1,) where each table starts in them

    @property
    def spans(self) -> Array:
        """Where each table starts and ends, (P, 2)."""
        return np.stack([self.starts[:-1], self.starts[1:]], axis=1)


class Layout(Protocol):
    """Where tables lie.

    Attributes
    ----------
    n_tables : int or None
        Their number, if it is known.
    columns : ndarray of str or None
        Names of the features, of rows in a data frame.
    X : array
        All rows, where they lie in an array: its type is that of the answers for them.
    names : ndarray or None
        What problems are called, where groups have labels.
    """

    n_tables: int | None
    names: Array | None
    columns: Array | None
    X: Any

    def batches(self, n_threads: int) -> Iterator[Batch]:
        """The tables, in order; some batches for each thread."""

    def parts(self, values: Any) -> Iterator[Any]:
        """Values of rows, such as weights, cut into those of each table; None for None."""

    @property
    def n_rows(self) -> int | None:
        """How many rows there are, where they lie in an array."""

    def gathered(self, parts: Sequence[tuple[Batch, Array]], values: Array | None) -> Any:
        """Values for all rows, or for those of each batch, in the form of what was given."""


def layout_of(X: Any, groups: Any = None) -> Layout:
    """How the tables lie: in a list or iterator, a stack, or rows with groups."""
    if hasattr(X, "get_group"):
        raise TypeError(
            "X is a groupby object: pass rows and their labels, fit_many(frame[columns], groups=frame[key])."
        )
    if hasattr(X, "tocsr"):
        raise TypeError(f"X is sparse, a {type(X).__name__}, which is not supported: pass X.toarray().")
    if isinstance(X, Mapping):
        raise TypeError(f"X is a {type(X).__name__}: pass its tables as a list, and keep their names yourself.")
    if groups is not None:
        return Groups(X, groups)
    ndim = getattr(X, "ndim", None)
    if ndim == 3:
        return Stack(X)
    if ndim is not None or isinstance(X, (str, bytes)) or not hasattr(X, "__iter__"):
        shape = f"of shape {np.shape(X)}" if ndim is not None else f"a {type(X).__name__}"
        raise ValueError(
            f"X is {shape}: many problems are a list of tables, an array (n_problems, n_samples, n_features), or rows "
            "with groups=. A matrix with a problem of one feature in each row is X[:, :, None], of an array (a data "
            "frame's is X.to_numpy()); a single table is [X]."
        )
    return Listed(X)


class Listed:
    """Tables in a list, or from an iterator, one after the other; of one axis, they have one feature."""

    names: Array | None = None
    columns: Array | None = None

    def __init__(self, X: Any) -> None:
        self.X = X
        self.n_tables: int | None = len(X) if hasattr(X, "__len__") else None

    def batches(self, n_threads: int) -> Iterator[Batch]:
        """Those of the same type and width together."""
        most = most_tables(self.n_tables, n_threads)
        tables, rows = list[Any](), list[Array]()
        numbers, kind = 0, None
        for table in self.X:
            own = as_rows(table)
            if own is not None and self.n_tables is None:
                own = own.copy()  # an iterator may use its memory again
            its = None if own is None else (own.dtype, own.shape[1])
            many = numbers + (0 if own is None else own.size) > MOST_NUMBERS or len(tables) == most
            if tables and (own is None or its != kind or many):
                yield together(tables, rows)
                tables, rows, numbers = [], [], 0
            if own is None:
                yield Batch([table], None, np.zeros(2, np.intp))
                continue
            tables.append(own)
            rows.append(own)
            numbers, kind = numbers + own.size, its
        if tables:
            yield together(tables, rows)

    def parts(self, values: Any) -> Iterator[Any]:
        """A list of as many arrays."""
        if values is None:
            return repeat(None)
        if not hasattr(values, "__iter__"):
            raise TypeError(f"{quoted(values)} is given for a list of tables: give a list of arrays, one for each.")
        if self.n_tables is not None and hasattr(values, "__len__") and len(values) != self.n_tables:
            raise ValueError(f"There are {len(values)} values for {self.n_tables} tables: give an array for each.")
        return iter(values)

    @property
    def n_rows(self) -> None:
        """There is no array."""
        return None

    def gathered(self, parts: Sequence[tuple[Batch, Array]], values: Array | None) -> list[Array]:
        """A list."""
        return [part for batch, own in parts for part in np.split(own, batch.starts[1:-1])]


def most_tables(n_tables: int | None, n_threads: int) -> int:
    """How many tables a batch may have: each thread is to have several."""
    if n_tables is None or n_threads == 1:
        return MOST_TABLES
    return max(LEAST_TABLES, min(MOST_TABLES, -(-n_tables // (4 * n_threads))))


def check_width(X: Array) -> None:
    """Refuse tables without features."""
    if X.shape[-1] == 0:
        raise ValueError(f"X has shape {X.shape}: its tables have no features.")


def check_aligned(X: Any, groups: Any) -> None:
    """Refuse labels of a pandas object whose index is another one than that of the rows."""
    of_rows: Any = getattr(X, "index", None)
    of_labels: Any = getattr(groups, "index", None)
    if hasattr(of_rows, "equals") and hasattr(of_labels, "equals") and not of_rows.equals(of_labels):
        raise ValueError(
            "groups has another index than X, so that it is not clear which row a label belongs to. Put both into the "
            "same order and index, or pass groups.to_numpy()."
        )


def check_labels(labels: Array) -> None:
    """Refuse labels that are missing, and what is none."""
    if labels.ndim != 1:
        raise ValueError(
            f"groups has {'no' if labels.ndim == 0 else labels.ndim} axes: give one label for each row (for two keys a "
            "pandas MultiIndex, or their texts joined), not the name of a column."
        )
    missing = labels != labels if labels.dtype.kind in "fmMO" else np.zeros(len(labels), bool)
    if labels.dtype.kind == "O":
        missing = missing | np.array([label is None for label in labels.tolist()], bool)
    if np.any(missing):
        row = int(np.argmax(missing))
        raise ValueError(f"groups holds {labels[row]} for row {row}: drop rows without a label, or give them one.")


def column_names(X: Any) -> Array | None:
    """The names of the columns of a data frame, if they are all text."""
    names = list(getattr(X, "columns", ()))
    return np.array(names, dtype=object) if names and all(isinstance(name, str) for name in names) else None


def as_rows(table: Any) -> Array | None:
    """A table as rows of floats; None for what is none, which fits refuse."""
    try:
        rows = to_floats(table, "X", allow_missing=True)
    except Exception:  # of objects of all kinds
        return None
    if rows.ndim == 1:
        rows = rows[:, None]
    return rows if rows.ndim == 2 and rows.size > 0 else None


def together(tables: Sequence[Any], rows: Sequence[Array]) -> Batch:
    """Tables of the same type and width."""
    starts = np.cumsum([0, *map(len, rows)])
    return Batch(tables, rows[0] if len(rows) == 1 else np.concatenate(rows), starts)


class Stack:
    """Tables of the same size, (P, N, D)."""

    names: Array | None = None
    columns: Array | None = None

    def __init__(self, X: Any) -> None:
        self.X = to_floats(X, "X", allow_missing=True)
        check_width(self.X)
        self.n_tables: int | None = len(self.X)

    def batches(self, n_threads: int) -> Iterator[Batch]:
        """Some along the first axis."""
        _, n_samples, n_features = self.X.shape
        most = most_tables(self.n_tables, n_threads)
        count = max(1, min(most, MOST_NUMBERS // max(1, n_samples * n_features)))
        for first in range(0, len(self.X), count):
            tables = self.X[first : first + count]
            rows = tables.reshape(-1, n_features)
            yield Batch(tables, rows, np.arange(len(tables) + 1) * n_samples)

    def parts(self, values: Any) -> Iterator[Any]:
        """Values of shape (P, N, ...), or (N,) for all alike."""
        if values is None:
            return repeat(None)
        array = np.ma.asanyarray(values)
        if array.shape == self.X.shape[1:2]:
            return repeat(array)
        if array.shape[:2] != self.X.shape[:2]:
            raise ValueError(
                f"There are values of shape {array.shape} for tables of shape {self.X.shape}: give them in the form of "
                "X, without its last axis."
            )
        return iter(array)

    @property
    def n_rows(self) -> int:
        """Those of all tables."""
        return self.X.shape[0] * self.X.shape[1]

    def gathered(self, parts: Sequence[tuple[Batch, Array]], values: Array | None) -> Array:
        """An array with the problems along its first axis."""
        assert values is not None
        return values.reshape(*self.X.shape[:2], *values.shape[1:])


class Groups:
    """Rows of a table that belong to groups: a label for each row, or where groups begin and end."""

    names: Array | None = None
    columns: Array | None = None

    def __init__(self, X: Any, groups: Any) -> None:
        check_aligned(X, groups)
        self.columns = column_names(X)
        X = to_floats(X, "X", allow_missing=True)
        self.X = X[:, None] if X.ndim == 1 else X
        if self.X.ndim != 2:
            raise ValueError(f"X has shape {X.shape}: with groups it is rows, of shape (n_samples, n_features).")
        check_width(self.X)
        if np.ma.getmaskarray(groups).any() if isinstance(groups, np.ma.MaskedArray) else False:
            raise ValueError("groups holds masked labels: drop rows without a label, or give them one.")
        labels, n_samples = np.asarray(groups), len(self.X)
        check_labels(labels)
        self.order: Array | None = None  # of rows, unless groups lie one after the other
        if labels.ndim == 1 and len(labels) == n_samples:
            try:
                self.names, inverse = np.unique(labels, return_inverse=True)
            except TypeError as error:
                raise TypeError(f"groups holds labels that cannot be sorted ({error}): make them all texts.") from None
            if (inverse[1:] < inverse[:-1]).any():
                self.order = np.argsort(inverse, kind="stable")
                inverse = inverse[self.order]
            self.starts = np.searchsorted(inverse, np.arange(len(self.names) + 1))
        else:
            ends = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer) and len(labels) > 1
            ends = ends and bool((labels <= n_samples).all())
            labels = labels.astype(np.intp) if ends else labels  # differences of unsigned numbers would wrap around
            if not (ends and labels[0] == 0 and labels[-1] == n_samples and (np.diff(labels) >= 0).all()):
                raise ValueError(
                    f"groups has shape {labels.shape} for {n_samples} rows: give a label for each row, or the "
                    f"n_problems + 1 offsets of groups that lie one after the other, from 0 to {n_samples}. Got "
                    f"{quoted(groups)}."
                )
            self.starts = labels
        self.n_tables: int | None = len(self.starts) - 1

    def batches(self, n_threads: int) -> Iterator[Batch]:
        """Some groups."""
        first, count, starts = 0, len(self.starts) - 1, self.starts
        most_groups = most_tables(self.n_tables, n_threads)
        while first < count:
            most = starts[first] + MOST_NUMBERS // self.X.shape[1]
            last = min(first + most_groups, max(first + 1, int(np.searchsorted(starts, most, side="right")) - 1), count)
            rows = self._rows(self.X, slice(starts[first], starts[last]))
            own = starts[first : last + 1] - starts[first]
            yield Batch([rows[a:b] for a, b in zip(own[:-1].tolist(), own[1:].tolist(), strict=True)], rows, own)
            first = last

    def _rows(self, values: Array, rows: slice) -> Array:
        """Values of rows in the order of groups."""
        return values[rows] if self.order is None else values[self.order[rows]]

    def parts(self, values: Any) -> Iterator[Any]:
        """Values of all rows, cut."""
        if values is None:
            yield from repeat(None)
        values = np.ma.asanyarray(values)
        if values.shape[:1] != self.X.shape[:1]:
            raise ValueError(f"There are {len(np.atleast_1d(values))} values for {len(self.X)} rows.")
        for start, stop in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            yield self._rows(values, slice(start, stop))

    @property
    def n_rows(self) -> int:
        """All of them."""
        return len(self.X)

    def gathered(self, parts: Sequence[tuple[Batch, Array]], values: Array | None) -> Array:
        """An array with a value for each row, where that stands."""
        assert values is not None
        if self.order is None:
            return values
        out = np.empty_like(values)
        out[self.order] = values
        return out
