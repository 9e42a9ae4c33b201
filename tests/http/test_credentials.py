"""Who may call: with verification on, which is the default, holders of a secret key; not so preflights."""

from __future__ import annotations

import httpx
import pytest

from tests.hosts import SECRET
from tests.http.conftest import Start
from tests.http.harness import PUBLISHABLE, Served, check_problem, fresh_key

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"
NO_HEADER = "UNAUTHORIZED_NO_AUTH_HEADER"
NO_JWT = "UNAUTHORIZED_INVALID_JWT_FORMAT"
NO_KEY = "UNAUTHORIZED_INVALID_API_KEY"

REFUSED: list[tuple[dict[str, str], str]] = [
    ({}, NO_HEADER),
    ({"authorization": ""}, NO_HEADER),
    ({"authorization": f"Bearer {PUBLISHABLE}"}, NO_HEADER),
    ({"apikey": PUBLISHABLE}, NO_HEADER),
    ({"apikey": PUBLISHABLE, "authorization": f"Bearer {PUBLISHABLE}"}, NO_HEADER),
    ({"authorization": "Bearer nonsense"}, NO_JWT),
    ({"authorization": "nonsense"}, NO_JWT),
    ({"authorization": "Bearer"}, NO_JWT),
    ({"authorization": "Basic c2I6eA=="}, NO_JWT),
    ({"authorization": f"Bearer {JWT}"}, NO_JWT),
    ({"authorization": f"Basic {SECRET}"}, NO_JWT),
    ({"apikey": SECRET, "authorization": f"Bearer {JWT}"}, NO_JWT),
    ({"apikey": f"{SECRET}x"}, NO_KEY),
    ({"apikey": SECRET[:-1]}, NO_KEY),
    ({"apikey": SECRET.upper()}, NO_KEY),
    ({"authorization": f"Bearer {SECRET}x"}, NO_KEY),
]
ADMITTED: list[dict[str, str]] = [
    {"apikey": SECRET},
    {"authorization": f"Bearer {SECRET}"},
    {"authorization": f"bearer  {SECRET}"},
    {"apikey": SECRET, "authorization": f"Bearer {SECRET}"},
    {"apikey": PUBLISHABLE, "authorization": f"Bearer {SECRET}"},
]


@pytest.fixture(scope="module")
def guarded(start_host: Start) -> Served:
    host = start_host("--host", "127.0.0.1")
    host.client.headers.pop("authorization")
    return host


def check_refused(answer: httpx.Response, code: str) -> None:
    check_problem(answer, 401, code)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert SECRET[:-1] not in answer.text
    assert "workflow-id" not in answer.headers


@pytest.mark.parametrize(("headers", "code"), REFUSED, ids=str)
def test_strangers_are_refused(guarded: Served, headers: dict[str, str], code: str) -> None:
    for function in ("hello", "plain", "mounted/", "nowhere", "broken"):
        check_refused(guarded.refused(function, {}, key=fresh_key(), headers=headers), code)
    check_refused(guarded.refused("hello", {}, accept="text/event-stream", headers=headers), code)
    for path in ("/workflows/v1", "/workflows/v1/hello:1", "/workflows/v1/hello:1/steps"):
        check_refused(guarded.client.get(path, headers=headers), code)
    check_refused(guarded.client.post("/workflows/v1/hello:1/cancel", headers=headers), code)


@pytest.mark.parametrize("headers", ADMITTED, ids=str)
def test_a_secret_key_opens_all(guarded: Served, headers: dict[str, str]) -> None:
    key = fresh_key()
    answer = guarded.call("hello", {}, key=key, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["workflow-id"] == f"hello:{key}"
    assert guarded.client.get(f"/workflows/v1/hello:{key}", headers=headers).status_code == 200


def test_management_asks_even_where_functions_do_not(host: Served) -> None:
    key = fresh_key()
    assert host.call("hello", {}, key=key).status_code == 200
    for path in ("", f"/hello:{key}", f"/hello:{key}/steps", "/nowhere"):
        check_refused(host.client.get(f"/workflows/v1{path}"), NO_HEADER)
    check_refused(host.client.post(f"/workflows/v1/hello:{key}/cancel"), NO_HEADER)


@pytest.mark.parametrize(
    "path", ["functions/v1/hello", "functions/v1/nowhere", "workflows/v1", "workflows/v1/x"]
)
def test_preflights_are_exempt(guarded: Served, path: str) -> None:
    assert guarded.client.request("OPTIONS", f"/{path}").status_code == 204


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/openapi.json"])
def test_what_everybody_may_see(guarded: Served, path: str) -> None:
    assert guarded.client.get(path).status_code == 200


def test_a_secret_that_holds_more_than_a_header_can_is_no_fault(guarded: Served) -> None:
    answer = guarded.client.get("/workflows/v1", headers=[(b"apikey", "sb_secret_ü".encode("latin-1"))])
    check_refused(answer, NO_KEY)
