"""Deploys as tests make them: hosts of several codes over one database, old and new at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from tests.hosts import Host, Hosts, until

SETTINGS: dict[str, Any] = {"moment_s": 0.05, "lease_ttl_s": 3, "unserved_s": 1}
LIMIT_S = 90.0


class Deploys:
    """Hosts of several codes over one database."""

    def __init__(self, tmp_path: Path, database: str) -> None:
        self.folder, self.database = tmp_path, database
        self._hosts: list[Hosts] = []

    def deploy(self, files: Mapping[str, str], *options: str) -> Host:
        """A host that serves these files, once it takes calls."""
        folder = self.folder / f"functions-{len(self._hosts)}"
        folder.mkdir()
        for name, code in files.items():
            (folder / name).write_text(code)
        self._hosts.append(hosts := Hosts(self.folder, folder, self.database))
        return hosts.start(*options, **SETTINGS)

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), values)
            return [] if cursor.description is None else cursor.fetchall()

    def send(self, workflow_id: str) -> None:
        """Let a workflow that waits for `go` go on."""
        self.sql("select outlast.send(%s, '\"go\"'::json, 'go')", workflow_id)

    def until_waiting(self, count: int) -> None:
        """Wait until so many workflows wait for a message or an end."""
        query = "select count(*) from outlast.workflow_status where awaits is not null"
        until(lambda: self.sql(query)[0][0] == count, f"{count} that wait", LIMIT_S)

    def close(self) -> None:
        """End them all."""
        for each in self._hosts:
            each.close()
