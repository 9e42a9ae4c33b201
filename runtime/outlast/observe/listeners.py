"""Who hears of what is observed: any number of listeners, each on its own."""

from __future__ import annotations

import logging

from outlast.core.observations import Observation, Observer

_logger = logging.getLogger("outlast")


class Listeners:
    """An observer that passes each fact on to all listeners, in their order. One that fails disturbs nobody.

    They are called in the thread where a fact is told: on the event loop, but for what the watchdog tells.
    """

    def __init__(self, *listeners: Observer) -> None:
        self._listeners = listeners
        self._failed: set[tuple[Observer, str]] = set()

    def add(self, listener: Observer) -> None:
        """Let `listener` hear what is told from now on."""
        self._listeners = (*self._listeners, listener)

    def __call__(self, fact: Observation) -> None:
        """Tell a fact."""
        for listener in self._listeners:
            try:
                listener(fact)
            # guard: listener-fails-who-tells
            except Exception as error:
                failure = (listener, type(error).__name__)
                if failure not in self._failed:
                    self._failed.add(failure)
                    _logger.exception("a listener failed at %r; that it fails so is told once", fact)
