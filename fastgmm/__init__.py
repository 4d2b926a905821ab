"""Gaussian mixture models by EM: a compiled drop-in for scikit-learn's GaussianMixture."""

from .config import __version__, show_config
from .exceptions import ConvergenceWarning, DegenerateComponentWarning, NotFittedError
from .gaussian_mixture import GaussianMixture
from .model.statistics import Statistics
from .model_selection import Selection, select
from .sufficient import maximize, merge, statistics

__all__ = [
    "ConvergenceWarning",
    "DegenerateComponentWarning",
    "GaussianMixture",
    "NotFittedError",
    "Selection",
    "Statistics",
    "__version__",
    "maximize",
    "merge",
    "select",
    "show_config",
    "statistics",
]
