"""Everything around a fit, on hostile tables: a hundred of bench/around.py's cases; a whole run has ten thousand."""

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


def shown(case: Any) -> set[tuple[str, str]]:
    """What is bad about a case and how it is fitted, each under its covariance type."""
    options = {name: getattr(value, "__name__", value) for name, value in case.options.items()}
    kind, k = options.pop("covariance_type"), options.pop("n_components")
    del options["random_state"]
    size = "all rows" if k >= len(case.X) else min(k, 4)
    weights = None if case.weights is None else case.weights.dtype.kind
    return {(kind, f"{it}") for it in (*case.bad, *options.items(), ("components", size), ("weights", weights))}


@pytest.fixture(scope="module")
def seeds(around: Any) -> list[int]:
    """Of three hundred cases those that show something under a covariance type for the first time."""
    seen, chosen = set[tuple[str, str]](), list[int]()
    for seed in range(300):
        if new := shown(around.draw(seed)) - seen:
            chosen.append(seed)
            seen |= new
    return chosen


@pytest.mark.parametrize("part", range(5))
def test_around(around: Any, seeds: list[int], part: int) -> None:
    """No exception but documented ones, no NaN, round trips equal."""
    assert len(seeds) > 50
    wrong = {seed: found for seed in seeds[part::5] if (found := around.check(seed)[0])}
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
    assert any(told in line for seed in range(8) for line in around.check(seed)[0])


def test_the_program(tmp_path: Path) -> None:
    """It runs from anywhere, in a process of its own, and counts what it drew."""
    words = [sys.executable, "-P", str(BENCH / "around.py"), "--cases", "4", "--seed", "7", "--output", "counts.json"]
    assert subprocess.run(words, cwd=tmp_path, check=True, capture_output=True).stderr == b""
    assert '"cases": 4' in (tmp_path / "counts.json").read_text()
