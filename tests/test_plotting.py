"""plot_components draws the rows, ellipses and densities of what was fitted."""

from __future__ import annotations

import builtins
import itertools
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import PNG, dense_covariances
from reference import STRUCTURES

from fastgmm import GaussianMixture, NotFittedError, plotting
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.plotting import COLORS, MARKERS, marginal_covariances, plot_components

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure
from matplotlib.patches import Polygon


def coarse_fit(X: np.ndarray, n_components: int = 3, **arguments: Any) -> GaussianMixture:
    """A mixture fitted as far as a picture needs."""
    return GaussianMixture(n_components, tol=1e-2, random_state=0, **arguments).fit(X)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("features", [(0, 1), (3, 1)])
def test_ellipses(structure: str, features: tuple[int, int]) -> None:
    """Each outline lies at its Mahalanobis distance, and ends on the eigenvectors of the marginal covariance."""
    iris = load_iris()
    model = coarse_fit(iris.data, covariance_type=structure)
    display = plot_components(model, iris.data, features=features, feature_names=iris.feature_names)
    ellipses = [artist for artist in display.ax_.get_children() if isinstance(artist, Polygon)]
    assert len(ellipses) == 2 * 3
    for (k, deviations), ellipse in zip(itertools.product(range(3), (1, 2)), ellipses, strict=True):
        covariance = dense_covariances(model)[k][np.ix_(features, features)]
        variances, axes = np.linalg.eigh(covariance)
        outline = ellipse.get_xy() - model.means_[k, list(features)]
        distances = np.sqrt(np.einsum("ni,ij,nj->n", outline, np.linalg.inv(covariance), outline))
        np.testing.assert_allclose(distances, deviations, rtol=1e-9)
        for sign in (-1, 1):
            ends = (sign * outline @ axes).max(axis=0)
            np.testing.assert_allclose(ends, deviations * np.sqrt(variances), rtol=1e-9)
    assert display.ax_.get_xlabel() == iris.feature_names[features[0]]
    assert display.ax_.get_ylabel() == iris.feature_names[features[1]]


def test_scatter_points() -> None:
    """Every row is drawn once, at its place, in the color and marker of its label."""
    data = load_faithful().data
    model = coarse_fit(data)
    labels = np.arange(len(data)) % 3
    display = plot_components(model, data, labels=labels)
    lines = display.ax_.get_lines()
    assert len(lines) == 3
    for k, line in enumerate(lines):
        np.testing.assert_array_equal(np.column_stack(line.get_data()), data[labels == k])
        assert (line.get_color(), line.get_marker()) == (COLORS[k], MARKERS[k])
    legend = display.ax_.get_legend()
    assert legend is not None
    assert [text.get_text()[:2] for text in legend.get_texts()] == ["0:", "1:", "2:"]


def test_labels_are_predicted() -> None:
    """Without labels, those of predict are drawn."""
    data = load_faithful().data
    model = coarse_fit(data)
    labels = model.predict(data)
    for k, line in enumerate(plot_components(model, data).ax_.get_lines()):
        np.testing.assert_array_equal(np.column_stack(line.get_data()), data[labels == k])


def test_colors_and_markers_differ() -> None:
    """Seventy components have different pairs of color and marker."""
    pairs = {(COLORS[k % len(COLORS)], MARKERS[k % len(MARKERS)]) for k in range(70)}
    assert len(pairs) == 70


@pytest.mark.parametrize("structure", STRUCTURES)
def test_histogram(structure: str) -> None:
    """One feature gives a histogram of area one and curves that integrate to the weights."""
    data = np.concatenate([np.random.default_rng(0).normal(mean, 1.0, 500) for mean in (0, 20)])[:, None]
    model = coarse_fit(data, 2, covariance_type=structure)
    ax = plot_components(model, data, feature_names=["length"]).ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length", "density")
    assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(1.0)
    *components, total = ax.get_lines()
    curves = [line.get_data() for line in components]
    areas = [np.sum(np.diff(x) * (density[1:] + density[:-1]) / 2) for x, density in curves]
    np.testing.assert_allclose(areas, model.weights_, rtol=0.02)
    x = total.get_xdata()
    np.testing.assert_allclose(total.get_ydata(), np.exp(model.score_samples(x[:, None])), rtol=1e-6, atol=1e-12)


def test_marginal_histogram() -> None:
    """One of several features gives the histogram of its marginal distribution."""
    iris = load_iris()
    model = coarse_fit(iris.data)
    display = plot_components(model, iris.data, features=[2], feature_names=iris.feature_names)
    assert display.ax_.get_xlabel() == "petal length (cm)"
    np.testing.assert_allclose(marginal_covariances(model, [2])[:, 0, 0], model.covariances_[:, 2, 2])


def test_file_is_a_picture(tmp_path: Path) -> None:
    """The file is a PNG of the size asked for, with more than one color."""
    data = load_faithful().data
    display = plot_components(coarse_fit(data), data)
    target = tmp_path / "picture.png"
    display.figure_.savefig(target)
    png = target.read_bytes()
    assert png[:8] == PNG
    assert struct.unpack(">II", png[16:24]) == (500, 400)
    assert png[-8:-4] == b"IEND"
    assert display._repr_png_()[:8] == png[:8]
    pixels = np.asarray(pytest.importorskip("PIL.Image").open(target).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


def test_given_axes() -> None:
    """A picture is drawn where the caller says."""
    data = load_faithful().data
    axes = Figure().subplots(1, 2)
    display = plot_components(coarse_fit(data), data, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is axes[1].figure
    assert not axes[0].has_data()


def test_pyplot_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing neither imports pyplot nor opens one of its figures."""
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    data = load_faithful().data
    plot_components(coarse_fit(data), data)._repr_png_()
    assert "matplotlib.pyplot" not in sys.modules


def test_many_rows_and_components() -> None:
    """Only part of many rows is drawn, without a long legend but with the components' numbers."""
    data = np.random.default_rng(0).normal(size=(50_001, 2))
    model = coarse_fit(data, 20, max_iter=1000, init_params="random_from_data")
    ax = plot_components(model, data, labels=np.arange(len(data)) % 20).ax_
    assert 10_000 < sum(len(line.get_xdata()) for line in ax.get_lines()) <= plotting.MAX_POINTS
    assert ax.get_legend() is None
    assert [text.get_text() for text in ax.texts] == [str(k) for k in range(20)]


def test_wide_component_does_not_hide_the_data() -> None:
    """The axes follow an ellipse far wider than the data only a little."""
    model = coarse_fit(load_faithful().data, 2, covariance_type="spherical")
    ax = plot_components(model, load_faithful().data).ax_
    low, high = load_faithful().data.min(axis=0), load_faithful().data.max(axis=0)
    shown = np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())
    assert (np.array(shown) < 1.8 * (high - low)).all()


@pytest.mark.filterwarnings("ignore:Components were repaired")  # squares of the smallest numbers are zero
@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e100])
def test_extreme_scales(scale: float) -> None:
    """Components vastly wider than the data, or data near the ends of the floating-point range, are drawn at once."""
    data = load_faithful().data * scale
    for X in (data, data[:, :1]):
        assert plot_components(coarse_fit(X, 2, covariance_type="diag"), X)._repr_png_()


def test_axis_labels() -> None:
    """Labels come from the argument, else the data frame, else the numbers of the columns."""
    pandas = pytest.importorskip("pandas")
    data = load_faithful().data
    frame = pandas.DataFrame(data, columns=["duration", "wait"])
    assert plot_components(coarse_fit(frame), frame).ax_.get_xlabel() == "duration"
    assert plot_components(coarse_fit(frame), frame, feature_names=["a", "b"]).ax_.get_ylabel() == "b"
    assert plot_components(coarse_fit(data), data).ax_.get_ylabel() == "feature 1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": (0, 2)}, "columns 0 to 1"),
        ({"features": (-1, 0)}, "columns 0 to 1"),
        ({"features": (0, 0)}, "name one column"),
        ({"features": (0, 1, 1)}, "name one column"),
        ({"labels": [0, 1]}, "272 rows"),
        ({"labels": np.full(272, 3)}, "holds 3"),
        ({"labels": np.full(272, 0.5)}, "holds 0.5"),
        ({"feature_names": ["one"]}, "1 names, but X has 2"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    """Features, labels and names that do not fit are refused, with the value seen."""
    data = load_faithful().data
    model = coarse_fit(data)
    with pytest.raises(ValueError, match=message):
        plot_components(model, data, **arguments)


def test_bad_data() -> None:
    """An unfitted mixture, a vector and other columns than at the fit are refused."""
    data = load_faithful().data
    with pytest.raises(NotFittedError):
        plot_components(GaussianMixture(2), data)
    with pytest.raises(ValueError, match=r"shape \(272,\)"):
        plot_components(coarse_fit(data), data[:, 0])
    with pytest.raises(ValueError, match="1 column"):
        plot_components(coarse_fit(data), data[:, :1])


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **more)

    data = load_faithful().data
    model = coarse_fit(data)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install 'fastgmm\[plot\]'"):
        plot_components(model, data)
