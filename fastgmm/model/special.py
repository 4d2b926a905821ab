"""Special functions of positive numbers, in NumPy alone: log-gamma, digamma, and their sums over a Wishart's features.

Below `LEAST` the recurrences gamma(x + 1) = x gamma(x) and psi(x + 1) = psi(x) + 1 / x shift the argument; beyond, the
asymptotic series are exact to rounding (M. Abramowitz, I. A. Stegun. Handbook of Mathematical Functions, 1964, formulae
6.1.41 and 6.3.18).
"""

import math

import numpy as np

LEAST = 12.0  # argument from which the series below are exact to rounding
HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)

# B_2n / (2n) and B_2n / (2n (2n - 1)), with the Bernoulli numbers B_2, B_4, ..., from the last to the first.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
DIGAMMA_SERIES = tuple(b / (2 * n) for n, b in enumerate(BERNOULLI, 1))[::-1]
LOG_GAMMA_SERIES = tuple(b / (2 * n * (2 * n - 1)) for n, b in enumerate(BERNOULLI, 1))[::-1]


def digamma(x: np.ndarray) -> np.ndarray:
    """psi(x), the derivative of log gamma(x)."""
    x, below = np.array(x, np.float64), np.zeros(np.shape(x))
    while (small := x < LEAST).any():
        below[small] += 1 / x[small]
        x[small] += 1
    squares = x**-2
    return np.log(x) - 0.5 / x - squares * _polynomial(DIGAMMA_SERIES, squares) - below


def log_gamma(x: np.ndarray) -> np.ndarray:
    """log gamma(x)."""
    x, product = np.array(x, np.float64), np.ones(np.shape(x))
    while (small := x < LEAST).any():
        product[small] *= x[small]
        x[small] += 1
    series = _polynomial(LOG_GAMMA_SERIES, x**-2) / x
    return (x - 0.5) * np.log(x) - x + HALF_LOG_2_PI + series - np.log(product)


def log_beta(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """log of the beta function, gamma(a) gamma(b) / gamma(a + b)."""
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b)


def halves(degrees_of_freedom: np.ndarray, n_features: int) -> np.ndarray:
    """(nu - i) / 2 for i = 0, ..., D - 1, in one more axis: what functions of a Wishart distribution sum over."""
    return 0.5 * (degrees_of_freedom[..., None] - np.arange(n_features))


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """A polynomial by Horner's rule, the highest power first."""
    value = np.full(np.shape(x), coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
