"""Batches of rows that come once: stepwise EM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure
from .degeneracy import Maximization, Repair
from .pooled import PooledRows

RECENT = 3.0  # the weight of a batch in the average grows like its number to this power


@dataclass(frozen=True, slots=True)
class Stream:
    """Where stepwise EM stands between two batches.

    With s_t the statistics per row of batch t under the parameters before it, what is remembered is

        S_t = (1 - g_t) S_{t-1} + g_t s_t,    g_t = (n_t / (n_1 + .. + n_t))^decay,

    n_t the number of rows of the batch, and the M-step of S_t gives the next parameters. With decay = 1 all rows count
    the same; with less, those seen under early, poor parameters fade. Then each batch adds noise, which averages out in

        A_t = (1 - w_t) A_{t-1} + w_t S_t,    w_t = 4 / (t + 3),

    whose M-step gives the parameters to be shown. Everything is a sum over rows: S_t is kept as that of n_t / g_t rows.

    Attributes
    ----------
    parameters : Parameters
        Those under which the next batch is looked at.
    averaged : Parameters
        Those to be shown.
    remembered, average : Statistics or None
        S and A, about the means of the parameters; None before the first batch.
    n_samples : float
        Number of rows so far, or the sum of their weights.
    bounds : list of float
        The mean log-likelihood of each batch before its M-step.
    repairs : list of Repair
        Of the parameters.
    scales : dict
        Constraints on components that have collapsed (see `Maximization`).

    References
    ----------
    O. Cappé, E. Moulines. On-line expectation-maximization algorithm for latent data models. Journal of the Royal
    Statistical Society B 71(3), 2009.

    O. Shamir, T. Zhang. Stochastic gradient descent for non-smooth optimization: convergence results and optimal
    averaging schemes. ICML 2013, section 4 (the weights w_t).
    """

    parameters: Parameters
    averaged: Parameters
    remembered: Statistics | None = None
    average: Statistics | None = None
    n_samples: float = 0.0
    bounds: list[float] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    scales: dict[int | None, np.ndarray] = field(default_factory=dict)

    def step(
        self, structure: Structure, batch: Statistics, decay: float, m_step_of: Callable[[PooledRows], Maximization]
    ) -> Stream:
        """Where it stands after a batch, whose statistics are those under the parameters."""
        n_samples, t = self.n_samples + batch.n_samples, len(self.bounds) + 1
        share = (batch.n_samples / n_samples) ** decay
        remembered = mixed(self.remembered, batch, share).scaled(1 / share)
        average = remembered if decay == 1 else mixed(self.average, remembered, min(1.0, (RECENT + 1) / (t + RECENT)))
        m_step = m_step_of(PooledRows(structure, remembered))
        m_step.scales.update(self.scales)
        parameters = averaged = m_step(remembered, self.parameters, t)
        if average is not remembered:
            quiet = m_step_of(PooledRows(structure, average))
            quiet.scales.update(m_step.scales)
            averaged = quiet(average, self.parameters, t)
        return Stream(
            parameters,
            averaged,
            structure.about(remembered, parameters.means),
            structure.about(average, parameters.means),
            n_samples,
            [*self.bounds, batch.mean_log_likelihood],
            [*self.repairs, *m_step.repairs],
            m_step.scales,
        )


def mixed(before: Statistics | None, now: Statistics, share: float) -> Statistics:
    """The statistics of as many rows as `now`, of which it is this share."""
    if before is None or share == 1:
        return now
    return before.scaled((1 - share) * now.n_samples / before.n_samples).merge(now.scaled(share))
