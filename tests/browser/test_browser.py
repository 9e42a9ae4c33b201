"""Web applications call from another origin: supabase-js and fetch in a real browser, which enforces CORS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Page
from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import PUBLISHABLE, Served, fresh_key
from tests.tokens import Project, project

ADA = "7d0c8b62-0a48-4a4e-9b7e-2a8f0d0e6c11"


@pytest.fixture(scope="module")
def signer() -> Iterator[Project]:
    with project() as made:
        yield made


@pytest.fixture(scope="module")
def guarded(start_host: Start, signer: Project) -> Served:
    """With `verify_jwt` on, as it is by default."""
    asked = ("--host", "127.0.0.1")
    return start_host(*asked, SUPABASE_URL=signer.url, SUPABASE_PUBLISHABLE_KEY=PUBLISHABLE)


@pytest.fixture(scope="module")
def ada(guarded: Served, signer: Project) -> dict[str, str]:
    """What a page has of a signed-in user."""
    return {"url": guarded.url, "key": PUBLISHABLE, "token": signer.token(ADA)}


def headers(host: dict[str, str], **more: str) -> dict[str, str]:
    return {"apikey": host["key"], "Authorization": f"Bearer {host['token']}", **more}


def test_a_user_calls_and_calls_again(page: Page, ada: dict[str, str]) -> None:
    call = {"function": "hello", "body": {"name": "Ada"}, "headers": {"Idempotency-Key": fresh_key()}}
    first, second = page.call("invoke", ada, call), page.call("invoke", ada, call)
    assert first["data"] == second["data"] == {"message": "Hello, Ada!"}
    assert first["headers"]["workflow-id"] == second["headers"]["workflow-id"]
    replayed = [each["headers"]["idempotency-replayed"] for each in (first, second)]
    assert replayed == ["false", "true"]
    assert "status" in first["headers"]["link"]


def test_who_calls_is_known(page: Page, ada: dict[str, str]) -> None:
    assert page.call("invoke", ada, {"function": "guarded/user"})["data"]["id"] == ADA
    stranger = {**ada, "token": ""}
    assert page.call("invoke", stranger, {"function": "guarded/publishable"})["data"]["mode"] == "publishable"


def test_bodies_of_all_kinds(page: Page, ada: dict[str, str]) -> None:
    form = {"function": "inputs/request", "kind": "form", "body": {"city": "Zürich"}}
    assert "Zürich" in page.call("invoke", ada, form)["data"]["body"]
    data = {"function": "inputs/request", "kind": "bytes", "body": [0, 255, 1]}
    assert page.call("invoke", ada, data)["data"]["size"] == 3
    text = {"function": "inputs/request", "body": "grüße"}
    assert page.call("invoke", ada, text)["data"]["body"] == "grüße"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_all_methods_and_any_header(page: Page, ada: dict[str, str], method: str) -> None:
    more = {"x-region": "eu-central-1", "traceparent": "00-1-1-01", "x-of-the-app": "1"}
    url = f"{ada['url']}/functions/v1/inputs/request"
    seen = page.call("ask", url, {"method": method, "headers": headers(ada, **more)})
    assert seen["status"] == 200
    told = json.loads(seen["body"])
    assert told["method"] == method
    assert told["headers"]["x-of-the-app"] == ["1"]


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ({"function": "nowhere"}, 404, "NOT_FOUND"),
        ({"function": "guarded/secret"}, 401, "INVALID_CREDENTIALS"),
        ({"function": "held", "body": {"nothing": "fits"}}, 422, "invalid_input"),
        ({"function": "answers/fail", "body": {}}, 500, "workflow_error"),
        (
            {"function": "hello", "body": {}, "headers": {"Idempotency-Key": "a b"}},
            400,
            "idempotency_key_invalid",
        ),
        ({"function": "broken"}, 503, "BOOT_ERROR"),
    ],
)
def test_errors_can_be_read(
    page: Page, ada: dict[str, str], call: dict[str, Any], status: int, code: str
) -> None:
    seen = page.call("invoke", ada, call)
    assert (seen["error"], seen["status"], seen["answer"]["code"]) == ("FunctionsHttpError", status, code)
    assert seen["headers"]["sb-error-code"] == code


def test_a_bad_token_is_told_and_a_preflight_needs_none(page: Page, ada: dict[str, str]) -> None:
    seen = page.call("invoke", {**ada, "token": f"{ada['token']}x"}, {"function": "hello", "body": {}})
    assert (seen["error"], seen["status"]) == ("FunctionsHttpError", 401)
    # Every header here is one that a browser asks for before.
    url = f"{ada['url']}/functions/v1/hello"
    seen = page.call("ask", url, {"method": "POST", "headers": {"x-anything": "1"}, "body": "{}"})
    assert (seen["status"], json.loads(seen["body"])["code"]) == (401, "UNAUTHORIZED_NO_AUTH_HEADER")


@pytest.mark.parametrize(
    "path", ["/functions/v1/", "/workflows/v1/none", "/nowhere", "/openapi.json", "/readyz"]
)
def test_what_the_host_itself_says_can_be_read(page: Page, ada: dict[str, str], path: str) -> None:
    seen = page.call("ask", ada["url"] + path, {"headers": headers(ada)})
    assert seen.get("status") in (200, 404), seen
    json.loads(seen["body"])


def test_async_and_the_way_to_its_result(page: Page, guarded: Served, ada: dict[str, str]) -> None:
    key = fresh_key()
    call = {
        "function": "held",
        "body": {"key": key},
        "headers": {"Idempotency-Key": key, "Prefer": "respond-async"},
    }
    seen = page.call("invoke", ada, call)
    assert seen["data"]["status"] == "PENDING"
    assert seen["headers"]["preference-applied"] == "respond-async"
    assert int(seen["headers"]["retry-after"]) >= 0
    where = ada["url"] + seen["headers"]["location"]
    guarded.open(key)
    ended = page.call("ask", f"{where}?wait=20", {"headers": headers(ada)})
    assert json.loads(ended["body"])["status"] == "SUCCESS"


def test_events_come_as_a_stream(page: Page, guarded: Served, ada: dict[str, str]) -> None:
    key = fresh_key()
    guarded.open(key)
    body = json.dumps({"key": key})
    sent = headers(ada, Accept="text/event-stream", **{"Content-Type": "application/json"})
    seen = page.call(
        "follow", f"{ada['url']}/functions/v1/held", {"method": "POST", "headers": sent, "body": body}
    )
    assert seen["status"] == 200
    assert "event: step" in seen["text"]
    assert f"let go of {key}" in seen["text"]


def test_a_page_has_its_own_workflow_in_hand(
    page: Page, guarded: Served, signer: Project, ada: dict[str, str]
) -> None:
    """Who called it may follow what it publishes, from where they were, and cancel it. Others may not."""
    key = fresh_key()
    call = {"function": "telling", "body": {"key": key}, "headers": {"Idempotency-Key": key}}
    page.call("begin", "invoke", ada, call)
    guarded.until_seen(key)
    where = f"{ada['url']}/workflows/v1/telling:{ADA}:{key}"
    found = page.call("ask", f"{where}/events", {"headers": headers(ada)})
    assert [each["number"] for each in json.loads(found["body"])["events"]] == [1]
    bob = headers({**ada, "token": signer.token("bob")})
    hidden = page.call("ask", f"{where}/cancel", {"method": "POST", "headers": bob})
    assert hidden["status"] == 404, hidden
    cancelled = page.call("ask", f"{where}/cancel", {"method": "POST", "headers": headers(ada)})
    assert cancelled["status"] == 200, cancelled
    told = page.call("outcome")
    assert (told["status"], told["answer"]["code"]) == (409, "workflow_cancelled")
    sent = headers(ada, Accept="text/event-stream", **{"Last-Event-ID": "1"})
    rest = page.call("follow", f"{where}/events", {"headers": sent})["text"]
    assert "event: end" in rest
    assert "id: 1\n" not in rest


def test_the_region_is_no_part_of_a_call(page: Page, ada: dict[str, str]) -> None:
    """supabase-js puts it into the query too."""
    call = {"function": "hello", "body": {"name": "Ada"}, "headers": {"Idempotency-Key": fresh_key()}}
    seen = [page.call("invoke", ada, {**call, "region": each}) for each in ("eu-west-1", "us-east-1")]
    assert [each["headers"]["idempotency-replayed"] for each in seen] == ["false", "true"]


def test_a_page_that_is_closed_takes_nothing_along(page: Page, guarded: Served, ada: dict[str, str]) -> None:
    key = fresh_key()
    call = {"function": "held", "body": {"key": key}, "headers": {"Idempotency-Key": key}}
    assert page.call("invoke", ada, call, close=True) == "sent"
    until(lambda: guarded.seen(key), "the step to begin")
    page.leave()
    guarded.open(key)
    assert page.call("invoke", ada, call)["data"] == {"said": f"let go of {key}"}
    assert guarded.seen(key) == 1


def test_from_an_opaque_origin(page: Page, ada: dict[str, str]) -> None:
    seen = page.call("askFromNowhere", f"{ada['url']}/functions/v1/hello", {"headers": headers(ada)})
    assert (seen["origin"], seen["seen"]["status"]) == ("null", 200)


def test_origins_that_are_not_allowed_read_nothing(page: Page, start_host: Start) -> None:
    """The one that is allowed does."""
    elsewhere = start_host(OPEN, cors_origins="https://app.example.com")
    options = {"method": "POST", "headers": {"content-type": "application/json"}, "body": "{}"}
    assert page.call("ask", f"{elsewhere.url}/functions/v1/hello", options) == {"blocked": "TypeError"}
    here = start_host(OPEN, cors_origins=page.origin.rstrip("/"))
    assert page.call("ask", f"{here.url}/functions/v1/hello", options)["status"] == 200
