"""Attributes by SQL: checked as Python checks them, changed with an act, found by an index."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from outlast.core.attributes import attributes_json

GIVEN: list[Any] = [
    {},
    {"a": 1},
    {"a": "x" * 256, "b.c-d_e": 1.5, "A9": False},
    {"k" * 64: ""},
    {f"k{n}": n for n in range(32)},
    {f"k{n}": n for n in range(33)},
    {"a": "x" * 257},
    {"k" * 65: 1},
    {"": 1},
    {"1": 1},
    {"a b": 1},
    {"a:b": 1},
    {"a": None},
    {"a": []},
    {"a": {}},
    [],
    "a",
    1,
]


@pytest.mark.parametrize("nulls", [False, True])
def test_sql_and_python_agree(nulls: bool, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for given in GIVEN:
            try:
                attributes_json(given, nulls=nulls)
                fits = True
            except ValueError:
                fits = False
            query = "select outlast.check_attributes('start', %s, %s)"
            refusal = pytest.raises(errors.InvalidParameterValue, match="attributes are an object")
            with contextlib.nullcontext() if fits else refusal:
                connection.execute(query, (Jsonb(given), nulls))


@pytest.mark.parametrize("half", ["\ud800", "a\0b"])
def test_what_postgres_can_not_hold_is_refused_before(half: str) -> None:
    with pytest.raises(ValueError, match="the value of a is"):
        attributes_json({"a": half})


def test_a_start_by_sql_takes_them_or_leaves_no_row(database: str) -> None:
    start = "select outlast.start('f', '{}', 'k', attributes => %s)"
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(errors.InvalidParameterValue, match="the key"):
            connection.execute(start, (Jsonb({"a b": 1}),))
        rows = "select attributes::text from outlast.workflow_status"
        assert connection.execute(rows).fetchall() == []
        connection.execute(start, (Jsonb({"customer": 42}),))
        assert [json.loads(row[0]) for row in connection.execute(rows)] == [{"customer": 42}]
        found = "select workflow_id from outlast.find_workflows(attribute => array['customer:42'])"
        assert connection.execute(found).fetchall() == [("f:k",)]


def test_what_is_no_attribute_is_found_by_nothing_and_breaks_no_index(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for n, attributes in enumerate(
            ("[1]", '"x"', '{"headers": {"a": 1}, "ok": 1}', json.dumps({"a": "x" * 9_000}))
        ):
            connection.execute(
                "insert into outlast.workflow_status (workflow_id, function, status, attributes) "
                "values (%s, 'f', 'PENDING', %s)", (str(n), attributes)
            )  # fmt: skip
        found = "select workflow_id from outlast.find_workflows(attribute => array['ok:1'])"
        assert connection.execute(found).fetchall() == [("2",)]
