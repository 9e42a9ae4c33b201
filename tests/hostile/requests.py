# ruff: noqa: E501 - lists of odd things
"""Odd requests, made from a seeded chance: the bytes as they go over the wire, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

FUNCTIONS = [
    "orders", "orders/search", "orders/once", "raw", "raw/created", "raw/nothing", "raw/a/b", "plain",
    "plain/strict", "plain/starting", "mounted", "mounted/x", "failing", "broken", "nobody",
]  # fmt: skip
PATHS = [
    "/healthz", "/readyz", "/openapi.json", "/workflows/v1", "/workflows/v1/x", "/workflows/v1/x/steps", "/",
    "/functions/v1", "/functions/v1/", "/functions/v1//", "/functions/v1/../../etc/passwd", "*", "//",
    "/functions/v1/orders%2F..%2Fraw", "/functions/v1/%2e%2e/%2e%2e/etc/passwd", "/functions/v1/orders/",
    "/functions/v1/raw/%00", "/functions/v1/raw/%ff%fe", "/functions/v1/%6f%72%64ers", "/functions/v1/raw/%",
    "/functions/v1/raw/%zz", "/functions/v1/raw;x=1", "/functions/v1/raw?%00=%00", "/functions/v1/_shared",
    "/functions/v1/raw?" + "a=b&" * 5000, "/functions/v1/raw/" + "x/" * 2000, "/functions/v1/raw/" + "y" * 9000,
    "http://elsewhere/functions/v1/raw", "elsewhere:80", "/functions/v1/raw#fragment", "/functions/v1/raw/\u00fc",
    "/workflows/v1/%00", "/workflows/v1/" + "z" * 5000, "/workflows/v1/%2F%2F/cancel", "/workflows/v1?limit=%00",
    "/workflows/v1?cursor=AAAA&cursor=B", "/workflows/v1?since=9999-99-99", "/workflows/v1?x=" + "1" * 3000,
    "/workflows/v1?status=%F0%9F%92%A5", "/workflows/v1/x?wait=1e999", "/functions/v1/failing?by=NaN",
]  # fmt: skip
METHODS = [
    "GET", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
    "BREW", "post", "",
]  # fmt: skip
KEYS = [
    b"k", b'"k"', b"", b'""', b'"', b'"a\\"b"', b'"a\\b"', b'"\\', b"a b", b"a,b", b"a;b", b"\xc3\xbc", b"\xff",
    b"a\tb", b"\x01", b"a\x7f", b"a" * 255, b"a" * 256, b'"' + b"a" * 255 + b'"', b"a" * 10_000, b"../../x",
    b"%00", b"a\x00b", b"'; drop table outlast.workflow_status; --", b":sf:", b"?1", b"(a b)", b"k;p=1",
    b'"k";p=1', b"1.5", b" k ", b"a/b:c%2F", b"\xe2\x80\xae",
]  # fmt: skip
PREFERS = [
    b"respond-async", b"wait=0", b"wait=1", b"wait=-1", b"wait=99999999999999999999", b"wait=NaN", b"wait=0.1",
    b"respond-async, wait=0", b"Respond-Async;x=y", b'wait="1"', b"respond-async" * 500, b",,,;;;===", b'"', b"",
    b"wait=1, wait=2", b"\xff\xfe", b'respond-async="', b"return=minimal; foo",
]  # fmt: skip
OTHERS = [
    b"Accept: text/event-stream", b"Accept: */*;q=0", b"Accept:", b"Content-Type: text/plain",
    b"Content-Type: application/json; charset=utf-16", b"Content-Type: multipart/form-data", b"Content-Type:",
    b"Expect: 100-continue", b"Expect: nonsense", b"Upgrade: websocket", b"Connection: upgrade",
    b"Connection: close", b"Connection: keep-alive, x", b"Host: a\r\nHost: b", b"Host:", b"Last-Event-ID: -1",
    b"Last-Event-ID: 9999999999999999999", b"Last-Event-ID: \xff", b"Origin: null", b"Origin: \xff\xfe",
    b"Access-Control-Request-Headers: \xff, x", b"X: " + b"y" * 20_000, b"X: " + b"y" * 200_000,
    b"\r\n".join(b"X-%d: y" % n for n in range(500)), b"apikey: \xff\xfe", b"Authorization: Bearer",
    b"Authorization: Bearer a.b.c", b"Authorization: Basic \xff", b"X\x00: y", b"X y: z", b": empty", b"X:\x00",
    b" folded: x", b"X: a\r\n b", b"X: a\nY: b", b"Traceparent: 00-zz-zz-zz", b"Cookie: " + b"a=b; " * 1000,
    b"Content-Encoding: gzip", b"Range: bytes=0-", b"Forwarded: for=\"[::1]\"", b"X-Forwarded-For: \x01",
]  # fmt: skip
VALUES = [
    "1", '"x"', "null", "true", "NaN", "Infinity", "-Infinity", "1e400", "1" * 5000, "-0", '"\\ud800"',
    '"\\u0000"', '"\\ud83d\\ude00"', '"\u0000"', '"\\x"', "[" * 5000 + "]" * 5000, '{"a":' * 3000 + "1" + "}" * 3000,
    "[1,]", "{", '{"a":1,"a":2}', "\ufeff1", "01", "'x'", "1 2", "", "[" * 100_000, '"' + "x" * 90_000 + '"',
    "9" * 300 + ".5e-300", '"\u2028"', "\t\n 1", '{"\\u0000":1}', "[" + "1," * 20_000 + "1]",
]  # fmt: skip
NAMES = ["text", "by", "name", "order", "urgent", "limit", "", "\\u0000", "__class__", "self", "lines"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, piece by piece. `whole`: an answer must come. `methods`: one for each request in it."""

    what: str
    pieces: list[bytes]
    methods: list[str]
    whole: bool
    half_close: bool = False


def request(chance: Random, *, refused: bool = False) -> Request:
    """One of them; `refused`: one that must not start anything."""
    makers = _REFUSED if refused else _ALL
    return chance.choice(makers)(chance)


def _odd(chance: Random) -> Request:
    """HTTP as it should be, with what is in it as it shouldn't."""
    method, target = chance.choice(METHODS), _target(chance)
    headers = [b"Host: localhost"] if chance.random() < 0.95 else []
    for name, values in ((b"Idempotency-Key", KEYS), (b"Prefer", PREFERS)):
        for _ in range(chance.choice((0, 0, 1, 1, 1, 2))):
            headers.append(name + b": " + chance.choice(values))
    headers += chance.sample(OTHERS, chance.choice((0, 0, 0, 1, 2)))
    body = _body(chance)
    framed = chance.random()
    if framed < 0.7:
        headers.append(b"Content-Length: %d" % len(body))
    elif framed < 0.9:
        headers.append(b"Transfer-Encoding: chunked")
        body = _chunked(chance, body)
    else:
        body = b""
    chance.shuffle(headers)
    data = _head(method, target, headers) + body
    whole = not any(b"100-continue" in each or b"event-stream" in each for each in headers)
    return Request("odd", _cut(chance, data), [method], whole and b"Length" in data, chance.random() < 0.1)


def _smuggled(chance: Random) -> Request:
    """A body whose length is told twice, or told oddly, with another request in it."""
    inner = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    lengths = [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Content-Length: 4\r\nContent-Length: 40", b"Content-Length: 4, 4", b"Content-Length: +4",
        b"Content-Length: -1", b"Content-Length: 0x4", b"Content-Length: 4 4", b"Content-Length: \xb2",
        b"Content-Length: 99999999999999999999", b"Content-Length: 1e1", b"Content-Length:",
        b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: gzip, chunked", b"transfer-encoding: CHUNKED", b"Transfer-Encoding: identity",
    ]  # fmt: skip
    bodies = [
        b"0\r\n\r\n" + inner, b"4\r\nnull\r\n0\r\n\r\n" + inner, b"null" + inner, b"4;x=y\r\nnull\r\n0\r\n\r\n",
        b"-4\r\nnull\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n", b"4\nnull\n0\n\n", b"4\r\nnullX\r\n0\r\n\r\n", b"",
        b"0\r\nTrailer: x\r\n\r\n", b"4 \r\nnull\r\n0\r\n\r\n", b"04\r\nnull\r\n00\r\n\r\n",
        b"4;" + b"x" * 70_000 + b"\r\nnull\r\n0\r\n\r\n",
    ]  # fmt: skip
    head = _head("POST", "/functions/v1/raw", [b"Host: localhost", chance.choice(lengths)])
    return Request(
        "smuggled", [head + chance.choice(bodies)], ["POST", "GET", "GET"], False, chance.random() < 0.5
    )


def _broken(chance: Random) -> Request:
    """Not HTTP, or no more after a while."""
    whole = _odd(chance)
    data = bytearray(b"".join(whole.pieces)[:3000])
    for _ in range(chance.randint(1, 8)):
        where = chance.randrange(len(data))
        kind = chance.random()
        if kind < 0.4:
            data[where] = chance.randrange(256)
        elif kind < 0.6:
            del data[where : where + chance.randint(1, 20)]
        elif kind < 0.8:
            data[where:where] = chance.randbytes(chance.randint(1, 20))
        else:
            data = data[: where + 1]
        data = data or bytearray(b"\0")
    return Request("broken", [bytes(data)], ["?"] * 9, False, chance.random() < 0.5)


def _nonsense(chance: Random) -> Request:
    lines = [
        b"\r\n" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET /\r\n",
        b"GET / HTTP/1.1\r\nHost", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-x\r\n", b"\0" * 1000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET  /  HTTP/1.1\r\n\r\n", b"G" * 200_000, b"GET /" + b"x" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000, b"GET / http/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
        b"GET\t/\tHTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\n\n", b"", chance.randbytes(2000),
    ]  # fmt: skip
    return Request("nonsense", [chance.choice(lines)], ["?"] * 9, False, True)


def _pipelined(chance: Random) -> Request:
    """Many requests at once."""
    methods = [chance.choice(("GET", "POST", "HEAD", "OPTIONS")) for _ in range(chance.randint(2, 12))]
    data = b"".join(
        _head(each, f"/functions/v1/{chance.choice(FUNCTIONS)}", [b"Host: localhost", b"Content-Length: 2"])
        + b"{}"
        for each in methods
    )
    return Request("pipelined", _cut(chance, data), methods, True, False)


def _refused_key(chance: Random) -> Request:
    bad = [
        b"",
        b'""',
        b'"',
        b'"a\\b"',
        b'"\\',
        b"a,b",
        b"a;b",
        b"a b",
        b"\xff",
        b"a\tb",
        b"a" * 256,
        b"k" * 10_000,
    ]
    headers = [b"Host: localhost", b"Content-Length: 14", b"Idempotency-Key: " + chance.choice(bad)]
    return Request(
        "bad key", [_head("POST", "/functions/v1/orders/search", headers) + b'{"text":  "x"}'], ["POST"], True
    )


def _two_keys(chance: Random) -> Request:
    headers = [b"Host: localhost", b"Content-Length: 14", b"Idempotency-Key: a", b"Idempotency-Key: a"]
    return Request(
        "two keys",
        [_head("POST", "/functions/v1/orders/search", headers) + b'{"text":  "x"}'],
        ["POST"],
        True,
    )


def _refused_body(chance: Random) -> Request:
    """No value of these is an order."""
    body = chance.choice(VALUES).encode("utf-8", "surrogatepass")
    if chance.random() < 0.3:
        body = b'{"customer": ' + body + b"}"
    headers = [b"Host: localhost", b"Content-Length: %d" % len(body)]
    return Request("bad body", [_head("POST", "/functions/v1/orders", headers) + body], ["POST"], True)


def _refused_place(chance: Random) -> Request:
    path = chance.choice(
        ("nobody", "broken", "orders/nobody", "orders/%2e%2e/raw", "..%2Fraw", "raw%00", "RAW")
    )
    method = chance.choice(("POST", "PUT", "DELETE"))
    return Request(
        "no function",
        [_head(method, f"/functions/v1/{path}", [b"Host: localhost", b"Content-Length: 2"]) + b"{}"],
        [method],
        True,
    )


def _too_large(chance: Random) -> Request:
    size = chance.choice((100_001, 50_000_000, 10**18))
    sent = b"x" * min(size, 300_000)
    headers = [b"Host: localhost", b"Content-Length: %d" % size]
    return Request("too large", [_head("POST", "/functions/v1/raw", headers), sent], ["POST"], False, True)


_ALL: list[Callable[[Random], Request]] = [
    _odd, _odd, _odd, _odd, _smuggled, _broken, _broken, _nonsense, _pipelined, _refused_key, _two_keys,
    _refused_body, _refused_place, _too_large,
]  # fmt: skip
_REFUSED = [_refused_key, _two_keys, _refused_body, _refused_place, _too_large, _nonsense]


def _target(chance: Random) -> str:
    if chance.random() < 0.6:
        return f"/functions/v1/{chance.choice(FUNCTIONS)}"
    return chance.choice(PATHS)


def _body(chance: Random) -> bytes:
    value = chance.choice(VALUES)
    kind = chance.random()
    if kind < 0.6:
        text = f'{{"{chance.choice(NAMES)}": {value}}}'
    elif kind < 0.9:
        text = value
    else:
        return chance.randbytes(chance.randrange(200))
    coding = chance.choice(("utf-8", "utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "utf-8-sig"))
    return text.encode(coding, "surrogatepass")


def _chunked(chance: Random, body: bytes) -> bytes:
    pieces = []
    while body:
        size = chance.randint(1, max(1, len(body)))
        pieces.append(b"%x\r\n%b\r\n" % (size, body[:size]) if size <= len(body) else b"")
        body = body[size:]
    return b"".join(pieces) + b"0\r\n\r\n"


def _head(method: str, target: str, headers: list[bytes]) -> bytes:
    line = f"{method} {target} HTTP/1.1\r\n".encode()
    return line + b"".join(each + b"\r\n" for each in headers) + b"\r\n"


def _cut(chance: Random, data: bytes) -> list[bytes]:
    """Where the packets end."""
    if chance.random() < 0.7:
        return [data]
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 4)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]
