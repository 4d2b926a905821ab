"""Density, pair, criterion and convergence plots show what was fitted or selected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import PNG
from reference import STRUCTURES

from fastgmm import GaussianMixture, NotFittedError, Selection, select
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.plotting import (
    COLORS,
    ComponentsDisplay,
    ConvergenceDisplay,
    CriterionDisplay,
    DensityDisplay,
    PairsDisplay,
    UncertaintyDisplay,
    plot_components,
)

pytest.importorskip("matplotlib")

from matplotlib.collections import PathCollection
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

IRIS, FAITHFUL = load_iris(), load_faithful()


@pytest.fixture(scope="module")
def mixture() -> GaussianMixture:
    """Three components on Old Faithful."""
    return GaussianMixture(3, tol=1e-2, random_state=0).fit(FAITHFUL.data)


@pytest.fixture(scope="module")
def selection() -> Selection:
    """All structures on iris, with degenerate candidates."""
    return select(IRIS.data, range(1, 10), n_init=1, random_state=0)


def legend(ax: Any) -> list[str]:
    """The texts of a legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


# Density -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
def test_density_regions_hold_their_mass(structure: str) -> None:
    """The levels are exceeded by the stated share of rows drawn from the mixture."""
    model = GaussianMixture(3, covariance_type=structure, random_state=7).fit(IRIS.data)
    display = DensityDisplay.from_estimator(model, IRIS.data, features=(2, 3), masses=(0.9, 0.5, 0.99))
    drawn = model.sample(20_000)[0]
    densities = display.view.densities(drawn[:, [2, 3]]).sum(axis=0)
    assert display.levels_ is not None and (np.diff(display.levels_) > 0).all()
    for level, mass in zip(display.levels_, (0.99, 0.9, 0.5), strict=True):
        assert (densities > level).mean() == pytest.approx(mass, abs=0.012)
    assert legend(display.ax_) == ["50 %", "90 %", "99 %"]


def test_contours_lie_on_density_levels(mixture: GaussianMixture) -> None:
    """The curves drawn have the density of their level, by the estimator's own account."""
    display = DensityDisplay.from_estimator(mixture, FAITHFUL.data, feature_names=FAITHFUL.feature_names)
    filled, borders = (artist for artist in display.ax_.get_children() if isinstance(artist, QuadContourSet))
    assert filled.filled and not borders.filled
    for level, path in zip(display.levels_, borders.get_paths(), strict=True):
        inner = path.vertices[np.any(path.vertices != 0, axis=1)]
        np.testing.assert_allclose(np.exp(mixture.score_samples(inner)), level, rtol=0.08)
    (dots,) = display.ax_.get_lines()
    np.testing.assert_array_equal(np.column_stack(dots.get_data()), FAITHFUL.data)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == FAITHFUL.feature_names


def test_axes_contain_density_regions(mixture: GaussianMixture) -> None:
    """No border is cut off by the axes."""
    display = DensityDisplay.from_estimator(mixture, FAITHFUL.data, masses=[0.99])
    (x_low, x_high), (y_low, y_high) = display.ax_.get_xlim(), display.ax_.get_ylim()
    corners = np.array([[x, y] for x in (x_low, x_high) for y in np.linspace(y_low, y_high, 50)])
    assert display.levels_ is not None
    assert (np.exp(mixture.score_samples(corners)) < display.levels_[0]).all()


def test_marginal_densities_integrate_to_weights() -> None:
    """Two of four features: on a fine grid each component adds up to its weight."""
    model = GaussianMixture(3, random_state=0).fit(IRIS.data)
    display = DensityDisplay.from_estimator(model, IRIS.data, features=(0, 3))
    x, y = np.linspace(0, 12, 400), np.linspace(-3, 6, 400)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    areas = display.view.densities(points).sum(axis=1) * (x[1] - x[0]) * (y[1] - y[0])
    np.testing.assert_allclose(areas, model.weights_, rtol=1e-4)


def test_one_feature_is_a_histogram(mixture: GaussianMixture) -> None:
    """One feature gives the histogram of plot_components."""
    ours = DensityDisplay.from_estimator(mixture, FAITHFUL.data, features=[1]).ax_
    other = plot_components(mixture, FAITHFUL.data, features=[1]).ax_
    assert len(ours.get_lines()) == len(other.get_lines()) == 4
    for a, b in zip(ours.get_lines(), other.get_lines(), strict=True):
        np.testing.assert_array_equal(a.get_data(), b.get_data())
    assert ours.get_ylabel() == "density"


def test_density_plot_is_deterministic(mixture: GaussianMixture) -> None:
    """Levels come from draws, but from the same each time."""
    first, second = (DensityDisplay.from_estimator(mixture, FAITHFUL.data) for _ in range(2))
    assert first._repr_png_() == second._repr_png_()


@pytest.mark.parametrize("masses", [[], [0.5, 0.5], [1.0], [0.0, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]])
def test_bad_masses(mixture: GaussianMixture, masses: list[float]) -> None:
    """Masses that are not one to six different probabilities are refused."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        DensityDisplay.from_estimator(mixture, FAITHFUL.data, masses=masses)


# Pairs ---------------------------------------------------------------------------------------------------------------


def test_pairs() -> None:
    """Below the diagonal stand the pairs with their rows and ellipses, on it the histograms, and nothing above."""
    model = GaussianMixture(3, random_state=0).fit(IRIS.data)
    labels = model.predict(IRIS.data)
    display = PairsDisplay.from_estimator(model, IRIS.data, feature_names=IRIS.feature_names)
    for i in range(4):
        for j in range(4):
            cell = display.axes_[i, j]
            if j > i:
                assert cell is None
                continue
            if i == j:
                assert sum(bar.get_width() * bar.get_height() for bar in cell.patches) == pytest.approx(1.0)
                assert len(cell.get_lines()) == 4
                continue
            for k, line in enumerate(cell.get_lines()):
                np.testing.assert_array_equal(np.column_stack(line.get_data()), IRIS.data[labels == k][:, [j, i]])
            ellipses = [artist for artist in cell.get_children() if isinstance(artist, Polygon)]
            assert len(ellipses) == 6
            outline = ellipses[0].get_xy() - model.means_[0, [j, i]]
            inverse = np.linalg.inv(model.covariances_[0][np.ix_([j, i], [j, i])])
            np.testing.assert_allclose(np.einsum("ni,ij,nj->n", outline, inverse, outline), 1.0, rtol=1e-9)
            assert cell.get_xlim() == display.axes_[j, j].get_xlim()
    assert [cell.get_xlabel() for cell in display.axes_[3]] == list(IRIS.feature_names)
    assert [cell.get_ylabel() for cell in display.axes_[1:, 0]] == list(IRIS.feature_names[1:])
    assert [text[:2] for text in legend(display.ax_)] == ["0:", "1:", "2:"]


def test_pairs_of_some_features() -> None:
    """Features come in the order asked for; in place of one subplot among others."""
    model = GaussianMixture(2, random_state=0).fit(IRIS.data)
    axes = Figure().subplots(1, 2)
    display = PairsDisplay.from_estimator(model, IRIS.data, features=[3, 0], ax=axes[1])
    assert display.axes_.shape == (2, 2) and display.figure_ is axes[1].figure
    assert display.axes_[1, 0].get_xlabel() == "feature 3"
    assert PairsDisplay.from_estimator(GaussianMixture().fit(FAITHFUL.data), FAITHFUL.data).axes_.shape == (2, 2)
    one = FAITHFUL.data[:, :1]
    assert PairsDisplay.from_estimator(GaussianMixture().fit(one), one).axes_.shape == (1, 1)


def test_bad_pairs() -> None:
    """Repeated features, and axes that cannot be divided, are refused."""
    model = GaussianMixture(2, random_state=0).fit(IRIS.data)
    with pytest.raises(ValueError, match="name 1 to 6 columns"):
        PairsDisplay.from_estimator(model, IRIS.data, features=[0, 0])
    with pytest.raises(ValueError, match="no subplot"):
        PairsDisplay.from_estimator(model, IRIS.data, ax=Figure().add_axes((0, 0, 1, 1)))


# Criteria ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl", "log_likelihood"])
def test_criterion_curves(selection: Selection, criterion: str) -> None:
    """A curve for each structure holds its column of the table; hollow markers are the degenerate candidates."""
    ax = selection.plot(criterion).ax_
    table = selection.table_
    curves = {line.get_label().split()[0]: line for line in ax.get_lines() if line.get_linestyle() == "-"}
    assert set(curves) == set(STRUCTURES)
    hollow = [line for line in ax.get_lines() if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    (points,) = (line.get_data() for line in hollow)
    degenerate = np.sort(table[table["degenerate"]], order="n_components")
    assert len(degenerate) > 0 and set(degenerate["covariance_type"]) == {"full"}
    np.testing.assert_array_equal(points, [degenerate["n_components"], degenerate[criterion]])
    for i, kind in enumerate(STRUCTURES):
        candidates = np.sort(table[table["covariance_type"] == kind], order="n_components")
        values = np.where(candidates["degenerate"], np.nan, candidates[criterion])
        np.testing.assert_array_equal(curves[kind].get_xdata(), candidates["n_components"])
        np.testing.assert_array_equal(curves[kind].get_ydata(), values)
        assert curves[kind].get_color() == COLORS[i]
    assert ax.get_xlabel() == "number of components"
    assert ("lower is better" in ax.get_ylabel()) == (criterion != "log_likelihood")


def test_best_candidate_is_marked(selection: Selection) -> None:
    """The ring is around the best candidate, within the axes."""
    display = selection.plot()
    (ring,) = (line for line in display.ax_.get_lines() if line.get_label().startswith("best"))
    best = selection.table_[0]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (best["n_components"], best["bic"])
    assert ring.get_label() == f"best: {best['covariance_type']}, {best['n_components']}"
    low, high = display.ax_.get_ylim()
    assert low < best["bic"] < high
    assert "degenerate" in legend(display.ax_)


def test_legend_lists_structures_beyond_axes() -> None:
    """A structure far worse than the others does not flatten their curves; the legend says where it is."""
    ax = select(FAITHFUL.data, range(1, 8), random_state=0).plot().ax_
    assert "spherical (beyond)" in legend(ax)
    assert np.ptp(ax.get_ylim()) < 400


def test_criterion_of_one_candidate() -> None:
    """A single candidate is a picture too."""
    ax = select(FAITHFUL.data, 1, "full").plot().ax_
    assert ax.get_ylim()[0] < ax.get_ylim()[1]


def test_bad_criterion(selection: Selection) -> None:
    """A criterion that does not exist, and one that was not computed, are refused."""
    with pytest.raises(ValueError, match="choose one of bic"):
        selection.plot("size")
    with pytest.raises(ValueError, match="no finite cv"):
        CriterionDisplay.from_selection(selection, "cv")


# Uncertainty ---------------------------------------------------------------------------------------------------------


def test_uncertain_rows_are_large() -> None:
    """Each row is drawn once, in the color of its component, and the larger the more uncertain it is."""
    X = IRIS.data
    model = GaussianMixture(3, random_state=0).fit(X)
    display = UncertaintyDisplay.from_estimator(model, X, features=(2, 3))
    labels, uncertainty = model.predict(X), 1 - model.predict_proba(X).max(axis=1)
    np.testing.assert_allclose(display.limits_, np.quantile(uncertainty, [0.75, 0.95]), atol=1e-12)
    lines = [line for line in display.ax_.get_lines() if len(line.get_xdata())]
    assert sum(len(line.get_xdata()) for line in lines) == len(X)
    sizes = sorted({line.get_markersize() for line in lines})
    assert len(sizes) == 3
    bounds = [0, *display.limits_, 1]
    for line in lines:
        k, level = COLORS.index(line.get_color()), sizes.index(line.get_markersize())
        own = (labels == k) & (uncertainty > bounds[level] - 1e-12) & (uncertainty <= bounds[level + 1] + 1e-12)
        np.testing.assert_array_equal(line.get_xydata(), X[own][:, [2, 3]])
    first, second = (f"{limit:.2g}" for limit in display.limits_)
    assert [text[:2] for text in legend(display.ax_)[:3]] == ["0:", "1:", "2:"]
    assert legend(display.ax_)[3:] == [f"uncertainty to {first}", f"to {second}", "above"]
    assert len([artist for artist in display.ax_.get_children() if isinstance(artist, Polygon)]) == 6


def test_uncertainty_over_one_feature() -> None:
    """With one feature it is the height of a point."""
    X = FAITHFUL.data[:, 1:]
    model = GaussianMixture(2, random_state=0).fit(X)
    ax = UncertaintyDisplay.from_estimator(model, X, feature_names=["waiting"]).ax_
    drawn = np.concatenate([line.get_xydata() for line in ax.get_lines() if len(line.get_xdata())])
    expected = np.column_stack([X, model.uncertainty(X)])
    np.testing.assert_array_equal(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("waiting", "uncertainty")


# Convergence ---------------------------------------------------------------------------------------------------------


def test_convergence_trace() -> None:
    """The curve is lower_bounds_; markers are the ends of the other restarts, by how they ended."""
    model = GaussianMixture(4, n_init=10, random_state=0, tol=1e-6, max_iter=60, init_params="random_from_data")
    model.fit(IRIS.data)
    ax = ConvergenceDisplay.from_estimator(model).ax_
    best, *ends = ax.get_lines()
    np.testing.assert_array_equal(best.get_xdata(), np.arange(1, model.n_iter_ + 1))
    np.testing.assert_array_equal(best.get_ydata(), model.lower_bounds_)
    drawn = {line.get_label(): sorted(zip(*line.get_data(), strict=True)) for line in ends}
    others = [record for record in model.fits_ if record.lower_bound != model.lower_bound_]
    expected = {
        "restart, dropped": [r for r in others if r.dropped],
        "restart, converged": [r for r in others if r.converged],
        "restart, not converged": [r for r in others if not (r.dropped or r.converged)],
    }
    assert drawn == {
        name: sorted((r.n_iter, r.lower_bound) for r in records) for name, records in expected.items() if records
    }
    assert len(drawn) == 3
    low, high = ax.get_ylim()
    assert all(low < record.lower_bound < high for record in model.fits_)


def test_convergence_trace_of_one_start(mixture: GaussianMixture) -> None:
    """Without restarts there is one curve and no legend."""
    ax = ConvergenceDisplay.from_estimator(mixture).ax_
    assert len(ax.get_lines()) == 1 and ax.get_legend() is None


def test_convergence_without_iterations() -> None:
    """A mixture without a fit or without iterations is refused."""
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(GaussianMixture())
    with pytest.raises(ValueError, match="no iterations"):
        ConvergenceDisplay.from_estimator(GaussianMixture(max_iter=0).fit(FAITHFUL.data))


# All of them ---------------------------------------------------------------------------------------------------------


def test_plot_on_other_axes(mixture: GaussianMixture, selection: Selection) -> None:
    """Each display draws itself again where it is told to, and no dots are collections, which are slow when many."""
    displays = [
        ComponentsDisplay.from_estimator(mixture, FAITHFUL.data),
        DensityDisplay.from_estimator(mixture, FAITHFUL.data),
        PairsDisplay.from_estimator(mixture, FAITHFUL.data),
        ConvergenceDisplay.from_estimator(mixture),
        selection.plot(),
    ]
    for display in displays:
        axes = Figure().subplots(1, 2)
        assert display.plot(axes[1]) is display
        assert display.ax_ is axes[1] and display.figure_ is axes[1].figure and not axes[0].has_data()
        assert not any(isinstance(artist, PathCollection) for artist in axes[1].get_children())
        assert display._repr_png_().startswith(PNG)
        fresh = display.plot().figure_
        width, height = fresh.get_size_inches() * fresh.dpi
        assert width == 500 and height in (400, 500)
