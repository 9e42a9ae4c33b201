"""What functions find of the key set: what verifies tokens, and nothing that signs them."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.host.surroundings import public_key_set

PUBLIC: dict[str, Any] = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "kid": "1", "alg": "ES256"}


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        (PUBLIC, [PUBLIC]),
        ({**PUBLIC, "d": "private"}, [PUBLIC]),
        ({"kty": "oct", "k": "secret", "alg": "HS256"}, []),
        ({"kty": "RSA", "n": "n", "e": "e", "d": "1", "p": "2", "q": "3", "dp": "4", "dq": "5", "qi": "6"},
         [{"kty": "RSA", "n": "n", "e": "e"}]),
        ("no key", []),
    ],
    ids=["public", "private", "symmetric", "rsa", "none"],
)  # fmt: skip
def test_of_a_key_set_functions_see_what_verifies(key: Any, seen: list[Any]) -> None:
    assert public_key_set({"keys": [key]}) == {"keys": seen}
