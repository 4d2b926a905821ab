"""BicTable: mclust's BIC of every model and number of components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..text import aligned

if TYPE_CHECKING:
    import pandas

__all__ = ["BicTable"]

ABREAST = 7  # columns printed side by side


@dataclass(frozen=True, eq=False, repr=False)
class BicTable:
    """The BIC of every model and number of components; it prints as mclust's does.

    Attributes
    ----------
    values : ndarray of shape (n_numbers, n_models)
        2 log-likelihood - (free parameters) log(n): larger is better. NaN (printed NA) where a fit failed, or a
        component collapsed.
    G : list of int
        Numbers of components, of the rows.
    modelNames : list of str
        Models, of the columns.

    Examples
    --------
    >>> from fastgmm.datasets import load_faithful
    >>> from fastgmm.mclust import Mclust
    >>> Mclust(load_faithful().data, range(1, 4), ["EEE", "VVV"]).BIC
          EEE      VVV
    1 -2607.6  -2607.6
    2 -2325.2  -2322.2
    3 -2314.3  -2333.7
    <BLANKLINE>
    Best (larger is better): EEE,3 -2314.3; VVV,2 -2322.2; EEE,2 -2325.2
    """

    values: NDArray[np.float64]
    G: list[int]
    modelNames: list[str]

    def top(self, n: int = 3) -> list[tuple[str, int, float]]:
        """Return the best models.

        Parameters
        ----------
        n : int, default=3
            How many; there may be fewer.

        Returns
        -------
        models : list of tuple
            Model, number of components and BIC, the best first.

        Examples
        --------
        >>> from fastgmm.mclust import Mclust
        >>> Mclust([0.0, 0.5, 1.0, 8.0, 8.5, 9.0], [1, 2], "E").BIC.top(1)[0][:2]
        ('E', 2)
        """
        order = np.argsort(-self.values, axis=None, kind="stable")[:n]  # NaN last
        places = zip(*np.unravel_index(order, self.values.shape), strict=True)
        found = [(self.modelNames[j], self.G[i], float(self.values[i, j])) for i, j in places]
        return [model for model in found if not np.isnan(model[2])]

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table as a pandas data frame, with models as columns and numbers of components as index.

        Returns
        -------
        frame : pandas.DataFrame

        Raises
        ------
        ImportError
            When pandas is not installed.

        Examples
        --------
        >>> from fastgmm.mclust import Mclust
        >>> frame = Mclust([0.0, 0.5, 1.0, 8.0, 8.5, 9.0], [1, 2], "E").BIC.to_pandas()
        >>> int(frame["E"].idxmax())
        2
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("A data frame needs pandas: pip install pandas. values is the same without.") from error
        return pandas.DataFrame(self.values, index=pandas.Index(self.G, name="G"), columns=self.modelNames)

    def __repr__(self) -> str:
        """Return the table and the best models."""
        cells = [["NA" if np.isnan(value) else f"{value:.4f}" for value in column] for column in self.values.T]
        columns = [[name, *column] for name, column in zip(self.modelNames, cells, strict=True)]
        numbers = ["", *map(str, self.G)]
        blocks = [aligned([numbers, *columns[i : i + ABREAST]]) for i in range(0, len(columns), ABREAST)]
        best = "; ".join(f"{name},{number} {value:.4f}" for name, number, value in self.top())
        return "\n".join([*blocks, "", f"Best (larger is better): {best or 'NA'}"])
