"""JSON Schemas of functions as components whose names never clash."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = dict[str, Any]

PREFIX = "#/components/schemas/"
_SCALARS = frozenset({"string", "integer", "number", "boolean"})
_EXAMPLES = frozenset({"const", "default", "example", "examples"})
_DEPTH_MAX = 8


class Schemas:
    """Collects schemas. Two functions may each have a model `Order`: each name begins with its function's."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self.components: dict[str, Schema] = dict(components)

    def add(self, function: str, kind: str, schema: Schema) -> Schema:
        """Add pydantic's schema with its `$defs`. Returns a schema that refers to it."""
        if not schema:
            return {}
        stem = f"{function.replace('/', '.')}.{kind}"
        definitions: dict[str, Schema] = schema.get("$defs", {})
        names: dict[str, str] = {}
        for name in definitions:
            names[f"{PREFIX}{name}"] = f"{PREFIX}{self._reserve(f'{stem}.{name}')}"
        for name, definition in definitions.items():
            self.components[names[f"{PREFIX}{name}"].removeprefix(PREFIX)] = _rename(definition, names)
        root: Schema = _rename({key: value for key, value in schema.items() if key != "$defs"}, names)
        if set(root) == {"$ref"}:
            return root
        own = self._reserve(stem)
        self.components[own] = root
        return {"$ref": f"{PREFIX}{own}"}

    def resolve(self, schema: Schema) -> Schema:
        """What a reference refers to."""
        for _ in range(_DEPTH_MAX):
            if "$ref" not in schema:
                break
            schema = self.components[schema["$ref"].removeprefix(PREFIX)]
        return schema

    def query_properties(self, schema: Schema) -> Iterator[tuple[str, bool, Schema]]:
        """Name, whether it is required, and schema of those properties that a query can carry."""
        root = self.resolve(schema)
        for name, each in root.get("properties", {}).items():
            if self._fits_query(each):
                yield name, name in root.get("required", ()), each

    def fits_query(self, schema: Schema) -> bool:
        """Whether a query can carry all that is required."""
        required = set(self.resolve(schema).get("required", ()))
        return required <= {name for name, _, _ in self.query_properties(schema)}

    def _fits_query(self, schema: Any, depth: int = 0) -> bool:
        """Whether texts stand for it: one, or of a list each."""
        if not isinstance(schema, dict) or depth > _DEPTH_MAX:
            return False
        schema = self.resolve(schema)
        choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if choices:
            return any(self._fits_query(each, depth + 1) for each in choices)
        if schema.get("type") == "array":
            each = schema.get("items", {})
            return self._fits_query(each, depth + 1) and self.resolve(each).get("type") != "array"
        return not isinstance(schema.get("type"), str) or schema["type"] in _SCALARS

    def _reserve(self, name: str) -> str:
        """A component name that is free; OpenAPI allows few characters in one."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        while name in self.components:
            name += "_"
        self.components[name] = {}
        return name


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with all references renamed, those in a union's discriminator too."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        hidden = _EXAMPLES if _EXAMPLES & value.keys() and _is_secret(value) else frozenset()
        return {
            key: {name: _rename(inner, names) for name, inner in each.items()}
            if key == "properties" and isinstance(each, dict)  # its keys are names, not keywords
            else _rename(each, names)
            for key, each in value.items()
            if key not in hidden
        }
    if isinstance(value, list):
        return [_rename(each, names) for each in value]
    return value


def _is_secret(schema: Any) -> bool:
    """Whether a value is, or contains, one that pydantic marks as secret (SecretStr)."""
    if isinstance(schema, list):
        return any(map(_is_secret, schema))
    if not isinstance(schema, dict):
        return False
    return schema.get("writeOnly") is True or any(map(_is_secret, schema.values()))
