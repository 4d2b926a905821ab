"""Factors of covariances: the small dense algebra of the M-step, by the compiled kernels."""

import numpy as np

from .. import kernels

INDEFINITE = 1e-5  # by so much an eigenvalue of correlations may be negative: rounding, as of single precision


class IllDefinedCovariance(ValueError):
    """A covariance is not positive definite."""


def ill_defined(component: int | None) -> IllDefinedCovariance:
    """The error for a covariance that is not positive definite."""
    which = "the covariance that all components share" if component is None else f"component {component}"
    return IllDefinedCovariance(
        f"Fitting the mixture failed: {which} has an ill-defined empirical covariance (its rows lie on a point or "
        "in a subspace). Decrease n_components, increase reg_covar, or scale the input data."
    )


def algebra_workspace(matrices: np.ndarray) -> np.ndarray:
    """Scratch for the kernels' dense algebra on matrices of this size."""
    return np.empty(kernels.CHOSEN.algebra_size(matrices.shape[-1]))


def inverse_cholesky(covariances: np.ndarray, tied: bool = False) -> np.ndarray:
    """Upper triangular P with covariance^-1 = P P^T, for a stack (K, D, D)."""
    covariances = np.ascontiguousarray(covariances)
    factors = np.empty_like(covariances)
    bad = kernels.CHOSEN.factorize(covariances, algebra_workspace(covariances), factors)
    if bad >= 0:
        raise ill_defined(None if tied else bad)
    return factors


def inverse(factors: np.ndarray) -> np.ndarray:
    """Inverses of a stack (K, D, D) of upper triangular factors."""
    factors = np.ascontiguousarray(factors, np.float64)
    out = np.empty_like(factors)
    kernels.CHOSEN.invert(factors, algebra_workspace(factors), out)
    return out


def packed(factors: np.ndarray) -> np.ndarray:
    """A stack (K, D, D) of upper triangular factors in the order in which the kernels read them, flat."""
    factors = np.ascontiguousarray(factors)
    out = np.empty((len(factors), factors.shape[1] * (factors.shape[1] + 1) // 2), factors.dtype)
    kernels.CHOSEN.pack(factors, out)
    return out.ravel()


def reciprocal_root(variances: np.ndarray) -> np.ndarray:
    """1 / sqrt(variance), refused where it is not finite and positive."""
    good = (variances > 0) & np.isfinite(variances)
    if not good.all():
        raise ill_defined(int(np.argmin(good.reshape(len(good), -1).all(axis=1))))
    return 1 / np.sqrt(variances)


def add_to_diagonal(matrices: np.ndarray, value: float | np.ndarray) -> np.ndarray:
    """matrices + value I, or + diag(value), in place."""
    diagonal = np.einsum("...ii->...i", matrices)
    diagonal += value
    return matrices


def correlations(matrix: np.ndarray) -> np.ndarray:
    """A matrix in the units that its diagonal gives the features: the correlations of a covariance."""
    units = np.sqrt(np.diagonal(matrix))
    units = np.where(units > 0, units, 1.0)
    return matrix / units / units[:, None]


def root(covariance: np.ndarray, component: int | None) -> np.ndarray:
    """R with covariance = R^T R: the triangular one, or where some direction has no variance one by eigenvectors.

    It is taken of the correlations, so that the units of the features do not matter to its digits.
    """
    relative, deviations = correlations(covariance), np.sqrt(np.diagonal(covariance))
    try:
        return inverse(inverse_cholesky(relative[None]))[0] * deviations
    except IllDefinedCovariance:
        values, vectors = np.linalg.eigh(relative)
    if values[0] < -INDEFINITE:
        which = "that all components share" if component is None else f"of component {component}"
        raise IllDefinedCovariance(
            f"No samples have the covariance {which}: the eigenvalue of its correlations is {values[0]:.3g}. Set "
            "covariances_ to positive-semidefinite matrices, or call 'fit'."
        )
    return np.sqrt(np.maximum(values, 0))[:, None] * vectors.T * deviations


def invert_precisions(precisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision Cholesky factors and covariances of a stack of precision matrices.

    With J the reversal of the order of features and J precision J = L L^T, P = J L J is upper triangular and
    precision = P P^T.
    """
    inverted = inverse_cholesky(precisions[:, ::-1, ::-1])  # L^-T
    covariances = (inverted @ np.swapaxes(inverted, 1, 2))[:, ::-1, ::-1]
    factors = np.swapaxes(inverse(inverted), 1, 2)[:, ::-1, ::-1]
    return np.ascontiguousarray(factors), np.ascontiguousarray(covariances)
