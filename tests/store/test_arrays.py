"""Array literals: the server reads back what was put in, whatever that was."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlast.store.arrays import Literal, literals, numbers, texts, values

characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
some_texts = st.text(characters, max_size=8) | st.sampled_from(["", "N", ",", '"', "\\", "NULL", "{}", '","'])


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=200)
@given(st.lists(st.none() | some_texts, max_size=6))
def test_texts_come_back_the_same(connection: psycopg.Connection, given_texts: list[str | None]) -> None:
    literal = texts(given_texts) if given_texts else "{}"
    assert connection.execute("select %s::text[]", [literal]).fetchone() == (given_texts,)


def test_numbers_come_back_the_same(connection: psycopg.Connection) -> None:
    given_numbers = [1, None, -2.5, 1e300, 1764000000.123456]
    assert connection.execute("select %s::float8[]", [numbers(given_numbers)]).fetchone() == (given_numbers,)


@pytest.mark.parametrize("bad", [["\0"], ["a\0,b"], [None, "\0N"], ["a", "b\0", None]])
def test_a_text_with_nul_is_refused(bad: list[str | None]) -> None:
    with pytest.raises(ValueError, match="NUL"):
        texts(bad)


def test_rows_become_columns() -> None:
    columns: dict[str, Literal] = {"names": texts, "sizes": numbers}
    assert literals(columns, [("a", 1), (None, 2)]) == {"names": '{"a",NULL}', "sizes": "{1,2}"}
    assert literals(columns, []) == {"names": "{}", "sizes": "{}"}


@pytest.fixture(scope="module")
def connection(postgres: str) -> Iterator[psycopg.Connection]:
    """A connection to any database."""
    with psycopg.connect(postgres, autocommit=True) as opened:
        yield opened


def test_one_row_is_plain_values() -> None:
    columns: dict[str, Literal] = {"a": texts, "b": texts, "c": numbers, "d": numbers}
    assert values(columns, [("x", None, 1.5, None)]) == {"a": "x", "b": None, "c": 1.5, "d": None}
    assert values(columns, []) == dict.fromkeys(columns)
