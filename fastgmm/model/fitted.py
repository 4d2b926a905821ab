"""A fitted mixture as a value: what every question about rows, features or criteria is asked of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .frames import frame_of
from .kernel_model import KernelModel
from .masked import masked
from .parameters import Parameters
from .structure import Structure
from .units import Units


@dataclass(frozen=True, eq=False)
class Fitted:
    """Structure and parameters of a mixture, and the names of its features; immutable but for what it remembers.

    Attributes
    ----------
    structure : Structure
    parameters : Parameters
    feature_names : ndarray of str of shape (D,), or None
    """

    structure: Structure
    parameters: Parameters
    feature_names: np.ndarray | None = None
    _kernel_models: dict[np.dtype, KernelModel] = field(default_factory=dict, repr=False)

    @property
    def n_components(self) -> int:
        """K."""
        return len(self.parameters.means)

    @property
    def n_columns(self) -> int:
        """How many responsibilities a row has: K, and one more where there is noise."""
        return self.n_components + (self.parameters.noise is not None)

    @property
    def without_noise(self) -> Fitted:
        """The mixture of rows that are no noise; its weights need not sum to one."""
        return self if self.parameters.noise is None else replace(self, parameters=replace(self.parameters, noise=None))

    @property
    def n_features(self) -> int:
        """D."""
        return self.parameters.means.shape[1]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        return self.structure.n_parameters(*self.parameters.means.shape)

    def kernel_model(self, dtype: np.dtype) -> KernelModel:
        """The mixture as the kernels read it for complete rows of this type, made once."""
        model = self._kernel_models.get(dtype)
        if model is None:
            model = self._kernel_models[dtype] = self._kernel_model(dtype)
        return model

    @masked
    def _kernel_model(self, dtype: np.dtype) -> KernelModel:
        """The same, made anew; refuse means that rows of this type cannot hold, or float64 where they are whitened."""
        means, factors = self.parameters.means, self.parameters.precisions_cholesky
        mixture = self.structure, self.parameters
        frame = frame_of(*mixture, dtype)
        units = Units.of_mixture(*mixture)
        model = None if frame is None else frame.kernel_model(*mixture, dtype, units)
        model = model or units.kernel_model(*mixture, dtype)
        arrays = (model.centers, model.center_rounding, means * self.structure.diagonals(factors))
        if not all(np.isfinite(array).all() for array in arrays):
            remedy = "Pass float64 rows, or fit" if dtype.itemsize == 4 else "Fit"
            raise ValueError(
                f"The mixture is out of range for {dtype} rows: its means lie too many standard deviations apart, and "
                f"distances overflow. {remedy} rows of which each column is divided by its standard deviation."
            )
        return model
