"""Rows and components: two features as a scatter plot, one as a histogram, several as a matrix of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .histogram import draw_histogram
from .scatter import draw_scatter
from .style import MAX_LEGEND, Display, enlarge, legend_beside
from .view import View, checked_labels, view

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PAIRS = 6  # features in a matrix of pairs; more are not legible


class ComponentsDisplay(Display):
    """Rows colored by component, with each component's ellipses at 1 and 2 standard deviations; or a histogram.

    Made by :func:`plot_components` or `from_estimator`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
        Write it to a file with ``figure_.savefig("picture.png")``.

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.datasets import load_faithful
    >>> from fastgmm.plotting import ComponentsDisplay
    >>> X = load_faithful().data
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> display = ComponentsDisplay.from_estimator(mixture, X)
    >>> display.figure_.savefig("picture.png")  # doctest: +SKIP
    """

    def __init__(self, view: View, labels: NDArray[np.intp] | None) -> None:
        self.view, self.labels = view, labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        features: Sequence[int] = (0, 1),
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw a fitted mixture as :func:`plot_components` does.

        Parameters
        ----------
        estimator, X, labels, features, feature_names, ax
            As for :func:`plot_components`.

        Returns
        -------
        ComponentsDisplay

        Raises
        ------
        ImportError, ValueError
            As :func:`plot_components`.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> from fastgmm.plotting import ComponentsDisplay
        >>> X = [[0.0, 1.0], [1.0, 0.0], [8.0, 9.0], [9.0, 8.0]]
        >>> mixture = GaussianMixture(2, random_state=0).fit(X)
        >>> ComponentsDisplay.from_estimator(mixture, X).ax_.get_xlabel()
        'feature 0'
        """
        shown = view(estimator, X, features, feature_names, 2)
        known = checked_labels(labels, estimator, X) if len(shown.names) > 1 else None
        return cls(shown, known).plot(ax)

    def _draw(self, ax: Axes) -> None:
        if self.labels is None:
            draw_histogram(ax, self.view)
        else:
            draw_scatter(ax, self.view, self.labels)
        ax.set_xlabel(self.view.names[0])
        ax.set_ylabel("density" if self.labels is None else self.view.names[1])
        if len(self.view.means) <= MAX_LEGEND:
            legend_beside(ax, "weight")


class PairsDisplay(Display):
    """A matrix of pictures: each pair of features below the diagonal, the histogram of each feature on it.

    Attributes
    ----------
    axes_ : ndarray of shape (n_chosen, n_chosen) of matplotlib.axes.Axes or None
        The pictures; None above the diagonal.
    ax_ : matplotlib.axes.Axes
        The area that they share.
    figure_ : matplotlib.figure.Figure

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.datasets import load_faithful
    >>> from fastgmm.plotting import PairsDisplay
    >>> X = load_faithful().data
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> PairsDisplay.from_estimator(mixture, X).axes_.shape
    (2, 2)
    """

    axes_: NDArray[Any]
    size = (5.0, 5.0)

    def __init__(self, view: View, labels: NDArray[np.intp]) -> None:
        self.view, self.labels = view, labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        features: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw a fitted mixture of several features.

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture of any covariance type.
        X : array-like of shape (n_samples, n_features)
            The rows to draw; beyond 20 000 rows every n-th is drawn.
        labels : array-like of shape (n_samples,), default=None
            Component of each row; ``estimator.predict(X)`` when None.
        features : sequence of int, default=None
            Up to six columns; None takes the first ones.
        feature_names : sequence of n_features str, default=None
            Labels; None takes them from the estimator or the data frame where they have them.
        ax : matplotlib.axes.Axes, default=None
            Where to draw: its area is divided. None makes a new figure.

        Returns
        -------
        PairsDisplay

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When the shapes of the arguments do not fit together.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> from fastgmm.datasets import load_iris
        >>> from fastgmm.plotting import PairsDisplay
        >>> iris = load_iris()
        >>> mixture = GaussianMixture(3, random_state=0).fit(iris.data)
        >>> display = PairsDisplay.from_estimator(mixture, iris.data, feature_names=iris.feature_names)
        >>> display.axes_.shape
        (4, 4)
        """
        chosen = range(min(np.shape(X)[-1], MAX_PAIRS)) if features is None else features
        return cls(view(estimator, X, chosen, feature_names, MAX_PAIRS), checked_labels(labels, estimator, X)).plot(ax)

    def _draw(self, ax: Axes) -> None:
        n = len(self.view.names)
        frame = ax.get_subplotspec()
        if frame is None:
            raise ValueError("ax is no subplot, so that its area cannot be divided: make it by figure.subplots().")
        ax.set_axis_off()
        grid = frame.subgridspec(n, n)
        self.axes_ = np.full((n, n), None)
        for i in range(n):
            for j in range(i + 1):
                above = self.axes_[j, j] if i > j else None  # shares its features' range
                cell = self.axes_[i, j] = self.figure_.add_subplot(grid[i, j], sharex=above)
                if i == j:
                    draw_histogram(cell, self.view.part(i), linewidth=1.2)
                else:
                    draw_scatter(cell, self.view.part(j, i), self.labels, scale=0.6)
                self._trim(cell, i, j, n)
        handles, labels = self.axes_[-1, 0].get_legend_handles_labels() if n > 1 else ([], [])
        if n > 1 and len(labels) <= MAX_LEGEND:
            legend = ax.legend(
                handles, labels, title="weight", loc="upper right", frameon=False, fontsize=9, title_fontsize=9
            )
            legend.set_in_layout(False)
            enlarge(legend.get_lines())

    def _trim(self, cell: Axes, i: int, j: int, n: int) -> None:
        """Keep the labels at the left and the lower edge, and few ticks."""
        from matplotlib.ticker import MaxNLocator

        cell.spines[["top", "right"]].set_visible(False)
        cell.tick_params(labelsize=7, length=2, labelbottom=i == n - 1, labelleft=j == 0 and i > 0)
        cell.xaxis.set_major_locator(MaxNLocator(3))
        cell.yaxis.set_major_locator(MaxNLocator(3))
        if i == n - 1:
            cell.set_xlabel(self.view.names[j], fontsize=8)
        if j == 0 and i > 0:
            cell.set_ylabel(self.view.names[i], fontsize=8)
        if i == j:
            cell.set_yticks([])


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
    return ComponentsDisplay.from_estimator(
        estimator, X, labels=labels, features=features, feature_names=feature_names, ax=ax
    )
