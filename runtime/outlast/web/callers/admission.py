"""Who may call: the gateway's check (`verify_jwt`), and what a function itself asks for (`auth`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from outlast.core.callers import NOBODY, SERVICE_ROLE, Caller, CallerToken
from outlast.sdk.auth import AuthMode
from outlast.web.callers.audit import keep_who
from outlast.web.callers.credentials import ApiKeys, Credentials, KnownKey, credentials_of
from outlast.web.callers.tokens import LEEWAY_S, TokenExpired, Tokens, refusal
from outlast.web.http.calls import Call
from outlast.web.http.problems import ProblemError

ANONYMOUS = "anon"
"""The part of a workflow's id that all anonymous callers share; their keys must be UUIDs."""


_WEBHOOK = Caller("webhook")


class Admitted:
    """A caller that was let in.

    `record` is what is stored of the caller. Ids of workflows name the caller by `space`: None for holders of
    a secret key. `token` is the caller's own; it is never stored.
    """

    __slots__ = ("caller", "record", "secret", "space", "subject", "token")

    def __init__(
        self,
        caller: Caller,
        record: str | None = None,
        space: str | None = None,
        token: CallerToken | None = None,
    ) -> None:
        self.caller = caller
        self.record = record
        self.space = space
        self.token = token
        # guard: user-counts-as-secret without 2
        self.secret = caller.mode != "none" and caller.role == SERVICE_ROLE
        """Whether the caller holds a secret key, and so may do everything."""
        self.subject = caller.id
        """The signed-in user's id."""

    def lasts_s(self, now_s: float) -> float | None:
        """How long the caller's token is valid from `now_s` (Unix seconds); None without a token."""
        return None if self.token is None else self.token.until_s + LEEWAY_S - now_s


TRUSTED = Admitted(NOBODY)
"""Any caller of a host that asks nobody who they are: its developer."""

STRANGER = Admitted(NOBODY, space=ANONYMOUS)

WEBHOOK = Admitted(_WEBHOOK, _WEBHOOK.record())
"""The sender of a verified webhook delivery."""


class Admission:
    """Decides who is let in. `of_function` gives the `verify_jwt` that a file's configuration says, or None.

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
        """Whether the gateway checks calls of `function`. By default not if that has its own `auth`."""
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
        """The caller, if the project knows them; None for a stranger. Raises ProblemError (401, 503)."""
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
        """Raise ProblemError for all but holders of a secret key."""
        # guard: users-send-messages
        if not (await self.to_management(call)).secret:
            raise refusal("INVALID_CREDENTIALS", "These credentials don't open this: a secret key is needed")

    def _let_in(self, call: Call, admitted: Admitted) -> None:
        """Count what the call takes for its caller from here on."""
        keep_who(call, admitted.caller)
        call.charge_to(admitted.subject, secret=admitted.secret)
        self._count(call, admitted)

    def _read_credentials(self, call: Call) -> _Presented:
        return _Presented(credentials_of(call), self._keys, self._tokens)


class _Presented:
    """The credentials of one call. They are checked only when needed: hashing a key takes time."""

    def __init__(self, credentials: Credentials, keys: ApiKeys, tokens: Tokens) -> None:
        self.credentials = credentials
        self._keys = keys
        self._tokens = tokens

    def by_key(self) -> Admitted | None:
        """The holder of the key; None if it is none of the project's."""
        key = self._keys.strongest(self.credentials)
        return None if key is None else _admit_key(key)

    async def by_token(self) -> Admitted | None:
        """The user of the token; None without one. Legacy keys don't count as tokens. Raises ProblemError."""
        # guard: malformed-beside-a-key
        if self.credentials.malformed:
            detail = "Invalid JWT: send Authorization: Bearer and the token"
            raise refusal("UNAUTHORIZED_INVALID_JWT_FORMAT", detail)
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
        """As `by_key`. A legacy key that isn't in the settings is known by its signature."""
        if (admitted := self.by_key()) is not None:
            return admitted
        admitted = await self.by_good_token()
        return admitted if admitted is not None and admitted.subject is None else None

    async def by_good_token(self) -> Admitted | None:
        """As `by_token`, but None for a bad token. Raises ProblemError (503) if it can't be verified now."""
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
    """Admit by a token or a key of the project. A bad token is refused, whatever else is presented."""
    # guard: bad-token-beside-a-key = presented.by_key() or await presented.by_token()
    admitted = await presented.by_token() or presented.by_key()
    if admitted is None:
        raise _refusal_of(presented.credentials)
    return admitted


async def _admit_by_modes(presented: _Presented, modes: Sequence[AuthMode]) -> Admitted:
    """Admit by the first mode that fits. A bad token is refused at once."""
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
        kinds = {mode.kind for mode in modes}
        raise _refusal_of(presented.credentials, kinds, f": {wanted} is needed")
    raise refusal("INVALID_CREDENTIALS", f"These credentials don't open this function: {wanted} is needed")


async def _identify_if_possible(presented: _Presented, *, keyed: bool) -> Admitted | None:
    """The caller, if the credentials are good. None are needed.

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


def _refusal_of(
    credentials: Credentials, kinds: Collection[str] = ("secret",), wanted: str = ""
) -> ProblemError:
    """The refusal for credentials that open nothing. A key counts where keys of such `kinds` would do."""
    # Clients send a publishable key with every call: where none is asked for it is no attempt.
    # guard: wrong-keys-taken-for-none = ()
    wrong = [
        key
        for key in credentials.keys
        if "publishable" in kinds or ("secret" in kinds and not key.startswith("sb_publishable_"))
    ]
    if wrong:
        return refusal("UNAUTHORIZED_INVALID_API_KEY", f"The key is none of this project's{wanted}")
    return refusal("UNAUTHORIZED_NO_AUTH_HEADER", f"Missing authorization header{wanted}")
