"""The line that a hold gives as its remedy: written into the code, it lets what was held go on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from outlast import patched, step, workflow
from outlast.sdk.workflows import Workflow
from tests.engine.harness import Functions, engine_on
from tests.engine.test_workflows import _held, crash_when_held, held  # noqa: F401

BEFORE = ("charge", "ship", "held")


def named(name: str) -> Any:
    async def call() -> str:
        return name

    call.__name__ = name
    return step(call)


def flow(lines: list[str]) -> Workflow[..., Any]:
    """A workflow of these lines."""
    names: dict[str, Any] = {name: named(name) for name in ("charge", "ship", "audit", "refund")}
    names |= {"held": held, "patched": patched, "workflow": workflow, "__name__": __name__}
    text = "\n".join(f"    {each}" for each in ["done = []", *lines, "return done"])
    exec(f"@workflow\nasync def flow():\n{text}\n", names)  # noqa: S102 - written here
    found: Workflow[..., Any] = names["flow"]
    return found


def calls(*names: str) -> list[str]:
    return [f"done.append(await {each}())" for each in names]


def mended(remedy: str, now: tuple[str, ...], called: str) -> list[str]:
    """The lines of today, with the remedy in place of its dots."""
    first = now.index(called)
    before, after = calls(*now[:first]), calls(*now[first + 1 :])
    if found := re.fullmatch(r"(if .*?:) … as now … else: … as before …", remedy):
        branches = [f"    {each}" for each in calls(*now)], [f"    {each}" for each in calls(*BEFORE)]
        return [found[1], *branches[0], "else:", *branches[1]]
    found = re.fullmatch(r"(if .*?:) … (\w+) …(?: else: … (\w+) …)?", remedy)
    assert found is not None, remedy
    lines = [found[1], *(f"    {each}" for each in calls(found[2]))]
    if found[3]:
        return [*before, *lines, "else:", *(f"    {each}" for each in calls(found[3])), *after]
    here = [] if found[2] == called else calls(called)  # what was taken out stands before what is called
    return [*before, *lines, *here, *after]


@pytest.mark.parametrize(
    ("now", "called", "remedy"),
    [
        (("refund", "ship", "held"), "refund", 'if patched("use-refund"): … refund … else: … charge …'),
        (("charge", "audit", "ship", "held"), "audit", 'if patched("new-audit"): … audit …'),
        (("ship", "held"), "ship", 'if not patched("without-charge"): … charge …'),
        (("ship", "charge", "held"), "ship", 'if patched("order-ship"): … as now … else: … as before …'),
    ],
)
async def test_the_line_mends_it(
    database: str, monkeypatch: Any, now: tuple[str, ...], called: str, remedy: str
) -> None:
    workflow_id = await crash_when_held(database, flow(calls(*BEFORE)))
    monkeypatch.setattr(Functions, "version", lambda self, function: "wrong")
    async with engine_on(database, flow(calls(*now))) as bench:
        hold = await bench.held(workflow_id)
        assert hold["remedy"] == remedy
        assert (hold["version"], hold["began"]) == ("wrong", "v1")
    monkeypatch.setattr(Functions, "version", lambda self, function: "mended")
    right = flow(mended(remedy, now, called))
    async with engine_on(database, right) as bench:
        assert await bench.result(workflow_id) == list(BEFORE)
        assert await bench.run(right) == list(now)  # new ones go the new way
