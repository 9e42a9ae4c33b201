"""HTTP itself: methods, paths, cross-origin access, connections, and requests that break the rules."""

from __future__ import annotations

import json
import socket
import struct
import sys
import uuid

import httpx
import pytest

from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, Wire, check_problem, fresh_key, memory_mb

PREFLIGHT = {
    "origin": "http://localhost:3000",
    "access-control-request-method": "POST",
    "access-control-request-headers": "x-my-header, x-other",
}
EXPECTED = {
    "authorization", "x-client-info", "apikey", "content-type", "idempotency-key", "prefer", "x-region",
    "x-retry-count", "traceparent", "tracestate", "baggage", "last-event-id", "x-my-header", "x-other",
}  # fmt: skip


@pytest.mark.parametrize("function", ["writes", "blocking"])
def test_other_methods_are_refused_and_the_right_ones_named(host: Served, function: str) -> None:
    path, allowed = {
        "writes": ("inputs/writes", "POST, PUT, OPTIONS"),
        "blocking": ("blocking", "POST, OPTIONS"),
    }[function]
    answer = host.refused(path, method="DELETE", key=fresh_key())
    check_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed
    assert host.call(path, {}).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "TRACE", "PROPFIND"])
def test_methods_that_functions_never_answer(host: Served, method: str) -> None:
    answer = host.refused("hello", method=method)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST, PUT, PATCH, DELETE, OPTIONS"
    assert answer.headers["sb-error-code"] == "METHOD_NOT_ALLOWED"
    assert (answer.content == b"") == (method == "HEAD")


def test_a_made_up_method_is_refused(host: Served) -> None:
    with host.connection() as wire:
        wire.send(b"BREW /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert wire.answer().status in (400, 405)


@pytest.mark.parametrize("path", ["hello", "no-such-function", "broken", "mounted/items/1", "plain", "../.."])
def test_a_preflight_is_answered_anywhere(host: Served, path: str) -> None:
    answer = host.client.request("OPTIONS", f"/functions/v1/{path}", headers=PREFLIGHT)
    check_preflight(answer)


@pytest.mark.parametrize("path", ["/", "/workflows/v1", "/healthz", "/nowhere"])
def test_a_preflight_is_answered_outside_functions_too(host: Served, path: str) -> None:
    check_preflight(host.client.request("OPTIONS", path, headers=PREFLIGHT))


def check_preflight(answer: httpx.Response) -> None:
    assert answer.status_code == 204
    assert answer.content == b""
    assert "content-length" not in answer.headers
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert set(allowed) >= EXPECTED
    assert set(answer.headers["access-control-allow-methods"].split(", ")) == {
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
    }  # fmt: skip
    assert int(answer.headers["access-control-max-age"]) > 0


def test_options_without_questions_is_answered(host: Served) -> None:
    answer = host.client.request("OPTIONS", "/functions/v1/hello")
    assert answer.status_code == 204
    assert "x-my-header" not in answer.headers["access-control-allow-headers"]


def test_origins_can_be_limited(start_host: Start) -> None:
    host = start_host(OPEN, cors_origins="https://example.com, https://other.example")
    host.client.event_hooks = {"response": []}
    for path in ("/functions/v1/hello", "/functions/v1/nowhere", "/healthz"):
        for method in ("POST", "OPTIONS"):
            allowed = host.client.request(method, path, headers={"origin": "https://example.com"})
            assert allowed.headers["access-control-allow-origin"] == "https://example.com"
            assert "origin" in allowed.headers.get_list("vary", split_commas=True)
            for strange in ({"origin": "https://evil.example"}, {}):
                refused = host.client.request(method, path, headers=strange)
                assert "access-control-allow-origin" not in refused.headers
                assert "origin" in refused.headers.get_list("vary", split_commas=True)


HOSTILE = [
    "",
    "/",
    "//hello",
    "../hello",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "hello/../hello",
    "hello/..",
    "hello%00",
    "%00",
    "hello%0d%0ax-forged:%201",
    "hello/more",
    "Hello",
    "_shared",
    "_shared/gates",
    "_shared.gates",
    "hello.py",
    "__init__",
    "__proto__",
    "hell%C3%B6",
    "%ff%fe",
    "%",
    "%zz",
    "1",
    "-",
    "hello;x=1",
    "hello%3Fname=x",
    "a" * 20_000,
    "hello/" + "a/" * 5_000,
    "held/hold",
    "answers",
    "answers/nowhere",
    "answers/value/more",
    "☃",
]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path[:30] or "empty")
def test_hostile_paths_name_nothing(host: Served, path: str) -> None:
    before = host.rows()
    with host.connection() as wire:
        raw = f"POST /functions/v1/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        wire.send(raw.encode("utf-8"))
        answer = wire.answer()
    assert host.rows() == before
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-type"] == "application/json"
    if answer.status == 400:
        assert answer.headers["sb-error-code"] == "invalid_http"
        return
    assert answer.status == 404
    assert "x-forged" not in answer.headers
    document = json.loads(answer.body)
    assert document["code"] == answer.headers["sb-error-code"] == "NOT_FOUND"
    assert "functions/" not in document["detail"]


def test_a_slash_at_the_end_is_forgiven(host: Served) -> None:
    assert host.call("hello/", {}).status_code == 200
    assert host.call("answers/nothing/", {}).status_code == 200


def test_an_unknown_function(host: Served) -> None:
    answer = host.refused("nowhere", {}, key=fresh_key())
    check_problem(answer, 404, "NOT_FOUND")
    for name in ("workflow-id", "link", "location"):
        assert name not in answer.headers


def test_a_file_of_several_workflows_names_them(host: Served) -> None:
    assert "answers/respond" in check_problem(host.refused("answers", {}), 404, "NOT_FOUND")["detail"]


def test_a_broken_file_breaks_itself_alone(host: Served) -> None:
    answer = host.refused("broken", {}, key=fresh_key())
    document = check_problem(answer, 503, "BOOT_ERROR", retryable=True)
    assert "no_such_module" not in answer.text, "that is for the log"
    assert "broken" in document["detail"]
    (line,) = [each for each in host.process.said().splitlines() if "no_such_module" in each]
    assert "broken.py:1" in line
    assert host.call("hello", {}).status_code == 200


def test_the_rest_of_the_server_is_not_found(host: Served) -> None:
    for path in ("/functions", "/functions/v1", "/functions/v2/hello", "/favicon.ico", "/../etc/passwd"):
        check_problem(host.client.post(path), 404, "NOT_FOUND")


def test_a_connection_serves_many_requests(host: Served) -> None:
    with host.connection() as wire:
        for number in range(5):
            wire.send(post("hello", {"name": str(number)}))
            assert json.loads(wire.answer().body) == {"message": f"Hello, {number}!"}
        wire.send(post("nowhere", {}))
        assert wire.answer().status == 404
        wire.send(post("hello", {"name": 5}))
        assert wire.answer().status == 422
        wire.send(post("hello", {"name": "after"}))
        assert wire.answer().status == 200


def packets_with_data(wire: Wire) -> int:
    """How many have arrived: `tcpi_data_segs_in` of Linux's `struct tcp_info`."""
    packets: int = struct.unpack_from(
        "I", wire.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152
    )[0]
    return packets


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts packets by connection")
@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "hello", 200), ("POST", "nowhere", 404), ("HEAD", "hello", 405)]
)
def test_an_answer_is_one_packet(host: Served, method: str, path: str, status: int) -> None:
    """A client is woken once. A HEAD's answer has no body to wait for."""
    with host.connection() as wire:
        for number in range(1, 4):
            request = (
                f"{method} /functions/v1/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
            )
            wire.send(request.encode())
            if method == "HEAD":
                assert wire.line() == b"HTTP/1.1 405 Method Not Allowed"
                while wire.line():
                    pass
            else:
                assert wire.answer().status == status
            assert packets_with_data(wire) == number


def test_requests_sent_at_once_are_answered_in_order(host: Served) -> None:
    with host.connection() as wire:
        wire.send(b"".join(post("hello", {"name": str(number)}) for number in range(10)))
        said = [json.loads(wire.answer().body)["message"] for _ in range(10)]
    assert said == [f"Hello, {number}!" for number in range(10)]


def test_a_held_call_holds_back_those_behind_it(host: Served) -> None:
    key = fresh_key()
    with host.connection() as wire:
        wire.send(post("held", {"key": key}, **{"idempotency-key": key}) + post("hello", {}))
        host.until_seen(key)
        host.open(key)
        assert json.loads(wire.answer().body) == {"said": f"let go of {key}"}
        assert json.loads(wire.answer().body) == {"message": "Hello, World!"}


def test_a_body_that_waits_to_be_asked_for(host: Served) -> None:
    with host.connection() as wire:
        wire.send(
            b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
            b"content-length: 15\r\n\r\n"
        )
        assert wire.line() == b"HTTP/1.1 100 Continue"
        assert wire.line() == b""
        wire.send(b'{"name": "Ada"}')
        assert json.loads(wire.answer().body) == {"message": "Hello, Ada!"}


def test_a_body_that_is_not_wanted_is_not_asked_for(host: Served) -> None:
    for path in ("nowhere", "inputs/keyed"):
        with host.connection() as wire:
            wire.send(f"POST /functions/v1/{path} HTTP/1.1\r\nhost: localhost\r\n".encode())
            wire.send(b"expect: 100-continue\r\ncontent-length: 1000000\r\n\r\n")
            assert wire.answer().status in (400, 404)


def test_the_end_of_a_connection_is_honoured(host: Served) -> None:
    for version, header in (("1.1", "connection: close\r\n"), ("1.0", "")):
        with host.connection() as wire:
            wire.send(f"GET /functions/v1/hello HTTP/{version}\r\nhost: localhost\r\n{header}\r\n".encode())
            assert wire.answer().status == 200
            assert wire.rest() == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET\r\n\r\n",
        b"POST /functions/v1/hello HTTP/9.9\r\n\r\n",
        b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
        b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\n"
        b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\n"
        b"content-length: 99999999999999999999999\r\n\r\n",
        b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
        b"content-length: 4\r\n\r\n0\r\n\r\n",
        b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /functions/v1/hello HTTP/1.1\r\nhost x\r\n\r\n",
        b"POST /functions/v1/hello HTTP/1.1\r\nh\0st: x\r\n\r\n",
        b"POST /functions/v1/hello HTTP/1.1\r\nhost: a\0b\r\n\r\n",
        b"POST /functions/v1/\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
    ids=lambda raw: raw[-40:].decode("latin-1"),
)
def test_what_is_no_http_is_refused(host: Served, raw: bytes) -> None:
    before = host.rows()
    with host.connection() as wire:
        wire.send(raw)
        wire.socket.shutdown(1)
        said = wire.rest()
    if said:
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
        assert b"access-control-allow-origin: *" in head
        assert json.loads(body)["code"] in ("invalid_http", "NOT_FOUND")
    assert host.rows() == before
    assert host.call("hello", {}).status_code == 200


@pytest.mark.parametrize("endless", [b"x", b"x-a: b\r\n", b"x-a:\r\n"], ids=["value", "fields", "names"])
@pytest.mark.parametrize(
    "start", ["GET /", "GET /functions/v1/hello HTTP/1.1\r\nx-a: "], ids=["line", "head"]
)
def test_an_endless_head_is_refused(host: Served, start: str, endless: bytes) -> None:
    before_mb = memory_mb(host)
    sent = 0
    with host.connection() as wire:
        try:
            wire.send(start.encode())
            while sent < 40:
                wire.send(endless * (0x100000 // len(endless)))
                sent += 1
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert sent < 40, "it went on reading"
    assert memory_mb(host) < before_mb + 20
    assert host.call("hello", {}).status_code == 200


def test_a_head_that_is_too_large_is_told_so(host: Served) -> None:
    with host.connection() as wire:
        wire.send(b"GET /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\nx-a: ")
        for _ in range(3):
            wire.send(b"x" * 50_000)
        answer = wire.answer()
    assert answer.status == 431
    assert json.loads(answer.body)["code"] == "header_too_large"
    for size in (8_000, 100_000):
        answered = host.call("hello", {}, headers={"x-a": "x" * size})
        assert answered.status_code == 200


def test_small_heads_on_one_connection_do_not_add_up(host: Served) -> None:
    filling = "x" * 40_000
    with host.connection() as wire:
        for _ in range(8):
            wire.send(post("hello", {}, **{"x-a": filling}))
            assert wire.answer().status == 200


def test_a_request_that_breaks_off_starts_nothing(host: Served) -> None:
    before = host.rows()
    with host.connection() as wire:
        wire.send(b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
    assert host.call("nowhere").status_code == 404
    assert host.rows() == before


def test_a_credential_in_the_path_is_no_secret_to_the_log(host: Served) -> None:
    """Paths may be logged: what is broken is quoted, so that no line of the log can be forged."""
    forged = f"forged-{uuid.uuid4()}"
    host.client.get(f"/functions/v1/raw/raise%0A{forged}")
    host.client.get(f"/functions/v1/nowhere%0A{forged}")
    assert not any(line.startswith(forged) for line in host.process.said().splitlines())


def test_what_is_served_is_not_logged_nor_what_a_client_says_of_itself(host: Served) -> None:
    mark = f"mark-{uuid.uuid4()}"
    assert host.call(f"hello?name={mark}", headers={"user-agent": mark}).status_code == 200
    assert host.call(f"absent?name={mark}", headers={"user-agent": mark}).status_code == 404
    assert host.admin.get(f"/workflows/v1/absent?wait=1&mark={mark}").status_code == 400
    assert mark not in host.process.said()


def post(function: str, body: object, **headers: str) -> bytes:
    content = json.dumps(body).encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    fields += f"content-length: {len(content)}\r\n"
    head = f"POST /functions/v1/{function} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n"
    return head.encode() + content
