"""What somebody meets who starts: an empty folder, a slip in `.env`, an option that isn't there, an image."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from outlast.cli.cells import ago
from outlast.cli.main import outlast as top
from outlast.observe.redaction import redactor
from tests.cli.conftest import Runs, workflow
from tests.cli.stand_in import Reply, StandIn
from tests.hosts import until

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def test_an_empty_folder_is_told_what_to_do(call: Runs, project: Path) -> None:
    ran = call("serve", "--port", "0", SUPABASE_DB_URL="postgresql://postgres@127.0.0.1:1/x")
    assert "`outlast new hello` makes it" in ran.err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\nOUTLAST_LOG_LEVEL debug\n", 2),
        ("# x\n\n\nA='no end\nB=2\n", 4),
        ('A=1\nB="x" y\n', 2),
    ],
)
def test_a_line_of_env_that_cannot_be_read_stops_the_start(
    call: Runs, project: Path, text: str, line: int
) -> None:
    (project / ".env").write_text(text)
    ran = call("list")
    assert ran.status == 1
    assert ran.err.startswith(f"error: .env:{line}: the line can't be read: write NAME=VALUE")
    assert ran.err.count("\n") == 1


def test_a_line_of_the_functions_env_is_named_too(outlast: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    (project / "functions" / ".env").write_text("KEY hunter2hunter2\n")
    ran = outlast("list")
    assert "functions/.env:1: the line can't be read" in ran.err
    assert "hunter2" not in ran.err


@pytest.mark.parametrize(("option", "near"), [("--bogus", None), ("--prt", "--port"), ("--xyz", None)])
def test_only_what_is_near_is_suggested(call: Runs, option: str, near: str | None) -> None:
    ran = call("serve", option)
    assert ran.status == 2
    assert ("Did you mean" in ran.err) == (near is not None)
    assert near is None or near in ran.err


def test_a_setting_that_is_near_none_is_compared_with_none(call: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    ran = call("list", OUTLAST_ZZQX="1")
    assert "OUTLAST_ZZQX is not a setting and was ignored\n" in ran.err


def test_an_examples_password_is_shown_and_a_real_one_is_not() -> None:
    example = "set a Postgres URL, such as postgresql://USER:PASSWORD@HOST:5432/postgres"
    assert redactor.redact(example) == example
    assert "pa55" not in redactor.redact("postgresql://me:pa55wd@HOST:5432/postgres")


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (timedelta(days=7) - timedelta(seconds=2), "in 7 d"),
        (timedelta(days=6, hours=23), "in 6 d"),
        (timedelta(hours=1) - timedelta(seconds=0.4), "in 1 h"),
        (timedelta(seconds=59.7), "in 1 min"),
        (timedelta(seconds=-7 * 86_400), "7 d ago"),
    ],
)
def test_how_long_until_then_is_rounded_not_cut(ahead: timedelta, told: str) -> None:
    assert ago(NOW + ahead, NOW) == told


def test_ids_of_workflows_are_completed(host: StandIn, project: Path) -> None:
    found = [workflow("hello:one"), workflow("hello:two"), workflow("other:one")]
    host.on("GET", "/workflows/v1", Reply(document={"workflows": found}))
    assert _completed(["workflows", "show"], "hello:") == ["hello:one", "hello:two"]
    assert _completed(["workflows", "steps"], "o") == ["other:one"]


def test_no_host_completes_nothing_and_says_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTLAST_URL", "http://127.0.0.1:1")
    assert _completed(["workflows", "show"], "") == []
    assert capfd.readouterr() == ("", "")


def _completed(words: list[str], incomplete: str) -> list[str]:
    from click.shell_completion import ShellComplete

    return [each.value for each in ShellComplete(top, {}, "outlast", "_X").get_completions(words, incomplete)]


def test_an_image_can_be_written_once(call: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    (project / "supabase").mkdir()
    (project / "requirements.txt").write_text("outlast\nhttpx\n")
    done = json.loads(call("new", "--dockerfile", "--json").out)
    assert done == {
        "written": ["Dockerfile", ".dockerignore", "wheels/README"],
        "unchanged": ["requirements.txt"],
    }
    assert (project / "requirements.txt").read_text() == "outlast\nhttpx\n"
    assert call("new", "--dockerfile").status == 1
    assert call("new", "--dockerfile", "hello").status == 2
    assert call("new").status == 2


def test_the_image_runs_as_the_one_that_is_tested_does(call: Runs, project: Path) -> None:
    """All but what is installed is the repository's own Dockerfile, which CI builds and runs."""
    (project / "functions").mkdir()
    (project / "supabase").mkdir()
    call("new", "--dockerfile")
    written, ours = (project / "Dockerfile").read_text(), (ROOT / "Dockerfile").read_text()
    run_stage = re.compile(r"\nFROM [^\n]*(?<! AS build)\n(.*)", re.DOTALL)
    mine, theirs = (
        sorted(run_stage.search(each)[1].splitlines())  # type: ignore[index]
        for each in (written, ours)
    )
    assert mine == theirs
    ignored = (project / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {"**/.env", "**/.env.*", "supabase/signing_keys.json"} <= set(ignored)


def test_what_the_image_installs_can_be_installed(call: Runs, project: Path) -> None:
    """The one line of the build that differs: pip reads the folder and the file that it names."""
    call("new", "--dockerfile")
    (project / "requirements.txt").write_text("# nothing\n")
    (line,) = re.findall(r"-m (pip install --no-compile .*?) \\", (project / "Dockerfile").read_text())
    done = subprocess.run(
        [sys.executable, "-m", *line.split(), "--no-index", "--dry-run"],
        cwd=project, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@contextmanager
def logging_host(project: Path, *options: str) -> Iterator[Path]:
    """The log of a host on the embedded database."""
    log = project / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "outlast", "serve", "--port", "0", *options],
            cwd=project, stdout=file, stderr=file, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield log
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.slow
def test_migrations_are_logged_and_new_ones_are_applied_on_reload(project: Path) -> None:
    (project / "functions").mkdir()
    folder = project / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20260101000000_one.sql").write_text("create table one (x int);")
    (project / ".env").write_text("OUTLAST_SYNC_WAIT_S=5\n")
    with logging_host(project, "--reload") as log:
        until(lambda: "applied 20260101000000_one.sql" in log.read_text(), "the first")
        own = [
            line for line in log.read_text().splitlines() if " files, 20261122000001_outlast.sql to " in line
        ]
        assert len(own) == 1
        until(lambda: "there are no functions in" in log.read_text(), "the hint")
        (folder / "20260102000000_two.sql").write_text("create table two (x int);")
        (project / ".env").write_text("OUTLAST_SYNC_WAIT_S=6\n")
        until(lambda: "applied 20260102000000_two.sql" in log.read_text(), "the second")
        until(lambda: "OUTLAST_SYNC_WAIT_S changed" in log.read_text(), "the setting")
        (folder / "20260103000000_bad.sql").write_text("create tabel three;")
        until(lambda: "20260103000000_bad.sql failed" in log.read_text(), "the bad one")
        assert log.read_text().count("applied 20260102000000_two.sql") == 1


@pytest.mark.slow
def test_a_schema_that_is_newer_is_told(outlast: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    outlast("db", "migrate")
    statement = "insert into outlast.schema_migrations (version) values ('29990101000000')"
    done = outlast("db", "psql", "-c", statement)
    assert done.status == 0, done.err
    ran = outlast("db", "status", "--json")
    assert "warning: the database has migrations that this version of outlast doesn't know" in ran.err
    newer = json.loads(ran.out)["migrations"][-1]
    assert newer == {"version": "29990101000000", "name": None, "applied": True}
    with logging_host(project) as log:
        until(lambda: "doesn't know (29990101000000)" in log.read_text(), "the line")
        found = re.search(r"http://\S+:\d+", log.read_text())
        assert found is not None
        until(lambda: httpx.get(f"{found[0]}/readyz").status_code == 200, "an older version serves")


def test_a_wrong_password_has_its_remedy() -> None:
    from outlast.cli.main import _describe_error
    from outlast.core.ports import Unreachable

    _, message, _, _ = _describe_error(Unreachable('password authentication failed for user "postgres"'))
    assert "remedy: set the right user and password in SUPABASE_DB_URL" in message
