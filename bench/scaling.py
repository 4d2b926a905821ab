"""Time of one EM iteration against rows, components, features and threads: a table, a picture, the record.

Run `python bench/scaling.py --output scaling.json --picture scaling.png`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastgmm
from fastgmm import kernels
from fastgmm.fitting.em import expectation_maximization
from fastgmm.fitting.mstep import MaximumLikelihood
from fastgmm.fitting.settings import Settings
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource

ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
COMPONENTS = (4, 8, 16, 32, 64, 128, 256)
FEATURES = (2, 4, 8, 16, 32, 64, 128, 256)
SPREADS = (0.3, 5.0, 6.0, 7.5, 10.0, 20.0)  # of the means: from all rows in all components to one component each
SPREAD_AT = (32, 16)  # D and K of that panel
USUAL = {"N": 100_000, "D": 8, "K": 8}  # what does not vary in a panel
LONG = {"D": 20_000, "threads": 1_000_000}  # rows of the panels that need fewer or more
QUICK = 10  # by how much fewer rows a trial has
AT_LEAST = 0.05  # seconds that one measurement lasts, by repeating the iteration
EXP = 21  # multiply-adds that exp and the sum over components are worth, in double precision
MEMORY_SHARE = 0.5  # of the memory that is free, for the rows


Timer = Callable[[], tuple[float, float]]  # seconds of an iteration by the clock and of processors


@dataclass
class Panel:
    """Time against one quantity: seconds per iteration [value][repeat], by the clock and of processors."""

    quantity: str
    fixed: str
    values: list[int]
    seconds: list[list[float]] = field(default_factory=list)
    processor_seconds: list[list[float]] = field(default_factory=list)

    def work(self) -> np.ndarray[Any, Any]:
        """What the time should be proportional to, up to a factor."""
        x = np.array(self.values, float)
        d = SPREAD_AT[0]
        product = d * (d + 1) / 2 + 2 * d
        skipping = product + EXP + x / 100 * product  # the M-step costs its active share
        return {"N": x, "K": x, "D": x**2 + 5 * x + EXP, "threads": 1 / x, "active": skipping}[self.quantity]

    def relative(self, seconds: list[list[float]]) -> np.ndarray[Any, Any]:
        """Time over work, in units of what it is where the work is largest (for threads: of one thread)."""
        cost = np.median(seconds, axis=1) / self.work()
        return cost / cost[np.argmax(self.work())]


def draw(n: int, d: int, k: int, spread: float = SPREADS[0]) -> tuple[np.ndarray[Any, Any], Parameters]:
    """Components and rows of them; at the least spread rows belong a little to each, and nothing is skipped."""
    rng = np.random.default_rng([d, k])
    means = rng.normal(scale=spread / math.sqrt(d), size=(k, d))
    covariances = np.broadcast_to(np.eye(d), (k, d, d)).copy()
    parameters = STRUCTURES["full"].from_covariances(np.full(k, 1 / k), means, covariances)
    return means[np.arange(n) % k] + rng.normal(size=(n, d)), parameters


def active_percent(X: np.ndarray[Any, Any], parameters: Parameters) -> int:
    """The share of responsibilities that reach the M-step, those of at least u / K."""
    structure = STRUCTURES["full"]
    r = ArraySource(X).responsibilities(structure.kernel_model(parameters, X.dtype))
    return round(100 * float(np.mean(r >= np.finfo(X.dtype).eps / 2 / r.shape[1])))


def timer(X: np.ndarray[Any, Any], parameters: Parameters, threads: int) -> Timer:
    """A function that times one iteration, always the same: warmed up, and repeated until it lasts long enough."""
    source = ArraySource(X, threads)
    m_step, settings = MaximumLikelihood(source, STRUCTURES["full"], 1e-6), Settings(tol=0.0, max_iter=1)

    def seconds(times: int) -> tuple[float, float]:
        begin, busy = time.perf_counter(), time.process_time()
        for _ in range(times):
            expectation_maximization(source, m_step, parameters, settings)
        return (time.perf_counter() - begin) / times, (time.process_time() - busy) / times

    seconds(1)
    times = math.ceil(AT_LEAST / seconds(1)[0])
    return lambda: seconds(times)


def measure(panel: Panel, timers: list[Timer], repeats: int) -> Panel:
    """Time all values in turn, in a new order each repeat."""
    panel.seconds, panel.processor_seconds = [[] for _ in timers], [[] for _ in timers]
    order = np.random.default_rng(0)
    for _ in range(repeats):
        for i in order.permutation(len(timers)):
            wall, busy = timers[i]()
            panel.seconds[i].append(wall)
            panel.processor_seconds[i].append(busy)
    return panel


def panels(threads: int, quick: bool) -> list[tuple[Panel, Callable[[], list[Timer]]]]:
    """What is measured, and how to set it up, one after the other because of the memory."""
    scale = QUICK if quick else 1
    usual_n, d, k = USUAL["N"] // scale, USUAL["D"], USUAL["K"]
    few, many = LONG["D"] // scale, LONG["threads"] // scale
    rows = [n // scale for n in ROWS if n // scale * d * 8 <= MEMORY_SHARE * free_memory()]
    counts = sorted({*(2**i for i in range(threads.bit_length())), threads})

    def by_rows() -> list[Timer]:
        X, parameters = draw(rows[-1], d, k)
        return [timer(X[:n], parameters, threads) for n in rows]

    def by_threads() -> list[Timer]:
        X, parameters = draw(many, d, k)
        return [timer(X, parameters, count) for count in counts]

    spread_n = USUAL["N"] // 2 // scale
    drawn = [draw(spread_n, *SPREAD_AT, spread) for spread in SPREADS]
    shares = [active_percent(*each) for each in drawn]

    return [
        (Panel("N", f"D = {d}, K = {k}", rows), by_rows),
        (
            Panel("K", f"N = {usual_n:,}, D = {d}", list(COMPONENTS)),
            lambda: [timer(*draw(usual_n, d, each), threads) for each in COMPONENTS],
        ),
        (
            Panel("D", f"N = {few:,}, K = {k}", list(FEATURES)),
            lambda: [timer(*draw(few, each, k), threads) for each in FEATURES],
        ),
        (Panel("threads", f"N = {many:,}, D = {d}, K = {k}", counts), by_threads),
        (
            Panel("active", f"N = {spread_n:,}, D = {SPREAD_AT[0]}, K = {SPREAD_AT[1]}", shares),
            lambda: [timer(*each, threads) for each in drawn],
        ),
    ]


def table(measured: list[Panel]) -> str:
    """All panels as one Markdown table: medians, quartiles, and processor time, which other programs do not use up."""
    lines = [
        "| quantity | value | ms per iteration | interquartile | over work | processor ms | over work |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for panel in measured:
        costs = (panel.relative(panel.seconds), panel.relative(panel.processor_seconds))
        for i, value in enumerate(panel.values):
            low, middle, high = 1e3 * np.percentile(panel.seconds[i], (25, 50, 75))
            busy = 1e3 * np.median(panel.processor_seconds[i])
            wall, processors = f"{costs[0][i]:.2f}", f"{costs[1][i]:.2f}"
            if panel.quantity == "threads":
                processors = f"{busy / 1e3 / np.median(panel.processor_seconds[0]):.2f}"
            lines.append(
                f"| {panel.quantity} ({panel.fixed}) | {value:,} | {middle:.3g} | {low:.3g} to {high:.3g} | {wall} "
                f"| {busy:.3g} | {processors} |"
            )
    return "\n".join(lines)


def verdict(rows: Panel) -> str:
    """How far the time is from linear in the number of rows."""
    told = []
    for words, seconds in (("by the clock", rows.seconds), ("in processor time", rows.processor_seconds)):
        off = rows.relative(seconds) - 1
        worst = int(np.argmax(abs(off)))
        told.append(
            f"{words} at most {100 * abs(off[worst]):.0f} % (N = {rows.values[worst]:,}: {100 * off[worst]:+.0f} %; "
            f"within 10 % at {np.count_nonzero(abs(off) <= 0.1)} of {len(off)} sizes)"
        )
    return f"Time per row, against that at N = {rows.values[-1]:,}, differs {', '.join(told)}. Target: 10 %."


def draw_picture(measured: list[Panel], path: Path) -> None:
    """Small panels, all but the last log-log: what was measured, and what is proportional to the work."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("--picture needs matplotlib; install it by: pip install 'fastgmm[plot]'") from None
    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

    blue, orange = "#0072b2", "#d55e00"  # Okabe and Ito: told apart by every eye
    words = {"N": "rows N", "K": "components K", "D": "features D", "threads": "threads", "active": "active pairs, %"}
    ideal = {
        "N": "linear",
        "K": "linear",
        "D": "D² + 5D + 21",
        "threads": "1 / threads",
        "active": "E + share of M-step",
    }
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, grid = plt.subplots(3, 2, figsize=(5, 6.7), layout="constrained")
    grid[2, 1].set_axis_off()
    for panel, axes in zip(measured, grid.flat, strict=False):
        x, y, work = np.array(panel.values), 1e3 * np.median(panel.seconds, axis=1), panel.work()
        anchor = int(np.argmax(work))
        axes.loglog(x, work * y[anchor] / work[anchor], color=orange, linestyle="--", label=ideal[panel.quantity])
        axes.loglog(x, y, color=blue, marker="o", markersize=4, linestyle="none", label="measured")
        axes.set_xlabel(words[panel.quantity])
        axes.set_title(panel.fixed.replace(",000,000", " million").replace(",000", " thousand"), fontsize=8.5)
        axes.legend(frameon=False, fontsize=8, handlelength=1.6)
        if panel.quantity != "N":
            axes.xaxis.set_major_locator(FixedLocator(panel.values[:: 1 + len(panel.values) // 5]))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
            axes.tick_params(axis="x", which="minor", length=0)
        if panel.quantity == "threads":
            axes.set_ylim(work.min() / work[anchor] * y[anchor] / 2, 2 * y.max())
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        if panel.quantity == "active":
            axes.set(xscale="linear", yscale="linear", xlim=(0, 105), ylim=(0, 1.15 * y.max()))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
    for axes in grid[:, 0]:
        axes.set_ylabel("ms per iteration")
    figure.savefig(path, dpi=200)
    plt.close(figure)


def free_memory() -> float:
    """Bytes that are free, as far as the system tells."""
    path = Path("/proc/meminfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return 4e9


def usable_cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def surroundings(threads: int) -> dict[str, Any]:
    """What a reader must know to judge the numbers."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": cpu or platform.processor() or "unknown",
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores_usable": usable_cores(),
        "threads": threads,
        "variant": kernels.VARIANT,
        "dtype": "float64",
        "covariance": "full",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "fastgmm": fastgmm.__version__,
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=usable_cores(), help="the most threads (default: all cores)")
    parser.add_argument("--repeats", type=int, default=7, help="how often everything is timed (default 7)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, three repeats: a trial, no result")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the curves (needs matplotlib)")
    return parser.parse_args()


def main() -> None:
    """Measure the curves, print the table, write what was asked for."""
    options = arguments()
    told = surroundings(options.threads)
    print(*(f"{key}: {value}" for key, value in told.items()), sep="\n", end="\n\n")
    repeats = 3 if options.quick else options.repeats
    measured = []
    for panel, prepare in panels(options.threads, options.quick):
        measured.append(measure(panel, prepare(), repeats))
        print(f"{panel.quantity}:", *(f"{1e3 * s:.3g}" for s in np.median(panel.seconds, axis=1)), "ms", flush=True)
    print(f"\n{table(measured)}\n\n{verdict(measured[0])}")
    if options.output:
        record = [asdict(panel) for panel in measured]
        options.output.write_text(json.dumps({"surroundings": told, "panels": record}, indent=1) + "\n")
    if options.picture:
        draw_picture(measured, options.picture)


if __name__ == "__main__":
    main()
