"""Libraries whose mixtures are scikit-learn's, each as it is and with scikit-learn patched: the same results, or alike.

`.ci/peers` installs them and runs this; their own releases hold no tests of these parts, hmmlearn's excepted.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgmm


def peer(name: str) -> Any:
    """Return a module of a library that is installed, however it fails to be imported; else skip."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed")
    return importlib.import_module(name)


GROUPS = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 2.0], [0.0, 8.0, -3.0]])


@pytest.fixture
def X() -> np.ndarray[Any, Any]:
    """Three groups, and a few rows far away."""
    rng = np.random.default_rng(0)
    rows = [centre + rng.normal(size=(700, 3)) * [1, 0.5, 2] for centre in GROUPS]
    return np.concatenate([*rows, rng.uniform(-60, 60, size=(20, 3))])


@pytest.fixture
def both(caplog: pytest.LogCaptureFixture) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """Return what makes two of something: as it is, and patched, when fastgmm must have done all the work."""

    def made(make: Callable[[], Any]) -> tuple[Any, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            as_it_is = make()
            with caplog.at_level(logging.INFO, "fastgmm"), fastgmm.patch_sklearn():
                patched = make()
        said = [record.getMessage() for record in caplog.records]
        assert [line for line in said if "left to scikit-learn" in line] == []
        assert any(line.startswith("fit ended") for line in said), "fastgmm has fitted nothing"
        return as_it_is, patched

    return made


def test_rdt_normalizer(both: Any) -> None:
    """RDT's columns get as good a bound, as many components but for one, and come back from their components."""
    numerical, pandas = peer("rdt.transformers.numerical"), peer("pandas")
    rng = np.random.default_rng(1)
    few = rng.choice(3, size=2000, p=[0.5, 0.3, 0.2])
    columns = {
        "groups": np.array([0.0, 20.0, 35.0])[few] + rng.normal(size=2000),
        "positive": np.where(rng.random(2000) < 0.3, 0.0, np.exp(rng.normal(size=2000))),
        "counts": np.array([1.0, 5.0, 90.0])[few],
        "gaps": np.where(rng.random(2000) < 0.1, np.nan, rng.normal(size=2000)),
    }
    for name, values in columns.items():
        table = pandas.DataFrame({name: values})

        def fitted(table: Any = table, name: str = name) -> Any:
            normalizer = numerical.ClusterBasedNormalizer(max_clusters=10)
            normalizer.fit(table, name)
            return normalizer, normalizer.reverse_transform(normalizer.transform(table))[name].to_numpy()

        (theirs, their_values), (ours, our_values) = both(fitted)
        models = theirs._bgm_transformer, ours._bgm_transformer
        assert isinstance(models[1], type(models[0])), name
        assert models[1].lower_bound_ > models[0].lower_bound_ - 0.01 * len(values), name
        known = ~np.isnan(values)
        for normalizer, back in ((theirs, their_values), (ours, our_values)):
            error = np.abs(back[known] - values[known])
            assert np.nanmedian(error) <= 1e-6 * np.abs(values[known]).max(), name
            weights = normalizer._bgm_transformer.weights_
            assert (normalizer.valid_component_indicator == (weights > 0.005)).all()
        counts = [int(normalizer.valid_component_indicator.sum()) for normalizer in (theirs, ours)]
        assert abs(counts[0] - counts[1]) <= 2, f"{name}: {counts} components"


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_pyod_gmm(X: Any, both: Any, structure: str) -> None:
    """PyOD's detector finds the same outliers, by the same scores."""
    gmm = peer("pyod.models.gmm")
    start = {"weights_init": np.full(3, 1 / 3), "means_init": GROUPS, "tol": 1e-8, "max_iter": 1000}
    start["precisions_init"] = {"full": np.tile(np.eye(3), (3, 1, 1)), "tied": np.eye(3), "diag": np.ones((3, 3))}.get(
        structure, np.ones(3)
    )
    theirs, ours = both(lambda: gmm.GMM(3, covariance_type=structure, contamination=0.01, **start).fit(X))
    np.testing.assert_allclose(ours.decision_scores_, theirs.decision_scores_, rtol=1e-3)
    assert ours.threshold_ == pytest.approx(theirs.threshold_, rel=1e-3)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    np.testing.assert_allclose(ours.decision_function(X[:9]), theirs.decision_function(X[:9]), rtol=1e-3)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "lower_bound_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-2, atol=1e-3)
    assert ours.converged_ and theirs.converged_


def test_pyod_defaults(X: Any, both: Any) -> None:
    """With one component, PyOD's default, results are equal."""
    gmm = peer("pyod.models.gmm")
    theirs, ours = both(lambda: gmm.GMM(random_state=0).fit(X))
    np.testing.assert_allclose(ours.decision_scores_, theirs.decision_scores_, rtol=1e-9)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)


@pytest.mark.parametrize("name", ["GMMClassifier", "BayesianGMMClassifier"])
def test_lego_classifiers(X: Any, both: Any, name: str) -> None:
    """scikit-lego's classifiers give the same classes, and nearly the same probabilities."""
    sklego = peer("sklego.mixture")
    rows, y = X[:2100], np.repeat(["a", "b", "c"], 700)
    theirs, ours = both(lambda: getattr(sklego, name)(n_components=1, random_state=0, max_iter=300).fit(rows, y))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    wide = both(lambda: getattr(sklego, name)(n_components=2, random_state=0, max_iter=300).fit(rows, y))
    assert min((model.predict(rows) == y).mean() for model in wide) > 0.99


@pytest.mark.parametrize("name", ["GMMOutlierDetector", "BayesianGMMOutlierDetector"])
@pytest.mark.parametrize("method", ["quantile", "stddev"])
def test_lego_detectors(X: Any, both: Any, name: str, method: str) -> None:
    """scikit-lego's detectors find the rows far away, at thresholds as near as fits from other draws can be."""
    sklego = peer("sklego.mixture")
    options = {"threshold": 0.99 if method == "quantile" else 3, "method": method, "n_components": 3, "n_init": 3}
    theirs, ours = both(lambda: getattr(sklego, name)(random_state=0, max_iter=500, **options).fit(X[:2100]))
    assert ours.likelihood_threshold_ == pytest.approx(theirs.likelihood_threshold_, rel=0.02)
    assert (ours.predict(X) == theirs.predict(X)).mean() > 0.995
    assert (ours.predict(X[2100:]) == -1).mean() >= 0.9


@pytest.mark.parametrize("name", ["GaussianMixtureNB", "BayesianGaussianMixtureNB"])
def test_lego_naive_bayes(X: Any, both: Any, name: str) -> None:
    """scikit-lego's naive Bayes, a mixture per class and column, gives the same classes."""
    bayes = peer("sklego.naive_bayes")
    rows, y = X[:2100], np.repeat([0, 1, 2], 700)
    theirs, ours = both(lambda: getattr(bayes, name)(n_components=2, random_state=0, max_iter=500).fit(rows, y))
    assert (ours.predict(rows) == theirs.predict(rows)).mean() > 0.995
