"""The two small real data sets shipped with fastgmm: iris and Old Faithful."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "load_faithful", "load_iris"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Measurements with their names and, where known, the true classes.

    Attributes
    ----------
    data : ndarray of shape (n_samples, n_features), float64, read-only
    feature_names : tuple of str
    target : ndarray of shape (n_samples,), int64, read-only; or None
        Class of each row as an index into ``target_names``.
    target_names : tuple of str
    description : str
        What was measured, in which units, and the source.

    Examples
    --------
    >>> from fastgmm.datasets import load_faithful
    >>> load_faithful().feature_names
    ('eruptions', 'waiting')
    """

    data: NDArray[np.float64]
    feature_names: tuple[str, ...]
    target: NDArray[np.int64] | None
    target_names: tuple[str, ...]
    description: str


def load_iris() -> Dataset:
    """Return the iris measurements: 150 flowers, 4 lengths in centimeters, 3 species.

    Returns
    -------
    Dataset
        The rows are those of R's ``iris`` and of scikit-learn's ``load_iris``.

    Examples
    --------
    >>> from fastgmm.datasets import load_iris
    >>> iris = load_iris()
    >>> iris.data.shape, iris.target_names
    ((150, 4), ('setosa', 'versicolor', 'virginica'))
    """
    header, rows = _read("iris.csv")
    species = [row[-1] for row in rows]
    names = tuple(dict.fromkeys(species))
    target = np.array([names.index(name) for name in species], dtype=np.int64)
    target.flags.writeable = False
    return Dataset(
        data=_numbers([row[:-1] for row in rows]),
        feature_names=header[:-1],
        target=target,
        target_names=names,
        description=(
            "Length and width of the sepals and petals of 150 iris flowers in centimeters, 50 flowers of each of "
            "three species. Measured by E. Anderson (1935), The irises of the Gaspe Peninsula, Bulletin of the "
            "American Iris Society 59, 2-5; made known by R. A. Fisher (1936), The use of multiple measurements in "
            "taxonomic problems, Annals of Eugenics 7, 179-188."
        ),
    )


def load_faithful() -> Dataset:
    """Return the Old Faithful eruptions: 272 rows of duration and waiting time, both in minutes.

    Returns
    -------
    Dataset
        The rows are those of R's ``faithful``; ``target`` is None.

    Examples
    --------
    >>> from fastgmm.datasets import load_faithful
    >>> faithful = load_faithful()
    >>> faithful.data.shape, faithful.feature_names
    ((272, 2), ('eruptions', 'waiting'))
    """
    header, rows = _read("faithful.csv")
    return Dataset(
        data=_numbers(rows),
        feature_names=header,
        target=None,
        target_names=(),
        description=(
            "Duration of 272 eruptions of the Old Faithful geyser in Yellowstone National Park and the waiting time "
            "until the next eruption, both in minutes. The rows of R's faithful, from W. Haerdle (1991), Smoothing "
            "Techniques with Implementation in S, Springer; another record of the same geyser is in A. Azzalini and "
            "A. W. Bowman (1990), A look at some data on the Old Faithful geyser, Applied Statistics 39, 357-365."
        ),
    )


def _read(name: str) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the header and the rows of a CSV file in fastgmm/data."""
    text = files("fastgmm").joinpath("data", name).read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    return tuple(header), rows


def _numbers(rows: list[list[str]]) -> NDArray[np.float64]:
    """Return rows of decimal strings as a read-only array."""
    data = np.array(rows, dtype=np.float64)
    data.flags.writeable = False
    return data
