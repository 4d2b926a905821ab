"""Passes that leave out pairs of rows and components below rounding: as the dense pass, whatever they were told."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from problems import DTYPES, VARIANTS, assert_same_fit, quiet_fit, run_python

from fastgmm import GaussianMixture, kernels
from fastgmm.model.kernel_model import KernelModel
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import FULL
from fastgmm.sources import complete, from_chunks, pruning
from fastgmm.sources.array import ArraySource
from fastgmm.sources.pruning import UNKNOWN, Habit, Memory, Motion, large_groups, prunable

Array = np.ndarray[Any, Any]
TOLERANCES = {"float64": 1e-13, "float32": 1e-6}  # of sums, relative to the largest
ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}
WIDTHS = (12, 13, 15, 17, 18, 20, 23, 31, 38)  # every remainder of a panel


class Problem(NamedTuple):
    """Rows, the component that each was drawn from, and the parameters."""

    X: Array
    labels: Array
    parameters: Parameters


def problem(n: int, d: int, k: int, *, apart: float = 6.0, seed: int = 0, dtype: str = "float64") -> Problem:
    """Correlated components of different volumes, whose centers are about so many deviations apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    shapes = (np.eye(d) + 0.5 * rng.normal(size=(k, d, d)) / np.sqrt(d)) * np.exp(rng.uniform(-0.7, 0.7, (k, 1, 1)))
    means = 1 + apart * rng.normal(size=(k, d)) / np.sqrt(2 * d)
    X = means[labels] + np.einsum("ni,nij->nj", rng.normal(size=(n, d)), shapes[labels])
    covariances = np.einsum("kij,kil->kjl", shapes, shapes)
    return Problem(X.astype(dtype), labels, FULL.from_covariances(rng.dirichlet(np.full(k, 5.0)), means, covariances))


class Answer(NamedTuple):
    """What a pruned pass leaves."""

    sums: Array
    labels: Array
    bins: Array
    pairs: int
    multiply_adds: int


def model_of(X: Array, parameters: Parameters, noise: float | None = None) -> KernelModel:
    """The mixture as kernels read it, with noise of a log density if wanted."""
    model = ArraySource(X)._kernel_model(FULL, parameters)
    assert model.scales is None
    return model if noise is None else model._replace(offsets=np.append(model.offsets, X.dtype.type(noise)))


def dense_sums(X: Array, model: KernelModel, weights: Array | None = None, module: Any = None) -> Array:
    """Sums of the pass that leaves nothing out."""
    module = module or kernels.CHOSEN
    k, d = model.centers.shape
    workspace = np.empty(module.workspace_size(model.kind, d, k, True, X.itemsize), X.dtype)
    out = np.empty(module.n_sums(model.kind, d, k))
    module.accumulate(X, None, None, weights, *model.arguments, workspace, out)
    return out


def pruned(
    X: Array,
    model: KernelModel,
    labels: Array,
    weights: Array | None = None,
    *,
    bins: Array | None = None,
    pieces: int = 1,
    module: Any = None,
) -> Answer:
    """Sums of a pruned pass in so many pieces, from these labels, in a workspace of NaN."""
    module = module or kernels.CHOSEN
    (k, d), n = model.centers.shape, len(X)
    own = labels.astype(np.uint16), np.zeros(n, np.uint8) if bins is None else bins.copy()
    numbers, integers = module.pruned_size(d, k, X.itemsize, n)
    workspace = np.full(numbers, np.nan, X.dtype), np.full(integers, -1, np.int32)
    own = *own, np.empty(n, np.int32), None, np.zeros((2, 1), np.float32)
    out, pairs, work = np.full(module.n_sums(model.kind, d, k), np.nan), 0, 0
    edges = np.linspace(0, n, pieces + 1).astype(int)
    for start, stop in pairwise(edges):
        found = module.accumulate_pruned(X, *own, start, stop, True, weights, *model.arguments, *workspace, out)
        pairs, work = pairs + found[0], work + found[1]
    return Answer(out, *own[:2], pairs, work)


def log_joint(X: Array, parameters: Parameters) -> Array:
    """log of weight times density (N, K) in extended precision, up to a constant, straight from the covariances."""
    out = np.empty((len(X), len(parameters.weights)), np.longdouble)
    for k, (weight, mean, factor) in enumerate(
        zip(parameters.weights, parameters.means, parameters.precisions_cholesky, strict=True)
    ):
        y = (X.astype(np.longdouble) - mean) @ factor.astype(np.longdouble)
        logs = np.log(np.append(np.diag(factor), weight).astype(np.longdouble))
        out[:, k] = logs.sum() - (y * y).sum(axis=1) / 2
    return out


def close(got: Array, expected: Array, dtype: Any) -> bool:
    """Whether sums agree to rounding, relative to the largest, and the log-likelihood, the last of them."""
    size = np.abs(expected[:-1]).max()
    agree = np.abs(got - expected)[:-1].max() <= TOLERANCES[np.dtype(dtype).name] * size
    return bool(agree and abs(got[-1] - expected[-1]) <= TOLERANCES[np.dtype(dtype).name] * abs(expected[-1]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", WIDTHS)
def test_sums_are_those_of_the_dense_pass(d: int, dtype: str) -> None:
    """From right, wrong, equal and no labels, in one piece or several, in every variant."""
    X, labels, parameters = problem(700, d, 11, dtype=dtype, seed=d)
    model, rng = model_of(X, parameters), np.random.default_rng(d)
    weights = rng.choice([0, 0.5, 1, 3], size=len(X)).astype(dtype)
    told = labels, rng.integers(11, size=len(X)), np.full(len(X), 3), np.full(len(X), UNKNOWN), labels + 900
    for name in VARIANTS:
        module = kernels.load(name)
        for own in (None, weights):
            expected = dense_sums(X, model, own, module)
            for i, some in enumerate(told):
                got = pruned(X, model, some, own, pieces=1 + 2 * i, module=module)
                assert close(got.sums, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33])
def test_few_rows(n: int, dtype: str) -> None:
    """Lanes without a row count for nothing."""
    X, labels, parameters = problem(n, 14, 8, dtype=dtype, seed=n)
    model = model_of(X, parameters)
    for some in (labels, np.full(n, UNKNOWN)):
        got = pruned(X, model, some)
        assert close(got.sums, dense_sums(X, model), dtype)
        assert np.isclose(got.sums[:-1].reshape(8, -1)[:, 0].sum(), n, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("apart", [2.0, 14.0, 30.0])
def test_no_pair_above_the_cut_is_lost(apart: float, dtype: str) -> None:
    """As many pairs have a share as responsibilities in extended precision are above u / K; most are left early."""
    X, labels, parameters = problem(3000, 24, 20, apart=apart, dtype=dtype)
    model = model_of(X, parameters)
    logs = log_joint(X, parameters)
    logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
    cut, blur = np.log(np.longdouble(ROUNDOFF[dtype]) / 20), 1e-10 if dtype == "float64" else 1e-2
    got = pruned(X, model, labels)
    assert (logs > cut + blur).sum() <= got.pairs <= (logs > cut - blur).sum()
    assert (got.labels == logs.argmax(axis=1)).mean() > 0.999
    whole = X.size * 20 * 25 / 2
    assert got.multiply_adds < (1.05, 0.9, 0.45)[(2.0, 14.0, 30.0).index(apart)] * whole
    again = pruned(X, model, got.labels, bins=got.bins)
    assert again.pairs == got.pairs and np.array_equal(again.labels, got.labels)
    assert np.array_equal(again.bins, got.bins)


def test_bins_tell_the_distance() -> None:
    """Eight steps per octave of |y|^2 / D to the most probable component."""
    X, labels, parameters = problem(500, 16, 8, apart=20.0)
    got = pruned(X, model_of(X, parameters), labels)
    factors = parameters.precisions_cholesky[got.labels]
    squares = (np.einsum("ni,nij->nj", X - parameters.means[got.labels], factors) ** 2).mean(axis=1)
    octaves, steps = np.divmod(got.bins.astype(int), 8)
    lower = 2.0 ** (octaves - 16) * (1 + steps / 8)
    assert ((0.999 * lower <= squares) & (squares <= 1.001 * (lower + 2.0 ** (octaves - 16) / 8))).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", ["reversed", "every third", "columns", "Fortran"])
def test_rows_of_any_strides(view: str, dtype: str) -> None:
    """The bits are those of rows side by side."""
    X, labels, parameters = problem(300, 17, 9, dtype=dtype)
    wide = np.full((900, 40), np.nan, dtype)
    if view == "reversed":
        same = X[::-1].copy()[::-1]
    elif view == "every third":
        wide[::3, :17] = X
        same = wide[::3, :17]
    elif view == "columns":
        wide[:300, 2:36:2] = X
        same = wide[:300, 2:36:2]
    else:
        same = np.asfortranarray(X)
    model = model_of(X, parameters)
    assert np.array_equal(pruned(same, model, labels).sums, pruned(X, model, labels).sums)


@pytest.mark.parametrize("dtype", DTYPES)
def test_more_active_components_than_tiles(dtype: str) -> None:
    """Copies of one component, all active in each block: more than whitened blocks are kept for."""
    X, _, parameters = problem(40, 80, 1, dtype=dtype)
    k = 420
    moved = parameters.means + 1e-3 * np.random.default_rng(0).normal(size=(k, 80))
    copies = Parameters(
        np.full(k, 1 / k),
        moved,
        *(np.repeat(a, k, 0) for a in (parameters.covariances, parameters.precisions_cholesky)),
    )
    model = model_of(X, copies)
    got = pruned(X, model, np.zeros(len(X)))
    assert got.pairs == 40 * k
    assert close(got.sums, dense_sums(X, model), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", [-np.inf, -1e4, -60.0, -20.0, 50.0])
def test_noise(noise: float, dtype: str) -> None:
    """Noise of any density has its share, and rows of noise the label K."""
    X, labels, parameters = problem(600, 15, 9, apart=20.0, dtype=dtype)
    X[::7] += 100
    model = model_of(X, parameters, noise)
    got = pruned(X, model, labels)
    assert close(got.sums, dense_sums(X, model), dtype)
    assert (got.labels == 9).mean() == (0 if noise == -np.inf else 1 if noise == 50 else pytest.approx(1 / 7, abs=0.01))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_far_from_everything(dtype: str) -> None:
    """Rows whose squares overflow have no share and the score -inf, components of weight 0 none, as in a dense pass."""
    X, labels, parameters = problem(400, 16, 10, dtype=dtype)
    X[::50] *= np.finfo(dtype).max ** 0.4
    X[7::50] = np.finfo(dtype).max / 1e3
    weights = parameters.weights.copy()
    weights[[0, 4]] = 0
    with np.errstate(divide="ignore"):
        own = parameters.means, parameters.covariances, parameters.precisions_cholesky
        model = model_of(problem(400, 16, 10, dtype=dtype).X, Parameters(weights, *own))
    expected = dense_sums(X, model)
    for some in (labels, np.full(len(X), UNKNOWN)):
        got = pruned(X, model, some).sums
        assert got[-1] == expected[-1] == -np.inf
        assert np.array_equal(np.isfinite(got), np.isfinite(expected))
        assert close(np.append(got[:-1], 1), np.append(expected[:-1], 1), dtype)


def test_weights_of_zero_hide_what_rows_are() -> None:
    """Rows infinitely far, of weight 0."""
    X, labels, parameters = problem(400, 16, 10)
    X[::5] = 1e300
    weights = np.where(np.arange(400) % 5 == 0, 0.0, 1.5)
    model = model_of(X[1:], parameters)
    got = pruned(X, model, labels, weights).sums
    assert np.isfinite(got).all()
    assert close(got, dense_sums(X, model, weights), "float64")


# ---- what is known from passes before


def moved(parameters: Parameters, size: float, seed: int) -> Parameters:
    """Parameters that have moved by a part of their size; some components by much more."""
    rng = np.random.default_rng(seed)
    k, d = parameters.means.shape
    sizes = size * np.where(rng.random((k, 1, 1)) < 0.1, 30.0, 1.0)
    turn = np.eye(d) + sizes * rng.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = np.einsum("kij,kjl,kml->kim", turn, parameters.covariances, turn)
    means = parameters.means + sizes[:, 0] * rng.normal(size=(k, d))
    return FULL.from_covariances(parameters.weights, means, covariances)


@pytest.mark.parametrize("d", [12, 23])
@pytest.mark.parametrize("size", [1e-9, 1e-4, 1e-2, 0.3])
def test_drifts_bound_what_distances_do(d: int, size: float) -> None:
    """Of any row: |y'| >= (|y| - shift) / stretch; and the stretch is not far from the largest singular value."""
    X, _, before = problem(200, d, 15, apart=20.0)
    after, out = moved(before, size, 1), np.empty((2, 15))
    arrays = before.precisions_cholesky, after.precisions_cholesky, before.means, after.means
    kernels.CHOSEN.drifts(*arrays, np.empty((2, d, d)), out)
    for k in range(15):
        own, other = (np.linalg.norm((X - p.means[k]) @ p.precisions_cholesky[k], axis=1) for p in (before, after))
        assert (other >= (own - out[1, k]) / out[0, k] - 1e-12 * other).all()
        ratio = np.linalg.svd(before.precisions_cholesky[k].T @ np.linalg.inv(after.precisions_cholesky[k].T))[1][0]
        assert ratio - 1e-12 <= out[0, k] <= 1 + 3 * np.sqrt(d) * max(ratio**2 - 1, 1e-7)
        shift = before.precisions_cholesky[k].T @ (after.means[k] - before.means[k])
        assert np.isclose(out[1, k], np.linalg.norm(shift), rtol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0.0, 1e-3, 3e-2, 1.0])
@pytest.mark.parametrize("k", [20, 300])
def test_codes_hold_while_components_move(k: int, size: float, dtype: str) -> None:
    """Sums are those of the dense pass, no pair is lost, and no row is nearer than its code says."""
    X, labels, parameters = problem(1500, 13, k, apart=25.0, dtype=dtype)
    numbers, n_scratch = kernels.CHOSEN.pruned_size(13, k, X.itemsize, len(X))
    workspace = np.empty(numbers, dtype), np.empty(n_scratch, np.int32)
    own = labels.astype(np.uint16), np.zeros(len(X), np.uint8), np.empty(len(X), np.int32)
    codes = np.zeros((kernels.CHOSEN.n_codes(len(X), k), k), np.uint8)
    motion, out, work = Motion(k), np.empty(kernels.CHOSEN.n_sums(kernels.TRIANGULAR, 13, k)), []
    motion._length = 12
    for step in range(6):
        motion.follow(kernels.CHOSEN, parameters)
        model = model_of(X, parameters)
        found = kernels.CHOSEN.accumulate_pruned(
            X, *own, codes, motion.moved, 0, len(X), step == 0, None, *model.arguments, *workspace, out
        )
        work.append(found[1])
        assert motion.cycle == 0 and close(out, dense_sums(X, model), dtype)
        logs = log_joint(X, parameters)
        shares = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
        cut, blur = np.log(np.longdouble(ROUNDOFF[dtype]) / k), 1e-10 if dtype == "float64" else 1e-2
        assert (shares > cut + blur).sum() <= found[0] <= (shares > cut - blur).sum()
        offsets = np.log(parameters.weights) + np.log(
            np.diagonal(parameters.precisions_cholesky, axis1=1, axis2=2)
        ).sum(axis=1)
        distances = np.sqrt(2 * (offsets - logs).astype(np.float64))[own[2]]
        rows = -(-len(X) // len(codes))
        rows = 1 << (rows - 1).bit_length()
        nearest = np.array([distances[i : i + rows].min(axis=0) for i in range(0, len(X), rows)])
        known = motion.moved[0] * codes / 4 - motion.moved[1]
        assert (known <= nearest * (1 + 1e-5)).all()
        parameters = moved(parameters, size, step)
    if size < 0.01:
        assert max(work[1:]) < 0.8 * work[0]


# ---- fits


def dense(**options: Any) -> GaussianMixture:
    """A fit that leaves nothing out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complete, "prunable", lambda *_: False)
        return quiet_fit(**options)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The shares of pairs in all pruned passes of fits, and of samples."""
    shares: list[float] = []
    heed = Habit.heed

    def heeded(self: Habit, share: float, work: float) -> None:
        shares.append(share)
        heed(self, share, work)

    monkeypatch.setattr(Habit, "heed", heeded)
    return shares


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accelerated": {"acceleration": "squarem"},
    "repaired": {"reg_covar": 0},
    "noise": {"noise": "auto"},
    "prior": {"reg_covar": "auto"},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("option", OPTIONS)
def test_fits_are_those_of_dense_passes(option: str, dtype: str, seen: list[float]) -> None:
    """From the same start as many iterations, and parameters to 1e-9."""
    X, labels, _ = problem(6000, 16, 12, apart=12.0, dtype=dtype, seed=3)
    given = {"X": X, "n_components": 12, "init_params": labels, "max_iter": 12, "tol": 0, **OPTIONS[option]}
    if option == "repaired":
        X[labels == 5] = X[labels == 5][0]
    one, other = quiet_fit(**given), dense(**given)
    assert seen and min(seen) < 0.25
    assert one.n_iter_ == other.n_iter_
    assert_same_fit(one, other, rtol=1e-9 if dtype == "float64" else 1e-3)


def test_the_same_bits_anywhere(tmp_path: Path, seen: list[float]) -> None:
    """Threads, chunks and files change nothing; weights count as repetitions do."""
    X, labels, _ = problem(9000, 22, 9, apart=12.0)
    options = {"n_components": 9, "init_params": labels, "max_iter": 6, "tol": 0}
    expected = quiet_fit(X=X, n_threads=1, **options)
    assert seen
    for n_threads in (2, 3, 8):
        assert_same_fit(quiet_fit(X=X, n_threads=n_threads, **options), expected, rtol=0)
    chunks = from_chunks(np.array_split(X, [100, 4000, 4001, 7777]))
    assert_same_fit(quiet_fit(X=chunks, **options), expected, rtol=0)
    np.save(tmp_path / "rows.npy", X)
    assert_same_fit(quiet_fit(X=np.load(tmp_path / "rows.npy", mmap_mode="r"), **options), expected, rtol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weighted = GaussianMixture(**{**options, "init_params": labels[::2]}).fit(X[::2], None, np.full(4500, 2.0))
    twice = quiet_fit(X=np.repeat(X[::2], 2, 0), **{**options, "init_params": np.repeat(labels[::2], 2)})
    assert_same_fit(weighted, twice, rtol=1e-9)


def test_a_fit_that_goes_on() -> None:
    """A warm start begins without memory, which changes nothing but the last digits."""
    X, labels, _ = problem(5000, 24, 8, apart=12.0)
    whole = quiet_fit(X=X, n_components=8, init_params=labels, max_iter=8, tol=0)
    parts = GaussianMixture(8, init_params=labels, max_iter=4, tol=0, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts.fit(X).fit(X)
    np.testing.assert_allclose(parts.means_, whole.means_, rtol=1e-9)
    assert np.isclose(parts.lower_bound_, whole.lower_bound_, rtol=1e-12)


def test_dense_on_demand() -> None:
    """FASTGMM_DENSE=1 has everything evaluated."""
    code = "from fastgmm.sources.pruning import prunable; print(prunable(0, 10**6, 64, 200))"
    for value, answer in (("", "True"), ("0", "True"), ("1", "False")):
        assert run_python("-c", code, environment={"FASTGMM_DENSE": value}).stdout.strip() == answer


# ---- when it pays


def test_habits() -> None:
    """Groups prune while shares are small, and pause ever longer after having tried in vain."""
    many = (0.1, 1.0, True), (0.3, 0.6, True), (0.3, 0.8, False), (0.5, 0.1, False)
    few = (0.1, 0.8, True), (0.1, 0.95, False), (0.3, 0.6, False)
    for cases, habit in ((many, Habit(True)), (few, Habit(False))):
        waiting = 0
        for share, work, goes_on in cases:
            habit.heed(share, work)
            assert habit.pruning is goes_on
            waiting = waiting if goes_on else max(16, 2 * waiting)
            assert habit.waiting == waiting


def test_overlapping_components_are_soon_left_alone(seen: list[float]) -> None:
    """Where every pair matters each group looks at a sample, and then has dense passes for sixteen iterations."""
    X, labels, _ = problem(6000, 24, 8, apart=1.0)
    memory = Memory(6000, 24, 8, 192, kernels.CHOSEN)
    quiet_fit(X=X, n_components=8, init_params=labels, max_iter=16, tol=0)
    assert len(seen) == len(memory.groups) and min(seen) > 0.4
    quiet_fit(X=X, n_components=8, init_params=labels, max_iter=17, tol=0)
    assert len(seen) == 3 * len(memory.groups)


def test_groups_and_sizes() -> None:
    """Groups depend on numbers alone, cover all rows, and have many rows of each component where there are as many."""
    for n, k, row_bytes in (
        (2048, 8, 96),
        (100_000, 200, 512),
        (10**6, 1024, 512),
        (5000, 8, 1 << 20),
        (10**7, 64, 96),
    ):
        groups = large_groups(n, k, row_bytes)
        assert [group.start for group in groups[1:]] == [group.stop for group in groups[:-1]]
        assert (groups[0].start, groups[-1].stop) == (0, n)
        assert all((group.stop - group.start) % pruning.BLOCK == 0 for group in groups[:-1])
    assert len(large_groups(100_000, 200, 512)) == 16
    full = kernels.TRIANGULAR
    assert prunable(full, 2048, 24, 8) and prunable(full, 2048, 12, 16)
    few = (full, 2047, 24, 8), (full, 10**6, 11, 99), (full, 10**6, 99, 7), (full, 2048, 19, 10)
    assert not prunable(kernels.DIAGONAL, 10**6, 64, 200)
    assert not any(prunable(*sizes) for sizes in few)


def test_memory_is_of_one_fit() -> None:
    """The source of a fit is not changed, and a mixture of another size is not served."""
    X, _, _ = problem(3000, 24, 9)
    source = ArraySource(X)
    remembering = source.remembering(FULL, 9)
    assert source.memory is None and remembering.memory is not None
    assert not remembering.memory.serves(model_of(X, problem(10, 24, 8).parameters))
    assert source.remembering(FULL, 2) is source
