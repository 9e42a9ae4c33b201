"""What was sent to a callback: JSON, a form or nothing, as the JSON text of a message of its type."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from outlast.core.errors import InvalidInput, InvalidJson, NotSerializable
from outlast.sdk.forms import UploadFile, parse_form
from outlast.sdk.http import InvalidBody
from outlast.sdk.messages import VALUES
from outlast.web.callbacks.pages import ALONE
from outlast.web.http.bodies import read_json
from outlast.web.http.problems import Problem, ProblemError

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def is_form(content_type: str) -> bool:
    """Whether a body of this type is a form."""
    return _kind(content_type) in _FORMS


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_sent(content_type: str, body: bytes, of: Any) -> str:
    """The message, which fits `of`. Raises InvalidJson, InvalidInput, ProblemError (400, 415)."""
    kind = _kind(content_type)
    if kind in _FORMS:
        return _read_form(content_type, body, of)
    if body and kind not in ("", "application/json") and not kind.endswith("+json"):
        raise ProblemError(Problem("unsupported_media_type", "send JSON, a form, or nothing"))
    text, _ = read_json(body or b"null", "the answer")
    if of is not Any:
        _check(lambda: VALUES.codec(of).decode(text))
    return text


def _read_form(content_type: str, body: bytes, of: Any) -> str:
    try:
        fields = parse_form(content_type, body)
    except InvalidBody as error:
        raise ProblemError(Problem("invalid_form", str(error.detail))) from None
    if any(isinstance(each, UploadFile) for _, each in fields.multi_items()):
        raise ProblemError(Problem("invalid_form", "a link takes no files"))
    given: Any = {name: all_of if len(all_of := fields.getlist(name)) > 1 else all_of[0] for name in fields}
    if of is Any:
        return _text_of(to_json(given or None))
    if set(given) <= {ALONE}:  # a choice, or nothing
        given = given.get(ALONE)
    adapter: TypeAdapter[Any] = TypeAdapter(of)
    value = _check(lambda: adapter.validate_python(given))
    return _text_of(VALUES.codec(of).encode(value).encode())


def _check(read: Any) -> Any:
    """Raises InvalidInput, which names what doesn't fit and quotes nothing."""
    try:
        return read()
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        told = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in errors[:10])
        raise InvalidInput(f"what was sent doesn't fit: {told}", [dict(each) for each in errors]) from None
    except ValueError as error:
        raise InvalidInput(f"what was sent can't be read: {error}", []) from None


def _text_of(body: bytes) -> str:
    try:
        return read_json(body, "the answer")[0]
    except NotSerializable as error:
        raise InvalidJson(str(error)) from error
