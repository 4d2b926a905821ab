"""Everything around a fit, on hostile tables: some hundred of bench/around.py's cases; a whole run has ten thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"

for library in ("pandas", "polars", "pyarrow", "sklearn"):
    pytest.importorskip(library)
if not BENCH.is_dir():
    pytest.skip("bench/ is not here", allow_module_level=True)


@pytest.fixture(scope="module")
def around() -> Any:
    """The benchmark as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        import around

        return around


@pytest.mark.parametrize("first", range(0, 300, 30))
def test_around(around: Any, first: int) -> None:
    """No exception but documented ones, no NaN, round trips equal."""
    wrong = {seed: found for seed in range(first, first + 30) if (found := around.check(seed)[0])}
    assert wrong == {}


@pytest.mark.parametrize("seed", [340, 1060, 1773, 4191, 4355, 4467, 4619, 8803, 8867, 9071, 9804, 9991, 30600])
def test_cases_that_failed(around: Any, seed: int) -> None:
    """One case at least of each kind that was wrong once."""
    assert around.check(seed)[0] == []


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("save", "loaded"),
        ("sample", "sampled"),
        ("predict_proba", "scored"),
        ("impute", "imputed"),
        ("regress", "conditioned"),
    ],
)
def test_faults_are_seen(around: Any, monkeypatch: pytest.MonkeyPatch, broken: str, told: str) -> None:
    """A method that spoils a number is found out."""
    right = getattr(around.GaussianMixture, broken)

    def spoiled(self: Any, *args: Any, **options: Any) -> Any:
        if broken == "save":
            self = around.copy.deepcopy(self)
            self.weights_ = np.nextafter(self.weights_, 0)
            return right(self, *args, **options)
        found = right(self, *args, **options)
        for values in found if isinstance(found, tuple) else (found,):
            if values.dtype.kind == "f":
                values.flat[-1] = np.nan
        return found

    monkeypatch.setattr(around.GaussianMixture, broken, spoiled)
    wrong = [line for seed in range(8) for line in around.check(seed)[0]]
    assert any(told in line for line in wrong)


def test_the_program(tmp_path: Path) -> None:
    """It runs from anywhere, in a process of its own, and counts what it drew."""
    words = [sys.executable, "-P", str(BENCH / "around.py"), "--cases", "4", "--seed", "7", "--output", "counts.json"]
    assert subprocess.run(words, cwd=tmp_path, check=True, capture_output=True).stderr == b""
    assert '"cases": 4' in (tmp_path / "counts.json").read_text()
