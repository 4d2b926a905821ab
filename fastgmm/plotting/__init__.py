"""Pictures of a fitted mixture; matplotlib is imported only when one is drawn.

For developers: pictures read public attributes and ask the `Structure` for dense covariances. They must not know
sources, fits or private parts of an estimator, and nothing but the command line and `plot` methods may know them.
"""

from .components import ComponentsDisplay, PairsDisplay, plot_components
from .curves import ConvergenceDisplay, CriterionDisplay
from .density import DensityDisplay
from .style import COLORS, MARKERS, MAX_POINTS
from .uncertainty import UncertaintyDisplay
from .view import marginal_covariances

__all__ = [
    "COLORS",
    "MARKERS",
    "MAX_POINTS",
    "ComponentsDisplay",
    "ConvergenceDisplay",
    "CriterionDisplay",
    "DensityDisplay",
    "PairsDisplay",
    "UncertaintyDisplay",
    "marginal_covariances",
    "plot_components",
]
