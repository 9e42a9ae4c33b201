"""SIGTERM: work goes on elsewhere at once, callers learn where, and the process ends in time."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.crash.conftest import Query
from tests.hosts import Host, Hosts, until


def attempts_of(query: Query, workflow_id: str) -> tuple[str, int]:
    row = query("select * from outlast.workflow_status where workflow_id = %s", workflow_id)[0]
    return row["status"], row["recovery_attempts"]


def tell_to_end(host: Host) -> None:
    host.signal(signal.SIGTERM)
    until(lambda: host.asked("/readyz") == 503, "the shutdown to begin")


def test_a_running_step_ends_here_and_the_next_begins_elsewhere(hosts: Hosts, query: Query) -> None:
    leaving, staying = hosts.start(), hosts.start()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(leaving.call, "holding", "k", gate="gate")
        until(lambda: hosts.witnessed(f"hold k {leaving.pid}"), "the step")
        tell_to_end(leaving)
        refused = leaving.call("single", "new")
        assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
        hosts.open_gate("gate")
        answer = waiting.result()
    assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
    assert answer.headers["retry-after"] == "1"
    workflow_id = answer.json()["workflow_id"]
    assert answer.headers["location"] == f"/workflows/v1/{quote(workflow_id, safe=':')}"
    assert leaving.ended() == 0
    assert staying.call("holding", "k", gate="gate").json() == leaving.pid
    assert (hosts.witnessed("hold k"), hosts.witnessed("last k")) == (1, 1)
    assert not query("select 1 from outlast.workflow_status where workflow_id like '%%new'")
    assert attempts_of(query, workflow_id) == ("SUCCESS", 0)


def test_a_workflow_that_ends_in_time_answers_its_caller(hosts: Hosts) -> None:
    leaving = hosts.start()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(leaving.call, "paying", "k", gate="gate")
        until(lambda: hosts.witnessed("paying k"), "the transaction")
        tell_to_end(leaving)
        hosts.open_gate("gate")
        answer = waiting.result()
    assert (answer.status_code, answer.json()) == (200, leaving.pid)
    assert leaving.ended() == 0


@pytest.mark.slow
def test_a_step_that_takes_too_long_runs_again_elsewhere_at_once(hosts: Hosts, query: Query) -> None:
    leaving, staying = hosts.start(drain_s=0.3), hosts.start()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(leaving.call, "holding", "k", gate="gate")
        until(lambda: hosts.witnessed("hold k"), "the step")
        workflow_ids = [leaving.begin("holding", f"k{n}", gate="gate") for n in range(5)]
        leaving.signal(signal.SIGTERM)
        assert waiting.result().json()["code"] == "shutting_down"
    assert leaving.ended() == 0
    left_at = time.monotonic()
    until(lambda: sum(f" {staying.pid}" in each for each in hosts.testimony()) == 6, "the takeover")
    took_s = time.monotonic() - left_at
    hosts.open_gate("gate")
    assert staying.call("holding", "k", gate="gate").json() == staying.pid
    for n, workflow_id in enumerate(workflow_ids):
        assert staying.call("holding", f"k{n}", gate="gate").json() == staying.pid
        assert attempts_of(query, workflow_id) == ("SUCCESS", 0)
    assert took_s < 8, "the default lease, and more: it was not handed over"


def test_a_parent_that_waits_for_its_child_waits_on_elsewhere(hosts: Hosts, query: Query) -> None:
    """That this instance shuts down is no answer of the child's, whether the child runs here or not."""
    leaving, staying = hosts.start(), hosts.start()
    here = leaving.begin("parent", "here", gate="gate")
    until(lambda: hosts.witnessed("hold here"), "the child")
    child = staying.begin("holding", "there", gate="later")
    there = leaving.begin("waiting", "there", workflow_id=child)
    until(lambda: query("select 1 from outlast.workflow_status where workflow_id = %s", there))
    tell_to_end(leaving)
    hosts.open_gate("gate")
    assert leaving.ended() == 0
    hosts.open_gate("later")
    for workflow_id, process in ((here, leaving), (there, staying)):
        ended = staying.manage("GET", f"{quote(workflow_id, safe='')}?wait=20").json()
        assert (ended["status"], ended["output"]) == ("SUCCESS", process.pid)
        assert attempts_of(query, workflow_id) == ("SUCCESS", 0)
    assert hosts.witnessed("hold here") == hosts.witnessed("hold there") == 1


@pytest.mark.slow
def test_told_twice_it_ends_at_once(hosts: Hosts, query: Query) -> None:
    leaving, staying = hosts.start(drain_s=60), hosts.start()
    leaving.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    tell_to_end(leaving)
    leaving.signal(signal.SIGINT)
    assert leaving.ended(5) != 0
    until(lambda: hosts.witnessed(f"hold k {staying.pid}"), "the takeover")


def test_it_can_be_told_while_it_waits_for_its_database(hosts: Hosts, tmp_path: Path) -> None:
    host = hosts.launch(database=f"postgresql://postgres@/postgres?host={tmp_path}")
    until(host.listening)
    until(lambda: "can't be reached" in host.said())
    host.signal(signal.SIGTERM)
    assert host.ended(5) == 0
    assert "Traceback" not in host.said()


def test_a_function_that_never_ends_keeps_neither_process_nor_workflow(hosts: Hosts, query: Query) -> None:
    leaving = hosts.start(drain_s=0.2)
    workflow_id = leaving.begin("endless", "k")
    until(lambda: hosts.witnessed("grind k"), "the step")
    leaving.signal(signal.SIGTERM)
    assert leaving.ended(15) == 0
    row = query("select * from outlast.workflow_status where workflow_id = %s", workflow_id)[0]
    assert (row["status"], row["owner"], row["recovery_attempts"]) == ("PENDING", None, 0)
