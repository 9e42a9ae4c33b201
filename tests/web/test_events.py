"""Pages of a workflow's published events."""

from __future__ import annotations

import httpx
import pytest

from outlast.web.http.parameters import cursor_of
from tests.web.harness import Project, event, step, workflow

K = "/workflows/v1/checkout:k"


async def test_events_as_they_were_published(project: Project, client: httpx.AsyncClient) -> None:
    recorded = '{"big":12345678901234567890123,"twice":1,"twice":2}'
    project.rows.workflows = [workflow("checkout:k")]
    project.rows.published["checkout:k"] = [event(2, recorded), event(7, '"\\u00e9"', 'a "b"\n')]
    response = await client.get(f"{K}/events")
    assert f'"value":{recorded}' in response.text
    first, second = response.json()["events"]
    assert (first["number"], first["event"]) == (2, "progress")
    assert second == {
        "number": 7,
        "event": 'a "b"\n',
        "value": "é",
        "published_at": "2026-11-22T10:00:07.123456Z",
    }
    assert response.json()["next"] is None
    assert response.headers["cache-control"] == "no-store"


async def test_of_one_that_has_none_and_of_one_that_is_not(
    project: Project, client: httpx.AsyncClient
) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    project.rows.recorded["checkout:k"] = [step("1")]
    assert (await client.get(f"{K}/events")).json() == {"events": [], "next": None}
    for accept in ("application/json", "text/event-stream"):
        response = await client.get("/workflows/v1/other/events", headers={"accept": accept})
        assert (response.status_code, response.json()["code"]) == (404, "workflow_not_found")


async def test_events_by_pages_and_by_name(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:k/3")]
    project.rows.published["checkout:k/3"] = [
        event(number, name="odd" if number % 2 else "even") for number in range(1, 8)
    ]
    seen = []
    url: str | None = "/workflows/v1/checkout:k%2F3/events?limit=2&event=odd"
    while url is not None:
        response = await client.get(url)
        page = response.json()
        seen.append([each["number"] for each in page["events"]])
        url = page["next"]
        assert (f'<{url}>; rel="next"' == response.headers.get("link")) is (url is not None)
    assert seen == [[1, 3], [5, 7]]
    assert (await client.get("/workflows/v1/checkout:k%2F3/events?event=x")).json()["events"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "event=",
        "event=a&event=b",
        "event=%00",
        "after=3",
        "cursor=x",
        f"cursor={cursor_of(-1)}",
        f"cursor={cursor_of(2**31)}",
        f"cursor={cursor_of('1')}",
        f"cursor={cursor_of(1, '1')}",
    ],
)
async def test_what_cannot_be_a_parameter(project: Project, client: httpx.AsyncClient, query: str) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    response = await client.get(f"{K}/events?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")


async def test_a_stream_takes_no_page(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    response = await client.get(f"{K}/events?limit=2", headers={"accept": "text/event-stream"})
    assert (response.status_code, response.json()["parameter"]) == (400, "limit")


async def test_the_head_of_a_stream_is_a_pages(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    response = await client.head(f"{K}/events", headers={"accept": "text/event-stream"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
