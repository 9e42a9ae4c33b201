"""Failures that are settled by hand, under kills and retries: what was settled stays, and is returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from outlast.core.verbs import RETRY
from outlast.testing.statements import workflow_verbs
from outlast.testing.statements.workflow_verbs import WorkflowVerbs
from tests.simulation.settling import RUNS

CHUNK = 5


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(10)]
)
def test_what_was_settled_stays(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(20))
    assert {"settle", "beside others", "returned", "retry", "rewind", "kill"} <= seen.keys()


act, to_settle = WorkflowVerbs.act, workflow_verbs._step_to_settle


def forgetful(self: Any, verb: Any, workflow_id: str, given: Any, by: str) -> Any:
    """A retry takes what was settled since for what was there before."""
    if verb is RETRY:
        for each in self._db.records_of(workflow_id).values():
            each.since_end = False
    return act(self, verb, workflow_id, given, by)


def any_step(records: Any, by_hand: Any, step: str, called: str | None) -> Any:
    """A success is settled, too."""
    return records[step] if step in records else to_settle(records, by_hand, step, called)


MISTAKES: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "forgetful": (WorkflowVerbs, "act", forgetful, "retry of"),
    "any step": (workflow_verbs, "_step_to_settle", any_step, "settle of"),
}


@pytest.mark.parametrize(
    "mistake", [pytest.param(each, marks=pytest.mark.slow if each == "any step" else ()) for each in MISTAKES]
)
def test_a_mistake_is_noticed(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    of, name, instead, word = MISTAKES[mistake]
    monkeypatch.setattr(of, name, instead)
    assert RUNS.notices(word, range(60))
