"""Saving and loading keep every bit; conversion to scikit-learn and ONNX keeps all predictions."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from problems import (
    DTYPES,
    PARAMETERS,
    Array,
    assert_identical,
    bits,
    interrupt,
    mixture_of_three,
    quiet_fit,
    symmetric_roots,
    three_spreads,
)
from reference import STRUCTURES

import fastgmm
from fastgmm import GaussianMixture

# Round trip ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_round_trip(tmp_path: Path, structure: str, dtype: str) -> None:
    """Everything comes back to the last bit, and so do predictions; a loaded mixture can be fitted and saved again."""
    model = mixture_of_three(structure, dtype, n_init=3, tol=1e-5)
    model.save(tmp_path / "model")
    loaded = fastgmm.load(str(tmp_path / "model"))
    assert_identical(model, loaded)
    X = three_spreads(dtype)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.sample(9)[0], model.sample(9)[0])
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    assert_identical(loaded.fit(X).fits_[0]._replace(seconds_em=0) and model, fastgmm.load(tmp_path / "again"))


@pytest.mark.parametrize(
    "options",
    [
        {"max_iter": 0},
        {"acceleration": "squarem", "convergence": "aitken", "max_time": 1e-9, "reg_covar": "auto"},
        {"n_threads": 1, "init_params": "best", "warm_start": True, "degenerate": "repair"},
    ],
)
def test_round_trip_of_options(tmp_path: Path, options: dict[str, Any]) -> None:
    """Arguments that are numbers, strings or None, and the stop reason, come back."""
    model = mixture_of_three(**options)
    model.save(tmp_path / "model")
    assert_identical(model, fastgmm.load(tmp_path / "model"))


def test_round_trip_of_repairs(tmp_path: Path) -> None:
    """Records of repaired components come back, the tied covariance's among them."""
    X = np.column_stack([three_spreads()[:, 0], np.ones(180)])
    for structure in ("full", "tied"):
        model = GaussianMixture(2, covariance_type=structure, reg_covar=0, random_state=0)
        with pytest.warns(fastgmm.DegenerateComponentWarning):
            model.fit(X)
        model.save(tmp_path / "model")
        assert_identical(model, fastgmm.load(tmp_path / "model"))


def test_round_trip_of_feature_names(tmp_path: Path) -> None:
    """Names of any letters come back as strings in an array of objects."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(three_spreads(), columns=["a", "größe", 'q"\n', "\N{GRINNING FACE}"])
    model = GaussianMixture(2, random_state=0).fit(table)
    model.save(tmp_path / "model")
    loaded = fastgmm.load(tmp_path / "model")
    assert_identical(model, loaded)
    loaded.predict(table)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_round_trip_without_fit(tmp_path: Path, structure: str) -> None:
    """Mixtures of known parameters, derived ones, and ones with nothing but what `predict` reads."""
    twin = reference.random_model(np.random.default_rng(0), structure, 3, 4, condition=1e10)
    whole = GaussianMixture.from_parameters(*twin[1:], structure)
    bare = GaussianMixture(3, covariance_type=structure)
    bare.weights_, bare.means_ = whole.weights_.astype(np.float32), whole.means_.tolist()
    bare.precisions_cholesky_ = np.asfortranarray(whole.precisions_cholesky_).astype(">f8")
    for model in (whole, whole.condition(0, 1.0), whole.marginal([2, 1])):
        model.save(tmp_path / "model")
        assert_identical(model, fastgmm.load(tmp_path / "model"))
    bare.save(tmp_path / "model")
    loaded = fastgmm.load(tmp_path / "model")
    assert not hasattr(loaded, "covariances_") and not hasattr(loaded, "converged_")
    np.testing.assert_array_equal(loaded.predict_proba(three_spreads()), bare.predict_proba(three_spreads()))


def test_round_trip_of_asymmetric_covariance(tmp_path: Path) -> None:
    """Covariances that rounding has made asymmetric are made symmetric, so that all that is kept agrees."""
    model = GaussianMixture.from_parameters([1], [[0, 0]], [[[1, 0.5 + 1e-7], [0.5, 1]]])
    np.testing.assert_array_equal(model.covariances_[0], model.covariances_[0].T)
    model.save(tmp_path / "model")
    assert_identical(model, fastgmm.load(tmp_path / "model"))


def test_round_trip_of_symmetric_roots(tmp_path: Path) -> None:
    """Factors set by hand need not be triangular."""
    model = mixture_of_three()
    model.precisions_cholesky_ = symmetric_roots(model.precisions_)
    model.save(tmp_path / "model")
    assert_identical(model, fastgmm.load(tmp_path / "model"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", ["full", "tied"])
def test_round_trip_of_ill_conditioned_fits(tmp_path: Path, structure: str, dtype: str) -> None:
    """Ill-conditioned mixtures that a fit has accepted can always be saved and loaded."""
    rng = np.random.default_rng(0)
    for noise in 10.0 ** np.arange(-9, 0):
        X = rng.normal(size=(200, 1)) * np.ones(6) * 10.0 ** np.arange(-3, 3) + 5
        X = (X + noise * rng.normal(size=(200, 6)) * 10.0 ** np.arange(-3, 3)).astype(dtype)
        model = quiet_fit(X, n_components=2, covariance_type=structure, reg_covar=0, random_state=0)
        model.save(tmp_path / "model")
        assert_identical(model, fastgmm.load(tmp_path / "model"))


def hostile_table(rng: np.random.Generator, dtype: str) -> Array:
    """Rows whose columns are constant, one-hot, repeated, integers, mostly zero, or in odd units."""
    n = int(rng.integers(6, 80))
    kinds = [
        lambda: np.full(n, rng.choice([0, 1, -3.5, 255])),
        lambda: rng.integers(0, 2, n),
        lambda: np.eye(5)[rng.integers(0, 5, n)][:, 0],
        lambda: np.repeat(rng.normal(size=n // 3 + 1), 3)[:n],
        lambda: rng.integers(-9, 9, n),
        lambda: np.where(rng.random(n) < 0.5, 0, rng.normal(size=n) * 16),
        lambda: rng.normal(size=n) * 10.0 ** rng.integers(-12, 9),
        lambda: rng.normal(size=n) + 10.0 ** rng.integers(0, 5),
        lambda: rng.poisson(0.3, n) / 255,
        lambda: rng.normal(size=n) * (rng.random(n) < 0.1),
    ]
    X = np.column_stack([kinds[i]() for i in rng.integers(0, len(kinds), int(rng.integers(1, 9)))])
    return X.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_fit_can_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, structure: str, dtype: str) -> None:
    """Fits of hostile tables, with each option, and what is made of them, come back with every bit."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # which takes more time than the rest
    X = np.array([[1, 1], [0, 1], [0, 0], [1, 1], [0, 1], [0, 0]], dtype)
    tables = [X, np.eye(7)[np.random.default_rng(1).integers(0, 7, 60)].astype(dtype)]
    tables += [hostile_table(np.random.default_rng(seed), dtype) for seed in range(40)]
    saved = 0
    for seed, X in enumerate(tables):
        options = {"reg_covar": [1e-6, "auto", 0.0][seed % 3], "init_params": ["kmeans", "random"][seed % 2]}
        try:
            model = quiet_fit(X, n_components=1 + seed % 5, covariance_type=structure, random_state=2, **options)
        except ValueError:  # of too few rows, or of numbers that overflow
            continue
        model.save(tmp_path / "model")
        loaded = fastgmm.load(tmp_path / "model")
        assert_identical(model, loaded)
        assert_identical(model, pickle.loads(pickle.dumps(model)))
        assert bits((loaded.predict_proba(X), loaded.score_samples(X))) == bits(
            (model.predict_proba(X), model.score_samples(X))
        )
        saved += 1
    assert saved > 30


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_what_is_made_of_fits_can_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, structure: str, dtype: str
) -> None:
    """Streams, steps by hand, marginals, conditions, selections and mixtures of known parameters, likewise."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = np.column_stack([hostile_table(rng, dtype)[:6] for _ in range(2)] + [rng.normal(size=6).astype(dtype)])
        X = np.concatenate([X, X[::-1] + np.arange(6, dtype=dtype)[:, np.newaxis]])
        model = quiet_fit(X, n_components=2, covariance_type=structure, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statistics = fastgmm.statistics(model, X)
            statistics.save(tmp_path / "statistics")
            again = fastgmm.Statistics.load(tmp_path / "statistics")
            made = [
                fastgmm.maximize(model, again),
                model.marginal(-1),
                model.condition(-1, float(X[0, -1])),
                fastgmm.select(X, (1, 2), structure, random_state=0).best_estimator_,
                GaussianMixture.from_parameters(model.weights_, model.means_, [1.0, 2.0]),
                quiet_fit(X, n_components=2, covariance_type=structure, random_state=0).partial_fit(X[::2]),
            ]
        for name in ("reference", "counts", "sums", "scatters"):
            assert bits(getattr(again, name)) == bits(getattr(statistics, name))
        for derived in made:
            derived.save(tmp_path / "model")
            loaded = fastgmm.load(tmp_path / "model")
            for name in PARAMETERS:
                assert bits(getattr(loaded, name)) == bits(getattr(derived, name)), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_wrong_numbers_are_refused_in_any_units(tmp_path: Path, structure: str, dtype: str) -> None:
    """Covariances, precisions and factors that do not belong together are refused, however small or large."""
    limit = 35 if dtype == "float32" else 480
    for power in (-limit, -33, 0, 33, limit):
        X = three_spreads(dtype) * np.dtype(dtype).type(2.0**power)
        sound = quiet_fit(X, n_components=2, covariance_type=structure, random_state=0, reg_covar=0)
        sound.save(tmp_path / "model")
        for name in ("covariances_", "precisions_", "precisions_cholesky_"):
            for factor in (2, 1.001, -1, 0):
                wrong = copy.copy(sound)
                setattr(wrong, name, getattr(wrong, name) * np.dtype(dtype).type(factor))
                with pytest.raises(ValueError, match=r"belong to|should be positive|holds"):
                    wrong.save(tmp_path / "model")


def test_equal_fits_give_equal_files(tmp_path: Path) -> None:
    """What is saved or pickled holds no times; they come back as NaN."""
    models = [mixture_of_three(n_init=2) for _ in range(2)]
    models[0].fit(three_spreads()).fit(pickle.loads(pickle.dumps(three_spreads())))
    models.append(pickle.loads(pickle.dumps(models[1])))
    for number, model in enumerate(models):
        model.save(tmp_path / str(number))
    assert len({(tmp_path / str(number)).read_bytes() for number in range(3)}) == 1
    assert len({pickle.dumps(model) for model in models}) == 1
    assert models[1].fits_[0].seconds_em > 0
    for again in (fastgmm.load(tmp_path / "1"), pickle.loads(pickle.dumps(models[1])), copy.deepcopy(models[1])):
        assert np.isnan([record[:2] for record in again.fits_]).all()
        assert again.fits_ == [record.untimed for record in models[1].fits_]


def test_arguments_not_saved(tmp_path: Path) -> None:
    """Arrays, callables and generators come back as defaults, NumPy's numbers as Python's."""
    model = GaussianMixture(
        np.int64(2),
        tol=np.float64(0.5),
        init_params=lambda X, k, rng: X[:2],
        means_init=[[0] * 4, [5] * 4],
        weights_init=np.array([0.5, 0.5]),
        random_state=np.random.default_rng(0),
        callback=lambda *_: False,
    ).fit(three_spreads())
    model.save(tmp_path / "model")
    loaded = fastgmm.load(tmp_path / "model")
    assert repr(loaded) == "GaussianMixture(n_components=2, tol=0.5)"
    np.testing.assert_array_equal(loaded.means_, model.means_)


class Derived(GaussianMixture):
    """A subclass."""


def test_load_of_subclass(tmp_path: Path) -> None:
    """`load` of a subclass gives that; `fastgmm.load` gives the class itself."""
    Derived.from_parameters([1], [[0.0]], [1.0], "spherical").save(tmp_path / "model")
    assert type(Derived.load(tmp_path / "model")) is Derived
    assert type(fastgmm.load(tmp_path / "model")) is GaussianMixture


# Saving -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["os.replace", "os.fsync", "numpy.lib.format.write_array"])
def test_failed_save_keeps_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """An error or Ctrl-C on the way: the old file is whole, and nothing else is left behind."""
    path = tmp_path / "model"
    mixture_of_three("diag").save(path)
    before = path.read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr(broken, interrupt)
        with pytest.raises(KeyboardInterrupt):
            mixture_of_three("full").save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_unsavable_mixtures(tmp_path: Path) -> None:
    """save refuses what load could not read, and paths that are no files."""
    path = tmp_path / "model"
    with pytest.raises(fastgmm.NotFittedError):
        GaussianMixture().save(path)
    stale = mixture_of_three()
    stale.covariances_ = 2 * stale.covariances_
    with pytest.raises(ValueError, match="covariances_ are not those that belong to precisions_cholesky_"):
        stale.save(path)
    with pytest.raises(ValueError, match="'n_init' parameter"):
        mixture_of_three().set_params(n_init=0).save(path)
    with pytest.raises(ValueError, match="is not a file"):
        mixture_of_three().save(tmp_path)
    with pytest.raises(FileNotFoundError):
        mixture_of_three().save(tmp_path / "nowhere" / "model")
    wide = GaussianMixture.from_parameters([1], np.zeros((1, 2)), [[1.0, 1.0]], "diag")
    wide.feature_names_in_ = np.array(["x" * (1 << 24), "y"], dtype=object)
    with pytest.raises(ValueError, match="Shorten the names"):
        wide.save(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions and links of POSIX")
def test_permissions_and_links(tmp_path: Path) -> None:
    """A new file has usual permissions, a replaced one keeps its own, and a link stays one."""
    (tmp_path / "plain").touch()
    mixture_of_three().save(tmp_path / "model")
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "model").chmod(0o640)
    (tmp_path / "link").symlink_to("model")
    mixture_of_three("diag").save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o640
    assert fastgmm.load(tmp_path / "model").covariance_type == "diag"


# scikit-learn and ONNX ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_to_and_from_sklearn(structure: str, dtype: str) -> None:
    """Equal predictions and equal attributes, there and back."""
    mixture = pytest.importorskip("sklearn.mixture")
    X = three_spreads(dtype)
    model = mixture_of_three(structure, dtype, init_params="best", reg_covar="auto", tol=1e-4)
    theirs = model.to_sklearn()
    assert (theirs.tol, theirs.reg_covar, theirs.init_params) == (1e-4, 1e-6, "kmeans")
    rtol = 1e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(theirs.score_samples(X), model.score_samples(X), rtol=rtol)
    np.testing.assert_array_equal(theirs.predict(X), model.predict(X))
    np.testing.assert_array_equal(theirs.sample(5)[1], model.sample(5)[1])
    fresh = mixture.GaussianMixture(3, covariance_type=structure, random_state=0).fit(X)
    assert vars(theirs).keys() == vars(fresh).keys()
    for name in PARAMETERS:
        assert getattr(theirs, name).tobytes() == getattr(model, name).tobytes(), name
        assert not np.shares_memory(getattr(theirs, name), getattr(model, name))
    ours = GaussianMixture.from_sklearn(fresh)
    assert ours.get_params().items() >= fresh.get_params().items()
    np.testing.assert_allclose(ours.score_samples(X), fresh.score_samples(X), rtol=rtol)
    np.testing.assert_array_equal(ours.predict(X), fresh.predict(X))
    back = ours.to_sklearn()
    assert_identical(fresh, back)
    assert ours.stop_reason_ == "tol"


def test_to_sklearn_without_fit() -> None:
    """to_sklearn fills in missing attributes and makes precision factors triangular."""
    pytest.importorskip("sklearn.mixture")
    model = mixture_of_three()
    bare = GaussianMixture(3, random_state=np.random.default_rng(0))
    bare.weights_, bare.means_ = model.weights_, model.means_
    bare.precisions_cholesky_ = symmetric_roots(model.precisions_)
    theirs = bare.to_sklearn()
    np.testing.assert_allclose(theirs.score_samples(three_spreads()), model.score_samples(three_spreads()), rtol=1e-10)
    np.testing.assert_allclose(theirs.covariances_, model.covariances_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(theirs.precisions_, model.precisions_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_to_sklearn_warns_of_lost_digits(structure: str) -> None:
    """Where scikit-learn's formulae move rows by a visible part of a deviation, and only there, a warning says so."""
    pytest.importorskip("sklearn.mixture")
    X = np.random.default_rng(0).normal(size=(200, 2))
    for dtype, offset, visible in (("f4", 1e2, False), ("f4", 1e6, True), ("f8", 1e6, False), ("f8", 1e13, True)):
        rows = (X + offset).astype(dtype)
        model = quiet_fit(rows, covariance_type=structure, reg_covar=0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            theirs = model.to_sklearn()
        assert bool(caught) is visible
        if visible:
            assert "lose digits" in str(caught[0].message) and caught[0].filename == __file__
        else:
            lost = abs(theirs.score_samples(rows) - model.score_samples(rows))
            assert lost.max() < 1e-2


def test_bad_sklearn_conversions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other estimators, unfitted ones, and a missing scikit-learn are refused."""
    mixture = pytest.importorskip("sklearn.mixture")
    with pytest.raises(TypeError, match="but got BayesianGaussianMixture"):
        GaussianMixture.from_sklearn(mixture.BayesianGaussianMixture())
    with pytest.raises(fastgmm.NotFittedError):
        GaussianMixture.from_sklearn(mixture.GaussianMixture())
    with pytest.raises(fastgmm.NotFittedError):
        GaussianMixture().to_sklearn()
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(ImportError, match=r"pip install 'fastgmm\[sklearn\]'"):
        mixture_of_three().to_sklearn()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_onnx(structure: str, dtype: str) -> None:
    """As the docstring of `to_sklearn` shows: labels, responsibilities and log-likelihoods from the ONNX runtime."""
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    X, model = three_spreads(dtype), mixture_of_three(structure, dtype)
    onnx_model = skl2onnx.to_onnx(model.to_sklearn(), X[:1], options={"score_samples": True})
    session = onnxruntime.InferenceSession(onnx_model.SerializeToString())
    labels, probabilities, log_likelihoods = session.run(None, {"X": X})
    atol = 1e-3 if dtype == "float32" else 1e-10
    np.testing.assert_array_equal(labels.ravel(), model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=atol)
    np.testing.assert_allclose(log_likelihoods.ravel(), model.score_samples(X), atol=atol)
