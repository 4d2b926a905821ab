"""Frames of constrained structures, and EM from sums that components share: as from full scatters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from fastgmm import GaussianMixture
from fastgmm import kernels as compiled
from fastgmm.fitting import em, pooling
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.kernels import COMMON_AXES, COMMON_FRAME
from fastgmm.model.fitted import Fitted
from fastgmm.model.frames import Frame, frame_of
from fastgmm.model.parameters import Parameters
from fastgmm.model.pools import Pools
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources import passes
from fastgmm.sources.array import ArraySource
from fastgmm.sources.incomplete.completed import Completed

Array = np.ndarray[Any, Any]
FRAMED = ("EEI", "VEI", "VEE", "EVE", "VVE")
POOLED = ("EEI", "VEE", "EVE", "VVE")  # of these, those that are fitted from few sums
DTYPES = ("float64", "float32")


def groups(n: int, d: int, k: int, seed: int, apart: float = 1.5) -> tuple[Array, Array]:
    """Correlated groups that overlap, in features of different units, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    shapes = np.eye(d) + 0.4 * rng.normal(size=(k, d, d)) / np.sqrt(d)
    X = apart * rng.normal(size=(k, d))[labels] + np.einsum("ni,nij->nj", rng.normal(size=(n, d)), shapes[labels])
    return 3 + X * np.exp(rng.uniform(-1, 1, d)), labels


def mixture(structure: str, X: Array, labels: Array) -> Fitted:
    """The first M-step of a structure from labels."""
    k = int(labels.max()) + 1
    fit = GaussianMixture(k, covariance_type=structure, init_params=labels, max_iter=1, tol=0).fit(X.astype(np.float64))
    return fit._fitted()


@contextmanager
def in_full() -> Iterator[None]:
    """EM as if there were no shorter way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(em, "steps_of", lambda *_: pooling.FullSteps())
        yield


@contextmanager
def always() -> Iterator[list[bool]]:
    """EM from few sums however few rows there are; yields whether each step was made of them."""
    used = []
    maximized = pooling.FewSums.maximized

    def noted(self: pooling.FewSums, parameters: Parameters) -> Parameters | None:
        found = maximized(self, parameters)
        used.append(found is not None)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "GROUP_WORK", 0)
        patch.setattr(pooling, "GAIN", 0)
        patch.setattr(em.whole, "iterations", lambda *_: iter(()))
        patch.setattr("fastgmm.fitting.restarts.from_kmeans_at_once", lambda *_, **__: None)
        patch.setattr("fastgmm.fitting.restarts.alone", lambda *_: None)
        patch.setattr(pooling.FewSums, "maximized", noted)
        yield used


# ---- densities


@pytest.mark.parametrize("variant", compiled.variants_available())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", FRAMED)
@pytest.mark.parametrize(("d", "k"), [(8, 3), (9, 1), (11, 5), (34, 2)])
def test_densities_are_those_of_the_layout(structure: str, d: int, k: int, dtype: str, variant: str) -> None:
    """In a frame of all components, also for rows that are far."""
    X, labels = groups(200, d, k, d)
    fitted = mixture(structure, X, labels)
    layout = Fitted(fitted.structure.layout, fitted.parameters)
    rows = ArraySource(np.concatenate([X, 1e3 * X[:5], 1e30 * X[:5]]).astype(dtype), 1, compiled.load(variant))
    model = fitted.kernel_model(rows.dtype)
    assert model.kind == (COMMON_AXES if structure in ("EVE", "VVE") else COMMON_FRAME)
    plain = layout.kernel_model(rows.dtype)
    assert plain.kind != model.kind
    close = 1e-11 if dtype == "float64" else 2e-5
    expected = rows.log_likelihoods(plain)
    np.testing.assert_allclose(rows.log_likelihoods(model), expected, rtol=close, atol=10 * close)
    np.testing.assert_allclose(rows.responsibilities(model), rows.responsibilities(plain), atol=10 * close)
    np.testing.assert_array_equal(rows.labels(model), rows.responsibilities(model).argmax(axis=1))


@pytest.mark.parametrize("structure", FRAMED)
def test_parameters_without_a_frame(structure: str) -> None:
    """Covariances that miss the structure by more than rounding keep the geometry of their layout."""
    X, labels = groups(200, 9, 3, 0)
    fitted = mixture(structure, X, labels)
    parameters, exact = fitted.parameters, np.dtype(np.float64)
    assert frame_of(fitted.structure, parameters, exact) is not None
    factors = parameters.precisions_cholesky.copy()
    factors[(1, 3, 5) if factors.ndim == 3 else (1, 3)] *= 1.001
    moved = Parameters(parameters.weights, parameters.means, parameters.covariances, factors)
    assert frame_of(fitted.structure, moved, exact) is None
    layout = Fitted(fitted.structure.layout, moved).kernel_model(exact)
    assert Fitted(fitted.structure, moved).kernel_model(exact).kind == layout.kind


@pytest.mark.parametrize("structure", ["VEE", "VVE"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_frames_of_components_far_apart(structure: str, dtype: str) -> None:
    """Where the distance of components would take the digits of a frame, the geometry is that of the layout."""
    X, labels = groups(200, 9, 2, 0)
    X[labels == 1] += 1e9 if dtype == "float64" else 1e5
    fitted, kind = mixture(structure, X, labels), np.dtype(dtype)
    assert frame_of(fitted.structure, fitted.parameters, np.dtype(np.float64)) is not None or dtype == "float64"
    layout = Fitted(fitted.structure.layout, fitted.parameters).kernel_model(kind)
    assert fitted.kernel_model(kind).kind == layout.kind


def test_frames_need_features_and_a_constraint() -> None:
    """Neither few features nor layouts have a frame."""
    X, labels = groups(200, 9, 2, 0)
    for structure in ("VVV", "EEE", "VVI", "VII", "EII", "EVI", "EEV", "VEV", "EVV"):
        assert frame_of(*_parts(mixture(structure, X, labels))) is None
    assert frame_of(*_parts(mixture("VEE", X[:, :4], labels))) is None


def _parts(fitted: Fitted) -> tuple[Any, Parameters, np.dtype[Any]]:
    return fitted.structure, fitted.parameters, np.dtype(np.float64)


# ---- sums


def twin(X: Array, weights: Array, fitted: Fitted, frame: Frame, origin: Array) -> tuple[Array, ...]:
    """Counts, sums, squares and what components share, row by row in double precision."""
    parameters, structure = fitted.parameters, fitted.structure
    dense = structure.dense(parameters.covariances, *parameters.means.shape)
    W = np.diag(frame.whitener) if frame.whitener.ndim == 1 else frame.whitener
    y, m = (X - origin) @ W.T, (parameters.means - origin) @ W.T
    logs = np.empty((len(X), len(m)))
    for k, covariance in enumerate(dense):
        z = X - parameters.means[k]
        squares = np.einsum("ni,ij,nj->n", z, np.linalg.inv(covariance), z)
        logs[:, k] = np.log(parameters.weights[k]) - 0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])
    peak = logs.max(axis=1, keepdims=True)
    r = np.exp(logs - peak)
    log_likelihood = weights @ (peak[:, 0] + np.log(r.sum(axis=1)))
    r *= (weights / r.sum(axis=1))[:, None]
    z = y[:, None] - m
    first = np.einsum("nk,nkj->kj", r, z)
    second = np.einsum("nk,nkj->kj", r, z**2)
    p = frame.scales**2
    if frame.axes is None:
        pool = np.einsum("n,ni,nj->ij", r @ p, y, y)
        return r.sum(axis=0), first, second.sum(axis=1), pool, log_likelihood
    return r.sum(axis=0), first, second, np.einsum("ni,nk,kj,nkj->ij", y, r, p, z), log_likelihood


@pytest.mark.parametrize("variant", compiled.variants_available())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", FRAMED)
@pytest.mark.parametrize(("n", "d", "k"), [(1, 8, 2), (255, 9, 1), (700, 14, 3), (1100, 35, 5)])
def test_sums_equal_twin(structure: str, n: int, d: int, k: int, dtype: str, variant: str) -> None:
    """Every variant, several groups and weighted rows."""
    X, labels = groups(400, d, k, n)
    fitted, X = mixture(structure, X, labels), np.tile(X, (3, 1))[:n].astype(dtype)
    weights = np.random.default_rng(0).uniform(0, 2, n).astype(dtype)
    weights[: n // 7] = 0
    source = ArraySource(X, 2, compiled.load(variant), weights)
    frame = frame_of(*_parts(fitted))
    assert frame is not None
    model = frame.kernel_model(*_parts(fitted)[:2], source.dtype, source.units, source.origin, pooled=True)
    assert model is not None
    found = Pools.of(*_parts(fitted)[:2], frame, model, source.sums(model), source.total)
    counts, first, second, pool, log_likelihood = twin(
        X.astype(np.float64), weights.astype(np.float64), fitted, frame, source.origin
    )
    if frame.whitener.ndim == 1:
        pool = np.diagonal(pool)
    close = {"rtol": 1e-11, "atol": 1e-9} if dtype == "float64" else {"rtol": 1e-4, "atol": 2e-4 * n}
    np.testing.assert_allclose(found.counts, counts, **close)
    np.testing.assert_allclose(found.first, first, **close)
    np.testing.assert_allclose(found.second, second, **close)
    own = found.pool[:d] if frame.whitener.ndim == 1 else found.pool if pool.ndim == found.pool.ndim else None
    np.testing.assert_allclose(
        pool[np.tril_indices(d)] if own is None else pool, found.pool if own is None else own, **close
    )
    excess = source.total * source.log_volume
    np.testing.assert_allclose(found.log_likelihood - excess, log_likelihood, **close)


def test_sums_of_filled_rows_are_those_of_draws() -> None:
    """Where gaps are filled for a start, sums are of the rows that statistics are of."""
    X, labels = groups(400, 9, 3, 0)
    fitted = mixture("VEE", X, labels)
    frame = frame_of(*_parts(fitted))
    assert frame is not None
    filled = Completed(np.zeros_like(X), ArraySource(X, 1), 1)
    model = frame.kernel_model(*_parts(fitted)[:2], filled.dtype, filled.units, filled.origin, pooled=True)
    assert model is not None
    statistics = filled.statistics(fitted.structure, fitted.parameters)
    found = Pools.of(*_parts(fitted)[:2], frame, model, filled.sums(model), filled.total)
    np.testing.assert_allclose(found.counts, statistics.counts, rtol=1e-9)


def scatters_of(X: Array, fitted: Fitted) -> tuple[Array, Array, Array]:
    """Counts, means and scatters about them (K, D, D) under the responsibilities of a mixture."""
    r = np.asarray(fitted_responsibilities(X, fitted))
    counts = r.sum(axis=0)
    means = r.T @ X / counts[:, None]
    return counts, means, np.array([(r[:, k, None] * (X - m)).T @ (X - m) for k, m in enumerate(means)])


def fitted_responsibilities(X: Array, fitted: Fitted) -> Array:
    """As the geometry of the layout has them."""
    source = ArraySource(X, 1)
    return source.responsibilities(Fitted(fitted.structure.layout, fitted.parameters).kernel_model(source.dtype))


def step(X: Array, fitted: Fitted, reg_covar: Any) -> Parameters:
    """The M-step from sums that components share."""
    source, frame = ArraySource(X, 1), frame_of(*_parts(fitted))
    assert frame is not None
    model = frame.kernel_model(*_parts(fitted)[:2], source.dtype, source.units, source.origin, pooled=True)
    assert model is not None
    sums = source.sums(model)
    found = Pools.of(*_parts(fitted)[:2], frame, model, sums, source.total).maximized(reg_covar)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("structure", ["EEI", "VEE"])
def test_volumes_and_shape_equal_twin(structure: str) -> None:
    """From a scatter of each component, with regularization that differs among features."""
    X, labels = groups(500, 9, 3, 2)
    fitted, reg_covar = mixture(structure, X, labels), np.linspace(0.1, 0.5, 9)
    counts, means, scatters = scatters_of(X, fitted)
    scatters += counts[:, None, None] * np.diag(reg_covar)
    dense = fitted.structure.dense(fitted.parameters.covariances, 3, 9)
    if structure != "VEE":
        scatters *= np.eye(9)
    old = np.exp(np.linalg.slogdet(dense)[1] / 9)
    shape = np.einsum("k,kij->ij", 1 / old, scatters)
    volumes = np.einsum("kij,kji->k", scatters, np.linalg.inv(dense / old[:, None, None])) / (9 * counts)
    expected = volumes[:, None, None] * shape / np.exp(np.linalg.slogdet(shape)[1] / 9)
    if structure == "EEI":
        expected = np.broadcast_to(scatters.sum(axis=0) / counts.sum(), expected.shape)
    found = step(X, fitted, reg_covar)
    np.testing.assert_allclose(found.weights, counts / 500, rtol=1e-10)
    np.testing.assert_allclose(found.means, means, rtol=1e-10)
    np.testing.assert_allclose(fitted.structure.dense(found.covariances, 3, 9), expected, rtol=1e-9, atol=1e-10)
    factors = fitted.structure.factorize(found.covariances)
    np.testing.assert_allclose(found.precisions_cholesky, factors, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("structure", ["EVE", "VVE"])
def test_variances_and_axes_equal_twin(structure: str) -> None:
    """From a scatter of each component; the turn by a Cayley transform of LAPACK."""
    X, labels = groups(500, 9, 3, 2)
    fitted, reg_covar = mixture(structure, X, labels), np.linspace(0.1, 0.5, 9)
    X = X + 0.3 * np.random.default_rng(1).normal(size=X.shape)  # axes have settled for the others
    counts, means, scatters = scatters_of(X, fitted)
    scatters += counts[:, None, None] * np.diag(reg_covar)
    frame = frame_of(*_parts(fitted))
    assert frame is not None and frame.axes is not None
    axes = frame.axes
    turned = axes @ scatters @ axes.T
    omega = np.einsum("kii->ki", turned)
    p = 1 / np.einsum("ai,kij,aj->ka", axes, fitted.parameters.covariances, axes)
    v = omega / counts[:, None]
    if structure == "EVE":
        volumes = np.exp(np.log(v).mean(axis=1, keepdims=True))
        v = v / volumes * (counts @ volumes / counts.sum())
    slope = np.einsum("kij,kj->ij", turned, p)
    apart = omega[:, :, None] - omega[:, None]
    steep = [(apart * (one[:, None] - one[:, :, None])).sum(axis=0) for one in (p, 1 / v)]
    angles = (slope.T - slope) / (np.maximum(*steep) + np.eye(9))
    assert np.abs(angles).max() > 1
    angles /= np.abs(angles).max()
    near = np.eye(9) - angles / 2
    expected = np.linalg.solve(near, near.T).T @ axes
    found = step(X, fitted, reg_covar)
    assert found.axes is not None
    np.testing.assert_allclose(found.means, means, rtol=1e-10)
    np.testing.assert_allclose(found.axes, expected, atol=1e-9)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(9), atol=1e-14)
    covariances = np.einsum("ai,ka,aj->kij", expected, v, expected)
    np.testing.assert_allclose(found.covariances, covariances, rtol=1e-8, atol=1e-8)


# ---- EM


@pytest.mark.parametrize("structure", POOLED)
@pytest.mark.parametrize("seed", range(8))
def test_never_falls(structure: str, seed: int) -> None:
    """The bound of random problems, with weights and equal weights, to the last parameters."""
    rng = np.random.default_rng(seed)
    n, d, k = int(rng.integers(150, 900)), int(rng.integers(16, 26)), int(rng.integers(1, 6))
    X, _ = groups(n, d, k + 1, seed, apart=rng.uniform(0, 2))
    options: dict[str, Any] = {"reg_covar": 0.0, "equal_weights": bool(seed % 2)}
    options |= {"tol": 1e-9, "max_iter": 60, "init_params": rng.integers(k, size=n)}
    weights = rng.uniform(0.2, 3, n) if seed % 3 else None
    fit = GaussianMixture(k, covariance_type=structure, **options)
    with always() as used, _quiet():
        fit.fit(X, sample_weight=weights)
    assert any(used)
    bounds = np.array([*fit.lower_bounds_, fit.score(X, sample_weight=weights)])
    assert np.diff(bounds).min() >= -1e-11 * np.abs(bounds).max()


@contextmanager
def _quiet() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings(action="ignore"):
        yield


@pytest.mark.parametrize("structure", POOLED)
@pytest.mark.parametrize("equal_weights", [False, True])
def test_ends_where_full_scatters_do(structure: str, equal_weights: bool) -> None:
    """The same optimum, from the same start."""
    X, labels = groups(3000, 16, 3, 5)
    options: dict[str, Any] = {"tol": 1e-12, "max_iter": 2000, "init_params": labels, "equal_weights": equal_weights}
    options |= {"covariance_type": structure, "reg_covar": 0.05}
    with always() as used:
        few = GaussianMixture(3, **options).fit(X)
    assert sum(used) > 2
    with in_full():
        full = GaussianMixture(3, **options).fit(X)
    assert few.lower_bound_ == pytest.approx(full.lower_bound_, abs=1e-9)
    np.testing.assert_allclose(few.means_, full.means_, atol=2e-4)
    np.testing.assert_allclose(few.covariances_, full.covariances_, atol=2e-3 * np.abs(full.covariances_).max())


@pytest.mark.parametrize("structure", POOLED)
def test_step_is_stationary_where_em_is(structure: str) -> None:
    """The fixed points of both steps are the same."""
    X, labels = groups(1500, 16, 2, 3)
    with in_full():
        fit = GaussianMixture(2, covariance_type=structure, init_params=labels, tol=1e-15, max_iter=4000, reg_covar=0.1)
        with _quiet():
            fit.fit(X)
    fitted, source = fit._fitted(), ArraySource(X, 1)
    frame = frame_of(*_parts(fitted))
    assert frame is not None
    model = frame.kernel_model(*_parts(fitted)[:2], source.dtype, source.units, source.origin, pooled=True)
    assert model is not None
    pools = Pools.of(*_parts(fitted)[:2], frame, model, source.sums(model), source.total)
    found = pools.maximized(0.1)
    assert found is not None
    after, before = found[0], fitted.parameters
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-5)
    np.testing.assert_allclose(after.means, before.means, atol=1e-5)
    np.testing.assert_allclose(after.covariances, before.covariances, atol=3e-4 * np.abs(before.covariances).max())
    again = frame_of(fitted.structure, after, source.dtype)
    assert again is not None
    typical = np.abs(found[1].whitener).max()
    np.testing.assert_allclose(np.abs(again.scales), found[1].scales, rtol=1e-9)
    assert again.axes is not None or np.abs(again.whitener - found[1].whitener).max() < 1e-9 * typical


@pytest.mark.parametrize("structure", ["VEE", "VVE"])
def test_step_that_lowers_the_bound_is_taken_back(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as an iteration without gain, and the next is made in full."""
    X, labels = groups(600, 16, 3, 1)
    maximized, spoiled = Pools.maximized, []

    def worse(self: Pools, reg_covar: Any) -> Any:
        parameters, frame = maximized(self, reg_covar)
        if len(spoiled) in (1, 4):
            parameters, frame = Parameters(*_moved(parameters)), None
        spoiled.append(frame is None)
        return parameters, frame

    monkeypatch.setattr(Pools, "maximized", worse)
    options: dict[str, Any] = {"tol": 1e-10, "max_iter": 300, "init_params": labels, "covariance_type": structure}
    with always() as used:
        fit = GaussianMixture(3, **options).fit(X)
    assert sum(spoiled) == 2 and sum(used) > 5
    gains = np.diff(fit.lower_bounds_)
    assert gains.min() >= -1e-12 and (gains == 0).sum() >= 2
    with in_full():
        full = GaussianMixture(3, **options).fit(X)
    assert fit.lower_bound_ == pytest.approx(full.lower_bound_, abs=1e-7)


@pytest.mark.parametrize("structure", ["VEE", "VVE"])
def test_fit_ends_where_it_has_looked(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step after convergence that nobody has looked at does not count."""
    X, labels = groups(600, 16, 3, 1)
    maximized, calls = Pools.maximized, []

    def worse(self: Pools, reg_covar: Any) -> Any:
        calls.append(self)
        parameters, frame = maximized(self, reg_covar)
        return (parameters, frame) if len(calls) == 1 else (Parameters(*_moved(parameters)), frame)

    monkeypatch.setattr(Pools, "maximized", worse)
    with always():
        fit = GaussianMixture(3, covariance_type=structure, init_params=labels, tol=1e3).fit(X)
    assert len(calls) == 2 and fit.n_iter_ == 2 and fit.converged_
    assert fit.score(X) == pytest.approx(fit.lower_bound_, rel=1e-12)


def _moved(parameters: Parameters) -> tuple[Array, ...]:
    means = parameters.means + 0.5
    return parameters.weights, means, parameters.covariances, parameters.precisions_cholesky


@pytest.mark.parametrize("structure", POOLED)
def test_far_apart_it_takes_full_scatters(structure: str) -> None:
    """Where differences of large sums would lose the digits."""
    X, labels = groups(600, 16, 2, 1)
    X[labels == 1] += 1e5
    with always() as used:
        fit = GaussianMixture(2, covariance_type=structure, init_params=labels, tol=1e-10).fit(X)
    assert not any(used) or structure == "EEI"
    with in_full():
        full = GaussianMixture(2, covariance_type=structure, init_params=labels, tol=1e-10).fit(X)
    assert fit.lower_bound_ == pytest.approx(full.lower_bound_, rel=1e-9)


@pytest.mark.parametrize("structure", POOLED)
def test_degenerate_components_are_repaired(structure: str) -> None:
    """As they are from full scatters."""
    X, labels = groups(400, 16, 3, 1)
    X[labels == 1] = X[labels == 1][0]
    options: dict[str, Any] = {"covariance_type": structure, "init_params": labels, "reg_covar": 0.0, "max_iter": 20}
    options |= {"degenerate": "repair"}
    fits = []
    with _quiet():
        with always():
            fits.append(GaussianMixture(3, **options).fit(X))
        with in_full():
            fits.append(GaussianMixture(3, **options).fit(X))
    assert fits[0].lower_bound_ == pytest.approx(fits[1].lower_bound_, abs=1e-2)
    assert np.isfinite(fits[0].score_samples(X)).all()


@pytest.mark.parametrize("structure", POOLED)
def test_what_needs_repair_takes_full_scatters(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few sums are for ordinary steps."""
    accepts = MaximumLikelihood.accepts

    def strict(self: Any, statistics: Any, parameters: Parameters) -> bool:
        return not isinstance(statistics, Pools) and accepts(self, statistics, parameters)

    monkeypatch.setattr(MaximumLikelihood, "accepts", strict)
    X, labels = groups(400, 16, 3, 1)
    with always() as used, _quiet():
        GaussianMixture(3, covariance_type=structure, init_params=labels, tol=0, max_iter=12).fit(X)
    assert used == 12 * [False]


def test_few_sums_are_for_many_rows_and_features() -> None:
    """Few rows, features, other structures, accelerated fits and other M-steps are left to full statistics."""
    X, labels = groups(500, 16, 3, 0)
    many, few = (ArraySource(np.tile(X, (times, 1)), 1) for times in (60, 1))
    assert few.work(STRUCTURES["VEE"], 3) < passes.GROUP_WORK

    def used(source: Any, structure: str, **changes: Any) -> bool:
        fitted = mixture(structure, X, labels)
        settings = em.Settings(**changes)
        m_step = MaximumLikelihood(source, fitted.structure, 0.0, "raise")
        return isinstance(pooling.steps_of(source, m_step, settings, fitted.parameters), pooling.FewSums)

    assert [structure for structure in STRUCTURES if len(structure) > 1 and used(many, structure)] == ["EEI", "VEE"]
    assert pooling.saves(STRUCTURES["VVE"], 32, 16) and not pooling.saves(STRUCTURES["VVE"], 32, 2)
    assert not any(used(few, structure) for structure in POOLED)
    assert not used(many, "VEE", acceleration="squarem")


@pytest.mark.parametrize("structure", ["VEE", "VVE"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_places(structure: str, dtype: str) -> None:
    """The bits of a fit depend neither on threads nor on where rows come from."""
    X, labels = groups(9000, 16, 4, 2)
    X = X.astype(dtype)
    options: dict[str, Any] = {"covariance_type": structure, "init_params": labels, "max_iter": 4, "tol": 0}
    with _quiet():
        fits = [GaussianMixture(4, n_threads=threads, **options).fit(X) for threads in (1, 2)]
        fits.append(GaussianMixture(4, **options).fit(np.asfortranarray(X)))
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.covariances_, fits[0].covariances_)
        np.testing.assert_array_equal(fit.lower_bounds_, fits[0].lower_bounds_)
