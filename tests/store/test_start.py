"""One way to start: the statement that inserts a workflow is the same for the runtime and for SQL."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

import outlast.store
from outlast.store.queries import load

STORE = Path(outlast.store.__file__).parent


def words(text: str) -> str:
    """The text without lines of comment, and with single spaces."""
    return " ".join(re.sub(r"^ *--.*$", "", text, flags=re.MULTILINE).split())


def function_of(database: str, name: str) -> str:
    """The body of a function of the schema."""
    query = "select prosrc from pg_proc where pronamespace = 'outlast'::regnamespace and proname = %s"
    with psycopg.connect(database) as connection:
        (body,) = connection.execute(query, [name]).fetchone() or ("",)
    return words(body)


def test_only_one_statement_inserts_workflows_besides_those_of_batches_maps_and_bulks(database: str) -> None:
    files = [(path.name, path.read_text("utf-8").lower()) for path in sorted(STORE.glob("*.sql"))]
    found = [name for name, text in files for _ in re.findall(r"insert into outlast\.workflow_status", text)]
    assert found == ["start.sql"]
    query = """
        select proname from pg_proc
        where pronamespace = 'outlast'::regnamespace and prosrc ilike '%insert into outlast.workflow%'
        order by 1
    """
    with psycopg.connect(database) as connection:
        assert connection.execute(query).fetchall() == [
            ("begin_batch",),
            ("bulk",),
            ("enqueue",),
            ("fork_workflow",),
            ("open_map",),
        ]


def test_sql_has_the_same_statement(database: str) -> None:
    assert words(load("start.sql")["insert"].as_string(None)) in function_of(database, "enqueue")


def test_json_is_weighed_by_the_same_rule(database: str) -> None:
    body = function_of(database, "load_bytes_of")
    assert body == f"select {words(load('start.sql')['load_bytes'].as_string(None))}"


def test_a_statement_is_part_of_those_that_include_it() -> None:
    insert = load("start.sql")["insert"].as_string(None)
    for file, name in (
        ("journal.sql", "start_batch"),
        ("pgmq.sql", "consume"),
    ):
        assert words(insert) in words(load(file)[name].as_string(None)), file
