"""Reads of clocks by a body are found; those of what listens to the garbage collector are nobody's."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest

from outlast.engine.bodies.watching import watched

NAMED = """
def listen(phase, info):
    time.perf_counter()
"""


@pytest.fixture
def listening() -> Any:
    """A listener as hypothesis has one, in a file that is neither Python's nor ours."""
    names: dict[str, Any] = {"time": time}
    exec(compile(NAMED, "/srv/packages/listener.py", "exec"), names)  # noqa: S102
    gc.callbacks.append(names["listen"])
    yield names["listen"]
    gc.callbacks.remove(names["listen"])


def test_the_garbage_collectors_listeners_read_no_clock_of_a_body(listening: Any) -> None:
    found: list[tuple[str, str, str]] = []
    with watched(lambda *told: found.append(told)):
        gc.collect()
    assert found == []
    gc.callbacks.remove(listening)
    with watched(lambda *told: found.append(told)):
        listening("", {})
    gc.callbacks.append(listening)
    assert [each[0] for each in found] == ["time.perf_counter"]
