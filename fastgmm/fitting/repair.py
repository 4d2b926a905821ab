"""Degenerate components: when one is empty or collapsed, and what takes its place."""

import math
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np

from .. import kernels
from ..model.cached import cached
from ..model.factors import IllDefinedCovariance
from ..model.parameters import Parameters
from ..model.pools import Pools
from ..model.spread import check_squares, constant
from ..model.statistics import Statistics
from ..model.steps import Totals, flat
from ..model.structure import Structure
from ..model.units import Units

EPS = float(np.finfo(np.float64).eps)
EMPTY = 1e3  # times the machine epsilon of the rows: a component of fewer rows is empty
RIDGE = 1e-6  # a repaired variance, relative to the component's own or to that of all rows; also `reg_covar="auto"`
ROUNDING = 4.0  # roundoffs of the mean that a standard deviation must exceed to be more than noise
RAISED = f"variances raised to at least {RIDGE:g} of its own, or of the usual ones where it had none"
OF_SPREAD = f"variances raised to at least {RIDGE:g} of the usual ones"

# Standard deviations whose precision float64 holds, or whose squares float32 holds in units of all rows, with room.
LEAST_FLOAT64, LEAST_FLOAT32 = (1e3 / math.sqrt(np.finfo(dtype).max) for dtype in (np.float64, np.float32))
LEAST_PRECISE = 3 / math.sqrt(np.finfo(np.float32).max)  # a deviation whose precision float32 holds
RIDGES = (1e-12, 1e-9, 1e-6)  # parts of the largest variance by which matrices are raised that no structure has

Constraints = dict[int | None, np.ndarray]  # scales of components held to least variances; None: the one that all share


class Repair(NamedTuple):
    """A repair of a component after an M-step.

    Attributes
    ----------
    iteration : int
        Number of the M-step, from 1; 0 is the one that turns the first responsibilities into parameters.
    component : int or None
        Number of the component, from 0; None for the covariance that all share.
    problem : str
        'empty' or 'collapsed to rounding'.
    remedy : str
        What was done about it.
    """

    iteration: int
    component: int | None
    problem: str
    remedy: str


class Repaired(NamedTuple):
    """An M-step with repairs: its parameters, the repairs, and the constraints that hold from now on."""

    parameters: Parameters
    repairs: list[Repair]
    constraints: Constraints


def rounding_parts(resolution: float, n_features: int) -> tuple[float, float, float]:
    """What parts of a mean, of its distance from a common origin, and of a standard deviation are rounding."""
    of_deviation = math.sqrt(max(100 * n_features * EPS, (ROUNDING * resolution) ** 2))
    return ROUNDING * EPS, ROUNDING * resolution, of_deviation


class Rows(Totals, Protocol):
    """The size and the spread of all rows: a source, or statistics of it."""

    @property
    def units(self) -> Units:
        """Powers of two near the spread of each feature."""

    @property
    def total(self) -> float:
        """Number of rows, or the sum of their weights."""

    @property
    def weight_unit(self) -> float:
        """What a row of weight one stands for."""

    @property
    def dtype(self) -> np.dtype:
        """Their type."""

    def moments(self, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance of all rows, as `structure` has that of one component."""


class Degeneracy:
    """Tells degenerate components of a structure from sound ones, and repairs them.

    * An empty component keeps its mean and its covariance, and hardly any weight: the likelihood does not notice. At
      the start, where it has neither, it gets the weight of one row and the spread of all.
    * A collapsed component (on a point, a line, repeated rows, fewer rows than features) gets the most likely
      covariance among those whose variance is nowhere below `RIDGE` times its scale: eigenvalues, with features in
      units of the scale, are clipped from below. The scale of a feature is the component's own variance; where it has
      none, the median of the others'; where they have none, that of all rows. From then on the component stays under
      this constraint (in the manner of Hathaway), under which the likelihood is bounded and EM never lowers it. The
      start alone does not bind: there a component may be a single row.

    Under a bound on the ratio of variances a component collapses only where all do; the variances of all are then at
    least `RIDGE` times those of all rows.

    Both use nothing but the statistics and the spread of all rows, so they serve every source. Other libraries hold
    (Armadillo), clip eigenvalues (mlpack), give up (mclust) or raise (scikit-learn, what `degenerate="raise"` does).

    References
    ----------
    R. J. Hathaway. A constrained formulation of maximum-likelihood estimation for normal mixture distributions. Annals
    of Statistics 13(2), 1985.

    S. Ingrassia. A likelihood-based constrained algorithm for multivariate normal mixture models. Statistical Methods
    and Applications 13, 2004.
    """

    def __init__(self, rows: Rows, structure: Structure) -> None:
        self.rows = rows
        self.structure = structure

    @cached
    def spread(self) -> np.ndarray:
        """Variance of all rows along each feature (D,); of a constant one, that of a thousandth of its value, or 1."""
        origin = self.rows.origin
        variances = self.structure.squares(self.rows) / self.rows.total
        dtype = np.dtype(self.rows.dtype)
        check_squares(variances, origin, dtype)
        least, typical = LEAST_FLOAT64**2, (1e-3 * origin) ** 2
        varies = ~constant(np.sqrt(variances), origin) & (variances > least)
        return np.where(varies, variances, np.where(typical > least, typical, 1.0))

    def nondegenerate(self, statistics: Statistics | Pools, parameters: Parameters) -> bool:
        """Whether no component is empty or collapsed."""
        resolution = statistics.resolution
        filled = np.minimum.reduce(statistics.counts) > EMPTY * resolution
        return bool(filled) and self._above_rounding(parameters, resolution)

    def repaired(
        self,
        statistics: Statistics,
        previous: Parameters | None,
        iteration: int,
        reg_covar: float | np.ndarray,
        constraints: Constraints,
    ) -> Repaired:
        """The M-step component by component; `previous` are the parameters the statistics were taken under."""
        if not all(np.isfinite(part).all() for part in (statistics.counts, statistics.sums, statistics.scatters)):
            self.refuse(statistics)
        structure, resolution = self.structure, statistics.resolution
        weights, means, covariances = structure.estimate(statistics, reg_covar)
        repairs: list[Repair] = []
        empty = statistics.counts <= EMPTY * resolution
        for k in np.flatnonzero(empty):
            means[k] = statistics.reference[k]
            if previous is None:
                weights[k] = 1 / statistics.n_samples
                remedy = "given the weight of one row and the spread of all"
            else:
                remedy = "held as it was"
            if not structure.shared:
                covariances[k] = self._held(previous, int(k))
            repairs.append(Repair(iteration, int(k), "empty", remedy))
        weights /= weights.sum()
        parts = [slice(None)] if structure.shared else [slice(k, k + 1) for k in np.flatnonzero(~empty)]
        candidate = weights, means, covariances, statistics.axes
        sound = structure.restricted and self.acceptable(candidate, resolution, constrained=True)
        if sound and not constraints:  # the constraint may make up for what a component lacks
            found = structure.beside_noise(structure.constrained(*candidate), statistics)
            return Repaired(found, repairs, constraints)
        if structure.bound is not None and structure.bound.deviations.all():  # all components have collapsed
            collapsed = [None if structure.shared else int(part.start) for part in parts]
            repairs += [Repair(iteration, k, "collapsed to rounding", OF_SPREAD) for k in collapsed if not sound]
            if previous is not None:
                constraints = dict.fromkeys(collapsed, np.array(RIDGE))
            held = structure.but(bound=structure.bound._replace(least=RIDGE))
            found = structure.beside_noise(held.constrained(*candidate), statistics)
            return Repaired(found, repairs, constraints)
        scales, constraints = self._scales(covariances, means, resolution), dict(constraints)
        for part in parts:
            which = None if structure.shared else int(part.start)
            scale = constraints.get(which)
            if scale is None:
                if self.acceptable((weights[part], means[part], covariances[part]), resolution):
                    continue
                scale = scales[which or 0]
                if previous is not None:
                    constraints[which] = scale
            raised = self._clip_eigenvalues(covariances[part], scale)
            if raised is not None:
                covariances[part] = raised
                repairs.append(Repair(iteration, which, "collapsed to rounding", RAISED))
        found = self._constrained(weights, means, covariances, statistics.axes)
        if structure.constraint is not None and previous is not None:
            found = self._likelier(statistics, found, previous)
        return Repaired(structure.beside_noise(found, statistics), repairs, constraints)

    def _constrained(
        self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, axes: np.ndarray | None
    ) -> Parameters:
        """Parameters of the structure; matrices are rounder where what it makes of them is singular to rounding."""
        structure, rounder = self.structure, covariances
        for ridge in RIDGES if structure.constraint is not None else ():
            try:
                return structure.constrained(weights, means, rounder, axes)
            except IllDefinedCovariance:
                raised = ridge * structure.diagonals(covariances).max(axis=1, keepdims=True)
                rounder = covariances + structure.uncorrelated(np.broadcast_to(raised, means.shape))
        return structure.constrained(weights, means, rounder, axes)

    def _likelier(self, statistics: Statistics, found: Parameters, previous: Parameters) -> Parameters:
        """Weights and means found, with the covariances found or those before: clipping may undo an M-step."""
        same = replace(
            found,
            covariances=previous.covariances,
            precisions_cholesky=previous.precisions_cholesky,
            axes=previous.axes,
        )
        values = [self.structure.expected_log_joint(candidate, statistics) for candidate in (found, same)]
        return same if values[1] > values[0] else found

    def _noise(self, means: np.ndarray, resolution: float) -> np.ndarray:
        """Standard deviations (K, D) that are no more than rounding, or whose precision the rows' type cannot hold."""
        out = np.empty(means.shape)
        kernels.CHOSEN.rounding(np.ascontiguousarray(means), *self.rounding(resolution)[:4], out)
        return out

    def rounding(self, resolution: float) -> tuple[np.ndarray | None, np.ndarray, float, float, float]:
        """Where rounding comes from, as the kernels take it: a common frame, the type of rows, means, deviations."""
        least = self._least_float32 if resolution > EPS else self._least_float64
        origin = self.rows.origin if self.structure.common_frame else None
        return origin, least, *rounding_parts(resolution, len(least))

    @cached
    def _least_float64(self) -> np.ndarray:
        return np.full(len(self.rows.origin), LEAST_FLOAT64)

    @cached
    def _least_float32(self) -> np.ndarray:
        least = LEAST_FLOAT32 * self.rows.units.sizes
        return least if self.structure.constraint is None else np.maximum(least, LEAST_PRECISE)

    def _above_rounding(self, parameters: Parameters, resolution: float) -> bool:
        """Whether variances exceed rounding, along each feature and given the features before it."""
        structure, means = self.structure, np.ascontiguousarray(parameters.means)
        arrays = means, flat(parameters.covariances), flat(parameters.precisions_cholesky)
        how = self.rounding(resolution)
        part: float = kernels.CHOSEN.rounding_part(structure.triangular, structure.shared, *arrays, *how)
        return part < 1

    def refuse(self, statistics: Statistics) -> NoReturn:
        """Refuse rows, and parameters to start from, whose statistics overflow."""
        _ = self.spread  # refuses rows that are too large
        if math.isfinite(statistics.log_likelihood):
            remedy = ", or pass float64 rows" if statistics.resolution > EPS else ""
            raise ValueError(
                "The rows are too far apart to be fitted: in units of the usual distance squares of the largest "
                f"overflow in {self.rows.dtype}. Drop outliers{remedy}."
            )
        raise ValueError(
            f"Some row has no density at all (log-likelihood {statistics.log_likelihood:g}): it lies too many standard "
            "deviations from every mean. Drop outliers, divide each column by its standard deviation, or start with "
            "means among the rows and smaller precisions."
        )

    def acceptable(self, candidate: tuple[Any, ...], resolution: float, *, constrained: bool = False) -> bool:
        """Whether weights, means and covariances of one component, or of all, have factors above rounding."""
        make = self.structure.constrained if constrained else self.structure.from_covariances
        try:
            return self._above_rounding(make(*candidate), resolution)
        except IllDefinedCovariance:
            return False

    def all_above_rounding(self, covariances: np.ndarray) -> bool:
        """Whether covariances of components of the rows, (n, ...), are regular beyond rounding of the rows."""
        means = np.broadcast_to(self.rows.origin, (1, len(self.rows.origin)))
        resolution = float(np.finfo(self.rows.dtype).eps)
        return all(self.acceptable((np.ones(1), means, one[None]), resolution) for one in covariances)

    def _held(self, previous: Parameters | None, k: int) -> np.ndarray:
        """The covariance of an empty component: as it was, or at the start the spread of all rows."""
        structure = self.structure
        if previous is None:
            return structure.uncorrelated(self.spread[None])[0]
        return structure.invert_factors(structure.components(previous.precisions_cholesky, np.array([k])))[0]

    def _scales(self, covariances: np.ndarray, means: np.ndarray, resolution: float) -> np.ndarray:
        """Scales of the constraints, variances (K, D), or 1 where shared, all above rounding.

        A component's own; where that is rounding, the median of the others'; where they have none, that of all rows.
        """
        variances = self.structure.diagonals(covariances)
        least = 4 * self._noise(means, resolution) ** 2 / RIDGE
        for axis in (0, 1):
            if variances.shape[axis] < least.shape[axis]:
                least = least.max(axis=axis, keepdims=True)
        real = (variances > least) & np.isfinite(variances)
        some = real.any(axis=0)
        usual = np.nanmedian(np.where(real | ~some, variances, np.nan), axis=0)
        usual = np.where(some, usual, self.structure.per_feature(self.spread))
        return np.where(real, variances, np.maximum(usual, least))

    def _clip_eigenvalues(self, covariances: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        """The most likely covariance with no variance below `RIDGE` times the scale; None if that is the given one."""
        if not self.structure.triangular:
            raised = np.fmax(covariances, (RIDGE * scale).reshape(covariances.shape))
            return None if np.array_equal(raised, covariances) else raised
        scales = np.sqrt(scale[:, None]) * np.sqrt(scale)
        relative = covariances.reshape(scales.shape) / scales
        values, vectors = np.linalg.eigh(relative if np.isfinite(relative).all() else np.zeros_like(relative))
        if values.min() >= RIDGE:
            return None
        clipped = np.einsum("ij,j,kj->ik", vectors, np.maximum(values, RIDGE), vectors)
        return (scales * (clipped + clipped.T) / 2).reshape(covariances.shape)

    def proper(self, scale: np.ndarray) -> tuple[np.ndarray, list[Repair]]:
        """The scale of a prior, as of one component, raised where the rows leave it singular; and the repair."""
        own = scale if self.structure.shared else scale[None]
        if self.acceptable((np.ones(1), self.rows.origin[None], own), float(np.finfo(self.rows.dtype).eps)):
            return scale, []
        raised = self._clip_eigenvalues(own, self.structure.per_feature(self.spread))
        if raised is None:
            return scale, []
        return raised.reshape(scale.shape), [Repair(0, None, "singular as a prior", OF_SPREAD)]
