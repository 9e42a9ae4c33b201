"""Messages in Postgres: no wake-up is lost whichever commits first; their order; who may send."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest

from outlast.core.callbacks import Link
from outlast.core.claims import Room
from outlast.core.errors import WorkflowNotFound
from outlast.core.records import Batch, FencedWrite, Suspension
from outlast.store.messages import DELIVERED_MAX
from outlast.store.postgres import PostgresStore
from outlast.store.queries import load
from tests.store.harness import rows, start, store_of, under_way, waits_for_a_lock

DELIVER = (
    load("messages.sql")["deliver"].as_string(None).replace("%(limit)s", "500").replace("%(refused)s", "'{}'")
)
LATER_S = 4e9
AWAITING = '{"mail":0,"topics":["t"]}'
SUSPEND = f"""
    update outlast.workflow_status
    set owner = null, claimable_at = to_timestamp({LATER_S}), awaits = '{AWAITING}'
    where workflow_id = 'w'
"""
DUE = "select owner is null and claimable_at <= now(), mail from outlast.workflow_status"
SEND = "select outlast.send('w', '1', 't')"
ROUNDS = 150


async def suspend(store: PostgresStore, workflow_id: str = "w", mail: int = 0) -> bool:
    """Whether the suspension of one that awaits messages was accepted."""
    end = Suspension(LATER_S, json.dumps({"mail": mail, "topics": ["t"]}))
    done = await store.journal.commit(Batch(2, [], [FencedWrite(workflow_id, 1, [], end)]))
    return bool(done.accepted)


async def test_a_suspension_that_waits_for_a_delivery_is_due_at_once(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        await rows(database, SEND)
        async with under_way(database, DELIVER):
            suspended = asyncio.create_task(suspend(store))
            await waits_for_a_lock(database, suspended)
            assert not suspended.done()
        assert await suspended
    assert await rows(database, DUE) == [(True, 1)]


async def test_a_delivery_during_a_suspension_is_made_after_it(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        await rows(database, SEND)
        async with under_way(database, SUSPEND):
            found = await store.messages.deliver()  # it waits for nobody
            assert (found.woken, found.left) == (0, True)
            assert await rows(database, "select number from outlast.messages") == [(None,)]
        found = await store.messages.deliver()
        assert (found.woken, found.left) == (1, False)
    assert await rows(database, DUE) == [(True, 1)]


async def test_messages_to_one_that_is_held_hold_up_nobody_elses(database: str) -> None:
    sent = f"select outlast.send('w', '1', 't') from generate_series(1, {DELIVERED_MAX + 1})"
    async with store_of(database) as store:
        await start(store, "w", "x")
        await rows(database, sent)
        await rows(database, "select outlast.send('x', '1', 't')")
        async with under_way(
            database, "select from outlast.workflow_status where workflow_id = 'w' for update"
        ):
            assert (await store.messages.deliver()).left
            numbers = "select number from outlast.messages where workflow_id = 'x'"
            assert await rows(database, numbers) == [(1,)]
        assert (await store.messages.deliver()).left
        assert not (await store.messages.deliver()).left
    counted = "select max(number), count(distinct number) from outlast.messages where workflow_id = 'w'"
    assert await rows(database, counted) == [(DELIVERED_MAX + 1, DELIVERED_MAX + 1)]


async def test_a_message_that_commits_after_the_suspension_is_found(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        async with under_way(database, SEND):
            assert await suspend(store)  # an open sender is in nobody's way
            assert (await store.messages.deliver()).left is False
            assert (await store.instances.claim(Room(["f"], 0, 0))).undelivered is False
        assert (await store.instances.claim(Room(["f"], 0, 0))).undelivered is True
        assert (await store.messages.deliver()).woken == 1
    assert await rows(database, DUE) == [(True, 1)]


@pytest.mark.slow
async def test_deliveries_and_suspensions_in_a_race_lose_no_wake_up(database: str) -> None:
    ids = [f"w{number}" for number in range(ROUNDS)]
    async with store_of(database) as store, store_of(database, "b") as b, store_of(database, "c") as c:
        await start(store, *ids)
        for each in ids:
            await asyncio.gather(
                suspend(store, each),
                rows(database, "select outlast.send(%s, '1', 't')", each),
                b.messages.deliver(),
                c.messages.deliver(),
            )
        while (await b.messages.deliver()).left:
            pass
    missed = """
        select workflow_id from outlast.workflow_status
        where mail <> 1 or owner is not null or claimable_at > now()
    """
    assert await rows(database, missed) == []


async def test_numbers_follow_the_order_sent_whoever_delivers(database: str) -> None:
    async with store_of(database) as store, store_of(database, "b") as b:
        await start(store, "v", "w")
        sending = True

        async def talk(workflow_id: str) -> None:
            async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
                for number in range(ROUNDS):
                    await connection.execute(
                        "select outlast.send(%s, to_json(%s::int), 't')", (workflow_id, number)
                    )

        async def deliver(by: PostgresStore) -> None:
            while sending or (await by.messages.deliver()).left:
                await by.messages.deliver()

        deliveries = [asyncio.create_task(deliver(each)) for each in (store, b, store, b)]
        await asyncio.gather(talk("v"), talk("w"), talk("w"))
        sending = False
        await asyncio.gather(*deliveries)
        await store.messages.deliver()
    for workflow_id, count in (("v", ROUNDS), ("w", 2 * ROUNDS)):
        query = "select number from outlast.messages where workflow_id = %s order by number"
        assert await rows(database, query, workflow_id) == [(number,) for number in range(1, count + 1)]
        mail = "select mail from outlast.workflow_status where workflow_id = %s"
        assert await rows(database, mail, workflow_id) == [(count,)]
    late = """
        select 1 from outlast.messages a join outlast.messages b using (workflow_id)
        where workflow_id = 'v' and a.message_id < b.message_id and a.number > b.number
    """
    assert await rows(database, late) == []


async def test_a_delivery_is_bounded_and_says_that_more_is_left(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        many = "select count(outlast.send('w', '1', 't')) from generate_series(1, %s)"
        await rows(database, many, DELIVERED_MAX + 1)
        assert (await store.messages.deliver()).left is True
        assert (await store.messages.deliver()).left is False


@pytest.mark.parametrize("of", ["a suspended workflow", "a lost instance", "a workflow that kills"])
async def test_an_open_sender_keeps_nobody_from_claiming(database: str, of: str) -> None:
    async with store_of(database) as store, store_of(database, "b") as b:
        await start(store, "w")
        if of == "a lost instance":
            await store.instances.leave()
            await store.instances.beat(-1.0)
        else:
            assert await suspend(store)
            query = "update outlast.workflow_status set claimable_at = now(), recovery_attempts = %s"
            await rows(database, query, 5 if of == "a workflow that kills" else 0)
        async with under_way(database, SEND):
            claims = await b.instances.claim(Room(["f"], 1, 1))
            if of == "a lost instance":
                assert await b.instances.recover(claims.lost) == [("w", "PENDING")]
            else:
                assert [each.workflow_id for each in claims.workflows] == ["w"]


async def test_a_message_to_a_workflow_that_is_being_removed_finds_none(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        async with under_way(database, "delete from outlast.workflow_status where workflow_id = 'w'"):
            sending = asyncio.create_task(store.messages.send("w", "1", "t", "k"))
            await waits_for_a_lock(database, sending)
        with pytest.raises(WorkflowNotFound):
            await sending
    assert await rows(database, "select 1 from outlast.messages") == []


async def test_who_answers_a_callback_at_the_same_time_sees_the_answers_before(database: str) -> None:
    link = Link("w", "1", LATER_S, "m")
    answer = "select outlast.answer_callback('w', '1', 'm', '1', 'a')"
    async with store_of(database) as store:
        await start(store, "w")
        await rows(
            database,
            "insert into outlast.operation_outputs "
            "(workflow_id, step_id, name, kind, output, completion_order) "
            """values ('w', '1', 'callback t', 'callback', '{"topic":"t","uses":2,"mark":"m"}', 1)""",
        )
        assert await store.messages.answer(link, "1", "first") is not None
        async with under_way(database, answer):
            answering = asyncio.create_task(store.messages.answer(link, "1", "b"))
            await waits_for_a_lock(database, answering)
        assert await answering is None
    assert await rows(database, "select count(*) from outlast.messages") == [(2,)]


async def test_the_same_key_at_the_same_time_sends_once(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        ids = await asyncio.gather(*(store.messages.send("w", "1", "t", "k") for _ in range(12)))
        assert len(set(ids)) == 1
    assert await rows(database, "select count(*) from outlast.messages") == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("null, '1'", psycopg.errors.NullValueNotAllowed),
        ("'w', null", psycopg.errors.NullValueNotAllowed),
        ("'nobody', '1'", psycopg.errors.NoDataFound),
        ("'w', '1', repeat('x', 256)", psycopg.errors.StringDataRightTruncation),
        ("'w', '1', 't', repeat('x', 256)", psycopg.errors.StringDataRightTruncation),
        ("'w', '\"\\u0000\"'", psycopg.errors.UntranslatableCharacter),
        ("'w', '\"\\ud800\"'", psycopg.errors.InvalidTextRepresentation),
        ("'w', to_json(repeat('x', 16 * 1024 * 1024))", psycopg.errors.ProgramLimitExceeded),
    ],
)
async def test_what_cannot_be_a_message_is_refused(database: str, arguments: str, error: Any) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        with pytest.raises(error):
            await rows(database, f"select outlast.send({arguments})")
    assert await rows(database, "select 1 from outlast.messages") == []


async def test_sending_keeps_a_workflow_from_nothing_but_its_removal(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        async with under_way(database, SEND):
            free = "select 1 from outlast.workflow_status for {} skip locked"
            assert await rows(database, free.format("no key update")) == [(1,)]
            assert await rows(database, free.format("update")) == []


async def test_only_the_service_role_may_send_and_nobody_reads(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
    with psycopg.connect(database, autocommit=True) as connection:
        for role in ("anon", "authenticated"):
            connection.execute(f"set role {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(SEND.encode())
            connection.execute(b"reset role")
        connection.execute(b"set role service_role")
        connection.execute(SEND.encode())
        for what in ("1 from outlast.messages", "claims from outlast.workflow_status"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select {what}".encode())
        connection.execute(b"reset role")
    assert await rows(database, "select count(*) from outlast.messages") == [(1,)]
