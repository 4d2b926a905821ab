"""The attributes of a component of noise: its weight, its density, and the box from which it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.noise import Box, Noise
from ..model.parameters import Parameters
from .attributes import fitted_attributes

__all__ = ["NAMES", "check_same_noise", "noise_argument", "noise_attributes", "noise_of"]

NAMES = ("noise_weight_", "noise_log_density_", "noise_box_")


def noise_attributes(parameters: Parameters) -> dict[str, Any]:
    """Return the attributes of a mixture's noise; none where it has none.

    The box is an array of rows: lower ends, widths, and axes unless these are the features.
    """
    noise = parameters.noise
    if noise is None:
        return {}
    rows = [noise.box.lower, noise.box.widths, *([] if noise.box.axes is None else noise.box.axes)]
    return dict(zip(NAMES, (parameters.noise_weight, noise.log_density, np.array(rows)), strict=True))


def check_same_noise(state: Mapping[str, Any], remedy: str) -> None:
    """Refuse to go on with noise from a mixture without it, or without it from one that has some."""
    noise, known = state.get("noise"), NAMES[0] in state
    if (noise is not None) != known:
        of = "with" if known else "without"
        raise ValueError(f"noise is {noise!r} now, but the parameters to go on from are {of} noise. {remedy}")


def noise_argument(parameters: Parameters) -> float | str | None:
    """Return the argument ``noise`` of a mixture with these parameters."""
    noise = parameters.noise
    return None if noise is None else noise.log_density if noise.given else "auto"


def noise_of(estimator: Any, state: Mapping[str, Any], n_features: int) -> tuple[float, Noise]:
    """Return weight and noise of attributes that may have been set by hand."""
    weight, log_density, box = fitted_attributes(estimator, state, *NAMES)
    if not (weight.ndim == 0 and 0 <= weight <= 1 and log_density.ndim == 0 and np.isfinite(log_density)):
        raise ValueError(
            f"The attributes 'noise_weight_' and 'noise_log_density_' should be a probability and a finite number, but "
            f"are {weight} and {log_density}. Set them together with weights_, or call 'fit'."
        )
    if box.ndim != 2 or box.shape not in ((2, n_features), (2 + n_features, n_features)):
        raise ValueError(
            f"The attribute 'noise_box_' should have the shape {(2, n_features)} or {(2 + n_features, n_features)}, "
            f"but got {box.shape}. Set lower ends, widths and perhaps axes, or call 'fit'."
        )
    axes: NDArray[np.float64] | None = box[2:] if len(box) > 2 else None
    if not (np.isfinite(box).all() and (box[1] > 0).all()):
        raise ValueError(
            "The attribute 'noise_box_' should hold finite numbers, and positive widths in its second row. Set it "
            "anew, or call 'fit'."
        )
    given = not isinstance(state.get("noise"), str)
    return float(weight), Noise(float(log_density), Box(box[0], box[1], axes), given)
