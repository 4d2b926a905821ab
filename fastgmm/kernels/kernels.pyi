"""The functions of every variant (_base, _v3, _v4); the meaning of the arguments stands in kernels.pyx."""

from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Rows = NDArray[Any]  # float32 or float64, the same for all arguments of a call

TRIANGULAR: int
DIAGONAL: int
COMMON_FRAME: int
COMMON_SHAPE: int
COMMON_AXES: int

@final
class Team:
    def __new__(cls, n_members: int) -> Self: ...
    def assist(self, workspace: Rows) -> None: ...
    def dismiss(self) -> None: ...

def n_sums(kind: int, n_features: int, n_components: int) -> int: ...
def workspace_size(
    kind: int, n_features: int, n_components: int, accumulating: bool, choosing: bool, itemsize: int
) -> int: ...
def pack(factors: Doubles, packed: Doubles) -> None: ...
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
    origin: Doubles,
    whitener: Doubles,
    workspace: Rows,
    choosing: bool,
    out: Doubles,
) -> int: ...
def pruned_size(kind: int, n_features: int, n_components: int, itemsize: int, n_rows: int) -> tuple[int, int]: ...
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
    origin: Doubles,
    whitener: Doubles,
    workspace: Rows,
    scratch: NDArray[np.int32],
    out: Doubles,
) -> tuple[int, int]: ...
def drifts(
    before: Doubles, after: Doubles, means_before: Doubles, means_after: Doubles, scratch: Doubles, out: Doubles
) -> None: ...
def n_codes(n_rows: int, n_components: int) -> int: ...
def posterior(
    X: Rows,
    kind: int,
    offsets: Rows,
    centers: Rows,
    center_rounding: Rows,
    factors: Rows,
    origin: Doubles,
    whitener: Doubles,
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
    origin: Doubles,
    workspace: Rows,
    labels: NDArray[np.int32],
    out: Doubles,
) -> None: ...
def potentials(
    X: Rows,
    weights: Rows | None,
    candidates: Rows,
    origin: Doubles,
    workspace: Rows,
    closest: Rows,
    update: bool,
    out: Doubles,
) -> None: ...
def agglomerate(
    centers: Doubles,
    sizes: Doubles,
    scratch: Doubles,
    order: NDArray[np.intp],
    absorbed: NDArray[np.intp],
    into: NDArray[np.intp],
    heights: Doubles,
    first: int,
    last: int,
) -> None: ...
def algebra_size(n_features: int) -> int: ...
def factorize(covariances: Doubles, workspace: Doubles, precisions_cholesky: Doubles) -> int: ...
def within_axes(matrices: Doubles, axes: Doubles, workspace: Doubles, out: Doubles) -> None: ...
def along_common_axes(variances: Doubles, axes: Doubles, workspace: Doubles, out: Doubles) -> None: ...
def invert(factors: Doubles, workspace: Doubles, out: Doubles) -> None: ...
def describe_mixture(
    kind: int,
    triangular: bool,
    shared: bool,
    weights: Doubles,
    log_weights: Doubles | None,
    means: Doubles,
    factors: Doubles,
    units: Doubles | None,
    origin: Doubles,
    offsets: Rows,
    centers: Rows,
    center_rounding: Rows,
    scales: Rows,
    whitener: Doubles,
) -> None: ...
def moments_of(
    kind: int,
    triangular: bool,
    shared: bool,
    sums: Doubles,
    means: Doubles,
    factors: Doubles,
    centers: Rows,
    origin: Doubles,
    scatter: Doubles | None,
    largest_ratio: float,
    workspace: Doubles,
    counts: Doubles,
    first: Doubles,
    second: Doubles,
) -> bool: ...
def maximize(
    triangular: bool,
    shared: bool,
    counts: Doubles,
    sums: Doubles,
    scatters: Doubles,
    reference: Doubles,
    least: float,
    added: Doubles,
    weights: Doubles,
    means: Doubles,
    covariances: Doubles,
) -> None: ...
def constraint_size(sharing: int, axes: int, triangular: bool, n_features: int, n_components: int) -> int: ...
def constrain_covariances(
    sharing: int,
    axes: int,
    triangular: bool,
    weights: Doubles,
    common: Doubles | None,
    n_features: int,
    workspace: Doubles,
    covariances: Doubles,
) -> bool: ...
def axes_of(matrices: Doubles, axes: Doubles, variances: Doubles) -> None: ...
def maximize_conjugate(
    triangular: bool,
    shared: bool,
    counts: Doubles,
    sums: Doubles,
    scatters: Doubles,
    reference: Doubles,
    least: float,
    added: Doubles,
    mean_precision: float,
    degrees: float,
    per_row: float,
    mean: Doubles,
    scale: Doubles,
    workspace: Doubles,
    weights: Doubles,
    means: Doubles,
    covariances: Doubles,
    own_degrees: Doubles,
) -> None: ...
def prior_log_density(
    triangular: bool,
    shared: bool,
    weights: Doubles,
    means: Doubles,
    factors: Doubles,
    units: Doubles | None,
    log_det_scale: float,
    numbers: Doubles,
) -> float: ...
def variational_log_weights(
    shared: bool, n_features: int, weights: Doubles, numbers: Doubles, out: Doubles
) -> None: ...
def variational_bound(
    triangular: bool,
    shared: bool,
    log_likelihood: float,
    log_weights: Doubles,
    read: Doubles,
    counts: Doubles,
    scatters: Doubles,
    weights: Doubles,
    factors: Doubles,
    units: Doubles,
    numbers: Doubles,
) -> float: ...
def rounding(
    means: Doubles, origin: Doubles | None, least: Doubles, of_mean: float, of_frame: float, out: Doubles
) -> None: ...
def rounding_part(
    triangular: bool,
    shared: bool,
    means: Doubles,
    covariances: Doubles,
    factors: Doubles,
    origin: Doubles | None,
    least: Doubles,
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
    units: Doubles,
    origin: Doubles | None,
    scatter: Doubles | None,
    total: float,
    largest_ratio: float,
    least: float,
    empty: float,
    added: Doubles,
    frame: Doubles | None,
    least_deviation: Doubles,
    of_mean: float,
    of_frame: float,
    of_deviation: float,
    penalty: Doubles | None,
    log_det_scale: float,
    variational: Doubles | None,
    sharing: int,
    constrained_axes: int,
    equal: bool,
    tol: float,
    bound: float,
    weights: Doubles,
    means: Doubles,
    covariances: Doubles,
    factors: Doubles,
    axes: Doubles | None,
    workspace: Rows,
    model: Rows,
    scratch: Doubles,
    choosing: bool,
    group_rows: int,
    parts: Doubles | None,
    team: Team | None,
    bounds: Doubles,
) -> tuple[int, int, float]: ...
def locate_sample(X: Rows, apart: int, origin: Doubles, units: Doubles) -> None: ...
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
    totals: Doubles,
    draws: Doubles,
    which: NDArray[np.intp],
    n_components: int,
    kind: int,
    triangular: bool,
    shared: bool,
    sharing: int,
    axes: int,
    equal: bool,
    limits: Doubles,
    added: Doubles,
    memory: Doubles,
    numbers: Rows,
    places: Doubles,
    parameters: Doubles,
    bounds: Doubles,
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
    weights: Doubles,
    means: Doubles,
    factors: Doubles,
    origins: Doubles,
    numbers: Rows,
    whitener: Doubles,
    units: Doubles,
    log_likelihoods: Rows | None,
    responsibilities: Rows | None,
    labels: NDArray[np.int64] | None,
    n_far: NDArray[np.intp],
) -> None: ...
def seeds(
    X: Rows,
    weights: Rows | None,
    origin: Doubles,
    uniforms: Doubles,
    workspace: Rows,
    scratch: Rows,
    cumulative: Doubles,
    trial: NDArray[np.intp],
    chosen: NDArray[np.intp],
) -> None: ...
def lloyd(
    X: Rows,
    weights: Rows | None,
    origin: Doubles,
    least: float,
    nothing: float,
    most: int,
    workspace: Rows,
    about: Rows,
    sums: Doubles,
    centers: Doubles,
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
    log_weights: Doubles,
    means: Doubles,
    covariances: Doubles,
    beside: Doubles,
    workspace: Rows,
    scratch: Doubles,
    out: Doubles,
) -> None: ...
def posterior_patterns(
    X: Rows,
    order: NDArray[np.int32],
    starts: NDArray[np.intp],
    masks: NDArray[np.uint8],
    kind: int,
    log_weights: Doubles,
    means: Doubles,
    covariances: Doubles,
    beside: Doubles,
    workspace: Rows,
    scratch: Doubles,
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
    log_weights: Doubles,
    means: Doubles,
    covariances: Doubles,
    beside: Doubles,
    scratch: Doubles,
    labels: NDArray[np.int64] | None,
    normals: Doubles | None,
    out: Rows,
    deviations: Rows | None,
) -> None: ...
def bounds_of_box(
    X: Rows, offsets: Rows, centers: Rows, center_rounding: Rows, factors: Rows, workspace: Rows, upper: Rows
) -> float: ...
def vector_exp(x: Rows, out: Rows) -> None: ...
def vector_log(x: Rows, out: Rows) -> None: ...
