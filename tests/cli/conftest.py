"""What the command's tests share: a project folder of their own, the command in it, and a host to talk to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from outlast.cli.main import main
from tests import forked
from tests.cli.stand_in import StandIn, standing_in

RUN_TIMEOUT_S = 45.0
SECRET = "sb_secret_of_the_tests_only"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str


class Runs(Protocol):
    """Runs the command with these arguments."""

    def __call__(self, *arguments: str, stdin: str | None = None, **environment: str) -> Ran: ...


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one, and an environment that says nothing to us."""
    for name in list(os.environ):
        if name.startswith(("OUTLAST_", "SUPABASE_", "_OUTLAST_", "SB_")) or name in ("PORT", "NO_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def outlast(project: Path) -> Runs:
    """The command as a process of its own, forked from one that has loaded it."""

    def run(*arguments: str, stdin: str | None = None, **environment: str) -> Ran:
        done = forked.run(arguments, project, os.environ | environment, stdin, RUN_TIMEOUT_S)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def outlast_anew(project: Path) -> Runs:
    """The command as whoever types it starts it."""

    def run(*arguments: str, stdin: str | None = None, **environment: str) -> Ran:
        done = forked.run_anew(arguments, project, os.environ | environment, stdin, RUN_TIMEOUT_S)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The command within this process: quicker, for the many ways one can go."""

    def run(*arguments: str, stdin: str | None = None, **environment: str) -> Ran:
        assert stdin is None
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status = main(arguments)
        captured = capfd.readouterr()
        return Ran(status, captured.out, captured.err)

    return run


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A host whose answers the test decides, already configured for the command."""
    with standing_in() as stand_in:
        monkeypatch.setenv("OUTLAST_URL", stand_in.url)
        monkeypatch.setenv("SUPABASE_SECRET_KEY", SECRET)
        yield stand_in


def workflow(workflow_id: str, status: str = "SUCCESS", **fields: Any) -> dict[str, Any]:
    """A workflow as the host shows it."""
    ended = status not in ("PENDING", "ENQUEUED")
    return {
        "workflow_id": workflow_id,
        "function": workflow_id.partition(":")[0],
        "status": status,
        "input": {},
        "output": None,
        "error": None,
        "recovery_attempts": 0,
        "claimable_at": None,
        "created_at": "2026-11-22T10:00:00Z",
        "started_at": "2026-11-22T10:00:00Z",
        "completed_at": "2026-11-22T10:03:20Z" if ended else None,
        **fields,
    }


def problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """An error body as the host writes it."""
    return {"status": status, "code": code, "detail": detail, "message": detail, "retryable": False, **more}
