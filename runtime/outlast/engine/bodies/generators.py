"""The async generators of a body, and when those that it leaves open are closed."""

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
    """The generators that have begun, in that order."""

    def __init__(self) -> None:
        self._begun = 0
        self._thread = get_ident()
        self._numbers: dict[int, int] = {}
        self._alive: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._collected: dict[int, Any] = {}

    def add(self, generator: Any) -> None:
        """The body iterates over this generator for the first time."""
        self._begun += 1
        self._numbers[id(generator)] = self._begun
        self._alive[self._begun] = generator

    def drop(self, generator: Any, *, in_the_body: bool) -> bool:
        """Nothing refers to this generator any more. Returns whether to close it now.

        It is closed now if the body itself let go of it: a replay does the same. If the garbage collector or
        another thread drops it, the place is uncertain and differs on replay. Then it is kept, and closed at
        the end of the body.
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
        """The generators that are open at the end of the body."""
        left = {**self._alive, **self._collected}
        self._alive.clear()
        self._collected.clear()
        return [left[number] for number in sorted(left)]
