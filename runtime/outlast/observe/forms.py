"""How a record of the log looks: text for people, JSON for programs. One record is one line.

Text from elsewhere (a header, a function's message) must not forge a record or move the cursor of a terminal:
control characters are written out. Only a traceback takes several lines, and each of those is marked.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from pydantic_core import to_json

from outlast.core.printable import escape, escape_json
from outlast.core.tracebacks import format_traceback
from outlast.observe.redaction import redactor
from outlast.sdk.context import Context, known_context
from outlast.sdk.running import current_line

MARK = "    | "
"""Begins each line that goes on with the record above it."""

OF_FUNCTIONS = "outlast.function"
"""The logger behind `context().logger`."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def name_workflow(record: logging.LogRecord) -> bool:
    """A handler's filter: records that are made within a workflow say in which one, and in which attempt.

    What a record says itself (`extra=`) stays. Our own records name theirs themselves: a task of ours that
    was made during a call has that call's context for ever.
    """
    ours = record.name.partition(".")[0] == "outlast" and record.name != OF_FUNCTIONS
    here = None if ours else current_context()
    if here is not None:
        found: dict[str, Any] = {"function": here.function}
        if here.workflow_id:
            found |= {"workflow_id": here.workflow_id, "trace_id": here.trace_id}
            if current_line() is None:  # a step, not the body
                found |= {"step_id": here.step_id, "step": here.step, "attempt": here.attempt}
        for name, value in found.items():
            if value is not None and not hasattr(record, name):
                setattr(record, name, value)
    return True


def current_context() -> Context | None:
    """The context of the function that runs here; None elsewhere, and where it can't be told."""
    try:
        return known_context()
    except Exception:  # noqa: BLE001 - whoever logs must not fail for what can't be told beside
        return None


class _Formatter(logging.Formatter):
    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - logging's name
        """The traceback without our own frames."""
        return "NoneType: None" if ei[1] is None else format_traceback(ei[1]).rstrip("\n")


class TextFormatter(_Formatter):
    """`12:34:56 level text`; below it, marked, the traceback of an exception, or a recorded one."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        lines = [f"{time} {record.levelname.lower():<7} {escape(record.getMessage())}"]
        if record.exc_info:
            lines += _mark_lines(self.formatException(record.exc_info))
        elif recorded := getattr(record, "traceback", None):
            lines += _mark_lines(str(recorded))
        if record.stack_info:
            lines += _mark_lines(self.formatStack(record.stack_info))
        return redactor.redact("\n".join(lines))


class JsonFormatter(_Formatter):
    """One object a line: time, level, logger, message, and what the record carries beside."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as JSON."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _OWN},
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            document["stack"] = self.formatStack(record.stack_info)
        return redactor.redact(escape_json(to_json(document, fallback=repr).decode()))


def _mark_lines(text: str) -> list[str]:
    return [f"{MARK}{escape(line)}" for line in text.split("\n")]
