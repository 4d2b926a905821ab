"""Streaming: stepwise EM over batches of rows that need not be seen again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure
from ..sources.pooled import PooledRows
from .mstep import MSteps
from .repair import Constraints, Repair

RECENT = 3.0  # the weight of a row in the average grows like its number to this power


@dataclass(frozen=True, slots=True)
class Stream:
    """The state of stepwise EM between two batches.

    With s_t the statistics per row of batch t under the parameters before it, what is remembered is

        S_t = (1 - g_t) S_{t-1} + g_t s_t,    g_t = (n_t / n)^decay,

    with n_t the number of rows of the batch and n that of all rows so far, itself included; the M-step of S_t gives the
    next parameters. With decay = 1 all rows count the same; with less, those seen under early, poor parameters fade.
    Then each batch adds noise, which averages out in

        A_t = (1 - w_t) A_{t-1} + w_t S_t,    w_t = 1 - (1 - n_t / n)^4,

    whose M-step gives the parameters to be shown. Rows count by their weights, of which the ratios alone matter.
    Everything is a sum over rows: S_t is kept as that of n_t / g_t rows. Parameters that come from a number of rows
    stand for a batch of these, with the statistics of which they are the M-step.

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
    n_steps : int
        Number of M-steps so far.
    repairs : list of Repair
        Of the parameters.
    constraints : dict
        Scales of components that have collapsed (see `Degeneracy`).

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
    n_steps: int = 0
    repairs: list[Repair] = field(default_factory=list)
    constraints: Constraints = field(default_factory=dict)

    @classmethod
    def after(
        cls, structure: Structure, parameters: Parameters, n_samples: float, resolution: float, m_step_of: MSteps
    ) -> Stream:
        """The state equivalent to one batch of so many rows, of which the parameters are the M-step."""
        rows = PooledRows(structure, structure.equivalent(parameters, n_samples, resolution))
        added = m_step_of(rows, structure).regularization
        covariances = structure.regularize(parameters.covariances.copy(), -added)
        statistics = structure.equivalent(replace(parameters, covariances=covariances), n_samples, resolution)
        return cls(parameters, parameters, statistics, statistics, n_samples)

    def step(
        self,
        structure: Structure,
        batch: Statistics,
        decay: float,
        m_step_of: MSteps,
    ) -> Stream:
        """The state after a batch, whose statistics are those under the parameters."""
        n_samples, t = self.n_samples + batch.n_samples, self.n_steps + 1
        part = batch.n_samples / n_samples
        remembered = mixed(self.remembered, batch, part**decay)
        recent = 1 - (1 - part) ** (RECENT + 1)
        average = remembered if decay == 1 else mixed(self.average, remembered, recent)
        rows = PooledRows(structure, remembered)
        m_step = m_step_of(rows, structure, constraints=self.constraints)
        parameters = averaged = m_step(remembered, self.parameters, t)
        if average is not remembered:
            averaged = m_step.on(PooledRows(structure, average), m_step.constraints)(average, self.parameters, t)
        kept = structure.recentered(remembered, parameters.means)
        return Stream(
            parameters,
            averaged,
            kept,
            kept if average is remembered else structure.recentered(average, parameters.means),
            n_samples,
            t,
            [*self.repairs, *m_step.repairs],
            m_step.constraints,
        )


def mixed(before: Statistics | None, now: Statistics, share: float) -> Statistics:
    """Statistics of which `now` are this share, as those of n_samples / share rows."""
    if before is None or share == 1:
        return now
    return before.scaled((1 / share - 1) * now.n_samples / before.n_samples).merge(now)
