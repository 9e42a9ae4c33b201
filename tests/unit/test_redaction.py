"""No secret is shown, and nothing else is hidden."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.observe.forms import JsonFormatter, TextFormatter
from outlast.observe.redaction import REDACTED, Redactor, passwords_of, redactor, secrets_among

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
AWKWARD = 'p"w\\d/ü? 1&2\t'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Bearer {JWT} was refused", f"Bearer {REDACTED} was refused"),
        ("apikey sb_secret_abc-DEF_123.", f"apikey {REDACTED}."),
        ("at postgresql://me:hunter2@db:5432/x", f"at postgresql://me:{REDACTED}@db:5432/x"),
        ("at redis://:hunter2@cache and a@b", f"at redis://:{REDACTED}@cache and a@b"),
        ("host=db password=hunter2 user=me", f"host=db password={REDACTED} user=me"),
        ("password='hunter2' user=me", f"password={REDACTED} user=me"),
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str, shown: str) -> None:
    assert Redactor().redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "serving functions of /app at http://127.0.0.1:8000/functions/v1/",
        "a@b.c asked http://[::1]:8000/x@y",
        "sb_publishable_abc",
        "eyJ is how it begins",
        "",
        "12:30:00 info loaded hello (version 0123456789ab)",
    ],
)
def test_all_else_is_left(text: str) -> None:
    made = Redactor()
    made.conceal(["", None, "short", "postgres", "12345678", "127.0.0.1"])
    assert made.redact(text) == text
    assert made.redact("postgresql://postgres@postgres 12345678") == "postgresql://postgres@postgres 12345678"


def test_known_values_are_hidden_in_every_spelling() -> None:
    made = Redactor()
    made.conceal([AWKWARD * 2])
    whole = AWKWARD * 2
    for spelt in (whole, json.dumps(whole), json.dumps(whole, ensure_ascii=False), repr(whole)):
        assert "1&2" not in made.redact(f"it was {spelt}!")
    assert "26" not in made.redact("x%22w")
    assert made.redact("p%22w%5Cd%2F%C3%BC%3F%201%262%09" * 2) == REDACTED


def test_lines_of_a_long_secret_are_hidden_alone() -> None:
    made = Redactor()
    made.conceal(["-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0\nshort\n-----END KEY-----"])
    assert made.redact("line MIIBVgIBADANBgkqhkiG9w0 of it") == f"line {REDACTED} of it"
    assert made.redact("short") == "short"


def test_the_longest_goes_first() -> None:
    made = Redactor()
    made.conceal(["abcdefgh1", "abcdefgh1-and-more"])
    assert made.redact("abcdefgh1-and-more") == REDACTED


@settings(deadline=None)
@given(st.text(min_size=8, max_size=40).filter(lambda text: not text.isascii() or not text.isalnum()))
def test_json_stays_json(secret: str) -> None:
    made = Redactor()
    made.conceal([secret])
    document = {
        "message": f'before "{secret}" after',
        "url": f"postgres://me:{secret}@host",
        "more": [secret],
    }
    json.loads(made.redact(json.dumps(document)))
    json.loads(made.redact(json.dumps(document, ensure_ascii=False)))


def test_the_rule_of_what_is_secret() -> None:
    variables = {
        "STRIPE_KEY": "sk_live_x",
        "API_TOKEN": "abcdefgh",
        "SLACK_WEBHOOK_URL": "https://hooks.example.com/T0/B0/x1",
        "ODD": "a1b2c3d4e5f6",
        "PORT": "8000",
        "PWD": "/srv/nowhere1",
        "KEY_FILE": __file__,
        "DB_PWD": "geheim-1",
        "SITE": "https://example.com/1",
        "FOLDER": "/srv/app1/functions2",
        "GREETING": "Hello to all 12 of you",
        "MODE": "production-mode",
        "MONKEYS": "twelve",
    }
    assert secrets_among(variables) == [
        "sk_live_x", "abcdefgh", "https://hooks.example.com/T0/B0/x1", "a1b2c3d4e5f6", "geheim-1", "twelve",
    ]  # fmt: skip
    assert "a1b2c3d4e5f6" not in secrets_among(variables, by_name_alone=True)


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://me:p%40ss%2Fword1@db/x", "p@ss/word1"),
        ("postgresql://me:p@ss:word1@db/x", "p@ss:word1"),
        ("host=db password=geheim99 user=me", "geheim99"),
        ("host=db password = 'geheim99'", "geheim99"),
    ],
)
def test_a_database_password_is_known_however_it_is_written(url: str, password: str) -> None:
    assert password in passwords_of(url)
    assert url in passwords_of(url)


@pytest.mark.parametrize("url", [None, "", "postgresql://db/x", "host=db"])
def test_a_database_without_a_password(url: str | None) -> None:
    assert passwords_of(url) == ([url] if url else [])


@pytest.mark.parametrize("form", [TextFormatter(), JsonFormatter()])
def test_records_pass_through_it_whole(form: logging.Formatter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redactor, "_values", set())
    monkeypatch.setattr(redactor, "_pattern", None)
    redactor.conceal(["the-value-of-the-test-1"])
    try:
        raise ValueError("the-value-of-the-test-1 is bad")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "x.py", 1, "it was %s", (["the-value-of-the-test-1"],),
            (type(error), error, error.__traceback__),
        )  # fmt: skip
    record.__dict__["extra"] = {"deep": [JWT]}
    text = form.format(record)
    assert "the-value-of" not in text
    assert "eyJ" not in text
    assert text.count(REDACTED) >= 2
    recorded = logging.makeLogRecord({"msg": "it failed", "traceback": f"Traceback: {JWT}"})
    assert "eyJ" not in form.format(recorded)
