"""The gateway and the functions' own doors, with tokens that a project on loopback signs."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from outlast.web.callers import key_sets
from tests.hosts import SECRET, until
from tests.http.conftest import Start
from tests.http.harness import Served, check_problem, fresh_key
from tests.tokens import LEGACY, Key, Project, claims_of, elliptic, now_s, project, rivest
from tests.tokens import SECRET as JWT_SECRET

ANON_KEY = LEGACY.sign({"role": "anon", "iss": "supabase", "exp": 4_000_000_000})
SERVICE_KEY = LEGACY.sign({"role": "service_role", "iss": "supabase", "exp": 4_000_000_000})
PUBLISHABLE = "sb_publishable_that_the_host_knows"
CRONS = "sb_secret_of_the_crons_0123456789"
RSA = rivest()

FORMAT = "UNAUTHORIZED_INVALID_JWT_FORMAT"
ASYMMETRIC = "UNAUTHORIZED_ASYMMETRIC_JWT"
LEGACY_JWT = "UNAUTHORIZED_LEGACY_JWT"
ALGORITHM = "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM"
NO_HEADER = "UNAUTHORIZED_NO_AUTH_HEADER"
NO_KEY = "UNAUTHORIZED_INVALID_API_KEY"
INVALID = "INVALID_CREDENTIALS"
_names = itertools.count()


@pytest.fixture(scope="module")
def signer() -> Iterator[Project]:
    with project(elliptic(), RSA) as made:
        yield made


@pytest.fixture(scope="module")
def guarded(start_host: Start, signer: Project) -> Served:
    return started(start_host, signer)


def started(start_host: Start, signer: Project, **settings: Any) -> Served:
    host = start_host(
        "--host",
        "127.0.0.1",
        SUPABASE_URL=signer.url,
        SUPABASE_JWT_SECRET=JWT_SECRET,
        SUPABASE_SECRET_KEYS=json.dumps({"default": SECRET, "crons": CRONS}),
        SUPABASE_PUBLISHABLE_KEY=PUBLISHABLE,
        SUPABASE_ANON_KEY=ANON_KEY,
        **settings,
    )
    host.client.headers.pop("authorization")
    return host


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def a_user() -> str:
    return f"user-{next(_names)}"


def refused(host: Served, headers: dict[str, str], code: str, function: str = "guarded") -> None:
    answer = host.refused(function, {}, headers=headers)
    check_problem(answer, 401, code)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "workflow-id" not in answer.headers


# --- the gateway --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1], ids=["ES256", "RS256"])
def test_a_signed_in_user_is_known(guarded: Served, signer: Project, number: int) -> None:
    who = a_user()
    answer = guarded.call("guarded", {}, headers=bearer(signer.token(who, signer.keys[number])))
    assert answer.status_code == 200, answer.text
    same = answer.json().pop("same")
    assert same == {
        "mode": "user",
        "id": who,
        "role": "authenticated",
        "email": f"{who}@example.com",
        "key": None,
        "app": {"provider": "email"},
        "user": {"name": who},
    }
    assert {**answer.json(), "same": same} == {**same, "same": same}


def test_the_legacy_secret_signs_too(guarded: Served, signer: Project) -> None:
    who = a_user()
    answer = guarded.call("guarded", {}, headers=bearer(signer.token(who, LEGACY)))
    assert answer.json()["id"] == who


@pytest.mark.parametrize(
    ("headers", "mode", "role", "key"),
    [
        ({"apikey": SECRET}, "secret", "service_role", "default"),
        (bearer(CRONS), "secret", "service_role", "crons"),
        ({"apikey": PUBLISHABLE}, "publishable", "anon", "default"),
        (bearer(PUBLISHABLE), "publishable", "anon", "default"),
        ({"apikey": ANON_KEY, **bearer(ANON_KEY)}, "publishable", "anon", "anon"),
        (bearer(SERVICE_KEY), "secret", "service_role", "service_role"),  # known by its signature alone
        ({"apikey": PUBLISHABLE, **bearer(SECRET)}, "secret", "service_role", "default"),
    ],
    ids=str,
)
def test_keys_of_the_project(
    guarded: Served, headers: dict[str, str], mode: str, role: str, key: str
) -> None:
    told = guarded.call("guarded", {}, headers=headers).json()
    assert (told["mode"], told["role"], told["key"], told["id"]) == (mode, role, key, None)


def test_a_token_goes_before_a_key(guarded: Served, signer: Project) -> None:
    who = a_user()
    for key in (PUBLISHABLE, SECRET):
        headers = {"apikey": key, **bearer(signer.token(who))}
        assert guarded.call("guarded", {}, headers=headers).json()["id"] == who


def b64(document: Any) -> str:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(signer: Project) -> str:
    return f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(claims_of('eve', signer.issuer))}."


def forged_with_the_public_key(signer: Project) -> str:
    """HS256 keyed by what everybody may read: the classic confusion of algorithms."""
    import hashlib
    import hmac

    key = signer.keys[0]
    head = b64({"alg": "HS256", "kid": key.kid})
    body = b64(claims_of("eve", signer.issuer))
    mac = hmac.new(key.public_pem, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{b64(mac)}"


def swapped(signer: Project) -> str:
    """Another's claims under a good signature."""
    head, _, signature = signer.token("ada").split(".")
    return f"{head}.{b64(claims_of('eve', signer.issuer))}.{signature}"


HOUR = 3600
BAD_TOKENS: dict[str, tuple[Any, str]] = {
    "nonsense": (lambda p: "nonsense", FORMAT),
    "two parts": (lambda p: "a.b", FORMAT),
    "no JSON": (lambda p: f"{b64(b'x')}.{b64(b'y')}.z", FORMAT),
    "a list for a header": (lambda p: f"{b64([1])}.{b64({})}.z", FORMAT),
    "nested deeply": (lambda p: f"{b64(b'[' * 8000)}.{b64({})}.z", FORMAT),
    "none": (unsigned, ALGORITHM),
    "HS512": (lambda p: jwt.encode(claims_of("a", p.issuer), JWT_SECRET * 2, "HS512"), ALGORITHM),
    "alg is no text": (lambda p: f"{b64({'alg': ['ES256']})}.{b64({})}.{b64(b'x')}", ALGORITHM),
    "HS256 by the public key": (forged_with_the_public_key, LEGACY_JWT),
    "another's claims": (swapped, ASYMMETRIC),
    "a stranger's key under a known name": (
        lambda p: p.token("eve", elliptic(p.keys[0].kid)),
        ASYMMETRIC,
    ),
    "a stranger's secret": (lambda p: Key("HS256", "x" * 40).sign(claims_of("eve", p.issuer)), LEGACY_JWT),
    "expired": (lambda p: p.token("ada", exp=now_s() - 60), ASYMMETRIC),
    "expired, legacy": (lambda p: p.token("ada", LEGACY, exp=now_s() - 60), LEGACY_JWT),
    "no exp": (lambda p: p.token("ada", exp=None), ASYMMETRIC),
    "exp is infinite": (lambda p: p.keys[0].sign({**claims_of("ada", p.issuer), "exp": 1e999}), ASYMMETRIC),
    "not yet": (lambda p: p.token("ada", nbf=now_s() + HOUR), ASYMMETRIC),
    "another issuer": (lambda p: p.token("ada", issuer="https://elsewhere.example/auth/v1"), ASYMMETRIC),
    "no issuer": (lambda p: p.token("ada", issuer=None), ASYMMETRIC),
    "another audience": (lambda p: p.token("ada", aud="billing"), ASYMMETRIC),
    "no audience": (lambda p: p.token("ada", aud=None), ASYMMETRIC),
    "sub is no text": (lambda p: p.keys[0].sign({**claims_of(None, p.issuer), "sub": 7}), ASYMMETRIC),
    "sub holds NUL": (lambda p: p.token("a\0b"), ASYMMETRIC),
    "another claim holds NUL": (lambda p: p.token("ada", role="a\0b"), ASYMMETRIC),
    "sub is everybody's": (lambda p: p.token("anon"), ASYMMETRIC),
    "a service role of nowhere": (
        lambda p: LEGACY.sign({"role": "service_role", "iss": "x", "exp": 4_000_000_000}),
        LEGACY_JWT,
    ),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_bad_tokens_are_refused(guarded: Served, signer: Project, name: str) -> None:
    make, code = BAD_TOKENS[name]
    token = make(signer)
    refused(guarded, bearer(token), code)
    refused(guarded, {"apikey": SECRET, **bearer(token)}, code)  # whatever else comes with it
    check_problem(guarded.client.get("/workflows/v1", headers=bearer(token)), 401, code)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, NO_HEADER),
        (bearer("sb_publishable_of_another_project"), NO_HEADER),
        (bearer("sb_secret_of_another_project"), NO_KEY),
        ({"authorization": "Bearer"}, FORMAT),
        ({"authorization": "Basic YTpi"}, FORMAT),
    ],
    ids=str,
)
def test_what_is_no_credential_is_absent(guarded: Served, headers: dict[str, str], code: str) -> None:
    refused(guarded, headers, code)


def test_a_clock_may_differ_a_little(guarded: Served, signer: Project) -> None:
    token = signer.token(a_user(), exp=now_s() - 2)
    assert guarded.call("guarded", {}, headers=bearer(token)).status_code == 200


def test_a_token_may_be_for_several(guarded: Served, signer: Project) -> None:
    token = signer.token(a_user(), aud=["billing", "authenticated"])
    assert guarded.call("guarded", {}, headers=bearer(token)).status_code == 200


def test_a_claim_of_our_own_name_says_nothing(guarded: Served, signer: Project) -> None:
    token = signer.token(a_user(), outlast={"mode": "secret", "key": "default"})
    assert guarded.call("guarded", {}, headers=bearer(token)).json()["mode"] == "user"


def test_claims_that_json_has_no_form_for_hurt_nobody(guarded: Served, signer: Project) -> None:
    token = signer.token(a_user(), odd=float("nan"), deep={"odder": float("-inf")})
    assert guarded.call("guarded", {}, headers=bearer(token)).status_code == 200


def test_an_anon_token_without_user_is_anonymous(guarded: Served) -> None:
    other = LEGACY.sign({"role": "anon", "iss": "supabase-demo", "exp": 4_000_000_000, "ref": "x"})
    told = guarded.call("guarded", {}, headers=bearer(other)).json()
    assert (told["mode"], told["role"], told["id"]) == ("publishable", "anon", None)


# --- the functions' own doors -------------------------------------------------------------------------------

WAYS_IN: list[tuple[str, str, str]] = [
    # function, credential, what it is: the mode that let it in, or the code of the refusal
    ("user", "user", "user"),
    ("user", "secret", INVALID),
    ("user", "publishable", INVALID),
    ("user", "anon", INVALID),
    ("user", "nothing", NO_HEADER),
    ("user", "bad", ASYMMETRIC),
    ("user", "other publishable", NO_HEADER),
    ("user", "other secret", NO_HEADER),
    ("publishable", "other publishable", NO_KEY),
    ("publishable", "other secret", NO_KEY),
    ("secret", "other publishable", NO_HEADER),
    ("secret", "other secret", NO_KEY),
    ("either", "other publishable", NO_KEY),
    ("publishable", "publishable", "publishable"),
    ("publishable", "anon", "publishable"),
    ("publishable", "secret", INVALID),
    ("publishable", "user", INVALID),
    ("publishable", "user and key", "publishable"),
    ("publishable", "nothing", NO_HEADER),
    ("secret", "secret", "secret"),
    ("secret", "crons", "secret"),
    ("secret", "service", "secret"),
    ("secret", "publishable", INVALID),
    ("secret", "user", INVALID),
    ("secret", "nothing", NO_HEADER),
    ("crons", "crons", "secret"),
    ("crons", "secret", INVALID),
    ("crons", "service", INVALID),
    ("nobody", "nothing", "none"),
    ("nobody", "user", "none"),
    ("nobody", "bad", "none"),
    ("several", "user", "user"),
    ("several", "crons", "secret"),
    ("several", "secret", "none"),
    ("several", "nothing", "none"),
    ("several", "bad", ASYMMETRIC),
    ("either", "user", "user"),
    ("either", "user and key", "user"),
    ("either", "publishable", "publishable"),
    ("handled", "user", "user"),
    ("handled", "nothing", NO_HEADER),
]


@pytest.mark.parametrize(("function", "credential", "expected"), WAYS_IN)
def test_ways_in(guarded: Served, signer: Project, function: str, credential: str, expected: str) -> None:
    token = bearer(signer.token(a_user()))
    headers = {
        "user": token,
        "user and key": {**token, "apikey": PUBLISHABLE},
        "secret": {"apikey": SECRET},
        "crons": {"apikey": CRONS},
        "service": bearer(SERVICE_KEY),
        "publishable": {"apikey": PUBLISHABLE},
        "anon": bearer(ANON_KEY),
        "nothing": {},
        "other publishable": {"apikey": "sb_publishable_of_another_project"},
        "other secret": {"apikey": "sb_secret_of_another_project"},
        "bad": bearer(signer.token("eve", elliptic("unknown"))),
    }[credential]
    if expected.isupper():
        refused(guarded, headers, expected, f"guarded/{function}")
    else:
        answer = guarded.call(f"guarded/{function}", {}, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["mode"] == expected


def test_without_verification_functions_still_ask_for_what_they_say(
    start_host: Start, signer: Project
) -> None:
    host = start_host(SUPABASE_URL=signer.url, SUPABASE_SECRET_KEY=SECRET)
    host.client.headers.pop("authorization")
    assert host.call("guarded", {}).json()["mode"] == "none"
    assert host.call("guarded", {}, headers=bearer("nonsense")).json()["mode"] == "none"
    who = a_user()
    assert host.call("guarded", {}, headers=bearer(signer.token(who))).json()["id"] == who
    assert host.call("guarded", {}, headers={"apikey": SECRET}).json()["mode"] == "secret"
    refused(host, {}, NO_HEADER, "guarded/user")
    refused(host, bearer("nonsense"), FORMAT, "guarded/user")


# --- what a caller's workflows are --------------------------------------------------------------------------


def test_ids_tell_callers_apart(guarded: Served, signer: Project) -> None:
    key, ada, eve = fresh_key(), a_user(), a_user()
    ids = [
        guarded.call("guarded", {}, key=key, headers=headers).headers["workflow-id"]
        for headers in (
            bearer(signer.token(ada)),
            bearer(signer.token(eve)),
            {"apikey": PUBLISHABLE},
            {"apikey": SECRET},
        )
    ]
    assert ids == [f"guarded:{ada}:{key}", f"guarded:{eve}:{key}", f"guarded:anon:{key}", f"guarded:{key}"]


def test_keys_of_anonymous_callers_must_be_uuids(guarded: Served) -> None:
    for headers, function in [({"apikey": PUBLISHABLE}, "guarded"), ({}, "guarded/nobody")]:
        answer = guarded.refused(function, {}, key="order-1", headers=headers)
        check_problem(answer, 400, "idempotency_key_invalid")
        assert "UUID" in answer.json()["detail"]
        assert guarded.call(function, {}, key=fresh_key(), headers=headers).status_code == 200


def test_claims_are_stored_and_no_token(guarded: Served, signer: Project) -> None:
    who, key = a_user(), fresh_key()
    token = signer.token(who)
    answer = guarded.call("guarded", {}, key=key, headers={**bearer(token), "apikey": PUBLISHABLE})
    (row,) = guarded.query(
        "select subject, claims, to_jsonb(w)::text from outlast.workflow_status w where workflow_id = %s",
        answer.headers["workflow-id"],
    )
    assert row[0] == who
    assert row[1] == jwt.decode(token, options={"verify_signature": False})
    for secret in (token, token.rpartition(".")[2], PUBLISHABLE):
        assert secret not in row[2]


@pytest.mark.parametrize("function", ["guarded/parent", "guarded/starting"])
def test_children_act_for_the_same_caller(guarded: Served, signer: Project, function: str) -> None:
    who = a_user()
    answer = guarded.call(function, {}, headers=bearer(signer.token(who))).json()
    assert answer["told"]["id"] == who
    child = answer.get("child") or answer["begun"]
    (row,) = guarded.query("select subject from outlast.workflow_status where workflow_id = %s", child)
    assert row == (who,)


def test_a_key_of_a_functions_own_is_its_callers_alone(guarded: Served, signer: Project) -> None:
    """`start_once`: the same key of two users is two workflows, and of one user one."""
    for who in (a_user(), a_user()):
        headers = bearer(signer.token(who))
        first, again = (guarded.call("guarded/once", {}, headers=headers).json() for _ in range(2))
        assert first == again
        assert (first["begun"], first["told"]["id"]) == (f"guarded:{who}:order-1", who)


# --- the key set --------------------------------------------------------------------------------------------


def test_keys_are_fetched_once_for_many_calls(start_host: Start) -> None:
    with project() as signer:
        host = started(start_host, signer)
        signer.held = threading.Event()
        with ThreadPoolExecutor(16) as threads:
            calls = [
                threads.submit(host.call, "guarded", {}, headers=bearer(signer.token(a_user())))
                for _ in range(16)
            ]
            until(lambda: signer.asked == 1, "the first fetch")
            assert host.process.asked("/healthz") == 200  # nothing else waits for it
            assert host.call("guarded", {}, headers={"apikey": SECRET}).status_code == 200
            signer.held.set()
            assert {each.result().status_code for each in calls} == {200}
        assert signer.asked == 1


def test_an_unknown_key_is_fetched_but_not_at_every_call(start_host: Start) -> None:
    with project() as signer:
        host = started(start_host, signer)
        assert host.call("guarded", {}, headers=bearer(signer.token(a_user()))).status_code == 200
        for number in range(20):
            refused(host, bearer(signer.token("eve", elliptic(f"unknown-{number}"))), ASYMMETRIC)
        assert signer.asked == 1  # the floor between fetches: the first was a moment ago


@pytest.mark.slow
def test_without_the_key_set_a_token_is_no_good_now_but_not_refused(start_host: Start) -> None:
    with project() as signer:
        signer.status = 500
        host = started(start_host, signer)
        token = bearer(signer.token(a_user()))
        answer = host.refused("guarded", {}, headers=token)
        check_problem(answer, 503, "jwks_unavailable", retryable=True)
        assert "could not be fetched" in host.process.said()
        # Nor is the user taken for somebody else meanwhile: the same key would be another workflow.
        free = start_host(SUPABASE_URL=signer.url, SUPABASE_SECRET_KEY=SECRET)
        check_problem(free.refused("guarded", {}, headers=token), 503, "jwks_unavailable", retryable=True)
        assert host.call("guarded", {}, headers={"apikey": SECRET}).status_code == 200
        who = a_user()
        assert host.call("guarded", {}, headers=bearer(signer.token(who, LEGACY))).json()["id"] == who


@pytest.mark.parametrize("body", [b"[]", b"no JSON", b'{"keys": 7}', b" " * 300_000])
def test_a_key_set_that_is_none(start_host: Start, body: bytes) -> None:
    with project() as signer:
        signer.body = body
        host = started(start_host, signer)
        answer = host.refused("guarded", {}, headers=bearer(signer.token("ada")))
        check_problem(answer, 503, "jwks_unavailable", retryable=True)


def test_a_fetched_set_has_no_symmetric_keys(start_host: Start) -> None:
    """It is public: whoever reads it could sign by them."""
    with project() as signer:
        secret = "known to everybody, and long enough for it"
        oct_key = {"kty": "oct", "k": b64(secret.encode()), "alg": "HS256", "kid": "public"}
        signer.body = json.dumps({"keys": [oct_key, signer.keys[0].public]}).encode()
        host = started(start_host, signer)
        assert host.call("guarded", {}, headers=bearer(signer.token(a_user()))).status_code == 200
        refused(host, bearer(signer.token("eve", Key("HS256", secret, "public"))), LEGACY_JWT)


def test_a_given_key_set_is_not_fetched(start_host: Start) -> None:
    with project(elliptic(None)) as signer:
        given = json.dumps({"keys": [key.public for key in signer.keys]})
        host = started(start_host, signer, SUPABASE_JWKS=given)
        who = a_user()
        assert host.call("guarded", {}, headers=bearer(signer.token(who))).json()["id"] == who
        refused(host, bearer(signer.token("eve", elliptic(None))), ASYMMETRIC)
        assert signer.asked == 0


def test_other_issuers_and_audiences_by_setting(start_host: Start, signer: Project) -> None:
    host = started(
        start_host, signer, jwt_issuers="https://one.example,https://two.example", jwt_audiences="shop"
    )
    good = signer.token(a_user(), issuer="https://two.example", aud="shop")
    assert host.call("guarded", {}, headers=bearer(good)).status_code == 200
    refused(host, bearer(signer.token(a_user())), ASYMMETRIC)


def test_no_way_to_verify_is_said(start_host: Start, signer: Project) -> None:
    host = start_host("--host", "127.0.0.1")
    host.client.headers.pop("authorization")
    answer: httpx.Response = host.refused("guarded", {}, headers=bearer(signer.token("ada")))
    check_problem(answer, 401, FORMAT)
    assert "SUPABASE_URL" in answer.json()["detail"]


@pytest.mark.slow
def test_the_gateway_as_the_config_file_has_it(start_host: Start, signer: Project) -> None:
    """Of a file's functions. What a function itself asks for is asked besides."""
    config = "[functions.hello]\nverify_jwt = false\n[functions.guarded]\nverify_jwt = true\n"
    host = started(start_host, signer, config=config)
    assert host.call("hello", {}).json() == {"message": "Hello, World!"}
    assert host.call("hello", {}, headers=bearer("nonsense")).status_code == 200
    refused(host, {}, NO_HEADER, "answers/nothing")
    refused(host, {}, NO_HEADER, "guarded/nobody")
    answer = host.call("guarded/nobody", {}, headers=bearer(signer.token(a_user())))
    assert answer.json()["mode"] == "none"
    openapi = host.admin.get("/openapi.json").json()["paths"]
    assert openapi["/functions/v1/hello"]["post"]["security"] == [{"bearer": []}, {"apikey": []}, {}]
    assert openapi["/functions/v1/guarded/user"]["post"]["security"] == [{"bearer": []}]


def test_an_expired_token_has_no_idempotency_key(start_host: Start, signer: Project) -> None:
    """The retry of a user's call would else be nobody's: another workflow."""
    host = started(start_host, signer, config="[functions.guarded]\nverify_jwt = false\n")
    who, key = a_user(), fresh_key()
    answer = host.call("guarded", {}, headers=bearer(signer.token(who)), key=key)
    assert answer.json()["id"] == who
    for expired in (signer.token(who, exp=now_s() - 60), signer.token(who, LEGACY, exp=now_s() - 60)):
        for headers in (bearer(expired), {"apikey": PUBLISHABLE, **bearer(expired)}):
            said = check_problem(
                host.call("guarded", {}, headers=headers, key=key),
                401,
                LEGACY_JWT if expired.startswith(signer.token(who, LEGACY)[:20]) else ASYMMETRIC,
            )
            assert "expired" in said["detail"]
            assert host.call("guarded", {}, headers=headers).json()["id"] is None
    for foreign in ("nonsense", signer.token(who, elliptic(signer.keys[0].kid), exp=now_s() - 60)):
        answer = host.call("guarded", {}, headers=bearer(foreign), key=fresh_key())
        assert answer.json()["mode"] == "none"


async def test_a_revoked_key_is_no_good_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old set is fetched anew before it is believed, and one that can't be fetched not for ever."""
    now, document, down = [1000.0], [b""], [False]

    async def fetch() -> bytes:
        if down[0]:
            raise OSError("down")
        return document[0]

    monkeypatch.setattr(key_sets, "monotonic", lambda: now[0])
    old, new = elliptic("old"), elliptic("new")
    keys = key_sets.KeySet(None, None, fetch)
    document[0] = json.dumps({"keys": [old.public]}).encode()
    assert await keys.candidates("ES256", "old")
    document[0] = json.dumps({"keys": [new.public]}).encode()
    now[0] += 2 * key_sets.KEPT_S + 1
    assert not await keys.candidates("ES256", "old")
    assert await keys.candidates("ES256", "new")
    unusable: list[dict[str, Any]] = [
        {"keys": []},
        {"keys": [{"kty": "oct", "k": "AA"}, {"kty": "nonsense"}, 1]},
    ]
    for empty in unusable:
        document[0] = json.dumps(empty).encode()
        now[0] += 2 * key_sets.KEPT_S + 1
        assert await keys.candidates("ES256", "new"), "a set of nothing replaced a good one"
    document[0] = json.dumps({"keys": [new.public]}).encode()
    now[0] += 2 * key_sets.KEPT_S + 1
    assert await keys.candidates("ES256", "new")
    down[0] = True
    now[0] += key_sets.STALE_S_MAX - 1
    assert await keys.candidates("ES256", "new")
    now[0] += 2
    with pytest.raises(key_sets.KeysUnavailable):
        await keys.candidates("ES256", "new")
    await keys.close()
    await keys.close()


async def test_a_closed_key_set_fetches_no_more() -> None:
    """Nor does it wait for what it fetches, and the client's connection ends with it."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        assert await reader.read() == b""
        left.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        keys = key_sets.KeySet(None, None, key_sets.fetch_from(f"http://127.0.0.1:{port}/"))
        waiting = asyncio.create_task(keys.candidates("ES256", "any"))
        await asyncio.wait_for(asked.wait(), 20)
        await asyncio.wait_for(keys.close(), 20)
        await asyncio.wait_for(left.wait(), 20)
        with pytest.raises(key_sets.KeysUnavailable):
            await asyncio.wait_for(waiting, 20)
        assert not await keys.candidates("ES256", "any")
