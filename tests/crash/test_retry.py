"""SIGKILL while a retried workflow runs: it goes on as retried, and what had succeeded doesn't run again."""

from __future__ import annotations

import contextlib

import httpx
import pytest

from tests.crash.conftest import Query
from tests.hosts import SECRET, Hosts, ask, until

POINTS = ["claim.after_commit", "step.before_run:1", "record.before_commit:1", "record.after_commit:1"]
ENDED = "select 1 from outlast.workflow_status where status = 'SUCCESS'"


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_retry_outlasts_its_instance(hosts: Hosts, query: Query, point: str) -> None:
    first = hosts.start()
    assert first.call("mended", "k").status_code == 500
    first.kill()
    (failed,) = query("select workflow_id, epoch, generation from outlast.workflow_status")
    hosts.open_gate("mended")
    dying = hosts.start(crash_at=point)
    path = f"{dying.url}/workflows/v1/{failed['workflow_id'].replace('/', '%2F')}/retry"
    with contextlib.suppress(httpx.TransportError):  # it died before it could answer: the retry is done
        assert ask("POST", path, json={"why": "mended"}, headers={"apikey": SECRET}).status_code == 200
    assert dying.ended() < 0
    last = hosts.start()
    until(lambda: query(ENDED), "the end")
    answer = last.call("mended", "k")
    assert (answer.status_code, answer.json()) == (200, ["a", "b", "c"])
    assert answer.headers["workflow-generation"] == "2"
    assert hosts.witnessed("first k") == 1
    (row,) = query("select epoch, generation from outlast.workflow_status")
    assert (row["epoch"] > failed["epoch"], row["generation"]) == (True, 2)
    noted = query("select verb, why from outlast.acts")
    assert noted == [{"verb": "retry", "why": "mended"}]
