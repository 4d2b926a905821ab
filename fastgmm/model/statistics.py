"""Sufficient statistics of a Gaussian mixture."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ModelFileError
from ..text import quoted, shortened
from .noise import Noise

MODEL = "Statistics"  # in the header of files

ARRAYS = ("reference", "counts", "sums", "scatters")
TOTALS = ("log_likelihood", "n_samples", "resolution")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sufficient statistics of rows under a mixture: all that an M-step needs, and the log-likelihood.

    With r_nk the responsibilities, everything in double precision. Statistics under the same parameters add up, in
    any order and from any place: see `fastgmm.statistics`, which computes them, `fastgmm.merge` and
    `fastgmm.maximize`.

    Attributes
    ----------
    reference : ndarray of shape (n_components, n_features)
        The means about which the moments are taken.
    counts : ndarray of shape (n_components,)
        sum_n r_nk
    sums : ndarray of shape (n_components, n_features)
        sum_n r_nk (x_n - reference_k)
    scatters : ndarray
        sum_n r_nk (x_n - reference_k) (x_n - reference_k)^T, (n_components, n_features, n_features) if 'full'; summed
        over k, (n_features, n_features), if 'tied'; its diagonals, (n_components, n_features), if 'diag'; its traces,
        (n_components,), if 'spherical'.
    log_likelihood : float
        sum_n log p(x_n)
    n_samples : float
        Number of rows, or the sum of their weights.
    resolution : float
        Machine epsilon of the rows' precision.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
        What the scatters are of.
    log_volume : float
        Zero for statistics that `fastgmm.statistics` returns. Inside a fit densities are per volume of a unit near the
        spread of the rows, and this is the logarithm of the unit: log_likelihood is by n_samples log_volume too large.
    axes : ndarray of shape (n_features, n_features), or None
        The axes that all covariances of the mixture have in common, one in each row, where the next M-step turns them
        further ('EVE' and 'VVE').
    noise : object, or None
        What the mixture has for noise; the counts lack the rows of it.

    Examples
    --------
    >>> import fastgmm
    >>> mixture = fastgmm.GaussianMixture(reg_covar=0).fit([[-1.0], [1.0]])
    >>> statistics = fastgmm.statistics(mixture, [[0.0], [1.0], [2.0]])
    >>> statistics.counts, statistics.sums, statistics.scatters
    (array([3.]), array([[3.]]), array([[[5.]]]))
    """

    reference: NDArray[np.float64]
    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    scatters: NDArray[np.float64]
    log_likelihood: float
    n_samples: float
    resolution: float
    covariance_type: str
    log_volume: float = 0.0
    axes: NDArray[np.float64] | None = None
    noise: Noise | None = None

    def merge(self, other: Self) -> Self:
        """The statistics of both sets of rows.

        Parameters
        ----------
        other : Statistics
            Computed for the same mixture.

        Returns
        -------
        statistics : Statistics

        Raises
        ------
        ValueError
            If they are of different mixtures: of other means, covariance types or sizes.
        TypeError
            If ``other`` is something else.

        Examples
        --------
        >>> import fastgmm
        >>> mixture = fastgmm.GaussianMixture().fit([[-1.0], [1.0]])
        >>> first, second = (fastgmm.statistics(mixture, rows) for rows in ([[0.0], [1.0]], [[2.0]]))
        >>> first.merge(second).sums
        array([[3.]])
        """
        if not isinstance(other, Statistics):
            raise TypeError(f"Statistics are merged with Statistics, not with {type(other).__name__}.")
        if self.covariance_type != other.covariance_type:
            raise ValueError(
                f"Statistics of {quoted(self.covariance_type)} and of {quoted(other.covariance_type)} "
                "covariances do not add up: "
                "compute both for the same mixture."
            )
        if self.reference.shape != other.reference.shape:
            raise ValueError(
                f"Statistics of {_size(self)} and of {_size(other)} do not add up: compute both for the same mixture."
            )
        if not np.array_equal(self.reference, other.reference):
            raise ValueError(
                "Statistics taken about different means do not add up: the largest difference is "
                f"{np.abs(self.reference - other.reference).max():.3g}. Compute both for the same mixture, in the same "
                "iteration."
            )
        if self.log_volume != other.log_volume:
            return self.in_data_units().merge(other.in_data_units())
        return replace(
            self,
            counts=self.counts + other.counts,
            sums=self.sums + other.sums,
            scatters=self.scatters + other.scatters,
            log_likelihood=self.log_likelihood + other.log_likelihood,
            n_samples=self.n_samples + other.n_samples,
            resolution=max(self.resolution, other.resolution),
        )

    def scaled(self, factor: float) -> Self:
        """The statistics with every row counting this many times.

        Parameters
        ----------
        factor : float
            Above zero.

        Returns
        -------
        statistics : Statistics

        Examples
        --------
        >>> import fastgmm
        >>> mixture = fastgmm.GaussianMixture().fit([[-1.0], [1.0]])
        >>> fastgmm.statistics(mixture, [[0.0], [1.0]]).scaled(0.5).counts
        array([1.])
        """
        return replace(
            self,
            counts=factor * self.counts,
            sums=factor * self.sums,
            scatters=factor * self.scatters,
            log_likelihood=factor * self.log_likelihood,
            n_samples=factor * self.n_samples,
        )

    def in_data_units(self) -> Self:
        """The statistics with densities per unit of volume of the data: with ``log_volume`` zero.

        Returns
        -------
        statistics : Statistics

        Examples
        --------
        >>> import fastgmm
        >>> mixture = fastgmm.GaussianMixture().fit([[-1.0], [1.0]])
        >>> fastgmm.statistics(mixture, [[0.0], [1.0]]).in_data_units().log_volume
        0.0
        """
        excess = self.n_samples * self.log_volume
        return replace(self, log_likelihood=self.log_likelihood - excess, log_volume=0.0)

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per row, the bound that EM raises.

        Examples
        --------
        >>> import fastgmm
        >>> mixture = fastgmm.GaussianMixture(reg_covar=0).fit([[-1.0], [1.0]])
        >>> round(fastgmm.statistics(mixture, [[-1.0], [1.0]]).mean_log_likelihood, 2)
        -1.42
        """
        return self.log_likelihood / self.n_samples

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file of the format that mixtures have: arrays and a JSON header, with a checksum.

        Parameters
        ----------
        path : str or path-like
            The file; an existing one is replaced.

        Raises
        ------
        OSError
            If it cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastgmm
        >>> mixture = fastgmm.GaussianMixture().fit([[-1.0], [1.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "statistics.npz")
        ...     fastgmm.statistics(mixture, [[0.0], [1.0]]).save(path)
        ...     fastgmm.Statistics.load(path).n_samples
        2.0
        """
        from . import archive  # its imports take a third of the time to import fastgmm

        totals = np.array([getattr(self, name) for name in TOTALS], np.float64)
        arrays = {name: np.asarray(getattr(self, name), np.float64) for name in ARRAYS}
        if self.axes is not None:
            arrays["axes"] = np.asarray(self.axes, np.float64)
        archive.write(path, {"model": MODEL, "covariance_type": self.covariance_type}, arrays | {"totals": totals})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; nothing in the file is executed.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        statistics : Statistics

        Raises
        ------
        ModelFileError
            A ValueError: if the file is damaged, holds something else, or was written by a later version.
        OSError
            If it cannot be read.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastgmm
        >>> mixture = fastgmm.GaussianMixture().fit([[-1.0], [1.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "statistics.npz")
        ...     fastgmm.statistics(mixture, [[0.0], [1.0]]).save(path)
        ...     fastgmm.Statistics.load(path).sums
        array([[1.]])
        """
        from . import archive

        try:
            return cls(**_checked(*archive.read(path)))
        except ModelFileError as error:
            raise ModelFileError(
                f"{quoted(os.fspath(path), 150)} holds no statistics: {shortened(error, 200)}"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise ModelFileError(
                f"{quoted(os.fspath(path), 150)} holds no statistics: {shortened(error, 200)} Write them with "
                "Statistics.save."
            ) from error


def _size(statistics: Statistics) -> str:
    """Numbers of components and features, in words."""
    return _sizes(*statistics.reference.shape)


def _sizes(n_components: int, n_features: int) -> str:
    """Numbers of components and features, in words."""
    return f"{n_components} component(s) of {n_features} feature(s)"


def _checked(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The attributes of statistics that a file holds, or an error that says what is wrong with them."""
    if header.get("model") != MODEL or not isinstance(header.get("covariance_type"), str):
        raise ValueError(f"it is the file of a {quoted(header.get('model'))}.")
    if arrays.keys() - {"axes"} != {*ARRAYS, "totals"}:
        raise ValueError(f"its arrays are named {sorted(arrays)}, not {sorted([*ARRAYS, 'totals'])}.")
    size = arrays["reference"].shape
    if len(size) != 2:
        raise ValueError(f"its reference has shape {size}.")
    scatters = arrays["scatters"].shape
    if not 1 <= len(scatters) <= 3 or not {1, *size}.issuperset(scatters):
        raise ValueError(f"its scatters have shape {scatters}, though they are of {_sizes(*size)}.")
    shapes = {"reference": size, "counts": size[:1], "sums": size, "scatters": scatters, "totals": (len(TOTALS),)}
    shapes["axes"] = size[1:] * 2
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype != np.float64:
            raise ValueError(f"its {name} is {array.dtype} of shape {array.shape}, not float64 of {shapes[name]}.")
    totals = dict(zip(TOTALS, arrays.pop("totals").tolist(), strict=True))
    if not totals["n_samples"] > 0 or not (arrays["counts"] >= 0).all():
        raise ValueError("its counts are not those of any rows.")
    return {**arrays, **totals, "covariance_type": header["covariance_type"]}
