"""What the arguments of `GaussianMixture` may be."""

from math import isfinite
from numbers import Real

from ..fitting.acceleration import ACCELERATIONS
from ..fitting.convergence import RULES
from ..fitting.starts import METHODS
from ..model.structures import STRUCTURES
from .bar import BAR
from .checks import (
    ARRAY,
    BOOL,
    CALLABLE,
    GENERATOR,
    NONE,
    NONNEGATIVE,
    NUMBERS,
    POSITIVE,
    RATIO,
    Constraints,
    either,
    integer,
    one_of,
)
from .prior import Prior

__all__ = ["CONSTRAINTS"]

CONSTRAINTS: Constraints = {
    "n_components": integer(1),
    "covariance_type": one_of(STRUCTURES),
    "tol": NONNEGATIVE,
    "reg_covar": either(NONNEGATIVE, one_of(["auto"])),
    "max_iter": integer(0),
    "n_init": either(integer(1), one_of(["auto"])),
    "init_params": either(one_of(METHODS), NUMBERS, CALLABLE),
    "weights_init": either(ARRAY, NONE),
    "means_init": either(ARRAY, NONE),
    "precisions_init": either(ARRAY, NONE),
    "random_state": either(integer(0, 2**32 - 1), GENERATOR, NONE),
    "warm_start": BOOL,
    "verbose": either(integer(0), BOOL, one_of([BAR])),
    "verbose_interval": integer(1),
    "acceleration": either(one_of(ACCELERATIONS), NONE),
    "convergence": one_of(RULES),
    "max_time": either(POSITIVE, NONE),
    "degenerate": one_of(["repair", "raise"]),
    "callback": either(CALLABLE, NONE),
    "n_threads": either(integer(1), NONE),
    "drop_restarts": BOOL,
    "missing": one_of(["raise", "em"]),
    "learning_decay": (
        lambda v: isinstance(v, Real) and 0.5 < float(v) <= 1.0,
        "a float in the range (0.5, 1.0]",
    ),
    "equal_weights": BOOL,
    "noise": either(
        (lambda v: type(v) is not bool and isinstance(v, Real) and isfinite(float(v)), "a finite number"),
        one_of(["auto"]),
        NONE,
    ),
    "covariance_ratio": RATIO,
    "sampling": either(one_of(["auto"]), NONE),
    "prior": either((lambda v: isinstance(v, Prior), "a fastgmm.Prior"), one_of(["mclust"]), NONE),
}
