"""What one caller may take of a host: beyond it 429, before a row exists, and others are served."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import LIMIT_S, Served, check_problem, fresh_key
from tests.http.test_auth import started
from tests.http.test_ownership import User
from tests.tokens import Project, elliptic, project

EVENTS = "text/event-stream"


@pytest.fixture(scope="module")
def signer() -> Iterator[Project]:
    with project(elliptic()) as signing:
        yield signing


@pytest.fixture(scope="module")
def shared(start_host: Start, signer: Project) -> Served:
    """A host of 50 places, where a caller may hold 5."""
    return started(start_host, signer, workflows_max=50, calls_per_caller_max=5)


def answered_first(host: Served, stack: ExitStack, said: bytes, count: int) -> int:
    """Say the same over so many connections; the status of the one that is answered."""
    wires = {}
    for _ in range(count):
        wire = stack.enter_context(host.connection())
        wire.send(said)
        wires[wire.socket] = wire
    (answered, *more), _, _ = select.select(list(wires), [], [], LIMIT_S)
    assert not more
    return wires[answered].answer().status


def begin(host: Served, user: User, key: str) -> httpx.Response:
    headers = {**user.headers, "prefer": "respond-async"}
    return host.call("held", {"key": key}, key=key, headers=headers)


def test_calls_that_are_not_waited_for_count(shared: Served, signer: Project) -> None:
    ada, eve = User(shared, signer), User(shared, signer)
    keys = [fresh_key() for _ in range(5)]
    for key in keys:
        assert begin(shared, ada, key).status_code == 202
    for _ in range(10):
        before = shared.rows()
        refused = begin(shared, ada, fresh_key())
        check_problem(refused, 429, "rate_limited", retryable=True)
        assert refused.headers["retry-after"] == "1"
        assert shared.rows() == before
    # What runs already is attached to; others, and who holds a secret key, have places.
    assert begin(shared, ada, keys[0]).status_code == 202
    assert shared.call("hello", {}, headers=eve.headers).status_code == 200
    assert shared.call("hello", {}, client=shared.admin).status_code == 200
    shared.open(keys[0])
    until(lambda: shared.call("hello", {}, headers=ada.headers).status_code == 200, "a place")
    for key in keys:
        shared.open(key)


def test_waits_for_a_workflow_count(shared: Served, signer: Project) -> None:
    ada, eve = User(shared, signer), User(shared, signer)
    key = fresh_key()
    workflow_id = begin(shared, ada, key).headers["workflow-id"]
    shared.until_seen(key)
    url = f"/workflows/v1/{workflow_id}"
    token = ada.headers["authorization"]
    wait = f"GET {url}?wait=60 HTTP/1.1\r\nhost: localhost\r\nauthorization: {token}\r\n\r\n"
    with ExitStack() as stack:
        assert answered_first(shared, stack, wait.encode(), 6) == 429
        # A look without waiting, and a cancel, are no waits.
        assert shared.client.get(url, headers=ada.headers).status_code == 200
        assert shared.call("hello", {}, headers=eve.headers).status_code == 200
        assert shared.client.post(f"{url}/cancel", headers=ada.headers).status_code == 200


def test_handlers_count(start_host: Start) -> None:
    host = start_host(OPEN, calls_per_caller_max=2)
    with ExitStack() as stack:
        head = b"POST /functions/v1/plain HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n"
        assert answered_first(host, stack, head, 3) == 429
        assert host.call("plain?kind=text", client=host.admin).status_code == 200
    until(lambda: host.call("plain?kind=text").status_code == 200, "a place")


def test_streams_have_a_limit_of_their_own(start_host: Start, signer: Project) -> None:
    host = started(start_host, signer, caller_streams_max=1)
    ada, eve = User(host, signer), User(host, signer)
    keys = [fresh_key(), fresh_key()]
    ids = [begin(host, ada, key).headers["workflow-id"] for key in keys]
    follow = {**ada.headers, "accept": EVENTS}
    with host.client.stream("GET", f"/workflows/v1/{ids[0]}/events", headers=follow) as events:
        assert events.status_code == 200
        second = host.client.get(f"/workflows/v1/{ids[1]}/events", headers=follow)
        check_problem(second, 429, "rate_limited", retryable=True)
        called = host.refused("held", {"key": "x"}, key=fresh_key(), headers=follow)
        check_problem(called, 429, "rate_limited", retryable=True)
        key = fresh_key()
        host.open(key)
        others = host.call("held", {"key": key}, key=key, headers={**eve.headers, "accept": EVENTS})
        assert others.status_code == 200
    for key in keys:
        host.open(key)


def test_so_many_requests_a_second(start_host: Start, signer: Project) -> None:
    host = started(start_host, signer, caller_requests_per_s_max=1)
    ada = User(host, signer)

    def one_too_many() -> httpx.Response | None:
        answers = [host.client.get("/workflows/v1", headers=ada.headers) for _ in range(2)]
        return next((each for each in answers if each.status_code == 429), None)

    check_problem(until(one_too_many, "two within one second"), 429, "rate_limited", retryable=True)
    until(lambda: host.call("hello", {}, headers=ada.headers).status_code == 429, "calls to count too")
    assert {host.admin.get("/workflows/v1").status_code for _ in range(5)} == {200}


@pytest.mark.parametrize("limit", ["caller_sleeping_max", "caller_stored_max"])
def test_workflows_that_lie_in_the_database_are_counted(
    start_host: Start, signer: Project, limit: str
) -> None:
    host = started(start_host, signer, moment_s=0, **{limit: 3})
    ada, eve = User(host, signer), User(host, signer)
    long = {"seconds": 60}

    keys: list[str] = []

    def doze(user: User) -> httpx.Response:
        keys.insert(0, fresh_key())
        headers = {**user.headers, "prefer": "respond-async"}
        return host.call("dozing", long, key=keys[0], headers=headers)

    answers = [doze(ada) for _ in range(3)]
    assert [each.status_code for each in answers] == [202] * 3
    until(lambda: asleep(host) == 3, "all to sleep")
    refused = host.refused("dozing", long, key=fresh_key(), headers=ada.headers)
    check_problem(refused, 429, "rate_limited", retryable=True)
    key = keys[0]
    assert doze(eve).status_code == 202
    # What was taken before is answered as ever.
    known = host.call("dozing", long, key=key, headers={**ada.headers, "prefer": "respond-async"})
    assert (known.status_code, known.headers["workflow-id"]) == (202, answers[-1].headers["workflow-id"])
    other = host.refused("dozing", {"seconds": 61}, key=key, headers=ada.headers)
    check_problem(other, 429, "rate_limited", retryable=True)


def asleep(host: Served) -> int:
    text = "select count(*) from outlast.workflow_status where owner is null and claimable_at is not null"
    (row,) = host.query(text)
    return int(row[0])


def test_anonymous_callers_are_told_apart_by_address(start_host: Start) -> None:
    host = start_host(OPEN, calls_per_caller_max=1, trusted_proxies="127.0.0.1")
    here, there = {"x-forwarded-for": "203.0.113.7"}, {"x-forwarded-for": "203.0.113.8"}
    spoofed = {"x-forwarded-for": "203.0.113.8, 203.0.113.7"}
    key = fresh_key()
    holding = host.call("held", {"key": key}, key=key, headers={**here, "prefer": "respond-async"})
    assert holding.status_code == 202
    for headers in (here, spoofed):
        check_problem(host.refused("hello", {}, headers=headers), 429, "rate_limited", retryable=True)
    assert host.call("hello", {}, headers=there).status_code == 200
    host.open(key)
