"""`outlast db wake`: a URL is asked for exactly when there is work and nobody to do it.

pg_cron is the real one where the test says so; pg_net is a stand-in everywhere.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from outlast.store.connections import Database
from outlast.store.migrations import migrate
from outlast.store.project import apply_project
from outlast.store.wake import BadWakeUrl, wake_migration
from tests.callers import one, start
from tests.cron import NET, CronServer, programs
from tests.hosts import Hosts, until
from tests.own_extension import server_with
from tests.supabase_cli import assert_done, needs_cli, supabase

HOST = "https://outlast.example.com"
LOOK = "select outlast.wake_host()"
CRON = """
create schema cron;
create table cron.job (jobname text primary key, schedule text, command text);
create function cron.schedule(text, text, text) returns bigint language sql as $$
  insert into cron.job values ($1, $2, $3)
  on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command
  returning 1::bigint
$$;
"""


@pytest.fixture
def bare(supabase_database: str) -> Iterator[Connection[Any]]:
    """A database without pg_cron and pg_net."""
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def connection(bare: Connection[Any]) -> Connection[Any]:
    """One with stand-ins for both, to which the migration was applied."""
    bare.execute((CRON + NET).encode())
    bare.execute(wake_migration(HOST, 30).encode())
    return bare


def asked(connection: Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute("select url, timeout_milliseconds from net.asked order by id").fetchall()


def looks(connection: Connection[Any]) -> bool:
    """Let the job run; whether it asked for the URL."""
    before = len(asked(connection))
    told = one(connection, LOOK)
    assert len(asked(connection)) == before + told
    return bool(told)


def lease(connection: Connection[Any], instance: str, left: str) -> None:
    connection.execute(
        "insert into outlast.instances (instance_id, lease_until) values (%s, now() + %s::interval) "
        "on conflict (instance_id) do update set lease_until = excluded.lease_until",
        (instance, left),
    )


def the_pause_is_over(connection: Connection[Any]) -> None:
    connection.execute("update outlast.wake set next_at = now() where next_at > now()")


# --- when ---------------------------------------------------------------------------------------------


def test_nothing_to_do_asks_nobody(connection: Connection[Any]) -> None:
    assert not looks(connection)
    start(connection, key="done")
    connection.execute("update outlast.workflow_status set status = 'SUCCESS', claimable_at = null")
    start(connection, key="sleeps")
    connection.execute(
        "update outlast.workflow_status set claimable_at = now() + '1 hour' where workflow_id = 'f:sleeps'"
    )
    assert not looks(connection)


def test_due_work_asks_when_no_instance_is_alive(connection: Connection[Any]) -> None:
    start(connection)
    lease(connection, "alive", "5 seconds")
    assert not looks(connection)
    lease(connection, "alive", "-1 second")
    assert looks(connection)
    assert asked(connection) == [(f"{HOST}/healthz", 5000)]


def test_a_message_that_is_not_delivered_asks(connection: Connection[Any]) -> None:
    start(connection, key="waits")
    connection.execute(
        "update outlast.workflow_status set status = 'PENDING', claimable_at = now() + '1 day'"
    )
    assert not looks(connection)
    connection.execute("select outlast.send('f:waits', '\"yes\"')")
    assert looks(connection)
    connection.execute("update outlast.messages set number = 1")
    the_pause_is_over(connection)
    assert not looks(connection)


def test_a_bulk_asks_until_it_is_over(connection: Connection[Any]) -> None:
    start(connection, key="bulk")
    connection.execute("update outlast.workflow_status set status = 'PENDING', claimable_at = null")
    connection.execute(
        "insert into outlast.bulks (bulk_id, verb, arguments, filter, rate, by) "
        "values ('f:bulk', 'cancel', '{}', '{}', 10, 'ann')"
    )
    assert looks(connection)
    connection.execute("update outlast.bulks set over = true")
    the_pause_is_over(connection)
    assert not looks(connection)


def test_a_schedule_that_is_due_asks(connection: Connection[Any]) -> None:
    connection.execute("select outlast.schedule('report', 'f', '@daily')")
    assert looks(connection)  # its first time isn't known yet
    the_pause_is_over(connection)
    connection.execute("update outlast.schedules set next_at = now() + interval '1 hour'")
    assert not looks(connection)
    connection.execute("update outlast.schedules set next_at = now() - interval '1 second'")
    assert looks(connection)
    the_pause_is_over(connection)
    connection.execute("select outlast.pause_schedule('report')")
    assert not looks(connection)
    connection.execute("select outlast.resume_schedule('report')")
    assert looks(connection)


def test_a_schedule_that_a_live_instance_has_left_asks_nobody(connection: Connection[Any]) -> None:
    connection.execute("select outlast.schedule('report', 'f', '@daily')")
    connection.execute("update outlast.schedules set next_at = now() - interval '1 second'")
    lease(connection, "alive", "5 seconds")
    assert not looks(connection)
    lease(connection, "alive", "-1 second")
    assert not looks(connection)


@pytest.mark.parametrize("row", ["-1 second", "-infinity", None], ids=["lost", "left", "forgotten"])
def test_abandoned_work_asks(connection: Connection[Any], row: str | None) -> None:
    start(connection)
    connection.execute(
        "update outlast.workflow_status set owner = 'me', claimable_at = null, status = 'PENDING'"
    )
    lease(connection, "me", "5 seconds")
    assert not looks(connection)
    if row is None:
        connection.execute("delete from outlast.instances")
    else:
        lease(connection, "me", row)
    lease(connection, "another", "5 seconds")
    assert not looks(connection)  # which recovers it
    lease(connection, "another", "-1 second")
    assert looks(connection)


def test_it_is_not_asked_again_while_it_comes_up_and_ever_later_if_it_does_not(
    connection: Connection[Any],
) -> None:
    start(connection)
    pauses = []
    for _ in range(6):
        assert looks(connection)
        assert not looks(connection)
        query = "select extract(epoch from next_at - now())::float8 from outlast.wake"
        pauses.append(round(one(connection, query) / 50))
        the_pause_is_over(connection)
    assert pauses == [1, 2, 4, 8, 16, 16]


def test_when_all_is_done_it_forgets_that_it_tried(connection: Connection[Any]) -> None:
    workflow_id = start(connection)
    assert looks(connection)
    assert one(connection, "select outlast.cancel(%s)", workflow_id)
    assert not looks(connection)
    start(connection)
    assert looks(connection)


def lives_and_goes(connection: Connection[Any]) -> None:
    """The host comes between two looks, as it may, and scales to zero again."""
    connection.execute("delete from outlast.instances")
    lease(connection, "me", "-infinity")


def test_who_came_has_answered_and_is_asked_at_once_for_what_is_due_next(connection: Connection[Any]) -> None:
    for _ in range(6):
        workflow_id = start(connection)
        assert looks(connection)
        lives_and_goes(connection)
        assert one(connection, "select outlast.cancel(%s)", workflow_id)


def test_work_that_instances_leave_delays_nothing_else_and_wakes_ever_more_rarely(
    connection: Connection[Any],
) -> None:
    """A function of no file: the host comes, leaves it, and goes."""
    start(connection, "of_no_file")
    assert looks(connection)
    pauses = []
    for _ in range(9):
        lives_and_goes(connection)
        assert looks(connection)
        assert not looks(connection)
        query = "select extract(epoch from left_next_at - now())::float8 from outlast.wake"
        pauses.append(round(one(connection, query) / 50))
        # Other work meanwhile: each time at once.
        workflow_id = start(connection)
        assert looks(connection)
        lives_and_goes(connection)
        assert one(connection, "select outlast.cancel(%s)", workflow_id)
        assert not looks(connection)
        connection.execute("update outlast.wake set left_next_at = now()")
    assert pauses == [1, 4, 16, 64, 256, 1024, 1728, 1728, 1728]


def test_work_that_was_left_for_a_week_wakes_nobody(connection: Connection[Any]) -> None:
    start(connection, "of_no_file")
    lives_and_goes(connection)
    connection.execute("update outlast.workflow_status set claimable_at = now() - interval '8 days'")
    assert not looks(connection)
    start(connection)
    assert looks(connection)


def test_what_was_due_for_long_and_nobody_has_seen_wakes(connection: Connection[Any]) -> None:
    start(connection)
    connection.execute("update outlast.workflow_status set claimable_at = now() - interval '30 days'")
    assert looks(connection)


def test_nobody_else_may_run_it_or_see_the_url(connection: Connection[Any]) -> None:
    for role in ("anon", "authenticated", "service_role"):
        connection.execute(f"set role {role}".encode())
        for query in (LOOK, "select * from outlast.wake"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(query.encode())
        connection.execute("reset role")


# --- the migration ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every_s", "schedule"),
    [(5, "* * * * *"), (60, "* * * * *"), (119, "* * * * *"), (120, "*/2 * * * *"), (3540, "*/59 * * * *")],
)
def test_an_older_pg_cron_looks_each_minute(connection: Connection[Any], every_s: int, schedule: str) -> None:
    connection.execute(wake_migration(HOST, every_s).encode())
    expected = [("outlast-wake", schedule, LOOK)]
    assert connection.execute("select * from cron.job").fetchall() == expected


def test_a_second_run_changes_nothing_and_another_url_is_taken(connection: Connection[Any]) -> None:
    start(connection)
    connection.execute(wake_migration(HOST, 30).encode())
    connection.execute(wake_migration("http://localhost:8000/base/", 30).encode())
    assert looks(connection)
    assert asked(connection) == [("http://localhost:8000/base/healthz", 5000)]
    assert one(connection, "select count(*) from cron.job") == 1


def test_what_undoes_it_leaves_nothing(connection: Connection[Any]) -> None:
    lines = wake_migration(HOST, 30).splitlines()
    undo = [line.removeprefix("--   ") for line in lines if line.startswith("--   ")]
    connection.execute("create function cron.unschedule(text) returns boolean language sql as "
                       "$$ delete from cron.job where jobname = $1 returning true $$")  # fmt: skip
    connection.execute("\n".join(undo).encode())
    query = "select to_regclass('outlast.wake') is null and to_regproc('outlast.wake_host') is null"
    assert one(connection, query)
    assert one(connection, "select count(*) from cron.job") == 0


@pytest.mark.parametrize("there", ["", CRON, NET], ids=["neither", "no pg_net", "no pg_cron"])
def test_without_the_extensions_it_fails_and_says_so(bare: Connection[Any], there: str) -> None:
    if there:
        bare.execute(there.encode())
    with pytest.raises(errors.RaiseException, match="pg_cron and pg_net"), bare.transaction():
        bare.execute(wake_migration(HOST, 30).encode())
    assert one(bare, "select to_regclass('outlast.wake') is null")


def test_without_our_schema_it_says_so(empty_database: str) -> None:
    with (
        psycopg.connect(empty_database) as connection,
        pytest.raises(errors.RaiseException, match="schema of Outlast is missing"),
    ):
        connection.execute(wake_migration(HOST, 30).encode())


async def test_the_embedded_database_does_without(database: str, tmp_path: Path) -> None:
    """A project that wakes its host in production still runs on a developer's machine."""
    (tmp_path / "migrations").mkdir()
    name = "20270101000000_outlast_wake.sql"
    (tmp_path / "migrations" / name).write_text(wake_migration(HOST, 30))
    assert await apply_project(Database.at(database, "tests"), tmp_path) == [name]


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "http://10.0.0.1", "http://localhost.example.com", "ftp://example.com",
     "example.com", "", "https://", "https:///healthz", "https://user:secret@example.com", "https://example.com?key=secret",
     "https://example.com#x", "https://example.com/'; drop schema outlast; --", "https://example.com/\n",
     "https://example.com/{{every_s}}", "https://exämple.com", "https://[", "https://example.com:x",
     "https://example.com/" + "x" * 2000, r"https://example.com/\'"],
)  # fmt: skip
def test_urls_that_are_none_of_a_host(url: str) -> None:
    with pytest.raises(BadWakeUrl):
        wake_migration(url, 30)


@pytest.mark.parametrize(
    "url",
    ["https://example.com", "https://example.com:8443/", "https://example.com/base%20path", "http://127.0.0.1:8000",
     "http://[::1]:8000", "http://host.docker.internal:8000", "http://app.localhost"],
)  # fmt: skip
def test_urls_of_hosts(url: str) -> None:
    assert f"values ('{url.rstrip('/')}')" in wake_migration(url, 30)


# --- with pg_cron itself ------------------------------------------------------------------------------


def urls(cron: CronServer) -> list[str]:
    return [url for (url,) in cron.rows("select url from net.asked")]


def test_pg_cron_wakes_a_stand_in_of_pg_net_exactly_when_work_waits_and_nobody_lives(
    cron: CronServer, cron_hosts: Hosts
) -> None:
    cron.rows(wake_migration(HOST, 30))
    # Which depends on the version of pg_cron: see the next test.
    schedules = ("* * * * *", "30 seconds")
    assert cron.rows("select jobname, schedule in (%s, %s), command from cron.job", *schedules) == [
        ("outlast-wake", True, LOOK)
    ]
    cron.reboot(LOOK)
    assert urls(cron) == []
    cron.rows("select outlast.start('welcome/report', idempotency_key => 'k')")
    cron.reboot(LOOK)
    assert urls(cron) == [f"{HOST}/healthz"]
    cron_hosts.start()  # as the platform would do, asked for that URL
    status = "select status from outlast.workflow_status"
    until(lambda: cron.rows(status) == [("SUCCESS",)], "the report")
    cron.rows("select outlast.start('of_no_file')")
    cron.rows("update outlast.wake set next_at = '-infinity', left_next_at = '-infinity'")
    cron.reboot(LOOK)
    assert urls(cron) == [f"{HOST}/healthz"]


@pytest.mark.parametrize("project", [True, False], ids=["of Supabase", "without that schema"])
def test_the_migration_creates_pg_net_where_supabase_has_it(project: bool) -> None:
    """Its own extension can't be had; `create extension` is the server's, which has one of that name."""
    found = programs()
    if found is None:
        pytest.skip("pg_cron is not installed (Debian: postgresql-15-cron)")
    with tempfile.TemporaryDirectory(prefix="outlast-net-") as folder:
        Path(folder).chmod(0o755)
        server = CronServer(server_with("pg_net", NET, found, Path(folder)))
        try:
            server.start()
            if project:
                server.rows("create schema extensions")
            server.rows("create extension pg_cron")
            asyncio.run(migrate(Database.at(server.url, "tests")))
            for _ in range(2):
                server.rows(wake_migration(HOST, 30))
            where = "select extnamespace::regnamespace::text from pg_extension where extname = 'pg_net'"
            assert server.rows(where) == [("extensions" if project else "public",)]
            assert server.rows("select count(*) from cron.job") == [(1,)]
        finally:
            server.close()


def test_a_newer_pg_cron_is_asked_for_seconds(cron: CronServer) -> None:
    """Only the one that is here is to be had, which says that it doesn't know them."""
    (version,) = cron.rows("select extversion from pg_extension where extname = 'pg_cron'")
    if version >= ("1.5",):
        cron.rows(wake_migration(HOST, 30))
        assert cron.rows("select schedule from cron.job") == [("30 seconds",)]
        return
    cron.rows("update pg_extension set extversion = '1.10' where extname = 'pg_cron'")
    with pytest.raises(psycopg.Error, match="30 seconds"):
        cron.rows(wake_migration(HOST, 30))


@pytest.mark.long
@pytest.mark.timeout(150)
def test_pg_cron_wakes_a_stand_in_of_pg_net_by_its_own_schedule(cron: CronServer) -> None:
    cron.rows(wake_migration(HOST, 30))
    cron.rows("select outlast.start('welcome/report')")
    until(lambda: urls(cron) == [f"{HOST}/healthz"], "the minute", limit_s=100)


@needs_cli
@pytest.mark.slow
def test_the_supabase_cli_pushes_it(cron: CronServer, tmp_path: Path) -> None:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20270101000000_outlast_wake.sql").write_text(wake_migration(HOST, 30))
    for _ in range(2):
        assert_done(supabase(tmp_path, "db", "push", "--yes", f"--remote={cron.url}"))
    assert cron.rows("select jobname, command from cron.job") == [("outlast-wake", LOOK)]
