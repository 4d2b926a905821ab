"""digamma, log-gamma and log-beta against SciPy, over all magnitudes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from fastgmm.model.special import digamma, halves, log_beta, log_gamma, log_gamma_ratio

ARGUMENTS = np.concatenate([np.logspace(-300, 300, 4001), np.linspace(1e-3, 40, 20001)])


@pytest.mark.parametrize(("ours", "theirs"), [(digamma, special.digamma), (log_gamma, special.gammaln)])
def test_functions_of_one_argument(ours, theirs) -> None:
    """To a few roundings, relative, or absolute where the function is below one."""
    expected = theirs(ARGUMENTS)
    assert (np.abs(ours(ARGUMENTS) - expected) / np.maximum(np.abs(expected), 1)).max() < 5e-14


def test_arguments_stay_as_they_are() -> None:
    """Nothing is shifted in place."""
    x = np.array([0.5, 3.0])
    digamma(x)
    log_gamma(x)
    np.testing.assert_array_equal(x, [0.5, 3.0])


def test_numbers() -> None:
    """A number is an array without axes."""
    for x in (0.3, 30.0):
        assert float(digamma(np.float64(x))) == pytest.approx(special.digamma(x), rel=1e-14)
        assert float(log_gamma(np.float64(x))) == pytest.approx(special.gammaln(x), rel=1e-14)


def test_beta_function() -> None:
    """From its definition."""
    a, b = np.array([0.3, 2.0, 150.0]), np.array([4.0, 1e-3, 7.5])
    np.testing.assert_allclose(log_beta(a, b), special.betaln(a, b), rtol=1e-12)


def test_sums_over_features_are_those_of_a_wishart() -> None:
    """The multivariate log-gamma function, but for its power of pi."""
    nu = np.array([3.5, 80.0])
    summed = log_gamma(halves(nu, 3)).sum(axis=-1) + 1.5 * np.log(np.pi)
    np.testing.assert_allclose(summed, [special.multigammaln(value / 2, 3) for value in nu], rtol=1e-13)


@pytest.mark.parametrize("more", [1, 2, 7, 40])
def test_ratios_of_gamma_functions(more: int) -> None:
    """For whole numbers a product of factors, whose logarithm has its digits for any argument."""
    x = np.concatenate([np.logspace(-3, 300, 1001), np.linspace(0.1, 40, 101)])
    expected = np.log(x[:, None] + np.arange(more)).sum(axis=1)
    error = np.abs(log_gamma_ratio(x, float(more)) - expected) / np.maximum(np.abs(expected), more)
    assert error.max() < 1e-13
