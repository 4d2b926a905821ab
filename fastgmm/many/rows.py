"""The rows of a batch of tables, as compiled calls take them."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from ..sources.intake import check_sample_weight, scaled
from .layouts import Batch

Array = np.ndarray


def reduced(what: np.ufunc, values: Array, spans: Array) -> Array:
    """A reduction over the rows of each of some tables, none of which is empty."""
    places = spans.ravel()
    ended = len(places) > 0 and places[-1] == len(values)
    found: Array = what.reduceat(values, places[:-1] if ended else places)[::2]
    return found


class Rows(NamedTuple):
    """Rows of tables, and where they stand."""

    X: Array  # (N, D)
    spans: Array  # (P, 2) where each table starts and ends
    weights: Array | None  # (N,) about 1 in the mean of each table
    totals: Array  # (P,) their sums, or numbers of rows
    n_samples: Array  # (P,) the same, of weights as they were given
    positive: Array  # (P,) how many rows have a positive weight; 0 where a single fit must see to weights

    @property
    def sizes(self) -> Array:
        """How many rows each table has."""
        sizes: Array = self.spans[:, 1] - self.spans[:, 0]
        return sizes

    def constant(self, tables: Array) -> Array:
        """Whether all rows are equal in some tables, (P,), none of which is empty."""
        lowest, highest = (reduced(extreme, self.X, self.spans[tables]) for extreme in (np.minimum, np.maximum))
        same: Array = (lowest == highest).all(axis=1)
        return same

    def effective(self, tables: Array) -> Array:
        """How many rows of equal weight say as much as those of some tables (Kish), (P,), none of which is empty."""
        totals = self.totals[tables]
        if self.weights is not None:
            totals = totals**2 / reduced(np.add, self.weights.astype(np.float64) ** 2, self.spans[tables])
        return totals

    @classmethod
    def of(cls, batch: Batch, weights: list[Any] | None, *, drop: bool) -> Self:
        """The rows of a batch that has some; `drop` leaves out those with NaN."""
        X, starts = batch.X, batch.starts
        assert X is not None
        kept = None
        if drop and (missing := np.isnan(X).any(axis=1)).any():
            kept = ~missing
            X, starts = X[kept], np.concatenate([[0], np.cumsum(kept)])[starts]
        spans = np.ascontiguousarray(np.stack([starts[:-1], starts[1:]], axis=1), np.intp)
        sizes = (spans[:, 1] - spans[:, 0]).astype(np.float64)
        if weights is None or all(own is None for own in weights):
            return cls(X, spans, None, sizes, sizes, spans[:, 1] - spans[:, 0])
        own, totals, n_samples = np.ones(len(X), X.dtype), sizes.copy(), sizes.copy()
        positive = np.zeros(len(spans), np.intp)
        for i, (start, stop) in enumerate(spans.tolist()):
            try:
                if weights[i] is None:
                    continue  # without weights sums have other bits
                whole = slice(*batch.starts[i : i + 2].tolist())
                checked = check_sample_weight(weights[i], whole.stop - whole.start, 1)
                checked = checked if kept is None else checked[kept[whole]]
                if not checked.any():
                    continue
            except (ValueError, TypeError):
                continue  # which a single fit tells
            part = own[start:stop] = scaled(checked)
            totals[i] = part.astype(X.dtype).sum(dtype=np.float64)
            n_samples[i], positive[i] = checked.sum(), np.count_nonzero(checked)
        return cls(X, spans, own, totals, n_samples, positive)
