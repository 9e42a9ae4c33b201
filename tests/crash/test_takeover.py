"""Several instances: one execution of a key, whoever is asked; what is lost with one goes on at others."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.crash.conftest import Query
from tests.hosts import Hosts, until


def test_fifty_duplicates_over_two_instances_are_one_execution(hosts: Hosts, query: Query) -> None:
    pair = [hosts.launch(), hosts.launch()]
    pair = [each.until_ready() for each in pair]
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda n: pair[n % 2].call("story", "k"), range(50)))
    answers += [each.call("story", "k") for each in pair]
    assert {each.status_code for each in answers} == {200}
    assert len({each.content for each in answers}) == 1
    assert len({each.headers["workflow-id"] for each in answers}) == 1
    assert Counter(each.headers["idempotency-replayed"] for each in answers) == {"false": 1, "true": 51}
    assert [hosts.witnessed(f"{body} k") for body in ("first", "pay", "last")] == [1, 1, 1]
    assert len(query("select * from effects")) == 1


def test_a_killed_instance_is_noticed_long_before_its_lease_ends(hosts: Hosts, query: Query) -> None:
    lost, other = hosts.start(lease_ttl_s=30), hosts.start(lease_ttl_s=30)
    lost.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    lost.kill()
    until(lambda: hosts.witnessed(f"hold k {other.pid}"), "the takeover", 10)
    assert query("select 1 from outlast.instances where lease_until > now() + interval '10 s'")
    hosts.open_gate("gate")
    assert other.call("holding", "k", gate="gate").json() == other.pid


@pytest.mark.slow
def test_a_workflow_that_kills_its_instances_is_given_up_alone(hosts: Hosts, query: Query) -> None:
    options: dict[str, Any] = {
        "recovery_attempts_max": 2,
        "recovery_backoff_s": 0.05,
        "recovery_backoff_max_s": 0.2,
    }
    host = hosts.start("--workers", "2", **options)
    workflow_ids = {
        *(host.begin("holding", f"h{n}", gate="gate") for n in range(4)),
        *(host.begin("pausing", f"p{n}", pause_s=1.0) for n in range(4)),
    }
    until(lambda: sum("hold h" in each for each in hosts.testimony()) >= 4, "the steps")
    query(
        "insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)"
        " values ('bad', 'proof/falling', 'PENDING', '{\"key\": \"k\"}', now())"
    )
    # By then all are suspects, and run one at a time in each process.
    until(lambda: hosts.witnessed("fall k") == 2, "two falls", 40)
    hosts.open_gate("gate")
    status = "select status from outlast.workflow_status where workflow_id = 'bad'"
    until(lambda: query(status)[0]["status"] == "EXHAUSTED", "the end of trying", 40)
    assert hosts.witnessed("fall k") == 3
    ended = "select workflow_id from outlast.workflow_status where status = 'SUCCESS'"
    until(lambda: {row["workflow_id"] for row in query(ended)} == workflow_ids, "the others", 40)
    assert "EXHAUSTED" in host.said()


def test_two_thousand_workflows_of_a_dead_instance_are_finished_by_two_that_start(
    hosts: Hosts, query: Query
) -> None:
    """Each once, whoever is quicker: one of the two may well have taken them all before the other is up."""
    query("insert into outlast.instances (instance_id, lease_until) values ('dead', now() - interval '1 s')")
    query(
        "insert into outlast.workflow_status (workflow_id, function, status, input, owner, epoch, started_at)"
        " select 'w' || n, 'proof/single', 'PENDING', json_build_object('key', 'k' || n), 'dead', 1, now()"
        " from generate_series(1, 2000) n"
    )
    query(
        "insert into outlast.operation_outputs (workflow_id, step_id, name, output, completion_order)"
        " select 'w' || n, '1', 'first', '\"kept\"', 1 from generate_series(2, 2000, 2) n"
    )
    pair = [hosts.launch(), hosts.launch()]
    left = "select 1 from outlast.workflow_status where status <> 'SUCCESS' limit 1"
    until(lambda: not query(left), "the end of all", 50)
    seen = Counter(each.split()[1] for each in hosts.testimony())
    assert seen == {f"k{n}": 1 for n in range(1, 2000, 2)}
    outputs = query(
        "select output #>> '{}' as output, count(*) from outlast.workflow_status group by 1 order by 1"
    )
    assert outputs == [{"output": "a", "count": 1000}, {"output": "kept", "count": 1000}]
    assert any("claimed" in each.said() for each in pair)


def test_a_cancel_elsewhere_stops_the_running_one(hosts: Hosts, query: Query) -> None:
    running, other = hosts.start(lease_ttl_s=1.5), hosts.start(lease_ttl_s=1.5)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(running.call, "holding", "k", gate="gate")
        until(lambda: hosts.witnessed("hold k"), "the step")
        workflow_id = query("select workflow_id from outlast.workflow_status")[0]["workflow_id"]
        assert other.manage("POST", f"{workflow_id}/cancel").status_code == 200
        answer = waiting.result()
    assert (answer.status_code, answer.json()["code"]) == (409, "workflow_cancelled")
    until(lambda: "(LeaseLost)" in running.said(), "the refusal")
    hosts.open_gate("gate")
    assert running.call("single", "afterwards").json() == "a"
    assert other.call("holding", "k", gate="gate").content == answer.content
    assert not query("select 1 from outlast.operation_outputs where name <> 'first'")
    assert hosts.witnessed("last k") == 0


def test_a_step_that_ends_after_a_cancel_elsewhere_is_not_recorded(hosts: Hosts, query: Query) -> None:
    """The same before the running instance could hear of it: the fence refuses, not the message."""
    running, other = hosts.start(lease_ttl_s=60), hosts.start()
    workflow_id = running.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    assert other.manage("POST", f"{workflow_id}/cancel").status_code == 200
    hosts.open_gate("gate")
    until(lambda: "(LeaseLost)" in running.said(), "the refusal")
    assert not query("select 1 from outlast.operation_outputs")
    assert hosts.witnessed("last k") == 0
