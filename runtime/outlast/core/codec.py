"""Values to JSON text and back, so that a live value and its replay are the same.

Every recorded value passes through here once: the live workflow gets the value that the text decodes to. A
value that would be decoded as something else is refused at once, not at the first recovery.

What a workflow returned is encoded here, too. The workflow has done its work, so no result makes it fail. A
result that its annotation can't encode is encoded as well as pydantic can: a UUID or a datetime becomes its
text, a set a list, NaN the text "NaN". A value that pydantic can't encode becomes its `repr`. Only a result
that is too large to be stored is refused.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, time
from enum import Enum
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json

from outlast.core.bounds import check_size
from outlast.core.errors import NotSerializable, UsageError
from outlast.core.storable import clean_text
from outlast.core.tracebacks import described

UNTYPED: Any = inspect.Signature.empty
_WITHOUT_CODEC = (UNTYPED, Any, None, type(None), typing.NoReturn, typing.Never)
REMEDY = "return plain JSON values, or annotate the return type with what is really returned"
_ATOMS = frozenset({str, int, bool, type(None)})
REPR_CHARS_MAX = 10_000
_SAME_AS_JSON = (str, int, float, bool)


class Codec:
    """JSON for one annotation, or for plain JSON values without an annotation."""

    def __init__(
        self, annotation: Any = UNTYPED, *, of: str = "value", by_alias: bool = False, remedy: str = REMEDY
    ) -> None:
        """`of` names the value in messages; `remedy` says what to do if it can't be encoded.

        Raises UsageError for an annotation that JSON can't hold. `by_alias`: write the aliases of fields
        instead of their names, as OpenAPI shows them. Both can be read.
        """
        self.of = of
        self._remedy = remedy
        self._by_alias = by_alias
        self._adapter: TypeAdapter[Any] | None = None
        self._atom: Any = annotation if annotation in _SAME_AS_JSON else None
        """The type, if its values need no adapter. An adapter takes four times as long for them."""
        if annotation in _WITHOUT_CODEC:
            return
        try:
            self._adapter = TypeAdapter(annotation)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
            raise UsageError(
                f"{of}: the annotation {annotation!r} has no JSON form; use plain types, dataclasses or "
                f"pydantic models ({why_not(error)})"
            ) from error

    def through(self, value: Any) -> tuple[str, Any]:
        """`value` as JSON text, and the value that this text decodes to. Raises NotSerializable."""
        if self._adapter is None or type(value) is self._atom:
            encoded = plain_json(value, self.of, self._remedy)
            check_size(len(encoded), self.of)
            try:
                return encoded.decode(), from_json(encoded)
            except ValueError as error:  # nested too deep, or with too long a number, to be read again
                raise NotSerializable(f"{self.of}: {error}") from error
        if not self._by_alias:
            return self._encode_typed(self._adapter, value, by_alias=False)
        try:
            return self._encode_typed(self._adapter, value, by_alias=True)
        except NotSerializable:  # some fields have different aliases for writing and reading
            return self._encode_typed(self._adapter, value, by_alias=False)

    def _encode_typed(self, adapter: TypeAdapter[Any], value: Any, *, by_alias: bool) -> tuple[str, Any]:
        try:
            # Called directly: the adapter's own methods pass on some twenty options, which doubles the cost.
            encoded = adapter.serializer.to_json(value, warnings="error", by_alias=by_alias)
            check_size(len(encoded), self.of)
            decoded = adapter.validator.validate_json(encoded, by_alias=True, by_name=True)
        except (PydanticSerializationError, ValidationError, ValueError, RecursionError) as error:
            # pydantic's list of errors is long: the remedy comes first.
            raise NotSerializable(
                f"{self.of}: {brief(value)} does not fit its type; {self._remedy}: {error}"
            ) from error
        # guard: lossy-values-accepted
        if (changed := difference(decoded, value)) is not None:
            raise NotSerializable(f"{self.of}: {changed}; {self._remedy}")
        return encoded.decode(), decoded

    def encode(self, value: Any) -> str:
        """`value` as JSON text. Raises NotSerializable."""
        return self.through(value)[0]

    def decode(self, text: str | None) -> Any:
        """The value that `text` (from `through`) encodes; None for no text."""
        if text is None:
            return None
        if self._adapter is None:
            return from_json(text)
        return self._adapter.validator.validate_json(text, by_alias=True, by_name=True)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the recorded JSON; any JSON without an annotation."""
        if self._adapter is None:
            return {}
        return self._adapter.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")


def why_not(error: Exception) -> str:
    """pydantic's reason why it can't read a type, without pydantic's own advice, which doesn't apply here."""
    return str(error).splitlines()[0].partition(". Set ")[0]


def plain_json(value: Any, of: str = "value", remedy: str = REMEDY) -> bytes:
    """A plain JSON value as JSON, however large. Raises NotSerializable."""
    where = None if type(value) in _ATOMS else _find_non_json(value, "")
    if where is not None:
        raise NotSerializable(f"{of}: {where} would not come back from JSON the same; {remedy}")
    try:
        return to_json(value)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NotSerializable(f"{of}: {error}") from error


def _find_non_json(value: Any, path: str) -> str | None:
    """The part of `value` that isn't plain JSON, in words; None if there is none."""
    kind = type(value)
    if kind in _ATOMS:
        return None
    if kind is float:
        return None if math.isfinite(value) else f"{value!r}{_at_path(path)}"
    try:
        if kind is list:
            for index, item in enumerate(value):
                if (found := _find_non_json(item, f"{path}[{index}]")) is not None:
                    return found
            return None
        if kind is dict:
            for key, item in value.items():
                if type(key) is not str:
                    return f"the key {key!r}{_at_path(path)}"
                if (found := _find_non_json(item, f"{path}[{key!r}]")) is not None:
                    return found
            return None
    except RecursionError:
        return "a value nested too deep or within itself"
    return f"{brief(value)}{_at_path(path)}"


def _at_path(path: str) -> str:
    return f" at {path}" if path else ""


def return_annotation(fn: Callable[..., Any]) -> Any:
    """The resolved annotation of what `fn` returns; UNTYPED if there is none, or if it can't be resolved."""
    if "return" not in getattr(fn, "__annotations__", {}):
        return UNTYPED
    return resolved_annotations(fn, "return")["return"]


def resolved_annotations(fn: Callable[..., Any], *names: str) -> dict[str, Any]:
    """The resolved annotations of `fn`: all, or those of these names.

    Raises UsageError if one can't be resolved.
    """
    chosen: Any = fn
    if names:
        # Others may exist for type checkers only; the type of a transaction's connection often does.
        annotations = {name: fn.__annotations__[name] for name in names}
        chosen = SimpleNamespace(__annotations__=annotations, __globals__=fn.__globals__)
    try:
        return typing.get_type_hints(chosen, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise UsageError(f"{fn.__qualname__}: an annotation can't be resolved: {error}") from error


def difference(back: Any, value: Any, path: str = "") -> str | None:
    """The part of `value` that came back changed, in words; None if nothing did.

    Equality isn't enough: True == 1, and a str Enum equals its text. Identity isn't needed: for `float`, 0
    comes back as 0.0, and a time in a zone comes back as the same time at its offset.
    """
    if type(back) is type(value) and type(value) in _ATOMS:
        return None if back == value else _describe(back, value, path)
    if _kind(back) is not _kind(value):
        return None if _same_number(back, value) else _describe(back, value, path)
    if isinstance(value, datetime | time):
        return None if _same_time(back, value) else _describe(back, value, path)
    if isinstance(value, list | tuple):
        if len(back) != len(value):
            return _describe(back, value, path)
        return _first_difference(zip(range(len(value)), back, value, strict=True), path, "[{}]")
    if isinstance(value, dict):
        if back.keys() != value.keys():
            return _describe(back, value, path)
        parts = zip(value, map(back.__getitem__, value), value.values(), strict=True)
        return _first_difference(parts, path, "[{!r}]")
    with suppress(Exception):  # a foreign __eq__ may raise anything
        if bool(back == value):
            return None
    # Objects without their own __eq__ differ from their copies: compare their members.
    held, held_back = _members(value), _members(back)
    if not held or held.keys() != held_back.keys():
        return _describe(back, value, path)
    return _first_difference(((key, held_back[key], each) for key, each in held.items()), path, ".{}")


def brief(value: Any) -> str:
    """A value for a message: the beginning of its repr, and its type."""
    name = type(value).__qualname__
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"a {name}"
    return f"{text[:80]}{'…' if len(text) > 80 else ''} ({name})"


def _first_difference(parts: Iterable[tuple[Any, Any, Any]], path: str, place: str) -> str | None:
    """The first difference of parts, given as (where, back, value).

    `place` formats where; most parts are the same.
    """
    for where, back, value in parts:
        if type(back) is type(value) and type(value) in _ATOMS and back == value:
            continue
        at = (path + place.format(where)).removeprefix(".")
        if (found := difference(back, value, at)) is not None:
            return found
    return None


def _describe(back: Any, value: Any, path: str) -> str:
    return f"{f'{path}: ' if path else ''}{brief(value)} would come back from JSON as {brief(back)}"


def _kind(value: Any) -> Any:
    """The type; for a generic model without the parameters that pydantic has chosen."""
    kind = type(value)
    if (plain := getattr(kind, "__stands_for__", None)) is not None:
        return plain  # a text or bytes of ours that can be awaited
    return getattr(kind, "__pydantic_generic_metadata__", {}).get("origin") or kind


def _same_number(a: Any, b: Any) -> bool:
    return all(isinstance(each, int | float) and not isinstance(each, bool | Enum) for each in (a, b)) and (
        bool(a == b)
    )


def _same_time(a: datetime | time, b: datetime | time) -> bool:
    """Whether wall time and offset are the same.

    Within an hour that a zone repeats, Python calls no two times equal.
    """
    return (
        a.utcoffset() == b.utcoffset()
        and (a.tzinfo is None) == (b.tzinfo is None)
        and a.replace(tzinfo=None, fold=0) == b.replace(tzinfo=None, fold=0)
    )


def _members(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    held = dict(getattr(value, "__dict__", None) or {})
    for beside in ("__pydantic_extra__", "__pydantic_private__"):
        held.update(getattr(value, beside, None) or {})
    return held


def encode_answer(codec: Codec, value: Any) -> tuple[str, str | None]:
    """`value` as JSON text, and why that text doesn't restore it, if so.

    Raises NotSerializable if it is too large to be stored.
    """
    try:
        return codec.encode(value), None
    except NotSerializable as error:
        reason = str(error)
    # guard: answers-whose-validators-fail
    except BaseException as error:  # noqa: BLE001 - a validator of the user's may raise anything
        reason = described(error)
    text = encode_loosely(value)
    check_size(len(text.encode()), codec.of)
    return text, reason


def decode_answer(codec: Codec, text: str) -> Any:
    """The value of `text`: by the annotation, or plain JSON if it was encoded without it."""
    try:
        return codec.decode(text)
    except Exception:  # noqa: BLE001 - a validator of the user's may raise anything
        return from_json(text)


def encode_loosely(value: Any, *, bytes_as: Literal["utf8", "base64"] = "base64") -> str:
    """Any `value` as JSON text."""
    try:
        encoded = to_json(
            value, by_alias=True, inf_nan_mode="strings", bytes_mode=bytes_as, fallback=_repr_of
        )
        from_json(encoded)  # raises for what is too deep, or a number too long, to be read again
        return encoded.decode()
    except (PydanticSerializationError, ValueError, RecursionError, TypeError):
        return to_json(_repr_of(value)).decode()


def _repr_of(value: Any) -> str:
    try:
        return clean_text(repr(value)[:REPR_CHARS_MAX])
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"a {type(value).__qualname__}"
