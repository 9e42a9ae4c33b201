"""What is remembered of tokens, and how keys are compared."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from outlast.core.clock import Clock
from outlast.web.callers import tokens
from outlast.web.callers.credentials import ApiKeys
from outlast.web.callers.key_sets import KeySet
from outlast.web.http.problems import ProblemError

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


NOW_S = 4_000_000_000
"""Not the machine's."""


class Then(Clock):
    def now_s(self) -> float:
        return NOW_S


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": NOW_S + 1}, None),
        ({"exp": NOW_S + 0.5}, None),
        ({"exp": str(NOW_S + 1)}, None),
        ({"exp": NOW_S - 9}, None),
        ({"exp": NOW_S - 10}, "expired"),
        ({"exp": NOW_S + 60, "nbf": NOW_S + 10}, None),
        ({"exp": NOW_S + 60, "nbf": NOW_S + 11}, "not in force"),
        ({"exp": NOW_S + 60, "iat": NOW_S + 10}, None),
        ({"exp": NOW_S + 60, "iat": NOW_S + 11, "nbf": 0}, "not in force"),
        ({"exp": NOW_S + 60, "iat": None}, "not in force"),
        ({"exp": NOW_S + 60, "nbf": "soon"}, "not in force"),
        ({"exp": {}}, "not in force"),
        ({"exp": None}, "no exp"),
        ({}, "no exp"),
    ],
)
async def test_tokens_are_in_force_by_our_clock(claims: dict[str, Any], code: str | None) -> None:
    known = tokens.Tokens(KeySet(None, SECRET, None), (), ("authenticated",), Then())
    # PyJWT writes no bad times: they are put in as what they are.
    token = jwt.api_jws.PyJWS().encode(
        json.dumps({"sub": "ada", "role": "authenticated", "aud": "authenticated", **claims}).encode(),
        SECRET,
        "HS256",
    )
    if code is None:
        assert (await known.identify(token)).caller.id == "ada"
        return
    with pytest.raises(ProblemError) as caught:
        await known.identify(token)
    assert caught.value.problem.status == 401
    assert code in caught.value.problem.detail
    assert isinstance(caught.value, tokens.TokenExpired) == (code == "expired")


def test_a_key_is_known_by_all_of_it() -> None:
    key = "sb_secret_0123456789abcdef"
    keys = ApiKeys({"default": key}, {})
    assert keys.find(key) is not None
    near = [key[:length] for length in range(len(key))] + [f"{key}{number}" for number in range(2_000)]
    assert [each for each in [*near, key.upper(), f" {key}"] if keys.find(each)] == []
