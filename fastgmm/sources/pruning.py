"""What EM remembers of rows from pass to pass, so that passes leave out what is below rounding (kernels/pruning.pxd).

Each group of rows decides for itself, by what its own passes have shown, whether it is worth while: bits do not depend
on threads. A pass without memory leaves nothing out.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..kernels import DENSE, TRIANGULAR
from ..model.kernel_model import KernelModel
from .passes import BLOCK, MOST_GROUP_BYTES, MOST_GROUP_WORK, Workspace, cut_evenly, work_per_row

LEAST_FEATURES, LEAST_COMPONENTS, LEAST_ROWS = 12, 8, 2048  # with fewer there is little to leave out,
LEAST_TILES = 192  # or with fewer features times components
MANY_COMPONENTS = 32  # from which on whitened rows of all no longer stay in a cache, so that leaving some out pays more
MOST_COMPONENTS = 60_000  # labels are of 16 bits
UNKNOWN = 65535  # the label of a row that no pass has seen

FEW, SOME = 0.25, 0.4  # of the pairs of row and component: pruning pays below the first, and below the second
LITTLE, LESS = 0.7, 0.9  # if not more of the multiply-adds are left than this, or with fewer components than that
SAMPLE_ROWS = 128  # that tell whether to try it
PAUSE = 16  # passes until it is tried again, twice as many after each time that it does not pay


def prunable(kind: int, n_samples: int, n_features: int, n_components: int) -> bool:
    """Whether leaving out pairs of row and component may pay in fits of this size."""
    wide = kind == TRIANGULAR and n_features >= LEAST_FEATURES and n_samples >= LEAST_ROWS
    many = LEAST_COMPONENTS <= n_components <= MOST_COMPONENTS and n_features * n_components >= LEAST_TILES
    return wide and many and not DENSE


def large_groups(n_samples: int, n_components: int, row_bytes: int) -> list[slice]:
    """Groups with many rows of each component, so that blocks of rows are alike; and enough of them for threads."""
    wanted = min(max(80 * n_components, 4096), 65536)
    for_threads = max(n_samples // 16, 16 * n_components, 1024)
    n_groups = -(-n_samples // min(wanted, for_threads, max(BLOCK, MOST_GROUP_BYTES // row_bytes)))
    rows = -(-n_samples // n_groups)
    return cut_evenly(n_samples, -(-rows // BLOCK) * BLOCK)


@dataclass(slots=True)
class Habit:
    """How passes over a group of rows are made."""

    many: bool  # components
    pruning: bool = False
    waiting: int = 0  # passes that leave nothing out before it is tried
    pause: int = PAUSE

    def heed(self, share: float, work: float) -> None:
        """Go on, or pause, after a pass with these shares of the pairs and of the multiply-adds of all."""
        self.pruning = (share < FEW and (self.many or work < LESS)) or (self.many and share < SOME and work < LITTLE)
        if not self.pruning:
            self.waiting, self.pause = self.pause, 2 * self.pause


class Memory:
    """The most probable component of each row and how far off it was, in 3 bytes, and the habit of each group."""

    def __init__(self, n_samples: int, n_features: int, n_components: int, row_bytes: int) -> None:
        self.n_components = n_components
        self.labels = np.full(n_samples, UNKNOWN, np.uint16)
        self.bins = np.zeros(n_samples, np.uint8)
        self.groups = large_groups(n_samples, n_components, row_bytes)
        self.habits = {group.start: Habit(n_components >= MANY_COMPONENTS) for group in self.groups}
        work = work_per_row(TRIANGULAR, n_features, n_components)
        self.piece = max(BLOCK, MOST_GROUP_WORK // work // BLOCK * BLOCK)  # after which Ctrl-C is looked for
        self.per_row = n_components * n_features * (n_features + 1) // 2

    def serves(self, model: KernelModel) -> bool:
        """Whether it is of this size of mixtures."""
        return model.kind == TRIANGULAR and len(model.centers) == self.n_components

    def accumulate(
        self,
        kernels: ModuleType,
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
            step = max(1, len(X) // SAMPLE_ROWS)
            own = X[::step], None if weights is None else np.ascontiguousarray(weights[::step])
            unknown = np.full(len(own[0]), UNKNOWN, np.uint16), np.zeros(len(own[0]), np.uint8)
            share, _ = self._pruned(kernels, model, *own, *unknown, workspace, out)
            habit.heed(share, 0.0)
        if habit.pruning:
            habit.heed(*self._pruned(kernels, model, X, weights, self.labels[rows], self.bins[rows], workspace, out))
            return
        habit.waiting -= 1
        numbers, _ = workspace
        if len(X) <= self.piece:
            kernels.accumulate(X, None, None, weights, *model.arguments, numbers, out)
            return
        part = np.empty_like(out)
        out[:] = 0
        for piece in cut_evenly(len(X), self.piece):
            own_weights = None if weights is None else weights[piece]
            kernels.accumulate(X[piece], None, None, own_weights, *model.arguments, numbers, part)
            out += part

    def _pruned(
        self,
        kernels: ModuleType,
        model: KernelModel,
        X: np.ndarray,
        weights: np.ndarray | None,
        labels: np.ndarray,
        bins: np.ndarray,
        workspace: Workspace,
        out: np.ndarray,
    ) -> tuple[float, float]:
        """The same where pairs are left out; returns which shares of pairs and of multiply-adds are not."""
        pairs = multiply_adds = 0
        for part in cut_evenly(len(X), 4 * self.piece):
            found = kernels.accumulate_pruned(
                X, labels, bins, part.start, part.stop, weights, *model.arguments, *workspace, out
            )
            pairs, multiply_adds = pairs + found[0], multiply_adds + found[1]
        return pairs / (len(X) * self.n_components), multiply_adds / (len(X) * self.per_row)
