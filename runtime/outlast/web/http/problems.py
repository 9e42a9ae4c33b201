"""Error answers: one body that RFC 9457 readers, supabase-py (`error`) and supabase-js all understand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from outlast.core.errors import InvalidInput, KeyReused, OutlastError, ShuttingDown
from outlast.web.http.answers import Answer, json_answer, text_pairs

_STATUS = {
    "invalid_json": 400,
    "idempotency_key_invalid": 400,
    "payload_too_large": 413,
    "NOT_FOUND": 404,
    "workflow_not_found": 404,
    "invalid_input": 422,
    "idempotency_key_reused": 422,
    "not_recordable": 422,
    "BOOT_ERROR": 503,
    "overloaded": 503,
    "shutting_down": 503,
    "database_unavailable": 503,
}
"""What callers are told of; any other error is a fault that the log alone shows."""

_OF_THE_HOST = frozenset(
    {"overloaded", "shutting_down", "database_unavailable", "internal_error", "jwks_unavailable"}
)
"""Faults of the host itself: supabase-js calls them relay errors."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong. `detail` is public. `more` joins the body, `headers` the header."""

    status: int
    code: str
    detail: str
    retryable: bool = False
    workflow_id: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()

    def answer(self) -> Answer:
        """The problem as JSON. Its type is exactly application/json: supabase-js reads others as text."""
        document: dict[str, Any] = {
            "type": f"urn:outlast:problem:{self.code}",
            "title": _PHRASES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            "error": self.detail,
            "code": self.code,
            "message": self.detail,
            "msg": self.detail,
            "retryable": self.retryable,
            **self.more,
        }
        if self.workflow_id is not None:
            document["workflow_id"] = self.workflow_id
        headers = [("sb-error-code", self.code), *self.headers]
        if self.code in _OF_THE_HOST:
            headers.append(("x-relay-error", "true"))
        return json_answer(document, self.status, text_pairs(headers))


class ProblemError(Exception):
    """Raised anywhere in the web floor, it is the answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem_of(error: OutlastError, workflow_id: str | None = None) -> Problem:
    """The problem that an error is to a caller."""
    status = _STATUS.get(error.code, 500)
    headers: tuple[tuple[str, str], ...] = ()
    if error.code in _OF_THE_HOST:
        # With jitter, so that those who were turned away together don't come back together.
        wait_s = 1 if isinstance(error, ShuttingDown) else random.randint(1, 3)
        headers = (("retry-after", str(wait_s)),)
    more = {"errors": error.errors} if isinstance(error, InvalidInput) else {}
    if isinstance(error, KeyReused):
        workflow_id = None
    return Problem(status, error.code, str(error), status == 503, workflow_id, more, headers)


def nul_character(refusal: OutlastError) -> ProblemError:
    """For who sends NUL in JSON that would be stored. In a function's own values it is a fault of it."""
    return ProblemError(Problem(400, "nul_character", str(refusal)))


def expected_problem(error: Exception) -> Problem | None:
    """What a caller is told of `error`; None if it is a fault of a function or of the host."""
    if isinstance(error, ProblemError):
        return error.problem
    return problem_of(error) if isinstance(error, OutlastError) and error.code in _STATUS else None


FUNCTION_FAILED = Problem(500, "function_error", "the function failed with an uncaught exception")
INTERNAL = Problem(500, "internal_error", "the host failed to answer; its log tells more", retryable=True)
