"""Calling functions: what is sent, what is printed, and how long is waited."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from outlast.host.embedded.folder import open_folder
from outlast.host.secret_key import obtain_secret_key
from tests.cli.conftest import SECRET, Runs, problem, workflow
from tests.cli.stand_in import Reply, StandIn, hanging_up

HELLO = "/functions/v1/hello"
ENDED = {"workflow-id": "hello:k", "idempotency-replayed": "false"}
PENDING = Reply(
    202,
    {"workflow_id": "hello:k", "status": "PENDING"},
    headers={"workflow-id": "hello:k", "location": "/workflows/v1/hello:k"},
)


def test_data_goes_out_byte_for_byte_and_the_body_comes_back(outlast: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(body=b'{"a": 1.10}', headers={"content-type": "application/json", **ENDED}))
    ran = outlast("invoke", "hello", "--data", '{"n":  1.0}', "--key", "k")
    assert (ran.status, ran.out, ran.err) == (0, '{"a": 1.10}\n', "")
    (seen,) = host.seen
    assert seen.body == b'{"n":  1.0}'
    assert seen.headers["apikey"] == SECRET
    assert seen.headers["idempotency-key"] == "k"
    assert seen.headers["content-type"] == "application/json"


def test_data_from_standard_input_and_from_a_file(outlast: Runs, host: StandIn, project: Path) -> None:
    host.on("PUT", f"{HELLO}/a%20b", Reply(document=None, headers=ENDED))
    (project / "order.json").write_text('{"from":"file"}')
    assert outlast("invoke", "hello/a b", "--data", "@order.json", "--method", "put").status == 0
    assert outlast("invoke", "hello/a b", "--data", "-", "--method", "put", stdin="[1]").status == 0
    assert [seen.body for seen in host.seen] == [b'{"from":"file"}', b"[1]"]


def test_without_data_there_is_no_body_and_the_key_is_fresh(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(document="hi", headers=ENDED))
    call("invoke", "hello")
    call("invoke", "hello")
    assert [seen.body for seen in host.seen] == [b"", b""]
    assert "content-type" not in host.seen[0].headers
    assert host.seen[0].headers["idempotency-key"] != host.seen[1].headers["idempotency-key"]


def test_a_key_that_a_bare_field_cannot_hold_is_quoted(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(document=None, headers=ENDED))
    call("invoke", "hello", "--key", 'order 1, "a"')
    assert host.seen[0].headers["idempotency-key"] == r'"order 1, \"a\""'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "{oops"], "this is not JSON"),
        (["--data", "@absent.json"], "absent.json can't be read"),
        (["--key", "ключ"], "1 to 255 ASCII characters"),
        (["--key", ""], "1 to 255 ASCII characters"),
        (["--async", "--wait", "3"], "--async doesn't wait"),
        (["--wait", "-1"], "--wait"),
        (["--method", "TRACE"], "--method"),
        (["--url", "ftp://x"], "--url=ftp://x: set an http or https URL"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    call: Runs, host: StandIn, arguments: list[str], said: str
) -> None:
    ran = call("invoke", "hello", *arguments)
    assert (ran.status, ran.out, host.seen) == (2, "", [])
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_a_name_that_no_function_can_have(call: Runs, host: StandIn) -> None:
    assert call("invoke", "../admin").status == 2
    assert host.seen == []


def test_text_and_binary_bodies_go_out_as_they_came(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(body=b"plain", headers={"content-type": "text/plain", **ENDED}))
    assert call("invoke", "hello").out == "plain"
    ran = call("invoke", "hello", "--json")
    assert json.loads(ran.out)["body"] == "plain"


def test_json_tells_what_surrounds_the_body(call: Runs, host: StandIn) -> None:
    headers = {"workflow-id": "hello:k", "idempotency-replayed": "true"}
    host.on("POST", HELLO, Reply(201, [1], headers=headers))
    ran = call("invoke", "hello", "--json")
    assert json.loads(ran.out) == {
        "workflow_id": "hello:k",
        "http_status": 201,
        "replayed": True,
        "body": [1],
    }


def test_an_error_is_one_line_and_status_1(outlast: Runs, host: StandIn) -> None:
    errors = [{"loc": ["order", "sku"], "msg": "Field required"}]
    host.on("POST", HELLO, Reply(422, problem(422, "invalid_input", "the input does not fit", errors=errors)))
    ran = outlast("invoke", "hello")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "error: the input does not fit: order.sku: Field required (422 invalid_input)\n"


@pytest.mark.parametrize(
    ("detail", "place", "said"),
    [
        ("the input does not fit: zzz", ["zzz"], "zzz: Extra"),
        ("the input does not fit: body", [], "body: Extra"),
        ("the input does not fit: a.b, zzz", ["a", "b"], "a.b, zzz: a.b: Extra"),
    ],
)
def test_an_input_error_names_its_place_once(
    outlast: Runs, host: StandIn, detail: str, place: list[str], said: str
) -> None:
    errors = [{"loc": place, "msg": "Extra"}]
    host.on("POST", HELLO, Reply(422, problem(422, "invalid_input", detail, errors=errors)))
    assert outlast("invoke", "hello").err == f"error: the input does not fit: {said} (422 invalid_input)\n"


def test_an_input_error_gives_the_reason_of_each_place(outlast: Runs, host: StandIn) -> None:
    errors = [
        {"loc": ["quantity"], "msg": "Input should be greater than 0"},
        {"loc": ["card"], "msg": "String should have at least 12 characters"},
    ]
    refused = problem(422, "invalid_input", "the input does not fit: card, quantity", errors=errors)
    host.on("POST", HELLO, Reply(422, refused))
    assert outlast("invoke", "hello").err == (
        "error: the input does not fit: card: String should have at least 12 characters; "
        "quantity: Input should be greater than 0 (422 invalid_input)\n"
    )


def test_a_long_list_of_input_errors_ends(call: Runs, host: StandIn) -> None:
    errors = [{"loc": ["n", f"{number:02}"], "msg": "Extra"} for number in range(12)]
    detail = "the input does not fit: " + ", ".join(f"n.{number:02}" for number in range(12))
    host.on("POST", HELLO, Reply(422, problem(422, "invalid_input", detail, errors=errors)))
    assert "does not fit: n.00: Extra; n.01" in (said := call("invoke", "hello").err)
    assert "n.09: Extra; and 2 more (--json shows all)" in said
    assert "n.10" not in said


def test_an_error_with_json_is_an_object_too(call: Runs, host: StandIn) -> None:
    body = problem(500, "workflow_error", "it failed", workflow_id="hello:k")
    host.on("POST", HELLO, Reply(500, body, headers=ENDED))
    ran = call("invoke", "hello", "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["error"] == {
        "code": "workflow_error",
        "message": "it failed (500 workflow_error, workflow hello:k)",
        "http_status": 500,
        "workflow_id": "hello:k",
        "retryable": False,
    }
    assert ran.err.count("\n") == 1


def test_an_error_body_of_the_function_itself_is_printed(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(409, {"sold": "out"}, headers=ENDED))
    ran = call("invoke", "hello")
    assert (ran.status, ran.out, ran.err) == (1, '{"sold": "out"}\n', "error: the answer was HTTP 409\n")


def test_a_message_cannot_move_the_cursor(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(500, problem(500, "bad", "a\x1b[2Jb\r\nc\x9bd")))
    assert call("invoke", "hello").err == "error: a\\x1b[2Jb c\\x9bd (500 bad)\n"


def test_a_pending_answer_is_followed_to_the_end(outlast: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, PENDING, Reply(body=b"done", headers={"content-type": "text/plain", **ENDED}))
    pending = Reply(document=workflow("hello:k", "PENDING"))
    host.on("GET", "/workflows/v1/hello%3Ak", pending, Reply(document=workflow("hello:k")))
    ran = outlast("invoke", "hello", "--data", "{}")
    assert (ran.status, ran.out, ran.err) == (0, "done", "")
    first, *polls, last = host.seen
    assert [seen.path for seen in polls] == ["/workflows/v1/hello%3Ak?wait=60.000"] * 2
    # The answer is asked for by the same request: it may have status, headers and bytes of its own.
    assert (last.method, last.path, last.body) == (first.method, first.path, first.body)
    assert last.headers["idempotency-key"] == first.headers["idempotency-key"]


def test_a_workflow_that_fails_while_it_is_followed(call: Runs, host: StandIn) -> None:
    failed = Reply(500, problem(500, "workflow_error", "it failed", workflow_id="hello:k"), headers=ENDED)
    host.on("POST", HELLO, PENDING, failed)
    host.on("GET", "/workflows/v1/hello%3Ak", Reply(document=workflow("hello:k", "ERROR")))
    ran = call("invoke", "hello")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "error: it failed (500 workflow_error, workflow hello:k)\n"


def test_following_outlasts_a_host_that_restarts(call: Runs, host: StandIn) -> None:
    away = Reply(503, problem(503, "shutting_down", "this instance shuts down", retryable=True))
    host.on("POST", HELLO, PENDING, away, Reply(document="done", headers=ENDED))
    host.on("GET", "/workflows/v1/hello%3Ak", away, away, Reply(document=workflow("hello:k")))
    ran = call("invoke", "hello")
    assert (ran.status, ran.out) == (0, '"done"\n')


@pytest.mark.parametrize("more", [(), ("--async",), ("--wait", "30")], ids=str)
@pytest.mark.parametrize(
    ("status", "code", "workflow_id"),
    [
        (503, "shutting_down", "hello:k"),
        (503, "shutting_down", None),
        (503, "overloaded", None),
        (503, "database_unavailable", "hello:k"),
        (429, "rate_limited", None),
    ],
)
def test_a_refusal_that_passes_is_followed_by_the_same_call(
    call: Runs, host: StandIn, status: int, code: str, workflow_id: str | None, more: tuple[str, ...]
) -> None:
    told = {} if workflow_id is None else {"workflow_id": workflow_id}
    away = Reply(status, problem(status, code, "not now", retryable=True, **told))
    host.on("POST", HELLO, away, away, Reply(document="done", headers=ENDED))
    ran = call("invoke", "hello", "--data", "{}", *more)
    assert (ran.status, ran.out, ran.err) == (0, "hello:k\n" if "--async" in more else '"done"\n', "")
    assert (
        len({(seen.method, seen.path, seen.body, seen.headers["idempotency-key"]) for seen in host.seen}) == 1
    )
    assert len(host.seen) == 3


def test_a_call_that_was_taken_outlasts_a_proxy_that_answers_for_the_host(call: Runs, host: StandIn) -> None:
    away = Reply(503, problem(503, "shutting_down", "it goes on", retryable=True, workflow_id="hello:k"))
    gateway = Reply(502, body=b"<h1>Bad gateway</h1>")
    host.on("POST", HELLO, away, gateway, Reply(document="done", headers=ENDED))
    assert call("invoke", "hello").out == '"done"\n'


@pytest.mark.parametrize(
    "final",
    [
        Reply(503, problem(503, "http_exception", "closed", retryable=True), headers=ENDED),
        Reply(503, problem(503, "http_exception", "closed", retryable=True)),
        Reply(503, {"sold": "out"}, headers=ENDED),
        Reply(502, body=b"<h1>Bad gateway</h1>"),
        Reply(503, problem(503, "BOOT_ERROR", "it can't be imported", retryable=True)),
    ],
    ids=["raised by a workflow", "raised by a function", "returned", "from a proxy", "broken file"],
)
def test_what_no_waiting_mends_or_may_have_run_is_asked_for_once(
    call: Runs, host: StandIn, final: Reply
) -> None:
    host.on("POST", HELLO, final)
    assert call("invoke", "hello").status == 1
    assert len(host.seen) == 1


def test_giving_up_names_what_gets_the_result(
    call: Runs, host: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outlast.cli.following.ABSENCE_MAX_S", 0.0)
    away = problem(503, "shutting_down", "it goes on elsewhere", retryable=True)
    host.on("POST", HELLO, Reply(503, away | {"workflow_id": "hello:k"}))
    ran = call("invoke", "hello", "--key", "k", "--json")
    assert (ran.status, ran.err) == (
        1,
        "error: it goes on elsewhere (503 shutting_down, workflow hello:k); the same again with --key k gets "
        "the result, and so does: outlast workflows wait hello:k\n",
    )
    error = json.loads(ran.out)["error"]
    assert (error["code"], error["key"], error["workflow_id"]) == ("shutting_down", "k", "hello:k")
    host.on("POST", HELLO, Reply(503, away))
    assert call("invoke", "hello", "--key", "k").err == (
        "error: it goes on elsewhere (503 shutting_down); the same again with --key k gets the result\n"
    )


def test_wait_bounds_the_waiting_for_a_host_too(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(503, problem(503, "overloaded", "too much", retryable=True)))
    ran = call("invoke", "hello", "--wait", "0", "--key", "k")
    assert (ran.status, len(host.seen)) == (1, 1)
    assert "the same again with --key k" in ran.err


def test_wait_bounds_the_waiting(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, PENDING)
    host.on("GET", "/workflows/v1/hello%3Ak", Reply(document=workflow("hello:k", "PENDING")))
    ran = call("invoke", "hello", "--wait", "0", "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["error"]["code"] == "still_running"
    assert json.loads(ran.out)["error"]["workflow_id"] == "hello:k"
    assert host.seen[0].headers["prefer"] == "wait=0"
    assert "outlast workflows wait hello:k" in ran.err


def test_a_function_that_answers_202_itself_is_not_followed(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(202, {"workflow_id": "x"}, headers={**ENDED, "location": "/workflows/v1/x"}))
    assert call("invoke", "hello").out == '{"workflow_id": "x"}\n'
    host.on("POST", HELLO, Reply(202, {"queued": True}))
    assert call("invoke", "hello").out == '{"queued": true}\n'


def test_async_prints_the_id_alone(outlast: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, PENDING)
    ran = outlast("invoke", "hello", "--async")
    assert (ran.status, ran.out, ran.err) == (0, "hello:k\n", "")
    assert host.seen[0].headers["prefer"] == "respond-async"


def test_async_of_what_has_ended_and_of_what_is_no_workflow(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(document=1, headers=ENDED))
    assert json.loads(call("invoke", "hello", "--async", "--json").out) == {
        "workflow_id": "hello:k",
        "ended": True,
    }
    host.on("POST", HELLO, Reply(document=1))
    ran = call("invoke", "hello", "--async")
    assert (ran.status, ran.out) == (1, "")
    assert "it is no workflow" in ran.err


def test_no_host_is_one_line(outlast: Runs) -> None:
    # Port 1 is reserved: nothing listens there.
    ran = outlast("invoke", "hello", "--json", PORT="1")
    assert ran.status == 1
    message = "can't reach http://127.0.0.1:1 - is `outlast serve` running?"
    assert ran.err == f"error: {message}\n"
    assert json.loads(ran.out) == {"error": {"code": "unreachable", "message": message}}


def test_a_broken_connection_tells_how_to_get_the_result(call: Runs) -> None:
    with hanging_up() as url:
        ran = call("invoke", "hello", "--url", url, "--key", "order-1")
    assert ran.status == 1
    assert "the same again with --key order-1 gets the result" in ran.err


def test_a_proxy_of_the_environment_is_not_asked_about_this_machine(call: Runs, host: StandIn) -> None:
    host.on("POST", HELLO, Reply(document=1, headers=ENDED))
    assert (
        call("invoke", "hello", HTTP_PROXY="http://127.0.0.1:1", http_proxy="http://127.0.0.1:1").status == 0
    )


def test_the_key_that_serve_made_is_used(
    call: Runs, host: StandIn, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUPABASE_SECRET_KEY")
    os.close(open_folder(project / ".outlast").fd)
    kept = obtain_secret_key(project / ".outlast")
    host.on("POST", HELLO, Reply(document=1, headers=ENDED))
    call("invoke", "hello")
    assert host.seen[0].headers["apikey"] == kept.value


def test_the_kept_key_is_sent_to_this_machine_alone(project: Path) -> None:
    from outlast.cli.command import _read_kept_key
    from outlast.host.settings import Settings

    os.close(open_folder(project / ".outlast").fd)
    kept = obtain_secret_key(project / ".outlast")
    settings = Settings.load()
    assert _read_kept_key(settings, "http://localhost:8000") == kept.value
    assert _read_kept_key(settings, "https://example.com") is None


def test_without_a_key_a_refusal_says_where_it_comes_from(
    call: Runs, host: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUPABASE_SECRET_KEY")
    host.on("POST", HELLO, Reply(401, problem(401, "UNAUTHORIZED_NO_AUTH_HEADER", "who are you?")))
    assert "set SUPABASE_SECRET_KEY" in call("invoke", "hello").err


def test_control_c_ends_quietly(host: StandIn, project: Path) -> None:
    gate = threading.Event()
    host.on("POST", HELLO, PENDING)
    host.on("GET", "/workflows/v1/hello%3Ak", Reply(document=workflow("hello:k", "PENDING"), gate=gate))
    # Python leaves Ctrl-C alone where the test run itself was started with it ignored.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from outlast.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "invoke", "hello"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            for _ in range(2):
                assert host.arrived.acquire(timeout=30)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            gate.set()
            process.kill()
    assert (process.returncode, out, err) == (130, b"", b"")
