"""Admission by webhook, alone: hostile header fields and bodies end in a refusal, and keys are told apart."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlast import database_webhook, standard_webhook
from outlast.core.errors import InvalidInput, InvalidJson
from outlast.core.names import KEY_CHARS_MAX, check_key, key_of
from outlast.sdk.webhooks import Webhook
from outlast.web.callers.signatures import signature
from outlast.web.callers.webhooks import Complaints, admit_webhook
from outlast.web.http.calls import Call
from outlast.web.http.problems import ProblemError

NOW_S = 1_764_230_400.0
SECRET = b"a secret of the admission tests"
SHARED = "shared-0123456789-secret"
STANDARD = standard_webhook("ADMISSION_STANDARD_SECRET")
DATABASE = database_webhook("ADMISSION_DATABASE_SECRET")
BYTES_MAX = 10_000
Fields = list[tuple[bytes, bytes]]


@pytest.fixture(autouse=True, scope="module")
def _secrets() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STANDARD.secret, "v1,whsec_" + base64.b64encode(SECRET).decode())
        patch.setenv(DATABASE.secret, SHARED)
        yield


def call_of(fields: Fields, body: bytes = b"{}") -> Call:
    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    scope = {"method": "POST", "path": "/functions/v1/f", "query_string": b"", "headers": fields}
    return Call(scope, receive)


def signed(body: bytes = b"{}", message_id: bytes = b"msg_1", timestamp: bytes = b"1764230400") -> Fields:
    presented = signature(SECRET, message_id, timestamp, body)
    return [
        (b"webhook-id", message_id),
        (b"webhook-timestamp", timestamp),
        (b"webhook-signature", presented),
    ]


def shared() -> Fields:
    return [(b"x-webhook-secret", SHARED.encode())]


def admitted(call: Call, webhook: Webhook, complaints: Complaints | None = None) -> str | None:
    """Runs without a loop: nothing in it waits for anything."""
    complaints = complaints or Complaints()
    coroutine = admit_webhook(call, webhook, "f", complaints, now_s=NOW_S, body_bytes_max=BYTES_MAX)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        key: str | None = stop.value
        return key
    raise AssertionError("it waited")


def code_of(call: Call, webhook: Webhook) -> str:
    with pytest.raises(ProblemError) as raised:
        admitted(call, webhook)
    problem = raised.value.problem
    assert problem.status in (400, 401, 413, 503)
    if problem.status == 401:
        assert dict(problem.headers)["www-authenticate"]
    problem.answer()
    return problem.code


values = st.binary(max_size=80) | st.sampled_from([b"1764230400", b"v1,", b"msg_1", b"v1,AAAA v1,B"])
names = st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"x-webhook-secret"])


@given(st.lists(st.tuples(names, values), max_size=6), st.binary(max_size=50))
@example(
    [(b"webhook-id", b"\xff"), (b"webhook-timestamp", b"1764230400"), (b"webhook-signature", b"\xff")], b""
)
def test_whatever_is_sent_is_refused(fields: Fields, body: bytes) -> None:
    for webhook in (STANDARD, DATABASE):
        assert code_of(call_of(fields, body), webhook).startswith("webhook_")


@given(st.binary(min_size=1, max_size=300).map(lambda each: each.replace(b".", b"-")))
def test_any_id_is_a_key(message_id: bytes) -> None:
    key = admitted(call_of(signed(message_id=message_id)), STANDARD)
    assert key is not None
    check_key(key)
    assert (key == message_id.decode("latin-1")) == (not key.startswith("sha256-"))


@given(st.text(), st.text())
@example("sha256-x", "x")
@example("", " ")
@example("a" * KEY_CHARS_MAX, "a" * (KEY_CHARS_MAX + 1))
def test_keys_differ_where_texts_do(one: str, other: str) -> None:
    check_key(key_of(one))
    assert (key_of(one) == key_of(other)) == (one == other)


texts = st.text(st.sampled_from("~%7Eab,é"), min_size=1, max_size=4)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
@example(("a~b", "c"), ("a", "b~c"))
@example(("a%7E", "b"), ("a~", "b"))
def test_lists_of_values_are_told_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    webhook = database_webhook(DATABASE.secret, key=("type", "record.id"))
    keys = [
        admitted(call_of(shared(), json.dumps({"type": a, "record": {"id": b}}).encode()), webhook)
        for a, b in (one, other)
    ]
    assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize(
    ("value", "key"),
    [("a b", "a b"), (1, "1"), (1.5, "1.5"), (True, "true"), (12345678901234567890, "12345678901234567890")],
)
def test_texts_numbers_and_truths_make_a_key(value: Any, key: str) -> None:
    webhook = database_webhook(DATABASE.secret, key="record.id")
    assert admitted(call_of(shared(), json.dumps({"record": {"id": value}}).encode()), webhook) == key


@pytest.mark.parametrize(
    "document",
    [{}, [], None, 5, "x", {"record": None}, {"record": {}}, {"record": {"id": None}}, {"record": {"id": ""}},
     {"record": [1]}, {"record": {"id": {}}}, {"record": {"id": [1]}}, {"record.id": 1}, {"id": 1}],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_named(document: Any) -> None:
    body = json.dumps(document).encode()
    for fields, webhook in (
        (shared(), database_webhook(DATABASE.secret, key="record.id")),
        (signed(body), standard_webhook(STANDARD.secret, key="record.id")),
    ):
        with pytest.raises(InvalidInput, match=r"record\.id") as raised:
            admitted(call_of(fields, body), webhook)
        assert raised.value.errors[0]["loc"] == ["record", "id"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"record":{"id":NaN}}',
        b'{"record":{"id":1e999}}',
        b"[" * 5_000,
        b'{"record":{"id":' + b"9" * 9_000 + b"}}",
    ],
)
def test_a_body_that_is_no_json_has_no_key(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        admitted(call_of(shared(), body), database_webhook(DATABASE.secret, key="record.id"))


def test_each_field_of_a_delivery_is_needed_once() -> None:
    assert admitted(call_of(signed()), STANDARD) == "msg_1"
    for field in signed():
        without = [each for each in signed() if each != field]
        assert code_of(call_of(without), STANDARD) == "webhook_signature_missing"
        assert code_of(call_of([*without, (field[0], b"")]), STANDARD) == "webhook_signature_missing"
        assert code_of(call_of([*signed(), field]), STANDARD) == "webhook_signature_invalid"
    assert admitted(call_of(shared()), DATABASE) is None
    assert code_of(call_of(shared() * 2), DATABASE) == "webhook_signature_invalid"


def test_a_body_is_read_only_for_whom_the_header_speaks() -> None:
    huge = b"x" * (BYTES_MAX + 1)
    stale = signed(huge, timestamp=b"1764230000")
    assert code_of(call_of(stale, huge), STANDARD) == "webhook_timestamp_invalid"
    assert code_of(call_of(signed(huge), huge), STANDARD) == "payload_too_large"
    keyed = database_webhook(DATABASE.secret, key="id")
    assert code_of(call_of([(b"x-webhook-secret", b"wrong")], huge), keyed) == "webhook_signature_invalid"
    assert code_of(call_of(shared(), huge), keyed) == "payload_too_large"


def test_a_tolerance_goes_both_ways() -> None:
    narrow = standard_webhook(STANDARD.secret, tolerance=10)
    for timestamp, fits in ((b"1764230390", True), (b"1764230410", True), (b"1764230389", False)):
        call = call_of(signed(timestamp=timestamp))
        if fits:
            assert admitted(call, narrow) == "msg_1"
        else:
            assert code_of(call, narrow) == "webhook_timestamp_invalid"


@pytest.mark.parametrize(
    ("authorization", "admits"),
    [
        (f"Bearer {SHARED}", True),
        (f"bearer  {SHARED} ", True),
        (SHARED, False),
        (f"Basic {SHARED}", False),
        ("Bearer", False),
        ("Bearer ", False),
        (f"Bearer {SHARED}x", False),
    ],
)
def test_a_secret_may_come_as_bearer(authorization: str, admits: bool) -> None:
    webhook = database_webhook(DATABASE.secret, header="authorization")
    call = call_of([(b"authorization", authorization.encode())])
    if admits:
        assert admitted(call, webhook) is None
        assert call.text_pairs() == []
    else:
        assert code_of(call, webhook) == "webhook_signature_invalid"


def test_the_environment_is_asked_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = standard_webhook("ADMISSION_LATER_SECRET")
    for text, says in ((None, "is not set"), ("hunter2", "can't be used (a secret of it begins otherwise)")):
        if text is not None:
            monkeypatch.setenv(webhook.secret, text)
        caplog.clear()
        assert code_of(call_of(signed()), webhook) == "webhook_unavailable"
        (line,) = caplog.messages
        assert f"f can't verify its webhook: ADMISSION_LATER_SECRET {says}; set it to v1,whsec_BASE64" in line
        assert "hunter2" not in line
    monkeypatch.setenv(webhook.secret, "whsec_" + base64.b64encode(SECRET).decode())
    assert admitted(call_of(signed()), webhook) == "msg_1"


def test_the_log_is_told_once_of_a_secret_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may call, and each call would be a line of the log."""
    complaints, webhook = Complaints(), standard_webhook("ADMISSION_ONCE_SECRET")
    good = "whsec_" + base64.b64encode(SECRET).decode()
    for text, lines in (("", 1), ("", 1), ("short", 2), ("short", 2), (good, 2), ("short", 3)):
        monkeypatch.setenv(webhook.secret, text)
        with contextlib.nullcontext() if text == good else pytest.raises(ProblemError):
            admitted(call_of(signed()), webhook, complaints)
        assert len(caplog.messages) == lines
