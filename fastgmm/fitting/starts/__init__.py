"""Where EM starts: the methods by name, and what the user may give in place of one.

A start draws its random numbers first and is then a function of the rows alone, so that several can be drawn one after
the other and carried out side by side. It returns the parameters of one M-step.

To add a method: write a function `(source, goal, random_state) -> Start` and name it in `METHODS`; the checks of
`init_params` and the command line read the names there. A start must not know how EM goes on, but for the race.
"""

from collections.abc import Callable
from typing import Any

from ...sources.complete import CompleteSource
from .given import from_array, from_callable
from .kmeans import Random
from .methods import Goal, Start, from_hierarchy, from_kmeans, from_kmeans_seeds, from_random, from_random_rows
from .race import from_race

METHODS: dict[str, Callable[[CompleteSource, Goal, Random], Start]] = {
    "kmeans": from_kmeans,
    "k-means++": from_kmeans_seeds,
    "random": from_random,
    "random_from_data": from_random_rows,
    "hierarchical": from_hierarchy,
    "best": from_race,
}


def prepare(source: CompleteSource, goal: Goal, method: Any, random_state: Random) -> Start:
    """Draw the random numbers of a start: `method` is a name, a function, or an array of labels or responsibilities."""
    if isinstance(method, str):
        return METHODS[method](source, goal, random_state)
    if callable(method):
        return from_callable(source, goal, method, random_state)
    return from_array(source, goal, method)
