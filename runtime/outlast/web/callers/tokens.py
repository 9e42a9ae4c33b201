"""JSON Web Tokens: verifies who a caller is, and caches that for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, NamedTuple

from outlast.core.callers import ANON, OURS, SERVICE_ROLE, Caller
from outlast.core.clock import Clock, monotonic
from outlast.web.callers.key_sets import ASYMMETRIC, SYMMETRIC, KeySet, KeysUnavailable, SigningKey
from outlast.web.http.problems import Problem, ProblemError

LEEWAY_S = 10.0
"""How much the clock of a token's issuer may differ."""

REMEMBERED_S = 60.0
REMEMBERED_MAX = 10_000
TOKEN_CHARS_MAX = 16_384
API_ISSUERS = ("supabase", "supabase-demo")
"""Issuers of the legacy anon and service_role keys: JWTs without user and audience."""

_NOT_BY_PYJWT = tuple(f"verify_{name}" for name in ("aud", "iss", "sub", "exp", "nbf", "iat"))
"""What is checked here: PyJWT reads a clock of its own."""

_DAMAGED = "Invalid JWT: it is not in force, or damaged"
_FORMAT = "UNAUTHORIZED_INVALID_JWT_FORMAT"
_ALGORITHM = "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM"
_CODES = {SYMMETRIC: "UNAUTHORIZED_LEGACY_JWT", **dict.fromkeys(ASYMMETRIC, "UNAUTHORIZED_ASYMMETRIC_JWT")}
"""Supabase's own (its documentation, "Edge Functions: Error codes")."""


class TokenExpired(ProblemError):
    """The token was valid, but has expired."""


class Identity(NamedTuple):
    """The caller that a token names. `record` is stored. Valid until `expires_s` (Unix seconds)."""

    caller: Caller
    record: str | None
    expires_s: float


class Tokens:
    """Verifies tokens. With empty `issuers` any `iss` is accepted."""

    def __init__(
        self, keys: KeySet, issuers: Collection[str], audiences: Collection[str], clock: Clock
    ) -> None:
        self._keys = keys
        self._issuers = frozenset(issuers)
        self._audiences = frozenset(audiences)
        self._clock = clock
        self._known: dict[str, tuple[Identity, float]] = {}

    async def identify(self, token: str) -> Identity:
        """The caller that `token` names. Raises ProblemError: 401 for a bad one, 503 if there is no key now.

        For one that was good it is TokenExpired.
        """
        if (remembered := self.recall(token)) is not None:
            return remembered
        identity = await self._verify(token)
        lasts_s = min(REMEMBERED_S, identity.expires_s + LEEWAY_S - self._clock.now_s())
        while len(self._known) >= REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        self._known.pop(token, None)  # so that the oldest one always comes first
        self._known[token] = identity, monotonic() + lasts_s
        return identity

    def recall(self, token: str) -> Identity | None:
        """The caller that `token` names, if that is cached."""
        known = self._known.get(token)
        return known[0] if known is not None and monotonic() < known[1] else None

    async def _verify(self, token: str) -> Identity:
        if not self._keys:
            remedy = "set SUPABASE_URL, SUPABASE_JWKS or SUPABASE_JWT_SECRET"
            raise refusal(_FORMAT, f"Invalid JWT: this host knows no key to verify it by; {remedy}")
        jwt = await _load_pyjwt()
        header = _header(jwt, token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in _CODES:
            raise refusal(_ALGORITHM, "Invalid JWT: it must be signed by ES256, RS256 or HS256")
        try:
            candidates = await self._keys.candidates(algorithm, kid if isinstance(kid, str) else None)
        except KeysUnavailable:
            detail = "the keys to verify tokens by can't be fetched now; try again"
            headers = (("retry-after", "3"),)
            raise ProblemError(Problem("jwks_unavailable", detail, headers=headers)) from None
        code = _CODES[algorithm]
        claims = _claims(jwt, token, candidates, code)
        _check_times(claims, code, self._clock.now_s())
        try:
            return self._identity(claims, code)
        except (ValueError, TypeError, OverflowError, RecursionError):  # JSON can hold what a row can't
            raise refusal(code, "Invalid JWT: its claims can't be stored") from None

    def _identity(self, claims: dict[str, Any], code: str) -> Identity:
        # guard: claim-of-ours
        claims.pop(OURS, None)
        subject, role = claims.get("sub"), claims.get("role")
        if subject is not None and (not isinstance(subject, str) or not subject or subject == ANON):
            raise refusal(code, "Invalid JWT: its sub names no user")
        if subject is not None:
            caller = Caller("user", claims)
            self._check_origin(claims, code)
        else:
            secret = role == SERVICE_ROLE
            caller = Caller("secret", claims, SERVICE_ROLE) if secret else Caller("publishable", claims, ANON)
            # guard: service-role-of-anywhere
            if claims.get("iss") not in API_ISSUERS:
                self._check_origin(claims, code)
        record = caller.record()
        if "\\u0000" in (record or ""):
            raise ValueError("Postgres's functions can't read NUL out of JSON")
        return Identity(caller, record, float(claims["exp"]))

    def _check_origin(self, claims: dict[str, Any], code: str) -> None:
        """Check `iss` and `aud`: tokens of other projects and for other purposes are refused."""
        # guard: token-of-another-project
        if self._issuers and claims.get("iss") not in self._issuers:
            raise refusal(code, "Invalid JWT: its iss is not this project's")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        # guard: token-for-something-else
        if self._audiences.isdisjoint(each for each in audiences if isinstance(each, str)):
            raise refusal(code, f"Invalid JWT: its aud must be {' or '.join(sorted(self._audiences))}")


def token_ended() -> ProblemError:
    """The refusal for a stream that lasts longer than its caller's token."""
    return refusal("token_expired", "Invalid JWT: it has expired; sign in again and go on")


def refusal(code: str, detail: str) -> ProblemError:
    """401, as Supabase's gateway says it."""
    return ProblemError(Problem(code, detail, headers=(("www-authenticate", "Bearer"),)))


async def _load_pyjwt() -> Any:
    """PyJWT, imported in a thread: it loads cryptography, which takes a while."""
    import sys

    if "jwt" not in sys.modules:
        await asyncio.to_thread(__import__, "jwt")
    import jwt

    return jwt


def _header(jwt: Any, token: str) -> dict[str, Any]:
    try:
        if len(token) > TOKEN_CHARS_MAX:
            raise ValueError
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise refusal(_FORMAT, "Invalid JWT: it is none, or it is damaged") from None
    return header


def _claims(jwt: Any, token: str, candidates: list[SigningKey], code: str) -> dict[str, Any]:
    """What the token says, if one of `candidates` signed it. Whether it is in force is looked at next."""
    # guard: token-unsigned = {"verify_signature": False}
    options = {"require": ["exp"], **dict.fromkeys(_NOT_BY_PYJWT, False)}
    for each in candidates:
        try:
            claims: dict[str, Any] = jwt.decode(token, each.key, algorithms=[each.algorithm], options=options)
        except jwt.InvalidSignatureError:
            continue
        except jwt.MissingRequiredClaimError:
            raise refusal(code, "Invalid JWT: it has no exp") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise refusal(code, _DAMAGED) from None
        return claims
    raise refusal(code, "Invalid JWT: no key of this project signed it")


def _check_times(claims: dict[str, Any], code: str, now_s: float) -> None:
    """`exp`, `nbf` and `iat` (RFC 7519, section 4.1), in whole seconds as PyJWT reads them, by our clock."""
    try:
        expires_s = int(claims["exp"])
        begins_s = max(int(claims.get(name, 0)) for name in ("nbf", "iat"))
    except (ValueError, TypeError, OverflowError):
        raise refusal(code, _DAMAGED) from None
    # guard: token-expired-long-ago
    if expires_s <= now_s - LEEWAY_S:
        raise TokenExpired(refusal(code, "Invalid JWT: it has expired; sign in again").problem)
    # guard: token-of-tomorrow
    if begins_s > now_s + LEEWAY_S:
        raise refusal(code, _DAMAGED)
