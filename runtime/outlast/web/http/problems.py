"""Error answers, in a form that RFC 9457 readers, supabase-py (`error`) and supabase-js understand."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from outlast.core.errors import (
    InvalidInput,
    KeyReused,
    OutlastError,
    QueueFull,
    RateLimited,
    ShuttingDown,
    WorkflowEnded,
    WorkflowError,
)
from outlast.web.http.answers import Answer, Pairs, json_answer, text_pairs

_CODES = {
    400: (
        "invalid_json idempotency_key_invalid idempotency_key_missing invalid_parameter nul_character "
        "invalid_http invalid_form"
    ),
    401: (
        "UNAUTHORIZED_NO_AUTH_HEADER UNAUTHORIZED_INVALID_JWT_FORMAT UNAUTHORIZED_ASYMMETRIC_JWT "
        "UNAUTHORIZED_LEGACY_JWT UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM UNAUTHORIZED_INVALID_API_KEY "
        "INVALID_CREDENTIALS token_expired "
        "webhook_signature_missing webhook_signature_invalid webhook_timestamp_invalid"
    ),
    403: "foreign_origin viewer_key csrf_token",
    404: "NOT_FOUND workflow_not_found callback_unknown",
    405: "METHOD_NOT_ALLOWED",
    408: "request_timeout",
    409: (
        "workflow_cancelled expired workflow_ended workflow_not_ended idempotency_conflict queue_busy "
        "wrong_state callback_used"
    ),
    410: "callback_expired callback_over",
    413: "payload_too_large",
    415: "unsupported_encoding unsupported_media_type",
    422: (
        "invalid_input idempotency_key_reused not_recordable invalid_option queue_key_missing search_too_long"
    ),
    429: "rate_limited queue_full",
    431: "header_too_large",
    501: "websockets_not_served not_in_tests",
    503: ("BOOT_ERROR overloaded shutting_down database_unavailable jwks_unavailable webhook_unavailable"),
}
_STATUS = {code: status for status, codes in _CODES.items() for code in codes.split()}
"""The status of each code; of any other it is 500."""

_RETRYABLE_STATUSES = frozenset({408, 429, 503})
_RETRYABLE_CODES = frozenset({"idempotency_conflict", "internal_error", "queue_busy"})

_OF_THE_HOST = frozenset(
    {"overloaded", "shutting_down", "database_unavailable", "internal_error", "jwks_unavailable"}
)
"""Faults of the host itself: supabase-js calls them relay errors."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong. `detail` is public. `more` joins the body, `headers` the header.

    `status` is that of the code, unless it is given.
    """

    code: str
    detail: str
    workflow_id: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", self.status or _STATUS.get(self.code, 500))

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later. What a function chose as its status is its result."""
        return _STATUS.get(self.code) in _RETRYABLE_STATUSES or self.code in _RETRYABLE_CODES

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
    """An exception whose problem is the answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem_headers(problem: Problem) -> Pairs:
    """The header fields of a page that tells a problem."""
    return text_pairs([("sb-error-code", problem.code), *problem.headers])


def problem_of(error: OutlastError, workflow_id: str | None = None) -> Problem:
    """The problem that a caller gets for an error."""
    headers: tuple[tuple[str, str], ...] = ()
    if error.code in _OF_THE_HOST:
        # With jitter, so that callers that were refused together don't return together.
        wait_s = 1 if isinstance(error, ShuttingDown) else random.randint(1, 3)
        headers = (("retry-after", str(wait_s)),)
    if isinstance(error, QueueFull | RateLimited):
        wait_s = math.ceil(error.retry_s) if isinstance(error, RateLimited) else 1
        headers = (("retry-after", str(max(1, wait_s))),)
    more = {"errors": error.errors} if isinstance(error, InvalidInput) else {}
    if isinstance(error, KeyReused):
        workflow_id = None
    return Problem(error.code, str(error), workflow_id, more, headers)


def nul_character(refusal: OutlastError) -> ProblemError:
    """400 for NUL in JSON that would be stored."""
    return ProblemError(Problem("nul_character", str(refusal)))


def expected_problem(error: BaseException) -> Problem | None:
    """The problem that a caller gets for `error`; None if it is a fault of the function or the host."""
    if isinstance(error, ProblemError):
        return error.problem
    if not isinstance(error, OutlastError) or isinstance(error, WorkflowError | WorkflowEnded):
        return None
    return problem_of(error) if error.code in _STATUS else None


TOO_LONG = Problem(
    "search_too_long",
    "the search was given up after 5 s: narrow it by function, since and until, completed_since, or by "
    "error_group (of /errors/v1) in place of error, which reads the error of each workflow that failed",
)
NO_WEBSOCKETS = Problem(
    "websockets_not_served",
    "WebSockets aren't served here: stream the answer (Server-Sent Events), or use Supabase Realtime",
)
FUNCTION_FAILED = Problem("function_error", "the function failed with an uncaught exception")
INTERNAL = Problem("internal_error", "the host failed to answer; its log tells more")
