"""Numbers in JSON: those that no double holds are told from all others."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.bounds import check_numbers

LARGEST = 1.7976931348623157e308


@pytest.mark.parametrize(
    "text", ["1e309", "-1E+309", "1e000999", '[1, {"a": 1.5e400}]', "9" * 309, "9" * 299 + "e10", "NaN 1e999"]
)
def test_what_no_double_holds(text: str) -> None:
    with pytest.raises(ValueError, match=r"beyond what a double holds|Extra data|Expecting"):
        check_numbers(text.encode())


@pytest.mark.parametrize(
    "text",
    ["0", "1e308", "1e-999", "9" * 308, '"1e999"', '{"1e999": "a1e999"}', '"9e999\\u0000"', str(LARGEST)],
)
def test_what_one_holds(text: str) -> None:
    check_numbers(text.encode())


@given(st.integers(1, 400), st.integers(0, 400), st.integers(-400, 400), st.sampled_from("eE"))
def test_any_number(digits: int, fraction: int, exponent: int, letter: str) -> None:
    text = "9" * digits + ("." + "9" * fraction if fraction else "") + f"{letter}{exponent:+}"
    if math.isinf(float(text)):
        with pytest.raises(ValueError, match="beyond"):
            check_numbers(text.encode())
    else:
        check_numbers(json.dumps([text]).encode())
        check_numbers(text.encode())
