"""Rows in sizes that tell how uncertain their labels are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .scatter import draw_ellipses, labels_of, point_size, point_style
from .style import MAX_LEGEND, MAX_POINTS, Display, legend_beside
from .view import View, checked_labels, view

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTILES = (0.75, 0.95)  # of all uncertainties, at which points grow, as in mclust
LEVELS = ((0.6, 0.35), (1.1, 0.7), (1.9, 1.0))  # sizes and opacities


class UncertaintyDisplay(Display):
    """Rows colored by component, larger where their label is uncertain; with one feature, uncertainty over the rows.

    Of three sizes, the middle one begins at the 75 % quantile of all uncertainties, the largest at that of 95 %.

    Attributes
    ----------
    limits_ : ndarray of shape (2,)
        These quantiles.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.datasets import load_faithful
    >>> from fastgmm.plotting import UncertaintyDisplay
    >>> X = load_faithful().data
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> UncertaintyDisplay.from_estimator(mixture, X).limits_.shape
    (2,)
    """

    limits_: NDArray[np.float64]

    def __init__(self, view: View, labels: NDArray[np.intp], uncertainty: NDArray[Any]) -> None:
        self.view, self.labels, self.uncertainty = view, labels, uncertainty

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        features: Sequence[int] = (0, 1),
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw how uncertain the labels of rows are.

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture of any covariance type.
        X : array-like of shape (n_samples, n_features)
            The rows to draw; beyond 20 000 rows every n-th is drawn.
        features : one or two ints, default=(0, 1)
            Columns to draw. Labels and uncertainties come from all features.
        feature_names : sequence of n_features str, default=None
            Axis labels. None takes them from the estimator or the data frame where they have them.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a new figure, which pyplot does not know of.

        Returns
        -------
        UncertaintyDisplay

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When the shapes of the arguments do not fit together.

        References
        ----------
        C. Fraley, A. E. Raftery. Model-based clustering, discriminant analysis, and density estimation. Journal of the
        American Statistical Association 97, 2002.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> from fastgmm.datasets import load_faithful
        >>> from fastgmm.plotting import UncertaintyDisplay
        >>> X = load_faithful().data
        >>> mixture = GaussianMixture(2, random_state=0).fit(X)
        >>> UncertaintyDisplay.from_estimator(mixture, X, features=[1]).ax_.get_ylabel()
        'uncertainty'
        """
        shown = view(estimator, X, features, feature_names, 2)
        return cls(shown, checked_labels(None, estimator, X), np.asarray(estimator.uncertainty(X))).plot(ax)

    def _draw(self, ax: Axes) -> None:
        self.limits_ = np.quantile(self.uncertainty, QUANTILES)
        one = len(self.view.names) == 1
        step = -(-len(self.labels) // MAX_POINTS) or 1
        labels, uncertainty = self.labels[::step], self.uncertainty[::step]
        points = np.column_stack([self.view.rows, self.uncertainty])[::step, :2]
        size = point_size(len(points))
        levels = np.searchsorted(self.limits_, uncertainty)
        for level, (scale, alpha) in enumerate(LEVELS):  # the largest on top
            for k in labels_of(self.view):
                own = (labels == k) & (levels == level)
                label = "_" if level < len(QUANTILES) else self.view.legend_label(k)
                ax.plot(*points[own].T, **point_style(k, scale * size), alpha=alpha, label=label)
        words = (f"uncertainty to {self.limits_[0]:.2g}", f"to {self.limits_[1]:.2g}", "above")
        for (scale, alpha), label in zip(LEVELS, words, strict=True):
            ax.plot([], [], **point_style(0, scale * size) | {"color": "0.3"}, alpha=alpha, label=label)
        if not one:
            draw_ellipses(ax, self.view)
        ax.set_xlabel(self.view.names[0])
        ax.set_ylabel("uncertainty" if one else self.view.names[1])
        if len(self.view.means) <= MAX_LEGEND:
            sizes = legend_beside(ax, "weight").get_lines()[-len(LEVELS) :]
            for handle, (scale, _) in zip(sizes, LEVELS, strict=True):
                handle.set_markersize(scale * size)
