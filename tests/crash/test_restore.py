"""docs/operations.md: a backup taken while work runs, restored later; what runs again, and what doesn't."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from outlast.host.embedded.binaries import locate
from tests.crash.conftest import Query, query_on
from tests.databases import EMPTY, new_database
from tests.hosts import Host, Hosts, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (locate().programs / "pg_dump").exists() and shutil.which("pg_dump") is None,
        reason="there is no pg_dump",
    ),
]
PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
ENDED = "select workflow_id, status, output from outlast.workflow_status"
LIVE = "select 1 from outlast.workflow_status where status in ('ENQUEUED', 'PENDING')"


def printed(command: str) -> str:
    """The line of the page that begins so."""
    (line,) = [each for each in PAGE.splitlines() if each.startswith(command)]
    return line


def run_printed(command: str, folder: Path, url: str) -> None:
    """Run a line of the page as it stands there."""
    programs = f"{locate().programs}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": programs, "SUPABASE_DB_URL": url}
    done = subprocess.run(
        ["sh", "-c", printed(command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


class Load(threading.Thread):
    """Starts one workflow after the other until it is told to stop."""

    def __init__(self, host: Host) -> None:
        super().__init__(daemon=True)
        self._host = host
        self._over = threading.Event()
        self.started = 0

    def run(self) -> None:
        while not self._over.is_set():
            self._host.begin("story", f"load{self.started}")
            self.started += 1

    def stop(self) -> None:
        self._over.set()
        self.join(20)


def test_what_ran_at_the_backup_goes_on_from_its_records(
    hosts: Hosts, postgres: str, database: str, query: Query, tmp_path: Path
) -> None:
    host = hosts.start()
    assert host.call("story", "ended").status_code == 200
    host.begin("holding", "held", gate="gate")
    host.begin("pausing", "asleep", pause_s=3.0)
    until(lambda: hosts.witnessed("hold held") and hosts.witnessed("first asleep"), "what is under way")
    load = Load(host)
    load.start()
    until(lambda: load.started > 20, "work")
    run_printed("pg_dump ", tmp_path, database)
    at_backup = load.started
    until(lambda: load.started > at_backup + 20, "what comes after it")
    load.stop()
    hosts.open_gate("gate")
    until(lambda: not query(LIVE), "the end of all")
    late = host.begin("story", "late")
    host.kill()
    before = Counter(hosts.testimony())

    with new_database(postgres, EMPTY) as restored:
        run_printed("pg_restore ", tmp_path, restored)
        ask = query_on(restored)
        under_way = {row["workflow_id"] for row in ask(LIVE.replace("select 1", "select workflow_id"))}
        assert {"proof/holding:held", "proof/pausing:asleep"} <= under_way
        recorded = (
            "select workflow_id, name from outlast.operation_outputs where completion_order is not null"
        )
        assert {"workflow_id": "proof/pausing:asleep", "name": "first"} in ask(recorded)
        other = hosts.start(database=restored)
        until(lambda: not ask(LIVE), "the end of what was under way")
        rows = {row["workflow_id"]: row["status"] for row in ask(ENDED)}
        assert set(rows.values()) == {"SUCCESS"}
        # Transactions came back with their records: each effect is there once.
        paid = Counter(row["key"] for row in ask("select key from effects"))
        stories = {each.rpartition(":")[2] for each in rows if ":" in each and "story" in each}
        assert paid == Counter(dict.fromkeys(stories, 1))
        # What was recorded by then did not run again. The rest did: the outside world sees it twice.
        again = Counter(hosts.testimony()) - before
        assert not [each for each in again if each.split()[1] == "ended"]
        assert hosts.witnessed("first asleep") == 1
        assert hosts.witnessed("hold held") == 2
        # A call that came after the backup is unknown: made again, it runs again.
        assert late not in rows
        answer = other.call("story", "late")
        assert (answer.status_code, answer.headers["idempotency-replayed"]) == (200, "false")
        # One from before it is not.
        assert other.call("story", "ended").headers["idempotency-replayed"] == "true"
