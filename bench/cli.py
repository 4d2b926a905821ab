"""What a table larger than memory costs on the command line: seconds and peak memory of a process that fits it.

Run `python -P bench/cli.py --output cli.json`; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

FEATURES, COMPONENTS = 10, 5
SIZE_MB, QUICK_MB = 1000, 60
BLOCK_ROWS = 100_000  # different ones, written again and again
LIMIT_MB = 200  # what issue 6 allows

# VmHWM begins anew with the program, which the resource usage of a forked process does not.
COMMAND = """
import re, resource, sys
import fastgmm.cli
status = fastgmm.cli.main(sys.argv[1:])
if sys.platform == "linux":
    peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak, file=sys.stderr)
sys.exit(status)
"""


def write_table(path: Path, megabytes: int) -> int:
    """Write a CSV file of about so many megabytes; return the number of its rows."""
    rng = np.random.default_rng(0)
    centers = rng.normal(scale=1.5, size=(COMPONENTS, FEATURES))
    rows = centers[rng.integers(COMPONENTS, size=BLOCK_ROWS)] + rng.normal(size=(BLOCK_ROWS, FEATURES))
    block = "".join(",".join(f"{value:.6f}" for value in row) + "\n" for row in rows.tolist()).encode()
    repeats = max(1, round(megabytes * 1e6 / len(block)))
    with open(path, "wb") as stream:
        stream.write(",".join(f"x{i}" for i in range(FEATURES)).encode() + b"\n")
        for _ in range(repeats):
            stream.write(block)
    return repeats * BLOCK_ROWS


def measured(*arguments: str, stdin: Path | None = None) -> dict[str, Any]:
    """Run the command in a process of its own; return its seconds and its peak resident memory in MB (10^6 bytes)."""
    start = perf_counter()
    with open(stdin or os.devnull, "rb") as stream:
        done = subprocess.run(
            [sys.executable, "-P", "-c", COMMAND, *arguments], stdin=stream, capture_output=True, text=True, check=False
        )
    seconds = perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed: {done.stderr}")
    print(done.stdout, file=sys.stderr)
    return {"seconds": round(seconds, 1), "peak_mb": round(int(done.stderr.split()[-1]) / 1e6, 1)}


def cases(folder: Path, table: Path) -> dict[str, dict[str, Any]]:
    """Measure reading alone (of one iteration), a whole fit with its outputs, the same from stdin, and a prediction."""
    fit = ["-k", str(COMPONENTS), "--seed", "0"]
    model, labels = str(folder / "model.npz"), str(folder / "labels.csv")
    return {
        "read": measured("fit", str(table), "-k", "1", "--max-iter", "1"),
        "fit": measured("fit", str(table), *fit, "--save", model, "--output", labels),
        "fit from stdin": measured("fit", "-", *fit, stdin=table),
        "predict": measured("predict", str(table), "--model", model, "--output", str(folder / "labels.npy")),
    }


def main() -> None:
    """Write the table, measure, print and write the JSON; the table is removed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"a table of {QUICK_MB} MB")
    parser.add_argument("--output", type=Path, help="JSON file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fastgmm-bench-") as name:
        table = Path(name) / "table.csv"
        n_rows = write_table(table, QUICK_MB if chosen.quick else SIZE_MB)
        size = table.stat().st_size / 1e6
        found = cases(Path(name), table)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "table": {"megabytes": round(size), "rows": n_rows, "features": FEATURES},
        "limit_mb": LIMIT_MB,
        "cases": found,
        "read_mb_per_second": round(size / found["read"]["seconds"], 1),
    }
    text = json.dumps(report, indent=1)
    print(text)
    if chosen.output:
        chosen.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
