"""Who may call: the gateway's check (`verify_jwt`), and what a function itself asks for (`auth`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from outlast.core.callers import NOBODY, SERVICE_ROLE, Caller, CallerToken
from outlast.sdk.auth import AuthMode
from outlast.web.calls import Call
from outlast.web.credentials import ApiKeys, Credentials, KnownKey, credentials_of
from outlast.web.problems import ProblemError
from outlast.web.tokens import Identity, Tokens, refusal

ANONYMOUS = "anon"
"""The part of a workflow's id that all anonymous callers share; their keys must be UUIDs."""


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
        return self.caller.mode != "none" and self.caller.role == SERVICE_ROLE

    @property
    def subject(self) -> str | None:
        """The signed-in user's id."""
        return self.caller.id


TRUSTED = Admitted(NOBODY)
"""Whoever calls a host that was told to ask nobody: its developer."""

STRANGER = Admitted(NOBODY, space=ANONYMOUS)


class Admission:
    """Decides who is let in. `verify_jwt` holds for all functions that `of_functions` doesn't name."""

    def __init__(
        self, keys: ApiKeys, tokens: Tokens, *, verify_jwt: bool, of_functions: Mapping[str, bool]
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._verify_jwt = verify_jwt
        self._of_functions = of_functions

    def gated(self, function: str, auth: Sequence[AuthMode] | None) -> bool:
        """Whether the gateway checks calls of `function`. One that says `auth` itself isn't, by default."""
        written = self._of_functions.get(function)
        return self._verify_jwt and (auth is None if written is None else written)

    async def to_function(self, call: Call, function: str, auth: Sequence[AuthMode] | None) -> Admitted:
        """Who calls a function of the file `function`. Raises ProblemError (401, 503)."""
        credentials = credentials_of(call)
        if self.gated(function, auth):
            admitted = await self._through_gateway(credentials)
            if auth is None:
                return admitted
        if auth is not None:
            return await self._by_modes(credentials, auth)
        return await self._unasked(credentials)

    async def to_management(self, call: Call) -> Admitted:
        """Who asks for workflows: a holder of a secret key, or a signed-in user. Raises ProblemError."""
        credentials = credentials_of(call)
        admitted = await self._through_gateway(credentials)
        if not admitted.secret and admitted.subject is None:
            detail = "only a secret key, or a user's token for their own workflows, opens this"
            raise refusal("UNAUTHORIZED_NO_AUTH_HEADER", f"Missing authorization header: {detail}")
        return admitted

    async def _through_gateway(self, credentials: Credentials) -> Admitted:
        """A token or a key of the project, whichever; a bad token is refused whatever else is there."""
        key = self._keys.strongest(credentials)
        token = self._token(credentials)
        if token is not None:
            return _by_token(token, await self._tokens.identify(token))
        if key is not None:
            return _by_key(key)
        raise _unknown(credentials)

    async def _by_modes(self, credentials: Credentials, modes: Sequence[AuthMode]) -> Admitted:
        """The first mode that fits. What is absent fits none; a token that is bad refuses the call."""
        key = self._keys.strongest(credentials)
        token = self._token(credentials)
        for mode in modes:
            if mode.kind == "none":
                return STRANGER
            if mode.kind == "user":
                if token is not None:
                    admitted = _by_token(token, await self._tokens.identify(token))
                    if admitted.subject is not None:
                        return admitted
            elif (found := await self._named_key(key, token)) is not None and _fits(found, mode):
                return found
        wanted = " or ".join(map(str, modes))
        if key is None and token is None:
            raise refusal("UNAUTHORIZED_NO_AUTH_HEADER", f"Missing authorization header: {wanted} is needed")
        raise refusal(
            "INVALID_CREDENTIALS", f"These credentials don't open this function: {wanted} is needed"
        )

    async def _named_key(self, key: KnownKey | None, token: str | None) -> Admitted | None:
        """The API key that was presented; a legacy one may be a JWT that is known by its signature alone."""
        if key is not None:
            return _by_key(key)
        if token is None:
            return None
        try:
            admitted = _by_token(token, await self._tokens.identify(token))
        except ProblemError:
            return None
        return admitted if admitted.subject is None else None

    async def _unasked(self, credentials: Credentials) -> Admitted:
        """Nobody has to say who they are; who does so rightly is known."""
        token = self._token(credentials)
        if token is not None:
            try:
                return _by_token(token, await self._tokens.identify(token))
            except ProblemError:
                pass
        key = self._keys.strongest(credentials)
        if key is not None:
            return _by_key(key)
        return STRANGER if self._verify_jwt else TRUSTED

    def _token(self, credentials: Credentials) -> str | None:
        """The token, unless it is a legacy key, which needs no signature to be known."""
        token = credentials.token
        return None if token is None or self._keys.find(token) is not None else token


def _by_token(token: str, identity: Identity) -> Admitted:
    caller = identity.caller
    space = caller.id or (None if caller.role == SERVICE_ROLE else ANONYMOUS)
    return Admitted(caller, identity.record, space, CallerToken(token, identity.expires_s))


def _by_key(key: KnownKey) -> Admitted:
    caller = Caller(key.mode, {}, key.name)
    return Admitted(caller, caller.record(), None if key.mode == "secret" else ANONYMOUS)


def _fits(admitted: Admitted, mode: AuthMode) -> bool:
    caller = admitted.caller
    return caller.mode == mode.kind and mode.name in (None, caller.key_name)


def _unknown(credentials: Credentials) -> ProblemError:
    """Why nothing of what was presented lets the caller in."""
    if credentials.malformed:
        return refusal(
            "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT: send Authorization: Bearer and the token"
        )
    if any(not key.startswith("sb_publishable_") for key in credentials.keys):
        return refusal("UNAUTHORIZED_INVALID_API_KEY", "The key is none of this project's")
    return refusal("UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header")
