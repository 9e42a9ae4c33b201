"""The log of requests: an observation for each, up to a number per second; and the log of failures.

A failure that isn't the caller's fault is logged with file and line if a function's code raised it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from starlette.types import Scope

from outlast.core.callbacks import shown_path
from outlast.core.clock import monotonic
from outlast.core.errors import ValidatorFailed
from outlast.core.observations import Observer, RequestAnswered, RequestsUntold, ignore
from outlast.core.tracebacks import place_of
from outlast.web.http.answers import Reply
from outlast.web.http.calls import Call
from outlast.web.http.problems import INTERNAL, Problem

Told = Literal["off", "errors", "all"]
"""None; those answered with 400 or more; all except successful probes."""

_logger = logging.getLogger("outlast.web")

PATH_CHARS_MAX = 300
METHOD_CHARS_MAX = 20
PROBES = frozenset({"/healthz", "/readyz"})
"""Health checks: they change nothing and may come under any host name."""


class RequestLog:
    """Tells `observe` of answered requests, at most `per_s_max` a second, so that strangers can't fill a
    disk.

    The number of those that were left out in a second is told with the first request of a later one.
    """

    def __init__(
        self, observe: Observer, told: Told, per_s_max: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._observe = observe
        self._status_min = {"off": 1_000, "errors": 400, "all": 0}[told]
        self._per_s_max = per_s_max
        self._clock = clock
        self._second = 0
        self._told = 0
        self._untold = 0

    def began(self) -> float:
        """The time at which a request came, for `answered`."""
        return self._clock()

    def answered(self, scope: Scope, reply: Reply, began: float) -> None:
        """A request was answered, or its client went away before (no status)."""
        status = reply.status
        if (status or 0) < self._status_min:
            return
        path = shown_path(scope["path"])
        if status is not None and status < 400 and path in PROBES:
            return
        client = scope.get("client")
        self._tell(
            RequestAnswered(
                method=scope["method"][:METHOD_CHARS_MAX],
                path=path if len(path) <= PATH_CHARS_MAX else f"{path[:PATH_CHARS_MAX]}…",
                status=status,
                duration_s=self._clock() - began,
                client=client[0] if client else "",
                code=reply.header(b"sb-error-code"),
                workflow_id=reply.header(b"workflow-id"),
            )
        )

    def refused(self, client: str, status: int, code: str) -> None:
        """A connection was answered without a request: its head could not be read, or didn't come."""
        if status >= self._status_min:
            self._tell(RequestAnswered("-", "-", status, 0.0, client, code, None))

    def _tell(self, fact: RequestAnswered) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second, self._told = second, 0
            if self._untold:
                self._observe(RequestsUntold(self._untold))
                self._untold = 0
        if self._told >= self._per_s_max:
            self._untold += 1
            return
        self._told += 1
        self._observe(fact)


def silent_log() -> RequestLog:
    """A log that shows nothing."""
    return RequestLog(ignore, "off", 1)


def tell_fault(call: Call, error: BaseException) -> Problem:
    """Log an error that isn't the caller's fault; the problem that the caller gets for it."""
    if not isinstance(error, ValidatorFailed):
        _logger.error("%s %r failed", call.method, shown_path(call.path), exc_info=error)
        return INTERNAL
    raised = error.__cause__ or error
    told = "%s %r failed at %s: %s"
    _logger.error(told, call.method, shown_path(call.path), place_of(raised), error, exc_info=raised)
    return Problem(error.code, str(error))
