"""Where EM starts: the methods by name, and what the user may give in place of one."""

from collections.abc import Callable
from typing import Any

from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.complete import CompleteSource as Source
from ..mstep import Maximization
from .given import from_array, from_callable
from .kmeans import Random
from .methods import Goal, Start, from_hierarchy, from_kmeans, from_kmeans_seeds, from_random, from_random_rows
from .race import from_race

METHODS: dict[str, Callable[[Source, Goal, Random], Start]] = {
    "kmeans": from_kmeans,
    "k-means++": from_kmeans_seeds,
    "random": from_random,
    "random_from_data": from_random_rows,
    "hierarchical": from_hierarchy,
    "best": from_race,
}


def prepare(source: Source, goal: Goal, method: Any, random_state: Random) -> Start:
    """Draw the random numbers of a start: `method` is a name, a function, or an array of labels or responsibilities."""
    if isinstance(method, str):
        return METHODS[method](source, goal, random_state)
    if callable(method):
        return from_callable(source, goal, method, random_state)
    return from_array(source, goal, method)


def initialize(
    source: Source,
    structure: Structure,
    n_components: int,
    method: Any,
    random_state: Random,
    reg_covar: float | str,
) -> Parameters:
    """Parameters at the start: one M-step from the responsibilities that `method` gives."""
    return prepare(
        source, Goal(structure, n_components, Maximization(source, structure, reg_covar)), method, random_state
    )(source)
