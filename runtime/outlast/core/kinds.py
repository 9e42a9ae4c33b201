"""Kinds of records, in `operation_outputs.kind`: the operation whose result a record holds."""

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
CALLBACK = "callback"
"""A link through which somebody outside sends a message."""
UNDO = "undo"
"""A saga's notes: what undoes a step that is about to begin, and how far it has undone."""
STOP = "stop"
"""The point from which the body only undoes: it was cancelled, or passed its deadline."""
STOP_ID = "0"
"""The step id of a stop. No call has it."""
ATTRIBUTES = "attributes"
"""A change that a body makes to its workflow's attributes."""
READ_ATTRIBUTES = "read_attributes"
"""The workflow's attributes, as its body read them."""
PATCH = "patch"
"""An answer of `patched`: a record without a call, at the body's place."""
CANCEL = "cancel"
WAIT_ANY = "wait_any"
ACT = "act"
"""A verb that the body applies to another workflow, such as a pause."""

TIMED = frozenset({TIMER, RECEIVE, EVENT, WAIT_ANY})
"""Kinds that also end when their time is over. The record doesn't count that as a failure."""

STARTING = frozenset({START, START_ALL, MAP})
"""Kinds whose records name children. A fork that keeps such a record reads the children's results."""

WAITS = frozenset({SLEEP, RECEIVE, TIMER})
"""Kinds that hold no resources while they wait. A workflow with only such calls open is suspended."""
