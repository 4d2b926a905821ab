"""A mixture as a distribution: made of known parameters, sampled, marginalized, conditioned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..model.conditioning import (
    conditional,
    marginal,
)
from ..model.decomposition import Decomposition, decomposed
from ..model.fitted import Fitted
from ..model.masked import masked
from ..model.parameters import Parameters
from ..model.sampling import draw
from ..model.structure import Structure
from ..model.structures import LAYOUTS, STRUCTURES
from ..sources.array import ArraySource
from ..sources.rows import as_rows
from .attributes import check_shapes, check_spreads, check_weights_and_means, fitted_attributes
from .base import BaseMixture, check_no_overflow
from .checks import (
    Features,
    check_covariances,
    check_means,
    check_parameters,
    check_random_state,
    check_sample_size,
    check_weights,
    feature_numbers,
    other_features,
)
from .noise import noise_argument, noise_attributes, noise_of
from .protocol import made

if TYPE_CHECKING:
    from ..gaussian_mixture import GaussianMixture

__all__ = ["Distribution"]


class Distribution(BaseMixture):
    """from_parameters, sample, marginal and condition."""

    @classmethod
    @masked
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: str | None = None,
        **params: Any,
    ) -> Self:
        """Make a mixture of known parameters, ready for everything but `fit`'s records.

        A subclass makes one of its own class; the notes of `GaussianMixture` say how.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            From 0 to 1, with the sum 1.
        means : array-like of shape (n_components, n_features)
        covariances : array-like
            Covariances, of shape (n_components, n_features, n_features) if 'full', (n_features, n_features) if 'tied',
            (n_components, n_features) if 'diag', (n_components,) if 'spherical'.
        covariance_type : {'full', 'tied', 'diag', 'spherical', 'EII', ...}, default=None
            None takes it from the shape of ``covariances``.
        **params : dict
            Further arguments of the constructor, such as ``random_state``; of a subclass also its own.

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
        check_parameters(cls._constraints, {"covariance_type": covariance_type}, cls.__name__)
        if params.get("noise") is not None:
            raise ValueError(
                f"noise={params['noise']!r} with given parameters lacks a weight and a box: leave it out, or set "
                "noise_weight_, noise_log_density_ and noise_box_ as a fit has them."
            )
        structure = STRUCTURES[covariance_type]
        parameters = structure.from_covariances(
            check_weights(weights, sizes[0]).copy(),
            check_means(means, *sizes).copy(),
            check_covariances(covariances, structure, *sizes).copy(),
        )
        mixture = made(cls, dict(n_components=sizes[0], covariance_type=covariance_type, **params))
        mixture._check_params()
        return mixture._holding(structure, parameters)

    @masked
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
            The component of each sample; -1 for noise, which comes last.

        Raises
        ------
        NotFittedError
            If ``weights_``, ``means_`` or ``covariances_`` are missing.
        ValueError
            If ``n_samples`` is less than one, ``random_state`` is none of the above, or the attributes, set by hand,
            are no probabilities and covariances.

        Notes
        -----
        An int as ``random_state`` gives the same samples at each call, whatever the units of the features. Labels are
        those of scikit-learn, and so are samples of 'diag' and 'spherical' mixtures. Those of 'full' and 'tied' ones
        are made of the same normal numbers by the Cholesky factor of the covariance, not by its eigenvectors, which
        lose correlations of features in small units to rounding.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture(2, means_init=[[0], [9]]).fit([[0.0], [1.0], [8.0], [9.0]])
        >>> X, y = mixture.sample(5, random_state=0)
        >>> X.shape, y
        ((5, 1), array([0, 0, 0, 1, 1]))
        """
        state = vars(self)
        weights, means, covariances = fitted_attributes(self, state, "weights_", "means_", "covariances_")
        structure = self._structure(state)
        noise_weight, noise = noise_of(self, state, means.shape[-1]) if structure.noisy else (0.0, None)
        check_shapes(structure, weights, means, covariances_=covariances)
        check_weights_and_means(weights, means, noise_weight)
        check_spreads(covariances, structure)
        seed = self.random_state if random_state is None else random_state
        self._check_params({"random_state": seed})
        rng = check_random_state(seed)
        if noise is not None:
            weights = np.append(weights, noise_weight)
        if abs(weights.sum() - 1) > 1e-12:  # rounding that multinomial does not allow
            weights = weights / weights.sum()
        counts = rng.multinomial(check_sample_size(n_samples), weights)
        labels = np.repeat(np.arange(len(weights), dtype=np.int64), counts)
        labels[labels == len(means)] = -1
        X = draw(structure, rng, means, covariances, counts[: len(means)])
        return (X if noise is None else np.concatenate([X, noise.box.draw(rng, counts[-1])])), labels

    @masked
    def marginal(self, features: Features) -> GaussianMixture:
        """Return the distribution of some features, whatever the others.

        Parameters
        ----------
        features : int, str, or sequence of them
            Numbers of the features, from 0 or negative from the end, or their names where ``fit`` saw a table.

        Returns
        -------
        mixture : GaussianMixture
            Its features are those asked for, in their order; ``covariance_type``, ``equal_weights``, ``random_state``,
            ``missing`` and ``n_threads`` are those of this mixture; but a covariance type of mclust that some features
            need not have gives way to that of scikit-learn with such arrays ('EVI' to 'diag', 'EVE' to 'full'). A
            GaussianMixture also where this is of a subclass.

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
        fitted = self._fitted()
        chosen = feature_numbers(features, fitted.n_features, fitted.feature_names)
        found = marginal(fitted.structure, fitted.parameters, chosen)
        if (noise := fitted.parameters.noise) is not None:
            found = replace(found, noise=noise.observed(chosen))
        return self._derived(fitted, found, chosen, equal_weights=fitted.structure.equal_weights)

    @masked
    def condition(self, features: Features, values: ArrayLike) -> GaussianMixture:
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
            this mixture. A GaussianMixture also where this is of a subclass.

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
        fitted = self._fitted()
        given = feature_numbers(features, fitted.n_features, fitted.feature_names)
        rest = other_features(given, fitted.n_features)
        row = as_rows(np.atleast_1d(values)[np.newaxis], type(self).__name__).astype(np.float64, copy=False)
        if row.shape[1] != len(given):
            raise ValueError(f"{row.shape[1]} values were given for {len(given)} features: give one for each.")
        structure = fitted.structure
        joint = conditional(structure, fitted.parameters, given, rest)
        noise, source = fitted.parameters.noise, ArraySource(row, n_threads=1)
        of_given = joint.given if noise is None else replace(joint.given, noise=noise.observed(given))
        weights = source.responsibilities(source.model(Fitted(structure, of_given)))[0]
        conditioned = replace(joint.rest, weights=weights[: fitted.n_components], means=joint.means(row[0]))
        if noise is not None:
            conditioned = replace(conditioned, noise=noise.beside(rest))
        if not np.isfinite(conditioned.means).all():
            raise ValueError(
                f"The means given values as large as {np.abs(row).max():.3g} overflow. Check the values, and their "
                "units."
            )
        return self._derived(fitted, conditioned, rest)

    @masked
    def decomposition(self) -> Decomposition:
        """Return volumes, shapes and axes of the components' covariances.

        Returns
        -------
        decomposition : tuple
            ``volumes`` (n_components,), ``shapes`` (n_components, n_features) and ``orientations`` (n_components,
            n_features, n_features): a covariance is volume * D @ diag(shape) @ D.T, with the axes in the columns of D
            and a shape whose product is one. The longest axis comes first, of axes that components have in common the
            longest on the average; without correlations the axes are the features in their order.

        Raises
        ------
        NotFittedError, ValueError
            If there are no parameters yet, or those set by hand do not fit together.

        References
        ----------
        J. D. Banfield, A. E. Raftery. Model-based Gaussian and non-Gaussian clustering. Biometrics 49, 1993.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1], [[0.0, 0.0]], [[[8.0, 0.0], [0.0, 2.0]]])
        >>> volumes, shapes, orientations = mixture.decomposition()
        >>> volumes.round(9), shapes.round(9), abs(orientations)
        (array([4.]), array([[2. , 0.5]]), array([[[1., 0.],
                [0., 1.]]]))
        """
        fitted = self._fitted()
        return decomposed(fitted.structure, fitted.parameters)

    def _holding(self, structure: Structure, parameters: Parameters) -> Self:
        """Take over parameters."""
        self.weights_, self.means_, self.covariances_ = parameters.weights, parameters.means, parameters.covariances
        self.precisions_cholesky_ = parameters.precisions_cholesky
        self.precisions_ = structure.precisions(parameters.precisions_cholesky)
        self.n_features_in_ = parameters.means.shape[1]
        vars(self).update(noise_attributes(parameters))
        check_no_overflow(structure, parameters)
        return self

    def _derived(
        self, fitted: Fitted, parameters: Parameters, features: list[int], *, equal_weights: bool = False
    ) -> GaussianMixture:
        """Return a mixture of some of the features of this one."""
        structure = fitted.structure.of_parts
        mixture = self._bare().set_params(
            n_components=len(parameters.weights),
            covariance_type=structure.name,
            equal_weights=equal_weights,
            random_state=self.random_state,
            missing=self.missing,
            n_threads=self.n_threads,
            noise=noise_argument(parameters),
        )
        if fitted.feature_names is not None:
            mixture.feature_names_in_ = fitted.feature_names[features]
        return mixture._holding(structure, parameters)


def _inferred_type(shape: tuple[int, ...], sizes: tuple[int, int]) -> str:
    """Return the only one of scikit-learn's covariance structures whose covariances have this shape."""
    known = [structure for structure in LAYOUTS.values() if structure.in_sklearn == structure.name]
    shapes = {structure.name: structure.covariance_shape(*sizes) for structure in known}
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
