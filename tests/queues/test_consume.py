"""Messages of a Supabase Queue become workflows: each one, once, with the message gone in the same commit."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import psycopg
import pytest

from outlast import Queue, context, sleep, step, workflow
from outlast.core.budget import weigh
from outlast.core.claims import ClaimedWorkflow
from outlast.core.errors import UsageError
from outlast.core.observations import (
    LoopFailed,
    MessageSetAside,
    QueueConsumed,
    QueueRefused,
    WorkflowStarted,
)
from outlast.core.ports import QueueUnusable
from outlast.engine.instances import consuming
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore
from tests.engine.harness import Bench, engine_on


@workflow(queue="pgmq:orders")
async def orders(sku: str, quantity: int = 1) -> list[Any]:
    caller = context().caller
    return [sku, quantity, caller.mode, caller.role]


async def send(bench: Bench, message: str, queue: str = "orders") -> int:
    (row,) = await bench.rows("select pgmq.send(%s, %s::jsonb) as id", queue, message)
    return int(row["id"])


async def left(bench: Bench, queue: str = "orders") -> int:
    (row,) = await bench.rows("select queue_length from pgmq.metrics(%s)", queue)
    return int(row["queue_length"])


async def result(bench: Bench, workflow_id: str) -> Any:
    async def there() -> bool:
        return bool(
            await bench.rows("select 1 from outlast.workflow_status where workflow_id = %s", workflow_id)
        )

    await bench.until(there)
    return await bench.result(workflow_id)


async def test_a_message_starts_a_workflow_and_is_gone(queue_database: str) -> None:
    async with engine_on(queue_database, orders) as bench:
        message_id = await send(bench, '{"sku": "widget", "quantity": 3}')
        workflow_id = f"pgmq:orders:{message_id}"
        assert await result(bench, workflow_id) == ["widget", 3, "queue", "service_role"]
        assert await left(bench) == 0
        starts = [each for each in bench.observations if isinstance(each, WorkflowStarted)]
        assert starts == [WorkflowStarted(workflow_id, "orders", "queue")]
        row = await bench.row(workflow_id)
        assert (row["queue"], row["function"], row["idempotency_key"]) == ("pgmq:orders", "orders", None)
        assert row["attributes"]["msg_id"] == message_id
        assert {"enqueued_at", "read_ct"} <= row["attributes"].keys()


async def test_its_row_is_that_of_any_other_call(queue_database: str) -> None:
    @workflow(queue="pgmq:orders", timeout=3600)
    async def bounded(sku: str) -> str:
        return sku

    async with engine_on(queue_database, bounded) as bench:
        message_id = await send(bench, '{"sku": "w"}')
        by_message = f"pgmq:orders:{message_id}"
        assert await result(bench, by_message) == "w"
        by_call = await bench.start(bounded, sku="w")
        assert await bench.result(by_call) == "w"
        first, second = await bench.row(by_message), await bench.row(by_call)
        differ = {name for name, value in first.items() if value != second[name]}
        # Who called, when, and with what white space. Of a message it is told that it was one.
        assert differ <= {
            "workflow_id", "fingerprint", "claims", "queue", "attributes", "nonce", "deadline", "created_at",
            "started_at", "updated_at", "completed_at", "load_bytes",
        }, differ  # fmt: skip
        assert first["version"] == "v1"
        lasts = [(row["deadline"] - row["created_at"]).total_seconds() for row in (first, second)]
        assert all(3590 < each < 3610 for each in lasts), lasts


@pytest.mark.slow
async def test_a_message_that_does_not_fit_is_kept_as_a_workflow_that_failed(queue_database: str) -> None:
    async with engine_on(queue_database, orders) as bench:
        bad = [await send(bench, text) for text in ('{"quantity": 1}', "[1]", '"text"', "null")]
        (row,) = await bench.rows("select pgmq.send('orders', null::jsonb) as id")
        bad.append(int(row["id"]))
        good = await send(bench, '{"sku": "w"}')
        assert (await result(bench, f"pgmq:orders:{good}"))[0] == "w"
        for message_id in bad:
            assert (await bench.failure(f"pgmq:orders:{message_id}"))["code"] == "invalid_input"
        assert (await bench.row(f"pgmq:orders:{bad[0]}"))["input"] == {"quantity": 1}
        assert await left(bench) == 0


async def test_what_there_is_no_room_for_stays_in_the_queue(queue_database: str) -> None:
    go = asyncio.Event()

    @step
    async def hold() -> None:
        await go.wait()

    @workflow(queue="pgmq:orders")
    async def held(number: int) -> int:
        await hold()
        return number

    @workflow
    async def other() -> str:
        return "had room"

    with psycopg.connect(queue_database, autocommit=True) as connection:
        batch = "array(select jsonb_build_object('number', n) from generate_series(1, 10) n)"
        connection.execute(f"select pgmq.send_batch('orders', {batch})".encode())
    async with engine_on(queue_database, held, other, workflows_max=4) as bench:
        await bench.until(lambda: len(bench.live) == 3)
        # A queue leaves a quarter to what wakes, is recovered, or called.
        (row,) = await bench.rows("select outlast.start('other') as id")
        assert await bench.result(row["id"]) == "had room"
        assert len(bench.live) == 3
        assert await left(bench) == 7
        go.set()

        async def all_over() -> bool:
            (row,) = await bench.rows(
                "select count(*) as n from outlast.workflow_status where status = 'SUCCESS'"
            )
            return row["n"] == 11

        await bench.until(all_over)
        assert await left(bench) == 0


def a_store(url: str, name: str) -> PostgresStore:
    return PostgresStore(Database.at(url, "tests"), name, "test", 4, RecoveryLimits())


async def taken_by(store: PostgresStore, room: int) -> list[ClaimedWorkflow]:
    return (await store.message_queues.consume("orders", "orders", room)).workflows


async def test_many_that_take_share_what_there_is(queue_database: str) -> None:
    with psycopg.connect(queue_database, autocommit=True) as connection:
        batch = "array(select jsonb_build_object('sku', n) from generate_series(1, 300) n)"
        connection.execute(f"select pgmq.send_batch('orders', {batch})".encode())
    stores = [a_store(queue_database, f"i{number}") for number in range(4)]

    async def take_all(store: PostgresStore) -> list[str]:
        taken: list[str] = []
        while workflows := await taken_by(store, 7):
            assert len(workflows) <= 7
            taken += [each.workflow_id for each in workflows]
        return taken

    taken = await asyncio.gather(*(take_all(store) for store in stores))
    assert sorted(each for part in taken for each in part) == sorted(
        f"pgmq:orders:{number}" for number in range(1, 301)
    )
    with psycopg.connect(queue_database) as connection:
        owners = "select count(*), count(distinct owner) from outlast.workflow_status where epoch = 1"
        count, owned_by = connection.execute(owners).fetchone() or (0, 0)
        assert (count, owned_by <= 4) == (300, True)
        assert connection.execute("select count(*) from pgmq.q_orders").fetchone() == (0,)
    for store in stores:
        await store.close()


async def test_a_queue_that_was_made_anew_loses_nothing(queue_database: str) -> None:
    """Its messages are numbered from 1 again."""
    async with engine_on(queue_database, orders) as bench:
        first = await send(bench, '{"sku": "old"}')
        assert (await result(bench, f"pgmq:orders:{first}"))[0] == "old"
        await bench.rows("select pgmq.drop_queue('orders')")
        await bench.rows("select pgmq.create('orders')")
        assert await send(bench, '{"sku": "new"}') == first

        async def both() -> list[Any] | None:
            query = (
                "select output from outlast.workflow_status where workflow_id like %s and output is not null"
            )
            rows = await bench.rows(f"{query} order by created_at", f"pgmq:orders:{first}%")
            return rows if len(rows) == 2 else None

        assert [row["output"][0] for row in await bench.until(both)] == ["old", "new"]
        assert await left(bench) == 0


async def test_a_message_that_came_back_is_not_run_again(queue_database: str) -> None:
    """As a backup of the queue's table brings it."""
    async with engine_on(queue_database, orders) as bench:
        with psycopg.connect(queue_database, autocommit=True) as connection:
            connection.execute("create table kept (like pgmq.q_orders)")
            connection.execute("begin")
            connection.execute("select pgmq.send('orders', '{\"sku\": \"w\"}')")
            connection.execute("insert into kept select * from pgmq.q_orders")
            connection.execute("commit")
        assert (await result(bench, "pgmq:orders:1"))[0] == "w"
        await bench.rows("insert into pgmq.q_orders overriding system value select * from kept")

        async def gone() -> bool:
            return await left(bench) == 0

        await bench.until(gone)
        (row,) = await bench.rows("select count(*) as n from outlast.workflow_status")
        assert row["n"] == 1


async def test_of_a_queue_made_anew_too_a_message_that_came_back_is_not_run_again(
    queue_database: str,
) -> None:
    store = a_store(queue_database, "i")
    with psycopg.connect(queue_database, autocommit=True) as connection:
        for sku in ("old", "new"):
            connection.execute(f"select pgmq.send('orders', '{{\"sku\": \"{sku}\"}}')".encode())
            connection.execute("create table if not exists kept as select * from pgmq.q_orders with no data")
            connection.execute("insert into kept select * from pgmq.q_orders")
            assert len(await taken_by(store, 5)) == 1
            connection.execute("select pgmq.drop_queue('orders'), pgmq.create('orders')")
        for sku in ("old", "new"):
            again = "insert into pgmq.q_orders overriding system value select * from kept"
            connection.execute(f"{again} where message ->> 'sku' = '{sku}'".encode())
            assert await taken_by(store, 5) == []
            assert connection.execute("select count(*) from pgmq.q_orders").fetchone() == (0,)
    await store.close()


async def test_a_body_that_changes_what_it_was_told_of_its_message_stops_no_queue(
    queue_database: str,
) -> None:
    @workflow(queue="pgmq:orders")
    async def tells(sku: str) -> str:
        await context().set_attributes({"enqueued_at": sku})
        return sku

    async with engine_on(queue_database, tells) as bench:
        for sku in ("soon", "2026-02-30T12:00:00+00:00", "last"):
            assert await send(bench, json.dumps({"sku": sku})) == 1
            await bench.until(lambda: is_taken(bench))
            await bench.rows("select pgmq.drop_queue('orders')")
            await bench.rows("select pgmq.create('orders')")
        ids = await bench.rows("select workflow_id from outlast.workflow_status")
        assert len(ids) == 3
        assert sum(each["workflow_id"] == "pgmq:orders:1" for each in ids) == 1


async def test_a_rollback_leaves_the_message(queue_database: str) -> None:
    store = a_store(queue_database, "i")
    with psycopg.connect(queue_database, autocommit=True) as connection:
        connection.execute("select pgmq.send('orders', '{\"sku\": \"w\"}')")
        connection.execute("alter table outlast.workflow_status add constraint never check (queue is null)")
        with pytest.raises(QueueUnusable, match="never"):
            await taken_by(store, 5)
        assert connection.execute("select read_ct from pgmq.q_orders").fetchall() == [(0,)]
        connection.execute("alter table outlast.workflow_status drop constraint never")
    (claimed,) = await taken_by(store, 5)
    assert claimed.workflow_id == "pgmq:orders:1"
    await store.close()


async def test_what_is_missing_is_told_once_and_found_when_it_comes(queue_database: str) -> None:
    @workflow(queue="pgmq:later")
    async def later(n: int) -> int:
        return n

    async with engine_on(queue_database, orders, later) as bench:

        def told() -> list[Any]:
            return [each for each in bench.observations if isinstance(each, QueueRefused | QueueConsumed)]

        await bench.until(told)
        ok = await send(bench, '{"sku": "meanwhile"}')
        assert (await result(bench, f"pgmq:orders:{ok}"))[0] == "meanwhile"
        await bench.rows("select pgmq.create('later')")
        message_id = await send(bench, '{"n": 5}', "later")
        assert await result(bench, f"pgmq:later:{message_id}") == 5
        refused, consumed = told()
        assert refused.queue == consumed.queue == "later"
        assert "select pgmq.create('later')" in refused.remedy


async def test_a_locked_queue_holds_up_neither_lease_nor_other_queues(
    queue_database: str,
) -> None:

    @workflow(queue="pgmq:others")
    async def others(n: int) -> int:
        return n

    with psycopg.connect(queue_database) as locker:
        locker.execute("select pgmq.create('others')")
        locker.commit()
        locker.execute("lock table pgmq.q_orders in access exclusive mode")
        async with engine_on(queue_database, orders, others, lease_ttl_s=2.0) as bench:
            for number in range(3):
                message_id = await send(bench, f'{{"n": {number}}}', "others")
                assert await result(bench, f"pgmq:others:{message_id}") == number
            assert any(
                isinstance(each, QueueRefused) and "lock" in each.remedy for each in bench.observations
            )
            locker.rollback()
            message_id = await send(bench, '{"sku": "w"}')
            assert (await result(bench, f"pgmq:orders:{message_id}"))[0] == "w"


async def test_a_queue_that_is_broken_holds_up_no_other(queue_database: str) -> None:
    @workflow(queue="pgmq:others")
    async def others(n: int) -> int:
        return n

    async with engine_on(queue_database, orders, others) as bench:
        await bench.rows("alter table pgmq.q_orders drop column message")
        await bench.rows("select pgmq.create('others')")

        def refused() -> list[QueueRefused]:
            return [each for each in bench.observations if isinstance(each, QueueRefused)]

        await bench.until(lambda: [each for each in refused() if each.queue == "orders"])
        for number in range(3):
            message_id = await send(bench, f'{{"n": {number}}}', "others")
            assert await result(bench, f"pgmq:others:{message_id}") == number
        assert len([each for each in refused() if each.queue == "orders"]) == 1
        assert not [each for each in bench.observations if isinstance(each, LoopFailed)]


REFUSING = """
create function outlast.picky() returns trigger language plpgsql as $$
begin
  if starts_with(new.input ->> 'sku', 'bad') then
    raise exception using message = 'no ' || (new.input ->> 'sku') || ' here', errcode = '{}';
  end if;
  return new;
end $$;
create trigger picky before insert on outlast.workflow_status for each row execute function outlast.picky()
"""


def set_aside(bench: Bench) -> list[MessageSetAside]:
    return [each for each in bench.observations if isinstance(each, MessageSetAside)]


@pytest.mark.parametrize(("code", "limits"), [("P0001", {}), ("55000", {"concurrency": 5})])
async def test_a_message_that_a_trigger_refuses_stops_no_other(
    queue_database: str, code: str, limits: dict[str, Any]
) -> None:
    """Functions of Outlast, which it may call, raise 55000 for what can't be done now."""

    @workflow(queue=Queue("pgmq:orders", **limits))
    async def takes(sku: str) -> str:
        return sku

    async with engine_on(queue_database) as bench:
        await bench.rows(REFUSING.format(code))
        skus = ["bad 1", *map(str, range(30)), "bad 2", "last"]
        sent = {each: await send(bench, json.dumps({"sku": each})) for each in skus}
        again = await send(bench, '{"sku": "bad 1"}')  # for the same error as another
    async with engine_on(queue_database, takes) as bench:
        for sku in skus:
            if not sku.startswith("bad"):
                assert await result(bench, f"pgmq:orders:{sent[sku]}") == sku
        await bench.until(lambda: len(set_aside(bench)) == 2)
        assert {(each.message_id, each.error) for each in set_aside(bench)} == {
            (sent["bad 1"], "no bad 1 here"),
            (sent["bad 2"], "no bad 2 here"),
        }
        assert await left(bench) == 3

        async def tried_again() -> bool:
            (row,) = await bench.rows("select min(read_ct) as n from pgmq.q_orders")
            return row["n"] >= 2

        await bench.until(tried_again)
        assert len(set_aside(bench)) == 2  # each error was told of once
        assert not [each for each in bench.observations if isinstance(each, QueueRefused | LoopFailed)]
        await bench.rows("drop trigger picky on outlast.workflow_status")
        for sku, message_id in (("bad 1", sent["bad 1"]), ("bad 2", sent["bad 2"]), ("bad 1", again)):
            assert await result(bench, f"pgmq:orders:{message_id}") == sku
        assert await left(bench) == 0
        (row,) = await bench.rows("select count(*)::int as n from outlast.workflow_status")
        assert row["n"] == len(skus) + 1


async def test_what_a_trigger_lacks_is_not_taken_for_what_pgmq_lacks(queue_database: str) -> None:
    async with engine_on(queue_database, orders) as bench:
        await bench.rows(
            """
            create function outlast.audits() returns trigger language plpgsql as $$
            begin insert into audit values (new.workflow_id); return new; end $$;
            create trigger audits before insert on outlast.workflow_status for each row
            when (new.input ->> 'sku' = 'audited') execute function outlast.audits()
            """
        )
        audited = await send(bench, '{"sku": "audited"}')
        good = await send(bench, '{"sku": "w"}')
        assert (await result(bench, f"pgmq:orders:{good}"))[0] == "w"
        (told,) = await bench.until(lambda: set_aside(bench))
        assert (told.message_id, told.error) == (audited, 'relation "audit" does not exist')
        assert "mend what Postgres says" in told.remedy


async def test_where_pgmq_lacks_something_no_message_is_blamed(queue_database: str) -> None:
    """It would be hidden though it is fine, and told of: each of a long queue."""
    async with engine_on(queue_database) as bench:
        await bench.rows("alter function pgmq.delete(text, bigint[]) rename to deletes")
        sent = [await send(bench, json.dumps({"sku": str(n)})) for n in range(3)]
    async with engine_on(queue_database, orders) as bench:

        def refused() -> list[QueueRefused]:
            return [each for each in bench.observations if isinstance(each, QueueRefused)]

        (told,) = await bench.until(refused)
        assert "create extension pgmq" in told.remedy
        await bench.rows("alter function pgmq.deletes(text, bigint[]) rename to delete")
        for n, message_id in enumerate(sent):
            assert (await result(bench, f"pgmq:orders:{message_id}"))[0] == str(n)
        assert (set_aside(bench), len(refused())) == ([], 1)


async def test_a_message_whose_trigger_waits_for_what_somebody_holds_stops_no_other(
    queue_database: str,
) -> None:
    with psycopg.connect(queue_database) as holder:
        holder.execute("create table stock (sku text primary key)")
        holder.execute("insert into stock values ('held'), ('free')")
        holder.execute(
            """
            create function outlast.counts() returns trigger language plpgsql as $$
            begin
              perform from stock where sku = new.input ->> 'sku' for update;
              return new;
            end $$;
            create trigger counts before insert on outlast.workflow_status for each row
            execute function outlast.counts()
            """
        )
        holder.commit()
        holder.execute("select from stock where sku = 'held' for update")
        async with engine_on(queue_database, orders) as bench:
            held = await send(bench, '{"sku": "held"}')
            for _ in range(3):
                free = await send(bench, '{"sku": "free"}')
                assert (await result(bench, f"pgmq:orders:{free}"))[0] == "free"
            assert await left(bench) == 1
            (told,) = await bench.until(lambda: set_aside(bench))
            assert (told.message_id, "lock" in told.remedy) == (held, True)
            holder.rollback()
            assert (await result(bench, f"pgmq:orders:{held}"))[0] == "held"
            assert not [each for each in bench.observations if isinstance(each, QueueRefused)]


async def test_a_message_that_takes_too_long_stops_no_other(
    queue_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it is a trigger that waits for something outside."""
    monkeypatch.setattr(consuming, "LOOK_LIMIT_S", 0.5)
    monkeypatch.setattr(consuming, "LONE_LOOK_LIMIT_S", 1.0)
    async with engine_on(queue_database, orders) as bench:
        await bench.rows(
            """
            create function outlast.slowly() returns trigger language plpgsql as $$
            begin perform pg_sleep(100); return new; end $$;
            create trigger slowly before insert on outlast.workflow_status for each row
            when (new.input ->> 'sku' = 'slow') execute function outlast.slowly()
            """
        )
        slow = await send(bench, '{"sku": "slow"}')
        for _ in range(3):
            good = await send(bench, '{"sku": "w"}')
            assert (await result(bench, f"pgmq:orders:{good}"))[0] == "w"
        # On a busy machine a good one may take too long, too, and gets through at its next try.
        (told,) = await bench.until(lambda: [each for each in set_aside(bench) if each.message_id == slow])
        assert told.error == "it didn't answer within 1 s"
        await bench.rows("drop trigger slowly on outlast.workflow_status")
        assert (await result(bench, f"pgmq:orders:{slow}"))[0] == "slow"


async def test_a_message_is_set_aside_though_somebody_holds_what_the_doctor_reads(
    queue_database: str,
) -> None:
    async with engine_on(queue_database) as bench:
        await bench.rows(REFUSING.format("P0001"))
        await send(bench, '{"sku": "bad"}')
    with psycopg.connect(queue_database) as holder:
        holder.execute("lock outlast.messages_aside in access exclusive mode")
        async with engine_on(queue_database, orders) as bench:
            await bench.until(lambda: set_aside(bench))
            good = await send(bench, '{"sku": "w"}')
            assert (await result(bench, f"pgmq:orders:{good}"))[0] == "w"
            holder.rollback()

            async def noted() -> bool:
                return bool(await bench.rows("select 1 from outlast.messages_aside"))

            await bench.until(noted)
            assert not [each for each in bench.observations if isinstance(each, QueueRefused)]


async def test_a_queue_of_two_workflows_is_consumed_by_none(queue_database: str) -> None:
    @workflow(queue="pgmq:orders")
    async def another(sku: str) -> str:
        return sku

    async with engine_on(queue_database, orders, another) as bench:
        await send(bench, '{"sku": "w"}')
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, QueueRefused)])
        (refused,) = [each for each in bench.observations if isinstance(each, QueueRefused)]
        assert refused.error == "another and orders both consume it"
        assert await left(bench) == 1


async def test_pgmq_before_1_5_has_no_headers_and_no_conditions(queue_database: str) -> None:
    """A stand-in: its shape, put before the functions of a newer one."""
    store = a_store(queue_database, "i")
    with psycopg.connect(queue_database, autocommit=True) as connection:
        connection.execute(
            "create type older as"
            " (msg_id bigint, read_ct int, enqueued_at timestamptz, vt timestamptz, message jsonb)"
        )
        connection.execute("alter function pgmq.read(text, int, int, jsonb) rename to read_newer")
        connection.execute(
            "create function pgmq.read(text, int, int) returns setof older language sql as"
            " 'select msg_id, read_ct, enqueued_at, vt, message from pgmq.read_newer($1, $2, $3)'"
        )
        connection.execute("alter function pgmq.set_vt(text, bigint, int) rename to set_vt_newer")
        connection.execute(
            "create function pgmq.set_vt(text, bigint, int) returns setof older language sql as"
            " 'select msg_id, read_ct, enqueued_at, vt, message from pgmq.set_vt_newer($1, $2, $3)'"
        )
        connection.execute("select pgmq.send('orders', '{\"sku\": \"w\"}')")
        (claimed,) = await taken_by(store, 5)
        assert claimed.workflow_id == "pgmq:orders:1"
        row = connection.execute("select attributes from outlast.workflow_status").fetchone()
        assert row is not None
        assert row[0].keys() == {"msg_id", "enqueued_at", "read_ct"}
        assert connection.execute("select count(*) from pgmq.q_orders").fetchone() == (0,)
    await store.close()


async def test_who_may_not_use_pgmq_is_told_what_to_grant(queue_database: str) -> None:
    role = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(queue_database, autocommit=True) as connection:
        connection.execute(f"create role {role} login bypassrls".encode())
        connection.execute(f"grant usage on schema outlast to {role}".encode())
        connection.execute(f"grant all on outlast.workflow_status, outlast.queues to {role}".encode())
        names = ("attribute_terms", "queue_options", "backlog_max", "key_of", "time_in")
        own = ", ".join(f"outlast.{each}" for each in names)
        connection.execute(f"grant execute on function {own} to {role}".encode())
        connection.execute("select pgmq.send('orders', '{\"sku\": \"w\"}')")
        store = a_store(psycopg.conninfo.make_conninfo(queue_database, user=role), "i")
        try:
            with pytest.raises(QueueUnusable, match="permission denied for schema pgmq") as refused:
                await taken_by(store, 5)
            assert "SUPABASE_DB_URL" in refused.value.remedy
            connection.execute(f"grant usage on schema pgmq to {role}".encode())
            with pytest.raises(QueueUnusable, match="permission denied for table q_orders"):
                await taken_by(store, 5)
            connection.execute(f"grant select, update on pgmq.q_orders to {role}".encode())
            with pytest.raises(QueueUnusable, match="permission denied for table q_orders") as refused:
                await taken_by(store, 5)
            assert ("SUPABASE_DB_URL" in refused.value.remedy, refused.type) == (True, QueueUnusable)
            connection.execute(f"grant all on pgmq.q_orders to {role}".encode())
            (claimed,) = await taken_by(store, 5)
            assert claimed.workflow_id == "pgmq:orders:1"
        finally:
            await store.close()
            connection.execute(f"drop owned by {role}".encode())
            connection.execute(f"drop role {role}".encode())


async def test_a_number_that_only_postgres_holds_holds_up_no_other_message(queue_database: str) -> None:
    async with engine_on(queue_database, orders) as bench:
        huge = await send(bench, '{"sku": "w", "quantity": 1e400}')
        deep = await send(bench, '{"sku": ' + "[" * 900 + "]" * 900 + "}")
        good = await send(bench, '{"sku": "w"}')
        assert (await result(bench, f"pgmq:orders:{good}"))[0] == "w"
        for message_id in (huge, deep):
            assert (await bench.failure(f"pgmq:orders:{message_id}"))["code"]
        assert await left(bench) == 0


async def test_without_pgmq_it_says_how_to_get_it(database: str) -> None:
    async with engine_on(database, orders) as bench:
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, QueueRefused)])
        (refused,) = [each for each in bench.observations if isinstance(each, QueueRefused)]
        assert "create extension pgmq" in refused.remedy


@pytest.mark.parametrize(
    "queue", ["orders", "pgmq:", "pgmq:Orders", "pgmq:a b", "pgmq:" + "q" * 48, 5, "pgmq:x;y"]
)
def test_a_name_that_is_none_is_refused(queue: Any) -> None:
    with pytest.raises(UsageError, match="pgmq:NAME"):
        workflow(queue=queue)


LARGE = """
select pgmq.send('orders', jsonb_build_object('sku', repeat('a', %s))) from generate_series(1, %s)
"""


async def all_ended(bench: Bench, count: int) -> None:
    async def ended() -> bool:
        over = "select 1 from outlast.workflow_status where status in ('SUCCESS', 'ERROR')"
        return len(await bench.rows(over)) == count

    await bench.until(ended)
    assert await left(bench) == 0


@workflow(queue="pgmq:orders")
async def weighs(sku: str) -> int:
    await asyncio.sleep(0)
    return len(sku)


@pytest.mark.slow
async def test_large_messages_hold_up_no_small_one(
    queue_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen together take longer than a look may. Here it is a trigger that takes its time for each."""
    monkeypatch.setattr(consuming, "LOOK_LIMIT_S", 1.0)
    async with engine_on(queue_database) as bench:
        await bench.rows(
            """
            create function outlast.slowly() returns trigger language plpgsql as $$
            begin perform pg_sleep(0.2); return new; end $$;
            create trigger slowly before insert on outlast.workflow_status for each row
            when (new.queue is not null) execute function outlast.slowly()
            """
        )
        await bench.rows(LARGE, 1000, 16)
        small = await send(bench, '{"sku": "w"}')
        async with engine_on(queue_database, weighs) as consumer:
            await all_ended(consumer, 17)
            assert await result(consumer, f"pgmq:orders:{small}") == 1
            assert not [each for each in consumer.observations if isinstance(each, QueueRefused)]


@pytest.mark.slow
async def test_messages_are_taken_as_there_is_memory_for_them(queue_database: str) -> None:
    """40 of 300 KiB, where there is memory for three: what can't be loaded stays in the queue."""
    most = 0
    go = asyncio.Event()

    @step
    async def hold() -> None:
        await go.wait()

    @workflow(queue="pgmq:orders")
    async def held(sku: str) -> int:
        await hold()
        return len(sku)

    async with engine_on(queue_database, memory_bytes_max=4 * 1000 * 1024) as bench:
        await bench.rows(LARGE, 300 * 1024, 40)
    async with engine_on(queue_database, held, memory_bytes_max=4 * 1000 * 1024) as bench:
        await bench.until(lambda: len(bench.live) == 3)
        known = bench.engine._consumer._known["orders"]
        await bench.until(lambda: known.held_since is not None)
        assert len(bench.live) == 3
        taken = len(await bench.rows("select 1 from outlast.workflow_status"))
        assert taken == consuming.SHARE_FIRST  # before anything was known of them
        go.set()

        def count() -> bool:
            nonlocal most
            most = max(most, len(bench.live))
            return False

        async def over() -> bool:
            count()
            return (
                len(await bench.rows("select 1 from outlast.workflow_status where status = 'SUCCESS'")) == 40
            )

        await bench.until(over)
        assert most <= 3
        assert await left(bench) == 0


async def test_a_message_weighs_what_it_takes_in_memory(queue_database: str) -> None:
    dense = json.dumps({"sku": [[]] * 10_000}, separators=(", ", ": "))
    async with engine_on(queue_database, weighs) as bench:
        await send(bench, dense)
        await bench.until(lambda: bench.rows("select 1 from outlast.workflow_status"))
        (row,) = await bench.rows("select load_bytes from outlast.workflow_status")
    assert row["load_bytes"] == weigh(dense) > 500_000


@pytest.mark.slow
async def test_what_there_is_no_memory_for_leaves_the_queue_when_it_has_waited(
    queue_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits as a workflow that is due; in the queue it would be in the way of all behind it."""
    monkeypatch.setattr(consuming, "PATIENCE_S", 0.0)
    go = asyncio.Event()

    @step
    async def hold() -> None:
        await go.wait()

    @workflow(queue="pgmq:orders")
    async def held(sku: str) -> int:
        await hold()
        return len(sku)

    async with engine_on(queue_database, held, memory_bytes_max=4 * 1000 * 1024) as bench:
        await bench.rows(LARGE, 700 * 1024, 20)
        await send(bench, '{"sku": "w"}')

        async def drained() -> bool:
            return await left(bench) == 0

        await bench.until(drained)
        go.set()
        await all_ended(bench, 21)


class AtOnce:
    """How many of `work` run, and the most that did."""

    running = most = 0


at_once = AtOnce()


@step
async def work() -> None:
    at_once.running += 1
    at_once.most = max(at_once.most, at_once.running)
    await asyncio.sleep(0.02)
    at_once.running -= 1


async def test_messages_wait_for_their_turn_where_their_queue_has_limits(queue_database: str) -> None:
    at_once.running = at_once.most = 0

    @workflow(queue=Queue("pgmq:orders", concurrency=2, key="sku", per_key=1))
    async def bounded(sku: str) -> str:
        await work()
        return sku

    async with engine_on(queue_database, bounded) as bench:
        sent = [await send(bench, json.dumps({"sku": str(number % 3)})) for number in range(9)]
        ids = [f"pgmq:orders:{each}" for each in sent]
        assert [await result(bench, each) for each in ids] == [str(number % 3) for number in range(9)]
        rows = [await bench.row(each) for each in ids]
        assert [row["queue_key"] for row in rows] == [str(number % 3) for number in range(9)]
        # A call of the same function waits with them.
        by_call = await bench.start(bounded, sku="1")
        assert await bench.result(by_call) == "1"
        assert (await bench.row(by_call))["queue"] == "pgmq:orders"
        starts = [each for each in bench.observations if isinstance(each, WorkflowStarted)]
        assert sorted((each.workflow_id, each.trigger) for each in starts) == sorted(
            [*((each, "queue") for each in ids), (by_call, "call")]
        )
    assert at_once.most == 2


async def test_those_that_sleep_leave_room_for_others(queue_database: str) -> None:
    """With a limit so many wait for their turn; who sleeps doesn't."""

    @workflow(queue=Queue("pgmq:orders", concurrency=10))
    async def naps(sku: str) -> str:
        await sleep(3600)
        return sku

    async with engine_on(queue_database, naps) as bench:
        many = "array(select jsonb_build_object('sku', n::text) from generate_series(1, 130) n)"
        await bench.rows(f"select pgmq.send_batch('orders', {many})")

        async def all_taken() -> bool:
            return await left(bench) == 0

        await bench.until(all_taken)


async def test_a_key_that_is_paused_holds_up_no_other(queue_database: str) -> None:
    @workflow(queue=Queue("pgmq:orders", key="sku", concurrency=10, per_key=1))
    async def turns(sku: str) -> str:
        return sku

    async with engine_on(queue_database, turns) as bench:
        await bench.rows("select outlast.pause_queue('pgmq:orders', key => 'acme')")
        many = "array(select jsonb_build_object('sku', 'acme') from generate_series(1, 120) n)"
        await bench.rows(f"select pgmq.send_batch('orders', {many})")
        bobs = await send(bench, '{"sku": "bob"}')
        assert await result(bench, f"pgmq:orders:{bobs}") == "bob"
        enqueued = "select 1 from outlast.workflow_status where queue_key = 'acme' and status = 'ENQUEUED'"
        assert len(await bench.rows(enqueued)) == 120


async def test_what_a_full_queue_has_no_room_for_stays_in_pgmq(queue_database: str) -> None:
    """A small bound is kept to the one, whatever was counted last; a large one by that."""

    @workflow(queue=Queue("pgmq:orders", key="sku"))
    async def turns(sku: str) -> str:
        return sku

    store = a_store(queue_database, "i")
    async with engine_on(queue_database, turns) as bench:
        await bench.rows("select outlast.pause_queue('pgmq:orders', key => 'acme')")
        await bench.rows("select outlast.set_queue('pgmq:orders', '{\"max_backlog\": 5}')")
        await bench.rows("update outlast.queues set backlog = 0, count_at = now() + interval '30 minutes'")
    # Anew, as a look that was under way may not have seen the bound.
    async with engine_on(queue_database, turns) as bench:
        many = "array(select jsonb_build_object('sku', 'acme') from generate_series(1, 7) n)"
        await bench.rows(f"select pgmq.send_batch('orders', {many})")

        async def full() -> bool:
            return await left(bench) == 2

        await bench.until(full)
        assert await taken_by(store, 5) == []
        await bench.rows("select outlast.set_queue('pgmq:orders', '{\"max_backlog\": 20000}')")
        await bench.until(lambda: is_taken(bench))
        await bench.rows("update outlast.queues set backlog = 20000")
        await send(bench, '{"sku": "acme"}')
        assert await taken_by(store, 5) == []
        await bench.rows("update outlast.queues set backlog = 19999")
        await bench.until(lambda: is_taken(bench))
    await store.close()


async def is_taken(bench: Bench) -> bool:
    return await left(bench) == 0


async def test_what_operators_set_holds_for_a_queue_without_limits_in_code(queue_database: str) -> None:
    at_once.running = at_once.most = 0

    @workflow(queue="pgmq:orders")
    async def plain(sku: str) -> str:
        await work()
        return sku

    store = a_store(queue_database, "i")
    async with engine_on(queue_database, plain) as bench:
        await bench.rows("select outlast.pause_queue('pgmq:orders', why => 'an outage')")
    # Anew, as a look that was under way may not have seen the pause.
    async with engine_on(queue_database, plain) as bench:
        sent = [await send(bench, json.dumps({"sku": str(number)})) for number in range(6)]
        assert await taken_by(store, 6) == []
        assert await left(bench) == 6
        await bench.rows("select outlast.set_queue('pgmq:orders', '{\"concurrency\": 1}')")
        await bench.rows("select outlast.resume_queue('pgmq:orders')")
        for number, each in enumerate(sent):
            assert await result(bench, f"pgmq:orders:{each}") == str(number)
        assert at_once.most == 1
        await bench.rows("select outlast.set_queue('pgmq:orders', '{}', reset => true)")
        last = await send(bench, '{"sku": "free"}')
        assert await result(bench, f"pgmq:orders:{last}") == "free"
    await store.close()
