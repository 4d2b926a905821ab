"""Reports on fitted mixtures, as text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..mixture.base import fitted
from ..mixture.notebook import standard_deviations
from ..model.structures import STRUCTURES
from ..sources.threads import default_n_threads
from ..text import aligned, counted, places
from .tables import Table

__all__ = [
    "adjusted_rand_index",
    "aligned",
    "comparison_report",
    "components_report",
    "correlations_report",
    "fit_report",
    "model_report",
    "standard_deviations",
]

STOPPED = {"max_iter": "allow more with --max-iter", "max_time": "allow more with --max-time"}
MAX_WIDTH, MAX_COLUMNS, MAX_COMPONENTS = 100, 12, 50  # of the printed table
MAX_CORRELATED, MAX_CORRELATED_COMPONENTS = 6, 6  # features and components of the table of correlations
HEADED = ("n_components", "covariance_type", "tol")  # options that a report tells elsewhere


def fit_report(mixture: Any, table: Table, sizes: NDArray[np.int64], source: str, seconds: float) -> str:
    """Return the report on a fitted mixture: data, why it stopped, likelihood, time, and the components."""
    rows, columns = table.values.shape
    n_threads = mixture.n_threads or default_n_threads()
    weight = "" if table.weights is None else f", of total weight {table.weights.sum():g}"
    return "\n".join(
        [
            heading(mixture),
            "",
            f"data            {source}: {counted(rows, 'row')}{weight}, {counted(columns, 'column')}",
            *began(mixture),
            f"stopped         {stopped(mixture)}",
            f"log-likelihood  {mixture.score(table.values, sample_weight=table.weights):.6f} per sample",
            f"BIC             {mixture.bic(table.values, table.weights):.2f} (lower is better)",
            f"time            {seconds:.3g} s ({kernels.VARIANT} kernels, {counted(n_threads, 'thread')})",
            "",
            *([f"noise           {counted(int(sizes[-1]), 'row')}", ""] if hasattr(mixture, "noise_weight_") else []),
            "means, with standard deviations in brackets",
            components_report(mixture, table.names, sizes),
        ]
    )


def model_report(mixture: Any, names: Sequence[str], source: str) -> str:
    """Return the report on a mixture that comes from a file."""
    reason = getattr(mixture, "stop_reason_", None)
    lines = [
        heading(mixture),
        "",
        f"file            {source}",
        f"features        {len(names)}: {', '.join(names[:MAX_COLUMNS])}{', ...' if len(names) > MAX_COLUMNS else ''}",
        f"parameters      {fitted(mixture).n_parameters} free, {mixture.means_.dtype}",
        *began(mixture),
        f"stopped         {'made from parameters, not by a fit' if reason is None else stopped(mixture)}",
    ]
    if hasattr(mixture, "elbo_"):
        lines.append(f"evidence        at least {mixture.elbo_:.6f}, its logarithm, of all rows together")
    elif reason is not None:
        lines.append(f"log-likelihood  {mixture.lower_bound_:.6f} per sample, in the last iteration")
    usual, asked = type(mixture)().get_params(), mixture.get_params()
    other = [f"{name}={asked[name]!r}" for name in usual if asked[name] != usual[name] and name not in HEADED]
    lines.append(f"options         {', '.join(other) or 'those of default'}")
    lines += ["", "means, with standard deviations in brackets", components_report(mixture, names)]
    if correlated := correlations_report(mixture, names):
        lines += ["", "correlations", correlated]
    return "\n".join(lines)


def heading(mixture: Any) -> str:
    """Return what a mixture is, in one line."""
    noise = f", noise of weight {mixture.noise_weight_:.4f}" if hasattr(mixture, "noise_weight_") else ""
    components = counted(len(mixture.weights_), "component")
    return f"Gaussian mixture of {components}, {mixture.covariance_type} covariance{noise}"


def began(mixture: Any) -> list[str]:
    """Return the line that tells of the samples on which the best fit began; none if it began with all rows."""
    records = getattr(mixture, "fits_", ())
    levels = next((one.levels for one in records if math.isclose(one.lower_bound, mixture.lower_bound_)), ())
    samples = ", ".join(f"{counted(rows, 'row')} ({counted(passes, 'iteration')})" for rows, passes in levels)
    return [f"began           on {samples}"] if samples else []


def stopped(mixture: Any) -> str:
    """Return why a fit ended."""
    ended = f"converged after {counted(mixture.n_iter_, 'iteration')} (tol {mixture.tol:g})"
    if mixture.converged_:
        return ended
    return f"NOT {ended}: {STOPPED.get(mixture.stop_reason_, f'stopped by {mixture.stop_reason_}')}"


def correlations_report(mixture: Any, names: Sequence[str]) -> str:
    """Return the correlation of each pair of features in each component; nothing where there are none, or too many."""
    n_components, n_features = mixture.means_.shape
    structure = STRUCTURES[mixture.covariance_type]
    if not structure.triangular or not 2 <= n_features <= MAX_CORRELATED:
        return ""
    covariances = structure.matrices(np.asarray(mixture.covariances_, dtype=np.float64))
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    correlations = (covariances / deviations[:, :, None] / deviations[:, None, :])[:MAX_CORRELATED_COMPONENTS]
    pairs = [(i, j) for j in range(n_features) for i in range(j)]
    titles = ["all"] if structure.shared else [str(k) for k in range(len(correlations))]
    columns = [["component", *(f"{names[i][:24]} ~ {names[j][:24]}" for i, j in pairs)]]
    columns += [
        [title, *(f"{own[pair]:z.2f}" for pair in pairs)] for title, own in zip(titles, correlations, strict=True)
    ]
    rest = 0 if structure.shared else n_components - len(correlations)
    return aligned(columns) + (f"\n\n... and {counted(rest, 'more component')}" if rest else "")


def components_report(mixture: Any, names: Sequence[str], sizes: NDArray[np.int64] | None = None) -> str:
    """Return the table of weights, means and standard deviations, cut to what a person reads."""
    means = np.asarray(mixture.means_, dtype=np.float64)
    deviations = standard_deviations(mixture)
    shown = range(min(len(means), MAX_COMPONENTS))
    fixed = [["component", *map(str, shown)], ["weight", *(f"{mixture.weights_[k]:.4f}" for k in shown)]]
    if sizes is not None:
        fixed.append(["rows", *(str(sizes[k]) for k in shown)])
    columns = []
    for d, name in enumerate(names[:MAX_COLUMNS]):
        digits = places(deviations[:, d].tolist(), means[:, d].tolist())
        columns.append([name[:24], *(f"{means[k, d]:{digits}} ({deviations[k, d]:{digits}})" for k in shown)])
    parts = []
    while columns:
        part = [*fixed, columns.pop(0)]
        while columns and sum(2 + max(map(len, column)) for column in [*part, columns[0]]) <= MAX_WIDTH:
            part.append(columns.pop(0))
        parts.append(aligned(part))
    if len(means) > MAX_COMPONENTS:
        parts.append(f"... and {counted(len(means) - MAX_COMPONENTS, 'more component')}")
    if len(names) > MAX_COLUMNS:
        parts.append(f"... and {counted(len(names) - MAX_COLUMNS, 'more column')}")
    return "\n\n".join(parts)


def comparison_report(
    labels: NDArray[np.int64], target: NDArray[np.int64], n_components: int, target_names: Sequence[str]
) -> str:
    """Return the counts of each class in each component, and the adjusted Rand index."""
    counts = np.zeros((n_components, len(target_names)), dtype=np.int64)
    np.add.at(counts, (labels, target), 1)
    first = ["component", *map(str, range(n_components))]
    columns = [[name, *map(str, counts[:, c])] for c, name in enumerate(target_names)]
    index = adjusted_rand_index(labels, target)
    return f"\nspecies in each component\n{aligned([first, *columns])}\nadjusted Rand index {index:.4f}"


def adjusted_rand_index(first: ArrayLike, second: ArrayLike) -> float:
    """Return the agreement of two partitions: 1 when equal, 0 on average by chance.

    L. Hubert and P. Arabie (1985), Comparing partitions, Journal of Classification 2, 193-218, equation 5.
    """
    i, j = (np.unique(np.asarray(labels), return_inverse=True)[1] for labels in (first, second))
    both, rows, columns = (
        sum(math.comb(n, 2) for n in Counter(cells).values())
        for cells in (zip(i.tolist(), j.tolist(), strict=True), i.tolist(), j.tolist())
    )
    pairs = math.comb(len(i), 2)
    if rows == columns == both:
        return 1.0  # the same partition; the quotient may be 0 / 0
    expected = rows * columns / pairs
    return (both - expected) / ((rows + columns) / 2 - expected)
