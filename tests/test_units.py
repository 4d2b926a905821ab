"""Units do not matter until numbers cannot be represented: scaled rows have scaled fits, and far rows have answers."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from problems import mixture_of_three, quiet_fit

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.model.units import powers_of_two
from fastgmm.sources import from_chunks
from fastgmm.sources.array import ArraySource

Array = np.ndarray[Any, Any]

EXPONENTS = {"float64": (-480, -400, -37, 5, 400, 480), "float32": (-55, -40, -9, 3, 30, 50)}
WAYS: dict[str, dict[str, Any]] = {
    "k-means": {},
    "restarts": {"n_init": 4, "init_params": "random_from_data"},
    "many components": {"n_components": 8, "n_init": 2, "tol": 1e-9},
    "squarem": {"acceleration": "squarem", "tol": 1e-8},
    "best": {"init_params": "best"},
    "hierarchical": {"init_params": "hierarchical"},
    "gaps": {"missing": "em"},
}


def rows(dtype: str = "float64", n_samples: int = 300) -> Array:
    """Three groups on a line, of unequal spread along the features, of which one is far from zero."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 3)) * [1.0, 0.3, 2.0] + 3 * rng.integers(3, size=(n_samples, 1))
    return (X + np.array([0.0, 0.0, 40.0])).astype(dtype)


def power(exponents: Any, dtype: str = "float64") -> Any:
    """Powers of two, of a type."""
    return np.ldexp(np.dtype(dtype).type(1), exponents)


def assert_same_but_for_units(scaled: Any, plain: Any, scale: Any) -> None:
    """The bits of one fit are those of the other, where each feature is multiplied by a power of two."""
    scale = np.broadcast_to(np.asarray(scale, np.float64), plain.means_.shape[1:])
    structure = STRUCTURES[plain.covariance_type]
    own = structure.per_feature(scale)
    squared = own[:, None] * own if structure.triangular else own**2
    np.testing.assert_array_equal(scaled.weights_, plain.weights_)
    np.testing.assert_array_equal(scaled.means_, plain.means_ * scale)
    np.testing.assert_array_equal(scaled.covariances_, plain.covariances_ * squared)
    np.testing.assert_array_equal(
        scaled.precisions_cholesky_, plain.precisions_cholesky_ / (own[:, None] if structure.triangular else own)
    )
    assert scaled.n_iter_ == plain.n_iter_ and scaled.converged_ == plain.converged_
    assert [tuple(r) for r in scaled.degenerate_] == [tuple(r) for r in plain.degenerate_]


# ---- fits


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", EXPONENTS)
@pytest.mark.parametrize("structure", LAYOUTS)
def test_scaled_rows_have_scaled_fits(structure: str, dtype: str, way: str) -> None:
    """Rows times any power of two: the same labels, responsibilities and weights, and, scaled, the same bits."""
    X = rows(dtype)
    if way == "gaps":
        X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    observed = float((~np.isnan(X)).sum()) / len(X)
    options = {"n_components": 3, "covariance_type": structure, "reg_covar": "auto", "random_state": 0} | WAYS[way]
    plain = quiet_fit(X, **options)
    labels, responsibilities = plain.predict(X), plain.predict_proba(X)
    for exponent in EXPONENTS[dtype]:
        scale = power(exponent, dtype)
        scaled = quiet_fit(X * scale, **options)
        assert_same_but_for_units(scaled, plain, scale)
        np.testing.assert_array_equal(scaled.predict(X * scale), labels)
        np.testing.assert_array_equal(scaled.predict_proba(X * scale), responsibilities)
        moved = plain.lower_bound_ - observed * exponent * np.log(2)
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        assert scaled.lower_bound_ == pytest.approx(moved, rel=tolerance, abs=tolerance)
        assert scaled.score(X * scale) == pytest.approx(plain.score(X) - observed * exponent * np.log(2), rel=tolerance)


@pytest.mark.parametrize("dtype", EXPONENTS)
@pytest.mark.parametrize("structure", ["full", "tied", "diag"])
def test_each_feature_in_its_own_units(structure: str, dtype: str) -> None:
    """Charges beside temperatures: where features are told apart, each may have any unit."""
    X = rows(dtype)
    shape = STRUCTURES[structure].covariance_shape(3, 3)
    ones = np.broadcast_to(np.eye(3) if len(shape) == 3 or structure == "tied" else 1.0, shape)
    starts = {"means_init": X[[0, 5, 9]].astype(np.float64), "weights_init": [0.3, 0.3, 0.4], "precisions_init": ones}
    options = {"n_components": 3, "covariance_type": structure, "reg_covar": "auto"}
    plain = quiet_fit(X, **options, **starts)
    for exponents in ([-50, 0, 40], [30, -55, 0], [7, -20, -50]):
        scale = power(np.array(exponents), dtype)
        double = scale.astype(np.float64)
        inverse = 1 / double**2 if structure == "diag" else 1 / (double[:, None] * double)
        moved = starts | {"means_init": starts["means_init"] * double, "precisions_init": ones * inverse}
        assert_same_but_for_units(quiet_fit(X * scale, **options, **moved), plain, scale)


@pytest.mark.parametrize("structure", LAYOUTS)
def test_other_sources_and_steps(structure: str) -> None:
    """Chunks, weights, streams, steps by hand and selection: the same, in float32 outside its comfortable range."""
    X, scale = rows("float32"), power(-50, "float32")
    weights = np.random.default_rng(2).uniform(0.5, 2.0, len(X))
    options = {"covariance_type": structure, "reg_covar": "auto", "random_state": 0}
    for ask in (
        lambda X: GaussianMixture(3, **options).fit(from_chunks(np.array_split(X, 7))),
        lambda X: GaussianMixture(3, **options).fit(X, sample_weight=weights),
        lambda X: GaussianMixture(3, **options).partial_fit(X[:150]).partial_fit(X[150:]),
        lambda X: by_hand(GaussianMixture(3, max_iter=0, **options).fit(X), X),
        lambda X: (
            fastgmm.select(X, (2, 4), covariance_types=structure, reg_covar="auto", random_state=0).best_estimator_
        ),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain, scaled = ask(X), ask(X * scale)
        assert_same_but_for_units(scaled, plain, scale)


def by_hand(mixture: GaussianMixture, X: Array) -> GaussianMixture:
    """Three steps of EM from two halves."""
    for _ in range(3):
        halves = [fastgmm.statistics(mixture, half) for half in (X[:100], X[100:])]
        mixture = fastgmm.maximize(mixture, fastgmm.merge(*halves))
    return mixture


@pytest.mark.parametrize("structure", LAYOUTS)
def test_small_float32_rows_are_not_constant(structure: str) -> None:
    """Two clusters are found in float32 as in double precision, down to where precisions leave float32."""
    x = np.array([[0], [1], [10], [11]], np.float32)
    options = {"covariance_type": structure, "reg_covar": "auto", "random_state": 0}
    for unit in (1.0, 1e-12, 1e-17, 2e-19, 1e12, 1e17):
        small = x * np.float32(unit)
        found, expected = (GaussianMixture(2, **options).fit(rows) for rows in (small, small.astype(np.float64)))
        assert not found.degenerate_ and found.converged_
        np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-5)
        np.testing.assert_allclose(found.covariances_, expected.covariances_, rtol=1e-5)
    for unit in (1e-30, 1e25):
        with pytest.raises(ValueError, match="overflow in float32"):
            GaussianMixture(2, **options).fit(x * np.float32(unit))


def test_units_are_powers_of_two_near_the_spread() -> None:
    """Neither outliers nor repeated values count for much; what does not vary takes the unit of others."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(500, 4)) * [1e-9, 1.0, 1e9, 0.0] + [0.0, 5.0, 0.0, 7.0]
    X[::9, 1] = 5.0
    X[7, 0] = 1e30
    sizes = ArraySource(X).units.sizes
    assert (np.frexp(sizes)[0] == 0.5).all()
    np.testing.assert_allclose(np.log10(sizes[:3]), [-9, 0, 9], atol=0.6)
    assert sizes[3] == sizes[2]
    np.testing.assert_array_equal(ArraySource(np.full((3, 2), 6.0)).units.sizes, [8.0, 8.0])
    np.testing.assert_array_equal(ArraySource(np.zeros((1, 2))).units.sizes, [1.0, 1.0])
    np.testing.assert_array_equal(powers_of_two(np.array([0.0, 3.0, np.inf])), [4.0, 4.0, 4.0])


# ---- rows far from all components


def exact(mixture: Any, x: Array) -> tuple[Array, float]:
    """Responsibilities and log-likelihood of a row by squared distances in fractions."""
    fractions = [Fraction(float(value)) for value in x]
    squares = []
    for k in range(mixture.n_components):
        factor = STRUCTURES[mixture.covariance_type].dense(mixture.precisions_cholesky_, *mixture.means_.shape)[k]
        z = [value - Fraction(float(mean)) for value, mean in zip(fractions, mixture.means_[k], strict=True)]
        y = [sum(z[i] * Fraction(float(factor[i, j])) for i in range(len(z))) for j in range(len(z))]
        squares.append(sum(value * value for value in y))
    offsets = STRUCTURES[mixture.covariance_type].offsets(fastgmm_parameters(mixture))
    nearest = min(squares)
    apart = [float(min((square - nearest) / 2, Fraction(10**300))) for square in squares]
    logs = offsets - np.array(apart)
    shares = np.exp(logs - logs.max())
    try:
        return shares / shares.sum(), float(-nearest / 2) + float(logs.max())
    except OverflowError:
        return shares / shares.sum(), -np.inf


def fastgmm_parameters(mixture: Any) -> Any:
    """The parameters of a fitted mixture."""
    from fastgmm.mixture.base import fitted

    return fitted(mixture).parameters


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("structure", LAYOUTS)
def test_far_rows(structure: str, dtype: str, gaps: bool) -> None:
    """The nearest component has a far row; log-likelihoods are -inf below the range of their type alone.

    1e20 and 9.97e36 are fill values of files of climate data.
    """
    mixture = mixture_of_three(structure)
    mixture.missing = "em" if gaps else "raise"
    d, largest = mixture.means_.shape[1], float(np.finfo(dtype).max)
    sizes = [1e8, 1e19, 1e20, 9.97e36, 3e38] if dtype == "float32" else [1e20, 1e100, 1e153, 1e154, 1e200, 1e300]
    rng = np.random.default_rng(4)
    directions = np.concatenate([np.eye(d), -np.eye(d), np.ones((1, d)), rng.uniform(-1, 1, size=(6, d))])
    X = np.concatenate([size * directions for size in sizes]).astype(dtype)
    rng.shuffle(X)
    mixed = np.concatenate([X, mixture.means_.astype(dtype), X[::-1]])  # far rows amid others
    proba, labels, scores = mixture.predict_proba(mixed), mixture.predict(mixed), mixture.score_samples(mixed)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(labels, proba.argmax(axis=1))
    np.testing.assert_array_equal(proba[: len(X)], proba[len(X) + mixture.n_components :][::-1])
    for i in range(0, len(X), 3):
        shares, log_likelihood = exact(mixture, X[i])
        np.testing.assert_allclose(proba[i], shares, atol=1e-6)
        if log_likelihood < -largest:
            assert scores[i] == -np.inf
        elif log_likelihood > -0.9 * largest:
            assert scores[i] == pytest.approx(log_likelihood, rel=1e-5)
    assert np.isfinite(mixture.uncertainty(mixed)).all()


def test_far_values_in_condition_and_regress() -> None:
    """What is far in the features given is told apart as well; only means that overflow are refused."""
    mixture = mixture_of_three("full")
    for value in (1e160, -1e200):
        given = mixture.condition([0], value)
        assert given.weights_.sum() == pytest.approx(1) and np.isfinite(given.means_).all()
        predicted = mixture.regress(np.array([[value]]), list(range(1, mixture.n_features_in_)))
        np.testing.assert_allclose(predicted[0], given.weights_ @ given.means_, rtol=1e-9)


@pytest.mark.parametrize("structure", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "powers"), [("float32", (1, 10, 18, 30, 37, 45)), ("float64", (1, 40, 150, 250, 307))]
)
def test_means_far_apart_have_answers_or_are_refused(structure: str, dtype: str, powers: tuple[int, ...]) -> None:
    """Rows near a mean are of its component, however far the other is; or an error says why there is no answer."""
    told: list[str] = []
    for distance, power in [(10.0**a, b) for a in powers for b in (-45, -20, -3, 0)]:
        mean, variances = np.array([[0.0, 0.0], [distance, 1.0]]), np.full((2, 2), 10.0**power)
        shape = STRUCTURES[structure].uncorrelated(variances)
        mixture = GaussianMixture.from_parameters(
            [0.5, 0.5], mean, shape[0] if structure == "tied" else shape, structure
        )
        X = np.clip(mean * [[1.0, 1.0], [0.9, 1.0]], 0, np.finfo(dtype).max).astype(dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                probabilities, densities = mixture.predict_proba(X), mixture.score_samples(X)
            except ValueError as error:
                told += [str(error)]
                continue
        assert not np.isnan(densities).any()
        if distance < float(np.finfo(dtype).max) and distance > 100 * 10.0 ** (power / 2):
            np.testing.assert_array_equal(probabilities, np.eye(2))
    assert len(told) < 2 * len(powers) and all(f"out of range for {dtype} rows" in line for line in told)


def test_rows_too_small_are_refused() -> None:
    """Where no variance can be represented, that is said; a single such feature counts as constant."""
    X = rows()
    for exponent in (-560, -1000):
        with pytest.raises(ValueError, match=r"rows are too small for reg_covar=.auto.*Divide each column"):
            GaussianMixture(2, reg_covar="auto").fit(X * power(exponent))
    with pytest.raises(ValueError, match="rows are too large to be fitted"):
        GaussianMixture(2, reg_covar="auto").fit(X * power(515))
    X[:, 0] *= power(-600)
    assert np.isfinite(quiet_fit(X, n_components=2, reg_covar="auto").score(X))
