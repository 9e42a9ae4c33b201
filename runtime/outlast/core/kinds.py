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
CALLBACK = "callback"
"""A link by which somebody outside sends a message."""
UNDO = "undo"
"""What a saga notes: what undoes a step that is about to begin, and how far it has undone."""
STOP = "stop"
"""From where on the body only undoes: it was cancelled, or passed its deadline."""
STOP_ID = "0"
"""The step id of a stop, which no call has."""
ATTRIBUTES = "attributes"
"""What a body sets of its workflow's attributes."""
READ_ATTRIBUTES = "read_attributes"
"""What a body has found its workflow's attributes to be."""
PATCH = "patch"
"""What `patched` answered: a record without a call, of the body's own place."""
CANCEL = "cancel"
WAIT_ANY = "wait_any"
ACT = "act"
"""A verb that is done to another workflow, such as a pause."""

TIMED = frozenset({TIMER, RECEIVE, EVENT, WAIT_ANY})
"""Kinds that end when their time is over, too: with nothing that the record would call a failure."""

STARTING = frozenset({START, START_ALL, MAP})
"""Kinds whose records name children, of which a fork that keeps them reads what they returned."""

WAITS = frozenset({SLEEP, RECEIVE, TIMER})
"""Kinds that hold no resources while they wait: a workflow with only such calls open is suspended."""
