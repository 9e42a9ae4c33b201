"""What a form of the dashboard sends."""

from __future__ import annotations

from urllib.parse import parse_qsl

from outlast.web.http.bodies import refuse_encoded
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem, ProblemError

FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 2_000
FORM_BYTES_MAX = 4 * 2**20
CSRF = "csrf"
"""The hidden field of each form."""

CSRF_HEADER = b"x-csrf-token"
"""The header field of what scripts send."""


async def form_of(call: Call) -> dict[str, list[str]]:
    """The fields of a form and their values, without the token. Raises ProblemError."""
    fields = await read_fields(call)
    fields.pop(CSRF, None)
    return fields


async def read_fields(call: Call, bytes_max: int = FORM_BYTES_MAX) -> dict[str, list[str]]:
    """As `form_of`, with the token. Anything but a form has no fields."""
    refuse_encoded(call)
    if not (call.header(b"content-type") or "").lower().startswith(FORM):
        return {}
    body = await call.body(bytes_max)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        detail = f"the form has more than {FIELDS_MAX} fields, or is no UTF-8: send less"
        raise ProblemError(Problem("invalid_form", detail)) from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def unfit(why: str) -> Problem:
    """422: the form as it is can't be sent."""
    return Problem("invalid_input", why, status=422)
