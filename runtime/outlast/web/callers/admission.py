"""Who may call: the gateway's check (`verify_jwt`), and what a function itself asks for (`auth`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from outlast.core.callers import NOBODY, SERVICE_ROLE, Caller, CallerToken
from outlast.sdk.auth import AuthMode
from outlast.web.callers.audit import keep_caller
from outlast.web.callers.credentials import ApiKeys, Credentials, KnownKey, credentials_of
from outlast.web.callers.tokens import LEEWAY_S, TokenExpired, Tokens, refusal
from outlast.web.http.calls import Call
from outlast.web.http.problems import ProblemError

ANONYMOUS = "anon"
"""The part of a workflow's id that all anonymous callers share; their keys must be UUIDs."""


_WEBHOOK = Caller("webhook")


class Admitted(NamedTuple):
    """A caller that was let in.

    `record` is what is stored of the caller. Ids of workflows name the caller by `space`: None for holders of
    a secret key. `token` is the caller's own; it is never stored.
    """

    caller: Caller
    record: str | None = None
    space: str | None = None
    token: CallerToken | None = None

    @property
    def secret(self) -> bool:
        """Whether the caller may do everything."""
        # guard: user-counts-as-secret without 2
        return self.caller.mode != "none" and self.caller.role == SERVICE_ROLE

    def lasts_s(self, now_s: float) -> float | None:
        """How long the caller's token is good, at `now_s` (Unix seconds); None where it has none."""
        return None if self.token is None else self.token.until_s + LEEWAY_S - now_s

    @property
    def subject(self) -> str | None:
        """The signed-in user's id."""
        return self.caller.id


TRUSTED = Admitted(NOBODY)
"""Whoever calls a host that was told to ask nobody: its developer."""

STRANGER = Admitted(NOBODY, space=ANONYMOUS)

WEBHOOK = Admitted(_WEBHOOK, _WEBHOOK.record())
"""Who delivers a webhook that was verified."""


class Admission:
    """Decides who is let in. `of_function` tells the written `verify_jwt` of a file, None where none is.

    `count` counts who was let in, and may raise ProblemError (429).
    """

    def __init__(
        self,
        keys: ApiKeys,
        tokens: Tokens,
        *,
        verify_jwt: bool,
        of_function: Callable[[str], bool | None],
        count: Callable[[Call, Admitted], None] = lambda call, admitted: None,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._verify_jwt = verify_jwt
        self._of_function = of_function
        self._count = count

    def is_gated(self, function: str, auth: Sequence[AuthMode] | None) -> bool:
        """Whether the gateway checks calls of `function`. One that says `auth` itself isn't, by default."""
        written = self._of_function(function)
        return self._verify_jwt and (auth is None if written is None else written)

    async def to_function(self, call: Call, function: str, auth: Sequence[AuthMode] | None) -> Admitted:
        """Who calls a function of the file `function`. Raises ProblemError (401, 503)."""
        admitted = await self._to_function(call, function, auth)
        self._let_in(call, admitted)
        return admitted

    async def _to_function(self, call: Call, function: str, auth: Sequence[AuthMode] | None) -> Admitted:
        presented = self._read_credentials(call)
        if self.is_gated(function, auth):
            admitted = await _admit_by_gateway(presented)
            if auth is None:
                return admitted
        if auth is not None:
            return await _admit_by_modes(presented, auth)
        keyed = bool(call.header_values(b"idempotency-key"))
        return await _identify_if_possible(presented, keyed=keyed) or (
            STRANGER if self._verify_jwt else TRUSTED
        )

    async def identify(self, call: Call) -> Admitted | None:
        """Who calls, of those whom the project knows; None for a stranger. Raises ProblemError (401, 503)."""
        presented = self._read_credentials(call)
        return await presented.by_token() or presented.by_key()

    async def to_management(self, call: Call) -> Admitted:
        """Who asks for workflows: a holder of a secret key, or a signed-in user. Raises ProblemError."""
        admitted = await _admit_by_gateway(self._read_credentials(call))
        self._let_in(call, admitted)
        if not admitted.secret and admitted.subject is None:
            detail = "only a secret key, or a user's token for their own workflows, opens this"
            raise refusal("UNAUTHORIZED_NO_AUTH_HEADER", f"Missing authorization header: {detail}")
        return admitted

    async def to_operation(self, call: Call) -> None:
        """Let holders of a secret key pass alone. Raises ProblemError."""
        # guard: users-send-messages
        if not (await self.to_management(call)).secret:
            raise refusal("INVALID_CREDENTIALS", "These credentials don't open this: a secret key is needed")

    def _let_in(self, call: Call, admitted: Admitted) -> None:
        """From here on what the call takes is its caller's."""
        keep_caller(call, admitted.caller)
        call.charge_to(admitted.subject, secret=admitted.secret)
        self._count(call, admitted)

    def _read_credentials(self, call: Call) -> _Presented:
        return _Presented(credentials_of(call), self._keys, self._tokens)


class _Presented:
    """What one call presents. It is looked at when it is asked for: hashing a key takes longer than most."""

    def __init__(self, credentials: Credentials, keys: ApiKeys, tokens: Tokens) -> None:
        self.credentials = credentials
        self._keys = keys
        self._tokens = tokens

    def by_key(self) -> Admitted | None:
        """Who holds the key that was presented; None without one of the project's."""
        key = self._keys.strongest(self.credentials)
        return None if key is None else _admit_key(key)

    async def by_token(self) -> Admitted | None:
        """Whom the token names; None without one. Legacy keys are no tokens here. Raises ProblemError."""
        # guard: malformed-beside-a-key
        if self.credentials.malformed:
            raise _malformed_token()
        token = self.credentials.token
        if token is None:
            return None
        identity = self._tokens.recall(token)
        if identity is None:
            if self._keys.find(token) is not None:
                return None
            identity = await self._tokens.identify(token)
        caller = identity.caller
        space = caller.id or (None if caller.role == SERVICE_ROLE else ANONYMOUS)
        return Admitted(caller, identity.record, space, CallerToken(token, identity.expires_s))

    async def by_any_key(self) -> Admitted | None:
        """As `by_key`; a legacy key that the host wasn't told of is known by its signature."""
        if (admitted := self.by_key()) is not None:
            return admitted
        admitted = await self.by_good_token()
        return admitted if admitted is not None and admitted.subject is None else None

    async def by_good_token(self) -> Admitted | None:
        """As `by_token`, but a bad token is none. That one can't be judged now is not the token's fault."""
        try:
            return await self.by_token()
        except ProblemError as error:
            if error.problem.status != 401:
                raise
            return None


@lru_cache
def _admit_key(key: KnownKey) -> Admitted:
    caller = Caller(key.mode, {}, key.name)
    return Admitted(caller, caller.record(), None if key.mode == "secret" else ANONYMOUS)


async def _admit_by_gateway(presented: _Presented) -> Admitted:
    """A token or a key of the project, whichever; a bad token is refused whatever else is there."""
    # guard: bad-token-beside-a-key = presented.by_key() or await presented.by_token()
    admitted = await presented.by_token() or presented.by_key()
    if admitted is None:
        raise _refusal_of(presented.credentials)
    return admitted


async def _admit_by_modes(presented: _Presented, modes: Sequence[AuthMode]) -> Admitted:
    """The first mode that fits. What is absent fits none; a token that is bad refuses the call."""
    for mode in modes:
        if mode.kind == "none":
            return STRANGER
        if mode.kind == "user":
            admitted = await presented.by_token()
            if admitted is not None and admitted.subject is not None:
                return admitted
        elif (admitted := await presented.by_any_key()) is not None and _fits(admitted, mode):
            return admitted
    wanted = " or ".join(map(str, modes))
    if presented.credentials.token is None and presented.by_key() is None:
        raise refusal("UNAUTHORIZED_NO_AUTH_HEADER", f"Missing authorization header: {wanted} is needed")
    raise refusal("INVALID_CREDENTIALS", f"These credentials don't open this function: {wanted} is needed")


async def _identify_if_possible(presented: _Presented, *, keyed: bool) -> Admitted | None:
    """Nobody has to say who they are; who does so rightly is known.

    With a key an expired token is refused: as nobody's the same call would be another workflow than before.
    """
    try:
        return await presented.by_token() or presented.by_key()
    except TokenExpired:
        if keyed:
            raise
    except ProblemError as error:
        if error.problem.status != 401:
            raise
    return presented.by_key()


def opens(admitted: Admitted | None, mode: AuthMode) -> bool:
    """Whether a function that asks for `mode` lets this caller in, or this stranger."""
    if mode.kind == "none":
        return True
    if admitted is None:
        return False
    return admitted.subject is not None if mode.kind == "user" else _fits(admitted, mode)


def _fits(admitted: Admitted, mode: AuthMode) -> bool:
    caller = admitted.caller
    # guard: any-key-fits without 2
    return caller.mode == mode.kind and mode.name in (None, caller.key_name)


def _malformed_token() -> ProblemError:
    return refusal("UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT: send Authorization: Bearer and the token")


def _refusal_of(credentials: Credentials) -> ProblemError:
    """Why nothing of what was presented lets the caller in."""
    if any(not key.startswith("sb_publishable_") for key in credentials.keys):
        return refusal("UNAUTHORIZED_INVALID_API_KEY", "The key is none of this project's")
    return refusal("UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header")
