"""`outlast check --replay` and `outlast workflows export`, as processes on a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL

from outlast.store.migrations import migrations
from tests.crash.test_rolling import RIGHT, WRONG
from tests.hosts import SECRET, Hosts, ask, until

TALKS = """
print("imported")
from outlast import workflow

@workflow(aliases=["former"])
async def talks() -> str:
    print("a body")
    return "said"
"""
pytestmark = [pytest.mark.slow, pytest.mark.postgres]


def run(tmp_path: Path, database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("OUTLAST_", "SUPABASE_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "outlast", *arguments], env={**env, "SUPABASE_DB_URL": database}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_what_runs_is_replayed_against_a_folder(database: str, tmp_path: Path) -> None:
    for name, code in (("right", RIGHT), ("wrong", WRONG)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "order.py").write_text(code)
    hosts = Hosts(tmp_path, tmp_path / "right")
    try:
        host = hosts.start(database=database)
        empty = run(tmp_path, database, "check", "--replay", "--functions", "right")
        assert (empty.returncode, "nothing was checked" in empty.stderr) == (2, True)
        url = f"{host.url}/functions/v1/order"
        headers = {"apikey": SECRET, "idempotency-key": "a", "prefer": "respond-async"}
        assert ask("POST", url, json={"number": 1}, headers=headers).status_code == 202
        path = f"{host.url}/workflows/v1/order:a/steps"
        until(lambda: "charge" in ask("GET", path, headers={"apikey": SECRET}).text)
        fits = run(tmp_path, database, "check", "--replay", "--functions", "right")
        assert (fits.returncode, fits.stdout) == (0, "1 histories, 0 diverge\n"), fits
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "talks.py").write_text(TALKS)
        lost = run(tmp_path, database, "check", "--replay", "--functions", "other", "--json")
        (told,) = json.loads(lost.stdout)["diverging"]
        assert (lost.returncode, told["function"], told["served"]) == (1, "order", False)
        assert told["message"].startswith("this folder serves no order: deploy its file")
        exported = run(tmp_path, database, "workflows", "export", "--redact")
        (line,) = exported.stdout.splitlines()
        assert json.loads(line)["workflow_status"]["request"] is None
        (tmp_path / "histories.jsonl").write_text(exported.stdout)
    finally:
        hosts.close()
    for source in ([], ["--from", "histories.jsonl"]):
        differs = run(tmp_path, database, "check", "--replay", "--functions", "wrong", *source)
        assert differs.returncode == 1, differs
        assert "recorded: step charge" in differs.stdout
        assert "called:   step ship  (wrong/order.py:14)" in differs.stdout
        assert 'if patched("use-ship")' in differs.stdout


def test_what_bodies_print_is_no_part_of_the_answer(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "talks.py").write_text(TALKS)
    lines = []
    for function, status in (("talks", "SUCCESS"), ("former", "PENDING"), ("gone", "SUCCESS")):
        row = {"workflow_id": function, "function": function, "status": status, "input": {}, "output": "said",
               "created_at": "2026-11-29T06:00:00+00:00"}  # fmt: skip
        lines.append(json.dumps({"workflow_status": row, "operation_outputs": []}))
    (tmp_path / "histories.jsonl").write_text("\n".join(lines))
    answer = run(tmp_path, "", "check", "--replay", "--json", "--from", "histories.jsonl")
    # Ended ones of a function that isn't there any more need no code.
    assert (answer.returncode, json.loads(answer.stdout)) == (0, {"checked": 2, "diverging": [], "passed": 1})
    assert "a body" in answer.stderr
    told = run(tmp_path, "", "check", "--replay", "--from", "histories.jsonl")
    assert "1 ended workflows of gone were passed by" in told.stderr


REPORT = """
from outlast import context, every, step, workflow

@step
async def send_report(day: str) -> str:
    return day

@workflow(schedule=every(days=1))
async def report() -> str:
    tick = context().tick
    return await send_report("now" if tick is None else tick.nominal.isoformat())
"""


def test_what_a_schedule_started_has_its_tick_in_a_replay(database: str, tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "report.py").write_text(REPORT)
    hosts = Hosts(tmp_path, tmp_path / "functions")
    try:
        host = hosts.start(database=database)
        headers = {"apikey": SECRET}
        answer = ask("POST", f"{host.url}/schedules/v1/report/trigger", json={}, headers=headers)
        path = f"{host.url}/workflows/v1/{answer.json()['workflow_id']}?wait=30"
        assert ask("GET", path, headers=headers).json()["status"] == "SUCCESS"
        (tmp_path / "histories.jsonl").write_text(run(tmp_path, database, "workflows", "export").stdout)
    finally:
        hosts.close()
    for source in ([], ["--from", "histories.jsonl"]):
        fits = run(tmp_path, database, "check", "--replay", *source)
        assert (fits.returncode, fits.stdout) == (0, "1 histories, 0 diverge\n"), fits


SETS = """
from outlast import step, workflow

@step
async def tell(name: str) -> str:
    return name

@workflow
async def order() -> None:
    for name in {"ada", "bob", "cem", "dora", "eve", "fay", "gus", "hal"}:
        await tell(name)
"""


def test_sets_have_the_order_of_the_hosts_in_a_replay(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "order.py").write_text(SETS)
    hosts = Hosts(tmp_path, tmp_path / "functions", seeded=False)
    try:
        host = hosts.start(database=database)
        url = f"{host.url}/functions/v1/order"
        assert ask("POST", url, json={}, headers={"apikey": SECRET}).status_code == 200
    finally:
        hosts.close()
    fits = run(tmp_path, database, "check", "--replay")
    assert (fits.returncode, fits.stdout) == (0, "1 histories, 0 diverge\n"), fits


OPEN = """
    insert into outlast.workflow_status (workflow_id, function, status, epoch, input)
    select 'order:' || n, 'order', 'PENDING', 1, '{"number": 1}' from unnest(array['a', 'b']) as n;
    insert into outlast.operation_outputs (
      workflow_id, step_id, name, kind, output, attempts, started_at, completed_at, completion_order)
    values ('order:a', '1', 'charge', 'step', '"charged 1"', 1, now(), now(), 1)
"""


def test_code_is_replayed_before_the_schema_of_its_outlast_is_there(
    empty_database: str, tmp_path: Path
) -> None:
    """As before a deploy of a newer version: whoever has the older one still serves."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for migration in migrations():
            if migration.version < "20261129030000":
                connection.execute(SQL(migration.text()))
        connection.execute(SQL(OPEN))
    for name, code in (("right", RIGHT), ("wrong", WRONG)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "order.py").write_text(code)
    fits = run(tmp_path, empty_database, "check", "--replay", "--functions", "right")
    assert (fits.returncode, fits.stdout) == (0, "2 histories, 0 diverge\n"), fits
    differs = run(tmp_path, empty_database, "check", "--replay", "--functions", "wrong")
    assert (differs.returncode, "2 histories, 1 diverge" in differs.stdout) == (1, True), differs
    exported = run(tmp_path, empty_database, "workflows", "export")
    assert len(exported.stdout.splitlines()) == 2, exported
    for more in ([], ["--dry-run"]):
        pruned = run(tmp_path, empty_database, "db", "prune", *more)
        assert pruned.returncode == 1
        assert "the first is 20261129030000_sagas.sql: run `outlast db migrate`" in pruned.stderr
