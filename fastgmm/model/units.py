"""Units in which the kernels see rows: powers of two near the spread of each feature.

Multiplying by a power of two is exact. What is worked out in such units has therefore the same digits whatever the
units of the data, and overflows only where the result does. Parameters and statistics are in the units of the data;
what the kernels leave of densities is per unit of volume, and `log_volume` takes it to the units of the data.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from .kernel_model import KernelModel
from .masked import masked
from .parameters import Parameters
from .structure import Structure

# Units in which float32 rows may stay as they are: the squares of what is far smaller or larger are representable.
COMFORTABLE = 2.0**-8, 2.0**24
LARGEST_EXPONENT = 120  # of a scale, which float32 has to hold
LOG_2 = 0.6931471805599453
LARGEST_FLOAT32 = 126  # exponent of a mean that it holds, with room


def powers_of_two(values: np.ndarray) -> np.ndarray:
    """The next larger power of two of each positive number; for 0 and what is not finite, the largest of the others'.

    1 where there is none.
    """
    good = (values > 0) & (values < np.inf)
    exponents = np.frexp(np.where(good, values, 1.0))[1]
    if not good.all():
        exponents = np.where(good, exponents, exponents[good].max() if good.any() else 0)
    return np.ldexp(1.0, np.minimum(exponents, 1023))


class Units(NamedTuple):
    """A power of two for each feature (D,), and the sum of their logarithms."""

    sizes: np.ndarray
    log_volume: float

    @classmethod
    def of(cls, deviations: np.ndarray) -> Self:
        """Units near some standard deviations (D,)."""
        return cls.of_sizes(powers_of_two(deviations))

    @classmethod
    def of_sizes(cls, sizes: np.ndarray) -> Self:
        """Units of these sizes."""
        return cls(sizes, LOG_2 * float(np.frexp(sizes)[1].sum() - len(sizes)))

    @classmethod
    @masked
    def of_mixture(cls, structure: Structure, parameters: Parameters) -> Self:
        """Units near the largest standard deviations among the components."""
        deviations = 1 / np.minimum.reduce(structure.diagonals(parameters.precisions_cholesky))
        return cls.of(np.broadcast_to(deviations, parameters.means.shape[1:]))

    def scales(self, structure: Structure, dtype: np.dtype, means: np.ndarray) -> np.ndarray | None:
        """What rows of this type must be multiplied by, (D,), before the kernels square them; None for nothing.

        Means (K, D) multiplied by it stay representable.
        """
        if dtype.itemsize == 8 or (structure.common_frame and structure.triangular):  # whitened in double precision
            return None
        sizes = self.sizes
        if sizes.min() < COMFORTABLE[0]:
            sizes = np.maximum(sizes, np.ldexp(1.0, np.frexp(np.abs(means).max(axis=0))[1] - LARGEST_FLOAT32))
        if len(structure.per_feature(sizes)) < len(sizes):  # features are not told apart
            sizes = np.full(len(sizes), sizes.max())
        return scales(sizes)

    def inverse(self, dtype: np.dtype) -> np.ndarray:
        """What rows of this type are multiplied by to have these units, (D,)."""
        largest = LARGEST_EXPONENT if dtype.itemsize == 4 else 1020
        return np.ldexp(1.0, np.clip(1 - np.frexp(self.sizes)[1], -largest, largest))

    def kernel_model(
        self, structure: Structure, parameters: Parameters, dtype: np.dtype, origin: np.ndarray | None = None
    ) -> KernelModel:
        """The mixture as the kernels read it."""
        scales = self.scales(structure, dtype, parameters.means)
        sizes = self.sizes
        if scales is not None:
            parameters, sizes = structure.rescaled(parameters, scales), sizes * scales
            origin = None if origin is None else origin * scales
        model = structure.kernel_model(parameters, dtype, origin, sizes)
        return model._replace(scales=scales, log_volume=self.log_volume)


def scales(sizes: np.ndarray) -> np.ndarray | None:
    """What float32 rows of these units must be multiplied by before they are squared, (D,); None for nothing."""
    least, most = COMFORTABLE
    if least <= sizes.min() and sizes.max() <= most:
        return None
    return Units(sizes, 0.0).inverse(np.dtype(np.float32))


def rescaled(X: np.ndarray, scales: np.ndarray | np.float64 | None) -> np.ndarray:
    """Rows multiplied by powers of two, in their own type; what this takes beyond it stays as large as it can be."""
    if scales is None:
        return X
    try:
        with np.errstate(over="raise", under="ignore"):
            return np.multiply(X, scales, dtype=X.dtype, casting="same_kind")
    except FloatingPointError:
        largest = np.finfo(X.dtype).max
        with np.errstate(over="ignore", under="ignore"):
            return np.clip(np.multiply(X, scales, dtype=X.dtype, casting="same_kind"), -largest, largest)
