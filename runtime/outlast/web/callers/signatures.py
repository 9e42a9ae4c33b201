"""Signatures of webhooks: reads secrets from variables, and checks deliveries. Without I/O.

Standard Webhooks 1.0.0 (https://github.com/standard-webhooks/standard-webhooks), its symmetric scheme `v1`
alone: others are passed over, as it asks. Nothing here raises for what a sender wrote.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

SECRETS_MAX = 5
SIGNATURES_MAX = 20
"""No sender has more secrets. Further signatures are ignored."""
SECRET_BYTES_MIN = 16
_SECONDS = re.compile(rb"[0-9]{1,12}")
_PLAIN = re.compile(rf"[!-{{}}~]{{{SECRET_BYTES_MIN},1000}}")

STANDARD_FORM = "v1,whsec_BASE64, as Supabase shows it, or whsec_BASE64"
PLAIN_FORM = f"at least {SECRET_BYTES_MIN} visible ASCII characters without |"


class BadSecret(ValueError):
    """A variable holds no secret that can be used. The text says what is wrong, never what it holds."""


def standard_secrets(text: str) -> list[bytes]:
    """The keys in `v1,whsec_BASE64|v1,whsec_BASE64`. Raises BadSecret."""
    return [_standard_secret(each) for each in _split_secrets(text)]


def plain_secrets(text: str) -> list[bytes]:
    """The secrets in `first|second`. Raises BadSecret."""
    secrets = _split_secrets(text)
    if not all(_PLAIN.fullmatch(each) for each in secrets):
        raise BadSecret(f"a secret of it is not {PLAIN_FORM}")
    return [each.encode() for each in secrets]


def signature(secret: bytes, message_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """`v1,BASE64`: HMAC-SHA256 over `id.timestamp.body`."""
    digest = hmac.new(secret, b"%b.%b." % (message_id, timestamp), hashlib.sha256)
    # guard: body-unsigned
    digest.update(body)
    return b"v1," + base64.b64encode(digest.digest())


def is_signed(
    secrets: list[bytes], message_id: bytes, timestamp: bytes, body: bytes, presented: bytes
) -> bool:
    """Whether one of the `presented` signatures was made with one of the secrets.

    They are parted by spaces; Supabase Auth writes `, ` between them while secrets are rotated.
    """
    parts = (each.rstrip(b",") for each in presented.split(b" "))
    offered = [each for each in parts if each.startswith(b"v1,")][:SIGNATURES_MAX]
    expected = [signature(secret, message_id, timestamp, body) for secret in secrets] if offered else []
    # All are compared, so that the time doesn't tell which one it was.
    # guard: any-signature = True
    return any([hmac.compare_digest(one, other) for one in expected for other in offered])  # noqa: C419


def is_current(timestamp: bytes, now_s: float, tolerance_s: float) -> bool:
    """Whether it is a time in whole seconds, and within `tolerance_s` of `now_s`."""
    return _SECONDS.fullmatch(timestamp) is not None and abs(int(timestamp) - now_s) <= tolerance_s


def is_secret(secrets: list[bytes], presented: bytes) -> bool:
    """Whether `presented` is one of the secrets."""
    digest = hashlib.sha256(presented).digest()
    known = [hashlib.sha256(each).digest() for each in secrets]
    return any([hmac.compare_digest(digest, each) for each in known])  # noqa: C419


def _split_secrets(text: str) -> list[str]:
    """The secrets between bars. Empty ones are skipped, as in Supabase Auth."""
    secrets = [each for each in map(str.strip, text.split("|")) if each]
    if len(secrets) > SECRETS_MAX:
        raise BadSecret(f"it holds {len(secrets)} secrets; {SECRETS_MAX} at most are tried")
    if not secrets:
        raise BadSecret("it is empty")
    return secrets


def _standard_secret(text: str) -> bytes:
    encoded = text.removeprefix("v1,")
    if not encoded.startswith("whsec_"):
        raise BadSecret("a secret of it begins otherwise")
    try:
        secret = base64.b64decode(_pad(encoded.removeprefix("whsec_")), validate=True)
    except (binascii.Error, ValueError):
        raise BadSecret("a secret of it is no base64") from None
    if len(secret) < SECRET_BYTES_MIN:
        raise BadSecret(f"a secret of it has fewer than {SECRET_BYTES_MIN} bytes")
    return secret


def _pad(text: str) -> str:
    return text + "=" * (-len(text) % 4)
