"""Starting, sharing, stopping: what a host sees of the embedded Postgres."""

from __future__ import annotations

from pathlib import Path

import psycopg

from outlast.host.embedded import EmbeddedPostgres


def test_data_is_kept_between_runs(tmp_path: Path) -> None:
    home = tmp_path / ".outlast"
    with EmbeddedPostgres.start(home, durable=False) as server, psycopg.connect(server.url) as connection:
        connection.execute("create table kept as select 42 as answer")
    with EmbeddedPostgres.start(home, durable=False) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)
