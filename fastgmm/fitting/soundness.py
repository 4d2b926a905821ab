"""Whether a fit is an optimum of the rows' own, or a spurious one, that a few rows or a repair make.

Likelihoods of mixtures are unbounded, and optima near the poles stand above honest ones. A fit is sound if nothing was
repaired once EM had begun, and if no component that has a volume of its own rests on hardly any rows: with a matrix of
its own no more than D + 2, from which on the predictive density of a further row of it has a variance. One component
alone has all rows there are, and one optimum.
"""

from ..model.parameters import Parameters
from ..model.structure import Structure
from ..sources.source import Source
from .mstep import MStep

LEAST_ROWS = 3  # of a component whose covariance is a volume, or a variance of each feature; one more than this
OF_OTHERS = 1e-3  # rows beyond whole ones, that rows far away and rounding add up to


def repaired(m_step: MStep) -> bool:
    """Whether EM has repaired a component after the start."""
    return any(repair.iteration > 0 for repair in m_step.repairs)


def sound(source: Source, m_step: MStep, parameters: Parameters) -> bool:
    """Whether a fit is an optimum of the rows' own."""
    return m_step.sound(parameters) and on_enough_rows(source, m_step, parameters)


def on_enough_rows(source: Source, m_step: MStep, parameters: Parameters) -> bool:
    """Whether no component with a volume of its own rests on hardly any rows."""
    few = 0 if m_step.proper or len(parameters.weights) == 1 else hardly_any(m_step.structure, source.n_features)
    return few == 0 or float(parameters.weights.min()) * effective_rows(source) > few


def hardly_any(structure: Structure, n_features: int) -> float:
    """How many rows are hardly any for a component; 0 where others or a bound hold its volume."""
    if structure.bound is not None or structure.shared or not structure.varies:
        return 0
    own_matrix = structure.triangular and structure.constraint is None
    return (n_features + 2 if own_matrix else LEAST_ROWS) + OF_OTHERS


def effective_rows(source: Source) -> float:
    """The number of rows; of weighted ones how many of equal weight say as much (Kish)."""
    if source.weights is None:
        return source.n_samples
    return source.total**2 / float((source.weights.astype(float) ** 2).sum())
