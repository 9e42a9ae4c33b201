"""`outlast doctor`: each finding is provoked, and the remedy that it names is tried.

What takes a server or a machine of its own is in `test_doctor_of_servers.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from outlast.host.doctor.findings import BY_ID, KINDS, Finding, Kind
from outlast.host.doctor.of_database import Bounds, look_at_database
from outlast.host.doctor.of_host import look_at_host
from outlast.host.settings import Settings
from outlast.store.connections import Database
from outlast.store.doctor import Examined, expected_indexes
from tests.cli.conftest import Runs
from tests.cli.serving import serving
from tests.hosts import ask, until

FUNCTION = "from outlast import workflow\n\n\n@workflow\nasync def hello() -> int:\n    return 1\n"
ASKING = FUNCTION.replace("@workflow", '@workflow(auth="user")')
SECRET = "sb_secret_of_the_tests_0123456789"
LIVING = (
    "insert into outlast.instances (instance_id, lease_until, version, functions)"
    " values ('{0}', now() + interval '1 hour', '{1}', array['hello', 'f'])"
)
DUE = (
    "insert into outlast.workflow_status (workflow_id, function, status, claimable_at)"
    " values ('{0}', '{1}', 'PENDING', now() - interval '{2}')"
)


def doctor(database: str, bounds: Bounds | None = None, **settings: Any) -> list[Finding]:
    """What is found of a database."""
    given = Settings.load(**settings)
    at = Database.at(database, "outlast/tests")
    return asyncio.run(look_at_database(at, given, bounds or Bounds()))


def ids(findings: list[Finding]) -> set[str]:
    """Their kinds."""
    return {each.kind.id for each in findings}


def one(findings: list[Finding], kind: str) -> Finding:
    """The first of its kind."""
    assert kind in ids(findings), f"{kind} in {[each.row() for each in findings]}"
    return next(each for each in findings if each.kind.id == kind)


BOUNDS = Bounds()


@dataclass(frozen=True)
class Case:
    """How to provoke a finding by SQL, and what mends it, where the finding itself doesn't say it in SQL."""

    kind: str
    provoke: str
    mend: str = ""
    bounds: Bounds = BOUNDS


UNFIT = """
insert into outlast.queues (name, base) values ('mail', '{"key": "to"}');
select outlast.set_queue('mail', '{"start_within": 5, "per_key": 3}', by => 'ops');
update outlast.queues set base = '{"key": "to", "batch": {"n": 10, "wait": 5}}' where name = 'mail'
"""
"""A deploy makes batches, for which calls wait longer than an operator lets them."""

CASES = (
    Case("schema_newer", "insert into outlast.schema_migrations (version) values ('29990101000000')"),
    Case("index_missing", "drop index outlast.workflow_status_owned"),
    Case(
        "index_invalid",
        "update pg_index set indisvalid = false where indexrelid = 'outlast.workflow_status_owned'::regclass",
    ),
    Case("open_to_callers", "grant usage on schema outlast to anon;grant select on outlast.waits to anon"),
    Case("rows_unprotected", "alter table outlast.messages disable row level security"),
    Case(
        "autovacuum_off", "alter table outlast.messages set (autovacuum_enabled = false)"
    ),
    Case(
        "dead_rows",
        "alter table outlast.schedule_editions set (autovacuum_enabled = false);"
        "insert into outlast.schedule_editions (edition) select n::text from generate_series(1, 300) n;"
        "delete from outlast.schedule_editions",
        bounds=Bounds(dead_rows=200),
    ),
    Case("no_instance", DUE.format("w", "f", "1 hour"), LIVING.format("i", "1")),
    Case(
        "versions_mixed", f"{LIVING.format('old', '1')};{LIVING.format('new', '2')}",
        "update outlast.instances set lease_until = '-infinity' where instance_id = 'old'",
    ),
    Case(
        "function_unserved", f"{LIVING.format('i', '1')};{DUE.format('w', 'gone', '1 s')}",
        "update outlast.instances set functions = functions || array['gone']",
    ),
    Case(
        "overdue", f"{LIVING.format('i', '1')};{DUE.format('w', 'f', '1 hour')}",
        "select outlast.cancel('w')",
    ),
    Case(
        "orphaned",
        "insert into outlast.instances (instance_id, lease_until) values ('gone', now() - interval '1 hour');"
        "insert into outlast.workflow_status (workflow_id, function, status, owner)"
        " values ('w', 'f', 'PENDING', 'gone')",
    ),
    Case(
        "lost_often",
        "insert into outlast.workflow_status (workflow_id, function, status, claimable_at, recovery_attempts)"
        " values ('w', 'f', 'PENDING', now() + interval '1 hour', 3)",
        "select outlast.cancel('w')",
    ),
    Case(
        "exhausted",
        "insert into outlast.workflow_status (workflow_id, function, status, completed_at, error)"
        " values ('w', 'f', 'EXHAUSTED', now(), '{\"code\": \"recovery_exhausted\"}')",
        "update outlast.workflow_status set status = 'PENDING', completed_at = null,"
        " claimable_at = now() + interval '1 hour'",
    ),
    Case(
        "held",
        "insert into outlast.workflow_status (workflow_id, function, status, claimable_at, held)"
        " values ('w', 'f', 'PENDING', now(), json_build_object('reason', 'other_code', 'since', now()))",
        "update outlast.workflow_status set held = null, claimable_at = now() + interval '1 hour'",
    ),
    Case(
        "paused_long",
        "insert into outlast.workflow_status (workflow_id, function, status, claimable_at, held)"
        " values ('w', 'f', 'PENDING', now() + interval '1 hour',"
        " json_build_object('reason', 'paused', 'since', now() - interval '3 days'))",
        "select outlast.resume_workflow('w')",
    ),
    Case(
        "messages_undelivered",
        "insert into outlast.workflow_status (workflow_id, function, status, claimable_at)"
        " values ('w', 'f', 'PENDING', now() + interval '1 hour');"
        "insert into outlast.messages (workflow_id, topic, message, created_at)"
        " values ('w', '', '1', now() - interval '1 hour')",
        "update outlast.messages set number = 1",
    ),
    Case(
        "queue_paused", "insert into outlast.queues (name) values ('q'); select outlast.pause_queue('q')",
        "select outlast.resume_queue('q')",
    ),
    Case(
        "queue_key_paused",
        "insert into outlast.queues (name, base) values ('q', '{\"key\": \"k\", \"per_key\": 1}');"
        "insert into outlast.queue_keys (queue, key, paused_at, paused_by) values ('q', 'k', now(), 'me')",
        "delete from outlast.queue_keys",
    ),
    Case("queue_limit_unfit", UNFIT, "select outlast.set_queue('mail', '{\"start_within\": null}')"),
    Case(
        "queue_unknown",
        "insert into outlast.workflow_status (workflow_id, function, status, queue, queue_key, rank,"
        " claimable_at)"
        " values ('w', 'f', 'ENQUEUED', 'nobody', '', now(), now() + interval '1 hour')",
        "insert into outlast.queues (name) values ('nobody')",
    ),
    Case(
        "schedule_late",
        "insert into outlast.schedules (name, owner, function, cron, next_at)"
        " values ('s', 'code', 'f', '* * * * *', now() - interval '1 hour')",
        "update outlast.schedules set next_at = now() + interval '1 minute'",
    ),
    Case(
        "schedule_unusable",
        "insert into outlast.schedules (name, owner, function, cron, fault)"
        " values ('s', 'dynamic', 'f', '* * * * *', 'no such zone')",
        "delete from outlast.schedules",
    ),
    Case(
        "schedule_orphaned",
        "insert into outlast.schedules (name, owner, function, cron, orphaned_at)"
        " values ('s', 'code', 'f', '* * * * *', now())",
        "delete from outlast.schedules",
    ),
    Case(
        "schedule_paused",
        "insert into outlast.schedules (name, owner, function, cron, paused_at)"
        " values ('s', 'code', 'f', '* * * * *', now())",
        "update outlast.schedules set paused_at = null",
    ),
    Case(
        "kept_for_ever",
        "insert into outlast.workflow_status (workflow_id, function, status, completed_at)"
        " values ('w', 'f', 'SUCCESS', now() - interval '60 days')",
        "delete from outlast.workflow_status",
    ),
)  # fmt: skip


@contextlib.contextmanager
def connected(database: str) -> Iterator[Callable[[str], None]]:
    """Runs statements, one by one: some go into no transaction with others."""
    with psycopg.connect(database, autocommit=True) as connection:

        def run(text: str) -> None:
            for each in text.split(";"):
                connection.execute(each.encode())
            connection.execute(b"select pg_stat_force_next_flush()")

        yield run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_what_is_found_in_the_database_is_mended_by_its_remedy(supabase_database: str, case: Case) -> None:
    kept = {"retention_days": 0} if case.kind == "kept_for_ever" else {}
    assert case.kind not in ids(doctor(supabase_database, case.bounds, **kept))
    with connected(supabase_database) as run:
        run(case.provoke)
        found = one(doctor(supabase_database, case.bounds, **kept), case.kind)
        assert found.what
        assert found.remedy
        assert found.sql in found.remedy
        run(case.mend or found.sql)
    until(lambda: case.kind not in ids(doctor(supabase_database, case.bounds, **kept)), case.kind)


def test_what_no_longer_fits_what_code_says_names_who_set_it(database: str) -> None:
    with connected(database) as run:
        run(UNFIT)
    found = one(doctor(database), "queue_limit_unfit")
    assert found.what == (
        "what ops has set for the queue mail no longer fits what code says of it: "
        "start_within must be longer than the wait of batch, 5 s"
    )
    assert found.command == "queues set mail --start-within default"


def test_a_database_without_the_schema(empty_database: str, call: Runs) -> None:
    found = one(doctor(empty_database), "migrations_pending")
    assert call(*shlex.split(found.command), SUPABASE_DB_URL=empty_database).status == 0
    assert "migrations_pending" not in ids(doctor(empty_database))


def test_a_role_without_rights(database: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    role = f"poor_{name}"
    with connected(database) as run:
        run(f"create role {role} login;grant usage on schema outlast to {role}")
        try:
            as_role = make_conninfo(database, user=role)
            found = doctor(as_role)
            lacking = [each for each in found if each.kind.id == "rights_missing"]
            assert len(lacking) > 10
            for each in (*lacking, one(found, "rows_hidden")):
                run(each.sql)
            assert not {"rights_missing", "rows_hidden", "migrations_pending"} & ids(doctor(as_role))
        finally:
            run(f"drop owned by {role};drop role {role}")


def test_a_database_that_takes_no_writes(database: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with connected(database) as run:
        run(f'alter database "{name}" set default_transaction_read_only = on')
    found = one(doctor(database), "read_only")
    with psycopg.connect(
        database, options="-c default_transaction_read_only=off", autocommit=True
    ) as connection:
        connection.execute(found.sql.encode())
    assert "read_only" not in ids(doctor(database))


def test_a_long_transaction_and_a_lock_that_is_waited_for(database: str) -> None:
    bounds = Bounds(transaction_s=0.05, lock_s=0.0)
    # The holder's session is ended by the remedy: nothing is committed over it.
    holder = psycopg.connect(database)
    with contextlib.closing(holder), psycopg.connect(database, autocommit=True) as waiter:
        holder.execute("lock table outlast.messages")
        waiter.execute("set lock_timeout = '30s'")
        waiting = asyncio.to_thread(lambda: waiter.execute("select from outlast.messages"))

        async def both() -> None:
            task = asyncio.create_task(waiting)
            at = Database.at(database, "outlast/tests")
            settings = Settings.load()
            while not {"long_transaction", "lock_waited_for"} <= ids(await look_at_held(at, bounds)):
                await asyncio.sleep(0.02)
            found = one(await look_at_held(at, bounds), "lock_waited_for")
            with psycopg.connect(database, autocommit=True) as operator:
                operator.execute(found.sql.encode())
            await task
            left = ids(await look_at_database(at, settings, bounds))
            assert not {"long_transaction", "lock_waited_for"} & left

        asyncio.run(asyncio.wait_for(both(), 20))


async def look_at_held(database: Database, bounds: Bounds) -> list[Finding]:
    """What the server alone says: the tables are locked."""
    from outlast.host.doctor.of_database import check_server
    from outlast.store.doctor import _SQL

    connection = await database.connect()
    async with connection:
        row = await (await connection.execute(_SQL["server"])).fetchone()
    assert row is not None
    return list(check_server(Examined(0.0, row[0]), bounds))


# --- settings, files, keys ---------------------------------------------------------------------------------


@pytest.fixture
def folder(project: Path) -> Path:
    """A project in which nothing is wrong but that it has no database."""
    (project / "functions").mkdir()
    (project / "functions" / "hello.py").write_text(FUNCTION)
    return project


def of_host(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[Finding]:
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return look_at_host(Settings.load())


DATABASE = {"SUPABASE_DB_URL": "postgresql://me@127.0.0.1:1/x", "SUPABASE_SECRET_KEY": SECRET}


@pytest.mark.parametrize(
    ("kind", "wrong", "mended"),
    [
        ("unknown_setting", {"OUTLAST_WORKRS": "2"}, {"OUTLAST_WORKERS": "2"}),
        (
            "callers_unverified",
            {"OUTLAST_VERIFY_JWT": "false", "OUTLAST_HOST": "0.0.0.0"},
            {"OUTLAST_VERIFY_JWT": "true", "OUTLAST_HOST": "0.0.0.0"},
        ),
        ("short_lease", {"OUTLAST_LEASE_TTL_S": "1"}, {"OUTLAST_LEASE_TTL_S": "5"}),
        ("no_secret_key", {"SUPABASE_DB_URL": DATABASE["SUPABASE_DB_URL"]}, DATABASE),
        (
            "pooler_for_sessions",
            {"SUPABASE_DB_URL": "postgresql://me@127.0.0.1:6543/x", "OUTLAST_DB_SESSIONS": "true"},
            {"SUPABASE_DB_URL": "postgresql://me@127.0.0.1:6543/x"},
        ),
    ],
)
def test_what_settings_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, wrong: dict[str, str], mended: dict[str, str]
) -> None:
    assert one(of_host(monkeypatch, **wrong), kind).remedy
    assert kind not in ids(of_host(monkeypatch, **mended))


def test_functions_that_ask_for_users_need_keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "functions" / "hello.py").write_text(ASKING)
    assert "hello" in one(of_host(monkeypatch, **DATABASE), "no_token_keys").what
    signed = {**DATABASE, "SUPABASE_JWT_SECRET": "a-legacy-secret-of-more-than-32-characters"}
    assert "no_token_keys" not in ids(of_host(monkeypatch, **signed))


def test_functions_that_are_not_there_or_broken(project: Path, call: Runs) -> None:
    found = one(look_at_host(Settings.load()), "functions_missing")
    assert str(project / "functions") in found.what
    (project / "functions").mkdir()
    found = one(look_at_host(Settings.load()), "no_functions")
    assert call(*shlex.split(found.command)).status == 0
    assert look_at_host(Settings.load()) == []
    (project / "functions" / "bad.py").write_text("import nowhere_to_be_found")
    assert "bad can't be served" in one(look_at_host(Settings.load()), "function_broken").what
    (project / "functions" / "bad.py").write_text(FUNCTION.replace("hello", "bad"))
    assert look_at_host(Settings.load()) == []


def test_a_kept_key_that_others_may_read(folder: Path) -> None:
    key = folder / ".outlast" / "secret_key"
    key.parent.mkdir()
    key.write_text(SECRET)
    key.chmod(0o644)
    found = one(look_at_host(Settings.load()), "key_readable")
    assert f"chmod 600 {Path('.outlast/secret_key')}" in found.remedy
    key.chmod(0o600)
    assert look_at_host(Settings.load()) == []


AT_WORK = (
    ("queue_paused", "insert into outlast.queues (name) values ('q');select outlast.pause_queue('q')"),
    (
        "queue_key_paused",
        'insert into outlast.queues (name, base) values (\'keyed\', \'{"key": "k", "per_key": 1}\');'
        "insert into outlast.queue_keys (queue, key, paused_at) values ('keyed', 'k', now())",
    ),
    ("queue_limit_unfit", UNFIT),
    (
        "schedule_paused",
        "insert into outlast.schedules (name, owner, function, cron, paused_at)"
        " values ('s', 'dynamic', 'hello', '0 0 1 1 *', now())",
    ),
    (
        "schedule_orphaned",
        "insert into outlast.schedules (name, owner, function, cron, orphaned_at)"
        " values ('orphan', 'code', 'f', '* * * * *', now())",
    ),
    (
        "schedule_unusable",
        "insert into outlast.schedules (name, owner, function, cron, fault)"
        " values ('faulty', 'dynamic', 'f', '* * * * *', 'no such zone')",
    ),
    (
        "paused_long",
        "insert into outlast.workflow_status (workflow_id, function, status, claimable_at, held)"
        " values ('paused', 'f', 'PENDING', now() + interval '1 hour',"
        " json_build_object('reason', 'paused', 'since', now() - interval '3 days'))",
    ),
    (
        "lost_often",
        "insert into outlast.workflow_status (workflow_id, function, status, claimable_at, recovery_attempts)"
        " values ('lost', 'f', 'PENDING', now() + interval '1 hour', 3)",
    ),
    ("function_unserved", DUE.format("unserved", "gone", "1 s")),
)


@pytest.mark.slow
def test_remedies_that_are_commands_are_what_the_command_takes(
    folder: Path, call: Runs, database: str
) -> None:
    environment = {"SUPABASE_DB_URL": database, "SUPABASE_SECRET_KEY": SECRET}
    with serving(folder, 0, **environment) as (url, _), connected(database) as run:
        until(lambda: ask("GET", f"{url}/readyz").status_code == 200, "readiness")
        for kind, provoke in AT_WORK:
            run(provoke)
            found = one(doctor(database), kind)
            ran = call(*shlex.split(found.command), "--url", url, **environment)
            assert ran.status == 0, (found.command, ran.err)
            assert kind not in ids(doctor(database))


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_tells_and_exits_by_what_it_found(folder: Path, call: Runs, database: str) -> None:
    good = {"SUPABASE_DB_URL": database, "SUPABASE_SECRET_KEY": SECRET}
    ran = call("doctor", "--json", **good)
    told = json.loads(ran.out)
    found = [each["id"] for each in told["findings"] if each["level"] == "wrong"]
    assert (ran.status, told["ok"], found) == (0, True, []) or found == ["autovacuum_off_everywhere"]
    with connected(database) as run:
        run("drop index outlast.workflow_status_owned")
    ran = call("doctor", "--json")
    (row,) = [each for each in json.loads(ran.out)["findings"] if each["id"] == "index_missing"]
    assert ran.status == 1
    assert row["level"] == "wrong"
    assert "create index if not exists workflow_status_owned on outlast.workflow_status" in row["remedy"]
    shown = call("doctor")
    assert shown.status == 1
    assert "wrong  index_missing: the index workflow_status_owned is missing" in shown.out


def test_a_database_that_is_away_and_a_setting_that_cannot_be(folder: Path, call: Runs) -> None:
    ran = call("doctor", "--json", **DATABASE)
    (row,) = json.loads(ran.out)["findings"]
    assert (ran.status, row["id"]) == (1, "database_unreachable")
    assert "SUPABASE_DB_URL" in row["remedy"]
    ran = call("doctor", "--json", PORT="x")
    (row,) = json.loads(ran.out)["findings"]
    assert (ran.status, row["id"]) == (1, "bad_setting")
    assert "PORT" in row["what"]


def test_the_embedded_database_is_looked_at_too(folder: Path, outlast: Runs) -> None:
    assert outlast("db", "migrate").status == 0
    told = json.loads(outlast("doctor", "--json").out)
    assert told == {"ok": True, "findings": []}


def test_each_row_of_the_table_is_provoked_somewhere() -> None:
    here = Path(__file__).parent
    names = ("test_doctor.py", "test_doctor_of_servers.py", "../queues/test_set_aside.py")
    text = "".join((here / name).read_text() for name in names)
    assert len(KINDS) == len(BY_ID) >= 25
    assert [each.id for each in KINDS if f'"{each.id}"' not in text] == []


@pytest.mark.parametrize("kind", [each for each in KINDS if each.command], ids=lambda kind: kind.id)
def test_what_is_to_be_typed_is_quoted_for_a_shell(kind: Kind) -> None:
    chosen = "rls:ada:$(touch run)"
    found = Finding(
        kind,
        {
            "example": chosen,
            "queue": chosen,
            "key": chosen,
            "schedule": chosen,
            "flag": "rate",
            "late_s": 1.0,
            "attempts": 3,
        },
    )
    for typed in (found.command, *found.remedy.split("`")[1::2]):
        assert "$(" not in typed or chosen in shlex.split(typed)


def test_the_page_has_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    assert drawn() in page, f"write this into docs/operations.md:\n{drawn()}"


def drawn() -> str:
    """The findings as docs/operations.md shows them."""
    rows = ["| Finding | What is wrong | Remedy | |", "|---|---|---|---|"]
    for kind in KINDS:
        remedy = kind.remedy.replace("{sql}", kind.sql).replace("{command}", kind.command)
        note = "note" if kind.level == "note" else ""
        rows.append(f"| `{kind.id}` | {named(kind.what)} | {named(remedy)} | {note} |")
    return "\n".join(rows) + "\n"


def named(text: str) -> str:
    """What was found is named in capitals."""
    return re.sub(r"\{(\w+?)(?:_s)?(?::[^}]*)?\}", lambda found: found[1].upper(), text)


def test_the_indexes_are_those_of_the_schema(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select indexname from pg_indexes where schemaname = 'outlast' and indexname not like '%%_pkey'"
        )
        assert {name for (name,) in rows.fetchall()} - {"workflow_status_prefix"} == set(expected_indexes())
