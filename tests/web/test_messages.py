"""Sending messages to workflows over HTTP."""

from __future__ import annotations

import json

import httpx
import pytest

from outlast.core.errors import DatabaseUnavailable, KeyReused
from tests.web.harness import SECRET, Project, workflow

K = "/workflows/v1/checkout:k/messages"


@pytest.fixture(autouse=True)
def workflows(project: Project) -> None:
    """One that runs, one that has ended, one with a name that needs encoding."""
    project.rows.workflows = [workflow("checkout:k"), workflow("old:k", "SUCCESS"), workflow("a/4:é")]


@pytest.mark.parametrize(
    ("path", "topic"),
    [
        (K, ""),
        (f"{K}/approval", "approval"),
        (f"{K}/cancel", "cancel"),
        (f"{K}/steps", "steps"),
        (f"{K}/messages", "messages"),
        (f"{K}/a%2Fb%20%C3%A9%25", "a/b é%"),
        (f"{K}/{'x' * 255}", "x" * 255),
    ],
)
async def test_a_message_goes_to_its_topic(
    project: Project, client: httpx.AsyncClient, path: str, topic: str
) -> None:
    response = await client.post(path, content=b' {"a": 1.10} ')
    assert response.status_code == 202
    assert response.json() == {"workflow_id": "checkout:k", "message_id": 1}
    assert response.headers["workflow-id"] == "checkout:k"
    assert response.headers["cache-control"] == "no-store"
    assert project.engine.sent == [("checkout:k", ' {"a": 1.10} ', topic, None)]


async def test_ids_of_any_characters_are_found(project: Project, client: httpx.AsyncClient) -> None:
    for path in ("/workflows/v1/a%2F4:%C3%A9/messages/t", "/workflows/v1/a/4:%C3%A9/messages/t"):
        assert (await client.post(path, content=b"1")).status_code == 202
    assert [each[0] for each in project.engine.sent] == ["a/4:é"] * 2


@pytest.mark.parametrize("key", ["k-1", '"k-1"'])
async def test_the_key_goes_along(project: Project, client: httpx.AsyncClient, key: str) -> None:
    await client.post(f"{K}/t", content=b"1", headers={"idempotency-key": key})
    assert project.engine.sent == [("checkout:k", "1", "t", "k-1")]


@pytest.mark.parametrize("key", ["", "a b", "a;b", "x" * 256, '"x'])
async def test_a_bad_key_is_refused(project: Project, client: httpx.AsyncClient, key: str) -> None:
    response = await client.post(f"{K}/t", content=b"1", headers={"idempotency-key": key})
    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_invalid")
    assert project.engine.sent == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nope", b"\xff", b'"\xed\xa0\x80"', b"NaN", b"1 2", b"[" * 5000, b"[-1e999]"]
)
async def test_what_is_no_json_is_refused(project: Project, client: httpx.AsyncClient, body: bytes) -> None:
    body = body[:900]
    response = await client.post(f"{K}/t", content=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_json")
    assert project.engine.sent == []


async def test_what_postgres_cannot_hold_is_never_sent(project: Project, client: httpx.AsyncClient) -> None:
    response = await client.post(f"{K}/t", content=b'"\\u0000"')
    assert (response.status_code, response.json()["code"]) == (400, "nul_character")
    assert project.engine.sent == []


async def test_too_large_a_message_is_refused(project: Project, client: httpx.AsyncClient) -> None:
    response = await client.post(f"{K}/t", content=json.dumps("x" * 1_000).encode())
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert project.engine.sent == []


@pytest.mark.parametrize("topic", ["x" * 256, "%00", "a%00b", "%FF"])
async def test_a_bad_topic_is_refused(project: Project, client: httpx.AsyncClient, topic: str) -> None:
    response = await client.post(f"{K}/{topic}", content=b"1")
    assert (response.status_code, response.json()["parameter"]) == (400, "topic")
    assert project.engine.sent == []


async def test_queries_are_refused(project: Project, client: httpx.AsyncClient) -> None:
    assert (await client.post(f"{K}/t?topic=x", content=b"1")).status_code == 400


async def test_to_nobody_404_to_an_ended_workflow_409(client: httpx.AsyncClient) -> None:
    response = await client.post("/workflows/v1/no:k/messages/t", content=b"1")
    assert (response.status_code, response.json()["code"]) == (404, "workflow_not_found")
    response = await client.post("/workflows/v1/old:k/messages/t", content=b"1")
    assert (response.status_code, response.json()["code"]) == (409, "workflow_ended")
    assert response.json()["workflow_id"] == "old:k"


async def test_a_reused_key_is_422_an_absent_database_503(
    project: Project, client: httpx.AsyncClient
) -> None:
    project.engine.error = KeyReused("this idempotency key was used with another message")
    response = await client.post(f"{K}/t", content=b"1", headers={"idempotency-key": "k"})
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    project.engine.error = DatabaseUnavailable("whether the message was sent is unknown")
    response = await client.post(f"{K}/t", content=b"1")
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert "Idempotency-Key" in response.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post_sends(project: Project, client: httpx.AsyncClient, method: str) -> None:
    for path, allowed in ((K, "POST, GET, HEAD, OPTIONS"), (f"{K}/t", "POST, OPTIONS")):
        response = await client.request(method, path)
        reads = method in ("GET", "HEAD") and path == K
        assert response.status_code == (200 if reads else 405)
        assert reads or response.headers["allow"] == allowed
    assert not project.engine.sent


async def test_only_a_secret_key_may_send(project: Project, stranger: httpx.AsyncClient) -> None:
    for path in (K, f"{K}/t"):
        for headers in ({}, {"authorization": "Bearer sb_publishable_x"}, {"apikey": SECRET + "x"}):
            response = await stranger.post(path, content=b"1", headers=headers)
            assert response.status_code == 401
    assert project.engine.sent == []
