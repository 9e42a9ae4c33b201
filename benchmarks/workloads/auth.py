"""What it costs to ask who calls: no question, a secret key, a user's token."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.harness.driving import Call, drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import cells, interleaved, ratio, summary
from benchmarks.harness.section import Section, Table

CONNECTIONS = 64
SECRET = "sb_secret_of_the_benchmarks"
ISSUER = "http://127.0.0.1:9"
TITLES = {
    "open": "nobody is asked",
    "key": "a secret key",
    "user": "a user's token (ES256), whose claims are stored",
}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "auth",
        "Asking who calls",
        f"One-step calls at {CONNECTIONS} connections, of a function that anybody may call and of one that "
        "lets in users and holders of a secret key alone, by turns. The token is verified when it is new and "
        "remembered for a minute, as it is for a user who calls more than once. It has the claims that "
        "Supabase Auth writes, about 600 bytes; they are stored with each workflow, which is part of the "
        "price.",
    )
    token, keys = _signed()
    env = {"SUPABASE_JWKS": keys, "SUPABASE_SECRET_KEY": SECRET, "OUTLAST_JWT_ISSUERS": ISSUER}
    body = {"n": 1}
    calls = {
        "open": Call("/functions/v1/steps", body),
        "key": Call("/functions/v1/steps/asked", body, {"apikey": SECRET}),
        "user": Call("/functions/v1/steps/asked", body, {"Authorization": f"Bearer {token}"}),
    }
    with lab.serving("outlast", database=lab.database("auth"), env=env) as server:

        def one(name: str) -> dict[str, Any]:
            seconds = lab.seconds
            return drive(server, calls[name], CONNECTIONS, seconds=seconds, warmup_s=seconds / 3)

        runs = interleaved(list(TITLES), lab.rounds, one)
    table = Table("Calls per second", ["", "calls/s", "p50 ms", "p99 ms"], [])
    for name, each in runs.items():
        table.rows.append([TITLES[name], *cells(each)])
        lab.say(f"{TITLES[name]}: {summary(each)['per_s'].text()}/s")
        section.raw[name] = each
    by_key, by_token = (ratio(runs, name, "open") for name in ("key", "user"))
    section.ratios.append(
        f"Calls with a secret key are answered {by_key.text()}× as fast as where nobody is asked, those with "
        f"a user's token {by_token.text()}×."
    )
    section.figures = {"by_key": by_key.record(), "by_token": by_token.record()}
    section.tables.append(table)
    return section


def _signed() -> tuple[str, str]:
    """A user's token, and the key set that tells of its key."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec
    from jwt.algorithms import ECAlgorithm

    key = ec.generate_private_key(ec.SECP256R1())
    public = {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": "1", "alg": "ES256"}
    claims = {
        "iss": ISSUER,
        "sub": "0b29ad4e-6d0f-4b7a-9d5e-a1a1a1a1a1a1",
        "aud": "authenticated",
        "exp": 4_000_000_000,
        "iat": 1_700_000_000,
        "email": "ada@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {
            "email_verified": True,
            "name": "Ada Lovelace",
            "avatar_url": "https://example.com",
        },
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": 1_700_000_000}],
        "session_id": "7c1f0c52-1f0b-4d3e-8f0a-e0e0e0e0e0e0",
        "is_anonymous": False,
    }
    return jwt.encode(claims, key, "ES256", headers={"kid": "1"}), json.dumps({"keys": [public]})
