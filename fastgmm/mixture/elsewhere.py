"""The steps of a fit for those who run it elsewhere: a search over candidates, many fits in one call, EM by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from ..fitting.em import Fit
from ..fitting.settings import Settings
from ..model.parameters import Parameters
from ..sources.source import Source
from .estimation import Estimation

__all__ = ["attributes_of", "reached", "rows_to_fit", "settings_of", "take_over"]

E = TypeVar("E", bound=Estimation)


def settings_of(mixture: Estimation, state: Mapping[str, Any] | None = None) -> Settings:
    """Return the arguments of an estimator that every fit heeds; as `Estimation._settings`."""
    return mixture._settings(state)


def reached(mixture: Estimation, state: Mapping[str, Any]) -> Parameters:
    """Return the parameters that a fit has left, to go on from."""
    return mixture._reached(state)


def rows_to_fit(mixture: Estimation, X: Any, sample_weight: Any = None) -> Source:
    """Return checked rows as a source from which an estimator may learn."""
    return mixture._rows_to_fit(X, sample_weight)


def take_over(mixture: E, fit: Fit, dtype: np.dtype[Any], n_samples: float, **others: Any) -> E:
    """Return the estimator with the attributes of a fit that was run elsewhere; `others` as for `_attributes`."""
    return mixture._adopt(mixture._attributes(mixture._structure(), fit, dtype, n_samples, **others))


def attributes_of(mixture: Estimation, source: Source, sample_weight: Any = None) -> tuple[dict[str, Any], Fit]:
    """Return the attributes that a fit to checked rows would leave, without warnings, and the fit."""
    fit, attributes = mixture._found(source, sample_weight)
    return attributes(), fit
