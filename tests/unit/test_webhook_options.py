"""`standard_webhook` and `database_webhook` as options: what they take, and what they say of all else."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from outlast import UsageError, database_webhook, handler, standard_webhook, workflow
from outlast.sdk.webhooks import DatabaseWebhook, StandardWebhook, check_webhook

LITERALS = [
    "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "WHSEC_ABC",
    "V1_SECRET",
    "sb_secret_0123456789",
    "hunter2",
    "correct-horse-battery",
    "",
    " A",
    "1A",
    "A B",
    "A\n",
    "A" * 300,
    "ÄÖÜ",
    5,
    None,
]


async def plain(request: Any) -> None: ...


@pytest.mark.parametrize("make", [standard_webhook, database_webhook])
@pytest.mark.parametrize("literal", LITERALS)
def test_a_secret_itself_is_refused_and_never_shown(make: Callable[..., Any], literal: Any) -> None:
    with pytest.raises(UsageError, match="name of an environment variable") as raised:
        make(literal)
    assert len(str(literal)) < 4 or str(literal) not in str(raised.value)


def test_options_are_plain_and_frozen() -> None:
    assert standard_webhook("A_1") == StandardWebhook("A_1", (), 300.0, at_once=False)
    assert standard_webhook("A", key="user.id", tolerance=timedelta(minutes=1), respond="async") == (
        StandardWebhook("A", ("user.id",), 60.0, at_once=True)
    )
    assert database_webhook("A") == DatabaseWebhook("A", "x-webhook-secret", (), None)
    made = database_webhook("A", header="Authorization", key=["type", "record.id"])
    assert made == DatabaseWebhook("A", "authorization", ("type", "record.id"), None)
    assert database_webhook("A", key_header="X-Event-Id").key_header == "x-event-id"
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.secret = "B"  # type: ignore[misc]


@pytest.mark.parametrize(
    "key", [(), [], "", "a..b", ".a", "a.", ("a", ""), 5, (5,), {"a": 1}, ("a",) * 17, b"a"], ids=repr
)
@pytest.mark.parametrize("make", [standard_webhook, database_webhook])
def test_a_key_is_made_of_paths(make: Callable[..., Any], key: Any) -> None:
    with pytest.raises(UsageError, match=r"\(key\)"):
        make("A", key=key)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "300", None, 86_401, timedelta(days=2), True])
def test_a_tolerance_is_bounded(wrong: Any) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        standard_webhook("A", tolerance=wrong)


@pytest.mark.parametrize("header", ["", "a b", "a:b", "grüße", "a\r\nb", 5, None, "x" * 101])
def test_a_header_is_a_header(header: Any) -> None:
    with pytest.raises(UsageError, match="header"):
        database_webhook("A", header=header)
    if header is not None:
        with pytest.raises(UsageError, match="header"):
            database_webhook("A", key_header=header)


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="not from both"):
        database_webhook("A", key="id", key_header="x-id")
    with pytest.raises(UsageError, match="header field of the secret"):
        database_webhook("A", key_header="X-Webhook-Secret")
    with pytest.raises(UsageError, match="respond"):
        standard_webhook("A", respond="later")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="auth or webhook"):
        check_webhook(standard_webhook("A"), "workflow", auth="user")


def test_only_options_are_options() -> None:
    wrongs: list[Any] = ["A", True, {"secret": "A"}, standard_webhook, object()]
    for decorate, wrong in itertools.product((workflow, handler), wrongs):
        with pytest.raises(UsageError, match=r'standard_webhook\("NAME_OF_A_VARIABLE"\)') as raised:
            decorate(webhook=wrong)
        assert "'A'" not in str(raised.value)


def test_a_handler_has_no_key_and_no_row() -> None:
    for webhook in (
        standard_webhook("A", key="id"),
        database_webhook("A", key="id"),
        database_webhook("A", key_header="x-id"),
        standard_webhook("A", respond="async"),
    ):
        with pytest.raises(UsageError, match="handler"):
            handler(webhook=webhook)
        assert workflow(webhook=webhook)(plain).definition.webhook is webhook
    assert handler(webhook=database_webhook("A"))(plain).definition.webhook is not None


def test_webhooks_are_posted() -> None:
    options = standard_webhook("A")
    assert workflow(webhook=options)(plain).definition.methods == ("POST",)
    assert handler(webhook=options)(plain).definition.methods == ("POST",)
    assert workflow(webhook=options, methods=["put"])(plain).definition.methods == ("PUT",)
    assert "GET" in workflow(plain).definition.methods
