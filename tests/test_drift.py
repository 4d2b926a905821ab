"""What passes find of distances, while components move: bounds that hold, and nothing lost by them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from problems import DTYPES
from pruned import ROUNDOFF, close, dense_sums, log_joint, model_of, problem

from fastgmm import kernels
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import FULL
from fastgmm.sources.pruning import LONGEST_CYCLE, Motion, drifts


def moved(parameters: Parameters, size: float, seed: int) -> Parameters:
    """Parameters that have moved by a part of their size; some components by much more."""
    rng = np.random.default_rng(seed)
    k, d = parameters.means.shape
    sizes = size * np.where(rng.random((k, 1, 1)) < 0.1, 30.0, 1.0)
    turn = np.eye(d) + sizes * rng.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = np.einsum("kij,kjl,kml->kim", turn, parameters.covariances, turn)
    means = parameters.means + sizes[:, 0] * rng.normal(size=(k, d))
    return FULL.from_covariances(parameters.weights, means, covariances)


@pytest.mark.parametrize("d", [12, 23])
@pytest.mark.parametrize("size", [1e-9, 1e-4, 1e-2, 0.3])
def test_drifts_bound_what_distances_do(d: int, size: float) -> None:
    """Of any row: |y'| >= (|y| - shift) / stretch; and the stretch is not far from the largest singular value."""
    X, _, before = problem(200, d, 15, apart=20.0)
    after, out = moved(before, size, 1), np.empty((2, 15))
    arrays = before.precisions_cholesky, after.precisions_cholesky, before.means, after.means
    kernels.CHOSEN.drifts(*arrays, np.empty((2, d, d)), out)
    for k in range(15):
        own, other = (np.linalg.norm((X - p.means[k]) @ p.precisions_cholesky[k], axis=1) for p in (before, after))
        assert (other >= (own - out[1, k]) / out[0, k] - 1e-12 * other).all()
        ratio = np.linalg.svd(before.precisions_cholesky[k].T @ np.linalg.inv(after.precisions_cholesky[k].T))[1][0]
        assert ratio - 1e-12 <= out[0, k] <= 1 + 3 * np.sqrt(d) * max(ratio**2 - 1, 1e-7)
        shift = before.precisions_cholesky[k].T @ (after.means[k] - before.means[k])
        assert np.isclose(out[1, k], np.linalg.norm(shift), rtol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0.0, 1e-3, 3e-2, 0.3])
@pytest.mark.parametrize("k", [20, 270])
def test_codes_hold_while_components_move(k: int, size: float, dtype: str) -> None:
    """Sums are those of the dense pass, no pair is lost, and no row is nearer than its code says."""
    X, labels, parameters = problem(9000 // k, 13, k, apart=25.0, dtype=dtype)
    numbers, n_scratch = kernels.CHOSEN.pruned_size(kernels.TRIANGULAR, 13, k, X.itemsize, len(X))
    workspace = np.empty(numbers, dtype), np.empty(n_scratch, np.int32)
    own = labels.astype(np.uint16), np.zeros(len(X), np.uint8), np.empty(len(X), np.int32)
    codes = np.zeros((kernels.CHOSEN.n_codes(len(X), k), k), np.uint8)
    motion, out, work, cycle = Motion(k), np.empty(kernels.CHOSEN.n_sums(kernels.TRIANGULAR, 13, k)), [], -1
    motion._length = LONGEST_CYCLE
    for step in range(4):
        motion.follow(parameters, partial(drifts, kernels.CHOSEN))
        sorting, cycle = cycle != motion.cycle, motion.cycle
        if sorting:
            codes[:] = 0
        model = model_of(X, parameters)
        found = kernels.CHOSEN.accumulate_pruned(
            X, *own, codes, motion.moved, 0, len(X), sorting, None, *model.arguments, *workspace, out
        )
        work.append(found[1])
        assert close(out, dense_sums(X, model), dtype)
        logs = log_joint(X, parameters)
        shares = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
        cut, blur = np.log(np.longdouble(ROUNDOFF[dtype]) / k), 1e-10 if dtype == "float64" else 1e-2
        assert (shares > cut + blur).sum() <= found[0] <= (shares > cut - blur).sum()
        offsets = np.log(parameters.weights) + np.log(
            np.diagonal(parameters.precisions_cholesky, axis1=1, axis2=2)
        ).sum(axis=1)
        distances = np.sqrt(2 * (offsets - logs).astype(np.float64))[own[2]]
        rows = -(-len(X) // len(codes))
        rows = 1 << (rows - 1).bit_length()
        nearest = np.array([distances[i : i + rows].min(axis=0) for i in range(0, len(X), rows)])
        known = motion.moved[0] * codes / 4 - motion.moved[1]
        assert (known <= nearest * (1 + 1e-5)).all()
        parameters = moved(parameters, size, step)
    if size < 0.01:
        assert motion.cycle == 0 and max(work[1:]) < 0.95 * work[0]
