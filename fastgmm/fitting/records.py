"""What a user is told of the fits of an estimator."""

import math
import sys
from typing import NamedTuple, Self


class Searched(NamedTuple):
    """What a search has done.

    Attributes
    ----------
    rounds : int
        Rounds of candidates.
    found : int
        How many of those of fresh starts have come to the best optimum.
    passes : int
        Passes of EM over the rows of the search, all in all.
    """

    rounds: int
    found: int
    passes: int


class FitRecord(NamedTuple):
    """Times, bounds and end of one initialization.

    Attributes
    ----------
    seconds_initialization, seconds_em : float
        Time for the starting values, and for EM; NaN where it was not kept.
    n_iter : int
        Number of iterations.
    start_bound : float
        Mean log-likelihood per sample at the start; -inf if there was no iteration.
    lower_bound : float
        Mean log-likelihood per sample before the last M-step.
    converged : bool
        Whether EM ended because of ``tol``.
    dropped : bool
        Whether it was abandoned because it could hardly have become the best.
    start : str
        What it started from: a method of ``init_params``, perhaps in a space of its own; in a search also "moves" and
        "perturbations" of optima; "" for parameters that were known.
    sound : bool or None
        Whether the rows, and neither repairs nor ``reg_covar`` nor hardly any rows, hold its components: the best of
        sound fits is kept, if there are any. None where there was no other to compare it with.
    levels : tuple of (int, int)
        Where EM began on samples of the rows: how many rows each had, and how many passes over them EM took.
    """

    seconds_initialization: float
    seconds_em: float
    n_iter: int
    start_bound: float
    lower_bound: float
    converged: bool
    dropped: bool
    start: str = ""
    sound: bool | None = None
    levels: tuple[tuple[int, int], ...] = ()

    @property
    def untimed(self) -> Self:
        """The record without times, which equal fits have in common."""
        return self._replace(seconds_initialization=math.nan, seconds_em=math.nan, start=sys.intern(self.start))
