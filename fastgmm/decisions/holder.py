"""What estimators have in common that hold a mixture as an argument."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from ..bayesian_mixture import BayesianGaussianMixture
from ..exceptions import NotFittedError, compatible
from ..gaussian_mixture import GaussianMixture
from ..mixture.checks import NONE, Constraint, Constraints, check_parameters, either
from ..mixture.protocol import Estimator, made
from ..text import listed, quoted

__all__ = ["MIXTURE", "Holder", "Mixture"]

Mixture = GaussianMixture | BayesianGaussianMixture

PREFIX = "mixture__"  # of the mixture's own arguments
MIXTURE: Constraint = either(
    (lambda v: isinstance(v, Mixture), "a GaussianMixture or BayesianGaussianMixture of fastgmm"), NONE
)


class Holder(Estimator):
    """An estimator that fits copies of the mixture that is its argument ``mixture``; None is a `GaussianMixture`."""

    _constraints: ClassVar[Constraints]
    _found: ClassVar[str]  # the attribute that a fit leaves last

    mixture: Mixture | None
    n_features_in_: int

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments.

        Parameters
        ----------
        deep : bool, default=True
            Whether those of ``mixture`` are among them, as ``mixture__tol`` and so on.

        Returns
        -------
        params : dict
            Names of the arguments and their present values.

        Examples
        --------
        >>> from fastgmm import GaussianMixture, GaussianMixtureOutlierDetector
        >>> GaussianMixtureOutlierDetector(GaussianMixture(3)).get_params()["mixture__n_components"]
        3
        """
        params = super().get_params(deep=False)
        if deep and isinstance(self.mixture, Estimator):
            params |= {PREFIX + name: value for name, value in self.mixture.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments, those of ``mixture`` among them; they take effect at the next ``fit``.

        Parameters
        ----------
        **params : dict
            Names of the arguments and their new values; ``mixture__tol`` is the ``tol`` of ``mixture``.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If a name is not an argument of the constructor, or of the mixture's; nothing is set then.

        Examples
        --------
        >>> from fastgmm import GaussianMixture, GaussianMixtureOutlierDetector
        >>> GaussianMixtureOutlierDetector(GaussianMixture(3)).set_params(mixture__tol=1e-5, contamination=0.05)
        GaussianMixtureOutlierDetector(contamination=0.05,
                                       mixture=GaussianMixture(n_components=3, tol=1e-05))
        """
        inner = {name.removeprefix(PREFIX): value for name, value in params.items() if name.startswith(PREFIX)}
        own = {name: value for name, value in params.items() if not name.startswith(PREFIX)}
        if inner and own.keys() <= self.get_params(deep=False).keys():
            held = own.get("mixture", self.mixture)
            held = GaussianMixture() if held is None else held
            if not isinstance(held, Estimator):
                raise ValueError(f"mixture={quoted(held)} has no {listed(inner)} to set: it must be {MIXTURE[1]}.")
            own["mixture"] = held.set_params(**inner)
        return super().set_params(**own)

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn's ``check_is_fitted`` whether there is something fitted."""
        return self._found in vars(self)

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn's checks and meta-estimators."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = isinstance(self.mixture, Estimator) and self.mixture.missing == "em"
        return tags

    def _check_params(self) -> None:
        """Refuse constructor arguments of the wrong type or out of range."""
        check_parameters(self._constraints, self.get_params(deep=False), type(self).__name__)

    def _unfitted(self) -> Mixture:
        """Return an unfitted copy of the mixture that is held; what its arguments refer to is shared."""
        held = GaussianMixture() if self.mixture is None else self.mixture
        return made(type(held), held.get_params())

    def _take_over(self, **attributes: Any) -> None:
        """Take over fitted attributes in one step; those of features that have no names any more are left out."""
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = kept | {name: value for name, value in attributes.items() if value is not None}

    def _fitted_attribute(self) -> Any:
        """Return what a fit has left last."""
        if self._found not in vars(self):
            name = type(self).__name__
            raise compatible(NotFittedError)(
                f"This {name} instance is not fitted yet. Call 'fit' with appropriate arguments before using this "
                "estimator."
            )
        return vars(self)[self._found]
