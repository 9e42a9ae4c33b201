"""Idempotency keys: their grammar, what they name, and that a refused call leaves no row."""

from __future__ import annotations

import httpx
import pytest

from tests.http.harness import Served, check_problem, fresh_key

MALFORMED = [
    "",
    "a b",
    "a,b",
    "a;b",
    'a"b',
    '"a',
    'a"',
    '"a"b',
    '""',
    "a\\b",
    '"a\\b"',
    "grüße",
    '"grüße"',
    "a\tb",
    "k" * 256,
    '"' + "k" * 256 + '"',
    '"a";p=1',
]


@pytest.mark.parametrize("key", MALFORMED, ids=repr)
def test_a_malformed_key_is_refused(host: Served, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    before = host.rows()
    answer = host.client.post("/functions/v1/hello", json={}, headers=headers)
    check_problem(answer, 400, "idempotency_key_invalid")
    assert host.rows() == before


def test_a_repeated_key_is_refused(host: Served) -> None:
    headers = [("idempotency-key", "a"), ("idempotency-key", "a")]
    before = host.rows()
    check_problem(
        host.client.post("/functions/v1/hello", json={}, headers=headers), 400, "idempotency_key_invalid"
    )
    assert host.rows() == before


@pytest.mark.parametrize("size", [1, 255])
def test_keys_may_be_this_long(host: Served, size: int) -> None:
    key = (fresh_key() * 8)[:size]
    answer = host.call("hello", {}, key=key)
    assert answer.status_code == 200
    assert answer.headers["workflow-id"] == f"hello:{key}"


def test_a_quoted_key_is_the_bare_one(host: Served) -> None:
    key = fresh_key()
    first = host.call("hello", {}, key=key)
    again = host.call("hello", {}, key=f'"{key}"')
    assert first.headers["workflow-id"] == again.headers["workflow-id"]
    assert again.headers["idempotency-replayed"] == "true"


def test_space_around_a_key_is_none_of_it(host: Served) -> None:
    key = fresh_key()
    assert host.call("hello", key=key).status_code == 200
    with host.connection() as wire:
        wire.send(
            b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\n"
            + f"idempotency-key: \t {key} \t\r\n\r\n".encode()
        )
        assert wire.answer().headers["idempotency-replayed"] == "true"


def test_a_quoted_key_may_hold_what_a_bare_one_may_not(host: Served) -> None:
    key = f'{fresh_key()} a, b; \\"c\\" \\\\'
    first = host.call("hello", {}, key=f'"{key}"')
    again = host.call("hello", {}, key=f'"{key}"')
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["workflow-id"] == again.headers["workflow-id"]
    shown = host.admin.get(first.headers["link"].split(">")[0][1:])
    assert shown.json()["workflow_id"] == first.headers["workflow-id"]


def test_one_key_names_another_workflow_of_each_function(host: Served) -> None:
    key = fresh_key()
    ids = {host.call(each, {}, key=key).headers["workflow-id"] for each in ("hello", "answers/nothing")}
    assert ids == {f"hello:{key}", f"answers/nothing:{key}"}


def test_a_function_may_require_a_key(host: Served) -> None:
    check_problem(host.refused("inputs/keyed", {"n": 1}), 400, "idempotency_key_missing")
    assert host.call("inputs/keyed", {"n": 1}, key=fresh_key()).json() == 1


OTHERS = {
    "body": {"content": b'{"value": 2}'},
    "method": {"method": "PUT"},
    "query": {"params": {"a": "1"}},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_a_key_with_another_payload_is_refused(host: Served, change: dict) -> None:
    key = fresh_key()
    first = {"content": b'{"value": 1}'}
    assert host.call("inputs/anything", key=key, **first).status_code == 200
    answer = host.refused("inputs/anything", key=key, **{**first, **change})
    check_problem(answer, 422, "idempotency_key_reused")
    reveals_nothing(answer, key)
    assert host.call("inputs/anything", key=key, **first).status_code == 200


def test_the_same_json_spelled_otherwise_is_the_same_payload(host: Served) -> None:
    key = fresh_key()
    bodies = (b'{"value": {"a": 1, "b": [2]}}', b'{"value":{"b":[2.0],"a":1}}')
    first, again = (host.call("inputs/anything", key=key, content=body) for body in bodies)
    assert again.headers["idempotency-replayed"] == "true"
    assert first.content == again.content


def test_another_subpath_is_another_payload(host: Served) -> None:
    key = fresh_key()
    assert host.call("inputs/request/a", key=key).status_code == 200
    answer = host.refused("inputs/request/b", key=key)
    check_problem(answer, 422, "idempotency_key_reused")
    reveals_nothing(answer, key)


def test_another_payload_is_refused_while_the_first_call_runs(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("held", key)
    answer = host.refused("held", {"key": "another"}, key=key)
    check_problem(answer, 422, "idempotency_key_reused")
    reveals_nothing(answer, key)
    host.open(key)
    host.until_status(workflow_id, "SUCCESS")


def reveals_nothing(answer: httpx.Response, key: str) -> None:
    assert key not in answer.text + str(answer.headers)
    for name in ("workflow-id", "link", "location", "idempotency-replayed"):
        assert name not in answer.headers


def test_the_region_is_no_part_of_the_payload(host: Served) -> None:
    key = fresh_key()
    queries = ["a=%7e&b=", "forceFunctionRegion=eu-west-1&a=%7e&b=", "a=%7e&forceFunctionRegion=any&b="]
    answers = [
        host.call(f"inputs/request?{query}", key=key, headers={"x-region": query[-9:-2]}) for query in queries
    ]
    assert [each.headers["idempotency-replayed"] for each in answers] == ["false", "true", "true"]
    assert {each.content for each in answers} == {answers[0].content}
    assert answers[0].json()["query"] == {"a": "~", "b": ""}


def test_a_duplicate_can_be_refused_instead_of_attached(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("held/exclusive", key)
    answer = host.refused("held/exclusive", {"key": key}, key=key)
    document = check_problem(answer, 409, "idempotency_conflict", retryable=True, more={"workflow_id"})
    assert document["workflow_id"] == workflow_id
    assert answer.headers["retry-after"] == "1"
    host.open(key)
    host.until_status(workflow_id, "SUCCESS")
    again = host.call("held/exclusive", {"key": key}, key=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert host.seen(key) == 1
