"""How texts become JSON by the schema of what they are for: a query's parameters, a form's fields.

Numbers, dates and the like stay texts, which pydantic reads as they are. What it wouldn't read from a text is
made here: a choice that is no text, a list, what is written as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import from_json, to_json


class Shape:
    """What fits one place, as its JSON schema tells."""

    def __init__(self, schema: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
        self._kinds = kinds
        self.schema = self._resolve(schema)
        self.ways = list(self._ways(self.schema))
        """What it may be: of a union each member."""

    @classmethod
    def of(cls, adapter: TypeAdapter[Any], *, by_alias: bool = True) -> Shape:
        """Of a type; of one that has no schema anything fits."""
        try:
            schema = adapter.json_schema(by_alias=by_alias)
        except PydanticInvalidForJsonSchema:
            schema = {}
        return cls(schema, schema.get("$defs", {}))

    @property
    def members(self) -> dict[str, Shape]:
        """Of an object: by name."""
        return {
            name: Shape(each, self._kinds)
            for way in reversed(self.ways)
            for name, each in way.get("properties", {}).items()
        }

    @property
    def required(self) -> set[str]:
        """The members that can't be left out."""
        each = [set(way.get("required", ())) for way in self._objects]
        return set.intersection(*each) if each else set()

    @property
    def is_object(self) -> bool:
        """Whether it may have members, or be of any kind."""
        return bool(self._objects)

    @property
    def may_be_null(self) -> bool:
        """Whether nothing fits."""
        return any(_kind(way) == "null" or None in _choices(way) for way in self.ways)

    @property
    def is_text(self) -> bool:
        """Whether any text fits, and nothing else."""
        return all(_is_plain_text(way) for way in self.ways)

    @property
    def items(self) -> Shape | None:
        """What fits each of several; None where one alone fits."""
        for way in self.ways:
            if _kind(way) == "array":
                each = way.get("items", {})
                return Shape(each if isinstance(each, Mapping) else {}, self._kinds)
        return None

    @property
    def choices(self) -> dict[str, Any]:
        """By the text that stands for each, where nothing else fits. 1 and "1" are two."""
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
        """Whether no plain texts can say all of it: an object, or a list of lists."""
        items = self.items
        return not self._takes_text and (
            self.is_object or (items is not None and (items.is_object or items.items is not None))
        )

    def texts_of_default(self) -> list[str]:
        """What stands for its default: of a list for each."""
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
        """The JSON value that this text stands for, which need not fit."""
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
        """The same of all that were sent for one place: a list where one fits."""
        items = self.items
        if len(texts) == 1:
            # Texts of a list may begin as JSON does: then one of them is one of these.
            of_texts = items is not None and items._takes_text and not self._takes_text
            alone = texts[0] if of_texts else self.read(texts[0])
            if items is None or self._takes_text or isinstance(alone, list):
                return alone
        return [self._at(place).read(each) for place, each in enumerate(texts)]

    def _at(self, place: int) -> Shape:
        """What fits the text at this place, from 0, of several."""
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
    """The JSON object that texts are, by name. Several of a name are a list, also where one alone fits."""
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
"""Of what nothing is known."""
