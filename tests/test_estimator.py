"""GaussianMixture gives scikit-learn's results from the same start, with its attributes and types, on any data."""

from __future__ import annotations

import copy
import doctest
import importlib
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import DTYPES, PARAMETERS, Array, assert_same_fit, copy_parameters, interrupt, table_of
from reference import STRUCTURES

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.mixture import base, progress
from fastgmm.sources.array import ArraySource

FITTED = (*PARAMETERS, "converged_", "n_iter_", "lower_bound_", "lower_bounds_", "n_features_in_")
OWN_FITTED = ("degenerate_", "fits_", "n_samples_seen_", "stop_reason_")
N_COMPONENTS, N_FEATURES = 3, 4


@pytest.fixture(scope="module")
def X() -> Array:
    """Three overlapping groups, so that EM is still on its way after fifty iterations."""
    rng = np.random.default_rng(0)
    groups = [
        rng.normal(size=(n, N_FEATURES)) @ rng.normal(size=(N_FEATURES, N_FEATURES)) + rng.normal(size=N_FEATURES)
        for n in (150, 100, 61)
    ]
    return np.concatenate(groups)


def explicit_start(X: Array, structure: str) -> dict[str, Any]:
    """An explicit start that is no fixed point."""
    precision = np.diag(1 / X.var(axis=0)) + 0.01
    precisions = {
        "full": np.stack([precision * (1 + k) for k in range(N_COMPONENTS)]),
        "tied": precision,
        "diag": np.stack([np.diag(precision) * (1 + k) for k in range(N_COMPONENTS)]),
        "spherical": np.arange(1.0, 1.0 + N_COMPONENTS) / X.var(),
    }
    return {
        "n_components": N_COMPONENTS,
        "covariance_type": structure,
        "weights_init": np.array([0.5, 0.3, 0.2]),
        "means_init": X[[0, 160, 300]].copy(),
        "precisions_init": precisions[structure],
    }


# Parity -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_iter", [1, 5, 50])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_fit_equals_scikit_learn(X: Array, sklearn_mixture: Any, structure: str, max_iter: int) -> None:
    """From the same start the fit and what is computed with it equal scikit-learn's in double precision."""
    options = {**explicit_start(X, structure), "tol": 0.0, "max_iter": max_iter}
    ours, theirs = GaussianMixture(**options).fit(X), sklearn_mixture(**options).fit(X)
    assert_same_fit(ours, theirs, 1e-8)
    assert {*FITTED, *OWN_FITTED} == {name for name in vars(ours) if name.endswith("_")}
    for method in ("score_samples", "predict_proba", "score", "bic", "aic"):
        np.testing.assert_allclose(getattr(ours, method)(X), getattr(theirs, method)(X), rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert base.fitted(ours).n_parameters == theirs._n_parameters()


@pytest.mark.parametrize("max_iter", [1, 5, 50])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_float32_fit_equals_scikit_learn_float64(X: Array, sklearn_mixture: Any, structure: str, max_iter: int) -> None:
    """For float32 rows the fit equals what scikit-learn finds for the same rows in double precision."""
    rows = X.astype(np.float32)
    options = {**explicit_start(X, structure), "tol": 0.0, "max_iter": max_iter}
    ours = GaussianMixture(**options).fit(rows)
    assert_same_fit(ours, sklearn_mixture(**options).fit(rows.astype(np.float64)), 1e-4, same_dtype=False)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_convergence_equals_scikit_learn(X: Array, sklearn_mixture: Any, structure: str) -> None:
    """EM stops at the same iteration as scikit-learn, with the same bounds."""
    options = {**explicit_start(X, structure), "tol": 1e-3, "max_iter": 500}
    ours, theirs = GaussianMixture(**options).fit(X), sklearn_mixture(**options).fit(X)
    assert 2 < ours.n_iter_ < 500
    assert ours.converged_
    assert_same_fit(ours, theirs, 1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_types_of_attributes(X: Array, sklearn_mixture: Any, structure: str, dtype: str) -> None:
    """Attributes and results have scikit-learn's types, dtypes and shapes."""
    rows = X.astype(dtype)
    options = {"n_components": N_COMPONENTS, "covariance_type": structure, "random_state": 0, "max_iter": 3, "tol": 0.0}
    ours, theirs = GaussianMixture(**options).fit(rows), sklearn_mixture(**options).fit(rows)
    for name in FITTED:
        actual, expected = getattr(ours, name), getattr(theirs, name)
        assert type(actual) is type(expected), name
        assert np.shape(actual) == np.shape(expected), name
        assert np.asarray(actual).dtype == np.asarray(expected).dtype, name
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "aic", "fit_predict"):
        actual, expected = getattr(ours, method)(rows), getattr(theirs, method)(rows)
        assert type(actual) is type(expected), method
        assert np.asarray(actual).dtype == np.asarray(expected).dtype, method
    samples = ours.sample(3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "covariance is not symmetric")  # scikit-learn's, in float32
        their_samples = theirs.sample(3)
    assert [array.dtype for array in samples] == [array.dtype for array in their_samples]


# Starts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("given", [(), ("weights",), ("means",), ("precisions",), ("weights", "means")])
def test_partial_starts(X: Array, sklearn_mixture: Any, structure: str, given: tuple[str, ...]) -> None:
    """Parameters that are not given come from init_params, drawn as in scikit-learn."""
    everything = explicit_start(X, structure)
    options = {name: everything[name] for name in ("n_components", "covariance_type")}
    options |= {f"{name}_init": everything[f"{name}_init"] for name in given}
    options |= {"init_params": "random", "random_state": 3, "tol": 0.0, "max_iter": 4}
    assert_same_fit(GaussianMixture(**options).fit(X), sklearn_mixture(**options).fit(X), 1e-6)


def test_given_precisions_need_no_covariances(X: Array, sklearn_mixture: Any) -> None:
    """Given precisions, covariances of single rows are not needed, so they cannot fail."""
    options = {**explicit_start(X, "full"), "means_init": None, "init_params": "random_from_data", "random_state": 0}
    options |= {"reg_covar": 0.0, "max_iter": 3, "tol": 0.0}
    ours, theirs = GaussianMixture(**options).fit(X), sklearn_mixture(**options).fit(X)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-8)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_no_iterations(X: Array, structure: str) -> None:
    """max_iter=0 keeps the start, silently."""
    options = explicit_start(X, structure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixture = GaussianMixture(**options, max_iter=0).fit(X)
    np.testing.assert_array_equal(mixture.weights_, options["weights_init"])
    np.testing.assert_array_equal(mixture.means_, options["means_init"])
    np.testing.assert_allclose(mixture.precisions_, options["precisions_init"], rtol=1e-12, atol=1e-14)
    assert (mixture.n_iter_, mixture.converged_, mixture.lower_bound_) == (0, False, -np.inf)
    assert mixture.lower_bounds_ == []


def test_no_iterations_keep_the_last_start(X: Array, sklearn_mixture: Any) -> None:
    """Without bounds to compare, the last of several starts is kept, as in scikit-learn."""
    options = {"n_components": N_COMPONENTS, "init_params": "random", "random_state": 0, "n_init": 3, "max_iter": 0}
    ours, theirs = GaussianMixture(**options).fit(X), sklearn_mixture(**options).fit(X)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-9)
    assert not np.allclose(ours.means_, GaussianMixture(**{**options, "n_init": 1}).fit(X).means_, rtol=1e-6)


def test_start_parameters_unchanged(X: Array) -> None:
    """Lists given as starts stay lists on the estimator, and arrays are neither kept nor changed."""
    options = explicit_start(X, "full")
    before = copy.deepcopy(options)
    lists = {**options, "means_init": options["means_init"].tolist()}
    mixture = GaussianMixture(**lists, max_iter=3).fit(X)
    for name, value in lists.items():
        assert getattr(mixture, name) is value
    np.testing.assert_equal(options, before)
    kept = GaussianMixture(**options, max_iter=0).fit(X)
    assert not np.shares_memory(kept.means_, options["means_init"])


def test_n_init_keeps_the_best(X: Array) -> None:
    """Five initializations are five fits from one random state, of which the best sound one is kept."""
    options = {"n_components": 5, "init_params": "random_from_data", "max_iter": 10, "tol": 0.0}
    state = np.random.RandomState(0)
    fits = [GaussianMixture(**options, random_state=state).fit(X) for _ in range(5)]
    together = GaussianMixture(**options, n_init=5, random_state=np.random.RandomState(0)).fit(X)
    sound = [fit for fit, record in zip(fits, together.fits_, strict=True) if record.sound]
    assert len({fit.lower_bound_ for fit in sound}) > 1
    assert_same_fit(together, max(sound, key=lambda fit: fit.lower_bound_), 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_warm_start_continues(X: Array, structure: str, dtype: str) -> None:
    """Two warm fits of five iterations are one of ten."""
    rows = X.astype(dtype)
    options = {**explicit_start(X, structure), "tol": 0.0}
    warm = GaussianMixture(**options, max_iter=5, warm_start=True).fit(rows)
    first = list(warm.lower_bounds_)
    warm.fit(rows)
    once = GaussianMixture(**options, max_iter=10).fit(rows)
    rtol = 1e-12 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(first + warm.lower_bounds_, once.lower_bounds_, rtol=rtol)
    np.testing.assert_allclose(warm.means_, once.means_, rtol=rtol, atol=rtol)


def test_warm_start_compares_with_the_previous_bound(X: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """A fit that had converged converges again in its first iteration; n_init then no longer counts."""
    mixture = GaussianMixture(**explicit_start(X, "full"), warm_start=True, n_init=3, max_iter=500).fit(X)
    assert mixture.n_iter_ > 1
    mixture.set_params(verbose=1).fit(X)
    assert capsys.readouterr().out == "Initialization 0\nInitialization converged.\n"
    assert mixture.converged_
    assert mixture.n_iter_ == 1


def test_warm_start_first_call_initializes(X: Array) -> None:
    """Parameters set by hand are no previous fit."""
    mixture = GaussianMixture(2, warm_start=True, random_state=0)
    mixture.means_ = np.full((2, N_FEATURES), 1e9)
    mixture.fit(X)
    assert_same_fit(mixture, GaussianMixture(2, random_state=0).fit(X), 1e-12)


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("kind", [int, np.random.RandomState, np.random.default_rng])
def test_random_states(X: Array, method: str, kind: Any) -> None:
    """Equal random states of any kind give equal fits and samples; others do not."""

    def run(seed: int) -> tuple[Array, Array]:
        mixture = GaussianMixture(N_COMPONENTS, init_params=method, max_iter=1, random_state=kind(seed)).fit(X)
        return mixture.means_, mixture.sample(20)[0]

    (means, samples), (again, drawn) = run(5), run(5)
    np.testing.assert_array_equal(means, again)
    np.testing.assert_array_equal(samples, drawn)
    assert not np.array_equal(samples, run(6)[1])


def test_global_random_state(X: Array) -> None:
    """None means NumPy's global random state, as in scikit-learn."""
    state = np.random.get_state()
    try:
        np.random.seed(3)
        drawn = GaussianMixture(N_COMPONENTS, init_params="random", max_iter=2).fit(X).means_
        np.random.seed(3)
        again = GaussianMixture(N_COMPONENTS, init_params="random", max_iter=2).fit(X).means_
    finally:
        np.random.set_state(state)
    seeded = GaussianMixture(N_COMPONENTS, init_params="random", max_iter=2, random_state=3).fit(X).means_
    np.testing.assert_array_equal(drawn, again)
    np.testing.assert_array_equal(drawn, seeded)


# What fit says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verbose", "interval"), [(True, 2), (1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("max_iter", [0, 3, 100])
def test_verbose(
    X: Array,
    sklearn_mixture: Any,
    capsys: pytest.CaptureFixture[str],
    verbose: int,
    interval: int,
    max_iter: int,
) -> None:
    """The printed lines are scikit-learn's, but for the times."""
    options = {**explicit_start(X, "full"), "max_iter": max_iter, "verbose": verbose, "verbose_interval": interval}
    options |= {"n_init": 2, "tol": 0.05, "init_params": "random"}
    if max_iter == 0:
        options["precisions_init"] = None  # scikit-learn fails without its covariances

    def printed(estimator: Any) -> str:
        estimator(**options).fit(X)
        return re.sub(r"time lapse \d+\.\d{5}s", "time lapse", capsys.readouterr().out)

    assert printed(GaussianMixture) == printed(sklearn_mixture)


def test_verbose_times(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Times of iterations count from the line before, those of initializations from their start."""
    clock = iter([10.0, 11.0, 13.0, 20.0])
    monkeypatch.setattr(progress, "perf_counter", lambda: next(clock))
    printer = progress.Printed(2, 5)
    printer.begin(1)
    for n_iter in range(1, 11):
        printer.iteration(1, n_iter, -1.0, 0.25)
    printer.end(1, -1.0, "max_iter")
    assert re.findall(r"lapse (.*)s", capsys.readouterr().out) == ["1.00000", "2.00000", "10.00000"]


def test_nothing_printed_by_default(X: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed unless asked for."""
    GaussianMixture(2).fit(X)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("method", ["fit", "fit_predict"])
def test_convergence_warning(X: Array, sklearn_mixture: Any, method: str) -> None:
    """The warning has scikit-learn's words, is caught by both names, and points at the caller."""
    options = {**explicit_start(X, "full"), "max_iter": 2}
    with pytest.warns(UserWarning, match="did not converge") as theirs:
        getattr(sklearn_mixture(**options), method)(X)
    with pytest.warns(UserWarning, match="did not converge") as ours:
        getattr(GaussianMixture(**options), method)(X)
    assert str(ours[0].message) == str(theirs[0].message)
    assert len(ours) == 1
    assert issubclass(ours[0].category, theirs[0].category)
    assert issubclass(ours[0].category, fastgmm.ConvergenceWarning)
    assert Path(ours[0].filename).name == Path(__file__).name


def test_no_warning_when_converged(X: Array) -> None:
    """A fit that converges gives no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianMixture(**explicit_start(X, "full"), max_iter=500).fit(X)


# Labels and transactions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("max_iter", [0, 3])
def test_fit_predict_equals_predict(X: Array, structure: str, dtype: str, max_iter: int) -> None:
    """The labels are those of the parameters after the last M-step, to the last bit of the attributes."""
    rows = X.astype(dtype)
    mixture = GaussianMixture(N_COMPONENTS, covariance_type=structure, max_iter=max_iter, random_state=0)
    labels = mixture.fit_predict(rows)
    assert set(labels) == set(range(N_COMPONENTS))
    np.testing.assert_array_equal(labels, mixture.predict(rows))
    np.testing.assert_array_equal(labels, mixture.predict_proba(rows).argmax(axis=1))


def test_fit_computes_no_labels(X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """fit makes no pass for labels, fit_predict makes one."""
    calls = []
    labels = ArraySource.labels
    monkeypatch.setattr(ArraySource, "labels", lambda *a: calls.append(a) or labels(*a))
    GaussianMixture(2).fit(X)
    assert not calls
    GaussianMixture(2).fit_predict(X)
    assert len(calls) == 1


@pytest.mark.parametrize("place", ["fastgmm.fitting.starts.prepare", "fastgmm.gaussian_mixture.np.array"])
@pytest.mark.parametrize("method", ["fit", "fit_predict"])
def test_interrupted_fit_changes_nothing(X: Array, monkeypatch: pytest.MonkeyPatch, method: str, place: str) -> None:
    """Ctrl-C before or after EM leaves a fitted estimator as it was."""
    mixture = GaussianMixture(2, random_state=0).fit(X)
    before = pickle.dumps(mixture)

    with monkeypatch.context() as patch:
        patch.setattr(place, interrupt)
        with pytest.raises(KeyboardInterrupt):
            getattr(mixture, method)(X + 1)
    assert pickle.dumps(mixture) == before


def test_interrupted_labels_keep_the_fit(X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the last pass of fit_predict comes when the fit has been taken over."""
    mixture = GaussianMixture(2, random_state=0).fit(X)
    monkeypatch.setattr(ArraySource, "labels", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mixture.fit_predict(X + 1)
    assert_same_fit(mixture, GaussianMixture(2, random_state=0).fit(X + 1), 0)


def test_refit_replaces_everything(X: Array) -> None:
    """A second fit leaves nothing of the first, and keeps attributes that are not its own."""
    mixture = GaussianMixture(2, random_state=0).fit(X)
    mixture.note = "kept"
    mixture.set_params(n_components=N_COMPONENTS, covariance_type="diag").fit(X[:, :2])
    assert_same_fit(mixture, GaussianMixture(N_COMPONENTS, covariance_type="diag", random_state=0).fit(X[:, :2]), 1e-12)
    assert mixture.n_features_in_ == 2
    assert mixture.note == "kept"


# Mixtures made by hand, samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_parameters_set_by_hand(X: Array, sklearn_mixture: Any, structure: str, dtype: str) -> None:
    """Predictions of a mixture set by hand equal scikit-learn's."""
    options = {"n_components": N_COMPONENTS, "covariance_type": structure}
    fitted = GaussianMixture(**options, random_state=0).fit(X.astype(dtype))
    names = ("weights_", "means_", "precisions_cholesky_")
    ours, theirs = (
        copy_parameters(GaussianMixture(**options), fitted, names),
        copy_parameters(sklearn_mixture(**options), fitted, names),
    )
    rtol = 1e-10 if dtype == "float64" else 1e-5  # scikit-learn whitens the means in float32
    for method in ("score_samples", "predict_proba", "score", "bic", "aic"):
        np.testing.assert_allclose(getattr(ours, method)(X), getattr(theirs, method)(X), rtol=rtol, atol=rtol / 1e4)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_lower_triangular_factors(X: Array, sklearn_mixture: Any, structure: str) -> None:
    """Lower triangular precision factors, as np.linalg.cholesky gives, serve as well as upper ones."""
    options = {"n_components": N_COMPONENTS, "covariance_type": structure}
    fitted = GaussianMixture(**options, random_state=0).fit(X)
    fitted.precisions_cholesky_ = np.linalg.cholesky(fitted.precisions_)
    ours, theirs = (
        copy_parameters(GaussianMixture(**options), fitted),
        copy_parameters(sklearn_mixture(**options), fitted),
    )
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-9)


def test_changed_attributes_take_effect(X: Array) -> None:
    """Parameters changed after a fit, in place or not, are used at once."""
    mixture = GaussianMixture(2, random_state=0).fit(X)
    labels = mixture.predict(X)
    assert set(labels) == {0, 1}
    mixture.weights_[:] = [1.0, 0.0]
    np.testing.assert_array_equal(mixture.predict(X), 0)
    mixture.weights_ = np.array([0.0, 1.0])
    np.testing.assert_array_equal(mixture.predict(X), 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_samples_equal_scikit_learn(X: Array, sklearn_mixture: Any, structure: str, dtype: str) -> None:
    """An int or a RandomState draws scikit-learn's labels, samples and next numbers, an int the same at each call.

    Samples of matrices come from the same normal numbers by another root.
    """
    options = {"n_components": N_COMPONENTS, "covariance_type": structure}
    fitted = GaussianMixture(**options, random_state=0).fit(X.astype(dtype))
    rtol = 1e-12 if dtype == "float64" else 1e-4
    for seed in (7, np.random.RandomState(7)):
        ours = copy_parameters(GaussianMixture(**options, random_state=copy.deepcopy(seed)), fitted)
        theirs = copy_parameters(sklearn_mixture(**options, random_state=copy.deepcopy(seed)), fitted)
        for n_samples in (1, 50):
            got, labels = ours.sample(n_samples)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "covariance is not symmetric")  # scikit-learn's, in float32
                expected, expected_labels = theirs.sample(n_samples)
            np.testing.assert_array_equal(labels, expected_labels)
            if structure in ("diag", "spherical"):
                np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)
            assert np.all(np.diff(labels) >= 0)


def test_sample_with_weights_in_float32() -> None:
    """Weights whose rounded sum exceeds one are no obstacle."""
    mixture = GaussianMixture(3, covariance_type="spherical", random_state=0)
    mixture.weights_ = np.array([0.5, 0.50000006, 0.0], dtype=np.float32)
    mixture.means_, mixture.covariances_ = np.zeros((3, 1)), np.ones(3)
    assert set(mixture.sample(100)[1]) == {0, 1}


def test_sample_needs_covariances_only(X: Array) -> None:
    """Weights, means and covariances set by hand are enough to draw samples."""
    fitted = GaussianMixture(2, random_state=0).fit(X)
    ours = copy_parameters(GaussianMixture(2, random_state=0), fitted, ("weights_", "means_", "covariances_"))
    np.testing.assert_array_equal(ours.sample(5)[0], fitted.sample(5)[0])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_sample_from_a_generator(structure: str) -> None:
    """Samples drawn by a Generator have the moments of the mixture."""
    means = np.array([[0.0, 0.0], [100.0, -100.0]])
    rows = np.random.default_rng(0).normal(size=(400, 2)) @ np.array([[1.0, 0.5], [0.0, 2.0]])
    mixture = GaussianMixture(2, covariance_type=structure, means_init=means, random_state=np.random.default_rng(1))
    mixture.fit(np.concatenate([rows, rows[:200] + means[1]]))
    samples, labels = mixture.sample(30_000)
    assert samples.shape == (30_000, 2)
    for k in range(2):
        drawn = samples[labels == k]
        np.testing.assert_allclose(len(drawn) / 30_000, mixture.weights_[k], atol=0.02)
        np.testing.assert_allclose(drawn.mean(axis=0), mixture.means_[k], atol=0.1)
        spread = np.cov(drawn.T)
        expected = mixture.covariances_ if structure == "tied" else mixture.covariances_[k]
        if structure in ("full", "tied"):
            np.testing.assert_allclose(spread, expected, atol=0.25)
        else:
            np.testing.assert_allclose(np.diag(spread), np.broadcast_to(expected, 2), rtol=0.06)
    assert not np.array_equal(mixture.sample(3)[0], mixture.sample(3)[0])


def test_criteria_take_lists() -> None:
    """bic and aic take what fit takes."""
    rows = [[0.0], [1.0], [3.0]]
    mixture = GaussianMixture().fit(rows)
    assert mixture.bic(rows) == pytest.approx(-6 * mixture.score(rows) + 2 * np.log(3))
    assert mixture.aic(rows) == pytest.approx(-6 * mixture.score(rows) + 4)


# Data -------------------------------------------------------------------------------------------------------------


def readonly(rows: Array) -> Array:
    """A copy that must not be written."""
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


def misaligned(rows: Array) -> Array:
    """A copy that starts at an odd address."""
    raw = np.zeros(rows.nbytes + 1, dtype=np.uint8)
    view = raw[1:].view(rows.dtype).reshape(rows.shape)
    view[:] = rows
    return view


IN_PLACE = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "every other row": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "every other column": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
    "reversed": lambda rows: rows[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": readonly,
}
CONVERTED = {
    "misaligned": misaligned,
    "big-endian": lambda rows: rows.astype(">f8"),
    "long double": lambda rows: rows.astype(np.longdouble),
    "int8": lambda rows: rows.astype(np.int8),
    "uint64": lambda rows: rows.astype(np.uint64),
    "big-endian int16": lambda rows: rows.astype(">i2"),
    "bool": lambda rows: rows > 8,
    "float16": lambda rows: rows.astype(np.float16),
    "objects": lambda rows: rows.astype(object),
    "list": lambda rows: rows.tolist(),
    "tuple": lambda rows: tuple(map(tuple, rows.tolist())),
    "unmasked": np.ma.masked_array,
    "subclass": lambda rows: rows.view(np.recarray),
}
whole = np.random.default_rng(1).integers(1, 16, size=(40, 2)).astype(np.float64)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """The arrays that reach the kernels."""
    seen: list[Array] = []
    initialize = ArraySource.__init__

    def record(self: ArraySource, X: Array, *args: Any, **options: Any) -> None:
        seen.append(X)
        initialize(self, X, *args, **options)

    monkeypatch.setattr(ArraySource, "__init__", record)
    return seen


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", IN_PLACE)
def test_arrays_are_read_in_place(sources: list[Array], layout: str, dtype: str) -> None:
    """An array of floats is never copied, whatever its strides, and never written."""
    rows = IN_PLACE[layout](whole.astype(dtype))
    before = rows.copy()
    mixture = GaussianMixture(random_state=0).fit(rows)
    assert sources[0] is rows
    assert mixture.means_.dtype == mixture.predict_proba(rows).dtype == dtype
    np.testing.assert_allclose(mixture.means_, whole.mean(axis=0)[np.newaxis], rtol=1e-6)
    np.testing.assert_allclose(mixture.score_samples(rows), mixture.score_samples(before), rtol=1e-6)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("kind", CONVERTED)
def test_other_data_become_float64(sources: list[Array], kind: str) -> None:
    """Whatever is not an array of native floats is converted to float64."""
    data = CONVERTED[kind](whole)
    mixture = GaussianMixture(random_state=0).fit(data)
    assert sources[0].dtype == np.float64
    assert sources[0].flags.aligned
    assert type(sources[0]) is np.ndarray
    np.testing.assert_allclose(mixture.means_[0], np.mean(data, axis=0, dtype=np.float64), rtol=1e-12)
    assert mixture.score_samples(data).dtype == np.float64


def test_big_endian_float32_stays_float32(sources: list[Array]) -> None:
    """Another byte order does not change the precision."""
    mixture = GaussianMixture().fit(whole.astype(">f4"))
    assert sources[0].dtype.isnative
    assert mixture.means_.dtype == np.float32
    np.testing.assert_allclose(mixture.means_[0], whole.mean(axis=0), rtol=1e-6)


def test_memory_map(sources: list[Array], tmp_path: Path) -> None:
    """A memory map is read where it is."""
    np.save(tmp_path / "rows.npy", whole)
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    mixture = GaussianMixture().fit(rows)
    assert np.shares_memory(sources[0], rows)
    np.testing.assert_allclose(mixture.means_[0], whole.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables(library: str, dtype: str) -> None:
    """Tables are taken with their column names, float32 as such."""
    rows = whole.astype(dtype)
    table = table_of(library, a=rows[:, 0], b=rows[:, 1])
    mixture = GaussianMixture(random_state=0).fit(table)
    assert mixture.means_.dtype == dtype
    assert mixture.feature_names_in_.tolist() == ["a", "b"]
    assert mixture.feature_names_in_.dtype == object
    np.testing.assert_array_equal(mixture.means_, GaussianMixture(random_state=0).fit(rows).means_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(mixture.predict(table)) == len(whole)
    mixture.fit(whole)
    assert not hasattr(mixture, "feature_names_in_")


def test_tables_of_mixed_columns() -> None:
    """Integers, booleans, float32 and nullable columns side by side become float64."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"i": [1, 2, 4], "b": [True, False, True], "f": np.float32([0.5, 1.5, 2.5])})
    table["n"] = pandas.array([3, 1, 2], dtype="Int64")
    mixture = GaussianMixture().fit(table)
    assert mixture.means_.dtype == np.float64
    np.testing.assert_allclose(mixture.means_[0], [7 / 3, 2 / 3, 1.5, 2.0])


def test_pandas_block_is_not_copied(sources: list[Array]) -> None:
    """pandas keeps columns of one dtype in one array, which is read in place."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(whole)
    GaussianMixture().fit(table)
    assert np.shares_memory(sources[0], table.to_numpy())


def test_numbers_whose_sum_overflows() -> None:
    """Finite numbers are taken even where their sum is not finite."""
    rows = np.full((2, 1), 3e38, dtype=np.float32)
    with np.errstate(over="ignore"):
        assert not np.isfinite(rows.sum())
    assert GaussianMixture().fit([[0.0], [1.0]]).predict(rows).tolist() == [0, 0]


# Documentation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["gaussian_mixture", "exceptions"]
    + [f"mixture.{name}" for name in ("base", "distribution", "outliers", "persistence", "protocol")],
)
def test_docstrings(name: str) -> None:
    """Every example runs, and every public method has one."""
    module = importlib.import_module(f"fastgmm.{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 0
    assert results.failed == 0
    for attribute in dir(GaussianMixture):
        if not attribute.startswith("_") and not attribute.endswith(("_request", "_routing")):
            assert "Examples" in (getattr(GaussianMixture, attribute).__doc__ or ""), attribute
