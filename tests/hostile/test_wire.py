"""Requests that no client sends: whatever comes over the wire, the answer is HTTP, or a clean end.

A seeded stream of requests, broken and odd in many ways at once, at a real host. HOSTILE_SEED replays it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.hostile.hosts import Target, serve
from tests.hostile.requests import Request, request
from tests.hosts import until

SEED = int(os.environ.get("HOSTILE_SEED", "20261122"))
QUIET_S = 0.15
"""How long to wait for more once an answer is there."""

FIELDS = {"type", "title", "status", "detail", "error", "code", "message", "msg", "retryable"}
MEANT_503 = {"overloaded", "shutting_down", "database_unavailable", "BOOT_ERROR"}


@pytest.fixture(scope="module")
def target(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A host for well-behaved functions; bodies are bounded, so that too large ones are soon made."""
    folder = tmp_path_factory.mktemp("wire")
    with serve(postgres, folder, Path(__file__).parent / "served", body_bytes_max=100_000) as target:
        yield target


class Answer:
    """One answer, taken off the wire."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: str) -> str | None:
        """The value of a field that is there once at most."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


def exchange(target: Target, sent: Request) -> tuple[bytes, bool]:
    """Send it as it says; all that came back, and whether the host ended the connection."""
    parts = urlsplit(target.url)
    with socket.create_connection((parts.hostname, parts.port), 10) as wire:
        wire.settimeout(10)
        with contextlib.suppress(OSError):  # it may have ended the connection already
            for piece in sent.pieces:
                wire.sendall(piece)
            if sent.half_close:
                wire.shutdown(socket.SHUT_WR)
        received = bytearray()
        wire.settimeout(10 if sent.whole else QUIET_S)
        try:
            while data := wire.recv(1 << 16):
                received += data
                wire.settimeout(QUIET_S)
        except TimeoutError:
            return bytes(received), False
        except ConnectionResetError:
            return bytes(received), True
        return bytes(received), True


def answers_in(data: bytes, methods: list[str], ended: bool) -> list[Answer]:
    """Take the answers apart by the rules of RFC 9112; whatever doesn't fit fails."""
    found: list[Answer] = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, f"no end of the head: {head[:200]!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, line
            assert name, line
            assert name == name.strip(), line
            assert not any(character in line for character in "\r\n\0"), line
            headers.append((name.lower(), value.strip()))
        answer = Answer(int(status), headers, b"")
        if answer.status == 100:
            continue
        unread = answer.header("sb-error-code") in ("invalid_http", "header_too_large")  # nor its method
        head_only = len(found) < len(methods) and methods[len(found)] == "HEAD" and not unread
        if answer.header("transfer-encoding") == "chunked":
            answer.body, data = unchunked(data)
        elif not head_only and answer.status not in (204, 304):
            length = answer.header("content-length")
            size = int(length) if length is not None else len(data)
            if not data and len(found) < len(methods) and methods[len(found)] in ("?", "HEAD"):
                size = 0  # what was broken may have been a HEAD, and was read as one or not
            assert length is not None or ended, "a body without an end"
            assert len(data) >= size, f"{len(data)} of {size} bytes"
            answer.body, data = data[:size], data[size:]
        found.append(answer)
    return found


def unchunked(data: bytes) -> tuple[bytes, bytes]:
    """A chunked body, and what follows it."""
    body = bytearray()
    while True:
        line, separator, data = data.partition(b"\r\n")
        assert separator, data[:100]
        size = int(line, 16)
        if size == 0:
            return bytes(body), data.removeprefix(b"\r\n")
        body += data[:size]
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]


def check(answer: Answer, *, of_app: bool) -> None:
    """What holds for every answer; those of an application of its own may look as it likes."""
    assert answer.header("access-control-allow-origin") is not None, answer.headers
    if answer.status < 400 or (of_app and answer.header("sb-error-code") is None):
        return
    if answer.header("content-type") is None:  # of a HEAD, perhaps: no body either
        assert not answer.body
        return
    assert answer.header("content-type") == "application/json", answer.headers
    if not answer.body:
        return
    document = json.loads(answer.body)
    assert document.keys() >= FIELDS, document
    assert document["status"] == answer.status
    assert document["code"] == answer.header("sb-error-code")
    assert document["type"] == f"urn:outlast:problem:{document['code']}"
    assert answer.status < 500 or document["code"] in MEANT_503 | {
        "workflow_error",
        "unsupported_encoding",
    }, document
    assert document["code"] != "workflow_error" or "failing:" in document["workflow_id"], document


def attempt(target: Target, seed: str) -> None:
    """Send what the seed says, and judge the answers."""
    sent = request(random.Random(seed))
    try:
        data, ended = exchange(target, sent)
        answers = answers_in(data, sent.methods, ended)
        of_app = b"/mounted" in b"".join(sent.pieces)[:200]
        for answer in answers:
            check(answer, of_app=of_app)
        assert answers or ended or not sent.whole, "neither an answer nor an end"
        assert target.host.process.poll() is None
    except Exception as error:
        shown = b"".join(sent.pieces)[:1500]
        raise AssertionError(f"seed {seed} ({sent.what}): {error!r}\n{shown!r}") from error


def fuzz(target: Target, seed: int, count: int) -> None:
    """Send `count` requests, several at a time."""
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(lambda n: attempt(target, f"{seed}-{n}"), range(count)):
            pass


@pytest.mark.slow
def test_whatever_is_sent_gets_http_and_leaves_nothing(target: Target) -> None:
    fuzz(target, SEED - 1, 50)  # whatever the host makes once is there by now
    said, memory_mb, files = target.said(), target.memory_mb(), target.files()
    fuzz(target, SEED, 700)
    assert target.call("orders/search", {"text": "x"}).json() == ["x"]
    new = [
        line for line in target.said()[len(said) :].splitlines() if " error " in line or " warning " in line
    ]
    assert not [line for line in new if "failing" not in line and not audited(line)], new
    until(lambda: target.files() <= files + 3, "connections to be let go")
    assert target.memory_mb() < memory_mb + 30


def audited(line: str) -> bool:
    """Whether it tells of a refusal, as the audit log does."""
    return "refused " in line or " more calls in the last " in line


def talk(target: Target, data: bytes) -> list[Answer]:
    """All answers to what is sent at once on one connection, which the host then ends."""
    received, ended = exchange(target, Request("", [data], [], whole=True))
    assert ended
    return answers_in(received, [], ended)


def test_garbage_behind_a_request_never_answers_it(target: Target) -> None:
    """Answers go out in the order of requests: the refusal of the second would be taken for the first's."""
    one = b'POST /functions/v1/raw/created HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 12\r\n\r\n{"name":"a"}'
    assert [each.status for each in talk(target, one + b"garbage\r\n\r\n")] == [201]
    assert [each.status for each in talk(target, one * 3 + b"\0\0\r\n\r\n")] == [201] * 3
    chunked = one.replace(b"Content-Length: 12", b"Transfer-Encoding: chunked").partition(b"{")[0] + b"zz\r\n"
    assert [each.status for each in talk(target, one + chunked)] == [201]


def test_a_body_that_breaks_the_rules_is_refused_once(target: Target) -> None:
    before, said = target.rows(), target.said()
    head = b"POST /functions/v1/raw HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    for rest in (b"zz\r\n", b"4\r\nnullX", b"2\r\n{}\r\n-1\r\n"):
        (answer,) = talk(target, head + rest)
        assert (answer.status, answer.header("sb-error-code")) == (400, "invalid_http")
        assert answer.header("connection") == "close"
    assert target.rows() == before
    assert not [line for line in target.said()[len(said) :].splitlines() if not audited(line)]


def test_connections_that_say_nothing_or_little_hold_up_nobody(target: Target) -> None:
    parts = urlsplit(target.url)
    pieces = [
        b"",
        b"GET / HT",
        b"POST /functions/v1/raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ]
    with contextlib.ExitStack() as stack:
        for n in range(150):
            wire = stack.enter_context(socket.create_connection((parts.hostname, parts.port), 10))
            wire.sendall(pieces[n % 3])
        for n in range(20):
            assert target.call("raw/created", {"name": str(n)}).status_code == 201
    files = target.files()
    until(lambda: target.files() <= files - 140 or target.files() < 40, "connections to be let go")


@pytest.mark.slow
def test_refused_calls_leave_no_row(target: Target) -> None:
    chance = random.Random(SEED)
    for _ in range(60):
        each = request(chance, refused=True)
        before = target.rows()
        data, ended = exchange(target, each)
        answers = answers_in(data, each.methods, ended)
        assert all(answer.status >= 400 for answer in answers), (each.what, data[:500])
        assert target.rows() == before, (each.what, data[:500])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_whatever_is_sent_at_length(target: Target) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"HOSTILE_SEED={seed}")  # noqa: T201 - captured
    fuzz(target, seed, 20_000)
    assert target.call("orders/search", {"text": "x"}).json() == ["x"]


@pytest.mark.parametrize(
    "codings", ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", "identity, Chunked"]
)
def test_a_transfer_coding_that_is_not_known_is_refused(target: Target, codings: str) -> None:
    """RFC 9112, section 6.1. The body would be taken for what it encodes."""
    before = target.rows()
    head = f"POST /functions/v1/raw HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {codings}\r\n\r\n"
    (answer,) = talk(target, head.encode() + b"2\r\n{}\r\n0\r\n\r\n")
    assert (answer.status, answer.header("sb-error-code")) == (501, "unsupported_encoding")
    assert answer.header("connection") == "close"
    assert target.rows() == before
