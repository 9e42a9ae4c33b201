"""Histories that released versions recorded replay against today's code."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outlast import Response, workflow
from outlast.core.codec import Codec
from outlast.engine.operations.attempts import Attempts
from tests.engine.harness import engine_on
from tests.golden import workflows as of
from tests.golden.cases import CASES
from tests.golden.history import History, files, put, rows_of

HISTORIES = [History.load(path) for path in files()]
COMPLETE = [each for each in HISTORIES if each.ended]


def name_of(history: History) -> str:
    return f"{history.version}-{history.case}"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Workflow and id of every call that ran, and wasn't replayed."""
    seen: set[tuple[str, str]] = set()
    work = Attempts._work

    async def noting(self: Attempts) -> None:
        seen.add((self._execution.workflow_id, self._call.step_id))
        await work(self)

    monkeypatch.setattr(Attempts, "_work", noting)
    return seen


AFTER = {"work mid": "fast", "work slow": "mid"}
"""Steps whose order is part of a result: each begins once the other's output is recorded."""


async def finish(history: History, url: str, ran: set[tuple[str, str]], patch: pytest.MonkeyPatch) -> None:
    """Let an engine claim what is there, and compare how it ends with how it once ended."""
    put(history, url)
    of.ran.clear()
    async with engine_on(url, *of.ALL) as bench:

        def gate(output: str) -> Callable[[], Awaitable[None]]:
            async def recorded() -> bool:
                return any(row["output"] == output for row in await bench.steps(history.workflow_id))

            async def wait() -> None:
                await bench.until(recorded)

            return wait

        for name, output in AFTER.items():
            patch.setitem(of.gates, name, gate(output))
        state = await bench.engine.wait(history.workflow_id, 30.0)
    assert state is not None
    error = json.loads(state.error) if state.error else {}
    assert error.get("code") != "non_determinism", error
    assert (state.status.value, state.output, state.response) == (
        history.status,
        history.output,
        history.response,
    )
    assert without_what_differs(state.error) == without_what_differs(history.error)
    recorded = {(history.workflow_id, str(row["step_id"])) for row in history.steps}
    assert not recorded & ran, "recorded steps ran again"
    _, now = rows_of(url, history.workflow_id)
    kept = [{column: row[column] for column in history.steps[0]} for row in now] if history.steps else []
    assert all(row in kept for row in history.steps if row["completion_order"] is not None)


def without_what_differs(error: str | None) -> Any:
    document = json.loads(error) if error else None
    if document:
        document.pop("steps", None)  # older ones don't tell which steps an end came from
    if document and "failure" in document:
        del document["failure"]["traceback"]
        document["failure"].get("attributes", {}).pop("__notes__", None)  # of all attempts, with their times
    return document


@pytest.mark.parametrize("history", HISTORIES, ids=name_of)
async def test_a_recorded_history_goes_on_to_the_same_end(
    database: str, history: History, ran: set[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await finish(history, database, ran, monkeypatch)
    if history.ended:
        assert not ran
        assert not of.ran


@pytest.mark.parametrize("history", COMPLETE, ids=name_of)
async def test_an_ended_one_answers_those_who_attach(database: str, history: History) -> None:
    put(history, database)
    case = next(case for case in CASES if case.name == history.case)
    async with engine_on(database, *of.ALL) as bench:
        if case.request is None:
            definition = case.workflow.definition
            new = bench.new(definition, case.args, workflow_id=history.workflow_id)
            state = await bench.engine.starts.start_new(new, definition, None)
        else:
            state = await bench.engine.wait(history.workflow_id, 30.0)
    assert state is not None
    assert (state.status.value, state.output, state.error) == (
        history.status,
        history.output,
        history.error,
    )
    if state.response is not None:
        answer = Response.from_record(state.response, state.output)
        assert (answer.status, answer.body) == EXPECTED_ANSWERS[history.case]


EXPECTED_ANSWERS = {
    "serves": (
        201,
        b'{"said":{"text":"nul \\u0000, quote \\", snow \xe2\x98\x83, \xf0\x9f\x98\x80","none":null,'
        b'"float":-0.0,'
        b'"of":["PUT","/orders/7",{"a":"2","b":" x"},["one","two"]]},"body":"\\u0000\xc3\xbf body"}',
    ),
    "serves_bytes": (200, bytes(range(256))),
}


@pytest.mark.parametrize("history", COMPLETE, ids=name_of)
async def test_every_prefix_of_a_history_is_a_crash_that_it_gets_over(
    history: History, ran: set[tuple[str, str]], databases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for length in range(len(history.steps) + 1):
        ran.clear()
        await finish(history.prefix(length), databases(), ran, monkeypatch)
        again = {step_id for workflow_id, step_id in ran if workflow_id == history.workflow_id}
        lost = {
            str(row["step_id"]) for row in history.steps[length:] if row["name"] not in ("sleep", "timer")
        }
        assert lost <= again  # and what the body gives up later, which leaves no record


@workflow
async def branches() -> list[Any]:
    """What stands recorded as gather, tasks and as_completed, in another order."""
    return [await of.work("first"), await of._deeper("x"), await of.work("last")]


@pytest.mark.parametrize("history", [each for each in COMPLETE if each.case == "branches"], ids=name_of)
async def test_a_changed_workflow_is_found_out(database: str, history: History) -> None:
    put(history.prefix(len(history.steps)), database)
    async with engine_on(database, branches) as bench:
        held = await bench.held(history.workflow_id)
    assert held["reason"] == "non_determinism"


@pytest.mark.parametrize("history", [each for each in COMPLETE if each.case == "values"], ids=name_of)
async def test_a_changed_type_is_found_out(
    database: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(history.prefix(len(history.steps)), database)
    monkeypatch.setattr(of.price, "definition", replace(of.price.definition, codec=Codec(int)))
    async with engine_on(database, *of.ALL) as bench:
        held = await bench.held(history.workflow_id)
    assert "no longer fits" in held["message"]


def test_every_case_is_recorded_and_every_record_is_a_case() -> None:
    assert {history.case for history in HISTORIES} == {case.name for case in CASES}
    assert HISTORIES


def test_every_released_version_is_recorded() -> None:
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text("utf-8")
    released = {line.split("]")[0][4:] for line in changelog.splitlines() if line.startswith("## [")}
    assert released - {"Unreleased"} <= {history.version for history in HISTORIES}
