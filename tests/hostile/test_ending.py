"""Functions that end the process, or try to: what can be caught fails one workflow, the rest is said."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Start
from tests.hostile.hosts import Target
from tests.hosts import until
from tests.http.harness import check_problem

UNUSUAL = ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException", "Unusual", "sys.exit")
TRICKY = ("StopIteration", "StopAsyncIteration", "MemoryError", "RecursionError")


@pytest.mark.parametrize("how", [*UNUSUAL, *TRICKY])
def test_whatever_a_workflow_raises_ends_it_alone(target: Target, how: str) -> None:
    for function in ("in_step", "in_body", "in_thread", "in_body_thread"):
        name = f"ending/{function}"
        answer = target.call(name, {"how": how}, key=how)
        check_problem(answer, 500, "workflow_error", more={"workflow_id"})
        target.until_said(f"{name}:{how} failed: ")
        assert target.status(f"{name}:{how}") == "ERROR"
    assert target.call("calm", {"n": 2}).json() == 4


@pytest.mark.parametrize("how", [*UNUSUAL, *TRICKY])
def test_whatever_a_handler_raises_is_its_failure(target: Target, how: str) -> None:
    """The log names its place, and the connection stays."""
    connections = set()
    for function in ("handling", "handling_in_thread"):
        before = target.said().count(f"ending/{function} failed")
        answer = target.client.get(f"/functions/v1/ending/{function}", params={"how": how})
        check_problem(answer, 500, "function_error")
        assert answer.headers["access-control-allow-origin"] == "*"
        until(lambda: target.said().count(f"ending/{function} failed") > before, "a word in the log")  # noqa: B023
        assert "functions/ending.py" in target.said().rpartition(f"ending/{function} failed")[2]
        connections.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    calm = target.call("calm", {"n": 2})
    assert calm.json() == 4
    assert {calm.extensions["network_stream"].get_extra_info("client_addr")} == connections


@pytest.mark.parametrize(
    "function",
    ["stops_the_loop", "exits_in_a_task", "exits_in_a_callback", "exits_in_a_callback_of_a_body"],
)
def test_the_event_loop_cannot_be_ended(target: Target, function: str) -> None:
    before = target.said().count("a function tried to end the event loop")
    assert target.call(f"lingering/{function}").json() == 1
    until(lambda: target.said().count("a function tried to end the event loop") > before, "a word in the log")
    assert target.call("calm", {"n": 2}).json() == 4


def test_a_file_that_exits_or_never_ends_while_imported_breaks_for_itself(target: Target) -> None:
    target.until_said("leaving can't be served: functions/leaving.py:5: it ends the program while being")
    line = target.until_said("endless can't be served: functions/endless.py:")
    assert "importing it takes longer than 1 s (OUTLAST_IMPORT_S_MAX)" in line
    for name in ("leaving", "endless"):
        check_problem(target.call(name), 503, "BOOT_ERROR", retryable=True)
    assert target.call("calm", {"n": 2}).json() == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said", "exit"),
    [
        ("exit", "a function ends the process by os._exit(3), at functions/ending.py:", "3 (status 3)"),
        ("segfault", "Fatal Python error: Segmentation fault", "-11 (SIGSEGV)"),
        pytest.param("abort", "Fatal Python error: Aborted", "-6 (SIGABRT)", marks=pytest.mark.long),
        pytest.param("kill", "", "-9 (SIGKILL)", marks=pytest.mark.long),
    ],
)
def test_a_worker_that_is_ended_is_replaced_and_its_workflow_given_up(
    start: Start, how: str, said: str, exit: str
) -> None:
    """Other workflows of that worker go on."""
    target = start(
        "--workers", "2", recovery_attempts_max=1, recovery_backoff_s=0.05, recovery_backoff_max_s=0.1
    )
    alive = "select 1 from outlast.instances where lease_until > clock_timestamp()"
    until(lambda: len(target.query(alive)) == 2, "both workers")
    target.query(
        "insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)"
        " select 'n' || n, 'calm', 'PENDING', '{\"n\": 1}', now() + interval '1 s' * n / 10"
        " from generate_series(1, 20) n"
    )
    target.query(
        "insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)"
        " values ('bad', 'ending/in_step', 'PENDING', json_build_object('how', %s::text), now())",
        how,
    )
    target.until_status("bad", "EXHAUSTED", 40)
    if said:
        target.until_said(said)
        assert "ending.py" in target.said()
    target.until_said(f"ended with {exit}; starting another")
    ended = "select count(*) from outlast.workflow_status where function = 'calm' and status = 'SUCCESS'"
    until(lambda: target.query(ended) == [(20,)], "the others", 40)
    until(lambda: len(target.query(alive)) == 2, "both workers again", 40)
    target.client.close()  # its connections may lead to the dead
