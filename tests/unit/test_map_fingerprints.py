"""What a map goes over has a fingerprint, by which a retried workflow finds its map again."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.core.maps import fingerprint_of_items


class Other:
    """JSON can't say what it is, and its text is another one in each process."""


class Raises:
    def __iter__(self) -> Any:
        raise ValueError("no")

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise ValueError("no")


def test_the_same_is_the_same_and_else_it_differs() -> None:
    given: list[tuple[Any, ...]] = [
        ("list", ["1", "2"], None),
        ("list", ["1", "2"], ["a", "b"]),
        ("list", ["12"], None),
        ("list", [], None),
        ("query", "select 1", ("a", 2.5, b"\xff"), False),
        ("query", "select 1", ("a", 2.5, b"\xfe"), False),
        ("query", "select 1", ("a", 2.5, b"\xff"), True),
        ("step", "lines", (1,), {"of": 2}, False),
        ("step", "lines", (1, 2), {}, False),
    ]
    assert len({fingerprint_of_items(*each) for each in given}) == len(given)
    assert [fingerprint_of_items(*each) for each in given] == [fingerprint_of_items(*each) for each in given]


@pytest.mark.parametrize("strange", [Other, Raises, lambda: "\ud800"])
def test_what_is_no_json_counts_as_what_it_is(strange: Any) -> None:
    one, same = (fingerprint_of_items("step", "lines", (strange(),), {}, False) for _ in range(2))
    assert one == same
    assert one != fingerprint_of_items("query", "lines", [strange()], {}, False)
