"""What goes wrong between a page and a host: the page can read it, and nothing is done twice or lost."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Page
from tests.databases import new_database
from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import PUBLISHABLE, Served, fresh_key
from tests.http.proxy import Proxy

MB = 1024 * 1024


@pytest.fixture(scope="module")
def relaxed(start_host: Start) -> Served:
    """It asks nobody who they are, and takes little."""
    return start_host(OPEN, body_bytes_max=MB)


@pytest.fixture
def way(postgres: str) -> Iterator[Proxy]:
    """The way to a new database."""
    with new_database(postgres) as url:
        proxy = Proxy(url)
        yield proxy
        proxy.close()


def at(host: Served) -> dict[str, str]:
    """What a page has of it."""
    return {"url": host.url, "key": PUBLISHABLE}


def once(function: str, key: str) -> dict[str, Any]:
    """A call that leaves a trace of its key."""
    return {"function": function, "body": {"key": key}, "headers": {"Idempotency-Key": key}}


def asked(host: Served, function: str, body: Any = None, **headers: str) -> list[Any]:
    """The arguments of `fetch` for a call with JSON."""
    sent = {"content-type": "application/json", **headers}
    options = {"method": "POST", "headers": sent, "body": json.dumps(body or {})}
    return [f"{host.url}/functions/v1/{function}", options]


@pytest.mark.parametrize("size", [MB + 1, 16 * MB])
def test_too_large_a_body_is_told_while_it_is_still_sent(page: Page, relaxed: Served, size: int) -> None:
    seen = page.call("invoke", at(relaxed), {"function": "inputs/request", "kind": "zeros", "body": size})
    assert (seen["error"], seen["status"]) == ("FunctionsHttpError", 413)
    assert seen["answer"]["code"] == "payload_too_large"


def test_what_is_no_request_for_us_is_told_too(page: Page, relaxed: Served) -> None:
    """These answers are made before there is an application to add what browsers need."""
    # More than one read takes: a head that comes whole, with one, is let in.
    seen = page.call("ask", *asked(relaxed, "hello", **{"x-long": "a" * 270_000}))
    assert (seen["status"], seen["headers"]["sb-error-code"]) == (431, "header_too_large")
    seen = page.call("ask", f"{relaxed.url}/functions/v1/hello?name={'a' * 100_000}")
    assert (seen["status"], seen["headers"]["sb-error-code"]) == (400, "invalid_http")


@pytest.mark.parametrize(
    ("path", "status"), [("plain?kind=raise", 500), ("mounted/fail", 500), ("inputs/writes", 405)]
)
def test_faults_of_handlers_and_applications(page: Page, relaxed: Served, path: str, status: int) -> None:
    assert page.call("ask", f"{relaxed.url}/functions/v1/{path}")["status"] == status


def test_a_stream_that_breaks_off_is_no_whole_answer(page: Page, relaxed: Served) -> None:
    url = f"{relaxed.url}/functions/v1/plain?kind="
    assert page.call("ask", f"{url}stream")["body"] == "one,two"
    assert page.call("ask", f"{url}broken-stream") == {"blocked": "TypeError"}


def test_a_full_host_is_a_relay_error_that_says_when_to_come_again(page: Page, start_host: Start) -> None:
    full = start_host(OPEN, workflows_max=1, calls_per_caller_max=9, caller_running_max=9)
    key = fresh_key()
    full.begin("held", key)
    seen = page.call("invoke", at(full), {"function": "hello", "body": {}})
    assert (seen["error"], seen["status"]) == ("FunctionsRelayError", 503)
    assert (seen["answer"]["code"], seen["answer"]["retryable"]) == ("overloaded", True)
    assert int(seen["headers"]["retry-after"]) >= 1
    full.open(key)


@pytest.mark.slow
def test_a_host_that_starts_without_its_database(page: Page, start_host: Start, way: Proxy) -> None:
    """The same key works once it is there."""
    way.cut()
    host = start_host(OPEN, database=way.url, ready=False)
    key = fresh_key()
    call = once("answers/value", key)
    call["body"]["value"] = 1
    seen = page.call("invoke", at(host), call)
    assert (seen["error"], seen["answer"]["code"]) == ("FunctionsRelayError", "database_unavailable")
    assert int(seen["headers"]["retry-after"]) >= 1
    way.restore()
    until(lambda: host.client.get("/readyz").status_code == 200, "the database to be there")
    assert page.call("invoke", at(host), call)["data"] == 1


def test_a_host_that_shuts_down(page: Page, start_host: Start) -> None:
    """Who waits learns where it goes on, who comes that it must come again."""
    leaving = start_host(OPEN, drain_s=20)
    key = fresh_key()
    call = once("held/staged", key)
    page.call("begin", "invoke", at(leaving), call)
    leaving.until_seen(key)
    leaving.process.signal(signal.SIGTERM)
    until(lambda: leaving.client.get("/readyz").status_code == 503, "the end to begin")
    refused = page.call("invoke", at(leaving), {"function": "hello", "body": {}})
    assert (refused["error"], refused["answer"]["code"]) == ("FunctionsRelayError", "shutting_down")
    leaving.open(key)  # the step may end, the next one begins elsewhere
    told = page.call("outcome")
    assert (told["error"], told["answer"]["code"]) == ("FunctionsRelayError", "shutting_down")
    assert (told["headers"]["retry-after"], told["answer"]["workflow_id"]) == ("1", f"held/staged:{key}")
    assert told["headers"]["location"].startswith("/workflows/v1/held")
    taking_over = start_host(OPEN, beside=leaving)
    assert page.call("invoke", at(taking_over), call)["data"] == {"key": key}
    assert leaving.seen(key) == 1


def test_a_call_that_is_abandoned_goes_on(page: Page, relaxed: Served) -> None:
    key = fresh_key()
    page.call("begin", "invokeLeavable", at(relaxed), once("held", key))
    relaxed.until_seen(key)
    assert page.call("abandon")["error"] == "FunctionsFetchError"
    relaxed.open(key)
    assert page.call("invoke", at(relaxed), once("held", key))["data"] == {"said": f"let go of {key}"}
    assert relaxed.seen(key) == 1


def test_an_impatient_user_clicks_five_times(page: Page, relaxed: Served) -> None:
    key = fresh_key()
    page.call("begin", "together", at(relaxed), once("held", key), 5)
    relaxed.until_seen(key)
    relaxed.open(key)
    results = page.call("outcome")
    assert [each["data"] for each in results] == [{"said": f"let go of {key}"}] * 5
    assert sorted(each["headers"]["idempotency-replayed"] for each in results) == ["false"] + ["true"] * 4
    assert relaxed.seen(key) == 1


def test_a_stream_that_has_ended_is_no_new_call(page: Page, relaxed: Served) -> None:
    """An EventSource comes again after each end, and has no way to send a key."""
    before = relaxed.rows()
    assert page.call("listen", f"{relaxed.url}/functions/v1/hello?name=Ada") == ["2"]
    assert relaxed.rows() == before + 1


def test_a_stream_that_broke_is_taken_up_by_its_key(page: Page, relaxed: Served) -> None:
    key = fresh_key()
    relaxed.open(key)
    call = asked(relaxed, "held", {"key": key}, Accept="text/event-stream", **{"Idempotency-Key": key})
    assert "id: 1\n" in page.call("follow", *call)["text"]
    call[1]["headers"]["Last-Event-ID"] = "1"
    again = page.call("follow", *call)["text"]
    assert "event: step" not in again
    assert "event: result\nid: 2" in again


def test_what_a_page_sends_as_it_closes(page: Page, relaxed: Served) -> None:
    """A beacon asks nothing before, and says nothing of its type; `keepalive` outlives the page."""
    key, late = fresh_key(), fresh_key()
    body = {"value": 1, "key": key}
    assert page.call("beacon", f"{relaxed.url}/functions/v1/answers/value", json.dumps(body)) is True
    relaxed.until_seen(key)
    url, options = asked(relaxed, "answers/value", {"value": 1, "key": late}, **{"Idempotency-Key": late})
    assert page.call("ask", url, {**options, "keepalive": True}, close=True) == "sent"
    page.leave()
    relaxed.until_seen(late)
