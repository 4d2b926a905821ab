"""The M-step that never gives up: a component that empties or collapses is repaired, the others stay as they are."""

import math
from typing import NamedTuple, Protocol

import numpy as np

from ..model.cached import cached
from ..model.factors import IllDefinedCovariance, inverse
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure, Totals

EPS = float(np.finfo(np.float64).eps)
EMPTY = 1e3  # times the machine epsilon of the rows: a component of fewer rows is empty
RIDGE = 1e-6  # a repaired variance, relative to the component's own or to that of all rows; also `reg_covar="auto"`
ROUNDING = 4.0  # roundoffs of the mean that a standard deviation must exceed to be more than noise
RAISED = f"variances raised to at least {RIDGE:g} of its own, or of the usual ones where it had none"

# Standard deviations whose precision float64 and float32 hold, with room for correlations.
SMALLEST = [1e3 / math.sqrt(np.finfo(dtype).max) for dtype in (np.float64, np.float32)]


class Repair(NamedTuple):
    """What was wrong with a component after an M-step, and what was done about it.

    Attributes
    ----------
    iteration : int
        Number of the M-step, from 1; 0 is the one that turns the first responsibilities into parameters.
    component : int or None
        Number of the component, from 0; None for the covariance that all share.
    problem : str
    remedy : str
    """

    iteration: int
    component: int | None
    problem: str
    remedy: str


class Rows(Totals, Protocol):
    """What a repair asks of a source: the size and the spread of its rows."""

    @property
    def total(self) -> float:
        """Number of rows, or the sum of their weights."""

    @property
    def dtype(self) -> np.dtype:
        """Their type."""


class Maximization:
    """The M-step of a structure, transactional for each component.

    What `Structure.maximize` makes of healthy statistics is passed on as it is. Only where it fails, where a component
    has no rows left, or where a covariance is singular to rounding, components are looked at one by one:

    * An empty component keeps its mean and its covariance, and hardly any weight: the likelihood does not notice. At
      the start, where it has neither, it gets the weight of one row and the spread of all.
    * A collapsed component (on a point, a line, repeated rows, fewer rows than features) gets the most likely
      covariance among those whose variance is nowhere below `RIDGE` times its scale: eigenvalues, with features in
      units of the scale, are clipped from below. The scale of a feature is the component's own variance; where it has
      none, the median of the others'; where they have none, that of all rows. From then on the component stays under
      this constraint (in the manner of Hathaway), under which the likelihood is bounded and EM never lowers it. The
      start alone does not bind: there a component may be a single row.

    Both use nothing but the statistics and the spread of all rows, so they serve every source. Other libraries hold
    (Armadillo), clip eigenvalues (mlpack), give up (mclust) or raise (scikit-learn, what `degenerate="raise"` does).

    References
    ----------
    R. J. Hathaway. A constrained formulation of maximum-likelihood estimation for normal mixture distributions. Annals
    of Statistics 13(2), 1985.

    S. Ingrassia. A likelihood-based constrained algorithm for multivariate normal mixture models. Statistical Methods
    and Applications 13, 2004.
    """

    def __init__(
        self, source: Rows, structure: Structure, reg_covar: float | str = 0.0, degenerate: str = "raise"
    ) -> None:
        self.source = source
        self.structure = structure
        self.degenerate = degenerate
        self.repairs: list[Repair] = []
        self.scales: dict[int | None, np.ndarray] = {}  # variances (D,), spherical (1,), of components so constrained
        self._reg_covar = reg_covar

    def __call__(self, statistics: Statistics, previous: Parameters | None = None, iteration: int = 0) -> Parameters:
        """M-step, repaired where needed; `previous` are the parameters the statistics were taken under."""
        careful = self.degenerate == "repair"
        try:
            parameters = self.structure.maximize(statistics, self.reg_covar)
        except IllDefinedCovariance:
            if not careful:
                raise
        else:
            if not careful or (not self.scales and self._healthy(statistics, parameters)):
                return parameters
        return self._repair(statistics, previous, iteration)

    def on(self, source: Rows) -> "Maximization":
        """The same for other rows, with no repairs yet."""
        return Maximization(source, self.structure, self._reg_covar, self.degenerate)

    @cached
    def reg_covar(self) -> float | np.ndarray:
        """What is added to every variance."""
        return RIDGE * self._pooled(self.spread) if isinstance(self._reg_covar, str) else self._reg_covar

    @cached
    def spread(self) -> np.ndarray:
        """Variance of all rows along each feature (D,); of a constant one, that of a thousandth of its value, or 1."""
        origin = self.source.origin
        variances = np.diagonal(self.source.scatter) / self.source.total
        dtype = np.dtype(self.source.dtype)
        if not variances.max() < np.finfo(dtype).max / 4:
            raise ValueError(
                f"The rows are too large to be fitted: squares of their distances overflow in {dtype} (their mean is "
                f"as large as {np.abs(origin).max():.3g}). Divide each column by its standard deviation, or drop "
                "outliers."
            )
        least, typical = SMALLEST[dtype.itemsize < 8] ** 2, (1e-3 * origin) ** 2
        varies = variances > np.maximum((1e3 * EPS * origin) ** 2, least)
        return np.where(varies, variances, np.where(typical > least, typical, 1.0))

    def _pooled(self, values: np.ndarray) -> np.ndarray:
        """Numbers of each feature (D,) as the structure adds them to covariances: their mean (1,) for spherical."""
        one_for_features = len(self.structure.covariance_shape(1, len(values))) == 1
        return values.mean(keepdims=True) if one_for_features else values

    def _noise(self, means: np.ndarray, resolution: float) -> np.ndarray:
        """Standard deviations (K, D) that are no more than rounding, or whose precision the rows' type cannot hold."""
        noise = ROUNDING * EPS * np.abs(means)
        noise += SMALLEST[resolution > EPS]
        if self.structure.framed:
            noise += ROUNDING * resolution * np.abs(means - self.source.origin)
        return noise

    def _sound(self, parameters: Parameters, resolution: float) -> bool:
        """Whether variances exceed rounding, along each feature and given the features before it."""
        structure = self.structure
        smallest = self._noise(parameters.means, resolution)
        if structure.triangular:
            relative = max(100 * parameters.means.shape[1] * EPS, (ROUNDING * resolution) ** 2)
            smallest += math.sqrt(relative) * np.sqrt(structure.diagonals(parameters.covariances))
        smallest *= structure.diagonals(parameters.precisions_cholesky)
        return bool(np.maximum.reduce(smallest, axis=None) < 1)

    def _healthy(self, statistics: Statistics, parameters: Parameters) -> bool:
        """Whether no component is empty or collapsed."""
        resolution = statistics.resolution
        return np.minimum.reduce(statistics.counts) > EMPTY * resolution and self._sound(parameters, resolution)

    # ---- the slow path

    def _repair(self, statistics: Statistics, previous: Parameters | None, iteration: int) -> Parameters:
        """The M-step component by component."""
        self._check(statistics, previous)
        structure, resolution = self.structure, statistics.resolution
        weights, means, covariances = structure.estimate(statistics, self.reg_covar)
        one_for_all = structure.triangular and covariances.ndim == 2
        empty = statistics.counts <= EMPTY * resolution
        for k in np.flatnonzero(empty):
            means[k] = statistics.reference[k]
            if previous is None:
                weights[k] = 1 / statistics.n_samples
                remedy = "given the weight of one row and the spread of all"
            else:
                remedy = "held as it was"
            if not one_for_all:
                covariances[k] = self._wide() if previous is None else self._covariance(previous.precisions_cholesky[k])
            self.repairs.append(Repair(iteration, int(k), "empty", remedy))
        weights /= weights.sum()
        parts = [slice(None)] if one_for_all else [slice(k, k + 1) for k in np.flatnonzero(~empty)]
        scales = self._scales(covariances, means, resolution)
        for part in parts:
            which = None if one_for_all else int(part.start)
            scale = self.scales.get(which)
            if scale is None:
                if self._acceptable((weights[part], means[part], covariances[part]), resolution):
                    continue
                scale = scales[which or 0]
                if previous is not None:
                    self.scales[which] = scale
            raised = self._raised(covariances[part], scale)
            if raised is not None:
                covariances[part] = raised
                self.repairs.append(Repair(iteration, which, "collapsed to rounding", RAISED))
        return structure.from_covariances(weights, means, covariances)

    def _check(self, statistics: Statistics, previous: Parameters | None) -> None:
        """Refuse rows, and parameters to start from, that overflow."""
        finite = all(np.isfinite(part).all() for part in (statistics.counts, statistics.sums, statistics.scatters))
        if finite and (previous is None or np.isfinite(statistics.log_likelihood)):
            return
        _ = self.spread  # refuses rows that are too large
        raise ValueError(
            "The parameters to start from give some row no density at all (log-likelihood "
            f"{statistics.log_likelihood:g}): it lies too many standard deviations from every mean. Start with means "
            "among the rows, with smaller precisions, or drop outliers."
        )

    def _acceptable(self, candidate: tuple[np.ndarray, np.ndarray, np.ndarray], resolution: float) -> bool:
        """Whether a part of the parameters has a sound factor."""
        try:
            return self._sound(self.structure.from_covariances(*candidate), resolution)
        except IllDefinedCovariance:
            return False

    def _wide(self) -> np.ndarray:
        """The covariance of one component that spreads over all rows, without correlations."""
        return np.diag(self.spread) if self.structure.triangular else np.squeeze(self._pooled(self.spread))

    def _covariance(self, factor: np.ndarray) -> np.ndarray:
        """The covariance of one component from its precision factor."""
        if not self.structure.triangular:
            return 1 / factor**2
        lower = inverse(factor[None])[0].T
        return np.einsum("ij,kj->ik", lower, lower)

    def _scales(self, covariances: np.ndarray, means: np.ndarray, resolution: float) -> np.ndarray:
        """Variances of components, (K, D), or 1 where shared: those usual where one has none, all above rounding."""
        variances = self.structure.diagonals(covariances)
        least = 4 * self._noise(means, resolution) ** 2 / RIDGE
        for axis in (0, 1):
            if variances.shape[axis] < least.shape[axis]:
                least = least.max(axis=axis, keepdims=True)
        real = (variances > least) & np.isfinite(variances)
        some = real.any(axis=0)
        usual = np.nanmedian(np.where(real | ~some, variances, np.nan), axis=0)
        return np.where(real, variances, np.maximum(np.where(some, usual, self._pooled(self.spread)), least))

    def _raised(self, covariances: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        """The most likely covariance whose variance is nowhere below `RIDGE` times the scale; None for the given."""
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


def summary(repairs: list[Repair]) -> str:
    """One line for each component that was repaired: when, why and how."""
    lines = []
    for component in dict.fromkeys(repair.component for repair in repairs):
        own = [repair for repair in repairs if repair.component == component]
        name = "the tied covariance" if component is None else f"component {component}"
        first, last = own[0].iteration, own[-1].iteration
        when = f"iteration {first}" if first == last else f"iterations {first} to {last}, {len(own)} times"
        told = "; ".join(dict.fromkeys(f"{repair.problem}: {repair.remedy}" for repair in own))
        lines.append(f"{name} ({when}) was {told}")
    return ".\n".join(lines)
