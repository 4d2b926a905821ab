"""Rows with gaps: kernels and fits against the twin that goes row by row, and what must hold of any such fit."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import incomplete
import numpy as np
import pytest
import reference as twin

from fastgmm import GaussianMixture, kernels
from fastgmm.fitting.em import expectation_maximization
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources import from_chunks
from fastgmm.sources.array import ArraySource
from fastgmm.sources.incomplete import source as sources_incomplete
from fastgmm.sources.incomplete.patterns import find_patterns
from fastgmm.sources.incomplete.source import IncompleteSource, marginals
from fastgmm.sources.passes import DIAGONAL, ISOTROPIC, TRIANGULAR

VARIANTS = tuple(kernels.variants_available())
EPS = {"float64": 2.0**-52, "float32": 2.0**-23}


def gaps(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> Any:
    """Where values are missing: at random, in a few patterns, or (with one row of each pattern) nearly nowhere."""
    N, D = shape
    if kind == "random":
        return rng.random(shape) < 0.3
    if kind == "few":
        return (rng.random((4, D)) < 0.3)[rng.integers(0, 4, N)]
    where = np.zeros(shape, bool)
    where[: N // 3] = True  # nothing observed
    rows = np.arange(N // 3, min(N, N // 3 + D))
    where[rows, rows - N // 3] = True
    return where


def parameters_of(model: twin.Model) -> Parameters:
    """The library's parameters for a model of the twin."""
    arrays = (np.asarray(part, np.float64) for part in model[1:])
    return STRUCTURES[model.structure].from_covariances(*arrays)


def case(seed: int, structure: str, N: int, D: int, K: int, kind: str, dtype: str = "float64", offset: float = 1.0):
    """A model, and rows with gaps drawn from it."""
    rng = np.random.default_rng(seed)
    model = twin.random_model(rng, structure, K, D, offset=offset)
    X = twin.sample(rng, model, N, dtype)
    X[gaps(rng, kind, X.shape)] = np.nan
    return model, X


def accumulated(kernel: ModuleType, X: Any, model: twin.Model, weights: Any = None) -> incomplete.Moments:
    """What the kernel leaves of rows."""
    (K, D), sums = model.means.shape, summed(kernel, X, model, weights)
    if model.structure == "tied":
        own, scatters = sums[: K * (1 + D)].reshape(K, -1), sums[K * (1 + D) : -3]
    else:
        own = sums[:-1].reshape(K, -1)
        scatters = own[:, 1 + D :]
    return incomplete.Moments(own[:, 0], own[:, 1 : 1 + D], scatters, sums[-1])


def summed(kernel: ModuleType, X: Any, model: twin.Model, weights: Any = None) -> Any:
    """The same as it comes, with workspaces full of NaN."""
    K, D = model.means.shape
    read = marginals(STRUCTURES[model.structure], parameters_of(model))
    work, scratch = kernel.patterns_sizes(read.kind, D, K, True, X.itemsize)
    pairs = D * (D + 1) // 2
    size = {TRIANGULAR: K * (1 + D + pairs), DIAGONAL: K * (1 + D + D), ISOTROPIC: K * (1 + D) + pairs + 2}[read.kind]
    out = np.full(size + 1, np.nan)
    kernel.accumulate_patterns(
        X, *find_patterns(X), weights, *read, np.full(work, np.nan, X.dtype), np.full(scratch, np.nan), out
    )
    return out


def assert_moments(actual: incomplete.Moments, wanted: incomplete.Moments, model: twin.Model, n: int, tol: float):
    """Sums agree to `tol` per row, in units of the components."""
    K, D = model.means.shape
    spread = np.diagonal(twin.dense(model.structure, model.covariances, K, D).astype(float), axis1=1, axis2=2) ** 0.5
    if actual.scatters.shape == (K, D):
        scatters, units = np.diagonal(wanted.scatters, axis1=1, axis2=2), spread**2
    else:
        lower = np.tril_indices(D)
        scatters, units = wanted.scatters[:, *lower], (spread[:, :, None] * spread[:, None, :])[:, *lower]
        if model.structure == "tied":
            scatters, units = scatters.sum(axis=0), units[0]
    np.testing.assert_allclose(actual.counts, wanted.counts, rtol=0, atol=tol * n)
    np.testing.assert_allclose(actual.sums / spread, wanted.sums / spread, rtol=0, atol=tol * n)
    np.testing.assert_allclose(actual.scatters / units, scatters / units, rtol=0, atol=tol * n)
    assert actual.log_likelihood == pytest.approx(wanted.log_likelihood, rel=tol, abs=tol * n)


# Kernels ----------------------------------------------------------------------------------------------------------

ROWS = (1, 5, 64, 65, 131, 8, 37, 90, 33, 70)
SHAPES = [(ROWS[d % 10], d, 1 + 4 * d % 9) for d in range(1, 21)] + [(12, 130, 9)]  # the last: states on a short stack


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("structure", ["full", "tied", "diag"])
def test_kernel_accumulates_what_the_twin_does(variant: str, dtype: str, structure: str) -> None:
    kernel = kernels.load(variant)
    for i in range(len(SHAPES)):
        for weighted in (False, True):
            X, model, weights, wanted = expected(i, structure, dtype, weighted)
            tol = (400 if dtype == "float64" else 40) * EPS[dtype]
            assert_moments(accumulated(kernel, X, model, weights), wanted, model, len(X), tol)


@cache
def expected(i: int, structure: str, dtype: str, weighted: bool) -> tuple[Any, twin.Model, Any, incomplete.Moments]:
    """Rows, a model in double precision, weights of rows, and what the twin makes of them."""
    N, D, K = SHAPES[i]
    drawn, X = case(i, structure, N, D, K, ("random", "few", "rare")[i % 3], dtype, 100.0 if i % 2 else 1.0)
    model = twin.Model(structure, *(np.asarray(part, np.float64) for part in drawn[1:]))
    weights = np.random.default_rng(i).integers(0, 3, N).astype(dtype) if weighted else None
    return X, model, weights, incomplete.moments(X, model, weights)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["random", "few"])
@pytest.mark.parametrize("weighted", [False, True])
def test_kernel_tells_how_far_components_with_one_covariance_are_apart(variant: str, kind: str, weighted: bool) -> None:
    """Sums of squared distances of what is observed from each mean and from that of the mixture, both whitened."""
    model, X = case(21, "tied", 70, 4, 3, kind)
    weights = np.random.default_rng(21).uniform(0, 2, len(X)) if weighted else np.ones(len(X))
    within = spread = 0.0
    for x, weight in zip(X, weights, strict=True):
        o = ~np.isnan(x)
        precision = np.linalg.inv(np.asarray(model.covariances, float)[np.ix_(o, o)])
        r, z = weight * incomplete.of_row(x, model).responsibilities, (x - model.means)[:, o]
        away = (x - model.weights @ model.means)[o]
        within += np.einsum("k,ki,ij,kj->", r, z, precision, z) if o.any() else 0
        spread += weight * away @ precision @ away if o.any() else 0
    found = summed(kernels.load(variant), X, model, weights if weighted else None)[-3:-1]
    np.testing.assert_allclose(found, [within, spread], rtol=1e-12)


@pytest.mark.parametrize("kind", ["random", "few"])
@pytest.mark.parametrize(("dtype", "distance", "tol"), [("float64", 1e8, 1e-9), ("float32", 1e3, 2e-7)])
def test_far_components_with_one_covariance_keep_their_digits(
    kind: str, dtype: str, distance: float, tol: float
) -> None:
    """A scatter within components is no difference where it is small beside that between them."""
    rng = np.random.default_rng(22)
    drawn = twin.random_model(rng, "tied", 3, 4)
    model = drawn._replace(means=drawn.means * distance)
    X = twin.sample(rng, model, 60, dtype)
    X[gaps(rng, kind, X.shape)] = np.nan
    found = incomplete_source(X).statistics(STRUCTURES["tied"], parameters_of(model))
    wanted = incomplete.moments(X, model)
    factor = np.linalg.inv(np.linalg.cholesky(np.asarray(model.covariances, float)))
    assert found.covariance_type == "tied"
    np.testing.assert_allclose(found.counts, wanted.counts, rtol=0, atol=60 * tol)
    np.testing.assert_allclose(found.sums @ factor.T, wanted.sums @ factor.T, rtol=0, atol=60 * tol)
    error = factor @ (found.scatters - wanted.scatters.sum(axis=0)) @ factor.T
    assert np.abs(error).max() < 60 * tol


@pytest.mark.parametrize("variant", VARIANTS)
def test_narrow_directions_survive_float32(variant: str) -> None:
    """Errors are small in units of the component's own shape, not of its features alone."""
    rng = np.random.default_rng(3)
    drawn = twin.random_model(rng, "full", 2, 5, condition=1e5, offset=100.0)
    model = twin.Model("full", *(np.asarray(part, np.float64) for part in drawn[1:]))
    X = twin.sample(rng, drawn, 600, "float32")
    X[:300, 3] = np.nan
    found, wanted = accumulated(kernels.load(variant), X, model), incomplete.moments(X, model)
    factors = np.linalg.inv(np.linalg.cholesky(model.covariances))
    lower = np.zeros((2, 5, 5))
    lower[:, *np.tril_indices(5)] = found.scatters
    scatters = lower + np.swapaxes(np.tril(lower, -1), 1, 2)
    error = factors @ (scatters - wanted.scatters) @ np.swapaxes(factors, 1, 2) / len(X)
    shift = np.einsum("kij,kj->ki", factors, found.sums - wanted.sums) / len(X)
    assert np.abs(error).max() < 4e-7 and np.abs(shift).max() < 4e-7


def test_sums_are_about_the_means_and_not_about_these_as_rounded() -> None:
    for structure in ("full", "tied", "diag"):
        drawn, X = case(20, structure, 300, 3, 1, "few", "float32", 1e4)
        model = twin.Model(structure, *(np.asarray(part, np.float64) for part in drawn[1:]))
        assert_moments(accumulated(kernels.CHOSEN, X, model), incomplete.moments(X, model), model, 300, 2e-5)


def test_kernel_takes_any_strides() -> None:
    for structure in ("full", "tied"):
        model, X = case(3, structure, 130, 5, 3, "few")
        wanted = accumulated(kernels.CHOSEN, X, model)
        wide = np.full((260, 7), np.nan)
        wide[::2, 1:6] = X
        for other in (np.asfortranarray(X), wide[::2, 1:6], np.ascontiguousarray(X[::-1])[::-1]):
            for actual, part in zip(accumulated(kernels.CHOSEN, other, model), wanted, strict=True):
                np.testing.assert_array_equal(actual, part)


def test_row_of_no_weight_is_absent_even_where_it_has_no_density() -> None:
    for structure in ("full", "tied", "diag"):
        model, X = case(4, structure, 60, 3, 2, "few")
        far = np.concatenate([X, [[1e200, 0.0, np.nan]] * 20])  # as rows of a pattern of their own,
        far[60:63] = [1e200, np.nan, np.nan]  # and few of another
        weights = np.repeat([1.0, 0.0], [60, 20])
        assert accumulated(kernels.CHOSEN, far, model).log_likelihood == -np.inf
        found = accumulated(kernels.CHOSEN, far, model, weights)
        assert_moments(found, incomplete.moments(X, model), model, 60, 1e-13)
        assert np.isfinite(summed(kernels.CHOSEN, far, model, weights)).all()


@pytest.mark.parametrize("D", [1, 8, 9, 64, 65, 130])
def test_patterns(D: int) -> None:
    rng = np.random.default_rng(D)
    X = rng.normal(size=(300, D))
    X[(rng.random((12, D)) < 0.3)[rng.integers(0, 12, 300)]] = np.nan
    patterns = find_patterns(X)
    assert sorted(patterns.order) == list(range(300))
    assert len({mask.tobytes() for mask in patterns.masks}) == len(patterns.masks)
    assert [m.tobytes() for m in patterns.masks] == sorted(m.tobytes() for m in patterns.masks)
    for mask, start, stop in zip(patterns.masks, patterns.starts[:-1], patterns.starts[1:], strict=True):
        rows = patterns.order[start:stop]
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(~np.isnan(X[rows]), np.broadcast_to(mask == 1, (len(rows), D)))


# EM ---------------------------------------------------------------------------------------------------------------


def fitted(model: twin.Model, X: Any, n_iter: int, **options: Any) -> GaussianMixture:
    """The estimator from the model's parameters, after some iterations."""
    structure = STRUCTURES[model.structure]
    parameters = parameters_of(model)
    mixture = GaussianMixture(
        len(model.means),
        covariance_type=model.structure,
        weights_init=parameters.weights,
        means_init=parameters.means,
        precisions_init=structure.precisions(parameters.precisions_cholesky),
        **{"tol": 0.0, "reg_covar": 0.0, "max_iter": n_iter, "missing": "em", "random_state": 0, **options},
    )
    return mixture.fit(X)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("kind", ["random", "few"])
def test_twenty_iterations_as_the_twin(structure: str, kind: str) -> None:
    model, X = case(7, structure, 120, 4, 2, kind)
    X[:5] = np.nan
    wanted, bounds = incomplete.expectation_maximization(X, model, 20)
    mixture = fitted(model, X, 20)
    np.testing.assert_allclose(mixture.lower_bounds_, bounds, rtol=1e-10)
    for actual, expected in zip((mixture.weights_, mixture.means_, mixture.covariances_), wanted[1:], strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-10)
    rows = [incomplete.of_row(x, wanted) for x in X]
    r = np.array([row.responsibilities for row in rows])
    scores = np.array([row.log_likelihood for row in rows])
    np.testing.assert_allclose(mixture.score_samples(X), scores, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mixture.predict_proba(X), r, atol=1e-9)
    np.testing.assert_array_equal(mixture.predict(X), r.argmax(axis=1))
    assert mixture.score(X) == pytest.approx(scores.mean(), rel=1e-9)
    free = STRUCTURES[structure].n_parameters(*wanted.means.shape)
    assert mixture.bic(X) == pytest.approx(-2 * scores.sum() + free * np.log(len(X)), rel=1e-9)
    assert mixture.aic(X) == pytest.approx(-2 * scores.sum() + 2 * free, rel=1e-9)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_float32_is_near(structure: str) -> None:
    model, X = case(8, structure, 200, 4, 2, "few", "float32", 20.0)
    wanted, bounds = incomplete.expectation_maximization(X, model, 5)
    mixture = fitted(model, X, 5)
    assert mixture.means_.dtype == np.float32
    np.testing.assert_allclose(mixture.lower_bounds_, bounds, rtol=1e-5)
    np.testing.assert_allclose(mixture.means_, wanted.means, rtol=1e-4)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("acceleration", [None, "squarem"])
def test_likelihood_never_falls_and_the_gradient_vanishes(structure: str, acceleration: str | None) -> None:
    model, X = case(9, structure, 300, 3, 2, "random", offset=0.0)
    mixture = fitted(model, X, 3000, acceleration=acceleration, tol=1e-12)
    assert mixture.converged_
    assert np.diff(mixture.lower_bounds_).min() > -1e-12
    end = twin.Model(structure, mixture.weights_, mixture.means_, mixture.covariances_)
    again = incomplete.maximize(end, incomplete.moments(X, end))
    for before, after in zip(end[1:], again[1:], strict=True):
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-4)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_rows_without_any_value_count_and_change_nothing_else(structure: str) -> None:
    model, X = case(10, structure, 300, 4, 2, "few")
    X = X[~np.isnan(X).all(axis=1)]
    padded = np.concatenate([X, np.full((len(X), 4), np.nan)])[np.random.default_rng(0).permutation(2 * len(X))]
    one, two = fitted(model, X, 15), fitted(model, padded, 15)
    np.testing.assert_allclose(2 * np.array(two.lower_bounds_), one.lower_bounds_, rtol=1e-12)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-10, atol=1e-12)
    nothing = np.full((1, 4), np.nan)
    assert two.score_samples(nothing) == [0.0]
    np.testing.assert_allclose(two.predict_proba(nothing)[0], two.weights_)


def test_nothing_missing_is_the_ordinary_fit() -> None:
    X = twin.sample(np.random.default_rng(1), twin.random_model(np.random.default_rng(1), "full", 3, 4), 500)
    one, two = (GaussianMixture(3, missing=missing, random_state=0).fit(X) for missing in ("raise", "em"))
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))


def test_one_gaussian_with_a_monotone_gap_has_the_closed_form() -> None:
    """Anderson 1957: the regression of what has gaps on what has none, put on the moments of the latter."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(400, 2)) @ [[1.0, 0.8], [0.0, 0.5]] + [3.0, -1.0]
    X[X[:, 0] > 3.5, 1] = np.nan  # depends on what is observed: at random in the sense that matters
    both = X[~np.isnan(X[:, 1])]
    mean, variance = X[:, 0].mean(), X[:, 0].var()
    inner = np.cov(both.T, bias=True)
    slope = inner[0, 1] / inner[0, 0]
    mixture = GaussianMixture(missing="em", reg_covar=0, tol=0, max_iter=500).fit(X)
    np.testing.assert_allclose(mixture.means_[0], [mean, both[:, 1].mean() + slope * (mean - both[:, 0].mean())])
    expected = inner[1, 1] - slope * inner[0, 1] + slope**2 * variance
    np.testing.assert_allclose(mixture.covariances_[0], [[variance, slope * variance], [slope * variance, expected]])


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data", "random", "hierarchical", "best"])
def test_every_start_copes_with_gaps(init: str) -> None:
    """Where components are well separated, all starts but random responsibilities end at them."""
    rng = np.random.default_rng(3)
    means = np.array([[0.0, 0, 0, 0], [9, 9, 0, 0], [0, 9, 9, 9]])
    labels = rng.integers(0, 3, 1500)
    X = means[labels] + rng.normal(size=(1500, 4))
    X[rng.random(X.shape) < 0.25] = np.nan
    mixture = GaussianMixture(3, missing="em", init_params=init, random_state=0, n_init=3, max_iter=200).fit(X)
    assert mixture.converged_ and not mixture.degenerate_
    if init == "random":
        return
    order = [int(((mixture.means_ - mean) ** 2).sum(axis=1).argmin()) for mean in means]
    np.testing.assert_allclose(mixture.means_[order], means, atol=0.3)
    np.testing.assert_allclose(mixture.covariances_[order], np.broadcast_to(np.eye(4), (3, 4, 4)), atol=0.35)


def test_a_callable_start_sees_rows_without_gaps() -> None:
    _, X = case(11, "full", 200, 3, 2, "few")

    def labels(rows: Any, n_components: int, random_state: Any) -> Any:
        np.testing.assert_array_equal(rows[~np.isnan(X)], X[~np.isnan(X)])
        return (rows[:, 0] > np.median(rows[:, 0])).astype(int)

    assert np.isfinite(GaussianMixture(2, missing="em", init_params=labels).fit(X).means_).all()


def test_rows_that_starts_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps are filled from one Gaussian, by means and by draws; of many rows there is a sample."""
    _, X = case(12, "full", 500, 3, 2, "random")
    source = incomplete_source(X)
    rows = source.complete(2)
    whole, _ = incomplete.impute(X, twin.Model("full", *gaussian_arrays(source)))
    np.testing.assert_allclose(rows.X, whole, atol=1e-10)
    seen = ~np.isnan(X)
    np.testing.assert_array_equal(rows.drawn.X[seen], X[seen])
    assert rows.drawn.X[~seen].std() > rows.X[~seen].std()
    monkeypatch.setattr(sources_incomplete, "SAMPLE_NUMBERS", 300)
    monkeypatch.setattr(sources_incomplete, "SAMPLE_ROWS_PER_COMPONENT", 30)
    few, sample = incomplete_source(X).complete(2), incomplete_source(X).sample(2)
    assert sample is not None and len(sample) == 100 and few.X.shape == (100, 3)
    np.testing.assert_array_equal(few.X[seen[sample]], X[sample][seen[sample]])


@pytest.mark.parametrize("method", ["kmeans", "random", "hierarchical", "best", "labels", "responsibilities"])
def test_starts_from_a_sample(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start works on a sample; labels and responsibilities of all rows follow it."""
    monkeypatch.setattr(sources_incomplete, "SAMPLE_NUMBERS", 900)
    rng = np.random.default_rng(5)
    owner = rng.integers(2, size=2000)
    X = rng.normal(size=(2000, 3)) + 8.0 * owner[:, None]
    X[rng.random(X.shape) < 0.2] = np.nan
    given: Any = {"labels": owner, "responsibilities": np.eye(2)[owner]}.get(method, method)
    mixture = GaussianMixture(2, missing="em", init_params=given, random_state=0, n_init=2, max_iter=200, tol=1e-6)
    if method != "random":  # whose components may stay together
        np.testing.assert_allclose(np.sort(mixture.fit(X).means_[:, 0]), [0, 8], atol=0.3)


def incomplete_source(X: Any, **options: Any) -> IncompleteSource:
    """A source of rows with gaps."""
    return IncompleteSource(ArraySource(X, **options))


def gaussian_arrays(source: IncompleteSource) -> tuple[Any, Any, Any]:
    """The Gaussian gaps are filled from."""
    return source.gaussian.weights, source.gaussian.means, source.gaussian.covariances


def test_constant_and_nearly_empty_columns() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 5))
    X[:, 2] = 7.0
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:, 4] = np.nan
    X[17, 4] = 3.0
    filled = incomplete_source(X).complete(2).X
    np.testing.assert_array_equal(filled[:, [2, 4]], np.broadcast_to([7.0, 3.0], (300, 2)))
    with pytest.warns(UserWarning, match="Components were repaired"):
        mixture = GaussianMixture(2, missing="em", reg_covar=0, random_state=0).fit(X)
    assert np.isfinite(mixture.means_).all()


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_bits_do_not_depend_on_threads(structure: str) -> None:
    _, X = case(13, structure, 30_000, 12, 3, "random")
    options: dict[str, Any] = {"covariance_type": structure, "missing": "em", "random_state": 0, "max_iter": 4}
    fits = []
    for n_threads in (1, 2, 5):
        mixture = GaussianMixture(3, n_threads=n_threads, n_init=2, **options)
        fits.append((mixture.fit(X), mixture.impute(X), mixture.impute(X, random_state=1)))
    assert len(incomplete_source(X).groups) > 2
    for mixture, filled, drawn in fits[1:]:
        np.testing.assert_array_equal(mixture.covariances_, fits[0][0].covariances_)
        np.testing.assert_array_equal(filled, fits[0][1])
        np.testing.assert_array_equal(drawn, fits[0][2])


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_weights_are_repetitions(structure: str) -> None:
    """A weighted row with gaps is so many copies of it, none for 0; scores and criteria too."""
    _, X = case(16, structure, 300, 3, 2, "few")
    weights = np.random.default_rng(16).integers(0, 4, 300)
    copies = np.repeat(X, weights, axis=0)
    options: dict[str, Any] = {"covariance_type": structure, "missing": "em", "max_iter": 10, "tol": 0}
    shape = {"full": np.tile(np.eye(3), (2, 1, 1)), "tied": np.eye(3), "diag": np.ones((2, 3)), "spherical": np.ones(2)}
    options |= {"weights_init": [0.5, 0.5], "means_init": np.eye(2, 3), "precisions_init": shape[structure]}
    one = GaussianMixture(2, **options).fit(X, sample_weight=weights)
    other = GaussianMixture(2, **options).fit(copies)
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-9)
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(one.bic(X, sample_weight=weights), other.bic(copies), rtol=1e-9)
    np.testing.assert_allclose(one.score(X, sample_weight=weights), other.score(copies), rtol=1e-9)
    free = GaussianMixture(2, missing="em", random_state=0).fit(X, sample_weight=weights)  # starts take weights too
    assert np.isfinite(free.lower_bound_)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_chunks_with_gaps(structure: str) -> None:
    """Rows in chunks give the bits of rows in memory; gaps may be in some chunks only."""
    _, X = case(17, structure, 30_000, 3, 2, "few")
    X[:9000] = np.where(np.isnan(X[:9000]), 0.5, X[:9000])
    chunks = from_chunks(np.split(X, [5000, 9000, 9001]))
    options: dict[str, Any] = {"covariance_type": structure, "missing": "em", "random_state": 0, "max_iter": 4}
    one, other = (GaussianMixture(2, **options).fit(rows) for rows in (X, chunks))
    np.testing.assert_array_equal(one.covariances_, other.covariances_)
    assert one.lower_bounds_ == other.lower_bounds_
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(chunks))
    assert one.score(X) == one.score(chunks)
    np.testing.assert_array_equal(one.impute(X), one.impute(chunks))
    empty = X.copy()
    empty[:, 1] = np.nan
    with pytest.raises(ValueError, match="no value but NaN in column 1"):
        GaussianMixture(missing="em").fit(from_chunks(np.split(empty, 3)))


def test_stream_with_gaps() -> None:
    """Batches may have gaps, or none."""
    _, X = case(18, "full", 3000, 3, 2, "few")
    mixture = GaussianMixture(2, missing="em", random_state=0, learning_decay=1.0)
    for batch in (X[:2], X[2:1000], np.nan_to_num(X[1000:1010]), X[1010:]):
        mixture.partial_fit(batch)
    full = GaussianMixture(2, missing="em", random_state=0, tol=1e-6, max_iter=500).fit(X)
    assert mixture.score(X) > full.score(X) - 0.1


def test_extrapolated_points_without_covariances() -> None:
    """SQUAREM leaves NaN for covariances that nobody reads."""
    for structure in twin.STRUCTURES:
        model, X = case(14, structure, 100, 3, 2, "few")
        exact, source = parameters_of(model), incomplete_source(X)
        bare = Parameters(exact.weights, exact.means, np.asarray(np.nan), exact.precisions_cholesky)
        found, wanted = (source.statistics(STRUCTURES[structure], p) for p in (bare, exact))
        np.testing.assert_array_equal(found.scatters, wanted.scatters)


def test_source_serves_the_loop_without_the_estimator() -> None:
    model, X = case(15, "tied", 200, 3, 2, "few")
    fit = expectation_maximization(
        incomplete_source(X), STRUCTURES["tied"], parameters_of(model), tol=0, max_iter=3, reg_covar=1e-6
    )
    wanted, _ = incomplete.expectation_maximization(X, model, 3, 1e-6)
    np.testing.assert_allclose(fit.parameters.covariances, wanted.covariances, rtol=1e-9)


# Imputation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_impute_as_the_twin(structure: str, dtype: str) -> None:
    model, X = case(16, structure, 200, 5, 3, "random", dtype)
    X[:20] = case(17, structure, 20, 5, 3, "rare")[1]
    mixture = fitted(model, X, 3)
    end = twin.Model(structure, mixture.weights_, mixture.means_, mixture.covariances_)
    wanted, spread = incomplete.impute(X, end)
    filled, std = mixture.impute(X, return_std=True)
    assert filled.dtype == std.dtype == X.dtype
    tol = 1e-9 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(filled, wanted, rtol=tol, atol=tol)
    np.testing.assert_allclose(std, spread, rtol=tol, atol=tol)
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])


@pytest.mark.parametrize("structure", ["full", "tied", "spherical"])
def test_draws_have_the_conditional_moments(structure: str) -> None:
    model, X = case(18, structure, 3, 3, 2, "few")
    X = np.repeat([[np.nan, X[0, 1] if np.isfinite(X[0, 1]) else 1.0, np.nan]], 40_000, axis=0)
    mixture = GaussianMixture(2, covariance_type=structure, missing="em")
    parameters = parameters_of(model)
    mixture.weights_, mixture.means_ = parameters.weights, parameters.means
    mixture.precisions_cholesky_ = parameters.precisions_cholesky
    mean, std = mixture.impute(X[:1], return_std=True)
    drawn = mixture.impute(X, random_state=0)
    np.testing.assert_array_equal(drawn, mixture.impute(X, random_state=0))
    assert not np.array_equal(drawn, mixture.impute(X, random_state=np.random.default_rng(0)))
    np.testing.assert_allclose(drawn.mean(axis=0), mean[0], atol=5 * std.max() / 200)
    np.testing.assert_allclose(drawn.std(axis=0), std[0], rtol=0.03, atol=1e-9)
    row = incomplete.of_row(X[0], model)
    away = row.means - mean
    wanted = np.einsum("k,kij->ij", row.responsibilities, row.covariances + away[:, :, None] * away[:, None, :])
    np.testing.assert_allclose(np.cov(drawn.T), wanted, atol=0.05 * std.max() ** 2)


# Bad input --------------------------------------------------------------------------------------------------------


def test_refusals() -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(30, 3))
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"contains NaN, first at row 3, column 1\b.*missing='em'"):
        GaussianMixture().fit(X)
    mixture = GaussianMixture(2, missing="em", random_state=0).fit(X)
    means = mixture.means_.copy()
    for value in (np.inf, -np.inf):
        bad = X.copy()
        bad[4, 2] = value
        for method in (mixture.fit, mixture.predict, mixture.impute):
            with pytest.raises(ValueError, match=r"infinity.* row 4, column 2"):
                method(bad)
    empty = X.copy()
    empty[:, 1] = np.nan
    with pytest.raises(ValueError, match="no value but NaN in column 1: "):
        mixture.fit(empty)
    with pytest.raises(ValueError, match="nothing but NaN"):
        mixture.fit(np.full((9, 2), np.nan))
    np.testing.assert_array_equal(mixture.means_, means)
    assert np.isfinite(mixture.predict_proba(empty)).all()
    with pytest.raises(ValueError, match="leave random_state at None"):
        mixture.impute(X, return_std=True, random_state=0)
    with pytest.raises(ValueError, match="4 features"):
        mixture.impute(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="'missing' parameter"):
        GaussianMixture(missing="drop").fit(X)
    with pytest.raises(ValueError, match="too large"):
        GaussianMixture(missing="em").fit(X * 1e200)


def test_a_table_names_the_empty_column() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1.0, 2.0, 4.0], "b": [np.nan] * 3})
    with pytest.raises(ValueError, match="no value but NaN in column 'b'"):
        GaussianMixture(missing="em").fit(table)


def test_what_is_masked_is_missing() -> None:
    X = np.random.default_rng(6).normal(size=(40, 2))
    where = np.random.default_rng(7).random(X.shape) < 0.2
    one = GaussianMixture(missing="em").fit(np.ma.array(X, mask=where))
    two = GaussianMixture(missing="em").fit(np.where(where, np.nan, X))
    np.testing.assert_array_equal(one.means_, two.means_)


def test_scikit_learn_is_told() -> None:
    pytest.importorskip("sklearn")
    assert GaussianMixture(missing="em").__sklearn_tags__().input_tags.allow_nan
    assert not GaussianMixture().__sklearn_tags__().input_tags.allow_nan


def test_kind_of_structures() -> None:
    """Spherical is summed as diagonal."""
    for name, kind in (("full", TRIANGULAR), ("tied", ISOTROPIC), ("diag", DIAGONAL), ("spherical", DIAGONAL)):
        model, _ = case(19, name, 3, 2, 2, "few")
        assert marginals(STRUCTURES[name], parameters_of(model)).kind == kind
