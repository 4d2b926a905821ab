"""Missing values: kernels, fits and imputation against the slow twin, which goes row by row."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import incomplete
import numpy as np
import pytest
import reference as twin
from problems import DTYPES, VARIANTS, em, parameters_of, unit_covariances

from fastgmm import GaussianMixture, kernels
from fastgmm.kernels import COMMON_FRAME, DIAGONAL, TRIANGULAR
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources import from_chunks
from fastgmm.sources.array import ArraySource
from fastgmm.sources.incomplete import source as sources_incomplete
from fastgmm.sources.incomplete.model import incomplete_model
from fastgmm.sources.incomplete.patterns import find_patterns
from fastgmm.sources.incomplete.source import IncompleteSource

EPS = {"float64": 2.0**-52, "float32": 2.0**-23}


def gaps(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> Any:
    """Where values are missing: at random, in a few patterns, or (with one row of each pattern) nearly nowhere."""
    n_samples, n_features = shape
    if kind == "random":
        return rng.random(shape) < 0.3
    if kind == "few":
        return (rng.random((4, n_features)) < 0.3)[rng.integers(0, 4, n_samples)]
    where, third = np.zeros(shape, bool), n_samples // 3
    where[:third] = True  # nothing observed
    rows = np.arange(third, min(n_samples, third + n_features))
    where[rows, rows - third] = True
    return where


def model_and_rows(
    seed: int,
    structure: str,
    n_samples: int,
    n_features: int,
    n_components: int,
    kind: str,
    dtype: str = "float64",
    offset: float = 1.0,
) -> tuple[twin.Model, Any]:
    """A model, and rows with gaps drawn from it."""
    rng = np.random.default_rng(seed)
    model = twin.random_model(rng, structure, n_components, n_features, offset=offset)
    X = twin.sample(rng, model, n_samples, dtype)
    X[gaps(rng, kind, X.shape)] = np.nan
    return model, X


def kernel_moments(kernel: ModuleType, X: Any, model: twin.Model, weights: Any = None) -> incomplete.Moments:
    """The statistics that the kernel accumulates."""
    (K, D), sums = model.means.shape, kernel_sums(kernel, X, model, weights)
    if model.structure == "tied":
        each, scatters = sums[: K * (1 + D)].reshape(K, -1), sums[K * (1 + D) : -3]
    else:
        each = sums[:-1].reshape(K, -1)
        scatters = each[:, 1 + D :]
    return incomplete.Moments(each[:, 0], each[:, 1 : 1 + D], scatters, sums[-1])


def kernel_sums(kernel: ModuleType, X: Any, model: twin.Model, weights: Any = None) -> Any:
    """The kernel's array of sums as it comes, computed in workspaces full of NaN."""
    K, D = model.means.shape
    read = incomplete_model(STRUCTURES[model.structure], parameters_of(model))
    work, scratch = kernel.patterns_sizes(read.kind, D, K, True, X.itemsize)
    pairs = D * (D + 1) // 2
    size = {TRIANGULAR: K * (1 + D + pairs), DIAGONAL: K * (1 + D + D), COMMON_FRAME: K * (1 + D) + pairs + 2}[
        read.kind
    ]
    out = np.full(size + 1, np.nan)
    kernel.accumulate_patterns(
        X, *find_patterns(X), weights, *read.arguments, np.full(work, np.nan, X.dtype), np.full(scratch, np.nan), out
    )
    return out


def assert_moments(actual: incomplete.Moments, expected: incomplete.Moments, model: twin.Model, n: int, tol: float):
    """Sums agree to `tol` per row, in units of the components."""
    K, D = model.means.shape
    spread = np.diagonal(twin.dense(model.structure, model.covariances, K, D).astype(float), axis1=1, axis2=2) ** 0.5
    if actual.scatters.shape == (K, D):
        scatters, units = np.diagonal(expected.scatters, axis1=1, axis2=2), spread**2
    else:
        lower = np.tril_indices(D)
        scatters, units = expected.scatters[:, *lower], (spread[:, :, None] * spread[:, None, :])[:, *lower]
        if model.structure == "tied":
            scatters, units = scatters.sum(axis=0), units[0]
    np.testing.assert_allclose(actual.counts, expected.counts, rtol=0, atol=tol * n)
    np.testing.assert_allclose(actual.sums / spread, expected.sums / spread, rtol=0, atol=tol * n)
    np.testing.assert_allclose(actual.scatters / units, scatters / units, rtol=0, atol=tol * n)
    assert actual.log_likelihood == pytest.approx(expected.log_likelihood, rel=tol, abs=tol * n)


# Kernels ----------------------------------------------------------------------------------------------------------

N_SAMPLES = (1, 5, 64, 65, 131, 8, 37, 90, 33, 70)
SHAPES = [(N_SAMPLES[d % 10], d, 1 + 4 * d % 9) for d in range(1, 21)]
SHAPES.append((12, 130, 9))  # states on a short stack


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", ["full", "tied", "diag"])
def test_kernel_equals_twin(variant: str, dtype: str, structure: str) -> None:
    """Counts, sums, scatters and log-likelihood of every variant and shape are those of the twin."""
    kernel = kernels.load(variant)
    for i in range(len(SHAPES)):
        for weighted in (False, True):
            X, model, weights, expected = kernel_case(i, structure, dtype, weighted)
            tol = (400 if dtype == "float64" else 40) * EPS[dtype]
            assert_moments(kernel_moments(kernel, X, model, weights), expected, model, len(X), tol)


@cache
def kernel_case(i: int, structure: str, dtype: str, weighted: bool) -> tuple[Any, twin.Model, Any, incomplete.Moments]:
    """Rows, a model in double precision, weights of rows, and what the twin makes of them."""
    kind, offset = ("random", "few", "rare")[i % 3], 100.0 if i % 2 else 1.0
    drawn, X = model_and_rows(i, structure, *SHAPES[i], kind, dtype, offset)
    model = twin.Model(structure, *(np.asarray(part, np.float64) for part in drawn[1:]))
    weights = np.random.default_rng(i).integers(0, 3, len(X)).astype(dtype) if weighted else None
    return X, model, weights, incomplete.moments(X, model, weights)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["random", "few"])
@pytest.mark.parametrize("weighted", [False, True])
def test_tied_kernel_within_and_total_scatter(variant: str, kind: str, weighted: bool) -> None:
    """The tied kernel sums whitened squared distances of observed values from each mean and from the overall mean."""
    model, X = model_and_rows(21, "tied", 70, 4, 3, kind)
    weights = np.random.default_rng(21).uniform(0, 2, len(X)) if weighted else np.ones(len(X))
    within = spread = 0.0
    for x, weight in zip(X, weights, strict=True):
        o = ~np.isnan(x)
        precision = np.linalg.inv(np.asarray(model.covariances, float)[np.ix_(o, o)])
        r, z = weight * incomplete.of_row(x, model).responsibilities, (x - model.means)[:, o]
        away = (x - model.weights @ model.means)[o]
        within += np.einsum("k,ki,ij,kj->", r, z, precision, z) if o.any() else 0
        spread += weight * away @ precision @ away if o.any() else 0
    found = kernel_sums(kernels.load(variant), X, model, weights if weighted else None)[-3:-1]
    np.testing.assert_allclose(found, [within, spread], rtol=1e-12)


@pytest.mark.parametrize("kind", ["random", "few"])
@pytest.mark.parametrize(("dtype", "distance", "tol"), [("float64", 1e8, 1e-9), ("float32", 1e3, 2e-7)])
def test_tied_scatter_of_far_components(kind: str, dtype: str, distance: float, tol: float) -> None:
    """The tied scatter does not lose the digits of small covariances when components are far apart."""
    rng = np.random.default_rng(22)
    drawn = twin.random_model(rng, "tied", 3, 4)
    model = drawn._replace(means=drawn.means * distance)
    X = twin.sample(rng, model, 60, dtype)
    X[gaps(rng, kind, X.shape)] = np.nan
    found = incomplete_source(X).statistics(STRUCTURES["tied"], parameters_of(model))
    expected = incomplete.moments(X, model)
    factor = np.linalg.inv(np.linalg.cholesky(np.asarray(model.covariances, float)))
    assert found.covariance_type == "tied"
    np.testing.assert_allclose(found.counts, expected.counts, rtol=0, atol=60 * tol)
    np.testing.assert_allclose(found.sums @ factor.T, expected.sums @ factor.T, rtol=0, atol=60 * tol)
    error = factor @ (found.scatters - expected.scatters.sum(axis=0)) @ factor.T
    assert np.abs(error).max() < 60 * tol


@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_error_in_whitened_metric(variant: str) -> None:
    """In float32 errors are small in units of the component's own shape, also along its narrow directions."""
    rng = np.random.default_rng(3)
    drawn = twin.random_model(rng, "full", 2, 5, condition=1e5, offset=100.0)
    model = twin.Model("full", *(np.asarray(part, np.float64) for part in drawn[1:]))
    X = twin.sample(rng, drawn, 600, "float32")
    X[:300, 3] = np.nan
    found, expected = kernel_moments(kernels.load(variant), X, model), incomplete.moments(X, model)
    factors = np.linalg.inv(np.linalg.cholesky(model.covariances))
    lower = np.zeros((2, 5, 5))
    lower[:, *np.tril_indices(5)] = found.scatters
    scatters = lower + np.swapaxes(np.tril(lower, -1), 1, 2)
    error = factors @ (scatters - expected.scatters) @ np.swapaxes(factors, 1, 2) / len(X)
    shift = np.einsum("kij,kj->ki", factors, found.sums - expected.sums) / len(X)
    assert np.abs(error).max() < 4e-7 and np.abs(shift).max() < 4e-7


def test_float32_sums_about_unrounded_means() -> None:
    """In float32 sums are about the means in double precision, not about means rounded to float32."""
    for structure in ("full", "tied", "diag"):
        drawn, X = model_and_rows(20, structure, 300, 3, 1, "few", "float32", 1e4)
        model = twin.Model(structure, *(np.asarray(part, np.float64) for part in drawn[1:]))
        assert_moments(kernel_moments(kernels.CHOSEN, X, model), incomplete.moments(X, model), model, 300, 2e-5)


def test_kernel_takes_any_strides() -> None:
    """Fortran order, every other row and reversed rows give the bits of contiguous rows."""
    for structure in ("full", "tied"):
        model, X = model_and_rows(3, structure, 130, 5, 3, "few")
        expected = kernel_moments(kernels.CHOSEN, X, model)
        wide = np.full((260, 7), np.nan)
        wide[::2, 1:6] = X
        for other in (np.asfortranarray(X), wide[::2, 1:6], np.ascontiguousarray(X[::-1])[::-1]):
            for actual, part in zip(kernel_moments(kernels.CHOSEN, other, model), expected, strict=True):
                np.testing.assert_array_equal(actual, part)


def test_zero_weight_row_without_density() -> None:
    """A row of weight zero changes nothing even where its density underflows to zero."""
    for structure in ("full", "tied", "diag"):
        model, X = model_and_rows(4, structure, 60, 3, 2, "few")
        far = np.concatenate([X, [[1e200, 0.0, np.nan]] * 20])  # as rows of a pattern of their own,
        far[60:63] = [1e200, np.nan, np.nan]  # and few of another
        weights = np.repeat([1.0, 0.0], [60, 20])
        assert kernel_moments(kernels.CHOSEN, far, model).log_likelihood == -np.inf
        found = kernel_moments(kernels.CHOSEN, far, model, weights)
        assert_moments(found, incomplete.moments(X, model), model, 60, 1e-13)
        assert np.isfinite(kernel_sums(kernels.CHOSEN, far, model, weights)).all()


@pytest.mark.parametrize("n_features", [1, 8, 9, 64, 65, 130])
def test_find_patterns(n_features: int) -> None:
    """Rows are grouped by which values they have, groups in the order of their masks, rows in their own order."""
    rng = np.random.default_rng(n_features)
    X = rng.normal(size=(300, n_features))
    X[(rng.random((12, n_features)) < 0.3)[rng.integers(0, 12, 300)]] = np.nan
    patterns = find_patterns(X)
    assert sorted(patterns.order) == list(range(300))
    assert len({mask.tobytes() for mask in patterns.masks}) == len(patterns.masks)
    assert [m.tobytes() for m in patterns.masks] == sorted(m.tobytes() for m in patterns.masks)
    for mask, start, stop in zip(patterns.masks, patterns.starts[:-1], patterns.starts[1:], strict=True):
        rows = patterns.order[start:stop]
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(~np.isnan(X[rows]), np.broadcast_to(mask == 1, (len(rows), n_features)))


# EM ---------------------------------------------------------------------------------------------------------------


def fit_with_gaps(model: twin.Model, X: Any, n_iter: int, **options: Any) -> GaussianMixture:
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
def test_iterates_equal_twin(structure: str, kind: str) -> None:
    """After 20 iterations parameters, bounds, densities, labels and criteria are those of the twin."""
    model, X = model_and_rows(7, structure, 120, 4, 2, kind)
    X[:5] = np.nan
    expected, bounds = incomplete.expectation_maximization(X, model, 20)
    mixture = fit_with_gaps(model, X, 20)
    np.testing.assert_allclose(mixture.lower_bounds_, bounds, rtol=1e-10)
    for actual, part in zip((mixture.weights_, mixture.means_, mixture.covariances_), expected[1:], strict=True):
        np.testing.assert_allclose(actual, part, rtol=1e-9, atol=1e-10)
    rows = [incomplete.of_row(x, expected) for x in X]
    r = np.array([row.responsibilities for row in rows])
    scores = np.array([row.log_likelihood for row in rows])
    np.testing.assert_allclose(mixture.score_samples(X), scores, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mixture.predict_proba(X), r, atol=1e-9)
    np.testing.assert_array_equal(mixture.predict(X), r.argmax(axis=1))
    assert mixture.score(X) == pytest.approx(scores.mean(), rel=1e-9)
    free = STRUCTURES[structure].n_parameters(*expected.means.shape)
    assert mixture.bic(X) == pytest.approx(-2 * scores.sum() + free * np.log(len(X)), rel=1e-9)
    assert mixture.aic(X) == pytest.approx(-2 * scores.sum() + 2 * free, rel=1e-9)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_float32_iterates_near_twin(structure: str) -> None:
    """Five iterations in float32 are those of the twin to single precision."""
    model, X = model_and_rows(8, structure, 200, 4, 2, "few", "float32", 20.0)
    expected, bounds = incomplete.expectation_maximization(X, model, 5)
    mixture = fit_with_gaps(model, X, 5)
    assert mixture.means_.dtype == np.float32
    np.testing.assert_allclose(mixture.lower_bounds_, bounds, rtol=1e-5)
    np.testing.assert_allclose(mixture.means_, expected.means, rtol=1e-4)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("acceleration", [None, "squarem"])
def test_likelihood_rises_to_a_stationary_point(structure: str, acceleration: str | None) -> None:
    """The likelihood never falls, and at convergence another M-step of the twin changes nothing."""
    model, X = model_and_rows(9, structure, 300, 3, 2, "random", offset=0.0)
    mixture = fit_with_gaps(model, X, 3000, acceleration=acceleration, tol=1e-12)
    assert mixture.converged_
    assert np.diff(mixture.lower_bounds_).min() > -1e-12
    end = twin.Model(structure, mixture.weights_, mixture.means_, mixture.covariances_)
    again = incomplete.maximize(end, incomplete.moments(X, end))
    for before, after in zip(end[1:], again[1:], strict=True):
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-4)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_empty_rows_change_only_the_count(structure: str) -> None:
    """Rows without any value count in the mean log-likelihood, with density 1, and change no parameter."""
    model, X = model_and_rows(10, structure, 300, 4, 2, "few")
    X = X[~np.isnan(X).all(axis=1)]
    padded = np.concatenate([X, np.full((len(X), 4), np.nan)])[np.random.default_rng(0).permutation(2 * len(X))]
    one, two = fit_with_gaps(model, X, 15), fit_with_gaps(model, padded, 15)
    np.testing.assert_allclose(2 * np.array(two.lower_bounds_), one.lower_bounds_, rtol=1e-12)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-10, atol=1e-12)
    nothing = np.full((1, 4), np.nan)
    assert two.score_samples(nothing) == [0.0]
    np.testing.assert_allclose(two.predict_proba(nothing)[0], two.weights_)


def test_missing_em_on_complete_rows_same_bits() -> None:
    """On rows without gaps missing='em' gives the bits of missing='raise'."""
    X = twin.sample(np.random.default_rng(1), twin.random_model(np.random.default_rng(1), "full", 3, 4), 500)
    one, two = (GaussianMixture(3, missing=missing, random_state=0).fit(X) for missing in ("raise", "em"))
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))


def test_monotone_missingness_closed_form() -> None:
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
def test_every_start_with_missing_values(init: str) -> None:
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


def test_callable_start_sees_imputed_rows() -> None:
    """A callable init_params gets rows whose gaps are filled."""
    _, X = model_and_rows(11, "full", 200, 3, 2, "few")

    def labels(rows: Any, n_components: int, random_state: Any) -> Any:
        np.testing.assert_array_equal(rows[~np.isnan(X)], X[~np.isnan(X)])
        return (rows[:, 0] > np.median(rows[:, 0])).astype(int)

    assert np.isfinite(GaussianMixture(2, missing="em", init_params=labels).fit(X).means_).all()


def test_imputed_rows_for_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps are filled from one Gaussian, by means and by draws; of many rows there is a sample."""
    _, X = model_and_rows(12, "full", 500, 3, 2, "random")
    source = incomplete_source(X)
    rows = source.imputed(2, STRUCTURES["full"])
    whole, _ = incomplete.impute(X, twin.Model("full", *gaussian_arrays(source)))
    np.testing.assert_allclose(rows.X, whole, atol=1e-10)
    seen = ~np.isnan(X)
    np.testing.assert_array_equal(rows.drawn.X[seen], X[seen])
    assert rows.drawn.X[~seen].std() > rows.X[~seen].std()
    monkeypatch.setattr(sources_incomplete, "SAMPLE_NUMBERS", 300)
    monkeypatch.setattr(sources_incomplete, "SAMPLE_ROWS_PER_COMPONENT", 30)
    few, sample = incomplete_source(X).imputed(2, STRUCTURES["full"]), incomplete_source(X).start_indices(2)
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
    """Gaps in a constant column, and in one with a single value, are filled with that value."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 5))
    X[:, 2] = 7.0
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:, 4] = np.nan
    X[17, 4] = 3.0
    filled = incomplete_source(X).imputed(2, STRUCTURES["full"]).X
    np.testing.assert_array_equal(filled[:, [2, 4]], np.broadcast_to([7.0, 3.0], (300, 2)))
    with pytest.warns(UserWarning, match="Components were repaired"):
        mixture = GaussianMixture(2, missing="em", reg_covar=0, random_state=0).fit(X)
    assert np.isfinite(mixture.means_).all()


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_same_bits_for_any_number_of_threads(structure: str) -> None:
    """Fits, imputed values and draws have the same bits for 1, 2 and 5 threads."""
    _, X = model_and_rows(13, structure, 30_000, 12, 3, "random")
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
def test_integer_weights_equal_repeated_rows(structure: str) -> None:
    """Fits, scores and criteria with integer weights are those of the repeated rows."""
    _, X = model_and_rows(16, structure, 300, 3, 2, "few")
    weights = np.random.default_rng(16).integers(0, 4, 300)
    copies = np.repeat(X, weights, axis=0)
    options: dict[str, Any] = {"covariance_type": structure, "missing": "em", "max_iter": 10, "tol": 0}
    options |= {"weights_init": [0.5, 0.5], "means_init": np.eye(2, 3)}
    options |= {"precisions_init": unit_covariances(structure, 2, 3)}
    one = GaussianMixture(2, **options).fit(X, sample_weight=weights)
    other = GaussianMixture(2, **options).fit(copies)
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-9)
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(one.bic(X, sample_weight=weights), other.bic(copies), rtol=1e-9)
    np.testing.assert_allclose(one.score(X, sample_weight=weights), other.score(copies), rtol=1e-9)
    free = GaussianMixture(2, missing="em", random_state=0).fit(X, sample_weight=weights)  # starts take weights too
    assert np.isfinite(free.lower_bound_)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_chunks_with_missing_values(structure: str) -> None:
    """Rows in chunks give the bits of rows in memory; gaps may be in some chunks only."""
    _, X = model_and_rows(17, structure, 30_000, 3, 2, "few")
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


def test_partial_fit_with_missing_values() -> None:
    """partial_fit takes batches with and without missing values."""
    _, X = model_and_rows(18, "full", 3000, 3, 2, "few")
    mixture = GaussianMixture(2, missing="em", random_state=0, learning_decay=1.0)
    for batch in (X[:2], X[2:1000], np.nan_to_num(X[1000:1010]), X[1010:]):
        mixture.partial_fit(batch)
    full = GaussianMixture(2, missing="em", random_state=0, tol=1e-6, max_iter=500).fit(X)
    assert mixture.score(X) > full.score(X) - 0.1


def test_statistics_need_no_covariances() -> None:
    """Statistics do not read covariances, which are NaN at points extrapolated by SQUAREM."""
    for structure in twin.STRUCTURES:
        model, X = model_and_rows(14, structure, 100, 3, 2, "few")
        exact, source = parameters_of(model), incomplete_source(X)
        bare = Parameters(exact.weights, exact.means, np.asarray(np.nan), exact.precisions_cholesky)
        found, expected = (source.statistics(STRUCTURES[structure], p) for p in (bare, exact))
        np.testing.assert_array_equal(found.scatters, expected.scatters)


def test_em_on_incomplete_source() -> None:
    """The EM loop runs on an incomplete source without the estimator."""
    model, X = model_and_rows(15, "tied", 200, 3, 2, "few")
    fit = em(incomplete_source(X), STRUCTURES["tied"], parameters_of(model), tol=0, max_iter=3, reg_covar=1e-6)
    expected, _ = incomplete.expectation_maximization(X, model, 3, 1e-6)
    np.testing.assert_allclose(fit.parameters.covariances, expected.covariances, rtol=1e-9)


# Imputation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_impute_equals_twin(structure: str, dtype: str) -> None:
    """Imputed values and standard deviations are those of the twin, and observed values stay."""
    model, X = model_and_rows(16, structure, 200, 5, 3, "random", dtype)
    X[:20] = model_and_rows(17, structure, 20, 5, 3, "rare")[1]
    mixture = fit_with_gaps(model, X, 3)
    end = twin.Model(structure, mixture.weights_, mixture.means_, mixture.covariances_)
    expected, spread = incomplete.impute(X, end)
    filled, std = mixture.impute(X, return_std=True)
    assert filled.dtype == std.dtype == X.dtype
    tol = 1e-9 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(filled, expected, rtol=tol, atol=tol)
    np.testing.assert_allclose(std, spread, rtol=tol, atol=tol)
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])


@pytest.mark.parametrize("structure", ["full", "tied", "spherical"])
def test_imputed_draws_have_conditional_moments(structure: str) -> None:
    """Draws have the mean and covariance of the missing values given the observed ones."""
    model, X = model_and_rows(18, structure, 3, 3, 2, "few")
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
    expected = np.einsum("k,kij->ij", row.responsibilities, row.covariances + away[:, :, None] * away[:, None, :])
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.05 * std.max() ** 2)


# Bad input --------------------------------------------------------------------------------------------------------


def test_bad_input() -> None:
    """NaN without missing='em', infinity, empty columns and wrong arguments are refused, and the fit stays."""
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


def test_message_names_empty_table_column() -> None:
    """The error for a column without values gives its name."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1.0, 2.0, 4.0], "b": [np.nan] * 3})
    with pytest.raises(ValueError, match="no value but NaN in column 'b'"):
        GaussianMixture(missing="em").fit(table)


def test_masked_values_are_missing() -> None:
    """A masked array is fitted like one with NaN in place of the masked values."""
    X = np.random.default_rng(6).normal(size=(40, 2))
    where = np.random.default_rng(7).random(X.shape) < 0.2
    one = GaussianMixture(missing="em").fit(np.ma.array(X, mask=where))
    two = GaussianMixture(missing="em").fit(np.where(where, np.nan, X))
    np.testing.assert_array_equal(one.means_, two.means_)


def test_allow_nan_tag() -> None:
    """The tag allow_nan is set for missing='em' alone."""
    pytest.importorskip("sklearn")
    assert GaussianMixture(missing="em").__sklearn_tags__().input_tags.allow_nan
    assert not GaussianMixture().__sklearn_tags__().input_tags.allow_nan


def test_kernel_kind_of_structures() -> None:
    """full is summed as triangular, tied as isotropic, diag and spherical as diagonal."""
    for name, kind in (("full", TRIANGULAR), ("tied", COMMON_FRAME), ("diag", DIAGONAL), ("spherical", DIAGONAL)):
        model, _ = model_and_rows(19, name, 3, 2, 2, "few")
        assert incomplete_model(STRUCTURES[name], parameters_of(model)).kind == kind
