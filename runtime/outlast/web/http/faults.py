"""What is no caller's fault: the log tells of it, with file and line where a function's code raised."""

from __future__ import annotations

import logging

from outlast.core.errors import ValidatorFailed
from outlast.core.tracebacks import place_of
from outlast.web.http.calls import Call
from outlast.web.http.problems import INTERNAL, Problem

_logger = logging.getLogger("outlast.web")


def tell_fault(call: Call, error: BaseException) -> Problem:
    """Log an error that nobody expects of a caller; the problem that this caller gets for it."""
    if not isinstance(error, ValidatorFailed):
        _logger.error("%s %r failed", call.method, call.path, exc_info=error)
        return INTERNAL
    raised = error.__cause__ or error
    told = "%s %r failed at %s: %s"
    _logger.error(told, call.method, call.path, place_of(raised), error, exc_info=raised)
    return Problem(error.code, str(error))
