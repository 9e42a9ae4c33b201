"""How values look on a page: texts, numbers, times, statuses, JSON. Hostile text is shown, never obeyed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import from_json

from outlast.core.clock import machine_now
from outlast.observe.redaction import redactor
from outlast.web.dashboard.written import Recorded

PREVIEW_CHARS = 4 * 1024
"""So much of a value a page shows; the rest is behind a link."""

# Controls and what turns the direction of text around: they would make a text look like another.
_HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_TOKENS = re.compile(r"\{\s*\}|\[\s*\]|[{}\[\],:]|\"(?:[^\"\\\\]|\\\\.)*(?:\"|$)|[^\s{}\[\],:\"]+", re.DOTALL)
_INDENT = "  "


class Preview(NamedTuple):
    """The beginning of a value as text. `size` is the whole one's, in characters."""

    text: str
    cut: bool
    size: int


def visible(value: Any) -> Any:
    """A text with its invisible characters spelt out. Every expression of a template passes here."""
    if not isinstance(value, str) or hasattr(value, "__html__") or _HIDDEN.search(value) is None:
        return value
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


def written(value: Any) -> str:
    """A value as JSON; what was recorded keeps its digits."""
    return value if isinstance(value, Recorded) else json.dumps(value, ensure_ascii=False, default=str)


def pretty(value: Any) -> str:
    """JSON for people, without secrets."""
    return begins(written(value))


def indented(text: str) -> str:
    """JSON, or the beginning of some, with a line for each member; no digit is changed."""
    parts: list[str] = []
    depth = 0
    for found in _TOKENS.finditer(text):
        token = found[0]
        if token in "}]":
            depth -= 1
            parts.append(f"\n{_INDENT * depth}{token}")
        elif token in "{[":
            depth += 1
            parts.append(f"{token}\n{_INDENT * depth}")
        elif token == ",":
            parts.append(f",\n{_INDENT * depth}")
        else:
            parts.append(": " if token == ":" else token)
    return "".join(parts)


def preview(value: Any, chars: int = PREVIEW_CHARS) -> Preview:
    """As `pretty`, as far as a page shows it."""
    text = written(value)
    return Preview(begins(text[:chars]), len(text) > chars, len(text))


def cut(value: object, chars: int = PREVIEW_CHARS) -> Preview:
    """The beginning of a text, without secrets. What is hidden is said to be."""
    text = str(value)
    return Preview(redactor.redact(text[:chars]), len(text) > chars, len(text))


class Loose(dict[str, Any]):
    """A document of which a member that isn't there is None."""

    def __missing__(self, name: str) -> None:
        return None


def loose(document: Any) -> Any:
    """A document, whose objects all are loose. What is hidden stays that."""
    return (
        Loose({name: loose(each) for name, each in document.items()})
        if isinstance(document, dict)
        else document
    )


def decoded(text: str) -> Any:
    """Recorded JSON as a document."""
    return loose(from_json(text))


def request_text(recorded: str) -> str:
    """A recorded request as it looked on the wire."""
    it = decoded(recorded)
    query = f"?{it['query']}" if it["query"] else ""
    headers = [f"{name}: {value}" for name, value in it["headers"] or []]
    return "\n".join([f"{it['method']} {it['path']}{query}", *headers])


def begins(text: str) -> str:
    """The beginning of recorded JSON."""
    return redactor.redact(indented(text))


def in_line(value: Any, chars: int = 120) -> str:
    """JSON in one line, cut."""
    text = written(value)
    text = redactor.redact(text[: 2 * chars])
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def number(value: float | None) -> str:
    """With groups of thousands: 40,000."""
    return "" if value is None else f"{value:,}"


def size(count: int) -> str:
    """`812 B`, `4.1 KiB`, `3.9 MiB`."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def moment(at: str | datetime | None) -> datetime | None:
    """A time out of a document, in UTC."""
    if not at:
        return None
    found = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    return found.astimezone(UTC)


def clock(at: str | datetime | None) -> str:
    """`29 Nov 09:12:22`; of another year `29 Nov 2025 09:12`. It is UTC."""
    found = moment(at)
    if found is None:
        return ""
    other = found.year != machine_now().year
    return f"{found.day} {found:%b %Y %H:%M}" if other else f"{found.day} {found:%b %H:%M:%S}"


def exact(at: str | datetime | None) -> str:
    """`2026-11-29 09:12:22.123 UTC`."""
    found = moment(at)
    return "" if found is None else f"{found:%Y-%m-%d %H:%M:%S}.{found.microsecond // 1000:03d} UTC"


def seconds_between(begin: str | datetime | None, end: str | datetime | None) -> float | None:
    """From one time to the other, or until now; None without a begin."""
    began = moment(begin)
    return None if began is None else max(0.0, ((moment(end) or machine_now()) - began).total_seconds())


def span(seconds: float | None) -> str:
    """`12 ms`, `1.24 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    for place, (unit_s, unit) in enumerate(_UNITS):
        if seconds >= unit_s:
            lower_s, lower = (*_UNITS, (1, "s"))[place + 1]
            return f"{int(seconds // unit_s)} {unit} {int(seconds % unit_s // lower_s):02d} {lower}"
    raise AssertionError(seconds)


SIGNS = {
    "SUCCESS": ("check", "good"),
    "ERROR": ("cross", "bad"),
    "EXHAUSTED": ("flame", "bad"),
    "CANCELLED": ("slash", "quiet"),
    "PENDING": ("play", "live"),
    "RUNNING": ("play", "live"),
    "ENQUEUED": ("queue", "wait"),
    "SLEEPING": ("moon", "wait"),
    "RECEIVING": ("inbox", "wait"),
    "WAITING": ("hourglass", "wait"),
    "HELD": ("pause", "warn"),
    "PAUSED": ("pause", "warn"),
    "active": ("check", "good"),
    "paused": ("pause", "warn"),
    "orphaned": ("unlink", "warn"),
    "ended": ("slash", "quiet"),
    "unusable": ("cross", "bad"),
    "done": ("check", "good"),
    "refused": ("slash", "warn"),
    "failed": ("cross", "bad"),
    "skipped": ("slash", "quiet"),
    "late": ("hourglass", "warn"),
    "missed": ("cross", "warn"),
    "alive": ("check", "good"),
    "lost": ("cross", "bad"),
    "left": ("slash", "quiet"),
    "built_in": ("check", "quiet"),
    "served": ("check", "good"),
    "not_served": ("unlink", "warn"),
}
"""Icon and tone of each status that is shown: it is never told by its colour alone."""


def sign(status: str) -> Mapping[str, str]:
    """How a status looks: `icon`, `tone` and the `word`."""
    icon, tone = SIGNS.get(status, ("dot", "quiet"))
    return {"icon": icon, "tone": tone, "word": status.replace("_", " ").capitalize()}


def standing(row: Mapping[str, Any]) -> str:
    """The status that is shown of a workflow: a hold says more than PENDING does."""
    waiting = str(row.get("waiting_on") or "")
    if row["status"] in ("PENDING", "ENQUEUED"):
        if waiting.startswith("paused"):
            return "PAUSED"
        if waiting.startswith("held"):
            return "HELD"
        if row["status"] == "PENDING" and waiting:
            return "SLEEPING" if waiting.startswith("sleep") else "WAITING"
        return "RUNNING" if row["status"] == "PENDING" else "ENQUEUED"
    return str(row["status"])
