"""On what it was measured: enough to judge the figures by, nothing that names the machine."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("outlast", "uvicorn", "uvloop", "httptools", "starlette", "psycopg", "pydantic")


def describe(postgres: str, settings: dict[str, str]) -> dict[str, str]:
    """Machine and versions, as lines of the report."""
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{os.cpu_count()} × {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "postgres": f"{postgres}, {', '.join(f'{name} {value}' for name, value in settings.items())}",
    }
    packages = []
    for name in PACKAGES:
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    facts["packages"] = ", ".join(packages)
    facts["load before"] = f"{os.getloadavg()[0]:.1f} runnable processes on average over the last minute"
    return facts


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
