"""Few features, many components: what kernels leave out is below rounding, and nothing else changes."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import reference as twin
from problems import DTYPES, VARIANTS, Array, assert_same_fit, bits, parameters_of, quiet_fit, run_python

from fastgmm import GaussianMixture, kernels
from fastgmm.model.kernel_model import KernelModel
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources import from_array, from_chunks, passes
from fastgmm.sources.array import ArraySource

FULL = STRUCTURES["full"]
BOX_ROWS, LEAST_ROWS, STRETCH = 32, 2048, 65536  # as in the kernels


class Problem(NamedTuple):
    """Rows and a mixture of components mostly far apart, with the log density of noise, if any."""

    X: Array
    parameters: Parameters
    noise: float | None = None

    @property
    def model(self) -> KernelModel:
        """The mixture as kernels read it."""
        model = FULL.kernel_model(self.parameters, self.X.dtype)
        if self.noise is None:
            return model
        return model._replace(offsets=np.append(model.offsets, np.array(self.noise, self.X.dtype)))


def apart(
    n_samples: int, n_features: int, n_components: int, dtype: Any = np.float64, seed: int = 0, separation: float = 30.0
) -> Problem:
    """Elongated components."""
    rng = np.random.default_rng(seed)
    drawn = twin.random_model(rng, "full", n_components, n_features, condition=30.0, separation=separation)
    return Problem(twin.sample(rng, drawn, n_samples, dtype), parameters_of(drawn))


def accumulated(
    module: ModuleType, problem: Problem, choosing: bool, weights: Array | None = None
) -> tuple[Array, Array, int]:
    """Sums of each component (K, width), the log-likelihood, and how many pairs were worked out."""
    model, (n_components, n_features) = problem.model, problem.parameters.means.shape
    itemsize = problem.X.dtype.itemsize
    size = module.workspace_size(model.kind, n_features, n_components, True, choosing, itemsize)
    workspace = np.full(size + 64, np.nan, problem.X.dtype)
    out = np.empty(module.n_sums(model.kind, n_features, n_components))
    n_pairs = module.accumulate(problem.X, None, None, weights, *model.arguments, workspace[:size], choosing, out)
    assert np.isnan(workspace[size:]).all()
    return out[:-1].reshape(n_components, -1), out[-1], n_pairs


def answers(module: ModuleType, problem: Problem, choosing: bool, wanted: str = "lrk") -> tuple[Any, ...]:
    """Log-likelihoods, responsibilities and labels, those that are wanted, and how many rows are far."""
    model, (n_components, n_features) = problem.model, problem.parameters.means.shape
    n_samples, dtype = len(problem.X), problem.X.dtype
    size = module.workspace_size(model.kind, n_features, n_components, False, choosing, dtype.itemsize)
    outputs = (
        np.empty(n_samples, dtype) if "l" in wanted else None,
        np.empty((n_samples, model.n_columns), dtype) if "r" in wanted else None,
        np.empty(n_samples, np.int64) if "k" in wanted else None,
    )
    workspace = np.full(size + 64, np.nan, dtype)
    n_far = module.posterior(problem.X, *model.arguments, *model.tails, workspace[:size], choosing, *outputs)
    assert np.isnan(workspace[size:]).all()
    return (*outputs, n_far)


def matrices(model: KernelModel) -> Array:
    """W_k (K, D, D) in long double, from columns one after the other."""
    n_components, n_features = model.centers.shape
    W = np.zeros((n_components, n_features, n_features), twin.REAL)
    columns, rows = np.triu_indices(n_features)
    W[:, rows, columns] = model.factors.reshape(n_components, -1)
    return W


def exact_log_densities(X: Array, model: KernelModel) -> Array:
    """log p_k (N, K) of what kernels are given, in long double."""
    z = X.astype(twin.REAL)[:, None, :] - model.centers.astype(twin.REAL)
    y = model.center_rounding + (matrices(model) @ z[..., None])[..., 0]
    return model.offsets.astype(twin.REAL) - (y * y).sum(axis=2) / 2


def unit(dtype: Any) -> float:
    """The unit roundoff."""
    return float(np.finfo(dtype).eps) / 2


def assert_close_sums(
    found: tuple[Array, Array, int], expected: tuple[Array, Array, int], dtype: Any, part: float = 1e-6
) -> None:
    """Sums agree to a part of the largest of their component, log-likelihoods to a part of themselves."""
    tolerance = 1e-13 if np.dtype(dtype).itemsize == 8 else part
    assert np.all(np.abs(found[0] - expected[0]) <= tolerance * np.abs(expected[0]).max(axis=1, keepdims=True))
    np.testing.assert_allclose(found[1], expected[1], rtol=tolerance)


# ---- bounds


def boxes_of_rows(dtype: Any, n_features: int) -> list[Array]:
    """Rows of boxes: small, large, flat, a point, a single row, far off, huge, and tiny."""
    rng = np.random.default_rng(n_features)
    rows = rng.normal(size=(BOX_ROWS, n_features)) * 5
    flat = rows.copy()
    flat[:, -1] = 2.5
    found = [rows * size for size in (1e-3, 0.1, 1, 10)]
    found += [flat, np.tile(rows[:1], (BOX_ROWS, 1)), rows[:1], rows[:7] + 1e8, rows * 1e30, rows * 1e-30]
    return [X.astype(dtype) for X in found]


@pytest.mark.parametrize("n_features", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_bounds_hold(variant: str, dtype: str, n_features: int) -> None:
    """In long double no log density is above its bound, nor the largest of a row below its; a point's are tight."""
    module, tight = kernels.load(variant), 0
    for seed, n_components in ((0, 1), (1, 16), (2, 17), (3, 37)):
        for separation, offset in ((1.0, 0.0), (30.0, 0.0), (3.0, 1e5)):
            rng = np.random.default_rng(seed)
            drawn = twin.random_model(
                rng, "full", n_components, n_features, condition=1e4, separation=separation, offset=offset
            )
            model = FULL.kernel_model(parameters_of(drawn), np.dtype(dtype))
            size = module.workspace_size(model.kind, n_features, n_components, True, True, np.dtype(dtype).itemsize)
            for X in (*boxes_of_rows(dtype, n_features), twin.sample(rng, drawn, 20, dtype)):
                upper = np.empty(n_components, dtype)
                least = module.bounds_of_box(X, *model[1:5], np.full(size, np.nan, dtype), upper)
                logs = exact_log_densities(X, model)
                assert np.all(logs <= upper)
                assert least <= logs.max(axis=1).min()
                if len(np.unique(X, axis=0)) == 1:
                    z = np.abs(X[0] - model.centers.astype(twin.REAL))
                    sizes = (np.abs(matrices(model)) @ z[..., None]).sum(axis=(1, 2)) ** 2 + np.abs(model.offsets)
                    assert np.all(upper - logs[0] <= 300 * unit(dtype) * sizes)
                    tight += 1
    assert tight > 10


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_are_no_numbers_leave_everything_in(dtype: str, value: float) -> None:
    """A box with an infinite side bounds nothing; what is no number does not widen it, and is found in the sums."""
    problem = apart(4096, 3, 20, dtype)
    X = problem.X.copy()
    X[1234, 1] = value
    found, log_likelihood, _ = accumulated(kernels.CHOSEN, problem._replace(X=X), True)
    if np.isinf(value):
        model = problem.model
        upper = np.empty(20, dtype)
        size = kernels.CHOSEN.workspace_size(model.kind, 3, 20, True, True, X.dtype.itemsize)
        least = kernels.CHOSEN.bounds_of_box(X[1230:1240], *model[1:5], np.empty(size, dtype), upper)
        assert not np.any(upper < least)
    expected = accumulated(kernels.CHOSEN, problem._replace(X=X), False)
    np.testing.assert_array_equal(log_likelihood, expected[1])
    np.testing.assert_allclose(found[:, 0], np.nan_to_num(expected[0][:, 0]), rtol=1e-5)


# ---- pairs that are left out


@pytest.mark.parametrize("n_features", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_left_out_is_below_rounding(variant: str, dtype: str, n_features: int) -> None:
    """In long double each responsibility of 0 is below u / K, and others are those of the dense kernel."""
    module, separation = kernels.load(variant), 12.0 if dtype == "float64" else 7.0
    problem = apart(12_000, n_features, 24, dtype, separation=separation)
    scores, r, labels, n_far = answers(module, problem, True)
    logs = exact_log_densities(problem.X, problem.model)
    exact = np.exp(logs - twin.log_sum_exp(logs)[:, None])
    cut = unit(dtype) / 24
    error = 200 * unit(dtype) * np.abs(logs)
    assert np.all(exact[r == 0] < cut * np.exp(error[r == 0]))
    assert np.all(r[exact > cut * np.exp(error)] > 0)
    expected = answers(module, problem, False)
    assert ((r == 0) & (expected[1] > 0)).mean() > 0.05
    np.testing.assert_allclose(scores, expected[0], rtol=8 * unit(dtype), atol=8 * unit(dtype))
    np.testing.assert_allclose(r, expected[1], rtol=64 * unit(dtype), atol=cut)
    np.testing.assert_array_equal(labels, expected[2])
    np.testing.assert_array_equal(answers(module, problem, True, "k")[2], labels)
    np.testing.assert_array_equal(answers(module, problem, True, "l")[0], scores)
    assert n_far == expected[3] == 0


@pytest.mark.parametrize("n_features", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_sums_are_those_of_the_dense_kernel(variant: str, dtype: str, n_features: int) -> None:
    """With rows that do not divide a block or a stretch, weighted and not, and a part of the pairs worked out."""
    module, rng = kernels.load(variant), np.random.default_rng(n_features)
    for n_samples, n_components in ((LEAST_ROWS, 16), (5001, 67), (STRETCH + LEAST_ROWS + 1, 17), (STRETCH + 5, 16)):
        problem = apart(n_samples, n_features, n_components, dtype, separation=100.0)
        for weights in (None, rng.integers(0, 3, n_samples).astype(dtype)):
            found = accumulated(module, problem, True, weights)
            assert_close_sums(found, accumulated(module, problem, False, weights), dtype)
            if n_features < 4 or n_samples > LEAST_ROWS:  # boxes about few rows are large
                assert found[2] < 0.8 * n_samples * n_components


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_noise_is_another_bound(variant: str, dtype: str) -> None:
    """Sums and answers are those of the dense kernel; the denser the noise is, the more is left out."""
    module, counts = kernels.load(variant), []
    for noise in (-np.inf, -40.0, -8.0, 3.0):
        problem = apart(6000, 3, 24, dtype)._replace(noise=noise)
        found, expected = (accumulated(module, problem, choosing) for choosing in (True, False))
        assert_close_sums(found, expected, dtype)
        counts.append(found[2])
        (scores, r, labels, n_far), dense = (answers(module, problem, choosing) for choosing in (True, False))
        np.testing.assert_allclose(scores, dense[0], rtol=8 * unit(dtype), atol=8 * unit(dtype))
        np.testing.assert_allclose(r, dense[1], rtol=64 * unit(dtype), atol=unit(dtype))
        np.testing.assert_array_equal(labels, dense[2])
        np.testing.assert_array_equal(answers(module, problem, True, "k")[2], labels)
        assert n_far == dense[3] and np.any(labels == -1) == (noise > -20)
    assert counts[0] >= counts[1] >= counts[2] > counts[3]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_where_nothing_can_be_left_out_bits_stay(variant: str, dtype: str) -> None:
    """One blob, copies of one component, components that overlap, and few rows: the dense kernel runs."""
    rng, module = np.random.default_rng(0), kernels.load(variant)
    X = rng.normal(size=(6000, 3)).astype(dtype)
    means, weights = rng.normal(size=(20, 3)), np.full(20, 1 / 20)
    blob = FULL.from_covariances(weights, means, np.tile(np.eye(3), (20, 1, 1)))
    copies = FULL.from_covariances(weights, np.zeros((20, 3)), np.tile(np.eye(3), (20, 1, 1)))
    for problem in (Problem(X, blob), Problem(X, copies), apart(LEAST_ROWS - 1, 3, 20, dtype)):
        one, other = (accumulated(module, problem, choosing) for choosing in (True, False))
        assert bits(one[:2]) == bits(other[:2]) and one[2] == other[2] == len(problem.X) * 20
        assert bits(answers(module, problem, True)[:3]) == bits(answers(module, problem, False)[:3])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_degenerate_rows_and_mixtures(variant: str, dtype: str) -> None:
    """Duplicates, constant features, offsets, rows far away, and components of no weight or of huge factors."""
    module, problem = kernels.load(variant), apart(4000, 3, 24, dtype)
    X, parameters, _ = problem
    weights = parameters.weights.copy()
    weights[3:9] = 0
    empty = FULL.from_covariances(weights / weights.sum(), parameters.means, parameters.covariances)
    narrow = parameters.covariances.copy()
    narrow[::2] *= 1e-8
    constant, outliers = X.copy(), X.copy()
    constant[:, 1] = 0.5
    outliers[::500] *= np.array(1e15 if dtype == "float64" else 1e5, dtype)
    shift = 1e8 if dtype == "float64" else 1e4
    moved = FULL.from_covariances(parameters.weights, parameters.means + shift, parameters.covariances)
    cases = {
        "copies": Problem(np.repeat(X[:40], 100, axis=0), parameters),
        "all the same": Problem(np.repeat(X[:1], 4000, axis=0), parameters),
        "constant feature": Problem(constant, parameters),
        "no weight": Problem(X, empty),
        "narrow": Problem(X, FULL.from_covariances(parameters.weights, parameters.means, narrow)),
        "outliers": Problem(outliers, parameters),
        "offset": Problem((X.astype(np.float64) + shift).astype(dtype), moved),
    }
    for name, case in cases.items():
        found, expected = (accumulated(module, case, choosing) for choosing in (True, False))
        assert np.isfinite(found[0]).all(), name
        assert_close_sums(found, expected, dtype, 4e-6)  # copies of a row are rounded alike
        assert found[2] < 4000 * 24, name
        np.testing.assert_array_equal(answers(module, case, True, "k")[2], answers(module, case, False, "k")[2], name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_infinitely_far(dtype: str) -> None:
    """Rows whose distances overflow have no share in sums and the log-likelihood -inf; they are counted as far."""
    problem = apart(4000, 3, 24, dtype)
    X = problem.X.copy()
    X[::777] = np.finfo(dtype).max / 8
    far = problem._replace(X=X)
    near = np.arange(4000) % 777 > 0
    (scores, _, labels, n_far), expected = (answers(kernels.CHOSEN, far, choosing, "lk") for choosing in (True, False))
    np.testing.assert_allclose(scores[near], expected[0][near], rtol=8 * unit(dtype), atol=8 * unit(dtype))
    np.testing.assert_array_equal(labels[near], expected[2][near])
    assert n_far == expected[3] == 6 and np.all(scores[~near] == -np.inf)
    found, expected = (accumulated(kernels.CHOSEN, far, choosing) for choosing in (True, False))
    assert found[1] == expected[1] == -np.inf
    assert_close_sums((found[0], 0.0, 0), (expected[0], 0.0, 0), dtype)
    diagonal = np.tile(np.eye(3) * 1e-4, (24, 1, 1))  # distances themselves overflow
    of_them = problem.parameters
    narrow = far._replace(parameters=FULL.from_covariances(of_them.weights, of_them.means, diagonal))
    found, expected = (accumulated(kernels.CHOSEN, narrow._replace(X=rows), True) for rows in (X, X[near]))
    assert found[1] == -np.inf
    assert_close_sums((found[0], 0.0, 0), (expected[0], 0.0, 0), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_layout_same_bits(variant: str, dtype: str) -> None:
    """Rows and columns of any strides."""
    module, plain = kernels.load(variant), apart(5003, 3, 20, dtype)
    expected, X = (bits(accumulated(module, plain, True)[:2]), bits(answers(module, plain, True)[:3])), plain.X
    wide = np.full((5003, 7), np.nan, dtype)
    wide[:, 1::2] = X
    reversed_rows, reversed_columns = np.ascontiguousarray(X[::-1])[::-1], np.ascontiguousarray(X[:, ::-1])[:, ::-1]
    for other in (np.asfortranarray(X), wide[:, 1::2], np.repeat(X, 2, axis=0)[::2], reversed_rows, reversed_columns):
        problem = plain._replace(X=other)
        assert bits(accumulated(module, problem, True)[:2]) == expected[0]
        assert bits(answers(module, problem, True)[:3]) == expected[1]


# ---- fits


def pictured(n_samples: int, n_features: int, dtype: Any = np.float64, seed: int = 0) -> Array:
    """Rows on curved sheets, as colors of a picture are, that no few components describe."""
    rng = np.random.default_rng(seed)
    t, s = rng.uniform(size=(2, n_samples))
    columns = [t * 255, 200 * t**2 + 20 * s, 100 * np.sin(5 * t) + 60 * s, 90 * s]
    X = np.stack(columns[:n_features], axis=1) + rng.normal(size=(n_samples, n_features)) * 2
    return X.astype(dtype)


def start(X: Array, n_components: int) -> dict[str, Any]:
    """Some rows for means, and a common precision."""
    indices = np.random.default_rng(1).choice(len(X), n_components, replace=False)
    precision = np.linalg.inv(np.atleast_2d(np.cov(X.astype(np.float64), rowvar=False))) * n_components
    given = {"means_init": X[indices], "precisions_init": np.tile(precision, (n_components, 1, 1))}
    return {**given, "tol": 0.0, "random_state": 0}


@pytest.mark.parametrize("n_features", [1, 2, 3, 4])
def test_fits_agree_with_dense_ones(n_features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same path to the same parameters, with pairs left out and without; answers about rows, too."""
    X = pictured(30_000, n_features)
    options = {"n_components": 192, "max_iter": 10, "reg_covar": 1e-1, **start(X, 192)}
    model = quiet_fit(X, **options)
    found = model.predict_proba(X), model.score_samples(X), model.predict(X)
    monkeypatch.setattr(passes, "DENSE", True)
    dense = quiet_fit(X, **options)
    assert_same_fit(model, dense, rtol=1e-9)
    assert bits(model) != bits(dense)
    expected = model.predict_proba(X), model.score_samples(X), model.predict(X)
    if n_features < 4:
        assert (found[0] == 0).mean() > (expected[0] == 0).mean() + 0.01
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12, atol=1e-17)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-14)
    np.testing.assert_array_equal(found[2], expected[2])


def test_chunks_threads_and_arrays_same_bits() -> None:
    """Groups, and what is left out, follow from the rows and the model alone."""
    X = pictured(40_000, 3)
    weights = np.random.default_rng(0).uniform(size=len(X))
    options = {"n_components": 40, "max_iter": 4, **start(X, 40)}
    cuts = np.random.default_rng(0).integers(0, len(X), 9)
    rows = [X, np.asfortranarray(X), from_array(X, chunk_rows=999), from_chunks(np.split(X, np.sort(cuts)))]
    for sample_weight in (None, weights):
        fits = []
        for part in rows:
            for n_threads in (1, 3):
                model = GaussianMixture(**options, n_threads=n_threads)
                with pytest.warns(UserWarning, match="did not converge"):
                    model.fit(part, sample_weight=sample_weight)
                fits.append(bits(model) + bits(model.predict(X)) + bits(model.score_samples(X)))
        assert len(set(fits)) == 1


def test_groups_are_large_where_rows_should_be_near() -> None:
    """80 rows for each component if that leaves 16 groups; small problems, others and dense ones are cut as ever."""

    def largest(n_samples: int, n_features: int, n_components: int, structure: str = "full") -> int:
        """Rows of the largest group."""
        source = ArraySource(np.empty((n_samples, n_features)), 1)
        groups = source._cut(STRUCTURES[structure].kind, n_components)
        return max(group.stop - group.start for group in groups)

    assert largest(1_000_000, 3, 256) == 20_480
    assert largest(200_000, 3, 256) == 12_800
    assert largest(20_000_000, 2, 2000) == 65_536
    assert largest(50_000, 4, 64) == 3584
    assert largest(2000, 3, 64) == 2000
    for n_features, n_components in ((5, 256), (3, 15)):
        expected = passes.cut(200_000, passes.work_per_row(FULL.kind, n_features, n_components), 8 * n_features)
        assert largest(200_000, n_features, n_components) == expected[0].stop
    assert largest(200_000, 3, 256, "diag") < 12_800


@pytest.mark.parametrize(("value", "expected"), [("1", "True False"), ("0", "False True"), ("", "False True")])
def test_environment_can_ask_for_everything(value: str, expected: str) -> None:
    """FASTGMM_DENSE=1 has all pairs worked out."""
    code = "from fastgmm.sources.passes import DENSE, chooses; print(DENSE, chooses(10**6, 0, 3, 256))"
    done = run_python("-c", code, environment={"FASTGMM_DENSE": value}, check=True)
    assert done.stdout.strip() == expected
