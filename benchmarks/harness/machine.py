"""On what it was measured: enough to judge the figures by, nothing that names the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MEASURED = ("runtime", "supabase", "pyproject.toml", "requirements", "benchmarks/*.py")
PACKAGES = ("outlast", "uvicorn", "uvloop", "httptools", "starlette", "psycopg", "pydantic")


def now() -> str:
    """The moment, as the report shows it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def revision() -> str:
    """The commit that is measured, and whether its files were changed."""
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *_MEASURED)
    except (OSError, subprocess.CalledProcessError):
        return "a copy without history"
    return f"commit {commit}{', with changes not committed' if changed else ''}"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def describe(postgres: dict[str, str], peers: dict[str, str]) -> dict[str, str]:
    """Machine and versions, as lines of the report."""
    facts = {
        "processor": f"{os.cpu_count()} × {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **postgres,
    }
    packages = []
    for name in PACKAGES:
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    facts["packages"] = ", ".join(packages)
    facts["peers"] = ", ".join(f"{name} {each}" for name, each in peers.items()) or "none could be installed"
    facts["load before"] = f"{os.getloadavg()[0]:.1f} runnable processes on average over the last minute"
    return facts


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
