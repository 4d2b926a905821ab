"""Subclasses of scikit-learn's mixtures whose fits and answers are fastgmm's, as far as it can give them."""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np

from ..mixture.conversion import shared_attributes, taken_by_sklearn
from ..mixture.progress import INFO, tell
from ..mixture.protocol import arguments_of

__all__ = ["pickled", "stand_in"]

LEARNING = ("fit", "fit_predict")
ASKING = ("predict", "predict_proba", "score_samples")


def stand_in(original: type[Any], plain: type[Any], patched: Mapping[type, type]) -> type[Any]:
    """Return a subclass of scikit-learn's class, under its name, that has the public one of fastgmm do the work.

    ``patched`` tells which class stands in for which at present.
    """
    work = Work(original, plain)

    def reduced(self: Any, protocol: Any) -> Any:
        return pickled(self) if type(self) is made else super(made, self).__reduce_ex__(protocol)

    def counts(cls: type, other: type) -> Any:
        """Say that scikit-learn's class, and fastgmm's, are subclasses too, while one stands in for the other."""
        both = cls is made and original in patched
        return (both and not {original, plain}.isdisjoint(other.__mro__)) or NotImplemented

    own = {name: getattr(original, name) for name in ("__module__", "__qualname__", "__doc__")}
    own |= {name: _learning(work, name) for name in LEARNING}
    own |= {name: _asking(work, name) for name in ASKING}
    own |= {"__reduce_ex__": reduced, "__subclasshook__": classmethod(counts), "_of_sklearn": original}
    metaclass: Any = type(original)
    made: type[Any] = metaclass(original.__name__, (original,), own)
    work.watch(made)
    return made


def pickled(model: Any) -> tuple[Any, ...]:
    """Return a model as what pickles: of the class that now has scikit-learn's name, whatever made it."""
    kind = type(model)
    found = getattr(sys.modules[kind.__module__], kind.__name__)
    # What object.__reduce_ex__ takes at protocols below 2; typeshed leaves it out.
    return copyreg._reconstructor, (found, object, None), model.__getstate__()  # type: ignore[attr-defined]


class Work:
    """What passes between a model of scikit-learn's class and an estimator of fastgmm.

    Parameters
    ----------
    original, plain : type
        scikit-learn's class, and that of fastgmm.
    """

    def __init__(self, original: type[Any], plain: type[Any]) -> None:
        from sklearn import get_config
        from sklearn.utils.validation import check_is_fitted, validate_data

        self.get_config, self.check_is_fitted, self.validate_data = get_config, check_is_fitted, validate_data
        self.original: Any = original
        self.plain: Any = plain
        theirs, ours = original().get_params(), dict(arguments_of(plain))
        self.params = [name for name in theirs if name in ours]
        self.lacking = {name: default for name, default in theirs.items() if name not in ours}
        self.attributes = shared_attributes(plain)
        self.defaults = ours | ({"degenerate": "raise"} if "degenerate" in ours else {"_repairs_prior": False})
        self.steps: dict[str, Any] = {}
        self.fit_predict: Callable[..., Any] = original.fit_predict

    def watch(self, made: type[Any]) -> None:
        """Remember the private steps of the class that stands in: where others are found, scikit-learn has its way."""
        kinds = [kind for kind in self.original.__mro__ if kind.__module__.startswith("sklearn.mixture.")]
        names = {name for kind in kinds for name in vars(kind) if name[0] == "_" and name[:2] != "__"}
        self.steps = {name: getattr(made, name) for name in names - {"_abc_impl"}}
        self.fit_predict = made.fit_predict

    def refused(self, model: Any) -> str | None:
        """Say why scikit-learn has to do it; None where fastgmm can."""
        kind = type(model)
        if not self.steps.keys().isdisjoint(vars(model)) or any(
            getattr(kind, name) is not step for name, step in self.steps.items()
        ):
            return "it has private steps of its own"
        if self.get_config()["array_api_dispatch"]:  # with which scikit-learn refuses some arguments, for any X
            return "array_api_dispatch is on"
        for name, default in self.lacking.items():
            if getattr(model, name) is not default:
                return f"fastgmm has no {name}"
        for name in self.params:
            if not taken_by_sklearn(name, getattr(model, name)):
                return f"the value of {name}"
        return None

    def hand_over(self, model: Any) -> Any:
        """Return an estimator of fastgmm in the state of a model."""
        own = vars(model)
        estimator = self.plain.__new__(self.plain)
        state = vars(estimator)
        state.update(self.defaults)
        state.update({name: getattr(model, name) for name in self.params})
        state.update({name: own[name] for name in self.attributes if name in own})
        return estimator

    def take_back(self, model: Any, estimator: Any) -> None:
        """Give a model the attributes that a fit has left."""
        state = vars(estimator)
        vars(model).update({name: state[name] for name in self.attributes if name in state})

    def rows_to_fit(self, model: Any, X: Any) -> Any:
        """Return rows as an array of floats, checked and named by scikit-learn unless they are one."""
        if _is_plain(X):
            vars(model).pop("feature_names_in_", None)
            return X
        return self.validate_data(model, X, dtype=[np.float64, np.float32], ensure_min_samples=2)

    def rows(self, model: Any, X: Any) -> Any:
        """Return rows to be asked about in the same way, and in the precision that scikit-learn answers in."""
        own = vars(model)
        if not _is_plain(X) or "feature_names_in_" in own:
            self.check_is_fitted(model)
            X = self.validate_data(model, X, reset=False)
        single = X.dtype == np.float32 and getattr(own.get("means_"), "dtype", X.dtype) != np.float32
        return X.astype(np.float64) if single else X


def _is_plain(X: Any) -> bool:
    """Tell whether rows are an array that fastgmm takes, or refuses, as scikit-learn does."""
    return type(X) is np.ndarray and X.dtype.char in "fd"


def _left(model: Any, method: str, why: object) -> None:
    """Log what is left to scikit-learn."""
    tell(INFO, "%s.%s is left to scikit-learn: %s", type(model).__name__, method, why)


def _learning(work: Work, name: str) -> Callable[..., Any]:
    """Return the method of this name for a class that stands in: it fits."""
    original = work.original

    @wraps(getattr(original, name))
    def learn(self: Any, X: Any, y: Any = None) -> Any:
        if name == "fit" and type(self).fit_predict is not work.fit_predict:
            return original.fit(self, X, y)  # which is the fit_predict of a subclass
        why: object = work.refused(self)
        if why is None:
            rows, estimator = work.rows_to_fit(self, X), work.hand_over(self)
            try:
                found = getattr(estimator, name)(rows)
                return self if found is estimator else found
            except (TypeError, ValueError) as error:
                why = error
            finally:  # after Ctrl-C, too
                work.take_back(self, estimator)
        _left(self, name, why)
        labels = original.fit_predict(self, X, y)
        return self if name == "fit" else labels

    return learn


def _asking(work: Work, name: str) -> Callable[..., Any]:
    """Return the method of this name for a class that stands in: it answers for rows."""
    theirs = getattr(work.original, name)

    @wraps(theirs)
    def ask(self: Any, X: Any) -> Any:
        why: object = work.refused(self)
        if why is None:
            rows = work.rows(self, X)
            try:
                return getattr(work.hand_over(self), name)(rows)
            except (TypeError, ValueError) as error:
                why = error
        _left(self, name, why)
        return theirs(self, X)

    return ask
