"""The variational posterior of a mixture: its algebra, from the prior and parameters, or from Statistics.

With q(pi) q(mu, Lambda) the posterior of weights, means and precisions, responsibilities are those of a mixture with
other logarithms of weights (`Posterior.expected_log_weights`), whose means and covariances are m_k and S_k / nu_k.
With counts n_k = N weights_k everything else follows from the prior: beta_k = beta0 + n_k, nu_k = nu0 + n_k. So the
state of a fit is plain `Parameters`, which may be reordered, extrapolated and kept like any other.

Two families of posteriors are known. In the compatible one, scikit-learn's, each component has a Wishart distribution
of general matrices, whose scale matrix is restricted to the structure. The exact one is conjugate to the structure
itself: one Wishart distribution for a shared matrix, gamma distributions for variances.

Formulae: C. M. Bishop, Pattern Recognition and Machine Learning, 2006, section 10.2 and appendix B.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from .. import kernels
from .cached import cached
from .parameters import Parameters
from .priors import NormalWishart, Sticks, WeightPrior
from .special import digamma, halves, log_gamma
from .statistics import Statistics
from .steps import estimated_conjugate, flat
from .structure import LOG_2_PI, Structure


@dataclass(frozen=True, eq=False)
class VariationalPrior:
    """The priors of a variational mixture, its structure, and whether its posterior is the exact one.

    A block is what has a Wishart distribution of its own, or gammas: a component, or all where they share a covariance.
    Components beyond those of the parameters have no rows: their posterior is the prior, and they come last.
    """

    structure: Structure
    weights: WeightPrior
    components: NormalWishart
    n_components: int
    exact: bool = False
    fitted: bool = False  # by the bound

    @property
    def n_features(self) -> int:
        """D."""
        return len(self.components.mean)

    @cached
    def n_variances(self) -> int:
        """Numbers on the diagonal of a covariance: D, or 1 for one variance."""
        return self.structure.diagonals(self.components.scale).shape[1]

    @property
    def gammas(self) -> bool:
        """Whether variances are distributed by gammas, not precision matrices by Wisharts."""
        return of_gammas(self.structure, self.exact)

    @property
    def copies(self) -> int:
        """How many times a block counts: K times where the compatible family has it for all components."""
        return self.n_components if self.structure.shared and not self.exact else 1

    def padded(self, counts: np.ndarray) -> np.ndarray:
        """Counts of all components, (K,), with zeros for those without rows."""
        return np.append(counts, np.zeros(self.n_components - len(counts)))

    @cached
    def per_row(self) -> float:
        """What a row adds to the degrees of freedom of its block."""
        return float(self.n_features // self.n_variances) if self.exact else 1 / self.copies

    def seen(self, counts: np.ndarray) -> np.ndarray:
        """What counts add to the degrees of freedom of each block, (K,) or (1,)."""
        rows = np.cumsum(counts)[-1:] if self.structure.shared else counts  # in the order of the kernels
        return self.per_row * rows

    def maximize(self, statistics: Statistics, regularization: float | np.ndarray) -> Parameters:
        """The M-step: the posterior that is optimal for the statistics, as parameters."""
        structure, per_row = self.structure, self.per_row
        weights, means, covariances, _ = estimated_conjugate(
            structure, statistics, regularization, self.components, per_row
        )
        return structure.from_covariances(weights, means, covariances)

    def equivalent(
        self, parameters: Parameters, n_samples: float, resolution: float, regularization: float | np.ndarray
    ) -> Statistics:
        """Statistics of so many rows of which the parameters are the M-step."""
        prior, structure = self.components, self.structure
        counts = n_samples * parameters.weights
        seen, mean_precision = self.seen(counts), prior.mean_precision + counts
        degrees, covariances = prior.degrees_of_freedom + seen, parameters.covariances
        covariances = (aligned(degrees, covariances) * covariances - prior.scale) / aligned(seen, covariances)
        covariances = structure.regularize(covariances, -regularization)
        own = structure.equivalent(replace(parameters, covariances=covariances), n_samples, resolution)
        offsets = parameters.means - prior.mean
        sums = prior.mean_precision * offsets  # n (xbar - m), for n xbar = (beta0 + n) m - beta0 m0
        shrunk = np.sqrt(prior.mean_precision * mean_precision / counts)  # the part of the scatter beside the rows'
        moved = structure.outer(np.sqrt(1 / counts)[:, None] * sums) - structure.outer(shrunk[:, None] * offsets)
        return replace(own, sums=sums, scatters=own.scatters + moved)

    def completed(self, parameters: Parameters) -> Parameters:
        """The parameters of all components: those without rows have the prior's."""
        structure, prior, missing = self.structure, self.components, self.n_components - len(parameters.weights)
        if not missing:
            return parameters

        def extended(own: np.ndarray, other: np.ndarray) -> np.ndarray:
            return own if structure.shared else np.concatenate([own, np.repeat(other, missing, axis=0)])

        degrees = prior.degrees_of_freedom
        return Parameters(
            self.padded(parameters.weights),
            np.concatenate([parameters.means, np.tile(prior.mean, (missing, 1))]),
            extended(parameters.covariances, prior.scale / degrees),
            extended(parameters.precisions_cholesky, prior.factor * math.sqrt(degrees)),
        )

    def numbers(self, n_samples: float, units: np.ndarray | None) -> np.ndarray:
        """This prior, for so many rows, as the kernels take it."""
        prior, weights = self.components, self.weights
        own = prior.mean_precision, prior.degrees_of_freedom, self.per_row
        kinds = isinstance(weights, Sticks), self.gammas, weights.concentration, self.copies
        others = n_samples, weights.constant(self.n_components), float(self.own_normalizer(units)[0])
        return np.concatenate([own, kinds, others, prior.mean, flat(prior.scale)]).astype(np.float64)

    @cached
    def constant(self) -> float:
        """What the evidence lower bound has beyond scikit-learn's `lower_bound_`, but for -N D / 2 log 2 pi.

        In the units of the data, and of the compatible family.
        """
        prior, n_features = self.components, self.n_features
        block = 0.5 * n_features * math.log(prior.mean_precision) + float(self.own_normalizer(None)[0])
        block += 0.25 * n_features * (n_features - 1) * math.log(math.pi)
        return self.n_components * block + self.weights.constant(self.n_components)

    # ---- Wishart distributions, or gammas, of blocks

    def log_det_scale(self, units: np.ndarray | None) -> np.ndarray:
        """log |S0| with features in these units (D,), or in the data's."""
        return -2 * self.structure.log_determinants(self.components.factor, self.n_features, units)

    def own_normalizer(self, units: np.ndarray | None) -> np.ndarray:
        """log B(S0, nu0), (1,), with features in these units, or in the data's; remembered."""
        key = b"" if units is None else units.tobytes()
        if key not in self._own_normalizers:
            degrees = np.array([self.components.degrees_of_freedom])
            self._own_normalizers[key] = self.log_normalizers(degrees, self.log_det_scale(units))
        return self._own_normalizers[key]

    @cached
    def _own_normalizers(self) -> dict[bytes, np.ndarray]:
        return {}

    def log_normalizers(self, degrees: np.ndarray, log_dets: np.ndarray) -> np.ndarray:
        """log B(S, nu) of each block, from nu and log |S|."""
        n_features = self.n_features
        if self.gammas:
            half, share = 0.5 * degrees, self.n_variances / n_features
            return half * share * (log_dets - n_features * math.log(2)) - self.n_variances * log_gamma(half)
        return (
            0.5 * degrees * (log_dets - n_features * math.log(2))
            - 0.25 * n_features * (n_features - 1) * math.log(math.pi)
            - log_gamma(halves(degrees, n_features)).sum(axis=-1)
        )

    def digammas(self, degrees: np.ndarray) -> np.ndarray:
        """Psi of each block: E log |Lambda| = Psi + D log 2 - log |S|."""
        return summed_digammas(degrees, self.n_features, self.gammas)


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior that parameters stand for, given the prior and a number of rows.

    Bounds are per volume of the `units` of the features, (D,), or of the data's.
    """

    prior: VariationalPrior
    parameters: Parameters
    n_samples: float
    units: np.ndarray | None = None

    @cached
    def counts(self) -> np.ndarray:
        """n_k, (K,)."""
        return self.n_samples * self.parameters.weights

    @property
    def mean_precision(self) -> np.ndarray:
        """beta_k, (K,)."""
        return self.prior.components.mean_precision + self.counts

    @cached
    def degrees_of_freedom(self) -> np.ndarray:
        """nu of each block, (K,) or (1,)."""
        return self.prior.components.degrees_of_freedom + self.prior.seen(self.counts)

    @cached
    def expected_log_weights(self) -> np.ndarray:
        """What the E-step takes for logarithms of weights, (K,)."""
        weights = self.prior.padded(self.parameters.weights)
        found, shared = np.empty(len(weights)), self.prior.structure.shared
        kernels.CHOSEN.variational_log_weights(shared, self.prior.n_features, weights, self.numbers, found)
        return found[: len(self.parameters.weights)]

    @cached
    def numbers(self) -> np.ndarray:
        """Priors and number of rows as the kernels take them: see `variational_of` in kernels/steps.pxi."""
        return self.prior.numbers(self.n_samples, self.units)

    def bound_after(self, statistics: Statistics, before: Parameters) -> float:
        """The bound where this posterior is optimal for statistics under parameters as the E-step has read them."""
        structure, units = self.prior.structure, self.units
        assert before.expected_log_weights is not None
        return float(
            kernels.CHOSEN.variational_bound(
                structure.triangular,
                structure.shared,
                statistics.log_likelihood,
                before.expected_log_weights,
                flat(before.precisions_cholesky),
                np.ascontiguousarray(statistics.counts),
                flat(structure.recentered(statistics, before.means).scatters),
                self.prior.padded(self.parameters.weights),
                flat(self.parameters.precisions_cholesky),
                np.ones(self.prior.n_features) if units is None else units,
                self.numbers,
            )
        )

    def fitted_prior(self) -> VariationalPrior:
        """The priors of means and precisions under which the bound of this posterior is largest.

        Where it is flat or has no maximum, for fewer than two components of a row or more, they stay as they are.
        """
        prior, structure, factors = self.prior.components, self.prior.structure, self.parameters.precisions_cholesky
        used = np.flatnonzero(self.counts >= 1)
        if len(used) < 2:
            return self.prior
        precisions = structure.components(structure.precisions(factors), used)
        stack = structure.matrices(precisions) if structure.triangular else structure.diagonals(precisions)
        mean, means = stack.mean(axis=0), self.parameters.means[used]
        if structure.triangular:
            guess = structure.from_precisions(np.ones(1), means[:1], mean if structure.shared else mean[None])
            scale, spread = prior.degrees_of_freedom * guess.covariances, len(means) // len(stack)
            pulls = np.einsum("kde,ke->kd", np.repeat(stack, spread, axis=0), means)
            center = np.linalg.solve(mean, pulls.mean(axis=0))
            offsets = means - center
            squares = np.einsum("kd,kde,ke->k", offsets, np.repeat(stack, spread, axis=0), offsets)
        else:
            own = mean if len(mean) == len(prior.mean) else float(mean[0])
            scale = np.broadcast_to(prior.degrees_of_freedom / mean, stack[:1].shape).reshape(prior.scale.shape)
            center = (stack * means).mean(axis=0) / own
            squares = (stack * (means - center) ** 2).sum(axis=1)
        spreads = 1 / self.mean_precision[used] + squares / self.prior.n_features
        updated = NormalWishart(
            1 / float(spreads.mean()), center, prior.degrees_of_freedom, scale, structure.factorize(scale)
        )
        return replace(self.prior, components=updated, fitted=True)

    @property
    def evaluated(self) -> Parameters:
        """The parameters as the E-step reads them."""
        own = self.parameters
        return Parameters(own.weights, own.means, own.covariances, own.precisions_cholesky, self.expected_log_weights)

    def divergence(self) -> float:
        """The Kullback-Leibler divergence of the posterior from the prior."""
        prior, n_features = self.prior.components, self.prior.n_features
        of_weights = float((self._padded * self._expected_logs).sum()) - self._weights_evidence
        ratio = prior.mean_precision / self.mean_precision
        of_means = n_features * (ratio - 1 - np.log(ratio)) + prior.mean_precision * self._squared_offsets
        return of_weights + 0.5 * float(of_means.sum()) + self.prior.copies * float(self._block_divergences().sum())

    def evidence_lower_bound(self, entropy: float) -> float:
        """The bound where the posterior is optimal for responsibilities of this entropy, all constants included."""
        prior, n_features = self.prior.components, self.prior.n_features
        of_means = 0.5 * n_features * float(np.log(prior.mean_precision / self.mean_precision).sum())
        of_blocks = self.prior.copies * float((self._prior_normalizer - self._normalizers).sum())
        of_rows = 0.5 * float(self.counts.sum()) * n_features * LOG_2_PI
        return entropy + self._weights_evidence + of_means + of_blocks - of_rows

    def _block_divergences(self) -> np.ndarray:
        """The Kullback-Leibler divergence of each block."""
        rules, prior = self.prior, self.prior.components
        n_features, n_variances = rules.n_features, rules.n_variances
        degrees, gained = self.degrees_of_freedom, self.degrees_of_freedom - prior.degrees_of_freedom
        dimensions = n_variances if rules.gammas else n_features
        expected = self._digammas + n_features * math.log(2) - self._log_dets
        moments = 0.5 * gained * (dimensions / n_features) * expected - 0.5 * degrees * dimensions
        traces = self._scaled_traces * (dimensions / n_variances)
        return self._normalizers - self._prior_normalizer + moments + 0.5 * traces

    @cached
    def _padded(self) -> np.ndarray:
        """Counts of all components, those without rows included."""
        return self.prior.padded(self.counts)

    @cached
    def _expected_logs(self) -> np.ndarray:
        """E log pi_k of all components, (K,)."""
        return self.prior.weights.expected_log(self._padded)

    @cached
    def _weights_evidence(self) -> float:
        return self.prior.weights.log_evidence(self._padded)

    @cached
    def _digammas(self) -> np.ndarray:
        return self.prior.digammas(self.degrees_of_freedom)

    @cached
    def _log_dets(self) -> np.ndarray:
        """log |S| of each block, in the units."""
        n_features, factors = self.prior.n_features, self.parameters.precisions_cholesky
        log_dets = self.prior.structure.log_determinants(factors, n_features, self.units)
        return n_features * np.log(self.degrees_of_freedom) - 2 * log_dets

    @cached
    def _normalizers(self) -> np.ndarray:
        return self.prior.log_normalizers(self.degrees_of_freedom, self._log_dets)

    @cached
    def _prior_normalizer(self) -> np.ndarray:
        return self.prior.own_normalizer(self.units)

    @property
    def _scaled_traces(self) -> np.ndarray:
        """trace(P^T S0 P) of each block, as the structure has it: a sum over matrices, or over variances."""
        structure, scale = self.prior.structure, self.prior.components.scale
        products = structure.precisions(self.parameters.precisions_cholesky) * scale
        stack = structure.matrices(products) if structure.triangular else structure.diagonals(products)
        return stack.reshape(len(stack), -1).sum(axis=1)

    @property
    def _squared_offsets(self) -> np.ndarray:
        """|P^T (m_k - m0)|^2 of each component, (K,)."""
        structure, factors = self.prior.structure, self.parameters.precisions_cholesky
        offsets = self.parameters.means - self.prior.components.mean
        if structure.triangular:
            whitened = np.einsum("kd,kde->ke", offsets, structure.dense(factors, *offsets.shape))
        else:
            whitened = offsets * structure.diagonals(factors)
        return (whitened**2).sum(axis=1)


def of_gammas(structure: Structure, exact: bool) -> bool:
    """Whether variances are distributed by gammas, not precision matrices by Wisharts."""
    return exact and not structure.triangular


def summed_digammas(degrees: np.ndarray, n_features: int, gammas: bool) -> np.ndarray:
    """Psi of each block, with so many degrees of freedom."""
    if gammas:
        return n_features * digamma(0.5 * degrees)
    return digamma(halves(degrees, n_features)).sum(axis=-1)


def evaluated_log_weights(
    log_weights: np.ndarray, digammas: np.ndarray, degrees: np.ndarray, mean_precision: np.ndarray, n_features: int
) -> np.ndarray:
    """What the E-step takes for logarithms of weights, (K,), from their expectations.

    Added is half of E log |Lambda| - D / beta, less the log-determinant that the kernels know.
    """
    spread = digammas + n_features * np.log(2 / degrees) - n_features / mean_precision
    return log_weights + 0.5 * spread


def aligned(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A number for each block with as many axes as an array of them has; (1,) also fits one that all share."""
    return values if len(values) == 1 else values.reshape(-1, *(1,) * (like.ndim - 1))
