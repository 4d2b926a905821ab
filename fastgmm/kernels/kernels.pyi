"""The functions of every variant (_base, _v3, _v4); the meaning of the arguments stands in kernels.pyx."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]  # float32 or float64, the same for all arguments of a call

TRIANGULAR: int
DIAGONAL: int
COMMON_FRAME: int
COMMON_SHAPE: int
COMMON_AXES: int

def n_sums(kind: int, n_features: int, n_components: int) -> int: ...
def workspace_size(
    kind: int, n_features: int, n_components: int, accumulating: bool, choosing: bool, itemsize: int
) -> int: ...
def pack(factors: NDArray[np.float64], packed: NDArray[np.float64]) -> None: ...
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
    choosing: bool,
    out: NDArray[np.float64],
) -> int: ...
def pruned_size(n_features: int, n_components: int, itemsize: int, n_rows: int) -> tuple[int, int]: ...
def accumulate_pruned(
    X: Rows,
    labels: NDArray[np.uint16],
    bins: NDArray[np.uint8],
    order: NDArray[np.int32],
    codes: NDArray[np.uint8] | None,
    moved: NDArray[np.float32],
    start: int,
    stop: int,
    sorting: bool,
    weights: Rows | None,
    kind: int,
    offsets: Rows,
    centers: Rows,
    center_rounding: Rows,
    factors: Rows,
    origin: NDArray[np.float64],
    whitener: NDArray[np.float64],
    workspace: Rows,
    scratch: NDArray[np.int32],
    out: NDArray[np.float64],
) -> tuple[int, int]: ...
def drifts(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    means_before: NDArray[np.float64],
    means_after: NDArray[np.float64],
    scratch: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None: ...
def n_codes(n_rows: int, n_components: int) -> int: ...
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
    choosing: bool,
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
def within_axes(
    matrices: NDArray[np.float64], axes: NDArray[np.float64], workspace: NDArray[np.float64], out: NDArray[np.float64]
) -> None: ...
def along_common_axes(
    variances: NDArray[np.float64], axes: NDArray[np.float64], workspace: NDArray[np.float64], out: NDArray[np.float64]
) -> None: ...
def invert(factors: NDArray[np.float64], workspace: NDArray[np.float64], out: NDArray[np.float64]) -> None: ...
def describe_mixture(
    kind: int,
    triangular: bool,
    shared: bool,
    weights: NDArray[np.float64],
    log_weights: NDArray[np.float64] | None,
    means: NDArray[np.float64],
    factors: NDArray[np.float64],
    units: NDArray[np.float64] | None,
    origin: NDArray[np.float64],
    offsets: Rows,
    centers: Rows,
    center_rounding: Rows,
    scales: Rows,
    whitener: NDArray[np.float64],
) -> None: ...
def moments_of(
    kind: int,
    triangular: bool,
    shared: bool,
    sums: NDArray[np.float64],
    means: NDArray[np.float64],
    factors: NDArray[np.float64],
    centers: Rows,
    origin: NDArray[np.float64],
    scatter: NDArray[np.float64] | None,
    largest_ratio: float,
    workspace: NDArray[np.float64],
    counts: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
) -> bool: ...
def maximize(
    triangular: bool,
    shared: bool,
    counts: NDArray[np.float64],
    sums: NDArray[np.float64],
    scatters: NDArray[np.float64],
    reference: NDArray[np.float64],
    least: float,
    added: NDArray[np.float64],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
) -> None: ...
def constraint_size(sharing: int, axes: int, triangular: bool, n_features: int, n_components: int) -> int: ...
def constrain_covariances(
    sharing: int,
    axes: int,
    triangular: bool,
    weights: NDArray[np.float64],
    common: NDArray[np.float64] | None,
    n_features: int,
    workspace: NDArray[np.float64],
    covariances: NDArray[np.float64],
) -> bool: ...
def axes_of(matrices: NDArray[np.float64], axes: NDArray[np.float64], variances: NDArray[np.float64]) -> None: ...
def maximize_conjugate(
    triangular: bool,
    shared: bool,
    counts: NDArray[np.float64],
    sums: NDArray[np.float64],
    scatters: NDArray[np.float64],
    reference: NDArray[np.float64],
    least: float,
    added: NDArray[np.float64],
    mean_precision: float,
    degrees: float,
    per_row: float,
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    workspace: NDArray[np.float64],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    own_degrees: NDArray[np.float64],
) -> None: ...
def prior_log_density(
    triangular: bool,
    shared: bool,
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    factors: NDArray[np.float64],
    units: NDArray[np.float64] | None,
    log_det_scale: float,
    numbers: NDArray[np.float64],
) -> float: ...
def variational_log_weights(
    shared: bool,
    n_features: int,
    weights: NDArray[np.float64],
    numbers: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None: ...
def variational_bound(
    triangular: bool,
    shared: bool,
    log_likelihood: float,
    log_weights: NDArray[np.float64],
    read: NDArray[np.float64],
    counts: NDArray[np.float64],
    scatters: NDArray[np.float64],
    weights: NDArray[np.float64],
    factors: NDArray[np.float64],
    units: NDArray[np.float64],
    numbers: NDArray[np.float64],
) -> float: ...
def rounding(
    means: NDArray[np.float64],
    origin: NDArray[np.float64] | None,
    least: NDArray[np.float64],
    of_mean: float,
    of_frame: float,
    out: NDArray[np.float64],
) -> None: ...
def rounding_part(
    triangular: bool,
    shared: bool,
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    factors: NDArray[np.float64],
    origin: NDArray[np.float64] | None,
    least: NDArray[np.float64],
    of_mean: float,
    of_frame: float,
    of_deviation: float,
) -> float: ...
def iterations_size(
    kind: int, triangular: bool, sharing: int, axes: int, n_features: int, n_components: int
) -> tuple[int, int]: ...
def iterate_em(
    X: Rows,
    row_weights: Rows | None,
    kind: int,
    triangular: bool,
    shared: bool,
    units: NDArray[np.float64],
    origin: NDArray[np.float64] | None,
    scatter: NDArray[np.float64] | None,
    total: float,
    largest_ratio: float,
    least: float,
    empty: float,
    added: NDArray[np.float64],
    frame: NDArray[np.float64] | None,
    least_deviation: NDArray[np.float64],
    of_mean: float,
    of_frame: float,
    of_deviation: float,
    penalty: NDArray[np.float64] | None,
    log_det_scale: float,
    variational: NDArray[np.float64] | None,
    sharing: int,
    constrained_axes: int,
    equal: bool,
    tol: float,
    bound: float,
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    factors: NDArray[np.float64],
    axes: NDArray[np.float64] | None,
    workspace: Rows,
    model: Rows,
    scratch: NDArray[np.float64],
    bounds: NDArray[np.float64],
) -> tuple[int, int, float]: ...
def locate_sample(X: Rows, apart: int, origin: NDArray[np.float64], units: NDArray[np.float64]) -> None: ...
def tables_sizes(
    kind: int,
    triangular: bool,
    shared: bool,
    sharing: int,
    axes: int,
    n_features: int,
    n_components: int,
    n_trials: int,
    n_rows: int,
    itemsize: int,
) -> tuple[int, int]: ...
def fit_tables(
    X: Rows,
    weights: Rows | None,
    spans: NDArray[np.intp],
    totals: NDArray[np.float64],
    draws: NDArray[np.float64],
    which: NDArray[np.intp],
    n_components: int,
    kind: int,
    triangular: bool,
    shared: bool,
    sharing: int,
    axes: int,
    equal: bool,
    limits: NDArray[np.float64],
    added: NDArray[np.float64],
    memory: NDArray[np.float64],
    numbers: Rows,
    places: NDArray[np.float64],
    parameters: NDArray[np.float64],
    bounds: NDArray[np.float64],
    n_iter: NDArray[np.intp],
    ended: NDArray[np.intp],
) -> float: ...
def posterior_tables_size(kind: int, triangular: bool, n_features: int, n_components: int, itemsize: int) -> int: ...
def posterior_tables(
    X: Rows,
    spans: NDArray[np.intp],
    kind: int,
    triangular: bool,
    shared: bool,
    n_components: NDArray[np.intp],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    factors: NDArray[np.float64],
    origins: NDArray[np.float64],
    numbers: Rows,
    whitener: NDArray[np.float64],
    units: NDArray[np.float64],
    log_likelihoods: Rows | None,
    responsibilities: Rows | None,
    labels: NDArray[np.int64] | None,
    n_far: NDArray[np.intp],
) -> None: ...
def seeds(
    X: Rows,
    weights: Rows | None,
    origin: NDArray[np.float64],
    uniforms: NDArray[np.float64],
    workspace: Rows,
    scratch: Rows,
    cumulative: NDArray[np.float64],
    trial: NDArray[np.intp],
    chosen: NDArray[np.intp],
) -> None: ...
def lloyd(
    X: Rows,
    weights: Rows | None,
    origin: NDArray[np.float64],
    least: float,
    nothing: float,
    most: int,
    workspace: Rows,
    about: Rows,
    sums: NDArray[np.float64],
    centers: NDArray[np.float64],
) -> int: ...
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
    beside: NDArray[np.float64],
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
    beside: NDArray[np.float64],
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
    beside: NDArray[np.float64],
    scratch: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
    normals: NDArray[np.float64] | None,
    out: Rows,
    deviations: Rows | None,
) -> None: ...
def bounds_of_box(
    X: Rows, offsets: Rows, centers: Rows, center_rounding: Rows, factors: Rows, workspace: Rows, upper: Rows
) -> float: ...
def vector_exp(x: Rows, out: Rows) -> None: ...
def vector_log(x: Rows, out: Rows) -> None: ...
