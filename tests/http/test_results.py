"""A result once returned never changes: a replay has the same status, header fields and bytes."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.http.harness import Served, check_problem, fresh_key, same_answer

VALUES: list[object] = [
    None,
    True,
    0,
    -1.5,
    1e300,
    2**70,
    "",
    "grüße \u2028 \U0001f600",
    [],
    {},
    [[1.0, 1], {"b": None, "a": "ü"}],
]


def twice(host: Served, function: str, body: object):
    """The first answer and its replay."""
    key = fresh_key()
    first = host.call(function, body, key=key)
    again = host.call(function, body, key=key)
    name = function.split("?")[0]
    assert first.headers["workflow-id"] == again.headers["workflow-id"] == f"{name}:{key}"
    assert first.headers["link"] == f'</workflows/v1/{name.replace("/", "%2F")}:{key}>; rel="status"'
    assert first.headers["idempotency-replayed"] == "false"
    assert again.headers["idempotency-replayed"] == "true"
    same_answer(first, again)
    return first


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_the_body(host: Served, value: object) -> None:
    answer = twice(host, "answers/value", {"value": value})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == value


def test_nothing_is_null_which_clients_can_read(host: Served) -> None:
    assert twice(host, "answers/nothing", {}).content == b"null"


def test_a_replay_runs_nothing(host: Served) -> None:
    key = fresh_key()
    for _ in range(3):
        assert host.call("answers/value", {"value": 1, "key": key}, key=key).json() == 1
    assert host.seen(key) == 1


def test_without_a_key_each_call_is_another(host: Served) -> None:
    one, other = (host.call("hello", {"name": "Ada"}) for _ in range(2))
    assert one.json() == other.json() == {"message": "Hello, Ada!"}
    assert one.headers["workflow-id"] != other.headers["workflow-id"]
    assert one.headers["workflow-id"].startswith("hello:")
    assert one.headers["idempotency-replayed"] == other.headers["idempotency-replayed"] == "false"


@pytest.mark.parametrize(
    ("kind", "status", "kept", "body"),
    [
        ("text", 201, {"x-mine": "yes", "location": "/elsewhere"}, "grüße".encode()),
        ("json", 202, {"content-type": "application/json"}, '{"b":1,"a":[1.0,"ü"]}'.encode()),
        ("html", 200, {"content-type": "text/html"}, b"<p>hi</p>"),
        ("bytes", 200, {"content-type": "application/octet-stream", "x-twice": "1, 2"}, b"\x00\xff\xfe"),
        ("nul", 200, {"content-type": "text/plain; charset=utf-8"}, b"a\0b"),
        ("empty", 200, {"content-length": "0"}, b""),
        ("no-content", 204, {}, b""),
        ("redirect", 303, {"location": "https://example.com/"}, b""),
        ("unmodified", 304, {}, b""),
        ("ours", 200, {"cache-control": "no-store"}, b"x"),
        ("teapot", 418, {}, b"short and stout"),
    ],
)
def test_a_response_is_recorded(
    host: Served, kind: str, status: int, kept: dict[str, str], body: bytes
) -> None:
    answer = twice(host, "answers/respond", {"kind": kind})
    assert answer.status_code == status
    assert answer.content == body
    assert {name: answer.headers[name] for name in kept} == kept


@pytest.mark.parametrize("kind", ["no-content", "no-content-json", "unmodified"])
def test_what_has_no_body_has_no_type(host: Served, kind: str) -> None:
    # supabase-js reads JSON where the type says so, and throws where there is none.
    answer = twice(host, "answers/respond", {"kind": kind})
    assert answer.content == b""
    assert "content-type" not in answer.headers
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("in_step", [False, True], ids=["workflow", "step"])
def test_a_text_of_an_http_exception_is_a_problem(host: Served, in_step: bool) -> None:
    answer = twice(host, "answers/refuse", {"status": 402, "detail": "no money", "in_step": in_step})
    document = check_problem(answer, 402, "http_exception", more={"workflow_id"})
    assert document["detail"] == "no money"
    assert document["workflow_id"] == answer.headers["workflow-id"]


@pytest.mark.parametrize("in_step", [False, True], ids=["workflow", "step"])
@pytest.mark.parametrize("detail", [{"why": ["ü", 1.0]}, [1], 5, False], ids=repr)
def test_other_details_of_an_http_exception_are_sent_as_they_are(
    host: Served, detail: object, in_step: bool
) -> None:
    answer = twice(host, "answers/refuse", {"status": 409, "detail": detail, "in_step": in_step})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["sb-error-code"] == "http_exception"
    assert answer.json() == detail


ODD_DETAILS = {
    "nan": {"ratio": "NaN"},
    "infinity": "Infinity",
    "times": {"at": "2026-01-01T00:00:00Z", "id": "00000000-0000-0000-0000-000000000001", "cents": "1.5"},
    "model": [{"why": "so"}],
    "set": [7],
    "tuple": [1, 2],
    "numbered": {"1": 2},
    "bytes": "abc",
    "no text": r"b'\xff'",
    "half a pair": "a?",
    "nul": "a\ufffdb",
}


@pytest.mark.parametrize("kind", [*ODD_DETAILS, "object"])
def test_no_detail_makes_an_http_exception_a_failure(host: Served, kind: str) -> None:
    """It is the same JSON wherever it was raised: what a result of the workflow would be."""
    answers = [
        twice(host, "answers/refuse_oddly", {"kind": kind}),
        twice(host, "answers/refuse_oddly", {"kind": kind, "in_step": True}),
        twice(host, "answers/refuse_in_child", {"kind": kind}),
        host.call(f"answers/refuse_handled?kind={kind}"),
    ]
    for answer in answers:
        assert (answer.status_code, answer.headers["sb-error-code"]) == (409, "http_exception"), answer.text
        told = answer.json()
        if isinstance(told, dict) and "detail" in told:
            told = told["detail"]
        assert told == ODD_DETAILS.get(kind, told)
    assert "Why" in answers[0].text or kind != "object"


def test_a_steps_refusal_at_length_is_a_refusal(host: Served) -> None:
    """What a record of a step has no room for is left out, and the status stays."""
    check_problem(twice(host, "answers/refuse_long", {}), 409, "http_exception", more={"workflow_id"})


def test_an_http_exception_without_detail_still_says_something(host: Served) -> None:
    check_problem(
        twice(host, "answers/refuse", {"status": 503, "retry": True}),
        503,
        "http_exception",
        more={"workflow_id"},
    )


def test_header_fields_of_an_http_exception_are_sent(host: Served) -> None:
    answer = twice(host, "answers/refuse", {"status": 429, "detail": "slowly", "retry": True})
    assert answer.headers["retry-after"] == "7"
    assert "x-relay-error" not in answer.headers


def test_an_uncaught_exception_tells_strangers_nothing(host: Served) -> None:
    answer = twice(host, "answers/fail", {})
    document = check_problem(answer, 500, "workflow_error", more={"workflow_id"})
    assert "ValueError" not in answer.text
    assert document["workflow_id"] == answer.headers["workflow-id"]


def test_a_secret_key_is_told_where_to_see_more_of_a_failure(host: Served) -> None:
    key = fresh_key()
    asked = host.call("answers/fail", {}, key=key, client=host.admin)
    document = check_problem(asked, 500, "workflow_error", more={"workflow_id"})
    workflow_id = document["workflow_id"]
    assert f"GET /workflows/v1/{quote(workflow_id, safe=':')}," in document["detail"]
    assert f"`outlast workflows show {workflow_id}`" in document["detail"]
    shown = host.admin.get(f"/workflows/v1/{quote(workflow_id, safe=':')}").json()
    assert shown["error"]["failure"]["type"] == "ValueError"
    events = host.call("answers/fail", {}, key=key, client=host.admin, accept="text/event-stream")
    assert "outlast workflows show" in events.text
    for options in ({}, {"accept": "text/event-stream"}):
        assert "workflows show" not in host.call("answers/fail", {}, key=fresh_key(), **options).text


def test_a_group_says_what_its_first_member_says(host: Served) -> None:
    """The group's own text, "unhandled errors in a TaskGroup", names neither the mistake nor the remedy."""
    document = host.call("answers/reach_out", {}, client=host.admin).json()
    shown = host.admin.get(f"/workflows/v1/{document['workflow_id']}").json()["error"]["failure"]
    assert shown["type"] == "ExceptionGroup"
    assert shown["message"].startswith("unhandled errors in a TaskGroup (1 sub-exception): UsageError: ")
    assert "put it into a step" in shown["message"]
    assert shown["args"] == ["unhandled errors in a TaskGroup"]


def test_a_result_that_json_cannot_hold_fails_no_work_that_is_done(host: Served) -> None:
    answer = twice(host, "answers/unrecordable", {})
    assert answer.status_code == 200
    assert answer.json().startswith("<object object at")


@pytest.mark.parametrize("value", ["a\r\nx-forged: 1", "a\nb", "a\x01b", "a\x7fb", "snow ☃"])
def test_header_fields_cannot_be_forged(host: Served, value: str) -> None:
    answer = twice(host, "answers/bad_header", {"value": value})
    check_problem(answer, 500, "workflow_error", more={"workflow_id"})
    assert "x-forged" not in answer.headers


@pytest.mark.parametrize(
    "name", ["", "a b", "a:b", "a\r\nb", "ü", "Content-Length", "transfer-encoding", "connection", "upgrade"]
)
def test_names_of_header_fields_are_checked(host: Served, name: str) -> None:
    answer = twice(host, "answers/bad_header", {"value": "1", "name": name})
    check_problem(answer, 500, "workflow_error", more={"workflow_id"})


def test_json_is_recorded_as_it_is_sent(host: Served) -> None:
    answer = twice(host, "answers/value", {"value": {"z": 1.0, "a": [1e22, "ü"]}})
    assert list(json.loads(answer.content)) == ["z", "a"]
    assert "ü" in answer.text
