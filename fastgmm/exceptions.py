"""Errors and warnings, and what to do about each.

============================ ============================================ ==========================================
class                        when it comes                                remedy
============================ ============================================ ==========================================
`NotFittedError`             a method needs parameters that are not there call ``fit``, or set or load parameters
`InvalidParameterError`      ``fit`` finds an argument out of range       give what the message asks for
`DatesError`                 rows hold dates, times or durations          make numbers of them, or drop the column
`ModelFileError`             `load` cannot read a file                    save the model again, or upgrade
`CommandError`               the command line cannot do what was typed    mend the command as the line says
`ConvergenceWarning`         EM stopped before it converged               ``max_iter``, ``tol``, ``acceleration``
`DegenerateComponentWarning` components emptied or collapsed              fewer components, ``covariance_ratio``
`SelectionWarning`           the best of `select` may not be the best     try more components, read its ``notes``
`DataConversionWarning`      labels came as a column                      pass ``y.ravel()``
============================ ============================================ ==========================================

The message says which value was seen, why it is refused, and what helps; the docstrings below say more. Everything else
that is refused is a plain ValueError or TypeError, with a message of the same kind. A warning is made an error by
``warnings.simplefilter("error", fastgmm.ConvergenceWarning)``: the estimator then stays as it was.

They are caught by scikit-learn's names too wherever scikit-learn is loaded. It is never imported here. When the
caller's process has loaded it, what is raised derives both from our class and from scikit-learn's, so that ``except
sklearn.exceptions.NotFittedError`` and warning filters keep working.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import FrameType
from typing import Any, TypeVar

__all__ = [
    "CommandError",
    "ConvergenceWarning",
    "DataConversionWarning",
    "DatesError",
    "DegenerateComponentWarning",
    "InvalidParameterError",
    "ModelFileError",
    "NotFittedError",
    "SelectionWarning",
    "compatible",
]


class _Portable:
    """Pickles an exception as a call of `_rebuild`, which picks the class that fits the receiving process."""

    def __reduce__(self: Any) -> tuple[Any, ...]:
        own = next(cls for cls in type(self).__mro__ if cls in _COUNTERPARTS)
        return _rebuild, (own, self.args), vars(self) or None


class NotFittedError(_Portable, ValueError, AttributeError):
    """Raised when a method needs parameters that the estimator does not have yet.

    Remedy
    ------
    Call ``fit``, or `load` a mixture; one whose parameters are known is made by `GaussianMixture.from_parameters`, or
    by setting ``weights_``, ``means_`` and ``precisions_cholesky_``.

    Examples
    --------
    >>> import fastgmm
    >>> try:
    ...     fastgmm.GaussianMixture().predict([[0.0]])
    ... except fastgmm.NotFittedError as error:
    ...     print(error)
    This GaussianMixture instance is not fitted yet. Call 'fit' ... before using this estimator...
    """


class ConvergenceWarning(_Portable, UserWarning):
    """Issued when EM stopped before it converged: at ``max_iter``, at ``max_time`` or by the callback.

    Remedy
    ------
    ``stop_reason_`` says which. Raise ``max_iter`` or ``max_time``; or ask for less by a larger ``tol``, a change of
    the mean log-likelihood. ``acceleration='squarem'`` takes fewer passes where components overlap. EM that creeps
    for hundreds of iterations often has too many components: see `select`. The parameters are those of the last
    iteration and may be used; where so few iterations are meant, ignore the warning.

    Examples
    --------
    >>> import warnings, fastgmm
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", fastgmm.ConvergenceWarning)
    ...     mixture = fastgmm.GaussianMixture(max_iter=1).fit([[0.0], [1.0], [3.0]])
    >>> mixture.stop_reason_, issubclass(caught[0].category, fastgmm.ConvergenceWarning)
    ('max_iter', True)
    """


class DataConversionWarning(_Portable, UserWarning):
    """Issued when labels come as a column, of shape (n_samples, 1), where (n_samples,) was expected.

    Remedy
    ------
    Pass ``y.ravel()``, or a column of a table by its name: ``table["species"]``, not ``table[["species"]]``.

    Examples
    --------
    >>> import warnings, fastgmm
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = fastgmm.GaussianMixtureClassifier().fit([[0.0], [1.0], [8.0], [9.0]], [[0], [0], [1], [1]])
    >>> print(caught[0].message)
    A column-vector y was passed when a 1d array was expected...
    """


class DegenerateComponentWarning(UserWarning):
    """Issued when components emptied or collapsed and were repaired: it names them and what was done.

    A component collapses onto equal or collinear rows, or onto fewer rows than features: its likelihood then grows
    without bound.

    Remedy
    ------
    Drop columns that are constant or follow from others, and repeated rows; fit fewer components, or a structure with
    fewer parameters, for instance 'tied' or 'diag'. Or bound the likelihood: by ``covariance_ratio``, by
    ``prior='mclust'``, by a larger ``reg_covar``, or 'auto' where features have small units. ``degenerate_`` lists all
    repairs; ``degenerate='raise'`` makes an error of the first, as in scikit-learn.

    Examples
    --------
    >>> import warnings, fastgmm
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", fastgmm.DegenerateComponentWarning)
    ...     mixture = fastgmm.GaussianMixture(reg_covar=0).fit([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    >>> mixture.degenerate_[0].problem
    'collapsed to rounding'
    """


class SelectionWarning(UserWarning):
    """Issued by `select` when its best candidate may not be what is looked for.

    It lies at the edge of the numbers of components that were tried, or candidates were set aside because a component
    has collapsed, or some could not be fitted: `Selection.notes` says the same.

    Remedy
    ------
    Try more components, or fewer. Candidates that were set aside stand in ``Selection.estimators_``, in the order of
    ``table_``: take one if its small component is a group of its own. Why one failed is in ``table_["error"]``.

    Examples
    --------
    >>> import warnings, fastgmm
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", fastgmm.SelectionWarning)
    ...     selection = fastgmm.select([[0.0], [1.0], [9.0], [10.0], [90.0], [91.0]], [1, 2], "tied")
    >>> print(caught[0].message)
    Before you take the best candidate: the most components that were tried, 2, are best: try more.
    """


class ModelFileError(ValueError):
    """Raised by `load` for a file that is damaged, cut off, of another kind or of a later format.

    Remedy
    ------
    Save the model again, and copy files as binary. A file of a later version of fastgmm needs that version. What
    ``pickle.dump`` or joblib wrote is read by ``pickle.load`` and joblib; then ``save`` it.

    Examples
    --------
    >>> import os, fastgmm
    >>> try:
    ...     fastgmm.load(os.__file__)
    ... except fastgmm.ModelFileError as error:
    ...     print(str(error).replace(os.__file__, "os.py"))
    os.py is not a model saved by fastgmm, or is cut off: it starts with ...
    """


class CommandError(Exception):
    """An error that the person who typed a command can mend; the command line shows it as one line.

    Remedy
    ------
    The line says what to type instead: ``fastgmm fit --help`` and its like list the options. The exit status is 2, and
    a file that could not be written whole is as it was.

    Examples
    --------
    >>> from fastgmm.exceptions import CommandError
    >>> issubclass(CommandError, ValueError)
    False
    """


class InvalidParameterError(_Portable, ValueError, TypeError):
    """Raised by ``fit`` when a constructor argument has the wrong type or is out of range.

    It is a ValueError and a TypeError, as in scikit-learn, where either may be caught.

    Remedy
    ------
    Give what the message asks for; `set_params` changes an estimator that is there. A name that is misspelled is no
    `InvalidParameterError`: the constructor raises a TypeError, and `set_params` a ValueError that lists the names.

    Examples
    --------
    >>> import fastgmm
    >>> try:
    ...     fastgmm.GaussianMixture(n_components=0).fit([[0.0], [1.0]])
    ... except ValueError as error:
    ...     print(error)
    The 'n_components' parameter of GaussianMixture must be an int in the range [1, inf). Got 0 instead.
    """


class DatesError(ValueError, TypeError):
    """Raised for rows that hold dates, times or durations, with which scikit-learn raises one or the other.

    Every library counts them from another day and in another unit, so that none is taken for granted.

    Remedy
    ------
    Make numbers of them in a unit of your choice, or drop the column.

    Examples
    --------
    >>> import numpy as np, fastgmm
    >>> days = np.array([["2026-01-01"], ["2026-01-02"], ["2026-01-05"]], dtype="datetime64[D]")
    >>> try:
    ...     fastgmm.GaussianMixture().fit(days)
    ... except ValueError as error:
    ...     print(error)
    Column 0 of X holds dates, times or durations (datetime64[D]). Convert them to numbers...
    >>> fastgmm.GaussianMixture().fit((days - days[0]) / np.timedelta64(1, "D")).means_
    array([[1.66666667]])
    """


E = TypeVar("E", bound=Exception)

_COUNTERPARTS: dict[type[Exception], tuple[str, str]] = {
    NotFittedError: ("sklearn.exceptions", "NotFittedError"),
    ConvergenceWarning: ("sklearn.exceptions", "ConvergenceWarning"),
    DataConversionWarning: ("sklearn.exceptions", "DataConversionWarning"),
    InvalidParameterError: ("sklearn.utils._param_validation", "InvalidParameterError"),
}


_subject: ContextVar[str] = ContextVar("_subject", default="")


@contextmanager
def warnings_of(subject: str) -> Iterator[None]:
    """Have warnings begin by what they are about, which their texts cannot know."""
    token = _subject.set(f"{subject}: ")
    try:
        yield
    finally:
        _subject.reset(token)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning as if from the line that called into this package, however deep the call."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(_subject.get() + message, category, stacklevel=level)


def compatible(own: type[E]) -> type[E]:
    """Return ``own``, joined with scikit-learn's class of the same name where scikit-learn is loaded."""
    module, name = _COUNTERPARTS[own]
    other = getattr(sys.modules.get(module), name, None)
    return own if other is None else _joined(own, other)  # type: ignore[arg-type]  # mypy: generic class not hashable


@cache
def _joined(own: type[E], other: type[Exception]) -> type[E]:
    """Return a subclass of both classes under the name of the first."""
    names = {name: getattr(own, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(own.__name__, (own, other), names)


def _rebuild(own: type[Exception], args: tuple[Any, ...]) -> Exception:
    """Unpickle an exception as the class that fits the receiving process."""
    return compatible(own)(*args)
