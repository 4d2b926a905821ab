"""The posterior predictive: mixtures of Student's t distributions, or of products of them, as the kernels read them."""

import math

import numpy as np

from ..kernels import DIAGONAL
from .kernel_model import KernelModel, Tails
from .posterior import of_gammas
from .special import log_gamma_ratio
from .structure import LOG_2_PI, Structure


def student(
    structure: Structure, model: KernelModel, mean_precision: np.ndarray, degrees_of_freedom: np.ndarray, exact: bool
) -> KernelModel:
    """The plug-in mixture of a posterior with the parameters integrated out (Bishop, equation 10.81)."""
    n_components, n_features = model.centers.shape
    gammas = of_gammas(structure, exact)
    apart = gammas and structure.kind == DIAGONAL and n_features > 1  # a variance of its own for each feature
    nu = np.broadcast_to(degrees_of_freedom, n_components)
    degrees = nu if gammas else nu + 1 - n_features
    shrunk = mean_precision / (1 + mean_precision) * (degrees / nu)  # of squared whitened distances
    width = 1 if apart else n_features
    half = 0.5 * degrees
    normalizers = log_gamma_ratio(half, 0.5 * width) - 0.5 * width * np.log(math.pi * degrees)
    normalizers = normalizers * (n_features // width) + 0.5 * n_features * (np.log(shrunk) + LOG_2_PI)
    scales = np.sqrt(shrunk)
    factors = model.factors.reshape(n_components, -1) * scales[:, None]
    rounding = model.center_rounding
    tails = np.stack([model.offsets + normalizers, half + 0.5 * width, degrees])
    dtype = model.factors.dtype
    return model._replace(
        offsets=np.zeros_like(model.offsets),
        factors=factors.astype(dtype).ravel(),
        center_rounding=(rounding * scales[:, None]).astype(dtype) if rounding.size else rounding,
        tails=Tails(tails.astype(dtype), apart),
    )
