"""Some features of a mixture, alone or given the others: algebra over its parameters.

Write Sigma = R^T R with R upper triangular and the features that are given first. Then

    R = [[R_g, S], [0, R_r]],   S^T R_g^-T: how the rest follow the given,   R_r^T R_r: their covariance given these

(C. M. Bishop. Pattern Recognition and Machine Learning. Springer, 2006, section 2.3). R is the triangular factor of the
columns, in another order, of the inverse of a precision factor, so that covariances are never rounded on the way and
cannot cease to be positive definite.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .factors import inverse
from .masked import masked
from .parameters import Parameters
from .structure import Structure

FAR = 1e3  # standard deviations from a component beyond which its rows are taken about its own mean


class Conditional(NamedTuple):
    """A mixture cut in two: the features that are given, and the rest.

    Given x, the rest have mean `rest.means + gains (x - given.means)` and covariance `rest.covariances` in each
    component, and responsibilities under `given` for weights. Without correlations they do not follow x.

    Attributes
    ----------
    given : Parameters
        The mixture of the features that are given.
    rest : Parameters
        Weights and means of the other features, but their covariances given the first.
    gains : ndarray of shape (K, D_rest, D_given), or (1, D_rest, D_given) where components share them, or None
        None stands for zeros.
    """

    given: Parameters
    rest: Parameters
    gains: np.ndarray | None

    def means(self, row: np.ndarray) -> np.ndarray:
        """Means of the rest (K, D_rest) given one row (D_given,) of the first features."""
        if self.gains is None:
            return self.rest.means
        return self.rest.means + (self.gains @ (row - self.given.means)[:, :, None])[:, :, 0]


def marginal(structure: Structure, parameters: Parameters, features: Sequence[int]) -> Parameters:
    """The mixture of some features."""
    if not structure.triangular:
        return _select(structure, parameters, features)
    means = parameters.means[:, features]
    shape = structure.covariance_shape(*means.shape)
    return _from_roots(parameters.weights, means, _roots(structure, parameters, features), shape)


def conditional(structure: Structure, parameters: Parameters, given: Sequence[int], rest: Sequence[int]) -> Conditional:
    """The mixture cut in the features that are given and the rest, which make up all features."""
    if not structure.triangular:
        return Conditional(_select(structure, parameters, given), _select(structure, parameters, rest), None)
    roots, n = _roots(structure, parameters, [*given, *rest]), len(given)
    means = parameters.means[:, given], parameters.means[:, rest]
    shapes = [structure.covariance_shape(*part.shape) for part in means]
    return Conditional(
        _from_roots(parameters.weights, means[0], roots[:, :n, :n], shapes[0]),
        _from_roots(parameters.weights, means[1], roots[:, n:, n:], shapes[1]),
        np.swapaxes(inverse(roots[:, :n, :n]) @ roots[:, :n, n:], 1, 2),
    )


def conditional_means(
    joint: Conditional, rows: np.ndarray, responsibilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means (N, D_rest) given each row of the first features, and how the components' (N, K, D_rest) deviate."""
    means = joint.rest.means[None]
    if joint.gains is not None:
        origin = joint.given.means.mean(axis=0)
        slopes = np.moveaxis(joint.gains, 2, 0).reshape(len(origin), -1)
        moved = np.einsum("ng,gj->nj", rows - origin, slopes)  # not a BLAS, whose threads might show in the last digit
        means = joint.means(origin) + moved.reshape(len(rows), *joint.gains.shape[:2])
        for k in _far(joint.given, origin):
            gains = joint.gains[k % len(joint.gains)]
            means[:, k] = joint.rest.means[k] + np.einsum("ng,rg->nr", rows - joint.given.means[k], gains)
    mean = np.einsum("nk,nkr->nr", responsibilities, means)
    return mean, means - mean[:, None]


def conditional_variances(
    structure: Structure, joint: Conditional, responsibilities: np.ndarray, deviations: np.ndarray
) -> np.ndarray:
    """Variances (N, D_rest) given each row: within components, and between them."""
    within = structure.variances(joint.rest.covariances, *joint.rest.means.shape)
    between = np.einsum("nk,nkr->nr", responsibilities, deviations**2)
    return between + np.einsum("nk,kr->nr", responsibilities, within)


def conditional_covariances(
    structure: Structure, joint: Conditional, responsibilities: np.ndarray, deviations: np.ndarray
) -> np.ndarray:
    """Covariances (N, D_rest, D_rest) given each row, likewise."""
    within = structure.dense(joint.rest.covariances, *joint.rest.means.shape)
    between = np.swapaxes(responsibilities[:, :, None] * deviations, 1, 2) @ deviations
    return between + np.einsum("nk,kij->nij", responsibilities, within)


@masked
def _far(given: Parameters, origin: np.ndarray) -> np.ndarray:
    """The components so far from a point that rows taken about it would lose digits that count in these."""
    distances = np.abs((given.means - origin)[:, None] @ given.precisions_cholesky)
    return np.flatnonzero(~(distances < FAR).all(axis=(1, 2)))


def _roots(structure: Structure, parameters: Parameters, features: Sequence[int]) -> np.ndarray:
    """Upper triangular R with covariance R^T R of these features, a stack of one where components share it."""
    columns = inverse(structure.matrices(parameters.precisions_cholesky))[:, :, features]
    roots = np.linalg.qr(columns, mode="r")
    return roots * np.copysign(1.0, np.diagonal(roots, axis1=1, axis2=2))[:, :, None]


@masked
def _from_roots(weights: np.ndarray, means: np.ndarray, roots: np.ndarray, shape: tuple[int, ...]) -> Parameters:
    """Parameters with covariances R^T R, of the shape the structure gives them; callers refuse those that overflow."""
    covariances = np.swapaxes(roots, 1, 2) @ roots
    return Parameters(weights, means, covariances.reshape(shape), inverse(roots).reshape(shape))


@masked
def _select(structure: Structure, parameters: Parameters, features: Sequence[int]) -> Parameters:
    """Some features of a mixture without correlations; callers refuse factors set by hand that overflow."""
    factors = structure.features(parameters.precisions_cholesky, features)
    return Parameters(parameters.weights, parameters.means[:, features], factors**-2, factors)
