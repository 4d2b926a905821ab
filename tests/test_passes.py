"""Passes over rows: few steps from the loop to the kernels, workspaces that are kept, rows let go once each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest

from fastgmm import kernels
from fastgmm.fitting.em import expectation_maximization
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.settings import Settings
from fastgmm.model.structures import STRUCTURES
from fastgmm.model.units import Units
from fastgmm.sources import passes
from fastgmm.sources.array import ArraySource
from fastgmm.sources.complete import CompleteSource
from fastgmm.sources.incomplete.model import incomplete_model
from fastgmm.sources.incomplete.source import IncompleteSource
from fastgmm.sources.passes import Group, Pass, Sums, cut_evenly
from fastgmm.sources.source import Source

Array = np.ndarray[Any, Any]

MOST_FRAMES = 5  # of Python between the loop and a kernel


class Watched:
    """The compiled kernels, and from how far below the EM loop each pass calls them."""

    def __init__(self, lasting: float = 0.0) -> None:
        self.depths: list[int] = []
        self.n_calls = 0
        self.lasting = lasting

    def __getattr__(self, name: str) -> Any:
        return getattr(kernels.CHOSEN, name)

    def accumulate(self, *arguments: Any) -> None:
        """Complete rows."""
        self.look(sys._getframe(1))
        kernels.CHOSEN.accumulate(*arguments)

    def accumulate_patterns(self, *arguments: Any) -> None:
        """Rows with gaps."""
        self.look(sys._getframe(1))
        kernels.CHOSEN.accumulate_patterns(*arguments)

    def look(self, frame: Any) -> None:
        """Count the frames up to the loop; another thread than the caller's has none of its own."""
        time.sleep(self.lasting)  # for the calling thread to get its share
        self.n_calls += 1
        names = []
        while frame is not None:
            if frame.f_code is expectation_maximization.__code__:
                self.depths.append(len(names))
                return
            names.append(frame.f_code.co_qualname)
            frame = frame.f_back


def rows(n_samples: int = 4000, n_features: int = 3, seed: int = 0) -> Array:
    """Rows of one clump."""
    return np.random.default_rng(seed).normal(size=(n_samples, n_features))


def with_gaps(X: Array) -> Array:
    """The same rows with a tenth of the values missing."""
    return np.where(np.random.default_rng(1).uniform(size=X.shape) < 0.1, np.nan, X)


def source_of(X: Array, gaps: bool, n_threads: int, module: Any = None) -> Source:
    """A source of rows in memory."""
    source = ArraySource(X, n_threads, cast(ModuleType, module))
    return IncompleteSource(ArraySource(with_gaps(X), n_threads, cast(ModuleType, module))) if gaps else source


# ---- how far it is from the loop to the kernels


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("several", [False, True], ids=["one group", "groups"])
@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_few_frames_between_the_loop_and_the_kernel(
    gaps: bool, several: bool, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader follows at most five calls, in the calling thread, whose share of the groups is never none here."""
    if several:
        monkeypatch.setattr(passes, "GROUP_WORK", 1 << 14)
    monkeypatch.setattr(ArraySource, "at_once", lambda *_: None)
    watched = Watched(2e-3 if several else 0.0)
    X, structure = rows(), STRUCTURES["full"]
    parameters = structure.from_covariances(np.full(2, 0.5), X[:2], np.tile(np.eye(3), (2, 1, 1)))
    with source_of(X, gaps, n_threads, watched) as source:
        m_step = MaximumLikelihood(source, structure)
        expectation_maximization(source, m_step, parameters, Settings(tol=0.0, max_iter=2))
    assert watched.n_calls >= (8 if several else 2)
    assert watched.depths and max(watched.depths) <= MOST_FRAMES


# ---- what a pass does


class Counted(ArraySource):
    """Rows in memory that count how often each group is read and let go."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.n_read: list[int] = []
        self.released: list[int] = []

    def read(self, groups: list[slice]) -> Iterator[Array]:
        for X in super().read(groups):
            self.n_read.append(len(X))
            yield X

    def release(self, X: Array) -> None:
        self.released.append(len(X))


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_rows", [10, 103])
def test_groups_are_let_go_once(n_rows: int, n_threads: int) -> None:
    """After each group, whatever the number of threads; results come in the order of the groups."""
    source = Counted(rows(103), n_threads)
    firsts: list[int] = []
    with source:
        Pass(source, cut_evenly(103, n_rows)).run(lambda workspace, group: group.rows.start, firsts.append)
    assert firsts == list(range(0, 103, n_rows))
    assert source.n_read == [n_rows] * (103 // n_rows) + [103 % n_rows] * (103 % n_rows > 0)
    assert sorted(source.released) == sorted(source.n_read)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_workspaces_are_kept_from_pass_to_pass(n_threads: int) -> None:
    """Each thread has one, the next pass takes it up, and so does one that needs less; one that needs more grows it."""
    source, arrays = ArraySource(rows(100), n_threads), ((7, np.dtype(np.float64)), (2, np.dtype(np.float32)))
    used: list[set[int]] = []

    def task(workspace: passes.Workspace, group: Group) -> int:
        assert [(len(array), array.dtype) for array in workspace] == list(arrays)
        time.sleep(1e-3)
        return id(workspace[0])

    with source:
        for _ in range(3):
            found: list[int] = []
            Pass(source, cut_evenly(100, 5), arrays).run(task, found.append)
            used.append(set(found))
        assert len(set.union(*used)) <= n_threads
        large = ((9, arrays[0][1]), arrays[1])
        for wanted, expected in ((large, 9), (arrays, 9)):
            sizes: list[int] = []
            Pass(source, cut_evenly(100, 100), wanted).run(lambda workspace, _: len(workspace[0]), sizes.append)
            assert sizes == [expected]
    (idle,) = source.idle.values()
    assert len(idle) <= n_threads


def test_sums_use_arrays_again() -> None:
    """What has been added can be overwritten; what has not, cannot."""
    sums = Sums(2)
    one, other = sums.part(), sums.part()
    one[:], other[:] = (1, 2), (10, 20)
    sums.add(one)
    assert sums.part() is one
    one[:] = (100, 200)
    sums.add(other)
    sums.add(one)
    assert sums.total.tolist() == [111, 222]


# ---- what a source tells of itself


def test_what_sources_tell_of_themselves() -> None:
    """Gaps, place, and what they put before their kernels: nobody need ask for their classes."""

    class Fitted:
        structure = STRUCTURES["tied"]
        parameters = STRUCTURES["tied"].from_covariances(np.ones(1), np.zeros((1, 3)), np.eye(3))

        def kernel_model(self, dtype: Any) -> Any:
            return self.structure.kernel_model(self.parameters, dtype)

    fitted = Fitted()
    whole, gaps = source_of(rows(), False, 1), source_of(rows(), True, 1)
    assert isinstance(whole, CompleteSource) and not isinstance(gaps, CompleteSource)
    assert (whole.has_gaps, gaps.has_gaps) == (False, True)
    assert whole.in_memory and gaps.in_memory
    for ours, theirs in zip(whole.model(fitted), fitted.kernel_model(whole.dtype), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    units = Units.of_mixture(fitted.structure, fitted.parameters).inverse(gaps.dtype)
    expected = incomplete_model(fitted.structure, fitted.parameters, units)
    for ours, theirs in zip(gaps.model(fitted), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in ("assign", "nearest", "potentials", "statistics_given", "statistics_labeled"):
        assert hasattr(whole, name) and not hasattr(gaps, name)


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_subsets_have_weights_and_gaps(gaps: bool) -> None:
    """Some rows answer as a source of these rows alone does."""
    X, weights = rows(500), np.random.default_rng(2).uniform(0.5, 2, 500)
    X = with_gaps(X) if gaps else X
    chosen = np.flatnonzero(np.arange(500) % 3)
    whole, part = ArraySource(X, 1, None, weights), ArraySource(X[chosen], 1, None, weights[chosen])
    ours: Source = (IncompleteSource(whole) if gaps else whole).subset(chosen)
    theirs: Source = IncompleteSource(part) if gaps else part
    assert ours.has_gaps == gaps and ours.total == theirs.total
    structure = STRUCTURES["diag"]
    parameters = structure.from_covariances(np.ones(1), np.zeros((1, 3)), np.ones((1, 3)))
    one, other = ours.statistics(structure, parameters), theirs.statistics(structure, parameters)
    np.testing.assert_array_equal(one.sums, other.sums)
    np.testing.assert_array_equal(one.scatters, other.scatters)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (300, 3), (5000, 7), (300, 5001)])
def test_squares_are_those_of_double_precision(shape: tuple[int, int], dtype: str, weighted: bool) -> None:
    """Squares about the origin, one for each feature, for any number of threads; the diagonal of the scatter."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=shape) * 3 + 5).astype(dtype)
    weights = rng.uniform(0.5, 2, shape[0]).astype(dtype) if weighted else None
    source = ArraySource(X, 1, None, weights)
    counts = np.ones(shape[0]) if weights is None else weights.astype(np.float64)
    np.testing.assert_allclose(source.squares, counts @ (X.astype(np.float64) - source.origin) ** 2, rtol=1e-12)
    np.testing.assert_array_equal(ArraySource(X, 3, None, weights).squares, source.squares)
    if shape[1] < 100:
        np.testing.assert_allclose(source.squares, np.diagonal(source.scatter), rtol=1e-12)


def test_subsets_of_completed_rows_keep_both_fillings() -> None:
    """Draws and means of rows whose gaps have been filled are chosen together."""
    gaps = IncompleteSource(ArraySource(with_gaps(rows(300)), 1, None, np.linspace(0.5, 1.5, 300)))
    whole, chosen = gaps.imputed(2, STRUCTURES["full"]), np.arange(0, 300, 2)
    part = whole.subset(chosen)
    np.testing.assert_array_equal(part.X, whole.X[chosen])
    np.testing.assert_array_equal(part.drawn.X, whole.drawn.X[chosen])
    assert part.weights is not None and part.total == part.drawn.total == pytest.approx(part.weights.sum())
