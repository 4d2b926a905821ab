"""Conditioning, marginals, regression and anomaly scores of mixtures against brute force and integrals."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from problems import DTYPES, PARAMETERS, Array, dense_covariances, symmetric_roots
from reference import STRUCTURES

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.mixture import regression
from fastgmm.sources import from_chunks

N_COMPONENTS, N_FEATURES = 3, 4
CUTS = [([0], [1, 2, 3]), ([3, 1], [0, 2]), ([2, 0, 3], [1])]


def drawn_model(structure: str, n_features: int = N_FEATURES, **how: Any) -> reference.Model:
    """A mixture for the tests."""
    return reference.random_model(np.random.default_rng(7), structure, N_COMPONENTS, n_features, **how)


def mixture_of(model: reference.Model, **params: Any) -> GaussianMixture:
    """The same as an estimator."""
    return GaussianMixture.from_parameters(*model[1:], covariance_type=model.structure, **params)


def part(model: reference.Model, features: list[int]) -> reference.Model:
    """The marginal of some features, by dense matrices."""
    dense = reference.dense(model.structure, model.covariances, *np.shape(model.means))
    return reference.Model("full", model.weights, model.means[:, features], dense[:, features][:, :, features])


def brute_force(model: reference.Model, given: list[int], rest: list[int], row: Array) -> tuple[Array, Array]:
    """Mean and covariance of the rest given one row, component by component."""
    weights = reference.responsibilities(row[None], part(model, given))[0].astype(float)
    dense = reference.dense(model.structure, model.covariances, *np.shape(model.means)).astype(float)
    means, seconds = [], []
    for mean, covariance in zip(model.means, dense, strict=True):
        across = covariance[np.ix_(rest, given)]
        gain = np.linalg.solve(covariance[np.ix_(given, given)], across.T).T
        means.append(mean[rest] + gain @ (row - mean[given]))
        inner = covariance[np.ix_(rest, rest)] - gain @ across.T
        seconds.append(inner + np.outer(means[-1], means[-1]))
    mean = np.einsum("k,kr->r", weights, means)
    return mean, np.einsum("k,kij->ij", weights, seconds) - np.outer(mean, mean)


def grid(mixture: GaussianMixture, points: int) -> tuple[Array, float]:
    """Points that cover a mixture of one or two features, and the area of each."""
    reach = 9 * np.sqrt(np.diagonal(dense_covariances(mixture), axis1=1, axis2=2)).max(axis=0)
    axes = [
        np.linspace(low, high, points, retstep=True)
        for low, high in zip(mixture.means_.min(axis=0) - reach, mixture.means_.max(axis=0) + reach, strict=True)
    ]
    mesh = np.meshgrid(*[axis for axis, _ in axes], indexing="ij")
    return np.column_stack([values.ravel() for values in mesh]), float(np.prod([step for _, step in axes]))


# Conditioning and marginals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "rest"), CUTS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_condition_is_the_ratio_of_densities(structure: str, given: list[int], rest: list[int]) -> None:
    """p(rest | given) = p(all) / p(given); the marginals on both sides are p(given)."""
    model, rng = drawn_model(structure, condition=100.0, offset=3.0), np.random.default_rng(0)
    mixture = mixture_of(model)
    rows = reference.sample(rng, model, 20)
    marginal = reference.log_likelihoods(rows[:, given], part(model, given)).astype(float)
    np.testing.assert_allclose(mixture.marginal(given).score_samples(rows[:, given]), marginal, rtol=1e-10, atol=1e-10)
    joint = reference.log_likelihoods(rows, model).astype(float)
    for row, ratio in zip(rows, joint - marginal, strict=True):
        conditional = mixture.condition(given, row[given])
        assert conditional.covariance_type == structure
        assert conditional.score_samples(row[None, rest])[0] == pytest.approx(ratio, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("features", "points"), [([0, 2, 3], 2001), ([1, 2], 401)])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_conditional_densities_integrate_to_one(structure: str, features: list[int], points: int) -> None:
    """Conditional densities of one or two features integrate to one, by quadrature."""
    conditional = mixture_of(drawn_model(structure)).condition(features, np.linspace(-1, 1, len(features)))
    rows, area = grid(conditional, points)
    assert np.exp(conditional.score_samples(rows)).sum() * area == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_marginal_is_an_integral(structure: str) -> None:
    """Integrating a feature out leaves the marginal of the other."""
    mixture = mixture_of(drawn_model(structure, 2))
    x, (y, step) = np.linspace(-2, 2, 11), grid(mixture.marginal(1), 3001)
    rows = np.column_stack([np.repeat(x, len(y)), np.tile(y[:, 0], len(x))])
    integral = np.exp(mixture.score_samples(rows)).reshape(len(x), -1).sum(axis=1) * step
    np.testing.assert_allclose(np.exp(mixture.marginal(0).score_samples(x[:, None])), integral, rtol=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_condition_and_marginal_compose(structure: str) -> None:
    """Conditioning on two features at once or one after the other agrees, and so do marginals of marginals."""
    mixture = mixture_of(drawn_model(structure))
    once = mixture.condition([3, 1], [0.3, -0.4])
    twice = mixture.condition(1, -0.4).condition(2, 0.3)
    smaller, direct = mixture.marginal([2, 0, 3]).marginal([2, 1]), mixture.marginal([3, 0])
    for one, other in ((once, twice), (smaller, direct)):
        for name in PARAMETERS:
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "noise"), [("float32", 1e-3), ("float64", 1e-6)])
def test_nearly_singular_covariances(dtype: str, noise: float) -> None:
    """Nearly singular covariances that a fit has accepted can be conditioned and regressed on."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 1))
    X = np.hstack([x, x + noise * rng.normal(size=(500, 1)), 2 * x + noise * rng.normal(size=(500, 1))]).astype(dtype)
    mixture = GaussianMixture(2, reg_covar=0, random_state=0).fit(X)
    mean, std = mixture.regress(X[:, 1:], 0, return_std=True)
    assert mean.dtype == std.dtype == dtype
    np.testing.assert_allclose(mean, X[:, 0], atol=5 * noise)
    np.testing.assert_allclose(std, noise / np.sqrt(5), rtol=0.3)
    ratio = mixture.score_samples(X[:1]) - mixture.marginal([1, 2]).score_samples(X[:1, 1:])
    conditional = mixture.condition([1, 2], X[0, 1:])
    assert conditional.score_samples(X[:1, :1])[0] == pytest.approx(ratio[0], abs=1e-2 if dtype == "float32" else 1e-6)


def test_factors_set_by_hand() -> None:
    """condition takes precision factors that are not triangular."""
    model = drawn_model("full")
    mixture, by_hand = mixture_of(model), GaussianMixture(N_COMPONENTS)
    by_hand.weights_, by_hand.means_ = model.weights, model.means
    by_hand.precisions_cholesky_ = symmetric_roots(np.linalg.inv(model.covariances))
    expected, found = mixture.condition([0, 2], [0.1, 0.2]), by_hand.condition([0, 2], [0.1, 0.2])
    np.testing.assert_allclose(found.covariances_, expected.covariances_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.weights_, expected.weights_, rtol=1e-10)


def test_feature_names() -> None:
    """Features go by their names, and derived mixtures know theirs."""
    pandas = pytest.importorskip("pandas")
    iris = load_iris()
    table = pandas.DataFrame(iris.data, columns=list(iris.feature_names))
    mixture = GaussianMixture(2, random_state=0).fit(table)
    first, last = iris.feature_names[0], iris.feature_names[-1]
    assert list(mixture.marginal([last, first]).feature_names_in_) == [last, first]
    conditional = mixture.condition(last, 1.0)
    assert list(conditional.feature_names_in_) == list(iris.feature_names[:-1])
    conditional.score(table[list(iris.feature_names[:-1])])
    np.testing.assert_array_equal(conditional.means_, mixture.condition(-1, [1.0]).means_)
    found = mixture.regress(table.drop(columns=last), last)
    np.testing.assert_array_equal(found, mixture.regress(table[list(iris.feature_names[:-1])], 3))
    with pytest.raises(ValueError, match="feature names should match"):
        mixture.regress(table.drop(columns=first), last)
    with pytest.raises(ValueError, match="There is no feature 'width': give one of 'sepal length"):
        mixture.marginal("width")


def test_derived_mixtures_are_complete() -> None:
    """Derived mixtures keep random_state and n_threads, and can be sampled and fitted."""
    mixture = mixture_of(drawn_model("tied"), random_state=3, n_threads=1)
    derived = mixture.condition([0], [0.5])
    assert (derived.n_components, derived.random_state, derived.n_threads) == (N_COMPONENTS, 3, 1)
    X, _ = derived.sample(20_000)
    np.testing.assert_allclose(X.mean(axis=0), derived.weights_ @ derived.means_, atol=0.05)
    assert derived.fit(X).n_iter_ > 0


# Regression ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "rest"), CUTS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_regress_equals_brute_force(structure: str, given: list[int], rest: list[int]) -> None:
    """Means, standard deviations and covariances, row by row; rows come with their columns in order."""
    model = drawn_model(structure, condition=100.0, offset=3.0)
    mixture, columns = mixture_of(model), sorted(given)
    rows = reference.sample(np.random.default_rng(2), model, 15)[:, columns]
    mean, cov = mixture.regress(rows, rest, return_cov=True)
    only, std = mixture.regress(rows, rest, return_std=True)
    np.testing.assert_array_equal(mean, only)
    np.testing.assert_array_equal(mean, mixture.regress(rows, rest))
    for i, row in enumerate(rows):
        expected_mean, expected_cov = brute_force(model, columns, rest, row)
        np.testing.assert_allclose(mean[i], expected_mean, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(cov[i], expected_cov, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(std[i], np.sqrt(np.diag(expected_cov)), rtol=1e-10)
        conditional = mixture.condition(columns, row)
        np.testing.assert_allclose(mean[i], conditional.weights_ @ conditional.means_, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rest", [[2], [3, 0]])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_regress_with_gaps_equals_brute_force(structure: str, rest: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing values of the given features are no condition; an empty row gets the marginal mean."""
    monkeypatch.setattr(regression, "FILLED", 5 * N_FEATURES)
    model = drawn_model(structure, condition=100.0, offset=3.0)
    mixture = mixture_of(model, missing="em")
    given = [i for i in range(N_FEATURES) if i not in rest]
    rows = reference.sample(np.random.default_rng(2), model, 23)[:, given]
    rows[np.random.default_rng(3).uniform(size=rows.shape) < 0.4] = np.nan
    rows[0] = np.nan
    mean, std = mixture.regress(rows, rest, return_std=True)
    np.testing.assert_array_equal(mean, mixture.regress(rows, rest))
    np.testing.assert_array_equal(mean, mixture.regress(from_chunks([rows[:7], rows[7:]]), rest))
    marginal = mixture.marginal(rest)
    np.testing.assert_allclose(mean[0], marginal.weights_ @ marginal.means_, rtol=1e-12)
    for i, row in enumerate(rows[1:], 1):
        seen = ~np.isnan(row)
        if not seen.any():
            continue
        known = [feature for feature, there in zip(given, seen, strict=True) if there]
        expected_mean, expected_cov = brute_force(model, known, rest, row[seen])
        np.testing.assert_allclose(mean[i], expected_mean, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(std[i], np.sqrt(np.diag(expected_cov)), rtol=1e-10)


@pytest.mark.parametrize("distance", [1e3, 1e10, 1e20, 1e37, 1e100])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_regress_beside_a_component_far_away(structure: str, distance: float) -> None:
    """Rows keep their digits, with gaps and without, however far the means of other components are."""
    near = reference.random_model(np.random.default_rng(7), structure, 1, N_FEATURES)
    shift = distance * np.array([1.0, -1.0, 0.5, 2.0])
    both = near.covariances if structure == "tied" else np.concatenate([near.covariances, near.covariances * 4])
    mixture = GaussianMixture.from_parameters([0.5, 0.5], near.means + [[0.0], [1.0]] * shift, both, structure)
    mixture.set_params(missing="em")
    rows = reference.sample(np.random.default_rng(2), near, 9)
    for given, rest in CUTS:
        known, gaps = sorted(given), rows[:, sorted(given)]
        gaps[4:, :-1] = np.nan
        expected = [brute_force(near, known, rest, row[known])[0] for row in rows]
        np.testing.assert_allclose(mixture.regress(rows[:, known], rest), expected, rtol=1e-9, atol=1e-9)
        expected[4:] = [brute_force(near, known[-1:], rest, row[known[-1:]])[0] for row in rows[4:]]
        np.testing.assert_allclose(mixture.regress(gaps, rest), expected, rtol=1e-9, atol=1e-9)


def test_derived_mixtures_accept_missing_values() -> None:
    """Marginals and conditionals of a mixture fitted with gaps take rows with gaps."""
    mixture = mixture_of(drawn_model("full"), missing="em")
    rows = [[1.0, np.nan], [np.nan, 2.0]]
    expected = [mixture.marginal(i).score_samples([[x]])[0] for i, x in ((0, 1.0), (1, 2.0))]
    np.testing.assert_allclose(mixture.marginal([0, 1]).score_samples(rows), expected, rtol=1e-12)
    assert np.isfinite(mixture.condition([0, 1], [0.0, 0.0]).score_samples(rows)).all()


@pytest.mark.parametrize("structure", STRUCTURES)
def test_laws_of_total_expectation_and_variance(structure: str) -> None:
    """Integrated over the given feature, conditional moments make the moments of the target."""
    mixture = mixture_of(drawn_model(structure, 2))
    rows, step = grid(mixture.marginal(0), 4001)
    density = np.exp(mixture.marginal(0).score_samples(rows)) * step
    mean, std = mixture.regress(rows, 1, return_std=True)
    target = mixture.marginal(1)
    overall = target.weights_ @ target.means_[:, 0]
    variances = dense_covariances(target)[:, 0, 0]
    variance = target.weights_ @ (variances + (target.means_[:, 0] - overall) ** 2)
    assert density @ mean == pytest.approx(overall, rel=1e-10)
    assert density @ (std**2 + (mean - overall) ** 2) == pytest.approx(variance, rel=1e-10)


def test_regress_output_shapes() -> None:
    """A single target gives one-dimensional results, a list of one target two-dimensional ones."""
    mixture = mixture_of(drawn_model("full"))
    rows = np.zeros((5, 3))
    for how in ({"return_std": True}, {"return_cov": True}):
        alone, listed = mixture.regress(rows, 1, **how), mixture.regress(rows, [1], **how)
        assert alone[0].shape == alone[1].shape == (5,)
        assert listed[0].shape == (5, 1)
        np.testing.assert_array_equal(alone[1], listed[1].ravel())


@pytest.mark.parametrize("dtype", DTYPES)
def test_regress_of_many_rows(dtype: str) -> None:
    """Threads do not show in the bits, blocks hardly, and memory holds no array of rows by components."""
    model = reference.random_model(np.random.default_rng(0), "full", 32, N_FEATURES)
    rows = reference.sample(np.random.default_rng(3), model, 60_000, dtype)[:, :2]
    results = [mixture_of(model, n_threads=n).regress(rows, [2, 3], return_std=True) for n in (1, 4)]
    for one, other in zip(*results, strict=True):
        assert one.dtype == dtype
        np.testing.assert_array_equal(one, other)
    few = mixture_of(model).regress(rows[-3:], [2, 3])
    np.testing.assert_allclose(results[0][0][-3:], few, rtol=1e-5 if dtype == "float32" else 1e-12)
    tracemalloc.start()
    mixture_of(model, n_threads=1).regress(rows, [2, 3], return_std=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(rows) * 32 * 8 / 1.5


# From parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
def test_from_parameters(structure: str) -> None:
    """The structure is seen from the shapes; densities are those of the twin; nothing given is shared."""
    model = drawn_model(structure)
    given = [np.array(values) for values in model[1:]]
    mixture = GaussianMixture.from_parameters(*given, tol=0.5)
    assert (mixture.covariance_type, mixture.n_components, mixture.tol) == (structure, N_COMPONENTS, 0.5)
    for values in given:
        values[...] = np.nan
    rows = reference.sample(np.random.default_rng(0), model, 10)
    np.testing.assert_allclose(mixture.score_samples(rows), reference.log_likelihoods(rows, model).astype(float))
    np.testing.assert_array_equal(mixture.covariances_, model.covariances)
    assert mixture.sample(3)[0].shape == (3, N_FEATURES)


EYE = np.eye(2).tolist()


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "params", "error", "message"),
    [
        ([0.5, 0.5], [[0, 0], [1, 1]], EYE, {}, ValueError, "may be 'tied' or 'diag' .* pass covariance_type"),
        ([0.5, 0.5], [[0, 0], [1, 1]], [1, 2, 3], {}, ValueError, r"\(3,\), which fits none .* give \(2, 2, 2\) if"),
        ([0.5, 0.4], [[0], [1]], [1, 1], {}, ValueError, "should be normalized"),
        ([1.5, -0.5], [[0], [1]], [1, 1], {}, ValueError, r"in the range \[0, 1\]"),
        ([1], [0, 1], [1], {}, ValueError, r"means have the shape \(2,\)"),
        ([], np.empty((0, 2)), [], {}, ValueError, r"means have the shape \(0, 2\)"),
        ([1], [[0, np.nan]], [1], {}, ValueError, "'means' contains NaN"),
        ([0.5, 0.5], [[0], [1]], [1, 0], {}, ValueError, "should be positive"),
        ([1], [[0, 1]], [[[1, 2], [2, 1]]], {}, ValueError, "singular: the eigenvalue of its correlations is -1"),
        ([1], [[0, 1]], [[[1, 1], [1, 1]]], {}, ValueError, "Drop features that follow from others"),
        ([1], [[0, 1]], [[[1, 2], [0, 9]]], {}, ValueError, "of component 0 is not symmetric"),
        ([1], [[0, 1]], [[[1, 0], [0, -1]]], {}, ValueError, "has the variance -1"),
        ([1], [[0]], [1e-320], {"covariance_type": "spherical"}, ValueError, "overflow"),
        ([1], [[0]], [1], {"covariance_type": "round"}, ValueError, "'covariance_type' parameter"),
        ([1], [[0, 1]], [1], {"tol": -1}, ValueError, "'tol' parameter"),
        ([1], [[0, 1]], [1], {"toll": 1}, ValueError, "Invalid parameter 'toll'"),
        ([1], [[0, 1]], [1], {"n_components": 1}, TypeError, "n_components"),
    ],
)
def test_bad_parameters(
    weights: Any, means: Any, covariances: Any, params: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Parameters of no valid mixture are refused, with a remedy."""
    with pytest.raises(error, match=message):
        GaussianMixture.from_parameters(weights, means, covariances, **params)


def test_badly_scaled_covariances_are_no_error() -> None:
    """Units of the features do not make a covariance singular."""
    scales = np.array([1e-9, 1e9])
    covariance = np.array([[1, 0.5], [0.5, 1]]) * scales * scales[:, None]
    mixture = GaussianMixture.from_parameters([1], [[0, 0]], [covariance])
    slope = mixture.condition(0, 1e-9).means_[0, 0]
    assert slope == pytest.approx(0.5e9, rel=1e-12)


def test_sample_with_its_own_random_state() -> None:
    """A random_state for one call goes before the mixture's own, and leaves it as it is."""
    mixture = mixture_of(drawn_model("diag"), random_state=0)
    given, default = mixture.sample(5, random_state=1)[0], mixture.sample(5)[0]
    np.testing.assert_array_equal(given, mixture.set_params(random_state=1).sample(5)[0])
    np.testing.assert_array_equal(default, mixture.sample(5, random_state=0)[0])
    rng = np.random.default_rng(0)
    assert not np.array_equal(mixture.sample(5, rng)[0], mixture.sample(5, rng)[0])
    with pytest.raises(ValueError, match="'random_state' parameter"):
        mixture.sample(5, random_state=-1)


UNITS = [np.array([1e-5, 1.0, 1e5]), np.array([1e-75, 1.0, 1e75]), np.array([1e-145, 1e140, 1e-140])]


@pytest.mark.parametrize("units", [np.ones(3), *UNITS])
@pytest.mark.parametrize("structure", ["full", "tied"])
@pytest.mark.filterwarnings("error")
def test_samples_have_the_correlations_in_any_units(structure: str, units: Array) -> None:
    """Correlations of samples are those of the mixture, whatever the units of its features."""
    correlations = np.array([[1, 0.9, -0.5], [0.9, 1, -0.2], [-0.5, -0.2, 1]])
    covariances = correlations * units * units[:, np.newaxis]
    mixture = GaussianMixture.from_parameters([1], [units], covariances if structure == "tied" else [covariances])
    drawn = mixture.sample(40_000, random_state=0)[0] / units
    np.testing.assert_allclose(np.cov(drawn.T), correlations, atol=0.02)
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.02)


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_samples_are_scaled_normal_numbers(structure: str, kind: Any) -> None:
    """Drawn are, as scikit-learn does, components' counts, then their normal numbers, here by a Cholesky factor."""
    model, rng = drawn_model(structure), kind(3)
    X, labels = mixture_of(model).sample(50, random_state=kind(3))
    np.testing.assert_array_equal(labels, np.repeat(range(N_COMPONENTS), rng.multinomial(50, model.weights)))
    lower = np.linalg.cholesky(reference.dense(structure, model.covariances, *model.means.shape).astype(float))
    for k in range(N_COMPONENTS):
        normal = rng.standard_normal((np.sum(labels == k), N_FEATURES))
        np.testing.assert_allclose(X[labels == k], model.means[k] + normal @ lower[k].T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.filterwarnings("error")
def test_samples_scale_with_the_rows(structure: str, dtype: str) -> None:
    """In other units, by powers of two, the same samples are drawn in these units, to the last bit."""
    model = drawn_model(structure)
    one = mixture_of(model)
    for exponents in ([12, 12, 12, 12], [-40, 40, 9, 0], [-15, -15, -15, -15]):
        units = np.ldexp(1.0, exponents)
        squares = {"diag": units**2, "spherical": units[0] ** 2}.get(structure, units * units[:, np.newaxis])
        other = mixture_of(model._replace(means=model.means * units, covariances=model.covariances * squares))
        if structure == "spherical" and len(set(exponents)) > 1:
            continue
        for mixture in (one, other):
            mixture.means_, mixture.covariances_ = (a.astype(dtype) for a in (mixture.means_, mixture.covariances_))
        drawn = [mixture.sample(9, random_state=0)[0] for mixture in (one, other)]
        np.testing.assert_array_equal(drawn[1], drawn[0] * units)


# Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (4, ValueError, "no feature 4: give a number from 0 to 3"),
        (-5, ValueError, "no feature -5"),
        ([0, -4], ValueError, "names one of them twice"),
        ([], ValueError, "names none"),
        ("a", ValueError, "the mixture knows no names"),
        (1.0, TypeError, "given as 1.0"),
        ([0, 1.5], TypeError, "given as 1.5. Give its number"),
        (np.array([True, False, True, False]), TypeError, "Give its number"),
        ([True], TypeError, "given as True"),
        (slice(2), TypeError, "sequence"),
        (None, TypeError, "sequence"),
    ],
)
def test_bad_features(features: Any, error: type[Exception], message: str) -> None:
    """All methods that take features refuse them in the same words."""
    mixture = mixture_of(drawn_model("full"))
    for call in (
        lambda: mixture.marginal(features),
        lambda: mixture.condition(features, [0.0]),
        lambda: mixture.regress(np.zeros((1, 3)), features),
    ):
        with pytest.raises(error, match=message):
            call()


def test_bad_values() -> None:
    """Values, rows and options that do not fit the mixture are refused."""
    mixture = mixture_of(drawn_model("full"))
    everything = [0, 1, 2, 3]
    with pytest.raises(ValueError, match="1 values were given for 2 features"):
        mixture.condition([0, 1], 3.0)
    with pytest.raises(ValueError, match="contains NaN"):
        mixture.condition([0, 1], [0.0, np.nan])
    steep = GaussianMixture.from_parameters([1], [[0, 0]], [[[1, 100], [100, 20000]]])
    with pytest.raises(ValueError, match=r"means given values as large as 1e\+307 overflow"):
        steep.condition([0], 1e307)
    with pytest.raises(ValueError, match="none is left"):
        mixture.condition(everything, np.zeros(4))
    with pytest.raises(ValueError, match="none is left"):
        mixture.regress(np.zeros((1, 4)), everything)
    with pytest.raises(ValueError, match="X has 4 columns, but 3 of the 4 features are no targets"):
        mixture.regress(np.zeros((1, 4)), 0)
    with pytest.raises(ValueError, match="Expected 2D array"):
        mixture.regress(np.zeros(3), 0)
    with pytest.raises(ValueError, match="contains NaN"):
        mixture.regress(np.full((2, 3), np.nan), 0)
    gaps = mixture_of(drawn_model("full"), missing="em")
    with pytest.raises(ValueError, match="ask for return_std, or for the covariances of one row by condition"):
        gaps.regress(np.full((2, 3), np.nan), 0, return_cov=True)
    with pytest.raises(ValueError, match="ask for one"):
        mixture.regress(np.zeros((1, 3)), 0, return_std=True, return_cov=True)
    for call in (
        lambda m: m.marginal(0),
        lambda m: m.condition(0, 1),
        lambda m: m.regress([[1]], 0),
        lambda m: m.icl([[1]]),
        lambda m: m.uncertainty([[1]]),
        lambda m: m.anomaly_scores([[1]]),
        lambda m: m.anomaly_threshold([[1]]),
    ):
        with pytest.raises(fastgmm.NotFittedError):
            call(GaussianMixture())


# Rows that stand out, and the ICL -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_uncertainty(dtype: str) -> None:
    """One less the largest responsibility, with digits even where that is one to rounding."""
    model = drawn_model("full")
    rows = reference.sample(np.random.default_rng(0), model, 5000, dtype)
    r = np.sort(reference.responsibilities(rows, model), axis=1)
    found = mixture_of(model).uncertainty(rows)
    assert found.dtype == dtype and found.min() < 1e-9
    np.testing.assert_allclose(found, r[:, :-1].sum(axis=1).astype(float), rtol=1e-3 if dtype == "float32" else 1e-10)


def test_anomaly_threshold() -> None:
    """The threshold is the score that the given share of the rows exceeds."""
    model = drawn_model("diag")
    rows = reference.sample(np.random.default_rng(0), model, 1000)
    mixture = mixture_of(model)
    scores = mixture.anomaly_scores(rows)
    np.testing.assert_array_equal(scores, -mixture.score_samples(rows))
    for contamination in (0.01, 0.1, 0.5):
        assert (scores > mixture.anomaly_threshold(rows, contamination)).sum() == 1000 * contamination
    for wrong in (0, 0.6, np.nan, "auto", None):
        with pytest.raises(ValueError, match="'contamination'"):
            mixture.anomaly_threshold(rows, wrong)


@pytest.mark.parametrize("n_far", [1, 9, 10, 11, 60])
@pytest.mark.parametrize("dtype", DTYPES)
def test_anomaly_threshold_of_infinite_scores(dtype: str, n_far: int) -> None:
    """Rows without any density exceed the threshold, unless they are more than the share: then nothing does."""
    X = np.random.default_rng(0).normal(size=(100, 2)).astype(dtype)
    mixture = GaussianMixture(random_state=0).fit(X)
    X[:n_far] = np.finfo(dtype).max / 4
    scores = mixture.anomaly_scores(X)
    assert np.isposinf(scores).sum() == n_far
    for share in (0.095, 0.1, 0.105, 0.5):
        threshold = mixture.anomaly_threshold(X, share)
        allowed = np.sort(scores)[int(np.floor(99 * (1 - share)))]
        assert threshold == np.inf if np.isinf(allowed) else allowed <= threshold < np.inf
        assert (scores > threshold).sum() >= (0 if np.isinf(allowed) else n_far)


def test_icl_of_iris() -> None:
    """mclust 6.0.0 for EEE,3, with the other sign; it stops EM early."""
    X = load_iris().data
    mixture = GaussianMixture(
        3, covariance_type="tied", n_init=10, tol=1e-9, reg_covar=0, max_iter=5000, random_state=0
    )
    mixture.fit(X)
    assert mixture.bic(X) == pytest.approx(632.9647, abs=2e-3)
    assert mixture.icl(X) == pytest.approx(637.8401, abs=0.06)
    certainty = np.log(mixture.predict_proba(X).max(axis=1)).sum()
    assert mixture.icl(X) == pytest.approx(mixture.bic(X) - 2 * certainty, rel=1e-12)


def test_icl_of_weighted_rows() -> None:
    """A weight of two is a row twice, one of nought is no row."""
    model = drawn_model("full")
    rows = reference.sample(np.random.default_rng(0), model, 300)
    weights = np.arange(300) % 3
    mixture = mixture_of(model)
    repeated = np.repeat(rows, weights, axis=0)
    assert mixture.icl(rows, sample_weight=weights) == pytest.approx(mixture.icl(repeated), rel=1e-12)
    assert mixture.icl(rows) == pytest.approx(mixture.icl(rows, sample_weight=np.ones(300)), rel=1e-12)


@pytest.mark.parametrize("kind", ["chunks", "mapped"])
def test_chunks_and_mapped_files_same_bits(tmp_path: Path, kind: str) -> None:
    """Chunks and mapped files are read a block at a time, with the bits of an array."""
    model = drawn_model("full")
    rows = reference.sample(np.random.default_rng(0), model, 40_000)
    np.save(tmp_path / "rows.npy", rows[:, :3])
    np.save(tmp_path / "all.npy", rows)
    few, everything = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("rows", "all"))
    if kind == "chunks":
        few, everything = (from_chunks(np.array_split(values, 7)) for values in (few, everything))
    mixture = mixture_of(model)
    for found, expected in zip(
        mixture.regress(few, 3, return_std=True), mixture.regress(rows[:, :3], 3, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(mixture.uncertainty(everything), mixture.uncertainty(rows))
    assert mixture.icl(everything) == mixture.icl(rows)
    assert mixture.anomaly_threshold(everything) == mixture.anomaly_threshold(rows)


def test_icl_of_old_faithful() -> None:
    """The parameters of EEE,3 that the mclust book prints (to five digits), and its BIC and ICL."""
    mixture = GaussianMixture.from_parameters(
        [0.16568, 0.35637, 0.47795],
        [[3.7931, 77.5211], [2.0376, 54.4912], [4.4632, 80.8334]],
        [[0.078254, 0.480198], [0.480198, 33.7671]],
    )
    X = load_faithful().data
    assert mixture.bic(X) == pytest.approx(2314.316, abs=0.02)
    assert mixture.icl(X) == pytest.approx(2357.824, abs=0.1)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_regress_refuses_factors_out_of_range(structure: str) -> None:
    """Factors set by hand that stand for infinite variances are refused, not regressed to NaN."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    mixture = GaussianMixture(2, covariance_type=structure, random_state=0).fit(X)
    mixture.precisions_cholesky_ = 1e-200 * mixture.precisions_cholesky_
    with pytest.raises(ValueError, match="overflow"):
        mixture.regress(X[:, :1], [1])
