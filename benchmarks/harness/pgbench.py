"""Statements from many connections at once, by pgbench: no Python is in the way."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.harness.database import program
from benchmarks.harness.processes import BenchmarkError


def pgbench(script: str, database: str, connections: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Run `script` (pgbench's language) again and again: runs/s and quantiles in milliseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / "script.sql", folder / "pgbench"
    file.write_text(script)
    options = f"-n -M prepared -c {connections} -j {min(2, connections)} -T {max(2, round(seconds))}"
    command = [
        program("pgbench"),
        *options.split(),
        "-f",
        str(file),
        "-l",
        "--log-prefix",
        str(log),
        database,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or found is None:
        raise BenchmarkError(f"pgbench failed: {done.stderr[-500:]}")
    latencies = []
    for part in folder.glob("pgbench.*"):
        latencies += [int(line.split()[2]) / 1000 for line in part.read_text().splitlines()]
        part.unlink()
    latencies.sort()
    return {
        "per_s": float(found[1]),
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[int(len(latencies) * 0.99)],
    }
