"""EM by hand: its two steps as functions, with statistics that can be stored, sent and merged between them."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import numpy as np

from .fitting.convergence import MAX_ITER, RULES, TOL
from .fitting.em import Fit
from .gaussian_mixture import GaussianMixture
from .mixture.base import check_arguments, fitted, rows_of
from .mixture.elsewhere import reached, settings_of, take_over
from .mixture.ending import warn_of_repairs
from .model.masked import masked
from .model.statistics import Statistics
from .model.structure import Structure
from .sources.intake import total_weight
from .sources.pooled import PooledRows
from .text import quoted

__all__ = ["maximize", "merge", "statistics"]


@masked
def statistics(mixture: GaussianMixture, X: Any, sample_weight: Any = None) -> Statistics:
    """Return the sufficient statistics of rows under a mixture: the E-step of EM.

    Statistics of parts of the data, computed wherever these are, are merged by `merge`, and `maximize` makes the next
    mixture of them: together they do what ``fit`` does with all rows in one place, to rounding. They take
    n_components (n_features (n_features + 1) + 1) numbers at most, however many the rows.

    Parameters
    ----------
    mixture : GaussianMixture
        Fitted, if only to starting values with ``max_iter=0``, or with attributes set by hand.
    X : array-like of shape (n_samples, n_features)
        As for ``fit``; a single row will do.
    sample_weight : array-like of shape (n_samples,), default=None
        How many times each row counts.

    Returns
    -------
    statistics : Statistics
        About the means of the mixture.

    Raises
    ------
    NotFittedError
        If the mixture has no parameters.
    ValueError, TypeError
        If the rows are refused as by ``fit``, have other features than the mixture, or lie so many standard deviations
        from every mean that squares of these overflow.

    Notes
    -----
    The same on Spark, for a DataFrame ``frame`` whose columns are the features; no row leaves its worker::

        def e_step(batches):
            parts = [fastgmm.statistics(mixture, np.column_stack(b.columns)) for b in batches if b.num_rows]
            if parts:
                yield pa.RecordBatch.from_pydict({"statistics": [pickle.dumps(fastgmm.merge(*parts))]})

        while not mixture.converged_:
            parts = frame.mapInArrow(e_step, "statistics binary").rdd.map(lambda row: pickle.loads(row.statistics))
            mixture = fastgmm.maximize(mixture, parts.treeReduce(fastgmm.merge))

    and on Ray, for ``blocks``, references to arrays of rows that `ray.put` or tasks have left on the cluster::

        e_step = ray.remote(fastgmm.statistics)
        while not mixture.converged_:
            parts = ray.get([e_step.remote(mixture, block) for block in blocks])
            mixture = fastgmm.maximize(mixture, fastgmm.merge(*parts))

    Dask needs no recipe: ``fit`` takes its collections.

    References
    ----------
    R. M. Neal, G. E. Hinton. A view of the EM algorithm that justifies incremental, sparse, and other variants.
    Learning in Graphical Models, 1998.

    Examples
    --------
    Two processes hold a half of the rows each. Both begin with the same mixture:

    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastgmm
    >>> X = np.random.RandomState(0).normal(size=(1000, 2)) + np.repeat([[0, 0], [5, 5]], 500, axis=0)
    >>> mixture = fastgmm.GaussianMixture(2, max_iter=0, random_state=0).fit(X[::10])
    >>> halves, files = [X[:700], X[700:]], [os.path.join(tempfile.mkdtemp(), f"{i}.npz") for i in range(2)]

    In each iteration each process computes the statistics of its rows and stores or sends them, and one of the two
    merges and maximizes:

    >>> while not mixture.converged_:
    ...     for half, file in zip(halves, files):  # each in its own process
    ...         fastgmm.statistics(mixture, half).save(file)
    ...     parts = [fastgmm.Statistics.load(file) for file in files]
    ...     mixture = fastgmm.maximize(mixture, fastgmm.merge(*parts))
    >>> mixture.n_iter_, mixture.weights_.round(3)
    (3, array([0.5, 0.5]))
    """
    state = vars(mixture)
    value, parameters = fitted(mixture, state), reached(mixture, state)
    source = rows_of(mixture, value, X, sample_weight)
    with source:
        n_samples = state.get("n_samples_seen_", 0.0)
        if n_samples > 0:
            source.weight_unit = n_samples / source.total  # a part of the rows stands for those that were fitted
        m_step = settings_of(mixture, state).m_step(source, value.structure)
        known = value.structure.with_axes(m_step.evaluated(parameters))
        found = source.statistics(value.structure, known).in_data_units()
    _check_finite(found)
    if sample_weight is None:
        return found
    scale = round(math.log2(total_weight(source, sample_weight) / source.total))  # of weights, a power of two
    return found.scaled(math.ldexp(1.0, scale))


@masked
def merge(first: Statistics, *others: Statistics) -> Statistics:
    """Return the statistics of all rows from those of parts, added up from left to right.

    Parameters
    ----------
    first, *others : Statistics
        Computed for the same mixture.

    Returns
    -------
    statistics : Statistics

    Raises
    ------
    ValueError
        If they are of different mixtures: of other means, covariance types or sizes.
    TypeError
        If one is something else.

    Examples
    --------
    >>> import fastgmm
    >>> mixture = fastgmm.GaussianMixture().fit([[-1.0], [1.0]])
    >>> parts = [fastgmm.statistics(mixture, rows) for rows in ([[0.0], [1.0]], [[2.0]])]
    >>> fastgmm.merge(*parts).n_samples
    3
    """
    if not isinstance(first, Statistics):
        raise TypeError(f"merge needs the Statistics of rows, one after the other, but got {type(first).__name__}.")
    merged = first
    for other in others:
        merged = merged.merge(other)
    return merged


@masked
def maximize(mixture: GaussianMixture, statistics: Statistics) -> GaussianMixture:
    """Return the mixture under which rows of these statistics are most likely: the M-step of EM.

    Parameters
    ----------
    mixture : GaussianMixture
        The mixture that the statistics were computed for. It stays as it is.
    statistics : Statistics
        Of all rows: what `merge` returns.

    Returns
    -------
    mixture : GaussianMixture
        A new one with the same arguments and the parameters of the M-step, its ``reg_covar`` and repairs of degenerate
        components included. One iteration is added to ``n_iter_``, ``lower_bounds_`` and, if there were repairs,
        ``degenerate_``; ``converged_`` says whether the iteration meets ``tol`` by the rule ``convergence``.

    Raises
    ------
    NotFittedError
        If the mixture has no parameters.
    ValueError
        If the statistics were computed for another mixture, or are too large or, with ``degenerate='raise'``, a
        covariance becomes ill-defined.
    TypeError
        If ``statistics`` is something else.

    Warns
    -----
    DegenerateComponentWarning
        If components were repaired.

    Notes
    -----
    ``fit`` holds a component that has collapsed to its least variances from then on, `maximize` for one step.

    Examples
    --------
    >>> import fastgmm
    >>> mixture = fastgmm.GaussianMixture(reg_covar=0).fit([[-1.0], [1.0]])
    >>> fastgmm.maximize(mixture, fastgmm.statistics(mixture, [[0.0], [1.0], [5.0]])).means_
    array([[2.]])
    """
    check_arguments(mixture)
    state = vars(mixture)
    settings = settings_of(mixture, state)
    if not isinstance(statistics, Statistics):
        raise TypeError(f"maximize needs the Statistics of rows, but got {type(statistics).__name__}.")
    value = fitted(mixture, state)
    structure, parameters = value.structure, reached(mixture, state)
    _check_same(statistics, structure, parameters.means)
    _check_finite(statistics)
    rows = PooledRows(structure, statistics)
    bounds, repairs = state.get("lower_bounds_", []), state.get("degenerate_", [])
    m_step = settings.m_step(rows, structure)
    rule = RULES[settings.convergence](structure, settings.tol)
    rule.bounds += [float(earlier) for earlier in bounds[-2:]]
    found = m_step(statistics, parameters, len(bounds) + 1)
    bound = m_step.reported(statistics, parameters, found) - m_step.offset(statistics)
    reason = TOL if rule.met(bound, parameters, found, jumped=False) else MAX_ITER
    fit = Fit(found, [*bounds, bound], reason, [*repairs, *m_step.repairs], m_step=m_step)
    following = take_over(copy(mixture), fit, rows.dtype, rows.total, names=value.feature_names)
    warn_of_repairs(m_step.repairs)
    return following


def _check_same(statistics: Statistics, structure: Structure, means: np.ndarray) -> None:
    """Refuse statistics of another mixture."""
    covariance_type = structure.layout.name
    if statistics.covariance_type != covariance_type:
        raise ValueError(
            f"The statistics are of {quoted(statistics.covariance_type)} covariances, the mixture's are "
            f"{covariance_type!r}. "
            "Pass the mixture that they were computed for."
        )
    expected = structure.covariance_shape(*means.shape)
    if statistics.reference.shape == means.shape and statistics.scatters.shape != expected:
        raise ValueError(
            f"The statistics have scatters of shape {statistics.scatters.shape}, but {covariance_type!r} covariances "
            f"need {expected}. Compute them by fastgmm.statistics."
        )
    if statistics.reference.shape != means.shape:
        raise ValueError(
            f"The statistics are about means of shape {statistics.reference.shape}, the mixture has means_ of shape "
            f"{means.shape}. Pass the mixture that they were computed for."
        )
    if not np.array_equal(statistics.reference, means):
        raise ValueError(
            "The statistics were computed for another mixture: the means that they are about differ by up to "
            f"{np.abs(statistics.reference - means).max():.3g} from means_. Pass the mixture that they were computed "
            "for, in the same iteration."
        )


def _check_finite(statistics: Statistics) -> None:
    """Refuse statistics that a row has spoiled."""
    arrays = (statistics.counts, statistics.sums, statistics.scatters, statistics.log_likelihood)
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(
            f"The statistics hold NaN or infinity (log-likelihood {statistics.log_likelihood:g}): some row lies too "
            "many standard deviations from every mean, or is too large to be squared. Drop outliers, divide each "
            "column by its standard deviation, or begin with smaller precisions."
        )
