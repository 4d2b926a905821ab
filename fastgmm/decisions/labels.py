"""Checks of the labels of classes, and of what is given for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import DataConversionWarning, compatible, warn
from ..text import listed, quoted

__all__ = ["by_class", "check_kind", "checked_labels", "class_priors", "rows_by_class"]

ROUNDING = 1e-6  # of the sum of priors


def checked_labels(y: Any, n_samples: int, estimator: str) -> NDArray[Any]:
    """Return the labels of rows, one each."""
    if y is None:
        raise ValueError(
            f"{estimator} requires y to be passed, but the target y is None. Pass the class of each row of X."
        )
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples,), "
            "for example using ravel().",
            compatible(DataConversionWarning),
        )
        labels = labels.ravel()
    if labels.ndim != 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {quoted(labels.shape)} instead: give a label each."
        )
    if len(labels) != n_samples:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n_samples} rows, but y {len(labels)} "
            "labels. Pass one for each row."
        )
    _refuse_numbers(labels)
    return labels


def rows_by_class(labels: NDArray[Any], rows: NDArray[np.intp]) -> tuple[NDArray[Any], list[NDArray[np.intp]]]:
    """Return the classes among the labels of some rows, and which of these rows each has, in their order."""
    try:
        classes, codes, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
        return classes, np.split(rows[codes.argsort(kind="stable")], counts.cumsum()[:-1])
    except TypeError as error:
        raise TypeError(
            f"Labels of several kinds in y: {error}. Make all of them strings, or all of them numbers."
        ) from error


def _refuse_numbers(labels: NDArray[Any]) -> None:
    """Refuse labels that are missing, or are measured and not counted."""
    if labels.dtype.kind == "O":
        missing = [i for i, label in enumerate(labels) if label is None or _differs_from_itself(label)]
        if missing:
            raise ValueError(f"Input y contains NaN: row {missing[0]} has no label. Leave such rows out of X and y.")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            row = int(np.argmin(np.isfinite(labels)))
            what = "NaN" if np.isnan(labels[row]) else "infinity or a value too large for dtype('float64')"
            raise ValueError(f"Input y contains {what}.\nRow {row} has no label: leave such rows out of X and y.")
        fractions = labels[labels != np.floor(labels)]
        if len(fractions):
            raise ValueError(
                f"Unknown label type: continuous. y holds {fractions[0]}, which is no class: give whole numbers or "
                "strings, or take GaussianMixture.regress for a target that is measured."
            )
    if labels.dtype.kind not in "biufOUST":
        raise ValueError(f"Unknown label type: {labels.dtype}. Give whole numbers or strings.")


def _differs_from_itself(label: Any) -> bool:
    """Tell whether a label is NaN, NaT, or pandas' NA, of which even that cannot be told."""
    try:
        return bool(label != label)
    except TypeError:
        return True


def check_kind(labels: NDArray[Any], classes: NDArray[Any]) -> None:
    """Refuse strings where classes are numbers, and the reverse: none would be right."""
    label, one = labels[0], classes[0]
    if isinstance(label, str) != isinstance(one, str):
        shown = quoted(labels[:1].tolist()[0]), quoted(classes[:1].tolist()[0])
        raise ValueError(f"y holds {shown[0]}, but classes are like {shown[1]}: make both of one kind.")


def by_class(name: str, given: Any, classes: NDArray[Any]) -> list[Any]:
    """Return what is given for each class: a mapping has it by label, a sequence in the order of the classes."""
    known = classes.tolist()
    given = given.to_dict() if hasattr(given, "to_dict") else given  # a pandas Series, in whatever order
    if isinstance(given, Mapping):
        lacking = [label for label in known if label not in given]
        strangers = given.keys() - {*known}
        unknown = [label for label in given if label in strangers]
        if lacking or unknown:
            problem = f"has nothing for class {quoted(lacking[0])}" if lacking else f"names {quoted(unknown[0])}"
            raise ValueError(f"{name} {problem}: give one for each of the classes {listed(map(repr, known))}.")
        return [given[label] for label in known]
    values = list(given)
    if len(values) != len(known):
        raise ValueError(
            f"{name} has {len(values)} values for {len(known)} classes: give one for each of "
            f"{listed(map(repr, known))}, in this order."
        )
    return values


def class_priors(given: Any, classes: NDArray[Any], counts: Sequence[float]) -> NDArray[np.float64]:
    """Return the prior of each class: the one given, or for None its share of the counts."""
    if given is None:
        return np.array(counts) / sum(counts)
    priors = np.asarray(by_class("priors", given, classes), dtype=np.float64)
    if not (priors >= 0).all() or abs(priors.sum() - 1) > ROUNDING:
        raise ValueError(
            f"priors are {quoted(priors.tolist())}, of sum {priors.sum():.6g}: give probabilities from 0 to 1 that sum "
            "to one, for instance counts divided by their sum."
        )
    return priors
