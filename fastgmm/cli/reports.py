"""Reports on fitted mixtures, as text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..mixture.summary import began, component_table, heading, stopped, summarized
from ..sources.threads import default_n_threads
from ..text import aligned, counted
from .tables import Table

__all__ = [
    "adjusted_rand_index",
    "comparison_report",
    "fit_report",
    "model_report",
]

OPTIONS = {"max_iter": "--max-iter", "max_time": "--max-time"}  # of the command line, for arguments


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
            *(f"{name:14}  {fact}" for name, fact in began(mixture).items()),
            f"stopped         {stopped(mixture, OPTIONS)}",
            f"log-likelihood  {mixture.score(table.values, sample_weight=table.weights):.6f} per sample",
            f"BIC             {mixture.bic(table.values, table.weights):.2f} (lower is better)",
            f"time            {seconds:.3g} s ({kernels.VARIANT} kernels, {counted(n_threads, 'thread')})",
            "",
            *([f"noise           {counted(int(sizes[-1]), 'row')}", ""] if hasattr(mixture, "noise_weight_") else []),
            "means, with standard deviations in brackets",
            component_table(mixture, table.names, sizes),
        ]
    )


def model_report(mixture: Any, names: Sequence[str], source: str) -> str:
    """Return the report on a mixture that comes from a file."""
    return summarized(mixture, names, {"file": source}, OPTIONS)


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
