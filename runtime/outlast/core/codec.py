"""Values to JSON text and back, so that a live value and its replay are the same.

Every recorded value goes through here once: what the workflow sees live is what the text gives back. A value
that would come back as something else is refused at once, not at the first recovery.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json

from outlast.core.errors import NotSerializable, UsageError
from outlast.core.sizes import check_size

UNTYPED: Any = inspect.Signature.empty
_WITHOUT_CODEC = (UNTYPED, Any, None, type(None), typing.NoReturn, typing.Never)
_ATOMS = frozenset({str, int, bool, type(None)})


class Codec:
    """JSON for one annotation, or for plain JSON values where there is none."""

    def __init__(self, annotation: Any = UNTYPED, *, of: str = "value") -> None:
        """`of` names what is coded, for messages. Raises UsageError on an annotation JSON can't carry."""
        self._of = of
        self._adapter: TypeAdapter[Any] | None = None
        if annotation in _WITHOUT_CODEC:
            return
        try:
            self._adapter = TypeAdapter(annotation)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
            raise UsageError(
                f"{of}: the annotation {annotation!r} has no JSON form; use plain types, dataclasses or "
                f"pydantic models ({str(error).splitlines()[0]})"
            ) from error

    def through(self, value: Any) -> tuple[str, Any]:
        """`value` as JSON text, and as what that text gives back. Raises NotSerializable."""
        if self._adapter is None:
            encoded = plain_json(value, self._of)
            check_size(len(encoded), self._of)
            try:
                return encoded.decode(), from_json(encoded)
            except ValueError as error:  # nested deeper, or a longer number, than is read again
                raise NotSerializable(f"{self._of}: {error}") from error
        try:
            # The adapter's own methods only hand on some twenty options, at the price of the work itself.
            encoded = self._adapter.serializer.to_json(value, warnings="error")
            check_size(len(encoded), self._of)
            decoded = self._adapter.validator.validate_json(encoded)
        except (PydanticSerializationError, ValidationError, ValueError, RecursionError) as error:
            raise NotSerializable(
                f"{self._of}: {_brief(value)} does not fit its annotation: {error}"
            ) from error
        if not _alike(decoded, value):
            raise NotSerializable(
                f"{self._of}: {_brief(value)} would come back from JSON as {_brief(decoded)}; "
                "annotate the type that is really returned"
            )
        return encoded.decode(), decoded

    def encode(self, value: Any) -> str:
        """`value` as JSON text. Raises NotSerializable."""
        return self.through(value)[0]

    def decode(self, text: str | None) -> Any:
        """What `text` (from `through`) stands for; an absent text is None."""
        if text is None:
            return None
        return from_json(text) if self._adapter is None else self._adapter.validate_json(text)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of what is recorded; any JSON where there is no annotation."""
        if self._adapter is None:
            return {}
        return self._adapter.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")


def plain_json(value: Any, of: str = "value") -> bytes:
    """A plain JSON value as JSON, however large. Raises NotSerializable."""
    where = _not_json(value, "")
    if where is not None:
        raise NotSerializable(
            f"{of}: {where} would not come back from JSON the same; return plain JSON values "
            "or annotate the return type"
        )
    try:
        return to_json(value)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NotSerializable(f"{of}: {error}") from error


def _alike(a: Any, b: Any) -> bool:
    """Whether one can stand for the other. Equal isn't enough: True == 1, and a str Enum equals its text."""
    if type(a) is not type(b):
        return False
    with suppress(Exception):  # a foreign __eq__ may raise anything
        if bool(a == b):
            return True
    # Objects without an __eq__ of their own differ from their copies: then what they hold decides.
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    held = getattr(a, "__dict__", None)
    return bool(held) and _alike(held, b.__dict__)


def _not_json(value: Any, path: str) -> str | None:
    """Which part of `value` isn't plain JSON, in words; None if all is."""
    kind = type(value)
    if kind in _ATOMS:
        return None
    if kind is float:
        return None if math.isfinite(value) else f"{value!r}{_at(path)}"
    try:
        if kind is list:
            for index, item in enumerate(value):
                if (found := _not_json(item, f"{path}[{index}]")) is not None:
                    return found
            return None
        if kind is dict:
            for key, item in value.items():
                if type(key) is not str:
                    return f"the key {key!r}{_at(path)}"
                if (found := _not_json(item, f"{path}[{key!r}]")) is not None:
                    return found
            return None
    except RecursionError:
        return "a value nested too deep or within itself"
    return f"{_brief(value)}{_at(path)}"


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def _brief(value: Any) -> str:
    name = type(value).__qualname__
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"a {name}"
    return f"{text[:80]}{'…' if len(text) > 80 else ''} ({name})"


def return_annotation(fn: Callable[..., Any]) -> Any:
    """The annotation of what `fn` returns, resolved; UNTYPED where there is none or it can't be resolved."""
    if "return" not in getattr(fn, "__annotations__", {}):
        return UNTYPED
    return resolved_annotations(fn, "return")["return"]


def resolved_annotations(fn: Callable[..., Any], *names: str) -> dict[str, Any]:
    """The resolved annotations of `fn`, of all or of these names. Raises UsageError where that fails."""
    chosen: Any = fn
    if names:
        # The others may be there for type checkers alone, as a transaction's connection often is.
        annotations = {name: fn.__annotations__[name] for name in names}
        chosen = SimpleNamespace(__annotations__=annotations, __globals__=fn.__globals__)
    try:
        return typing.get_type_hints(chosen, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise UsageError(f"{fn.__qualname__}: an annotation can't be resolved: {error}") from error
