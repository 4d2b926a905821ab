"""BayesianGaussianMixture: its arguments, their constraints, and its M-step; all methods stand in mixture/."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .gaussian_mixture import GaussianMixture
from .mixture.arguments import CONSTRAINTS as COMMON
from .mixture.bayesian import WEIGHT_PRIORS, Bayesian
from .mixture.checks import ARRAY, BOOL, NONE, POSITIVE, Constraints, either, one_of
from .mixture.imputation import Imputation
from .mixture.outliers import Outliers
from .mixture.predictive import Predictive
from .mixture.regression import Regression
from .mixture.summary import Summary
from .model.structures import UNCONSTRAINED

__all__ = ["BayesianGaussianMixture"]

POSTERIORS = ("compatible", "exact")

CONSTRAINTS: Constraints = {
    name: constraint
    for name, constraint in COMMON.items()
    if name not in ("weights_init", "means_init", "precisions_init", "degenerate")
} | {
    "covariance_type": one_of(UNCONSTRAINED),
    "weight_concentration_prior_type": one_of(WEIGHT_PRIORS),
    "weight_concentration_prior": either(POSITIVE, NONE),
    "mean_precision_prior": either(POSITIVE, NONE),
    "mean_prior": either(ARRAY, NONE),
    "degrees_of_freedom_prior": either(POSITIVE, NONE),
    "covariance_prior": either(ARRAY, POSITIVE, NONE),
    "posterior": one_of(POSTERIORS),
    "prior": either(one_of(["auto"]), NONE),
    "sort": BOOL,
    "prune": BOOL,
}


class BayesianGaussianMixture(Bayesian, Predictive, Regression, Imputation, Outliers, Summary):
    """Gaussian mixture with a posterior of its parameters, by variational Bayes.

    A drop-in for ``sklearn.mixture.BayesianGaussianMixture``: same arguments, methods, fitted attributes and
    exceptions. Components that the rows do not need keep hardly any weight: ``n_components`` is a largest number.

    Parameters
    ----------
    n_components : int, default=1
        Largest number of Gaussian components.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        A general covariance matrix per component, one general matrix for all, a diagonal one per component, or a
        single variance per component.
    tol : float, default=1e-3
        The fit stops when the lower bound, of all rows together, changes by less than this from one iteration to the
        next, or as ``convergence`` says; 0 lets it run to ``max_iter``.
    reg_covar, max_iter, n_init, init_params : optional
        As for `GaussianMixture`. ``reg_covar`` is added for each row, as if it had noise of that variance.
    weight_concentration_prior_type : {'dirichlet_process', 'dirichlet_distribution'}, default='dirichlet_process'
        The prior of the weights: that of a Dirichlet process, by sticks that are broken in the order of the components,
        or a symmetric Dirichlet distribution.
    weight_concentration_prior : float, default=None
        alpha, the concentration: the smaller, the fewer components have weight. None means 1 / ``n_components``.
    mean_precision_prior : float, default=None
        beta0, the number of rows that ``mean_prior`` counts for: the larger, the nearer to it are the means. None
        means 1, which is much where groups are many standard deviations apart; see ``prior``.
    mean_prior : array-like of shape (n_features,), default=None
        m0, the mean of the means. None means that of the rows.
    degrees_of_freedom_prior : float, default=None
        nu0, the number of rows that the prior covariance counts for; above n_features - 1. None means n_features.
    covariance_prior : float or array-like, default=None
        S0, of the shape of the covariance of one component (a number if 'spherical'): the prior covariance times
        ``degrees_of_freedom_prior``. None means the covariance of the rows, as far as the structure has it.
    random_state, warm_start, verbose, verbose_interval : optional
        As for `GaussianMixture`.
    acceleration, convergence, max_time, callback, n_threads, drop_restarts, learning_decay, missing : optional
        As for `GaussianMixture`, with the lower bound of all rows in place of the mean log-likelihood per row.
        Accelerated or not, with gaps or without, it never falls, but for what ``reg_covar`` and ``prune`` do to it.
    posterior : {'compatible', 'exact'}, default='compatible'
        'compatible': scikit-learn's. It is that of one model, with a general matrix for each component, in which the
        Wishart distributions are restricted to the structure. 'exact': the conjugate posterior of the structure
        itself, with one Wishart distribution for the matrix that all share and inverse gammas for variances. Only with
        this one does ``elbo_`` compare structures; for 'full' both are the same.
    prior : {None, 'auto'}, default=None
        'auto': after each M-step ``mean_prior``, ``mean_precision_prior`` and ``covariance_prior`` are replaced by
        those under which the bound is largest (empirical Bayes). The fit then takes more iterations, and finds groups
        that the default priors merge.
    sort : bool, default=False
        With a Dirichlet process, put the components in decreasing order whenever that raises the bound: a stick that is
        broken early costs least for a large component.
    prune : bool, default=False
        Leave components with less than a hundredth of a row out of the iterations, which saves their time; at the end
        they come back as the last ones, as the prior has them.
    sampling : {'auto', None}, default='auto'
        'auto': as for `GaussianMixture` the fit begins on samples where rows are many, if ``tol`` is at least 1e-5
        times their number, or sum of weights: with less ``max_iter`` ends it, so that no passes would be saved. Rows
        of a sample count for all that they stand for.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Expectations of the weights.
    means_ : ndarray of shape (n_components, n_features)
        Expectations of the means.
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Inverses of the expected precisions, these, and their factors, in the shapes of `GaussianMixture`.
    weight_concentration_prior_, mean_precision_prior_, degrees_of_freedom_prior_ : float
        The priors that were used; with ``mean_prior_`` and ``covariance_prior_``.
    weight_concentration_ : ndarray of shape (n_components,), or two of them
        The parameters of the posterior of the weights: of the Dirichlet distribution, or a and b of each stick's Beta.
    mean_precision_ : ndarray of shape (n_components,)
        beta, the numbers of rows that means come from: those of the prior included.
    degrees_of_freedom_ : ndarray of shape (n_components,), or float if 'tied'
        nu, the same for covariances.
    lower_bound_ : float
        scikit-learn's lower bound, of all rows, after the last M-step. It lacks constants.
    lower_bounds_ : list of float, of length n_iter_
        The same after each.
    elbo_ : float
        The evidence lower bound: that of log p(X), with all constants. ``lower_bound_`` lacks those which depend on
        ``n_components``, on the priors and on the units of the rows. So it can tell nothing but how far a fit has come,
        while ``elbo_`` also compares numbers of components and priors, and with ``posterior='exact'`` structures.
    converged_, stop_reason_, n_iter_, fits_, searched_, n_samples_seen_, n_features_in_, feature_names_in_ : optional
        As for `GaussianMixture`. ``degenerate_`` tells of a prior that had to be made proper.

    Notes
    -----
    Sample weights are no ratios here: rows of weight 2 are two rows each, and make the posterior that much narrower.

    With ``missing='em'`` the posterior is that of all values observed, with those missing as further unknowns.
    ``partial_fit`` is stochastic variational inference: batches stand for all rows so far.

    `score_samples`, `predict` and `predict_proba` use the expected logarithms of the parameters, as scikit-learn's do;
    such densities integrate to a little less than one. `to_mixture` is the plug-in mixture, which `sample`,
    `marginal`, `condition`, `regress` and `impute` use, and `predictive_log_density` the posterior predictive, best
    for rows that were not fitted. With parameters set by hand, and no posterior, all use the plug-in mixture.

    With a Dirichlet distribution as prior, ``n_components`` components can be numbered in so many ways, of which the
    bound knows one: add log(n_components!) to ``elbo_`` when numbers of components are compared.

    References
    ----------
    C. M. Bishop. Pattern Recognition and Machine Learning. Springer, 2006, section 10.2.

    D. M. Blei, M. I. Jordan. Variational inference for Dirichlet process mixtures. Bayesian Analysis 1(1), 2006.

    M. D. Hoffman, D. M. Blei, C. Wang, J. Paisley. Stochastic variational inference. Journal of Machine Learning
    Research 14, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import BayesianGaussianMixture
    >>> X = np.random.RandomState(0).normal(size=(300, 2)) + np.repeat([[0, 0], [0, 9], [9, 0]], 100, axis=0)
    >>> mixture = BayesianGaussianMixture(n_components=8, sort=True, random_state=0).fit(X)
    >>> mixture.weights_.round(2)
    array([0.34, 0.33, 0.33, 0.  , 0.  , 0.  , 0.  , 0.  ])
    """

    _constraints = CONSTRAINTS

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float | str = 1e-6,
        max_iter: int = 100,
        n_init: int | str = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "kmeans",
        weight_concentration_prior_type: str = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: ArrayLike | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: ArrayLike | float | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        warm_start: bool = False,
        verbose: int | str = 0,
        verbose_interval: int = 10,
        acceleration: str | None = None,
        convergence: str = "likelihood",
        max_time: float | None = None,
        callback: Callable[[int, float, float], object] | None = None,
        n_threads: int | None = None,
        drop_restarts: bool = True,
        learning_decay: float = 0.6,
        missing: str = "raise",
        posterior: str = "compatible",
        prior: str | None = None,
        sort: bool = False,
        prune: bool = False,
        sampling: str | None = "auto",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.acceleration = acceleration
        self.convergence = convergence
        self.max_time = max_time
        self.callback = callback
        self.n_threads = n_threads
        self.drop_restarts = drop_restarts
        self.learning_decay = learning_decay
        self.missing = missing
        self.posterior = posterior
        self.prior = prior
        self.sort = sort
        self.prune = prune
        self.sampling = sampling

    def _bare(self) -> GaussianMixture:
        return GaussianMixture()

    @classmethod
    def _plain(cls) -> type[BayesianGaussianMixture]:
        return BayesianGaussianMixture
