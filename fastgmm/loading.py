"""load: a mixture from a file, of whatever estimator."""

from __future__ import annotations

import os

from .bayesian_mixture import BayesianGaussianMixture
from .gaussian_mixture import GaussianMixture
from .mixture.persistence import loaded

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> GaussianMixture | BayesianGaussianMixture:
    """Load a mixture that ``save`` has saved.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    mixture : GaussianMixture or BayesianGaussianMixture
        As `GaussianMixture.load`, of the class that was saved.

    Raises
    ------
    ModelFileError, OSError
        As `GaussianMixture.load`.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastgmm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "mixture.npz")
    ...     fastgmm.BayesianGaussianMixture().fit([[0.0], [1.0]]).save(path)
    ...     fastgmm.load(path)
    BayesianGaussianMixture()
    """
    kinds = {"GaussianMixture": GaussianMixture, "BayesianGaussianMixture": BayesianGaussianMixture}
    found: GaussianMixture | BayesianGaussianMixture = loaded(path, kinds)
    return found
