"""MclustResult: a chosen mixture in mclust's words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..gaussian_mixture import GaussianMixture
from ..model.structures import STRUCTURES
from ..selection.result import Selection
from ..text import Text, aligned, counted, quoted
from .table import BicTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..plotting.style import Display

__all__ = ["Classified", "MclustResult", "classified"]

PLOTS = ("BIC", "classification", "uncertainty", "density")
NOISE = "noise"  # the model without components
LETTERS = ("volume", "shape", "orientation")  # what those of a model's name are about


class Classified(NamedTuple):
    """Rows and their clusters.

    Attributes
    ----------
    classification : ndarray of shape (n,)
        Number of each row's component, from 1; 0 is noise.
    z : ndarray of shape (n, G), or (n, G + 1) with noise
        Probability that a row belongs to a component; the noise comes last.

    Examples
    --------
    >>> from fastgmm.mclust import Mclust
    >>> classification, z = Mclust([0.0, 0.5, 1.0, 8.0, 8.5, 9.0], 2, "E").predict([0.2, 0.4])
    >>> z.shape
    (2, 2)
    """

    classification: NDArray[np.int64]
    z: NDArray[np.floating]


def classified(mixture: GaussianMixture | None, data: Any) -> Classified:
    """Return the clusters of rows; without a mixture all is noise."""
    if mixture is None:
        return Classified(np.zeros(len(data), np.int64), np.ones((len(data), 1)))
    return Classified(mixture.predict(data) + 1, mixture.predict_proba(data))


@dataclass(frozen=True, eq=False, repr=False)
class MclustResult:
    """What `Mclust` has chosen, in mclust's words.

    Attributes
    ----------
    data : array-like of shape (n, d)
        The rows.
    n, d, G : int
        Numbers of rows, features and components; of none if all is noise. (In `summary` n is the sum of weights.)
    modelName : str
        The model; as in mclust with one component "XII", "XXI", "XXX" or "X", since nothing is shared. Or "noise".
    BIC : BicTable
        Of every model and number of components; larger is better.
    bic, icl, loglik : float
        Of the chosen one; larger is better.
    df : int
        Number of free parameters; noise counts two of them, its weight and its volume.
    z : ndarray of shape (n, G), or (n, G + 1) with noise
        Probability that a row belongs to a component; the noise comes last.
    classification : ndarray of shape (n,)
        Number of each row's component, from 1; 0 is noise.
    uncertainty : ndarray of shape (n,)
        Probability that a row belongs elsewhere than `classification` says.
    mixture : GaussianMixture or None
        The fitted mixture, with all that fastgmm has; None if all is noise.
    selection : Selection
        All candidates with their mixtures, those with collapsed components included.

    Examples
    --------
    >>> from fastgmm.datasets import load_iris
    >>> from fastgmm.mclust import Mclust
    >>> fit = Mclust(load_iris().data)
    >>> fit
    MclustResult(VEV, G=2, bic=-561.73)
    >>> fit.classification[[0, 149]]
    array([1, 2])
    """

    data: Any
    n: int
    d: int
    G: int
    modelName: str
    BIC: BicTable
    bic: float
    icl: float
    loglik: float
    df: int
    z: NDArray[np.floating]
    classification: NDArray[np.int64]
    uncertainty: NDArray[np.floating]
    mixture: GaussianMixture | None
    selection: Selection

    @property
    def hypvol(self) -> float:
        """The volume over which the noise is spread; NaN without noise.

        Examples
        --------
        >>> from fastgmm.mclust import Mclust
        >>> Mclust([0.0, 0.5, 1.0, 8.0, 8.5, 9.0], 2, "E").hypvol
        nan
        """
        return math.exp(-getattr(self.selection.best_estimator_, "noise_log_density_", math.nan))

    @property
    def parameters(self) -> SimpleNamespace:
        """The parameters: ``pro``, ``mean``, ``variance`` and ``Vinv``.

        ``pro`` are weights, that of noise last; ``mean`` has a column for each component. ``variance.sigma`` of shape
        (d, d, G) holds covariances, each ``scale[k] * D @ diag(shape[:, k]) @ D.T`` with D = ``orientation[:, :, k]``.
        ``Vinv`` is one over `hypvol`, None without noise. All are arrays of full size in every model, for one feature
        too; nothing of `variance` is there if all is noise.

        Examples
        --------
        >>> from fastgmm.datasets import load_faithful
        >>> from fastgmm.mclust import Mclust
        >>> parameters = Mclust(load_faithful().data, 2, "VVV").parameters
        >>> parameters.pro.round(3), parameters.mean.shape, parameters.variance.sigma.shape
        (array([0.644, 0.356]), (2, 2), (2, 2, 2))
        """
        volume, mixture = self.hypvol, cast(Any, self.mixture)
        vinv = None if math.isnan(volume) else 1 / volume
        if mixture is None:
            return SimpleNamespace(pro=np.ones(1), mean=np.empty((self.d, 0)), variance=None, Vinv=vinv)
        structure, parts = STRUCTURES[mixture.covariance_type], mixture.decomposition()
        variance = SimpleNamespace(
            modelName=self.modelName,
            d=self.d,
            G=self.G,
            sigma=np.moveaxis(structure.dense(np.asarray(mixture.covariances_), self.G, self.d), 0, -1),
            scale=parts.volumes,
            shape=parts.shapes.T,
            orientation=np.moveaxis(parts.orientations, 0, -1),
        )
        pro = mixture.weights_ if vinv is None else np.append(mixture.weights_, mixture.noise_weight_)
        return SimpleNamespace(pro=pro, mean=mixture.means_.T, variance=variance, Vinv=vinv)

    def predict(self, newdata: Any) -> Classified:
        """Return the clusters of other rows.

        Parameters
        ----------
        newdata : array-like of shape (n_rows, d), or (n_rows,) with one feature
            The rows.

        Returns
        -------
        classified : tuple
            ``classification`` and ``z``, as of the rows that were fitted.

        Examples
        --------
        >>> from fastgmm.mclust import Mclust
        >>> fit = Mclust([0.0, 0.5, 1.0, 8.0, 8.5, 9.0], 2, "E")
        >>> fit.predict([0.2]).classification == fit.classification[0]
        array([ True])
        """
        rows = as_table(newdata)
        if self.mixture is None:  # whatever the rows are, if they are rows
            self.selection.best_estimator_.predict(rows)
        return classified(self.mixture, rows)

    def summary(self) -> str:
        """Return what mclust's summary says: model, log-likelihood, criteria and sizes of clusters.

        Returns
        -------
        text : str
            A prompt shows its lines as they are.

        Examples
        --------
        >>> from fastgmm.datasets import load_faithful
        >>> from fastgmm.mclust import Mclust
        >>> Mclust(load_faithful().data).summary()
        Gaussian mixture by EM: EEE (ellipsoidal, equal volume, shape and orientation), 3 components
        <BLANKLINE>
        log-likelihood    n  df      BIC      ICL
               -1126.3  272  11  -2314.3  -2358.5
        <BLANKLINE>
        cluster...
           rows...
        """
        title = "Noise alone"
        if self.mixture is not None:
            noise = "" if math.isnan(self.hypvol) else " and noise"
            of = f"{self.modelName} ({described(self.modelName)}), {counted(self.G, 'component')}{noise}"
            title = f"Gaussian mixture by EM: {of}"
        figures = {
            "log-likelihood": f"{self.loglik:.4f}",
            "n": f"{self.selection.best_estimator_.n_samples_seen_:g}",
            "df": str(self.df),
            "BIC": f"{self.bic:.4f}",
            "ICL": f"{self.icl:.4f}",
        }
        clusters, counts = np.unique(self.classification, return_counts=True)
        sizes = [("cluster", "rows"), *((str(k), str(count)) for k, count in zip(clusters, counts, strict=True))]
        return Text("\n\n".join([title, aligned(list(figures.items())), aligned(sizes)]))

    def plot(self, what: str = "BIC", *, features: Sequence[int] | None = None, ax: Axes | None = None) -> Display:
        """Draw one of mclust's four pictures.

        Parameters
        ----------
        what : {'BIC', 'classification', 'uncertainty', 'density'}, default='BIC'
            'BIC': a curve for each model. 'classification': rows in the color of their component, with ellipses.
            'uncertainty': the same, larger where a row's cluster is uncertain. 'density': regions of highest density.
        features : sequence of int, default=None
            Columns to draw, from 0; None takes the first two, of 'classification' the first six.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a new figure, which pyplot does not know of.

        Returns
        -------
        display : object
            With attributes ``ax_`` and ``figure_``; write it to a file with ``figure_.savefig("picture.png")``.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When there is no such picture, or ``features`` do not fit.

        Examples
        --------
        >>> from fastgmm.datasets import load_faithful
        >>> from fastgmm.mclust import Mclust
        >>> fit = Mclust(load_faithful().data, range(1, 5))
        >>> fit.plot("BIC").ax_.get_ylabel()
        'BIC (larger is better)'
        >>> fit.plot("classification").ax_.get_xlabel()
        'feature 0'
        """
        from .. import plotting
        from ..plotting.components import MAX_PAIRS
        from ..plotting.view import view

        if what not in PLOTS:
            raise ValueError(f"what={quoted(what)}: choose one of {', '.join(PLOTS)}.")
        if what == "BIC":
            return plotting.CriterionDisplay(self._table(), "bic", "BIC (larger is better)", higher=True).plot(ax)
        if self.mixture is None:
            raise ValueError(f"what={quoted(what)} shows components, but all is noise: only 'BIC' can be drawn.")
        most = MAX_PAIRS if what == "classification" else 2
        chosen = range(min(self.d, most)) if features is None else features
        shown = replace(view(self.mixture, self.data, chosen, None, most), first=1)
        labels = np.asarray(self.classification - 1, np.intp)
        if what == "density":
            return plotting.DensityDisplay(shown).plot(ax)
        if what == "uncertainty":
            return plotting.UncertaintyDisplay(shown, labels, self.uncertainty).plot(ax)
        if len(shown.names) > 2:
            return plotting.PairsDisplay(shown, labels).plot(ax)
        return plotting.ComponentsDisplay(shown, labels if len(shown.names) > 1 else None).plot(ax)

    def _table(self) -> NDArray[Any]:
        """Return the table of candidates with mclust's sign, and a line of noise alone where that was tried."""
        found = self.selection.table_[np.isin(self.selection.table_["n_components"], self.BIC.G)]
        dtype = [(name, found.dtype[name] if name != "covariance_type" else "U8") for name in found.dtype.names or ()]
        alone = np.zeros(int(0 in self.BIC.G), dtype)
        alone["covariance_type"], alone["bic"] = NOISE, -self.BIC.values[self.BIC.G.index(0), 0] if len(alone) else 0
        table = np.concatenate([found.astype(dtype), alone])
        table["bic"] *= -1
        table["noise"] = False  # or True of all, which needs no word in a legend
        return table

    def __repr__(self) -> str:
        """Return model, number of components and BIC."""
        return f"{type(self).__name__}({self.modelName}, G={self.G}, bic={self.bic:.2f})"

    def __str__(self) -> str:
        """Return the summary."""
        return self.summary()


def as_table(data: Any) -> Any:
    """Return rows as a table: a vector is one column, as in R."""
    return np.reshape(np.asarray(data), (-1, 1)) if np.ndim(data) == 1 else data


def name_of(model: str, n_components: int) -> str:
    """Return mclust's name of a fitted model: with one component nothing is equal or variable."""
    return re.sub("[EV]", "X", model) if n_components == 1 else model


def described(name: str) -> str:
    """Return what the letters of a model's name say."""
    if len(name) == 1:
        return {"E": "univariate, equal variance", "V": "univariate, varying variance"}.get(name, "univariate")
    kind = "spherical" if name.endswith("II") else "diagonal" if name.endswith("I") else "ellipsoidal"
    own = [(letter, noun) for letter, noun in zip(name, LETTERS, strict=True) if letter in "EV"]
    same = [noun for letter, noun in own if letter == "E"]
    adjective, nouns = ("equal", same) if same else ("varying", [noun for _, noun in own])
    listed = " and ".join([*[", ".join(nouns[:-1])] * (len(nouns) > 1), *nouns[-1:]])
    return f"{kind}, {adjective} {listed}" if nouns else kind
