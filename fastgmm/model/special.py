"""Special functions of positive numbers, in NumPy alone: log-gamma, digamma, and their sums over a Wishart's features.

Below `LEAST` the recurrences gamma(x + 1) = x gamma(x) and psi(x + 1) = psi(x) + 1 / x shift the argument; beyond, the
asymptotic series are exact to rounding (M. Abramowitz, I. A. Stegun. Handbook of Mathematical Functions, 1964, formulae
6.1.41 and 6.3.18).
"""

import math

import numpy as np

SHIFT = 12  # arguments below are shifted by it; from it on the series below are exact to rounding
HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)

# B_2n / (2n) and B_2n / (2n (2n - 1)), with the Bernoulli numbers B_2, B_4, ..., from the last to the first.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
DIGAMMA_SERIES = tuple(b / (2 * n) for n, b in enumerate(BERNOULLI, 1))[::-1]
LOG_GAMMA_SERIES = tuple(b / (2 * n * (2 * n - 1)) for n, b in enumerate(BERNOULLI, 1))[::-1]


def digamma(x: np.ndarray) -> np.ndarray:
    """psi(x), the derivative of log gamma(x)."""
    shifted, small = _shifted(x)
    squares = shifted**-2
    value = np.asarray(np.log(shifted) - 0.5 / shifted - squares * _polynomial(DIGAMMA_SERIES, squares))
    if small.any():
        value[small] -= (1 / _passed(x, small)).sum(axis=-1)
    return value


def log_gamma(x: np.ndarray) -> np.ndarray:
    """log gamma(x)."""
    shifted, small = _shifted(x)
    value = np.asarray((shifted - 0.5) * np.log(shifted) - shifted + HALF_LOG_2_PI)
    value += _polynomial(LOG_GAMMA_SERIES, shifted**-2) / shifted
    if small.any():
        value[small] -= np.log(_passed(x, small).prod(axis=-1))
    return value


def log_gamma_ratio(x: np.ndarray, more: float) -> np.ndarray:
    """log Gamma(x + more) - log Gamma(x), with its own digits however large x is."""
    large = np.maximum(x, SHIFT)
    last = large + more
    value = (last - 0.5) * np.log1p(more / large) + more * (np.log(large) - 1)
    value += _polynomial(LOG_GAMMA_SERIES, last**-2) / last - _polynomial(LOG_GAMMA_SERIES, large**-2) / large
    return np.where(x >= SHIFT, value, log_gamma(x + more) - log_gamma(x))


def log_beta(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """log of the beta function, gamma(a) gamma(b) / gamma(a + b)."""
    of_a, of_b, of_both = log_gamma(np.stack([a, b, a + b]))
    return np.asarray(of_a + of_b - of_both)


def halves(degrees_of_freedom: np.ndarray, n_features: int) -> np.ndarray:
    """(nu - i) / 2 for i = 0, ..., D - 1, in one more axis: what functions of a Wishart distribution sum over."""
    return 0.5 * (degrees_of_freedom[..., None] - np.arange(n_features))


def _shifted(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arguments from which the series are exact, and which of them had to be shifted."""
    x = np.asarray(x, np.float64)
    small = np.asarray(x < SHIFT)
    return np.array(x + SHIFT * small), small


def _passed(x: np.ndarray, small: np.ndarray) -> np.ndarray:
    """x, x + 1, ... up to the shifted argument, along one more axis, for those that were shifted."""
    return np.asarray(x, np.float64)[small][:, None] + np.arange(SHIFT)


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """A polynomial by Horner's rule, the highest power first."""
    value = np.full(np.shape(x), coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
