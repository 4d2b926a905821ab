"""What a posterior says beyond its plug-in mixture: the predictive density, and how sure the parameters are."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..model.masked import masked
from ..model.posterior import aligned
from ..model.student import student
from .attributes import fitted_attributes
from .base import BaseMixture, Floats, checked_out
from .checks import check_random_state, check_sample_size
from .distribution import Distribution

if TYPE_CHECKING:
    from ..gaussian_mixture import GaussianMixture

__all__ = ["Predictive"]


class PosteriorSample(NamedTuple):
    """Draws of the parameters from the posterior.

    Attributes
    ----------
    weights : ndarray of shape (n_draws, n_components)
    means : ndarray of shape (n_draws, n_components, n_features)
    covariances : ndarray
        (n_draws,) and the shape of ``covariances_``.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]


class CredibleIntervals(NamedTuple):
    """Lower and upper ends of intervals, as two rows of an array each.

    Attributes
    ----------
    weights : ndarray of shape (2, n_components)
    means, variances : ndarray of shape (2, n_components, n_features)
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]


class Predictive(Distribution):
    """to_mixture, predictive_log_density, sample_posterior and credible_intervals."""

    posterior: str

    @masked
    def to_mixture(self) -> GaussianMixture:
        """Return the plug-in mixture: expected weights, means, and the inverses of the expected precisions.

        Returns
        -------
        mixture : GaussianMixture
            With ``weights_``, ``means_`` and ``covariances_`` of this one, for `bic` and whatever else a
            GaussianMixture can do. Its density integrates to one.

        Raises
        ------
        NotFittedError
            If there are no parameters yet.

        Examples
        --------
        >>> from fastgmm import BayesianGaussianMixture
        >>> BayesianGaussianMixture().fit([[0.0], [1.0], [2.0]]).to_mixture().means_
        array([[1.]])
        """
        fitted = self._fitted()
        return self._derived(fitted, fitted.parameters, list(range(fitted.n_features)))

    @masked
    def predictive_log_density(self, X: Any, *, out: Floats | None = None) -> Floats:
        """Return the log-density of each row given the rows fitted, with the parameters integrated out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`, without missing values.
        out : ndarray, default=None
            As for `score_samples`.

        Returns
        -------
        log_densities : ndarray of shape (n_samples,)
            log of a mixture of Student's t distributions, which integrates to one; float32 for float32 rows. Where rows
            are few its tails are heavier than those of the plug-in mixture, and rows held out are more likely.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `score_samples`; if the parameters were set by hand, without a posterior; if values are missing.

        References
        ----------
        C. M. Bishop. Pattern Recognition and Machine Learning. Springer, 2006, equation 10.81.

        Examples
        --------
        >>> from fastgmm import BayesianGaussianMixture
        >>> mixture = BayesianGaussianMixture().fit([[0.0], [1.0], [2.0]])
        >>> mixture.predictive_log_density([[1.0], [9.0]]).round(2), mixture.score_samples([[1.0], [9.0]]).round(2)
        (array([-0.95, -8.18]), array([ -1.29, -43.95]))
        """
        fitted = self._fitted()
        degrees, mean_precision, _ = _posterior_of(self)
        with self._rows(X, fitted) as source:
            if source.has_gaps:
                raise ValueError(
                    "predictive_log_density takes rows without missing values. Fill them by impute, or use "
                    "score_samples."
                )
            exact = self.posterior == "exact"
            model = student(fitted.structure, source.model(fitted), mean_precision, degrees, exact)
            return source.log_likelihoods(model, checked_out(out, source, source.dtype))

    @masked
    def sample_posterior(self, n_draws: int = 1, random_state: Any = None) -> PosteriorSample:
        """Draw weights, means and covariances from the posterior.

        Parameters
        ----------
        n_draws : int, default=1
        random_state : int, RandomState, Generator or None, default=None
            Source of randomness; None takes the estimator's own ``random_state``.

        Returns
        -------
        draws : PosteriorSample
            ``weights``, ``means`` and ``covariances``, each with the draws along the first axis.

        Raises
        ------
        NotFittedError
            If there is no posterior yet.
        ValueError, TypeError
            If ``n_draws`` is no positive int, or ``random_state`` none of the above.

        Notes
        -----
        Weights come from their Dirichlet distribution or their sticks, precision matrices from Wishart distributions
        by Bartlett's decomposition, variances of 'diag' and 'spherical' mixtures from inverse gammas, and means from
        normal distributions given these. With ``posterior='compatible'`` these inverse gammas stand for Wishart
        distributions of matrices, and vary less: `predictive_log_density` is that of the draws only with 'exact', or
        with matrices. See `credible_intervals` for what the posterior does not know.

        Examples
        --------
        >>> from fastgmm import BayesianGaussianMixture
        >>> mixture = BayesianGaussianMixture().fit([[0.0], [1.0], [2.0]])
        >>> mixture.sample_posterior(1000, random_state=0).means.shape
        (1000, 1, 1)
        """
        fitted = self._fitted()
        degrees, mean_precision, concentration = _posterior_of(self)
        seed = self.random_state if random_state is None else random_state
        self._check_params({"random_state": seed})
        rng, n_draws = check_random_state(seed), check_sample_size(n_draws, "n_draws")
        structure, parameters = fitted.structure, fitted.parameters
        means, factors = parameters.means, parameters.precisions_cholesky
        normal = rng.standard_normal(size=(n_draws, *means.shape)) / np.sqrt(mean_precision)[:, None]
        if not structure.triangular:
            nu = np.broadcast_to(aligned(degrees, factors), factors.shape)
            precisions = factors**2 * (rng.chisquare(nu, size=(n_draws, *factors.shape)) / nu)
            deviations = np.stack([np.sqrt(structure.variances(1 / one, *means.shape)) for one in precisions])
            weights = _draw_weights(rng, concentration, n_draws)
            return PosteriorSample(weights, means + normal * deviations, 1 / precisions)
        stack = structure.matrices(factors)
        roots = np.stack([_draw_roots(rng, one, nu, n_draws) for one, nu in zip(stack, degrees, strict=True)], axis=1)
        inverses: NDArray[Any] = np.linalg.inv(roots)  # Sigma = R^-T R^-1
        covariances = np.einsum("nkji,nkjl->nkil", inverses, inverses)
        each = np.broadcast_to(inverses, (n_draws, len(means), *inverses.shape[2:]))
        shifts = np.einsum("nkji,nkj->nki", each, normal)
        covariances = covariances[:, 0] if structure.shared else covariances
        return PosteriorSample(_draw_weights(rng, concentration, n_draws), means + shifts, covariances)

    @masked
    def credible_intervals(
        self, probability: float = 0.95, n_draws: int = 4000, random_state: Any = 0
    ) -> CredibleIntervals:
        """Return intervals in which weights, means and variances lie with some probability, each by itself.

        Parameters
        ----------
        probability : float, default=0.95
            Between 0 and 1.
        n_draws : int, default=4000
            Number of draws whose quantiles are the ends.
        random_state : int, RandomState, Generator or None, default=0
            As for `sample_posterior`.

        Returns
        -------
        intervals : CredibleIntervals
            ``weights``, ``means`` and ``variances``, each with lower ends first and upper ends second.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `sample_posterior`, or if ``probability`` is not between 0 and 1.

        Notes
        -----
        A variational posterior takes no account of what the component of a row leaves open. Where groups are far
        apart that is nothing; where they overlap the intervals are too narrow: for two groups of unit variance and
        200 rows in all, intervals of 95 % hold the truth in about 9 of 10 cases when the means are 6 standard
        deviations apart, in 2 of 3 at 3, and in fewer than half at 2.

        Examples
        --------
        >>> from fastgmm import BayesianGaussianMixture
        >>> mixture = BayesianGaussianMixture().fit([[0.0], [1.0], [2.0]])
        >>> low, high = mixture.credible_intervals().means.round(1)
        >>> bool(low[0, 0] < 1.0 < high[0, 0])
        True
        """
        if not (isinstance(probability, Real) and 0 < float(probability) < 1):
            raise ValueError(f"probability is {probability!r}, but must lie between 0 and 1, as 0.95 does.")
        structure, draws = self._structure(), self.sample_posterior(n_draws, random_state)
        ends = np.array([0.5 - probability / 2, 0.5 + probability / 2])
        sizes = draws.means.shape[1:]
        variances = np.stack([structure.variances(one, *sizes) for one in draws.covariances])
        return CredibleIntervals(*(np.quantile(part, ends, axis=0) for part in (draws.weights, draws.means, variances)))


def _posterior_of(mixture: BaseMixture) -> list[NDArray[np.float64]]:
    """Return degrees of freedom of the blocks, mean precisions, and concentrations of the weights."""
    names = ("degrees_of_freedom_", "mean_precision_", "weight_concentration_")
    return [np.atleast_1d(values) for values in fitted_attributes(mixture, vars(mixture), *names)]


def _draw_weights(rng: Any, concentration: NDArray[np.float64], n_draws: int) -> NDArray[np.float64]:
    """Draw weights (n_draws, K) from a Dirichlet distribution, or by sticks, of which the last takes what is left."""
    if concentration.ndim == 1:
        return np.asarray(rng.dirichlet(concentration, size=n_draws))
    sticks = rng.beta(*concentration, size=(n_draws, concentration.shape[1]))
    sticks[:, -1] = 1.0
    left = np.cumprod(1 - sticks[:, :-1], axis=1)
    return np.concatenate([sticks[:, :1], sticks[:, 1:] * left], axis=1)


def _draw_roots(rng: Any, factor: NDArray[np.float64], degrees: float, n_draws: int) -> NDArray[np.float64]:
    """Draw roots R (n_draws, D, D) of precisions R R^T from a Wishart distribution, by Bartlett's decomposition."""
    n_features = len(factor)
    lower = np.tril(rng.standard_normal(size=(n_draws, n_features, n_features)), -1)
    diagonal = np.sqrt(rng.chisquare(degrees - np.arange(n_features), size=(n_draws, n_features)))
    np.einsum("nii->ni", lower)[...] = diagonal
    return np.asarray(factor @ lower / math.sqrt(degrees))
