"""What EM remembers of rows from pass to pass, so that passes leave out what is below rounding (kernels/pruning.pxd).

Each group of rows decides for itself, by what its own passes have shown, whether it is worth while: bits do not depend
on threads. A pass without memory leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ..kernels import COMMON_FRAME, DENSE, DIAGONAL, TRIANGULAR
from ..model.kernel_model import KernelModel
from ..model.parameters import Parameters
from .passes import (
    BLOCK,
    MOST_GROUP_BYTES,
    MOST_GROUP_WORK,
    PRUNED_FEATURES,
    Workspace,
    cut_evenly,
    near_rows,
    work_per_row,
)

P = TypeVar("P")

LEAST_COMPONENTS, LEAST_ROWS = 8, 2048  # with fewer there is little to leave out,
LEAST_TILES = 192  # or with fewer features times components
FLAT_FEATURES, FLAT_COMPONENTS = 32, 64  # the same where a feature takes a multiply-add or two, not D of them
MANY_COMPONENTS = 32  # from which on whitened rows of all no longer stay in a cache, so that leaving some out pays more
MOST_COMPONENTS = 60_000  # labels are of 16 bits
UNKNOWN = 65535  # the label of a row that no pass has seen

FEW, SOME = 0.25, 0.4  # of the pairs of row and component: pruning pays below the first, and below the second
LITTLE, LESS = 0.7, 0.9  # if not more of the multiply-adds are left than this, or with fewer components than that
FLAT_SHARE, FLAT_WORK = 0.1, 0.65  # the same, of both, where a feature takes a multiply-add or two,
FRAME_WORK, FRAME_COMPONENTS = 0.35, 512  # and in a common frame with fewer components, where dense passes are fast
SAMPLE_ROWS = 128  # that tell whether to try it
ROWS_TO_FEATURES = 512  # from which ratio on it costs little to learn how far components have moved
LONGEST_CYCLE = 12  # passes with one order of rows
LEAST_UNIT = 1e-6  # of codes, below which these are of no use
MOST_CODED = 2048  # features, up to which rounding of distances is within the margin of codes
NOT_MOVED = np.zeros((2, 1), np.float32)
PAUSE = 16  # passes until it is tried again, twice as many after each time that it does not pay


def prunable(kind: int, n_samples: int, n_features: int, n_components: int) -> bool:
    """Whether leaving out pairs of row and component may pay in fits of this size."""
    if DENSE or n_samples < LEAST_ROWS or n_components > MOST_COMPONENTS:
        return False
    if kind in (DIAGONAL, COMMON_FRAME):
        return n_features >= FLAT_FEATURES and n_components >= FLAT_COMPONENTS
    wide = kind == TRIANGULAR and n_features >= PRUNED_FEATURES
    return wide and n_components >= LEAST_COMPONENTS and n_features * n_components >= LEAST_TILES


def large_groups(n_samples: int, n_components: int, row_bytes: int) -> list[slice]:
    """Groups with many rows of each component, so that blocks of rows are alike; and enough of them for threads."""
    n_groups = -(-n_samples // min(near_rows(n_samples, n_components), max(BLOCK, MOST_GROUP_BYTES // row_bytes)))
    rows = -(-n_samples // n_groups)
    return cut_evenly(n_samples, -(-rows // BLOCK) * BLOCK)


# ---- when it pays, by the shares of pairs and of multiply-adds that a pass has had


def pays_whitened(many: bool, share: float, work: float) -> bool:
    """Where each feature of a pair takes a row of a factor, and components are many or not."""
    return (share < FEW and (many or work < LESS)) or (many and share < SOME and work < LITTLE)


def pays_flat(most: float, share: float, work: float) -> bool:
    """Where each takes a multiply-add or two, of which there may be so many."""
    return share < FLAT_SHARE and work < most


def rule(kind: int, n_components: int) -> Callable[[float, float], bool]:
    """Which of them is for mixtures of this kind and size."""
    if kind == TRIANGULAR:
        return partial(pays_whitened, n_components >= MANY_COMPONENTS)
    return partial(pays_flat, FRAME_WORK if kind == COMMON_FRAME and n_components < FRAME_COMPONENTS else FLAT_WORK)


@dataclass(slots=True)
class Habit:
    """How passes over a group of rows are made."""

    pays: Callable[[float, float], bool]
    pruning: bool = False
    waiting: int = 0  # passes that leave nothing out before it is tried
    pause: int = PAUSE
    cycle: int = -1  # of passes, in which its order was made

    def heed(self, share: float, work: float) -> None:
        """Go on, or pause, after a pass with these shares of the pairs and of the multiply-adds of all."""
        self.pruning = self.pays(share, work)
        if not self.pruning:
            self.waiting, self.pause = self.pause, 2 * self.pause


# ---- how far components move


def drifts(kernels: ModuleType, before: Parameters, after: Parameters) -> np.ndarray:
    """How far components with factors of their own have moved: stretch and shift of each (2, K); see drift.pxd."""
    out, n_features = np.empty((2, len(after.means))), after.means.shape[1]
    kernels.drifts(
        np.ascontiguousarray(before.precisions_cholesky),
        np.ascontiguousarray(after.precisions_cholesky),
        np.ascontiguousarray(before.means),
        np.ascontiguousarray(after.means),
        np.empty((2, n_features, n_features)),
        out,
    )
    return out


def flat_drifts(before: KernelModel, after: KernelModel) -> np.ndarray:
    """The same where features are only scaled, of what the kernels see: their rounding moves components, too."""
    (centers, factors), (next_centers, next_factors) = _scaled(before), _scaled(after)
    with np.errstate(all="ignore"):
        shifts = np.sqrt((((next_centers - centers) * factors) ** 2).sum(axis=1))
        return np.stack([(factors / next_factors).max(axis=1), shifts])


def _scaled(model: KernelModel) -> tuple[np.ndarray, np.ndarray]:
    """Centers (K, D) and factors (K, D) or (K, 1) of a model in the units of the data, to which scales are exact."""
    centers = model.centers.astype(np.float64)
    factors = model.factors.astype(np.float64).reshape(len(centers), -1)
    if model.scales is None:
        return centers, factors
    return centers / model.scales, factors * model.scales[: factors.shape[1]]


class Motion:
    """How far components have moved since a pass whose order of rows is kept, and how long it is kept.

    How far a pass finds rows to be from a component (kernels/pruning.pxd) is of use until labels have changed
    so much that rows are better sorted anew.
    """

    def __init__(self, n_components: int) -> None:
        self.cycle = -1  # of passes with one order
        self.moved = np.zeros((2, n_components), np.float32)  # unit of codes, and what has passed since
        self._exact = np.zeros((2, n_components))
        self._left, self._length = 0, 1
        self._before: Any = None

    def follow(self, after: P, drifts: Callable[[P, P], np.ndarray]) -> None:
        """Learn where components are in the next pass, and by `drifts` how far they have moved."""
        before, self._before = self._before, after
        if before is not None and self._left > 0:
            stretch, shift = drifts(before, after)
            unit, passed = self._exact
            self._exact = np.stack([unit, passed + shift]) / stretch
        if self._left == 0 or not (np.isfinite(self._exact).all() and self._exact[0].min() > LEAST_UNIT):
            self.cycle += 1
            self._left, self._length = self._length, min(2 * self._length, LONGEST_CYCLE)
            self._exact = np.stack([np.ones(len(self._exact[0])), np.zeros(len(self._exact[0]))])
        self._left -= 1
        self.moved[:] = self._exact


class Memory:
    """The most probable component of each row and how far off it was, in 3 bytes, and the habit of each group.

    With many rows also an order in which they are taken for several passes, and what is known of distances then.
    """

    def __init__(
        self, kind: int, n_samples: int, n_features: int, n_components: int, row_bytes: int, kernels: ModuleType
    ) -> None:
        self.kind, self.n_components, self.kernels = kind, n_components, kernels
        self.labels = np.full(n_samples, UNKNOWN, np.uint16)
        self.bins = np.zeros(n_samples, np.uint8)
        self.order = np.empty(n_samples, np.int32)
        self.groups = large_groups(n_samples, n_components, row_bytes)
        self.habits = {group.start: Habit(rule(kind, n_components)) for group in self.groups}
        followed = n_features <= MOST_CODED
        if kind == TRIANGULAR:
            followed = n_samples >= ROWS_TO_FEATURES * n_features
        self.motion = Motion(n_components) if followed else None
        self.codes: dict[int, np.ndarray] = {}  # of each group that prunes
        work = work_per_row(kind, n_features, n_components)
        self.piece = max(BLOCK, MOST_GROUP_WORK // work // BLOCK * BLOCK)  # after which Ctrl-C is looked for
        self.per_row = n_components * (n_features * (n_features + 1) // 2 if kind == TRIANGULAR else n_features)

    def serves(self, model: KernelModel) -> bool:
        """Whether it is of this size of mixtures."""
        return model.kind == self.kind and len(model.centers) == self.n_components

    def follow(self, parameters: Parameters, model: KernelModel) -> None:
        """Learn of the parameters of the next pass, and of what the kernels see of them."""
        if self.motion is None:
            return
        if self.kind == TRIANGULAR:
            self.motion.follow(parameters, partial(drifts, self.kernels))
        elif len(model.whitener) > 0:  # a frame that moves, too
            self.motion = None
        else:
            self.motion.follow(model, flat_drifts)

    def accumulate(
        self,
        model: KernelModel,
        rows: slice,
        X: np.ndarray,
        weights: np.ndarray | None,
        workspace: Workspace,
        out: np.ndarray,
    ) -> None:
        """The sums over a group of rows, X in the units of the model."""
        habit = self.habits[rows.start]
        if not habit.pruning and habit.waiting == 0:
            habit.heed(self._share_in_sample(model, X, weights, workspace, out), 0.0)
        if habit.pruning:
            known = self.labels[rows], self.bins[rows], self.order[rows]
            unsorted = known[0][0] == UNKNOWN
            share, work = self._pruned(model, X, weights, known, self._codes_of(habit, rows), workspace, out)
            habit.heed(share, 0.0 if unsorted else work)  # which is less from the next pass on
            return
        habit.waiting -= 1
        numbers, _ = workspace
        if len(X) <= self.piece:
            self.kernels.accumulate(X, None, None, weights, *model.arguments, numbers, False, out)
            return
        part = np.empty_like(out)
        out[:] = 0
        for piece in cut_evenly(len(X), self.piece):
            own_weights = None if weights is None else weights[piece]
            self.kernels.accumulate(X[piece], None, None, own_weights, *model.arguments, numbers, False, part)
            out += part

    def _codes_of(self, habit: Habit, rows: slice) -> tuple[np.ndarray | None, np.ndarray, bool]:
        """What is known of distances in a group, how far components have moved since, and whether to sort it first."""
        if self.motion is None:
            return None, NOT_MOVED, True
        sorting = habit.cycle != self.motion.cycle
        if sorting:
            n_codes = self.kernels.n_codes(rows.stop - rows.start, self.n_components)
            self.codes[rows.start] = np.zeros((n_codes, self.n_components), np.uint8)
            habit.cycle = self.motion.cycle
        return self.codes[rows.start], self.motion.moved, sorting

    def _share_in_sample(
        self, model: KernelModel, X: np.ndarray, weights: np.ndarray | None, workspace: Workspace, out: np.ndarray
    ) -> float:
        """The share of pairs that matter, as some of the rows show it."""
        step = max(1, len(X) // SAMPLE_ROWS)
        some, n = X[::step], len(X[::step])
        own_weights = None if weights is None else np.ascontiguousarray(weights[::step])
        unknown = np.full(n, UNKNOWN, np.uint16), np.zeros(n, np.uint8), np.empty(n, np.int32)
        return self._pruned(model, some, own_weights, unknown, (None, NOT_MOVED, True), workspace, out)[0]

    def _pruned(
        self,
        model: KernelModel,
        X: np.ndarray,
        weights: np.ndarray | None,
        known: tuple[np.ndarray, np.ndarray, np.ndarray],
        codes: tuple[np.ndarray | None, np.ndarray, bool],
        workspace: Workspace,
        out: np.ndarray,
    ) -> tuple[float, float]:
        """The sums where pairs are left out; returns which shares of pairs and of multiply-adds are not."""
        pairs = multiply_adds = 0
        own, sorting = codes[:2], codes[2]
        for part in cut_evenly(len(X), 4 * self.piece):
            found = self.kernels.accumulate_pruned(
                X, *known, *own, part.start, part.stop, sorting, weights, *model.arguments, *workspace, out
            )
            pairs, multiply_adds = pairs + found[0], multiply_adds + found[1]
        return pairs / (len(X) * self.n_components), multiply_adds / (len(X) * self.per_row)
