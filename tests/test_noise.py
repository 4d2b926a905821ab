"""A component of noise: mclust's ends, a slow twin, and what holds of any mixture, in all structures."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import Array

import fastgmm
from fastgmm import GaussianMixture, select
from fastgmm.cli import main
from fastgmm.exceptions import ConvergenceWarning, ModelFileError
from fastgmm.fitting.starts.cleaned import clutter
from fastgmm.model.noise import Box, Noise
from fastgmm.model.structures import LAYOUTS, MCLUST, STRUCTURES
from fastgmm.sources import from_chunks

KNOWN = json.loads((Path(__file__).parent / "mclust.json").read_text(encoding="utf-8"))
LOG_VOLUME = math.log(400.575906398)  # mclust's hypvol of the rows below

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")


def noisy_rows() -> tuple[Array, Array]:
    """Two groups and 30 rows of noise, by a formula; labels with 2 for noise."""
    i = np.arange(1, 171)
    u, v = i * 0.6180339887498949 % 1, i * 0.7548776662466927 % 1
    r = np.sqrt(-2 * np.log(u))
    s, t = r * np.cos(2 * np.pi * v), r * np.sin(2 * np.pi * v)
    first = np.column_stack([2 * s, 1.2 * s + 0.8 * t])
    second = np.column_stack([7 + 0.7 * s, -2 - 0.5 * s + 1.2 * t])
    noise = np.column_stack([-10 + 25 * u, -9 + 17 * v])
    labels = np.repeat([0, 1, 2], [80, 60, 30])
    return np.round(np.where(labels[:, None] == 0, first, np.where(labels[:, None] == 1, second, noise)), 2), labels


X, LABELS = noisy_rows()
START = np.select([LABELS[:, None] == [0, 1]], [np.ones((170, 2))], 0.5)  # rows of noise belong to both by halves
START[LABELS < 2] = np.eye(2)[LABELS[LABELS < 2]]


def fitted(structure: str, rows: Array = X, **options: Any) -> GaussianMixture:
    """A fit to its end, from the labels unless told otherwise."""
    options = {"noise": "auto", "init_params": START, "reg_covar": 0.0, "tol": 1e-13, "max_iter": 5000, **options}
    return GaussianMixture(2, covariance_type=structure, **options).fit(rows)


def with_parts(mixture: GaussianMixture, **options: Any) -> GaussianMixture:
    """A mixture of the same parameters with other arguments."""
    other = GaussianMixture(**{**mixture.get_params(), **options})
    vars(other).update({name: value for name, value in vars(mixture).items() if name.endswith("_")})
    return other


def with_gaps(rows: Array, share: float = 0.2, seed: int = 0) -> Array:
    """Rows with gaps; some have no value at all."""
    holes = rows.copy()
    holes[np.random.default_rng(seed).uniform(size=rows.shape) < share] = np.nan
    assert np.isnan(holes).all(axis=1).any()
    return holes


# ---- against mclust


def test_the_rows_are_those_of_the_reference() -> None:
    """Sums of the columns and of squares, as printed beside mclust's values."""
    assert X.sum(axis=0) == pytest.approx([489.01, -156.74])
    assert (X**2).sum(axis=0) == pytest.approx([5103.9039, 1267.4016])


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("structure", MCLUST)
def test_as_mclust(structure: str, equal: bool) -> None:
    """From the labels EM ends where mclust's does (VVE: its exact form), never falling, with as many parameters."""
    mixture = fitted(structure, equal_weights=equal)
    known = KNOWN["noise_equal_weights" if equal else "noise"][structure]
    expected = KNOWN["VVE"]["noise"] if structure == "VVE" and not equal else known
    assert mixture.score(X) * 170 == pytest.approx(expected, abs=1e-6)
    assert np.diff(mixture.lower_bounds_).min() > -1e-12
    assert mixture.noise_log_density_ == pytest.approx(-LOG_VOLUME, abs=1e-9)
    assert mixture.noise_weight_ == pytest.approx(1 - mixture.weights_.sum())
    assert not equal or np.ptp(mixture.weights_) < 1e-15
    free = STRUCTURES[structure].n_parameters(2, 2) - equal + 2
    assert mixture.bic(X) == pytest.approx(-2 * mixture.score(X) * 170 + free * math.log(170))


def test_labels_as_mclust() -> None:
    """Of VVV: 25 rows of noise, and groups of 83 and 62."""
    labels = fitted("VVV").predict(X)
    assert [np.count_nonzero(labels == k) for k in (-1, 0, 1)] == [25, 83, 62]


# ---- against a slow twin


def log_densities(mixture: GaussianMixture, rows: Array) -> Array:
    """Log of weight times density, noise last, of rows with gaps: row by row."""
    found = np.empty((len(rows), 3))
    covariances = STRUCTURES[mixture.covariance_type].dense(mixture.covariances_, 2, 2)
    _lower, widths = mixture.noise_box_[:2]
    for n, row in enumerate(rows):
        seen = np.flatnonzero(~np.isnan(row))
        for k in range(2):
            away, own = row[seen] - mixture.means_[k, seen], covariances[k][np.ix_(seen, seen)]
            squares = float(away @ np.linalg.solve(own, away)) if len(seen) else 0.0
            log_det = np.linalg.slogdet(2 * np.pi * own)[1] if len(seen) else 0.0
            found[n, k] = np.log(mixture.weights_[k]) - 0.5 * (squares + log_det)
        missing = np.isnan(row)
        density = mixture.noise_log_density_ + np.log(widths[missing]).sum() if len(seen) else 0.0
        found[n, 2] = np.log(mixture.noise_weight_) + density
    return found


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "VEE", "EVE"])
def test_posterior_and_m_step(structure: str, gaps: bool, dtype: type) -> None:
    """Densities, responsibilities, labels, and weights after an iteration, with and without gaps."""
    start = fitted(structure, max_iter=3)
    start.noise_box_ = np.array([X.min(axis=0), np.ptp(X, axis=0)])
    mixture = with_parts(start, missing="em" if gaps else "raise")
    rows = (with_gaps(X) if gaps else X).astype(dtype)
    joint = log_densities(mixture, rows.astype(np.float64))
    peak = joint.max(axis=1, keepdims=True)
    scores = peak[:, 0] + np.log(np.exp(joint - peak).sum(axis=1))
    shares = np.exp(joint - scores[:, None])
    tolerance = 1e-9 if dtype is np.float64 else 2e-4
    unseen = np.isnan(rows).all(axis=1)
    assert mixture.score_samples(rows) == pytest.approx(np.where(unseen, 0.0, scores), abs=tolerance)
    assert mixture.predict_proba(rows) == pytest.approx(shares, abs=tolerance)
    assert (mixture.predict(rows) == np.where(shares.argmax(axis=1) == 2, -1, shares.argmax(axis=1))).all()
    assert mixture.uncertainty(rows) == pytest.approx(1 - shares.max(axis=1), abs=tolerance)
    after = fastgmm.maximize(mixture, fastgmm.statistics(mixture, rows))
    assert after.weights_ == pytest.approx(shares[:, :2].mean(axis=0), abs=tolerance)
    assert after.noise_weight_ == pytest.approx(shares[:, 2].mean(), abs=tolerance)


@pytest.mark.parametrize("acceleration", [None, "squarem"])
@pytest.mark.parametrize("structure", ["full", "EEE", "diag", "VII", "VEI", "VEE", "EVE", "VVE", "EEV", "EVV"])
def test_monotone_with_gaps_and_weights(structure: str, acceleration: str | None) -> None:
    """The bound never falls, and is the score of the end."""
    weights = np.arange(170) % 3 + 0.5
    options: dict[str, Any] = {"noise": "auto", "missing": "em", "reg_covar": 0.0, "tol": 1e-9, "max_iter": 2000}
    mixture = GaussianMixture(2, covariance_type=structure, acceleration=acceleration, random_state=0, **options)
    mixture.fit(with_gaps(X), sample_weight=weights)
    assert mixture.converged_
    assert np.diff(mixture.lower_bounds_).min() > -1e-11
    assert mixture.score(with_gaps(X), sample_weight=weights) == pytest.approx(mixture.lower_bound_, abs=1e-7)


@pytest.mark.parametrize("structure", MCLUST)
def test_acceleration_ends_there_too(structure: str) -> None:
    """SQUAREM ends where EM does."""
    plain, fast = (fitted(structure, acceleration=one, tol=1e-11) for one in (None, "squarem"))
    assert fast.score(X) * 170 == pytest.approx(plain.score(X) * 170, abs=1e-5)
    assert fast.noise_weight_ == pytest.approx(plain.noise_weight_, abs=1e-3)


# ---- what holds of any mixture


@pytest.mark.parametrize("structure", ["full", "tied", "EVI"])
def test_weights_are_repetitions(structure: str) -> None:
    """A row of weight two is two rows; a row of weight zero is none, though it lies outside the box."""
    counts = np.arange(170) % 3
    rows = np.vstack([X, [[100.0, 100.0]]])
    weighted = GaussianMixture(
        2, covariance_type=structure, noise="auto", init_params=np.append(LABELS % 2, 0), tol=1e-9
    )
    repeated = GaussianMixture(
        2, covariance_type=structure, noise="auto", init_params=np.repeat(LABELS % 2, counts), tol=1e-9
    )
    weighted.fit(rows, sample_weight=np.append(counts, 0))
    repeated.fit(np.repeat(X, counts, axis=0))
    assert weighted.noise_weight_ == pytest.approx(repeated.noise_weight_, rel=1e-9)
    assert weighted.noise_log_density_ == pytest.approx(repeated.noise_log_density_, rel=1e-9)
    assert weighted.means_ == pytest.approx(repeated.means_, rel=1e-9)


def test_units_and_shifts() -> None:
    """Rows in other units, far from zero, have the same noise; its density is per volume."""
    own, moved = fitted("full"), fitted("full", 8 * X + 1e6)
    assert moved.noise_weight_ == pytest.approx(own.noise_weight_, rel=1e-6)
    assert moved.noise_log_density_ == pytest.approx(own.noise_log_density_ - 2 * math.log(8), rel=1e-9)
    assert (moved.predict(8 * X + 1e6) == own.predict(X)).all()


def test_float32() -> None:
    """Rows in single precision have the same noise to its digits."""
    single = GaussianMixture(2, noise="auto", random_state=0).fit(X.astype(np.float32))
    double = GaussianMixture(2, noise="auto", random_state=0).fit(X)
    assert single.weights_.dtype == np.float32
    assert single.noise_weight_ == pytest.approx(double.noise_weight_, abs=1e-4)


def test_chunks() -> None:
    """Rows that come in chunks have the same box and the same fit."""
    own = GaussianMixture(2, noise="auto", random_state=0).fit(X)
    chunked = GaussianMixture(2, noise="auto", random_state=0).fit(from_chunks(np.array_split(X, 4)))
    assert chunked.noise_log_density_ == pytest.approx(own.noise_log_density_, rel=1e-12)
    assert chunked.noise_weight_ == pytest.approx(own.noise_weight_, rel=1e-9)


def test_dask() -> None:
    """So have those of a Dask array."""
    da = pytest.importorskip("dask.array")
    pytest.importorskip("distributed")
    own = GaussianMixture(2, noise="auto", random_state=0).fit(X)
    spread = GaussianMixture(2, noise="auto", random_state=0).fit(da.from_array(X, chunks=(60, 2)))
    assert spread.noise_log_density_ == pytest.approx(own.noise_log_density_, rel=1e-12)
    assert spread.noise_weight_ == pytest.approx(own.noise_weight_, rel=1e-6)
    proba = spread.predict_proba(da.from_array(X, chunks=(60, 2)))
    assert proba.shape == (170, 3)
    assert np.asarray(proba) == pytest.approx(own.predict_proba(X), abs=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "EVE"])
def test_rows_far_away_are_noise(structure: str, dtype: type) -> None:
    """However far, and though squares overflow; also with gaps. Noise of no weight takes none."""
    largest = float(np.finfo(dtype).max)
    far = np.array([[0.9 * largest, 0.0], [-1e20, 1e20], [1e5, -1e5], [largest, largest]], dtype)
    mixture = GaussianMixture(2, covariance_type=structure, noise="auto", random_state=0).fit(X.astype(dtype))
    expected = math.log(mixture.noise_weight_) + mixture.noise_log_density_
    assert (mixture.predict(far) == -1).all()
    assert mixture.score_samples(far) == pytest.approx(expected, rel=1e-6)
    far[0, 1] = np.nan
    gaps = with_parts(mixture, missing="em")
    assert (gaps.predict(far) == -1).all()
    gaps.weights_, gaps.noise_weight_ = mixture.weights_ / mixture.weights_.sum(), 0.0
    assert (gaps.predict(far) >= 0).all()
    assert (gaps.predict_proba(far)[:, 2] == 0).all()
    alone = with_parts(gaps, missing="raise")
    assert (alone.predict(far[1:]) >= 0).all()
    assert (alone.predict_proba(far[1:])[:, 2] == 0).all()


def test_samples() -> None:
    """Samples have the weights, come from the box, and noise is labeled -1 and comes last."""
    mixture = fitted("VVV")
    rows, labels = mixture.sample(50_000, random_state=0)
    assert (np.diff(np.where(labels < 0, 2, labels)) >= 0).all()
    shares = [np.mean(labels == k) for k in (0, 1, -1)]
    assert shares == pytest.approx([*mixture.weights_, mixture.noise_weight_], abs=0.01)
    lower, widths, *axes = mixture.noise_box_
    inside = (rows[labels < 0] @ np.array(axes).T - lower) / widths
    assert inside.min() >= -1e-12 and inside.max() <= 1 + 1e-12
    assert inside.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.02)
    again = GaussianMixture(2, noise="auto", random_state=0).fit(rows)
    assert again.noise_weight_ == pytest.approx(mixture.noise_weight_, abs=0.01)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "VVE"])
def test_parts_of_the_features(structure: str) -> None:
    """The joint density is that of some features times that of the others given these; gaps are margins."""
    mixture = fitted(structure, max_iter=20)
    points = np.array([[1.0, 2.0], [7.0, -3.0], [-9.0, 6.0], [3.0, 0.0]])
    for known, rest in ((0, 1), (1, 0)):
        margin = mixture.marginal(known)
        assert margin.noise_weight_ == pytest.approx(mixture.noise_weight_)
        for point in points:
            given = mixture.condition(known, point[known])
            assert given.weights_.sum() + given.noise_weight_ == pytest.approx(1)
            product = margin.score([[point[known]]]) + given.score([[point[rest]]])
            if len(mixture.noise_box_) == 2:  # else there is no such density
                assert product == pytest.approx(mixture.score([point]))
        holes = points.copy()
        holes[:, rest] = np.nan
        gaps = with_parts(mixture, missing="em")
        assert gaps.score_samples(holes) == pytest.approx(margin.score_samples(points[:, [known]]))
        assert (gaps.predict(holes) == margin.predict(points[:, [known]])).all()


def test_predictions_are_of_rows_that_are_no_noise() -> None:
    """regress and impute are those of the Gaussians alone."""
    mixture = fitted("full")
    alone = GaussianMixture.from_parameters(
        mixture.weights_ / mixture.weights_.sum(), mixture.means_, mixture.covariances_
    )
    assert mixture.regress(X[:20, :1], 1) == pytest.approx(alone.regress(X[:20, :1], 1))
    holes = with_gaps(X)
    assert mixture.impute(holes) == pytest.approx(alone.impute(holes))
    assert np.isfinite(mixture.impute(holes, random_state=0)).all()


def turned_rows() -> Array:
    """Rows along a diagonal, with noise in a box along it."""
    rng = np.random.default_rng(1)
    turn = np.array([[1.0, 0.95], [-0.25, 0.3]])
    groups = rng.normal(size=(500, 2)), rng.uniform(-20, 20, size=(100, 2))
    groups[0][300:, 0] += 8
    return np.vstack(groups) @ turn


def test_parts_of_a_turned_box() -> None:
    """A margin has the weight of the noise in its own box, and rows with gaps have that density."""
    rows = turned_rows()
    mixture = GaussianMixture(2, noise="auto", random_state=0).fit(rows)
    assert len(mixture.noise_box_) == 4
    for feature in (0, 1):
        margin = mixture.marginal(feature)
        lower, widths = margin.noise_box_
        assert margin.noise_log_density_ == pytest.approx(-math.log(widths[0]))
        assert lower[0] <= rows[:, feature].min() and lower[0] + widths[0] >= rows[:, feature].max()
        holes = np.where(np.arange(2) == feature, rows, np.nan)
        gaps = with_parts(mixture, missing="em")
        assert gaps.score_samples(holes) == pytest.approx(margin.score_samples(rows[:, [feature]]))
        assert gaps.score_samples(rows) == pytest.approx(mixture.score_samples(rows))
    samples, labels = mixture.sample(200_000, random_state=0)
    near = np.abs(samples[:, 0] - 2.5) < 0.3
    assert mixture.condition(0, 2.5).noise_weight_ == pytest.approx(np.mean(labels[near] == -1), abs=0.15)


def test_a_gap_does_not_change_the_box() -> None:
    """With few gaps the box is still that along the principal axes; with many it is along the features."""
    rows = turned_rows()
    own = GaussianMixture(2, noise="auto", random_state=0).fit(rows).noise_log_density_
    rows[0, 0] = np.nan
    few = GaussianMixture(2, noise="auto", missing="em", random_state=0).fit(rows)
    assert few.noise_log_density_ == pytest.approx(own, abs=0.2)
    assert len(few.noise_box_) == 4
    rows[::3, 0], rows[1::3, 1] = np.nan, np.nan
    assert len(GaussianMixture(2, noise="auto", missing="em", random_state=0).fit(rows).noise_box_) == 2


# ---- starts, streams, steps by hand


def test_a_box_is_the_smaller_of_two() -> None:
    """Along the principal axes where rows lie along a diagonal; a moved box has moved points."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 2)) @ [[3.0, 3.0], [0.1, -0.1]]
    mixture = GaussianMixture(1, noise="auto").fit(rows)
    lower, widths, *axes = mixture.noise_box_
    inside = (rows @ np.array(axes).T - lower) / widths
    assert inside.min(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert inside.max(axis=0) == pytest.approx([1, 1])
    assert mixture.noise_log_density_ == pytest.approx(-np.log(widths).sum())
    assert mixture.noise_log_density_ > -np.log(np.ptp(rows, axis=0)).sum()
    box = Box(lower, widths, np.array(axes))
    around = box.along_features
    corners = (lower + widths * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])) @ np.array(axes)
    assert around.lower == pytest.approx(corners.min(axis=0))
    assert around.lower + around.widths == pytest.approx(corners.max(axis=0))
    scaled = Noise(-box.log_volume, box).rescaled(np.array([2.0, 8.0]))
    assert scaled.log_density == pytest.approx(-box.log_volume - math.log(16))
    assert scaled.box.along_features.widths == pytest.approx(around.widths * [2, 8])


def test_outliers_far_away_do_not_matter() -> None:
    """Where clusters of all rows would be those of the outliers, rows with near neighbors give the start."""
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(400, 2)), rng.normal(size=(300, 2)) * 0.5 + [6, 0], rng.uniform(-50, 50, size=(60, 2))
    mixture = GaussianMixture(2, noise="auto", random_state=0).fit(np.vstack(groups))
    assert mixture.noise_weight_ == pytest.approx(60 / 760, abs=0.02)
    assert np.sort(mixture.means_[:, 0]) == pytest.approx([0, 6], abs=0.2)
    assert len(mixture.fits_) == 2
    assert mixture.fits_[1].lower_bound > mixture.fits_[0].lower_bound + 0.1
    found = clutter(np.vstack(groups))
    assert found[:700].mean() < 0.05 and found[700:].mean() > 0.9


def test_streams() -> None:
    """Batches of the same rows come near to the fit."""
    mixture = GaussianMixture(2, noise="auto", random_state=0)
    for i in range(30):
        mixture.partial_fit(X[np.random.default_rng(i).permutation(170)])
    assert mixture.noise_weight_ == pytest.approx(fitted("full").noise_weight_, abs=0.01)
    assert mixture.score(X) * 170 == pytest.approx(KNOWN["noise"]["VVV"], abs=0.1)


@pytest.mark.parametrize("structure", ["full", "tied", "VEE", "EVE"])
def test_steps_by_hand(structure: str, tmp_path: Path) -> None:
    """Statistics of halves, kept in files and merged, give what fit does."""
    options: dict[str, Any] = {"noise": "auto", "init_params": START, "reg_covar": 0.0, "tol": 1e-5}
    mixture = GaussianMixture(2, covariance_type=structure, max_iter=0, **options).fit(X)
    while not mixture.converged_:
        for name, rows in (("a", X[:70]), ("b", X[70:])):
            fastgmm.statistics(mixture, rows).save(tmp_path / name)
        parts = [fastgmm.Statistics.load(tmp_path / name) for name in "ab"]
        mixture = fastgmm.maximize(mixture, fastgmm.merge(*parts))
    whole = GaussianMixture(2, covariance_type=structure, max_iter=200, **options).fit(X)
    assert mixture.n_iter_ == whole.n_iter_
    assert mixture.noise_weight_ == pytest.approx(whole.noise_weight_, rel=1e-9)
    assert mixture.means_ == pytest.approx(whole.means_, rel=1e-9)


def test_given_starts() -> None:
    """Means, weights and precisions that are given share what noise leaves at the start; a warm start goes on."""
    given = {"means_init": [[0, 0], [7, -2]], "weights_init": [0.5, 0.5], "precisions_init": np.stack([np.eye(2)] * 2)}
    options: dict[str, Any] = {"noise": "auto", "tol": 1e-12, "max_iter": 5000, "reg_covar": 0.0}
    mixture = GaussianMixture(2, **given, **options).fit(X)
    assert mixture.score(X) * 170 == pytest.approx(KNOWN["noise"]["VVV"], abs=1e-5)
    for left_out in given:
        some = {name: value for name, value in given.items() if name != left_out}
        again = GaussianMixture(2, random_state=0, **some, **options).fit(X)
        assert again.noise_weight_ == pytest.approx(mixture.noise_weight_, abs=1e-4)
        assert len(again.fits_) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warm = GaussianMixture(2, noise="auto", warm_start=True, tol=1e-12, reg_covar=0.0, max_iter=20, random_state=0)
        first = warm.fit(X).lower_bound_
        assert warm.fit(X).lower_bounds_[0] >= first
        assert warm.fit(10 * X).noise_log_density_ == pytest.approx(-LOG_VOLUME - 2 * math.log(10))
    warm.noise = None
    with pytest.raises(ValueError, match="parameters to go on from are with noise"):
        warm.fit(X)
    plain = GaussianMixture(2, warm_start=True, random_state=0).fit(X).set_params(noise="auto")
    with pytest.raises(ValueError, match="parameters to go on from are without noise"):
        plain.fit(X)
    ends = mixture.weights_, mixture.means_, mixture.precisions_
    names = "weights_init", "means_init", "precisions_init"
    again = GaussianMixture(2, **dict(zip(names, ends, strict=True)), **options).fit(X)  # weights leave noise the rest
    assert again.lower_bounds_[0] == pytest.approx(mixture.lower_bound_, abs=1e-9)


def test_priors() -> None:
    """With a prior the posterior density never falls, and mclust's keeps the noise."""
    for prior in ("mclust", fastgmm.Prior(weight_concentration=2.0)):
        mixture = GaussianMixture(2, noise="auto", prior=prior, random_state=0, tol=1e-10, max_iter=2000).fit(X)
        assert np.diff(mixture.lower_bounds_).min() > -1e-11
        assert mixture.noise_weight_ == pytest.approx(0.166, abs=0.005)


# ---- select


def test_select() -> None:
    """Noise among the candidates: BIC finds the two groups and their noise, and refuses noise in clean rows."""
    found = select(X, 2, MCLUST, noise=[None, "auto"], random_state=0)
    assert found.best_estimator_.noise == "auto"
    assert found.best_estimator_.covariance_type == "VVV"
    assert found.table_["bic"][0] == pytest.approx(1577.22, abs=0.02)
    assert sorted(found.table_["noise"]) == [False] * 14 + [True] * 14
    assert "noise" in str(found)
    clean = np.random.default_rng(0).normal(size=(400, 2))
    clean[200:, 0] += 6
    assert select(clean, range(1, 4), "EII", noise=[None, "auto"], random_state=0).best_estimator_.noise is None
    always = select(X, [1, 2], ["full", "tied"], noise="auto", random_state=0)
    assert always.table_["noise"].all()
    own = fitted("full", init_params="kmeans", tol=1e-3, random_state=0)
    best = always.table_[(always.table_["covariance_type"] == "full") & (always.table_["n_components"] == 2)]
    assert best["log_likelihood"][0] >= own.score(X) * 170 - 0.1


def test_select_nests() -> None:
    """With noise, too, a structure ends no lower than those within it."""
    table = select(X, 2, MCLUST, noise="auto", random_state=0, tol=1e-6, n_init=5).table_
    ends = dict(zip(table["covariance_type"].tolist(), table["log_likelihood"].tolist(), strict=True))
    for one in MCLUST:
        for other in MCLUST:
            if STRUCTURES[one].within(STRUCTURES[other]):
                assert ends[one] <= ends[other] + 170 * 1e-4, (one, other)


# ---- files, other libraries, refusals


def test_files(tmp_path: Path) -> None:
    """A file keeps the noise to the last bit; one without its parts, or with others, is refused."""
    for mixture in (fitted("VVV"), fitted("EVI", noise=-6.0), fitted("tied", X.astype(np.float32), tol=1e-5)):
        path = tmp_path / "mixture.npz"
        mixture.save(path)
        loaded = fastgmm.load(path)
        assert (loaded.predict_proba(X) == mixture.predict_proba(X)).all()
        assert loaded.noise_weight_ == mixture.noise_weight_
        assert loaded.bic(X) == mixture.bic(X)
        assert (loaded.sample(20, random_state=0)[0] == mixture.sample(20, random_state=0)[0]).all()
    plain = GaussianMixture(2, random_state=0).fit(X)
    plain.noise = "auto"
    with pytest.raises((ValueError, fastgmm.NotFittedError), match="noise"):
        plain.save(tmp_path / "other.npz")
    assert not (tmp_path / "other.npz").exists()


def test_a_damaged_box_is_refused(tmp_path: Path) -> None:
    """Boxes of negative width are no boxes."""
    mixture = fitted("VVV")
    mixture.noise_box_ = -mixture.noise_box_
    with pytest.raises(ValueError, match="positive widths"):
        mixture.save(tmp_path / "mixture.npz")
    with pytest.raises(ValueError, match="positive widths"):
        mixture.predict(X)
    mixture.noise_box_ = np.ones((3, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 2\) or \(4, 2\)"):
        mixture.sample(3)
    assert issubclass(ModelFileError, ValueError)


def test_a_given_density_is_no_parameter() -> None:
    """It counts one parameter less, and needs no box of finite volume in infinite units."""
    own, given = fitted("full"), fitted("full", noise=-LOG_VOLUME)
    assert given.noise_weight_ == pytest.approx(own.noise_weight_, abs=1e-8)
    assert own.bic(X) - given.bic(X) == pytest.approx(math.log(170), abs=1e-6)


def test_a_fit_without_noise_forgets_it() -> None:
    """Attributes of noise do not survive a fit without it."""
    mixture = fitted("full")
    mixture.set_params(noise=None).fit(X)
    assert not hasattr(mixture, "noise_weight_")
    assert mixture.predict_proba(X).shape == (170, 2)


def test_refusals() -> None:
    """What cannot be, in words."""
    for wrong in (math.nan, math.inf, "noise", True, [1.0]):
        with pytest.raises(ValueError, match="'noise' parameter"):
            GaussianMixture(2, noise=wrong).fit(X)
    with pytest.raises(ValueError, match=r"feature\(s\) 2"):
        GaussianMixture(2, noise="auto").fit(np.column_stack([X, np.ones(170)]))
    with pytest.raises(ValueError, match="single fits"):
        fastgmm.fit_many([X, X], 2, noise="auto")
    with pytest.raises(ValueError, match="a weight and a box"):
        GaussianMixture.from_parameters([1], [[0.0]], [1.0], "spherical", noise="auto")
    with pytest.raises(ValueError, match="noise="):
        select(X, 2, noise=["auto", -3.0])
    with pytest.raises(ValueError, match="posteriors, which have no noise"):
        select(X, 2, criterion="elbo", noise="auto")
    with pytest.raises(ValueError, match="weights"):
        GaussianMixture(2, weights_init=[0.0, 0.0], noise="auto").fit(X)
    for large in (X * 1e160, np.vstack([X, [[1e200, 0]]])):
        with pytest.raises(ValueError, match="too large"):
            GaussianMixture(2, noise="auto").fit(large)
    constant = select(np.column_stack([X, np.ones(170)]), [1, 2], "diag", noise=[None, "auto"], random_state=0)
    assert all("same" in one["error"] for one in constant.table_ if one["noise"])
    assert not any(one["error"] for one in constant.table_ if not one["noise"])


def test_scikit_learn_has_no_noise() -> None:
    """It cannot be converted to scikit-learn's mixtures."""
    pytest.importorskip("sklearn.mixture")
    with pytest.raises(ValueError, match="mixtures have no noise"):
        fitted("full").to_sklearn()


@pytest.mark.parametrize("structure", LAYOUTS)
def test_without_noise_nothing_changes(structure: str) -> None:
    """A structure is the same object with and without, and its own again."""
    own = STRUCTURES[structure]
    assert own.with_noise is own.with_noise
    assert own.with_noise.layout is own.layout
    assert own.equally_weighted.with_noise.equal_weights
    assert not own.equally_weighted.noisy
    assert own.with_noise.n_parameters(3, 2) == own.n_parameters(3, 2) + 2


# ---- pictures and the command line


def test_pictures() -> None:
    """Rows of noise are drawn and named; in a histogram their density is a line, which the sum includes."""
    pytest.importorskip("matplotlib")
    from fastgmm.plotting import CriterionDisplay, DensityDisplay, PairsDisplay, plot_components

    mixture = fitted("full")
    scatter = plot_components(mixture, X).ax_
    crosses = next(line for line in scatter.lines if str(line.get_label()).startswith("noise"))
    assert len(crosses.get_xdata()) == 25
    assert crosses.get_label() == f"noise: {mixture.noise_weight_:.2f}"
    curves = {
        str(line.get_label()).split(":")[0]: line for line in plot_components(mixture, X, features=(0,)).ax_.lines
    }
    margin = mixture.marginal(0)
    x, y = curves["sum"].get_data()
    assert np.asarray(y) == pytest.approx(np.exp(margin.score_samples(np.asarray(x)[:, None])))
    expected = mixture.noise_weight_ * math.exp(margin.noise_log_density_)
    assert np.asarray(curves["noise"].get_ydata()) == pytest.approx(expected)
    PairsDisplay.from_estimator(mixture, X)
    DensityDisplay.from_estimator(mixture, X)
    with pytest.raises(ValueError, match="-1"):
        plot_components(GaussianMixture(2, random_state=0).fit(X), X, labels=mixture.predict(X))
    selection = select(X, [1, 2], "full", noise=[None, "auto"], random_state=0)
    legend = CriterionDisplay.from_selection(selection).ax_.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["full", "full, noise", "best: full, noise, 2"]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`fit --noise` writes the label -1 and its column; `select --noise` tries both; files keep it."""
    table, model, output = (str(tmp_path / name) for name in ("rows.csv", "model.npz", "labels.csv"))
    np.savetxt(table, X, delimiter=",", header="a,b", comments="")
    own = GaussianMixture(2, noise="auto", random_state=0).fit(X)
    arguments = ["fit", table, "-k", "2", "--noise", "--save", model, "--output", output, "--proba", "--score"]
    assert main(arguments) == 0
    assert f"noise of weight {own.noise_weight_:.4f}" in capsys.readouterr().out
    written = np.genfromtxt(output, delimiter=",", names=True)
    assert written.dtype.names == ("label", "proba_0", "proba_1", "proba_noise", "log_density")
    assert (written["label"] == own.predict(X)).all()
    assert written["proba_noise"] == pytest.approx(own.predict_proba(X)[:, 2])
    records = str(tmp_path / "labels.npy")
    assert main(["predict", "--model", model, table, "--proba", "--output", records]) == 0
    assert np.load(records)["proba"] == pytest.approx(own.predict_proba(X))
    assert main(["select", table, "-k", "1-3", "--noise"]) == 0
    assert "best       Gaussian mixture of 2 components, full covariance, noise of weight" in capsys.readouterr().out
    assert main(["show", model]) == 0
    assert "noise of weight" in capsys.readouterr().out
    assert "noise of weight" in own._repr_html_()


@pytest.mark.parametrize("structure", ["full", "diag", "spherical", "tied"])
def test_with_a_bounded_ratio(structure: str) -> None:
    """Noise and a bound on variances go together: no fall, and no ratio beyond the bound."""
    mixture = fitted(structure, covariance_ratio=3.0, equal_weights=structure == "diag")
    free = fitted(structure)
    assert np.diff(mixture.lower_bounds_).min() > -1e-12
    assert mixture.noise_weight_ == pytest.approx(1 - mixture.weights_.sum())
    assert mixture.score(X) <= free.score(X) + 1e-12
    stack = STRUCTURES[structure].dense(mixture.covariances_, 2, 2)
    units = X.std(axis=0) if structure != "spherical" else np.ones(2)
    values = np.linalg.eigvalsh(stack / units / units[:, None])
    assert values.max() / values.min() <= 3 * (1 + 1e-9)
