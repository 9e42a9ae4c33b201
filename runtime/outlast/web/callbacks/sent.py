"""A request to a callback (JSON, a form or nothing) as the JSON text of a message of its type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from outlast.core.errors import InvalidInput, InvalidJson, NotSerializable, ValidatorFailed
from outlast.sdk.forms import UploadFile, parse_form
from outlast.sdk.http import InvalidBody
from outlast.sdk.messages import VALUES
from outlast.sdk.texts import ANYTHING, Shape, read_members
from outlast.web.callbacks.pages import ALONE
from outlast.web.http.bodies import read_json
from outlast.web.http.problems import Problem, ProblemError

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


_ABSENT: Any = object()


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


class FormRefused(InvalidInput):
    """A form that doesn't fit: `texts` has what was typed, by field."""

    def __init__(self, why: InvalidInput, of: Any, texts: Mapping[str, Sequence[str]]) -> None:
        super().__init__(str(why), why.errors)
        self.of = of
        self.texts = texts


def _read_form(content_type: str, body: bytes, of: Any) -> str:
    try:
        fields = parse_form(content_type, body)
    except InvalidBody as error:
        raise ProblemError(Problem("invalid_form", str(error.detail))) from None
    texts: dict[str, list[str]] = {}
    for name, each in fields.multi_items():
        if isinstance(each, UploadFile):
            raise ProblemError(Problem("invalid_form", "a link takes no files"))
        texts.setdefault(name, []).append(each)
    if of is Any:
        return _text_of(to_json(read_members({}, texts) or None))
    adapter: TypeAdapter[Any] = TypeAdapter(of)
    given = to_json(_given(Shape.of(adapter), texts))
    try:
        value = _check(lambda: adapter.validate_json(given))
    except InvalidInput as error:
        raise FormRefused(error, of, texts) from None
    return _text_of(VALUES.codec(of).encode(value).encode())


def _given(shape: Shape, texts: Mapping[str, Sequence[str]]) -> Any:
    """The JSON value that a form stands for."""
    members = shape.members
    if (set(texts) == {ALONE} and ALONE not in members) or not (texts or members):
        return _typed(shape, texts.get(ALONE, [""]), may_be_absent=False)
    if shape.may_be_null and not any(map(any, texts.values())):
        return None
    given = {
        name: _typed(members.get(name, ANYTHING), sent, may_be_absent=name not in shape.required)
        for name, sent in texts.items()
    }
    return {name: each for name, each in given.items() if each is not _ABSENT}


def _typed(shape: Shape, sent: Sequence[str], *, may_be_absent: bool) -> Any:
    """The value of a field. An empty field is null, an empty list or an empty text."""
    items = shape.items
    if items is not None and items.choices:
        sent = [each for each in sent if each]
    elif items is not None and len(sent) == 1 and not shape.takes_json:
        sent = [line for line in sent[0].split("\r\n") if line]
    # guard: empty-fields-are-texts = True
    if any(sent):
        return shape.read_all(sent)
    if may_be_absent and "default" not in shape.schema:
        return _ABSENT
    if shape.may_be_null:
        return None
    if items is not None:
        return []
    return _ABSENT if may_be_absent and not shape.is_text else ""


def _check(read: Any) -> Any:
    """Raises InvalidInput, which names the place and quotes nothing, and ValidatorFailed."""
    try:
        return read()
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        told = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in errors[:10])
        raise InvalidInput(f"what was sent doesn't fit: {told}", [dict(each) for each in errors]) from None
    except ValueError as error:
        raise InvalidInput(f"what was sent can't be read: {error}", []) from None
    except BaseException as error:
        raise ValidatorFailed("the answer", error) from error


def _text_of(body: bytes) -> str:
    try:
        return read_json(body, "the answer")[0]
    except NotSerializable as error:
        raise InvalidJson(str(error)) from error
