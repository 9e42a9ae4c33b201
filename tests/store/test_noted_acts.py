"""`outlast.acts`: what people did, by whom, and what stood before; how much of it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from outlast.core.ports import NotNow
from outlast.core.resources import ACTS
from outlast.core.verbs import (
    BACKFILL_SCHEDULE,
    CREATE_SCHEDULE,
    DELETE_SCHEDULE,
    DRAIN_QUEUE,
    PAUSE_QUEUE,
    PAUSE_SCHEDULE,
    RESUME_QUEUE,
    RESUME_SCHEDULE,
    SET_QUEUE,
    TRIGGER_SCHEDULE,
    Verb,
)
from outlast.store.workflows import PostgresWorkflows
from tests.callers import as_user
from tests.store.harness import store_of

INSERT = (
    "insert into outlast.workflow_status (workflow_id, function, status, subject) values (%s, 'f', %s, %s)"
)


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def workflows(supabase_database: str) -> AsyncIterator[PostgresWorkflows]:
    async with store_of(supabase_database) as store:
        yield store.workflows


async def noted(workflows: PostgresWorkflows, **filters: Any) -> list[tuple[Any, ...]]:
    rows, _ = await workflows.listing(ACTS, filters)
    return [(row["verb"], row["name"], row["by"], row["why"]) for row in rows]


async def test_every_verb_of_queues_and_schedules_is_noted(
    workflows: PostgresWorkflows, connection: Connection[Any]
) -> None:
    connection.execute("insert into outlast.queues (name, base) values ('mail', '{\"key\": \"to\"}')")
    connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status) values ('x', 'f', 'ERROR')"
    )
    verbs: tuple[tuple[Verb, dict[str, Any]], ...] = (
        (SET_QUEUE, {"concurrency": 1, "why": "w"}),
        (PAUSE_QUEUE, {"key": "acme", "why": "w"}),
        (RESUME_QUEUE, {"key": "acme"}),
        (DRAIN_QUEUE, {}),
    )
    for verb, given in verbs:
        await workflows.act(verb, "mail", given, "me")
    whys = ["w", "w", None, None]
    expected = [(verb.name, "mail", "me", why) for (verb, _), why in zip(verbs, whys, strict=True)]
    assert await noted(workflows, queue="mail") == expected[::-1]
    await workflows.act(CREATE_SCHEDULE, None, {"name": "s", "function": "f", "cron": "0 9 * * *"}, "me")
    span = {"after": "2026-01-01T00:00Z", "until": "2026-01-02T00:00Z"}
    for verb, given in (
        (PAUSE_SCHEDULE, {"why": "w"}),
        (RESUME_SCHEDULE, {}),
        (TRIGGER_SCHEDULE, {}),
        (BACKFILL_SCHEDULE, {**span, "dry_run": True}),
        (BACKFILL_SCHEDULE, span),
        (DELETE_SCHEDULE, {}),
    ):
        await workflows.act(verb, "s", given, "me")
    assert [each[0] for each in await noted(workflows, schedule="s")] == [
        "delete", "backfill", "trigger", "resume", "pause", "create",
    ]  # fmt: skip
    assert await noted(workflows, verb="pause", schedule="s") == [("pause", "s", "me", "w")]
    assert await noted(workflows, workflow="mail") == []


async def test_what_was_refused_is_not_noted(
    workflows: PostgresWorkflows, connection: Connection[Any]
) -> None:
    connection.execute(
        "insert into outlast.schedules (name, owner, function, cron) values ('s', 'code', 'f', '0 9 * * *')"
    )
    with pytest.raises(NotNow):
        await workflows.act(DELETE_SCHEDULE, "s", {}, "me")
    assert await noted(workflows) == []


async def test_a_cancel_is_noted_with_what_stood_before(
    workflows: PostgresWorkflows, connection: Connection[Any]
) -> None:
    for workflow_id, subject in (("a", None), ("b", "ada"), ("c", None)):
        connection.execute(INSERT, (workflow_id, "PENDING", subject))
    connection.execute("update outlast.workflow_status set parent = 'a' where workflow_id = 'c'")
    assert await workflows.cancel("a", "secret key default", "too much")
    assert not await workflows.cancel("a", "secret key default")
    connection.execute(
        "grant execute on function outlast.cancel(text), outlast.cancel_own(text) to authenticated"
    )
    connection.execute("grant usage on schema outlast to authenticated")
    with as_user(connection, {"role": "authenticated", "sub": "ada"}, "authenticated"):
        assert connection.execute("select outlast.cancel('b')").fetchone() == (True,)
    assert await noted(workflows) == [
        ("cancel", "b", "user ada", None), ("cancel", "a", "secret key default", "too much"),
    ]  # fmt: skip
    (act,), _ = await workflows.listing(ACTS, {"workflow": "a"})
    assert '"status":"PENDING"' in act["before"]


async def test_acts_go_with_their_workflow_and_are_bounded_otherwise(
    workflows: PostgresWorkflows, connection: Connection[Any]
) -> None:
    connection.execute(INSERT, ("a", "PENDING", None))
    await workflows.cancel("a", "me")
    connection.execute("delete from outlast.workflow_status")
    assert await noted(workflows) == []
    connection.execute(
        "select outlast.note_act('queue', 'q', 'set', 'me', n::text, null) from generate_series(1, 1003) n"
    )
    connection.execute("select outlast.note_act('workflow', 'gone', 'delete', 'me', null, null)")
    rows = connection.execute("select why from outlast.acts where noun = 'queue' order by act_id").fetchall()
    assert (len(rows), rows[0]) == (1000, ("4",))
    assert await noted(workflows, workflow="gone") == [("delete", "gone", "me", None)]


async def test_nobody_but_the_service_reads_them(connection: Connection[Any]) -> None:
    for role in ("anon", "authenticated"):
        may = connection.execute(
            "select has_table_privilege(%s, 'outlast.acts', 'select')", (role,)
        ).fetchone()
        assert may == (False,)
