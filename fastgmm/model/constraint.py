"""Constraints on the covariances of a structure, by the names of mclust: how volumes, shapes and axes are shared.

Write Sigma_k = lambda_k D_k A_k D_k^T with volume lambda_k, shape A_k (diagonal, of determinant one) and orientation
D_k. Three letters tell of each whether it is equal (E) or variable (V) among components, or that of the identity (I).

Sources: J. D. Banfield, A. E. Raftery, Model-based Gaussian and non-Gaussian clustering, Biometrics 49, 1993;
G. Celeux, G. Govaert, Gaussian parsimonious clustering models, Pattern Recognition 28, 1995.
"""

from typing import NamedTuple

import numpy as np

from .. import kernels

SHARING = {"EI": 1, "VI": 2, "EE": 3, "VE": 4, "EV": 5, "VV": 6}  # of volumes and shapes; see kernels/constraints.pxd
FREE = 0, 0  # no constraint
AXES = {"I": 0, "E": 1, "V": 2}


class Constraint(NamedTuple):
    """A constraint with a name of three letters."""

    letters: str

    @property
    def codes(self) -> tuple[int, int]:
        """How variances are shared and what their axes are, as the kernels take it."""
        return SHARING[self.letters[:2]], AXES[self.letters[2]]

    @property
    def keeps_axes(self) -> bool:
        """Whether axes are found by iterations, and kept from one M-step to the next."""
        return self.letters in ("EVE", "VVE")

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the covariances."""
        count = {"E": 1, "V": n_components, "I": 0}
        volumes, shapes, axes = (count[letter] for letter in self.letters)
        return volumes + shapes * (n_features - 1) + axes * n_features * (n_features - 1) // 2

    def covariances(
        self, triangular: bool, weights: np.ndarray, covariances: np.ndarray, n_features: int, axes: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The most likely covariances under it, given those of an M-step without it, and the axes they have in common.

        `axes` (D, D), one in each row, are those to begin with; None for a cold start. None where no covariances are
        positive definite.
        """
        own = *self.codes, triangular
        scratch = np.empty(kernels.CHOSEN.constraint_size(*own, n_features, len(weights)))
        found, common = np.array(covariances, np.float64, order="C"), None
        if self.keeps_axes:
            common = np.full((n_features, n_features), np.nan) if axes is None else np.array(axes, order="C")
        shares = np.ascontiguousarray(weights)
        if not kernels.CHOSEN.constrain_covariances(*own, shares, common, n_features, scratch, found.ravel()):
            return None
        return found, common
