"""Gaussian mixture models by EM: a compiled drop-in for scikit-learn's GaussianMixture."""

try:
    from .config import __version__, show_config
except ImportError as error:  # a wrong FASTGMM_SIMD
    from .startup import refuse

    refuse(error)
from .em_steps import maximize, merge, statistics
from .exceptions import ConvergenceWarning, DegenerateComponentWarning, ModelFileError, NotFittedError
from .gaussian_mixture import GaussianMixture
from .model.statistics import Statistics
from .model_selection import select
from .selection import Selection

load = GaussianMixture.load

__all__ = [
    "ConvergenceWarning",
    "DegenerateComponentWarning",
    "GaussianMixture",
    "ModelFileError",
    "NotFittedError",
    "Selection",
    "Statistics",
    "__version__",
    "load",
    "maximize",
    "merge",
    "select",
    "show_config",
    "statistics",
]
