"""The record as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import summary
from .peers import SKLEARN, US
from .rounds import Spread, geometric_mean, spread

Record = dict[str, Any]
NAMES = {SKLEARN: "scikit-learn, better setting", "as it comes": "scikit-learn, as it comes"}


def report(record: Record) -> str:
    """Everything measured, for people."""
    threads = record["surroundings"]["threads"]
    parts = [surroundings(record["surroundings"])]
    if cells := record.get("iterations"):
        parts += [overview(cells, threads), *iterations(cells, threads)]
    if problems := record.get("fits"):
        parts += [fits(problems), within_limit(record.get("within_limit", []))]
    if memory := record.get("memory"):
        parts.append(peaks(memory))
    if latency := record.get("latency"):
        parts += [calls(latency), imports(latency)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; the first column to the left, the others to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_spread(value: Spread) -> str:
    """Median and quartiles."""
    return f"{short(value.median)} ({short(value.low)} to {short(value.high)})"


def short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def case_name(case: Sequence[int]) -> str:
    """N, D, K with a space in large numbers."""
    return ", ".join(f"{number:_}".replace("_", " ") for number in case)


def surroundings(told: Record) -> str:
    """Machine and versions, and what is absent."""
    here = "virtual, " if told["virtual"] else ""
    lines = [
        f"{told['date']}; {told['cpu']}, {here}{told['cores_usable']} of {told['cores']} cores usable, "
        f"{told['system']}, {told['machine']}; load {told['load'][0] if told['load'] else 'unknown'} at the start.",
        f"CPython {told['python']}, numpy {told['numpy']}; up to {told['threads']} threads.",
    ]
    for library, about in told["libraries"].items():
        detail = ", ".join(f"{key} {value}" for key, value in about.items() if key != "thread_pools")
        pools = {
            f"{p['internal_api']} {p['version']}" for p in about.get("thread_pools", []) if p["user_api"] == "blas"
        }
        lines.append(f"{library}: {', '.join([detail, *sorted(pools)])}.")
    lines += [f"{library}: absent ({why})." for library, why in told["absent"].items()]
    return "\n".join(f"* {line}" for line in lines)


# ---- part a


def overview(cells: list[Record], threads: int) -> str:
    """Geometric means and least ratios over the cases, by structure and dtype."""
    columns = ("scikit-learn", "as it comes", "oneDAL", "Armadillo")
    single = ("scikit-learn", "oneDAL")
    rows = []
    for structure, dtype in summary.kinds(cells):
        group = summary.group(cells, structure, dtype)
        row = [f"{structure}, {dtype}"]
        for one_each, names in ((False, columns), (True, single)):
            used = 1 if one_each else threads
            for name in names:
                pairs = [(cell, summary.rivals(cell, threads, one_each).get(name)) for cell in group]
                row.append(mean_and_least(summary.ratio(cell, s, used).median for cell, s in pairs if s))
        row += [mean_and_least(speedups(group, threads)), mean_and_least(precision_gains(cells, group, threads))]
        rows.append(row)
    head = ["ratio to fastgmm", *(NAMES.get(name, name) for name in columns)]
    head += ["one thread each: scikit-learn", "oneDAL", f"fastgmm: 1 thread over {threads}", "float64 over float32"]
    return "## An EM iteration\n\nGeometric mean of the ratios over the cases (and the least).\n\n" + table(head, rows)


def mean_and_least(values: Iterable[float]) -> str:
    """Geometric mean and the least, a dash where there is nothing."""
    found = summary.means_and_least(values)
    return f"{short(found[0])} ({short(found[1])})" if found else "–"


def speedups(cells: list[Record], threads: int) -> list[float]:
    """fastgmm's time with one thread over that with all."""
    if threads == 1:
        return []
    pairs = [(cell, summary.with_threads(cell, US, 1)) for cell in cells]
    return [summary.ratio(cell, one, threads).median for cell, one in pairs if one]


def precision_gains(cells: list[Record], group: list[Record], threads: int) -> list[float]:
    """fastgmm's time in float64 over that in float32, where the group is float32."""
    gains = []
    for cell in group:
        for other in summary.group(cells, cell["structure"], "float64"):
            if other["case"] == cell["case"] and cell["dtype"] == "float32":
                ours = (summary.with_threads(c, US, threads) for c in (other, cell))
                double, single = (summary.median(c, s) for c, s in zip((other, cell), ours, strict=True) if s)
                gains.append(double / single)
    return gains


def iterations(cells: list[Record], threads: int) -> Iterable[str]:
    """Two tables for each structure and dtype: all threads, and one thread each."""
    for structure, dtype in summary.kinds(cells):
        group = summary.group(cells, structure, dtype)
        yield f"### {structure}, {dtype}\n\n" + iteration_table(group, threads, False)
        if threads > 1:
            yield "One thread each:\n\n" + iteration_table(group, threads, True)
        if notes := left_out(group):
            yield notes


def iteration_table(cells: list[Record], threads: int, one_each: bool) -> str:
    """Milliseconds per iteration, and the ratios to fastgmm with their spread."""
    used = 1 if one_each else threads
    chosen = [summary.rivals(cell, threads, one_each) for cell in cells]
    columns = list(dict.fromkeys(column for rivals in chosen for column in rivals))
    rows = []
    for cell, rivals in zip(cells, chosen, strict=True):
        ours = summary.with_threads(cell, US, used)
        assert ours
        times = [milliseconds(cell, rivals.get(column), column == SKLEARN and not one_each) for column in columns]
        found = [with_spread(summary.ratio(cell, rivals[c], used)) if c in rivals else "–" for c in columns]
        rows.append([case_name(cell["case"]), *times, milliseconds(cell, ours, False), *found])
    names = [NAMES.get(column, column) if not one_each else column for column in columns]
    return table(["N, D, K", *(f"{name}, ms" for name in (*names, US)), *(f"{name} / {US}" for name in names)], rows)


def milliseconds(cell: Record, setting: str | None, tell_threads: bool) -> str:
    """Median per iteration, with the threads where these were chosen, and marked where it was timed only once."""
    if not setting:
        return "–"
    once = " (once)" if len(cell["seconds"][setting]) == 1 else ""
    which = f" ({summary.threads_of(setting)})" if tell_threads else ""
    return short(1000 * summary.median(cell, setting)) + which + once


def left_out(cells: list[Record]) -> str:
    """Which settings were not timed in which case, and why."""
    return "\n".join(
        f"* {case_name(cell['case'])}: {setting} is left out: {why}."
        for cell in cells
        for setting, why in cell["left_out"].items()
    )


# ---- part b


def fits(problems: list[Record]) -> str:
    """Whole fits, with likelihoods and the ratios."""
    rows, compared = [], []
    for problem in problems:
        name = f"{problem['name']} {case_name([*problem['shape'], problem['n_components']])}"
        for key in problem["rounds"][0]:
            rows.append([name, key, *fit_row([found[key] for found in problem["rounds"]])])
        if found := summary.fit_ratios(problem):
            rows.append([name, f"fastgmm to {problem['target']:.3f}", *fit_row(problem["reached"])])
            compared.append((name, found))
    text = "## Whole fits, k-means start, default tolerance\n\nMedians over seeds (quartiles).\n\n" + table(
        ["data: N, D, K", "setting", "seconds", "iterations", "lower bound", "held-out log-likelihood", "seeds"], rows
    )
    if compared:
        ratios = [
            [name, *(with_spread(found[k]) if k in found else "–" for k in FIT_RATIOS)] for name, found in compared
        ]
        mean = geometric_mean([found["same likelihood"].median for _, found in compared])
        text += "\n\nscikit-learn's time over fastgmm's:\n\n" + table(["data: N, D, K", *FIT_RATIOS.values()], ratios)
        text += f"\n\nGeometric mean to the same likelihood: {short(mean)}."
    return text


def fit_row(fits: list[Record]) -> list[str]:
    """Seconds, iterations, likelihoods where known, and how many seeds these are medians of."""
    row = [with_spread(spread([each["seconds"] for each in fits]))]
    row.append(short(float(np.median([each["n_iterations"] for each in fits]))))
    for name in ("bound", "held_out"):
        row.append(f"{np.median([each[name] for each in fits]):.3f}" if name in fits[0] else "–")
    return [*row, str(len(fits))]


FIT_RATIOS = {
    "same likelihood": "better setting, to the same likelihood",
    "as it comes": "as it comes, to the same likelihood",
    "default": "better setting, default fit over default fit",
}


def within_limit(best: list[Record]) -> str:
    """What 100 ms buy on the funnels."""
    if not best:
        return ""
    keys = ("held_out", "seconds", "n_components", "max_iter")
    rows = [[each["setting"], *(short(each[key]) if key in each else "none" for key in keys)] for each in best]
    head = ["funnels, within 100 ms", "held-out log-likelihood", "seconds", "K", "iterations at most"]
    return table(head, rows)


# ---- parts c and d


def peaks(memory: Record) -> str:
    """Peak memory beyond the array."""
    rows = [
        [library, *(short(found[m] / 1e6) if m in found else "–" for m in ("fit", "predict_proba"))]
        for library, found in memory["peaks"].items()
    ]
    head = ["peak over the array, MB", "fit", "predict_proba, less its result"]
    title = f"## Memory at {case_name(memory['case'])} (array: {short(memory['array'] / 1e6)} MB)"
    notes = "\n".join(f"* {library} is left out: {why}." for library, why in memory["left_out"].items())
    return "\n\n".join(part for part in (title, table(head, rows), notes) if part)


def calls(latency: Record) -> str:
    """Microseconds a call takes."""
    names = list(latency["calls"][0]["seconds"])
    rows = []
    for each in latency["calls"]:
        found = [with_spread(spread([1e6 * value for value in each["seconds"][name]])) for name in names]
        rows.append([f"{each['method']}, {each['n_rows']} x {latency['case'][1]}", *found])
    head = [f"microseconds a call, K = {latency['case'][2]}", *names]
    return "## Small calls\n\n" + table(head, rows)


def imports(latency: Record) -> str:
    """Milliseconds an import takes."""
    rows = [[lib, with_spread(spread([1e3 * value for value in v]))] for lib, v in latency["imports"].items()]
    return table(["import beyond numpy", "ms"], rows)
