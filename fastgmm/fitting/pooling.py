"""The two steps of an iteration: from full statistics, or from few sums where those would cost much more.

Structures with a common shape or common axes need no scatter of each component (model/pools.py), but a step from fewer
sums may lower the likelihood. It is then taken back, and made from full statistics, as is the first step of a fit, the
last one, and whatever is out of the ordinary.
"""

from __future__ import annotations

import math

from ..model.frames import Frame, frame_of
from ..model.parameters import Parameters
from ..model.pools import Pools
from ..sources.complete import CompleteSource
from ..sources.passes import GROUP_WORK
from ..sources.source import Source
from .mstep import MaximumLikelihood, MStep
from .settings import Settings

LEAST_FEATURES = {"EEI": 8, "VEI": 8, "VEE": 8, "EVE": 16, "VVE": 16}  # from which on few sums are faster
WAIT = 8  # steps made in full where few sums were not enough


class FullSteps:
    """Every step is made from full statistics."""

    doubtful = False  # whether the last M-step may have lowered the objective

    def pools(self, parameters: Parameters) -> Pools | None:
        """Sums of all rows under these parameters from which the next were found; None asks for full statistics."""
        return None

    def maximized(self, parameters: Parameters) -> Parameters | None:
        """The next parameters, of those sums if there are any."""
        return None

    def taken_back(self) -> Parameters:
        """The parameters before the last M-step, which is to be made anew in full."""
        raise NotImplementedError

    def settle(self) -> None:
        """Have the next step made in full."""


class FewSums(FullSteps):
    """Steps are made from few sums where that may be."""

    def __init__(self, source: CompleteSource, m_step: MaximumLikelihood, in_full: int) -> None:
        self.source, self.m_step = source, m_step
        self.in_full = in_full  # how many steps are to be made in full
        self.patience = 1  # how many after the next step that is taken back
        self.found: tuple[Parameters, Frame] | None = None  # the next parameters, and their frame
        self.before: Parameters | None = None

    def pools(self, parameters: Parameters) -> Pools | None:
        frame = self.found[1] if self.found is not None and self.found[0] is parameters else None
        self.found = None
        if self.in_full == 0:
            pools = self._pools(parameters, frame)
            if pools is not None:
                return pools
            self.in_full = WAIT
        self.in_full -= 1
        return None

    def maximized(self, parameters: Parameters) -> Parameters | None:
        self.doubtful, self.before = self.found is not None, parameters
        return None if self.found is None else self.found[0]

    def taken_back(self) -> Parameters:
        assert self.before is not None
        self.doubtful, self.in_full = False, self.patience
        self.patience *= 2
        return self.before

    def settle(self) -> None:
        self.in_full = max(self.in_full, 1)

    def _pools(self, parameters: Parameters, frame: Frame | None) -> Pools | None:
        """Few sums from which the next parameters were found; None where they are not enough."""
        structure, rows = self.m_step.structure, self.source
        frame = None if self.m_step.constraints else frame or frame_of(structure, parameters, rows.dtype)
        if frame is None:
            return None
        model = frame.kernel_model(structure, parameters, rows.dtype, rows.units, rows.origin, pooled=True)
        if model is None:
            return None
        pools = Pools.of(structure, parameters, frame, model, rows.sums(model).total, rows.total)
        found = pools.maximized(self.m_step.regularization) if math.isfinite(pools.log_likelihood) else None
        if found is None or not self.m_step.accepts(pools, found[0]):
            return None
        self.found = found
        return pools


def steps_of(source: Source, m_step: MStep, settings: Settings, parameters: Parameters, begun: bool) -> FullSteps:
    """The steps of a fit, which may have begun."""
    structure, (n_components, n_features) = m_step.structure, parameters.means.shape
    if (
        settings.acceleration is None
        and structure.compiled
        and n_features >= LEAST_FEATURES.get(structure.letters or "", math.inf)
        and isinstance(source, CompleteSource)
        and source.work(structure, n_components) >= GROUP_WORK  # more than whole fits take
        and type(m_step) is MaximumLikelihood
    ):
        return FewSums(source, m_step, 0 if begun else 1)
    return FullSteps()
