"""Links that people answer, under retries, kills and lost answers: each answer once, to its question."""

from __future__ import annotations

import json
from typing import Any

import pytest

from outlast.core.callbacks import Link
from outlast.testing.statements.messages import MessageStatements
from tests.simulation.asking import RUNS

CHUNK = 10


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(5)]
)
def test_each_answer_comes_once_and_to_its_question(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(60))
    assert {"answered", "answered otherwise", "used", "over", "rewind", "retry", "kill"} <= seen.keys()


answer = MessageStatements.answer


def of_any_question(self: Any, link: Link, body: str, request: str) -> int | None:
    """What stands there now is taken for what was asked."""
    record = self._db.records.get((link.workflow_id, link.step_id))
    mark = link.mark if record is None else json.loads(record.step.output).get("mark", link.mark)
    return answer(self, link._replace(mark=mark), body, request)


def as_often_as_asked(self: Any, link: Link, body: str, request: str) -> int | None:
    """Each request is counted as one of its own."""
    return answer(self, link, body, f"{request} {len(self._db.letters)}")


def unkept(self: Any, link: Link, body: str, request: str) -> int | None:
    """Of some answers it only says that they were sent."""
    return 1 if request in ("person 2", "person 3") else answer(self, link, body, request)


def without_bound(self: Any, link: Link, body: str, request: str) -> int | None:
    """It sends whatever comes."""
    told = json.loads(self._db.records[link.workflow_id, link.step_id].step.output)
    key = f"callback:{link.step_id}:{link.mark}:{request} {body}"
    return int(self.send(link.workflow_id, body, told["topic"], key))


MISTAKES = {
    "another question": (of_any_question, "and got"),
    "counted twice": (as_often_as_asked, "and got"),
    "lost": (unkept, "is gone"),
    "without bound": (without_bound, "answers"),
}


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(each, marks=() if each == "another question" else pytest.mark.slow) for each in MISTAKES],
)
def test_a_mistake_is_noticed(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    instead, word = MISTAKES[mistake]
    monkeypatch.setattr(MessageStatements, "answer", instead)
    assert RUNS.notices(word, range(100))
