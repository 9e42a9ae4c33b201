"""Seals of callbacks: what they name, and that nothing else opens them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.callbacks import PATH, Link, Seals
from outlast.core.named_types import find_type, name_of_type

OLD, NEW = "sb_secret_old_0123456789", "sb_secret_new_0123456789"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


LINK = Link("order:1", "4.2", 1e9, "m")


def token_of(seals: Seals, link: Link = LINK) -> str:
    url = seals.url(link)
    assert url.startswith(f"https://example.org/deep{PATH}")
    return url.rpartition("/")[2]


def seals(*keys: str) -> Seals:
    return Seals(keys, "https://example.org/deep/")


@given(texts, st.floats(0, 1e11))
def test_what_is_sealed_opens_to_the_same_and_shows_nothing(workflow_id: str, expires_s: float) -> None:
    link = Link(workflow_id, "5.1", expires_s, "m")
    token = token_of(seals(OLD), link)
    assert seals(OLD).open(token) == link
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert token != token_of(seals(OLD), link), "two of the same differ"


def test_every_change_of_a_token_makes_it_nobodys() -> None:
    token = token_of(seals(OLD))
    alphabet = string.ascii_letters + string.digits + "-_"
    for place in range(len(token)):
        for other in alphabet:
            changed = token[:place] + other + token[place + 1 :]
            assert changed == token or seals(OLD).open(changed) is None
    for other in ("", "=", token[:-1], token + "A", token + "=", "é", "A" * 5000, "%41" + token):
        assert seals(OLD).open(other) is None


def test_a_new_key_seals_and_the_old_one_still_opens_while_it_is_there() -> None:
    old, rotating, new = seals(OLD), seals(NEW, OLD), seals(NEW)
    assert rotating.open(token_of(old)) is not None
    assert new.open(token_of(old)) is None
    assert new.open(token_of(rotating)) is not None


def test_what_is_lacking_is_named() -> None:
    assert seals(OLD).lacks is None
    assert "OUTLAST_PUBLIC_URL" in str(Seals([OLD], None).lacks)
    assert "SUPABASE_SECRET_KEY" in str(seals().lacks)


class Answer: ...


Many = list[Answer]


@pytest.mark.parametrize("of", [Answer, Many, int, bool, dict])
def test_a_type_is_found_by_its_name(of: object) -> None:
    name = name_of_type(of, globals())
    assert name is not None
    assert find_type(name, globals()) is of


def test_a_type_of_another_module_is_found_and_one_without_a_name_is_not() -> None:
    name = name_of_type(Link, {})
    assert name == "outlast.core.callbacks:Link"
    assert find_type(name, {}) is Link
    assert name_of_type(list[int], globals()) is None

    class Local: ...

    assert name_of_type(Local, globals()) is None
    for gone in ("Gone", "outlast.core.callbacks:Gone", "no.such:Thing"):
        with pytest.raises(LookupError):
            find_type(gone, {})
