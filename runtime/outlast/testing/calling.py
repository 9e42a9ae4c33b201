"""HTTP without a socket: passes a request to the web floor of a host, in a test's process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import jwt

from outlast.core.errors import UsageError
from outlast.core.lines import Line
from outlast.functions.catalog import Catalog
from outlast.functions.routes import FunctionBroken, FunctionMissing
from outlast.host.config_toml import known_variables, read_functions
from outlast.host.setting_kinds import functions_folder
from outlast.host.settings import ENV_FILE, MIB, Settings
from outlast.host.web import web_floor
from outlast.sdk.auth import auth_modes
from outlast.sdk.webhooks import DatabaseWebhook, StandardWebhook, Webhook
from outlast.store.workflows import PostgresWorkflows
from outlast.testing.catalog import GivenCatalog
from outlast.testing.processes import Process
from outlast.web.callers.signatures import BadSecret, plain_secrets, signature, standard_secrets
from outlast.web.callers.webhooks import ID, SIGNATURE, TIMESTAMP
from outlast.web.http.answers import Kept
from outlast.web.http.problems import Problem, ProblemError
from outlast.web.http.routes import FUNCTIONS

if TYPE_CHECKING:
    import httpx
    from starlette.types import ASGIApp, Message

Presented = str | Mapping[str, Any] | None
"""What a caller presents: a key, named as in `auth=`; the claims of a token; nothing."""

TOKEN_S = 3600
_JWT_SECRET = "the secret of a test's project, which signs its tokens"
_TABLE_OF_PREFIX = {"secret": "sb_secret_", "publishable": "sb_publishable_"}


class Http:
    """The web floors of a test, one for each process, and the keys of its project."""

    def __init__(self, catalog: GivenCatalog) -> None:
        self._catalog = catalog
        self._keys: dict[str, dict[str, str]] = {"secret": {}, "publishable": {}}
        self._app: tuple[Process, ASGIApp] | None = None
        self._deliveries = 0
        for kind in self._keys:
            self.add_key(kind)

    def add_key(self, mode: str) -> None:
        """Add a key of this kind to the project. Raises UsageError."""
        (each,) = auth_modes(mode, "outlast.as_key") or ()
        if each.kind not in self._keys:
            raise UsageError(
                f'outlast.as_key takes "secret", "publishable" or one of them with a name, not {mode!r}'
            )
        name = each.name or "default"
        if name not in self._keys[each.kind]:
            self._keys[each.kind][name] = f"{_TABLE_OF_PREFIX[each.kind]}of_the_test_{name}"
            self._app = None

    def sign(
        self, request: httpx.Request, path: str, presented: Presented, key: str | None, now_s: float
    ) -> None:
        """Add what the caller presents to a request that lacks it."""
        webhook = None if presented is None else self._webhook_at(path)
        if isinstance(webhook, StandardWebhook):
            self._deliveries += 1
            _sign_standard(request, webhook, key or f"msg_{self._deliveries}", now_s)
            return
        if isinstance(webhook, DatabaseWebhook):
            _sign_database(request, webhook, key)
            return
        if key is not None:
            escaped = key.replace("\\", "\\\\").replace('"', '\\"')
            request.headers.setdefault("idempotency-key", f'"{escaped}"')
        if "authorization" in request.headers or "apikey" in request.headers or presented is None:
            return
        if isinstance(presented, str):
            kind, _, name = presented.partition(":")
            request.headers["apikey"] = self._keys[kind][name or "default"]
        else:
            request.headers["authorization"] = f"Bearer {token(presented, now_s)}"

    async def exchange(self, process: Process, request: httpx.Request, patience_s: float) -> Kept:
        """Answer a request. The client leaves after `patience_s`."""
        found, asked = Kept(), False
        body = request.read()

        async def receive() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await asyncio.sleep(patience_s)
            return {"type": "http.disconnect"}

        await self._floor_of(process)(_scope(request), receive, found)
        if request.method == "HEAD":
            found.body = b""  # a server leaves it out
        if not found.status:
            raise UsageError(f"the client went away after {patience_s:g} s, before it was answered")
        return found

    def _webhook_at(self, path: str) -> Webhook | None:
        if not path.startswith(FUNCTIONS):
            return None
        try:
            served = self._catalog.resolve(unquote(path.partition("?")[0])[len(FUNCTIONS) :]).served
        except (FunctionMissing, FunctionBroken):
            return None
        return getattr(served, "webhook", None)

    def _floor_of(self, process: Process) -> ASGIApp:
        if self._app is None or self._app[0] is not process:
            settings = Settings.model_construct(
                given_publishable_keys=self._keys["publishable"],
                jwt_secret=_JWT_SECRET,
                bodies_bytes_max=256 * MIB,
                calls_per_caller_max=1_000,
                request_log="off",
                functions_config=read_functions(_variables),
            )
            self._catalog.declared = settings.functions_config
            floor = web_floor(
                settings,
                process.engine,
                cast(PostgresWorkflows, process.store.workflows),
                cast(Catalog, self._catalog),
                self._keys["secret"],
                process.observe,
                clients=None,
                schema_current=_current,
                read_lines=_no_lines,
            )
            self._app = process, floor.app
        return self._app[1]


def _variables() -> Mapping[str, str]:
    """The variables for `env(NAME)` in `supabase/config.toml`, as on a host."""
    return known_variables(ENV_FILE.absolute(), functions_folder())


def token(claims: Mapping[str, Any], now_s: float) -> str:
    """A JWT of the test's project with these claims, by default valid for an hour from now."""
    usual = {"role": "authenticated", "aud": "authenticated", "iat": int(now_s), "exp": int(now_s) + TOKEN_S}
    return jwt.encode({**usual, **claims}, _JWT_SECRET, algorithm="HS256")


async def _current() -> bool:
    return True


def _no_lines(_: str) -> Sequence[Line]:
    """Raise ProblemError (501): an empty answer would say that nothing was logged."""
    detail = "the test kit keeps no lines of a workflow: pytest's `caplog` and `capsys` have them in a test"
    raise ProblemError(Problem("not_in_tests", detail))


def _scope(request: httpx.Request) -> dict[str, Any]:
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 50_000),
        "server": ("localhost", 8000),
    }


def _sign_standard(request: httpx.Request, webhook: StandardWebhook, message_id: str, now_s: float) -> None:
    """Sign as Standard Webhooks specifies."""
    secret = _secret_in(webhook.secret, standard_secrets)
    headers = request.headers
    sent_id = headers.setdefault(ID, message_id)
    sent_at = headers.setdefault(TIMESTAMP, str(int(now_s)))
    signed = signature(secret, sent_id.encode(), sent_at.encode(), request.read())
    headers.setdefault(SIGNATURE, signed.decode())


def _sign_database(request: httpx.Request, webhook: DatabaseWebhook, key: str | None) -> None:
    """Sign as a trigger of Supabase's Database webhooks does."""
    secret = _secret_in(webhook.secret, plain_secrets).decode()
    request.headers.setdefault(
        webhook.header, f"Bearer {secret}" if webhook.header == "authorization" else secret
    )
    if key is not None and webhook.key_header is not None:
        request.headers.setdefault(webhook.key_header, key)


def _secret_in(variable: str, read: Callable[[str], list[bytes]]) -> bytes:
    """The newest secret. If there is none any secret will do: the host can't verify it."""
    try:
        return read(os.environ.get(variable, ""))[0]
    except BadSecret:
        return b"none"
