"""The lines that workflows log and print, kept in shared memory, where the other workers can read them.

It is a ring: new lines replace the oldest ones, of whichever workflow. The lines of a killed worker can still
be read.
"""

from __future__ import annotations

import json
import logging
import mmap
import struct
import threading
from collections.abc import Sequence
from itertools import count
from typing import Any

from outlast.core.clock import Clock
from outlast.core.lines import CHARS_MAX, LINES_MAX, Line
from outlast.observe.forms import current_context, name_workflow
from outlast.observe.redaction import redactor
from outlast.sdk.context import Context
from outlast.sdk.running import current_line

RING_BYTES = 4 * 2**20
PARTIAL_MAX = 1_000
"""How many steps may have printed a line without its end."""

_HEAD = struct.Struct("=Q")


class KeptLines:
    """The ring of one process.

    It is made before workers are forked; one of them writes to it, all read it.
    """

    def __init__(self, size: int = RING_BYTES) -> None:
        self._memory = mmap.mmap(-1, _HEAD.size + size)
        self._size = size
        self._lock = threading.Lock()
        self._numbers = count(1)

    def add(self, workflow_id: str, line: Line) -> None:
        """Keep a line, and give it its number."""
        with self._lock:
            numbered = line._replace(number=next(self._numbers))
            self._write(json.dumps([workflow_id, *numbered]).encode() + b"\n")

    def of(self, workflow_id: str) -> list[Line]:
        """The lines of a workflow that are left, the oldest first."""
        mark = f"[{json.dumps(workflow_id)}, ".encode()
        return [
            Line(*_fields(each))
            for each in self._all().split(b"\n")
            if each.startswith(mark) and _whole(each)
        ][-LINES_MAX:]

    def _write(self, text: bytes) -> None:
        written = self._written
        at = written % self._size
        first = text[: self._size - at]
        self._put(at, first)
        self._put(0, text[len(first) :])
        self._memory[: _HEAD.size] = _HEAD.pack(written + len(text))

    def _put(self, at: int, text: bytes) -> None:
        begin = _HEAD.size + at
        self._memory[begin : begin + len(text)] = text

    def _all(self) -> bytes:
        """All bytes, from the oldest to the newest. The oldest line may have lost its beginning."""
        written = self._written
        content = self._memory[_HEAD.size : _HEAD.size + min(written, self._size)]  # the rest is unused
        if written <= self._size:
            return content
        at = written % self._size
        return content[at:] + content[:at]

    @property
    def _written(self) -> int:
        written: int = _HEAD.unpack_from(self._memory)[0]
        return written


def read_lines(rings: Sequence[KeptLines], workflow_id: str) -> list[Line]:
    """A workflow's last lines, from all of these processes."""
    found = [line for ring in rings for line in ring.of(workflow_id)]
    return sorted(found, key=lambda line: (line.at_s, line.number))[-LINES_MAX:]


def _whole(text: bytes) -> bool:
    # A line that is being written, or that a killed process was writing, may be incomplete.
    try:
        return len(_fields(text)) == len(Line._fields)
    except ValueError:
        return False


def _fields(text: bytes) -> list[Any]:
    fields: list[Any] = json.loads(text)[1:]
    return fields


class LinesHandler(logging.Handler):
    """Keeps the records that name a workflow. Other handlers get them, too."""

    def __init__(self, lines: KeptLines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        name_workflow(record)
        workflow_id = getattr(record, "workflow_id", None)
        if not isinstance(workflow_id, str):
            return
        try:
            text = record.getMessage().removeprefix(f"[{workflow_id}] ")
        except Exception:  # noqa: BLE001 - a wrong format is reported by the handler that shows the record
            return
        given = vars(record)
        self._lines.add(
            workflow_id,
            Line(
                0,
                record.created,
                record.levelname.lower(),
                record.name,
                given.get("step_id"),
                given.get("step"),
                given.get("attempt"),
                _shorten_line(text),
            ),
        )


class Printed:
    """A standard stream that also keeps the lines that workflows print."""

    def __init__(self, stream: Any, name: str, lines: KeptLines) -> None:
        self._stream = stream
        self._name = name
        self._lines = lines
        self._clock = Clock()
        self._partial: dict[tuple[str, str | None], str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, and keep the lines that it completes."""
        written: int = self._stream.write(text)
        here = current_context()
        if here is not None and here.workflow_id and not _replays(here):
            self._keep(here, text)
        return written

    def _keep(self, here: Context, text: str) -> None:
        key = (here.workflow_id, here.step_id)
        *whole, rest = (self._partial.pop(key, "") + text).split("\n")
        if rest and len(self._partial) < PARTIAL_MAX:
            self._partial[key] = rest[: CHARS_MAX + 1]
        attempt = None if here.step_id is None else here.attempt
        for each in whole:
            self._lines.add(
                here.workflow_id,
                Line(
                    0,
                    self._clock.now_s(),
                    "info",
                    self._name,
                    here.step_id,
                    here.step,
                    attempt,
                    _shorten_line(each),
                ),
            )


def _replays(here: Context) -> bool:
    """Whether a body prints again what it printed before, because it is replayed."""
    return current_line() is not None and not here.logger.isEnabledFor(logging.CRITICAL)


def _shorten_line(text: str) -> str:
    shown = redactor.redact(text)
    return shown if len(shown) <= CHARS_MAX else f"{shown[: CHARS_MAX - 1]}…"
