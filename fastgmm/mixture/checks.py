"""Checks of data, constructor arguments and starting values, with scikit-learn's exception types and key words."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InvalidParameterError, compatible
from ..model.factors import correlations
from ..model.structure import Structure
from ..sources.numbers import to_floats
from ..text import listed, quoted, shortened

# ----------------------------------------------------------------------------------------------------------------------
# Names and number of features


Features = int | str | Sequence[int] | Sequence[str] | NDArray[np.integer[Any]]


def feature_numbers(features: Any, n_features: int, names: NDArray[np.object_] | None) -> list[int]:
    """Return the numbers of features that are named or numbered, each of them once."""
    try:
        chosen = [features] if isinstance(features, (str, Integral)) else list(features)
    except TypeError:
        raise TypeError(
            f"Features are given as {quoted(features)}. Give a number, a name, or a sequence of them."
        ) from None
    found = [_feature_number(feature, n_features, names) for feature in chosen]
    if not found or len(set(found)) < len(found):
        problem = "names one of them twice" if found else "names none"
        raise ValueError(f"The list of features {quoted(chosen)} {problem}. Give each of them once.")
    return found


def other_features(features: Collection[int], n_features: int) -> list[int]:
    """Return the numbers of all other features, of which there must be some."""
    others = [i for i in range(n_features) if i not in features]
    if not others:
        raise ValueError(f"All {len(features)} features are named, and none is left: leave out at least one.")
    return others


def _feature_number(feature: Any, n_features: int, names: NDArray[np.object_] | None) -> int:
    """Return the number of one feature."""
    if isinstance(feature, str):
        known = [] if names is None else list(names)
        if known.count(feature) != 1:
            remedy = (
                f"give one of {listed(map(repr, known))}"
                if known
                else "the mixture knows no names, so give a number from 0"
            )
            raise ValueError(f"There is no feature {quoted(feature)}: {remedy}.")
        return known.index(feature)
    if not isinstance(feature, Integral) or isinstance(feature, bool):
        raise TypeError(f"A feature is given as {quoted(feature)}. Give its number from 0, or its name.")
    number = int(feature)
    if not -n_features <= number < n_features:
        raise ValueError(f"There is no feature {quoted(number)}: give a number from 0 to {n_features - 1}.")
    return number % n_features


def check_n_features(n_features: int, expected: int, estimator: str) -> None:
    """Refuse rows with another number of features than the model has."""
    if n_features != expected:
        raise ValueError(
            f"X has {n_features} features, but {estimator} is expecting {expected} features as input. Pass the "
            "columns used in fit, or fit again."
        )


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the array that a result is to be put into; refuse one that it does not fit."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, not {type(out).__name__}. Make one with numpy.empty.")
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(
            f"out must be a writeable, C-contiguous array of shape {shape} and type {dtype}, but has shape "
            f"{out.shape}, type {shortened(out.dtype)}, strides {out.strides}, writeable={out.flags.writeable}."
        )
    return out


# ----------------------------------------------------------------------------------------------------------------------
# Constructor arguments


def check_random_state(seed: Any) -> np.random.RandomState | np.random.Generator:
    """Return the generator that ``random_state`` stands for; None is NumPy's global one."""
    if seed is None:
        return np.random.mtrand._rand
    if isinstance(seed, Integral):
        return np.random.RandomState(int(seed))
    return seed


def numbers_of_components(n_components: Any) -> list[int]:
    """Return the numbers of components asked for, each once."""
    n_components = n_components.tolist() if isinstance(n_components, np.ndarray) else n_components
    numbers = [n_components] if isinstance(n_components, Integral) else listed_values(n_components)
    if not numbers or not all(isinstance(k, Integral) and int(k) >= 1 for k in numbers):
        raise ValueError(f"n_components={quoted(n_components)}: give one or more numbers of components, ints from 1.")
    return list(dict.fromkeys(int(k) for k in numbers))


def listed_values(values: Any) -> list[Any]:
    """Return the values as a list, which is empty when there are none."""
    return list(values) if isinstance(values, Iterable) else []


def seeded(seed: Any) -> np.random.RandomState | np.random.Generator:
    """Return the same for whoever draws at once: for an integer, one that the calling thread uses again and again.

    To make a new one takes longer than a small fit.
    """
    if not isinstance(seed, Integral):
        return check_random_state(seed)
    if not hasattr(_OWN, "random_state"):
        _OWN.random_state = np.random.RandomState()
    random_state: np.random.RandomState = _OWN.random_state
    random_state.seed(int(seed))
    return random_state


_OWN = threading.local()  # a generator of each thread


Constraint = tuple[Callable[[Any], bool], str]  # a test of a value, and what it asks for in words
Constraints = Mapping[str, Constraint]  # of constructor arguments, by name


def integer(low: int, high: int | None = None) -> Constraint:
    """Return a test for integers from ``low`` to ``high`` and its description."""
    end = "inf)" if high is None else f"{high}]"
    return (
        lambda v: isinstance(v, Integral) and low <= int(v) <= (math.inf if high is None else high),
        f"an int in the range [{low}, {end}",
    )


def one_of(options: Collection[str]) -> Constraint:
    """Return a test for a string among ``options`` and its description."""
    return (
        lambda v: isinstance(v, str) and v in options,
        f"a str among {{{', '.join(map(repr, options))}}}",
    )


def either(*tests: Constraint) -> Constraint:
    """Return the test that passes when one of ``tests`` does."""
    return lambda v: any(test(v) for test, _ in tests), " or ".join(description for _, description in tests)


def holds_numbers(values: Any) -> bool:
    """Tell whether NumPy makes an array of numbers of ``values``."""
    try:
        return np.asarray(values).dtype.kind in "biuf"
    except ValueError:  # of uneven lengths
        return False


NONE: Constraint = (lambda v: v is None, "None")
BOOL: Constraint = (lambda v: isinstance(v, (bool, np.bool_)), "a bool")
NONNEGATIVE: Constraint = (
    lambda v: isinstance(v, Real) and 0.0 <= float(v) < math.inf,
    "a float in the range [0.0, inf)",
)
GENERATOR: Constraint = (
    lambda v: isinstance(v, (np.random.RandomState, np.random.Generator)),
    "a numpy.random.RandomState or numpy.random.Generator",
)
ARRAY: Constraint = (
    lambda v: any(hasattr(v, name) for name in ("__len__", "shape", "__array__")) and not np.isscalar(v),
    "an array-like",
)
NUMBERS: Constraint = (
    lambda v: ARRAY[0](v) and holds_numbers(v),
    "an array-like of numbers",
)
POSITIVE: Constraint = (
    lambda v: isinstance(v, Real) and 0.0 < float(v) < math.inf,
    "a float in the range (0.0, inf)",
)
RATIO: Constraint = (
    lambda v: v is None or (isinstance(v, Real) and 1.0 <= float(v) < math.inf),
    "a float in the range [1.0, inf), or None for no bound",
)
CONTAMINATION: Constraint = (
    lambda v: isinstance(v, Real) and 0.0 < float(v) <= 0.5,
    "a float in the range (0.0, 0.5], the share of outliers",
)
CALLABLE: Constraint = (callable, "a callable")
ANYTHING: Constraint = (lambda _: True, "anything")


def check_parameters(constraints: Constraints, params: Mapping[str, Any], estimator: str) -> None:
    """Refuse constructor arguments of the wrong type or out of range."""
    for name, value in params.items():
        valid, description = constraints.get(name, ANYTHING)
        if not valid(value):
            raise compatible(InvalidParameterError)(
                f"The {name!r} parameter of {estimator} must be {description}. Got {quoted(value)} instead."
            )


# ----------------------------------------------------------------------------------------------------------------------
# Starting values

ASYMMETRY = 1e-5  # of a matrix, relative to its diagonal: rounding, as of half a dozen digits


def _as_start(values: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return starting values as a finite array of floats of the given shape."""
    array = to_floats(values, name)
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {quoted(shape)}, but got {quoted(array.shape)}. "
            "Its shape follows from "
            "n_components, covariance_type and the number of features of X."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"The parameter '{name}' contains NaN or infinity. Give finite values.")
    return array


def check_weights(weights: Any, n_components: int, *, all_of_it: bool = True) -> NDArray[np.float64]:
    """Check ``weights_init``: a weight per component, from 0 to 1, with the sum 1, or less where noise has the rest."""
    array = _as_start(weights, "weights", (n_components,))
    if array.min() < 0.0 or array.max() > 1.0:
        raise ValueError(
            f"The parameter 'weights' should be in the range [0, 1], but got min value {array.min():.5f}, max value "
            f"{array.max():.5f}. Divide nonnegative weights by their sum."
        )
    total = array.sum(dtype=np.float64)
    over, rounding = total - 1.0, 1e-6 if array.dtype == np.float32 else 1e-8
    if over > rounding or (over < -rounding and (all_of_it or not total > 0)):
        raise ValueError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {total:.5f}. Divide them by their "
            "sum."
        )
    return array.astype(np.float64, copy=False)


def check_means(means: Any, n_components: int, n_features: int) -> NDArray[np.float64]:
    """Check ``means_init``: one mean per component."""
    return _as_start(means, "means", (n_components, n_features)).astype(np.float64, copy=False)


def check_precisions(precisions: Any, structure: Structure, *sizes: int) -> NDArray[np.float64]:
    """Check ``precisions_init``: positive, or symmetric and positive-definite matrices."""
    name = f"{structure.name} precision"
    array = _as_start(precisions, name, structure.covariance_shape(*sizes)).astype(np.float64, copy=False)
    for matrix, required in _symmetric(array, structure, name):
        smallest = np.linalg.eigvalsh(matrix if matrix.diagonal().min() <= 0.0 else correlations(matrix)).min()
        if smallest <= 0.0:
            raise ValueError(f"{required} has the eigenvalue {smallest:.5g}. Give the inverse of a covariance matrix.")
    return array


def check_covariances(covariances: Any, structure: Structure, *sizes: int) -> NDArray[np.float64]:
    """Check covariances: positive, or symmetric and positive-definite matrices, none of them singular to rounding."""
    name = f"{structure.name} covariance"
    array = _as_start(covariances, name, structure.covariance_shape(*sizes)).astype(np.float64, copy=False)
    for matrix, required in _symmetric(array, structure, name):
        variances = matrix.diagonal()
        if variances.min() <= 0.0:
            raise ValueError(f"{required} has the variance {variances.min():.5g}. Give positive variances.")
        smallest = np.linalg.eigvalsh(correlations(matrix)).min()
        if smallest <= 4 * len(matrix) * np.finfo(np.float64).eps:
            raise ValueError(
                f"{required} is singular: the eigenvalue of its correlations is {smallest:.5g}. Drop features that "
                "follow from others, or add a small number to its diagonal."
            )
    if structure.triangular:  # symmetric to rounding so far
        return 0.5 * array + 0.5 * np.swapaxes(array, -1, -2)
    return array


def check_prior_mean(mean: Any, n_features: int) -> NDArray[np.float64]:
    """Check ``mean_prior``: one number for each feature."""
    return _as_start(mean, "means", (n_features,)).astype(np.float64, copy=False)


def check_prior_covariance(covariance: Any, structure: Structure, n_features: int) -> NDArray[np.float64]:
    """Check ``covariance_prior``: in the shape of one component's covariance, and positive definite."""
    shape = structure.covariance_shape(1, n_features)[0 if structure.shared else 1 :]
    if shape and np.ndim(covariance) == 0:
        raise TypeError(
            f"The covariance prior of {structure.name!r} covariances is an array of shape {shape}, but got "
            f"{quoted(covariance)}. Multiply an identity matrix, or a vector of ones, by it."
        )
    array = _as_start(covariance, f"{structure.name} covariance_prior", shape).astype(np.float64, copy=False)
    for matrix, required in _symmetric(array, structure, f"{structure.name} precision"):
        smallest = np.linalg.eigvalsh(correlations(matrix) if matrix.diagonal().min() > 0 else matrix).min()
        if smallest <= 0.0:
            raise ValueError(f"{required} has the eigenvalue {smallest:.5g}. Give a covariance matrix.")
    return array


def check_degrees_of_freedom(degrees: float, n_features: int) -> None:
    """Check ``degrees_of_freedom_prior``: with fewer the prior is not proper."""
    if not degrees > n_features - 1:
        raise ValueError(
            f"The parameter 'degrees_of_freedom_prior' should be greater than {n_features - 1}, but got "
            f"{degrees:.3f}. With so few the prior of {n_features} feature(s) is improper: raise it, or leave it None."
        )


def _symmetric(array: NDArray[Any], structure: Structure, name: str) -> Iterator[tuple[NDArray[Any], str]]:
    """Refuse variances that are not positive; yield matrices that are symmetric, with the start of a complaint."""
    if not structure.triangular:
        if array.min() <= 0.0:
            raise ValueError(f"'{name}' should be positive, but its smallest value is {array.min():.5g}.")
        return
    for k, matrix in enumerate(structure.matrices(array)):
        where = "" if array.ndim == 2 else f" of component {k}"
        required = f"'{name}' should be symmetric, positive-definite, but the matrix{where}"
        if not is_symmetric(matrix):
            raise ValueError(f"{required} is not symmetric. Take (P + P.T) / 2 if only rounding made it so.")
        yield matrix, required


def is_symmetric(matrix: NDArray[np.float64]) -> bool:
    """Tell whether a matrix is symmetric to rounding, in the units that its diagonal gives the features."""
    units = np.sqrt(abs(matrix.diagonal()))
    with np.errstate(all="ignore"):
        return bool((abs(matrix - matrix.T) <= ASYMMETRY * units * units[:, np.newaxis]).all())


# ----------------------------------------------------------------------------------------------------------------------
# Arguments of methods


def check_sample_size(n_samples: Any, name: str = "n_samples") -> int:
    """Return the number of samples to draw, which is at least one."""
    if not isinstance(n_samples, Integral):
        raise TypeError(f"Invalid value for {name!r}: {quoted(n_samples)}. Give an int.")
    if n_samples < 1:
        raise ValueError(f"Invalid value for {name!r}: {quoted(n_samples)}. The sampling requires at least one sample.")
    return int(n_samples)


def check_contamination(contamination: Any) -> None:
    """Refuse a share of outliers that is not above 0 and at most a half."""
    if not CONTAMINATION[0](contamination):
        raise ValueError(
            f"Invalid value for 'contamination': {quoted(contamination)}. Give the share of outliers: above 0, "
            "at most 0.5."
        )
