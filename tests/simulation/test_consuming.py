"""Supabase Queues under kills, freezes and lost connections: no message lost, none taken twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from outlast.core.ports import QueueUnusable
from outlast.engine.instances.consuming import Consumer
from outlast.testing.database import Database
from outlast.testing.pgmq import SupabaseQueue
from outlast.testing.statements import queue_verbs
from outlast.testing.statements.pgmq import MessageQueueStatements
from tests.simulation.consuming import ACTS, RUNS

CHUNK = 5


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(10)]
)
def test_each_message_becomes_one_workflow(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_goes_wrong(seed: int) -> None:
    assert RUNS.calm(seed) == []


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(25))
    assert set(ACTS) | {"timed", "again", "message refused", "kill", "freeze", "cut"} <= {
        each for each in seen if seen[each]
    }


def of_statements(name: str, mistake: Callable[..., Any]) -> Any:
    return MessageQueueStatements, name, mistake


def loses(*_: Any, **__: Any) -> None:
    """No row is inserted."""


async def stops(*_: Any) -> None:
    """One that is refused stops all."""
    raise QueueUnusable("it is not set aside", "set it aside")


read = SupabaseQueue.read
MISTAKES: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "paused": (*of_statements("_most", lambda self, name, rules, room: room), "is paused, and ["),
    "no bound": (*of_statements("_most", lambda self, name, rules, room: room), "max_backlog of"),
    "all wait": (*of_statements("_waiting", lambda *_: -100), "among them"),
    "lost": (*of_statements("_start", loses), "is lost"),
    "again": (*of_statements("_named", lambda self, name, message: (f"{name}:{id(message)}", False)), "too"),
    "kept": (SupabaseQueue, "delete", lambda *_: None, "and in its queue"),
    "early": (SupabaseQueue, "read", lambda self, now, *more: read(self, now + 5.0, *more), "was to be seen"),
    "goes on": (queue_verbs, "_pause", lambda *_: None, "goes on, and"),
    "stopped": (Consumer, "_take_in_parts", stops, "and there is room"),
    "begins": (Database, "check_writable", lambda *_: None, "refuses to begin, and is there"),
    "unread": (Consumer, "_is_due", lambda *_: False, "and there is room"),
}


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(each, marks=() if each in ("lost", "again") else pytest.mark.slow) for each in MISTAKES],
)
def test_a_mistake_is_noticed(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    of, name, instead, word = MISTAKES[mistake]
    monkeypatch.setattr(of, name, instead)
    assert RUNS.notices(word, range(40))
