"""Exceptions to JSON and back, so that `except PaymentDeclined` works live and in replay alike.

The class is found again by module and name, first among the globals of the function that raised it (so that
a reloaded file's running workflows keep their own classes), then among the loaded modules. What can't be
rebuilt is `StepFailed`. Arguments and attributes that JSON can't hold are dropped, live and in replay alike;
a note on the exception names such attributes.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from pydantic_core import from_json

from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable, StepFailed

MESSAGE_CHARS_MAX = 10_000
TRACEBACK_CHARS_MAX = 20_000
KEPT_CHARS_MAX = 100_000
"""Of one argument or attribute; what is larger is dropped as what JSON can't hold is."""

ATTRIBUTES_MAX = 100
GROUP_MEMBERS_MAX = 100
_plain = Codec()

CANCELLED = '{"code":"cancelled"}'
"""The record of a step that its own workflow cancelled: on replay it waits to be cancelled again."""


class RecordedTraceback(Exception):
    """The cause of an exception out of a record: its text is the traceback of where it was raised first."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def encode_failure(error: BaseException) -> str:
    """The record of `error`: where its class is, its text, arguments, attributes and traceback."""
    document = _document(error)
    document["traceback"] = _clean("".join(traceback.format_exception(error))[-TRACEBACK_CHARS_MAX:])
    return _plain.encode(document)


def decode_failure(text: str, step: str, scope: Mapping[str, Any]) -> Exception:
    """The exception that `text` records; `scope` is the globals of the function that raised it."""
    document = from_json(text)
    error = _decode(document, step, scope)
    error.__cause__ = RecordedTraceback(document["traceback"])
    return error


def _document(error: BaseException) -> dict[str, Any]:
    own = list(_attributes(error).items())[:ATTRIBUTES_MAX]
    attributes = {key: _kept(value) for key, value in own}
    document: dict[str, Any] = {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "message": _clean(_text(error)[:MESSAGE_CHARS_MAX]),
        "args": [
            kept[0] if (kept := _kept(each)) else _clean(repr(each)[:MESSAGE_CHARS_MAX])
            for each in _arguments(error)[:ATTRIBUTES_MAX]
        ],
        "attributes": {key: kept[0] for key, kept in attributes.items() if kept},
        "dropped": sorted(key for key, kept in attributes.items() if not kept),
    }
    if isinstance(error, BaseExceptionGroup):
        document["args"] = [_clean(error.message[:MESSAGE_CHARS_MAX])]
        document["members"] = [_document(each) for each in error.exceptions[:GROUP_MEMBERS_MAX]]
    elif isinstance(error, UnicodeDecodeError):
        document["args"][1] = error.object[:KEPT_CHARS_MAX].decode("latin-1")  # one character a byte
    return document


def _decode(document: dict[str, Any], step: str, scope: Mapping[str, Any]) -> Exception:
    kind = _find_class(document["module"], document["type"], scope)
    if kind is not None:
        args = list(document["args"])
        if "members" in document:
            args.append([_decode(each, step, scope) for each in document["members"]])
        elif issubclass(kind, UnicodeDecodeError):
            args[1] = args[1].encode("latin-1", "replace")
        rebuilt = _rebuild(kind, args, document["attributes"])
        if rebuilt is not None:
            if dropped := document.get("dropped"):
                rebuilt.add_note(f"Not recorded, since JSON can't hold it: {', '.join(dropped)}")
            return rebuilt
    return StepFailed(step, document["type"], document["message"])


def _find_class(module: str, qualname: str, scope: Mapping[str, Any]) -> type[Exception] | None:
    for names in (scope, vars(sys.modules[module]) if module in sys.modules else {}):
        found: Any = None
        for depth, part in enumerate(qualname.split(".")):
            found = names.get(part) if depth == 0 else getattr(found, part, None)
        if isinstance(found, type) and issubclass(found, Exception) and found.__module__ == module:
            return found
    return None


def _rebuild(kind: type[Exception], args: list[Any], attributes: dict[str, Any]) -> Exception | None:
    """Without running an `__init__` of the user's, whose parameters needn't be the recorded arguments."""
    try:
        error: Exception = _builtin(kind, "__new__")(kind, *args)
        _builtin(kind, "__init__")(error, *args)
        error.__dict__.update(attributes)
        str(error), repr(error)
    except Exception:  # noqa: BLE001 - a foreign class may refuse in any way; StepFailed stands in
        return None
    return error


def _builtin(kind: type[Exception], name: str) -> Any:
    """The first method `name` among the bases of `kind` that isn't written in Python."""
    for base in kind.__mro__:
        found = vars(base).get(name)
        if found is not None and not isinstance(getattr(found, "__func__", found), FunctionType):
            return getattr(base, name)
    raise AssertionError("every exception derives from BaseException")


def _arguments(error: BaseException) -> tuple[Any, ...]:
    if isinstance(error, OSError) and error.filename is not None and len(error.args) == 2:
        return (*error.args, error.filename)  # `args` leaves it out
    return error.args


def _attributes(error: BaseException) -> dict[str, Any]:
    return {
        key: value for key, value in vars(error).items() if not key.startswith("__") or key == "__notes__"
    }


def _kept(value: Any) -> tuple[Any] | None:
    """`value` in a 1-tuple if JSON carries it, else None."""
    try:
        text = _plain.encode(value)
    except NotSerializable:
        return None
    return (value,) if len(text) <= KEPT_CHARS_MAX else None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return type(error).__qualname__


def _clean(text: str) -> str:
    """Lone surrogates have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()
