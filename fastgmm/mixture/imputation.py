"""Missing values filled in from their distribution given the rest of the row."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, overload

import numpy as np

from ..model.masked import masked
from ..sources.incomplete.model import model_of_rows
from ..sources.incomplete.source import as_incomplete
from .base import BaseMixture, Floats
from .checks import check_random_state

__all__ = ["Imputation"]

Seed: TypeAlias = "int | np.random.RandomState | np.random.Generator | None"  # as text: it takes long to import


class Imputation(BaseMixture):
    """impute: missing values from their distribution given the rest of the row."""

    @overload
    def impute(self, X: Any, *, return_std: Literal[False] = ..., random_state: Seed = ...) -> Floats: ...
    @overload
    def impute(self, X: Any, *, return_std: Literal[True], random_state: Seed = ...) -> tuple[Floats, Floats]: ...
    @overload
    def impute(self, X: Any, *, return_std: bool, random_state: Seed = ...) -> Floats | tuple[Floats, Floats]: ...
    @masked
    def impute(self, X: Any, *, return_std: bool = False, random_state: Seed = None) -> Floats | tuple[Floats, Floats]:
        """Fill in missing values (NaN) from their distribution under the mixture, given the rest of the row.

        Rows are taken for no noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `fit`, with NaN for missing values, whatever ``missing`` is.
        return_std : bool, default=False
            Whether to return standard deviations too.
        random_state : int, RandomState, Generator or None, default=None
            None fills in conditional means. Anything else is a source of randomness, from which values are drawn: for
            multiple imputation, or to keep the spread of the data.

        Returns
        -------
        filled : ndarray of shape (n_samples, n_features)
            A copy of ``X`` without gaps, float32 for float32 rows, else float64.
        std : ndarray of shape (n_samples, n_features)
            Standard deviation of each value given the rest of its row; 0 where it is observed. Only if ``return_std``.

        Raises
        ------
        NotFittedError
            If there are no parameters yet.
        ValueError, TypeError
            If ``X`` holds infinity, is refused as by `fit`, or has other features than the mixture, or if standard
            deviations of draws are asked for.

        References
        ----------
        Z. Ghahramani, M. I. Jordan. Supervised learning from incomplete data via an EM approach. Advances in Neural
        Information Processing Systems 6, 1994.

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture().fit([[0.0, 0.0], [1.0, 3.0], [2.0, 3.0]])
        >>> filled, std = mixture.impute([[2.0, np.nan], [np.nan, 2.0]], return_std=True)
        >>> filled.round(2)
        array([[2. , 3.5],
               [1. , 2. ]])
        >>> std.round(2)
        array([[0.  , 0.71],
               [0.41, 0.  ]])
        """
        self._check_params({"random_state": random_state})
        if return_std and random_state is not None:
            raise ValueError("return_std=True gives the spread about conditional means: leave random_state at None.")
        fitted = self._fitted().without_noise
        with as_incomplete(self._rows(X, fitted, missing="em")) as gaps:
            model = model_of_rows(fitted.structure, fitted.parameters)
            if random_state is not None:
                return gaps.draw(model, check_random_state(random_state))
            filled, std = gaps.impute(model, return_std)
        return filled if std is None else (filled, std)
