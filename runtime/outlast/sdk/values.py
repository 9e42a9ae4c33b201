"""JSON of values whose form is given by their own type, or by one that is asked for: messages and events."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable, UsageError
from outlast.core.sameness import brief

_PLAIN_TYPES = (dict, list, str, int, float, bool, type(None))
_REMEDY = "give plain JSON values, dataclasses or pydantic models"
_KEPT_MAX = 256


class Values:
    """Codecs by type. In errors a value is called `of`."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._plain = Codec(of=of, remedy=_REMEDY)
        self._kept = lru_cache(maxsize=_KEPT_MAX)(self._made)

    def codec(self, annotation: Any) -> Codec:
        """The codec of a type. Raises UsageError for one that JSON can't carry."""
        try:
            return self._kept(annotation)
        except TypeError:  # an annotation that can't be hashed
            return self._made(annotation)

    def encode(self, value: Any) -> str:
        """`value` as JSON text: plain JSON, a dataclass, a pydantic model. Raises NotSerializable."""
        if isinstance(value, _PLAIN_TYPES):
            return self._plain.encode(value)
        try:
            codec = self.codec(type(value))
        except UsageError:
            raise NotSerializable(f"{self._of}: {brief(value)} has no JSON form; {_REMEDY}") from None
        return codec.encode(value)

    def _made(self, annotation: Any) -> Codec:
        return Codec(annotation, of=self._of, remedy=_REMEDY)
