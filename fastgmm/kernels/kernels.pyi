"""The functions of every variant (_base, _v3, _v4); the meaning of the arguments stands in kernels.pyx."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]  # float32 or float64, the same for all arguments of a call

TRIANGULAR: int
DIAGONAL: int
COMMON_FRAME: int

def n_sums(kind: int, n_features: int, n_components: int) -> int: ...
def workspace_size(kind: int, n_features: int, n_components: int, accumulating: bool, itemsize: int) -> int: ...
def pack(factors: Rows, packed: Rows) -> None: ...
def accumulate(
    X: Rows,
    responsibilities: Rows | None,
    labels: NDArray[np.int32] | None,
    weights: Rows | None,
    kind: int,
    offsets: Rows,
    centers: Rows,
    center_rounding: Rows,
    factors: Rows,
    origin: NDArray[np.float64],
    whitener: NDArray[np.float64],
    workspace: Rows,
    out: NDArray[np.float64],
) -> None: ...
def posterior(
    X: Rows,
    kind: int,
    offsets: Rows,
    centers: Rows,
    center_rounding: Rows,
    factors: Rows,
    origin: NDArray[np.float64],
    whitener: NDArray[np.float64],
    tails: Rows | None,
    apart: bool,
    workspace: Rows,
    log_likelihoods: Rows | None,
    responsibilities: Rows | None,
    labels: NDArray[np.int64] | None,
) -> int: ...
def all_finite(X: Rows) -> bool: ...
def assign(
    X: Rows,
    weights: Rows | None,
    centers: Rows,
    origin: NDArray[np.float64],
    workspace: Rows,
    labels: NDArray[np.int32],
    out: NDArray[np.float64],
) -> None: ...
def potentials(
    X: Rows,
    weights: Rows | None,
    candidates: Rows,
    origin: NDArray[np.float64],
    workspace: Rows,
    closest: Rows,
    update: bool,
    out: NDArray[np.float64],
) -> None: ...
def agglomerate(
    centers: NDArray[np.float64],
    sizes: NDArray[np.float64],
    scratch: NDArray[np.float64],
    order: NDArray[np.intp],
    absorbed: NDArray[np.intp],
    into: NDArray[np.intp],
    heights: NDArray[np.float64],
    first: int,
    last: int,
) -> None: ...
def algebra_size(n_features: int) -> int: ...
def factorize(
    covariances: NDArray[np.float64], workspace: NDArray[np.float64], precisions_cholesky: NDArray[np.float64]
) -> int: ...
def invert(factors: NDArray[np.float64], workspace: NDArray[np.float64], out: NDArray[np.float64]) -> None: ...
def unwhiten(
    sums: NDArray[np.float64],
    factors: NDArray[np.float64],
    workspace: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
) -> None: ...
def patterns_sizes(
    kind: int, n_features: int, n_components: int, accumulating: bool, itemsize: int
) -> tuple[int, int]: ...
def patterns_sums(kind: int, n_features: int, n_components: int) -> int: ...
def accumulate_patterns(
    X: Rows,
    order: NDArray[np.int32],
    starts: NDArray[np.intp],
    masks: NDArray[np.uint8],
    weights: Rows | None,
    kind: int,
    log_weights: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    workspace: Rows,
    scratch: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None: ...
def posterior_patterns(
    X: Rows,
    order: NDArray[np.int32],
    starts: NDArray[np.intp],
    masks: NDArray[np.uint8],
    kind: int,
    log_weights: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    workspace: Rows,
    scratch: NDArray[np.float64],
    log_likelihoods: Rows | None,
    responsibilities: Rows | None,
    labels: NDArray[np.int64] | None,
) -> int: ...
def impute_patterns(
    X: Rows,
    order: NDArray[np.int32],
    starts: NDArray[np.intp],
    masks: NDArray[np.uint8],
    kind: int,
    log_weights: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    scratch: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
    normals: NDArray[np.float64] | None,
    out: Rows,
    deviations: Rows | None,
) -> None: ...
def vector_exp(x: Rows, out: Rows) -> None: ...
def vector_log(x: Rows, out: Rows) -> None: ...
