"""mixture.summary(): what `fastgmm show` prints, for any mixture, as text that a prompt shows."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from problems import DATASETS

from fastgmm import BayesianGaussianMixture, ConvergenceWarning, GaussianMixture, NotFittedError
from fastgmm.model.structures import STRUCTURES

IRIS = DATASETS["iris"]


@pytest.mark.parametrize("structure", [name for name in STRUCTURES if name not in ("E", "V")])
def test_numbers_are_those_of_the_mixture(structure: str) -> None:
    """The table has weights, means and deviations; correlations follow where features have some."""
    mixture = GaussianMixture(3, covariance_type=structure, random_state=0).fit(IRIS)
    text = mixture.summary()
    assert repr(text) == str(text) and isinstance(text, str)
    assert text.startswith(f"Gaussian mixture of 3 components, {structure} covariance\n")
    samples = mixture.sample(200_000)
    for k in range(3):
        line = next(line for line in text.splitlines() if re.match(rf" +{k}  0", line))
        numbers = [float(word) for word in re.findall(r"-?[\d.]+", line)]
        assert numbers[:2] == pytest.approx([k, mixture.weights_[k]], abs=1e-4)
        assert numbers[2::2] == pytest.approx(mixture.means_[k], abs=1e-3)
        assert numbers[3::2] == pytest.approx(samples[0][samples[1] == k].std(axis=0), rel=0.03)
    full = STRUCTURES[structure].triangular
    assert ("\ncorrelations\n" in text) == full
    assert f"converged after {mixture.n_iter_} iterations (tol 0.001)" in text
    assert f"{mixture.lower_bound_:.6f} per sample" in text


def test_kinds_of_mixtures() -> None:
    """Posteriors tell their evidence, noise its weight; what no fit has made, that; what did not converge, a remedy."""
    posterior = BayesianGaussianMixture(n_components=2, random_state=0, posterior="exact").fit(IRIS)
    assert f"evidence        at least {posterior.elbo_:.6f}" in posterior.summary()
    noisy = GaussianMixture(2, noise="auto", random_state=0).fit(IRIS)
    assert f"full covariance, noise of weight {noisy.noise_weight_:.4f}\n" in noisy.summary()
    assert "options         noise='auto', random_state=0\n" in noisy.summary()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        text = GaussianMixture(2, max_iter=1, random_state=0).fit(IRIS).summary()
    assert "NOT converged after 1 iteration (tol 0.001): allow more with max_iter\n" in text
    made = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]])
    assert "made from parameters, not by a fit" in made.summary()
    assert re.search(r"component +0\n +x0 ~ x1 +0.50$", made.summary())


def test_names() -> None:
    """Features are called as the columns of the rows."""
    pandas = pytest.importorskip("pandas")
    text = GaussianMixture().fit(pandas.DataFrame(IRIS[:, :2], columns=["length", "width"])).summary()
    assert "features        2: length, width\n" in text and "length ~ width" in text


def test_names_of_two_lines() -> None:
    """A name with a line break stays within its column."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"petal\nlength": IRIS[:, 2], "petal\twidth": IRIS[:, 3]})
    text = GaussianMixture(2, random_state=0).fit(frame).summary()
    assert " 2: petal length, petal width" in text and "petal length ~ petal width" in text
    assert len(text.splitlines()) == len(GaussianMixture(2, random_state=0).fit(IRIS[:, 2:]).summary().splitlines())


def test_bounded_size() -> None:
    """Of many components and features the first are shown; arrays among the options are cut short."""
    rng = np.random.default_rng(0)
    mixture = GaussianMixture(60, covariance_type="diag", reg_covar=1.0, means_init=rng.normal(size=(60, 40)))
    text = mixture.fit(rng.normal(size=(300, 40))).summary()
    assert "... and 10 more components" in text and "... and 28 more columns" in text
    assert max(map(len, text.splitlines())) <= 200


def test_not_fitted() -> None:
    """Without parameters there is no summary, nor without covariances."""
    mixture = GaussianMixture()
    with pytest.raises(NotFittedError, match="not fitted"):
        mixture.summary()
    mixture.weights_, mixture.means_, mixture.precisions_cholesky_ = np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1))
    with pytest.raises(NotFittedError, match="covariances_"):
        mixture.summary()


class Required(GaussianMixture):
    """An argument without a default."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


@pytest.mark.parametrize("mixture", [GaussianMixture(2, random_state=0), Required("a")])
def test_print_after_a_fit(mixture: Any) -> None:
    """A fitted mixture is printed as one line, the call that makes it."""
    before = str(mixture)
    assert str(mixture.fit(IRIS)) == before and "\n" not in before
    assert mixture.summary().startswith("Gaussian mixture of")
