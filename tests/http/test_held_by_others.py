"""A row that somebody holds in an open transaction: who needs it is told soon, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.http.conftest import Start
from tests.http.harness import Served, check_problem, fresh_key

CALLS = 6
"""More than a pool has connections."""


@pytest.fixture(scope="module")
def served(start_host: Start) -> Served:
    """A host of whose connections two are shared."""
    return start_host(db_connections=4)


@contextmanager
def open_transaction(host: Served, statement: str, *parameters: str) -> Iterator[None]:
    with psycopg.connect(host.database) as connection:
        connection.execute(statement.encode(), parameters)
        yield


def goes_on(host: Served, known: str) -> None:
    """Others' calls, and what is shown, as if nothing was."""
    assert host.admin.get("/workflows/v1").status_code == 200
    assert host.call("hello", {"name": "Ada"}, key=known).status_code == 200
    assert host.call("hello", {"name": "Ada"}).status_code == 200


def test_who_cannot_pass_a_door_is_told_so_and_nobody_else_notices(served: Served) -> None:
    known = fresh_key()
    assert served.call("hello", {"name": "Ada"}, key=known).status_code == 200
    assert served.call("doors", {"key": "before"}).json() == "before"
    start = "select outlast.start('doors', '{\"key\": \"a\"}')"
    with open_transaction(served, start):
        calls = [served.calling("doors", {"key": "b"}) for _ in range(CALLS)]
        goes_on(served, known)
        for each in calls:
            problem = check_problem(each.result(), 503, "overloaded", retryable=True)
            assert "'gathering'" in problem["detail"]
            assert "another transaction" in problem["detail"]
        goes_on(served, known)
    assert served.call("doors", {"key": "after"}).json() == "after"


def test_a_verb_on_a_row_that_is_held_says_so_and_nobody_else_notices(served: Served) -> None:
    known, key = fresh_key(), fresh_key()
    assert served.call("hello", {"name": "Ada"}, key=known).status_code == 200
    workflow_id = served.begin("held", key)
    path = f"/workflows/v1/{workflow_id}/cancel"
    held = "select from outlast.workflow_status where workflow_id = %s for update"
    with open_transaction(served, held, workflow_id):
        cancels = [served._threads.submit(served.admin.post, path) for _ in range(CALLS)]
        goes_on(served, known)
        for each in cancels:
            check_problem(each.result(), 503, "overloaded", retryable=True)
    assert served.admin.post(path).status_code == 200


REFUSING = """
create function public.refuse() returns trigger language plpgsql as $$
begin
  raise exception 'not this month';
end
$$;
create trigger refuse before update on outlast.workflow_status for each row
when (old.workflow_id = '{}') execute function public.refuse()
"""


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_a_verb_on_a_row_that_a_trigger_refuses_says_so(served: Served, verb: str) -> None:
    workflow_id = served.begin("held", fresh_key())
    with psycopg.connect(served.database, autocommit=True) as connection:
        connection.execute(REFUSING.format(workflow_id).encode())
        try:
            answer = served.admin.post(f"/workflows/v1/{workflow_id}/{verb}")
        finally:
            connection.execute("drop function public.refuse cascade")
    problem = check_problem(answer, 409, "wrong_state")
    assert "not this month" in problem["detail"]
    assert served.admin.post(f"/workflows/v1/{workflow_id}/{verb}").status_code == 200
