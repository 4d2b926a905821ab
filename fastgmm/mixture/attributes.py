"""Fitted attributes, which may also have been set by hand: checked whenever a question is asked of them, and read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import NotFittedError, compatible
from ..model.structure import Structure
from ..model.structures import STRUCTURES
from ..text import quoted
from .checks import holds_numbers, is_symmetric

UNNORMALIZED = 1e-5  # by so much the sum of weights set by hand may differ from one: rounding to half a dozen digits


def fitted_attributes(estimator: Any, attributes: Mapping[str, Any], *names: str) -> list[NDArray[np.float64]]:
    """Return the named ones of an estimator's attributes in double precision, or raise NotFittedError."""
    try:
        return [np.asarray(attributes[name], dtype=np.float64) for name in names]
    except (TypeError, ValueError):
        wrong = next((name for name in names if not holds_numbers(attributes[name])), names[0])
        raise ValueError(
            f"The attribute '{wrong}' should be an array of numbers, but is {quoted(attributes[wrong])}. Set it to "
            "one, or call 'fit'."
        ) from None
    except KeyError:
        waiting = attributes.get("_pending")
        if waiting is not None:
            raise compatible(NotFittedError)(
                f"This {type(estimator).__name__} instance is not fitted yet: {waiting.n_samples} row(s) wait for "
                "more, until there are enough for a first estimate. Call 'partial_fit' with more of them, or 'fit', "
                "before using this estimator."
            ) from None
        missing = [name for name in names if name not in attributes]
        raise compatible(NotFittedError)(
            f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments before "
            f"using this estimator, or set what it lacks by hand: {', '.join(missing)}."
        ) from None


def check_attribute_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Refuse an attribute, set by hand or left by other arguments, that does not fit the others."""
    if shape != expected:
        raise ValueError(
            f"The attribute '{name}' should have the shape of {expected}, but got {quoted(shape)}. Its shape "
            "follows from weights_, means_ and covariance_type: set them together, or call 'fit'."
        )


def check_shapes(structure: Structure, weights: NDArray[Any], means: NDArray[Any], **others: NDArray[Any]) -> None:
    """Refuse attributes, possibly set by hand, that do not fit together."""
    check_attribute_shape("means_", means.shape, (weights.size, means.shape[-1] if means.ndim == 2 else 1))
    check_attribute_shape("weights_", weights.shape, means.shape[:1])
    for name, values in others.items():
        check_attribute_shape(name, values.shape, structure.covariance_shape(*means.shape))


def check_weights_and_means(
    weights: NDArray[np.float64], means: NDArray[np.float64], noise_weight: float = 0.0
) -> None:
    """Refuse attributes of these values, in fitting shapes, that no mixture has."""
    if means.size == 0:
        raise ValueError(f"The attribute 'means_' has the shape {means.shape}, but there are no mixtures of nothing.")
    weights = np.append(weights, noise_weight) if noise_weight else weights
    if not (weights.min() >= 0.0 and weights.max() <= 2.0 and abs(weights.sum() - 1.0) <= UNNORMALIZED):
        raise ValueError(
            "The attribute 'weights_' should hold probabilities, which sum to one, but its numbers are from "
            f"{weights.min():.5g} to {weights.max():.5g} with the sum {sum(weights.tolist()):.5g}. Divide "
            "nonnegative weights by their sum, or call 'fit'."
        )
    check_finite("means_", means)


def check_finite(name: str, values: NDArray[np.float64]) -> None:
    """Refuse an attribute with NaN or infinity."""
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(f"The attribute '{name}' holds {values[~finite][0]}. Set it to finite numbers, or call 'fit'.")


def check_factors(factors: NDArray[np.float64], structure: Structure) -> bool:
    """Refuse precision factors that no covariance has; tell whether they are as the kernels read them."""
    check_finite("precisions_cholesky_", factors)
    if structure.triangular and not is_upper_triangular(factors):
        return False
    diagonals = structure.diagonals(factors)
    if not diagonals.min() > 0.0:
        raise ValueError(
            "The attribute 'precisions_cholesky_' should be positive (matrices along their diagonals), but its "
            f"smallest value there is {diagonals.min():.5g}. Set it to factors of precisions, or call 'fit'."
        )
    return True


def check_spreads(covariances: NDArray[np.float64], structure: Structure) -> None:
    """Refuse the attribute ``covariances_`` where it holds no variances, or matrices that are not symmetric."""
    check_finite("covariances_", covariances)
    smallest = structure.diagonals(covariances).min()
    if smallest < 0.0:
        raise ValueError(
            f"The attribute 'covariances_' has the variance {smallest:.5g}. Set positive variances, or call 'fit'."
        )
    if structure.triangular and not all(map(is_symmetric, structure.matrices(covariances))):
        raise ValueError(
            "The attribute 'covariances_' should hold symmetric matrices. Take (C + C.T) / 2 if only rounding made "
            "them asymmetric, or call 'fit'."
        )


@lru_cache(maxsize=64)
def _below_diagonal(n_features: int) -> NDArray[np.bool_]:
    """Return the mask of the entries below the diagonal."""
    return np.tri(n_features, k=-1, dtype=bool)


def is_upper_triangular(factors: NDArray[Any]) -> bool:
    """Tell whether all matrices of a stack are upper triangular."""
    return not np.logical_and(factors, _below_diagonal(factors.shape[-1])).any()


def names_of(mixture: Any) -> list[str]:
    """Return the names of the features of a mixture: those of its rows, else numbers."""
    known = getattr(mixture, "feature_names_in_", None)
    return [f"x{d}" for d in range(np.shape(mixture.means_)[1])] if known is None else [str(name) for name in known]


def standard_deviations(mixture: Any) -> NDArray[np.float64]:
    """Return the standard deviation (K, D) of each component along each feature."""
    covariances = np.asarray(mixture.covariances_, dtype=np.float64)
    return np.sqrt(STRUCTURES[mixture.covariance_type].variances(covariances, *np.shape(mixture.means_)))
