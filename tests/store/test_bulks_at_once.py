"""What a bulk does to many in one statement is what it does to one after the other."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from tests.store.test_bulks import run_all

WITH_PARENT = '{"code": "workflow_cancelled", "message": "the workflow that started it was cancelled"}'
BOOM = '{"code": "workflow_error", "message": "boom", "steps": ["2"]}'
MAP = '{"total": 1, "started": 1, "tolerate": 0, "on_fail": "wait", "stopped": true, "tell_at": 0}'
BATCH = '{"outlast": {"mode": "queue"}}'
KINDS: dict[str, dict[str, Any]] = {
    "failed": {"status": "ERROR", "error": BOOM, "deadline": "now"},
    "itself": {"status": "ERROR", "error": '{"code": "workflow_error", "message": "boom", "steps": []}'},
    "old": {"status": "ERROR", "error": '{"code": "workflow_error", "message": "boom"}'},
    "standing": {
        "status": "ERROR",
        "error": '{"code": "compensation_failed", "steps": ["4"]}',
        "saga": "undoing",
    },
    "undone": {"status": "ERROR", "error": '{"code": "saga", "steps": ["2"], "undone": ["3"]}'},
    "cancelled": {"status": "CANCELLED", "error": '{"code": "workflow_cancelled", "message": "m"}'},
    "exhausted": {"status": "EXHAUSTED", "error": '{"code": "workflow_exhausted", "message": "m"}'},
    "done": {"status": "SUCCESS"},
    "runs": {"status": "PENDING", "owner": "me"},
    "saga": {"status": "PENDING", "owner": "me", "saga": "open"},
    "paused": {"status": "PENDING", "held": '{"reason": "paused"}'},
    "waits": {"status": "ENQUEUED", "claimable_at": "now"},
    "map": {"status": "ERROR", "error": BOOM, "parent": "{}:failed", "map": MAP},
    "item": {"status": "ERROR", "error": BOOM, "parent": "{}:map", "queue": "{}:map"},
    "x/batch": {"status": "ERROR", "error": BOOM, "claims": BATCH},
    "gone": {"status": "ERROR", "error": BOOM, "removing": True},
}
"""Workflows of each kind; each has records, and a child that was cancelled with it, which has one."""

ROW = """
select replace(workflow_id, %(f)s, ''), status, epoch, generation, owner, error::text, saga, stop::text,
  untold, last_place, recovery_attempts, held::text, claimable_at is null, completed_at is null,
  deadline - now() > interval '10 min'
from outlast.workflow_status where starts_with(workflow_id, %(f)s || ':') order by 1
"""
RECORDS = """
select replace(workflow_id, %(f)s, ''), step_id, output::text, error::text
from outlast.operation_outputs
where starts_with(workflow_id, %(f)s || ':') order by 1, 2
"""
ACTS = """
select replace(name, %(f)s, ''), verb, replace(by, %(f)s, ''), why, before ->> 'status', before ->> 'error',
  before -> 'dropped', before ->> 'epoch'
from outlast.acts where starts_with(name, %(f)s || ':') order by 1
"""
ITEMS = """
select replace(workflow_id, %(f)s, ''), outcome, replace(reason, %(f)s, ''), answer::jsonb
from outlast.bulk_items
where starts_with(workflow_id, %(f)s || ':') order by 1
"""


@pytest.fixture
def connection(database: str) -> Any:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def insert(connection: Connection[Any], table: str, **values: Any) -> None:
    query = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier("outlast", table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    connection.execute(query, values)


def fill(connection: Connection[Any], function: str) -> None:
    with connection.transaction():
        for kind, given in KINDS.items():
            values = {
                name: value.replace("{}:", f"{function}:") if isinstance(value, str) else value
                for name, value in given.items()
            }
            ends = {} if given["status"] in ("PENDING", "ENQUEUED") else {"completed_at": "now"}
            workflow_id = f"{function}:{kind}"
            about = {"function": function, "started_at": "now", "untold": False, "epoch": 3}
            insert(connection, "workflow_status", workflow_id=workflow_id, **about, **ends, **values)
            child = {**about, "function": "child"}
            child |= {
                "parent": workflow_id,
                "status": "CANCELLED",
                "error": WITH_PARENT,
                "completed_at": "now",
            }
            insert(connection, "workflow_status", workflow_id=f"{workflow_id}/child", **child)
            record(connection, f"{workflow_id}/child", 1)
            record(connection, workflow_id, 1)
            record(connection, workflow_id, 2, error='{"type": "ValueError"}')
            record(connection, workflow_id, 3, kind="undo", called_after=0)
            record(connection, workflow_id, 4, kind="undo", name="standing", called_after=0)
            record(connection, workflow_id, 5, error='{"type": "ValueError"}', called_after=0)
            record(connection, workflow_id, 6)
    connection.execute(
        "update outlast.workflow_status"
        " set deadline = created_at + interval '1 h', created_at = now() - interval '2 h'"
        " where deadline is not null"
    )


def record(connection: Connection[Any], workflow_id: str, number: int, **given: Any) -> None:
    values = {
        "name": "a step", "kind": "step", "output": None if "error" in given else "1",
        "called_after": number - 1, "completion_order": number, **given,
    }  # fmt: skip
    insert(connection, "operation_outputs", workflow_id=workflow_id, step_id=str(number), **values)


def outcome(connection: Connection[Any], function: str, verb: str, arguments: Any) -> list[list[Any]]:
    """All that a bulk over a function's workflows has left."""
    fill(connection, function)
    begin = "select from outlast.bulk(%s, %s, %s, rate => 10000, why => 'mended', by => 'ada')"
    connection.execute(begin, (verb, Jsonb({"function": function}), Jsonb(arguments)))
    run_all(connection)
    return [connection.execute(query, {"f": function}).fetchall() for query in (ROW, RECORDS, ACTS, ITEMS)]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("retry", {}), ("cancel", {}), ("cancel", {"mode": "kill"})],
)
def test_at_once_as_one_by_one(verb: str, arguments: Any, connection: Connection[Any]) -> None:
    at_once = outcome(connection, "aa", verb, arguments)
    name = sql.Identifier("outlast", f"{verb}_many")
    connection.execute(sql.SQL("drop function {}").format(name))
    one_by_one = outcome(connection, "bb", verb, arguments)
    for some, others in zip(at_once, one_by_one, strict=True):
        assert some == others
    if verb == "retry":
        outcomes = {each[0].removeprefix(":"): each[1] for each in at_once[3]}
        assert {each for each, came in outcomes.items() if came == "done"} == {
            "failed", "itself", "old", "standing", "undone", "cancelled", "exhausted"
        }  # fmt: skip
        assert "cancelled/child" in {each[0].removeprefix(":") for each in at_once[2]}
