"""Workflow ids in paths: whatever they hold, they are decoded exactly once."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outlast.web.invoking.results import location_of
from tests.web.harness import SECRET, Project, workflow

AWKWARD = [
    "checkout:order-1",
    "checkout:user:key",
    "checkout:k/3",
    "checkout:k/5.2.1",
    "checkout:a%3Ab",
    "checkout:100%25",
    "checkout:a%2Fb",
    "checkout:two words",
    "checkout:plus+sign",
    "checkout:what?now#here",
    "checkout:k/steps",
    "checkout:k/cancel",
    "checkout:k/",
    "checkout:../../healthz",
    "checkout:größe/€",
    'checkout:"quoted"',
    "checkout:new\nline",
]


@pytest.mark.parametrize("workflow_id", AWKWARD)
async def test_location_leads_to_the_workflow(
    project: Project, client: httpx.AsyncClient, workflow_id: str
) -> None:
    project.rows.workflows = [workflow(workflow_id)]
    for url in (location_of(workflow_id), f"{location_of(workflow_id)}/steps"):
        response = await client.get(url)
        assert response.status_code == 200, url
    shown = await client.get(location_of(workflow_id))
    assert shown.json()["workflow_id"] == workflow_id
    cancelled = await client.post(f"{location_of(workflow_id)}/cancel")
    assert cancelled.json() == {"workflow_id": workflow_id, "status": "CANCELLED"}


@pytest.mark.parametrize("path", ["checkout:k/3", "checkout:k%2F3", "checkout%3Ak/3", "checkout%3ak%2f3"])
async def test_child_ids_may_be_sent_raw(project: Project, client: httpx.AsyncClient, path: str) -> None:
    project.rows.workflows = [workflow("checkout:k/3")]
    response = await client.get(f"/workflows/v1/{path}")
    assert response.json()["workflow_id"] == "checkout:k/3"


async def test_escapes_of_an_id_are_not_decoded_twice(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:a%3Ab", priority=1), workflow("checkout:a:b", priority=2)]
    literal = await client.get("/workflows/v1/checkout:a%253Ab")
    assert (literal.json()["workflow_id"], literal.json()["priority"]) == ("checkout:a%3Ab", 1)
    decoded = await client.get("/workflows/v1/checkout:a%3Ab")
    assert (decoded.json()["workflow_id"], decoded.json()["priority"]) == ("checkout:a:b", 2)


@pytest.mark.parametrize("path", ["nothing", "checkout:%FF", "checkout:%00", "checkout:%ED%A0%80"])
async def test_ids_that_name_nothing(client: httpx.AsyncClient, path: str) -> None:
    for response in (
        await client.get(f"/workflows/v1/{path}"),
        await client.get(f"/workflows/v1/{path}/steps"),
        await client.post(f"/workflows/v1/{path}/cancel"),
    ):
        assert response.status_code == 404
        assert response.json()["code"] == "workflow_not_found"


@given(
    workflow_id=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
    ).filter(lambda each: each not in (".", ".."))  # which URLs take for folders; no id is without a function
)
@example("a/steps")
@example("%2F/cancel")
@example("/")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_id_comes_back(workflow_id: str) -> None:
    project = Project()
    project.rows.workflows = [workflow(workflow_id)]
    async with project.client() as client:
        for suffix in ("", "/steps"):
            assert (await client.get(location_of(workflow_id) + suffix)).status_code == 200
        assert (await client.get(location_of(workflow_id))).json()["workflow_id"] == workflow_id


async def test_ids_through_a_real_socket(project: Project) -> None:
    project.rows.workflows = [workflow("checkout:k/3"), workflow("checkout:a%3Ab c")]
    # It listens already: who connects before the server has started waits in the queue.
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(project.app, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        for path, workflow_id in [
            ("checkout:k/3", "checkout:k/3"),
            ("checkout%3Ak%2F3", "checkout:k/3"),
            ("checkout:a%253Ab%20c", "checkout:a%3Ab c"),
        ]:
            head, _, body = (await _exchange(port, f"GET /workflows/v1/{path} HTTP/1.1")).partition(
                b"\r\n\r\n"
            )
            assert b" 200 " in head.splitlines()[0]
            assert httpx.Response(200, content=body).json()["workflow_id"] == workflow_id
        head, _, body = (await _exchange(port, "HEAD /workflows/v1/checkout:k/3 HTTP/1.1")).partition(
            b"\r\n\r\n"
        )
        assert b" 200 " in head.splitlines()[0]
        assert body == b""
    finally:
        server.should_exit = True
        await serving


async def _exchange(port: int, request_line: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [request_line, "host: project.test", f"apikey: {SECRET}", "connection: close", "", ""]
    writer.write("\r\n".join(lines).encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer
