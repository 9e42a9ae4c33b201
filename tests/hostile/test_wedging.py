"""No function brings all calls of its host to a stand; where something else does, probes and log say so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.hostile.hosts import Target
from tests.hosts import until


@pytest.mark.parametrize("function", ["runs_a_loop", "runs_a_loop_over_a_call", "runs_a_pool"])
def test_another_loop_in_a_body_is_refused_and_the_host_goes_on(target: Target, function: str) -> None:
    answer = target.call(f"wedging/{function}", {"number": 1}, key=f"wedges-{function}")
    assert (answer.status_code, answer.json()["code"]) == (500, "workflow_error")
    refused = {
        "runs_a_loop": "asks in a workflow's body for a thread (loop.run_in_executor)",
        "runs_a_loop_over_a_call": "asks in a workflow's body for a thread (loop.run_in_executor)",
        "runs_a_pool": "was called in a thread that the workflow's body made",
    }
    target.until_said(refused[function])
    assert target.call("calm", {"n": 2}).json() == 4
    assert target.client.get("/readyz").json()["checks"]["database"] == {"status": "ok"}


@pytest.mark.parametrize(("function", "result"), [("starts_from_a_loop", 4), ("starts_from_a_thread", 6)])
def test_a_handler_starts_workflows_from_any_thread_and_loop(
    target: Target, function: str, result: int
) -> None:
    assert target.client.get(f"/functions/v1/wedging/{function}").json() == result
    assert target.call("calm", {"n": 2}).json() == 4


def test_a_call_that_is_not_awaited_is_named(target: Target) -> None:
    assert target.call("wedging/forgets", {"number": 3}, key="forgets").json() == 3
    line = target.until_said("ships(…) was called in wedging/forgets:forgets and not awaited")
    assert "write `await ships(…)` at " in line
    assert "functions/wedging.py:" in line


@pytest.mark.slow
def test_a_journal_that_stands_still_is_told_of(target: Target) -> None:
    """By a lock that somebody else holds."""

    def database() -> str:
        return str(target.client.get("/readyz").json()["checks"]["database"]["status"])

    with ThreadPoolExecutor(1) as pool, psycopg.connect(target.database) as other:
        other.execute("lock table outlast.workflow_status in access exclusive mode")
        waiting = pool.submit(target.call, "calm", {"n": 2})
        until(lambda: database() == "stalled", "the probe to notice")
        target.until_said("nothing was written for")
        assert target.client.get("/readyz").status_code == 503
        other.rollback()
        until(lambda: database() == "ok", "the probe to notice the end")
        target.until_said("the journal writes again")
        assert waiting.result().status_code in (200, 503)
    assert target.call("calm", {"n": 3}).json() == 6
