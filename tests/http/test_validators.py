"""A validator of the user's that raises what refuses nothing: the function's fault, and the host lives."""

from __future__ import annotations

import httpx
import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.functions.validating import RAISED
from tests.http.harness import FUNCTIONS, Served, check_problem, fresh_key

FILE = FUNCTIONS / "validating.py"
LINE = next(
    number for number, line in enumerate(FILE.read_text().splitlines(), 1) if "raise RAISED[name]" in line
)
RAISING = pytest.mark.parametrize("name", RAISED)


@pytest.fixture(scope="module")
def mine(start_host: Start) -> Served:
    """A host of one's own, with callbacks: its log is looked into."""
    return start_host(OPEN, public_url="https://example.com")


def check_told(host: Served, answer: httpx.Response, whose: str, name: str) -> None:
    """The caller learns whose fault it is; the log says where."""
    document = check_problem(answer, 500, "function_error")
    assert f"{whose} raised {name}" in document["detail"]
    assert "ValueError" in document["detail"]
    assert "of theirs" not in answer.text, "what it says may be private"

    def told() -> list[str]:
        lines = host.process.said().splitlines()
        return [line for line in lines if whose in line and name in line and f"{FILE}:{LINE}" in line]

    until(told, f"a line that names {FILE}:{LINE}")
    assert host.client.get("/healthz").status_code == 200


@RAISING
@pytest.mark.parametrize("padding", [0, 100_000], ids=["on the loop", "in a thread"])
def test_a_validator_of_an_input_that_fails_is_the_functions_fault(
    mine: Served, name: str, padding: int
) -> None:
    answer = mine.refused("validating", {"name": name, "padding": "x" * padding}, key=fresh_key())
    check_told(mine, answer, "a validator of validating's input", name)
    assert mine.call("validating", {"name": "ann"}).json() == "ann"


def test_one_of_a_parameter_and_of_a_streamed_call_is_too(mine: Served) -> None:
    for accept in ("application/json", "text/event-stream"):
        answer = mine.refused("validating/by_parameter", {"name": "KeyError"}, accept=accept)
        check_told(mine, answer, "a validator of by_parameter's input", "KeyError")


@RAISING
def test_one_of_a_callback_is_the_functions_fault_and_no_use(mine: Served, name: str) -> None:
    begun = mine.call("validating/linking", prefer="respond-async")
    workflow_id = begun.headers["workflow-id"]

    def link() -> str | None:
        steps = mine.admin.get(f"/workflows/v1/{workflow_id}/steps").json()["steps"]
        return next((each["output"]["url"] for each in steps if each["kind"] == "callback"), None)

    path = until(link, "the link").removeprefix("https://example.com")
    for answer in (mine.client.post(path, json={"name": name}), mine.client.post(path, data={"name": name})):
        check_told(mine, answer, "a validator of the answer", name)
    assert mine.client.post(path, json={"name": "ann"}).status_code == 202
    shown = mine.admin.get(f"/workflows/v1/{workflow_id}?wait=20").json()
    assert shown["output"] == "ann"


def test_what_operators_give_is_checked_alike(mine: Served) -> None:
    workflow_id = mine.call("validating", {"name": "ann"}, key=fresh_key()).headers["workflow-id"]
    forked = mine.admin.post(
        f"/workflows/v1/{workflow_id}/fork", json={"from": "start", "input": {"name": "KeyError"}}
    )
    check_told(mine, forked, "a validator of validating's input", "KeyError")
    workflow_id = mine.call("validating/by_parameter", {"name": "ann"}).headers["workflow-id"]
    settled = mine.admin.post(
        f"/workflows/v1/{workflow_id}/settle",
        json={"step": "1", "name": "say", "output": "SystemExit"},
    )
    check_told(mine, settled, "a validator of what say returns", "SystemExit")


def test_a_fork_with_null_for_its_input_is_checked_like_any_other(mine: Served) -> None:
    workflow_id = mine.call("validating", {"name": "ann"}, key=fresh_key()).headers["workflow-id"]
    given = {"from": "start", "input": None}
    one = mine.admin.post(f"/workflows/v1/{workflow_id}/fork", json=given)
    bulk = {"verb": "fork", "arguments": given, "filter": {"function": "validating"}, "dry_run": True}
    for answer in (one, mine.admin.post("/workflows/v1/bulk", json=bulk)):
        check_problem(answer, 422, "invalid_input", more={"errors"})


@RAISING
def test_an_answer_whose_type_fails_to_read_it_is_an_answer_all_the_same(mine: Served, name: str) -> None:
    """Its work is done."""
    answer = mine.call("validating/answering", {"name": name})
    assert (answer.status_code, answer.json()) == (200, {"name": name})
