"""Keys by their grammar, and ids that no two different calls share."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlast.core.errors import InvalidKey
from outlast.core.names import (
    WORKFLOW_ID_BYTES_MAX,
    check_key,
    child_id_of,
    fingerprint_of,
    fresh_workflow_id,
    is_function_name,
    parse_key,
    workflow_id_of,
)

functions = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,10}", fullmatch=True)
keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)
tight = st.text(":%/23AF5a-", min_size=1, max_size=6)
parts = st.tuples(functions, st.none() | tight | keys, tight | keys)


@given(parts, parts)
@example(("f", "a", "b"), ("f", None, "a:b"))
@example(("f", None, "a%3Ab"), ("f", None, "a:b"))
@example(("f", None, "k/3"), ("f", None, "k%2F3"))
def test_ids_differ_where_calls_do(
    one: tuple[str, str | None, str], other: tuple[str, str | None, str]
) -> None:
    assert (workflow_id_of(*one) == workflow_id_of(*other)) == (one == other)


@given(parts, parts, st.integers(1, 99))
@example(("f", None, "order/3"), ("f", None, "order"), 3)
def test_no_key_names_another_workflows_child(
    one: tuple[str, str | None, str], parent: tuple[str, str | None, str], step: int
) -> None:
    assert workflow_id_of(*one) != f"{workflow_id_of(*parent)}/{step}"


def test_long_ids_are_hashed_and_never_meet_a_readable_one() -> None:
    long = workflow_id_of("f", ":" * 200, ":" * 255)
    assert len(long) <= WORKFLOW_ID_BYTES_MAX
    assert long != workflow_id_of("f", ":" * 201, ":" * 255)
    assert workflow_id_of("f", None, long.removeprefix("f:")) != long


@given(parts, st.lists(st.sampled_from(["1", "map.2", "3.1.7", "\U00020000" * 100]), max_size=30))
def test_ids_of_any_generation_are_bounded_and_their_own(
    one: tuple[str, str | None, str], line: list[str]
) -> None:
    seen = {workflow_id := workflow_id_of(*one)}
    for part in line:
        workflow_id = child_id_of(workflow_id, part)
        assert len(workflow_id.encode()) <= WORKFLOW_ID_BYTES_MAX
        assert workflow_id.rpartition("/")[2] == part
        seen.add(workflow_id)
    assert len(seen) == len(line) + 1


@given(keys)
def test_a_quoted_key_is_what_it_quotes(key: str) -> None:
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert parse_key([quoted]) == key
    check_key(key)


@pytest.mark.parametrize(
    "value", ["a", "order-1", "k=1:2/3?x&y#z!", "a" * 255, " padded\t", "'single'", "{}[]<>"]
)
def test_bare_keys(value: str) -> None:
    assert parse_key([value]) == value.strip(" \t")


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b"],
        ["a", "a"],
        [""],
        ["   "],
        ['""'],
        ["a" * 256],
        ['"' + "a" * 256 + '"'],
        ["a b"],
        ["a,b"],
        ["a;b"],
        ["a\\b"],
        ['"open'],
        ['open"'],
        ['"a"b"'],
        ['"a\\b"'],
        ['"a";p=1'],
        ["é"],
        ['"é"'],
        ["a\x00"],
        ["a\n"],
        ['"\x7f"'],
        ["\x85a"],
    ],
)
def test_keys_that_break_the_grammar(values: list[str]) -> None:
    with pytest.raises(InvalidKey):
        parse_key(values)


def test_no_header_is_no_key() -> None:
    assert parse_key([]) is None


@pytest.mark.parametrize("key", ["", "a" * 256, "é", "a\n", "\ud800", 5, None])
def test_keys_given_in_python_are_checked(key: str) -> None:
    with pytest.raises(InvalidKey):
        check_key(key)


def test_fresh_ids_differ() -> None:
    assert fresh_workflow_id("f") != fresh_workflow_id("f")


@pytest.mark.parametrize("name", ["a", "A-b_9"])
def test_function_names(name: str) -> None:
    assert is_function_name(name)


@pytest.mark.parametrize("name", ["", "9a", "_a", "a b", "a/b", "a:b", "é", "a\n"])
def test_no_function_names(name: str) -> None:
    assert not is_function_name(name)


pieces = st.tuples(
    st.text(max_size=4),
    st.text(max_size=4),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.binary(max_size=4),
)


@given(pieces, pieces)
@example(("a", "bc", "", b"", b""), ("ab", "c", "", b"", b""))
def test_fingerprints_tell_parts_apart(one, other) -> None:
    encodable = all(text.isascii() for part in (one, other) for text in part[:3])
    if encodable:
        assert (fingerprint_of(*one) == fingerprint_of(*other)) == (one == other)


def test_no_key_gives_the_id_of_a_fork() -> None:
    assert workflow_id_of("f", None, "a~2") == "f:a%7E2"
    assert workflow_id_of("f", "ada~1", "a~b~30") == "f:ada~1:a~b%7E30"
    assert workflow_id_of("f", None, "a~") == "f:a~"
    assert workflow_id_of("f", None, "a~2x") == "f:a~2x"
