"""The form of a function's input, out of its schema, and back."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.web.dashboard.inputs import WHOLE, Field, fields_of, read_input

PATH = "/functions/v1/shop"


def described(schema: dict[str, Any], **schemas: Any) -> dict[str, Any]:
    """An OpenAPI document in which PATH takes this."""
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"paths": {PATH: {"post": {"requestBody": body}}}, "components": {"schemas": schemas}}


ORDER = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "title": "Order", "description": "Its number"},
        "cents": {"type": "integer"},
        "weight": {"type": "number", "default": 1.5},
        "express": {"type": "boolean"},
        "speed": {"enum": ["slow", "fast"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
    },
    "required": ["order", "cents"],
}


def test_each_member_is_a_field() -> None:
    fields = fields_of(described({"$ref": "#/components/schemas/Order"}, Order=ORDER), PATH)
    assert fields is not None
    kinds = {each.name: each.kind for each in fields}
    assert kinds == {
        "order": "text", "cents": "whole", "weight": "number", "express": "choice", "speed": "choice",
        "note": "text", "lines": "json",
    }  # fmt: skip
    assert [each.name for each in fields if each.required] == ["order", "cents"]
    assert (fields[0].label, fields[0].about, fields[2].example) == ("Order", "Its number", "1.5")
    assert fields[4].choices == ('"slow"', '"fast"')


def test_what_is_sent_is_read_as_json_values() -> None:
    fields = fields_of(described(ORDER), PATH)
    sent = {
        "order": "A-1",
        "cents": "199",
        "weight": "2.5",
        "express": "true",
        "speed": '"fast"',
        "lines": "[1]",
    }
    read = read_input(fields, {f"input.{name}": text for name, text in sent.items()})
    assert read == {
        "order": "A-1",
        "cents": 199,
        "weight": 2.5,
        "express": True,
        "speed": "fast",
        "lines": [1],
    }


def test_an_empty_field_is_left_out_unless_it_is_a_text_that_is_needed() -> None:
    fields = fields_of(described(ORDER), PATH)
    assert read_input(fields, {"input.order": "", "input.cents": "", "input.note": ""}) == {"order": ""}


@pytest.mark.parametrize(
    ("name", "text"), [("cents", "1.5"), ("weight", "x"), ("speed", '"none"'), ("lines", "[")]
)
def test_what_can_not_be_names_its_field(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} can't be .*: (give|choose) "):
        read_input(fields_of(described(ORDER), PATH), {f"input.{name}": text})


def test_any_other_input_is_one_field() -> None:
    fields = fields_of(described({"type": "array"}), PATH)
    assert fields == [Field(WHOLE, "Input", "json", required=True)]
    assert read_input(fields, {"input.input": "[1, 2]"}) == [1, 2]


def test_what_is_not_called_by_post_with_json_has_no_form() -> None:
    assert fields_of({"paths": {}}, PATH) is None
    assert fields_of({"paths": {PATH: {"get": {}}}}, PATH) is None
    assert (
        fields_of(described({"type": "object", "properties": {}, "additionalProperties": False}), PATH) == []
    )


def test_a_reference_that_leads_round_ends() -> None:
    loop = {"$ref": "#/components/schemas/Loop"}
    assert fields_of(described(loop, Loop=loop), PATH) is not None
