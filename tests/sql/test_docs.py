"""docs/sql.md: its statements run as printed, one after the other, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from outlast.store.wake import wake_migration
from tests.cron import CronServer
from tests.hosts import Hosts, until

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
STARTED = """
select workflow_id, status, output from outlast.workflows where workflow_id like '%:welcome-%' order by 1
"""
GRACE = "welcome:welcome-7d0c8b62-0a48-4a4e-9b7e-2a8f0d0e6c11"


def test_the_page_as_printed(supabase_database: str, hosts: Hosts) -> None:
    blocks = [each for each in BLOCKS if "cron." not in each]
    assert len(blocks) == len(BLOCKS) - 2
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        for block in blocks:
            connection.execute(block.encode())
        assert connection.execute(STARTED.encode()).fetchall()[1] == (
            "welcome:welcome-ada",
            "CANCELLED",
            None,
        )
        assert connection.execute("select count(*) from my_workflows").fetchone() == (3,)
        hosts.start()
        expected = (GRACE, "SUCCESS", "welcome, grace@example.com")
        until(lambda: connection.execute(STARTED.encode()).fetchall()[0] == expected, "the welcome")


def test_what_it_says_of_cron_with_pg_cron_and_a_stand_in_of_pg_net(cron: CronServer) -> None:
    cron.rows(wake_migration("https://outlast.example.com", 30))
    schedule, undo = (each for each in BLOCKS if "cron." in each)
    cron.rows(schedule)
    assert cron.rows("select jobname from cron.job order by 1") == [("outlast-wake",), ("report",)]
    ((command,),) = cron.rows("select command from cron.job where jobname = 'report'")
    cron.reboot(command)
    assert cron.rows(
        "select workflow_id = 'welcome/report:report-' || current_date from outlast.workflows"
    ) == [(True,)]
    for statement in undo.split(";")[:-1]:
        cron.rows(statement)
    assert cron.rows("select jobname from cron.job") == [("report",)]
