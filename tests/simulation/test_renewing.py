"""What retried workflows do anew, under all that goes wrong: see renewing.py for what is held."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.core.errors import KeyReused
from outlast.engine.function_host import FunctionHost
from outlast.testing.statements.maps import MapStatements
from outlast.testing.statements.messages import MessageStatements
from tests.simulation.renewing import CALLED, RUNS

CHUNK = 10


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(9)]
)
def test_what_is_done_anew_is_what_was_found_and_nothing_is_done_twice(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(60))
    functions = {function for seed in range(60) for _, function, _ in RUNS.draw(seed).calls}
    assert functions == {each.definition.name for each in CALLED}
    assert {"another map", "another child", "another message"} <= seen.keys()


def test_a_map_that_keeps_its_former_items_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MapStatements, "find", lambda self, fence, new, map_ids: map_ids[0])
    assert RUNS.notices("found and returned", range(40))


def test_a_map_that_another_generation_begins_again_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MapStatements, "find", lambda self, fence, new, map_ids: map_ids[:3][-1])
    assert RUNS.notices("is there 2 times", range(40))


def test_a_child_that_each_generation_starts_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(self: Any, workflow_ids: Any) -> list[str]:
        return []

    monkeypatch.setattr(FunctionHost, "those_of", none)
    assert RUNS.notices("is there 2 times", range(200))


def test_a_message_that_each_generation_sends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def again(self: Any, fence: Any, to: str, body: str, topic: str, key: str, generation: int) -> Any:
        try:
            return self.send(to, body, topic, key)
        except KeyReused:
            return self.send(to, body, topic, f"{key}/again-{generation}")

    monkeypatch.setattr(MessageStatements, "send_again", again)
    assert RUNS.notices("sent", range(200))
