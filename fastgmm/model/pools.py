"""M-steps of constrained structures from sums that components share, without a scatter of each.

In the frame of the parameters before, with W_k the scatter of component k there, the next shape follows from the one
matrix sum_k W_k / lambda_k with the volumes lambda_k before, and the next volumes from the traces of W_k; a turn of
common axes follows from G = sum_k W_k diag(1 / v_k) with the variances v_k before, and the next variances from the
diagonals. Blocks are improved at once and not in turn, so that nothing keeps the likelihood from falling: whoever takes
such a step has to look. Its fixed points are those of EM. Of EEI it is the M-step itself.

The turn of the axes is a step of Fisher scoring on orthogonal matrices: gradient G - G^T, curvature sum_k (w_ki - w_kj)
(1 / v_kj - 1 / v_ki) of spectra w, and Cayley's transform (Z. Wen, W. Yin, A feasible method for optimization with
orthogonality constraints, Mathematical Programming 142, 2013). It has Nesterov's momentum, begun anew where it leads
uphill (B. O'Donoghue, E. Candes, Adaptive restart for accelerated gradient schemes, Foundations of Computational
Mathematics 15, 2015).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels import CHOSEN, COMMON_AXES
from .constraint import Constraint
from .factors import IllDefinedCovariance, algebra_workspace, inverse, inverse_cholesky
from .frames import Frame, Turn, along
from .kernel_model import KernelModel
from .masked import masked
from .parameters import Parameters
from .steps import LARGEST_RATIO
from .structure import Structure

NO_INFORMATION = 1e-9  # part of the curvature of a pair of axes that is rounding


class Pools(NamedTuple):
    """Sums over all rows in a frame, under a mixture."""

    structure: Structure
    parameters: Parameters
    frame: Frame
    model: KernelModel
    counts: np.ndarray  # (K,)
    first: np.ndarray  # (K, D) about the centers of the model
    second: np.ndarray  # (K,) or (K, D) likewise: squared distances, or squares
    pool: np.ndarray  # (D,), the lower triangle of (D, D), or (D, D): see kernels.pyx; about the origin
    log_likelihood: float  # per volume of the units
    n_samples: float
    resolution: float

    @classmethod
    def of(
        cls,
        structure: Structure,
        parameters: Parameters,
        frame: Frame,
        model: KernelModel,
        sums: np.ndarray,
        n_samples: float,
    ) -> Pools:
        """What `kernels.accumulate` left."""
        n_components, n_features = model.centers.shape
        width = 1 + 2 * n_features if model.kind == COMMON_AXES else 2 + n_features
        own, rest = np.split(sums, [n_components * width])
        counts, first, second = np.split(own.reshape(n_components, width), [1, 1 + n_features], axis=1)
        if model.kind == COMMON_AXES:
            pool = rest[1:].reshape(n_features, n_features)
        else:
            first = first - counts * model.centers
            second, pool = second[:, 0], rest[2 + n_features :]
        found = counts[:, 0], first, second, pool, float(rest[0]), n_samples, float(np.finfo(model.centers.dtype).eps)
        return cls(structure, parameters, frame, model, *found)

    @property
    def log_volume(self) -> float:
        """The logarithm of the unit of volume."""
        return self.model.log_volume

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per row."""
        return self.log_likelihood / self.n_samples

    @masked
    def maximized(self, reg_covar: float | np.ndarray) -> tuple[Parameters, Frame] | None:
        """The next parameters, and their frame; None where there are none, or digits are lost."""
        added = np.broadcast_to(np.sqrt(reg_covar), self.first.shape[1:])
        step = self._turned if self.frame.axes is not None else self._reshaped
        try:
            found = step(self.frame.whitener * added, self.counts + 10 * self.resolution)
        except IllDefinedCovariance:
            return None
        return found if found is None or np.isfinite(found[0].precisions_cholesky).all() else None

    def _reshaped(self, added: np.ndarray, counts: np.ndarray) -> tuple[Parameters, Frame] | None:
        """Volumes under the shape before, and a shape under the volumes before; equal volumes where W is diagonal.

        `added` times itself transposed is what regularization adds to covariances, in the frame.
        """
        (n_components, n_features), frame = self.first.shape, self.frame
        shifts, precisions = self.first / counts[:, None], self.model.factors.astype(np.float64) ** 2
        centers, weighted, shares = self.model.centers + shifts, counts * precisions, counts / counts.sum()
        traces = self.second - counts * (shifts**2).sum(axis=1)
        if added.ndim == 1:
            total, moved, ridge = self.pool[:n_features].copy(), weighted @ centers**2, added**2
            trace, more = total.sum(), 0.0
        else:
            total = np.zeros((n_features, n_features))
            total[np.tril_indices(n_features)] = self.pool
            total += np.tril(total, -1).T
            moved, ridge = product((weighted[:, None] * centers).T, centers), product(added, added.T)
            trace, more = np.trace(total), np.trace(ridge)
        if not trace <= LARGEST_RATIO[self.model.centers.dtype] * float(precisions @ traces):
            return None
        shape, (weights, means) = (
            (total - moved) / weighted.sum() + ridge,
            (self.structure.mixed(shares), self._means(shifts)),
        )
        if added.ndim == 1:
            factor = frame.whitener / np.sqrt(shape)
            factors = np.tile(factor, (n_components, 1))
            return Parameters(weights, means, factors**-2, factors), Frame(None, factor, np.ones(n_components))
        volumes = traces / (n_features * counts) + more / n_features
        typical = np.exp(shares @ np.log(volumes))
        scales, factor = np.sqrt(typical / volumes), inverse_cholesky(shape[None])[0]
        factor /= np.exp(np.log(np.diagonal(factor)).mean()) * np.sqrt(typical)
        factor = product(frame.whitener.T, factor)
        root = inverse(factor[None])[0]
        factors, covariances = scales[:, None, None] * factor, product(root.T, root) / (scales**2)[:, None, None]
        return Parameters(weights, means, covariances, factors), Frame(None, np.ascontiguousarray(factor.T), scales)

    def _turned(self, added: np.ndarray, counts: np.ndarray) -> tuple[Parameters, Frame] | None:
        """Variances along the axes before, and axes under the variances before."""
        axes, typical = self.frame.axes, np.linalg.norm(self.frame.whitener, axis=1)
        assert axes is not None
        shifts, ridge = self.first / counts[:, None], product(added, added.T)
        precisions = self.model.factors.astype(np.float64).reshape(shifts.shape) ** 2
        centers = self.model.centers.astype(np.float64)
        spectra = self.second - counts[:, None] * shifts**2
        within = (spectra * precisions).sum(axis=0)
        total = within + (counts[:, None] * precisions * (centers + shifts) ** 2).sum(axis=0)
        if not (total <= LARGEST_RATIO[self.model.centers.dtype] * within).all():
            return None
        slope = self.pool - product(centers.T, precisions * self.first)
        slope -= product((counts[:, None] * shifts).T, precisions * shifts)
        slope = (slope + ridge * (counts @ precisions)) * typical / typical[:, None]
        spectra = (spectra + counts[:, None] * np.diagonal(ridge)) / typical**2
        shares = counts / counts.sum()
        variances = spectra / counts[:, None]
        if self.structure.constraint is not None and self.structure.constraint.letters[0] == "E":
            found = Constraint("EVI").covariances(False, shares, variances, len(axes), None)
            if found is None:
                return None
            variances = found[0]
        if not (variances > 0).all():
            return None
        axes, turn = turned(self.frame, slope, spectra, precisions * typical**2, 1 / variances)
        covariances = np.empty((len(counts), *axes.shape))
        CHOSEN.along_common_axes(variances, axes, algebra_workspace(axes), covariances)
        weights, means = self.structure.mixed(shares), self._means(shifts)
        parameters = Parameters(weights, means, covariances, inverse_cholesky(covariances), axes=axes)
        return parameters, along(axes, variances**-0.5, shares, turn)

    def _means(self, shifts: np.ndarray) -> np.ndarray:
        """The next means: those before, shifted from where the pass took them to be."""
        means = self.parameters.means
        rounded = self.model.centers - self.frame.enter(means - self.model.origin)
        return means + self.frame.leave(rounded + shifts)


def turned(frame: Frame, slope: np.ndarray, spectra: np.ndarray, *precisions: np.ndarray) -> tuple[np.ndarray, Turn]:
    """Axes after a step of scoring with momentum, and the step; of precisions (K, D) the steepest are heeded."""
    axes, before, curvatures = frame.axes, frame.turn, []
    assert axes is not None
    for one in precisions:
        both, own = product(spectra.T, one), (spectra * one).sum(axis=0)
        curvatures.append(both + both.T - own - own[:, None])
    curvature = np.maximum(*curvatures)
    known = curvature > NO_INFORMATION * (own + own[:, None])
    angles, number = np.where(known, slope.T - slope, 0.0) / np.where(known, curvature, 1.0), 0
    if before is not None and (curvature * angles * before.angles).sum() > 0:
        number = before.number + 1
        angles = angles + number / (number + 3) * before.angles
    angles /= max(1.0, float(np.abs(angles).max()))
    near = np.eye(len(axes)) - 0.5 * angles  # near^-1 near^T is orthogonal
    factor = inverse_cholesky(product(near, near.T)[None])[0]
    found = product(product(product(near, product(factor, factor.T)), near), axes)
    found = 1.5 * found - 0.5 * product(product(found, found.T), found)  # rounding would add up
    return found, Turn(angles, number)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A matrix product whose bits depend on no library's threads."""
    return np.einsum("ij,jk->ik", a, b)
