"""Gaussian mixture models by EM: a compiled drop-in for scikit-learn's GaussianMixture."""

from .config import __version__, show_config
from .exceptions import ConvergenceWarning, DegenerateComponentWarning, ModelFileError, NotFittedError
from .gaussian_mixture import GaussianMixture

load = GaussianMixture.load

__all__ = [
    "ConvergenceWarning",
    "DegenerateComponentWarning",
    "GaussianMixture",
    "ModelFileError",
    "NotFittedError",
    "__version__",
    "load",
    "show_config",
]
