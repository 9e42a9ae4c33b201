"""Verifies deliveries to functions with `webhook=`, and finds their idempotency keys."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core.bounds import check_numbers
from outlast.core.errors import InvalidInput, InvalidJson
from outlast.core.names import key_of
from outlast.sdk.webhooks import DatabaseWebhook, StandardWebhook, Webhook
from outlast.web.callers.signatures import (
    PLAIN_FORM,
    STANDARD_FORM,
    BadSecret,
    is_current,
    is_secret,
    is_signed,
    plain_secrets,
    standard_secrets,
)
from outlast.web.http.calls import Call, run_by_size
from outlast.web.http.problems import Problem, ProblemError

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
STANDARD_HEADERS = (ID, TIMESTAMP, SIGNATURE)
_AUTHORIZATION = "authorization"
_logger = logging.getLogger("outlast.web")


class Complaints:
    """Logs secrets that can't be used: each once, however often strangers call."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def complain(self, function: str, reason: str, form: str) -> None:
        """Log what is wrong, unless it is what was logged of `function` last."""
        if self._told.get(function) != reason:
            self._told[function] = reason
            _logger.error(
                "%s can't verify its webhook: %s; set it to %s, or to several of them with | between",
                function, reason, form,
            )  # fmt: skip

    def clear(self, function: str) -> None:
        """Its secret is fine."""
        self._told.pop(function, None)


async def admit_webhook(
    call: Call,
    webhook: Webhook,
    function: str,
    complaints: Complaints,
    *,
    now_s: float,
    body_bytes_max: int,
) -> str | None:
    """Verify a delivery. Returns its idempotency key, if the options name one.

    Nothing is written, and of the body nothing is read before the header fields are found to be in order.
    Raises ProblemError (401, 400, 413, 429, 503), InvalidJson, TooManyValues, InvalidInput, ClientGone.
    """
    if isinstance(webhook, StandardWebhook):
        secrets = partial(_secrets, webhook.secret, standard_secrets, STANDARD_FORM, function, complaints)
        return await _verify_standard(call, webhook, secrets, now_s, body_bytes_max)
    secrets = partial(_secrets, webhook.secret, plain_secrets, PLAIN_FORM, function, complaints)
    return await _verify_database(call, webhook, secrets, body_bytes_max)


Secrets = Callable[[], list[bytes]]


async def _verify_standard(
    call: Call, webhook: StandardWebhook, secrets_now: Secrets, now_s: float, body_bytes_max: int
) -> str:
    message_id, timestamp, presented = (_single_value(call, name) for name in STANDARD_HEADERS)
    if b"." in message_id:
        raise ProblemError(DOTTED_ID)
    # guard: stale-delivery
    if not is_current(timestamp, now_s, webhook.tolerance_s):
        raise ProblemError(stale(webhook.tolerance_s))
    secrets = secrets_now()
    body = await call.body(body_bytes_max)
    if not await run_by_size(len(body), is_signed, secrets, message_id, timestamp, body, presented):
        raise ProblemError(BAD_SIGNATURE)
    if webhook.key:
        return await _key_in(call, body_bytes_max, webhook.key)
    return key_of(message_id.decode("latin-1"))


async def _verify_database(
    call: Call, webhook: DatabaseWebhook, secrets_now: Secrets, body_bytes_max: int
) -> str | None:
    presented = _single_value(call, webhook.header)
    if webhook.header == _AUTHORIZATION:
        scheme, _, token = presented.partition(b" ")
        presented = token.strip() if scheme.lower() == b"bearer" else b""
    # guard: any-shared-secret
    if not is_secret(secrets_now(), presented):
        raise ProblemError(bad_secret(webhook.header))
    call.forget(webhook.header.encode())
    if webhook.key_header is not None:
        return key_of(_key_field(call, webhook.key_header))
    return await _key_in(call, body_bytes_max, webhook.key) if webhook.key else None


def _single_value(call: Call, name: str) -> bytes:
    """The value of a header field that must be there once. Raises ProblemError (401)."""
    values = call.header_values(name.encode())
    if not values or not values[0]:
        raise ProblemError(missing(name))
    if len(values) > 1:
        raise ProblemError(refusal("webhook_signature_invalid", f"{name} is repeated; send it once", name))
    return values[0].encode("latin-1")


def _key_field(call: Call, name: str) -> str:
    values = call.header_values(name.encode())
    if len(values) > 1:
        detail = f"{name} is repeated; send it once"
        raise ProblemError(Problem("idempotency_key_invalid", detail))
    if not values or not values[0]:
        detail = f"{name} is missing; it names the event, so that it is handled once"
        raise ProblemError(Problem("idempotency_key_missing", detail))
    return values[0]


def _secrets(
    variable: str, read: Callable[[str], list[bytes]], form: str, function: str, complaints: Complaints
) -> list[bytes]:
    """The secrets that a variable holds now. Raises ProblemError (503); the log says what is wrong."""
    text = os.environ.get(variable, "")
    try:
        secrets = read(text)
    except BadSecret as error:
        reason = f"{variable} can't be used ({error})" if text else f"{variable} is not set"
        complaints.complain(function, reason, form)
        raise ProblemError(UNAVAILABLE) from None
    complaints.clear(function)
    return secrets


async def _key_in(call: Call, body_bytes_max: int, paths: tuple[str, ...]) -> str:
    """The values at `paths` of the body as one key.

    Raises InvalidJson, TooManyValues, and InvalidInput that names the path.
    """
    body = await call.json_body(body_bytes_max)
    return await run_by_size(len(body), _key_of, body, paths)


def _key_of(body: bytes, paths: tuple[str, ...]) -> str:
    try:
        document = from_json(body, allow_inf_nan=False)
        check_numbers(body)
    except ValueError as error:
        raise InvalidJson(f"the body is no JSON: {error}") from None
    return key_of("~".join([_text_at(document, path) for path in paths]))


def _text_at(document: Any, path: str) -> str:
    """The value at `path` as text. A `~` in it becomes `%7E`, so that different lists give different keys."""
    found = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if found is None or found == "":
        raise _no_key(path, "missing", "no value is there, and the idempotency key is made of it")
    if isinstance(found, dict | list):
        raise _no_key(
            path, "scalar_type", "a text or a number must be there: the idempotency key is made of it"
        )
    text = found if isinstance(found, str) else to_json(found).decode()
    return text.replace("%", "%25").replace("~", "%7E")


def _no_key(path: str, kind: str, message: str) -> InvalidInput:
    return InvalidInput(f"{path}: {message}", [{"type": kind, "loc": path.split("."), "msg": message}])


def refusal(code: str, detail: str, header: str) -> Problem:
    """401, with the challenge that HTTP wants there (RFC 9110, section 15.5.2)."""
    scheme = "Bearer" if header == _AUTHORIZATION else "Webhook"
    return Problem(code, detail, headers=(("www-authenticate", scheme),))


def missing(header: str) -> Problem:
    """401: a header field is missing."""
    needed = f"; a delivery needs {', '.join(STANDARD_HEADERS)}" if header in STANDARD_HEADERS else ""
    return refusal("webhook_signature_missing", f"{header} is missing{needed}", header)


def stale(tolerance_s: float) -> Problem:
    """401: the timestamp is none, or too far in the past or the future."""
    detail = (
        f"{TIMESTAMP} must be the time in whole seconds since 1970, and within {tolerance_s:.0f} s of now: "
        "sign each delivery anew, and check the clock"
    )
    return refusal("webhook_timestamp_invalid", detail, TIMESTAMP)


def bad_secret(header: str) -> Problem:
    """401: the shared secret is wrong."""
    form = "Bearer SECRET" if header == _AUTHORIZATION else "the secret"
    return refusal("webhook_signature_invalid", f"{header} must be {form}, as this function knows it", header)


BAD_SIGNATURE = refusal(
    "webhook_signature_invalid",
    f"no v1 signature in {SIGNATURE} fits; sign ID.TIMESTAMP.BODY, the body byte for byte as it is sent, "
    "with the secret that this function knows",
    SIGNATURE,
)
DOTTED_ID = refusal(
    "webhook_signature_invalid",
    f"{ID} must have no dot: dots part what is signed, and an id with one could take in the timestamp",
    ID,
)
UNAVAILABLE = Problem("webhook_unavailable", "deliveries can't be verified now; the host's log says why")
