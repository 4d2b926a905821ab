"""Speed of the compiled kernels on one thread, as a fraction of the multiply-adds this machine can do.

Run `python bench/kernels.py --output kernels.json`; bench/README.md says what is measured, how and why.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

import fastgmm
from fastgmm import kernels
from fastgmm.model.parameters import Parameters
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.sources.array import ArraySource

EXP = {np.dtype(np.float32): 16, np.dtype(np.float64): 21}  # slots of exp and of the sum over components
BRANCHES = 2  # slots of a comparison and what follows from it
CASES = [(2, 8), (8, 16), (16, 16), (32, 16), (64, 16), (128, 16)]
BYTES = 1 << 24  # of the rows at most

PEAK = """
#if defined(__AVX512F__)
enum { BYTES = 64, CHAINS = 16 };
#elif defined(__AVX__)
enum { BYTES = 32, CHAINS = 12 };
#elif defined(__aarch64__)
enum { BYTES = 16, CHAINS = 16 };
#else
enum { BYTES = 16, CHAINS = 14 };
#endif
typedef REAL vector __attribute__((vector_size(BYTES)));
volatile REAL factor = 0.5, term = 1;
long slots(void) { return CHAINS * (BYTES / sizeof(REAL)); }
double run(long rounds)
{
    vector a = (vector){0} + factor, b = (vector){0} + term, chain[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        chain[i] = (vector){0} + (REAL)i;
    for (long round = 0; round < rounds; round++)
        for (int i = 0; i < CHAINS; i++)
            chain[i] = chain[i] * a + b;
    for (int i = 1; i < CHAINS; i++)
        chain[0] += chain[i];
    return chain[0][0];
}
"""
FLAGS = {"base": [], "v3": ["-march=x86-64-v3"], "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}


class Peak:
    """Independent chains of multiply-adds in the vectors of one variant: the most slots a core can fill."""

    def __init__(self, variant: str, dtype: np.dtype[Any], compiler: list[str], folder: Path) -> None:
        source, library = folder / "peak.c", folder / f"peak_{variant}_{dtype}.so"
        source.write_text(PEAK)
        real = ["-DREAL=double" if dtype.itemsize == 8 else "-DREAL=float"]
        flags = ["-O3", "-ffp-contract=fast", "-shared", "-fPIC", *FLAGS[variant], *real]
        subprocess.run([*compiler, *flags, str(source), "-o", str(library)], check=True, capture_output=True, text=True)
        loaded = ctypes.CDLL(str(library))
        loaded.run.restype, loaded.run.argtypes = ctypes.c_double, [ctypes.c_long]
        loaded.slots.restype = ctypes.c_long
        self.loaded, self.rounds = loaded, 1 << 10
        while self.seconds() < 4e-3:
            self.rounds *= 2
        self.slots = self.rounds * loaded.slots()

    def seconds(self) -> float:
        """Processor time of one run."""
        return cpu_seconds(lambda: self.loaded.run(self.rounds))


class Task(NamedTuple):
    """A call of a kernel, and how many slots its arithmetic fills at the least."""

    kernel: str
    structure: str
    run: Callable[[], None]
    slots: float
    active: float  # fraction of responsibilities that take part in the sums


@dataclass
class Result:
    """One kernel, variant, precision and shape: slots per second and fractions of the peak, by repeat."""

    variant: str
    dtype: str
    kernel: str
    structure: str
    n_features: int
    n_components: int
    n_samples: int
    active: float
    slots_per_second: list[float]
    peaks: list[float]

    def rate(self) -> str:
        """Median of the slots per second, in units of 1e9."""
        return f"{np.median(self.slots_per_second) / 1e9:.1f}"

    def fraction(self) -> str:
        """Median and quartiles of the fraction of the peak measured around each repeat."""
        if not self.peaks:
            return "unknown"
        low, middle, high = np.percentile(np.divide(self.slots_per_second, self.peaks), (25, 50, 75))
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def cpu_seconds(run: Callable[[], object]) -> float:
    """Processor time of this thread, which other programs do not use up."""
    begin = time.thread_time()
    run()
    return time.thread_time() - begin


def draw(d: int, k: int) -> tuple[np.random.Generator, Parameters]:
    """A mixture whose components overlap so much that every row belongs to all of them."""
    rng = np.random.default_rng([d, k])
    shapes = np.eye(d) + rng.normal(scale=0.1 / math.sqrt(d), size=(k, d, d))
    covariances = shapes @ shapes.swapaxes(1, 2)
    means = rng.normal(scale=0.3 / math.sqrt(d), size=(k, d))
    return rng, STRUCTURES["full"].from_covariances(np.full(k, 1 / k), means, covariances)


def restricted(name: str, full: Parameters) -> Parameters:
    """The mixture with another covariance structure."""
    variances = np.einsum("kii->ki", full.covariances)
    covariances = {
        "full": full.covariances,
        "tied": full.covariances.mean(axis=0),
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }
    return STRUCTURES[name].from_covariances(full.weights, full.means, covariances[name])


def expectation_slots(name: str, d: int, k: int) -> float:
    """Slots of one row's squared distance to one component."""
    whitening = d * (d + 1) / 2
    return {"full": whitening + 2 * d, "tied": 2 * d + whitening / k, "diag": 3 * d, "spherical": 2 * d}[name]


def accumulation_slots(name: str, d: int) -> float:
    """Slots of one row's part in the sums of one component."""
    return {"full": d * (d + 1) / 2 + 2 * d, "tied": d, "diag": 3 * d, "spherical": d + 1}[name]


def tasks(module: ModuleType, dtype: np.dtype[Any], d: int, k: int, work: float) -> Iterator[tuple[int, Task]]:
    """The kernels on one shape, each with its number of rows: so many that a call fills about `work` slots."""
    rng, mixture = draw(d, k)
    c = EXP[dtype]
    most = BYTES // (d * dtype.itemsize)
    rows = rng.normal(size=(most, d)).astype(dtype)

    def sized(slots_per_row: float) -> ArraySource:
        """A source of as many rows as the work is worth."""
        n = int(min(max(work / slots_per_row, 1024), most, 400_000)) // 128 * 128
        return ArraySource(rows[:n], 1, module)

    for name, structure in LAYOUTS.items():
        parameters = restricted(name, mixture)
        expectation, accumulation = expectation_slots(name, d, k), accumulation_slots(name, d)
        source = sized(k * (expectation + accumulation + c))
        n = source.n_samples
        model = structure.kernel_model(parameters, dtype, source.origin)
        sums = np.empty(module.n_sums(model.kind, d, k))
        shares, labels = np.empty((n, k), dtype), np.empty(n, np.int64)
        scratch, small = (
            np.empty(module.workspace_size(model.kind, d, k, accumulating, False, dtype.itemsize), dtype)
            for accumulating in (True, False)
        )
        posterior = bind(module.posterior, source.X, *model.arguments, *model.tails, small, False, None)
        posterior(shares, None)
        active = float((shares >= np.finfo(dtype).eps / 2 / k).mean())
        accumulate = bind(module.accumulate, source.X, None, None, None, *model.arguments, scratch, False, sums)
        yield n, Task("accumulate", name, accumulate, n * k * (expectation + accumulation + c), active)
        yield n, Task("responsibilities", name, bind(posterior, shares, None), n * k * (expectation + c), active)
        yield n, Task("labels", name, bind(posterior, None, labels), n * k * (expectation + BRANCHES), active)
    candidates = 2 + int(math.log(k))
    for kernel, centers in (("assign", mixture.means), ("potentials", mixture.means[:candidates])):
        slots = len(centers) * (2 * d + BRANCHES)
        source = sized(slots)
        n = source.n_samples
        size = module.workspace_size(module.COMMON_FRAME, d, len(centers), True, False, dtype.itemsize)
        scratch = np.empty(size, dtype)
        about = (centers - source.origin).astype(dtype)
        run = bind(getattr(module, kernel), source.X, None, about, source.origin, scratch)
        if kernel == "assign":
            run = bind(run, np.empty(n, np.int32), np.empty(len(centers) * (1 + d) + 1))
        else:
            run = bind(run, np.full(n, d, dtype), False, np.empty(len(centers)))
        yield n, Task(kernel, "", run, n * slots, 1.0)


def bind(function: Callable[..., None], *first: Any) -> Callable[..., None]:
    """The function with its first arguments given."""
    return lambda *others: function(*first, *others)


def measure(task: Task, peak: Peak | None, repeats: int) -> tuple[list[float], list[float]]:
    """Slots per second of the kernel and of the peak just before and after it, in each repeat."""
    task.run()
    rates, peaks = [], []
    for _ in range(repeats):
        before = peak.seconds() if peak else 0.0
        seconds = cpu_seconds(task.run)
        rates.append(task.slots / seconds)
        if peak:
            peaks.append(2 * peak.slots / (before + peak.seconds()))
    return rates, peaks


def measure_variant(
    variant: str,
    dtype: np.dtype[Any],
    cases: list[tuple[int, int]],
    work: float,
    chosen: list[str] | None,
    peak: Peak | None,
    repeats: int,
) -> list[Result]:
    """All kernels of one variant and precision (or those chosen by name), on all shapes."""
    results = []
    for d, k in cases:
        for n, task in tasks(kernels.load(variant), dtype, d, k, work):
            if not chosen or {task.kernel, f"{task.kernel} {task.structure}"} & {*chosen}:
                about = (variant, dtype.name, task.kernel, task.structure, d, k, n, task.active)
                results.append(Result(*about, *measure(task, peak, repeats)))
    return results


def find_compiler() -> list[str] | None:
    """The C compiler Python was built with, or any other."""
    for name in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"):
        command = shlex.split(name or "")
        if command and shutil.which(command[0]):
            return command[:1]
    return None


def find_peak(variant: str, dtype: np.dtype[Any], compiler: list[str] | None, folder: Path) -> Peak | None:
    """The peak of one variant, None without a compiler that knows its instruction set."""
    if compiler is None:
        return None
    try:
        return Peak(variant, dtype, compiler, folder)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"no peak for {variant}: {compiler[0]} failed. {getattr(error, 'stderr', '') or error}".strip())
        return None


def table(results: list[Result], dtypes: list[str]) -> str:
    """The results of one variant as a Markdown table."""
    heads = [f"{dtype}: 1e9 slots/s | fraction of peak" for dtype in dtypes]
    lines = ["| kernel | D, K | " + " | ".join(heads) + " |", "| --- | --- |" + " ---: | ---: |" * len(dtypes)]
    rows: dict[tuple[str, int, int], dict[str, Result]] = {}
    for result in results:
        key = (f"{result.kernel} {result.structure}".strip(), result.n_features, result.n_components)
        rows.setdefault(key, {})[result.dtype] = result
    for (kernel, d, k), found in sorted(rows.items()):
        cells = [f"{found[dtype].rate()} | {found[dtype].fraction()}" for dtype in dtypes]
        lines.append(f"| {kernel} | {d}, {k} | {' | '.join(cells)} |")
    return "\n".join(lines)


def remarks(results: list[Result], dtypes: list[str]) -> str:
    """The peaks that were measured beside one variant, and whether anything was skipped."""
    peaks = (
        f"{dtype} {np.median([p for r in results if r.dtype == dtype for p in r.peaks]) / 1e9:.1f}e9 slots/s"
        for dtype in dtypes
    )
    measured = f"Peak of multiply-adds: {', '.join(peaks)}. " if all(result.peaks for result in results) else ""
    return f"{measured}Active fraction of responsibilities: {min(result.active for result in results):g} at the least."


def surroundings() -> dict[str, Any]:
    """What a reader must know to judge the numbers."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": cpu or platform.processor() or "unknown",
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "threads": 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "fastgmm": fastgmm.__version__,
    }


def case_of(text: str) -> tuple[int, int]:
    """The case written as D,K."""
    d, k = map(int, text.split(","))
    return d, k


def arguments() -> argparse.Namespace:
    """The command line."""
    available = kernels.variants_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", choices=available, default=available, help="default: all available")
    parser.add_argument("--dtypes", nargs="+", choices=("float64", "float32"), default=["float64", "float32"])
    parser.add_argument("--cases", nargs="+", metavar="D,K", type=case_of, default=CASES, help="other shapes")
    parser.add_argument("--kernels", nargs="+", metavar="NAME", help="only these, as 'accumulate' or 'accumulate full'")
    parser.add_argument("--repeats", type=int, default=9, help="how often each kernel is timed (default 9)")
    parser.add_argument("--quick", action="store_true", help="few rows, two shapes, three repeats: a trial, no result")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    return parser.parse_args()


def main() -> None:
    """Measure every kernel, print a table per variant, write the JSON."""
    options = arguments()
    cases, repeats, work = options.cases, options.repeats, 2e8
    if options.quick:
        cases, repeats, work = cases[:2], 3, 3e7
    compiler, told = find_compiler(), surroundings()
    print(*(f"{key}: {value}" for key, value in told.items()), sep="\n")
    print(f"peak: {'compiled by ' + compiler[0] if compiler else 'not measured, there is no C compiler'}", end="\n\n")
    results: list[Result] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for variant in options.variants:
            mine = []
            for dtype in map(np.dtype, options.dtypes):
                peak = find_peak(variant, dtype, compiler, Path(folder))
                mine += measure_variant(variant, dtype, cases, work, options.kernels, peak, repeats)
            print(f"## {variant}\n\n{table(mine, options.dtypes)}\n\n{remarks(mine, options.dtypes)}\n", flush=True)
            results += mine
    if options.output:
        record = {"surroundings": told, "results": [asdict(result) for result in results]}
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
