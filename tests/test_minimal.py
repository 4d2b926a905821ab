"""Tests that need nothing but numpy and pytest: they run on every built wheel."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastgmm
from fastgmm import GaussianMixture, kernels
from fastgmm.datasets import load_iris

VARIANTS = tuple(kernels.variants_available())
STRUCTURES = ("full", "tied", "diag", "spherical")
DTYPES = ("float32", "float64")

FIT = """
import json
from fastgmm import GaussianMixture, kernels
from fastgmm.datasets import load_iris
model = GaussianMixture(3, max_iter=5, tol=0, random_state=0, init_params="random_from_data").fit(load_iris().data)
print(json.dumps([kernels.VARIANT, model.lower_bounds_]))
"""

IMPORTED = """
import sys
before = set(sys.modules)
import fastgmm
fastgmm.GaussianMixture(2, max_iter=2, tol=1e9).fit([[0.0], [1.0], [5.0], [6.0]])
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter with these environment variables."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_version() -> None:
    """The version is that of the installed distribution."""
    assert fastgmm.__version__ == importlib.metadata.version("fastgmm")


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    """show_config() tells the version and the variant in use."""
    fastgmm.show_config()
    told = capsys.readouterr().out
    for fact in (fastgmm.__version__, kernels.VARIANT, *VARIANTS):
        assert fact in told


def test_import_needs_numpy_only() -> None:
    """Importing and fitting pull in the standard library and numpy, nothing else."""
    run = python(IMPORTED)
    assert run.returncode == 0, run.stderr
    imported = {name for name in run.stdout.split() if "cython" not in name}
    assert imported == {"fastgmm", "numpy"}


def test_denormals_not_flushed() -> None:
    """Loading the kernels does not make the process flush denormal numbers to zero."""
    smallest = float("5e-324")
    assert smallest != 0.0
    assert np.float64(smallest) / 1.0 == smallest
    assert np.float32(1e-45) * np.float32(1.0) != 0.0


def test_available_variants() -> None:
    """The baseline always runs, and what is in use is one of the available."""
    assert "base" in VARIANTS
    assert kernels.VARIANT in VARIANTS


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="needs the processor's flags as Linux tells them"
)
def test_x86_level() -> None:
    """The level that is asked of the processor is the one that follows from the flags that the system has read."""
    flags = set(
        next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")).split()
    )
    v3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"} <= flags
    v4 = v3 and {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags
    assert kernels.cpu.x86_level() == (4 if v4 else 3 if v3 else 1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_forced_variant(variant: str) -> None:
    """FASTGMM_SIMD forces a variant, which fits as the others do."""
    run = python(FIT, FASTGMM_SIMD=variant)
    assert run.returncode == 0, run.stderr
    used, lower_bounds = json.loads(run.stdout)
    assert used == variant
    base = json.loads(python(FIT, FASTGMM_SIMD="base").stdout)[1]
    np.testing.assert_allclose(lower_bounds, base, rtol=1e-9)


def test_wrong_variant() -> None:
    """A wrong FASTGMM_SIMD is refused with the value seen and the names that would do."""
    run = python("import fastgmm", FASTGMM_SIMD="avx9")
    assert run.returncode != 0
    message = run.stderr.strip().splitlines()[-1]
    for word in ("FASTGMM_SIMD", "avx9", *VARIANTS):
        assert word in message


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_iris(structure: str, dtype: str) -> None:
    """The likelihood of iris is finite and never falls, and the labels are those of the fitted parameters."""
    X = load_iris().data.astype(dtype)
    model = GaussianMixture(3, covariance_type=structure, reg_covar=0.0, max_iter=30, tol=0, random_state=0)
    labels = model.fit_predict(X)
    bounds = np.asarray(model.lower_bounds_, dtype=np.float64)
    assert len(bounds) == model.n_iter_ == 30
    assert np.isfinite(bounds).all()
    assert (np.diff(bounds) >= -10 * np.finfo(dtype).eps * np.abs(bounds[1:])).all()
    assert bounds[-1] > bounds[0]
    assert model.means_.dtype == dtype
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_allclose(model.weights_.sum(), 1.0, rtol=10 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_same_bits_for_any_number_of_threads(structure: str, dtype: str) -> None:
    """One, two and three threads fit the same bits."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(30_011, 5)) + 4 * rng.integers(3, size=(30_011, 1))).astype(dtype)

    def fitted(n_threads: int) -> list[bytes]:
        """Everything one fit finds, as bytes."""
        model = GaussianMixture(
            4, covariance_type=structure, max_iter=4, tol=0, random_state=0, n_threads=n_threads
        ).fit(X)
        found = (
            model.weights_,
            model.means_,
            model.covariances_,
            model.lower_bounds_,
            model.score_samples(X),
        )
        return [np.asarray(array).tobytes() for array in found]

    one = fitted(1)
    assert fitted(2) == one
    assert fitted(3) == one
