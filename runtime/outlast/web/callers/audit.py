"""The audit log: who was refused, and who managed workflows. Strangers can't flood it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from outlast.core.callbacks import shown_path
from outlast.core.callers import Caller
from outlast.core.observations import CallRefused, CallsRefused, Observation, Observer, WorkflowManaged
from outlast.web.http.calls import Call

WINDOW_S = 60.0
OF_ADDRESS_MAX = 10
"""Lines for one address in a window. The others are only counted."""
OF_ALL_MAX = 100
_TEXT_MAX = 200
_REFUSALS = frozenset({401, 403, 429})
_NOT_THEIRS = "workflow_not_found"
_SECRET = "secret key"
_WHO = "outlast.who"
"""The key of an ASGI scope that says who was let in."""

Later = Callable[[float, Callable[[], None]], object]
"""Calls a function after so many seconds: an event loop's `call_later`."""


class Audit:
    """Tells `observe` of refusals: each one up to a limit a minute, and the number of the others.

    What holders of a secret key do is told in full, always.
    """

    def __init__(self, observe: Observer, later: Later | None = None) -> None:
        self._observe = observe
        self._later = later or (lambda delay_s, call: asyncio.get_running_loop().call_later(delay_s, call))
        self._told: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._open = False

    def record_refusal(self, call: Call, status: int, code: str) -> None:
        """Record an answer if it was a refusal."""
        who = who_called(call)
        if status in _REFUSALS or (code == _NOT_THEIRS and not who.startswith(_SECRET)):
            address = _address(call)
            fact = CallRefused(who, address, call.method, shown_path(call.path)[:_TEXT_MAX], code)
            self._tell(address, code, fact)

    def record_management(self, call: Call, status: int) -> None:
        """Record that a call under /workflows/v1 was answered."""
        address, who = _address(call), who_called(call)
        fact = WorkflowManaged(who, address, call.method, call.path[:_TEXT_MAX], status)
        if who.startswith(_SECRET):
            self._observe(fact)
        else:
            self._tell(address, "managed", fact)

    def _tell(self, address: str, code: str, fact: Observation) -> None:
        if not self._open:
            self._open = True
            self._later(WINDOW_S, self._close)
        # Holds no more addresses than lines were written.
        # guard: audit-flooded-from-one-address without 2
        if self._told.total() < OF_ALL_MAX and self._told[address] < OF_ADDRESS_MAX:
            self._told[address] += 1
            self._observe(fact)
        else:
            self._untold[code] += 1

    def _close(self) -> None:
        self._open = False
        self._told.clear()
        if self._untold:
            untold = tuple(sorted(self._untold.items()))
            self._untold.clear()
            self._observe(CallsRefused(untold, WINDOW_S))


def keep_who(call: Call, who: Caller | str) -> None:
    """Remember who was let in, for the audit log: a text where not by credentials of the call's."""
    call.scope[_WHO] = who


def _name(caller: Caller) -> str:
    if caller.id is not None:
        return f"user {caller.id[:_TEXT_MAX]}"
    if caller.mode != "none" and caller.role == "service_role":
        return f"{_SECRET} {caller.key_name or caller.mode}"
    return "anonymous"


def who_called(call: Call) -> str:
    """Who was let in, as the audit log names them."""
    found: Caller | str = call.scope.get(_WHO, "nobody known")
    return found if isinstance(found, str) else _name(found)


def _address(call: Call) -> str:
    client = call.scope.get("client")
    return str(client[0]) if client else "-"
