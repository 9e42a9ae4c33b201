"""What Postgres can hold: NUL and half a surrogate pair are found, and nothing else is touched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.errors import NotSerializable, UsageError
from outlast.core.storable import check_json, check_text, clean_json, clean_text, holds_nul, unstorable

parts = st.lists(st.sampled_from(["\\", "\\\\", "\0", "u0000", "a", '"', "é", "\ud800", "\U0001f600"]))
anything = parts.map("".join)


@given(anything)
def test_a_clean_text_is_storable_and_a_storable_one_stays(text: str) -> None:
    assert unstorable(clean_text(text)) is None
    if unstorable(text) is None:
        assert clean_text(text) == text


@given(st.lists(anything.filter(lambda text: "\ud800" not in text)))
def test_clean_json_says_the_same_but_for_nul(texts: list[str]) -> None:
    for written in (json.dumps(texts), json.dumps(texts, ensure_ascii=False)):
        assert holds_nul(written) == any("\0" in text for text in texts)
        assert json.loads(clean_json(written)) == [text.replace("\0", "\ufffd") for text in texts]


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "ok\udfff"])
def test_a_text_that_is_refused_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"the topic holds (a NUL character|half a surrogate pair)"):
        check_text(text, "the topic")
    check_text("\\u0000 é", "the topic")


def test_json_that_sql_cannot_read_is_refused_with_the_remedy() -> None:
    with pytest.raises(NotSerializable, match=r"the message holds a NUL character.*leave it out"):
        check_json(json.dumps({"name": "a\0b"}), "the message")
    check_json(json.dumps("\\u0000"), "the message")
