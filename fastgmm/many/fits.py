"""Fits, the result of `fit_many`: the mixtures of many problems, in arrays and one by one."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..fitting.convergence import MAX_ITER, TOL
from ..gaussian_mixture import GaussianMixture
from ..text import counted, listed, quoted
from .answers import answers
from .layouts import layout_of
from .plan import Plan
from .records import Mixtures, Records

if TYPE_CHECKING:
    import pandas

__all__ = ["Fits", "fits_of"]


@dataclass(frozen=True, eq=False)
class Fits:
    """The mixtures of many problems. Arrays hold NaN where a problem has no mixture, or fewer components than others.

    ``fits[i]`` is the mixture of problem i, a `GaussianMixture`, or an error where it has none; iteration gives None
    there. ``len(fits)`` is the number of problems. Arrays are read-only, and in double precision; mixtures have the
    type of their rows.

    Attributes
    ----------
    n_components_ : ndarray of int of shape (n_problems,)
        The numbers of components; 0 for a problem without a mixture.
    weights_ : ndarray of shape (n_problems, K)
        K is the largest number of components asked for.
    means_ : ndarray of shape (n_problems, K, n_features)
    covariances_ : ndarray
        (n_problems,) and the shape of ``covariances_`` of K components.
    lower_bound_ : ndarray of shape (n_problems,)
        The mean log-likelihood per row before the last M-step, as of `GaussianMixture`.
    n_iter_ : ndarray of int of shape (n_problems,)
    converged_ : ndarray of bool of shape (n_problems,)
    scores_ : ndarray of shape (n_problems, n_candidates)
        The criterion of each number of components; the lower the better, but for those set aside.
    set_aside_ : ndarray of int of shape (n_problems,)
        The number of components that has the lowest criterion where that was set aside because a component had
        collapsed: its variance was hardly more than ``reg_covar``, or had to be held up. 0 where none was.
    n_samples_ : ndarray of shape (n_problems,)
        The number of rows, or the sum of their weights; 0 for a problem without a mixture.
    status_ : ndarray of str of shape (n_problems,)
        'ok'; 'not converged'; 'repaired', where components were empty or had collapsed to rounding; 'collapsed', where
        the variance of a component is hardly more than ``reg_covar``, as that of many equal rows; 'constant', where
        all rows are equal. Without a mixture are 'few rows', fewer than 2 or than components; 'NaN' and 'infinite'
        ones; and any other error, by its text.
    names_ : ndarray of shape (n_problems,) or None
        The labels of the groups in sorted order, if there were such.
    feature_names_ : ndarray of str of shape (n_features,) or None
        The names of the columns, of rows in a data frame with ``groups``.
    criterion : {'bic', 'aic', 'icl'}
    candidates : tuple of int
        The numbers of components asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import fit_many
    >>> fits = fit_many([np.arange(9.0), np.zeros(5), np.ones(1)], 1)
    >>> fits.status_.tolist()
    ['ok', 'constant', 'few rows']
    >>> fits.means_.ravel()
    array([ 4.,  0., nan])
    >>> fits[0].n_features_in_
    1
    """

    n_components_: NDArray[np.int64]
    weights_: NDArray[np.float64]
    means_: NDArray[np.float64]
    covariances_: NDArray[np.float64]
    lower_bound_: NDArray[np.float64]
    n_iter_: NDArray[np.int64]
    converged_: NDArray[np.bool_]
    scores_: NDArray[np.float64]
    status_: NDArray[np.str_]
    names_: NDArray[Any] | None
    feature_names_: NDArray[np.object_] | None
    criterion: str
    candidates: tuple[int, ...]
    _plan: Plan = field(repr=False)
    _mixtures: Mixtures = field(repr=False)
    _bounds: NDArray[np.float64] = field(repr=False)  # of all iterations of all problems
    _ends: NDArray[np.intp] = field(repr=False)  # where those of a problem end
    _states: dict[int, dict[str, Any]] = field(repr=False)  # attributes of what is not ordinary

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self.n_components_)

    def __iter__(self) -> Iterator[GaussianMixture | None]:
        """Go through the mixtures; None where there is none."""
        for i in range(len(self)):
            yield self[i] if self.n_components_[i] else None

    def __getitem__(self, i: int) -> GaussianMixture:
        """Return the mixture of a problem, ready for everything but `fits_`."""
        try:
            number = index(i)
        except TypeError:
            raise TypeError(f"fits[{quoted(i)}]: problems have numbers from 0 to {len(self) - 1}.") from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"There is no problem {number}: they are numbered from 0 to {len(self) - 1}.")
        i = number % len(self)
        k = int(self.n_components_[i])
        if k == 0:
            raise ValueError(f"Problem {i} has no mixture: {self.status_[i]}.")
        mixture = GaussianMixture(**{**self._plan.options, "n_components": k})
        state = self._ordinary(i, k) if i not in self._states else deepcopy(self._states[i])
        vars(mixture).update({name: value for name, value in state.items() if name != "n_components"})
        if self.feature_names_ is not None:
            mixture.feature_names_in_ = self.feature_names_
        return mixture

    @property
    def set_aside_(self) -> NDArray[np.int64]:
        """Numbers of components of lower criterion that were set aside; 0 for none.

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import fit_many
        >>> counts = np.array([0.0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6])  # of which the zeros would be a component
        >>> fits = fit_many([counts], [1, 2], random_state=0)
        >>> fits.n_components_, fits.set_aside_
        (array([1]), array([2]))
        """
        lowest = np.where(np.isnan(self.scores_), np.inf, self.scores_).argmin(axis=1)
        numbers = np.array(self.candidates)[lowest]
        found: NDArray[np.int64] = np.where((self.n_components_ > 0) & (numbers != self.n_components_), numbers, 0)
        return found

    @property
    def n_samples_(self) -> NDArray[np.float64]:
        """Numbers of rows, or sums of their weights.

        Examples
        --------
        >>> from fastgmm import fit_many
        >>> fit_many([[0.0, 1.0], [3.0, 5.0, 7.0]], 1).n_samples_
        array([2., 3.])
        """
        return self._mixtures.n_samples

    def _ordinary(self, i: int, k: int) -> dict[str, Any]:
        """Return the attributes of an ordinary fit."""
        structure, dtype = self._plan.structure, np.float32 if self._mixtures.single[i] else np.float64
        own: Any = ... if structure.shared else slice(k)
        factors = self._mixtures.factors[i][own]
        arrays = {
            "weights_": self.weights_[i, :k],
            "means_": self.means_[i, :k],
            "covariances_": self.covariances_[i][own],
            "precisions_": structure.precisions(factors),
            "precisions_cholesky_": factors,
        }
        converged, end = bool(self.converged_[i]), int(self._ends[i])
        bounds = [dtype(bound) for bound in self._bounds[end - int(self.n_iter_[i]) : end].tolist()]
        return {name: values.astype(dtype) for name, values in arrays.items()} | {
            "converged_": converged,
            "stop_reason_": TOL if converged else MAX_ITER,
            "degenerate_": [],
            "n_iter_": len(bounds),
            "lower_bound_": bounds[-1],
            "lower_bounds_": bounds,
            "n_features_in_": self.means_.shape[2],
            "n_samples_seen_": float(self._mixtures.n_samples[i]),
        }

    def predict(self, X: Any, groups: Any = None) -> Any:
        """Return the most probable component of each row of tables like those fitted.

        Parameters
        ----------
        X : list or iterator of tables, array, or rows with ``groups``
            As for `fit_many`: a table for each problem. Labels of groups are those of the fit, in any order.
        groups : array-like, default=None
            As for `fit_many`.

        Returns
        -------
        labels : list of ndarray, ndarray of shape (n_problems, n_samples), or of shape (n_samples,)
            In the form of ``X``; -1 where a problem has no mixture.

        Raises
        ------
        ValueError
            If there are other problems than were fitted, or a table is refused as by `GaussianMixture.predict`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import fit_many
        >>> X = np.array([[0.0, 0.1, 9.0, 9.2], [5.0, 5.1, 1.0, 1.3]])[:, :, None]
        >>> fit_many(X, 2, order="mean", random_state=0).predict(X)
        array([[0, 0, 1, 1],
               [1, 1, 0, 0]])
        """
        return self._answers(X, groups, "labels")

    def predict_proba(self, X: Any, groups: Any = None) -> Any:
        """Return the posterior probability of each component for each row.

        Parameters
        ----------
        X, groups
            As for `predict`.

        Returns
        -------
        probabilities : list of ndarray, or ndarray, with K in one more axis
            K is the largest number of components; NaN where a problem has fewer, or no mixture.

        Raises
        ------
        ValueError
            As `predict`.

        Examples
        --------
        >>> from fastgmm import fit_many
        >>> fit_many([[0.0, 1.0, 2.0]], 1).predict_proba([[0.5]])
        [array([[1.]])]
        """
        return self._answers(X, groups, "responsibilities")

    def score_samples(self, X: Any, groups: Any = None) -> Any:
        """Return the log-likelihood of each row.

        Parameters
        ----------
        X, groups
            As for `predict`.

        Returns
        -------
        log_likelihoods : list of ndarray, or ndarray
            In the form of ``X``; NaN where a problem has no mixture.

        Raises
        ------
        ValueError
            As `predict`.

        Examples
        --------
        >>> from fastgmm import fit_many
        >>> fit_many([[-1.0, 1.0]], 1, reg_covar=0).score_samples([[0.0]])[0].round(2)
        array([-0.92])
        """
        return self._answers(X, groups, "scores")

    def _answers(self, X: Any, groups: Any, what: str) -> Any:
        """What mixtures say of their rows, in the form of these."""
        layout = layout_of(X, groups)
        if layout.columns is not None and self.feature_names_ is not None:
            check_columns(layout.columns, self.feature_names_)
        problems = np.arange(len(self)) if layout.names is None else self._numbers_of(layout.names)
        return answers(self._plan, self._mixtures, self.__getitem__, layout, problems, what)

    def _numbers_of(self, names: NDArray[Any]) -> NDArray[np.intp]:
        """The problems that have these labels."""
        if self.names_ is None:
            raise ValueError("The groups that were fitted had no labels: pass offsets, or tables as they were fitted.")
        names = names.astype(self.names_.dtype) if names.dtype.kind == self.names_.dtype.kind == "M" else names
        places = {name: i for i, name in enumerate(self.names_.tolist())}
        unknown = [name for name in names.tolist() if name not in places]
        if unknown:
            raise ValueError(f"No problem is called {unknown[0]!r}: the groups that were fitted are others.")
        return np.array([places[name] for name in names.tolist()], np.intp)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with a line for each problem, and a column for each number of its mixture.

        Returns
        -------
        frame : pandas.DataFrame
            Columns ``status``, ``n_samples``, ``n_components``, ``set_aside``, ``weight_0``, ..., ``mean_0_0``
            (component, and feature by its number or its name), ..., the standard deviations ``sd_0_0``, ...,
            ``lower_bound``, ``n_iter``, ``converged`` and the criterion of each candidate; the index holds the labels
            of groups.

        Raises
        ------
        ImportError
            When pandas is not installed.

        Examples
        --------
        >>> from fastgmm import fit_many
        >>> fit_many([[0.0, 1.0], [3.0, 5.0]], 1).to_pandas()["mean_0_0"].tolist()
        [0.5, 4.0]
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("A data frame needs pandas: pip install pandas.") from error
        columns: dict[str, Any] = {"status": self.status_, "n_samples": self.n_samples_}
        columns |= {"n_components": self.n_components_, "set_aside": self.set_aside_}
        columns |= {f"weight_{k}": values for k, values in enumerate(self.weights_.T)}
        names = range(self.means_.shape[2]) if self.feature_names_ is None else self.feature_names_
        for what, values in (("mean", self.means_), ("sd", np.sqrt(self._variances()))):
            for k, i in np.ndindex(*values.shape[1:]):
                columns[f"{what}_{k}_{names[i]}"] = values[:, k, i]
        columns |= {"lower_bound": self.lower_bound_, "n_iter": self.n_iter_, "converged": self.converged_}
        columns |= {f"{self.criterion}_{k}": v for k, v in zip(self.candidates, self.scores_.T, strict=True)}
        return pandas.DataFrame(columns, index=self.names_)

    def _variances(self) -> NDArray[np.float64]:
        """Variances of each component along each feature, (P, K, D)."""
        values, shape = self.covariances_, self.means_.shape
        if self._plan.structure.triangular:
            values = np.diagonal(values, axis1=-2, axis2=-1)
        values = values[:, None] if self._plan.structure.shared else values
        values = values if values.ndim == 3 else values[:, :, None]
        return np.where(np.isnan(self.means_), np.nan, np.broadcast_to(values, shape))

    def __repr__(self) -> str:
        """Return how many problems there are, and what became of them."""
        kinds, counts = np.unique(np.where(self.n_components_ > 0, self.status_, "failed"), return_counts=True)
        told = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        return f"Fits({counted(len(self), 'problem')}: {told})"


def check_columns(columns: NDArray[Any], fitted: NDArray[Any]) -> None:
    """Refuse rows whose columns have other names, or another order, than those fitted."""
    if columns.tolist() != fitted.tolist():
        raise ValueError(
            f"X has the columns {listed(map(repr, columns.tolist()))}, but those fitted were "
            f"{listed(map(repr, fitted.tolist()))}: pass the same in the same order."
        )


def fits_of(records: Records, names: NDArray[Any] | None, columns: NDArray[Any] | None) -> Fits:
    """Return what has become of all problems."""
    plan, parts, every = records.plan, records.parts, records.mixtures()
    bounds, ends = records.bounds(every.n_iter)
    for array in every:
        array.flags.writeable = False
    return Fits(
        every.n_components,
        every.weights,
        every.means,
        every.covariances,
        lower_bound_=every.lower_bound,
        n_iter_=every.n_iter,
        converged_=every.converged,
        scores_=np.concatenate([part.scores for part in parts]),
        status_=np.concatenate([part.status for part in parts]).astype(str),
        names_=names,
        feature_names_=columns,
        criterion=plan.criterion,
        candidates=plan.numbers,
        _plan=plan,
        _mixtures=every,
        _bounds=bounds,
        _ends=ends,
        _states=records.states(),
    )
