"""Starts from labels or responsibilities of the user, or from a function that returns one of these or means."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ...model.parameters import Parameters
from ...sources.complete import CompleteSource, Known
from ...text import quoted, shortened
from .kmeans import Random
from .methods import Goal, Start, from_centers, from_labels, from_responsibilities

BLOCK = 1 << 16  # numbers looked at together


def from_array(source: CompleteSource, goal: Goal, values: Any) -> Start:
    """Start from labels (N,) or responsibilities (N, K)."""
    parameters = parameters_from(source, goal, values, "init_params", means=False)
    return lambda _: parameters


def from_callable(source: CompleteSource, goal: Goal, function: Callable[..., Any], random_state: Random) -> Start:
    """Start from what a function makes of the rows, the number of components and the stream of random numbers."""
    if not source.in_memory:
        raise ValueError(
            "A callable init_params is called with all rows, but X does not lie in memory. Call it on some of the rows "
            "and pass the means it finds as means_init, or choose init_params='kmeans'."
        )
    rows = source.take(None).X.view()
    rows.flags.writeable = False
    values = function(rows, goal.n_components, random_state)
    parameters = parameters_from(source, goal, values, "The array returned by init_params", means=True)
    return lambda _: parameters


def parameters_from(source: CompleteSource, goal: Goal, values: Any, name: str, *, means: bool) -> Parameters:
    """The M-step from an array, told apart by its shape: (N,), (N, K), or (K, D) where means are allowed.

    Where N = K = D, what can be responsibilities is.
    """
    array = np.asarray(values)
    n, k, d = source.n_samples, goal.n_components, source.n_features
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} has dtype {shortened(array.dtype)}, which holds no numbers. Give labels or responsibilities."
        )
    if array.shape == (n,):
        return from_labels(source, goal, Known(checked_labels(array, k, name)))
    may_be_means = means and array.shape == (k, d)
    if array.shape == (n, k):
        row = impossible_row(array)
        if row is None:
            return from_responsibilities(source, goal, lambda rows: array[rows])
        if not may_be_means:
            refuse_responsibilities(array, row, name)
    if may_be_means:
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds means with NaN or infinity. Return finite ones.")
        return from_centers(source, goal, array.astype(np.float64))
    shapes = f"labels of shape ({n},), responsibilities of shape ({n}, {k})" + (
        f", or means of shape ({k}, {d})" if means else ""
    )
    raise ValueError(
        f"{name} has shape {quoted(array.shape)}, but must be {shapes}, for n_samples = {n}, n_components = {k} and "
        f"{d} features."
    )


def checked_labels(labels: np.ndarray, n_components: int, name: str) -> np.ndarray:
    """Labels as integers, each of them among the components."""
    wrong = ~((labels >= 0) & (labels < n_components) & (labels == np.floor(labels)))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{name} holds the label {labels[row]} for row {row}, but labels must be integers from 0 to "
            f"n_components - 1 = {n_components - 1}. Number the groups from 0, or raise n_components."
        )
    return labels.astype(np.int32)


def impossible_row(values: np.ndarray) -> int | None:
    """The first row of responsibilities that is negative, not finite, or does not sum to one."""
    tolerance = 1e-4 if values.dtype.itemsize <= 4 else 1e-6
    step = max(1, BLOCK // values.shape[1])
    for start in range(0, len(values), step):
        block = values[start : start + step]
        possible = ((block >= 0) & np.isfinite(block)).all(axis=1)
        wrong = ~possible | (abs(block.sum(axis=1, dtype=np.float64) - 1) > tolerance)
        if wrong.any():
            return start + int(wrong.argmax())
    return None


def refuse_responsibilities(values: np.ndarray, row: int, name: str) -> NoReturn:
    """Say what is wrong with the responsibilities of a row."""
    impossible = ~((values[row] >= 0) & np.isfinite(values[row]))
    if impossible.any():
        raise ValueError(
            f"{name} holds the responsibility {values[row, impossible.argmax()]} for row {row}, but responsibilities "
            "must be finite and not negative."
        )
    raise ValueError(
        f"{name} holds responsibilities for row {row} that sum to {values[row].sum(dtype=np.float64):.6g}, but must "
        "sum to 1. Divide each row by its sum."
    )
