"""The M-step and the objective that it raises: what EM asks of one, and maximum likelihood."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol, Self

import numpy as np

from ..model import bound
from ..model.cached import cached
from ..model.factors import IllDefinedCovariance
from ..model.parameters import Parameters
from ..model.pools import Pools
from ..model.spread import constant
from ..model.statistics import Statistics
from ..model.structure import Structure
from ..sources.source import Source
from .noise import BesideNoise, Density
from .repair import EMPTY, LEAST_FLOAT64, RIDGE, Constraints, Degeneracy, Repair, Rows

FLOOR = 2.0  # times `reg_covar`: a smaller variance is more regularization than data


class Rules(NamedTuple):
    """What compiled iterations of maximum likelihood heed; see kernels/whole_fits.pxd."""

    least: float  # what is added to each count
    empty: float  # a component of so few rows is empty; negative where no component is repaired
    added: np.ndarray  # what is added to variances: a number, or one for each feature
    frame: np.ndarray | None  # where rounding comes from, as `Degeneracy.rounding` has it
    least_deviation: np.ndarray
    of_mean: float
    of_frame: float
    of_deviation: float
    offset: float  # by how much bounds exceed those that are shown, see `MStep.offset`
    penalty: np.ndarray | None = None  # a prior, see kernels/steps.pxi
    log_det_scale: float = 0.0
    variational: np.ndarray | None = None  # priors whose posterior is worked out


def least_counts(resolution: float, degenerate: str) -> tuple[float, float]:
    """`Rules.least` and `Rules.empty`."""
    return 10 * resolution, EMPTY * resolution if degenerate == "repair" else -1.0


class MStep(Protocol):
    """An M-step for some rows, and the objective that EM raises by it.

    In each iteration EM takes the statistics of the rows under `evaluated(parameters)`, asks for the `value` there, and
    goes on to what the M-step returns. Parameters are point values of weights, means and covariances, that may be
    reordered, merged or extrapolated on the way; a posterior is worked out from them and the prior when it is needed.

    Attributes
    ----------
    structure : Structure
    repairs : list of Repair
        What was repaired so far.
    constraints : dict
        Scales of components that are held to least variances; while there are any, no point is extrapolated.
    proper : bool
        Whether a proper prior says what components without rows are.
    """

    structure: Structure
    repairs: list[Repair]
    constraints: Constraints
    proper: bool

    @property
    def rows_summed(self) -> float:
        """How many rows the objective is a sum over; 1 where it is a mean."""

    @property
    def regularization(self) -> float | np.ndarray:
        """The regularization: a number added to every variance, or one for each feature."""

    def evaluated(self, parameters: Parameters) -> Parameters:
        """The parameters as the E-step reads them: the given ones, or with expectations of logarithms of weights."""

    def __call__(self, statistics: Statistics, previous: Parameters | None = None, iteration: int = 0) -> Parameters:
        """The next parameters; `previous` are those of the statistics, None for labels or given responsibilities."""

    def value(self, statistics: Statistics, parameters: Parameters) -> float:
        """The objective at the parameters of the statistics, per volume of their units; never lower at the next."""

    def reported(self, statistics: Statistics, before: Parameters, after: Parameters) -> float:
        """The lower bound of an iteration, by which fits are compared and convergence is judged, in the same units."""

    def offset(self, statistics: Statistics) -> float:
        """By how much that exceeds the bound that is shown, which is in the units of the data."""

    def equivalent(self, parameters: Parameters, n_samples: float, resolution: float) -> Statistics:
        """Statistics of so many rows of which the parameters are the M-step."""

    def arranged(self, parameters: Parameters) -> Parameters:
        """What to go on from after an M-step: the same, or with components in a better order, or with fewer."""

    def on(self, rows: Rows, constraints: Constraints | None = None) -> Self:
        """This M-step for other rows, with no repairs yet."""

    def rules(self, resolution: float, n_components: int) -> "Rules | None":
        """What compiled iterations of so many components heed, over rows of this resolution; None if they won't do."""

    def started(self, parameters: Parameters) -> Parameters:
        """A start that the user gives, with what the mixture has beside components."""

    def renumber(self, order: np.ndarray) -> None:
        """Take note that components have been put into another order."""

    def sound(self, parameters: Parameters) -> bool:
        """Whether the data, and neither regularization nor repairs, bound the objective at these parameters."""


MSteps = Callable[..., MStep]  # (rows, structure, constraints=): makes the M-step of each fit of an estimator


class MaximumLikelihood(BesideNoise):
    """Maximum likelihood, with regularized covariances; the objective is the mean log-likelihood.

    What `Structure.maximize` makes of healthy statistics is passed on as it is. Only where it fails, where a component
    has no rows left, or where a covariance is singular to rounding, components are repaired one by one
    (see `Degeneracy`), or with `degenerate="raise"` that is an error.
    """

    proper = False
    rows_summed = 1.0

    def __init__(
        self,
        rows: Rows,
        structure: Structure,
        reg_covar: float | str = 0.0,
        degenerate: str = "raise",
        constraints: Constraints | None = None,
        noise: Density = None,
    ) -> None:
        self.rows = rows
        self.structure = structure
        self.repairs: list[Repair] = []
        self.constraints: Constraints = dict(constraints or {})
        self.reg_covar, self.degenerate, self.density = reg_covar, degenerate, noise
        self._degeneracy = Degeneracy(rows, structure)

    def evaluated(self, parameters: Parameters) -> Parameters:
        return parameters

    def __call__(self, statistics: Statistics, previous: Parameters | None = None, iteration: int = 0) -> Parameters:
        statistics = self.beside_noise(statistics, previous)
        careful = self.degenerate == "repair"
        if previous is not None and not math.isfinite(statistics.log_likelihood):
            self._degeneracy.refuse(statistics)
        try:
            parameters = self.structure.maximize(statistics, self.regularization)
        except IllDefinedCovariance:
            if not careful:
                raise
        else:
            if self.accepts(statistics, parameters):
                return parameters
        found = self._degeneracy.repaired(statistics, previous, iteration, self.regularization, self.constraints)
        self.repairs += found.repairs
        self.constraints = found.constraints
        return found.parameters

    def accepts(self, statistics: Statistics | Pools, parameters: Parameters) -> bool:
        """Whether the next parameters need no repair."""
        careful = self.degenerate == "repair"
        return not careful or (not self.constraints and self._degeneracy.nondegenerate(statistics, parameters))

    def value(self, statistics: Statistics | Pools, parameters: Parameters) -> float:
        return statistics.mean_log_likelihood

    def reported(self, statistics: Statistics | Pools, before: Parameters, after: Parameters) -> float:
        return statistics.mean_log_likelihood

    def offset(self, statistics: Statistics | Pools) -> float:
        return statistics.log_volume

    def equivalent(self, parameters: Parameters, n_samples: float, resolution: float) -> Statistics:
        covariances = self.structure.regularize(parameters.covariances.copy(), -self.regularization)
        return self.structure.equivalent(replace(parameters, covariances=covariances), n_samples, resolution)

    def arranged(self, parameters: Parameters) -> Parameters:
        return parameters

    def on(self, rows: Rows, constraints: Constraints | None = None) -> Self:
        return type(self)(rows, self.structure, self.reg_covar, self.degenerate, constraints, self.known_density)

    def rules(self, resolution: float, n_components: int) -> Rules | None:
        if self.constraints or type(self) is not MaximumLikelihood:
            return None
        added = np.array(self.regularization, np.float64, ndmin=1)
        least, empty = least_counts(resolution, self.degenerate)
        return Rules(least, empty, added, *self._degeneracy.rounding(resolution), self.rows.units.log_volume)

    def renumber(self, order: np.ndarray) -> None:
        place = np.argsort(order)
        renamed = [r if r.component is None else r._replace(component=int(place[r.component])) for r in self.repairs]
        self.repairs[:] = renamed

    @cached
    def regularization(self) -> float | np.ndarray:
        """`reg_covar` as numbers."""
        return regularization(self.reg_covar, self._degeneracy)

    def sound(self, parameters: Parameters) -> bool:
        """Whether no repair holds a component, and no variance is hardly more than `reg_covar`.

        Where all rows together have no spread in some direction, a small variance says nothing of a component. Without
        matrices directions are those of the features.
        """
        if any(repair.iteration > 0 for repair in self.repairs):
            return False
        structure, reg_covar = self.structure, np.asarray(self.regularization, dtype=np.float64)
        own = self._own_covariances(parameters)
        covariances = parameters.covariances if own is None else np.concatenate([parameters.covariances, own])
        if not reg_covar.any():
            return own is None or self._degeneracy.all_above_rounding(own)
        if structure.triangular:
            smallest = smallest_variance(covariances, reg_covar)
            of_all = smallest_variance(self.rows.scatter / self.rows.total, reg_covar)
        else:
            smallest = float((structure.diagonals(covariances) / reg_covar).min())
            of_all = float((structure.per_feature(self.rows.squares / self.rows.total) / reg_covar).min())
        return not smallest <= FLOOR < of_all + 1

    def _own_covariances(self, parameters: Parameters) -> np.ndarray | None:
        """Covariances of components' rows under no constraint, where these bound the objective.

        A shape in common hides that the rows of a component lie on a line, while its volume is free to shrink; but the
        covariance of no more rows than features says nothing.
        """
        structure, rows = self.structure, self.rows
        if structure.constraint is None or not structure.varies or not isinstance(rows, Source):
            return None
        statistics = rows.statistics(structure, parameters)
        enough = statistics.counts * rows.weight_unit > parameters.means.shape[1]
        return structure.estimate(statistics, self.regularization)[2][enough]


def bounded(
    rows: Rows, structure: Structure, constraints: Constraints | None = None, *, covariance_ratio: float, of: MSteps
) -> MStep:
    """An M-step of variances of at most this ratio, with each feature in units of the deviation of all rows."""
    mean, covariance = rows.moments(structure)
    deviations = np.sqrt(structure.diagonals(covariance if structure.shared else covariance[None])[0])
    deviations = np.where(constant(deviations, mean), 0.0, deviations)
    return of(rows, bound.bounded(structure, covariance_ratio, deviations), constraints=constraints)


def regularization(reg_covar: float | str, degeneracy: Degeneracy) -> float | np.ndarray:
    """`reg_covar` as a number, or one for each feature."""
    if not isinstance(reg_covar, str):
        return reg_covar
    largest = float(degeneracy.rows.units.sizes.max())
    if largest < LEAST_FLOAT64:
        raise ValueError(
            f"The rows are too small for reg_covar='auto': squares of their distances, of about {largest:.3g}, "
            "underflow. Divide each column by its standard deviation."
        )
    return RIDGE * degeneracy.structure.per_feature(degeneracy.spread)


def smallest_variance(covariances: np.ndarray, unit: np.ndarray) -> float:
    """The smallest variance in any direction of covariance matrices, with each feature's variance in some unit."""
    scale = np.sqrt(np.broadcast_to(unit, covariances.shape[-1:]))
    relative = covariances / (scale[:, None] * scale)
    return float(np.linalg.eigvalsh(relative).min()) if np.isfinite(relative).all() else math.inf
