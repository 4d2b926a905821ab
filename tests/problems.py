"""Data sets, calls and comparisons that several test files share.

Optional libraries are imported by the functions that need them, so that every test file can import this one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from reference import Array, Model, dense, random_model, sample

from fastgmm import BayesianGaussianMixture, GaussianMixture, kernels
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.fitting.em import Fit, expectation_maximization
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.settings import Settings
from fastgmm.fitting.starts import prepare
from fastgmm.fitting.starts.methods import Goal
from fastgmm.model.parameters import Parameters
from fastgmm.model.structure import Structure
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource

VARIANTS = tuple(kernels.variants_available())
DTYPES = ("float32", "float64")
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")  # of a fitted estimator
DATASETS = {"iris": load_iris().data, "faithful": load_faithful().data}
COMMAND = [sys.executable, "-P", "-m", "fastgmm"]
PNG = b"\x89PNG\r\n\x1a\n"  # how a file of this kind begins
PATIENCE = float(os.environ.get("FASTGMM_TEST_PATIENCE", "1"))  # more under an emulator or a sanitizer


# Rows and starts --------------------------------------------------------------------------------------------------


def grouped_rows(
    n_samples: int,
    n_groups: int,
    step: Any,
    *,
    seed: int = 0,
    n_features: int = 3,
    scale: Any = 1.0,
    offset: float = 0.0,
    ordered: bool = False,
) -> Array:
    """Normal rows, those of group k moved by k steps; the groups mixed at random, or one after the other."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_samples, n_features)) * scale
    groups = rng.integers(n_groups, size=n_samples)
    return noise + (np.sort(groups) if ordered else groups)[:, None] * np.asarray(step) + offset


def spherical_groups(
    n_samples: int, n_features: int, n_components: int, distance: float, seed: int, dtype: Any = np.float64
) -> tuple[Array, Array, Array]:
    """Groups of unit variance whose centers are at least `distance` apart: rows, labels, centers."""
    rng = np.random.default_rng(seed)
    centers: list[Array] = []
    while len(centers) < n_components:
        candidate = rng.uniform(-1, 1, size=n_features) * distance * n_components
        if all(np.linalg.norm(candidate - center) >= distance for center in centers):
            centers.append(candidate)
    labels = rng.permutation(np.arange(n_samples) % n_components)
    X = np.array(centers)[labels] + rng.normal(size=(n_samples, n_features))
    return X.astype(dtype), labels, np.array(centers)


def elongated_groups(
    n_samples: int = 900, n_features: int = 3, n_groups: int = 4, seed: int = 0, apart: float = 12.0
) -> Array:
    """Rows of groups of equal size and different shapes, one group after the other."""
    rng = np.random.default_rng(seed)
    parts = np.array_split(np.arange(n_samples), n_groups)
    shapes = [rng.normal(size=(n_features, n_features)) + np.eye(n_features) for _ in parts]
    centers = apart * rng.normal(size=(n_groups, n_features))
    return np.concatenate(
        [c + rng.normal(size=(len(p), n_features)) @ a for p, a, c in zip(parts, shapes, centers, strict=True)]
    )


def three_spreads(dtype: str = "float64") -> Array:
    """180 rows of 4 features in three groups of different spread."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(m, 1 + m, size=(60, 4)) for m in (0, 2, 5)]).astype(dtype)


def overlapping_problem(
    structure: str,
    *,
    seed: int = 0,
    dtype: str = "float64",
    n_samples: int = 500,
    n_components: int = 4,
    separation: float = 2.0,
    offset: float = 2.0,
) -> tuple[Array, Model]:
    """Overlapping rows of 3 features, and a start at some of them, from which EM takes many iterations."""
    rng = np.random.default_rng(seed)
    X = sample(
        rng, random_model(rng, structure, n_components, 3, separation=separation, offset=offset), n_samples, dtype
    )
    means = X[rng.choice(n_samples, n_components, replace=False)].astype(np.float64)
    covariances = unit_covariances(structure, n_components, 3) * float(X.var())
    return X, Model(structure, np.full(n_components, 1 / n_components), means, covariances)


def unit_covariances(structure: str, n_components: int, n_features: int) -> Array:
    """Covariances or precisions of ones and zeros, in the shape of the structure."""
    rule = STRUCTURES[structure]
    shape = rule.covariance_shape(n_components, n_features)
    return np.broadcast_to(np.eye(n_features) if rule.triangular else 1.0, shape).copy()


def table_of(library: str, **columns: Any) -> Any:
    """A table of pandas, polars or pyarrow."""
    module = pytest.importorskip(library)
    return module.table(columns) if library == "pyarrow" else module.DataFrame(columns)


# Parameters and fits ----------------------------------------------------------------------------------------------


def parameters_of(model: Model) -> Parameters:
    """The library's parameters for a model of the slow twin."""
    return STRUCTURES[model.structure].from_covariances(*(np.asarray(part, dtype=np.float64) for part in model[1:]))


def em(
    source: Any,
    structure: Structure,
    parameters: Parameters,
    *,
    tol: float,
    max_iter: int,
    reg_covar: float = 0.0,
    acceleration: str | None = None,
    **others: Any,
) -> Fit:
    """The library's EM loop by maximum likelihood, without the estimator."""
    settings = Settings(tol=tol, max_iter=max_iter, acceleration=acceleration)
    return expectation_maximization(source, m_step(source, structure, reg_covar), parameters, settings, **others)


def m_step(source: Any, structure: Structure, reg_covar: float = 0.0, degenerate: str = "raise") -> MaximumLikelihood:
    """The library's M-step, which repairs degenerate components or raises."""
    return MaximumLikelihood(source, structure, reg_covar, degenerate)


def initialize(
    source: Any, structure: Structure, n_components: int, method: Any, random_state: Any, reg_covar: float
) -> Parameters:
    """The parameters at which EM starts: one M-step from the responsibilities that a method gives."""
    goal = Goal(structure, n_components, m_step(source, structure, reg_covar))
    return prepare(source, goal, method, random_state)(source)


def quiet_fit(X: Array, **options: Any) -> GaussianMixture:
    """A fit whose warnings are ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(**options).fit(X)


def mixture_of_three(structure: str = "full", dtype: str = "float64", **options: Any) -> GaussianMixture:
    """Three components fitted to `three_spreads`."""
    return quiet_fit(three_spreads(dtype), n_components=3, covariance_type=structure, random_state=0, **options)


def copy_parameters(model: Any, source: Any, names: tuple[str, ...] = PARAMETERS) -> Any:
    """Give an estimator the parameters of another, without a fit."""
    for name in names:
        setattr(model, name, getattr(source, name).copy())
    return model


def dense_covariances(mixture: Any) -> Array:
    """The covariances of an estimator as matrices (K, D, D)."""
    return dense(mixture.covariance_type, mixture.covariances_, *mixture.means_.shape).astype(np.float64)


def symmetric_roots(precisions: Array) -> Array:
    """Roots A of precisions, A A^T = precision, that are not triangular."""
    values, vectors = np.linalg.eigh(precisions)
    return vectors * np.sqrt(values)[:, None, :]


# Comparisons ------------------------------------------------------------------------------------------------------


def bits(answer: Any) -> bytes:
    """Every bit of an array, of parameters, of a fitted estimator with its bounds, or of a tuple of these."""
    if isinstance(answer, tuple):
        return b"".join(map(bits, answer))
    if isinstance(answer, Parameters):
        return bits((answer.weights, answer.means, answer.covariances, answer.precisions_cholesky))
    if isinstance(answer, GaussianMixture | BayesianGaussianMixture):
        return bits((*(getattr(answer, name) for name in PARAMETERS), getattr(answer, "lower_bounds_", ())))
    return np.ascontiguousarray(answer).tobytes()


def source_bits(source: ArraySource, structure: str, parameters: Parameters) -> bytes:
    """Every bit of what a source computes under a mixture: statistics, densities, responsibilities and labels."""
    rule = STRUCTURES[structure]
    model, statistics = rule.kernel_model(parameters, source.dtype), source.statistics(rule, parameters)
    moments = statistics.counts, statistics.sums, statistics.scatters, statistics.log_likelihood
    return bits((*moments, source.log_likelihoods(model), source.responsibilities(model), source.labels(model)))


def assert_same_fit(
    one: Any, other: Any, rtol: float = 1e-10, atol: float | None = None, *, same_dtype: bool = True
) -> None:
    """Both fits took the same path to the same parameters; rtol = 0 asks for the same bits.

    What is near zero may differ by `atol`, by default `rtol` times the largest entry of its array.
    """
    assert (one.n_iter_, one.converged_) == (other.n_iter_, other.converged_)
    np.testing.assert_allclose(one.lower_bound_, other.lower_bound_, rtol=rtol)
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=rtol)
    for name in PARAMETERS:
        ours, theirs = getattr(one, name), getattr(other, name)
        assert not same_dtype or ours.dtype == theirs.dtype, name
        near_zero = rtol * np.abs(theirs).max() if atol is None else atol
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=near_zero, err_msg=name)


def assert_identical(one: Any, other: Any) -> None:
    """All attributes of two estimators have the same types, bits and order, but for the times that fits took."""
    assert vars(one).keys() == vars(other).keys()
    for name, value in vars(one).items():
        found = getattr(other, name)
        if name == "fits_":
            found, value = ([record.untimed for record in records] for records in (found, value))
        assert type(found) is type(value), name
        if isinstance(value, np.ndarray):
            assert (found.dtype, found.shape) == (value.dtype, value.shape), name
            assert found.tolist() == value.tolist() if value.dtype == object else found.tobytes() == value.tobytes()
        else:
            assert found == value, name
            assert repr(found) == repr(value), name


# Processes and interruptions --------------------------------------------------------------------------------------


def limit(seconds: float) -> float:
    """How long a test waits for what must come, so as not to hang: longer where machines are slow on purpose."""
    return PATIENCE * seconds


def run_python(
    *arguments: str, environment: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter, whose output is text."""
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": limit(240), "check": False, **options}
    return subprocess.run(
        [sys.executable, "-P", *arguments], env={**os.environ, **(environment or {})}, text=True, **options
    )


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which the command line refuses these arguments."""
    from fastgmm.cli import main

    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"fastgmm: error: .*\n", err), err
    return err


def interrupt(*_: Any, **__: Any) -> Any:
    """Stand for a call during which Ctrl-C is pressed."""
    raise KeyboardInterrupt


def disk_full(*_: Any, **__: Any) -> Any:
    """Stand for a call that finds no space left."""
    raise OSError(28, "No space left on device")
