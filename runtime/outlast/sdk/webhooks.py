"""`standard_webhook` and `database_webhook`: functions for callers that know a shared secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from outlast.core.errors import UsageError
from outlast.sdk.durations import Duration, positive_seconds_of

TOLERANCE_S = 300.0
TOLERANCE_S_MAX = 24 * 3600.0
PATHS_MAX = 16
SECRET_HEADER = "x-webhook-secret"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,254}", re.ASCII)
_LITERAL = re.compile(r"v1|whsec|sb_", re.IGNORECASE)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,100}")


@dataclass(frozen=True, slots=True)
class StandardWebhook:
    """How to verify deliveries signed by the rules of Standard Webhooks (standardwebhooks.com)."""

    secret: str
    """The name of the variable with the secret; never the secret itself."""
    key: tuple[str, ...]
    """Paths into the payload whose values are the idempotency key. If empty, the webhook's id is the key."""
    tolerance_s: float
    at_once: bool
    """Whether a delivery is acknowledged as soon as its workflow's row is durable."""


@dataclass(frozen=True, slots=True)
class DatabaseWebhook:
    """How to verify calls of a database trigger: by a secret in a header field."""

    secret: str
    header: str
    key: tuple[str, ...]
    key_header: str | None
    at_once: bool = True


Webhook = StandardWebhook | DatabaseWebhook


def standard_webhook(
    secret: str,
    *,
    key: str | Sequence[str] | None = None,
    tolerance: Duration = TOLERANCE_S,
    respond: Literal["result", "async"] = "result",
) -> StandardWebhook:
    """Verify signed deliveries: Supabase's Auth hooks and all senders of Standard Webhooks.

    `secret` is the name of the environment variable that holds `v1,whsec_…` or `whsec_…`; several with `|`
    between them while they are rotated. The `webhook-id` is the idempotency key, unless `key` names paths in
    the payload (`"user.id"`). `tolerance` is how far a timestamp may be from now, in either direction (24
    hours at most). `respond="async"` answers 202 once the workflow's row is durable, for senders that don't
    wait for a result. Raises UsageError for options that can't work.
    """
    what = "standard_webhook"
    _check_variable(secret, what)
    tolerance_s = positive_seconds_of(tolerance, f"{what}(tolerance)")
    if tolerance_s is None or tolerance_s > TOLERANCE_S_MAX:
        raise UsageError(f"{what}(tolerance) is 24 hours at most, such as 300, not {tolerance!r}")
    if respond not in ("result", "async"):
        raise UsageError(f'{what}(respond) is "result" or "async", not {respond!r}')
    return StandardWebhook(secret, _paths(key, what), tolerance_s, respond == "async")


def database_webhook(
    secret: str,
    *,
    header: str = SECRET_HEADER,
    key: str | Sequence[str] | None = None,
    key_header: str | None = None,
) -> DatabaseWebhook:
    """Verify what Supabase's Database webhooks send: a trigger's call, with a secret in a header field.

    `secret` is the name of the environment variable that holds the secret; several with `|` between them
    while they are rotated. `header` carries it, `"authorization"` as a bearer token. `key` names paths in the
    payload (`("type", "record.id")`) whose values are the idempotency key, or `key_header` a header field
    that is. It is answered 202 once the workflow's row is durable. Raises UsageError for options that can't
    work.
    """
    what = "database_webhook"
    _check_variable(secret, what)
    field = _header_name(header, f"{what}(header)")
    key_field = None if key_header is None else _header_name(key_header, f"{what}(key_header)")
    if key_field == field:
        raise UsageError(f"{what}(key_header) is the header field of the secret; name another one")
    if key is not None and key_field is not None:
        raise UsageError(f"{what} takes its key from the payload (key) or from key_header, not from both")
    return DatabaseWebhook(secret, field, _paths(key, what), key_field)


def check_webhook(webhook: Any, decorator: str, auth: Any = None) -> None:
    """Raise UsageError for an invalid `webhook=`. Handlers have neither key nor row."""
    if webhook is None:
        return
    if not isinstance(webhook, Webhook):
        raise UsageError(
            f'{decorator}(webhook) takes standard_webhook("NAME_OF_A_VARIABLE") or '
            f"database_webhook(…), not {type(webhook).__name__}"
        )
    if auth is not None:
        raise UsageError(f"{decorator} takes auth or webhook: a webhook is let in by its signature alone")
    if decorator != "handler":
        return
    if webhook.key or (isinstance(webhook, DatabaseWebhook) and webhook.key_header):
        raise UsageError(
            "handler(webhook): a handler has no idempotency key; leave key out, or use @workflow"
        )
    if isinstance(webhook, StandardWebhook) and webhook.at_once:
        raise UsageError('handler(webhook): a handler answers itself; leave respond="async" out')


def _check_variable(name: Any, what: str) -> None:
    """The message never shows the given value, because it may be the secret."""
    if not isinstance(name, str) or _LITERAL.match(name) or not _VARIABLE.fullmatch(name):
        raise UsageError(
            f"{what} takes the name of an environment variable, in capitals, never the secret itself: "
            f'{what}("SEND_EMAIL_HOOK_SECRET")'
        )


def _header_name(name: Any, what: str) -> str:
    lower = name.lower() if isinstance(name, str) else ""
    if not _HEADER.fullmatch(lower):
        raise UsageError(f'{what} is the name of a header field, such as "{SECRET_HEADER}", not {name!r}')
    return lower


def _paths(key: Any, what: str) -> tuple[str, ...]:
    if key is None:
        return ()
    paths = (key,) if isinstance(key, str) else tuple(key) if isinstance(key, Sequence) else ()
    if not 0 < len(paths) <= PATHS_MAX or not all(isinstance(path, str) for path in paths):
        raise UsageError(f'{what}(key) is one path into the payload or several: key=("type", "record.id")')
    for path in paths:
        if not all(path.split(".")):
            raise UsageError(f'{what}(key): {path!r} is no path; write names with dots between, "record.id"')
    return paths
