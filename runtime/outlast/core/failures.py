"""Exceptions to JSON and back, so that `except PaymentDeclined` works live and in replay alike.

The class is found again by module and name, first among the globals of the function that raised it (so that
a reloaded file's running workflows keep their own classes), then among the loaded modules. What can't be
rebuilt is `StepFailed`. Arguments and attributes that JSON can't hold are dropped, live and in replay alike.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable, StepFailed

MESSAGE_CHARS_MAX = 10_000
TRACEBACK_CHARS_MAX = 20_000
_plain = Codec()

CANCELLED = '{"code":"cancelled"}'
"""The record of a step that its own workflow cancelled: on replay it waits to be cancelled again."""


def encode_failure(error: BaseException) -> str:
    """The record of `error`: where its class is, its text, arguments, attributes and traceback."""
    arguments = [_kept(argument) for argument in error.args]
    document = {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "message": _clean(_text(error))[:MESSAGE_CHARS_MAX],
        "args": [
            kept[0] if kept else _clean(repr(argument))
            for kept, argument in zip(arguments, error.args, strict=True)
        ],
        "attributes": {
            key: kept[0] for key, value in _attributes(error).items() if (kept := _kept(value)) is not None
        },
        "traceback": _clean("".join(traceback.format_exception(error)))[-TRACEBACK_CHARS_MAX:],
    }
    return _plain.encode(document)


def decode_failure(text: str, step: str, scope: Mapping[str, Any]) -> Exception:
    """The exception that `text` records; `scope` is the globals of the function that raised it."""
    document = from_json(text)
    kind = _find_class(document["module"], document["type"], scope)
    if kind is not None:
        rebuilt = _rebuild(kind, document["args"], document["attributes"])
        if rebuilt is not None:
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
    """As pickle does: without running `__init__`, whose arguments needn't be the recorded ones."""
    try:
        error = kind.__new__(kind, *args)
        error.args = tuple(args)
        error.__dict__.update(attributes)
        str(error), repr(error)
    except Exception:  # noqa: BLE001 - a foreign class may refuse in any way; StepFailed stands in
        return None
    return error


def _attributes(error: BaseException) -> dict[str, Any]:
    return {key: value for key, value in vars(error).items() if not key.startswith("__")}


def _kept(value: Any) -> tuple[Any] | None:
    """`value` in a 1-tuple if JSON carries it, else None."""
    try:
        _plain.encode(value)
    except NotSerializable:
        return None
    return (value,)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return type(error).__qualname__


def _clean(text: str) -> str:
    """Lone surrogates have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()
