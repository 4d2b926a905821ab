"""Curves: a criterion against the number of components, and the log-likelihood against the iterations of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..model.structures import STRUCTURES
from ..text import quoted
from .style import COLORS, DASHES, MAX_LEGEND, Display, color, marker
from .view import check_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIGHER = {  # is better
    "cv": "mean log-likelihood, rows left out",
    "elbo": "evidence lower bound",
    "log_likelihood": "log-likelihood",
}
LOWER = {"bic": "BIC", "aic": "AIC", "aicc": "AICc", "icl": "ICL"}  # is better
MANY_CURVES = 9  # beyond, the legend is smaller
USUAL, REACH = 0.6, 1.5  # the axis goes to so many times the distance of this quantile of all values from the best

LIKELIHOOD, EVIDENCE = "mean log-likelihood per row", "lower bound of all rows"  # what a fit raises

SETTLING = 10  # the axis leaves out the first of so many parts of a fit, which may rise from anywhere


ENDS = {"dropped": ("x", 5), "converged": ("o", 2), "not converged": ("^", 3)}  # of restarts: marker and color


ASKED = ["covariance_type", "equal_weights", "noise"]  # of each candidate


def named(kind: str, equal: bool, noise: bool) -> str:
    """Return the name of a curve."""
    return kind + ", equal weights" * equal + ", noise" * noise


class CriterionDisplay(Display):
    """A criterion against the number of components: a curve for each covariance structure, the best one ringed.

    What is much worse than the best is beyond the axis. Hollow markers off the curves are degenerate and spurious
    candidates.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    Examples
    --------
    >>> from fastgmm import select
    >>> from fastgmm.datasets import load_faithful
    >>> from fastgmm.plotting import CriterionDisplay
    >>> selection = select(load_faithful().data, range(1, 4), random_state=0)
    >>> CriterionDisplay.from_selection(selection).ax_.get_xlabel()
    'number of components'
    """

    def __init__(self, table: NDArray[Any], criterion: str, label: str = "", higher: bool = False) -> None:
        self.table, self.criterion = table, criterion
        self.label = label or HIGHER.get(criterion) or f"{LOWER[criterion]} (lower is better)"
        self.sign = -1 if higher or criterion in HIGHER else 1

    @classmethod
    def from_selection(cls, selection: Any, criterion: str | None = None, *, ax: Axes | None = None) -> Self:
        """Draw the table of a selection.

        Parameters
        ----------
        selection : Selection
            What ``fastgmm.select`` returns.
        criterion : {'bic', 'aic', 'aicc', 'icl', 'cv', 'elbo', 'log_likelihood'}, default=None
            Column of the table; None takes the one that the candidates were compared by.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a new figure, which pyplot does not know of.

        Returns
        -------
        CriterionDisplay

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When there is no such column, or nothing in it.

        Examples
        --------
        >>> from fastgmm import select
        >>> from fastgmm.plotting import CriterionDisplay
        >>> selection = select([[0.0], [1.0], [5.0], [6.0]], [1, 2], ["tied", "full"])
        >>> CriterionDisplay.from_selection(selection, "aic").ax_.get_ylabel()
        'AIC (lower is better)'
        """
        name = selection.criterion if criterion is None else criterion
        if name not in {**HIGHER, **LOWER}:
            raise ValueError(f"criterion={quoted(name)}: choose one of {', '.join([*LOWER, *HIGHER])}.")
        if not np.isfinite(selection.table_[name]).any():
            raise ValueError(f"The selection has no finite {name}. Select by criterion={name!r}.")
        return cls(selection.table_, name).plot(ax)

    def _draw(self, ax: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        table = np.sort(self.table[np.isfinite(self.table[self.criterion])], order="n_components")
        sign = self.sign
        costs = sign * table[self.criterion]
        doubtful = table["degenerate"] | table["spurious"]
        worst = costs[costs <= costs.min() + REACH * (np.quantile(costs, USUAL) - costs.min())].max()
        known = [*STRUCTURES, *table["covariance_type"].tolist()]
        kinds = sorted(set(table[ASKED].tolist()), key=lambda one: (known.index(one[0]), one[1:]))
        for i, (kind, equal, noise) in enumerate(kinds):
            own = table[ASKED] == np.array((kind, equal, noise), table[ASKED].dtype)
            if own.any():
                name = named(kind, equal, noise)
                label = name if costs[own].min() <= worst else f"{name} (beyond)"
                style: dict[str, Any] = {"color": color(i), "marker": marker(i), "markersize": 5}
                x, y, hollow = table["n_components"][own], table[self.criterion][own], doubtful[own]
                dashes = DASHES[i // len(COLORS) % len(DASHES)]
                ax.plot(x, np.where(hollow, np.nan, y), linestyle=dashes, linewidth=1.5, label=label, **style)
                ax.plot(x[hollow], y[hollow], linestyle="none", markerfacecolor="white", zorder=3, **style)
        if doubtful.any():
            label = " or ".join(name for name in ("degenerate", "spurious") if table[name].any())
            ax.plot([], [], linestyle="none", marker="o", color="0.4", markerfacecolor="white", label=label)
        self._ring(ax, table, costs, doubtful)
        margin = 0.06 * (worst - costs.min()) or 1.0
        ax.set_ylim(*sorted([sign * (costs.min() - margin), sign * (worst + margin)]))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set_xlabel("number of components")
        ax.set_ylabel(self.label)
        above: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "fontsize": 9, "ncols": 3}
        if len(kinds) > MAX_LEGEND:
            above = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "fontsize": 6}
        elif len(kinds) > MANY_CURVES:
            above |= {"fontsize": 8, "ncols": 5}
        ax.legend(frameon=False, **above)

    def _ring(self, ax: Axes, table: NDArray[Any], costs: NDArray[np.float64], doubtful: NDArray[np.bool_]) -> None:
        """Ring the best candidate: of the sound ones, where there are any."""
        best = table[np.lexsort((costs, doubtful))[0]]
        ax.plot(
            best["n_components"],
            best[self.criterion],
            linestyle="none",
            marker="o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor="black",
            markeredgewidth=1.5,
            label=f"best: {named(*best[ASKED].tolist())}, {best['n_components']}",
        )


class ConvergenceDisplay(Display):
    """The mean log-likelihood against the iterations of the best fit, and where the other restarts ended.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.datasets import load_faithful
    >>> from fastgmm.plotting import ConvergenceDisplay
    >>> X = load_faithful().data
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> ConvergenceDisplay.from_estimator(mixture).ax_.get_ylabel()
    'mean log-likelihood per row'
    """

    def __init__(self, bounds: NDArray[np.float64], records: list[Any], label: str = LIKELIHOOD) -> None:
        self.bounds, self.records, self.label = bounds, records, label

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Draw how a fit converged.

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a new figure, which pyplot does not know of.

        Returns
        -------
        ConvergenceDisplay

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When the fit had no iterations.
        NotFittedError
            When there was no fit.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> from fastgmm.datasets import load_faithful
        >>> from fastgmm.plotting import ConvergenceDisplay
        >>> mixture = GaussianMixture(3, n_init=5, random_state=0).fit(load_faithful().data)
        >>> ConvergenceDisplay.from_estimator(mixture).ax_.get_xlabel()
        'iteration'
        """
        check_fitted(estimator, [[0.0]])
        bounds = np.asarray(getattr(estimator, "lower_bounds_", []), dtype=np.float64)
        if not len(bounds):
            raise ValueError("The mixture has no iterations to draw: it was not fitted, or max_iter was 0.")
        label = EVIDENCE if hasattr(estimator, "elbo_") else LIKELIHOOD
        return cls(bounds, list(getattr(estimator, "fits_", [])), label).plot(ax)

    def _draw(self, ax: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        n_iter = np.arange(1, len(self.bounds) + 1)
        ax.plot(n_iter, self.bounds, color=color(0), marker="o", markersize=3.5, linewidth=1.5, label="best fit")
        others = [
            r for r in self.records if r.n_iter and (r.n_iter, r.lower_bound) != (len(self.bounds), self.bounds[-1])
        ]
        for name, (shape, number) in ENDS.items():
            ends = [(record.n_iter, record.lower_bound) for record in others if _end(record) == name]
            if ends:
                ax.plot(
                    *zip(*ends, strict=True),
                    linestyle="none",
                    marker=shape,
                    markersize=7,
                    markerfacecolor="none",
                    markeredgewidth=1.5,
                    color=color(number),
                    label=f"restart, {name}",
                )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("iteration")
        ax.set_ylabel(self.label)
        ax.ticklabel_format(axis="y", useOffset=False)
        shown = [*self.bounds[len(self.bounds) // SETTLING :], *(r.lower_bound for r in others)]
        margin = 0.05 * (max(shown) - min(shown)) or 1e-3
        ax.set_ylim(min(shown) - margin, max(shown) + margin)
        if others:
            ax.legend(loc="best", frameon=False, fontsize=9)


def _end(record: Any) -> str:
    """Return how a restart ended."""
    return "dropped" if record.dropped else "converged" if record.converged else "not converged"
