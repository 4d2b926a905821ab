"""What a fitted mixture is, as text for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.structures import STRUCTURES
from ..text import Text, aligned, counted, places, quoted, shortened
from .attributes import fitted_attributes, names_of, standard_deviations
from .base import BaseMixture, fitted
from .protocol import changed

__all__ = [
    "Summary",
    "began",
    "component_table",
    "correlation_table",
    "heading",
    "stopped",
    "summarized",
]

ARGUMENTS = {"max_iter": "max_iter", "max_time": "max_time"}  # that allow for more iterations, by their names
MAX_WIDTH, MAX_COLUMNS, MAX_COMPONENTS = 100, 12, 50  # of the printed table
MAX_CORRELATED, MAX_CORRELATED_COMPONENTS = 6, 6  # features and components of the table of correlations
HEADED = ("n_components", "covariance_type", "tol")  # arguments that a summary tells elsewhere


class Summary(BaseMixture):
    """summary: the mixture as text."""

    def summary(self) -> str:
        """Return what was fitted, as text: how the fit ended, and weights, means and deviations of the components.

        ``fastgmm show`` prints the same of a mixture in a file.

        Returns
        -------
        text : str
            A prompt shows its lines as they are. Of large mixtures it has the first components and features.

        Raises
        ------
        NotFittedError
            If there are no parameters yet.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture(2, means_init=[[0], [9]], reg_covar=0).fit([[0.0], [1.0], [8.0], [9.0]]).summary()
        Gaussian mixture of 2 components, full covariance
        <BLANKLINE>
        features        1: x0
        parameters      5 free, float64
        stopped         converged after 3 iterations (tol 0.001)
        log-likelihood  -1.418939 per sample, in the last iteration
        options         means_init=[[0], [9]], reg_covar=0
        <BLANKLINE>
        means, with standard deviations in brackets
        component  weight             x0
                0  0.5000  0.500 (0.500)
                1  0.5000  8.500 (0.500)
        """
        fitted_attributes(self, vars(self), "weights_", "means_", "covariances_", "precisions_cholesky_")
        return Text(summarized(self, names_of(self), {}, ARGUMENTS))


def summarized(mixture: Any, names: Sequence[str], others: Mapping[str, str], called: Mapping[str, str]) -> str:
    """Return the summary of a mixture whose features have these names.

    Lines of other facts come first, and arguments are called as it is the habit where it is read.
    """
    reason = getattr(mixture, "stop_reason_", None)
    names = [shortened(name, len(name)) for name in names]  # each on one line
    facts = {
        **others,
        "features": f"{len(names)}: {', '.join(names[:MAX_COLUMNS])}{', ...' if len(names) > MAX_COLUMNS else ''}",
        "parameters": f"{fitted(mixture).n_parameters} free, {mixture.means_.dtype}",
        **began(mixture),
        "stopped": "made from parameters, not by a fit" if reason is None else stopped(mixture, called),
    }
    if hasattr(mixture, "elbo_"):
        facts["evidence"] = f"at least {mixture.elbo_:.6f}, its logarithm, of all rows together"
    elif reason is not None:
        facts["log-likelihood"] = f"{mixture.lower_bound_:.6f} per sample, in the last iteration"
    other = [f"{name}={quoted(value)}" for name, value in changed(mixture).items() if name not in HEADED]
    facts["options"] = ", ".join(other) or "those of default"
    lines = [heading(mixture), "", *(f"{name:14}  {fact}" for name, fact in facts.items())]
    lines += ["", "means, with standard deviations in brackets", component_table(mixture, names)]
    if correlated := correlation_table(mixture, names):
        lines += ["", "correlations", correlated]
    return "\n".join(lines)


def heading(mixture: Any) -> str:
    """Return what a mixture is, in one line."""
    noise = f", noise of weight {mixture.noise_weight_:.4f}" if hasattr(mixture, "noise_weight_") else ""
    components = counted(len(mixture.weights_), "component")
    return f"Gaussian mixture of {components}, {mixture.covariance_type} covariance{noise}"


def began(mixture: Any) -> dict[str, str]:
    """Return the fact of the samples on which the best fit began; none if it began with all rows."""
    records = getattr(mixture, "fits_", ())
    levels = next((one.levels for one in records if math.isclose(one.lower_bound, mixture.lower_bound_)), ())
    samples = ", ".join(f"{counted(rows, 'row')} ({counted(passes, 'iteration')})" for rows, passes in levels)
    return {"began": f"on {samples}"} if samples else {}


def stopped(mixture: Any, called: Mapping[str, str]) -> str:
    """Return why a fit ended, and which argument allows for more, by what it is called here."""
    ended = f"converged after {counted(mixture.n_iter_, 'iteration')} (tol {mixture.tol:g})"
    if mixture.converged_:
        return ended
    reason = mixture.stop_reason_
    remedy = f"allow more with {called[reason]}" if reason in called else f"stopped by {reason}"
    return f"NOT {ended}: {remedy}"


def correlation_table(mixture: Any, names: Sequence[str]) -> str:
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


def component_table(mixture: Any, names: Sequence[str], sizes: NDArray[np.int64] | None = None) -> str:
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
