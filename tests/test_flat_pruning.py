"""Passes that leave out pairs below rounding where features are only scaled, or components have a frame in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from problems import DTYPES, VARIANTS, assert_same_fit, quiet_fit
from pruned import ROUNDOFF, Array, close, dense_sums, pruned

from fastgmm import kernels
from fastgmm.kernels import DIAGONAL
from fastgmm.model.kernel_model import KernelModel
from fastgmm.model.parameters import Parameters
from fastgmm.model.structure import Structure
from fastgmm.model.structures import DIAG, SPHERICAL, TIED
from fastgmm.sources import complete, from_chunks, pruning
from fastgmm.sources.array import ArraySource
from fastgmm.sources.pruning import LONGEST_CYCLE, UNKNOWN, Habit, Motion, flat_drifts, rule

STRUCTURES = {"diag": DIAG, "spherical": SPHERICAL, "tied": TIED}


class Problem(NamedTuple):
    """Rows, the component that each was drawn from, and the parameters."""

    X: Array
    labels: Array
    parameters: Parameters
    structure: Structure

    def model(self, noise: float | None = None) -> KernelModel:
        """The mixture as kernels read it, with noise of a log density if wanted."""
        model = ArraySource(self.X)._kernel_model(self.structure, self.parameters)
        assert model.scales is None
        return model if noise is None else model._replace(offsets=np.append(model.offsets, self.X.dtype.type(noise)))


def problem(name: str, n: int, d: int, k: int, *, apart: float = 8.0, seed: int = 0, dtype: str = "float64") -> Problem:
    """Components whose centers are about so many deviations apart, away from zero."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    means = 3 + apart * rng.normal(size=(k, d)) / np.sqrt(2 * d)
    noise, structure = rng.normal(size=(n, d)), STRUCTURES[name]
    if name == "tied":
        turn = np.eye(d) + 0.3 * rng.normal(size=(d, d)) / np.sqrt(d)
        covariances, X = turn.T @ turn, means[labels] + noise @ turn
    else:
        spread = np.exp(rng.uniform(-0.5, 0.5, (k, d) if name == "diag" else (k, 1)))
        covariances, X = spread**2 if name == "diag" else spread[:, 0] ** 2, means[labels] + noise * spread[labels]
    weights = rng.dirichlet(np.full(k, 5.0))
    return Problem(X.astype(dtype), labels, structure.from_covariances(weights, means, covariances), structure)


def squared_distances(p: Problem) -> Array:
    """|y|^2 of each row and component (N, K) in extended precision, straight from the parameters."""
    out = np.empty((len(p.X), len(p.parameters.weights)), np.longdouble)
    factors = p.parameters.precisions_cholesky.astype(np.longdouble)
    for k, mean in enumerate(p.parameters.means):
        z = p.X.astype(np.longdouble) - mean
        y = z @ factors if p.structure is TIED else z * factors[k]
        out[:, k] = (y * y).sum(axis=1)
    return out


def log_joint(p: Problem) -> Array:
    """log of weight times density (N, K) in extended precision, up to a constant."""
    (k, d), factors = p.parameters.means.shape, p.parameters.precisions_cholesky.astype(np.longdouble)
    volumes = (
        np.zeros(k) if p.structure is TIED else np.log(np.broadcast_to(factors.reshape(k, -1), (k, d))).sum(axis=1)
    )
    return np.log(p.parameters.weights.astype(np.longdouble)) + volumes - squared_distances(p) / 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [12, 13, 16, 31, 45, 70])
@pytest.mark.parametrize("name", STRUCTURES)
def test_sums_are_those_of_the_dense_pass(name: str, d: int, dtype: str) -> None:
    """From right, wrong, equal and no labels, in one piece or several, in every variant."""
    p = problem(name, 1300, d, 11, dtype=dtype, seed=d)
    X, model, rng = p.X, p.model(), np.random.default_rng(d)
    weights = rng.choice([0, 0.5, 1, 3], size=len(X)).astype(dtype)
    told = p.labels, rng.integers(11, size=len(X)), np.full(len(X), 3), np.full(len(X), UNKNOWN), p.labels + 900
    for variant in VARIANTS:
        module = kernels.load(variant)
        for own in (None, weights):
            expected = dense_sums(X, model, own, module)
            for i, some in enumerate(told):
                got = pruned(X, model, some, own, pieces=1 + 2 * i, module=module)
                assert close(got.sums, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 7, 9, 16, 17, 33, 255, 257, 513])
@pytest.mark.parametrize("name", STRUCTURES)
def test_few_rows_of_any_strides(name: str, n: int, dtype: str) -> None:
    """Lanes without a row count for nothing, and bits do not depend on how rows lie."""
    p = problem(name, n, 21, 8, dtype=dtype, seed=n)
    model = p.model()
    got = pruned(p.X, model, p.labels)
    assert close(got.sums, dense_sums(p.X, model), dtype)
    assert np.isclose(got.sums[:-1].reshape(8, -1)[:, 0].sum(), n, rtol=1e-6)
    wide = np.full((2 * n, 50), np.nan, dtype)
    wide[::2, 3:45:2] = p.X
    for same in (wide[::2, 3:45:2], np.asfortranarray(p.X), p.X[::-1].copy()[::-1]):
        assert np.array_equal(pruned(same, model, p.labels).sums, got.sums)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("apart", [2.0, 12.0, 30.0])
@pytest.mark.parametrize("name", STRUCTURES)
def test_no_pair_above_the_cut_is_lost(name: str, apart: float, dtype: str) -> None:
    """As many pairs have a share as responsibilities in extended precision are above u / K; most are left early."""
    p = problem(name, 1000, 40, 20, apart=apart, dtype=dtype)
    model, logs = p.model(), log_joint(p)
    logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
    cut, blur = np.log(np.longdouble(ROUNDOFF[dtype]) / 20), 1e-10 if dtype == "float64" else 1e-2
    got = pruned(p.X, model, p.labels)
    assert (logs > cut + blur).sum() <= got.pairs <= (logs > cut - blur).sum()
    assert (got.labels == logs.argmax(axis=1)).mean() > 0.999
    assert got.multiply_adds < {2.0: 1.05, 12.0: 1.0, 30.0: 0.45}[apart] * p.X.size * 20
    again = pruned(p.X, model, got.labels, bins=got.bins)
    assert again.pairs == got.pairs and np.array_equal(again.labels, got.labels)
    assert np.array_equal(again.bins, got.bins)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", [-np.inf, -1e4, -90.0, 50.0])
@pytest.mark.parametrize("name", STRUCTURES)
def test_noise_and_rows_far_from_everything(name: str, noise: float, dtype: str) -> None:
    """Noise has its share, rows of noise the label K, and copies of a component that are all active theirs."""
    p = problem(name, 600, 15, 9, apart=20.0, dtype=dtype)
    p.X[::7] += 100
    model = p.model(noise)
    got = pruned(p.X, model, p.labels)
    assert close(got.sums, dense_sums(p.X, model), dtype)
    assert (got.labels == 9).mean() == (0 if noise == -np.inf else 1 if noise == 50 else pytest.approx(1 / 7, abs=0.01))
    p.parameters.means[:4] = p.parameters.means[0]
    model = p.model()
    p.X[::50] *= np.finfo(dtype).max ** 0.6
    expected, got = dense_sums(p.X, model), pruned(p.X, model, p.labels)
    assert got.sums[-1] == expected[-1] == -np.inf
    assert np.isfinite(got.sums[:-1]).all()
    finite = np.isfinite(expected)  # the dense pass multiplies squares that are infinite by 0 in a common frame
    assert close(np.append(got.sums[finite], 1), np.append(expected[finite], 1), dtype)


def moved(p: Problem, size: float, seed: int) -> Problem:
    """Parameters that have moved by a part of their size; some components by much more."""
    rng = np.random.default_rng(seed)
    (k, d), before = p.parameters.means.shape, p.parameters
    sizes = size * np.where(rng.random(k) < 0.1, 30.0, 1.0)
    turns = rng.normal(size=before.covariances.shape)
    covariances = before.covariances * np.exp((sizes[:, None] if turns.ndim == 2 else sizes) * turns)
    means = before.means + sizes[:, None] * rng.normal(size=(k, d))
    return p._replace(parameters=p.structure.from_covariances(before.weights, means, covariances))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0.0, 1e-3, 3e-2, 0.3])
@pytest.mark.parametrize("k", [20, 270])
@pytest.mark.parametrize("name", ["diag", "spherical"])
def test_codes_hold_while_components_move(name: str, k: int, size: float, dtype: str) -> None:
    """Sums are those of the dense pass, no pair is lost, and no row is nearer than its code says."""
    p = problem(name, 18_000 // k, 24, k, apart=25.0, dtype=dtype)
    X = p.X
    numbers, n_scratch = kernels.CHOSEN.pruned_size(p.structure.kind, 24, k, X.itemsize, len(X))
    workspace = np.empty(numbers, dtype), np.empty(n_scratch, np.int32)
    own = p.labels.astype(np.uint16), np.zeros(len(X), np.uint8), np.empty(len(X), np.int32)
    codes = np.zeros((kernels.CHOSEN.n_codes(len(X), k), k), np.uint8)
    motion, out, work, cycle = Motion(k), np.empty(kernels.CHOSEN.n_sums(p.structure.kind, 24, k)), [], -1
    motion._length, tolerance = LONGEST_CYCLE, 1e-13 if dtype == "float64" else 4e-6  # of distances far off
    rows = 32
    while rows < 512 and 8 * rows < k:
        rows *= 2
    for step in range(4):
        model = p.model()
        motion.follow(model, flat_drifts)
        sorting, cycle = cycle != motion.cycle, motion.cycle
        if sorting:
            codes[:] = 0
        found = kernels.CHOSEN.accumulate_pruned(
            X, *own, codes, motion.moved, 0, len(X), sorting, None, *model.arguments, *workspace, out
        )
        work.append(found[1])
        expected = dense_sums(X, model)
        assert np.abs(out - expected)[:-1].max() <= tolerance * np.abs(expected[:-1]).max()
        logs = log_joint(p)
        shares = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
        cut, blur = np.log(np.longdouble(ROUNDOFF[dtype]) / k), 1e-10 if dtype == "float64" else 1e-2
        assert (shares > cut + blur).sum() <= found[0] <= (shares > cut - blur).sum()
        distances = np.sqrt(squared_distances(p).astype(np.float64))[own[2]]
        nearest = np.array([distances[i : i + rows].min(axis=0) for i in range(0, len(X), rows)])
        known = motion.moved[0] * codes / 4 - motion.moved[1]
        assert (known <= nearest * (1 + 1e-5)).all()
        p = moved(p, size, step)
    if size < 0.01:
        assert motion.cycle == 0 and max(work[1:]) < 0.5 * work[0]


# ---- fits


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The shares of pairs and of multiply-adds in all pruned passes of fits, and of samples."""
    shares: list[tuple[float, float]] = []
    heed = Habit.heed

    def heeded(self: Habit, share: float, work: float) -> None:
        shares.append((share, work))
        heed(self, share, work)

    monkeypatch.setattr(Habit, "heed", heeded)
    return shares


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STRUCTURES)
def test_fits_are_those_of_dense_passes(name: str, dtype: str, seen: list[tuple[float, float]]) -> None:
    """From the same start as many iterations, and parameters to 1e-9."""
    p = problem(name, 6000, 34, 64, apart=45.0, dtype=dtype, seed=3)
    start = np.where(np.arange(6000) % 50 == 0, np.roll(p.labels, 1), p.labels)
    options: dict[str, Any] = {"X": p.X, "n_components": 64, "covariance_type": name, "init_params": start}
    options |= {"max_iter": 12, "tol": 0}
    one = quiet_fit(**options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complete, "prunable", lambda *_: False)
        other = quiet_fit(**options)
    assert len(seen) > 9 and min(work for _, work in seen if work > 0) < pruning.FLAT_WORK
    assert one.n_iter_ == other.n_iter_
    assert_same_fit(one, other, rtol=1e-9 if dtype == "float64" else 1e-3)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_same_bits_anywhere(name: str, tmp_path: Path, seen: list[tuple[float, float]]) -> None:
    """Threads, chunks and files change nothing."""
    p = problem(name, 6000, 34, 64, apart=16.0)
    options: dict[str, Any] = {"n_components": 64, "covariance_type": name, "init_params": p.labels}
    options |= {"max_iter": 5, "tol": 0}
    expected = quiet_fit(X=p.X, n_threads=1, **options)
    assert seen
    for n_threads in (2, 8):
        assert_same_fit(quiet_fit(X=p.X, n_threads=n_threads, **options), expected, rtol=0)
    chunks = from_chunks(np.array_split(p.X, [100, 3000, 3001, 4777]))
    assert_same_fit(quiet_fit(X=chunks, **options), expected, rtol=0)
    np.save(tmp_path / "rows.npy", p.X)
    assert_same_fit(quiet_fit(X=np.load(tmp_path / "rows.npy", mmap_mode="r"), **options), expected, rtol=0)


def test_overlapping_components_are_soon_left_alone(seen: list[tuple[float, float]]) -> None:
    """Where every pair matters each group looks at a sample, and then has dense passes for sixteen iterations."""
    p = problem("diag", 4096, 32, 64, apart=1.0)
    quiet_fit(X=p.X, n_components=64, covariance_type="diag", init_params=p.labels, max_iter=16, tol=0, reg_covar=1.0)
    assert len(seen) == len(pruning.large_groups(4096, 64, 256)) and min(share for share, _ in seen) > 0.4


def test_habits() -> None:
    """Both few pairs and little work are asked for."""
    for share, work, goes_on in ((0.05, 0.6, True), (0.05, 0.7, False), (0.2, 0.1, False)):
        habit = Habit(rule(DIAGONAL, 64), pruning=True)
        habit.heed(share, work)
        assert habit.pruning is goes_on and habit.waiting == (0 if goes_on else 16)
