"""DBOS Transact behind FastAPI and uvicorn, its workflow id taken from the Idempotency-Key."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from psycopg.conninfo import conninfo_to_dict

from benchmarks.contenders.contender import Site
from benchmarks.contenders.peers_venv import PYTHON, python_of_peers
from benchmarks.harness.driving import Call
from benchmarks.harness.processes import Server, free_port, spawn, stopping

APP = Path(__file__).parents[1] / "apps" / "dbos_app.py"


class Dbos:
    """One of its ways: sync or async functions, on all cores or pinned to one."""

    warm_calls = 300

    def __init__(self, kind: Literal["sync", "async"] = "sync", *, pinned: bool = False) -> None:
        self._kind = kind
        self._pinned = pinned
        self.name = f"dbos-{kind}" + ("-pinned" if pinned else "")
        self.title = f"DBOS ({kind}{', one core' if pinned else ''})"

    def absent(self) -> str | None:
        """Without its environment."""
        if self._pinned and shutil.which("taskset") is None:
            return "taskset is missing"
        return python_of_peers()

    def launch(self, site: Site, database: str, env: dict[str, str] | None = None) -> Server:
        """Start the process; it may not answer yet."""
        port = free_port()
        command = [str(PYTHON), str(APP), str(port), sqlalchemy_url(database), self._kind]
        if self._pinned:
            command = ["taskset", "-c", "0", *command]
        return spawn(self.name, command, port, site.log(self.name), env=env)

    @contextlib.contextmanager
    def serve(self, site: Site, **options: Any) -> Iterator[Server]:
        """See Contender."""
        database = options.get("database") or site.database("dbos", migrated=False)
        with stopping(self.launch(site, database, options.get("env"))) as server:
            yield server

    def call(self, steps: int, **more: Any) -> Call:
        """See Contender."""
        return Call("/steps", {"n": steps, **more})

    def call_async(self, body: dict[str, Any]) -> Call:
        """A call that is answered as soon as the workflow is started."""
        return Call("/start", body, status=202)


def sqlalchemy_url(database: str) -> str:
    """SQLAlchemy takes URLs alone."""
    given = conninfo_to_dict(database)
    return f"postgresql://{given['user']}@/{given['dbname']}?host={given['host']}&port={given['port']}"
