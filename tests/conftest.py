"""Pytest settings: the installed package is tested, never the source folder, and random numbers repeat."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("problems")

SOURCE = Path(__file__).resolve().parents[1] / "fastgmm"

# Before NumPy is imported: the twins and scikit-learn multiply small matrices, on which threads of OpenBLAS do nothing
# but wait for each other, the longer the more processes share the cores. fastgmm has threads of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

with contextlib.suppress(ImportError):  # test_minimal.py does without
    import hypothesis

    hypothesis.settings.register_profile("fastgmm", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("fastgmm")


def pytest_configure() -> None:
    """Refuse to test the source folder, which has no compiled kernels, in place of the installed package."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, whose children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    spec = importlib.util.find_spec("fastgmm")
    if spec is None:
        raise pytest.UsageError(
            f"fastgmm is not installed for {sys.executable}; run `python3 -m pip install '.[test]'` first"
        )
    if spec.origin and Path(spec.origin).resolve().parent == SOURCE and not is_editable():
        raise pytest.UsageError(
            f"fastgmm would be imported from the source folder {SOURCE}, because the checkout is on sys.path; "
            "run `python3 -P -m pytest` so that the installed package is tested"
        )


def is_editable() -> bool:
    """Whether fastgmm was installed with `pip install -e`, which imports from the source folder on purpose."""
    try:
        origin = importlib.metadata.distribution("fastgmm").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return False
    return bool(origin and json.loads(origin).get("dir_info", {}).get("editable"))


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    """`random_state=None` draws from NumPy's global stream, which each test finds at the same place."""
    import numpy as np

    np.random.seed(0)


@pytest.fixture(scope="session")
def sklearn_mixture() -> Any:
    """The class that GaussianMixture stands in for."""
    return pytest.importorskip("sklearn.mixture").GaussianMixture
