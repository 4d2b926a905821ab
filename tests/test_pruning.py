"""Passes that leave out pairs of rows and components below rounding: as the dense pass, whatever they were told."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import DTYPES, VARIANTS, assert_same_fit, quiet_fit, run_python
from pruned import ROUNDOFF, Array, close, dense_sums, log_joint, model_of, problem, pruned

from fastgmm import GaussianMixture, kernels
from fastgmm.kernels import TRIANGULAR
from fastgmm.model.kernel_model import KernelModel
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import FULL
from fastgmm.sources import complete, from_chunks, passes, pruning
from fastgmm.sources.array import ArraySource
from fastgmm.sources.pruning import UNKNOWN, Habit, Memory, large_groups, prunable, rule

WIDTHS = (12, 13, 15, 17, 18, 20, 23, 31, 38)  # every remainder of a panel


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


# ---- answers for each row


def answers(X: Array, model: KernelModel, *, choosing: bool, labels_alone: bool = False) -> tuple[Array, Array, Array]:
    """Log-likelihoods, responsibilities and labels, or these alone."""
    k, d = model.centers.shape
    workspace = np.full(kernels.CHOSEN.workspace_size(model.kind, d, k, False, choosing, X.itemsize), np.nan, X.dtype)
    n, q = len(X), len(model.offsets)
    out = np.full(n, np.nan, X.dtype), np.full((n, q), np.nan, X.dtype), np.full(n, -2)
    wanted = (None, None, out[2]) if labels_alone else out
    kernels.CHOSEN.posterior(X, *model.arguments, None, False, workspace, choosing, *wanted)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", [None, -60.0])
@pytest.mark.parametrize("apart", [1.0, 8.0, 80.0])
@pytest.mark.parametrize("n", [1, 7, 300, 2500])
def test_answers_are_those_of_dense_passes(n: int, apart: float, noise: float | None, dtype: str) -> None:
    """But responsibilities below u / K are 0; also where the first rows show that little can be left out."""
    X, _, parameters = problem(n, 17, 120, apart=apart, dtype=dtype)
    model = model_of(X, parameters, noise)
    scores, shares, labels = answers(X, model, choosing=True)
    dense_scores, dense_shares, dense_labels = answers(X, model, choosing=False)
    u = ROUNDOFF[dtype]
    np.testing.assert_allclose(scores, dense_scores, rtol=8 * u, atol=8 * u)
    np.testing.assert_allclose(shares, dense_shares, rtol=64 * u, atol=1.01 * u / 120)
    assert np.array_equal(labels, dense_labels)
    assert np.array_equal(answers(X, model, choosing=True, labels_alone=True)[2], labels)
    if apart == 80.0:
        blur = 1e-9 if dtype == "float64" else 1e-2
        assert (shares[dense_shares < (1 - blur) * u / 120] == 0).all()
        assert (dense_shares[shares == 0] < (1 + blur) * u / 120).all()


def test_rows_answer_alike_beside_any_others() -> None:
    """Where most is left out a row has the same bits wherever it stands."""
    X, _, parameters = problem(4000, 16, 120, apart=80.0)
    model, order = model_of(X, parameters), np.random.default_rng(0).permutation(4000)
    for one, other in zip(answers(X, model, choosing=True), answers(X[order], model, choosing=True), strict=True):
        assert np.array_equal(one[order], other)


def test_predictions_of_many_rows() -> None:
    """The estimator's answers are those without pruning, and rows far from everything are mended as ever."""
    X, labels, _ = problem(20_000, 14, 120, apart=40.0)
    mixture = quiet_fit(X=X[1:6001], n_components=120, init_params=labels[1:6001], max_iter=2)
    X[::1000] = 1e200
    got = mixture.predict(X), mixture.score_samples(X), mixture.predict_proba(X)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "DENSE", True)
        expected = mixture.predict(X), mixture.score_samples(X), mixture.predict_proba(X)
    assert np.array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-14)
    np.testing.assert_allclose(got[2], expected[2], atol=1e-15)
    assert ((got[2] == 0) & (expected[2] > 0)).mean() > 0.1


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
    for cases, habit in ((many, Habit(rule(TRIANGULAR, 200))), (few, Habit(rule(TRIANGULAR, 8)))):
        waiting = 0
        for share, work, goes_on in cases:
            habit.heed(share, work)
            assert habit.pruning is goes_on
            waiting = waiting if goes_on else max(16, 2 * waiting)
            assert habit.waiting == waiting


def test_a_pass_without_labels_is_not_judged_by_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that nobody has sorted yet save little: the passes after it save enough."""
    works: list[float] = []
    heed = Habit.heed
    monkeypatch.setattr(Habit, "heed", lambda self, *found: (works.append(found[1]), heed(self, *found))[1])
    X, labels, _ = problem(6000, 12, 16, apart=14.0)
    quiet_fit(X=X, n_components=16, init_params=labels, max_iter=5, tol=0, n_threads=1)
    n_groups = len(large_groups(6000, 16, 96))
    sampled_or_unsorted, sorted_passes = works[: 2 * n_groups], works[2 * n_groups :]
    assert set(sampled_or_unsorted) == {0.0}
    assert len(sorted_passes) == 4 * n_groups and 0.3 < min(sorted_passes) <= max(sorted_passes) < 0.9


def test_overlapping_components_are_soon_left_alone(seen: list[float]) -> None:
    """Where every pair matters each group looks at a sample, and then has dense passes for sixteen iterations."""
    X, labels, _ = problem(6000, 24, 8, apart=1.0)
    memory = Memory(kernels.TRIANGULAR, 6000, 24, 8, 192, kernels.CHOSEN)
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
    for flat in (kernels.DIAGONAL, kernels.COMMON_FRAME):
        assert prunable(flat, 2048, 32, 64)
        assert not (prunable(flat, 2047, 32, 64) or prunable(flat, 2048, 31, 99) or prunable(flat, 2048, 99, 63))
    assert not prunable(kernels.COMMON_AXES, 10**6, 64, 200) and not prunable(kernels.COMMON_SHAPE, 10**6, 64, 200)
    assert not any(prunable(*sizes) for sizes in few)


def test_memory_is_of_one_fit() -> None:
    """The source of a fit is not changed, and a mixture of another size is not served."""
    X, _, _ = problem(3000, 24, 9)
    source = ArraySource(X)
    remembering = source.remembering(FULL, 9)
    assert source.memory is None and remembering.memory is not None
    assert not remembering.memory.serves(model_of(X, problem(10, 24, 8).parameters))
    assert source.remembering(FULL, 2) is source
