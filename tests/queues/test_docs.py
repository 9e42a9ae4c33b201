"""docs/queues.md: its SQL runs as printed, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from tests.cron import NET, CronServer, programs
from tests.hosts import Hosts, until
from tests.queues.conftest import PGMQ

PAGE = (
    (Path(__file__).parents[2] / "docs" / "queues.md").read_text("utf-8").partition("## Supabase Queues")[2]
)
CREATE, SEND, LOOK, WAKE = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_as_printed(queue_database: str, hosts: Hosts) -> None:
    with psycopg.connect(queue_database, autocommit=True) as connection:
        connection.execute("select pgmq.drop_queue('orders')")
        hosts.start()
        connection.execute(CREATE.encode())
        connection.execute(SEND.encode())
        expected = [("pgmq:orders:1", "SUCCESS", "widget shipped")]
        until(lambda: connection.execute(LOOK.encode()).fetchall() == expected, "the workflow")


def test_what_it_says_of_waking_with_pg_cron_and_a_stand_in_of_pg_net() -> None:
    found = programs()
    if found is None or not PGMQ.exists():
        pytest.skip("SKIPPED LOUDLY: pg_cron or pgmq is not here")
    server = CronServer(found)
    try:
        server.start()
        server.rows("create extension pg_cron")
        server.rows(NET)
        server.rows(PGMQ.read_text())
        server.rows(CREATE)
        server.rows(WAKE)
        ((command,),) = server.rows("select command from cron.job where jobname = 'orders-wake'")
        server.rows(command)
        assert server.rows("select url from net.asked") == []
        server.rows(SEND)
        server.rows(command)
        assert server.rows("select url from net.asked") == [("https://YOUR_HOST/readyz",)]
    finally:
        server.close()
