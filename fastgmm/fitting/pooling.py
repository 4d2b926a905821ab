"""The two steps of an iteration: from full statistics, or from few sums where those would cost much more.

Structures with a common shape or common axes need no scatter of each component (model/pools.py), but a step from fewer
sums may lower the likelihood. It is then taken back, and made from full statistics, as is whatever is out of the
ordinary, and the last step before `max_iter`; a fit that has converged ends at the last point that was looked at.
"""

from __future__ import annotations

import math

from ..kernels import COMMON_AXES, COMMON_SHAPE
from ..model.frames import LEAST_FEATURES, Frame, frame_of
from ..model.parameters import Parameters
from ..model.pools import Pools
from ..model.structure import Structure
from ..sources.complete import CompleteSource
from ..sources.passes import GROUP_WORK, work_per_row
from ..sources.source import Source
from .mstep import MaximumLikelihood, MStep
from .settings import Settings

KINDS = {"VEE": COMMON_SHAPE, "EVE": COMMON_AXES, "VVE": COMMON_AXES}
GAIN = 2  # part of the multiply-adds that few sums have to save: they may take more steps
EXACT = "EEI"  # whose M-step needs no more
WAIT = 8  # steps made in full where few sums were not enough


class FullSteps:
    """Every step is made from full statistics."""

    lean = False  # whether there may be others
    doubtful = False  # whether the last M-step may have lowered the objective

    def pools(self, parameters: Parameters, last: bool) -> Pools | None:
        """Sums from which the next parameters, not the `last` ones, were found; None asks for full statistics."""
        return None

    def maximized(self, parameters: Parameters) -> Parameters | None:
        """The next parameters, of those sums if there are any."""
        return None

    def taken_back(self) -> Parameters:
        """The parameters before the last M-step, which is to be made anew in full; asked for where that is doubtful."""
        raise NotImplementedError  # full steps never are


class FewSums(FullSteps):
    """Steps are made from few sums where that may be."""

    lean = True

    def __init__(self, source: CompleteSource, m_step: MaximumLikelihood) -> None:
        self.source, self.m_step = source, m_step
        self.in_full = 0  # how many steps are to be made in full
        self.patience = 1  # how many after the next step that is taken back
        self.found: tuple[Parameters, Frame] | None = None  # the next parameters, and their frame
        self.before: Parameters | None = None

    def pools(self, parameters: Parameters, last: bool) -> Pools | None:
        frame = self.found[1] if self.found is not None and self.found[0] is parameters else None
        self.found = None
        if self.in_full == 0 and not last:
            pools = self._pools(parameters, frame)
            if pools is not None:
                return pools
            self.in_full = WAIT
        self.in_full = max(self.in_full - 1, 0)
        return None

    def maximized(self, parameters: Parameters) -> Parameters | None:
        self.before = parameters
        self.doubtful = self.found is not None and self.m_step.structure.letters != EXACT
        return None if self.found is None else self.found[0]

    def taken_back(self) -> Parameters:
        assert self.before is not None
        self.doubtful, self.in_full = False, self.patience
        self.patience *= 2
        return self.before

    def _pools(self, parameters: Parameters, frame: Frame | None) -> Pools | None:
        """Few sums from which the next parameters were found; None where they are not enough."""
        structure, rows = self.m_step.structure, self.source
        frame = None if self.m_step.constraints else frame or frame_of(structure, parameters, rows.dtype)
        if frame is None:
            return None
        model = frame.kernel_model(structure, parameters, rows.dtype, rows.units, rows.origin, pooled=True)
        if model is None:
            return None
        pools = Pools.of(structure, parameters, frame, model, rows.sums(model), rows.total)
        found = pools.maximized(self.m_step.regularization) if math.isfinite(pools.log_likelihood) else None
        if found is None or not self.m_step.accepts(pools, found[0]):
            return None
        self.found = found
        return pools


def steps_of(source: Source, m_step: MStep, settings: Settings, parameters: Parameters) -> FullSteps:
    """The steps of a fit."""
    structure, (n_components, n_features) = m_step.structure, parameters.means.shape
    if (
        settings.acceleration is None
        and structure.compiled
        and isinstance(source, CompleteSource)
        and type(m_step) is MaximumLikelihood
        and source.work(structure, n_components) >= GROUP_WORK  # more than whole fits take
        and saves(structure, n_features, n_components)
    ):
        return FewSums(source, m_step)
    return FullSteps()


def saves(structure: Structure, n_features: int, n_components: int) -> bool:
    """Whether few sums are faster."""
    if structure.letters == EXACT:
        return n_features >= LEAST_FEATURES
    if structure.letters not in KINDS or n_features < LEAST_FEATURES:
        return False
    few, full = (work_per_row(kind, n_features, n_components) for kind in (KINDS[structure.letters], structure.kind))
    return GAIN * few <= full
