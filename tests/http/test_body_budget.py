"""What bodies may take of a host: all together, one caller's, and what they unfold into."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.http.conftest import OPEN, Start
from tests.http.harness import Parsed, Served, Wire, check_problem, fresh_key, memory_mb
from tests.http.test_webhooks import CURRENT, headers_of, shown

KIB, MIB = 1024, 1024 * 1024
ASKED = 4 * MIB
EMPTY_LISTS = b'{"value": [' + b"[]," * (10 * MIB // 3) + b"1]}"
BODIES_KIB, CALLERS_KIB = 300, 200


@pytest.fixture(scope="module")
def small(start_host: Start) -> Served:
    """A host with room for little more than one body of 100 kB of each of two callers."""
    return start_host(OPEN, bodies_bytes_max=BODIES_KIB * KIB, caller_bodies_bytes_max=CALLERS_KIB * KIB)


@pytest.fixture(scope="module")
def hooked(start_host: Start) -> Iterator[Served]:
    """A host that knows the secret of its webhooks, with the default limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_HOOK_SECRET", shown(CURRENT))
        yield start_host("--host", "127.0.0.1")


def begin(wire: Wire, length: int | None, *fields: str, function: str = "inputs/request") -> None:
    """Send a request's head, and ask to be told when its body may come: then its room is taken."""
    framed = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    head = ["host: localhost", "expect: 100-continue", framed, *fields]
    wire.send(
        f"POST /functions/v1/{function} HTTP/1.1\r\n".encode() + "\r\n".join(head).encode() + b"\r\n\r\n"
    )


def may_send(wire: Wire) -> bool:
    """Whether the host asks for the body; else its answer comes next."""
    return wire.line() == b"HTTP/1.1 100 Continue" and wire.line() == b""


def refusal(wire: Wire, length: int | None, *fields: str, function: str = "inputs/request") -> Parsed:
    begin(wire, length, *fields, function=function)
    answer = wire.answer()
    assert answer.headers["retry-after"] == "1"
    return answer


ADMIN = "apikey: sb_secret_of_the_tests_0123456789"


def test_one_callers_bodies_are_bounded_before_they_are_read(small: Served) -> None:
    rows = small.rows()
    with small.connection() as first, small.connection() as second, small.connection() as third:
        begin(first, 150 * KIB)
        assert may_send(first)
        answer = refusal(second, 100 * KIB)
        assert (answer.status, answer.headers["sb-error-code"]) == (429, "rate_limited")
        assert small.rows() == rows
        begin(third, 150 * KIB, ADMIN)  # who has a secret key has no share
        assert may_send(third)
        for wire in (first, third):
            wire.send(b"x" * 150 * KIB)
            assert wire.answer().status == 200
    assert small.call("inputs/request", content=b"x" * 150 * KIB).status_code == 200


def test_all_bodies_of_an_instance_are_bounded(small: Served) -> None:
    with small.connection() as first, small.connection() as second, small.connection() as third:
        begin(first, 180 * KIB, ADMIN)
        assert may_send(first)
        begin(second, 100 * KIB)
        assert may_send(second)
        rows = small.rows()
        answer = refusal(third, 50 * KIB, ADMIN)
        assert (answer.status, answer.headers["sb-error-code"]) == (503, "overloaded")
        assert small.rows() == rows
    # Who goes away without sending gives back what was taken.
    for _ in range(3):
        assert small.call("inputs/request", content=b"x" * 190 * KIB).status_code == 200


@pytest.mark.parametrize("function", ["inputs/request", "heavy/handled"])
def test_a_chunked_body_takes_as_it_grows(small: Served, function: str) -> None:
    with small.connection() as first, small.connection() as second:
        begin(first, 150 * KIB, function=function)
        assert may_send(first)
        begin(second, None, function=function)
        assert may_send(second)
        for _ in range(4):
            second.send(b"5000\r\n" + b"x" * 0x5000 + b"\r\n")
        answer = second.answer()
        assert (answer.status, answer.headers["sb-error-code"]) == (429, "rate_limited")
        first.send(b"x" * 150 * KIB)
        assert first.answer().status == 200


def test_a_body_that_comes_alone_is_taken(small: Served) -> None:
    body = b"x" * MIB
    assert small.call("inputs/request", content=body).json()["size"] == MIB
    assert small.call("inputs/request", content=iter([body])).json()["size"] == MIB


def test_what_waits_for_its_result_holds_no_room(small: Served) -> None:
    """Its body is in its row: the engine counts it from then on."""
    key = fresh_key()
    held = small.calling("held", content=b'{"key": "%s"%s}' % (key.encode(), b" " * 150 * KIB), key=key)
    small.until_seen(key)
    assert small.call("inputs/request", content=b"x" * 150 * KIB).status_code == 200
    small.open(key)
    assert held.result().status_code == 200


def test_values_count_beside_their_text(small: Served) -> None:
    """A text of 40 kB is little; as empty lists it takes megabytes."""
    with small.connection() as first:
        begin(first, 150 * KIB)
        assert may_send(first)
        lists = b'{"value": [' + b"[]," * 13_000 + b"1]}"
        check_problem(small.refused("inputs/anything", content=lists), 429, "rate_limited", retryable=True)
        text = b'{"value": "' + b"[]," * 30 + b"x" * 39_000 + b'"}'
        assert small.call("inputs/anything", content=text).status_code == 200
        first.send(b"x" * 150 * KIB)
        assert first.answer().status == 200
    assert small.call("inputs/anything", content=lists).status_code == 200


def test_while_a_large_body_is_read_others_are_served(host: Served) -> None:
    key = fresh_key()
    reading = host.calling("heavy/slow", {"key": key, "padding": "x" * 70_000})
    host.until_seen(key)
    assert host.call("hello", {}).status_code == 200
    host.open(key)
    assert reading.result().json() == key


def test_a_large_body_whose_reading_stops_gets_an_answer(host: Served) -> None:
    answer = host.refused("heavy/slow", {"key": "stop", "padding": "x" * 70_000})
    check_problem(answer, 500, "function_error")


# --- one body ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["heavy", "heavy/handled"])
def test_a_function_may_ask_for_more(host: Served, function: str) -> None:
    assert host.call(function, content=b"x" * ASKED).json() == ASKED
    check_problem(host.refused(function, content=b"x" * (ASKED + 1)), 413, "payload_too_large")


def test_a_function_may_ask_for_less(host: Served) -> None:
    assert host.call("heavy/light", content=b'{"value": 1}').json() == 1
    check_problem(host.refused("heavy/light", content=b" " * 1001), 413, "payload_too_large")


def test_what_functions_ask_for_is_bounded(host: Served) -> None:
    body = b"x" * 10 * MIB
    assert host.call("heavy/boundless", content=body).json() == len(body)
    check_problem(host.refused("heavy/boundless", content=body + b"x"), 413, "payload_too_large")


MANY = {
    "lists": b"[]," * 60_000 + b"1",
    "objects": b'{"a": {}},' * 30_000 + b"1",
    "numbers": b"1," * 110_000 + b"1",
    "texts": b'"",' * 110_000 + b"1",
}


@pytest.mark.parametrize("values", MANY.values(), ids=MANY)
@pytest.mark.parametrize("function", ["inputs/anything", "inputs/open_ended"])
def test_what_unfolds_into_too_much_is_refused(host: Served, function: str, values: bytes) -> None:
    answer = host.refused(function, content=b'{"value": [' + values + b"]}", key=fresh_key())
    assert "values" in check_problem(answer, 413, "payload_too_large")["detail"]


def test_a_text_may_hold_as_many_commas_as_it_likes(host: Served) -> None:
    text = 'a,"b",[c:{d}]\\' * 60_000
    answer = host.call("inputs/anything", {"value": text})
    assert answer.json() == {"value": text}


def test_a_handler_that_reads_json_is_guarded(host: Served) -> None:
    assert host.call("heavy/reading", content=b"[[],[]]").json() == 2
    answer = host.call("heavy/reading", content=b"[" + MANY["lists"] + b"]")
    check_problem(answer, 413, "payload_too_large")


def test_a_message_may_not_unfold_into_too_much(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("held", key)
    path = f"/workflows/v1/{workflow_id}/messages/words"
    answer = host.admin.post(path, content=b"[" + MANY["lists"] + b"]")
    check_problem(answer, 413, "payload_too_large")
    host.open(key)


def test_bodies_of_a_stranger_leave_a_host_small(start_host: Start) -> None:
    """Three of them took 370 MiB each, and the loop stood still for a second at a time."""
    host = start_host(OPEN, body_bytes_max=10 * MIB, function_body_bytes_max=10 * MIB)
    host.call("hello", {})
    before_mb = memory_mb(host)
    rows = host.rows()
    calls = [host.calling("inputs/anything", content=EMPTY_LISTS, key=fresh_key()) for _ in range(3)]
    for call in calls:
        check_problem(call.result(), 413, "payload_too_large")
    assert host.rows() == rows
    assert memory_mb(host) < before_mb + 120
    assert host.call("hello", {}).status_code == 200


def test_deliveries_that_nobody_signed_are_small(hooked: Served) -> None:
    """60 connections, each with all of a body but its end: they held 662 MiB."""
    before_mb = memory_mb(hooked)
    garbage = headers_of(b"", "msg_1", b"a secret that is another one")
    fields = [f"{name}: {value}" for name, value in garbage.items()]
    size = 250 * KIB
    with ExitStack() as stack:
        wires = [stack.enter_context(hooked.connection()) for _ in range(60)]
        for wire in wires:
            begin(wire, size, *fields, function="hooks")
        asked = [wire for wire in wires if may_send(wire)]
        for wire in asked:
            wire.send(b"x" * (size - 1))
        for wire in asked:
            wire.send(b"x")
            assert wire.answer().status == 401
    assert memory_mb(hooked) < before_mb + 60
    delivered(hooked, "hooks/silent", b'{"key": "small"}')


def delivered(host: Served, function: str, body: bytes) -> Any:
    answer = host.call(function, content=body, headers=headers_of(body, fresh_key(), CURRENT))
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.content else None


def test_a_delivery_is_smaller_unless_its_function_asks(hooked: Served) -> None:
    large = b"x" * (256 * KIB + 1)
    answer = hooked.refused("hooks/request", content=large, headers=headers_of(large, fresh_key(), CURRENT))
    check_problem(answer, 413, "payload_too_large")
    assert delivered(hooked, "hooks/request", large[1:])["size"] == 256 * KIB
    assert delivered(hooked, "heavy/delivered", b"x" * ASKED) == ASKED


LARGE = 150 * KIB


@pytest.mark.parametrize("kind", ["call", "replay", "wait", "handler", "stream"])
def test_large_answers_get_their_turn(small: Served, kind: str) -> None:
    """There is room for two of them, and for one of one caller; nobody has to ask twice."""
    key = fresh_key()
    if kind in ("replay", "wait"):
        assert small.call("large/made", {"count": LARGE}, key=key).status_code == 200

    def ask(_: int) -> int:
        if kind == "handler":
            return len(small.client.get("/functions/v1/large/handled", params={"count": LARGE}).content)
        if kind == "wait":
            path = f"/workflows/v1/large%2Fmade:{key}"
            return len(small.admin.get(path, params={"wait": "1"}).json()["output"])
        if kind == "stream":
            text = small.call("large/told", {"count": LARGE}, accept="text/event-stream").text
            return min(text.count("x"), text.count("y"))
        return len(small.call("large/made", {"count": LARGE}, key=key if kind == "replay" else None).json())

    with ThreadPoolExecutor(12) as threads:
        sizes = list(threads.map(ask, range(24)))
    assert all(size >= LARGE for size in sizes), sizes
