"""What is remembered of tokens, and how keys are compared."""

from __future__ import annotations

import jwt
import pytest

from outlast.core.clock import Clock
from outlast.web.callers import tokens
from outlast.web.callers.credentials import ApiKeys
from outlast.web.callers.key_sets import KeySet

SECRET = "a secret of more than thirty-two characters"


def signed(lasts_s: float) -> str:
    claims = {
        "sub": "ada",
        "role": "authenticated",
        "aud": "authenticated",
        "exp": int(Clock().now_s() + lasts_s),
    }
    return jwt.encode(claims, SECRET, "HS256")


async def test_a_remembered_token_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(tokens, "monotonic", lambda: now[0])
    known = tokens.Tokens(KeySet(None, SECRET, None), (), ("authenticated",), Clock())
    for lasts_s, remembered_s in ((3600.0, tokens.REMEMBERED_S), (20.0, 20.0 + tokens.LEEWAY_S)):
        token = signed(lasts_s)
        await known.identify(token)
        assert known.recall(token) is not None
        now[0] += remembered_s - 5
        assert known.recall(token) is not None
        now[0] += 6
        assert known.recall(token) is None


def test_a_key_is_known_by_all_of_it() -> None:
    key = "sb_secret_0123456789abcdef"
    keys = ApiKeys({"default": key}, {})
    assert keys.find(key) is not None
    near = [key[:length] for length in range(len(key))] + [f"{key}{number}" for number in range(2_000)]
    assert [each for each in [*near, key.upper(), f" {key}"] if keys.find(each)] == []
