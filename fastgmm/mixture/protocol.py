"""The estimator protocol of scikit-learn, without scikit-learn.

`clone`, `Pipeline`, `GridSearchCV` and joblib ask an estimator only for the methods below; it need not derive from
scikit-learn's classes. The two methods that answer with scikit-learn's own types are called by scikit-learn alone and
import it on the spot.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..exceptions import warn
from ..kernels.cpu import VERSION
from ..text import listed, quoted, shortened

if TYPE_CHECKING:
    from typing import Self

    from sklearn.utils import Tags
    from sklearn.utils.metadata_routing import MetadataRequest

__all__ = ["Estimator", "Scored", "arguments_of", "changed", "made", "overrides"]

_VERSION_KEY = "_fastgmm_version"


WEIGHTED = ("fit", "partial_fit", "score")  # methods that take sample weights, where an estimator has them


_DEFAULTS: dict[type, dict[str, Any]] = {}  # by class, for looking them up takes longer than predicting a row


def _defaults(cls: type[Estimator]) -> dict[str, Any]:
    """Return the constructor's arguments and their defaults in alphabetical order, as scikit-learn lists them."""
    if cls not in _DEFAULTS:
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = {p.name: p.default for p in inspect.signature(cls).parameters.values() if p.kind in named}
        _DEFAULTS[cls] = dict(sorted(parameters.items()))
    return _DEFAULTS[cls]


_ARGUMENTS: dict[type, Mapping[str, Any]] = {}


def arguments_of(cls: type[Estimator]) -> Mapping[str, Any]:
    """Return the arguments of a class's constructor and of those that it derives from, with the defaults that hold."""
    if cls not in _ARGUMENTS:
        constructors = [base for base in reversed(cls.__mro__[:-1]) if "__init__" in vars(base)]  # object's takes none
        _ARGUMENTS[cls] = {name: default for base in constructors for name, default in _defaults(base).items()}
    return _ARGUMENTS[cls]


E = TypeVar("E", bound="Estimator")


def made(cls: type[E], params: Mapping[str, Any]) -> E:
    """Return an estimator of a class, whatever its own constructor takes, with these arguments of any in its line.

    Where the constructor lacks one without a default it is not called: all arguments are set, that one to None.
    """
    arguments, own = arguments_of(cls), _defaults(cls)
    unknown = [name for name in params if name not in arguments]
    if unknown:
        raise ValueError(
            f"Invalid parameter {quoted(unknown[0])} for estimator {cls.__name__}. Valid parameters are: "
            f"{listed(map(repr, arguments), 350)}."
        )
    given = {name: value for name, value in params.items() if name in own}
    if any(default is inspect.Parameter.empty and name not in given for name, default in own.items()):
        estimator, others = cls.__new__(cls), {**_filled(arguments), **params}
    else:
        estimator, others = cls(**given), {name: value for name, value in params.items() if name not in given}
    for name, value in others.items():
        setattr(estimator, name, value)
    return estimator


def overrides(estimator: Estimator, base: type, *methods: str) -> bool:
    """Tell whether the class of an estimator has methods of its own in place of some of the base's."""
    own = type(estimator)
    return any(getattr(own, method) is not getattr(base, method) for method in methods)


def _filled(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments, None for those that have no default."""
    return {name: None if default is inspect.Parameter.empty else default for name, default in arguments.items()}


def _is_default(value: Any, default: Any) -> bool:
    """Tell whether ``value`` is the default; arrays, which do not compare to one truth value, never are."""
    return type(value) is type(default) and bool(np.all(value == default))


def changed(estimator: Estimator) -> dict[str, Any]:
    """Return the arguments of an estimator that differ from their defaults."""
    defaults = _defaults(type(estimator))
    return {n: value for n, value in estimator.get_params(deep=False).items() if not _is_default(value, defaults[n])}


class Estimator:
    """The estimator protocol of scikit-learn, duck-typed.

    A subclass stores its constructor's arguments untouched under their own names.
    """

    _metadata_request: MetadataRequest

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments.

        Parameters
        ----------
        deep : bool, default=True
            Accepted for scikit-learn's sake: no argument is itself an estimator.

        Returns
        -------
        params : dict
            Names of the arguments and their present values.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture(n_components=3).get_params()["n_components"]
        3
        """
        return {name: getattr(self, name) for name in _defaults(type(self))}

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments; they take effect at the next ``fit``.

        Parameters
        ----------
        **params : dict
            Names of the arguments and their new values.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If a name is not an argument of the constructor; nothing is set then.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture().set_params(n_components=3, covariance_type="tied")
        GaussianMixture(covariance_type='tied', n_components=3)
        """
        valid = list(_defaults(type(self)))
        for name in params:
            if name not in valid:
                raise ValueError(
                    f"Invalid parameter {quoted(name)} for estimator {shortened(self)}. "
                    f"Valid parameters are: [{listed(map(repr, valid), 180)}]."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Return the call that makes this estimator, arguments with default values left out."""
        arguments = ", ".join(f"{name}={' '.join(repr(value).split())}" for name, value in changed(self).items())
        return f"{type(self).__name__}({arguments})"

    def _repr_html_(self) -> str:
        """Return what notebooks show: the parameters and, once fitted, the components."""
        from .notebook import framed

        return framed(type(self).__name__, self._page())

    def _repr_html_inner(self) -> str:
        """Return the same without a title, for scikit-learn's diagrams, where it is unfolded."""
        from .notebook import framed

        return framed("", self._page())

    def _page(self) -> str:
        """Return as HTML what was fitted, and the parameters."""
        from .notebook import parameters

        return self._fitted_page() + parameters(self.get_params(deep=False), list(changed(self)))

    def _fitted_page(self) -> str:
        """Return as HTML what was fitted: the components of a mixture."""
        from .notebook import components

        return components(self)

    def _get_params_html(self, deep: bool = True, doc_link: str = "") -> Self:
        """Return what scikit-learn's diagrams ask for `_repr_html_inner`."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the attributes, in alphabetical order, and the version that wrote them."""
        return {**dict(sorted(vars(self).items())), _VERSION_KEY: VERSION}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled estimator, missing arguments as their defaults; warn when another version wrote it."""
        attributes = dict(state)
        written = attributes.pop(_VERSION_KEY, "unknown")
        if written != VERSION:
            warn(
                f"This {type(self).__name__} was pickled by fastgmm {written} and is read by fastgmm {VERSION}; "
                "a pickle is only meant for the version that wrote it. Fit again, or load it with that version.",
                UserWarning,
            )
        vars(self).update(_filled(arguments_of(type(self))) | attributes)

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn's ``check_is_fitted`` whether there is a mixture, fitted or set by hand."""
        return hasattr(self, "weights_") and hasattr(self, "means_")

    def __sklearn_tags__(self) -> Tags:
        """Describe the estimator to scikit-learn's checks and meta-estimators."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(allow_nan=getattr(self, "missing", None) == "em"),
        )

    def get_metadata_routing(self) -> MetadataRequest:
        """Tell scikit-learn's meta-estimators which metadata to pass on: sample weights, where asked for.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRequest

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture().get_metadata_routing().score.requests
        {'sample_weight': None}
        """
        from sklearn.utils.metadata_routing import MetadataRequest

        requested = getattr(self, "_metadata_request", None)
        if requested is not None:
            return deepcopy(requested)
        routing = MetadataRequest(owner=self)
        for method in WEIGHTED:
            if hasattr(self, f"set_{method}_request"):
                getattr(routing, method).add_request(param="sample_weight", alias=None)
        return routing

    def set_fit_request(self, *, sample_weight: bool | str | None = None) -> Self:
        """Say whether scikit-learn's meta-estimators are to pass sample weights on to ``fit``.

        Parameters
        ----------
        sample_weight : bool, str or None, default=None
            True passes them on, False does not, None raises an error if they are given, a str is another name by
            which they are passed.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        RuntimeError
            If scikit-learn's metadata routing is not enabled.

        Examples
        --------
        >>> import sklearn
        >>> from fastgmm import GaussianMixture
        >>> with sklearn.config_context(enable_metadata_routing=True):
        ...     mixture = GaussianMixture().set_fit_request(sample_weight=True)
        >>> mixture.get_metadata_routing().fit.requests
        {'sample_weight': True}
        """
        return self._request("fit", sample_weight)

    def _request(self, method: str, sample_weight: bool | str | None) -> Self:
        """Store a request for metadata where `clone` looks for it."""
        import sklearn

        if not sklearn.get_config().get("enable_metadata_routing", False):
            raise RuntimeError(
                f"set_{method}_request is only available when metadata routing is enabled: call "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        routing = self.get_metadata_routing()
        getattr(routing, method).add_request(param="sample_weight", alias=sample_weight)
        self._metadata_request = routing
        return self


class Scored(Estimator):
    """An estimator whose `score` takes sample weights."""

    def set_score_request(self, *, sample_weight: bool | str | None = None) -> Self:
        """Say whether scikit-learn's meta-estimators are to pass sample weights on to ``score``.

        Parameters
        ----------
        sample_weight : bool, str or None, default=None
            As for `set_fit_request`.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        RuntimeError
            If scikit-learn's metadata routing is not enabled.

        Examples
        --------
        >>> import sklearn
        >>> from fastgmm import GaussianMixture
        >>> with sklearn.config_context(enable_metadata_routing=True):
        ...     mixture = GaussianMixture().set_score_request(sample_weight="weights")
        >>> mixture.get_metadata_routing().score.requests
        {'sample_weight': 'weights'}
        """
        return self._request("score", sample_weight)
