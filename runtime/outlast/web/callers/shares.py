"""Limits of one caller: beyond them 429, before a row exists. Secret keys have no limit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from outlast.core.clock import monotonic
from outlast.web.callers.admission import Admitted
from outlast.web.callers.stored import Stored, rate_limited
from outlast.web.http.addresses import caller_address
from outlast.web.http.calls import Call

_UNCOUNTED = nullcontext()
SWEPT_MIN = 1_000
"""With fewer workflows than this it isn't checked which of them still run."""


class CallerLimits(NamedTuple):
    """Limits of one caller. `running` counts workflows in this instance's memory that its calls started."""

    calls_max: int
    running_max: int
    requests_per_s_max: int
    streams_max: int


class Shares:
    """Counts what callers take. A caller is a user, or an address where no user is known.

    `runs_here` says whether a workflow is in this instance's memory.
    """

    def __init__(
        self, limits: CallerLimits, runs_here: Callable[[str], bool], stored: Stored | None = None
    ) -> None:
        self._limits = limits
        self._runs_here = runs_here
        self._stored = stored
        self._second = 0
        self._requests: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._streams: dict[str, int] = {}
        self._running: dict[str, set[str]] = {}
        self._started = 0
        self._swept_at = SWEPT_MIN

    def count_request(self, call: Call, admitted: Admitted) -> None:
        """Count a request. Raises ProblemError (429) if there are too many in one second."""
        if admitted.secret:
            return
        second = int(monotonic())
        if second != self._second:
            self._second = second
            self._requests.clear()
        caller = _name_of(call, admitted)
        before = self._requests.get(caller, 0)
        if before >= self._limits.requests_per_s_max:
            raise rate_limited(
                f"{self._limits.requests_per_s_max} requests of this caller came within a second"
            )
        # guard: requests-without-end
        self._requests[caller] = before + 1

    def count_call(self, call: Call, admitted: Admitted) -> AbstractContextManager[None]:
        """Count a call until it is answered. Entering it raises ProblemError (429)."""
        if admitted.secret:
            return _UNCOUNTED
        return _Counted(self._calls, _name_of(call, admitted), self._limits.calls_max, "calls", "in flight")

    def count_stream(self, call: Call, admitted: Admitted) -> AbstractContextManager[None]:
        """Count a stream until it ends. Entering it raises ProblemError (429)."""
        if admitted.secret:
            return _UNCOUNTED
        return _Counted(self._streams, _name_of(call, admitted), self._limits.streams_max, "streams", "open")

    async def may_start(self, call: Call, admitted: Admitted, workflow_id: str) -> None:
        """Let a caller start a workflow, or attach to one that runs here. Raises ProblemError (429).

        It counts from now on, as long as it is in memory.
        """
        if admitted.secret or self._runs_here(workflow_id):
            return
        if self._stored is not None and admitted.subject is not None:
            await self._stored.may_start(admitted.subject)
        caller = _name_of(call, admitted)
        if len(self._running.get(caller, ())) >= self._limits.running_max:
            self._sweep(caller)
            if len(self._running.get(caller, ())) >= self._limits.running_max:
                raise rate_limited(f"{self._limits.running_max} workflows of this caller are running")
        # guard: running-without-end
        self._running.setdefault(caller, set()).add(workflow_id)
        self._started += 1
        if self._started >= self._swept_at:
            self._sweep(*self._running)

    def _sweep(self, *callers: str) -> None:
        """Forget workflows that have ended or left the memory."""
        for caller in callers:
            running = {each for each in self._running.pop(caller) if self._runs_here(each)}
            if running:
                self._running[caller] = running
        self._started = sum(map(len, self._running.values()))
        self._swept_at = max(SWEPT_MIN, 2 * self._started)


class _Counted:
    """Counts one more of a caller's while it lasts."""

    __slots__ = ("_caller", "_counts", "_most", "_what", "_where")

    def __init__(self, counts: dict[str, int], caller: str, most: int, what: str, where: str) -> None:
        self._counts = counts
        self._caller = caller
        self._most = most
        self._what = what
        self._where = where

    def __enter__(self) -> None:
        before = self._counts.get(self._caller, 0)
        if before >= self._most:
            raise rate_limited(f"{self._most} {self._what} of this caller are {self._where}")
        self._counts[self._caller] = before + 1

    def __exit__(self, *_: object) -> None:
        if left := self._counts[self._caller] - 1:
            self._counts[self._caller] = left
        else:
            del self._counts[self._caller]


def _name_of(call: Call, admitted: Admitted) -> str:
    # guard: all-strangers-one = "-"
    return f"user {admitted.subject}" if admitted.subject is not None else caller_address(call.scope)
