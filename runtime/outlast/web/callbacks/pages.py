"""The pages of callbacks: plain HTML without scripts.

Crawlers don't index them, and other pages can't frame them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any

from pydantic import TypeAdapter

from outlast.sdk.texts import Shape
from outlast.web.http.answers import NO_STORE, Answer
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem

ALONE = "value"
"""The form field whose value is the whole message."""

FIELDS_MAX = 20
CHOICES_MAX = 12
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}"
    "button,input,select,textarea{font:inherit;padding:.4rem .8rem;margin:.2rem .4rem .2rem 0}"
    "label{display:block}"
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
    # Not no-referrer: with it a form's Origin would be null.
    (b"referrer-policy", b"same-origin"),
]


def asks(call: Call) -> bool:
    """Whether a browser asks, which shows pages."""
    return call.accepts(b"accept", "text/html")


def confirm_page(of: Any) -> Answer:
    """The page with the button that sends: one for each choice, or a field for each member of the type."""
    return _page(200, "Please confirm", _form(of))


def sent_page() -> Answer:
    """The page after sending."""
    return _page(200, "Sent", "<p>Thank you. You may close this page.</p>")


def refusal_page(problem: Problem, form: str = "") -> Answer:
    """The page that says why it was refused; with the form, if it can be corrected."""
    answer = _page(problem.status, "This can't be sent", f"<p>{escape(problem.detail)}</p>{form}")
    answer.headers.append((b"sb-error-code", problem.code.encode()))
    answer.headers += [(name.encode(), value.encode()) for name, value in problem.headers]
    return answer


def filled_form(of: Any, texts: Mapping[str, Sequence[str]]) -> str:
    """The form with the texts that were typed."""
    return _form(of, texts)


def _page(status: int, title: str, content: str) -> Answer:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{content}</body></html>"
    )
    return Answer(status, text.encode(), list(_HEADERS))


def _form(of: Any, texts: Mapping[str, Sequence[str]] | None = None) -> str:
    return f'<form method="post">{_fields(of, texts)}</form>'


def _fields(of: Any, texts: Mapping[str, Sequence[str]] | None) -> str:
    if of is Any:
        return "<button>Confirm</button>"
    shape = Shape.of(TypeAdapter(of))
    choices = shape.choices
    if 0 < len(choices) <= CHOICES_MAX:
        return "".join(_button(text, each) for text, each in choices.items())
    members = shape.members
    if not 0 < len(members) <= FIELDS_MAX:
        members, needed = {ALONE: shape}, set()
    else:
        needed = set() if shape.may_be_null else shape.required
    inputs = [
        _input(name, each, name in needed, each.texts_of_default() if texts is None else texts.get(name, ()))
        for name, each in members.items()
    ]
    return f"{''.join(inputs)}<button>Send</button>"


def _button(text: str, choice: Any) -> str:
    return f'<button name="{ALONE}" value="{escape(text)}">{escape(_said(choice))}</button>'


def _said(choice: Any) -> str:
    """A choice as people read it."""
    if isinstance(choice, bool):
        return "Yes" if choice else "No"
    return str(choice)


def _input(name: str, shape: Shape, needed: bool, texts: Sequence[str]) -> str:
    needed = needed and not shape.may_be_null and shape.items is None
    title = shape.schema.get("title", "" if name == ALONE else name)
    label = f"{escape(str(title))} " if title else ""
    begins = f'name="{escape(name)}"{" required" if needed else ""}'
    if choices := (shape.items or shape).choices:
        return f"<label>{label}{_select(begins, shape, choices, needed, texts)}</label>"
    if shape.takes_json or shape.items is not None:
        told = "JSON" if shape.takes_json else "one a line"
        # A browser leaves out the first line break.
        content = escape("\n".join(texts))
        return f'<label>{label}<textarea {begins} placeholder="{told}">\n{content}</textarea></label>'
    value = f' value="{escape(texts[0])}"' if texts and not shape.schema.get("writeOnly") else ""
    return f"<label>{label}<input {begins}{value}></label>"


def _select(begins: str, shape: Shape, choices: Mapping[str, Any], needed: bool, texts: Sequence[str]) -> str:
    options = "".join(
        f'<option value="{escape(text)}"{" selected" if text in texts else ""}>{escape(_said(each))}</option>'
        for text, each in choices.items()
        if each is not None or shape.items is not None
    )
    if shape.items is not None:
        # If nothing is chosen, a browser sends nothing.
        return f'<input type="hidden" {begins} value=""><select {begins} multiple>{options}</select>'
    may_be_empty = shape.may_be_null or not (needed or "default" in shape.schema)
    return f"<select {begins}>{'<option></option>' if may_be_empty else ''}{options}</select>"
