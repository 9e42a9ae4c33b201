"""Webhooks through a real socket, with real signatures, on a host that else asks for a secret key."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from outlast.core.clock import Clock
from outlast.web.callers.signatures import signature
from tests.hosts import SECRET
from tests.http.conftest import Start
from tests.http.harness import Served, check_problem, fresh_key, same_answer

FORMER, CURRENT, FOREIGN = (
    f"{word} secret of the hook tests".encode() for word in ("former", "current", "foreign")
)
SHARED, FORMER_SHARED = "shared-secret-of-the-hook-tests", "former-secret-of-the-hook-tests"
MALFORMED = "correct-horse-battery-staple"
DOCS = Path(__file__).parents[2] / "docs" / "webhooks.md"
PARTS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def shown(secret: bytes) -> str:
    """A secret as Supabase shows it."""
    return f"v1,whsec_{base64.b64encode(secret).decode()}"


@pytest.fixture(scope="module")
def guarded(start_host: Start) -> Iterator[Served]:
    """A host whose other functions need a secret key; its webhooks' secrets are being rotated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_HOOK_SECRET", f"{shown(FORMER)}|{shown(CURRENT)}")
        patch.setenv("HTTP_DATABASE_SECRET", f"{FORMER_SHARED}|{SHARED}")
        patch.setenv("HTTP_MALFORMED_SECRET", MALFORMED)
        host = start_host("--host", "127.0.0.1", body_bytes_max=100_000)
    host.client.headers.pop("authorization")
    yield host
    for secret in (shown(CURRENT), SHARED, FORMER_SHARED, MALFORMED):
        assert secret not in host.process.said(), "a webhook's secret is in the log"
    rows = str(host.query("select * from outlast.workflow_status"))
    assert SHARED not in rows, "a webhook's secret is in the database"
    assert FORMER_SHARED not in rows


def now() -> int:
    return int(Clock().now_s())


def headers_of(
    body: bytes, message_id: str, *secrets: bytes, between: str = " ", sent: int | str | None = None
) -> dict[str, str]:
    moment = str(now() if sent is None else sent)
    signed = [
        signature(each, message_id.encode("latin-1"), moment.encode(), body).decode() for each in secrets
    ]
    return dict(zip(PARTS, (message_id, moment, between.join(signed)), strict=True))


def deliver(
    host: Served,
    function: str,
    body: Any,
    message_id: str | None = None,
    *secrets: bytes,
    between: str = " ",
    sent: int | str | None = None,
    **options: Any,
) -> httpx.Response:
    """A signed delivery. `body` is JSON or bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = headers_of(
        content, message_id or fresh_key(), *(secrets or (CURRENT,)), between=between, sent=sent
    )
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    raw |= {name.encode(): value.encode() for name, value in options.pop("headers", {}).items()}
    return host.client.request(
        options.pop("method", "POST"), f"/functions/v1/{function}", content=content, headers=raw, **options
    )


def from_trigger(
    host: Served, function: str, body: Any, secret: str = SHARED, **headers: str
) -> httpx.Response:
    """A call as a database trigger makes it."""
    fields = {
        "x-webhook-secret": secret,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return host.client.post(f"/functions/v1/{function}", json=body, headers=fields)


def mail(key: str) -> dict[str, Any]:
    """What Auth sends when a message is to be sent."""
    return {"user": {"id": key, "email": "ada@example.com"}, "email_data": {"token": "305805"}}


def refused(host: Served, answer_of: Any, status: int, code: str, **more: Any) -> dict[str, Any]:
    """A call that must not leave a row."""
    before = host.rows()
    answer = answer_of()
    assert host.rows() == before, "a refused delivery left a row"
    assert "workflow-id" not in answer.headers
    if status == 401:
        assert answer.headers["www-authenticate"] in ("Webhook", "Bearer")
    assert shown(CURRENT) not in answer.text
    assert SHARED not in answer.text
    return check_problem(answer, status, code, **more)


def test_a_delivery_is_a_workflow_under_its_id(guarded: Served) -> None:
    key, message_id = fresh_key(), f"msg_{fresh_key()}"
    answer = deliver(guarded, "hooks", mail(key), message_id)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"id": key, "token": "305805", "later": []}
    assert answer.headers["workflow-id"] == f"hooks:{message_id}"
    assert guarded.seen(key) == 1


def test_a_repeated_delivery_is_the_same_however_it_is_signed(guarded: Served) -> None:
    key, message_id = fresh_key(), fresh_key()
    first = deliver(guarded, "hooks", mail(key), message_id, CURRENT)
    for secrets, sent in (((CURRENT,), now() - 200), ((FORMER,), now() + 200), ((FOREIGN, CURRENT), now())):
        again = deliver(
            guarded, "hooks", mail(key), message_id, *secrets, sent=sent, headers={"x-attempt": "2"}
        )
        same_answer(first, again)
        assert again.headers["idempotency-replayed"] == "true"
    assert guarded.seen(key) == 1


def test_a_repeated_delivery_is_the_same_whatever_its_query(guarded: Served) -> None:
    """Nobody has signed that: who repeats a delivery with another one is no second event."""
    key, message_id = fresh_key(), fresh_key()
    first = deliver(guarded, "hooks", mail(key), message_id)
    for query in ("?a=1", "?a=2&forceFunctionRegion=x"):
        same_answer(first, deliver(guarded, f"hooks{query}", mail(key), message_id))
    assert guarded.seen(key) == 1


def test_another_body_under_an_id_is_refused(guarded: Served) -> None:
    message_id = fresh_key()
    assert deliver(guarded, "hooks", mail(fresh_key()), message_id).status_code == 200
    refused(
        guarded,
        lambda: deliver(guarded, "hooks", mail(fresh_key()), message_id),
        422,
        "idempotency_key_reused",
    )


def test_secrets_are_rotated_without_a_gap(guarded: Served) -> None:
    for secrets in ((FORMER,), (CURRENT,), (FORMER, CURRENT), (FOREIGN, CURRENT), (FORMER, FOREIGN)):
        for between in (" ", ", "):  # the standard's way, and that of Supabase Auth
            answer = deliver(guarded, "hooks", mail(fresh_key()), None, *secrets, between=between)
            assert answer.status_code == 200, (secrets, between)
    refused(
        guarded, lambda: deliver(guarded, "hooks", mail("x"), None, FOREIGN), 401, "webhook_signature_invalid"
    )


@pytest.mark.parametrize("sent", [-301, 302, "soon", "", "1e9"])
def test_a_stale_delivery_is_refused(guarded: Served, sent: int | str) -> None:
    moment = now() + sent if isinstance(sent, int) else sent
    code = "webhook_timestamp_invalid" if moment else "webhook_signature_missing"
    refused(guarded, lambda: deliver(guarded, "hooks", mail("x"), sent=moment), 401, code)
    if isinstance(sent, int):
        assert deliver(guarded, "hooks/patient", {}, sent=moment).status_code == 200


def test_what_was_changed_on_the_way_is_refused(guarded: Served) -> None:
    body = json.dumps(mail("x")).encode()
    headers = headers_of(body, "msg_1", CURRENT)
    for changed in (
        {"content": body + b" "},
        {"content": b""},
        {"headers": {**headers, "webhook-id": "msg_2"}},
        {"headers": {**headers, "webhook-timestamp": str(now() - 1)}},
        {"headers": {**headers, "webhook-signature": headers["webhook-signature"].lower()}},
        {"headers": {**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v1a,")}},
        {"headers": {**headers, "webhook-signature": "v1,"}},
    ):
        options: dict[str, Any] = {"content": body, "headers": headers, **changed}
        refused(
            guarded,
            lambda options=options: guarded.client.post("/functions/v1/hooks", **options),
            401,
            "webhook_signature_invalid",
        )


def test_an_id_with_a_dot_cannot_shift_what_is_signed(guarded: Served) -> None:
    """`msg` at 1 with the body `MOMENT.{}` is signed as `msg.1` at MOMENT with the body `{}` would be."""
    moment = str(now())
    signed = headers_of(f"{moment}.{{}}".encode(), "msg", CURRENT, sent="1")
    moved = {**signed, "webhook-id": "msg.1", "webhook-timestamp": moment}
    said = refused(
        guarded,
        lambda: guarded.client.post("/functions/v1/hooks/patient", content=b"{}", headers=moved),
        401,
        "webhook_signature_invalid",
    )
    assert "dot" in said["detail"]


def test_no_key_of_the_project_opens_a_webhook(guarded: Served) -> None:
    for key in ({}, {"apikey": SECRET}, {"authorization": f"Bearer {SECRET}"}):
        for function in ("hooks", "hooks/plain", "hooks/order", "hooks/bearer", "hooks/trigger"):
            code = "webhook_signature_missing"
            if function == "hooks/bearer" and "authorization" in key:
                code = "webhook_signature_invalid"
            said = refused(
                guarded,
                lambda function=function, key=key: guarded.call(function, {}, headers=key),
                401,
                code,
            )
            assert SECRET not in str(said)


def test_other_functions_still_ask_for_a_key(guarded: Served) -> None:
    for function in ("hello", "nowhere", "broken", "hooks/nowhere"):
        answer = deliver(guarded, function, {})
        check_problem(answer, 401, "UNAUTHORIZED_NO_AUTH_HEADER")
    check_problem(guarded.call("nowhere", headers={"apikey": SECRET}), 404, "NOT_FOUND")


def test_strange_bytes_in_the_header_are_refused(guarded: Served) -> None:
    for value in (b"\xff\xfe", "ü".encode(), b"v1,", b"v1," * 10_000, b"v1,\xff " * 500, b" ", b","):
        lines = [f"{name}: ".encode() + value for name in ("webhook-id", "webhook-signature")]
        with guarded.connection() as wire:
            wire.send(
                b"POST /functions/v1/hooks HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n"
                + f"webhook-timestamp: {now()}\r\n".encode()
                + b"\r\n".join(lines)
                + b"\r\n\r\n{}"
            )
            assert wire.answer().status == 401


def test_an_id_that_no_key_could_be_is_hashed(guarded: Served) -> None:
    for message_id in ("grüße-" + fresh_key(), fresh_key() + "x" * 300):
        key = fresh_key()
        answers = [deliver(guarded, "hooks", mail(key), message_id) for _ in range(2)]
        assert re.fullmatch(r"hooks:sha256-[0-9a-f]{64}", answers[0].headers["workflow-id"])
        same_answer(*answers)
        assert guarded.seen(key) == 1
    spaced = f'{fresh_key()} "a", b/c'
    assert deliver(guarded, "hooks/patient", {}, spaced).headers["workflow-id"].startswith("hooks/patient:")


def test_a_key_of_the_payload_goes_before_the_id(guarded: Served) -> None:
    key = fresh_key()
    body = {"user": {"id": key, "n": 7}}
    first = deliver(guarded, "hooks/by_payload", body, headers={"idempotency-key": fresh_key()})
    again = deliver(guarded, "hooks/by_payload", body)  # under another id, as Auth sends its own retries
    same_answer(first, again)
    assert first.headers["workflow-id"] == f"hooks/by_payload:{key}%7E7"
    assert guarded.seen(key) == 1
    said = refused(
        guarded, lambda: deliver(guarded, "hooks/by_payload", {"user": {"id": key}}), 422, "invalid_input",
        more={"errors"},
    )  # fmt: skip
    assert said["detail"].startswith("user.n: ")
    refused(guarded, lambda: deliver(guarded, "hooks/by_payload", b"{oh"), 400, "invalid_json")


def test_the_query_is_no_input_of_a_webhook(guarded: Served) -> None:
    refused(guarded, lambda: deliver(guarded, "hooks/patient?key=forged", b""), 400, "invalid_json")
    assert deliver(guarded, "hooks/patient?key=forged", {}).json() == ""
    for method in ("GET", "PUT", "DELETE"):
        refused(
            guarded,
            lambda method=method: deliver(guarded, "hooks/patient", {}, method=method),
            405,
            "METHOD_NOT_ALLOWED",
        )


def test_input_is_checked_as_ever(guarded: Served) -> None:
    more = mail(fresh_key()) | {"later": 1}
    assert deliver(guarded, "hooks", more).json()["later"] == ["later"]
    refused(guarded, lambda: deliver(guarded, "hooks", {}), 422, "invalid_input", more={"errors"})
    refused(guarded, lambda: deliver(guarded, "hooks", b"\xff"), 400, "invalid_json")
    huge = b"x" * 100_001
    refused(guarded, lambda: deliver(guarded, "hooks", huge), 413, "payload_too_large")
    refused(guarded, lambda: deliver(guarded, "hooks/plain", huge), 413, "payload_too_large")


def test_nothing_returned_is_what_auth_reads_as_go_on(guarded: Served) -> None:
    answer = deliver(guarded, "hooks/silent", {"key": fresh_key()})
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (
        200,
        "application/json",
        "null",
    )


def test_a_slow_hook_is_acknowledged_once_it_is_durable(guarded: Served) -> None:
    key, message_id = fresh_key(), fresh_key()
    body = {"key": key}
    answer = deliver(guarded, "hooks/slow", body, message_id)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"workflow_id": f"hooks/slow:{message_id}", "status": "PENDING"}
    assert guarded.status(f"hooks/slow:{message_id}") == "PENDING"
    again = deliver(guarded, "hooks/slow", body, message_id)
    assert (again.status_code, again.json()) == (202, answer.json())
    guarded.until_seen(key)
    guarded.open(key)
    guarded.until_status(f"hooks/slow:{message_id}", "SUCCESS")
    ended = deliver(guarded, "hooks/slow", body, message_id)
    assert (ended.status_code, ended.json()["status"]) == (202, "SUCCESS")
    waited = deliver(guarded, "hooks/slow", body, message_id, headers={"prefer": "wait=10"})
    assert (waited.status_code, waited.json()) == (200, key)
    assert guarded.seen(key) == 1


def test_a_sender_that_is_acknowledged_is_not_told_of_a_failure(guarded: Served) -> None:
    message_id = fresh_key()
    body = {"key": fresh_key(), "fail": True}
    assert deliver(guarded, "hooks/slow", body, message_id).status_code == 202
    guarded.until_status(f"hooks/slow:{message_id}", "ERROR")
    again = deliver(guarded, "hooks/slow", body, message_id, headers={"prefer": "handling=lenient"})
    assert (again.status_code, again.json()["status"]) == (202, "ERROR")


def test_a_sender_may_prefer_not_to_wait(guarded: Served) -> None:
    message_id = fresh_key()
    answer = deliver(guarded, "hooks", mail(fresh_key()), message_id, headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    guarded.until_status(f"hooks:{message_id}", "SUCCESS")


def test_a_delivery_may_be_followed_as_events(guarded: Served) -> None:
    answer = deliver(guarded, "hooks", mail(fresh_key()), headers={"accept": "text/event-stream"})
    assert answer.status_code == 200
    assert "event: result" in answer.text
    unsigned = {"accept": "text/event-stream"}
    refused(guarded, lambda: guarded.call("hooks", {}, headers=unsigned), 401, "webhook_signature_missing")


def test_a_secret_that_is_not_there_is_told_to_the_log_alone(guarded: Served) -> None:
    for function, says in (("unset", "is not set"), ("malformed", "can't be used (a secret of it begins")):
        said = refused(
            guarded,
            lambda function=function: deliver(guarded, f"hooks/{function}", {}),
            503,
            "webhook_unavailable",
            retryable=True,
        )
        assert "HTTP_" not in str(said)
        assert f"hooks/{function} can't verify its webhook: HTTP_{function.upper()}_SECRET {says}" in (
            guarded.process.said()
        )


def test_a_workflow_sees_what_was_delivered(guarded: Served) -> None:
    seen = deliver(guarded, "hooks/request?a=1", b"\x00\xff").json()
    assert set(PARTS) <= set(seen["headers"])
    assert seen["size"] == 2
    assert seen["query"] == {"a": "1"}


def test_a_handler_is_verified_too(guarded: Served) -> None:
    message_id = fresh_key()
    answer = deliver(guarded, "hooks/plain", "grüße".encode(), message_id)
    assert answer.json() == {"body": "grüße", "webhook-id": message_id}
    refused(
        guarded,
        lambda: deliver(guarded, "hooks/plain", b"x", None, FOREIGN),
        401,
        "webhook_signature_invalid",
    )
    seen = from_trigger(guarded, "hooks/trigger", {}).json()
    assert "x-webhook-secret" not in seen
    assert "content-type" in seen
    refused(
        guarded, lambda: from_trigger(guarded, "hooks/trigger", {}, "x"), 401, "webhook_signature_invalid"
    )


# --- database webhooks ------------------------------------------------------------------------------------


def change(key: str, **more: Any) -> dict[str, Any]:
    """What a database webhook sends of an update."""
    record = {"id": key, "updated_at": "2026-11-27T08:00:00+00:00"}
    return {
        "type": "UPDATE",
        "table": "orders",
        "schema": "public",
        "record": record,
        "old_record": None,
        **more,
    }


def test_a_trigger_starts_a_workflow_once(guarded: Served) -> None:
    key = fresh_key()
    workflow_id = f"hooks/order:UPDATE~{key}~2026-11-27T08%3A00%3A00+00%3A00"
    for secret in (SHARED, FORMER_SHARED, SHARED):
        answer = from_trigger(guarded, "hooks/order", change(key), secret)
        assert answer.status_code == 202, answer.text
        assert answer.json()["workflow_id"] == answer.headers["workflow-id"] == workflow_id
    waited = from_trigger(guarded, "hooks/order", change(key), prefer="wait=10")
    assert waited.json() == {"done": key, "what": ["UPDATE", "public", "orders"], "old": None}
    assert guarded.seen(key) == 1
    refused(
        guarded,
        lambda: from_trigger(guarded, "hooks/order", change(key, old_record={})),
        422,
        "idempotency_key_reused",
    )


def test_a_wrong_secret_leaves_no_row(guarded: Served) -> None:
    for secret in (
        "",
        "x",
        SHARED + "x",
        SHARED[:-1],
        SHARED.upper(),
        f"{FORMER_SHARED}|{SHARED}",
        f"Bearer {SHARED}",
    ):
        code = "webhook_signature_invalid" if secret else "webhook_signature_missing"
        refused(
            guarded,
            lambda secret=secret: from_trigger(guarded, "hooks/order", change("x"), secret),
            401,
            code,
        )
    both = [("x-webhook-secret", SHARED), ("x-webhook-secret", SHARED)]
    refused(
        guarded,
        lambda: guarded.client.post("/functions/v1/hooks/order", json=change("x"), headers=both),
        401,
        "webhook_signature_invalid",
    )


def test_a_payload_without_its_key_is_refused(guarded: Served) -> None:
    for record in (None, {}, {"id": None}, {"id": "1"}, {"id": [], "updated_at": "x"}):
        said = refused(
            guarded,
            lambda record=record: from_trigger(guarded, "hooks/order", change("x", record=record)),
            422,
            "invalid_input",
            more={"errors"},
        )
        assert re.match(r"record\.(id|updated_at): ", said["detail"])


def test_a_key_may_come_in_a_header_field(guarded: Served) -> None:
    key = fresh_key()
    for _ in range(2):
        answer = from_trigger(guarded, "hooks/event", {"key": key}, x_event_id=f"event {key}")
        assert answer.headers["workflow-id"] == f"hooks/event:event {key}"
    guarded.until_status(f"hooks/event:event {key}", "SUCCESS")
    assert guarded.seen(key) == 1
    refused(
        guarded, lambda: from_trigger(guarded, "hooks/event", {"key": key}), 400, "idempotency_key_missing"
    )
    twice = [("x-webhook-secret", SHARED), ("x-event-id", "1"), ("x-event-id", "1")]
    refused(
        guarded,
        lambda: guarded.client.post("/functions/v1/hooks/event", json={"key": key}, headers=twice),
        400,
        "idempotency_key_invalid",
    )


def test_without_a_key_each_delivery_is_a_workflow(guarded: Served) -> None:
    ids = {from_trigger(guarded, "hooks/each", {}).headers["workflow-id"] for _ in range(3)}
    assert len(ids) == 3
    key = fresh_key()
    named = {
        from_trigger(guarded, "hooks/each", {}, idempotency_key=key).headers["workflow-id"] for _ in range(3)
    }
    assert named == {f"hooks/each:{key}"}


def test_a_secret_may_come_as_bearer(guarded: Served) -> None:
    for method in ("POST", "GET"):
        headers = {"authorization": f"Bearer {SHARED}", "prefer": "wait=10"}
        answer = guarded.call("hooks/bearer", method=method, headers=headers)
        assert answer.status_code == 200, answer.text
        assert "authorization" not in answer.json()
    wrong = {"authorization": f"Bearer {SECRET}"}
    answer = guarded.call("hooks/bearer", headers=wrong)
    assert answer.headers["www-authenticate"] == "Bearer"
    check_problem(answer, 401, "webhook_signature_invalid")


# --- what is written about them ---------------------------------------------------------------------------


def test_openapi_says_what_a_delivery_needs(guarded: Served) -> None:
    paths = guarded.admin.get("/openapi.json").json()["paths"]

    def needed(function: str) -> list[str]:
        parameters = paths[f"/functions/v1/{function}"]["post"]["parameters"]
        return [each["name"] for each in parameters if each.get("required")]

    assert needed("hooks") == list(PARTS)
    assert needed("hooks/plain") == list(PARTS)
    assert needed("hooks/order") == ["x-webhook-secret"]
    assert needed("hooks/event") == ["x-webhook-secret", "x-event-id"]
    keys = [each.get("$ref", "") for each in paths["/functions/v1/hooks/each"]["post"]["parameters"]]
    assert "#/components/parameters/Idempotency-Key" in keys
    assert paths["/functions/v1/hooks/bearer"]["post"]["security"] == [{"bearer": []}]
    for function in ("hooks", "hooks/order", "hooks/plain"):
        item = paths[f"/functions/v1/{function}"]
        assert set(item) == {"post"}
        assert item["post"]["security"] == []
        assert item["post"]["responses"]["401"]["$ref"].endswith("/UnauthorizedWebhook")
        assert item["post"]["responses"]["503"]["$ref"].endswith("/UnavailableWebhook")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)


def test_the_examples_of_the_documentation_are_functions() -> None:
    examples = blocks("python")
    assert len(examples) == 3
    for example in examples:
        names: dict[str, Any] = {}
        exec(compile(example, str(DOCS), "exec"), names)  # noqa: S102
        assert any(getattr(each, "definition", None) for each in names.values())


STAND_INS = """
create schema vault; create schema net; create schema extensions; create schema supabase_functions;
create table vault.decrypted_secrets (name text, decrypted_secret text);
create table net.sent (number serial, url text, headers jsonb, body bytea);
create function net.http_post(url text, body jsonb default '{}', params jsonb default '{}',
  headers jsonb default '{}', timeout_milliseconds int default 5000) returns bigint language sql as $$
  insert into net.sent (url, headers, body) values ($1, $4, convert_to($2::text, 'UTF8')) returning number $$;
create function supabase_functions.http_request() returns trigger language plpgsql as $$ begin
  perform net.http_post(tg_argv[0], jsonb_build_object('old_record', old, 'record', new, 'type', tg_op,
    'table', tg_table_name, 'schema', tg_table_schema), tg_argv[3]::jsonb, tg_argv[2]::jsonb);
  return new; end $$;
create function extensions.padded(key bytea, with_byte int) returns bytea language plpgsql as $$
declare block bytea := decode(repeat('00', 64), 'hex'); begin
  for i in 0..63 loop block := set_byte(block, i,
    (case when i < length(key) then get_byte(key, i) else 0 end) # with_byte); end loop;
  return block; end $$;
create function extensions.hmac(data bytea, key bytea, type text) returns bytea language sql as $$
  select sha256(extensions.padded(key, 92) || sha256(extensions.padded(key, 54) || data)) $$;
create table public.orders (id text primary key, updated_at timestamptz default now(), note text);
"""
"""For pg_net, pgcrypto, the Vault and Supabase's own trigger function, none of which is here: what they are
asked to send is kept in a table, and the test sends it."""


def test_the_triggers_of_the_documentation_send_what_is_verified(guarded: Served, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(STAND_INS.encode())
        connection.execute("insert into vault.decrypted_secrets values ('orders_hook', %s)", [shown(CURRENT)])
        for block in blocks("sql"):
            connection.execute(block.replace("THE SECRET", SHARED).encode())
        key = fresh_key()
        connection.execute("insert into public.orders (id, note) values (%s, 'grüße \"ü\" \\ 1.0')", [key])
        connection.execute("update public.orders set note = null, updated_at = now()")
        sent = connection.execute("select url, headers, body from net.sent order by number").fetchall()
    assert len(sent) == 4
    ids = []
    for url, headers, body in sent:
        assert url == "https://YOUR_HOST/functions/v1/on_order"
        function = "hooks/signed" if "webhook-id" in headers else "hooks/order"
        answer = guarded.client.post(f"/functions/v1/{function}", content=body, headers=headers)
        assert answer.status_code == 202, answer.text
        ids.append(answer.headers["workflow-id"])
        guarded.until_status(ids[-1], "SUCCESS")
    assert len(set(ids)) == 4
    assert sum(each.startswith(f"hooks/order:INSERT~{key}~") for each in ids) == 1
    assert sum(each.startswith(f"hooks/order:UPDATE~{key}~") for each in ids) == 1
