"""What functions read of a request: the same methods, awaited in `async def` and plain in `def` functions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.harness import Served, check_problem

FUNCTIONS = ["awaited", "plain", "recorded", "recorded_plain"]
PAGE = Path(__file__).parents[2] / "docs/functions.md"


def read(host: Served, function: str, kind: str, **options: Any) -> httpx.Response:
    return host.call(f"slack/{function}?kind={kind}", **options)


def multipart(content: bytes, boundary: str = "xx") -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": f"multipart/form-data; boundary={boundary}"}}


def test_the_example_of_the_docs_takes_a_slash_command(host: Served) -> None:
    example = re.search(r"```python\n(# functions/slack\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    served = (Path(__file__).parent / "functions/slack.py").read_text()
    body = example[1].partition("@handler")[2].strip()
    assert body in served, "what is served here is what the page shows"
    form = "command=%2Fremind&user_id=U1&text=milk+%26+%C3%BC&token=t"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = host.call("slack", content=form.encode(), headers=headers)
    assert answer.json() == {"text": "I will."}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "value", [None, True, False, 0, 1.5, "", "ü", [], [None], {}, {"a": {"b": 1}}], ids=repr
)
def test_any_json_is_read(host: Served, function: str, value: Any) -> None:
    assert read(host, function, "json", content=json.dumps(value).encode()).json() == {"json": value}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_text_and_bytes_are_read(host: Served, function: str) -> None:
    assert read(host, function, "body", content=b"\xff\x00").json() == [2, 2, "bytes"]
    assert "grüße" in read(host, function, "text", content="grüße".encode()).text


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_body_that_is_none_is_refused(host: Served, function: str) -> None:
    more = {"workflow_id"} if function.startswith("recorded") else frozenset[str]()
    for body in (b"", b"{", b"\xff"):
        answer = read(host, function, "json", content=body)
        problem = check_problem(answer, 400, "http_exception", more=more)
        assert problem["detail"].startswith("the body is no JSON")
    answer = read(host, function, "form", content=b"{}", headers={"content-type": "application/json"})
    assert "must be a form" in check_problem(answer, 415, "http_exception", more=more)["detail"]


def test_what_is_not_awaited_is_told(host: Served) -> None:
    assert read(host, "plain", "unawaited", content=b'{"a": 1}').json() == 1
    check_problem(read(host, "awaited", "unawaited", content=b'{"a": 1}'), 500, "function_error")
    assert "`await request.json()`" in host.process.said()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_form_with_files_is_read(host: Served, function: str) -> None:
    content = bytes(range(256)) + b"\r\n--x\r\n\r--"
    answer = read(
        host,
        function,
        "form",
        data={"a": ["1", ""], "ü": "ö"},
        files=[("f", ('q"ü.bin', content, "image/png")), ("f", ("empty", b"", "text/plain"))],
    )
    assert answer.json() == [
        ["a", "1"],
        ["a", ""],
        ["ü", "ö"],
        ["f", ['q"ü.bin', "image/png", len(content), content.decode("latin-1")]],
        ["f", ["empty", "text/plain", 0, ""]],
    ]


ODD = {
    "no boundary": (b"x", ""),
    "empty": (b"", "xx"),
    "only a beginning": (b"--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1", "xx"),
    "no name": (b"--xx\r\nContent-Disposition: form-data\r\n\r\n1\r\n--xx--", "xx"),
    "no header": (b"--xx\r\n1\r\n--xx--", "xx"),
    "not UTF-8": (b"--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\xff\r\n--xx--", "xx"),
    "another boundary": (b"--yy\r\n\r\n1\r\n--yy--", "xx"),
    "too many": (b"--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n" * 1001 + b"--xx--", "xx"),
    "a vast header": (
        b"--xx\r\nContent-Disposition: form-data; name=\"" + b"a" * 20_000 + b"\"\r\n\r\n1\r\n--xx--", "xx",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "boundary"), ODD.values(), ids=ODD)
def test_a_form_that_cannot_be_read_is_refused(host: Served, content: bytes, boundary: str) -> None:
    answer = read(host, "awaited", "form", **multipart(content, boundary))
    check_problem(answer, 400, "http_exception")


def test_the_largest_form_is_read(host: Served) -> None:
    part = b'--xx\r\nContent-Disposition: form-data; name=a""; name="a"\r\n\r\n1\r\n'
    content = b"preamble\r\n" + part * 1000 + b"--xx--\r\nepilogue"
    assert len(read(host, "awaited", "form", **multipart(content)).json()) == 1000
    fields = "&".join(["a=1"] * 1001).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    check_problem(read(host, "awaited", "form", content=fields, headers=headers), 400, "http_exception")


def test_header_url_and_cookies_are_read(host: Served) -> None:
    headers = {"x-mine": "1", "cookie": 'a=1; b="x y"; c'}
    answer = host.call("slack/seen/a%20b?tag=1&tag=%C3%BC", headers=headers, method="POST")
    assert answer.json() == {
        "url": "/a%20b?tag=1&tag=%C3%BC",
        "tags": ["1", "ü"],
        "cookies": {"a": "1", "b": "x y", "c": ""},
        "client": "127.0.0.1",
        "header": ["1", ["1"]],
    }
