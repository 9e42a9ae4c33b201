"""Loaded by schemathesis: its checks where ours are narrower."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import schemathesis
from schemathesis import Case, CheckContext, Response
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.mutations import Mutation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

UNHELD = re.compile(rb"\\u(?:0000|d[89a-f])", re.IGNORECASE)
"""Valid in JSON, and refused: Postgres's jsonb holds neither NUL nor halves of surrogate pairs."""

UNHELD_NUL = re.compile(r"%00|u0000")

OPTIONS_OF = ("/queues/v1", "/schedules/v1")
"""What a cron expression, a time zone or a weight is, and what goes together, no schema says."""

OPTIONS_AT = re.compile(r"POST /workflows/v1/(bulk|[^/]+/(settle|fork|rewind))|PATCH /workflows/v1/[^/]+")
"""Nor which filters a bulk may have, which steps there are, and how attributes are called."""

SCALARS = ("string", "integer", "number", "boolean")

MEANT = {"overloaded", "shutting_down", "database_unavailable", "BOOT_ERROR"}


@schemathesis.check
def no_fault(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """No answer says that the host failed; that a function did, only of one that is made to."""
    if response.status_code >= 500:
        code = response.headers.get("sb-error-code", [""])[0]
        of_function = code == "workflow_error" and case.path == "/functions/v1/failing"
        assert of_function or (response.status_code == 503 and code in MEANT), response.text
    return None


@schemathesis.check
def accepted(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """Valid data is accepted, unless the function itself refuses it, or a key or cursor is made up."""
    code = response.headers.get("sb-error-code", [""])[0]
    if code in ("idempotency_key_reused", "http_exception"):
        return None
    body = response.request.body
    if code == "nul_character" and UNHELD_NUL.search(f"{response.request.url} {body!r}"):
        return None
    if code == "invalid_json" and isinstance(body, bytes) and UNHELD.search(body):
        return None
    called = f"{response.request.method} {urlsplit(response.request.url or '').path}"
    if code == "invalid_input" and (case.path.startswith(OPTIONS_OF) or OPTIONS_AT.fullmatch(called)):
        return None
    if code == "invalid_parameter":
        parameter = response.json()["parameter"]
        # Seconds in a query are written plainly; schemathesis writes 1e-300 for a number.
        if parameter == "cursor" or (parameter == "wait" and "e" in str(case.query["wait"])):
            return None
    return positive_data_acceptance(ctx, response, case)


@schemathesis.check
def refused(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """Invalid data is refused, unless pydantic reads it as valid: a number as a duration in seconds."""
    try:
        return negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        mutations = getattr(case.meta.phase.data, "mutations", ()) if case.meta is not None else ()
        if case.path.startswith("/functions/v1/") and mutations and all(map(is_another_scalar, mutations)):
            return None
        raise


def is_another_scalar(mutation: Mutation) -> bool:
    """Whether a value was only made one of another type, and neither is an array, an object or null."""
    types = (mutation.original_value, mutation.new_value)
    return mutation.keywords == ("type",) and all(each in SCALARS for each in types)
