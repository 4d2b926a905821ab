"""The data sets shipped have the published values and likelihoods, and are read-only."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fastgmm import GaussianMixture
from fastgmm.datasets import Dataset, load_faithful, load_iris


def fitted_log_likelihood(data: np.ndarray, n_components: int, covariance_type: str, means: np.ndarray) -> float:
    """Log-likelihood of all rows at the maximum reached from these means."""
    model = GaussianMixture(
        n_components, covariance_type=covariance_type, means_init=means, reg_covar=0.0, tol=1e-12, max_iter=20_000
    )
    return float(model.fit(data).score(data)) * len(data)


@pytest.mark.parametrize("load", [load_iris, load_faithful])
def test_dataset_is_frozen(load: type[Dataset]) -> None:
    """Neither the fields nor the numbers can be changed, and each call gives the same."""
    dataset = load()
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.data = np.zeros((1, 1))  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        dataset.data[0, 0] = 0.0
    np.testing.assert_array_equal(load().data, dataset.data)
    assert dataset.data.dtype == np.float64
    assert dataset.data.flags.c_contiguous
    assert dataset.data.shape[1] == len(dataset.feature_names)


def test_iris() -> None:
    """Rows 35 and 38 are those of R's iris; the classes are three times fifty; the means are Fisher's."""
    iris = load_iris()
    assert iris.data.shape == (150, 4)
    assert iris.feature_names[:2] == ("sepal length (cm)", "sepal width (cm)")
    assert iris.target_names == ("setosa", "versicolor", "virginica")
    assert iris.target is not None
    assert iris.target.dtype == np.int64
    assert not iris.target.flags.writeable
    np.testing.assert_array_equal(iris.target, np.repeat([0, 1, 2], 50))
    np.testing.assert_array_equal(iris.data[[34, 37]], [[4.9, 3.1, 1.5, 0.2], [4.9, 3.6, 1.4, 0.1]])
    means = [iris.data[iris.target == species].mean(axis=0) for species in range(3)]
    published = [[5.006, 3.428, 1.462, 0.246], [5.936, 2.770, 4.260, 1.326], [6.588, 2.974, 5.552, 2.026]]
    np.testing.assert_allclose(means, published, atol=1e-12)
    for source in ("Anderson", "1935", "Fisher", "1936"):
        assert source in iris.description


def test_iris_equals_scikit_learn() -> None:
    """The numbers are those of scikit-learn's copy, bit for bit."""
    theirs = pytest.importorskip("sklearn.datasets").load_iris()
    ours = load_iris()
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_array_equal(ours.target, theirs.target)
    assert list(ours.feature_names) == theirs.feature_names


def test_iris_likelihood() -> None:
    """The tied model reaches mclust's likelihood of EEE with three components."""
    iris = load_iris()
    assert iris.target is not None
    means = np.array([iris.data[iris.target == species].mean(axis=0) for species in range(3)])
    assert fitted_log_likelihood(iris.data, 3, "tied", means) == pytest.approx(-256.354043, abs=2e-6)


def test_faithful() -> None:
    """The moments are those of R's faithful."""
    faithful = load_faithful()
    assert faithful.data.shape == (272, 2)
    assert faithful.feature_names == ("eruptions", "waiting")
    assert faithful.target is None
    assert faithful.target_names == ()
    np.testing.assert_allclose(faithful.data.mean(axis=0), [3.487783, 70.897059], atol=1e-6)
    np.testing.assert_allclose(faithful.data.std(axis=0, ddof=1), [1.141371, 13.594974], atol=1e-6)
    for source in ("Azzalini", "Bowman", "1990", "Old Faithful"):
        assert source in faithful.description


@pytest.mark.parametrize(
    ("covariance_type", "means", "published"),
    [
        ("tied", [[3.8, 77.5], [2.0, 54.5], [4.5, 80.8]], -1126.315928),
        ("full", [[2.0, 54.5], [4.3, 80.0]], -1130.263960),
        ("diag", [[2.0, 54.5], [4.3, 80.0]], -1147.806353),
        ("spherical", [[2.0, 54.5], [4.3, 80.0]], -1709.529282),
    ],
)
def test_faithful_likelihoods(covariance_type: str, means: list[list[float]], published: float) -> None:
    """Each structure reaches mclust's likelihood (EEE with three components; VVV, VVI, VII with two)."""
    reached = fitted_log_likelihood(load_faithful().data, len(means), covariance_type, np.array(means))
    assert reached == pytest.approx(published, abs=2e-6)
