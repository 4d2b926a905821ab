"""Samples that have a share are packed into buffers: which of a block they are must not matter to the sums.

Numbers are small integers, so that sums are exact in any order, and one sample in the wrong place shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import DTYPES, VARIANTS

from fastgmm import kernels
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource

LANES = 16  # of the widest vector
Array = np.ndarray[Any, np.dtype[Any]]


def assert_sums_exact(variant: str, dtype: str, responsibilities: Array, n_features: int) -> None:
    """Counts, sums and scatters under these responsibilities, about zero, equal the products of matrices."""
    rng = np.random.default_rng(20)
    n, n_components = responsibilities.shape
    X = rng.integers(-3, 4, size=(n, n_features)).astype(dtype)
    weights = rng.integers(0, 3, size=n).astype(dtype)
    source = ArraySource(X, 1, kernels.load(variant), weights)
    zeros = np.zeros((n_components, n_features))
    got = source.statistics_given(STRUCTURES["full"], zeros, lambda rows: responsibilities[rows])
    r = responsibilities * weights[:, None].astype(float)
    np.testing.assert_array_equal(got.counts, r.sum(axis=0))
    np.testing.assert_array_equal(got.sums, r.T @ X.astype(float))
    np.testing.assert_array_equal(got.scatters, np.einsum("nk,ni,nj->kij", r, X.astype(float), X.astype(float)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_any_lanes_of_a_vector(variant: str, dtype: str) -> None:
    """Every choice out of eight lanes in a row, in the lower and in the upper half of a wide vector; none, and all."""
    masks = np.random.default_rng(21).permutation(256)
    lanes = (masks[:, None] >> np.arange(8)) & 1
    nothing = np.zeros_like(lanes)
    lower, upper = np.hstack([lanes, nothing]).ravel(), np.hstack([nothing, lanes]).ravel()
    shares = np.random.default_rng(22).integers(1, 4, size=len(lower))
    assert_sums_exact(
        variant,
        dtype,
        np.column_stack([lower * shares, upper * shares, np.zeros_like(shares), shares]).astype(float),
        5,
    )


@pytest.mark.parametrize("n_features", [1, 4, 9, 17])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_any_share_and_any_last_block(variant: str, dtype: str, n_features: int) -> None:
    """From one sample in a block to all but one, blocks that end in the middle of a vector, and buffers that fill."""
    rng = np.random.default_rng(23)
    for n in (1, LANES - 1, LANES + 1, 255, 257, 3001):
        parts = np.array([0.004, 0.1, 0.3, 0.49, 0.51, 0.9, 0.996])
        shares = rng.integers(1, 4, size=(n, len(parts)))
        assert_sums_exact(variant, dtype, np.where(rng.uniform(size=shares.shape) < parts, shares, 0.0), n_features)
