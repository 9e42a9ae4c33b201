"""Listing workflows: filters, pages, and what is said of parameters that can't be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest

from outlast.core.status import Status
from outlast.web.http.parameters import cursor_of
from tests.web.harness import START, Project, workflow

PATH = "/workflows/v1"


async def test_items_are_newest_first(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [
        workflow("a:1", created_at=START),
        workflow("a:2", created_at=START + timedelta(microseconds=1), attributes='{"customer":"42"}'),
    ]
    response = await client.get(PATH)
    document = response.json()
    assert [item["workflow_id"] for item in document["workflows"]] == ["a:2", "a:1"]
    assert document["workflows"][0]["attributes"] == {"customer": "42"}
    assert document["workflows"][0]["created_at"] == "2026-11-22T10:00:00.123457Z"
    assert document["next"] is None
    assert "link" not in response.headers


async def test_filters_reach_the_store(project: Project, client: httpx.AsyncClient) -> None:
    query = (
        "?function=checkout&status=PENDING,enqueued&status=ERROR&queue=mail&parent=checkout:k%2F3"
        "&since=2026-01-31&until=2026-02-01T09:30:00.5%2B02:00&attribute=customer:a:b&attribute=plan:pro&limit=7"
    )
    assert (await client.get(PATH + query)).status_code == 200
    (filters,) = project.rows.asked
    assert filters.function == "checkout"
    assert filters.status == [Status.PENDING, Status.ENQUEUED, Status.ERROR]
    assert (filters.queue, filters.parent) == ("mail", "checkout:k/3")
    assert filters.since == datetime(2026, 1, 31, tzinfo=UTC)
    assert filters.until == datetime(2026, 2, 1, 9, 30, 0, 500_000, timezone(timedelta(hours=2)))
    assert filters.attribute == [("customer", "a:b"), ("plan", "pro")]
    assert filters.after is None


async def test_a_plus_sign_that_became_a_space_is_still_an_offset(
    project: Project, client: httpx.AsyncClient
) -> None:
    assert (await client.get(f"{PATH}?since=2026-01-01T00:00:00+02:00")).status_code == 200
    assert project.rows.asked[0].since == datetime(2025, 12, 31, 22, tzinfo=UTC)


async def test_pages_hold_every_workflow_once(project: Project, client: httpx.AsyncClient) -> None:
    ids = {f"a:{number}" for number in range(7)}
    # All of one moment: the id decides.
    project.rows.workflows = [workflow(each) for each in ids]
    project.rows.workflows.append(workflow("a:done", "SUCCESS"))
    url: str | None = f"{PATH}?limit=3&status=PENDING"
    pages = []
    while url is not None:
        response = await client.get(url)
        document = response.json()
        pages.append([item["workflow_id"] for item in document["workflows"]])
        url = document["next"]
        assert response.headers.get("link") == (f'<{url}>; rel="next"' if url else None)
        # What is made meanwhile is newer than all pages to come.
        project.rows.workflows.append(workflow(f"b:{len(pages)}", created_at=START + timedelta(hours=1)))
    assert [len(page) for page in pages] == [3, 3, 1]
    assert {each for page in pages for each in page} == ids


async def test_a_full_last_page_has_no_next(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("a:1"), workflow("a:2")]
    assert (await client.get(f"{PATH}?limit=2")).json()["next"] is None


@pytest.mark.parametrize(
    ("query", "parameter", "remedy"),
    [
        ("colour=red", "colour", "use function, prefix, version, status"),
        ("functoin=checkout", "functoin", "use function, prefix, version, status"),
        ("status=DONE", "status", "ENQUEUED, PENDING, SUCCESS, ERROR, CANCELLED, EXHAUSTED"),
        ("waiting_on=foo", "waiting_on", "message, workflow, sleep, time, queue, limit, instance"),
        ("status=PENDING,", "status", "ENQUEUED"),
        ("status=", "status", "leave it out"),
        ("function=", "function", "leave it out"),
        ("function=a&function=b", "function", "give it once"),
        ("function=%00", "function", "leave it out"),
        ("since=yesterday", "since", "2026-01-31T09:30:00Z"),
        ("since=2026-02-30", "since", "2026-01-31"),
        ("since=2026-01-31T09:30:00", "since", "offset"),
        ("since=20260131", "since", "2026-01-31"),
        ("since=2026-W05-1", "since", "2026-01-31"),
        ("until=0000-01-01", "until", "2026-01-31"),
        ("until=1795341600", "until", "2026-01-31"),
        ("attribute=customer", "attribute", "customer:42"),
        ("attribute=:42", "attribute", "customer:42"),
        ("limit=0", "limit", "from 1 to 1000"),
        ("limit=1001", "limit", "from 1 to 1000"),
        ("limit=ten", "limit", "from 1 to 1000"),
        ("limit=٣", "limit", "from 1 to 1000"),
        ("cursor=xyz", "cursor", "`next`"),
        ("cursor=%F0%9F%98%80", "cursor", "`next`"),
        (f"cursor={cursor_of(1, 'a')}", "cursor", "`next`"),
        (f"cursor={cursor_of('2026-01-01T00:00:00', 'a')}", "cursor", "`next`"),
        (f"cursor={cursor_of('today', 'a')}", "cursor", "`next`"),
        (f"cursor={cursor_of(START.isoformat(), chr(0))}", "cursor", "`next`"),
    ],
)
async def test_what_cannot_be_read_is_named_with_a_remedy(
    project: Project, client: httpx.AsyncClient, query: str, parameter: str, remedy: str
) -> None:
    response = await client.get(f"{PATH}?{query}")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (400, "invalid_parameter")
    assert problem["parameter"] == parameter
    assert parameter in problem["detail"]
    assert remedy in problem["detail"]
    assert response.headers["sb-error-code"] == "invalid_parameter"
    assert project.rows.asked == []


async def test_too_many_parameters(client: httpx.AsyncClient) -> None:
    response = await client.get(PATH + "?" + "status=PENDING&" * 101)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize("place", [(2**31, "1"), (-1, "1"), (1, chr(0)), ("1", "1")])
async def test_cursors_of_steps_are_bounded(
    project: Project, client: httpx.AsyncClient, place: tuple[int | str, str]
) -> None:
    project.rows.workflows = [workflow("a:1")]
    response = await client.get(f"{PATH}/a:1/steps?cursor={cursor_of(*place)}")
    assert (response.status_code, response.json()["parameter"]) == (400, "cursor")
