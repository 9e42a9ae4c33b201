"""From a body to parameters: what is refused leaves no row, and says nothing of what was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.harness import Served, check_problem, fresh_key, memory_mb

NO_JSON = {
    "text": b"hello",
    "truncated": b'{"value": ',
    "more than one": b"{} {}",
    "single quotes": b"{'value': 1}",
    "trailing comma": b'{"value": 1,}',
    "NaN": b'{"value": NaN}',
    "Infinity": b'{"value": -Infinity}',
    "control character": b'{"value": "a\x01b"}',
    "not UTF-8": b'{"value": "\xff"}',
    "UTF-16": '{"value": 1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"value": 1}',
    "lone high surrogate": rb'{"value": "\ud800"}',
    "lone low surrogate": rb'{"value": "\udc00"}',
    "deep": b'{"value": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep and broken": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "endless number": b'{"value": ' + b"9" * 100_000 + b"}",
    "beyond a double": b'{"value": 1e999}',
    "far below zero": b'{"value": [{"at": -1.0E+0400}]}',
    "many digits": b'{"value": ' + b"9" * 400 + b"}",
    "leading zero": b'{"value": 01}',
    "space": b" ",
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("function", ["inputs/anything", "inputs/order", "inputs/open_ended"])
def test_what_is_no_json_is_refused(host: Served, function: str, body: bytes) -> None:
    answer = host.refused(function, content=body, key=fresh_key())
    check_problem(answer, 400, "invalid_json")
    assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    "value",
    [r"a\u0000b", "\U0001f600", 2**200, -0.0, 1e-300, [[[[]]]], {"": {"": None}}, "NaN", "Infinity", 10**300],
    ids=repr,
)
def test_unusual_json_is_welcome(host: Served, value: object) -> None:
    key = fresh_key()
    for _ in range(2):
        assert host.call("inputs/anything", {"value": value}, key=key).json() == {"value": value}


@pytest.mark.parametrize(
    ("function", "body"),
    [
        ("inputs/anything", rb'{"value": "a\u0000b"}'),
        ("inputs/anything", rb'{"value": {"deep": [{"a\u0000": 1}]}}'),
        ("inputs/open_ended", rb'{"\u0000": 1}'),
        ("inputs/order", rb'{"sku": "\\\u0000", "quantity": 1}'),
        ("inputs/anything?value=a%00b", b""),
    ],
)
def test_inputs_hold_no_nul_just_as_messages_dont(host: Served, function: str, body: bytes) -> None:
    answer = host.refused(function, content=body, key=fresh_key())
    problem = check_problem(answer, 400, "nul_character")
    assert "leave it out" in problem["detail"]


def test_of_duplicate_names_the_last_counts(host: Served) -> None:
    answer = host.call("inputs/anything", content=b'{"value": 1, "value": 2}')
    assert answer.json() == {"value": 2}


@pytest.mark.parametrize(
    ("function", "body", "place"),
    [
        ("inputs/typed", {}, ["n"]),
        ("inputs/typed", {"n": "x"}, ["n"]),
        ("inputs/typed", {"n": 1, "mode": "c"}, ["mode"]),
        ("inputs/typed", {"n": 1, "other": 1}, ["other"]),
        ("inputs/typed", [], []),
        ("inputs/typed", "text", []),
        ("inputs/order", {"sku": "a", "quantity": 0}, ["quantity"]),
        ("inputs/order", {"sku": "a", "quantity": 1, "card": "4242-4242-4242-4242-4242"}, ["card"]),
        ("inputs/order", 5, []),
        ("hello", {"name": None}, ["name"]),
        ("hello", {"name": {"password": "hunter2"}}, ["name"]),
    ],
)
def test_input_that_does_not_fit_is_refused(
    host: Served, function: str, body: object, place: list[str]
) -> None:
    answer = host.refused(function, body, key=fresh_key())
    document = check_problem(answer, 422, "invalid_input", more={"errors"})
    (error,) = document["errors"]
    assert set(error) == {"type", "loc", "msg"}
    assert error["loc"] == place
    assert "4242" not in answer.text, "the answer repeats what was sent"


def test_of_very_many_errors_some_are_told(host: Served) -> None:
    body = b'{"numbers": [' + b'"x",' * 90_000 + b'"x"]}'
    answer = host.refused("inputs/numbers", content=body)
    document = check_problem(answer, 422, "invalid_input", more={"errors"})
    assert 0 < len(document["errors"]) <= 100
    assert len(answer.content) < 100_000


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain;charset=UTF-8",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "nonsense",
        None,
    ],
)
def test_json_is_read_whatever_its_type(host: Served, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = host.call("hello", content=b'{"name": "Ada"}', headers=headers)
    assert answer.json() == {"message": "Hello, Ada!"}


def test_a_form_is_no_json(host: Served) -> None:
    check_problem(host.refused("hello", files={"name": b"Ada"}), 400, "invalid_json")
    check_problem(host.refused("hello", data={"name": "Ada"}), 400, "invalid_json")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_without_a_body_the_query_is_bound(host: Served, method: str) -> None:
    query = "n=5&when=2026-02-03&mode=a&forceFunctionRegion=any"
    answer = host.call(f"inputs/typed?{query}", method=method)
    assert answer.json() == {"n": 5, "when": "2026-02-03", "mode": "a"}


@pytest.mark.parametrize(
    ("query", "given"),
    [
        ("listed?rating=2", [2, [], [], [], None, ""]),
        (
            "listed?rating=2&tags=a&tags=&tags=a&numbers=3&numbers=1",
            [2, ["a", "", "a"], [1, 3], [], None, ""],
        ),
        ("listed?rating=3&tags=a&picked=1&picked=a&either=a", [3, ["a"], [], [1, "a"], None, "a"]),
        ("listed?rating=1&filter=%7B%22x%22%3A1%7D&either=a&either=b", [1, [], [], [], {"x": 1}, ["a", "b"]]),
        ("modelled?eachOf=1&eachOf=2", [1, 2]),
        ("modelled?each=1&each=2", [1, 2]),
        ("open_ended?a=1&a=2&b=1", {"a": ["1", "2"], "b": "1"}),
        ("anything?value=1&value=2", {"value": ["1", "2"]}),
    ],
)
def test_lists_and_choices_are_bound_by_a_query(host: Served, query: str, given: Any) -> None:
    answer = host.call(f"inputs/{query}", method="GET")
    assert (answer.status_code, answer.json()) == (200, given)


def test_what_is_given_several_times_and_is_no_list_is_refused(host: Served) -> None:
    answer = host.call("inputs/typed?n=1&mode=b&mode=a&n=2", method="GET")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_input")
    assert [each["loc"] for each in problem["errors"]] == [["n"], ["mode"]]


def test_a_query_that_does_not_fit_is_refused(host: Served) -> None:
    check_problem(host.refused("inputs/typed?n=x"), 422, "invalid_input", more={"errors"})
    check_problem(host.refused("inputs/typed?n=1&more=2"), 422, "invalid_input", more={"errors"})
    check_problem(host.refused("inputs/typed"), 422, "invalid_input", more={"errors"})


@pytest.mark.parametrize(
    "query", ["value=%01", "value=%ff%fe", "value=%F0%9F%98%80", "value=NaN", "value=a%0Ab"]
)
def test_a_query_may_hold_anything(host: Served, query: str) -> None:
    key = fresh_key()
    first, again = (host.call(f"inputs/anything?{query}", key=key) for _ in range(2))
    assert first.status_code == 200
    assert first.content == again.content


def test_beside_a_body_the_query_is_left_alone(host: Served) -> None:
    assert host.call("inputs/typed?n=7&x=y", {"n": 5}).json()["n"] == 5


def test_a_body_may_be_this_large(host: Served) -> None:
    body = b'{"value": "' + b"x" * (2 * 1024 * 1024 - 13) + b'"}'
    assert len(body) == 2 * 1024 * 1024
    assert host.call("inputs/request", content=body).json()["size"] == len(body)


def test_a_larger_body_is_refused_by_its_length(host: Served) -> None:
    before = host.rows()
    with host.connection() as wire:
        wire.send(b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2097153\r\n\r\n")
        answer = wire.answer()  # before anything of the body is sent
    assert answer.status == 413
    assert json.loads(answer.body)["code"] == answer.headers["sb-error-code"] == "payload_too_large"
    assert host.rows() == before


@pytest.mark.parametrize("framed", ["length", "chunks"])
def test_who_sends_all_of_a_larger_body_before_reading_gets_the_answer(host: Served, framed: str) -> None:
    """As Node's fetch does: a reset would take the answer away."""
    mebibyte = b"x" * 0x100000
    head = {"length": f"content-length: {12 * 0x100000}", "chunks": "transfer-encoding: chunked"}[framed]
    with host.connection() as wire:
        wire.send(f"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n".encode())
        for _ in range(12):
            wire.send(mebibyte if framed == "length" else b"100000\r\n" + mebibyte + b"\r\n")
        answer = wire.answer()
        assert answer.status == 413
        assert json.loads(answer.body)["code"] == "payload_too_large"
        assert wire.rest() == b""


@pytest.mark.parametrize("function", ["hello", "inputs/request", "plain"])
def test_an_endless_body_is_refused_once_it_is_too_large(host: Served, function: str) -> None:
    before = host.rows()
    before_mb = memory_mb(host)
    with host.connection() as wire:
        wire.send(f"POST /functions/v1/{function} HTTP/1.1\r\nhost: localhost\r\n".encode())
        wire.send(b"transfer-encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        sent = 0
        try:
            while sent < 400:
                wire.send(chunk)
                sent += 1
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert sent < 400, "it went on reading"
    assert host.rows() == before
    assert memory_mb(host) < before_mb + 100
    assert host.call("hello", {}).status_code == 200


def chunks(*parts: bytes) -> Iterator[bytes]:
    yield from parts


def test_a_streamed_body_is_the_same_body(host: Served) -> None:
    key = fresh_key()
    assert host.call("hello", content=chunks(b'{"name"', b': "A', b'da"}'), key=key).status_code == 200
    again = host.call("hello", content=b'{"name": "Ada"}', key=key)
    assert again.headers["idempotency-replayed"] == "true"


def test_a_request_is_recorded_without_credentials(host: Served) -> None:
    key = fresh_key()
    secrets = {
        "authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0",
        "apikey": "sb_publishable_secretive",
        "cookie": "session=secretive",
        "x-api-key": "secretive",
        "proxy-authorization": "Basic secretive",
    }
    headers = {**secrets, "x-mine": "ü".encode(), "webhook-signature": "v1,abc"}
    answer = host.call(
        "inputs/request/a%20b/ü?x=1&x=2&y=%C3%BC", content=b"\x00\xff", key=key, headers=headers
    )
    seen = answer.json()
    assert seen["method"] == "POST"
    assert seen["path"] == "/a b/ü"
    assert seen["query"] == {"x": "2", "y": "ü"}
    assert seen["body"] == "\x00\\xff"
    assert seen["headers"]["webhook-signature"] == ["v1,abc"]
    assert not set(seen["headers"]) & set(secrets)
    row = str(row_of(host, answer.headers["workflow-id"]))
    assert "webhook-signature" in row
    assert "secretive" not in row
    assert "eyJ" not in row


def row_of(host: Served, workflow_id: str) -> Any:
    return host.query("select * from outlast.workflow_status where workflow_id = %s", workflow_id)


def test_a_request_function_takes_forms_and_bytes(host: Served) -> None:
    form = host.call("inputs/request", files={"file": ("a.bin", b"\x00\xff"), "name": (None, "Ada")}).json()
    assert form["headers"]["content-type"][0].startswith("multipart/form-data; boundary=")
    assert 'name="file"; filename="a.bin"' in form["body"]
    assert host.call("inputs/request", content=b"").json()["body"] == ""
    assert host.call("inputs/request", content=b"{oh").json()["body"] == "{oh"


def test_a_request_beside_other_parameters(host: Served) -> None:
    answer = host.call("inputs/both/sub", content=b'{"n":  5}')
    assert answer.json() == {"n": 5, "body": '{"n":  5}', "path": "/sub"}
    check_problem(host.refused("inputs/both", content=b"{oh"), 400, "invalid_json")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_function_answers_all_methods(host: Served, method: str) -> None:
    assert host.call("inputs/request", content=b"x", method=method).json()["method"] == method


def test_what_a_call_weighs_is_kept(host: Served) -> None:
    """By that a host knows how many it has memory for, when they wake."""
    key = fresh_key()
    assert host.call("inputs/anything", {"value": [[]] * 10_000}, key=key).status_code == 200
    ((weight, text_bytes),) = host.query(
        "select load_bytes, octet_length(concat(input, request)) from outlast.workflow_status"
        " where idempotency_key = %s",
        key,
    )
    assert text_bytes < 100_000
    assert weight > 500_000
