"""Header fields by which a call asks for something: `Prefer` (RFC 7240), event streams, and its placement."""

from __future__ import annotations

import json
import math
import re
from typing import NamedTuple

from outlast.core.attributes import attributes_json
from outlast.core.placement import USUAL, Placement, check_delay, check_priority
from outlast.core.values import parse_duration
from outlast.sdk.definitions import WorkflowDefinition
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem, ProblemError

_READ_CHARS_MAX = 1_000
_BETWEEN_COMMAS = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.?)*(?:"|$))+', re.DOTALL)
_PREFERENCE = re.compile(
    r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^";\s]*)\s*)?(?:;.*)?', re.DOTALL
)


class Preference(NamedTuple):
    """How long to wait for the result, and which part of `Prefer` is applied."""

    wait_s: float
    applied: str | None = None


def preference_of(values: list[str], budget_s: float) -> Preference:
    """Read `Prefer` values: `respond-async`, `wait=N` (seconds, cut to `budget_s`). All else is ignored."""
    if not values:
        return Preference(budget_s)
    asynchronous = False
    wait_s: float | None = None
    for name, value in _preferences(values):
        if name == "respond-async":
            asynchronous = True
        elif name == "wait" and wait_s is None and re.fullmatch(r"[0-9]{1,9}", value):
            wait_s = min(float(value), budget_s)
    applied = ["respond-async"] if asynchronous else []
    if wait_s is not None:
        applied.append(f"wait={math.floor(wait_s)}")
    if not applied:
        return Preference(budget_s)
    return Preference(wait_s if wait_s is not None else 0.0, ", ".join(applied))


def _preferences(values: list[str]) -> list[tuple[str, str]]:
    """Names (lower-case) and values. Malformed ones are left out."""
    found = []
    for part in _BETWEEN_COMMAS.findall(",".join(values)[:_READ_CHARS_MAX]):
        if (match := _PREFERENCE.fullmatch(part)) is not None:
            found.append((match[1].lower(), (match[2] or "").strip('"')))
    return found


def wants_stream(call: Call) -> bool:
    """Whether the caller asks for a stream of events."""
    return call.accepts(b"accept", "text/event-stream")


def resumes_after(call: Call) -> int | None:
    """The number of the last event that the caller has seen; None if it doesn't say."""
    text = call.header(b"last-event-id") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def last_event_id(call: Call) -> int:
    """The same number; 0 if the caller doesn't say."""
    return resumes_after(call) or 0


_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_PLACING = frozenset({b"outlast-priority", b"outlast-delay", b"outlast-attributes"})


def placement_of(call: Call, definition: WorkflowDefinition, *, secret: bool) -> Placement:
    """The placement that a call's header asks for. Raises ProblemError (422)."""
    if not call.has_any(_PLACING) or definition.webhook is not None:  # webhooks don't sign the header
        return USUAL
    priority = _single_header(call, "Outlast-Priority")
    delay = _single_header(call, "Outlast-Delay")
    attributes = _single_header(call, "Outlast-Attributes")
    # guard: attributes-for-anybody
    if attributes is not None and not secret:
        raise _invalid("Outlast-Attributes is for holders of a secret key: leave it out")
    placement = Placement(
        priority=0 if priority is None else _priority(priority),
        delay_s=0.0 if delay is None else _delay_s(delay),
        attributes=None if attributes is None else _attributes(attributes),
    )
    if placement.priority and definition.queue is None:
        raise _invalid("Outlast-Priority counts within a queue, and this function is in none: leave it out")
    return placement


def _priority(value: str) -> int:
    try:
        return check_priority(int(value) if _WHOLE.fullmatch(value) else value)
    except ValueError as error:
        raise _invalid(f"Outlast-Priority: {error}") from None


def _delay_s(value: str) -> float:
    try:
        delay_s = float(parse_duration(value))
    except ValueError:
        raise _invalid(f"Outlast-Delay is seconds, or such as 30s, 10m, 2h, 1d, not {value!r:.100}") from None
    try:
        return check_delay(delay_s)
    except ValueError as error:
        raise _invalid(f"Outlast-Delay: {error}") from None


def _attributes(value: str) -> str | None:
    try:
        given = json.loads(value)
    except (ValueError, RecursionError):
        given = value
    try:
        return attributes_json(given)
    except ValueError as error:
        raise _invalid(f'Outlast-Attributes is JSON, such as {{"customer": "42"}}: {error}') from None


def _single_header(call: Call, name: str) -> str | None:
    values = call.header_values(name.lower().encode())
    if len(values) > 1:
        raise _invalid(f"{name} is given {len(values)} times; give it once")
    return values[0].strip() if values else None


def _invalid(detail: str) -> ProblemError:
    return ProblemError(Problem("invalid_option", detail))
