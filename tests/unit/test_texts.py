"""Texts of a query or a form become JSON by the schema of what they are for."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_json

from outlast.sdk.texts import Shape


@pytest.mark.parametrize(
    ("of", "texts", "value"),
    [
        (tuple[bool, str], ["true", "true"], (True, "true")),
        (tuple[Literal[1], Literal["1"]], ["1", "1"], (1, "1")),
        (list[str], ['["a"]'], ['["a"]']),
        (list[str], ["[1]"], ["[1]"]),
        (list[str], ["[1]", "[2]"], ["[1]", "[2]"]),
        (list[int], ["[1, 2]"], [1, 2]),
        (list[int], ["1"], [1]),
        (list[list[str]], ['[["a"]]'], [["a"]]),
        (dict[str, int], ['{"a": 1}'], {"a": 1}),
        (str, ["[1]"], "[1]"),
    ],
)
def test_what_a_text_stands_for_follows_from_the_type_alone(of: Any, texts: list[str], value: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(of)
    assert adapter.validate_json(to_json(Shape.of(adapter).read_all(texts))) == value
