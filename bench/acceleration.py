"""Passes of EM and of SQUAREM to the same likelihood, on overlapping and on separated mixtures: a table, a picture.

Run `python bench/acceleration.py --output acceleration.json --picture acceleration.png`; bench/README.md says what is
measured.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastgmm
from fastgmm import kernels
from fastgmm.fitting.em import Fit, expectation_maximization
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.settings import Settings
from fastgmm.fitting.starts import prepare
from fastgmm.fitting.starts.methods import Goal
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource

ROWS, COMPONENTS = 2000, 4
FEATURES = (2, 4, 8, 16)
OVERLAPPING = (0.7, 1.0, 1.25, 1.5)  # distances between centers on average, in standard deviations of a component
SEPARATED = (6.0, 9.0)
GAP = 1e-5  # of the mean log-likelihood to its limit
LIMIT = 1e-11  # EM is run on until it gains less than this in a pass
TOLERANCES = (1e-3, 1e-6)  # of the fits whose ends are compared
MOST = 20_000


@dataclass
class Cell:
    """Passes to within `GAP` of EM's limit, for each seed; None where SQUAREM went to a lower optimum."""

    structure: str
    n_features: int
    separation: float
    em: list[int] = field(default_factory=list)
    squarem: list[int | None] = field(default_factory=list)
    limit_gains: list[float] = field(default_factory=list)  # SQUAREM's limit less EM's
    ends: list[list[float]] = field(default_factory=list)  # for each tolerance: SQUAREM's last bound less EM's
    end_passes: list[list[list[int]]] = field(default_factory=list)  # for each tolerance: passes of EM, of SQUAREM

    def ratios(self) -> np.ndarray[Any, Any]:
        """Passes of SQUAREM over those of EM; infinite where it went elsewhere."""
        return np.array([math.inf if s is None else s / e for e, s in zip(self.em, self.squarem, strict=True)])


def draw(n_features: int, separation: float, seed: int) -> np.ndarray[Any, Any]:
    """Rows of Gaussians of random orientation, standard deviations 0.5 to 1.5, so far apart on average."""
    rng = np.random.default_rng([n_features, round(100 * separation), seed])
    means = rng.normal(size=(COMPONENTS, n_features)) * separation / math.sqrt(2 * n_features)
    turns = [np.linalg.qr(rng.normal(size=(n_features, n_features)))[0] for _ in range(COMPONENTS)]
    factors = np.array([turn * rng.uniform(0.5, 1.5, size=n_features) for turn in turns])
    labels = rng.integers(COMPONENTS, size=ROWS)
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(ROWS, n_features)))


def measure(cell: Cell, seed: int) -> None:
    """Run both from the same k-means start, to the limit and to each tolerance."""
    source, structure = ArraySource(draw(cell.n_features, cell.separation, seed), 1), STRUCTURES[cell.structure]
    goal = Goal(structure, COMPONENTS, MaximumLikelihood(source, structure, 1e-6))
    start = prepare(source, goal, "kmeans", np.random.RandomState(seed))(source)

    def run(acceleration: str | None, tol: float) -> Fit:
        m_step = MaximumLikelihood(source, structure, 1e-6, "repair")
        settings = Settings(tol=tol, max_iter=MOST, acceleration=acceleration)
        return expectation_maximization(source, m_step, start, settings)

    plain, fast = (np.array(run(name, LIMIT).lower_bounds) for name in (None, "squarem"))
    target = plain[-1] - GAP
    cell.em.append(passes(plain, target))
    cell.squarem.append(passes(fast, target) if fast[-1] >= target else None)
    cell.limit_gains.append(rounded(fast[-1] - plain[-1]))
    pairs = [[run(name, tol).lower_bounds for name in (None, "squarem")] for tol in TOLERANCES]
    cell.ends.append([rounded(fast[-1] - plain[-1]) for plain, fast in pairs])
    cell.end_passes.append([[len(plain), len(fast)] for plain, fast in pairs])


def rounded(number: float) -> float:
    """Three digits, which keep the record short."""
    return float(f"{number:.3g}")


def passes(bounds: np.ndarray[Any, Any], target: float) -> int:
    """The number of the first pass whose bound reaches the target."""
    return int(np.argmax(bounds >= target)) + 1


def table(cells: list[Cell]) -> str:
    """All cells as a Markdown table: medians, quartiles of the ratio, and how often SQUAREM ended elsewhere."""
    lines = [
        "| structure | D | separation | EM, passes | SQUAREM, passes | ratio | quartiles | lower, higher optimum |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for cell in cells:
        low, middle, high = np.percentile(cell.ratios(), (25, 50, 75), method="nearest")
        fast = np.median([math.inf if n is None else n for n in cell.squarem])
        gains = np.array(cell.limit_gains)
        lines.append(
            f"| {cell.structure} | {cell.n_features} | {cell.separation:g} | {np.median(cell.em):g} | {fast:g} "
            f"| {middle:.2f} | {low:.2f} to {high:.2f} | {(gains < -GAP).sum()}, {(gains > GAP).sum()} |"
        )
    return "\n".join(lines)


def verdict(cells: list[Cell]) -> str:
    """The figures that count."""
    lines = []
    for words, chosen in (("overlapping", OVERLAPPING), ("separated", SEPARATED)):
        own = [cell for cell in cells if cell.separation in chosen]
        if not own:
            continue
        ratios = np.concatenate([cell.ratios() for cell in own])
        gains = np.concatenate([cell.limit_gains for cell in own])
        less, more = (gains < -GAP).sum(), (gains > GAP).sum()
        lines.append(
            f"{words}: {len(ratios)} problems; SQUAREM needs {np.median(ratios):.2f} of the passes of EM (median), at "
            f"most {np.max([np.median(cell.ratios()) for cell in own]):.2f} in a cell; it ends in a lower optimum "
            f"{less} times and in a higher one {more} times."
        )
        ends = np.concatenate([cell.ends for cell in own])
        counts = np.concatenate([cell.end_passes for cell in own])
        for tol, end, count in zip(TOLERANCES, ends.T, np.moveaxis(counts, 1, 0), strict=True):
            ratio = np.median(count[:, 1] / count[:, 0])
            lines.append(
                f"  stopped at tol = {tol:g}: below EM by more than tol {(end < -tol).sum()} times, above by more "
                f"{(end > tol).sum()} times; {ratio:.2f} of the passes"
            )
    return "\n".join(lines)


def draw_picture(cells: list[Cell], path: Path) -> None:
    """Passes of both, each problem a dot, with the lines of equal and of half as many."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("--picture needs matplotlib; install it by: pip install 'fastgmm[plot]'") from None
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    blue, orange, gray = "#0072b2", "#d55e00", "#888888"  # Okabe and Ito: told apart by every eye
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(figsize=(4.2, 3.8), layout="constrained")
    for words, chosen, color in (("overlapping", OVERLAPPING, blue), ("separated", SEPARATED, orange)):
        pairs = [
            (e, s)
            for cell in cells
            if cell.separation in chosen
            for e, s in zip(cell.em, cell.squarem, strict=True)
            if s is not None
        ]
        if pairs:
            axes.loglog(*zip(*pairs, strict=True), ".", color=color, markersize=3, alpha=0.6, label=words)
    ends = np.array(axes.get_xlim())
    axes.plot(ends, ends, color=gray, linewidth=0.8)
    axes.plot(ends, ends / 2, color=gray, linewidth=0.8, linestyle="--")
    axes.text(ends[1], ends[1], "equal", ha="right", va="bottom", color=gray, fontsize=8)
    axes.text(ends[1], ends[1] / 3, "half", ha="right", va="top", color=gray, fontsize=8)
    axes.set_xlabel(f"passes of EM to within {GAP:g} of its limit")
    axes.set_ylabel("passes of SQUAREM")
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main() -> None:
    """Measure all cells, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="problems in a cell (default 20)")
    parser.add_argument("--structures", default="full", help="comma-separated (default full)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the passes (needs matplotlib)")
    options = parser.parse_args()
    cells = []
    for structure in options.structures.split(","):
        for n_features in FEATURES:
            for separation in OVERLAPPING + SEPARATED:
                cell = Cell(structure, n_features, separation)
                for seed in range(options.seeds):
                    measure(cell, seed)
                cells.append(cell)
                print(*table([cell]).splitlines()[2:], flush=True)
    print(f"\n{table(cells)}\n\n{verdict(cells)}")
    if options.output:
        told = {"fastgmm": fastgmm.__version__, "variant": kernels.VARIANT, "numpy": np.__version__}
        fixed = {"rows": ROWS, "components": COMPONENTS, "gap": GAP, "limit": LIMIT, "tolerances": TOLERANCES}
        record = [asdict(cell) for cell in cells]
        options.output.write_text(json.dumps({"surroundings": told, "problem": fixed, "cells": record}) + "\n")
    if options.picture:
        draw_picture(cells, options.picture)


if __name__ == "__main__":
    main()
