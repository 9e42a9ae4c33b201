"""Sends published events to Realtime in the commit that records them. It must not delay that commit."""

from __future__ import annotations

import re

from psycopg.errors import Diagnostic
from psycopg.pq.abc import PGresult

from outlast.core.clock import monotonic
from outlast.core.events import event_of
from outlast.core.observations import Observer, RealtimeAccepted, RealtimeRefused
from outlast.core.records import Batch
from outlast.store.arrays import texts
from outlast.store.queries import load_numbered
from outlast.store.wire import Request

PAUSE_MIN_S = 1.0
PAUSE_MAX_S = 60.0

_BROADCAST = load_numbered("realtime.sql")["broadcast"]
_SWALLOWED = "SendingBroadcastMessage: "
"""The beginning of the warning that realtime.send raises for its own failures."""

_REMEDIES = (
    (
        r'function realtime\.send.* does not exist|schema "realtime" does not exist',
        "this database has no realtime.send: unset OUTLAST_REALTIME, or bring Realtime up to date",
    ),
    (
        r"permission denied|row-level security",
        "let the user of SUPABASE_DB_URL use the schema realtime and insert into realtime.messages",
    ),
    (
        r"no partition",
        "see whether the project's Realtime runs: it makes the partitions of realtime.messages",
    ),
)
_PASSING = "none, if it passes: it is tried again"


class Broadcasts:
    """Sends each batch's events to Realtime. After a refusal it pauses: then events are only recorded."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._failures = 0
        self._refused_since = 0.0
        self._resumes = 0.0
        self._warning: str | None = None

    def request_for(self, batch: Batch) -> Request | None:
        """The statement to run with a batch. None if the batch publishes nothing, or during a pause."""
        published = [
            (write.workflow_id, step.step_id)
            for write in batch.writes
            for step in write.steps
            if event_of(step.name, step.kind) is not None
        ]
        # guard: realtime-without-pause without 2
        if not published or monotonic() < self._resumes:
            return None
        self._warning = None
        workflows, steps = zip(*published, strict=True)
        # After a refusal only the first event is tried: a warning for each event would fill the server's log.
        tries = "on" if self._failures else "off"
        return _BROADCAST, {"workflows": texts(workflows), "steps": texts(steps), "tries": tries}

    def on_notice(self, notice: Diagnostic) -> None:
        """Read a notice of the server."""
        _, swallowed, text = (notice.message_primary or "").partition(_SWALLOWED)
        if swallowed:
            self._warning = text

    def on_answer(self, result: PGresult) -> None:
        """The transaction was committed. The result or a warning says whether Realtime took the events."""
        reason = result.get_value(0, 0)
        text = self._warning or (None if reason is None else reason.decode("utf-8", "replace"))
        if text is not None:
            self.pause(text)
        elif self._failures:
            self._failures = 0
            self._observe(RealtimeAccepted(monotonic() - self._refused_since))

    def pause(self, error: str) -> None:
        """Pause, for longer each time."""
        now = monotonic()
        self._failures += 1
        self._resumes = now + min(PAUSE_MAX_S, PAUSE_MIN_S * 2 ** min(self._failures - 1, 10))
        if self._failures == 1:
            self._refused_since = now
            self._observe(RealtimeRefused(error, remedy_for(error)))


def remedy_for(error: str) -> str:
    """What to do about a refusal."""
    return next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, error)), _PASSING)
