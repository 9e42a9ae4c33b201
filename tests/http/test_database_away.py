"""While the database is away callers are told so, and the same key is safe."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.databases import EMPTY, new_database
from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, check_problem, fresh_key
from tests.http.proxy import Proxy


@pytest.fixture
def way(postgres: str) -> Iterator[Proxy]:
    """The way to a new database."""
    with new_database(postgres) as url:
        proxy = Proxy(url)
        yield proxy
        proxy.close()


def wait_until_back(host: Served) -> None:
    until(lambda: host.client.get("/readyz").status_code == 200, "the database to be back")


@pytest.mark.slow
def test_calls_are_turned_away_and_the_same_key_succeeds_once(way: Proxy, start_host: Start) -> None:
    host = start_host(OPEN, database=way.url, database_wait_s=0.5)
    ended, running, doubtful = fresh_key(), fresh_key(), fresh_key()
    assert host.call("hello", {}, key=ended).status_code == 200
    calling = host.calling("held", {"key": running}, key=running)
    host.until_seen(running)
    way.cut()
    body = {"value": 1, "key": doubtful}
    first = host.call("answers/value", body, key=doubtful)
    # It was sent before the loss was noticed: whether it is durable is in doubt.
    document = check_problem(first, 503, "database_unavailable", retryable=True, more={"workflow_id"})
    assert document["workflow_id"] == f"answers/value:{doubtful}"
    assert first.headers["location"] == f"/workflows/v1/answers%2Fvalue:{doubtful}"
    waits = set()
    for _ in range(30):
        answer = host.call("answers/value", body, key=fresh_key())
        check_problem(answer, 503, "database_unavailable", retryable=True, more={"workflow_id"})
        waits.add(answer.headers["retry-after"])
    assert len(waits) > 1, "all come back at once"
    calls = [
        host.calling("hello", {}, key=ended),
        host.calling("hello", {}, accept="text/event-stream"),
        host.calling("held", {"key": running}, key=running),
    ]
    looks = [host.fetching(f"/workflows/v1{each}") for each in ("", f"/held:{running}", "/held:x/steps")]
    for call in calls:
        check_problem(call.result(), 503, "database_unavailable", retryable=True, more={"workflow_id"})
    for look in looks:
        check_problem(look.result(), 503, "database_unavailable", retryable=True)
    check_problem(host.call("starter?n=1"), 503, "database_unavailable", retryable=True)
    assert host.call("plain?kind=text").status_code == 200
    check_problem(host.call("hello", content=b"{"), 400, "invalid_json")
    assert host.client.get("/healthz").status_code == 200
    assert host.client.get("/readyz").status_code == 503

    way.restore()
    wait_until_back(host)
    assert host.call("answers/value", body, key=doubtful).json() == 1
    assert host.seen(doubtful) == 1
    host.open(running)
    assert calling.result().json() == {"said": f"let go of {running}"}
    assert host.seen(running) == 1
    said = host.process.said()
    assert "the database can't be reached" in said
    assert "the database answers again" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_host_that_never_saw_its_database_says_so(way: Proxy, start_host: Start) -> None:
    way.cut()
    host = start_host(OPEN, database=way.url, ready=False)
    key = fresh_key()
    check_problem(
        host.call("hello", {}, key=key), 503, "database_unavailable", retryable=True, more={"workflow_id"}
    )
    assert host.call("plain?kind=text").status_code == 200
    way.restore()
    wait_until_back(host)
    assert host.call("hello", {}, key=key).headers["idempotency-replayed"] == "false"


@pytest.mark.slow
def test_a_host_goes_on_trying_whatever_it_meets_once_it_serves(postgres: str, start_host: Start) -> None:
    """Its database comes late, and something of somebody else's lies where the schema is to be."""
    with new_database(postgres, EMPTY) as url:
        way = Proxy(url)
        way.cut()
        host = start_host(OPEN, database=way.url, ready=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create schema outlast; create table outlast.workflow_status (x int)")
            way.restore()
            until(lambda: "the start loop met" in host.process.said(), "the fault to be told")
            assert host.client.get("/readyz").status_code == 503
            connection.execute("drop schema outlast cascade")
        wait_until_back(host)
        assert host.call("hello", {}, key=fresh_key()).status_code == 200
        assert host.process.said().count("the start loop met") == 1
        way.close()
