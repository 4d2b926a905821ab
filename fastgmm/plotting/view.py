"""A few features of rows and of a mixture, checked, with their names and marginal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..model.structures import STRUCTURES
from ..text import quoted


@dataclass(frozen=True, eq=False)
class View:
    """Some features of a mixture and of rows.

    Attributes
    ----------
    rows : ndarray of shape (n_samples, n_chosen)
    weights : ndarray of shape (K,)
    means : ndarray of shape (K, n_chosen)
    covariances : ndarray of shape (K, n_chosen, n_chosen)
    names : list of n_chosen str
    noise_weight : float
    noise : ndarray of shape (n_chosen,), or None
        Weight times density of noise along each feature.
    first : int
        The number of the first component.
    """

    rows: NDArray[np.float64]
    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    names: list[str]
    noise_weight: float = 0.0
    noise: NDArray[np.float64] | None = None
    first: int = 0

    def part(self, *chosen: int) -> View:
        """Return a view of some of the features."""
        own = list(chosen)
        return replace(
            self,
            rows=self.rows[:, own],
            means=self.means[:, own],
            covariances=self.covariances[:, own][:, :, own],
            names=[self.names[i] for i in own],
            noise=None if self.noise is None else self.noise[own],
        )

    def densities(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weight times density of each component (K, n) at points (n, n_chosen)."""
        inverse = np.linalg.inv(np.linalg.cholesky(self.covariances))
        whitened = np.einsum("kij,knj->kni", inverse, points - self.means[:, None])
        scale = self.weights * np.prod(np.diagonal(inverse, axis1=1, axis2=2) / np.sqrt(2 * np.pi), axis=1)
        return scale[:, None] * np.exp(-0.5 * (whitened**2).sum(axis=2))

    def legend_label(self, k: int) -> str:
        """Return the number and the weight of a component; -1 is noise."""
        return f"{self.first + k}: {self.weights[k]:.2f}" if k >= 0 else f"noise: {self.noise_weight:.2f}"


def view(estimator: Any, X: ArrayLike, features: Sequence[int], feature_names: Sequence[str] | None, most: int) -> View:
    """Return checked rows and the marginal of a fitted mixture, in as many as ``most`` features."""
    rows = np.asarray(X)
    if rows.ndim != 2:
        raise ValueError(f"X has shape {rows.shape}; a picture needs rows and columns: (n_samples, n_features).")
    n_features = rows.shape[1]
    chosen = _checked_features(features, n_features, most)
    names = _names(estimator, X, feature_names, n_features)
    check_fitted(estimator, X)
    if estimator.means_.shape[1] != n_features:
        raise ValueError(f"X has {n_features} columns, but the mixture was fitted to {estimator.means_.shape[1]}.")
    noise_weight = float(getattr(estimator, "noise_weight_", 0.0))
    noise = [noise_weight * math.exp(estimator.marginal(one).noise_log_density_) for one in chosen if noise_weight]
    return View(
        rows[:, chosen].astype(np.float64),
        np.asarray(estimator.weights_, np.float64),
        np.asarray(estimator.means_, np.float64)[:, chosen],
        marginal_covariances(estimator, chosen),
        [names[feature] for feature in chosen],
        noise_weight,
        np.array(noise) if noise else None,
    )


def check_fitted(estimator: Any, X: ArrayLike) -> None:
    """Raise the estimator's own NotFittedError where it has no parameters yet."""
    if not hasattr(estimator, "means_"):
        estimator.predict(X)


def marginal_covariances(estimator: Any, features: Sequence[int]) -> NDArray[np.float64]:
    """Return the covariances of some features, whatever the covariance type of the mixture.

    Parameters
    ----------
    estimator : GaussianMixture
        A fitted mixture of any covariance type.
    features : sequence of int
        Numbers of the features, from 0.

    Returns
    -------
    covariances : ndarray of shape (n_components, n_chosen, n_chosen)

    Examples
    --------
    >>> from fastgmm import GaussianMixture
    >>> from fastgmm.plotting import marginal_covariances
    >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0, 0.0, 0.0]], [[1.0, 4.0, 9.0]], "diag")
    >>> marginal_covariances(mixture, [2, 0])
    array([[[9., 0.],
            [0., 1.]]])
    """
    structure = STRUCTURES.get(estimator.covariance_type)
    if structure is None:
        known = ", ".join(STRUCTURES)
        raise ValueError(f"covariance_type={quoted(estimator.covariance_type)} is not among {known}: set one of these.")
    covariances = structure.features(np.asarray(estimator.covariances_, dtype=np.float64), features)
    return np.array(structure.dense(covariances, len(estimator.means_), len(features)))


def checked_labels(labels: ArrayLike | None, estimator: Any, X: ArrayLike) -> NDArray[np.intp]:
    """Return the labels as integers, predicted if there are none: of each row its component, -1 for noise."""
    known = np.asarray(estimator.predict(X) if labels is None else labels)
    n_components, n_samples = len(estimator.means_), len(np.asarray(X))
    if known.shape != (n_samples,):
        raise ValueError(f"labels has shape {known.shape}, but X has {n_samples} rows: give one label per row.")
    possible = np.arange(-1 if hasattr(estimator, "noise_weight_") else 0, n_components)
    if not np.isin(known, possible).all():
        strange = known[~np.isin(known, possible)][0]
        raise ValueError(f"labels holds {strange!s}, but the mixture has components 0 to {n_components - 1}.")
    return known.astype(np.intp)


def _checked_features(features: Sequence[int], n_features: int, most: int) -> list[int]:
    """Return the columns to draw."""
    if n_features == 1:
        return [0]
    chosen = [int(feature) for feature in features]
    if not 1 <= len(chosen) <= most or len(set(chosen)) != len(chosen):
        wanted = "name one column for a histogram, two for a scatter plot" if most == 2 else f"name 1 to {most} columns"
        raise ValueError(f"features={quoted(tuple(features))}: {wanted}, each once.")
    for feature in chosen:
        if not 0 <= feature < n_features:
            raise ValueError(f"features={quoted(tuple(features))}: X has columns 0 to {n_features - 1}.")
    return chosen


def _names(estimator: Any, X: Any, feature_names: Sequence[str] | None, n_features: int) -> list[str]:
    """Return the name of each column: given, else the estimator's, else the data frame's, else its number."""
    found = feature_names if feature_names is not None else getattr(estimator, "feature_names_in_", None)
    found = found if found is not None else getattr(X, "columns", None)
    if found is None:
        return [f"feature {i}" for i in range(n_features)]
    if len(found) != n_features:
        raise ValueError(f"feature_names has {len(found)} names, but X has {n_features} columns.")
    return [str(name) for name in found]
