"""What is around the tests of a file: nothing of their runs is left at its end."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from outlast.testing.clock import campaign_time
from tests.simulation.loop import SimulatedLoop


@pytest.fixture(autouse=True, scope="module")
def many_schedules(frozen_heap: None) -> Iterator[None]:
    """The clocks of all modules are changed once. Each schedule ends with a collection."""
    with campaign_time():
        yield
    # A loop that the collector finds later warns that nobody closed it, in a test of something else.
    left = [each for each in gc.get_objects() if isinstance(each, SimulatedLoop)]
    assert left == []
