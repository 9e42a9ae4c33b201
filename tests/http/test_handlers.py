"""Functions that aren't durable: handlers, mounted applications, and what both start."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.http.harness import Served, check_problem, fresh_key


def plain(host: Served, kind: str, **options: object) -> httpx.Response:
    return host.refused(f"plain?kind={kind}", **options)


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "body"),
    [
        ("text", 200, "text/plain; charset=utf-8", "grüße".encode()),
        ("bytes", 200, "application/octet-stream", b"\x00\xff"),
        ("none", 200, "application/json", b"null"),
        ("list", 200, "application/json", '[1,2.5,"ü",null]'.encode()),
        ("model", 200, "application/json", b'{"x":1,"y":2.5}'),
        ("response", 201, "application/json", b'{"made":true}'),
        ("empty", 204, None, b""),
        ("json", 202, "application/json", b'{"from":"starlette"}'),
        ("stream", 200, "text/csv; charset=utf-8", b"one,two"),
    ],
)
def test_what_a_handler_returns_is_the_answer(
    host: Served, kind: str, status: int, content_type: str | None, body: bytes
) -> None:
    answer = plain(host, kind)
    assert answer.status_code == status
    assert answer.headers.get("content-type") == content_type
    assert answer.content == body
    assert "workflow-id" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_handler_sees_the_whole_request(host: Served, method: str) -> None:
    answer = host.call("plain/a%20b?x=%C3%BC", method=method, content=b"\xff!")
    assert answer.json() == {
        "method": method,
        "path": "/a b",
        "query": {"x": "ü"},
        "body": "\\xff!",
        "authorization": host.client.headers["authorization"],  # nothing of it is recorded
    }


def test_a_handler_may_refuse(host: Served) -> None:
    answer = plain(host, "refuse")
    assert check_problem(answer, 403, "http_exception")["detail"] == "not today"
    assert answer.headers["x-mine"] == "yes"
    answer = plain(host, "refuse-json")
    assert (answer.status_code, answer.json()) == (422, {"why": ["because"]})


@pytest.mark.parametrize("kind", ["raise", "stale", "misuse", "object", "nan", "no-such-kind"])
def test_a_handler_that_fails_tells_strangers_nothing(host: Served, kind: str) -> None:
    check_problem(plain(host, kind), 500, "function_error")


def test_a_def_handler_runs_in_a_thread(host: Served) -> None:
    assert host.call("blocking", {}).json() == {"in_main_thread": False}
    check_problem(host.call("blocking", content=b"raise"), 500, "function_error")


def test_a_stream_that_breaks_is_seen_to_be_broken(host: Served) -> None:
    for function in ("plain?kind=broken-stream", "mounted/break-off", "raw/half"):
        with pytest.raises(httpx.RemoteProtocolError):
            host.call(function, method="GET")
    assert host.call("plain?kind=text").status_code == 200


def test_a_handler_may_bring_its_own_cross_origin_headers(host: Served) -> None:
    answer = plain(host, "cors")
    assert answer.headers.get_list("access-control-allow-origin") == ["https://example.com"]


def test_a_handler_starts_workflows(host: Served) -> None:
    answer = host.call("starter?n=21")
    document = answer.json()
    assert document["result"] == 42
    assert host.status(document["workflow_id"]) == "SUCCESS"
    assert document["workflow_id"].startswith("starter/double:")
    assert "workflow-id" not in answer.headers


def test_a_handler_starts_a_workflow_once(host: Served) -> None:
    key = fresh_key()
    first, again = (host.call(f"starter?n=4&key={key}").json() for _ in range(2))
    assert first == again
    assert first["result"] == 8
    check_problem(host.refused(f"starter?n=5&key={key}"), 422, "idempotency_key_reused")


def test_what_a_handler_starts_wrongly_is_its_own_fault(host: Served) -> None:
    check_problem(host.refused("starter?misfit=1"), 422, "invalid_input", more={"errors"})
    check_problem(host.call("starter?failing=1"), 500, "function_error")


def test_an_application_is_mounted(host: Served) -> None:
    assert host.call("mounted/", method="GET").text == "home"
    answer = host.call("mounted/items/a%2Fb", method="GET")
    assert answer.json() == {
        "id": "a/b",
        "root": "/functions/v1/mounted",
        "url": f"{host.url}/functions/v1/mounted/items/a/b",
        "link": f"{host.url}/functions/v1/mounted/items/2",
    }


def test_an_application_answers_for_itself(host: Served) -> None:
    missing = host.call("mounted/nowhere")
    assert (missing.status_code, missing.text) == (404, "Not Found")
    wrong = host.call("mounted/items/1", method="DELETE")
    assert (wrong.status_code, set(wrong.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert host.call("mounted/items/1", method="HEAD").status_code == 200
    bare = host.client.get("/functions/v1/mounted")
    assert bare.is_redirect
    assert bare.headers["location"].endswith("/functions/v1/mounted/")


def test_an_application_streams_both_ways(host: Served) -> None:
    assert host.call("mounted/stream", method="GET").text == "0\n1\n2\n"
    size = 12 * 1024 * 1024  # more than a workflow's body may have
    answer = host.call("mounted/upload", content=(b"x" * 1024 * 1024 for _ in range(12)))
    assert answer.json() == {"size": size}


def test_an_application_starts_workflows(host: Served) -> None:
    document = host.call("mounted/begin?n=5").json()
    assert document["result"] == 15
    assert host.status(document["workflow_id"]) == "SUCCESS"
    assert host.call("mounted/triple", {"n": 2}).json() == 6


def test_an_application_that_fails_is_answered_once(host: Served) -> None:
    answer = host.call("mounted/fail", method="GET")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")  # Starlette's own
    check_problem(host.call("raw/raise"), 500, "function_error")
    check_problem(host.call("raw/silent"), 500, "function_error")
    assert host.call("raw/ok").text == "ok"


def test_an_upgrade_to_a_websocket_is_not_made(host: Served) -> None:
    with host.connection() as wire:
        wire.send(
            b"GET /functions/v1/mounted/talk HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n"
            b"upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"sec-websocket-version: 13\r\n\r\n"
        )
        assert wire.answer().status == 501
    with host.connection() as wire:
        wire.send(b"GET /functions/v1/mounted/talk HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\r\n")
        assert wire.answer().status == 404, "without `Connection: upgrade` it is a plain request"
    assert host.seen("websocket") == 0


@pytest.mark.parametrize("asked", ["h2c", "websocket", "TLS/1.0, foo/2"])
@pytest.mark.parametrize("framing", ["length", "chunks", "none", "nothing"])
def test_a_wish_for_another_protocol_costs_no_body_and_no_later_request(
    host: Served, asked: str, framing: str
) -> None:
    """Java's client sends `Upgrade: h2c` with each first request over plain HTTP, body and all."""
    body = b'{"value":5} ' if framing in ("length", "chunks") else b""
    head = {
        "length": b"content-length: 12\r\n\r\n" + body,
        "chunks": b"transfer-encoding: chunked\r\n\r\n5\r\n"
        + body[:5]
        + b"\r\n7\r\n"
        + body[5:]
        + b"\r\n0\r\n\r\n",
        "none": b"content-length: 0\r\n\r\n",
        "nothing": b"\r\n",
    }[framing]
    request = (
        b"POST /functions/v1/inputs/anything HTTP/1.1\r\nhost: localhost\r\n"
        b"connection: Upgrade, HTTP2-Settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\nupgrade: "
        + asked.encode()
        + b"\r\n"
        + head
    )
    health = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    whole = request + request + health
    for pieces in (
        [whole],
        [request, request, health],
        [whole[at : at + 7] for at in range(0, len(whole), 7)],
    ):
        with host.connection() as wire:
            for piece in pieces:
                wire.send(piece)
            for _ in range(2):
                assert json.loads(wire.answer().body) == {"value": 5 if body else None}
            assert json.loads(wire.answer().body) == {"status": "ok"}


def test_a_client_that_leaves_is_no_fault_of_the_function(host: Served) -> None:
    before = host.process.said().count("mounted failed")
    with host.connection() as wire:
        wire.send(
            b"POST /functions/v1/mounted/upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nx"
        )
    assert host.call("mounted/stream", method="GET").status_code == 200
    assert host.process.said().count("mounted failed") == before


def test_a_fault_is_one_entry_of_the_log(host: Served) -> None:
    before = host.process.said()
    host.call("plain?kind=raise")
    new = host.process.said()[len(before) :]
    assert new.count("ValueError: the password is hunter2") == 1
    assert new.count("Traceback") == 1
    assert new.count("plain failed") == 1
    assert "plain.py" in new
