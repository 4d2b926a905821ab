"""Selection, the result of `select`: a table of candidates, their mixtures, and the best."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..gaussian_mixture import GaussianMixture
from ..text import aligned, counted, shortened

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from ..bayesian_mixture import BayesianGaussianMixture
    from ..plotting import CriterionDisplay

__all__ = ["CRITERIA", "HIGHER", "Selection"]

CRITERIA = ("bic", "aic", "aicc", "icl", "cv", "elbo")
HIGHER = ("cv", "elbo")  # is better; of the others, lower
SHOWN = 10  # candidates that a printed selection lists
NAMED = 3  # candidates that a note names
WIDTH = 100  # of printed notes
FORMATS = {"covariance_type": "{}", "n_components": "{}", "n_parameters": "{}", "cv": "{:.5f}"}  # of printed columns


@dataclass(frozen=True, eq=False)
class Selection:
    """The candidates of :func:`select`, the best first.

    Attributes
    ----------
    best_estimator_ : GaussianMixture, or BayesianGaussianMixture if criterion is 'elbo'
        The fitted mixture of the first line of the table.
    table_ : structured ndarray
        A line for each candidate, sorted by the criterion: ``covariance_type``, ``n_components``, ``n_parameters``
        (free ones), ``equal_weights``, ``noise``, ``log_likelihood`` (of all rows), ``bic`` (lower is better: mclust's
        has the other sign), ``aic``, ``aicc``, ``icl``, ``cv`` (the mean log-likelihood of a row left out) and ``elbo``
        (the evidence lower bound and the log of the number of equal optima), both NaN unless asked for, ``converged``,
        ``degenerate`` (a component has collapsed, so that nothing but ``reg_covar`` or a repair bounds the likelihood),
        ``spurious`` (or else one rests on hardly any rows, of a 'full' one no more than n_features + 2, as is so near
        the poles of the likelihood), ``n_iter``, ``seconds`` and ``error``, the message of what went wrong; the numbers
        of such a line are NaN. Degenerate and spurious candidates come after the sound ones. If the criterion is
        'elbo', likelihoods are those of the plug-in mixtures.
    estimators_ : list of such mixtures or None
        The fitted mixtures in the order of the table; None for those that went wrong.
    criterion : {'bic', 'aic', 'aicc', 'icl', 'cv', 'elbo'}
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

    best_estimator_: GaussianMixture | BayesianGaussianMixture
    table_: NDArray[Any]
    estimators_: list[GaussianMixture | BayesianGaussianMixture | None] = field(repr=False)
    criterion: str

    @property
    def notes(self) -> list[str]:
        """What to know before taking the best candidate, one sentence or two each; empty where nothing is odd.

        Candidates with a better value of the criterion were set aside because a component has collapsed or rests on
        hardly any rows; the best lies at the edge of the numbers of components that were tried; candidates could not be
        fitted.

        Examples
        --------
        >>> from fastgmm.datasets import load_faithful
        >>> from fastgmm import select
        >>> select(load_faithful().data, range(1, 5), "full", random_state=0).notes
        []
        """
        found = [_set_aside(self), _edge(self), _failed(self)]
        return [note for note in found if note]

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
        criterion : {'bic', 'aic', 'aicc', 'icl', 'cv', 'elbo', 'log_likelihood'}, default=None
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
        from ..plotting import CriterionDisplay

        return CriterionDisplay.from_selection(self, criterion, ax=ax)

    def __repr__(self) -> str:
        """Return the best candidate and how many there were."""
        best = self.best_estimator_
        return (
            f"Selection(criterion={self.criterion!r}, best={best.covariance_type!r}, "
            f"n_components={best.n_components}, candidates={len(self.table_)})"
        )

    def __str__(self) -> str:
        """Return the first lines of the table, and the notes, for a person."""
        names, cells = self._printed()
        lines = aligned(
            [[name, *column] for name, column in zip(names, zip(*cells, strict=True), strict=True)]
        ).splitlines()
        rows = self.table_[:SHOWN]
        text = [lines[0], *(f"{line}  {_note(row)}".rstrip() for line, row in zip(lines[1:], rows, strict=True))]
        rest = len(self.table_) - len(rows)
        text += [f"... and {rest} more"] * (rest > 0)
        notes = [line for note in self.notes for line in ["", *textwrap.wrap(note[:1].upper() + note[1:], WIDTH)]]
        return "\n".join([*text, *notes])

    def _repr_html_(self) -> str:
        """Return the same for notebooks."""
        from ..mixture.notebook import escape, framed, rest, table

        names, cells = self._printed()
        notes = [_note(row) for row in self.table_[:SHOWN]]
        rows = [[*line, escape(note)] for line, note in zip(cells, notes, strict=True)]
        body = table([*names, ""], rows) + rest((len(self.table_) - len(rows), "candidate"))
        body += "".join(f"<p>{escape(note[:1].upper() + note[1:])}</p>" for note in self.notes)
        return framed(f"Selection by {self.criterion}", body)

    def _printed(self) -> tuple[list[str], list[list[str]]]:
        """Return the columns that a person reads, and their words in the first lines."""
        names = ["covariance_type", "n_components", "n_parameters", "log_likelihood", "bic", "icl"]
        names += [self.criterion] * (self.criterion not in names)
        formats = [FORMATS.get(name, "{:.2f}") for name in names]
        cells = [
            [how.format(row[name]) for how, name in zip(formats, names, strict=True)] for row in self.table_[:SHOWN]
        ]
        return [name.replace("_", " ") for name in names], cells


def _note(row: Any) -> str:
    """Return what is odd about a candidate, for its printed line."""
    if row["error"]:
        return str(row["error"])[:60]
    notes = {
        "equal weights": row["equal_weights"],
        "noise": row["noise"],
        "degenerate": row["degenerate"],
        "spurious": row["spurious"],
        "not converged": not row["converged"],
    }
    return ", ".join(note for note, true in notes.items() if true)


def _edge(selection: Selection) -> str:
    """Say that the best number of components is the largest that was tried, or the smallest; one alone is no range."""
    best, tried = selection.best_estimator_, selection.table_["n_components"]
    most, fewest = int(tried.max()), int(tried.min())
    if fewest < best.n_components == most < best.n_samples_seen_:
        return f"the most components that were tried, {most}, are best: try more."
    if 1 < best.n_components == fewest < most:
        return f"the fewest components that were tried, {fewest}, are best: try fewer."
    return ""


def _set_aside(selection: Selection) -> str:
    """Name the candidates that come after the best for nothing but one component, and how to take one."""
    table, criterion = selection.table_, selection.criterion
    values = table[criterion] * (-1.0 if criterion in HIGHER else 1.0)
    doubtful = table["degenerate"] | table["spurious"]
    better = [i for i in range(1, len(table)) if doubtful[i] and values[i] < values[0]]
    if doubtful[0] or not better:
        return ""
    named = [f"{_name(table[i])} ({FORMATS.get(criterion, '{:.2f}').format(table[criterion][i])})" for i in better]
    rest = len(better) - NAMED
    listed = ", ".join(named[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
    reasons = {
        "degenerate": "has collapsed onto equal or collinear rows: reg_covar or a repair decides the likelihood",
        "spurious": "rests on hardly any rows: chance decides the likelihood",
    }
    reason = ", or ".join(reason for name, reason in reasons.items() if table[name][better].any())
    return (
        f"{counted(len(better), 'candidate')} of better {criterion} set aside: {listed}. In each a component {reason}. "
        f"If these rows are a group of their own, take the first of them: selection.estimators_[{better[0]}]."
    )


def _failed(selection: Selection) -> str:
    """Say how many candidates could not be fitted, and why the first could not."""
    failed = selection.table_[selection.table_["error"] != ""]
    if not len(failed):
        return ""
    error = shortened(failed["error"][0], 100)
    return f"{counted(len(failed), 'candidate')} failed, {_name(failed[0])} by {error}"


def _name(row: Any) -> str:
    """Return a candidate in words."""
    marks = ", equal weights" * bool(row["equal_weights"]) + ", noise" * bool(row["noise"])
    return f"{row['covariance_type']} K={row['n_components']}{marks}"
