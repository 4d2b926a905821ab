"""The style of all pictures (colors, axes, legends), and the base class of displays."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend

# Okabe and Ito's palette without its yellow, which is too faint for lines on white. Seven colors and ten markers
# have no common divisor, so 70 components get different pairs.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", "*", ">")
DASHES = ("-", "--", "-.", ":")

MAX_POINTS = 20_000  # more points than this take seconds and hide each other
MAX_LEGEND = 14  # a longer legend does not fit beside the axes


class Display(ABC):
    """A picture: what is drawn, and once it is, where.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
        Write it to a file with ``figure_.savefig("picture.png")``.
    """

    ax_: Axes
    figure_: Figure | SubFigure
    size = (5.0, 4.0)  # inches of a new figure, of 100 pixels each

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the picture, once more or elsewhere.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a new figure, which pyplot does not know of.

        Returns
        -------
        self : object
            With attributes ``ax_`` and ``figure_``.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from fastgmm import GaussianMixture
        >>> from fastgmm.plotting import plot_components
        >>> display = plot_components(GaussianMixture().fit([[0.0], [1.0]]), [[0.0], [1.0]])
        >>> ax = Figure().subplots()
        >>> display.plot(ax).ax_ is ax
        True
        """
        self.ax_ = new_axes(self.size) if ax is None else ax
        self.figure_ = self.ax_.figure
        self._draw(self.ax_)
        return self

    @abstractmethod
    def _draw(self, ax: Axes) -> None:
        """Draw on these axes."""

    def _repr_png_(self) -> bytes:
        """Return the picture for a notebook, which asks by this name."""
        png = io.BytesIO()
        self.ax_.get_figure(root=True).savefig(png, format="png")  # type: ignore[union-attr]
        return png.getvalue()


def new_axes(size: tuple[float, float]) -> Axes:
    """Return the axes of a new figure, of 100 pixels per inch, that pyplot does not manage."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'fastgmm[plot]'") from error
    ax: Axes = Figure(figsize=size, dpi=100, layout="constrained").subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def color(k: int) -> str:
    """Return the color of component k."""
    return COLORS[k % len(COLORS)]


def marker(k: int) -> str:
    """Return the marker of component k."""
    return MARKERS[k % len(MARKERS)]


def dark(k: int) -> list[float]:
    """Return a darker color of component k, which stands out from its points."""
    from matplotlib.colors import to_rgb

    return [0.65 * channel for channel in to_rgb(color(k))]


def outlined(ax: Axes, x: float, y: float, text: str, size: float) -> None:
    """Write a short text in bold with a white rim, legible on anything."""
    from matplotlib.patheffects import withStroke

    written = ax.text(x, y, text, ha="center", va="center", fontsize=size, fontweight="bold", clip_on=True, zorder=4)
    written.set_path_effects([withStroke(linewidth=3, foreground="white")])
    written.set_in_layout(False)


def legend_beside(ax: Axes, title: str) -> Legend:
    """Put the legend to the right of the axes."""
    legend = ax.legend(
        title=title,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        handletextpad=0.4,
    )
    enlarge(legend.get_lines())
    return legend


def enlarge(handles: Iterable[Any]) -> None:
    """Give the markers of a legend a size that shows their color."""
    for handle in handles:
        handle.set_markersize(6.0)
