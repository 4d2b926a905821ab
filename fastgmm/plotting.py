"""Pictures of a fitted mixture; matplotlib is imported only when one is drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["ComponentsDisplay", "plot_components"]

# Okabe and Ito's palette without its yellow, which is too faint for lines on white. Seven colors and ten markers
# have no common divisor, so 70 components get different pairs.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", "*", ">")
DASHES = ("-", "--", "-.", ":")

MAX_POINTS = 20_000  # more points than this take seconds and hide each other
MAX_LEGEND = 14  # a longer legend does not fit beside the axes
DEVIATIONS = (1.0, 2.0)  # the ellipses drawn, in standard deviations


@dataclass(frozen=True, eq=False)
class ComponentsDisplay:
    """The picture drawn by :func:`plot_components`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
        Write it to a file with ``figure_.savefig("picture.png")``.
    """

    ax_: Axes
    figure_: Figure | SubFigure

    def _repr_png_(self) -> bytes:
        """Return the picture for a notebook, which asks by this name."""
        png = io.BytesIO()
        self.ax_.get_figure(root=True).savefig(png, format="png")  # type: ignore[union-attr]
        return png.getvalue()


def plot_components(
    estimator: Any,
    X: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    features: Sequence[int] = (0, 1),
    feature_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> ComponentsDisplay:
    """Draw rows colored by component, with each component's ellipses at 1 and 2 standard deviations.

    With one feature, draw a histogram with the density of each component and of the mixture instead. With more than
    two features the picture shows two of them: the ellipses are those of the marginal distributions, the labels come
    from all features.

    Parameters
    ----------
    estimator : GaussianMixture
        A fitted mixture of any covariance type.
    X : array-like of shape (n_samples, n_features)
        The rows to draw; beyond 20 000 rows every n-th is drawn.
    labels : array-like of shape (n_samples,), default=None
        Component of each row; ``estimator.predict(X)`` when None. Not used with one feature.
    features : one or two ints, default=(0, 1)
        Columns to draw; one makes a histogram. X of a single column is always drawn as a histogram.
    feature_names : sequence of n_features str, default=None
        Axis labels. None takes them from the estimator or the data frame where they have them.
    ax : matplotlib.axes.Axes, default=None
        Where to draw. None makes a new figure, which pyplot does not know of.

    Returns
    -------
    ComponentsDisplay
        With attributes ``ax_`` and ``figure_``.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        When the shapes of the arguments do not fit together.

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.datasets import load_faithful
    >>> from fastgmm.plotting import plot_components
    >>> faithful = load_faithful()
    >>> mixture = GaussianMixture(2, random_state=0).fit(faithful.data)
    >>> display = plot_components(mixture, faithful.data, feature_names=faithful.feature_names)
    >>> display.ax_.get_xlabel()
    'eruptions'
    """
    if ax is None:
        ax = _new_axes()
    rows = np.asarray(X)
    if rows.ndim != 2:
        raise ValueError(f"X has shape {rows.shape}; a picture needs rows and columns: (n_samples, n_features).")
    columns = _checked_features(features, rows.shape[1])
    names = _names(estimator, X, feature_names, rows.shape[1])
    if not hasattr(estimator, "means_"):
        estimator.predict(X)  # raises the estimator's own NotFittedError
    if estimator.means_.shape[1] != rows.shape[1]:
        raise ValueError(f"X has {rows.shape[1]} columns, but the mixture was fitted to {estimator.means_.shape[1]}.")
    if len(columns) == 1:
        _draw_histogram(ax, estimator, rows[:, columns[0]].astype(np.float64), columns[0])
    else:
        known = _checked_labels(estimator.predict(X) if labels is None else labels, estimator, len(rows))
        step = -(-len(rows) // MAX_POINTS) or 1
        _draw_scatter(ax, estimator, rows[::step, columns].astype(np.float64), known[::step], columns)
    ax.set_xlabel(names[columns[0]])
    ax.set_ylabel("density" if len(columns) == 1 else names[columns[1]])
    return ComponentsDisplay(ax, ax.figure)


def marginal_covariances(estimator: Any, features: Sequence[int]) -> NDArray[np.float64]:
    """Return the covariances (K, F, F) of F features, whatever the covariance type of the mixture."""
    kept = np.asarray(features)
    covariances = np.asarray(estimator.covariances_, dtype=np.float64)
    n_components = len(estimator.means_)
    match estimator.covariance_type:
        case "full":
            return covariances[:, kept[:, None], kept]
        case "tied":
            return np.repeat(covariances[None, kept[:, None], kept], n_components, axis=0)
        case "diag":
            return covariances[:, kept, None] * np.eye(len(kept))
        case _:
            return covariances[:, None, None] * np.eye(len(kept))


def _new_axes() -> Axes:
    """Return the axes of a new figure of 500 by 400 pixels that pyplot does not manage."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'fastgmm[plot]'") from error
    ax: Axes = Figure(figsize=(5.0, 4.0), dpi=100, layout="constrained").subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _draw_scatter(
    ax: Axes, estimator: Any, points: NDArray[np.float64], labels: NDArray[np.intp], features: Sequence[int]
) -> None:
    """Draw the points (N, 2) of each component and its ellipses."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Polygon

    n_components = len(estimator.means_)
    size = float(np.clip(6.0 * (300.0 / max(len(points), 1)) ** 0.25, 2.0, 6.0))
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (0.0, 0.0)
    beyond = 0.3 * (high - low)  # the axes follow the ellipses this far, and cut off what is much wider than the data
    for k in range(n_components):
        ax.plot(
            *points[labels == k].T,
            linestyle="none",
            marker=MARKERS[k % len(MARKERS)],
            color=COLORS[k % len(COLORS)],
            markersize=size,
            markeredgecolor="white",
            markeredgewidth=0.08 * size,
            alpha=0.7,
            label=_legend_label(estimator, k),
        )
    turns = np.linspace(0.0, 2.0 * math.pi, 181)
    circle = np.column_stack([np.cos(turns), np.sin(turns)])
    for k, covariance in enumerate(marginal_covariances(estimator, features)):
        variances, axes = np.linalg.eigh(covariance)
        mean = estimator.means_[k, list(features)].astype(np.float64)
        unit = circle * np.sqrt(np.maximum(variances, 0.0)) @ axes.T
        for deviations in DEVIATIONS:
            # A polygon, because matplotlib clips its straight edges: a curve far wider than the axes takes hours.
            outline = Polygon(
                mean + deviations * unit,
                fill=False,
                edgecolor=[0.65 * channel for channel in to_rgb(COLORS[k % len(COLORS)])],  # stands out from points
                linewidth=2.0 / deviations,
                zorder=3,
            )
            ax.add_artist(outline)
        reach = max(DEVIATIONS) * np.sqrt(np.diagonal(covariance))
        _number(ax, k, mean)
        ax.update_datalim(np.clip([mean - reach, mean + reach], low - beyond, high + beyond))
    ax.margins(0.04)
    ax.autoscale_view()
    _legend(ax, n_components)


def _draw_histogram(ax: Axes, estimator: Any, values: NDArray[np.float64], feature: int) -> None:
    """Draw a histogram of the values (N,) with the densities of the components and of the mixture."""
    means = estimator.means_[:, feature].astype(np.float64)
    deviations = np.sqrt(marginal_covariances(estimator, [feature])[:, 0, 0])
    n_bins = int(np.clip(math.sqrt(len(values)), 10, 100))
    _, edges, _ = ax.hist(values, bins=n_bins, density=True, color="0.85", edgecolor="white", linewidth=0.5)
    near = (means[:, None] + deviations[:, None] * np.linspace(-4.0, 4.0, 81)).ravel()  # keeps narrow peaks whole
    x = np.sort(np.concatenate([np.linspace(edges[0], edges[-1], 400), near]))
    x = x[(x >= edges[0]) & (x <= edges[-1])]
    z = (x - means[:, None]) / deviations[:, None]
    densities = estimator.weights_[:, None] * np.exp(-0.5 * z * z) / (math.sqrt(2.0 * math.pi) * deviations[:, None])
    for k, density in enumerate(densities):
        style = DASHES[k % len(DASHES)]
        ax.plot(x, density, color=COLORS[k % len(COLORS)], linestyle=style, label=_legend_label(estimator, k))
    if len(means) > 1:
        ax.plot(x, densities.sum(axis=0), color="0.4", linewidth=1.0, zorder=1.5, label="sum")
    _legend(ax, len(means))


def _number(ax: Axes, k: int, mean: NDArray[np.float64]) -> None:
    """Write the component's number at its mean."""
    from matplotlib.patheffects import withStroke

    text = ax.text(mean[0], mean[1], str(k), ha="center", va="center", fontsize=11, fontweight="bold", clip_on=True)
    text.set_zorder(4)
    text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    text.set_in_layout(False)


def _legend(ax: Axes, n_components: int) -> None:
    """Put the components and their weights beside the axes, when that is few enough lines."""
    if n_components <= MAX_LEGEND:
        legend = ax.legend(
            title="weight",
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            fontsize=9,
            title_fontsize=9,
            handletextpad=0.4,
        )
        for handle in legend.get_lines():
            handle.set_markersize(6.0)


def _legend_label(estimator: Any, k: int) -> str:
    """Return the component's number and weight."""
    return f"{k}: {estimator.weights_[k]:.2f}"


def _checked_features(features: Sequence[int], n_features: int) -> list[int]:
    """Return the one or two columns to draw."""
    if n_features == 1:
        return [0]
    chosen = [int(feature) for feature in features]
    if len(chosen) not in (1, 2) or len(set(chosen)) != len(chosen):
        raise ValueError(f"features={tuple(features)}: name one column for a histogram, two for a scatter plot.")
    for feature in chosen:
        if not 0 <= feature < n_features:
            raise ValueError(f"features={tuple(features)}: X has columns 0 to {n_features - 1}.")
    return chosen


def _checked_labels(labels: ArrayLike, estimator: Any, n_samples: int) -> NDArray[np.intp]:
    """Return the labels as integers, one per row, each the number of a component."""
    known = np.asarray(labels)
    n_components = len(estimator.means_)
    if known.shape != (n_samples,):
        raise ValueError(f"labels has shape {known.shape}, but X has {n_samples} rows: give one label per row.")
    if not np.isin(known, np.arange(n_components)).all():
        strange = known[~np.isin(known, np.arange(n_components))][0]
        raise ValueError(f"labels holds {strange!s}, but the mixture has components 0 to {n_components - 1}.")
    return known.astype(np.intp)


def _names(estimator: Any, X: Any, feature_names: Sequence[str] | None, n_features: int) -> list[str]:
    """Return the name of each column: given, else the estimator's, else the data frame's, else its number."""
    found = feature_names if feature_names is not None else getattr(estimator, "feature_names_in_", None)
    found = found if found is not None else getattr(X, "columns", None)
    if found is None:
        return [f"feature {i}" for i in range(n_features)]
    if len(found) != n_features:
        raise ValueError(f"feature_names has {len(found)} names, but X has {n_features} columns.")
    return [str(name) for name in found]
