"""The tables of `core` and the statements of the store say the same: statuses, verbs, resources."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

import outlast.store
from outlast.core.resources import LOGS, RESOURCES, STEPS, WORKFLOWS, Resource
from outlast.core.status import FAILED, LIVE, TRANSITIONS, Change, Status
from outlast.core.verbs import CANCEL, VERBS
from outlast.store.queries import load

FILES = sorted(path.name for path in Path(outlast.store.__file__).parent.glob("*.sql"))
QUERIES = load("workflows.sql") | load("resources.sql")
STATUS = "|".join(Status)
REPLAYED = frozenset({Status.SUCCESS, Status.ERROR})
"""Of ended ones: their bodies ran to the end that is stored."""

SETS = {LIVE, FAILED, REPLAYED, frozenset(Status)}
"""The only ones that statements tell apart by lists."""

CHANGES = {
    ("instances.sql", "claim"): {Change.CLAIM},
    ("instances.sql", "recover"): {Change.RECOVER, Change.EXHAUST},
    ("start.sql", "insert"): {Change.START, Change.ENQUEUE},
    ("journal.sql", "start_batch"): {Change.START, Change.ENQUEUE},
    ("journal.sql", "write_batch"): {Change.SUSPEND},
    ("journal.sql", "refuse_members"): {Change.FAIL, Change.FINISH, Change.SUSPEND},
    ("maps.sql", "start_block"): {Change.START, Change.ENQUEUE},
    ("pgmq.sql", "consume"): {Change.START, Change.ENQUEUE},
    ("messages.sql", "deliver"): {Change.SUSPEND},
    ("workflows.sql", "cancel"): {Change.CANCEL},
}
"""What each statement that names a status makes of it."""


def lists_of(text: str) -> list[frozenset[Status]]:
    """The lists of statuses that a text of SQL holds: of two statuses or more."""
    found = re.findall(rf"\(\s*((?:'(?:{STATUS})',?\s*){{2,}})\)", text)
    return [frozenset(map(Status, re.findall(r"'(\w+)'", each))) for each in found]


def single_statuses(text: str) -> set[Status]:
    """The statuses that stand alone."""
    lists = re.compile(rf"\(\s*(?:'(?:{STATUS})',?\s*){{2,}}\)")
    return set(map(Status, re.findall(rf"'({STATUS})'", lists.sub("", text))))


@pytest.mark.parametrize("file", FILES)
def test_statuses_in_statements_are_those_of_the_table(file: str) -> None:
    for name, query in load(file).items():
        text = query.as_string(None)
        assert set(lists_of(text)) <= SETS, name
        reached = {
            after for (_, change), after in TRANSITIONS.items() if change in CHANGES.get((file, name), set())
        }
        assert single_statuses(text) <= reached, name


def test_statuses_in_functions_are_those_of_the_table(database: str) -> None:
    bodies = "select proname, prosrc from pg_proc where pronamespace = 'outlast'::regnamespace"
    definitions = "select viewname, definition from pg_views where schemaname = 'outlast'"
    with psycopg.connect(database) as connection:
        functions: dict[str, str] = dict(connection.execute(bodies).fetchall())
        views: dict[str, str] = dict(connection.execute(definitions).fetchall())
    assert {"start", "cancel_workflows"} <= set(functions)
    for name, text in {**functions, **views}.items():
        assert set(lists_of(text)) <= SETS, name
    assert single_statuses(functions["cancel_workflows"]) == {Status.CANCELLED}


def test_a_list_that_no_set_has_is_seen() -> None:
    assert lists_of("status in ('ENQUEUED', 'PENDING') and status not in ('ERROR', 'SUCCESS')") == [
        LIVE,
        {Status.ERROR, Status.SUCCESS},
    ]
    assert single_statuses("status = 'PENDING' and status in ('ENQUEUED', 'PENDING')") == {Status.PENDING}


def test_a_cancel_changes_what_the_table_says(database: str) -> None:
    text = load("workflows.sql")["cancel"].as_string(None)
    called = re.findall(r"outlast\.(\w+)\(", text)
    with psycopg.connect(database) as connection:
        bodies = connection.execute(
            "select prosrc from pg_proc where pronamespace = 'outlast'::regnamespace and proname = any(%s)",
            [called],
        ).fetchall()
        parameters = dict.fromkeys(re.findall(r"%\((\w+)\)s", text))
        described = connection.execute(text.encode(), parameters).description or ()
    assert set(lists_of("\n".join([text, *(body for (body,) in bodies)]))) == {CANCEL.statuses}
    given = {"workflow_id", "nonce", "by", *(each.name for each in CANCEL.arguments)}
    assert set(re.findall(r"%\((\w+)\)s", text)) == given
    assert [column.name for column in described][:1] == ["status"]


STORED = [each for each in RESOURCES if each is not LOGS]


@pytest.mark.parametrize("resource", STORED, ids=lambda each: each.name)
def test_a_resources_query_takes_what_the_table_says(resource: Resource) -> None:
    text = QUERIES[resource.name].as_string(None)
    given = (
        {each.name for each in resource.filters} | {f"after_{name}" for name in resource.order} | {"limit"}
    )
    given |= set(resource.keys) if resource is not WORKFLOWS else {"subject"}
    assert set(re.findall(r"%\((\w+)\)s", text)) == given


@pytest.mark.parametrize("resource", STORED, ids=lambda each: each.name)
def test_a_resources_query_returns_its_columns(resource: Resource, database: str) -> None:
    query = QUERIES[resource.name]
    parameters = dict.fromkeys(re.findall(r"%\((\w+)\)s", query.as_string(None)))
    with psycopg.connect(database) as connection:
        described = connection.execute(query, parameters).description
    assert described is not None
    returned = {column.name for column in described}
    columns = {column.name for column in resource.columns if not column.optional}
    if resource is WORKFLOWS:
        columns = columns - {"error"} | {"error_code", "error_message"}
    if resource is STEPS:
        columns = columns - {"status"} | {"output_bytes", "place", "over_at"}
    assert returned == columns
    assert set(resource.order) <= returned
    assert len(resource.order) == len(resource.order_kinds)


def test_names_and_paths_are_given_once() -> None:
    for names in (
        [each.name for each in RESOURCES],
        [each.path for each in RESOURCES] + [(verb.method, path) for verb in VERBS for path in verb.paths],
        [(each.noun.name, each.name) for each in VERBS],
        [each.function for each in VERBS],
    ):
        assert len(names) == len(set(names))
