"""Two features: rows in the color of their component, and the components as ellipses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .style import MAX_POINTS, color, dark, marker, outlined
from .view import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEVIATIONS = (1.0, 2.0)  # the ellipses drawn, in standard deviations


def draw_scatter(ax: Axes, view: View, labels: NDArray[np.intp], scale: float = 1.0) -> None:
    """Draw rows of two features, beyond a number every n-th only, and the ellipses; ``scale`` is of all sizes."""
    step = -(-len(view.rows) // MAX_POINTS) or 1
    points, labels = view.rows[::step], labels[::step]
    size = scale * point_size(len(points))
    for k in labels_of(view):
        ax.plot(*points[labels == k].T, **point_style(k, size), alpha=0.7, label=view.legend_label(k))
    draw_ellipses(ax, view, scale)


def labels_of(view: View) -> list[int]:
    """Return the labels that rows may have, of which -1 is noise."""
    return [*range(len(view.means)), *([] if view.noise is None else [-1])]


def point_size(n_points: int) -> float:
    """Return the size of a point: the more there are, the smaller."""
    return float(np.clip(6.0 * (300.0 / max(n_points, 1)) ** 0.25, 2.0, 6.0))


def point_style(k: int, size: float) -> dict[str, Any]:
    """Return how rows of a label are drawn: those of the noise as small gray crosses."""
    if k < 0:
        return {"linestyle": "none", "marker": "x", "color": "0.45", "markersize": 0.8 * size, "markeredgewidth": 0.9}
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.08 * size}
    return {"linestyle": "none", "marker": marker(k), "color": color(k), "markersize": size, **edge}


def draw_ellipses(ax: Axes, view: View, scale: float = 1.0) -> None:
    """Draw the components at some standard deviations, and their numbers."""
    from matplotlib.patches import Polygon

    low, high = (view.rows.min(axis=0), view.rows.max(axis=0)) if len(view.rows) else (0.0, 0.0)
    beyond = 0.3 * (high - low)  # the axes follow the ellipses this far, and cut off what is much wider than the data
    turns = np.linspace(0.0, 2.0 * math.pi, 181)
    circle = np.column_stack([np.cos(turns), np.sin(turns)])
    for k, (mean, covariance) in enumerate(zip(view.means, view.covariances, strict=True)):
        variances, axes = np.linalg.eigh(covariance)
        unit = circle * np.sqrt(np.maximum(variances, 0.0)) @ axes.T
        for deviations in DEVIATIONS:
            # A polygon, because matplotlib clips its straight edges: a curve far wider than the axes takes hours.
            outline = Polygon(
                mean + deviations * unit, fill=False, edgecolor=dark(k), linewidth=2.0 * scale / deviations, zorder=3
            )
            ax.add_artist(outline)
        reach = max(DEVIATIONS) * np.sqrt(np.diagonal(covariance))
        outlined(ax, mean[0], mean[1], str(view.first + k), 11 * scale)
        ax.update_datalim(np.clip([mean - reach, mean + reach], low - beyond, high + beyond))
    ax.margins(0.04)
    ax.autoscale_view()
