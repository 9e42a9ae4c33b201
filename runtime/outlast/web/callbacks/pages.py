"""The pages of callbacks: plain HTML without scripts, which no crawler keeps and no other page frames."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any

from pydantic import TypeAdapter

from outlast.web.http.answers import NO_STORE, Answer
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem

ALONE = "value"
"""The field of a form that is all of the message."""

FIELDS_MAX = 20
CHOICES_MAX = 12
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}"
    "button,input,select{font:inherit;padding:.4rem .8rem;margin:.2rem .4rem .2rem 0}label{display:block}"
)
_POLICY = (
    "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    NO_STORE,
    (b"content-security-policy", _POLICY.encode()),
    (b"x-robots-tag", b"noindex, nofollow"),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: with that a form says that it comes from nowhere.
    (b"referrer-policy", b"same-origin"),
]


def asks(call: Call) -> bool:
    """Whether a browser asks, which shows a page."""
    return "text/html" in (call.header(b"accept") or "")


def confirm_page(of: Any) -> Answer:
    """The page whose button sends: with a button for each choice, or a field for each member of the type."""
    return _page(200, "Please confirm", f'<form method="post">{_fields(of)}</form>')


def sent_page() -> Answer:
    """What follows."""
    return _page(200, "Sent", "<p>Thank you. You may close this page.</p>")


def refusal_page(problem: Problem) -> Answer:
    """Why it can't be."""
    answer = _page(problem.status, "This can't be sent", f"<p>{escape(problem.detail)}</p>")
    answer.headers.append((b"sb-error-code", problem.code.encode()))
    answer.headers += [(name.encode(), value.encode()) for name, value in problem.headers]
    return answer


def _page(status: int, title: str, content: str) -> Answer:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{content}</body></html>"
    )
    return Answer(status, text.encode(), list(_HEADERS))


def _fields(of: Any) -> str:
    if of is Any:
        return "<button>Confirm</button>"
    schema = TypeAdapter(of).json_schema()
    kinds = schema.get("$defs", {})
    if choices := _choices(schema, kinds):
        return "".join(_button(each) for each in choices)
    members = _resolve(schema, kinds).get("properties", {})
    if 0 < len(members) <= FIELDS_MAX:
        needed = set(schema.get("required", ()))
        inputs = [_input(name, each, kinds, name in needed) for name, each in members.items()]
        return f"{''.join(inputs)}<button>Send</button>"
    return f'<label><input name="{ALONE}"></label><button>Send</button>'


def _resolve(schema: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = kinds.get(name, schema)
    return found


def _choices(schema: dict[str, Any], kinds: dict[str, Any]) -> list[str]:
    """The texts that are all that fits, if these are few."""
    schema = _resolve(schema, kinds)
    if schema.get("type") == "boolean":
        return ["true", "false"]
    choices = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return [str(each) for each in choices] if len(choices) <= CHOICES_MAX else []


def _button(choice: str) -> str:
    said = {"true": "Yes", "false": "No"}.get(choice, choice)
    return f'<button name="{ALONE}" value="{escape(choice)}">{escape(said)}</button>'


def _input(name: str, schema: dict[str, Any], kinds: dict[str, Any], required: bool) -> str:
    label = escape(str(schema.get("title", name)))
    needed = " required" if required else ""
    if choices := _choices(schema, kinds):
        options = "".join(f"<option>{escape(each)}</option>" for each in choices)
        return f'<label>{label} <select name="{escape(name)}"{needed}>{options}</select></label>'
    return f'<label>{label} <input name="{escape(name)}"{needed}></label>'
