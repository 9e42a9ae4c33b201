"""The async generators of a body, and where in it they are closed that it leaves open."""

from __future__ import annotations

import gc
from threading import get_ident
from typing import Any
from weakref import WeakValueDictionary

_collecting_thread: int | None = None


def _note_collection(phase: str, _: dict[str, int]) -> None:
    global _collecting_thread
    _collecting_thread = get_ident() if phase == "start" else None


gc.callbacks.append(_note_collection)


class OpenGenerators:
    """Those that have begun, in that order."""

    def __init__(self) -> None:
        self._begun = 0
        self._thread = get_ident()
        self._numbers: dict[int, int] = {}
        self._alive: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._collected: dict[int, Any] = {}

    def add(self, generator: Any) -> None:
        """The body asks it for the first time."""
        self._begun += 1
        self._numbers[id(generator)] = self._begun
        self._alive[self._begun] = generator

    def drop(self, generator: Any, *, in_the_body: bool) -> bool:
        """Nothing refers to it any more; whether it is to be closed now, as the body let go of it here.

        What the collector finds, in a cycle, or another thread drops, is dropped at no certain place, and
        elsewhere on replay: it is kept.
        """
        number = self._numbers.pop(id(generator), 0)
        self._alive.pop(number, None)
        # guard: collected-generators-closed-at-once = in_the_body
        let_go = in_the_body and get_ident() == self._thread != _collecting_thread
        if let_go:
            return True
        self._collected[number] = generator
        return False

    def take_all(self) -> list[Any]:
        """What is open at the end of the body."""
        left = {**self._alive, **self._collected}
        self._alive.clear()
        self._collected.clear()
        return [left[number] for number in sorted(left)]
