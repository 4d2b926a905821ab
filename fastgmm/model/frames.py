"""Frames in which the components of a constrained structure are alike: spheres, or without correlations.

Under a common shape rows are whitened once, under common axes turned once, where densities in the features themselves
take a triangle for each component.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels import CHOSEN, COMMON_AXES, COMMON_FRAME, COMMON_SHAPE
from .factors import algebra_workspace, inverse, packed
from .kernel_model import KernelModel, center
from .masked import masked
from .parameters import Parameters
from .structure import Structure
from .units import Units

LEAST_FEATURES = 8  # for fewer, entering a frame costs as much as it saves
ALIKE = {8: 1e-9, 4: 4e-6}  # by the size of numbers: parts of a deviation that may miss the frame


class Turn(NamedTuple):
    """A step of axes, by angles between each two of them (D, D), after so many that led the same way."""

    angles: np.ndarray
    number: int


class Frame(NamedTuple):
    """Where y = W (x - origin) has a covariance of 1 / s_k^2 times the identity, or diag(1 / s_k^2), in component k."""

    axes: np.ndarray | None  # (D, D), one in each row, of which W is a multiple row by row
    whitener: np.ndarray  # W: (D,) if it is diagonal, or (D, D)
    scales: np.ndarray  # s_k, (K,) or (K, D)
    turn: Turn | None = None  # that led to the axes

    def enter(self, shifts: np.ndarray) -> np.ndarray:
        """W times each row of an array."""
        return shifts * self.whitener if self.whitener.ndim == 1 else np.einsum("ni,ji->nj", shifts, self.whitener)

    def leave(self, shifts: np.ndarray) -> np.ndarray:
        """The inverse of W times each row of an array."""
        if self.whitener.ndim == 1:
            return shifts / self.whitener
        if self.axes is not None:
            return np.einsum("ni,ij->nj", shifts / np.linalg.norm(self.whitener, axis=1), self.axes)
        return np.einsum("ni,ij->nj", shifts, inverse(self.whitener.T[None])[0])

    def kernel_model(
        self,
        structure: Structure,
        parameters: Parameters,
        dtype: np.dtype,
        units: Units,
        origin: np.ndarray | None = None,
        *,
        pooled: bool = False,
    ) -> KernelModel | None:
        """The mixture as the kernels read it, `pooled` for sums that components share; None where digits are lost.

        Its frame is about `origin`, or about the mean of the mixture; densities are per volume of the units.
        """
        origin = center(parameters) if origin is None else origin
        centers = self.enter(parameters.means - origin)
        scales = self.scales if self.scales.ndim == 2 else self.scales[:, None]
        lengths = np.sqrt((centers**2).sum(axis=1, keepdims=True))
        lost = np.finfo(dtype).eps * np.abs(centers) * scales + np.finfo(np.float64).eps * lengths * scales
        if not lost.max() < np.sqrt(np.finfo(dtype).eps):
            return None
        kind = COMMON_AXES if self.axes is not None else COMMON_SHAPE if pooled else COMMON_FRAME
        triangle = self.axes is None and self.whitener.ndim == 2
        return KernelModel(
            kind,
            structure.offsets(parameters, units.sizes).astype(dtype),
            centers.astype(dtype),
            np.empty((0, 0), dtype),
            self.scales.astype(dtype).ravel(),
            origin,
            packed(self.whitener.T[None]) if triangle else np.ascontiguousarray(self.whitener).ravel(),
            log_volume=units.log_volume,
        )


@masked
def frame_of(structure: Structure, parameters: Parameters, dtype: np.dtype) -> Frame | None:
    """The frame of a mixture for rows of this type; None where components have none, or too few features to gain."""
    if structure.constraint is None or not structure.compiled or parameters.means.shape[1] < LEAST_FEATURES:
        return None
    alike = ALIKE[dtype.itemsize]
    if structure.keeps_axes:
        return _of_axes(structure, parameters, alike)
    if structure.kind != COMMON_FRAME and structure.constraint.letters[1:] in ("EI", "EE"):
        return _of_shape(parameters, structure.diagonals(parameters.precisions_cholesky), alike)
    return None


def _of_shape(parameters: Parameters, diagonals: np.ndarray, alike: float) -> Frame | None:
    """The frame of a common shape: all factors are multiples of one another."""
    factors = parameters.precisions_cholesky
    logs = np.log(diagonals).mean(axis=1)
    scales = np.exp(logs - logs @ parameters.weights)
    several = factors / scales.reshape(-1, *[1] * (factors.ndim - 1))
    shared = several[np.argmax(parameters.weights)]
    largest = np.abs(shared).max(axis=-1, keepdims=True) if shared.ndim == 2 else shared
    if not (np.abs(several - shared) <= alike * largest).all():
        return None
    return Frame(None, np.ascontiguousarray(shared.T), scales)


def _of_axes(structure: Structure, parameters: Parameters, alike: float) -> Frame | None:
    """The frame of common axes, those remembered or eigenvectors of all precisions together."""
    precisions = structure.precisions(parameters.precisions_cholesky)
    axes = parameters.axes
    if axes is None:
        traces = np.einsum("kii->k", precisions)
        shares = (1 + np.modf(np.arange(len(traces)) * 0.6180339887498949)[0]) / traces
        pooled = np.einsum("k,kij->ij", shares, precisions)
        if not np.isfinite(pooled).all():
            return None
        axes = np.linalg.eigh(pooled)[1].T
    axes = np.ascontiguousarray(axes)
    turned = np.empty_like(precisions)
    CHOSEN.within_axes(np.ascontiguousarray(precisions), axes, algebra_workspace(precisions), turned)
    scales = np.sqrt(np.einsum("kii->ki", turned))
    beside = np.abs(turned) / (scales[:, :, None] * scales[:, None, :])
    np.einsum("kii->ki", beside)[...] = 0
    if not (beside <= alike).all():
        return None
    return along(axes, scales, parameters.weights)


def along(axes: np.ndarray, scales: np.ndarray, weights: np.ndarray, turn: Turn | None = None) -> Frame:
    """The frame of axes, along which components have these reciprocal standard deviations (K, D)."""
    typical = np.exp(weights @ np.log(scales))
    return Frame(axes, axes * typical[:, None], scales / typical, turn)
