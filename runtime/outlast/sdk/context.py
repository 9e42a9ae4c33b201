"""`context()`: what a running function may ask about itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from outlast.core.errors import UsageError
from outlast.sdk.http import Request


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called: how the caller was admitted (`mode`), and the signed-in user's id (`subject`), if any."""

    mode: str = "none"
    subject: str | None = None


class WorkflowLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the workflow's id, and is silent while recorded steps are replayed."""

    def __init__(self, logger: logging.Logger, workflow_id: str, replaying: Callable[[], bool]) -> None:
        super().__init__(logger, {"workflow_id": workflow_id})
        self._replaying = replaying

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Whether a record of `level` would be kept now."""
        return not self._replaying() and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the workflow's id before the text."""
        return f"[{(self.extra or {}).get('workflow_id')}] {msg}", {**kwargs, "extra": dict(self.extra or {})}


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the running function."""

    function: str
    workflow_id: str
    logger: logging.LoggerAdapter[logging.Logger]
    request: Request | None = None
    caller: Caller = field(default_factory=Caller)
    recovery_attempt: int = 0
    """How often the workflow was taken over from an instance that was lost."""
    attempt: int = 1
    """In a step: which attempt of it this is."""


_context: ContextVar[Callable[[], Context] | None] = ContextVar("outlast_context", default=None)


def context() -> Context:
    """The context of the workflow, or of its step, that runs here. Raises UsageError elsewhere."""
    found = _context.get()
    if found is None:
        raise UsageError("context() is known only while a workflow or one of its steps runs")
    return found()


def enter_context(entered: Callable[[], Context]) -> None:
    """Make what `entered` gives the current one in this context. It is called when somebody asks."""
    _context.set(entered)
