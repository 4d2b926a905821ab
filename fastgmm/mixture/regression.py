"""Gaussian mixture regression: some features predicted from the others."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from ..model.conditioning import (
    Conditional,
    conditional,
    conditional_covariances,
    conditional_means,
    conditional_variances,
)
from ..model.fitted import Fitted
from ..model.kernel_model import KernelModel
from ..model.masked import masked
from ..model.structure import Structure
from ..sources.array import ArraySource
from ..sources.incomplete.model import IncompleteModel, model_of_rows
from ..sources.incomplete.source import IncompleteSource
from ..sources.responsibilities import map_responsibilities
from ..sources.source import Source
from .base import BaseMixture, Floats, check_no_overflow
from .checks import Features, feature_numbers, other_features

__all__ = ["Regression"]

FILLED = 1 << 22  # values that are filled at a time


class Regression(BaseMixture):
    """regress: conditional means, standard deviations and covariances of some features."""

    @overload
    def regress(
        self, X: Any, targets: Features, *, return_std: Literal[False] = ..., return_cov: Literal[False] = ...
    ) -> Floats: ...
    @overload
    def regress(
        self, X: Any, targets: Features, *, return_std: Literal[True], return_cov: Literal[False] = ...
    ) -> tuple[Floats, Floats]: ...
    @overload
    def regress(
        self, X: Any, targets: Features, *, return_std: Literal[False] = ..., return_cov: Literal[True]
    ) -> tuple[Floats, Floats]: ...
    @overload
    def regress(
        self, X: Any, targets: Features, *, return_std: bool = ..., return_cov: bool = ...
    ) -> Floats | tuple[Floats, Floats]: ...
    @masked
    def regress(self, X: Any, targets: Features, *, return_std: bool = False, return_cov: bool = False) -> Any:
        """Predict some features from the others: Gaussian mixture regression.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features - n_targets)
            The features that are no targets, in their order; rows as for `fit`, with NaN if ``missing='em'``.
        targets : int, str, or sequence of them
            The features to predict, as for `marginal`.
        return_std : bool, default=False
            Also return the standard deviation of each target.
        return_cov : bool, default=False
            Also return the covariances of the targets.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_targets), or (n_samples,) for one target not in a sequence
            Mean of the targets given the rows, the prediction of least squared error; float32 for float32 rows, else
            float64.
        std : ndarray of the same shape
            With ``return_std``: their standard deviations given the rows, within components and between them.
        cov : ndarray of shape (n_samples, n_targets, n_targets), or (n_samples,) for one target not in a sequence
            With ``return_cov``: their covariances, likewise.

        Raises
        ------
        NotFittedError
            If there are no parameters yet.
        ValueError, TypeError
            If there is no such feature, one is named twice or none is left, if both ``return_std`` and ``return_cov``
            are true, if ``return_cov`` is true and values are missing, or if rows are refused as by `score_samples`.

        Notes
        -----
        Each component is a linear regression, and weighs as probable as it is at the row; rows are taken for no noise.
        `condition` gives the whole distribution at one row.

        References
        ----------
        Z. Ghahramani, M. I. Jordan. Supervised learning from incomplete data via an EM approach. Advances in Neural
        Information Processing Systems 6, 1994.

        D. A. Cohn, Z. Ghahramani, M. I. Jordan. Active learning with statistical models. Journal of Artificial
        Intelligence Research 4, 1996.

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import GaussianMixture
        >>> x = np.linspace(-3, 3, 200)
        >>> mixture = GaussianMixture(6, random_state=0).fit(np.column_stack([x, x**2]))
        >>> mean, std = mixture.regress([[-2.0], [1.0]], targets=1, return_std=True)
        >>> bool(np.abs(mean - [4, 1]).max() < 0.3), std.shape
        (True, (2,))
        """
        if return_std and return_cov:
            raise ValueError("return_std and return_cov are both true: ask for one, the other follows from it.")
        fitted = self._fitted().without_noise
        rest = feature_numbers(targets, fitted.n_features, fitted.feature_names)
        given = other_features(rest, fitted.n_features)
        sizes: tuple[int, ...] = getattr(X, "shape", ())
        if len(sizes) == 2 and sizes[1] != len(given):
            raise ValueError(
                f"X has {sizes[1]} columns, but {len(given)} of the {len(given) + len(rest)} features are no targets: "
                "pass these alone, in their order."
            )
        structure = fitted.structure
        joint = conditional(structure, fitted.parameters, given, rest)
        check_no_overflow(structure, joint.given)
        names = None if fitted.feature_names is None else fitted.feature_names[given]
        of_given = Fitted(structure, joint.given, names)
        with self._rows(X, of_given) as source:
            if not source.has_gaps:
                blocks = _predicted(source, source.model(of_given), structure, joint, return_std, return_cov)
            elif return_cov:
                raise ValueError(
                    "return_cov=True is not there for rows with missing values: ask for return_std, or for the "
                    "covariances of one row by condition."
                )
            else:
                whole = model_of_rows(structure, fitted.parameters)
                blocks = _filled(source, whole, given, rest, return_std)
        found = [np.concatenate(parts).astype(source.dtype, copy=False) for parts in zip(*blocks, strict=True)]
        if isinstance(targets, (str, Integral)):
            found = [values.reshape(len(values)) for values in found]
        return tuple(found) if len(found) > 1 else found[0]


def _predicted(
    source: Source, model: KernelModel, structure: Structure, joint: Conditional, return_std: bool, return_cov: bool
) -> list[list[NDArray[Any]]]:
    """Return predictions from complete rows, block by block."""

    def task(rows: slice, X: NDArray[Any], responsibilities: NDArray[Any]) -> list[NDArray[Any]]:
        mean, deviations = conditional_means(joint, X, responsibilities)
        if return_std:
            return [mean, np.sqrt(conditional_variances(structure, joint, responsibilities, deviations))]
        if return_cov:
            return [mean, conditional_covariances(structure, joint, responsibilities, deviations)]
        return [mean]

    return map_responsibilities(source, model, task, values=joint.rest.means.shape[1] ** (1 + return_cov))


def _filled(
    source: Source, model: IncompleteModel, given: list[int], rest: list[int], return_std: bool
) -> list[list[NDArray[Any]]]:
    """Return predictions from rows with gaps, group by group: the targets are further missing values."""
    n_features = len(given) + len(rest)
    step = max(1, FILLED // n_features)
    groups = [slice(start, min(start + step, source.n_samples)) for start in range(0, source.n_samples, step)]
    found = []
    for X in source.read(groups):
        rows = np.full((len(X), n_features), np.nan, source.dtype)
        rows[:, given] = X
        source.release(X)
        gaps = IncompleteSource(ArraySource(rows, source.workers, source.kernels))
        found.append([values[:, rest] for values in gaps.impute(model, return_std) if values is not None])
    return found
