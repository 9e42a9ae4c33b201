"""Functions that leave something behind, hold on, or change what belongs to all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.hostile.conftest import Start
from tests.hosts import until


def test_threads_and_tasks_that_never_end_keep_nobody(start: Start) -> None:
    target = start(drain_s=1)
    assert target.call("lingering/threads", {"count": 50}).json() == 1
    assert target.call("lingering/tasks", {"count": 50}).json() == 1
    assert target.call("calm", {"n": 2}).json() == 4
    target.host.signal(signal.SIGTERM)
    assert target.host.ended() == 0


@pytest.mark.slow
def test_workflows_that_catch_everything_are_cancelled_all_the_same(start: Start) -> None:
    target = start(drain_s=1)
    names = ("clings", "clings_to_steps", "clings_in_a_step")
    ids = [
        target.call(f"lingering/{name}", prefer="respond-async", key="k").headers["workflow-id"]
        for name in names
    ]
    for workflow_id in ids:
        answer = target.client.post(f"/workflows/v1/{workflow_id.replace('/', '%2F')}/cancel")
        assert answer.status_code == 200, answer.text
    assert [target.status(each) for each in ids] == ["CANCELLED"] * 3
    assert target.call("calm", {"n": 2}).json() == 4
    target.call("lingering/clings", prefer="respond-async", key="at the end")
    target.host.signal(signal.SIGTERM)
    assert target.host.ended() == 0


@pytest.mark.parametrize("function", ["builtin", "modules", "tasks_made", "forks_and_ends"])
def test_what_a_function_changes_for_all_harms_the_host_little(start: Start, function: str) -> None:
    """Whoever breaks what the host itself calls breaks the host. Short of that it goes on."""
    target = start()
    target.call(f"meddling/{function}")
    for n in range(5):
        assert target.call("calm", {"n": n}).json() == 2 * n
    assert target.client.get("/readyz").status_code == 200
    target.host.signal(signal.SIGTERM)
    assert target.host.ended() == 0


def test_a_function_may_print_megabytes_and_close_the_output(start: Start) -> None:
    target = start()
    assert target.call("meddling/prints", {"mb": 20}).json() == 1
    assert target.call("meddling/closes_output").json() == 1
    assert target.call("calm", {"n": 2}).json() == 4
    target.call("ending/in_body", {"how": "BaseException"})  # is logged, where there is no log any more
    assert target.call("calm", {"n": 2}).json() == 4
    target.host.signal(signal.SIGTERM)
    assert target.host.ended() == 0


def test_place_and_environment_matter_no_more_once_the_host_has_started(start: Start) -> None:
    target = start()
    assert target.call("meddling/place").json() == "/"
    assert target.call("calm", {"n": 2}).json() == 4
    assert target.client.get("/readyz").status_code == 200


def test_signals_taken_away_leave_sigkill_and_the_parent(start: Start) -> None:
    """The host's own handlers are gone then: that is what its function asked for. It still serves."""
    target = start()
    target.call("meddling/signals")
    assert target.call("calm", {"n": 2}).json() == 4


def test_a_process_without_descriptors_comes_back_once_they_are_let_go(start: Start) -> None:
    target = start()
    assert target.call("meddling/descriptors").json() == 1
    assert target.call("calm", {"n": 2}).json() == 4  # over the connection that is there
    assert target.call("meddling/descriptors_back").json() == 1
    until(lambda: target.host.asked("/readyz") == 200, "new connections")


def test_a_fork_that_goes_on_is_ended(start: Start) -> None:
    """A child that returns into the event loop would write on the host's own connections."""
    target = start()
    assert target.call("meddling/forks").json() == 1
    for n in range(20):
        assert target.call("calm", {"n": n}).json() == 2 * n
    children = Path(f"/proc/{target.host.pid}/task/{target.host.pid}/children")
    until(lambda: not [each for each in children.read_text().split() if _runs(int(each))], "the child's end")
    target.until_said("a function forked this process and let the child go on; the child is ended")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
