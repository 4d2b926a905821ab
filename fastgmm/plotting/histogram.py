"""One feature: a histogram with the densities of the components and of the mixture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .style import DASHES, color
from .view import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_histogram(ax: Axes, view: View, linewidth: float = 1.5) -> None:
    """Draw a histogram of rows of one feature, of area one, and the curves."""
    values, deviations = view.rows[:, 0], np.sqrt(view.covariances[:, 0])
    n_bins = int(np.clip(math.sqrt(len(values)), 10, 100))
    _, edges, _ = ax.hist(values, bins=n_bins, density=True, color="0.85", edgecolor="white", linewidth=0.5)
    near = (view.means + deviations * np.linspace(-4.0, 4.0, 81)).ravel()  # keeps narrow peaks whole
    x = np.sort(np.concatenate([np.linspace(edges[0], edges[-1], 400), near]))
    x = x[(x >= edges[0]) & (x <= edges[-1])]
    densities = view.densities(x[:, None])
    for k, density in enumerate(densities):
        style = DASHES[k % len(DASHES)]
        ax.plot(x, density, color=color(k), linestyle=style, linewidth=linewidth, label=view.legend_label(k))
    noise = np.zeros(len(x)) if view.noise is None else np.full(len(x), view.noise[0])
    if view.noise is not None:
        ax.plot(x, noise, color="0.5", linestyle=":", linewidth=linewidth, label=view.legend_label(-1))
    if len(densities) > 1:
        total = densities.sum(axis=0) + noise
        ax.plot(x, total, color="0.4", linewidth=0.7 * linewidth, zorder=1.5, label="sum")
