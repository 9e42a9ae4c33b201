"""docs/upgrade.md: a backup that was taken while a workflow waits goes on after it is restored."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from outlast.host.embedded import EmbeddedPostgres
from outlast.host.embedded.binaries import locate
from tests.cli.conftest import Runs
from tests.cli.serving import serving
from tests.hosts import until

FUNCTION = """
from pathlib import Path

from outlast import receive, step, workflow

@step
async def first() -> int:
    with Path("ran").open("a") as file:
        file.write("x")
    return 42

@workflow
async def waits() -> list:
    return [await first(), await receive()]
"""


@pytest.mark.slow
def test_a_backup_goes_on_from_its_last_recorded_step(outlast: Runs, project: Path) -> None:
    if not (locate().programs / "pg_dump").exists() and shutil.which("pg_dump") is None:
        pytest.skip("there is no pg_dump")
    (project / "functions").mkdir()
    (project / "functions" / "waits.py").write_text(FUNCTION)
    programs = {"PATH": f"{locate().programs}{os.pathsep}{os.environ['PATH']}"}

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=project, env=os.environ | programs, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr

    def steps(url: str) -> str:
        return outlast("workflows", "steps", "waits:k", "--url", url).out

    with serving(project) as (url, process):
        started = json.loads(outlast("invoke", "waits", "--key", "k", "--async", "--json", "--url", url).out)
        assert started == {"workflow_id": "waits:k", "ended": False}
        until(lambda: "first" in steps(url), "the first step")
        run("pg_dump", "--format=custom", "--file=backup.dump", outlast("db", "url").out.strip())
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert outlast("db", "reset", "--yes").status == 0
    with serving(project) as (url, _):
        assert outlast("workflows", "show", "waits:k", "--url", url).status == 1, "it is gone"
    with EmbeddedPostgres.start(project / ".outlast") as server:
        run("pg_restore", "--clean", "--if-exists", "--dbname", server.url, "backup.dump")
    with serving(project) as (url, _):
        sent = outlast("workflows", "send", "waits:k", "--data", "1", "--url", url)
        assert sent.status == 0, sent.err
        assert json.loads(outlast("workflows", "wait", "waits:k", "--timeout", "30", "--url", url).out) == [
            42,
            1,
        ]
    assert (project / "ran").read_text() == "x"
