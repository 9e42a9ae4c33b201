"""Listeners of observations: any number of them, independent of each other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from outlast.core.observations import Observation, Observer

_logger = logging.getLogger("outlast")


class Listener:
    """An observer of facts of certain kinds. Nothing runs for other kinds, which every step tells."""

    told: dict[type[Observation], Callable[[Any], None]]
    """By kind, the method that takes its facts."""

    def __call__(self, fact: Observation) -> None:
        """Take a fact: an `Observer`."""
        if (take := self.told.get(type(fact))) is not None:
            take(fact)


class Listeners:
    """An observer that passes each fact on to all listeners, in order. If one fails, the others still get it.

    They are called in the thread that tells the fact: on the event loop, except for facts of the watchdog.
    """

    def __init__(self, *listeners: Observer) -> None:
        self._listeners = listeners
        self._hear: dict[type[Observation], list[Observer]] = {}
        """The listeners of each kind that was told so far."""
        self._failed: set[tuple[Observer, str]] = set()

    def add(self, listener: Observer) -> None:
        """Let `listener` hear all facts from now on."""
        self._listeners = (*self._listeners, listener)
        self._hear = {}

    def __call__(self, fact: Observation) -> None:
        """Tell a fact."""
        hear = self._hear.get(type(fact))
        if hear is None:
            kept = self._hear  # replaced when a listener is added, by any thread
            hear = kept[type(fact)] = self._who_hear(type(fact))
        for listener in hear:
            try:
                listener(fact)
            # guard: listener-fails-who-tells
            except Exception as error:
                failure = (listener, type(error).__name__)
                if failure not in self._failed:
                    self._failed.add(failure)
                    _logger.exception("a listener failed at %r; that it fails so is told once", fact)

    def _who_hear(self, kind: type[Observation]) -> list[Observer]:
        return [
            each.told[kind] if isinstance(each, Listener) else each
            for each in self._listeners
            if not isinstance(each, Listener) or kind in each.told
        ]
