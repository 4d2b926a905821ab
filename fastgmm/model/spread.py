"""How far all rows lie apart along each feature: which features vary, and whether their squares can be represented."""

import numpy as np

ROUNDING = 1e3 * float(np.finfo(np.float64).eps)  # of a mean: what sums over equal values may leave as their deviation


def constant(deviations: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Which features of these standard deviations do not vary but by rounding, (D,)."""
    return ~(deviations > ROUNDING * np.abs(means))


def check_squares(variances: np.ndarray, means: np.ndarray, dtype: np.dtype) -> None:
    """Refuse rows whose squares overflow in their type."""
    if not variances.max() < np.finfo(dtype).max / 4:
        raise ValueError(
            f"The rows are too large to be fitted: squares of their distances overflow in {dtype} (their mean is as "
            f"large as {np.abs(means).max():.3g}). Divide each column by its standard deviation, or drop outliers."
        )
