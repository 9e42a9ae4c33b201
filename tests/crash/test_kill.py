"""SIGKILL at every named point: what was recorded doesn't run again, and nothing is lost or done twice."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import httpx
import pytest

import outlast
from tests.crash.conftest import Query
from tests.embedded.hosts import postmaster, wait_for_end
from tests.hosts import Host, Hosts, until

# Records of the story: of `first`, of the sleep's begin with the suspension, of `last`.
POINTS = [
    "start.before_commit",
    "start.after_commit",
    *(f"step.{where}:{n}" for where in ("before_run", "after_run") for n in (1, 2, 3)),
    *(f"record.{where}_commit:{n}" for where in ("before", "after") for n in (1, 2, 3)),
    "transaction.before_commit",
    "transaction.after_commit",
    "suspend.before_commit",
    "suspend.after_commit",
    "claim.after_commit",
    "finish.before_commit",
    "finish.after_commit",
]
STORY = {"key": "k", "parts": ["a", 7, "c"]}
BODIES = {"first": "first k", "pay": "pay k", "last": "last k"}
RECORDED = "select name from outlast.operation_outputs where completion_order is not null"
ENDED = "select 1 from outlast.workflow_status where status = 'SUCCESS'"


OF_MESSAGES = ["deliver.after_commit"]


def test_every_point_is_tried() -> None:
    text = "".join(each.read_text() for each in Path(outlast.__file__).parent.rglob("*.py"))
    reached = {name.removeprefix("{point}") for name in re.findall(r'faults\.reach\(f?"([^"]+)"', text)}
    tried = {each.partition(":")[0] for each in (*POINTS, *OF_MESSAGES)}
    assert reached
    assert all(any(each.endswith(point) for each in tried) for point in reached)


def call_until_it_dies(host: Host) -> None:
    with pytest.raises(httpx.TransportError):
        host.call("story", "k")
    assert host.ended() == -signal.SIGKILL


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_workflow_goes_on_where_it_was(hosts: Hosts, query: Query, point: str) -> None:
    call_until_it_dies(hosts.start(crash_at=point))
    recorded = {row["name"] for row in query(RECORDED)}
    before = {name: hosts.witnessed(body) for name, body in BODIES.items()}
    assert len(query("select * from effects")) == ("pay" in recorded)

    second = hosts.start()
    if point != "start.before_commit":  # all others are finished without anybody's asking
        until(lambda: query(ENDED), "the end")
    answer = second.call("story", "k")
    assert (answer.status_code, answer.json()) == (200, STORY)
    assert answer.headers["idempotency-replayed"] == str(point != "start.before_commit").lower()

    for name, body in BODIES.items():
        assert hosts.witnessed(body) == before[name] + (name not in recorded), name
    assert len(query("select * from effects")) == 1


@pytest.mark.parametrize("point", [*OF_MESSAGES, "record.before_commit", "record.after_commit"])
def test_a_message_is_received_once_whoever_dies(hosts: Hosts, query: Query, point: str) -> None:
    """Killed when it is delivered, and before and after it is recorded as received."""
    first = hosts.start(crash_at=point, moment_s=5)
    workflow_id = first.begin("hearing", "k")
    ask = """select outlast.send(%s, '"one"'), outlast.send(%s, '"two"')"""
    query(ask, workflow_id, workflow_id)
    assert first.ended() == -signal.SIGKILL
    second = hosts.start()
    assert second.call("hearing", "k").json() == ["one", "two"]
    numbers = query("select number from outlast.messages order by message_id")
    assert [row["number"] for row in numbers] == [1, 2]


def test_the_embedded_database_outlasts_its_host(embedded_hosts: Hosts) -> None:
    hosts = embedded_hosts
    first = hosts.start()
    assert first.call("single", "kept").json() == "a"
    workflow_id = first.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    first.kill()

    second = hosts.start()
    assert second.call("single", "kept").headers["idempotency-replayed"] == "true"
    until(lambda: hosts.witnessed("hold k") == 2, "the step again")
    hosts.open_gate("gate")
    ended = second.manage("GET", f"{workflow_id}?wait=20").json()
    assert (ended["status"], ended["output"]) == ("SUCCESS", second.pid)
    assert hosts.witnessed("last k") == 1
    assert hosts.witnessed("first kept") == 1
    second.signal(signal.SIGTERM)
    assert second.ended() == 0
    wait_for_end(hosts.folder / ".outlast")


def test_two_hosts_share_an_embedded_database_and_one_outlives_the_other(embedded_hosts: Hosts) -> None:
    hosts = embedded_hosts
    first, second = hosts.launch(), hosts.launch()
    first.until_ready()
    second.until_ready()
    server = postmaster(hosts.folder / ".outlast")
    workflow_id = first.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    assert second.manage("GET", workflow_id).json()["status"] == "PENDING"
    first.kill()
    until(lambda: hosts.witnessed("hold k") == 2, "the step again")
    hosts.open_gate("gate")
    assert second.call("holding", "k", gate="gate").json() == second.pid
    assert postmaster(hosts.folder / ".outlast") == server
