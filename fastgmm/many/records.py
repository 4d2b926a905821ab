"""What became of many problems, in arrays."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from ..model.structure import Structure
from .plan import COLLAPSED, CONSTANT, NOT_CONVERGED, OK, REPAIRED, Plan
from .rows import Rows
from .single import Outcome

Array = np.ndarray
OF_COMPONENTS = ("weights", "means", "covariances", "factors")  # the latter two unless they are shared


class Mixtures(NamedTuple):
    """The mixtures of problems, which have up to K components; NaN stands for what there is not.

    Parameters are those that the attributes of single fits hold, rounded to the type of their rows; but for the
    factors, of which precisions are made.
    """

    n_components: Array  # (P,) 0 where there is no mixture
    weights: Array  # (P, K)
    means: Array  # (P, K, D)
    covariances: Array  # (P, ...)
    factors: Array  # (P, ...)
    lower_bound: Array  # (P,)
    n_iter: Array  # (P,)
    converged: Array  # (P,)
    n_samples: Array  # (P,) rows, or the sum of their weights
    single: Array  # (P,) whether rows are of single precision

    @classmethod
    def none(cls, n_problems: int, n_components: int, n_features: int, structure: Structure) -> Self:
        """No mixtures."""
        shape = structure.covariance_shape(n_components, n_features)

        def nothing(*size: int) -> Array:
            return np.full((n_problems, *size), np.nan)

        return cls(
            n_components=np.zeros(n_problems, np.int64),
            weights=nothing(n_components),
            means=nothing(n_components, n_features),
            covariances=nothing(*shape),
            factors=nothing(*shape),
            lower_bound=nothing(),
            n_iter=np.zeros(n_problems, np.int64),
            converged=np.zeros(n_problems, bool),
            n_samples=np.zeros(n_problems),
            single=np.zeros(n_problems, bool),
        )

    def put(self, problems: Any, k: int, parameters: tuple[Array, ...], structure: Structure) -> None:
        """Set the parameters of some problems that have k components."""
        self.n_components[problems] = k
        for name, values in zip(OF_COMPONENTS, parameters, strict=True):
            array: Array = getattr(self, name)
            if is_shared(name, structure):
                array[problems] = values
            else:
                array[problems, :k] = values


def is_shared(name: str, structure: Structure) -> bool:
    """Whether an array is one for all components."""
    return structure.shared and name not in OF_COMPONENTS[:2]


class Part:
    """What became of the problems of a batch.

    Attributes
    ----------
    status : ndarray of str
    scores : ndarray of shape (P, C)
        The criterion of each candidate.
    n_features : int or None
        None where it is not known.
    mixtures : Mixtures or None
        None where the number of features is not known.
    bounds : list of (ndarray, ndarray)
        Numbers of problems, and the lower bounds of their iterations one after the other.
    states : dict
        All attributes of problems that were not ordinary.
    """

    def __init__(self, n_problems: int, plan: Plan) -> None:
        self.plan, self.structure = plan, plan.structure
        self.status, self.scores = np.full(n_problems, "", object), np.full((n_problems, len(plan.numbers)), np.nan)
        self.n_features: int | None = None
        self.mixtures: Mixtures | None = None
        self.bounds: list[tuple[Array, Array]] = []
        self.states: dict[int, dict[str, Any]] = {}

    def of_width(self, n_features: int) -> Mixtures:
        """The mixtures, of so many features."""
        if self.mixtures is None:
            self.n_features, most = n_features, max(self.plan.numbers)
            self.mixtures = Mixtures.none(len(self.status), most, n_features, self.structure)
        return self.mixtures

    def put_ordinary(
        self,
        problems: Array,
        k: int,
        parameters: tuple[Array, ...],
        n_iter: Array,
        converged: Array,
        bounds: Array,
        collapsed: Array,
        rows: Rows,
    ) -> None:
        """Take note of some problems that have k components."""
        if not len(problems):
            return
        mixtures = self.of_width(rows.X.shape[1])
        mixtures.put(problems, k, parameters, self.structure)
        mixtures.n_iter[problems], mixtures.converged[problems] = n_iter, converged
        mixtures.lower_bound[problems] = bounds[np.arange(len(problems)), n_iter - 1]
        mixtures.n_samples[problems] = rows.n_samples[problems]
        mixtures.single[problems] = rows.X.dtype == np.float32
        told = np.where(converged, OK, NOT_CONVERGED)
        self.status[problems] = np.where(rows.constant(problems), CONSTANT, np.where(collapsed, COLLAPSED, told))
        self.bounds.append((problems, bounds[np.arange(bounds.shape[1]) < n_iter[:, None]]))

    def put_single(self, i: int, outcome: Outcome) -> None:
        """Take note of a problem that was done by itself."""
        if outcome.n_features is not None:
            self.of_width(outcome.n_features)
        if outcome.state is None or self.mixtures is None:
            self.status[i] = str(outcome.failed)
            return
        state, mixtures = outcome.state, self.mixtures
        parameters = (state[name] for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"))
        mixtures.put(i, state["n_components"], tuple(parameters), self.structure)
        mixtures.lower_bound[i], mixtures.n_iter[i] = state["lower_bound_"], state["n_iter_"]
        mixtures.converged[i], mixtures.n_samples[i] = state["converged_"], state["n_samples_seen_"]
        mixtures.single[i] = state["means_"].dtype == np.float32
        status = COLLAPSED if outcome.collapsed else OK if state["converged_"] else NOT_CONVERGED
        self.status[i] = CONSTANT if outcome.constant else REPAIRED if state["degenerate_"] else status
        self.states[i], self.scores[i] = state, outcome.values
        self.bounds.append((np.array([i]), np.array(state["lower_bounds_"], np.float64)))


class Records:
    """What became of all problems so far, part by part."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.parts = plan, list[Part]()
        self.n_problems = 0
        self.widths: dict[int, int] = {}  # numbers of features, and the first problem that has them

    def add(self, part: Part) -> None:
        """Take note of the next ones; refuse other numbers of features than before."""
        if part.n_features is not None:
            self.widths.setdefault(part.n_features, self.n_problems)
        if len(self.widths) > 1:
            told = ", ".join(f"{width} in problem {number}" for width, number in self.widths.items())
            raise ValueError(f"Tables have different numbers of features: {told}. Fit those of the same together.")
        self.parts.append(part)
        self.n_problems += len(part.status)

    def mixtures(self) -> Mixtures:
        """The mixtures of all, with components in the order asked for."""
        structure, order = self.plan.structure, self.plan.order
        arrays = [part.mixtures or part.of_width(next(iter(self.widths), 0)) for part in self.parts]
        every = arrays[0] if len(arrays) == 1 else Mixtures(*map(np.concatenate, zip(*arrays, strict=True)))
        if order is not None:
            first = every.means[:, :, :1].max(axis=2, initial=-np.inf) if order == "mean" else -every.weights
            ranks = np.argsort(first, axis=1, kind="stable")
            for name in OF_COMPONENTS:
                if not is_shared(name, structure):
                    array: Array = getattr(every, name)
                    along = ranks.reshape(*ranks.shape, *[1] * (array.ndim - 2))
                    array[...] = np.take_along_axis(array, along, axis=1)
        return every

    def bounds(self, n_iter: Array) -> tuple[Array, Array]:
        """Lower bounds of the iterations of all problems, which have so many, in order; and where those of each end."""
        ends, first = np.cumsum(n_iter), 0
        found = np.empty(int(ends[-1]))
        for part in self.parts:
            for problems, values in part.bounds:
                counts = n_iter[first + problems]
                skipped = np.repeat(ends[first + problems] - np.cumsum(counts), counts)
                found[skipped + np.arange(len(values))] = values
            first += len(part.status)
        return found, ends

    def states(self) -> dict[int, dict[str, Any]]:
        """All attributes of the problems that were not ordinary."""
        found, first = dict[int, dict[str, Any]](), 0
        for part in self.parts:
            for i, state in part.states.items():
                found[first + i] = in_order(state, self.plan.order, self.plan.structure)
            first += len(part.status)
        return found


def in_order(state: dict[str, Any], order: str | None, structure: Structure) -> dict[str, Any]:
    """The attributes of a mixture with its components in the order asked for."""
    if order is None:
        return state
    ranks = np.argsort(state["means_"][:, 0] if order == "mean" else -state["weights_"], kind="stable")
    names = (
        "weights_",
        "means_",
        *(() if structure.shared else ("covariances_", "precisions_", "precisions_cholesky_")),
    )
    place = np.argsort(ranks)
    repairs = [
        repair if repair.component is None else repair._replace(component=int(place[repair.component]))
        for repair in state["degenerate_"]
    ]
    return {**state, **{name: state[name][ranks] for name in names}, "degenerate_": repairs}
