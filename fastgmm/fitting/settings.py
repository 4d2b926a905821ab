"""Settings: the arguments of an estimator that fits heed, in one value."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from .convergence import CALLBACK, MAX_TIME
from .mstep import MaximumLikelihood, MSteps

SAMPLED_ITERATIONS = 10  # of fewer a user wants to see each

Callback = Callable[[int, float, float], object]


class Settings(NamedTuple):
    """Tolerances, limits and the M-step of every fit of an estimator, whatever its rows and its structure.

    Attributes
    ----------
    tol : float
        What the rule of convergence compares with.
    max_iter : int
        Largest number of iterations.
    convergence : str
        Key of `convergence.RULES`.
    acceleration : str or None
        "squarem", or None for plain EM.
    n_init : int
        Number of starts.
    drop_restarts : bool
        Whether hopeless ones of them are dropped.
    max_time : float or None
        Seconds from `started` to `deadline`.
    callback : callable or None
        Called after each iteration with its number, its bound and the seconds since `started`; a true answer stops EM.
    sampling : str or None
        "auto", or None where starts must not run EM on samples of the rows.
    started : float
        Reading of `time.perf_counter` from which time counts.
    deadline : float
        That at which EM and starts are out of time.
    m_step : callable
        Makes the M-step of a fit from its rows and its structure.
    """

    tol: float = 1e-3
    max_iter: int = 100
    convergence: str = "likelihood"
    acceleration: str | None = None
    n_init: int = 1
    drop_restarts: bool = True
    max_time: float | None = None
    callback: Callback | None = None
    sampling: str | None = None
    started: float = 0.0
    deadline: float = math.inf
    m_step: MSteps = MaximumLikelihood

    def begun(self) -> Settings:
        """These settings with the clock started."""
        now = perf_counter()
        deadline = math.inf if self.max_time is None else now + self.max_time
        return Settings(*self[:9], now, deadline, self.m_step)

    @property
    def plain(self) -> bool:
        """Whether nothing but `tol` and `max_iter` has a say in how EM goes on."""
        usual = self.acceleration is None and self.convergence == "likelihood"
        return usual and self.callback is None and self.deadline == math.inf

    @property
    def sampled(self) -> bool:
        """Whether EM may begin on samples of the rows: where it is to take its usual way, and has the time."""
        usual = self.acceleration is None and self.convergence == "likelihood"
        return usual and self.sampling is not None and self.max_iter >= SAMPLED_ITERATIONS

    def stop(self, n_iter: int, bound: float) -> str | None:
        """The reason to stop after an iteration, or None."""
        if self.callback is None and self.deadline == math.inf:
            return None
        if self.callback is not None and self.callback(n_iter, bound, perf_counter() - self.started):
            return CALLBACK
        return MAX_TIME if perf_counter() >= self.deadline else None
