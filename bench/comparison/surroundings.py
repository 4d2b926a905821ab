"""What a reader must know to judge the numbers."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from .team import Team


def surroundings(team: Team) -> dict[str, Any]:
    """Machine, versions, threads, and which libraries are absent and why."""
    return machine() | {
        "threads": team.threads,
        "libraries": {library: worker.about for library, worker in team.workers.items()},
        "absent": team.absent,
    }


def machine() -> dict[str, Any]:
    """The machine and the versions of Python and NumPy."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpuinfo("model name") or platform.processor() or "unknown",
        "virtual": virtual(),
        "cores": os.cpu_count(),
        "cores_usable": usable_cores(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def usable_cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def virtual() -> bool | None:
    """Whether this is a virtual machine, None where the system does not tell."""
    flags = cpuinfo("flags")
    return "hypervisor" in flags.split() if flags else None


def cpuinfo(name: str) -> str:
    """The first value of a field of Linux's /proc/cpuinfo, empty elsewhere."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
