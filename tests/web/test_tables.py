"""A resource and a verb that are rows of their tables, and nothing else in the web floor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from outlast.core.ports import NoSuchRow, NotNow, Unacceptable
from outlast.core.resources import RESOURCES, Resource
from outlast.core.resources.resource import Page
from outlast.core.verbs import VERBS, Verb
from outlast.web.management import listings, verbs
from outlast.web.openapi import management
from tests.rows import BOXES, CHANGE, FILL, MAKE, NOTES, REST, THINGS, add_rows
from tests.tokens import now_s
from tests.web.harness import JWT_SECRET, Project, workflow


def user_headers(user: str) -> dict[str, str]:
    """Those of a signed-in user."""
    claims = {"sub": user, "role": "authenticated", "aud": "authenticated", "exp": now_s() + 600}
    return {"authorization": f"Bearer {jwt.encode(claims, JWT_SECRET, algorithm='HS256')}"}


class Store:
    """Notes 1 to 5 of each workflow, one box with things 1 to 5; what verbs were done."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.done: list[tuple[str, str | None, Mapping[str, Any]]] = []
        self.refusal: Exception | None = None
        self.given: list[Mapping[str, Any]] = []

    async def listing(
        self, resource: Resource, given: Mapping[str, Any], after: Sequence[int] | None, limit: int
    ) -> Page:
        self.given.append(given)
        if resource is BOXES:
            rows = [{"name": "a b", "things": 1000, "shut": False, "lasts_s": None, "hidden": 1}]
            return Page([row for row in rows if given.get("name") in (None, row["name"])], False)
        (first,) = after or (0,)
        rows = [{"number": n, "text": "1.50", "author": "ada"} for n in range(first + 1, 6)]
        return Page(rows[:limit], len(rows) > limit)

    async def act(
        self, verb: Verb, key: str | None, arguments: Mapping[str, Any], by: str
    ) -> Mapping[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        self.done.append((verb.name, key, {**arguments, "by": by}))
        return {"number": 7}


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Project:
    """One whose tables have a row more each."""
    add_rows(monkeypatch)
    made = Project()
    made.rows.workflows = [workflow("k", subject="ada")]
    return made


@pytest.fixture
def store(project: Project, monkeypatch: pytest.MonkeyPatch) -> Store:
    """What the two are done by."""
    store = Store(project)
    monkeypatch.setattr(project.rows, "listing", store.listing, raising=False)
    monkeypatch.setattr(project.rows, "act", store.act, raising=False)
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
            await client.post("/workflows/v1/k/cancel"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "workflow_not_found")
    assert (store.given, store.done) == ([], [])


@pytest.mark.parametrize(("method", "path"), [("GET", "notes"), ("POST", "rest")])
async def test_what_is_secret_takes_a_secret_key(
    method: str, path: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "RESOURCES", (*RESOURCES, NOTES._replace(secret=True)))
    monkeypatch.setattr(verbs, "VERBS", (*VERBS, REST))
    project = Project()
    async with project.stranger() as client:
        client.headers.update(user_headers("ada"))
        answer = await client.request(method, f"/workflows/v1/k/{path}")
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_CREDENTIALS")


async def test_a_verb_is_done_with_its_arguments(store: Store, client: httpx.AsyncClient) -> None:
    answer = await client.post("/workflows/v1/k/rest", json={"seconds": 5})
    assert (answer.status_code, answer.json()) == (200, {"number": 7})
    assert store.done == [("rest", "k", {"seconds": 5, "by": "secret key default"})]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "seconds"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": 61}, "seconds"),
        ({"seconds": "5"}, "seconds"),
        ({"seconds": 5.0}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"seconds": None}, "seconds"),
        ({"seconds": 5, "else": 1}, "else"),
    ],
)
async def test_arguments_are_checked(
    given: dict[str, Any], named: str, store: Store, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/workflows/v1/k/rest", json=given)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    (error,) = answer.json()["errors"]
    assert error["loc"] == [named]
    assert named in answer.json()["detail"]
    assert store.done == []


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        ("?seconds=5", "{}", "invalid_parameter"),
        ("", "[5]", "invalid_json"),
        ("", "5", "invalid_json"),
        ("", "{", "invalid_json"),
        ("", '{"seconds": "\\u0000"}', "nul_character"),
    ],
)
async def test_arguments_are_members_of_an_object(
    query: str, body: str, code: str, store: Store, client: httpx.AsyncClient
) -> None:
    answer = await client.post(f"/workflows/v1/k/rest{query}", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert store.done == []


async def test_both_are_described(project: Project, client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    listed = document["paths"][NOTES.path]["get"]
    assert [each["name"] for each in listed["parameters"]] == ["author", "limit", "cursor"]
    body = document["paths"][REST.paths[0]]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert (body["required"], schema["required"]) == (True, ["seconds"])
    assert schema["properties"]["seconds"]["maximum"] == 60


BOX = {"name": "a b", "things": 1000, "shut": False, "lasts_s": None}


async def test_any_noun_is_listed_and_shown(store: Store, client: httpx.AsyncClient) -> None:
    assert (await client.get("/boxes/v1?shut=true")).json() == {"boxes": [BOX], "next": None}
    assert store.given[-1] == {"shut": True, "subject": None}
    for url in ("/boxes/v1", "/boxes/v1/"):
        assert (await client.get(url)).status_code == 200
    assert (await client.get("/boxes/v1/a%20b")).json() == BOX
    assert (await client.get("/boxes/v1/a%20b/things?limit=1")).json()["things"] == [{"number": 1}]
    for url in ("/boxes/v1/c", "/boxes/v1/c/things", "/boxes/v1/%FF", "/boxes/v1/%00"):
        answer = await client.get(url)
        assert (answer.status_code, answer.json()["code"]) == (404, "box_not_found"), url
    answer = await client.get("/boxes/v1?shut=maybe")
    assert (answer.status_code, answer.json()["parameter"]) == (400, "shut")
    for method, url in (("GET", "/boxes/v1/a/b"), ("GET", "/boxes/v1/a%20b/fill"), ("DELETE", "/boxes/v1")):
        assert (await client.request(method, url)).status_code in (404, 405), url


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/boxes/v1"),
        ("GET", "/boxes/v1/a"),
        ("GET", "/boxes/v1/a/things"),
        ("POST", "/boxes/v1"),
        ("PATCH", "/boxes/v1/a"),
        ("POST", "/boxes/v1/a/fill"),
    ],
)
async def test_no_user_reads_or_does_what_is_secret(
    method: str, path: str, store: Store, ada: httpx.AsyncClient
) -> None:
    answer = await ada.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_CREDENTIALS")
    assert (store.given, store.done) == ([], [])


async def test_any_verb_is_done_to_any_noun(store: Store, client: httpx.AsyncClient) -> None:
    by = {"by": "secret key default"}
    given = {
        "count": 9, "what": "sand", "weight": 1.5, "within": 90,
        "since": "2026-01-31T09:30:00+02:00", "gently": True, "label": {"a": [None]},
    }  # fmt: skip
    answer = await client.post("/boxes/v1/a%20b/fill", json=given)
    assert (answer.status_code, answer.json()) == (200, BOX)
    since = datetime(2026, 1, 31, 7, 30, tzinfo=UTC)
    assert store.done.pop() == (
        "fill",
        "a b",
        {**given, "within": timedelta(seconds=90), "since": since} | by,
    )
    answer = await client.patch("/boxes/v1/a%20b", json={"room": None, "lasts": 2})
    assert (answer.status_code, answer.json()) == (200, BOX)
    assert store.done.pop() == ("set", "a b", {"room": None, "lasts": 2} | by)
    answer = await client.post("/boxes/v1", json={"name": "c"})
    assert (answer.status_code, answer.json()) == (200, {"number": 7})
    assert store.done.pop() == ("make", None, {"name": "c"} | by)


@pytest.mark.parametrize(
    "given",
    [
        {}, {"count": 10}, {"count": 1, "what": ""}, {"count": 1, "what": "gravel"}, {"count": 1, "what": 5},
        {"count": 1, "key": "x"},
        {"count": 1, "weight": -0.1}, {"count": 1, "weight": "1"}, {"count": 1, "within": 3601},
        {"count": 1, "since": "soon"}, {"count": 1, "since": 5}, {"count": 1, "gently": "yes"},
        {"count": 1, "gently": None}, {"count": 1, "depth": 1},
    ],
)  # fmt: skip
async def test_each_argument_is_checked(
    given: dict[str, Any], store: Store, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/boxes/v1/a%20b/fill", json=given)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"][0]["loc"] == [[*given, "count"][-1 if not given else len(given) - 1]]
    assert store.done == []


@pytest.mark.parametrize(
    ("refusal", "status", "code", "detail"),
    [
        (NoSuchRow(), 404, "box_not_found", "there is no box with this name"),
        (Unacceptable("too much"), 422, "invalid_input", "too much"),
        (NotNow("it is shut"), 409, "wrong_state", "it is shut"),
    ],
)
async def test_what_the_database_refuses_is_told(
    refusal: Exception, status: int, code: str, detail: str, store: Store, client: httpx.AsyncClient
) -> None:
    store.refusal = refusal
    answer = await client.post("/boxes/v1/a/fill", json={"count": 1})
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (status, code, detail)


async def test_any_noun_and_verb_is_described(project: Project, client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert set(paths[BOXES.item_path]) == {"parameters", "get", "patch"}
    assert set(paths[BOXES.path]) == {"get", "post"}
    assert [each["name"] for each in paths[THINGS.path]["parameters"]] == ["name"]
    fill = paths[FILL.paths[0]]["post"]
    assert fill["operationId"] == "fillBox"
    assert {"200", "400", "401", "404", "409", "422"} <= set(fill["responses"])
    schema = fill["requestBody"]["content"]["application/json"]["schema"]
    assert (schema["required"], schema["additionalProperties"]) == (["count"], False)
    assert schema["properties"]["what"] == {
        "type": "string", "minLength": 1, "maxLength": 5, "description": "With what.",
    }  # fmt: skip
    assert schema["properties"]["label"] == {"description": "What is on it."}
    patch = paths[BOXES.item_path]["patch"]["requestBody"]
    room = patch["content"]["application/json"]["schema"]["properties"]["room"]
    assert (patch["required"], room["type"], room["maximum"]) == (False, ["integer", "null"], 100)
    made = paths[BOXES.path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(made["properties"]) == {"number"}
    assert "404" not in paths[BOXES.path]["post"]["responses"]
    assert [each.paths for each in (FILL, CHANGE, MAKE)] == [
        ("/boxes/v1/{name}/fill",), ("/boxes/v1/{name}",), ("/boxes/v1",),
    ]  # fmt: skip


def test_what_is_required_is_said_once() -> None:
    for name, schema in management.SCHEMAS.items():
        required = schema.get("required", [])
        assert len(required) == len(set(required)), name
