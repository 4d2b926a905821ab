"""The logarithm of a prior as a penalty of the likelihood: its value, and the mode of the posterior.

With kappa, m0, nu0 and S0 as in `NormalWishart`, the density of means and covariances is

    mu_k | Sigma_k ~ N(m0, Sigma_k / kappa)
    Sigma_k ~ inverse Wishart(nu0, S0), or variances ~ inverse gamma(nu0 / 2, S0 / 2)

and given responsibilities the posterior is of the same kind. Its mean, of precisions, is `VariationalPrior.maximize`:
covariances S / nu. Its mode divides the same S by nu + c, where c is `Penalty.excess`: D + 1 for matrices and 2 for
variances, and besides what one more row would add to nu for every component whose mean has a prior.

Source: C. Fraley, A. E. Raftery, Bayesian regularization for normal mixture estimation and model-based clustering,
Journal of Classification 24, 2007.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from .. import kernels
from .cached import cached
from .factors import inverse
from .parameters import Parameters
from .posterior import VariationalPrior, aligned
from .priors import Dirichlet, NormalWishart
from .statistics import Statistics
from .steps import flat
from .structure import Structure

N_SAMPLES = 6  # where `Penalty.numbers` has the number of rows by which the log density is divided


@dataclass(frozen=True, eq=False)
class Penalty:
    """The prior of a mixture of K components.

    Blocks are what has a distribution of its own: a component, or all where they share a covariance.
    """

    weights: Dirichlet
    conjugate: VariationalPrior
    n_components: int

    @cached
    def excess(self) -> np.ndarray:
        """By how much the mode's divisor exceeds nu, of each block (K,) or (1,)."""
        rules = self.conjugate
        pulled = np.full(self.n_components, float(rules.components.mean_precision > 0))
        return (rules.n_features + 1 if rules.structure.triangular else 2) + rules.seen(pulled)

    @cached
    def dimension(self) -> float:
        """By how much the log density grows when the log of the unit of volume grows by one."""
        return self._share * float(self.excess.sum())

    def maximize(self, statistics: Statistics, regularization: float | np.ndarray) -> Parameters:
        """The M-step: the mode of the posterior, given the statistics."""
        rules = self.conjugate
        counts = statistics.counts + 10 * statistics.resolution
        found = rules.maximize(statistics, regularization)
        degrees = rules.components.degrees_of_freedom + rules.seen(counts)
        divisors = degrees + self.excess
        ratio = aligned(degrees / divisors, found.covariances)
        mode = replace(
            found,
            weights=rules.structure.mixed(self.weights.mode(counts)),
            covariances=ratio * found.covariances,
            precisions_cholesky=found.precisions_cholesky / np.sqrt(ratio),
        )
        if rules.structure.constraint is not None:
            shares = divisors / divisors.sum()  # of a component in what all have in common
            own = rules.structure.constrained(shares, mode.means, mode.covariances, statistics.axes)
            mode = replace(own, weights=mode.weights)
        return rules.structure.beside_noise(mode, statistics, self.n_components * (self.weights.concentration - 1))

    def equivalent(
        self, parameters: Parameters, n_samples: float, resolution: float, regularization: float | np.ndarray
    ) -> Statistics:
        """Statistics of so many rows of which the parameters are the M-step."""
        rules, added = self.conjugate, self.weights.concentration - 1
        counts = (n_samples + self.n_components * added) * parameters.weights - added
        counts = np.maximum(counts, 10 * resolution)
        weights = counts / counts.sum()
        degrees = rules.components.degrees_of_freedom + rules.seen(n_samples * weights)
        ratio = aligned(degrees / (degrees + self.excess), parameters.covariances)
        mean = replace(parameters, weights=weights, covariances=parameters.covariances / ratio)
        return rules.equivalent(mean, n_samples, resolution, regularization)

    def log_density(self, parameters: Parameters, units: np.ndarray | None = None) -> float:
        """log p(parameters), from factors alone, with features in these units (D,) or in the data's."""
        structure = self.conjugate.structure
        arrays = np.ascontiguousarray(parameters.weights), np.ascontiguousarray(parameters.means)
        return float(
            kernels.CHOSEN.prior_log_density(
                structure.triangular,
                structure.shared,
                *arrays,
                flat(parameters.precisions_cholesky),
                units,
                self.log_det_scale(units),
                self.numbers,
            )
        )

    @cached
    def numbers(self) -> np.ndarray:
        """This penalty as the kernels take it: see `penalty_of` in kernels/steps.pxi. The number of rows is 1 here."""
        rules, prior = self.conjugate, self.conjugate.components
        own = prior.mean_precision, prior.degrees_of_freedom, rules.per_row
        others = self.weights.concentration - 1, self._share, self._constant, 1.0
        root = self._root if rules.structure.triangular else prior.factor
        return np.concatenate([own, others, self.excess, prior.mean, flat(prior.scale), flat(root)])

    @cached
    def _share(self) -> float:
        """Variances of a block for each feature: 1, or 1 / D where all features have one variance."""
        return self.conjugate.n_variances / self.conjugate.n_features

    def log_det_scale(self, units: np.ndarray | None) -> float:
        """log |S0| with features in these units, or in the data's; remembered."""
        key = b"" if units is None else units.tobytes()
        if key not in self._log_det_scales:
            self._log_det_scales[key] = float(self.conjugate.log_det_scale(units)[0])
        return self._log_det_scales[key]

    @cached
    def _log_det_scales(self) -> dict[bytes, float]:
        return {}

    @cached
    def _constant(self) -> float:
        """What depends neither on the parameters nor on the scale."""
        rules, prior = self.conjugate, self.conjugate.components
        degrees = np.array([prior.degrees_of_freedom])
        total = len(self.excess) * float(rules.log_normalizers(degrees, np.zeros(1))[0])
        if prior.mean_precision > 0:
            total += 0.5 * self.n_components * rules.n_features * math.log(prior.mean_precision / (2 * math.pi))
        return total + self.weights.constant(self.n_components)

    @cached
    def _root(self) -> np.ndarray:
        """R with S0 = R^T R, (1, D, D)."""
        rules = self.conjugate
        return inverse(rules.structure.matrices(rules.components.factor))


@dataclass(frozen=True, eq=False)
class MixturePrior:
    """The prior of mixtures of any number of components.

    Attributes
    ----------
    structure : Structure
    weights : Dirichlet
    components : NormalWishart
        That of one component alone.
    power : float
        The scale for K components is K ** -power times that: 2 / D where their volumes shall fill that of all rows.
    """

    structure: Structure
    weights: Dirichlet
    components: NormalWishart
    power: float = 0.0

    def penalty(self, n_components: int) -> Penalty:
        """The prior of so many components."""
        components = self.components.shrunk(n_components**-self.power) if self.power else self.components
        conjugate = VariationalPrior(self.structure, self.weights, components, n_components, exact=True)
        return Penalty(self.weights, conjugate, n_components)
