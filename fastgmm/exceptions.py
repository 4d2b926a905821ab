"""Exceptions and warnings, caught by scikit-learn's names too wherever scikit-learn is loaded.

scikit-learn is never imported here. When the caller's process has loaded it, what is raised derives both from our
class and from scikit-learn's, so that ``except sklearn.exceptions.NotFittedError`` and warning filters keep working.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from types import FrameType
from typing import Any, TypeVar

__all__ = [
    "CommandError",
    "ConvergenceWarning",
    "DataConversionWarning",
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

    Examples
    --------
    >>> import warnings, fastgmm
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", fastgmm.ConvergenceWarning)
    ...     _ = fastgmm.GaussianMixture().fit([[0.0], [1.0], [3.0]])
    """


class DataConversionWarning(_Portable, UserWarning):
    """Issued when labels come as a column, of shape (n_samples, 1), where (n_samples,) was expected."""


class DegenerateComponentWarning(UserWarning):
    """Issued when components emptied or collapsed and were repaired: it names them and what was done.

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

    It lies at the edge of the numbers of components that were tried, or candidates were set aside: `Selection.notes`
    says the same.

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
    """An error that the person who typed a command can mend; the command line shows it as one line."""


class InvalidParameterError(_Portable, ValueError, TypeError):
    """Raised by ``fit`` when a constructor argument has the wrong type or is out of range."""


class DatesError(ValueError, TypeError):
    """Raised for rows that hold dates, times or durations, with which scikit-learn raises one or the other."""


E = TypeVar("E", bound=Exception)

_COUNTERPARTS: dict[type[Exception], tuple[str, str]] = {
    NotFittedError: ("sklearn.exceptions", "NotFittedError"),
    ConvergenceWarning: ("sklearn.exceptions", "ConvergenceWarning"),
    DataConversionWarning: ("sklearn.exceptions", "DataConversionWarning"),
    InvalidParameterError: ("sklearn.utils._param_validation", "InvalidParameterError"),
}


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning as if from the line that called into this package, however deep the call."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


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
