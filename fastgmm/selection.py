"""Selection, the result of `select`: a table of candidates, their mixtures, and the best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .gaussian_mixture import GaussianMixture
from .text import aligned

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from .plotting import CriterionDisplay

__all__ = ["CRITERIA", "Selection"]

CRITERIA = ("bic", "aic", "aicc", "icl", "cv")  # all but the last: the lower the better
SHOWN = 10  # candidates that a printed selection lists
FORMATS = {"covariance_type": "{}", "n_components": "{}", "n_parameters": "{}", "cv": "{:.5f}"}  # of printed columns


@dataclass(frozen=True, eq=False)
class Selection:
    """The candidates of :func:`select`, the best first.

    Attributes
    ----------
    best_estimator_ : GaussianMixture
        The fitted mixture of the first line of the table.
    table_ : structured ndarray
        A line for each candidate, sorted by the criterion: ``covariance_type``, ``n_components``, ``n_parameters``
        (free ones), ``log_likelihood`` (of all rows), ``bic``, ``aic``, ``aicc``, ``icl``, ``cv`` (the mean
        log-likelihood of a row left out, NaN unless asked for), ``converged``, ``degenerate``, ``n_iter``, ``seconds``
        and ``error``, the message of what went wrong; the numbers of such a line are NaN. Degenerate candidates, in
        which a component has collapsed so that nothing but ``reg_covar`` or a repair bounds the likelihood, come after
        the sound ones.
    estimators_ : list of GaussianMixture or None
        The fitted mixtures in the order of the table; None for those that went wrong.
    criterion : {'bic', 'aic', 'aicc', 'icl', 'cv'}
        What they are compared by.

    Examples
    --------
    >>> from fastgmm import select
    >>> from fastgmm.datasets import load_faithful
    >>> selection = select(load_faithful().data, range(1, 6), random_state=0)
    >>> selection
    Selection(criterion='bic', best='tied', n_components=3, candidates=20)
    >>> float(selection.table_["bic"][0].round())
    2314.0
    """

    best_estimator_: GaussianMixture
    table_: NDArray[Any]
    estimators_: list[GaussianMixture | None] = field(repr=False)
    criterion: str

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table as a pandas data frame.

        Returns
        -------
        frame : pandas.DataFrame

        Raises
        ------
        ImportError
            When pandas is not installed.

        Examples
        --------
        >>> from fastgmm import select
        >>> frame = select([[0.0], [1.0], [5.0], [6.0]], [1, 2], ["tied"]).to_pandas()
        >>> sorted(frame["n_components"])
        [1, 2]
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("A data frame needs pandas: pip install pandas. table_ is the same without.") from error
        return pandas.DataFrame({name: self.table_[name] for name in self.table_.dtype.names or ()})

    def plot(self, criterion: str | None = None, *, ax: Axes | None = None) -> CriterionDisplay:
        """Draw the criterion against the number of components, a curve for each covariance structure.

        Parameters
        ----------
        criterion : {'bic', 'aic', 'aicc', 'icl', 'cv', 'log_likelihood'}, default=None
            Column of the table; None takes the one that the candidates were compared by.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        CriterionDisplay
            With attributes ``ax_`` and ``figure_``.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When there is no such column, or nothing in it.

        Examples
        --------
        >>> from fastgmm import select
        >>> select([[0.0], [1.0], [5.0], [6.0]], [1, 2], ["tied"]).plot().ax_.get_ylabel()
        'BIC (lower is better)'
        """
        from .plotting import CriterionDisplay

        return CriterionDisplay.from_selection(self, criterion, ax=ax)

    def __repr__(self) -> str:
        """Return the best candidate and how many there were."""
        best = self.best_estimator_
        return (
            f"Selection(criterion={self.criterion!r}, best={best.covariance_type!r}, "
            f"n_components={best.n_components}, candidates={len(self.table_)})"
        )

    def __str__(self) -> str:
        """Return the first lines of the table for a person."""
        names = ["covariance_type", "n_components", "n_parameters", "log_likelihood", "bic", "icl"]
        names += [self.criterion] * (self.criterion not in names)
        rows = self.table_[:SHOWN]
        columns = [[name.replace("_", " "), *map(FORMATS.get(name, "{:.2f}").format, rows[name])] for name in names]
        lines = aligned(columns).splitlines()
        text = [lines[0], *(f"{line}  {_note(row)}".rstrip() for line, row in zip(lines[1:], rows, strict=True))]
        rest = len(self.table_) - len(rows)
        return "\n".join([*text, f"... and {rest} more"] if rest else text)


def _note(row: Any) -> str:
    """Return what is odd about a candidate, for its printed line."""
    if row["error"]:
        return str(row["error"])[:60]
    notes = {"degenerate": row["degenerate"], "not converged": not row["converged"]}
    return ", ".join(note for note, true in notes.items() if true)
