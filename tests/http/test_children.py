"""Parents and children end to end: what one waits on is shown, and cancels pass down."""

from __future__ import annotations

import pytest

from tests.hosts import until
from tests.http.harness import Served, fresh_key
from tests.http.test_management import WORKFLOWS, shown


def begun(host: Served) -> str:
    """A line of three that sleep, and one that is detached."""
    answer = host.call("lineage", {"waits": True}, key=fresh_key(), prefer="respond-async")
    workflow_id = answer.headers["workflow-id"]
    waits = f"workflow {workflow_id}/2 (PENDING)"
    until(lambda: shown(host, workflow_id)["waiting_on"] == waits, "the parent sleeps")
    until(lambda: shown(host, f"{workflow_id}/2/1")["waiting_on"] == "a message (go)", "the last one sleeps")
    return workflow_id


def test_an_end_wakes_a_whole_line(host: Served) -> None:
    workflow_id = begun(host)
    sent = host.admin.post(f"{WORKFLOWS}/{workflow_id}%2F2%2F1/messages/go", json="well")
    assert sent.status_code < 300, sent.text
    assert shown(host, workflow_id, wait="20")["output"] == "well"


@pytest.mark.parametrize("by", ["http", "sql"])
def test_a_cancel_passes_down_but_for_what_is_detached(host: Served, by: str) -> None:
    workflow_id = begun(host)
    if by == "http":
        answer = host.admin.post(f"{WORKFLOWS}/{workflow_id}/cancel")
        assert answer.json() == {"workflow_id": workflow_id, "status": "CANCELLED"}
    else:
        assert host.query("select outlast.cancel(%s)", workflow_id) == [(True,)]
    for each in ("", "/2", "/2/1"):
        found = shown(host, workflow_id + each)
        assert (found["status"], found["waiting_on"]) == ("CANCELLED", None)
    assert shown(host, f"{workflow_id}/2")["error"]["message"] == "the workflow that started it was cancelled"
    assert shown(host, f"{workflow_id}/1")["status"] == "PENDING"
