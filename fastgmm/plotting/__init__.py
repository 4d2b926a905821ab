"""Pictures of a fitted mixture; matplotlib is imported only when one is drawn."""

from .components import ComponentsDisplay, PairsDisplay, plot_components
from .curves import ConvergenceDisplay, CriterionDisplay
from .density import DensityDisplay
from .marginals import marginal_covariances
from .style import COLORS, MARKERS, MAX_POINTS

__all__ = [
    "COLORS",
    "MARKERS",
    "MAX_POINTS",
    "ComponentsDisplay",
    "ConvergenceDisplay",
    "CriterionDisplay",
    "DensityDisplay",
    "PairsDisplay",
    "marginal_covariances",
    "plot_components",
]
