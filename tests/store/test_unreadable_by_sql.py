"""Texts that `json` holds and nobody can read there: no row that has one breaks a view for all who see it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types.json import set_json_loads

from tests.callers import as_user, one
from tests.store.test_owners_by_sql import ADA

READ = """
select
  failed.input ->> 'name', done.output ->> 'name', failed.error ->> 'message', failed.error ->> 'detail',
  failed.input::jsonb, done.output::jsonb
from outlast.workflows failed, outlast.workflows done
where failed.status = 'ERROR' and done.status = 'SUCCESS'
"""
INSERT = """
insert into outlast.workflow_status
  (workflow_id, function, status, input, output, error, subject, completed_at)
values ('f:1', 'f', 'ERROR', %(value)s::json, null, %(error)s::json, 'ada', now()),
       ('f:2', 'f', 'SUCCESS', %(value)s::json, %(value)s::json, null, 'ada', now())
"""
EVENT = """
insert into outlast.operation_outputs (workflow_id, step_id, name, output, attempts, completion_order, kind)
values ('f:1', '1', 'publish told', %(value)s::json, 0, 1, 'publish')
"""


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"a\u0000b", "a\ufffdb"),
        (r"\u0000\u0000", "\ufffd\ufffd"),
        (r"\\u0000", r"\u0000"),
        (r"\\\u0000", "\\\ufffd"),
        (r"\\\\u0000", r"\\u0000"),
        (r"\ud800", "\ufffd"),
        (r"\ud800\ud800x", "\ufffd\ufffdx"),
        (r"\udc00x", "\ufffdx"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\uD83D\uDE00\ude00", "\U0001f600\ufffd"),
        (r"\u00e9\n", "é\n"),
    ],
)
def test_a_row_that_json_holds_is_read(supabase_database: str, written: str, read: str) -> None:
    value = f'{{"name": "{written}"}}'
    error = f'{{"code": "http_exception", "status": 404, "detail": "{written}", "failure": {value}}}'
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        set_json_loads(lambda text: text, connection)
        connection.execute(INSERT.encode(), {"value": value, "error": error})
        connection.execute(EVENT.encode(), {"value": value})
        for claims, role in ((ADA, "authenticated"), ({"role": "service_role"}, "service_role")):
            with as_user(connection, claims, role):
                found: Any = connection.execute(READ.encode()).fetchone()
                assert found[:4] == (read, read, read, read)
                assert one(connection, "select value ->> 'name' from outlast.events") == read
        stored = one(connection, "select input::text from outlast.workflow_status limit 1")
    assert stored == value  # as it was said
