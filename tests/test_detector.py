"""GaussianMixtureOutlierDetector: the quantile of densities as a threshold, in scikit-learn's conventions."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from problems import Array

from fastgmm import BayesianGaussianMixture, GaussianMixture, GaussianMixtureOutlierDetector, NotFittedError
from fastgmm.mixture.outliers import weighted_quantile


@pytest.fixture(scope="module")
def X() -> Array:
    """Two groups, and rows far from both."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [rng.normal(size=(150, 2)), rng.normal(size=(100, 2)) + 8, rng.uniform(-20, 20, size=(10, 2))]
    )


def two(**options: Any) -> GaussianMixture:
    """A mixture of two components with a start that is known."""
    return GaussianMixture(2, weights_init=[0.5, 0.5], means_init=[[0.0, 0.0], [8.0, 8.0]], **options)


# scikit-learn ------------------------------------------------------------------------------------------------------


def checks() -> list[Any]:
    """The checks that scikit-learn makes of its own outlier detectors, of one component and of two."""
    estimator_checks = pytest.importorskip("sklearn.utils.estimator_checks")
    detectors = [GaussianMixtureOutlierDetector(), GaussianMixtureOutlierDetector(GaussianMixture(2, random_state=0))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimator GaussianMixtureOutlierDetector does not inherit from")
        found = [
            pytest.param(detector, check, id=f"{check.func.__name__}-{number}")
            for number, detector in enumerate(detectors)
            for _, check in estimator_checks.estimator_checks_generator(detector)
            if number == 0 or "sample_weight_equivalence" not in check.func.__name__  # k-means starts elsewhere
        ]
    names = {parameter.values[1].func.__name__ for parameter in found}
    assert {"check_outliers_train", "check_outliers_fit_predict", "check_outlier_contamination"} <= names
    return found


@pytest.mark.parametrize(("detector", "check"), checks())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
def test_estimator_checks(detector: Any, check: Any) -> None:
    """Every check passes."""
    if check.func.__name__ == "check_array_api_input":
        pytest.skip("needs SCIPY_ARRAY_API=1 and covers other array types than NumPy's")
    check(detector)


def test_scikit_learn_finds_the_same_outliers(X: Array) -> None:
    """The densities of scikit-learn's mixture from the same start, cut at their percentile, give the same labels."""
    mixture = pytest.importorskip("sklearn.mixture")
    options: dict[str, Any] = {"weights_init": [0.5, 0.5], "means_init": [[0, 0], [8, 8]], "random_state": 0}
    options |= {"precisions_init": [np.eye(2), np.eye(2)], "tol": 1e-10, "max_iter": 500}
    scores = mixture.GaussianMixture(2, **options).fit(X).score_samples(X)
    for share in (0.01, 0.04, 0.1, 0.5):
        offset = np.percentile(scores, 100 * share)
        detector = GaussianMixtureOutlierDetector(GaussianMixture(2, **options), contamination=share).fit(X)
        assert detector.offset_ == pytest.approx(offset, rel=1e-8)
        np.testing.assert_array_equal(detector.predict(X), np.where(scores < offset, -1, 1))
        np.testing.assert_allclose(detector.decision_function(X), scores - offset, rtol=1e-7, atol=1e-7)


def test_search_over_arguments_of_the_mixture(X: Array) -> None:
    """A grid search sets arguments of the mixture that is held, or of the default one."""
    selection = pytest.importorskip("sklearn.model_selection")
    grid = {"mixture__n_components": [1, 2], "contamination": [0.04, 0.2]}
    y = np.where(np.arange(len(X)) < 250, 1, -1)
    for mixture in (GaussianMixture(random_state=0, noise="auto"), None):
        detector = GaussianMixtureOutlierDetector(mixture)
        found = selection.GridSearchCV(detector, grid, scoring="accuracy", cv=selection.KFold(3, shuffle=True))
        assert found.fit(X, y).best_params_["contamination"] == 0.04
        assert detector.mixture is mixture


# Thresholds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("contamination", [0.001, 0.05, 0.1, 0.3, 0.5])
def test_share_of_outliers(X: Array, contamination: float, dtype: str) -> None:
    """So many rows as the share says are outliers, those of the lowest densities."""
    X = X.astype(dtype)
    detector = GaussianMixtureOutlierDetector(two(), contamination=contamination)
    outliers = detector.fit_predict(X) == -1
    assert outliers.sum() == np.ceil(contamination * (len(X) - 1))
    scores = detector.score_samples(X)
    assert scores.dtype == detector.decision_function(X).dtype == np.dtype(dtype)
    assert scores[outliers].max() < scores[~outliers].min()
    assert detector.offset_ == -detector.mixture_.anomaly_threshold(X, contamination)


def test_row_on_the_threshold() -> None:
    """Where a row has the density of the threshold it is no outlier."""
    X = np.append(np.arange(10.0), 50.0)[:, np.newaxis]
    detector = GaussianMixtureOutlierDetector(contamination=0.1).fit(X)
    decisions = detector.decision_function(X)
    assert np.count_nonzero(decisions == 0) == 1
    assert np.flatnonzero(detector.predict(X) == -1).tolist() == [10]


def test_new_rows(X: Array) -> None:
    """Rows that were not fitted are judged by the same threshold."""
    detector = GaussianMixtureOutlierDetector(two(), contamination=0.04).fit(X)
    assert detector.predict([[0.0, 0.0], [8.0, 8.0], [-30.0, 30.0], [99.0, 0.0]]).tolist() == [1, 1, -1, -1]


@pytest.mark.parametrize("seed", range(20))
def test_weighted_quantiles_are_those_of_repeated_values(seed: int) -> None:
    """Whole weights, zeros among them, stand for so many equal values; equal weights, of any size up to 1, for none."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, size=rng.integers(2, 30)).astype(float) if seed % 2 else rng.normal(size=17)
    weights = rng.integers(0, 4, size=len(values)).astype(float)
    weights[0] = 3
    for share in (0.0, 0.1, 0.35, 0.5, 0.9, 0.99, 1.0):
        expected = np.quantile(values.repeat(weights.astype(int)), share)
        assert weighted_quantile(values, share, weights) == pytest.approx(expected, rel=1e-12, abs=1e-12)
        for equal in (1e-9, 0.3, 1.0):
            given = weighted_quantile(values, share, np.full(len(values), equal))
            assert given == pytest.approx(np.quantile(values, share), rel=1e-9, abs=1e-9)


def test_weighted_quantile_next_to_infinity() -> None:
    """Between a number and infinity the number is taken."""
    assert weighted_quantile(np.array([1.0, np.inf, 0.0]), 0.75, np.array([1.0, 2.0, 1.0])) == np.inf
    assert weighted_quantile(np.array([1.0, np.inf, 0.0]), 0.6, np.ones(3)) == 1.0


def test_weights_are_repetitions(X: Array) -> None:
    """A row of weight 3 is three equal rows, for the mixture and for the threshold."""
    weights = np.random.default_rng(1).integers(0, 4, size=len(X))
    weighted = GaussianMixtureOutlierDetector(two(tol=1e-9), contamination=0.07).fit(X, sample_weight=weights)
    repeated = GaussianMixtureOutlierDetector(two(tol=1e-9), contamination=0.07).fit(X.repeat(weights, axis=0))
    assert weighted.offset_ == pytest.approx(repeated.offset_, rel=1e-9)
    np.testing.assert_array_equal(weighted.predict(X), repeated.predict(X))
    assert weighted.offset_ != pytest.approx(GaussianMixtureOutlierDetector(two(), contamination=0.07).fit(X).offset_)
    both = GaussianMixtureOutlierDetector(two(tol=1e-9), contamination=0.07)
    np.testing.assert_array_equal(both.fit_predict(X, sample_weight=weights), weighted.predict(X))


def test_gaps(X: Array) -> None:
    """With missing='em' rows are judged by what is known of them."""
    gaps = X.copy()
    gaps[::7, 0] = np.nan
    detector = GaussianMixtureOutlierDetector(two(missing="em"), contamination=0.04).fit(gaps)
    assert detector.predict([[np.nan, 0.0], [np.nan, 30.0], [0.0, np.nan]]).tolist() == [1, -1, 1]
    scores = detector.mixture_.score_samples(gaps)
    assert detector.offset_ == pytest.approx(np.percentile(scores, 4))
    with pytest.raises(ValueError, match="NaN"):
        GaussianMixtureOutlierDetector(two()).fit(gaps)


def test_dask_collections(X: Array) -> None:
    """Rows of a Dask collection are judged where they lie; so they are with weights."""
    dask = pytest.importorskip("dask.array")
    rows = dask.from_array(X, chunks=(100, 2))
    weights = np.arange(len(X)) % 3
    for given in (None, weights):
        expected = GaussianMixtureOutlierDetector(two(tol=1e-9), contamination=0.04).fit(X, sample_weight=given)
        detector = GaussianMixtureOutlierDetector(two(tol=1e-9), contamination=0.04).fit(rows, sample_weight=given)
        assert detector.offset_ == pytest.approx(expected.offset_, rel=1e-9)
        np.testing.assert_array_equal(np.asarray(detector.predict(rows)), expected.predict(X))


def test_posterior(X: Array) -> None:
    """The mixture may be a posterior; its densities are what counts."""
    held = BayesianGaussianMixture(n_components=3, random_state=0, max_iter=500)
    detector = GaussianMixtureOutlierDetector(held, contamination=0.04).fit(X)
    assert isinstance(detector.mixture_, BayesianGaussianMixture) and not hasattr(held, "means_")
    assert detector.offset_ == pytest.approx(np.percentile(detector.mixture_.score_samples(X), 4))


# The estimator -----------------------------------------------------------------------------------------------------


def test_arguments() -> None:
    """Arguments of the mixture are arguments of the detector, and what is wrong with any is told."""
    detector = GaussianMixtureOutlierDetector(GaussianMixture(3))
    assert set(detector.get_params(deep=False)) == {"mixture", "contamination"}
    assert detector.get_params()["mixture__n_components"] == 3
    assert detector.set_params(mixture=GaussianMixture(4), mixture__tol=0.5).mixture.tol == 0.5
    assert repr(detector) == "GaussianMixtureOutlierDetector(mixture=GaussianMixture(n_components=4, tol=0.5))"
    with pytest.raises(ValueError, match=r"Invalid parameter 'toll' for estimator GaussianMixture\("):
        detector.set_params(contamination=0.2, mixture__toll=1)
    with pytest.raises(ValueError, match="Invalid parameter 'tol' for estimator GaussianMixtureOutlierDetector"):
        detector.set_params(mixture__tol=0.25, tol=1)
    with pytest.raises(ValueError, match=r"mixture=3 has no tol to set: it must be a GaussianMixture or Bayesian"):
        detector.set_params(mixture=3, mixture__tol=0.25)
    assert (detector.contamination, detector.mixture.tol) == (0.1, 0.5)
    with pytest.raises(NotFittedError, match="This GaussianMixtureOutlierDetector instance is not fitted yet"):
        detector.predict([[0.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"contamination": 0}, r"'contamination' parameter .* must be a float in the range \(0.0, 0.5\]"),
        ({"contamination": 0.6}, "Got 0.6 instead"),
        ({"contamination": "auto"}, "Got 'auto' instead"),
        ({"mixture": 3}, "'mixture' parameter .* must be a GaussianMixture or .* Got 3 instead"),
        ({"mixture": GaussianMixture(0)}, "'n_components' parameter of GaussianMixture"),
    ],
)
def test_refused(arguments: dict[str, Any], message: str) -> None:
    """Arguments that are out of range are refused by fit."""
    with pytest.raises(ValueError, match=message):
        GaussianMixtureOutlierDetector(**arguments).fit([[0.0], [1.0]])


def test_copies_and_pickles(X: Array) -> None:
    """A pickle answers as the detector does; a refit leaves nothing of the fit before."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b"])
    detector = GaussianMixtureOutlierDetector(two(), contamination=0.04).fit(frame)
    assert detector.feature_names_in_.tolist() == ["a", "b"] and detector.n_features_in_ == 2
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.decision_function(frame), detector.decision_function(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(frame.rename(columns={"a": "c"}))
    assert not hasattr(detector.fit(X), "feature_names_in_")


def test_ctrl_c_leaves_the_best_so_far(X: Array) -> None:
    """A fit that is cut short leaves a detector; one that fails leaves the one before."""

    def press(iteration: int, *_: Any) -> None:
        if iteration == 3:
            raise KeyboardInterrupt

    detector = GaussianMixtureOutlierDetector(two(callback=press), contamination=0.04)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(X)
    assert detector.mixture_.stop_reason_ == "interrupt"
    assert (detector.predict(X) == -1).sum() == 11
    before = detector.offset_
    with pytest.raises(ValueError, match="infinity"):
        detector.fit(X * np.inf)
    assert detector.offset_ == before


def test_page(X: Array) -> None:
    """Notebooks show the components and the threshold."""
    detector = GaussianMixtureOutlierDetector(two(), contamination=0.04)
    assert "not fitted" in detector._repr_html_()
    page = detector.fit(X)._repr_html_()
    assert f"log density below {detector.offset_:.6g}" in page and "2 components of 2 features" in page
