"""GaussianMixture: its arguments and its M-step; what these may be and all methods stand in mixture/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .fitting.mstep import MaximumLikelihood, MSteps, bounded
from .fitting.penalized import Penalized
from .mixture.arguments import CONSTRAINTS
from .mixture.conversion import Conversion
from .mixture.criteria import Criteria
from .mixture.distribution import Distribution
from .mixture.imputation import Imputation
from .mixture.outliers import Outliers
from .mixture.persistence import Persistent
from .mixture.prior import Prior, prior_of
from .mixture.regression import Regression
from .mixture.streaming import Streaming
from .mixture.summary import Summary

__all__ = ["GaussianMixture"]


class GaussianMixture(
    Streaming, Criteria, Distribution, Regression, Imputation, Outliers, Persistent, Conversion, Summary
):
    """Gaussian mixture fitted by expectation-maximization (EM).

    A drop-in for ``sklearn.mixture.GaussianMixture``: same arguments, methods, fitted attributes and exceptions.

    Parameters
    ----------
    n_components : int, default=1
        Number of Gaussian components.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'EII', ..., 'VVV', 'E', 'V'}, default='full'
        A general covariance matrix per component, one general matrix for all, a diagonal one per component, or a
        single variance per component. Or one of mclust's fourteen structures, whose letters say whether volume, shape
        and axes of the components are equal (E) or variable (V), or spheres and the features as axes (I):

        * spherical: 'EII', 'VII'; diagonal: 'EEI', 'VEI', 'EVI', 'VVI';
        * general: 'EEE', 'VEE', 'EVE', 'VVE' have axes in common, 'EEV', 'VEV', 'EVV', 'VVV' their own.

        'VII', 'VVI', 'EEE' and 'VVV' are 'spherical', 'diag', 'tied' and 'full'. Attributes have the shape of one of
        these, with equal values repeated: those of 'EII' that of 'spherical', of other diagonal ones that of 'diag', of
        other general ones that of 'full'. 'E' and 'V' are for one feature, with the shape of 'spherical'.
    tol : float, default=1e-3
        EM stops when the mean log-likelihood per sample changes by less than this from one iteration to the next, or
        as ``convergence`` says; 0 lets it run to ``max_iter``.
    reg_covar : float or 'auto', default=1e-6
        Added to the diagonal of each covariance matrix, in squared units of the data. 'auto' adds a millionth of each
        feature's variance (for 'spherical' of their mean), so that results do not change with the units of the data.
    max_iter : int, default=100
        Largest number of EM iterations; 0 keeps the starting values.
    n_init : int or 'auto', default=1
        Number of initializations, of which the best is kept: the sound one (see ``fits_``) with the largest lower
        bound. Those by k-means are of different kinds after the first. 'auto' searches until the best optimum has been
        found again and again; see the notes.
    init_params : str, array-like or callable, default='kmeans'
        Where responsibilities start:

        * 'kmeans': at k-means clusters;
        * 'k-means++': at rows chosen by k-means++;
        * 'random': at random;
        * 'random_from_data': at rows chosen at random;
        * 'hierarchical': at clusters of Ward's hierarchy of at most 2000 rows, features in units of their spread;
        * 'best': where the best of four cheap starts has come after a dozen iterations on at most 16384 rows (256 per
          component where that is more): k-means and random rows, with features as they are and with equal spreads;
        * array-like of shape (n_samples,): at these labels, from 0 to n_components - 1;
        * array-like of shape (n_samples, n_components): at these responsibilities, each row summing to one;
        * a callable: at what ``init_params(X, n_components, random_state)`` returns, which is labels,
          responsibilities, or means of shape (n_components, n_features); ``X`` is read-only. What has both shapes is
          taken for responsibilities where no number is negative and each row sums to one.
    weights_init : array-like of shape (n_components,), default=None
        Weights to start from, which sum to one; None takes those of ``init_params``. The same holds for the next two.
    means_init : array-like of shape (n_components, n_features), default=None
        Means to start from. What ``init_params`` finds beside them belongs to the nearest of its components, pair by
        pair, the closest first (in scikit-learn, to whichever has the same number).
    precisions_init : array-like, default=None
        Precisions (inverse covariances) to start from, in the shape of ``precisions_``.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness for initialization and `sample`; None is NumPy's global ``RandomState``.
    warm_start : bool, default=False
        Start each ``fit`` after the first where the previous one ended; ``n_init`` then counts for the first only.
    verbose : int or 'bar', default=0
        1 prints initializations and iterations, 2 also times and changes of the log-likelihood. 'bar' draws a progress
        bar of the iterations of all initializations, by tqdm (``pip install fastgmm[progress]``).
    verbose_interval : int, default=10
        Number of iterations from one printed line to the next.
    acceleration : {None, 'squarem'}, default=None
        'squarem' extrapolates from each two EM steps; a point that turns out worse is given up, so that the
        likelihood never falls. Where components overlap this takes about a third of the passes to the same
        likelihood; every pass counts in ``n_iter_``. The last extrapolation, too, must have gained less than ``tol``,
        so that a fit ends nearer to its optimum than without. That may, rarely, be another optimum.
    convergence : {'likelihood', 'parameters', 'aitken'}, default='likelihood'
        What has to be less than ``tol``. 'likelihood': the last change of the mean log-likelihood, which may be small
        far from the optimum. 'parameters': the largest change of a parameter in an iteration, weights relative to
        themselves, means and covariances in standard deviations of their component. 'aitken': the distance of the
        mean log-likelihood to its limit, projected from the last three iterations.
    max_time : float, default=None
        Seconds from the call of ``fit`` after which it stops, starts and long passes over the rows included, with the
        parameters of the last whole iteration, or else of the start; None sets no limit.
    degenerate : {'repair', 'raise'}, default='repair'
        What happens when a component empties or collapses onto a point, a line, repeated rows or fewer rows than
        features. 'repair': an empty one is held as it was; a collapsed one gets the most likely covariance among
        those whose variances are, in every direction, at least a millionth of its own, or where it has none, of the
        other components' or of all rows'; a warning names it. 'raise': a ValueError, as in scikit-learn.
    callback : callable, default=None
        Called after each iteration as ``callback(iteration, lower_bound, elapsed)``, with the number of the iteration
        from 1, the mean log-likelihood before its M-step and the seconds since the call of ``fit``. A true return
        value stops the fit.
    n_threads : int, default=None
        Number of threads; None takes ``FASTGMM_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the cores that this
        process may use. The results do not depend on it. For a Dask collection, of each task; None shares the
        cluster's among the chunks.
    drop_restarts : bool, default=True
        With ``n_init`` of two or more, abandon initializations that can hardly become the best; the notes have the
        rule. False runs all of them to their ends, and so does ``acceleration``, whose gains cannot be projected.
    learning_decay : float, default=0.6
        For `partial_fit`: a batch has the weight (its rows / all rows so far) ** ``learning_decay`` in what is
        remembered; more than 0.5, and at most 1, with which nothing is forgotten. Parameters are averaged over batches
        unless it is 1.
    missing : {'raise', 'em'}, default='raise'
        What NaN in ``X`` means. 'raise': an error. 'em': a value missing at random; the likelihood is that of the
        values observed, and EM maximizes it exactly, by the conditional moments of what is missing. The methods that
        take rows then take gaps too. A row without any value counts in the number of samples and changes nothing else.
        ``init_params`` sees rows filled in from one Gaussian, at most about a million numbers of them. None, nulls of
        tables, and pandas' NA and NaT among objects are NaN; columns of dates are refused, with gaps or without.
    prior : {None, 'mclust'} or fastgmm.Prior, default=None
        Prior of the parameters, of which the fit finds the most probable ones; None is maximum likelihood, 'mclust' the
        prior that mclust takes by default. No component collapses then, whatever the rows, so that ``reg_covar`` is
        best 0 and ``degenerate`` has no say. Bounds are log posterior densities per row, which never fall (with a
        ``reg_covar`` of 0); `score`, `bic` and the others remain those of the likelihood, as in mclust. The sum of
        ``sample_weight`` is then the number of rows that the prior is weighed against.
    equal_weights : bool, default=False
        Whether all components have the weight 1 / n_components, as mclust's ``equalPro``; criteria count no weights
        then.
    noise : {None, 'auto'} or float, default=None
        A component of constant density for rows that belong to no Gaussian: 'auto' takes one over the volume of the
        smaller of two boxes about the rows, along features or principal axes, as mclust does; a float is the logarithm
        of the density. Its label is -1, and it is the last column of `predict_proba`. ``weights_`` sum to
        ``1 - noise_weight_``. See the notes.
    covariance_ratio : float, default=None
        Largest ratio of two variances, in any directions, of one component or of two; at least 1, and None is no bound.
        Each feature is in units of its standard deviation over all rows, so that the bound does not depend on those of
        the data; for 'spherical', whose features share a unit, it is the ratio of the components' variances. Under the
        bound the likelihood is bounded, ``reg_covar`` may be 0, and no component collapses onto a few rows while others
        have some spread; EM finds the most likely covariances under it exactly, in every iteration. For 'full',
        'diag', 'spherical', 'tied', 'EEI', 'EII', 'V' and 'E', without a ``prior``; criteria count parameters as
        without it.
    sampling : {'auto', None}, default='auto'
        'auto': EM begins on samples where rows are many and starts are left to ``init_params='kmeans'``; see the notes.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weights of the components.
    means_ : ndarray of shape (n_components, n_features)
        Means of the components.
    covariances_ : ndarray
        Covariances, of shape (n_components, n_features, n_features) if 'full', (n_features, n_features) if 'tied',
        (n_components, n_features) if 'diag', (n_components,) if 'spherical'.
    precisions_ : ndarray of the shape of ``covariances_``
        Inverses of the covariances.
    precisions_cholesky_ : ndarray of the shape of ``covariances_``
        Upper triangular factors U with precision = U U^T; square roots for 'diag' and 'spherical'.
    noise_weight_, noise_log_density_ : float
        With ``noise``: its weight, and the logarithm of its density.
    noise_box_ : ndarray of shape (2, n_features) or (n_features + 2, n_features)
        With ``noise``: the box from which `sample` draws: lower ends, widths, and its axes unless these are features.
    converged_ : bool
        Whether the best fit ended because of ``tol``.
    stop_reason_ : {'tol', 'max_iter', 'max_time', 'callback', 'interrupt', 'partial_fit'}
        What ended the fit: the first means convergence, 'callback' that it returned true or raised an exception,
        'interrupt' Ctrl-C; the last that more batches may come.
    degenerate_ : list of Repair
        Repairs of components in the best fit: named tuples of ``iteration`` (0 is the start), ``component`` (None is
        the tied covariance), ``problem`` and ``remedy``.
    n_iter_ : int
        Number of iterations of the best fit: passes over the rows, those that an acceleration spent in vain included.
    lower_bound_ : float
        Mean log-likelihood per sample before the last M-step of the best fit; with a ``prior``, plus the log density of
        the parameters divided by the number of rows.
    lower_bounds_ : list of float, of length n_iter_
        The same before each of its M-steps. A pass at an extrapolated point that was given up has no M-step: it
        repeats the value before.
    fits_ : list of FitRecord, of length n_init, or with noise perhaps one more
        What became of each initialization: ``seconds_initialization``, ``seconds_em``, ``n_iter``, ``start_bound`` (the
        mean log-likelihood at the start), ``lower_bound``, ``converged``, ``dropped``, ``start`` (its kind), ``sound``
        (False where repairs after the start, ``reg_covar``, or hardly any rows hold a component; None for a single
        fit), ``levels`` (rows of each sample on which EM began, and passes over them). The seconds are NaN in a mixture
        that was loaded, pickled or copied: equal fits give equal files.
    searched_ : Searched
        With ``n_init='auto'``: ``rounds``, those of fresh starts that ``found`` the best optimum, and ``passes``.
    n_samples_seen_ : float
        Number of rows, or sum of their weights, that the parameters come from; with `partial_fit`, in all batches.
    n_features_in_ : int
        Number of features seen by ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen by ``fit``; only there if ``X`` was a table whose column names are all strings.

    Notes
    -----
    The methods that use a mixture read ``weights_``, ``means_`` and ``precisions_cholesky_`` (`sample` reads
    ``covariances_``), so a mixture with known parameters is made by setting them, without ``fit``. Attributes have the
    dtype of the rows fitted: float32 for float32 rows, else float64. A ``fit`` that raises an exception leaves the
    estimator as it was, but for two: KeyboardInterrupt (Ctrl-C, or any other signal that raises no ``Exception``) and
    what ``callback`` raises. These leave the best parameters of the iterations done, with ``converged_`` False.

    Methods may be overridden: `score`, `bic`, `aic`, `icl` and the anomaly scores follow a `score_samples` of a
    subclass, `icl` and `uncertainty` its `predict_proba`, and `fit_predict` its `fit` and `predict`. scikit-learn's
    internals (``_e_step``, ``_estimate_log_prob``, ``_initialize_parameters`` and their like) are never called, and
    ``_m_step`` is something else here. The class methods (`load`, `from_parameters`, `from_sklearn`) make an object of
    the subclass by its constructor, whatever that takes, and set what it does not take; where it has an argument
    without a default that is not known, it is not called, and that argument is None. `marginal` and `condition` return
    a GaussianMixture.

    Initializations are compared after 10, 20, 40, ... iterations. From three consecutive lower bounds b0, b1, b2, with
    gains g1 = b1 - b0 and g2 = b2 - b1, Aitken's rule projects that EM has g2^2 / (g1 - g2) still to gain. With
    ``drop_restarts`` an initialization is abandoned if even b2 plus ten times that, the largest of the last five such
    projections, stays below the largest bound that any initialization has reached.

    With ``n_init='auto'`` rounds of candidates follow the fit of a single initialization: fresh starts of many kinds,
    the best three optima with a component elsewhere, or under random weights of rows for a while. The best of each goes
    on to its end. The search ends when two rounds of fresh starts have come to the best optimum and three have found
    none better, after 4500 passes, or at ``max_time``. More than 16 384 rows are searched in a sample.

    With ``sampling='auto'`` EM begins on max(8192, 256 ``n_components``, 8 times the free parameters) rows, if there
    are eight times as many, at the best start of a race as in 'best', until a step gains less than the larger of
    ``tol`` / 10 and 2 / rows; samples eight times as large follow, up to a quarter of the rows. Then EM goes on with
    all rows as ever: ``n_iter_``, ``callback`` and ``verbose`` know these iterations alone. It begins with all rows
    with gaps, starting values, ``acceleration``, another ``convergence``, or a ``max_iter`` below 10.

    With ``noise`` each start leaves it a tenth of the rows, or what ``weights_init`` lacks of the sum 1; and one more
    initialization than ``n_init`` (on samples: more starts of the race) begins from the rows (of 2000) that have near
    neighbors, where starts are left to a method. The density is constant everywhere, so that rows outside the box are
    noise, too, all with about the same `anomaly_scores`, the largest; of some of the features it is that of a box along
    these. `regress` and `impute` take rows for no noise. In a stream the box is that of the rows of the first estimate;
    with gaps, one along principal axes is about the complete rows. Criteria count the weight, and the volume unless a
    density is given. ``reg_covar='auto'`` takes the variances of all rows: where some are far away give a number.

    All random numbers are drawn from ``random_state``, initialization after initialization and before the first
    iteration; EM itself draws none. So the same data, ``random_state`` and instruction set (see
    ``fastgmm.show_config``) give the same bits, whatever the number of threads, and whether restarts are dropped or
    not they start from the same places. Another instruction set may differ in rounding.

    Any number of Python threads may fit and use mixtures at once, also the same one. A fit takes over all attributes at
    its end, in one step: a method called meanwhile answers for the mixture before or for the one after, never for a bit
    of each. `set_params`, `partial_fit`, attributes set by hand and a ``RandomState`` or ``Generator`` that several
    share are for one thread at a time. Threads live no longer than the call that needs them, so that a process may be
    forked after any. joblib's default backend, loky, and Dask's workers share out the processors by
    ``OMP_NUM_THREADS``, as long as ``FASTGMM_NUM_THREADS`` is not set. Nothing does so for Python threads, joblib's
    'threading' backend and `multiprocessing`: pass ``n_threads=1`` to fits that run side by side there.

    Fits are logged to the logger "fastgmm" of Python's `logging`: how they begin and end at the level INFO, iterations
    at DEBUG.

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin. Maximum likelihood from incomplete data via the EM algorithm. Journal
    of the Royal Statistical Society B 39(1), 1977.

    Z. Ghahramani, M. I. Jordan. Supervised learning from incomplete data via an EM approach. Advances in Neural
    Information Processing Systems 6, 1994.

    J. D. Banfield, A. E. Raftery. Model-based Gaussian and non-Gaussian clustering. Biometrics 49, 1993.

    S. Byers, A. E. Raftery. Nearest-neighbor clutter removal for estimating features in spatial point processes.
    Journal of the American Statistical Association 93, 1998.

    G. Celeux, G. Govaert. Gaussian parsimonious clustering models. Pattern Recognition 28, 1995.

    D. Arthur, S. Vassilvitskii. k-means++: the advantages of careful seeding. SODA 2007.

    J. H. Ward. Hierarchical grouping to optimize an objective function. Journal of the American Statistical
    Association 58, 1963.

    C. Biernacki, G. Celeux, G. Govaert. Choosing starting values for the EM algorithm for getting the highest
    likelihood in multivariate Gaussian mixture models. Computational Statistics & Data Analysis 41, 2003.

    R. Varadhan, C. Roland. Simple and globally convergent methods for accelerating the convergence of any EM algorithm
    (SQUAREM). Scandinavian Journal of Statistics 35(2), 2008.

    R. J. Hathaway. A constrained formulation of maximum-likelihood estimation for normal mixture distributions. Annals
    of Statistics 13(2), 1985.

    H. Fritz, L. A. García-Escudero, A. Mayo-Iscar. A fast algorithm for robust constrained clustering. Computational
    Statistics & Data Analysis 61, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> mixture = GaussianMixture(n_components=2, means_init=[[0, 2], [9, 2]], random_state=0).fit(X)
    >>> mixture.means_
    array([[ 1.,  2.],
           [10.,  2.]])
    >>> mixture.predict([[0, 0], [12, 3]])
    array([0, 1])

    Three rows are equal, and a component that begins there collapses unless the ratio of variances is bounded:

    >>> X, options = [[0.0], [0.0], [0.0], [5.0], [7.0], [9.0]], {"reg_covar": 0, "init_params": [0, 0, 0, 1, 1, 1]}
    >>> GaussianMixture(2, covariance_ratio=4, **options).fit(X).covariances_.ravel().round(2)
    array([0.33, 1.33])
    """

    _constraints = CONSTRAINTS

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float | str = 1e-6,
        max_iter: int = 100,
        n_init: int | str = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        warm_start: bool = False,
        verbose: int | str = 0,
        verbose_interval: int = 10,
        acceleration: str | None = None,
        convergence: str = "likelihood",
        max_time: float | None = None,
        degenerate: str = "repair",
        callback: Callable[[int, float, float], object] | None = None,
        n_threads: int | None = None,
        drop_restarts: bool = True,
        learning_decay: float = 0.6,
        missing: str = "raise",
        prior: Prior | str | None = None,
        equal_weights: bool = False,
        noise: float | str | None = None,
        covariance_ratio: float | None = None,
        sampling: str | None = "auto",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.acceleration = acceleration
        self.convergence = convergence
        self.max_time = max_time
        self.degenerate = degenerate
        self.callback = callback
        self.n_threads = n_threads
        self.drop_restarts = drop_restarts
        self.learning_decay = learning_decay
        self.missing = missing
        self.prior = prior
        self.equal_weights = equal_weights
        self.noise = noise
        self.covariance_ratio = covariance_ratio
        self.sampling = sampling

    def _check_in_sklearn(self) -> None:
        if self.noise is not None:
            raise ValueError(
                f"noise={self.noise!r} has nothing that stands for it in scikit-learn: its mixtures have no noise."
            )

    def _bare(self) -> GaussianMixture:
        return GaussianMixture()

    @classmethod
    def _plain(cls) -> type[GaussianMixture]:
        return GaussianMixture

    def _m_step(self, state: Mapping[str, Any] | None = None) -> MSteps:
        found: MSteps = partial(MaximumLikelihood, reg_covar=self.reg_covar, degenerate=self.degenerate)
        if self.prior is not None:
            prior = self.prior if isinstance(self.prior, Prior) else Prior()
            found = partial(Penalized, prior=partial(prior_of, prior=prior), reg_covar=self.reg_covar)
        found, ratio = partial(found, noise=self.noise), self.covariance_ratio
        return found if ratio is None else partial(bounded, covariance_ratio=float(ratio), of=found)
