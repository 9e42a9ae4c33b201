"""How texts become JSON by the schema of their place: a query's parameters, a form's fields.

Numbers, dates and the like stay texts, which pydantic can read. Values that it couldn't read from a text are
made here: choices that aren't texts, lists, and JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import from_json, to_json


class Shape:
    """The values that fit one place, from its JSON schema."""

    def __init__(self, schema: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
        self._kinds = kinds
        self.schema = self._resolve(schema)
        self.ways = list(self._ways(self.schema))
        """The possible schemas: of a union each member."""

    @classmethod
    def of(cls, adapter: TypeAdapter[Any], *, by_alias: bool = True) -> Shape:
        """The shape of a type. If the type has no schema, anything fits."""
        try:
            schema = adapter.json_schema(by_alias=by_alias)
        except PydanticInvalidForJsonSchema:
            schema = {}
        return cls(schema, schema.get("$defs", {}))

    @property
    def members(self) -> dict[str, Shape]:
        """The members of an object, by name."""
        return {
            name: Shape(each, self._kinds)
            for way in reversed(self.ways)
            for name, each in way.get("properties", {}).items()
        }

    @property
    def required(self) -> set[str]:
        """The members of an object that are required."""
        each = [set(way.get("required", ())) for way in self._objects]
        return set.intersection(*each) if each else set()

    @property
    def is_object(self) -> bool:
        """Whether it may be an object."""
        return bool(self._objects)

    @property
    def may_be_null(self) -> bool:
        """Whether null fits."""
        return any(_kind(way) == "null" or None in _choices(way) for way in self.ways)

    @property
    def is_text(self) -> bool:
        """Whether any text fits, and nothing else."""
        return all(_is_plain_text(way) for way in self.ways)

    @property
    def items(self) -> Shape | None:
        """The shape of a list's items; None if it isn't a list."""
        for way in self.ways:
            if _kind(way) == "array":
                each = way.get("items", {})
                return Shape(each if isinstance(each, Mapping) else {}, self._kinds)
        return None

    @property
    def choices(self) -> dict[str, Any]:
        """The choices by the text that stands for each, if nothing else fits. 1 and "1" are different."""
        found: dict[str, Any] = {}
        for way in self.ways:
            choices = _choices(way)
            if not choices:
                return {}
            for each in choices:
                found.setdefault(
                    each if isinstance(each, str) and each not in found else _written(each), each
                )
        return found

    @property
    def takes_json(self) -> bool:
        """Whether plain texts can't express all its values: it may be an object, or a list of lists."""
        items = self.items
        return not self._takes_text and (
            self.is_object or (items is not None and (items.is_object or items.items is not None))
        )

    def texts_of_default(self) -> list[str]:
        """The texts of its default; for a list one for each item."""
        default = self.schema.get("default")
        if default is None:
            return []
        if self.items is not None and isinstance(default, list) and not self.takes_json:
            return [self.items._text_of(each) for each in default]
        return [self._text_of(default)]

    def _text_of(self, value: Any) -> str:
        for text, each in self.choices.items():
            if each == value and type(each) is type(value):
                return text
        return value if isinstance(value, str) else _written(value)

    def read(self, text: str) -> Any:
        """The JSON value that this text stands for. It may not fit."""
        choices = self.choices
        if text in choices:
            return choices[text]
        holds_others = any(_kind(way) in ("object", "array") for way in self.ways)
        if holds_others and not self._takes_text and text.lstrip()[:1] in ("{", "["):
            try:
                return from_json(text)
            except ValueError:
                return text
        return text

    def read_all(self, texts: Sequence[str]) -> Any:
        """The JSON value of all texts that were sent for one place: a list, if a list fits."""
        items = self.items
        if len(texts) == 1:
            # The texts of a list may begin as JSON does. Then one of them alone is an item.
            of_texts = items is not None and items._takes_text and not self._takes_text
            alone = texts[0] if of_texts else self.read(texts[0])
            if items is None or self._takes_text or isinstance(alone, list):
                return alone
        return [self._at(place).read(each) for place, each in enumerate(texts)]

    def _at(self, place: int) -> Shape:
        """The shape at this place (from 0) of several texts."""
        for way in self.ways:
            if _kind(way) == "array" and place < len(each := way.get("prefixItems", ())):
                return Shape(each[place], self._kinds)
        return self.items or self

    @property
    def _takes_text(self) -> bool:
        return any(_is_plain_text(way) for way in self.ways)

    @property
    def _objects(self) -> list[Mapping[str, Any]]:
        return [way for way in self.ways if _kind(way) == "object"]

    def _ways(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        union = schema.get("anyOf") or schema.get("oneOf")
        if not union:
            yield schema
            return
        for each in union:
            yield from self._ways(self._resolve(each))

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while (name := schema.get("$ref", "").rpartition("/")[2]) in self._kinds:
            schema = {**self._kinds[name], **{key: each for key, each in schema.items() if key != "$ref"}}
        return schema


def read_members(members: Mapping[str, Shape], texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The JSON object that these texts stand for, by name.

    A repeated name is a list, even if a list doesn't fit.
    """
    return {name: members.get(name, ANYTHING).read_all(sent) for name, sent in texts.items()}


def _kind(way: Mapping[str, Any]) -> str:
    return "object" if "properties" in way else str(way.get("type", ""))


def _choices(way: Mapping[str, Any]) -> list[Any]:
    if "const" in way:
        return [way["const"]]
    fixed: dict[str, list[Any]] = {"boolean": [True, False], "null": [None]}
    return fixed.get(_kind(way), list(way.get("enum", ())))


def _is_plain_text(way: Mapping[str, Any]) -> bool:
    return _kind(way) == "string" and not any(
        way.get(each) for each in ("format", "pattern", "minLength", "enum", "const")
    )


def _written(value: Any) -> str:
    return to_json(value).decode()


ANYTHING = Shape({}, {})
"""The shape of a place without a schema."""
