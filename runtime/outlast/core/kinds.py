"""What a record is: the kind of the operation whose outcome it holds, as `operation_outputs.kind` says it."""

from __future__ import annotations

STEP = "step"
TRANSACTION = "transaction"
SLEEP = "sleep"
RECEIVE = "receive"
SEND = "send"
PUBLISH = "publish"
START = "start"
RESULT = "result"
TIMER = "timer"

WAITS = frozenset({SLEEP, RECEIVE, TIMER})
"""Those that hold nothing while they wait: a workflow that does nothing else leaves the memory."""
