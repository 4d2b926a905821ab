"""Measure fastgmm beside scikit-learn, oneDAL and Armadillo: iterations, whole fits, memory, latency.

Run `python bench/compare.py --output result.json`; bench/README.md says what is measured, how and why.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison.datasets import PROBLEMS
from comparison.parts import fits, iterations, latency, memory
from comparison.peers import LIBRARIES, US
from comparison.problems import CASES, DTYPES, STRUCTURES, Case
from comparison.surroundings import surroundings, usable_cores
from comparison.tables import report
from comparison.team import Team

PARTS = {"a": "iterations", "b": "whole fits", "c": "memory", "d": "latency and import"}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ", ".join(f"{letter}: {name}" for letter, name in PARTS.items())
    parser.add_argument("--parts", type=names_of(PARTS), default=tuple(PARTS), metavar="a,b,c,d", help=parts)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of measurements (default 7)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="threads for all (default: usable cores)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, two rounds: a trial, no result")
    chosen = parser.add_argument_group("part a")
    chosen.add_argument("--cases", nargs="+", type=case_of, default=CASES, metavar="N,D,K", help="other shapes")
    chosen.add_argument("--structures", type=names_of(STRUCTURES), default=STRUCTURES, metavar="full,tied,…")
    chosen.add_argument("--dtypes", type=names_of(DTYPES), default=DTYPES, metavar="float64,float32")
    chosen.add_argument("--iterations", type=int, default=2, help="iterations timed in each fit (default 2)")
    parser.add_argument("--libraries", type=names_of(LIBRARIES), default=LIBRARIES, metavar="fastgmm,oneDAL,…")
    return parser.parse_args()


def names_of(known: Any) -> Any:
    """A parser of names separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return chosen

    return parse


def case_of(text: str) -> Case:
    """The case written as N,D,K."""
    try:
        return Case(*map(int, text.split(",")))
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not three whole numbers N,D,K") from None


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say on standard error what is being measured, and how long that took."""
    begin = time.perf_counter()
    print(what, end=" … ", file=sys.stderr, flush=True)
    yield
    print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)


def measure(team: Team, options: argparse.Namespace, record: dict[str, Any]) -> None:
    """Add to the record all parts asked for."""
    repeats, thin = (2, 10) if options.quick else (options.repeats, 1)
    if "a" in options.parts:
        cases = [case.tenth() for case in options.cases] if options.quick else options.cases
        record["iterations"] = []
        for cell in map(iterations.Cell._make, product(options.structures, options.dtypes, cases)):
            with told(f"iterations: {cell.structure}, {cell.dtype}, {cell.case}"):
                record["iterations"].append(iterations.measure(team, cell, options.iterations, repeats))
    if "b" in options.parts:
        record["fits"] = []
        problems, limited = (PROBLEMS[:3], (1, 10)) if options.quick else (PROBLEMS, (1, 2, 5, 10, 20, 40, 80))
        for problem in problems:
            with told(f"whole fits: {problem.name}, K = {problem.n_components}"):
                record["fits"].append(fits.measure(team, problem, thin, repeats))
        with told("whole fits: the best in 100 ms"):
            record["within_limit"] = fits.within_limit(team, thin, limited)
    if "c" in options.parts:
        with told("memory"):
            record["memory"] = memory.measure(team, memory.CASE.tenth() if options.quick else memory.CASE)
    if "d" in options.parts:
        with told("latency and import"):
            record["latency"] = latency.measure(team, repeats)


def as_json(value: Any, indent: str = "") -> str:
    """Objects, and lists of these, on lines of their own; lists of numbers on one line."""
    if isinstance(value, dict) and value:
        lines = [f"{json.dumps(key)}: {as_json(item, indent + ' ')}" for key, item in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        lines = [as_json(item, indent + " ") for item in value]
    else:
        return json.dumps(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + ",".join(f"\n{indent} {line}" for line in lines) + f"\n{indent}{closing}"


def main() -> None:
    """Measure, print the tables, write the JSON."""
    options = arguments()
    libraries = tuple(dict.fromkeys((US, *options.libraries)))
    with tempfile.TemporaryDirectory() as folder, Team(libraries, folder, options.threads) as team:
        for library, why in team.absent.items():
            print(f"{library} is absent: {why}", file=sys.stderr)
        record: dict[str, Any] = {"surroundings": surroundings(team)}
        try:
            measure(team, options, record)
        finally:  # interrupted or not
            if options.output:
                options.output.write_text(as_json(record) + "\n")
            print(report(record))


if __name__ == "__main__":
    main()
