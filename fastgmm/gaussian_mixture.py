"""The estimator: scikit-learn's `GaussianMixture` on fastgmm's kernels. Words and checks here, algebra elsewhere."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .exceptions import ConvergenceWarning, DegenerateComponentWarning, compatible
from .fitting.convergence import CALLBACK, INTERRUPT, MAX_ITER, MAX_TIME, Options
from .fitting.degeneracy import Maximization, Repair, summary
from .fitting.em import Fit, expectation_maximization
from .fitting.initialization import prepare
from .fitting.restarts import FitRecord, Plan, best_fit
from .fitting.starts import Goal, Start, fixed
from .inputs import as_source
from .mixture import Mixture
from .model.parameters import Parameters
from .progress import Progress
from .sources.source import Source
from .validation import (
    check_means,
    check_parameters,
    check_precisions,
    check_random_state,
    check_weights,
    feature_names,
)

__all__ = ["GaussianMixture"]

Starts = tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, NDArray[np.float64] | None]

# What the warning says of a fit that ended before it converged; the first in scikit-learn's words.
NOT_CONVERGED = {
    MAX_ITER: "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
    "tol, or check for degenerate data.",
    MAX_TIME: "The fit stopped at max_time = {max_time} s before it converged, with the best parameters so far. Allow "
    "more time, increase tol, or try acceleration='squarem'.",
    CALLBACK: "The callback stopped the fit before it converged; the best parameters so far are kept.",
    INTERRUPT: "The fit was interrupted before it converged; the best parameters so far are kept.",
}


class GaussianMixture(Mixture):
    """Gaussian mixture fitted by expectation-maximization (EM).

    A drop-in for ``sklearn.mixture.GaussianMixture``: same arguments, methods, fitted attributes and exceptions.

    Parameters
    ----------
    n_components : int, default=1
        Number of Gaussian components.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        A general covariance matrix per component, one general matrix for all, a diagonal one per component, or a
        single variance per component.
    tol : float, default=1e-3
        EM stops when the mean log-likelihood per sample changes by less than this from one iteration to the next, or
        as ``convergence`` says; 0 lets it run to ``max_iter``.
    reg_covar : float or 'auto', default=1e-6
        Added to the diagonal of each covariance matrix, in squared units of the data. 'auto' adds a millionth of each
        feature's variance (for 'spherical' of their mean), so that results do not change with the units of the data.
    max_iter : int, default=100
        Largest number of EM iterations; 0 keeps the starting values.
    n_init : int, default=1
        Number of initializations; the fit with the largest lower bound is kept.
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
          responsibilities, or means of shape (n_components, n_features); ``X`` is read-only.
    weights_init : array-like of shape (n_components,), default=None
        Weights to start from; None takes those of ``init_params``. The same holds for the next two.
    means_init : array-like of shape (n_components, n_features), default=None
        Means to start from.
    precisions_init : array-like, default=None
        Precisions (inverse covariances) to start from, in the shape of ``precisions_``.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness for initialization and `sample`; None is NumPy's global ``RandomState``.
    warm_start : bool, default=False
        Start each ``fit`` after the first where the previous one ended; ``n_init`` then counts for the first only.
    verbose : int, default=0
        1 prints initializations and iterations, 2 also times and changes of the log-likelihood.
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
        Seconds from the call of ``fit`` after which it stops at the end of the iteration; None sets no limit.
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
        With ``n_init`` of two or more, give up initializations that can hardly become the best: after 10, 20, 40, ...
        iterations those whose lower bound would stay below the largest one reached even if it gained ten times what
        Aitken's rule projected in any of the last five iterations. False runs all of them to their ends, and so does
        ``acceleration``, whose gains cannot be projected.

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
    converged_ : bool
        Whether the best fit ended because of ``tol``.
    stop_reason_ : {'tol', 'max_iter', 'max_time', 'callback', 'interrupt'}
        What ended the fit: the first means convergence, the last Ctrl-C.
    degenerate_ : list of Repair
        Repairs of components in the best fit: named tuples of ``iteration`` (0 is the start), ``component`` (None is
        the tied covariance), ``problem`` and ``remedy``.
    n_iter_ : int
        Number of iterations of the best fit: passes over the rows, those that an acceleration spent in vain included.
    lower_bound_ : float
        Mean log-likelihood per sample before the last M-step of the best fit.
    lower_bounds_ : list of float, of length n_iter_
        The same before each of its M-steps. A pass at an extrapolated point that was given up has no M-step: it
        repeats the value before.
    fits_ : list of FitRecord, of length n_init
        What became of each initialization: ``seconds_initialization``, ``seconds_em``, ``n_iter``, ``start_bound`` (the
        mean log-likelihood at the start), ``lower_bound``, ``converged``, ``dropped``.
    n_features_in_ : int
        Number of features seen by ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen by ``fit``; only there if ``X`` was a table whose column names are all strings.

    Notes
    -----
    The methods that use a mixture read ``weights_``, ``means_`` and ``precisions_cholesky_`` (`sample` reads
    ``covariances_``), so a mixture with known parameters is made by setting them, without ``fit``. Attributes have the
    dtype of the rows fitted: float32 for float32 rows, else float64. A ``fit`` that raises an exception leaves the
    estimator as it was. One that is interrupted by Ctrl-C after its first iteration ends with the best parameters so
    far and a ConvergenceWarning; before that, KeyboardInterrupt is raised.

    All random numbers are drawn from ``random_state``, initialization after initialization and before the first
    iteration; EM itself draws none. So the same data, ``random_state`` and instruction set (see
    ``fastgmm.show_config``) give the same bits, whatever the number of threads, and whether restarts are dropped or
    not they start from the same places. Another instruction set may differ in rounding.

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin. Maximum likelihood from incomplete data via the EM algorithm. Journal
    of the Royal Statistical Society B 39(1), 1977.

    D. Arthur, S. Vassilvitskii. k-means++: the advantages of careful seeding. SODA 2007.

    J. H. Ward. Hierarchical grouping to optimize an objective function. Journal of the American Statistical
    Association 58, 1963.

    C. Biernacki, G. Celeux, G. Govaert. Choosing starting values for the EM algorithm for getting the highest
    likelihood in multivariate Gaussian mixture models. Computational Statistics & Data Analysis 41, 2003.

    R. Varadhan, C. Roland. Simple and globally convergent methods for accelerating the convergence of any EM algorithm
    (SQUAREM). Scandinavian Journal of Statistics 35(2), 2008.

    R. J. Hathaway. A constrained formulation of maximum-likelihood estimation for normal mixture distributions. Annals
    of Statistics 13(2), 1985.

    C. M. Bishop. Pattern Recognition and Machine Learning. Springer, 2006, section 9.2.

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
    """

    converged_: bool
    stop_reason_: str
    degenerate_: list[Repair]
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    fits_: list[FitRecord]

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float | str = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        acceleration: str | None = None,
        convergence: str = "likelihood",
        max_time: float | None = None,
        degenerate: str = "repair",
        callback: Callable[[int, float, float], object] | None = None,
        n_threads: int | None = None,
        drop_restarts: bool = True,
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

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the parameters by EM from ``n_init`` starts and keep the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of numbers: an array of any order, strides, byte order and numeric dtype, a list, or a pandas,
            polars or pyarrow table. A float32 or float64 array is not copied, and one that is mapped from a file is
            read block by block. `fastgmm.sources` takes rows from files and chunks of any kind. With a dask.array or
            Dask DataFrame (``pip install fastgmm[dask]``) the work is done where the chunks lie, on the caller's
            ``distributed.Client`` if there is one: see the notes.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts: a row of weight 3 is three equal rows, one of weight 0 is absent. Only
            ratios matter. None means 1 each.

        Returns
        -------
        self : GaussianMixture

        Raises
        ------
        ValueError
            If a constructor argument is out of range, if ``X`` holds NaN, infinity or complex numbers, is not
            two-dimensional or has fewer rows than 2 or ``n_components``, if squares of its numbers overflow, if a
            starting value does not fit, or, with ``degenerate='raise'``, if a covariance becomes ill-defined.
        TypeError
            If ``X`` is sparse or a constructor argument has the wrong type.
        KeyboardInterrupt
            If Ctrl-C comes before the first iteration is done.

        Warns
        -----
        ConvergenceWarning
            If the fit ended before it converged: at ``max_iter``, at ``max_time``, by the callback or by Ctrl-C.
        DegenerateComponentWarning
            If components of the best fit were repaired.

        Notes
        -----
        Of a Dask collection the chunks are computed once and stay on their workers until the fit ends. In each
        iteration a worker returns the statistics of its chunks, n_components (n_features (n_features + 1) / 2 +
        n_features + 1) numbers each, however many the rows. They are added up in a tree of fixed order: the same chunks
        give the same bits each time, and those of the fit in memory up to rounding. What a lost worker held is computed
        again. Starts see the sample of rows that they see in memory; weights, and responsibilities given as
        ``init_params``, pass through this process. An iteration costs some 10 ms and 2 ms for each chunk beyond the
        computation: a few chunks for each thread, of 10 MB and more, are best. ``predict``, ``predict_proba`` and
        ``score_samples`` return dask.arrays that are computed when asked for.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture().fit([[0.0], [2.0], [4.0]]).means_
        array([[2.]])
        """
        with self._source(X, sample_weight) as source:
            attributes = self._estimate(source, feature_names(X))
        return self._adopt(attributes)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.int64]:
        """Fit, and return the most probable component of each row, as ``fit(X).predict(X)`` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Numbers of the components, from 0.

        Raises
        ------
        ValueError, TypeError
            As `fit`.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture(2, means_init=[[0], [9]], random_state=0).fit_predict([[0.0], [1.0], [8.0], [9.0]])
        array([0, 0, 1, 1])
        """
        with self._source(X, sample_weight) as source:
            attributes = self._estimate(source, feature_names(X))
            fitted = copy(self)._adopt(attributes)
            labels = source.labels(fitted._kernel_model(source.dtype))
        self._adopt(attributes)
        return labels

    def _adopt(self, attributes: dict[str, Any]) -> Self:
        """Take over fitted attributes in one step; feature names of an earlier fit do not survive it."""
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = kept | attributes
        return self

    def _source(self, X: Any, sample_weight: Any = None) -> Source:
        """Return checked rows as a source, after the checks of the arguments and of the columns' names."""
        name = type(self).__name__
        check_parameters(self.get_params(), name)
        feature_names(X)
        source = as_source(X, name, n_threads=self.n_threads, sample_weight=sample_weight, min_samples=2)
        n_samples = source.n_samples if source.weights is None else int(np.count_nonzero(source.weights))
        if n_samples < self.n_components:
            rows = "" if source.weights is None else " (rows of positive weight)"
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {n_samples}{rows}. Decrease n_components or pass more rows."
            )
        return source

    def _estimate(self, source: Source, names: NDArray[np.object_] | None) -> dict[str, Any]:
        """Run EM and return the fitted attributes, leaving the estimator as it is."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what overflows is refused or repaired
            fit, records = self._best_fit(source)
            attributes = self._attributes(fit, source.dtype) | {"fits_": records}
        if not fit.converged and self.max_iter > 0:
            message = NOT_CONVERGED[fit.stop_reason].format(max_time=self.max_time)
            warnings.warn(message, compatible(ConvergenceWarning), stacklevel=3)
        warn_of_repairs(fit.repairs, stacklevel=4)
        return attributes if names is None else attributes | {"feature_names_in_": names}

    def _best_fit(self, source: Source) -> tuple[Fit, list[FitRecord]]:
        """Run EM from each start; return the fit with the largest lower bound, and what became of all."""
        structure = self._structure()
        given = self._starting_values(source.n_features)
        random_state = check_random_state(self.random_state)
        options = self._options()
        warm = self.warm_start and hasattr(self, "converged_")
        plans = []
        for _ in range(1 if warm else self.n_init):
            maximize = Maximization(source, structure, self.reg_covar, self.degenerate)
            if warm:
                start = fixed(self._previous(source.n_features))
            else:
                start = self._start(source, given, random_state, maximize)
            em = partial(
                expectation_maximization, structure=structure, tol=self.tol, maximize=maximize, options=options
            )
            plans.append(Plan(start, em))
        return best_fit(
            source,
            structure,
            self.n_components,
            plans,
            max_iter=self.max_iter,
            drop=bool(self.drop_restarts) and self.acceleration is None,  # which does not gain step by step
            progress=Progress(self.verbose, self.verbose_interval),
            previous_bound=float(self.lower_bound_) if warm else -math.inf,
            in_order=self.verbose > 0 or self.callback is not None,
        )

    def _options(self) -> Options:
        """Return how EM goes on and when it ends, with the clock started."""
        return Options(self.acceleration, self.convergence, self.max_time, self.callback, perf_counter())

    def _starting_values(self, n_features: int) -> Starts:
        """Return the user's starting weights, means and precisions, checked; None for those not given."""
        shape = self._structure().covariance_shape(self.n_components, n_features)
        weights, means, precisions = self.weights_init, self.means_init, self.precisions_init
        return (
            None if weights is None else check_weights(weights, self.n_components),
            None if means is None else check_means(means, self.n_components, n_features),
            None if precisions is None else check_precisions(precisions, self.covariance_type, shape),
        )

    def _start(
        self,
        source: Source,
        given: Starts,
        random_state: np.random.RandomState | np.random.Generator,
        maximize: Maximization,
    ) -> Start:
        """Draw a start: the user's parameters, completed by ``init_params``."""
        structure = self._structure()
        weights, means, precisions = given
        if weights is not None and means is not None and precisions is not None:
            return fixed(structure.from_precisions(weights, means, precisions))
        if precisions is not None:  # what is found beside them is thrown away, and so are its repairs
            maximize = Maximization(source, structure, 1.0, "repair")
        drawn = prepare(source, Goal(structure, self.n_components, maximize), self.init_params, random_state)

        def start(source: Source) -> Parameters:
            found = drawn(source)
            pi, mu = found.weights if weights is None else weights, found.means if means is None else means
            if precisions is None:
                return replace(found, weights=pi, means=mu)
            return structure.from_precisions(pi, mu, precisions)

        return start

    def _previous(self, n_features: int) -> Parameters:
        """Return the parameters of the previous fit, for a warm start."""
        parameters = self._parameters()
        seen, expected = parameters.means.shape, (self.n_components, n_features)
        if seen != expected:
            raise ValueError(
                f"warm_start cannot go on from means_ of shape {seen}: n_components and X now ask for {expected}. "
                "Set warm_start=False, or keep n_components and the number of features."
            )
        return parameters

    def _attributes(self, fit: Fit, dtype: np.dtype[Any]) -> dict[str, Any]:
        """Return the fitted attributes, numbers in the given dtype."""
        parameters = fit.parameters
        arrays = {
            "weights_": parameters.weights,
            "means_": parameters.means,
            "covariances_": parameters.covariances,
            "precisions_": self._structure().precisions(parameters.precisions_cholesky),
            "precisions_cholesky_": parameters.precisions_cholesky,
        }
        bounds = [dtype.type(bound) for bound in fit.lower_bounds]
        rounded = {name: np.array(values, dtype=dtype) for name, values in arrays.items()}
        if not all(np.isfinite(values).all() for values in rounded.values()):
            raise ValueError(
                f"The covariances or precisions of the mixture overflow in {dtype}: the means are as large as "
                f"{np.abs(parameters.means).max():.3g}. Divide each column of X by its standard deviation"
                f"{', or pass float64 rows' if dtype == np.float32 else ''}."
            )
        return rounded | {
            "converged_": fit.converged,
            "stop_reason_": fit.stop_reason,
            "degenerate_": fit.repairs,
            "n_iter_": len(bounds),
            "lower_bound_": bounds[-1] if bounds else -math.inf,
            "lower_bounds_": bounds,
            "n_features_in_": parameters.means.shape[1],
        }


def warn_of_repairs(repairs: list[Repair], stacklevel: int) -> None:
    """Issue the warning that names the components that were repaired, if there are any."""
    if repairs:
        warnings.warn(
            f"Components were repaired: {summary(repairs)}. Decrease n_components, increase reg_covar, or check for "
            "constant, collinear or repeated data; degenerate_ lists all repairs.",
            DegenerateComponentWarning,
            stacklevel=stacklevel,
        )
