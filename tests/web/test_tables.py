"""A resource and a verb that are rows of their tables, and nothing else in the web floor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx
import jwt
import pytest

from outlast.core.listing import Page
from outlast.core.resources import RESOURCES, Resource
from outlast.core.status import LIVE, Status
from outlast.core.verbs import VERBS, Verb
from outlast.web.management import listings, verbs
from outlast.web.openapi import management
from tests.rows import NOTES, REST
from tests.tokens import now_s
from tests.web.harness import JWT_SECRET, Project, workflow


def user_headers(user: str) -> dict[str, str]:
    """Those of a signed-in user."""
    claims = {"sub": user, "role": "authenticated", "aud": "authenticated", "exp": now_s() + 600}
    return {"authorization": f"Bearer {jwt.encode(claims, JWT_SECRET, algorithm='HS256')}"}


class Store:
    """Notes 1 to 5 of each workflow; what verbs were done."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.done: list[tuple[str, str, Mapping[str, int]]] = []
        self.given: list[Mapping[str, Any]] = []

    async def listing(
        self, resource: Resource, given: Mapping[str, Any], after: Sequence[int] | None, limit: int
    ) -> Page:
        self.given.append(given)
        (first,) = after or (0,)
        rows = [{"number": n, "text": "1.50", "author": "ada"} for n in range(first + 1, 6)]
        return Page(rows[:limit], len(rows) > limit)

    async def change(self, verb: Verb, workflow_id: str, arguments: Mapping[str, int]) -> Status | None:
        row = self.project.rows.find(workflow_id)
        if row is None or Status(row["status"]) not in verb.statuses:
            return None
        self.done.append((verb.name, workflow_id, arguments))
        return Status(row["status"])


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Project:
    """One whose tables have a row more each."""
    monkeypatch.setattr(listings, "RESOURCES", (*RESOURCES, NOTES))
    monkeypatch.setattr(verbs, "VERBS", (*VERBS, REST))
    monkeypatch.setattr(management, "RESOURCES", (*RESOURCES, NOTES))
    monkeypatch.setattr(management, "VERBS", (*VERBS, REST))
    made = Project()
    made.rows.workflows = [workflow("k", subject="ada")]
    return made


@pytest.fixture
def store(project: Project, monkeypatch: pytest.MonkeyPatch) -> Store:
    """What the two are done by."""
    store = Store(project)
    monkeypatch.setattr(project.rows, "listing", store.listing, raising=False)
    monkeypatch.setattr(project.rows, "change", store.change, raising=False)
    return store


@pytest.fixture
async def ada(project: Project) -> AsyncIterator[httpx.AsyncClient]:
    """The owner of the workflow."""
    async with project.stranger() as client:
        client.headers.update(user_headers("ada"))
        yield client


async def test_a_resource_is_listed_by_pages(store: Store, client: httpx.AsyncClient) -> None:
    seen: list[int] = []
    url: str | None = "/workflows/v1/k/notes?limit=2&author=ada"
    while url is not None:
        page = (await client.get(url)).json()
        seen += [each["number"] for each in page["notes"]]
        url = page["next"]
    assert seen == [1, 2, 3, 4, 5]
    assert all(given == {"workflow_id": "k", "author": "ada"} for given in store.given)


async def test_json_is_as_recorded_and_what_is_secret_is_null_for_users(
    store: Store, client: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    text = (await client.get("/workflows/v1/k/notes?limit=1")).text
    assert '{"number":1,"text":1.50,"author":"ada"}' in text
    assert '{"number":1,"text":1.50,"author":null}' in (await ada.get("/workflows/v1/k/notes?limit=1")).text


async def test_another_users_rows_are_not_there(store: Store, project: Project) -> None:
    async with project.stranger() as client:
        client.headers.update(user_headers("eve"))
        for answer in (
            await client.get("/workflows/v1/k/notes"),
            await client.post("/workflows/v1/k/rest?seconds=5"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "workflow_not_found")
    assert (store.given, store.done) == ([], [])


@pytest.mark.parametrize(("method", "path"), [("GET", "notes"), ("POST", "rest?seconds=5")])
async def test_what_is_secret_takes_a_secret_key(
    method: str, path: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "RESOURCES", (*RESOURCES, NOTES._replace(secret=True)))
    monkeypatch.setattr(verbs, "VERBS", (*VERBS, REST._replace(secret=True)))
    project = Project()
    async with project.stranger() as client:
        client.headers.update(user_headers("ada"))
        answer = await client.request(method, f"/workflows/v1/k/{path}")
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_CREDENTIALS")


async def test_a_verb_is_done_with_its_arguments(store: Store, ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/workflows/v1/k/rest?seconds=5")
    assert (answer.status_code, answer.json()) == (200, {"workflow_id": "k", "status": "PENDING"})
    assert store.done == [("rest", "k", {"seconds": 5})]


@pytest.mark.parametrize("query", ["", "?seconds=0", "?seconds=61", "?seconds=x", "?seconds=5&else=1"])
async def test_arguments_are_checked(query: str, store: Store, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/workflows/v1/k/rest{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert store.done == []


async def test_a_verb_for_those_that_have_ended_is_refused_to_those_that_have_not(
    store: Store, project: Project, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = REST.change
    assert change is not None
    failed = {(Status.ERROR, change): Status.ENQUEUED, (Status.EXHAUSTED, change): Status.ENQUEUED}
    monkeypatch.setattr("outlast.core.verbs.TRANSITIONS", failed)
    for status, code in ((Status.PENDING, "workflow_not_ended"), (Status.SUCCESS, "workflow_ended")):
        project.rows.workflows = [workflow("k", status=status)]
        answer = await client.post("/workflows/v1/k/rest?seconds=5")
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["workflow_status"]) == (409, code, status)
        expected = f"the workflow is {status}; only one that is ERROR or EXHAUSTED can be rested"
        assert problem["detail"] == expected


@pytest.mark.parametrize("status", sorted(set(Status) - LIVE))
async def test_what_has_ended_is_refused(
    status: Status, store: Store, project: Project, client: httpx.AsyncClient
) -> None:
    project.rows.workflows = [workflow("k", status=status)]
    answer = await client.post("/workflows/v1/k/rest?seconds=5")
    assert (answer.status_code, answer.json()["workflow_status"]) == (409, status)
    assert "can be rested" in answer.json()["detail"]


async def test_both_are_described(project: Project, client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    listed = document["paths"][NOTES.path]["get"]
    assert [each["name"] for each in listed["parameters"]] == ["author", "limit", "cursor"]
    (seconds,) = document["paths"][REST.paths[0]]["post"]["parameters"]
    assert (seconds["name"], seconds["required"], seconds["schema"]["maximum"]) == ("seconds", True, 60)


def test_what_is_required_is_said_once() -> None:
    for name, schema in management.SCHEMAS.items():
        required = schema.get("required", [])
        assert len(required) == len(set(required)), name
