"""Fits, the result of `fit_many`: the mixtures of many problems, in arrays and one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .gaussian_mixture import GaussianMixture
from .model.structures import STRUCTURES
from .sources.problems import layout_of
from .text import counted

if TYPE_CHECKING:
    import pandas

__all__ = ["Fits", "Outcome", "Plan", "fits_of"]

OK, REPAIRED, CONSTANT, NOT_CONVERGED = "ok", "repaired", "constant", "not converged"
KEPT = ("weights_", "means_", "covariances_", "precisions_cholesky_")  # arrays of a component each, or shared


class Plan(NamedTuple):
    """What all problems of a call have in common."""

    numbers: tuple[int, ...]  # of components
    criterion: str
    order: str | None
    missing: str
    options: dict[str, Any]  # of GaussianMixture

    @property
    def structure(self) -> Any:
        """The covariance structure."""
        return STRUCTURES[GaussianMixture(**self.options).covariance_type]


@dataclass(slots=True)
class Outcome:
    """What became of a problem: its status, and the attributes of its mixture if there is one."""

    status: str
    n_features: int | None
    state: dict[str, Any] | None = None
    values: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, mixture: GaussianMixture, values: NDArray[np.float64], constant: bool, order: str | None) -> Outcome:
        """The outcome of a fit."""
        state = {name: value for name, value in vars(mixture).items() if name.endswith("_") and name != "fits_"}
        if order is not None:
            first = mixture.means_[:, 0] if order == "mean" else -mixture.weights_
            _reorder(state, np.argsort(first, kind="stable"), STRUCTURES[mixture.covariance_type].shared)
        status = CONSTANT if constant else REPAIRED if state["degenerate_"] else OK
        status = NOT_CONVERGED if status == OK and not state["converged_"] else status
        return cls(status, mixture.n_features_in_, state | {"n_components": mixture.n_components}, values)


def _reorder(state: dict[str, Any], order: NDArray[np.intp], shared: bool) -> None:
    """Put the components of a fit into another order."""
    for name in (*KEPT, "precisions_"):
        if not shared or name in KEPT[:2]:
            state[name] = state[name][order]
    place = np.argsort(order)
    state["degenerate_"] = [
        repair if repair.component is None else repair._replace(component=int(place[repair.component]))
        for repair in state["degenerate_"]
    ]


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
    _outcomes: Sequence[Outcome] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self._outcomes)

    def __iter__(self) -> Iterator[GaussianMixture | None]:
        """Go through the mixtures; None where there is none."""
        for one in self._outcomes:
            yield None if one.state is None else self._mixture(one)

    def __getitem__(self, i: int) -> GaussianMixture:
        """Return the mixture of a problem, ready for everything but `fits_`."""
        one = self._outcomes[i]
        if one.state is None:
            raise ValueError(f"Problem {i} has no mixture: {one.status}.")
        return self._mixture(one)

    def _mixture(self, one: Outcome) -> GaussianMixture:
        """Return the mixture of an outcome."""
        assert one.state is not None
        mixture = GaussianMixture(**{**self._plan.options, "n_components": one.state["n_components"]})
        vars(mixture).update({name: value for name, value in one.state.items() if name != "n_components"})
        return mixture

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
        return self._answers(X, groups, lambda mixture, rows: mixture.predict(rows), lambda n: np.full(n, -1))

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
        most = max(self.candidates)

        def padded(mixture: GaussianMixture, rows: Any) -> NDArray[Any]:
            found = mixture.predict_proba(rows)
            return np.pad(found, ((0, 0), (0, most - found.shape[1])), constant_values=np.nan)

        return self._answers(X, groups, padded, lambda n: np.full((n, most), np.nan))

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
        return self._answers(X, groups, lambda mixture, rows: mixture.score_samples(rows), lambda n: np.full(n, np.nan))

    def _answers(self, X: Any, groups: Any, answer: Any, none: Any) -> Any:
        """What mixtures say of their rows, in the form of these."""
        layout = layout_of(X, groups)
        chosen: Any = range(len(self)) if layout.names is None else self._numbers_of(layout.names)
        parts: list[NDArray[Any]] = []
        for table in layout.tables():
            if len(parts) >= len(chosen):
                raise ValueError(f"There are more tables than the {len(chosen)} problems that were fitted.")
            one = self._outcomes[chosen[len(parts)]]
            parts.append(none(len(table)) if one.state is None else answer(self._mixture(one), table))
        if len(parts) != len(chosen):
            raise ValueError(f"There are {len(parts)} tables for {len(chosen)} problems.")
        return layout.gathered(parts)

    def _numbers_of(self, names: NDArray[Any]) -> list[int]:
        """The problems that have these labels."""
        if self.names_ is None:
            return list(range(len(names)))
        places = {name: i for i, name in enumerate(self.names_.tolist())}
        unknown = [name for name in names.tolist() if name not in places]
        if unknown:
            raise ValueError(f"No problem is called {unknown[0]!r}: the groups that were fitted are others.")
        return [places[name] for name in names.tolist()]

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


def fits_of(plan: Plan, outcomes: Sequence[Outcome], names: NDArray[Any] | None) -> Fits:
    """Return the outcomes in arrays; refuse tables of different features."""
    widths = {one.n_features: i for i, one in reversed(list(enumerate(outcomes))) if one.n_features is not None}
    if not outcomes:
        raise ValueError("There is no table in X.")
    if len(widths) > 1:
        told = ", ".join(f"{width} in problem {number}" for width, number in sorted(widths.items())[:3])
        raise ValueError(f"Tables have different numbers of features: {told}. Fit those of the same together.")
    n_problems, n_features, most = len(outcomes), next(iter(widths), 0), max(plan.numbers)
    structure = plan.structure
    shapes = {
        "weights_": (most,),
        "means_": (most, n_features),
        "covariances_": structure.covariance_shape(most, n_features),
    }
    arrays = {name: np.full((n_problems, *shape), np.nan) for name, shape in shapes.items()}
    n_components, n_iter = np.zeros((2, n_problems), np.int64)
    bounds, scores = np.full(n_problems, np.nan), np.full((n_problems, len(plan.numbers)), np.nan)
    converged = np.zeros(n_problems, bool)
    for i, one in enumerate(outcomes):
        if one.state is None:
            continue
        k = n_components[i] = one.state["n_components"]
        for name, array in arrays.items():
            array[i][... if structure.shared and name == "covariances_" else slice(k)] = one.state[name]
        n_iter[i], converged[i] = one.state["n_iter_"], one.state["converged_"]
        bounds[i], scores[i] = one.state["lower_bound_"], one.values
    return Fits(
        n_components,
        arrays["weights_"],
        arrays["means_"],
        arrays["covariances_"],
        n_iter_=n_iter,
        lower_bound_=bounds,
        converged_=converged,
        scores_=scores,
        status_=np.array([one.status for one in outcomes]),
        names_=names,
        criterion=plan.criterion,
        candidates=plan.numbers,
        _plan=plan,
        _outcomes=outcomes,
    )
