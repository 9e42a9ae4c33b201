"""Where the user's code is, for errors that name it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import FrameType

from outlast.core.places import place_of_user


class Closing:
    """A coroutine that is being closed, and runs its `finally`."""

    cr_running = True
    cr_frame: FrameType | None = None

    @property
    def cr_await(self) -> object:
        raise AssertionError("CPython 3.11 may crash here: it takes a cached counter for an instruction")


def test_what_runs_is_not_asked_what_it_awaits() -> None:
    with ThreadPoolExecutor() as threads:  # no user's code is among the callers there
        file, _ = threads.submit(place_of_user, Closing()).result()
    assert file != __file__
