"""Fits, the result of `fit_many`: the mixtures of many problems, in arrays and one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..fitting.convergence import MAX_ITER, TOL
from ..gaussian_mixture import GaussianMixture
from ..text import counted
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

    ``fits[i]`` is the mixture of problem i, a `GaussianMixture`; ``len(fits)`` the number of problems.

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
        The mean log-likelihood per row.
    n_iter_ : ndarray of int of shape (n_problems,)
    converged_ : ndarray of bool of shape (n_problems,)
    scores_ : ndarray of shape (n_problems, n_candidates)
        The criterion of each number of components; the lower the better.
    status_ : ndarray of str of shape (n_problems,)
        'ok'; 'not converged'; 'repaired', where components were empty or had collapsed; 'constant', where all rows are
        equal; 'few rows', fewer than 2 or than components; or the text of an error. The last two have no mixture.
    names_ : ndarray of shape (n_problems,) or None
        The labels of the groups, if there were such.
    criterion : {'bic', 'aic', 'icl'}
    candidates : tuple of int
        The numbers of components asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import fit_many
    >>> fits = fit_many([np.arange(9.0), np.zeros(5), np.ones(1)], 1)
    >>> list(fits.status_)
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
        if not -len(self) <= i < len(self):
            raise IndexError(f"There is no problem {i}: they are numbered from 0 to {len(self) - 1}.")
        i = int(i) % len(self)
        k = int(self.n_components_[i])
        if k == 0:
            raise ValueError(f"Problem {i} has no mixture: {self.status_[i]}.")
        mixture = GaussianMixture(**{**self._plan.options, "n_components": k})
        state = self._states.get(i) or self._ordinary(i, k)
        vars(mixture).update({name: value for name, value in state.items() if name != "n_components"})
        return mixture

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
        problems = np.arange(len(self)) if layout.names is None else self._numbers_of(layout.names)
        return answers(self._plan, self._mixtures, self.__getitem__, layout, problems, what)

    def _numbers_of(self, names: NDArray[Any]) -> NDArray[np.intp]:
        """The problems that have these labels."""
        if self.names_ is None:
            return np.arange(len(names))
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
            Columns ``status``, ``n_components``, ``weight_0``, ..., ``mean_0_0`` (component, feature), ...,
            ``lower_bound``, ``n_iter`` and the criterion of each candidate; the index holds the labels of groups.

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
        columns: dict[str, Any] = {"status": self.status_, "n_components": self.n_components_}
        columns |= {f"weight_{k}": values for k, values in enumerate(self.weights_.T)}
        for k, i in np.ndindex(*self.means_.shape[1:]):
            columns[f"mean_{k}_{i}"] = self.means_[:, k, i]
        columns |= {"lower_bound": self.lower_bound_, "n_iter": self.n_iter_}
        columns |= {f"{self.criterion}_{k}": v for k, v in zip(self.candidates, self.scores_.T, strict=True)}
        return pandas.DataFrame(columns, index=self.names_)

    def __repr__(self) -> str:
        """Return how many problems there are, and what became of them."""
        kinds, counts = np.unique(np.where(self.n_components_ > 0, self.status_, "failed"), return_counts=True)
        told = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        return f"Fits({counted(len(self), 'problem')}: {told})"


def fits_of(records: Records, names: NDArray[Any] | None) -> Fits:
    """Return what has become of all problems."""
    plan, parts, every = records.plan, records.parts, records.mixtures()
    return Fits(
        every.n_components,
        every.weights,
        every.means,
        every.covariances,
        lower_bound_=every.lower_bound,
        n_iter_=every.n_iter,
        converged_=every.converged,
        scores_=np.concatenate([part.scores for part in parts]),
        status_=np.array([status for part in parts for status in part.status]),
        names_=names,
        criterion=plan.criterion,
        candidates=plan.numbers,
        _plan=plan,
        _mixtures=every,
        _bounds=np.concatenate([bounds for part in parts for bounds in part.bounds]),
        _ends=np.cumsum(every.n_iter),
        _states=records.states(),
    )
