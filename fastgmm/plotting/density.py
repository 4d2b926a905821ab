"""The density of a mixture: contours over two features, curves over one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..text import quoted
from .histogram import draw_histogram
from .style import MAX_LEGEND, MAX_POINTS, Display, legend_beside
from .view import View, view

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID = 201  # points along each axis
DRAWS = 20_000  # from the mixture, of whose densities the levels are quantiles
MASSES = (0.5, 0.9, 0.99)  # of the regions drawn
SEED = 0  # of these draws: the same picture each time
SHADES = ("#deebf7", "#9ecae1", "#4292c6", "#2171b5", "#08519c", "#08306b")  # ColorBrewer's Blues, light to dark


class DensityDisplay(Display):
    """Regions of highest density that hold given parts of the mixture; with one feature, a histogram with curves.

    Attributes
    ----------
    levels_ : ndarray
        Densities at the borders of the regions, rising; None with one feature.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.datasets import load_faithful
    >>> from fastgmm.plotting import DensityDisplay
    >>> X = load_faithful().data
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> DensityDisplay.from_estimator(mixture, X, masses=[0.5, 0.9]).levels_.shape
    (2,)
    """

    levels_: NDArray[np.float64] | None = None

    def __init__(self, view: View, masses: Sequence[float] = MASSES) -> None:
        self.view = view
        self.masses = sorted(masses, reverse=True)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        features: Sequence[int] = (0, 1),
        masses: Sequence[float] = MASSES,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the density of a fitted mixture and the rows.

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture of any covariance type.
        X : array-like of shape (n_samples, n_features)
            The rows to draw as dots; beyond 20 000 rows every n-th is drawn.
        features : one or two ints, default=(0, 1)
            Columns whose marginal density is drawn; of two columns without that of noise.
        masses : sequence of up to six floats between 0 and 1, default=(0.5, 0.9, 0.99)
            Probabilities that the regions hold.
        feature_names : sequence of n_features str, default=None
            Axis labels. None takes them from the estimator or the data frame where they have them.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a new figure, which pyplot does not know of.

        Returns
        -------
        DensityDisplay

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When the arguments do not fit together.

        References
        ----------
        R. J. Hyndman. Computing and graphing highest density regions. The American Statistician 50(2), 1996.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> from fastgmm.datasets import load_faithful
        >>> from fastgmm.plotting import DensityDisplay
        >>> faithful = load_faithful()
        >>> mixture = GaussianMixture(2, random_state=0).fit(faithful.data)
        >>> display = DensityDisplay.from_estimator(mixture, faithful.data, feature_names=faithful.feature_names)
        >>> display.ax_.get_ylabel()
        'waiting'
        """
        try:
            known = [float(mass) for mass in masses]
        except (TypeError, ValueError):
            known = []
        if not 0 < len(set(known)) == len(known) <= len(SHADES) or not all(0 < mass < 1 for mass in known):
            raise ValueError(
                f"masses={quoted(masses)}: give up to {len(SHADES)} different probabilities between 0 and 1."
            )
        return cls(view(estimator, X, features, feature_names, 2), known).plot(ax)

    def _draw(self, ax: Axes) -> None:
        ax.set_xlabel(self.view.names[0])
        if len(self.view.names) == 1:
            draw_histogram(ax, self.view)
            ax.set_ylabel("density")
            if len(self.view.means) <= MAX_LEGEND:
                legend_beside(ax, "weight")
            return
        ax.set_ylabel(self.view.names[1])
        self._draw_regions(ax)
        points = self.view.rows[:: -(-len(self.view.rows) // MAX_POINTS) or 1]
        size = float(np.clip(3.0 * (300.0 / max(len(points), 1)) ** 0.25, 1.0, 3.0))
        ax.plot(*points.T, linestyle="none", marker="o", markersize=size, color="black", markeredgewidth=0.0, alpha=0.6)

    def _draw_regions(self, ax: Axes) -> None:
        """Shade the regions and draw their borders."""
        from matplotlib.patches import Patch

        drawn = _draws(self.view)
        densities = self.view.densities(drawn).sum(axis=0)
        self.levels_ = levels = np.quantile(densities, [1 - mass for mass in self.masses])
        inside = drawn[densities >= levels[0]]
        shown = np.concatenate([inside, self.view.rows])
        low, high = shown.min(axis=0), shown.max(axis=0)
        margin = 0.04 * (high - low)
        x, y = np.linspace(low - margin, high + margin, GRID).T
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        z = self.view.densities(points).sum(axis=0).reshape(GRID, GRID)
        shades = SHADES[: len(levels)]
        ax.contourf(x, y, z, levels=[*levels, max(np.inf, z.max())], colors=shades)
        ax.contour(x, y, z, levels=levels, colors="#08306b", linewidths=0.8)
        handles = [Patch(facecolor=shade, edgecolor="#08306b") for shade in reversed(shades)]
        ax.legend(
            handles,
            [f"{100 * mass:.4g} %" for mass in reversed(self.masses)],
            title="probability" if self.view.noise is None else "of no noise",
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            fontsize=9,
            title_fontsize=9,
        )


def _draws(view: View) -> NDArray[np.float64]:
    """Return draws from the mixture, from each component in proportion to its weight."""
    rng = np.random.default_rng(SEED)
    counts = rng.multinomial(DRAWS, view.weights / view.weights.sum())
    factors = np.linalg.cholesky(view.covariances)
    parts = [
        mean + rng.standard_normal((count, len(mean))) @ factor.T
        for mean, factor, count in zip(view.means, factors, counts, strict=True)
    ]
    return np.concatenate(parts)
