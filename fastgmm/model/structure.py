"""A covariance structure: the base class, which answers every question that depends on the structure.

A structure turns Statistics into Parameters (the M-step), Parameters into what a kernel reads, and the kernel's sums
into Statistics. It knows what it is (variant.py) and the shape of its arrays (arrays.py). Everybody else asks, and
compares neither its name nor a shape. The structures there are stand in structures.py.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace

import numpy as np

from . import steps
from .factors import IllDefinedCovariance
from .kernel_model import KernelModel
from .parameters import Parameters
from .statistics import Statistics
from .steps import Totals
from .variant import Variant

LOG_2_PI = math.log(2 * math.pi)
ROUGHLY = 1e-5  # attributes may be in single precision
LEAST_SHARE = 1e-200  # of a component without weight in what components have in common


class Structure(Variant):
    """One covariance structure: a layout of arrays, and perhaps a constraint on how components share variances."""

    @abstractmethod
    def from_precisions(self, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> Parameters:
        """Parameters from inverse covariances."""

    # ---- around a pass

    def kernel_model(
        self,
        parameters: Parameters,
        dtype: np.dtype,
        origin: np.ndarray | None = None,
        units: np.ndarray | None = None,
    ) -> KernelModel:
        """The mixture as the kernels read it; its common frame is about `origin`, or about the mean of the mixture.

        Densities are per volume of the `units` of the features, (D,), or of the data's.
        """
        return steps.described(self, parameters, dtype, origin, units)

    def moments(
        self, parameters: Parameters, model: KernelModel, sums: np.ndarray, totals: Totals
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The means used, and sums and scatters about them, from the kernel's sums.

        Raises CancellationError where they would be poor.
        """
        return steps.moments(self, parameters, model, sums, totals)

    # ---- its parameters and statistics, in other orders and units

    def as_sklearn(self, values: np.ndarray, n_components: int) -> np.ndarray:
        """The array as `in_sklearn` has it: one for each component where scikit-learn shares none."""
        if self.in_sklearn == self.layout.name or not self.shared:
            return values
        return np.broadcast_to(values, (n_components, *np.shape(values)))

    def reorder(self, parameters: Parameters, order: np.ndarray) -> Parameters:
        """The mixture with its components in another order."""
        return Parameters(
            parameters.weights[order],
            parameters.means[order],
            self.components(parameters.covariances, order),
            self.components(parameters.precisions_cholesky, order),
            None if parameters.expected_log_weights is None else parameters.expected_log_weights[order],
            parameters.axes,
            parameters.noise,
        )

    def rescaled(self, parameters: Parameters, scales: np.ndarray) -> Parameters:
        """The mixture of rows of which each feature is multiplied by a number, (D,); spherical: by the same one."""
        own = self.per_feature(scales)
        factors = parameters.precisions_cholesky / (own[:, None] if self.triangular else own)
        return replace(
            parameters,
            means=parameters.means * scales,
            covariances=self.squared(parameters.covariances, scales),
            precisions_cholesky=factors,
            noise=None if parameters.noise is None else parameters.noise.rescaled(scales),
        )

    def rescaled_statistics(self, statistics: Statistics, scales: np.ndarray) -> Statistics:
        """The statistics of such rows, under the mixture of such rows."""
        return replace(
            statistics,
            reference=statistics.reference * scales,
            sums=statistics.sums * scales,
            scatters=self.squared(statistics.scatters, scales),
        )

    # ---- the distribution

    def log_determinants(self, factors: np.ndarray, n_features: int, units: np.ndarray | None = None) -> np.ndarray:
        """Log-determinants of precision factors, (K,) or (1,), with features in these units (D,) or the data's."""
        diagonals = self.diagonals(factors)
        if units is None:
            return n_features // diagonals.shape[1] * np.log(diagonals).sum(axis=1)
        if diagonals.shape[1] == n_features:
            return np.log(diagonals * units).sum(axis=1)
        largest = units.max()
        return n_features * np.log(diagonals[:, 0] * largest) + np.log(units / largest).sum()

    def offsets(self, parameters: Parameters, units: np.ndarray | None = None) -> np.ndarray:
        """c_k, (K,): what does not depend on the sample in the log of weight times density per volume of the units."""
        n_features = parameters.means.shape[1]
        log_determinants = self.log_determinants(parameters.precisions_cholesky, n_features, units)
        return parameters.log_weights + log_determinants - 0.5 * n_features * LOG_2_PI

    def expected_log_joint(
        self, parameters: Parameters, statistics: Statistics, units: np.ndarray | None = None
    ) -> float:
        """sum_nk r_nk log(pi_k N(x_n | k)), from statistics of complete rows under these or other parameters.

        With S_k the scatters about the means, it is sum_k n_k c_k - tr(P_k^T S_k P_k) / 2. Where the statistics are of
        the same parameters, the log-likelihood less this is the entropy of the responsibilities, and with gaps of what
        is missing. Densities are per volume of the units.
        """
        scatters = self.recentered(statistics, parameters.means).scatters
        squares = float((self.precisions(parameters.precisions_cholesky) * scatters).sum())
        present = statistics.counts > 0  # a component of no weight has -inf for its logarithm
        return float((statistics.counts * self.offsets(parameters, units))[present].sum()) - 0.5 * squares

    # ---- M-step

    def from_covariances(self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Parameters:
        """Parameters from weights, means and covariances."""
        return Parameters(weights, means, covariances, self.factorize(covariances))

    def maximize(self, statistics: Statistics, reg_covar: float | np.ndarray) -> Parameters:
        """M-step: the parameters under which the statistics are most likely.

        Raises IllDefinedCovariance, a ValueError, when a covariance is not positive definite.
        """
        return self.beside_noise(self.constrained(*self.estimate(statistics, reg_covar), statistics.axes), statistics)

    def beside_noise(self, parameters: Parameters, statistics: Statistics, added: float = 0.0) -> Parameters:
        """Weights that leave noise the part of the rows that it has; a prior may have added some to the others."""
        if statistics.noise is None:
            return parameters
        share = min(1.0, (float(statistics.counts.sum()) + added) / (statistics.n_samples + added))
        return replace(parameters, weights=share * parameters.weights, noise=statistics.noise)

    def constrained(
        self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, axes: np.ndarray | None = None
    ) -> Parameters:
        """Parameters of the most likely covariances of this structure, given those of its layout.

        `axes` are those to begin with. Raises as `maximize`.
        """
        mixed, shares = self.mixed(weights), np.fmax(weights, LEAST_SHARE)
        if self.bound is not None:
            return self.from_covariances(mixed, means, self.bound.covariances(self, shares, covariances))
        if self.constraint is None:
            return self.from_covariances(mixed, means, covariances)
        found = self.constraint.covariances(self.triangular, shares, covariances, means.shape[1], axes)
        if found is None:
            raise IllDefinedCovariance(
                "Fitting the mixture failed: components have ill-defined empirical covariances, so that there are "
                f"none of structure {self.name!r} (their rows lie on points or in subspaces). Decrease n_components, "
                "increase reg_covar, or scale the input data."
            )
        return replace(self.from_covariances(mixed, means, found[0]), axes=found[1])

    def nearest(self, parameters: Parameters) -> Parameters:
        """The mixture of this structure for one of its layout: the M-step of its moments. Raises as `maximize`."""
        if not self.restricted:
            return replace(parameters, weights=self.mixed(parameters.weights))
        covariances = self.invert_factors(parameters.precisions_cholesky)
        if not self.noisy:
            return self.constrained(parameters.weights, parameters.means, covariances, parameters.axes)
        shares = parameters.weights / parameters.weights.sum()
        found = self.constrained(shares, parameters.means, covariances, parameters.axes)
        return replace(found, weights=self.mixed(parameters.weights), noise=parameters.noise)

    def own(self, parameters: Parameters) -> Parameters:
        """The parameters if the structure has them, to rounding, else the nearest ones that it has."""
        if self.constraint is None and not self.equal_weights:
            return parameters
        try:
            near = self.nearest(parameters)
        except IllDefinedCovariance:
            return parameters
        pairs = ((getattr(one, name) for one in (near, parameters)) for name in ("weights", "precisions_cholesky"))
        same = all(np.allclose(found, given, ROUGHLY, ROUGHLY * np.abs(given).max()) for found, given in pairs)
        return replace(parameters, axes=near.axes) if same else near

    def with_axes(self, parameters: Parameters) -> Parameters:
        """The parameters with the axes that covariances have in common, where an M-step has to go on from them."""
        if not self.keeps_axes or parameters.axes is not None:
            return parameters
        try:
            return replace(parameters, axes=self.nearest(parameters).axes)
        except IllDefinedCovariance:
            return parameters

    def estimate(
        self, statistics: Statistics, reg_covar: float | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and covariances of the M-step of the layout, whether positive definite or not."""
        return steps.estimated(self, statistics, reg_covar)

    # ---- statistics

    def unit(self, means: np.ndarray) -> Parameters:
        """Equal weights and unit covariances: the frame in which given responsibilities are accumulated."""
        n_components, n_features = means.shape
        ones = np.broadcast_to(
            np.eye(n_features) if self.triangular else 1.0, self.covariance_shape(n_components, n_features)
        )
        return Parameters(np.full(n_components, 1 / n_components), means, ones, ones)

    @property
    def expanded(self) -> Structure:
        """The structure with scatters of each component, or of each feature, from which `pool` makes this one's.

        Its kind must be TRIANGULAR or DIAGONAL: those in a common frame cannot be accumulated for given labels.
        """
        return self

    def expand(self, parameters: Parameters) -> Parameters:
        """The mixture in the arrays of `expanded`."""
        return parameters

    def pool(self, statistics: Statistics) -> Statistics:
        """This structure's statistics from those of `expanded`."""
        return statistics

    def statistics(
        self,
        parameters: Parameters,
        model: KernelModel,
        sums: np.ndarray,
        totals: Totals,
        n_samples: float,
        resolution: float,
    ) -> Statistics:
        """Statistics about the means from what `kernels.accumulate` left.

        The kernel's sums are about means rounded to the precision of the rows, or in the frame of one source; and of
        rows multiplied by the scales of the model. The log-likelihood is per volume of its units.
        """
        noise, n_components = parameters.noise, len(model.centers)
        if model.scales is not None:
            parameters = self.rescaled(parameters, model.scales)
        counts = sums[:-1].reshape(n_components, -1)[:, 0].copy()
        used, first, second = self.moments(parameters, model, sums[:-1], totals)
        found = Statistics(
            *(used, counts, first, second, float(sums[-1]), n_samples, resolution, self.layout.name, model.log_volume),
            axes=parameters.axes,
            noise=noise,
        )
        return found if model.scales is None else self.rescaled_statistics(found, 1 / model.scales)

    def equivalent(self, parameters: Parameters, n_samples: float, resolution: float) -> Statistics:
        """Statistics of so many rows of which the parameters are the M-step without regularization."""
        counts = n_samples * parameters.weights
        per_row = self.divide(np.ones_like(parameters.covariances), counts, parameters.means.shape[1])
        scatters = np.where(np.isfinite(per_row), parameters.covariances / per_row, 0.0)
        sums = np.zeros_like(parameters.means)
        own = n_samples, resolution, self.layout.name
        return Statistics(
            parameters.means, counts, sums, scatters, 0.0, *own, axes=parameters.axes, noise=parameters.noise
        )

    def squares(self, totals: Totals) -> np.ndarray:
        """Sums of squares of all rows along each feature (D,): the diagonal of their scatter, if there are matrices."""
        return np.diagonal(totals.scatter) if self.triangular else totals.squares

    def total_scatter(self, statistics: Statistics, origin: np.ndarray) -> np.ndarray:
        """Scatter of all rows about a point, (D, D); only if there are matrices."""
        about = self.recentered(statistics, np.broadcast_to(origin, statistics.reference.shape))
        return self.matrices(about.scatters).sum(axis=0)

    def total_squares(self, statistics: Statistics, origin: np.ndarray) -> np.ndarray:
        """Sums of squares of all rows about a point (D,); of one variance for all features no more than their mean."""
        about = self.recentered(statistics, np.broadcast_to(origin, statistics.reference.shape))
        along = self.diagonals(about.scatters).sum(axis=0)
        return np.full(len(origin), along / (len(origin) // len(along)))

    def recentered(self, statistics: Statistics, means: np.ndarray) -> Statistics:
        """The statistics with their moments about other means."""
        shifts = means - statistics.reference
        if not shifts.any():
            return statistics
        moved = statistics.counts[:, None] * shifts
        scatters = statistics.scatters - self.outer_sym(statistics.sums - 0.5 * moved, shifts)
        return replace(statistics, reference=means, sums=statistics.sums - moved, scatters=scatters)
