"""Fields of forms, and values as people type them in: of a function's input, of a verb's arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from outlast.core.resources import Kind
from outlast.core.values import parse_duration, parse_rate
from outlast.core.verbs import Argument

FIELDS_MAX = 40
WHOLE = "input"
"""The field that holds all of an input which isn't a few members."""

_NOTHING: dict[str, Any] = {}


class Field(NamedTuple):
    """One field. `kind`: text, whole, number, choice or json."""

    name: str
    label: str
    kind: str
    about: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    example: str = ""

    @property
    def sent_as(self) -> str:
        """Its name in the form, which no other field of the page has."""
        return f"input.{self.name}"


def fields_of(document: Mapping[str, Any], path: str) -> list[Field] | None:
    """The fields for the JSON body of a POST in an OpenAPI document; None if there is no such thing."""
    operation = document.get("paths", _NOTHING).get(path, _NOTHING).get("post")
    if operation is None:
        return None
    content = operation.get("requestBody", _NOTHING).get("content", _NOTHING)
    media = content.get("application/json")
    if media is None:
        return [] if not content or set(content) == {"*/*"} else None
    schema = _resolve(media.get("schema", _NOTHING), document)
    members = schema.get("properties", _NOTHING)
    if not members and schema.get("type") == "object" and schema.get("additionalProperties") is False:
        return []
    if not 0 < len(members) <= FIELDS_MAX:
        return [Field(WHOLE, "Input", "json", required=bool(operation["requestBody"].get("required")))]
    needed = frozenset(schema.get("required", ()))
    return [_field(name, each, document, name in needed) for name, each in members.items()]


def read_input(fields: Sequence[Field] | None, given: Mapping[str, str]) -> Any:
    """The input as JSON values. An empty field is left out. Raises ValueError, which names the field."""
    found: dict[str, Any] = {}
    for each in fields or ():
        text = given.get(each.sent_as, "")
        if not text and not (each.kind == "text" and each.required):
            continue
        try:
            found[each.name] = _read(each, text)
        except ValueError:
            raise ValueError(f"{each.label} can't be {text[:100]!r}: {_WANTED[each.kind]}") from None
    if fields and fields[0].name == WHOLE and len(fields) == 1:
        return found.get(WHOLE)
    return found


_WANTED = {
    "whole": "give a whole number",
    "number": "give a number",
    "json": "give JSON; texts stand in double quotes",
    "choice": "choose one of the list",
    "text": "",
}


def _read(field: Field, text: str) -> Any:
    match field.kind:
        case "whole":
            return int(text)
        case "number":
            return float(text)
        case "json":
            return json.loads(text)
        case "choice":
            if text not in field.choices:
                raise ValueError(text)
            return json.loads(text)
    return text


def _field(name: str, schema: Mapping[str, Any], document: Mapping[str, Any], required: bool) -> Field:
    schema = _one_of(_resolve(schema, document), document)
    label = str(schema.get("title") or name)
    about = str(schema.get("description") or "")
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    kind = schema.get("type")
    if kind == "boolean":
        choices = [True, False]
    example = "" if "default" not in schema else json.dumps(schema["default"], ensure_ascii=False)
    if choices:
        texts = tuple(json.dumps(each, ensure_ascii=False) for each in choices)
        return Field(name, label, "choice", about, required, texts, example)
    found = {"string": "text", "integer": "whole", "number": "number"}.get(str(kind), "json")
    return Field(name, label, found, about, required, (), example)


def _one_of(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a value may be beside null, where that is one thing."""
    several = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return {**schema, **_resolve(several[0], document)} if len(several) == 1 else schema


def _resolve(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference leads to."""
    for _ in range(10):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = document
        for each in reference[2:].split("/"):
            found = found.get(each.replace("~1", "/").replace("~0", "~"), _NOTHING)
        schema = found
    return schema


class _Typed(NamedTuple):
    """How a kind is typed: what reads it (raises ValueError), what is wanted in words, and an example."""

    read: Callable[[str], Any]
    wanted: str
    example: str = ""


def _rate(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else parse_rate(text)


_TEXT = _Typed(str, "a text")
_WHOLE = _Typed(int, "a whole number")
_KINDS = {
    Kind.COUNT: _WHOLE,
    Kind.INTEGER: _WHOLE,
    Kind.NUMBER: _Typed(float, "a number"),
    Kind.DURATION: _Typed(parse_duration, "seconds, or 5m, 2h, 7d", "90s, 5m, 2h"),
    Kind.FLAG: _Typed(lambda text: text == "true", "true or false"),
    Kind.RATE: _Typed(_rate, "how many in which time: 100/60s", "100/60s"),
    Kind.TIMESTAMP: _Typed(str, "a date with time and offset", "2026-11-29T09:00:00Z"),
    Kind.OBJECT: _Typed(json.loads, 'an object, as JSON: {"customer": "42"}', '{"customer": "42"}'),
    Kind.JSON: _Typed(json.loads, "JSON: a text stands in double quotes", "JSON"),
}


def read_typed(argument: Argument, text: str) -> Any:
    """The value as JSON has it, its bounds not checked yet. Raises ValueError, which says what to give."""
    if argument.nullable and text == "null":
        return None
    kind = _KINDS.get(argument.kind, _TEXT)
    try:
        return kind.read(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{argument.name} can't be {text[:100]!r}; give {kind.wanted}") from None


def typed_example(argument: Argument) -> str:
    """What a field shows while it is empty; empty where its words say enough."""
    return _KINDS.get(argument.kind, _TEXT).example
