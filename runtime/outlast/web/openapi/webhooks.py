"""Functions with `webhook=` in OpenAPI: header fields of a delivery, and refusals."""

from __future__ import annotations

from outlast.sdk.definitions import HandlerDefinition, WorkflowDefinition
from outlast.sdk.webhooks import TOLERANCE_S, DatabaseWebhook, StandardWebhook, Webhook
from outlast.web.callers.webhooks import (
    BAD_SIGNATURE,
    ID,
    SIGNATURE,
    TIMESTAMP,
    UNAVAILABLE,
    missing,
    stale,
)
from outlast.web.openapi.shared import BEARER, Item, problem_item

_AUTHORIZATION = "authorization"

UNAUTHORIZED_WEBHOOK = problem_item(
    "The delivery isn't signed as this function needs it; nothing was started.",
    missing(SIGNATURE),
    stale(TOLERANCE_S),
    BAD_SIGNATURE,
    names=("WWW-Authenticate",),
)
UNAVAILABLE_WEBHOOK = problem_item(
    "Not now: deliver it again. A function whose secret isn't set answers so, too.",
    UNAVAILABLE,
    names=("Retry-After", "Location"),
)
RESPONSES: Item = {"UnauthorizedWebhook": UNAUTHORIZED_WEBHOOK, "UnavailableWebhook": UNAVAILABLE_WEBHOOK}
REFUSALS = {"401": "UnauthorizedWebhook", "503": "UnavailableWebhook"}


def webhook_of(served: object) -> Webhook | None:
    """The webhook options of what is served, if it has any."""
    return served.webhook if isinstance(served, WorkflowDefinition | HandlerDefinition) else None


def security_of(webhook: Webhook) -> list[Item]:
    """No key of the project. A secret in Authorization is a bearer token: OpenAPI has no such parameter."""
    return [BEARER] if isinstance(webhook, DatabaseWebhook) and webhook.header == _AUTHORIZATION else []


def parameters_of(webhook: Webhook, key: Item | None = None) -> list[Item]:
    """The header fields of a delivery. `key` is the idempotency key's, if nothing else makes the key."""
    if isinstance(webhook, StandardWebhook):
        seconds = f"When it was sent: seconds since 1970, within {webhook.tolerance_s:.0f} s of now."
        return [
            _header(ID, "The event's id, the same in each of its deliveries."),
            _header(TIMESTAMP, seconds),
            _header(
                SIGNATURE, "`v1,BASE64` (HMAC-SHA256 over `ID.TIMESTAMP.BODY`), several with spaces between."
            ),
        ]
    fields = []
    if webhook.header != _AUTHORIZATION:
        fields.append(_header(webhook.header, "The shared secret."))
    if webhook.key_header is not None:
        fields.append(_header(webhook.key_header, "The event's name: the same one is handled once."))
    elif key is not None and not webhook.key:
        fields.append(key)
    return fields


def _header(name: str, description: str) -> Item:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": True, "description": description, "schema": schema}
