"""Peak memory: a fit needs room for the model and a few tiles, never for N x K; a prediction needs its result.

Each call is made in a fork of a fresh process, whose peak resident size (VmHWM, the kernel's own mark, which a fork
begins anew) is compared with its size when the rows are in memory.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from problems import VARIANTS, limit, run_python

from fastgmm import kernels
from fastgmm.model.structures import LAYOUTS
from fastgmm.sources.array import ArraySource

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

MEGABYTE = 1 << 20

SCRIPT = """
import json, os, re, sys, warnings
import numpy as np
from fastgmm import GaussianMixture

warnings.simplefilter("ignore")

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read()).group(1))

rows, calls = json.loads(sys.argv[1])
dtype = np.dtype(rows["dtype"])
rng = np.random.default_rng(0)
X = np.empty(rows["shape"], dtype, order=rows["order"])
for block in np.array_split(X, 200):
    block[...] = rng.standard_normal(size=block.shape, dtype=dtype)
    block[::2] += 3
X = X[:: rows["step"], :: rows["step"]]
if rows["gaps"]:
    X[rng.random(X.shape) < 0.05] = np.nan
small = X[:1000, :10].copy()
GaussianMixture(2, max_iter=2, missing="em").fit(small).predict_proba(small)
for call in calls:
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, call
        continue
    before = kilobytes("VmRSS")
    result = eval(call)
    print((kilobytes("VmHWM") - before) * 1024, flush=True)
    os._exit(0)
"""

MIXTURE = "GaussianMixture(8, random_state=0, tol=0, {}).fit(X)"
ITERATIONS = "init_params='random_from_data', reg_covar=1.0, max_iter=3"
CALLS = {
    **{kind: MIXTURE.format(f"covariance_type={kind!r}, {ITERATIONS}") for kind in ("full", "tied", "diag")},
    **{
        start: MIXTURE.format(f"init_params={start!r}, max_iter=1")
        for start in ("kmeans", "best", "k-means++", "hierarchical")
    },
    **{
        method: MIXTURE.format("init_params='random_from_data', max_iter=0") + f".{method}(X)"
        for method in ("predict_proba", "predict", "score_samples")
    },
}


def growth(calls: Mapping[str, str], **rows: Any) -> dict[str, float]:
    """Megabytes by which the peak during each call exceeds the size with the rows in memory."""
    rows = {"dtype": "float64", "order": "C", "step": 1, "shape": (2_000_000, 10), "gaps": False, **rows}
    done = run_python("-c", SCRIPT, json.dumps([rows, list(calls.values())]), timeout=limit(290))
    assert done.returncode == 0, done.stderr
    return {name: int(line) / MEGABYTE for name, line in zip(calls, done.stdout.splitlines(), strict=True)}


def test_peak_memory() -> None:
    """2 000 000 x 10, K = 8: at most 64 MB above the array itself (responsibilities alone would be 122 MB).

    A hierarchical start needs 64 MB more, for 2000 x 2000 distances and for the labels of all rows; predictions need
    their result and at most 32 MB.
    """
    found = growth(CALLS)
    results = {"predict_proba": 128_000_000, "predict": 16_000_000, "score_samples": 16_000_000}
    limits = dict.fromkeys(CALLS, 64.0) | {"hierarchical": 128.0}
    limits |= {name: 32 + result / MEGABYTE for name, result in results.items()}
    assert {name: value for name, value in found.items() if value > limits[name]} == {}
    assert found["predict_proba"] > 100  # what is measured is no nothing


@pytest.mark.parametrize(
    "rows", [{"dtype": "float32"}, {"order": "F"}, {"step": -1}], ids=["float32", "fortran", "reversed"]
)
def test_peak_memory_other_layouts(rows: dict[str, Any]) -> None:
    """Rows of another order or stride are read where they are; float32 is not copied to float64, which were 153 MB."""
    assert growth({"full": CALLS["full"]}, **rows)["full"] <= 64


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_peak_memory_of_wide_rows(gaps: bool) -> None:
    """200 x 20 000, 32 MB: at most 200 MB more (a matrix of features would be 3.2 GB)."""
    starts = [("diag", "kmeans"), ("diag", "best"), ("diag", "hierarchical"), ("spherical", "kmeans")]
    calls = {}
    for structure, start in [*starts, ("spherical", "best")]:
        options = f"covariance_type={structure!r}, init_params={start!r}, missing='em', reg_covar='auto', max_iter=3"
        calls[f"{structure}, {start}"] = f"GaussianMixture(3, {options}, random_state=0).fit(X)"
    found = growth(calls, shape=(200, 20_000), gaps=gaps)
    assert {name: value for name, value in found.items() if value > 200} == {}


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
