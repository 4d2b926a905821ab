"""Signatures that every variant (_base, _v3, _v4) shares; see kernels.pyx."""

import numpy as np
from numpy.typing import NDArray

type Rows = NDArray[np.float32] | NDArray[np.float64]
