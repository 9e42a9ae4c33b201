"""Look up known vulnerabilities of what the locks name; where no source can be reached, say that none was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCES = ("pypi", "osv")


def looked_up(lock: str, source: str) -> list[dict[str, Any]] | None:
    """The packages of a lock with what is known of them; None where the source doesn't answer for one."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", lock, "--disable-pip", "--require-hashes"]
    command += [
        "--vulnerability-service",
        source,
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        "20",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return None
    return None if all("skip_reason" in each for each in packages) else packages


def main(locks: list[str]) -> int:
    status = 0
    for lock in locks:
        found = next(
            (packages for source in SOURCES if (packages := looked_up(lock, source)) is not None), None
        )
        if found is None:
            print(f"{Path(lock).name}: no source of advisories can be reached; nothing was looked up")
            continue
        vulnerable = [each for each in found if each.get("vulns")]
        skipped = sum("skip_reason" in each for each in found)
        counts = f"{len(found) - skipped} looked up, {skipped} unknown, {len(vulnerable)} vulnerable"
        print(f"{Path(lock).name}: {counts}")
        for each in vulnerable:
            for vulnerability in each["vulns"]:
                mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
                print(f"  {each['name']} {each['version']}: {vulnerability['id']}, mended in {mended}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
