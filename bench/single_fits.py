"""`fastgmm.select` against a loop over fits of fastgmm's own, one by one, over many shapes.

Run `python bench/single_fits.py --output single-fits.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastgmm import GaussianMixture, select

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from selection import STRUCTURES, surroundings

N_INIT = 2  # of both


@dataclass
class Case:
    """A shape of the rows, and the candidates."""

    n_samples: int
    n_features: int
    numbers: Sequence[int]
    structures: Sequence[str] = STRUCTURES
    ratios: list[float] = field(default_factory=list)  # time of select over that of the loop, in each round
    work: list[float] = field(default_factory=list)  # the same in processor time
    seconds: list[float] = field(default_factory=list)  # of select
    gains: list[float] = field(default_factory=list)  # lowest BIC of the loop less that of select

    @property
    def name(self) -> str:
        """How the table names it."""
        many = len(self.numbers) > 3
        numbers = f"{self.numbers[0]} to {self.numbers[-1]}" if many else ", ".join(map(str, self.numbers))
        return f"{self.n_samples} x {self.n_features}, K = {numbers}, {', '.join(self.structures)}"

    def rows(self, seed: int) -> np.ndarray[Any, Any]:
        """Eight groups of any width, about three standard deviations apart, that overlap."""
        rng = np.random.default_rng(seed)
        labels = rng.integers(8, size=self.n_samples)
        widths = 0.5 + rng.random((8, self.n_features))
        means = 3.0 * rng.normal(size=(8, self.n_features)) / np.sqrt(self.n_features)
        return means[labels] + rng.normal(size=(self.n_samples, self.n_features)) * widths[labels]

    def measure(self, seed: int) -> None:
        """Both once, in an order that alternates."""
        X, times, work, best = self.rows(seed), {}, {}, {}
        for way in (self.search, self.loop)[:: 1 if seed % 2 else -1]:
            begin, processor = time.perf_counter(), time.process_time()
            best[way] = way(X, seed)
            times[way], work[way] = time.perf_counter() - begin, time.process_time() - processor
        self.work.append(work[self.search] / work[self.loop])
        self.ratios.append(times[self.search] / times[self.loop])
        self.seconds.append(times[self.search])
        self.gains.append(best[self.loop] - best[self.search])

    def search(self, X: np.ndarray[Any, Any], seed: int) -> float:
        """The lowest BIC that `select` finds, sound or not."""
        table = select(X, self.numbers, self.structures, n_init=N_INIT, random_state=seed).table_
        return float(table["bic"].min())

    def loop(self, X: np.ndarray[Any, Any], seed: int) -> float:
        """The lowest BIC of the fits one by one."""
        fits = [
            GaussianMixture(k, covariance_type=kind, n_init=N_INIT, random_state=seed).fit(X)
            for kind in self.structures
            for k in self.numbers
        ]
        return min(float(fit.bic(X)) for fit in fits)


CASES = [
    Case(20, 1, range(1, 6)),
    Case(300, 2, [3], ["full"]),
    Case(300, 2, [1]),
    Case(300, 2, range(1, 10)),
    Case(300, 2, range(1, 61)),
    Case(300, 2, [1, 200]),
    Case(300, 2, [1, 200], ["full"]),
    Case(300, 2, [200], ["diag"]),
    Case(300, 2, [2, 50, 100]),
    Case(500, 1, range(1, 10)),
    Case(2000, 50, [5], ["full"]),
    Case(2000, 50, [1, 40], ["full"]),
    Case(2000, 50, range(1, 7)),
    Case(5000, 2, [1, 100]),
    Case(20_000, 6, [7], ["full"]),
    Case(20_000, 6, [1, 64], ["full"]),
    Case(20_000, 6, range(1, 10)),
    Case(100_000, 4, [1], ["full"]),
    Case(100_000, 4, [8], ["full"]),
    Case(100_000, 4, [8], ["spherical"]),
    Case(100_000, 4, range(1, 6)),
]


def main() -> None:
    """Measure round by round, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds, each with rows of its own (default 7)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for seed in range(options.rounds):
        for case in CASES:
            case.measure(seed)
    print("| rows, candidates | select, ms | over the loop, median (quartiles) | processor time | BIC gained, median |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for case in CASES:
        low, middle, high = np.quantile(case.ratios, [0.25, 0.5, 0.75])
        print(
            f"| {case.name} | {1e3 * np.median(case.seconds):.3g} | {middle:.2f} ({low:.2f}, {high:.2f}) "
            f"| {np.median(case.work):.2f} | {np.median(case.gains):.1f} |"
        )
    if options.output:
        cases = [asdict(case) | {"numbers": list(case.numbers)} for case in CASES]
        record = {"surroundings": surroundings(threads=0), "cases": cases}
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
