"""JSON of values that their own type, or a requested type, describes: messages and events."""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from outlast.core.codec import Codec, brief
from outlast.core.errors import InvalidInput, NotSerializable, UsageError

_PLAIN_TYPES = (dict, list, str, int, float, bool, type(None))
_REMEDY = "give plain JSON values, dataclasses or pydantic models"
_KEPT_MAX = 256


def _is_declared(kind: type) -> bool:
    """Whether the type declares its fields, so that a reader who names the type gets it back: a dataclass, a
    model.

    A datetime, a set or an enum would come back as a text or a list.
    """
    return is_dataclass(kind) or hasattr(kind, "__pydantic_validator__")


def read_as(codec: Codec, text: str, what: str) -> Any:
    """A value from JSON text. Raises InvalidInput, which names it `what`."""
    try:
        return codec.decode(text)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidInput(f"{what} doesn't fit: {error}", [dict(each) for each in errors]) from None
    except ValueError as error:
        raise InvalidInput(f"{what} can't be read: {error}", []) from None


class Values:
    """Codecs by type. Errors name a value `of`."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._plain = Codec(of=of, remedy=_REMEDY)
        self._kept = lru_cache(maxsize=_KEPT_MAX)(self._make_codec)

    def codec(self, annotation: Any) -> Codec:
        """The codec of a type. Raises UsageError for a type that JSON can't hold."""
        try:
            return self._kept(annotation)
        except TypeError:  # an annotation that can't be hashed
            return self._make_codec(annotation)

    def encode(self, value: Any) -> str:
        """`value` as JSON text: plain JSON, a dataclass, a pydantic model. Raises NotSerializable."""
        # guard: values-of-any-type-sent without 2
        if isinstance(value, _PLAIN_TYPES) or not _is_declared(type(value)):
            return self._plain.encode(value)
        try:
            codec = self.codec(type(value))
        except UsageError:
            raise NotSerializable(f"{self._of}: {brief(value)} has no JSON form; {_REMEDY}") from None
        return codec.encode(value)

    def _make_codec(self, annotation: Any) -> Codec:
        return Codec(annotation, of=self._of, remedy=_REMEDY)
