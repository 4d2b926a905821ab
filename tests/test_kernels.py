"""Every kernel, instruction set and precision against the slow twin, at sizes that do not divide any tile."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import reference as twin
from problems import DTYPES, VARIANTS, bits, parameters_of, source_bits

from fastgmm import kernels
from fastgmm.model.parameters import Parameters
from fastgmm.model.statistics import Statistics
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource
from fastgmm.sources.complete import Known, Nearest

ROWS = (1, 2, 7, 63, 64, 65, 127, 129, 255, 257, 511, 513, 1000)
FEATURES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 31, 32, 33, 40)
COMPONENTS = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33)


class Case(NamedTuple):
    """One data set and model; the seed draws them."""

    structure: str
    dtype: str
    n_samples: int
    n_features: int
    n_components: int
    condition: float
    offset: float
    seed: int


def covering_cases() -> list[Case]:
    """Every N, D and K with every structure and precision, paired at random instead of the full product."""
    rng = np.random.default_rng(20)
    cases = []
    for structure in twin.STRUCTURES:
        for dtype in DTYPES:
            rows = [int(n) for n in np.concatenate([rng.permutation(ROWS), rng.permutation(ROWS)])]
            components = [int(k) for k in np.concatenate([rng.permutation(COMPONENTS), rng.permutation(COMPONENTS)])]
            for i, n_features in enumerate(FEATURES):
                ill = i % 3 == 2
                condition = (1e4 if dtype == "float32" else 1e6) if ill else 10.0
                offset = 30.0 if ill else 1.0
                seed = int(rng.integers(2**31))
                cases.append(Case(structure, dtype, rows[i], n_features, components[i], condition, offset, seed))
            for n_samples, n_features, n_components in ((4099, 3, 5), (20011, 2, 3), (2999, 16, 3)):
                seed = int(rng.integers(2**31))
                cases.append(Case(structure, dtype, n_samples, n_features, n_components, 10.0, 1.0, seed))
    return cases


CASES = covering_cases()


class Expected(NamedTuple):
    """The twin's answers for one case, and how far rounding may take a kernel from them."""

    X: Any
    parameters: Parameters
    logs: Any
    log_likelihoods: Any
    responsibilities: Any
    bounds: Any
    statistics: Any


@cache
def twin_answers(case: Case) -> Expected:
    """Draw a case and work it out by the twin, with the library's precision factors taken as exact."""
    rng = np.random.default_rng(case.seed)
    drawn = twin.random_model(
        rng,
        case.structure,
        case.n_components,
        case.n_features,
        condition=case.condition,
        offset=case.offset,
    )
    X = twin.sample(rng, drawn, case.n_samples, case.dtype)
    parameters = parameters_of(drawn)
    model = twin.Model(case.structure, parameters.weights, parameters.means, parameters.covariances)
    factors = twin.dense(case.structure, parameters.precisions_cholesky, *parameters.means.shape)
    logs = twin.log_joint(X, model.weights, model.means, factors)
    totals = twin.log_sum_exp(logs)
    r = np.exp(logs - totals[:, None])
    u = float(np.finfo(case.dtype).eps) / 2
    reference = parameters.means.astype(case.dtype)
    bounds = twin.rounding_bounds(X, model, factors, reference, u)
    statistics = twin.statistics_of(case.structure, X, r, reference)
    return Expected(X, parameters, logs, totals, r, bounds, statistics)


def assert_within(actual: Any, expected: Any, bound: Any, what: str) -> None:
    """|actual - expected| <= bound everywhere; says where it is worst."""
    actual = np.asarray(actual, dtype=twin.REAL)
    assert actual.shape == np.shape(expected), f"{what}: shape {actual.shape}, expected {np.shape(expected)}"
    assert np.all(np.isfinite(actual)), f"{what}: not finite"
    ratio = np.abs(actual - expected) / bound
    worst = np.unravel_index(np.argmax(ratio), ratio.shape)
    assert ratio[worst] <= 1, (
        f"{what}{list(map(int, worst))}: {actual[worst]}, expected {np.asarray(expected)[worst]}, "
        f"{float(ratio[worst]):.3g} times the rounding bound"
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case[:6])))
@pytest.mark.parametrize("variant", VARIANTS)
def test_kernels_equal_twin(variant: str, case: Case) -> None:
    """Statistics, log-likelihoods, responsibilities and labels of one case."""
    expected = twin_answers(case)
    source = ArraySource(expected.X, n_threads=1, kernels=kernels.load(variant))
    structure = STRUCTURES[case.structure]

    got = source.statistics(structure, expected.parameters)
    for array in (got.counts, got.sums, got.scatters, got.reference):
        assert array.dtype == np.float64
    u = float(np.finfo(case.dtype).eps) / 2
    amplification = np.sqrt(case.condition) if case.structure == "tied" else 1.0
    slack = (
        8 * u * case.n_features * amplification * max(np.abs(expected.X).max(), np.abs(expected.parameters.means).max())
    )
    np.testing.assert_allclose(got.reference, expected.parameters.means, rtol=0, atol=slack)
    statistics = expected.statistics
    if not np.array_equal(got.reference, expected.parameters.means.astype(case.dtype)):
        statistics = twin.statistics_of(case.structure, expected.X, expected.responsibilities, got.reference)
    assert_within(got.counts, statistics.counts, expected.bounds.counts, "counts")
    assert_within(got.sums, statistics.sums, expected.bounds.sums, "sums")
    assert_within(got.scatters, statistics.scatters, expected.bounds.scatters, "scatters")
    if case.structure in ("full", "tied"):
        assert np.array_equal(got.scatters, np.swapaxes(got.scatters, -1, -2)), "scatters must be symmetric"
    total = expected.log_likelihoods.sum()
    assert abs(got.in_data_units().log_likelihood - total) <= expected.bounds.log_likelihood

    log_likelihoods = source.log_likelihoods(structure.kernel_model(expected.parameters, source.dtype))
    assert log_likelihoods.dtype == expected.X.dtype
    assert_within(log_likelihoods, expected.log_likelihoods, expected.bounds.log_likelihoods, "log-likelihoods")

    r = source.responsibilities(structure.kernel_model(expected.parameters, source.dtype))
    assert r.dtype == expected.X.dtype
    assert_within(r, expected.responsibilities, expected.bounds.responsibilities, "responsibilities")
    np.testing.assert_allclose(r.astype(np.float64).sum(axis=1), 1, rtol=0, atol=(case.n_components + 8) * 2 * u)

    labels = source.labels(structure.kernel_model(expected.parameters, source.dtype))
    assert labels.dtype == np.int64 and labels.shape == (case.n_samples,)
    rows = np.arange(case.n_samples)
    best = expected.logs.argmax(axis=1)
    margin = expected.logs[rows, best] - expected.logs[rows, labels]
    tie = expected.bounds.log_joint[rows, best] + expected.bounds.log_joint[rows, labels]
    assert np.all(margin <= tie), f"labels differ beyond ties at rows {np.flatnonzero(margin > tie)[:5]}"


def test_cases_cover_every_size() -> None:
    """The covering selection holds every N, D and K for every structure and precision."""
    for structure in twin.STRUCTURES:
        for dtype in DTYPES:
            chosen = [case for case in CASES if case.structure == structure and case.dtype == dtype]
            assert {case.n_samples for case in chosen} >= set(ROWS)
            assert {case.n_features for case in chosen} >= set(FEATURES)
            assert {case.n_components for case in chosen} >= set(COMPONENTS)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_factors_from_covariances(structure: str) -> None:
    """precisions_cholesky is upper triangular, P^T Sigma P = I to u D kappa, and precisions = P P^T."""
    rng = np.random.default_rng(3)
    for n_features, condition in ((1, 1.0), (5, 10.0), (12, 1e6)):
        model = twin.random_model(rng, structure, 4, n_features, condition=condition)
        parameters = parameters_of(model)
        factors = twin.dense(structure, parameters.precisions_cholesky, 4, n_features)
        covariances = twin.dense(structure, model.covariances, 4, n_features)
        assert np.array_equal(factors, np.triu(factors))
        whitened = np.swapaxes(factors, -1, -2) @ covariances @ factors
        bound = 4 * n_features * condition * 2.0**-53 + 4 * 2.0**-53
        np.testing.assert_allclose(whitened.astype(float), np.stack([np.eye(n_features)] * 4), rtol=0, atol=bound)
        precisions = STRUCTURES[structure].precisions(parameters.precisions_cholesky)
        precisions = twin.dense(structure, precisions, 4, n_features)
        expected = (factors @ np.swapaxes(factors, -1, -2)).astype(float)
        np.testing.assert_allclose(precisions.astype(float), expected, rtol=0, atol=1e-14 * np.abs(expected).max())


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_factors_from_precisions(structure: str) -> None:
    """from_precisions gives an upper triangular factor of the precision itself, and its covariance."""
    rng = np.random.default_rng(4)
    model = twin.random_model(rng, structure, 3, 6, condition=100.0)
    factors = twin.precision_factors(model)
    dense = (factors @ np.swapaxes(factors, -1, -2)).astype(np.float64)
    if structure in ("full", "tied"):
        precisions = dense if structure == "full" else dense[0]
    else:
        precisions = 1 / np.asarray(model.covariances)
    parameters = STRUCTURES[structure].from_precisions(model.weights, model.means, precisions)
    got = twin.dense(structure, parameters.precisions_cholesky, 3, 6).astype(float)
    np.testing.assert_allclose(got, factors.astype(float), rtol=0, atol=1e-12 * np.abs(factors).max())
    np.testing.assert_allclose(parameters.covariances, np.asarray(model.covariances), rtol=0, atol=1e-12)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_indefinite_covariances_are_refused(structure: str) -> None:
    """A covariance or precision that is not positive definite is a ValueError."""
    shape = STRUCTURES[structure].covariance_shape(2, 3)
    bad = -np.ones(shape)
    with pytest.raises(ValueError):
        STRUCTURES[structure].from_covariances(np.full(2, 0.5), np.zeros((2, 3)), bad)
    with pytest.raises(ValueError):
        STRUCTURES[structure].from_precisions(np.full(2, 0.5), np.zeros((2, 3)), bad)


def layouts(X: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The same values in every memory layout a caller may have."""
    n_samples, n_features = X.shape
    wide = np.full((n_samples, 2 * n_features + 1), np.nan, dtype=X.dtype)
    wide[:, 1::2] = X
    tall = np.full((3 * n_samples, n_features), np.nan, dtype=X.dtype)
    tall[::3] = X
    gap = np.full((n_samples, n_features + 3), np.nan, dtype=X.dtype)
    gap[:, :n_features] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    unaligned = np.empty(X.nbytes + 1, dtype=np.uint8)[1:].view(X.dtype).reshape(X.shape)
    unaligned[...] = X
    return {
        "fortran": np.asfortranarray(X),
        "every other column": wide[:, 1::2],
        "every third row": tall[::3],
        "first columns": gap[:, :n_features],
        "rows reversed": np.ascontiguousarray(X[::-1])[::-1],
        "columns reversed": np.ascontiguousarray(X[:, ::-1])[:, ::-1],
        "both reversed": np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
        "read-only": read_only,
        "unaligned": unaligned,
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_layout_same_bits(variant: str, structure: str, dtype: str) -> None:
    """C, Fortran, strided, reversed, read-only and unaligned rows give the same bits as a C-contiguous copy."""
    rng = np.random.default_rng(5)
    for n_samples, n_features in ((131, 5), (517, 17), (3, 1)):
        model = twin.random_model(rng, structure, 3, n_features)
        X = twin.sample(rng, model, n_samples, dtype)
        parameters = parameters_of(model)
        results = {}
        for name, rows in {"contiguous": X, **layouts(X)}.items():
            before = rows.tobytes()
            source = ArraySource(rows, n_threads=1, kernels=kernels.load(variant))
            results[name] = source_bits(source, structure, parameters)
            assert rows.tobytes() == before, f"{name}: the rows were written to"
        differing = [name for name, found in results.items() if found != results["contiguous"]]
        assert not differing


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_far_rows_stay_finite(variant: str, structure: str) -> None:
    """Rows whose densities all underflow have finite log-likelihoods and responsibilities that sum to 1."""
    rng = np.random.default_rng(6)
    model = twin.random_model(rng, structure, 5, 4)
    parameters = parameters_of(model)
    for dtype, far in (("float32", 1e6), ("float64", 1e30)):
        X = twin.sample(rng, model, 70, dtype)
        X[3] += far
        X[64] -= far
        source = ArraySource(X, n_threads=1, kernels=kernels.load(variant))
        totals = source.log_likelihoods(STRUCTURES[structure].kernel_model(parameters, source.dtype))
        assert np.all(np.isfinite(totals))
        assert totals[3] < -1e6 and totals[64] < -1e6
        r = source.responsibilities(STRUCTURES[structure].kernel_model(parameters, source.dtype))
        np.testing.assert_allclose(r.sum(axis=1), 1, rtol=0, atol=1e-5)
        factors = twin.dense(structure, parameters.precisions_cholesky, 5, 4)
        logs = twin.log_joint(X, parameters.weights, parameters.means, factors)
        rtol = 1e-4 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(totals, twin.log_sum_exp(logs).astype(float), rtol=rtol, atol=1e-4)
        statistics = source.statistics(STRUCTURES[structure], parameters)
        assert np.all(np.isfinite(statistics.counts)) and np.isfinite(statistics.log_likelihood)
        assert abs(statistics.counts.sum() - len(X)) < 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_weight_component(variant: str) -> None:
    """A component of weight 0 gets no responsibility and leaves the others' answers finite."""
    rng = np.random.default_rng(7)
    model = twin.random_model(rng, "full", 3, 2)
    weights = np.array([0.0, 0.4, 0.6])
    X = twin.sample(rng, model, 100)
    parameters = STRUCTURES["full"].from_covariances(weights, model.means, model.covariances)
    source = ArraySource(X, n_threads=1, kernels=kernels.load(variant))
    with np.errstate(divide="ignore"):
        r = source.responsibilities(STRUCTURES["full"].kernel_model(parameters, source.dtype))
        statistics = source.statistics(STRUCTURES["full"], parameters)
    assert np.all(r[:, 0] == 0)
    np.testing.assert_allclose(r[:, 1:].sum(axis=1), 1, rtol=1e-14)
    assert statistics.counts[0] == 0 and np.all(np.isfinite(statistics.scatters))


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_merged_statistics_equal_whole(structure: str) -> None:
    """Statistics of two halves about the same means, merged, are those of the whole."""
    rng = np.random.default_rng(8)
    model = twin.random_model(rng, structure, 3, 5)
    X = twin.sample(rng, model, 301)
    parameters = parameters_of(model)
    rule = STRUCTURES[structure]
    whole = ArraySource(X).statistics(rule, parameters)
    merged = ArraySource(X[:117]).statistics(rule, parameters).merge(ArraySource(X[117:]).statistics(rule, parameters))
    np.testing.assert_allclose(merged.counts, whole.counts, rtol=1e-12)
    np.testing.assert_allclose(merged.sums, whole.sums, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(merged.scatters, whole.scatters, rtol=1e-12, atol=1e-11)
    assert merged.in_data_units().log_likelihood == pytest.approx(whole.in_data_units().log_likelihood, rel=1e-13)
    assert np.array_equal(merged.reference, whole.reference)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_maximize_equals_twin(structure: str) -> None:
    """The M-step from the twin's statistics about distant reference means is the twin's two-pass M-step.

    The reference means are 3 standard deviations off, so forming scatter / count - shift shift^T loses a digit.
    """
    rng = np.random.default_rng(9)
    model = twin.random_model(rng, structure, 4, 5, condition=100.0)
    X = twin.sample(rng, model, 400)
    r = twin.responsibilities(X, model)
    reference = model.means + 3.0
    expected = twin.maximize(structure, X, r, reg_covar=1e-3)
    made = twin.statistics_of(structure, X, r, reference)
    statistics = Statistics(
        counts=made.counts.astype(float),
        sums=made.sums.astype(float),
        scatters=made.scatters.astype(float),
        reference=reference,
        log_likelihood=0.0,
        n_samples=400,
        resolution=float(np.finfo(np.float64).eps),
        covariance_type=structure,
    )
    got = STRUCTURES[structure].maximize(statistics, 1e-3)
    np.testing.assert_allclose(got.weights, expected.weights.astype(float), rtol=1e-13)
    np.testing.assert_allclose(got.means, expected.means.astype(float), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(got.covariances, expected.covariances.astype(float), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("structure", "n_free"), [("full", 45), ("tied", 15), ("diag", 15), ("spherical", 3)])
def test_number_of_parameters(structure: str, n_free: int) -> None:
    """K = 3, D = 5: 2 free weights, 15 means and those of the covariances."""
    assert STRUCTURES[structure].n_parameters(3, 5) == 2 + 15 + n_free


@pytest.mark.parametrize("variant", VARIANTS)
def test_kernels_tell_the_size_of_their_sums(variant: str) -> None:
    """Counts, first and second moments of K = 3 components with D = 4 features, and the log-likelihood."""
    module = kernels.load(variant)
    kinds = (kernels.TRIANGULAR, kernels.DIAGONAL, kernels.COMMON_FRAME)
    assert kinds == (module.TRIANGULAR, module.DIAGONAL, module.COMMON_FRAME)
    sums = [module.n_sums(kind, 4, 3) for kind in kinds]
    assert sums == [3 * (1 + 4 + 10) + 1, 3 * (1 + 4 + 4) + 1, 3 * (1 + 4 + 1) + 1]
    sums = [module.patterns_sums(kind, 4, 3) for kind in kinds]
    assert sums == [3 * (1 + 4 + 10) + 1, 3 * (1 + 4 + 4) + 1, 3 * (1 + 4) + 10 + 2 + 1]


class Guarded:
    """A kernel module whose every workspace is full of NaN and lies between guards that must stay untouched."""

    GUARD = 64

    def __init__(self, module: Any) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Any:
        """The module's functions; those that take a workspace, wrapped."""
        function = getattr(self.module, name)
        places = {"accumulate": 11, "posterior": 10, "assign": 4, "potentials": 4}
        if name not in places:
            return function

        def guarded(*arguments: Any) -> Any:
            """Call with a poisoned copy of the workspace, then look at the guards."""
            given = list(arguments)
            workspace = given[places[name]]
            room = np.full(len(workspace) + 2 * self.GUARD, np.nan, workspace.dtype)
            guards = np.r_[: self.GUARD, -self.GUARD : 0]
            room[guards] = 1234.5
            given[places[name]] = room[self.GUARD : -self.GUARD]
            result = function(*given)
            assert np.all(room[guards] == 1234.5), f"{name} wrote outside its workspace"
            return result

        return guarded


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_workspace_guards(variant: str, structure: str, dtype: str) -> None:
    """Kernels read nothing they did not write and write nothing outside: NaN in the workspace changes no bit."""
    rng = np.random.default_rng(10)
    module = kernels.load(variant)
    for n_samples, n_features, n_components in ((1, 1, 1), (65, 3, 2), (129, 5, 9), (300, 17, 4), (150, 33, 3)):
        model = twin.random_model(rng, structure, n_components, n_features)
        X = twin.sample(rng, model, n_samples, dtype)
        parameters = parameters_of(model)
        rule = STRUCTURES[structure]
        results = []
        weights = rng.uniform(size=n_samples)
        for source in (
            ArraySource(X, n_threads=1, kernels=module, weights=weights),
            ArraySource(X, n_threads=1, kernels=cast(ModuleType, Guarded(module)), weights=weights),
        ):
            fitted = source.statistics(rule, parameters)
            given = source.statistics_labeled(rule, parameters.means, Known(np.arange(n_samples) % n_components))
            closest = np.full(n_samples, np.inf, dtype)
            arrays = (
                *(fitted.counts, fitted.sums, fitted.scatters),
                *(given.counts, given.sums, given.scatters),
                source.log_likelihoods(rule.kernel_model(parameters, source.dtype)),
                source.responsibilities(rule.kernel_model(parameters, source.dtype)),
                source.labels(rule.kernel_model(parameters, source.dtype)),
                *source.assign(parameters.means)[:3],
                source.potentials(parameters.means, closest),
            )
            results.append(bits(arrays))
        assert results[0] == results[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kmeans_kernels_equal_twin(variant: str, dtype: str) -> None:
    """Assignment, cluster sums, inertia and k-means++ potentials; ties may go either way within rounding."""
    rng = np.random.default_rng(11)
    u = float(np.finfo(dtype).eps) / 2
    for n_samples, n_features, n_components in ((1, 1, 1), (63, 2, 5), (257, 7, 3), (1000, 16, 33), (20011, 3, 4)):
        X = (rng.normal(size=(n_samples, n_features)) + 5).astype(dtype)
        centers = rng.normal(size=(n_components, n_features)) + 5
        source = ArraySource(X, n_threads=1, kernels=kernels.load(variant))
        labels, counts, sums, inertia = source.assign(centers)
        distances = twin.squared_distances(X, centers)
        rows = np.arange(n_samples)
        rounding = 16 * (n_features + 4) * u * (distances.max() + 25)
        assert np.all(distances[rows, labels] <= distances.min(axis=1) + rounding)
        chosen = labels[:, None] == np.arange(n_components)
        np.testing.assert_array_equal(counts, chosen.sum(axis=0))
        expected = twin.statistics_of("full", X, chosen.astype(twin.REAL), centers).sums.astype(float)
        np.testing.assert_allclose(sums, expected, rtol=0, atol=64 * u * n_samples)
        assert inertia == pytest.approx(twin.potential(X, centers), rel=64 * u * n_features)

        closest = np.full(n_samples, np.inf, dtype)
        first = source.potentials(centers[:1], closest, True)
        np.testing.assert_allclose(first, distances[:, 0].sum().astype(float), rtol=64 * u * n_features)
        np.testing.assert_allclose(closest, distances[:, 0].astype(float), rtol=0, atol=rounding)
        before = closest.copy()
        each = source.potentials(centers, closest)
        assert np.array_equal(closest, before), "closest is only to change when asked to"
        expected = np.minimum(distances, distances[:, :1]).sum(axis=0).astype(float)
        np.testing.assert_allclose(each, expected, rtol=64 * u * n_features)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("separation", [30.0, 600.0, 1e5])
def test_tight_clusters_far_apart(structure: str, separation: float) -> None:
    """Covariances do not drown in the scatter between components: whitened error at most 1e-8 in float64.

    With means 1e5 standard deviations apart the within-component scatter is 1e-10 of the total: the difference of
    the two is not good enough, which the tied structure's shortcut must notice.
    """
    rng = np.random.default_rng(12)
    model = twin.random_model(rng, structure, 4, 5, separation=separation)
    X = twin.sample(rng, model, 2000)
    rule = STRUCTURES[structure]
    got = rule.maximize(ArraySource(X).statistics(rule, parameters_of(model)), 0.0)
    expected = twin.maximize(structure, X, twin.responsibilities(X, model), 0.0)
    exact = twin.dense(structure, expected.covariances, 4, 5)
    whiten = twin.inverse_lower(twin.cholesky(exact))
    error = whiten @ (twin.dense(structure, got.covariances, 4, 5) - exact) @ np.swapaxes(whiten, -1, -2)
    assert np.abs(error).max() <= 1e-8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_all_finite(variant: str, dtype: str) -> None:
    """One NaN or infinity anywhere is found, whatever the layout; the largest finite numbers are none."""
    module = kernels.load(variant)
    for shape in ((1, 1), (3, 7), (70, 5), (1, 300)):
        base = np.full((2 * shape[0], 2 * shape[1]), np.finfo(dtype).max, dtype)
        layouts = (base[: shape[0], : shape[1]], base[::2, ::2], base[::-2, ::-2], base.T[: shape[1], : shape[0]].T)
        for X in (*layouts, *(layout.copy() for layout in layouts)):
            assert module.all_finite(X)
            for place in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 2)):
                for value in (np.nan, np.inf, -np.inf):
                    kept, X[place] = X[place], value
                    assert not module.all_finite(X)
                    X[place] = kept


@pytest.mark.parametrize("separation", [1.5, 3.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_skipped_responsibilities_within_rounding(variant: str, structure: str, dtype: str, separation: float) -> None:
    """Leaving out responsibilities below u / K changes the statistics no more than rounding does.

    The dense path, which takes all responsibilities as they are given, is the reference.
    """
    n_components, n_features = 6, 5
    rng = np.random.default_rng(8)
    model = twin.random_model(rng, structure, n_components, n_features, separation=separation)
    X = twin.sample(rng, model, 3001, dtype)
    rule, source = STRUCTURES[structure], ArraySource(X, n_threads=1, kernels=kernels.load(variant))
    parameters = parameters_of(model)
    r = source.responsibilities(rule.kernel_model(parameters, X.dtype))
    u = float(np.finfo(dtype).eps) / 2
    assert np.count_nonzero((r > 0) & (r < u / n_components)) > 100, "nothing to skip: this test tests nothing"

    sparse = rule.maximize(source.statistics(rule, parameters), 0.0)
    dense = rule.maximize(source.statistics_given(rule, parameters.means, lambda rows: r[rows]), 0.0)
    tolerance = 200 * u * n_features
    np.testing.assert_allclose(sparse.weights, dense.weights, rtol=tolerance)
    scale = np.sqrt(np.abs(np.diagonal(twin.dense(structure, dense.covariances, *dense.means.shape), 0, 1, 2)))
    assert np.all(np.abs(sparse.means - dense.means) <= tolerance * scale.astype(float))
    np.testing.assert_allclose(
        sparse.covariances, dense.covariances, rtol=0, atol=10 * tolerance * np.abs(dense.covariances).max()
    )


# ---- weights and labels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_integer_weights_equal_repeated_rows(variant: str, structure: str, dtype: str) -> None:
    """Statistics, k-means sums and potentials of rows with integer weights are those of so many copies; none for 0."""
    rng = np.random.default_rng(12)
    module, rule = kernels.load(variant), STRUCTURES[structure]
    tolerance = 1e-11 if dtype == "float64" else 2e-4
    for n_samples, n_features, n_components in ((1, 1, 1), (65, 3, 2), (300, 5, 9), (700, 17, 3), (9000, 2, 2)):
        model = twin.random_model(rng, structure, n_components, n_features)
        X = twin.sample(rng, model, n_samples, dtype)
        weights = rng.integers(0, 4, n_samples)
        weights[0] = 2
        parameters = parameters_of(model)
        weighted = ArraySource(X, 1, module, weights)
        weighted.origin = X[0].astype(np.float64)
        repeated = ArraySource(np.repeat(X, weights, axis=0), 1, module)
        repeated.origin = weighted.origin
        labels = rng.integers(n_components, size=n_samples)
        pairs = [
            (weighted.statistics(rule, parameters), repeated.statistics(rule, parameters)),
            (
                weighted.statistics_labeled(rule, parameters.means, Known(labels)),
                repeated.statistics_labeled(rule, parameters.means, Known(np.repeat(labels, weights))),
            ),
            (
                weighted.statistics_labeled(rule, parameters.means, Nearest(parameters.means)),
                repeated.statistics_labeled(rule, parameters.means, Nearest(parameters.means)),
            ),
        ]
        for one, other in ((one.in_data_units(), other.in_data_units()) for one, other in pairs):
            assert one.n_samples == other.n_samples == weights.sum()
            for name in ("counts", "sums", "scatters", "log_likelihood"):
                a, b = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
                scale = abs(b).max() + np.sqrt(abs(other.scatters).max() * other.n_samples)
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=name)
        for one, other in zip(
            weighted.assign(parameters.means)[1:], repeated.assign(parameters.means)[1:], strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * n_samples)
        sums = []
        for source in (weighted, repeated):
            closest = np.full(source.n_samples, 9.0, dtype)
            sums.append(source.potentials(parameters.means, closest))
        np.testing.assert_allclose(*sums, rtol=tolerance)
        np.testing.assert_allclose(
            weighted.log_likelihood(rule.kernel_model(parameters, X.dtype)),
            repeated.log_likelihood(rule.kernel_model(parameters, X.dtype)),
            rtol=tolerance,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_equal_hard_responsibilities(variant: str, structure: str, dtype: str) -> None:
    """Statistics by labels are those by responsibilities of zeros and ones, buffers filled or not."""
    rng = np.random.default_rng(13)
    module, rule = kernels.load(variant), STRUCTURES[structure]
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for n_samples, n_features, n_components in ((1, 1, 1), (65, 3, 2), (3000, 5, 3), (700, 17, 40)):
        X = (rng.normal(size=(n_samples, n_features)) + 3).astype(dtype)
        means = rng.normal(size=(n_components, n_features)) + 3
        labels = rng.integers(n_components, size=n_samples)
        source = ArraySource(X, 1, module, rng.uniform(0.5, 2, n_samples))
        hard = np.eye(n_components)[labels]
        one = source.statistics_labeled(rule, means, Known(labels))
        other = source.statistics_given(rule, means, lambda rows, hard=hard: hard[rows])
        for name in ("counts", "sums", "scatters"):
            a, b = getattr(one, name), getattr(other, name)
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * n_samples, err_msg=name)
