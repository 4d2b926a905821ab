"""Peak memory: a fit needs room for the model and a few tiles, never for N x K; a prediction needs its result.

Each case is a fresh process whose peak resident size (VmHWM, the kernel's own mark) is compared with its size when
the rows are in memory.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest
from problems import VARIANTS, run_python

from fastgmm import kernels
from fastgmm.model.structures import LAYOUTS
from fastgmm.sources.array import ArraySource

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

MEGABYTE = 1 << 20

SCRIPT = """
import re, warnings
import numpy as np
from fastgmm import GaussianMixture

warnings.simplefilter("ignore")

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read()).group(1))

dtype = np.{dtype}
rng = np.random.default_rng(0)
X = np.empty({shape}, dtype, order="{order}")
for block in np.array_split(X, 200):
    block[...] = rng.standard_normal(size=block.shape, dtype=dtype)
    block[::2] += 3
X = X[::{step}, ::{step}]
if {gaps}:
    X[rng.random(X.shape) < 0.05] = np.nan
small = X[:1000, :10].copy()
GaussianMixture(2, max_iter=2, missing="em").fit(small).predict_proba(small)
fit = {fit}
before = kilobytes("VmRSS")
result = fit(X)
print((kilobytes("VmHWM") - before) * 1024)
"""


def growth(
    tmp_path: Path,
    fit: str,
    dtype: str = "float64",
    order: str = "C",
    step: int = 1,
    shape: tuple[int, int] = (2_000_000, 10),
    gaps: bool = False,
) -> int:
    """Bytes by which the peak of a fresh process exceeds its size with the rows in memory."""
    script = SCRIPT.format(dtype=dtype, order=order, step=step, fit=fit, shape=shape, gaps=gaps)
    done = run_python("-c", script, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


FITS = {
    "full": "GaussianMixture(8, init_params='random_from_data', reg_covar=1.0, random_state=0, max_iter=3, tol=0).fit",
    "tied": "GaussianMixture(8, covariance_type='tied', init_params='random_from_data', reg_covar=1.0, random_state=0, "
    "max_iter=3, tol=0).fit",
    "diag": "GaussianMixture(8, covariance_type='diag', init_params='random_from_data', reg_covar=1.0, random_state=0, "
    "max_iter=3, tol=0).fit",
    "kmeans": "GaussianMixture(8, random_state=0, max_iter=1, tol=0).fit",
    "best": "GaussianMixture(8, init_params='best', random_state=0, max_iter=1, tol=0).fit",
    "k-means++": "GaussianMixture(8, init_params='k-means++', random_state=0, max_iter=1, tol=0).fit",
}


@pytest.mark.parametrize("name", FITS)
def test_peak_memory_of_fit(tmp_path: Path, name: str) -> None:
    """2 000 000 x 10, K = 8: at most 64 MB above the array itself (responsibilities alone would be 122 MB)."""
    assert growth(tmp_path, FITS[name]) <= 64 * MEGABYTE


def test_peak_memory_of_hierarchical_start(tmp_path: Path) -> None:
    """A hierarchical start needs 64 MB more, for 2000 x 2000 distances and for the labels of all rows."""
    fit = "GaussianMixture(8, init_params='hierarchical', random_state=0, max_iter=1, tol=0).fit"
    assert growth(tmp_path, fit) <= (64 + 64) * MEGABYTE


def test_peak_memory_float32(tmp_path: Path) -> None:
    """float32 is not copied to float64 (that would be 153 MB)."""
    assert growth(tmp_path, FITS["full"], dtype="float32") <= 64 * MEGABYTE


@pytest.mark.parametrize(("order", "step"), [("F", 1), ("C", -1)], ids=["fortran", "reversed"])
def test_peak_memory_other_layouts(tmp_path: Path, order: str, step: int) -> None:
    """Rows of another order or stride are read where they are."""
    assert growth(tmp_path, FITS["full"], order=order, step=step) <= 64 * MEGABYTE


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
@pytest.mark.parametrize(
    ("structure", "method"),
    [("diag", "kmeans"), ("diag", "best"), ("diag", "hierarchical"), ("spherical", "kmeans"), ("spherical", "best")],
)
def test_peak_memory_of_wide_rows(tmp_path: Path, structure: str, method: str, gaps: bool) -> None:
    """200 x 20 000, 32 MB: at most 200 MB more (a matrix of features would be 3.2 GB)."""
    options = f"covariance_type='{structure}', init_params='{method}', missing='em', reg_covar='auto', random_state=0"
    fit = f"GaussianMixture(3, {options}).fit"
    assert growth(tmp_path, fit, shape=(200, 20_000), gaps=gaps) <= 200 * MEGABYTE


@pytest.mark.parametrize(
    ("method", "result"),
    [("predict_proba", 128_000_000), ("predict", 16_000_000), ("score_samples", 16_000_000)],
)
def test_peak_memory_of_predictions(tmp_path: Path, method: str, result: int) -> None:
    """predict_proba, predict and score_samples add their result and at most 32 MB."""
    fit = f"GaussianMixture(8, init_params='random_from_data', random_state=0, max_iter=0).fit(X).{method}"
    assert growth(tmp_path, fit) <= result + 32 * MEGABYTE


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_read_past_the_last_row(variant: str) -> None:
    """Rows that end where a forbidden page begins: reading one byte further would end the process."""
    page = mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    memory = mmap.mmap(-1, 17 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(start + 16 * page), ctypes.c_size_t(page), 0) == 0
    numbers = np.random.default_rng(0).normal(size=2000)
    for dtype in (np.float32, np.float64):
        for n_samples, n_features in ((1, 1), (3, 2), (16, 1), (33, 3), (64, 5), (63, 7), (40, 9), (32, 17), (16, 31)):
            count = n_samples * n_features
            values = numbers[:count].astype(dtype)
            X = np.frombuffer(memory, dtype, count, 16 * page - values.nbytes).reshape(n_samples, n_features)
            X[...] = values.reshape(X.shape)
            for structure in LAYOUTS.values():
                parameters = structure.unit(np.zeros((2, n_features)))
                model = structure.kernel_model(parameters, X.dtype, np.zeros(n_features))
                module = kernels.load(variant)
                found = ArraySource(X, 1, module).log_likelihoods(model)
                assert np.array_equal(found, ArraySource(X.copy(), 1, module).log_likelihoods(model))
                ArraySource(X, 1, module).statistics(structure, parameters)
