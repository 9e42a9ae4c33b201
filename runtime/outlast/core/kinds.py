"""What a record is: the kind of the operation whose outcome it holds, as `operation_outputs.kind` says it."""

from __future__ import annotations

STEP = "step"
TRANSACTION = "transaction"
SLEEP = "sleep"
RECEIVE = "receive"
SEND = "send"
PUBLISH = "publish"
START = "start"
START_ALL = "start_all"
MAP = "map"
RESULT = "result"
TIMER = "timer"
EVENT = "event"
CANCEL = "cancel"
WAIT_ANY = "wait_any"

WAITS = frozenset({SLEEP, RECEIVE, TIMER})
"""Kinds that hold no resources while they wait: a workflow with only such calls open is suspended."""
