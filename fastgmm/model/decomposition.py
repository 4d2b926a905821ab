"""Volumes, shapes and axes of covariances: Sigma_k = lambda_k D_k A_k D_k^T with |A_k| = 1."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .parameters import Parameters
from .structure import ROUGHLY, Structure


class Decomposition(NamedTuple):
    """What the covariances of components are made of: the k-th is ``volumes[k] * D @ diag(shapes[k]) @ D.T``.

    Attributes
    ----------
    volumes : ndarray of shape (n_components,)
        The D-th root of determinants, in squares of the units of the data.
    shapes : ndarray of shape (n_components, n_features)
        Variances along the axes, relative to the volume; their product is one.
    orientations : ndarray of shape (n_components, n_features, n_features)
        The matrices D, whose columns are the axes: the features in their order where no covariance has correlations,
        else the longest axis first. Where components have axes in common, it is the longest on the average.
    """

    volumes: NDArray[np.float64]
    shapes: NDArray[np.float64]
    orientations: NDArray[np.float64]


def decomposed(structure: Structure, parameters: Parameters) -> Decomposition:
    """The parts of the covariances of a mixture."""
    n_components, n_features = parameters.means.shape
    covariances = structure.invert_factors(parameters.precisions_cholesky)
    if not structure.triangular:
        axes = np.broadcast_to(np.eye(n_features), (n_components, n_features, n_features))
        return parts(structure.variances(covariances, n_components, n_features), axes)
    dense = structure.dense(covariances, n_components, n_features)
    common = structure.with_axes(parameters).axes
    if common is None and structure.common_axes:
        common = np.linalg.eigh(dense[0])[1].T
    if common is not None:
        turned = common @ dense @ common.T
        along = np.einsum("kii->ki", turned)
        rest = np.abs(turned - along[:, :, None] * np.eye(n_features)).max(axis=(1, 2))
    if common is None or (rest > ROUGHLY * along.max(axis=1)).any():  # parameters set by hand may be any
        values, vectors = np.linalg.eigh(dense)
        return parts(values[:, ::-1], vectors[:, :, ::-1])
    order = np.argsort(-np.log(along).mean(axis=0), kind="stable")
    return parts(along[:, order], np.broadcast_to(common[order].T, dense.shape))


def parts(variances: np.ndarray, axes: np.ndarray) -> Decomposition:
    """The decomposition of variances (K, D) along axes (K, D, D)."""
    volumes = np.exp(np.log(variances).mean(axis=1))
    return Decomposition(volumes, variances / volumes[:, None], axes.copy())
