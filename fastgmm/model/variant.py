"""What a covariance structure is: its name, its constraint, whether weights are equal, whether there is noise."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import Any, Self

import numpy as np

from .arrays import Arrays
from .bound import Bound
from .cached import cached
from .constraint import FREE, Constraint

KEPT_BY_PARTS = ("EII", "EEI", "VEI", "VEE")  # constraints that hold for some of the features, too


class Variant(Arrays):
    """One of the covariance structures, as a name for it says: a layout of arrays, and what is asked of mixtures."""

    name: str
    in_sklearn: str  # covariance_type of scikit-learn: `name`, or that of `expanded` where scikit-learn lacks it
    kind: int  # the geometry of the kernels
    common_frame: bool  # whether kernels put rows into a frame that components share, with its rounding
    letters: str | None = None  # its name in mclust, if it has one: volume, shape and axes equal, variable, or none
    constraint: Constraint | None = None
    bound: Bound | None = None  # on variances, beside it
    univariate: bool = False  # whether it is a name for mixtures of one feature alone
    equal_weights: bool = False  # whether all components have the same weight
    noisy: int = 0  # how many parameters a component of noise has; 0 where there is none
    compiled: bool = False  # whether all its steps are those of the kernels

    _layout: Self | None = None

    @property
    def how(self) -> tuple[int, bool, bool, int, int, bool]:
        """What it is, as compiled fits take it: geometry, matrices or not, shared or not, constraint, equal weights."""
        codes = FREE if self.constraint is None else self.constraint.codes
        return self.kind, self.triangular, self.shared, *codes, self.equal_weights

    @property
    def keeps_axes(self) -> bool:
        """Whether components have axes in common that each M-step turns further."""
        return self.constraint is not None and self.constraint.keeps_axes

    @property
    def of_parts(self) -> Self:
        """The structure that some of the features have, alone or given the others: itself, or its layout."""
        kept = self.constraint is None or self.letters in KEPT_BY_PARTS
        return self if kept else self.layout

    @property
    def varies(self) -> bool:
        """Whether volumes or shapes of components are free."""
        return self.letters is None or "V" in self.letters[:2]

    @property
    def common_axes(self) -> bool:
        """Whether all components have the same axes, that may be any."""
        return self.letters is not None and self.letters[2] == "E"

    def within(self, other: Variant) -> bool:
        """Whether its mixtures are special cases of another one's."""
        if self.letters is None or other.letters is None or self is other or other.equal_weights > self.equal_weights:
            return False
        ranks = [["IEV".index(letter) for letter in one.letters or ""] for one in (self, other)]
        different = self.letters != other.letters or self.equal_weights != other.equal_weights
        return different and self.noisy == other.noisy and all(a <= b for a, b in zip(*ranks, strict=True))

    def asked(self, equal_weights: bool, noise: float | str | None) -> Self:
        """The same with these arguments of an estimator."""
        found = self.equally_weighted if equal_weights else self
        if noise is None:
            return found
        return found.with_noise if isinstance(noise, str) else found.with_known_noise

    @cached
    def equally_weighted(self) -> Self:
        """The same with one weight for all components."""
        return self.but(equal_weights=True)

    @cached
    def with_noise(self) -> Self:
        """The same with a component of noise, whose weight and density are parameters."""
        return self.but(noisy=2, compiled=False)

    @cached
    def with_known_noise(self) -> Self:
        """The same with a component of noise, of which the density is known."""
        return self.but(noisy=1, compiled=False)

    def but(self, **changes: Any) -> Self:
        """The same but for some attributes; what it remembers of itself is not that of the other."""
        found = copy(self)
        kept = {name: value for name, value in vars(self).items() if not isinstance(value, Variant)}
        found.__dict__ = kept | {"_layout": self.layout} | changes
        return found

    @property
    def restricted(self) -> bool:
        """Whether there are covariances of its layout that it does not have."""
        return self.constraint is not None or self.bound is not None

    @property
    def layout(self) -> Self:
        """The structure of the same arrays without a constraint."""
        return self._layout or self

    def under(self, name: str, constraint: Constraint | None = None, *, univariate: bool = False) -> Self:
        """This layout under another name, and a constraint if there is any."""
        letters = self.letters if constraint is None else constraint.letters
        return self.but(name=name, constraint=constraint, univariate=univariate, letters=letters)

    def mixed(self, weights: np.ndarray) -> np.ndarray:
        """Weights as the mixture has them, given free ones."""
        total = weights.sum() if self.noisy else 1
        return np.full(len(weights), total / len(weights)) if self.equal_weights else weights

    @abstractmethod
    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the covariances, under no constraint."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the whole mixture."""
        rule = self.n_covariance_parameters if self.constraint is None else self.constraint.n_parameters
        weights = 0 if self.equal_weights else n_components - 1
        return self.noisy + weights + n_components * n_features + rule(n_components, n_features)

    def check_features(self, n_features: int) -> None:
        """Refuse several features where the name is for one."""
        if self.univariate and n_features > 1:
            raise ValueError(
                f"covariance_type={self.name!r} is for one feature, but there are {n_features}: set '{self.name}II', "
                "which has one variance for all features, or another one."
            )
