"""Densities, responsibilities and labels of the rows of many tables under their own mixtures, in compiled calls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import kernels
from ..model.structure import Structure
from ..model.units import LOG_2

Array = np.ndarray


class Posteriors(NamedTuple):
    """Which tables need more care, and by how much log-likelihoods exceed those in the units of the data, (P,) each."""

    careful: Array
    log_volumes: Array


def posteriors(
    structure: Structure,
    X: Array,
    spans: Array,
    n_components: Array,
    parameters: tuple[Array, Array, Array],
    *,
    scores: Array | None = None,
    responsibilities: Array | None = None,
    labels: Array | None = None,
) -> Posteriors:
    """Fill what is wanted of the rows (N, D) of some tables.

    `parameters` are weights (P, K), means (P, K, D) and precision factors (P, ...), of which the first `n_components`
    (P,) are those of a table.
    """
    weights, means, factors = (np.ascontiguousarray(values.reshape(len(spans), -1)) for values in parameters)
    n_tables, n_features, k = len(spans), X.shape[1], weights.shape[1]
    size = kernels.CHOSEN.posterior_tables_size(structure.kind, structure.triangular, n_features, k, X.itemsize)
    triangle = n_features * (n_features + 1) // 2 if structure.shared else 1
    scratch, units, n_far = (
        (np.empty(size, X.dtype), np.empty(triangle)),
        np.ones((n_tables, n_features)),
        np.zeros(n_tables, np.intp),
    )
    how = structure.kind, structure.triangular, structure.shared, n_components.astype(np.intp, copy=False)
    origins = centers(parameters[0], parameters[1], n_components) if structure.common_frame else units
    mixtures, wanted = (weights, means, factors, origins), (scores, responsibilities, labels)
    kernels.CHOSEN.posterior_tables(X, spans, *how, *mixtures, *scratch, units, *wanted, n_far)
    return Posteriors(n_far != 0, LOG_2 * (np.frexp(units)[1].sum(axis=1) - n_features))


def centers(weights: Array, means: Array, n_components: Array) -> Array:
    """The mean of each mixture, (P, D), as `kernel_model.center` has it."""
    sums = np.cumsum(weights[:, :, None] * means, axis=1)
    last = np.maximum(n_components, 1)[:, None, None] - 1
    found: Array = np.take_along_axis(sums, last, axis=1)[:, 0]
    return found
