"""Names and types of the columns of tables: pandas, polars, Arrow, and whatever resembles one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import DatesError, warn
from ..text import listed, quoted, shortened

REFUSED = re.compile(r"complex|date|time|duration|period|month_|dictionary<values=(date|time|duration)", re.IGNORECASE)
SINGLE = re.compile(r"(sparse\[)?float(32)?\b", re.IGNORECASE)  # of the type of single precision, or exact in it:
WITHIN_SINGLE = re.compile(r"(sparse\[)?(float(32|16)?|halffloat|u?int(8|16)|bool(ean)?)\b", re.IGNORECASE)

LINES = 5  # of names that differ, of each kind


def column_names(X: Any) -> list[Any] | None:
    """Return the column names of a table; None for what has none."""
    refuse_lazy(X)
    names = getattr(X, "column_names", None)  # pyarrow, whose `columns` are the data
    if names is None:
        names = getattr(X, "columns", None)
    return None if names is None or callable(names) else list(names)


def column_types(X: Any) -> list[Any] | None:
    """Return the types of the columns of a table; None for what has none."""
    if type(X) is np.ndarray or getattr(X, "ndim", 2) != 2:
        return None
    types = getattr(getattr(X, "schema", None), "types", None)  # pyarrow
    if types is None:
        types = getattr(X, "dtypes", None)
    return None if types is None or callable(types) else list(types)


def refuse_lazy(X: Any) -> None:
    """Refuse a table that is no more than a plan."""
    if type(X).__name__ == "LazyFrame":
        raise TypeError("X is a LazyFrame, which holds a query and no rows. Pass the result: X.collect().")


def refuse_types(types: list[Any], X: Any, name: str) -> None:
    """Refuse columns of dates, times and durations, and of complex numbers."""
    refused = {kind for kind in set(types) if REFUSED.match(str(kind))}
    if not refused:
        return
    number = next(i for i, kind in enumerate(types) if kind in refused)
    where, what = f"column {column_label(X, number)} of {name}", str(types[number])
    raise complex_error(where, what) if what.startswith("complex") else date_error(where, what)


def date_error(where: str, what: str) -> DatesError:
    """Return the error for dates, times and durations, which every library stores in units of its own."""
    return DatesError(
        f"{where[0].upper()}{where[1:]} holds dates, times or durations ({shortened(what)}). Convert them to numbers "
        "in a unit of your choice, for instance days since a date, or drop the column."
    )


def complex_error(where: str, what: str) -> ValueError:
    """Return the error for complex numbers."""
    return ValueError(
        f"Complex data not supported: {where} has dtype {what}. Pass real numbers, for instance the real and the "
        "imaginary parts side by side."
    )


def column_label(X: Any, number: int) -> str:
    """Return how a column is called in messages: its name where it has one, else its number."""
    names = None if isinstance(X, np.ndarray) else column_names(X)
    return str(number) if names is None else quoted(names[number])


def is_single(types: list[Any]) -> bool:
    """Tell whether a table is of single precision: some column is, and no other needs more."""
    words = {str(kind) for kind in set(types)}
    return all(map(WITHIN_SINGLE.match, words)) and any(map(SINGLE.match, words))


# ---- names


def feature_names(X: Any) -> NDArray[np.object_] | None:
    """Return the column names of a table if they are all strings, else None.

    Raises
    ------
    TypeError
        If some names are strings and others are not.
    """
    names = None if type(X) is np.ndarray else column_names(X)
    if not names:
        return None
    types = sorted({type(name).__name__ for name in names})
    if types == ["str"]:
        return np.array(names, dtype=object)
    if "str" in types:
        raise TypeError(
            f"Feature names are only supported if all input features have string names, but X has [{listed(types)}] as "
            "column name types. Convert them all, for instance by X.columns = X.columns.astype(str)."
        )
    return None


class Names:
    """The names that the columns of all rows have in common: those of a fit, or of the first table that has some.

    Attributes
    ----------
    estimator : str
        Named in warnings.
    names : ndarray of str of shape (D,), or None
    fixed : bool
        Whether they are those of a fit, also where it had none.
    """

    def __init__(self, estimator: str, names: NDArray[np.object_] | None = None, fixed: bool = False) -> None:
        self.estimator, self.names, self.fixed = estimator, names, fixed
        self._warned = False

    def check(self, X: Any, where: str = "") -> None:
        """Compare the column names of ``X``: warn when one side has none, refuse when they differ."""
        if self.names is None and type(X) is np.ndarray:
            return
        names = feature_names(X)
        if names is None and self.names is None:
            return
        if self.names is None and not self.fixed:
            self.names = names
        elif self.names is None:
            self._warn(f"X has feature names, but {self.estimator} was fitted without feature names")
        elif names is None:
            self._warn(f"X does not have valid feature names, but {self.estimator} was fitted with feature names")
        elif list(names) != list(self.names):
            raise ValueError(where + _different_names(list(names), list(self.names)))

    def _warn(self, message: str) -> None:
        """Warn once."""
        if not self._warned:
            self._warned = True
            warn(message)


def _different_names(names: list[str], fitted: list[str]) -> str:
    """Say how the names of columns differ, a few of each kind."""
    message = "The feature names should match those that were passed during fit.\n"
    unseen, missing = (sorted(set(a) - set(b)) for a, b in ((names, fitted), (fitted, names)))
    message += _lines("Feature names unseen at fit time:\n", unseen)
    message += _lines("Feature names seen at fit time, yet now missing:\n", missing)
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    return message


def _lines(title: str, names: Iterable[str]) -> str:
    """Return a list of names under its title."""
    lines = [f"- {shortened(name, 25)}\n" for name in names]
    rest = "- ...\n" if len(lines) > LINES else ""
    return f"{title}{''.join(lines[:LINES])}{rest}" if lines else ""
