"""Streaming: stepwise EM over batches of rows that need not be seen again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure
from ..sources.pooled import PooledRows
from .convergence import PARTIAL
from .em import Fit
from .mstep import MStep, MSteps
from .repair import Constraints, Repair

ROWS_PER_NUMBER = 4.0  # rows whose values a stream must remember for each free parameter, per feature, to be steady
PATIENCE = 16  # times as many rows as that takes are waited for if the first fit is not sound
MOST_WAITING = 1 << 20  # numbers in rows that wait
MOST_BATCHES = 256  # arrays that they are kept in
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
        The first of each component and problem.
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
        parameters = structure.with_axes(parameters)
        rows = PooledRows(structure, structure.equivalent(parameters, n_samples, resolution))
        statistics = m_step_of(rows, structure).equivalent(parameters, n_samples, resolution)
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
        m_step = m_step_of(PooledRows(structure, remembered, n_samples), structure, constraints=self.constraints)
        parameters = averaged = m_step(remembered, self.parameters, t)
        if average is not remembered:
            rows = PooledRows(structure, average, n_samples)
            averaged = m_step.on(rows, m_step.constraints)(average, self.parameters, t)
        kept = structure.recentered(remembered, parameters.means)
        return Stream(
            parameters,
            averaged,
            kept,
            kept if average is remembered else structure.recentered(average, parameters.means),
            n_samples,
            t,
            firsts([*self.repairs, *m_step.repairs]) if m_step.repairs else self.repairs,
            m_step.constraints,
        )

    def shown(self, structure: Structure, bound: float, m_step_of: MSteps) -> Fit:
        """The parameters to be shown as a fit, with the bound of the last batch."""
        assert self.average is not None
        m_step = m_step_of(PooledRows(structure, self.average, self.n_samples), structure)
        return Fit(self.averaged, [bound], PARTIAL, self.repairs, m_step=m_step)


def firsts(repairs: list[Repair]) -> list[Repair]:
    """The first repair of each component and problem: a stream has no end, and may repair in every batch."""
    return list({(one.component, one.problem): one for one in reversed(repairs)}.values())[::-1]


def mixed(before: Statistics | None, now: Statistics, share: float) -> Statistics:
    """Statistics of which `now` are this share, as those of n_samples / share rows."""
    if before is None or share == 1:
        return now
    return before.scaled((1 / share - 1) * now.n_samples / before.n_samples).merge(now)


@dataclass(frozen=True, slots=True)
class WaitingRows:
    """The first rows of a stream, which wait until what a fit of them starts is steady.

    After n rows in batches of at most b, S_t remembers the last n^decay b^(1 - decay) rows or so, by its step size
    (b / n)^decay. Where these are too few for a component's parameters, it is lost as soon as it has had no row for a
    while; so the smaller the batches, the more rows have to come before the first. A fit of them that leans on
    regularization or repairs, or has a component of hardly any rows, says that more are needed: rows that are all
    equal, or come from some of the components alone.

    Attributes
    ----------
    batches, weights : tuple of ndarray
    n_samples : int
        Number of rows, all of positive weight.
    largest : int
        Number of rows of the largest batch.
    tried : int
        Number of rows of which a fit was not steady.
    feature_names : ndarray of shape (D,), or None
        Names of the columns.
    """

    batches: tuple[np.ndarray, ...] = ()
    weights: tuple[np.ndarray, ...] = ()
    n_samples: int = 0
    largest: int = 0
    tried: int = 0
    feature_names: np.ndarray | None = None

    def added(self, X: np.ndarray, weights: np.ndarray, names: np.ndarray | None = None) -> WaitingRows:
        """The rows with those of one more batch."""
        batches, all_weights = (*self.batches, X), (*self.weights, weights)
        if len(batches) > MOST_BATCHES:
            batches, all_weights = (np.concatenate(batches),), (np.concatenate(all_weights),)
        n_samples, largest = self.n_samples + len(X), max(self.largest, len(X))
        return WaitingRows(batches, all_weights, n_samples, largest, self.tried, names)

    def tried_in_vain(self) -> WaitingRows:
        """The rows, of which a fit is not steady."""
        return replace(self, tried=self.n_samples)

    def together(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows and their weights."""
        return np.concatenate(self.batches), np.concatenate(self.weights)

    def observed(self) -> bool:
        """Whether each feature has a value in some row."""
        return not np.isnan(self.together()[0]).all(axis=0).any()

    def worth_a_try(self, structure: Structure, n_components: int, decay: float) -> bool:
        """Whether there are enough rows for a fit."""
        enough, most = self._limits(structure, n_components, decay)
        return self.n_samples >= min(most, max(enough, 2 * self.tried))

    def may_wait(self, structure: Structure, n_components: int, decay: float) -> bool:
        """Whether rows may go on waiting: they came in several batches, and there is room for more."""
        return self.largest < self.n_samples < self._limits(structure, n_components, decay)[1]

    def _limits(self, structure: Structure, n_components: int, decay: float) -> tuple[int, int]:
        """How many rows a steady start needs, and how many are waited for at most."""
        n_features = self.batches[0].shape[1]
        least = max(2, n_components * (n_features + 1))
        room = max(least, MOST_WAITING // n_features)
        remembered = n_components * rows_per_component(structure, n_components, n_features)
        enough = math.ceil(self.largest * max(1.0, remembered / max(1, self.largest)) ** (1 / decay))
        enough = min(max(least, enough), room)
        return enough, min(PATIENCE * enough, room)


def rows_per_component(structure: Structure, n_components: int, n_features: int) -> float:
    """How many rows of each component a stream must remember to be steady."""
    return ROWS_PER_NUMBER * structure.n_parameters(n_components, n_features) / (n_components * n_features)


def steady(fit: Fit, m_step: MStep, n_samples: int) -> bool:
    """Whether a fit of so many rows is one to go on from in small steps: sound, with enough rows for each component.

    Under a proper prior a component may have none, and is not lost by it.
    """
    structure, parameters = m_step.structure, fit.parameters
    least = rows_per_component(structure, *parameters.means.shape)
    repaired = any(repair.iteration > 0 for repair in fit.repairs)
    if repaired or not m_step.sound(parameters):
        return False
    return m_step.proper or float(parameters.weights.min()) * n_samples >= least
