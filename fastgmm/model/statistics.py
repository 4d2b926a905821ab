"""Sufficient statistics of a Gaussian mixture."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FORMAT = 1  # of the files that `save` writes


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one E-step leaves of rows: all that an M-step needs, and the log-likelihood.

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
        Structure of the mixture.

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
                f"Statistics of {self.covariance_type!r} and of {other.covariance_type!r} covariances do not add up: "
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
        """Write to a file, an archive of NumPy arrays without pickled objects.

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
        attributes = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {n: np.asarray(v, None if isinstance(v, str) else np.float64) for n, v in attributes.items()}
        with open(path, "wb") as file:
            np.savez(file, allow_pickle=False, format=np.asarray(FORMAT), **arrays)

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
        ValueError
            If the file is damaged, holds something else, or was written by a later version.
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
        from zipfile import BadZipFile  # which takes as long to import as half of this package

        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = dict(archive)
            version = int(arrays.pop("format"))
            if version != FORMAT:
                raise ValueError(f"it has format {version}, while this version of fastgmm reads {FORMAT}")
            return cls(**_checked(arrays))
        except (ValueError, TypeError, KeyError, AttributeError, EOFError, BadZipFile) as error:
            raise ValueError(
                f"{os.fspath(path)!r} holds no statistics: {error}. Write them with Statistics.save."
            ) from error


def _size(statistics: Statistics) -> str:
    """How many components and features they are of."""
    return _sizes(*statistics.reference.shape)


def _sizes(n_components: int, n_features: int) -> str:
    """The same in words."""
    return f"{n_components} component(s) of {n_features} feature(s)"


def _checked(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of a file as the attributes of statistics, or an error that says what is wrong with them."""
    names = {field.name for field in fields(Statistics)}
    if arrays.keys() != names:
        raise ValueError(f"its arrays are named {sorted(arrays)}, not {sorted(names)}")
    size = arrays["reference"].shape
    if len(size) != 2:
        raise ValueError(f"its reference has shape {size}")
    shapes = {"reference": size, "counts": size[:1], "sums": size, "scatters": arrays["scatters"].shape}
    if shapes["scatters"] not in {(*size, size[1]), (size[1], size[1]), size, size[:1]}:
        raise ValueError(f"its scatters have shape {shapes['scatters']}, though they are of {_sizes(*size)}")
    checked: dict[str, Any] = {"covariance_type": str(arrays["covariance_type"])}
    for name in names - checked.keys():
        array, shape = arrays[name], shapes.get(name, ())
        if array.shape != shape or array.dtype != np.float64:
            raise ValueError(f"its {name} is {array.dtype} of shape {array.shape}, not float64 of shape {shape}")
        checked[name] = array if shape else float(array)
    if not checked["n_samples"] > 0 or not (checked["counts"] >= 0).all():
        raise ValueError("its counts are not those of any rows")
    return checked
