"""The form of log records: text for people, JSON for programs. One record is one line.

Text from outside (a header, a function's message) must not be able to forge a record or move a terminal's
cursor, so control characters are escaped. Only a traceback has several lines, and each of them is marked.
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
"""The beginning of each line that continues the record above it."""

OF_FUNCTIONS = "outlast.function"
"""The logger behind `context().logger`."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def name_workflow(record: logging.LogRecord) -> bool:
    """A handler's filter: adds workflow, step and attempt to records that are made within a workflow.

    Values that a record has already (`extra=`) stay. Records of Outlast's own name their workflow themselves:
    a background task that was made during a call has that call's context for ever.
    """
    ours = record.name.partition(".")[0] == "outlast" and record.name != OF_FUNCTIONS
    here = None if ours else current_context()
    if here is not None:
        found: dict[str, Any] = {"function": here.function}
        if here.workflow_id:
            found |= {"workflow_id": here.workflow_id, "trace_id": here.trace_id}
            if current_line() is None:  # in a step, not in the body
                found |= {"step_id": here.step_id, "step": here.step, "attempt": here.attempt}
        for name, value in found.items():
            if value is not None and not hasattr(record, name):
                setattr(record, name, value)
    return True


def current_context() -> Context | None:
    """The context of the function that runs here; None elsewhere, and if it can't be known."""
    try:
        return known_context()
    except Exception:  # noqa: BLE001 - logging must not fail because of an additional value
        return None


class _Formatter(logging.Formatter):
    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - logging's name
        """The traceback without Outlast's own frames."""
        return "NoneType: None" if ei[1] is None else format_traceback(ei[1]).rstrip("\n")


class TextFormatter(_Formatter):
    """`12:34:56 level text`; below it, marked, the traceback of an exception or of a record."""

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
    """One object per line: time, level, logger, message, and the record's additional values."""

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
