"""Exceptions to JSON and back, so that `except PaymentDeclined` works live and in replay alike.

The class is found again by module and name: first among the globals of the function that raised it (so that
running workflows of a reloaded file keep their own classes), then among the loaded modules. An exception that
can't be rebuilt becomes `StepFailed`. Dates, times, UUIDs and decimals are stored as texts; `kinds` says
which. Other values that JSON can't hold, or that are too large, are dropped, live and in replay alike:
arguments become texts, and a note on the exception names the attributes.

A failure is always recorded, whatever the exception holds: a workflow whose end can't be written would never
end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from inspect import unwrap
from types import FunctionType
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import from_json, to_json

from outlast.core.codec import plain_json
from outlast.core.errors import NotSerializable, StepFailed
from outlast.core.tracebacks import format_traceback, text_of

MESSAGE_CHARS_MAX = 10_000
TRACEBACK_CHARS_MAX = 20_000
NAME_CHARS_MAX = 1_000
KEPT_CHARS_MAX = 100_000
"""Limit of one argument or attribute. A larger one is dropped, like one that JSON can't hold."""

KEPT_BYTES_MAX = 1024 * 1024
"""Limit of all arguments, attributes and texts of one record. A text that exceeds it is cut."""

BEGINNING_CHARS = 100

ATTRIBUTES_MAX = 100
GROUP_MEMBERS_MAX = 100
"""Limit of the exceptions in one record, however deep its groups are nested."""

GROUP_DEPTH_MAX = 10
_DEPTH_OF_PARTS = 2 * GROUP_DEPTH_MAX + 4
"""Limit of nesting, with some reserve: JSON is read to a depth of 200."""

CANCELLED = '{"code":"cancelled"}'
"""The record of a transaction that its workflow gave up before it was committed."""


class _Kind(NamedTuple):
    """A type that JSON stores as a text."""

    type: type[Any]
    write: Callable[[Any], str]
    read: Callable[[str], Any]


_KINDS: Mapping[str, _Kind] = {
    "date": _Kind(date, date.isoformat, date.fromisoformat),
    "datetime": _Kind(datetime, datetime.isoformat, datetime.fromisoformat),
    "time": _Kind(time, time.isoformat, time.fromisoformat),
    "uuid": _Kind(UUID, str, UUID),
    "decimal": _Kind(Decimal, str, Decimal),
}


class RecordedTraceback(Exception):
    """The cause of a rebuilt exception. Its text is the traceback from where it was raised first."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def forget_traceback(error: BaseException) -> None:
    """Drop the tracebacks of a recorded error and of its causes.

    A frame may refer to the error that passed through it. That cycle would stay in memory until the garbage
    collector runs.
    """
    todo, seen = [error], set[int]()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        # Setting the attribute could fail: the classes of frozen dataclasses, for example, refuse attributes.
        # guard: classes-refuse-to-end = setattr(each, "__traceback__", None)
        BaseException.with_traceback(each, None)
        with suppress(Exception):  # the class may have attributes of its own by these names
            todo += [other for other in (each.__cause__, each.__context__) if other is not None]
            if isinstance(each, BaseExceptionGroup):
                todo += each.exceptions


def encode_failure(error: BaseException) -> str:
    """The record of `error`: its class, text, arguments, attributes and traceback."""
    try:
        document = _document(error, _Room(), 1)
    # guard: classes-refuse-their-record
    except Exception:  # noqa: BLE001 - a foreign class may refuse in any way; its name is known
        document = _named(error, _Room()) | {
            "args": [],
            "attributes": {},
            "dropped": ["arguments", "attributes"],
        }
    document["traceback"] = _replace_surrogates(format_traceback(error)[-TRACEBACK_CHARS_MAX:])
    return to_json(document).decode()


def decode_failure(text: str, step: str, scope: Mapping[str, Any]) -> Exception:
    """The exception that `text` records; `scope` is the globals of the function that raised it."""
    document = from_json(text)
    error = _decode(document, step, scope)
    with suppress(Exception):  # a foreign class may have a `__cause__` of its own
        BaseException.__setattr__(error, "__cause__", RecordedTraceback(document["traceback"]))
    return error


def globals_of(function: Any) -> dict[str, Any]:
    """The globals of `function`; of the wrapped function, if a decorator of another module wraps it."""
    found: dict[str, Any] = getattr(unwrap(function), "__globals__", function.__globals__)
    return found


class _Room:
    """How much one record may still take."""

    def __init__(self) -> None:
        self._bytes = KEPT_BYTES_MAX
        self._members = GROUP_MEMBERS_MAX

    def takes(self, value: Any) -> bool:
        """Whether `value` is recorded: JSON carries it, and it isn't too large."""
        try:
            encoded = plain_json(value)
            from_json(b"[" * _DEPTH_OF_PARTS + encoded + b"]" * _DEPTH_OF_PARTS)
        except (NotSerializable, ValueError):
            return False
        if len(encoded) > self._bytes or len(encoded.decode()) > KEPT_CHARS_MAX:
            return False
        self._bytes -= len(encoded)
        return True

    def text(self, text: str) -> str:
        """`text`, cut to the recorded length."""
        text = _replace_surrogates(text[:MESSAGE_CHARS_MAX])
        return text if self.takes(text) else text[:BEGINNING_CHARS]

    def takes_member(self) -> bool:
        """Whether one more exception of a group is recorded."""
        self._members -= 1
        return self._members >= 0


def _named(error: BaseException, room: _Room) -> dict[str, Any]:
    return {
        "type": _replace_surrogates(type(error).__qualname__[:NAME_CHARS_MAX]),
        "module": _replace_surrogates(str(type(error).__module__)[:NAME_CHARS_MAX]),
        "message": room.text(text_of(error, instead=type(error).__qualname__)),
    }


def _document(error: BaseException, room: _Room, depth: int) -> dict[str, Any]:
    document = _named(error, room)
    arguments = _arguments(error)
    dropped = ["arguments"] if len(arguments) > ATTRIBUTES_MAX else []
    kinds: dict[str, str] = {}
    if isinstance(error, BaseExceptionGroup):
        document["args"] = [room.text(error.message)]
        members = _members(error, room, depth)
        document["members"] = members
        if len(members) < len(error.exceptions):
            dropped.append("members")
    else:
        document["args"] = []
        for place, value in enumerate(arguments[:ATTRIBUTES_MAX]):
            kind, written = _written(value)
            if kind is not None and room.takes(written):
                kinds[f"args.{place}"] = kind
            else:
                written = _argument(value, room)
            document["args"].append(written)
    document["attributes"] = {}
    for key, value in _attributes(error)[:ATTRIBUTES_MAX]:
        kind, written = _written(value)
        if room.takes({key: written}):
            document["attributes"][key] = written
            if kind is not None:
                kinds[f"attributes.{key}"] = kind
        else:
            dropped.append(_replace_surrogates(key[:NAME_CHARS_MAX]))
    document["dropped"] = sorted(dropped)
    if kinds:
        document["kinds"] = kinds
    return document


def _written(value: Any) -> tuple[str | None, Any]:
    """The kind and the text of a value of one of `_KINDS`; None and the value itself of any other."""
    for name, kind in _KINDS.items():
        if type(value) is kind.type:
            with suppress(Exception):  # a foreign time zone may raise anything
                text = kind.write(value)
                if _is_same(kind.read(text), value):
                    return name, text
    return None, value


def _is_same(back: Any, value: Any) -> bool:
    """Whether it was read back as the same value. A time in a zone isn't: without a date it has no offset."""
    zones = [getattr(each, "tzinfo", None) is None for each in (back, value)]
    return bool(back == value) and zones[0] == zones[1]


def _read(document: Mapping[str, Any], place: str, value: Any) -> Any:
    # guard: kinds-of-what-failed-forgotten = None
    kind = _KINDS.get(document.get("kinds", {}).get(place))
    return value if kind is None else kind.read(value)


def _members(group: BaseExceptionGroup[Any], room: _Room, depth: int) -> list[dict[str, Any]]:
    if depth > GROUP_DEPTH_MAX:
        return []
    return [_document(each, room, depth + 1) for each in group.exceptions if room.takes_member()]


def _argument(value: Any, room: _Room) -> Any:
    """A recorded argument; a text if JSON can't hold it, so that the others keep their positions."""
    return value if room.takes(value) else room.text(_repr_of(value))


def _decode(document: dict[str, Any], step: str, scope: Mapping[str, Any]) -> Exception:
    kind = _find_class(document["module"], document["type"], scope)
    if kind is not None:
        args = [_read(document, f"args.{place}", each) for place, each in enumerate(document["args"])]
        attributes = {
            key: _read(document, f"attributes.{key}", each) for key, each in document["attributes"].items()
        }
        if "members" in document:
            args.append([_decode(each, step, scope) for each in document["members"]])
        elif issubclass(kind, UnicodeDecodeError) and len(args) == 5:
            args[1] = str(args[1]).encode("latin-1", "replace")
        rebuilt = _rebuild(kind, args, attributes)
        if rebuilt is not None:
            if dropped := document.get("dropped"):
                note = f"Not recorded, too large or nothing for JSON: {', '.join(dropped)}"
                with suppress(Exception):  # a foreign class may refuse attributes
                    rebuilt.__dict__["__notes__"] = [*rebuilt.__dict__.get("__notes__", ()), note]
            return rebuilt
    failed = StepFailed(step, document["type"], document["message"])
    for note in document["attributes"].get("__notes__") or ():
        failed.add_note(str(note))
    return failed


def _find_class(module: str, qualname: str, scope: Mapping[str, Any]) -> type[Exception] | None:
    for names in (scope, vars(sys.modules[module]) if module in sys.modules else {}):
        found: Any = None
        for depth, part in enumerate(qualname.split(".")):
            found = names.get(part) if depth == 0 else getattr(found, part, None)
        if isinstance(found, type) and issubclass(found, Exception) and found.__module__ == module:
            return found
    return None


def _rebuild(kind: type[Exception], args: list[Any], attributes: dict[str, Any]) -> Exception | None:
    """The exception, made without the user's `__init__`, which may take other parameters."""
    try:
        error: Exception = _builtin(kind, "__new__")(kind, *args)
        _builtin(kind, "__init__")(error, *args)
        slots = _slots(kind)
        for key, value in attributes.items():
            if key in slots:
                object.__setattr__(error, key, value)
            else:
                error.__dict__[key] = value
        str(error), repr(error)
    except Exception:  # noqa: BLE001 - a foreign class may refuse in any way; StepFailed replaces it
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
    if isinstance(error, UnicodeDecodeError) and len(error.args) == 5 and isinstance(error.args[1], bytes):
        text = error.args[1][: KEPT_CHARS_MAX // 2].decode("latin-1")  # one character a byte
        return (error.args[0], text, *error.args[2:])
    return error.args


def _attributes(error: BaseException) -> list[tuple[str, Any]]:
    held = dict(vars(error))
    for key in _slots(type(error)):
        with suppress(Exception):  # a slot that was never set
            held[key] = object.__getattribute__(error, key)
    return [
        (key, value)
        for key, value in held.items()
        if isinstance(key, str) and (not key.startswith("__") or key == "__notes__")
    ]


def _slots(kind: type[BaseException]) -> list[str]:
    """Names of attributes that the class, or one above it, keeps in `__slots__`."""
    found: list[str] = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            found.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def _repr_of(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"a {type(value).__qualname__}"


def _replace_surrogates(text: str) -> str:
    """`text` without lone surrogates, which have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()
