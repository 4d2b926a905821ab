"""A mixture as the distribution it is: made of known parameters, sampled, cut down to some features, conditioned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..model.conditioning import (
    conditional,
    marginal,
)
from ..model.parameters import Parameters
from ..model.structure import Structure
from ..model.structures import STRUCTURES
from ..sources.array import ArraySource
from ..sources.rows import as_rows
from .base import Mixture, check_shapes
from .checks import (
    check_covariances,
    check_means,
    check_random_state,
    check_sample_size,
    check_weights,
    feature_numbers,
    fitted_attributes,
)

__all__ = ["Distribution"]

Features = int | str | Sequence[int] | Sequence[str] | NDArray[np.integer[Any]]


class Distribution(Mixture):
    """The methods that make distributions of distributions, and samples."""

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: str | None = None,
        **params: Any,
    ) -> Self:
        """Make a mixture of known parameters, ready for everything but `fit`'s records.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            From 0 to 1, with the sum 1.
        means : array-like of shape (n_components, n_features)
        covariances : array-like
            Covariances, of shape (n_components, n_features, n_features) if 'full', (n_features, n_features) if 'tied',
            (n_components, n_features) if 'diag', (n_components,) if 'spherical'.
        covariance_type : {'full', 'tied', 'diag', 'spherical'}, default=None
            None takes it from the shape of ``covariances``.
        **params : dict
            Further arguments of the constructor, such as ``random_state``.

        Returns
        -------
        mixture : GaussianMixture
            With parameters in double precision.

        Raises
        ------
        ValueError
            If shapes do not fit, or fit both 'tied' and 'diag' while ``covariance_type`` is None; if weights do not sum
            to one, a variance is not positive or a matrix not symmetric and positive definite.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [10.0]], [1.0, 4.0], random_state=0)
        >>> mixture
        GaussianMixture(covariance_type='spherical', n_components=2, random_state=0)
        >>> mixture.predict([[1.0], [8.0]])
        array([0, 1])
        """
        sizes = np.shape(means)
        if len(sizes) != 2 or 0 in sizes:
            raise ValueError(
                f"means have the shape {sizes}: give a row per component and a column per feature, one at least."
            )
        if covariance_type is None:
            covariance_type = _inferred_type(np.shape(covariances), sizes)
        cls._check_params({"covariance_type": covariance_type})
        structure = STRUCTURES[covariance_type]
        shape = structure.covariance_shape(*sizes)
        parameters = structure.from_covariances(
            check_weights(weights, sizes[0]).copy(),
            check_means(means, *sizes).copy(),
            check_covariances(covariances, covariance_type, shape).copy(),
        )
        mixture = cls().set_params(n_components=sizes[0], covariance_type=covariance_type, **params)
        cls._check_params(mixture.get_params())
        return mixture._holding(structure, parameters)

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | np.random.Generator | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw samples from the mixture.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.
        random_state : int, RandomState, Generator or None, default=None
            Source of randomness; None takes the mixture's own ``random_state``.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples, grouped by component.
        y : ndarray of shape (n_samples,)
            The component of each sample.

        Raises
        ------
        NotFittedError
            If ``weights_``, ``means_`` or ``covariances_`` are missing.
        ValueError
            If ``n_samples`` is less than one or ``random_state`` is none of the above.

        Notes
        -----
        An int as ``random_state`` gives the same samples at each call, and those of scikit-learn.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture(2, means_init=[[0], [9]]).fit([[0.0], [1.0], [8.0], [9.0]])
        >>> X, y = mixture.sample(5, random_state=0)
        >>> X.shape, y
        ((5, 1), array([0, 0, 0, 1, 1]))
        """
        mixture = self._snapshot()
        weights, means, covariances = fitted_attributes(mixture, "weights_", "means_", "covariances_")
        structure = mixture._structure()
        check_shapes(structure, weights, means, covariances_=covariances)
        seed = mixture.random_state if random_state is None else random_state
        self._check_params({"random_state": seed})
        rng = check_random_state(seed)
        if 1e-12 < abs(weights.sum() - 1) < 1e-5:  # rounding that multinomial does not allow, as of single precision
            weights = weights / weights.sum()
        counts = rng.multinomial(check_sample_size(n_samples), weights)
        labels = np.repeat(np.arange(len(means), dtype=np.int64), counts)
        if structure.name == "tied":
            covariances = np.broadcast_to(covariances, (len(means), *covariances.shape))
        draw = _draw_full if structure.name in ("full", "tied") else _draw_diagonal
        groups = [draw(rng, *component) for component in zip(means, covariances, counts, strict=True)]
        return np.concatenate(groups), labels

    def marginal(self, features: Features) -> Self:
        """Return the distribution of some features, whatever the others.

        Parameters
        ----------
        features : int, str, or sequence of them
            Numbers of the features, from 0 or negative from the end, or their names where ``fit`` saw a table.

        Returns
        -------
        mixture : GaussianMixture
            Its features are those asked for, in their order; ``covariance_type``, ``random_state`` and ``n_threads``
            are those of this mixture.

        Raises
        ------
        NotFittedError
            If there are no parameters yet.
        ValueError, TypeError
            If there is no such feature, or one is named twice.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1], [[1.0, 2.0]], [[[1.0, 0.5], [0.5, 4.0]]])
        >>> mixture.marginal(1).covariances_.round(2)
        array([[[4.]]])
        """
        mixture = self._snapshot()
        chosen = mixture._columns(features)
        return mixture._derived(marginal(mixture._structure(), mixture._parameters(), chosen), chosen)

    def condition(self, features: Features, values: ArrayLike) -> Self:
        """Return the distribution of the other features when some have known values.

        Parameters
        ----------
        features : int, str, or sequence of them
            The features that are known, as for `marginal`.
        values : float, or array-like of shape (number of these features,)
            Their values.

        Returns
        -------
        mixture : GaussianMixture
            The features that are not known, in their order. Each component is conditioned, and weighs as probable as
            it is at these values. ``covariance_type``, ``random_state``, ``missing`` and ``n_threads`` are those of
            this mixture.

        Raises
        ------
        NotFittedError
            If there are no parameters yet.
        ValueError, TypeError
            If there is no such feature, one is named twice or none is left, or if values are not finite, not as many
            as features, or so far off that no component can tell them from others.

        References
        ----------
        C. M. Bishop. Pattern Recognition and Machine Learning. Springer, 2006, section 2.3.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1], [[1.0, 2.0]], [[[1.0, 0.5], [0.5, 4.0]]])
        >>> given = mixture.condition(0, 3.0)
        >>> given.means_.round(2), given.covariances_.round(2)
        (array([[3.]]), array([[[3.75]]]))
        """
        mixture = self._snapshot()
        given = mixture._columns(features)
        rest = mixture._others(given)
        row = as_rows(np.atleast_1d(values)[np.newaxis], type(self).__name__).astype(np.float64, copy=False)
        if row.shape[1] != len(given):
            raise ValueError(f"{row.shape[1]} values were given for {len(given)} features: give one for each.")
        structure = mixture._structure()
        joint = conditional(structure, mixture._parameters(), given, rest)
        model = structure.kernel_model(joint.given, row.dtype)
        weights = ArraySource(row, n_threads=1).responsibilities(model)[0]
        if not np.isfinite(weights).all():
            raise ValueError(
                f"The values {row[0].tolist()} are so far from all components that their densities overflow. Check "
                "them, and their units."
            )
        moved = (joint.gains @ (row - joint.given.means)[:, :, np.newaxis])[:, :, 0]
        return mixture._derived(replace(joint.rest, weights=weights, means=joint.rest.means + moved), rest)

    def _columns(self, features: Features) -> list[int]:
        """Return the numbers of features, named or numbered."""
        (means,) = fitted_attributes(self, "means_")
        return feature_numbers(features, means.shape[-1], getattr(self, "feature_names_in_", None))

    def _others(self, features: list[int]) -> list[int]:
        """Return the numbers of all other features, of which there must be some."""
        others = [i for i in range(np.shape(self.means_)[-1]) if i not in features]
        if not others:
            raise ValueError(f"All {len(features)} features are named, and none is left: leave out at least one.")
        return others

    def _holding(self, structure: Structure, parameters: Parameters) -> Self:
        """Take over parameters."""
        self.weights_, self.means_, self.covariances_ = parameters.weights, parameters.means, parameters.covariances
        self.precisions_cholesky_ = parameters.precisions_cholesky
        with np.errstate(over="ignore"):
            self.precisions_ = structure.precisions(parameters.precisions_cholesky)
        self.n_features_in_ = parameters.means.shape[1]
        if not (np.isfinite(self.precisions_).all() and np.isfinite(self.covariances_).all()):
            raise ValueError("Covariances or precisions overflow: divide each feature by its standard deviation.")
        return self

    def _derived(self, parameters: Parameters, features: list[int]) -> Self:
        """Return a mixture of some of the features of this one."""
        mixture = type(self)().set_params(
            n_components=len(parameters.weights),
            covariance_type=self.covariance_type,
            random_state=self.random_state,
            missing=self.missing,
            n_threads=self.n_threads,
        )
        if hasattr(self, "feature_names_in_"):
            mixture.feature_names_in_ = self.feature_names_in_[features]
        return mixture._holding(self._structure(), parameters)


def _inferred_type(shape: tuple[int, ...], sizes: tuple[int, int]) -> str:
    """Return the only covariance structure whose covariances have this shape."""
    shapes = {name: structure.covariance_shape(*sizes) for name, structure in STRUCTURES.items()}
    found = [name for name, expected in shapes.items() if expected == shape]
    if len(found) == 1:
        return found[0]
    components, features = sizes
    if found:
        raise ValueError(
            f"covariances of shape {shape} may be {' or '.join(map(repr, found))} with {components} components and "
            f"{features} features: pass covariance_type."
        )
    expected = ", ".join(f"{shape} if {name!r}" for name, shape in shapes.items())
    raise ValueError(
        f"covariances have the shape {shape}, which fits none with {components} components and {features} features: "
        f"give {expected}."
    )


def _draw_full(rng: Any, mean: NDArray[Any], covariance: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Draw from a Gaussian with a covariance matrix."""
    return rng.multivariate_normal(mean, covariance, int(count))


def _draw_diagonal(rng: Any, mean: NDArray[Any], variance: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Draw from a Gaussian with independent features, of one variance or of a variance each."""
    return mean + rng.standard_normal(size=(count, len(mean))) * np.sqrt(variance)
