"""How values become text for people: widths, durations, nothing that could do harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlast.cli.cells import ago, moment, span
from outlast.cli.screen import cut, fitted, one_line, padded, plain_text, width_of
from outlast.core.printable import escape

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(st.text(max_size=60), st.integers(1, 40))
@example("\u0301", 1)
@example("日本", 2)
def test_cut_text_fits(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width
    assert cut(text, width_of(text)) == text


@given(st.text(max_size=20))
def test_padded_text_has_the_width(text: str) -> None:
    assert width_of(padded(text, width_of(text) + 3)) == width_of(text) + 3


@given(st.text())
def test_escaped_text_can_be_shown(text: str) -> None:
    assert escape(text).isprintable()
    assert one_line(text).isprintable()
    assert plain_text(text).isprintable()


@given(st.lists(st.integers(0, 200), min_size=1, max_size=7), st.integers(0, 300))
def test_widths_fit_or_are_at_their_least(natural: list[int], room: int) -> None:
    widths = fitted(natural, room)
    assert all(width <= asked for width, asked in zip(widths, natural, strict=True))
    assert sum(widths) <= room or max(widths) <= 8
    if sum(natural) <= room:
        assert widths == natural


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("é", 1)])
def test_width(text: str, width: int) -> None:
    assert width_of(text) == width


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("a\tb\n", "a\\tb\\n"), (3, "3"), (True, "true"), ({"é": [1]}, '{"é": [1]}')],
)
def test_plain_text(value: object, text: str) -> None:
    assert plain_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (1.9, "1 s ago"),
        (200, "3 min ago"),
        (7_300, "2 h ago"),
        (90_000, "1 d ago"),
        (-20, "in 20 s"),
        (40 * 86_400, "2026-10-13"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.34, "340 ms"),
        (1.24, "1.2 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize("text", [None, 3, "", "yesterday", "2026-11-22T10:00:00"])
def test_what_is_no_moment(text: object) -> None:
    assert moment(text) is None
