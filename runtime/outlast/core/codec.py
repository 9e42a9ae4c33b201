"""Values to JSON text and back, so that a live value and its replay are the same.

Every recorded value passes through here once: the live workflow gets the value that the text decodes to. A
value that would be decoded as something else is refused at once, not at the first recovery.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json

from outlast.core.bounds import check_size
from outlast.core.errors import NotSerializable, UsageError
from outlast.core.sameness import brief, difference

UNTYPED: Any = inspect.Signature.empty
_WITHOUT_CODEC = (UNTYPED, Any, None, type(None), typing.NoReturn, typing.Never)
REMEDY = "return plain JSON values, or annotate the return type with what is really returned"
_ATOMS = frozenset({str, int, bool, type(None)})
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
