"""Retry and rewind in SQL: what they do to the row, who may, and the fences of what follows from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from outlast.core.status import Status
from tests.callers import as_user

INSERT = """
insert into outlast.workflow_status (
  workflow_id, function, status, error, epoch, owner, parent, completed_at, created_at, deadline, queue, map,
  idempotency_key, claims, retried_at, generation, untold
) values (
  %(id)s, 'f', %(status)s, %(error)s, 3, %(owner)s, %(parent)s, %(ended)s, now() - interval '2 h',
  now() - interval '1 h', %(queue)s, %(map)s, null, %(claims)s, %(retried)s, %(generation)s, false
)
"""
RECORD = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, kind, output, error, completion_order, called_after
) values (%s, %s, %s, %s, '1', %s, %s, %s)
"""
FAILED = '{"code":"workflow_error","steps":["2"]}'
SHOWN = """
select status, epoch, generation, owner, error, completed_at, claimable_at <= now(),
  deadline > now() + interval '59 min', untold, last_place
from outlast.workflow_status where workflow_id = %s
"""


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        yield connection


def insert(connection: Connection[Any], workflow_id: str, **given: Any) -> None:
    values: dict[str, Any] = {
        "status": "ERROR", "error": FAILED, "owner": None, "parent": None, "ended": "-infinity",
        "queue": None, "map": None, "claims": None, "retried": None, "generation": 1, **given,
    }  # fmt: skip
    connection.execute(INSERT, {"id": workflow_id, **values})


def record(connection: Connection[Any], of: str, step_id: str, place: int, after: int, **given: Any) -> None:
    kind, error = given.get("kind", "step"), given.get("error")
    connection.execute(RECORD, (of, step_id, given.get("name", "s"), kind, error, place, after))


def one(connection: Connection[Any], query: str, *given: Any) -> Any:
    row = connection.execute(query.encode(), given).fetchone()
    assert row is not None
    return row if len(row) > 1 else row[0]


def test_a_row_that_is_retried(connection: Connection[Any]) -> None:
    insert(connection, "w")
    record(connection, "w", "1", 1, 0)
    record(connection, "w", "2", 2, 1, error="{}")
    record(connection, "w", "3", 3, 2)
    record(connection, "w", "4", 4, 1)
    record(connection, "w", "5", 5, 1, error="{}")
    with as_user(connection, {"role": "service_role"}, "service_role"):
        assert one(connection, "select outlast.retry('w', 'mended')") == "ENQUEUED"
    assert one(connection, SHOWN, "w") == ("ENQUEUED", 4, 2, None, None, None, True, True, True, 6)
    kept = "select array_agg(step_id order by step_id) from outlast.operation_outputs"
    assert one(connection, kept) == ["1", "4"]
    noted = one(connection, "select verb, by, why, before from outlast.acts")
    assert noted[:3] == ("retry", "service_role", "mended")
    assert (noted[3]["status"], noted[3]["epoch"], noted[3]["dropped"]) == ("ERROR", 3, ["2", "3", "5"])


def test_what_was_settled_by_hand_has_not_failed(connection: Connection[Any]) -> None:
    insert(connection, "w")
    record(connection, "w", "2", 2, 1)
    assert one(connection, "select dropped from outlast.retry_workflow('w')") == []


def test_what_stopped_a_workflow_is_no_step_that_was_dropped(connection: Connection[Any]) -> None:
    insert(connection, "w", status="CANCELLED", error='{"code":"workflow_cancelled"}')
    record(connection, "w", "1", 1, 0)
    record(connection, "w", "0", 2, 1, kind="stop", name="stop")
    record(connection, "w", "2", 3, 2, error="{}")
    assert one(connection, "select dropped from outlast.retry_workflow('w')") == ["2"]
    left = "select array_agg(step_id) from outlast.operation_outputs"
    assert one(connection, left) == ["1"]


def test_a_failure_that_was_settled_by_hand_stays(connection: Connection[Any]) -> None:
    for each, failed in (("w", ["2", "3"]), ("older", None)):
        insert(
            connection,
            each,
            error=json.dumps({"code": "workflow_error", **({"steps": failed} if failed else {})}),
        )
        record(connection, each, "1", 1, 0)
        record(connection, each, "2", 2, 1, error="{}")
        record(connection, each, "3", 3, 1, error="{}")
        connection.execute("select outlast.settle_workflow(%s, '3', error => 'declined')", (each,))
        assert one(connection, f"select dropped from outlast.retry_workflow('{each}')") == ["2"]
        ended = "update outlast.workflow_status set status = 'ERROR', completed_at = now(), error = %s"
        connection.execute(ended.encode(), ('{"code": "workflow_error", "steps": ["3"]}',))
        # Another end has come of it by now.
        assert one(connection, f"select dropped from outlast.retry_workflow('{each}')") == ["3"]


def test_rows_of_older_versions_drop_their_last_failure(connection: Connection[Any]) -> None:
    insert(connection, "w", error='{"code":"workflow_error","failure":{"type":"\\u0000","args":[1e999999]}}')
    record(connection, "w", "1", 1, 0, error="{}")
    record(connection, "w", "2", 2, 1, error="{}")
    assert one(connection, "select dropped from outlast.retry_workflow('w')") == ["2"]


@pytest.mark.parametrize("verb", ["retry_workflow(%s)", "rewind_workflow(%s, '1')"])
def test_what_can_not_be_retried(verb: str, connection: Connection[Any]) -> None:
    for status in (Status.PENDING, Status.ENQUEUED, Status.SUCCESS):
        insert(connection, status, status=status)
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match=f"the workflow is {status}; only one"):
            connection.execute(f"select outlast.{verb}".encode(), (status,))
    insert(connection, "m")
    insert(connection, "m/map.1", map="{}", parent="m")
    insert(connection, "m/map.1/0", parent="m/map.1", queue="m/map.1")
    insert(connection, "b/batch", claims='{"outlast":{"mode":"queue"}}')
    for each, why in (("m/map.1", "a map"), ("m/map.1/0", "an item of a map"), ("b/batch", "a batch")):
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match=f"this is {why}"):
            connection.execute(f"select outlast.{verb}".encode(), (each,))
    with pytest.raises(errors.NoDataFound):
        connection.execute(f"select outlast.{verb}".encode(), ("nobody",))
    assert one(connection, "select count(*) from outlast.acts") == 0


def test_only_the_service_retries(connection: Connection[Any]) -> None:
    insert(connection, "w")
    for role in ("anon", "authenticated"):
        connection.execute(f"grant usage on schema outlast to {role}".encode())
        for call in ("retry('w')", "retry_workflow('w')", "rewind('w', '1')", "rewind_workflow('w', '1')"):
            with as_user(connection, {"role": role}, role), pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"select outlast.{call}".encode())


def family(connection: Connection[Any]) -> None:
    """A parent that was retried, runs on `me` at epoch 3, and has a child that failed before."""
    insert(connection, "p", status="PENDING", error=None, owner="me", retried="now", generation=2, ended=None)
    insert(connection, "c", parent="p")


def test_a_child_is_retried_under_its_parents_fence(connection: Connection[Any]) -> None:
    family(connection)
    retry = "select outlast.retry_child(%s, 'p', %s, %s)"
    for refused in (("c", 2, "me"), ("c", 3, "you"), ("p", 3, "me")):
        assert not one(connection, retry, *refused)
    assert one(connection, retry, "c", 3, "me")
    assert not one(connection, retry, "c", 3, "me")
    assert one(connection, "select generation from outlast.workflow_status where workflow_id = 'c'") == 2
    connection.execute("update outlast.workflow_status set status = 'ERROR', completed_at = 'infinity'")
    connection.execute("update outlast.workflow_status set status = 'PENDING' where workflow_id = 'p'")
    assert not one(connection, retry, "c", 3, "me"), "it has failed since its parent was retried"


def test_what_lives_below_has_the_time_of_what_is_retried(connection: Connection[Any]) -> None:
    """What had to end when that did. What has an earlier time of its own, or is detached, keeps it."""
    insert(connection, "p")
    for each, above in (("same", "p"), ("below", "same"), ("earlier", "p"), ("detached", "p"), ("own", "p")):
        insert(connection, each, parent=above, status="PENDING", error=None, ended=None)
    connection.execute(
        "update outlast.workflow_status set created_at = now() - interval '1 hour',"
        " timeout_s = case workflow_id when 'p' then 3600 when 'own' then 5400 end,"
        " detached = workflow_id = 'detached',"
        " deadline = now() - case workflow_id when 'earlier' then interval '1 minute' else interval '0 s' end"
    )
    connection.execute("select outlast.retry_workflow('p')")
    left = "select round(extract(epoch from deadline - now()) / 60) from outlast.workflow_status"
    left += " where workflow_id = %s"
    ids = ("p", "same", "below", "own", "earlier", "detached")
    assert [int(one(connection, left, each)) for each in ids] == [60, 60, 60, 30, -1, 0]


@pytest.mark.parametrize("at_once", [False, True])
def test_a_child_that_was_retried_before_its_parent_ends_with_that(
    connection: Connection[Any], at_once: bool
) -> None:
    """Or in the same statement, as by a bulk: while its parent had failed, only its own time bounded it."""
    for each, above, timeout_s in (("p", None, 3600), ("c", "p", 36000), ("g", "c", None)):
        insert(connection, each, parent=above)
        connection.execute(
            "update outlast.workflow_status set timeout_s = %s where workflow_id = %s", (timeout_s, each)
        )
    if at_once:
        connection.execute("select outlast.retry_many(array['p', 'c', 'g'], null, 'me')")
    else:
        for each in "gcp":
            connection.execute("select outlast.retry_workflow(%s)", (each,))
    times = (
        "select max(deadline) <= max(deadline) filter (where workflow_id = 'p') from outlast.workflow_status"
    )
    assert one(connection, times)


def test_a_map_is_opened_again_under_its_parents_fence(connection: Connection[Any]) -> None:
    family(connection)
    stands = {"total": 3, "started": 3, "tolerate": 0, "stopped": True, "dropped": 1}
    insert(connection, "p/map.1", parent="p", map=json.dumps(stands))
    insert(connection, "p/map.1/0", parent="p/map.1", queue="p/map.1")
    insert(connection, "p/map.1/1", parent="p/map.1", queue="p/map.1", status="SUCCESS", error=None)
    reopen = "select outlast.reopen_map('p/map.1', 'p', %s, %s, 2, 0, 'drain')"
    stands_now = """
    select m.status, m.map ->> 'started', m.map ->> 'stopped', i.status, i.generation
    from outlast.workflow_status m, outlast.workflow_status i
    where m.workflow_id = 'p/map.1' and i.workflow_id = 'p/map.1/0'
    """
    for refused in (("me", 2), ("you", 3)):
        assert not one(connection, reopen, *refused)
        assert one(connection, stands_now) == ("ERROR", "3", "true", "ERROR", 1)
    for _ in range(2):
        assert one(connection, reopen, "me", 3)
        assert one(connection, stands_now) == ("PENDING", "0", "false", "ENQUEUED", 2)
    assert one(connection, "select base from outlast.queues") == {"concurrency": 2}


def failed_map(connection: Connection[Any], items: int) -> None:
    stands = {
        "total": items,
        "started": items,
        "tolerate": 0,
        "on_fail": "wait",
        "stopped": True,
        "tell_at": 0,
    }
    insert(connection, "p/map.1", parent="p", map=json.dumps(stands))
    for n in range(items):
        insert(connection, f"p/map.1/{n}", parent="p/map.1", queue="p/map.1")


def test_a_maps_items_go_on_some_at_a_time(connection: Connection[Any]) -> None:
    family(connection)
    failed_map(connection, 5)
    reopen = "select outlast.reopen_map('p/map.1', 'p', 'me', 3, 2, 0, 'drain', 2)"
    shown = """
    select array_agg(status || generation order by workflow_id) from outlast.workflow_status
    where parent = 'p/map.1'
    """
    look = """
    select status, map::jsonb ? 'reopening' from outlast.workflow_status where workflow_id = 'p/map.1'
    """

    def end(status: str, *items: int) -> None:
        ids = [f"p/map.1/{n}" for n in items]
        update = (
            "update outlast.workflow_status set status = %s, claimable_at = null, completed_at = now()"
            " where workflow_id = any(%s)"
        )
        connection.execute(update, (status, ids))
        connection.execute("select outlast.tell_ends(%s)", (ids,))

    seen = []
    for ended, status in (((0,), "ERROR"), ((1, 2, 3), "SUCCESS"), ((), "SUCCESS")):
        assert one(connection, reopen)
        seen.append(one(connection, shown))
        end(status, *ended)
        # All that have begun may be over: others are still to begin again.
        assert one(connection, look) == ("PENDING", len(seen) < 3)
    assert seen == [
        ["ENQUEUED2", "ENQUEUED2", "ERROR1", "ERROR1", "ERROR1"],
        ["ERROR2", "ENQUEUED2", "ENQUEUED2", "ENQUEUED2", "ERROR1"],
        ["ERROR2", "SUCCESS2", "SUCCESS2", "SUCCESS2", "ENQUEUED2"],
    ]
    end("SUCCESS", 4)
    assert one(connection, look) == ("ERROR", False)


def test_a_map_whose_items_have_all_ended_ends_with_the_last_call(connection: Connection[Any]) -> None:
    family(connection)
    failed_map(connection, 2)
    reopen = "select outlast.reopen_map('p/map.1', 'p', 'me', 3, 2, 0, 'drain', 2)"
    assert one(connection, reopen)
    connection.execute(
        "update outlast.workflow_status set status = 'SUCCESS', claimable_at = null where parent = 'p/map.1'"
    )
    connection.execute("select outlast.tell_ends(array['p/map.1/0', 'p/map.1/1'])")
    look = "select status from outlast.workflow_status where workflow_id = 'p/map.1'"
    assert one(connection, look) == "PENDING"
    assert one(connection, reopen)
    assert one(connection, look) == "SUCCESS"


@pytest.mark.parametrize(
    "retry",
    [
        "select outlast.retry_workflow('p/map.1/0')",
        "select outlast.rewind_workflow('p/map.1/0', '2')",
        "select outlast.retry_many(array['p/map.1/0'], null, 'me')",
    ],
)
def test_a_map_does_not_end_beside_the_retry_of_an_item(connection: Connection[Any], retry: str) -> None:
    stands = {
        "total": 2,
        "started": 2,
        "stopped": False,
        "dropped": 0,
        "tolerate": 2,
        "on_fail": "drain",
        "tell_at": 0,
    }
    insert(connection, "p", status="PENDING", error=None, ended=None)
    insert(
        connection, "p/map.1", parent="p", status="PENDING", error=None, ended=None, map=json.dumps(stands)
    )
    for n in range(2):
        insert(connection, f"p/map.1/{n}", parent="p/map.1", queue="p/map.1")
        record(connection, f"p/map.1/{n}", "2", 1, 0, error="{}")
    with psycopg.connect(connection.info.dsn) as other:
        other.execute(retry.encode())
        connection.execute("set lock_timeout = '50ms'")
        with pytest.raises(errors.LockNotAvailable):
            connection.execute("select outlast.look_at_map('p/map.1')")
    assert not one(connection, "select outlast.look_at_map('p/map.1')"), "one item goes on"
    stood = "select m.status, i.status from outlast.workflow_status m, outlast.workflow_status i"
    where = " where m.workflow_id = 'p/map.1' and i.workflow_id = 'p/map.1/0'"
    assert one(connection, stood + where) == ("PENDING", "ENQUEUED")
