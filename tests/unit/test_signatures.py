"""Signatures of Standard Webhooks against published ones; secrets as variables hold them; hostile bytes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlast.web.callers.signatures import (
    SECRET_BYTES_MIN,
    SECRETS_MAX,
    SIGNATURES_MAX,
    BadSecret,
    is_current,
    is_secret,
    is_signed,
    plain_secrets,
    signature,
    standard_secrets,
)

# The first from the tests of the standard's own libraries, the second from the documentation of Svix.
PUBLISHED = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b"msg_p5jXN8AQM9LWM0D4loKWxJek",
        b"1614265330",
        b'{"test": 2432232314}',
        b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        b"msg_loFOjxBNrRLzqYUf",
        b"1731705121",
        b'{"event_type":"ping","data":{"success":true}}',
        b"v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    ),
]
OTHER = "whsec_" + base64.b64encode(b"another secret of the tests").decode()
NOW_S = 1_764_230_400.0


@pytest.mark.parametrize(("secret", "message_id", "timestamp", "body", "signed"), PUBLISHED)
def test_published_signatures_are_right(
    secret: str, message_id: bytes, timestamp: bytes, body: bytes, signed: bytes
) -> None:
    secrets = standard_secrets(secret)
    assert signature(secrets[0], message_id, timestamp, body) == signed
    assert is_signed(secrets, message_id, timestamp, body, signed)
    assert standard_secrets(f"v1,{secret}") == secrets
    assert not is_signed(standard_secrets(OTHER), message_id, timestamp, body, signed)
    assert not is_signed(secrets, message_id + b"x", timestamp, body, signed)
    assert not is_signed(secrets, message_id, timestamp[:-1] + b"9", body, signed)
    assert not is_signed(secrets, message_id, timestamp, body + b" ", signed)


def test_rotation_is_known_on_both_sides() -> None:
    secret, message_id, timestamp, body, signed = PUBLISHED[0]
    both = standard_secrets(f" v1,{OTHER} || v1,{secret} |")
    assert len(both) == 2
    other = signature(both[0], message_id, timestamp, body)
    for presented in (
        signed,
        other,
        b"%b %b" % (other, signed),
        b"%b, %b" % (other, signed),  # as Supabase Auth writes two
        b"v1a,hnO3f9T8Ytu9 v2,x %b" % signed,
        b"  %b  " % signed,
    ):
        assert is_signed(both, message_id, timestamp, body, presented)
    alone = standard_secrets(secret)
    assert is_signed(alone, message_id, timestamp, body, b"%b, %b" % (other, signed))
    assert not is_signed(alone, message_id, timestamp, body, other)


@pytest.mark.parametrize(
    "change", ["v1a,{}", "V1,{}", "{}", "v1,{}=", "v1, {}", "v1,{}x", "v1;{}", "v1,v1,{}"]
)
def test_what_only_looks_like_a_signature_is_none(change: str) -> None:
    secret, message_id, timestamp, body, signed = PUBLISHED[0]
    presented = change.format(signed.decode().removeprefix("v1,")).encode()
    assert not is_signed(standard_secrets(secret), message_id, timestamp, body, presented)


def test_the_number_of_signatures_is_bounded() -> None:
    secret, message_id, timestamp, body, signed = PUBLISHED[0]
    secrets = standard_secrets(secret)
    for before, found in ((SIGNATURES_MAX - 1, True), (SIGNATURES_MAX, False)):
        assert is_signed(secrets, message_id, timestamp, body, b"v1,x " * before + signed) is found
        assert (
            is_signed(secrets, message_id, timestamp, body, b"v1a,x " * 1_000 + b"v1,x " * before + signed)
            is found
        )


@given(st.binary(), st.binary(), st.binary(), st.binary())
@example(b"m", b"1", b"{}", b"v1," + "é".encode())
@example(b"m", b"1", b"{}", b"\xff v1,\xff")
def test_no_bytes_raise_or_pass(message_id: bytes, timestamp: bytes, body: bytes, presented: bytes) -> None:
    secrets = standard_secrets(f"{OTHER}|{PUBLISHED[0][0]}")
    assert not is_signed(secrets, message_id, timestamp, body, presented)
    assert not is_secret(secrets, presented)
    is_current(timestamp, NOW_S, 300)


@given(st.binary(min_size=SECRET_BYTES_MIN, max_size=64), st.binary(), st.binary(), st.binary())
def test_what_was_signed_is_verified(secret: bytes, message_id: bytes, timestamp: bytes, body: bytes) -> None:
    secrets = standard_secrets(f"v1,whsec_{base64.b64encode(secret).decode()}")
    assert secrets == [secret]
    assert is_signed(secrets, message_id, timestamp, body, signature(secret, message_id, timestamp, body))


@pytest.mark.parametrize(
    ("timestamp", "current"),
    [
        (b"1764230400", True),
        (b"1764230100", True),
        (b"1764230700", True),
        (b"1764230099", False),
        (b"1764230701", False),
        (b"01764230400", True),
        (b"1764230400.0", False),
        (b"1764230400 ", False),
        (b"+1764230400", False),
        (b"-1764230400", False),
        (b"1_764_230_400", False),
        (b"1764230400000", False),
        (b"0x69280000", False),
        (b"nan", False),
        (b"inf", False),
        (b"", False),
        (b"9" * 5_000, False),
        ("１７６４２３０４００".encode(), False),
    ],
)
def test_a_time_is_whole_seconds_near_now(timestamp: bytes, current: bool) -> None:
    assert is_current(timestamp, NOW_S, 300) is current


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("|", "empty"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins otherwise"),
        ("v1,MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins otherwise"),
        ("v1a,whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins otherwise"),
        ("v2,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins otherwise"),
        ("whsec_", "fewer"),
        ("whsec_c2hvcnQ=", "fewer"),
        ("whsec_MfKQ9r8GKYqr-wjUPD8ILPZIo2LaLaSw", "no base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZI o2LaLaSw", "no base64"),
        ("whsec_grüße", "no base64"),
        ("|".join([OTHER] * (SECRETS_MAX + 1)), "at most"),
    ],
)
def test_a_secret_that_cannot_be_one_is_not_shown(text: str, says: str) -> None:
    with pytest.raises(BadSecret, match=says) as raised:
        standard_secrets(text)
    assert "MfKQ" not in str(raised.value)


def test_a_plain_secret_is_long_enough_to_be_one() -> None:
    first, second = "correct-horse-battery", "v1,whsec_c3RhcGxlCg==staple"
    assert plain_secrets(f"{first}|{second}") == [first.encode(), second.encode()]
    for text in (
        "",
        "short",
        f"{first}|short",
        "grüße aus dem fernen Land",
        "two words and more",
        "x" * 2_000,
    ):
        with pytest.raises(BadSecret) as raised:
            plain_secrets(text)
        assert not text or text not in str(raised.value)
    assert is_secret(plain_secrets(f"{first}|{second}"), second.encode())
    assert not is_secret(plain_secrets(f"{first}|{second}"), f"{first}|{second}".encode())


def test_a_secret_is_known_by_all_of_it() -> None:
    secret = b"0123456789abcdef-and-more"
    assert is_secret([b"another-secret-of-some-length", secret], secret)
    near = [secret[:length] for length in range(len(secret))] + [secret + b"x", secret.upper(), b""]
    assert [each for each in near if is_secret([secret], each)] == []
