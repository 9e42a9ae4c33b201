"""A real host under attack: what it logs, what it leaves in the database, what it holds of the system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.databases import new_database
from tests.hosts import LIMIT_S, NO_CERTIFICATES, SECRET, Host, Hosts, until

COMPLAINTS = (
    "Traceback", "ASGI callable", "Task was destroyed", "never retrieved", "never awaited", "internal_error",
)  # fmt: skip
"""What no log may hold of what callers do."""


class Target:
    """A host, its database and its log."""

    def __init__(self, hosts: Hosts, database: str, options: tuple[str, ...], settings: dict[str, Any]):
        self.database = database
        self.hosts = hosts
        self.host: Host = hosts.start(*options, **settings)
        self.url = self.host.url
        self.client = httpx.Client(
            base_url=self.url, headers={"apikey": SECRET}, timeout=LIMIT_S, verify=NO_CERTIFICATES
        )

    def call(self, function: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST JSON to a function."""
        key = options.pop("key", None)
        prefer = options.pop("prefer", None)
        headers = {name: value for name, value in (("idempotency-key", key), ("prefer", prefer)) if value}
        timeout = options.pop("timeout", LIMIT_S)
        path = f"/functions/v1/{function}"
        return self.client.post(path, json={} if body is None else body, headers=headers, timeout=timeout)

    def said(self) -> str:
        """All that it logged."""
        return self.host.said()

    def until_said(self, text: str, limit_s: float = LIMIT_S) -> str:
        """Wait for a line with `text`; the first such line."""
        until(lambda: text in self.said(), f"{text!r} in the log:\n{self.said()[-3000:]}", limit_s)
        return next(line for line in self.said().splitlines() if text in line)

    def query(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the database says."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> int:
        """How many workflows there are."""
        return int(self.query("select count(*) from outlast.workflow_status")[0][0])

    def status(self, workflow_id: str) -> str:
        """How a workflow stands."""
        found = self.query("select status from outlast.workflow_status where workflow_id = %s", workflow_id)
        return str(found[0][0]) if found else "missing"

    def until_status(self, workflow_id: str, status: str, limit_s: float = LIMIT_S) -> None:
        """Wait until a workflow stands so."""
        until(lambda: self.status(workflow_id) == status, f"{workflow_id} to be {status}", limit_s)

    def memory_mb(self) -> float:
        """What its process holds now."""
        lines = Path(f"/proc/{self.host.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.host.pid}/fd").iterdir()))

    def close(self) -> None:
        """End it, with all its children."""
        self.client.close()
        self.hosts.close()


@contextmanager
def serve(postgres: str, folder: Path, functions: Path, *options: str, **settings: Any) -> Iterator[Target]:
    """A host on a database of its own, for as long as it is used."""
    with new_database(postgres) as database:
        hosts = Hosts(folder, functions, database)
        try:
            # Of every request that it refuses the log would have a line.
            target = Target(hosts, database, options, {"request_log": "off", **settings})
            yield target
            target.client.close()
        finally:
            hosts.close()


def complaints(log: str) -> list[str]:
    """What of a log must not be there."""
    return [line for line in log.splitlines() if any(each in line for each in COMPLAINTS)]
