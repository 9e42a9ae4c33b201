"""What operators do to workflows, as SQL does it: pause, resume, fork, settle, kill, delete."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors
from psycopg.types.json import Jsonb

from outlast.core.claims import Room
from outlast.core.records import Batch, Ending, FencedWrite
from outlast.core.status import Status
from tests.store.harness import rows, start, step, store_of, under_way, waits_for_a_lock

INSERT = """
insert into outlast.workflow_status (workflow_id, function, status, owner, parent, saga, claimable_at)
values (%s, 'f', %s, %s, %s, %s, case when %s = 'ENQUEUED' then now() end)
"""
NOTE = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, error, completion_order, called_after, kind
) values ('w', %s, %s, %s, %s, %s, %s, %s)
"""
ROW = (
    "select status, owner, epoch::int, held ->> 'reason', claimable_at is not null"
    " from outlast.workflow_status"
)
FAILED = '{"type": "ValueError", "message": "no"}'
Refused = errors.ObjectNotInPrerequisiteState


@pytest.fixture
def sql(database: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def insert(
    sql: Connection[Any],
    workflow_id: str = "w",
    status: str = "PENDING",
    owner: str | None = None,
    parent: str | None = None,
    saga: str | None = None,
) -> None:
    sql.execute(INSERT, (workflow_id, status, owner, parent, saga, status))


def note(
    sql: Connection[Any],
    step_id: str,
    place: int | None,
    called: int | None = None,
    name: str | None = None,
    output: str | None = "1",
    kind: str = "step",
) -> None:
    """A record; without an output a failure."""
    error = FAILED if output is None else None
    sql.execute(NOTE, (step_id, name or f"s{step_id}", output, error, place, called, kind))


def one(sql: Connection[Any], query: str, *parameters: Any) -> Any:
    row = sql.execute(query.encode(), parameters).fetchone()
    return None if row is None else row[0] if len(row) == 1 else row


def acts(sql: Connection[Any]) -> list[tuple[Any, ...]]:
    return sql.execute("select verb, name, by, why from outlast.acts order by act_id").fetchall()


# --- pause and resume -----------------------------------------------------------------------------------


async def test_a_pause_takes_a_workflow_from_its_owner(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        await rows(database, "select * from outlast.pause_workflow('w', 'look first', 'ann')")
        assert await rows(database, ROW) == [("PENDING", None, 2, "paused", True)]
        late = await store.journal.commit(Batch(2, [], [FencedWrite("w", 1, [step(1)])]))
        assert late.accepted == frozenset()
        claims = await store.instances.claim(Room(["f"], 10, 10))
        assert claims.workflows == []
        assert json.loads(claims.stops["w"])["code"] == "paused"
        ((told,),) = await rows(database, "select outlast.waiting_on('w')")
        assert told.startswith("paused by ann")
        assert "look first" in told
        await rows(database, "select * from outlast.pause_workflow('w', 'again')")
        await rows(database, "select * from outlast.resume_workflow('w', by => 'bob')")
        claims = await store.instances.claim(Room(["f"], 10, 10))
        assert [(each.workflow_id, each.epoch) for each in claims.workflows] == [("w", 3)]
        assert "w" not in claims.stops
        done = await store.journal.commit(
            Batch(3, [], [FencedWrite("w", 3, [step(1)], Ending(Status.SUCCESS))])
        )
        assert done.accepted == {"w"}
    found = await rows(database, "select verb, by, why from outlast.acts order by act_id")
    assert found == [("pause", "ann", "look first"), ("resume", "bob", None)]


async def test_a_pause_comes_before_a_record_or_after_it(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
    record = (
        "with held as (select from outlast.workflow_status where workflow_id = 'w' for share)"
        " insert into outlast.operation_outputs (workflow_id, step_id, name, output, completion_order)"
        " select 'w', '1', 's', '1', 1 from held"
    )
    async with under_way(database, record):
        pause = asyncio.create_task(rows(database, "select status from outlast.pause_workflow('w')"))
        await waits_for_a_lock(database, pause)
        assert not pause.done()
    assert await pause == [("PENDING",)]
    assert await rows(database, "select count(*)::int from outlast.operation_outputs") == [(1,)]
    assert await rows(database, ROW) == [("PENDING", None, 2, "paused", True)]


def test_what_waits_for_its_time_goes_on_waiting_while_it_is_paused(sql: Connection[Any]) -> None:
    insert(sql)
    sql.execute("update outlast.workflow_status set claimable_at = now() + interval '1 hour'")
    later = one(sql, "select claimable_at from outlast.workflow_status")
    sql.execute("select outlast.pause_workflow('w')")
    sql.execute("select outlast.resume_workflow('w')")
    assert one(sql, "select claimable_at from outlast.workflow_status") == later


@pytest.mark.parametrize("verb", ["cancel_workflow('w')", "cancel_workflow('w', 'kill')", "drain_queue('q')"])
def test_what_has_ended_is_not_held(verb: str, sql: Connection[Any]) -> None:
    insert(sql, status="ENQUEUED")
    sql.execute("insert into outlast.queues (name, base, declared_at) values ('q', '{}', now())")
    sql.execute("update outlast.workflow_status set queue = 'q', rank = now()")
    sql.execute("select outlast.pause_workflow('w')")
    sql.execute(f"select outlast.{verb}".encode())
    assert one(sql, "select status, held from outlast.workflow_status") == ("CANCELLED", None)


def test_what_held_a_workflow_before_a_pause_holds_it_again(sql: Connection[Any]) -> None:
    insert(sql)
    sql.execute("""update outlast.workflow_status set held = '{"reason": "non_determinism"}'""")
    sql.execute("select outlast.pause_workflow('w')")
    assert one(sql, "select outlast.waiting_on('w')").startswith("paused")
    assert one(sql, "select held ->> 'reason' from outlast.resume_workflow('w')") == "non_determinism"
    assert one(sql, "select held from outlast.resume_workflow('w')") is None


def test_a_retry_of_what_is_paused_names_the_verb_that_fits(sql: Connection[Any]) -> None:
    insert(sql)
    sql.execute("select outlast.pause_workflow('w')")
    with pytest.raises(Refused, match="the workflow is PENDING") as refusal:
        sql.execute("select outlast.retry_workflow('w')")
    assert str(refusal.value.diag.message_hint).startswith("it is paused: resume it")


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("status", ["SUCCESS", "ERROR", "CANCELLED", "EXHAUSTED"])
def test_an_ended_workflow_is_neither_paused_nor_resumed(
    sql: Connection[Any], verb: str, status: str
) -> None:
    insert(sql, status=status)
    with pytest.raises(Refused, match=f"the workflow is {status}") as refusal:
        sql.execute(f"select outlast.{verb}_workflow('w')".encode())
    assert ("fork" if status == "SUCCESS" else "retry") in str(refusal.value.diag.message_hint)
    assert acts(sql) == []


def test_parts_of_maps_and_batches_are_not_paused_alone(sql: Connection[Any]) -> None:
    insert(sql)
    for column, value in (("map", "{}"), ("batch", "w/batch")):
        sql.execute("update outlast.workflow_status set map = null, batch = null")
        sql.execute(f"update outlast.workflow_status set {column} = %s".encode(), (value,))
        with pytest.raises(Refused):
            sql.execute("select outlast.pause_workflow('w')")


# --- forks ------------------------------------------------------------------------------------------------

FORK = "select fork, kept, again::jsonb from outlast.fork_workflow('w', \"from\" => %s)"
RECORDS = """
select row_to_json(o)::text from (
  select step_id, name, output::text, error::text, attempts, completion_order, nonce, started_at,
    completed_at, kind, at, arguments, called_after, settled
  from outlast.operation_outputs where workflow_id = %s and (%s::text[] is null or step_id = any(%s))
  order by completion_order
) as o
"""


def test_a_fork_begins_with_the_records_up_to_its_place(sql: Connection[Any]) -> None:
    insert(sql, status="ERROR")
    sql.execute(
        "update outlast.workflow_status"
        " set input = '{\"a\":  1.0}', subject = 'ann', attributes = '{\"c\":1}'"
    )
    note(sql, "1", 1, 0)
    note(sql, "2", 3, 1, output=None)
    note(sql, "3", 2, 1, output='{"b":  2.50}')
    note(sql, "4", 4, 3)
    fork = ""
    again = [{"step_id": "2", "name": "s2"}, {"step_id": "4", "name": "s4"}]
    for place in ("2", "s2"):
        fork, kept, left = one(sql, FORK, place)
        assert (kept, left) == (2, again)
        source = sql.execute(RECORDS, ("w", ["1", "3"], ["1", "3"])).fetchall()
        assert sql.execute(RECORDS, (fork, None, None)).fetchall() == source
        copied = (
            "select input::text, subject, attributes::text, forked_from, root_id from outlast.workflow_status"
        )
        assert one(sql, f"{copied} where workflow_id = %s", fork) == (
            '{"a":  1.0}',
            "ann",
            '{"c":1}',
            "w",
            "w",
        )
    assert fork == "w~3"
    fork, kept, left = one(sql, FORK, "start")
    assert (fork, kept, len(left)) == ("w~4", 0, 4)
    found = one(sql, "select fork from outlast.fork_workflow('w~2')")
    assert found == "w~5"
    line = "select forked_from, root_id, born is null from outlast.workflow_status where workflow_id = %s"
    assert one(sql, line, found) == ("w~2", "w", True)
    assert [each[:2] for each in acts(sql)] == [("fork", "w")] * 3 + [("fork", "w~2")]


def test_a_fork_of_a_fork_draws_as_the_first_one_did(sql: Connection[Any]) -> None:
    insert(sql, status="SUCCESS")
    note(sql, "1", 1, 0)
    note(sql, "2", 2, 1)
    sql.execute(FORK, ("2",))
    sql.execute("update outlast.workflow_status set status = 'SUCCESS' where workflow_id = 'w~2'")
    sql.execute(
        """insert into outlast.operation_outputs (workflow_id, step_id, name) values ('w~2', '2', 's2')"""
    )
    assert one(sql, "select fork from outlast.fork_workflow('w~2', \"from\" => '2')") == "w~3"
    born = (
        "select born ->> 'id', (born ->> 'at_s')::float8 from outlast.workflow_status where workflow_id = %s"
    )
    assert one(sql, born, "w~2") == one(sql, born, "w~3")
    assert one(sql, born, "w~2")[0] == "w"


def test_received_messages_go_along_and_others_stay(sql: Connection[Any]) -> None:
    insert(sql, status="SUCCESS")
    for number in (1, 2, 3):
        sql.execute(
            "insert into outlast.messages (workflow_id, topic, message, number) values ('w', 't', %s, %s)",
            (str(number), number),
        )
    note(sql, "1", 1, 0, "receive t", '{"message_id":1,"number":1,"message":1}', "receive")
    note(sql, "2", 2, 1, "receive t", '{"message_id":2,"number":2,"message":2}', "receive")
    fork, _, _ = one(sql, FORK, "2")
    messages = "select topic, message::text, number::int from outlast.messages where workflow_id = %s"
    assert sql.execute(messages, (fork,)).fetchall() == [("t", "1", 1)]
    assert one(sql, "select mail::int from outlast.workflow_status where workflow_id = %s", fork) == 1


def test_a_fork_waits_in_its_queue_under_the_key_of_its_input(sql: Connection[Any]) -> None:
    insert(sql, status="SUCCESS")
    sql.execute("insert into outlast.queues (name, base) values ('mail', '{\"key\": \"to.name\"}')")
    sql.execute("update outlast.workflow_status set queue = 'mail', queue_key = 'ann', priority = 7")
    input = "select fork from outlast.fork_workflow('w', input => %s)"
    forks = [one(sql, input, given) for given in (None, Jsonb({"to": {"name": "bob"}}))]
    stands = "select queue_key from outlast.workflow_status where workflow_id = %s and priority = 7"
    assert [one(sql, stands, each) for each in forks] == ["ann", "bob"]
    with pytest.raises(errors.InvalidParameterValue, match="its queue finds its key"):
        one(sql, input, Jsonb({"to": 1}))
    sql.execute("update outlast.queues set base = '{\"key\": true}'")
    assert one(sql, stands, one(sql, input, None)) == "ann"
    with pytest.raises(errors.InvalidParameterValue, match="whose key is a function in Python"):
        one(sql, input, Jsonb({"to": {"name": "bob"}}))
    sql.execute("update outlast.workflow_status set queue = 'gone' where workflow_id = 'w'")
    query = "select queue from outlast.workflow_status where workflow_id = %s"
    assert one(sql, query, one(sql, input, None)) is None


def test_a_key_forks_once(sql: Connection[Any]) -> None:
    insert(sql, status="ERROR")
    keyed = "select fork from outlast.fork_workflow('w', idempotency_key => %s)"
    assert [one(sql, keyed, key) for key in ("a", "a", "b", None)] == ["w~2", "w~2", "w~3", "w~4"]


def test_forks_with_new_children_keep_nothing_from_the_first_start_on(sql: Connection[Any]) -> None:
    insert(sql, status="SUCCESS")
    note(sql, "1", 1, 0)
    note(sql, "2", 2, 1, "start f", '"w/2"', "start")
    note(sql, "3", 3, 1)
    note(sql, "4", 4, 2, "result of w/2", "1", "result")
    note(sql, "5", 5, 4)
    children = "select kept from outlast.fork_workflow('w', \"from\" => '5', children => %s)"
    assert [one(sql, children, how) for how in ("reuse", "new")] == [4, 2]


def test_what_a_fork_is_refused_for(sql: Connection[Any]) -> None:
    insert(sql)
    note(sql, "1", 1, 0, "twice")
    note(sql, "2", 2, 1, "twice")
    with pytest.raises(Refused, match="the workflow is PENDING, and has not failed"):
        one(sql, FORK, "failed")
    for place, told in (("9", "no recorded step"), ("twice", "several")):
        with pytest.raises(errors.InvalidParameterValue, match=told):
            one(sql, FORK, place)
    with pytest.raises(errors.InvalidParameterValue, match="input"):
        sql.execute("select outlast.fork_workflow('w', \"from\" => '1', input => '{}')")
    with pytest.raises(errors.InvalidParameterValue, match="children"):
        sql.execute("select outlast.fork_workflow('w', children => 'all')")
    with pytest.raises(errors.NoDataFound):
        sql.execute("select outlast.fork_workflow('x')")
    assert one(sql, "select count(*) from outlast.workflow_status") == 1


def test_a_fork_of_what_a_saga_has_undone_begins_before_that(sql: Connection[Any]) -> None:
    insert(sql, status="ERROR")
    note(sql, "1", 1, 0, "undo book", '{"step": "book", "undo": "free"}', "undo")
    note(sql, "2", 2, 1, "book")
    note(sql, "3", 3, 2, "pay", None)
    note(sql, "4", 4, 3, "undoing", '{"total": 1, "next": "1"}', "undo")
    note(sql, "5", 5, 4, "free")
    note(sql, "6", 6, 5, "undone", '{"step": "book", "undo": "free"}', "undo")
    with pytest.raises(Refused, match="has undone book"):
        one(sql, FORK, "3")
    for place in ("failed", "1"):
        assert one(sql, FORK, place)[1] == 0


# --- settling ---------------------------------------------------------------------------------------------


def test_a_key_of_a_fork_stands_for_what_was_asked_for(sql: Connection[Any]) -> None:
    insert(sql, status="ERROR")
    note(sql, "1", 1, 0)
    note(sql, "2", 2, 1, output=None)
    fork = "select fork, kept from outlast.fork_workflow('w', %s, %s, idempotency_key => 'k')"
    assert one(sql, fork, "2", None) == ("w~2", 1)
    assert one(sql, fork, "2", None) == ("w~2", 1)
    for other in (("1", None), ("start", Jsonb({"a": 1}))):
        with pytest.raises(errors.InvalidParameterValue, match="made w~2, which is another fork"):
            one(sql, fork, *other)
    assert one(sql, "select count(*)::int from outlast.workflow_status") == 2


SETTLE = "select outlast.settle_workflow('w', %s, output => %s, error => %s, name => %s, by => 'ann')"
STEP = """
select name, output::text, error ->> 'message', completion_order, settled ->> 'by'
from outlast.operation_outputs where step_id = %s
"""


def settle(
    sql: Connection[Any], step_id: str, output: Any = 7, error: str | None = None, name: str | None = None
) -> None:
    sql.execute(SETTLE, (step_id, None if error else Jsonb(output), error, name))


def test_a_failed_step_is_settled(sql: Connection[Any]) -> None:
    insert(sql, status="ERROR")
    note(sql, "1", 1, 0)
    note(sql, "2", 2, 1, output=None)
    settle(sql, "s2", {"paid": True})
    assert one(sql, STEP, "2") == ("s2", '{"paid": true}', None, 2, "ann")
    with pytest.raises(Refused, match="a success never changes"):
        settle(sql, "1")
    assert one(sql, "select status from outlast.workflow_status") == "ERROR"


def test_what_was_settled_wrongly_is_settled_again_until_something_came_of_it(sql: Connection[Any]) -> None:
    insert(sql)
    sql.execute("select outlast.pause_workflow('w')")
    settle(sql, "1", "a typo", name="pya")
    settle(sql, "1", {"paid": True}, name="pay")
    assert one(sql, STEP, "1") == ("pay", '{"paid": true}', None, 1, "ann")
    settle(sql, "pay", error="declined")
    assert one(sql, STEP, "1") == ("pay", None, "declined", 1, "ann")
    note(sql, "2", 2, 1)
    with pytest.raises(Refused, match="went on after step 1"):
        settle(sql, "1")
    assert acts(sql)[1:] == [("settle", "w", "ann", None)] * 3


def test_nothing_is_settled_that_the_code_has_not_come_to(sql: Connection[Any]) -> None:
    insert(sql)
    note(sql, "1", 1, 0)
    note(sql, "2", None, 1, "receive go", "9e9", "receive")
    sql.execute("select outlast.pause_workflow('w')")
    with pytest.raises(Refused, match="step 2 is not over, so the code has not come to step 3"):
        settle(sql, "3", name="pay")
    settle(sql, "3.1", name="pay")  # of another task, which may run beside it
    assert one(sql, STEP, "3.1") == ("pay", "7", None, 2, "ann")


def test_a_step_of_a_paused_workflow_is_settled(sql: Connection[Any]) -> None:
    insert(sql)
    note(sql, "1", 1, 0)
    with pytest.raises(Refused, match="may run that step now"):
        settle(sql, "2", name="pay")
    sql.execute("select outlast.pause_workflow('w')")
    with pytest.raises(errors.InvalidParameterValue, match="name is missing"):
        settle(sql, "2")
    settle(sql, "2", None, name="pay")
    assert one(sql, STEP, "2") == ("pay", "null", None, 2, "ann")
    settle(sql, "3", error="declined", name="ship")
    assert one(sql, STEP, "3") == ("ship", None, "declined", 3, "ann")
    settle(sql, "3", 1)
    assert one(sql, STEP, "3") == ("ship", "1", None, 3, "ann")


def test_of_a_step_that_was_seen_to_run_the_name_is_known(sql: Connection[Any]) -> None:
    insert(sql, owner="i")
    running = [{"workflow_id": "w", "epoch": 0, "step_id": "1", "name": "pay", "attempt": 1, "began_s": 1}]
    sql.execute(
        "insert into outlast.instances (instance_id, lease_until, running) values ('i', now(), %s)",
        (Jsonb(running),),
    )
    assert one(sql, "select held -> 'running' from outlast.pause_workflow('w')") == {"1": "pay"}
    with pytest.raises(Refused, match="step 1 is not over, so the code has not come to step 2"):
        settle(sql, "2", name="ship")
    settle(sql, "1")
    assert one(sql, STEP, "1") == ("pay", "7", None, 1, "ann")
    settle(sql, "2", name="ship")
    assert one(sql, STEP, "2") == ("ship", "7", None, 2, "ann")


def test_what_is_not_settled(sql: Connection[Any]) -> None:
    insert(sql, status="ERROR")
    note(sql, "1", 1, 0, output=None)
    note(sql, "2", 2, 1)
    note(sql, "3", None, 2, "receive t", "9e9", "receive")
    with pytest.raises(Refused, match="went on after step 1"):
        settle(sql, "1")
    with pytest.raises(Refused, match="but a receive"):
        settle(sql, "3")
    with pytest.raises(errors.InvalidParameterValue, match="names no step"):
        settle(sql, "ship")
    for both in ((Jsonb(1), "x"), (None, None)):
        with pytest.raises(errors.InvalidParameterValue, match="output"):
            sql.execute(SETTLE, ("9", *both, "n"))
    insert(sql, "done", "SUCCESS")
    with pytest.raises(Refused, match="which never changes"):
        sql.execute("select outlast.settle_workflow('done', '1', output => '1', name => 's')")


# --- kill and delete --------------------------------------------------------------------------------------


def test_a_kill_undoes_nothing_of_the_workflow_and_of_what_it_started(sql: Connection[Any]) -> None:
    insert(sql, saga="open", owner="i")
    insert(sql, "w/1", parent="w", saga="undoing", owner="i")
    insert(sql, "w/1/1", parent="w/1", saga="open", owner="i")
    sql.execute("update outlast.workflow_status set started_at = now()")
    assert one(sql, "select status from outlast.cancel_workflow('w', 'kill', 'enough', 'ann')") == "CANCELLED"
    stands = "select distinct status, owner, claimable_at, epoch::int from outlast.workflow_status"
    assert sql.execute(stands).fetchall() == [("CANCELLED", None, None, 1)]
    assert acts(sql) == [("cancel", "w", "ann", "enough")]
    assert one(sql, "select status from outlast.cancel_workflow('w')") == "CANCELLED"


def test_a_cancel_without_kill_lets_sagas_undo(sql: Connection[Any]) -> None:
    insert(sql, saga="open", owner="i")
    assert one(sql, "select status from outlast.cancel_workflow('w')") == "PENDING"
    assert one(sql, "select status from outlast.cancel_workflow('w', mode => 'kill')") == "CANCELLED"
    with pytest.raises(errors.InvalidParameterValue, match="mode"):
        sql.execute("select outlast.cancel_workflow('w', mode => 'stop')")


def test_an_ended_workflow_is_deleted_with_all_that_belongs_to_it(sql: Connection[Any]) -> None:
    insert(sql, status="SUCCESS")
    insert(sql, "w/1", "ERROR", parent="w")
    insert(sql, "w/1/1", "SUCCESS", parent="w/1")
    insert(sql, "other", "SUCCESS")
    note(sql, "1", 1)
    sql.execute("select from outlast.set_workflow('w', '{\"a\": 1}', 'seen', 'bob')")
    assert one(sql, "select deleted from outlast.delete_workflow('w', 'old', 'ann')") == 3
    assert one(sql, "select string_agg(workflow_id, ' ') from outlast.workflow_status") == "other"
    assert one(sql, "select count(*) from outlast.operation_outputs") == 0
    # Who did what to it stays, though it is gone.
    assert acts(sql) == [("set", "w", "bob", "seen"), ("delete", "w", "ann", "old")]
    with pytest.raises(errors.NoDataFound):
        sql.execute("select outlast.delete_workflow('w')")


@pytest.mark.parametrize("live", ["itself", "its child", "its parent", "its fork"])
def test_what_somebody_may_still_read_is_not_deleted(sql: Connection[Any], live: str) -> None:
    stands = {each: "PENDING" if each == live else "ERROR" for each in ("itself", "its child", "its parent")}
    insert(sql, "p", stands["its parent"])
    insert(sql, "w", stands["itself"], parent="p")
    insert(sql, "w/1", stands["its child"], parent="w")
    if live == "its fork":
        assert one(sql, FORK, "start")[0] == "w~2"
    told = (
        "the workflow is PENDING" if live == "itself" else "is live, and belongs to it or may still read it"
    )
    with pytest.raises(Refused, match=told):
        sql.execute("select outlast.delete_workflow('w')")
    sql.execute("update outlast.workflow_status set status = 'ERROR'")
    assert one(sql, "select outlast.delete_workflow('w')") == 2


@pytest.mark.parametrize("kind", ["start", "start_all", "map"])
@pytest.mark.parametrize("reader", ["p", "w~2"])
@pytest.mark.parametrize("status", ["ERROR", "CANCELLED", "EXHAUSTED"])
def test_what_is_read_after_a_retry_is_not_deleted(
    sql: Connection[Any], reader: str, status: str, kind: str
) -> None:
    for each in ("p", "w~2"):
        insert(sql, each, status if each == reader else "SUCCESS")
        sql.execute(
            "insert into outlast.operation_outputs (workflow_id, step_id, name, kind, completion_order)"
            " values (%s, '1', 'x', %s, 1)",
            (each, kind),
        )
    insert(sql, "w", "SUCCESS", parent="p")
    sql.execute("update outlast.workflow_status set forked_from = 'w' where workflow_id = 'w~2'")
    with pytest.raises(Refused, match=f"{reader} has failed, and reads it if it is retried"):
        sql.execute("select outlast.delete_workflow('w')")
    assert one(sql, "select outlast.delete_workflow(%s)", reader) >= 1


@pytest.mark.parametrize("live", ["p", "p~2", "p~3"])
def test_what_a_map_or_a_parents_fork_may_still_read_is_not_deleted(sql: Connection[Any], live: str) -> None:
    for each in ("p", "p~2", "p~3"):
        insert(sql, each, "PENDING" if each == live else "ERROR")
    sql.execute("update outlast.workflow_status set forked_from = 'p' where workflow_id = 'p~2'")
    sql.execute("update outlast.workflow_status set forked_from = 'p~2' where workflow_id = 'p~3'")
    insert(sql, "p/map.1", "SUCCESS", parent="p")
    sql.execute("update outlast.workflow_status set map = '{}' where workflow_id = 'p/map.1'")
    insert(sql, "p/map.1/0", "SUCCESS", parent="p/map.1")
    for each in ("p/map.1/0", "p/map.1"):
        with pytest.raises(Refused, match=f"{live} is live, and belongs to it or may still read it"):
            sql.execute("select outlast.delete_workflow(%s)", (each,))
    sql.execute("update outlast.workflow_status set status = 'ERROR'")
    assert one(sql, "select outlast.delete_workflow('p/map.1/0')") == 1
