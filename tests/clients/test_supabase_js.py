"""supabase-js calls our functions unchanged. `tests/clients/setup` installs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.http import test_auth
from tests.http.conftest import OPEN, Start
from tests.http.harness import PUBLISHABLE, Served, fresh_key
from tests.tokens import project

INSTALLED = Path(__file__).parents[2] / "build" / "clients"
DRIVER = Path(__file__).with_name("drive.mjs")
NODE = shutil.which("node")

Results = dict[str, list[dict[str, Any]]]


def drive(host: Served, calls: dict[str, list[dict[str, Any]]], key: str = PUBLISHABLE) -> Results:
    """What supabase-js makes of the calls."""
    if NODE is None:
        pytest.skip("supabase-js is not tested: there is no Node")
    if not (INSTALLED / "installed.json").exists():
        pytest.skip("supabase-js is not tested: tests/clients/setup has not installed it")
    command = [NODE, "--no-warnings", str(DRIVER), str(INSTALLED), host.url, key]
    ran = subprocess.run(command, input=json.dumps(calls).encode(), capture_output=True, timeout=50)
    assert ran.returncode == 0, ran.stderr.decode()
    return json.loads(ran.stdout)


KEY, HELD = fresh_key(), fresh_key()
CALLS: dict[str, list[dict[str, Any]]] = {
    "object": [{"function": "hello", "kind": "json", "body": {"name": "Ada"}}],
    "nothing": [{"function": "hello"}],
    "get": [{"function": "hello?name=Bob", "method": "GET"}],
    "text of json": [{"function": "hello", "kind": "text", "body": '{"name": "Ada"}'}],
    "text": [{"function": "inputs/request", "kind": "text", "body": "grüße"}],
    "form": [{"function": "inputs/request", "kind": "form", "body": {"name": "Ada", "city": "Zürich"}}],
    "bytes": [{"function": "inputs/request", "kind": "bytes", "body": [0, 255, 1]}],
    "blob": [{"function": "inputs/request", "kind": "blob", "body": "a,b"}],
    "methods": [
        {"function": "inputs/request", "method": method, "kind": "json", "body": {}}
        for method in ("POST", "PUT", "PATCH", "DELETE")
    ],
    "answers": [
        {"function": "answers/respond", "kind": "json", "body": {"kind": kind}}
        for kind in ("text", "json", "bytes", "empty", "no-content", "no-content-json")
    ],
    "null": [{"function": "answers/nothing", "kind": "json", "body": {}}],
    "handler": [{"function": "plain?kind=none"}, {"function": "plain?kind=empty"}],
    "once": [
        {
            "function": "answers/value",
            "kind": "json",
            "body": {"value": 1, "key": KEY},
            "headers": {"Idempotency-Key": KEY},
            **region,
        }
        for region in ({}, {"region": "eu-west-1"}, {"region": "us-east-1"})
    ],
    "refused": [
        {"function": "answers/refuse", "kind": "json", "body": {"status": 402, "detail": "no money"}},
        {"function": "answers/refuse", "kind": "json", "body": {"status": 409, "detail": {"why": 1}}},
        {"function": "answers/fail", "kind": "json", "body": {}},
        {"function": "hello", "kind": "json", "body": {"name": 5}},
        {"function": "hello", "kind": "form", "body": {"name": "Ada"}},
        {"function": "nowhere", "kind": "json", "body": {}},
        {"function": "broken", "kind": "json", "body": {}},
    ],
    "pending": [
        {"function": "held", "kind": "json", "body": {"key": HELD}, "headers": {"Prefer": "respond-async"}}
    ],
}


@pytest.fixture(scope="module")
def results(host: Served) -> Results:
    made = drive(host, CALLS)
    host.open(HELD)
    return made


def value(result: dict[str, Any]) -> Any:
    assert "error" not in result, result["error"]
    return result["data"]["value"]


@pytest.mark.parametrize(
    ("call", "name"), [("object", "Ada"), ("nothing", "World"), ("get", "Bob"), ("text of json", "Ada")]
)
def test_calls_of_a_workflow(results: Results, call: str, name: str) -> None:
    assert value(results[call][0]) == {"message": f"Hello, {name}!"}


def test_bodies_arrive_as_they_are(results: Results) -> None:
    text = value(results["text"][0])
    assert (text["body"], text["headers"]["content-type"]) == ("grüße", ["text/plain"])
    data = value(results["bytes"][0])
    assert (data["body"], data["size"]) == ("\x00\\xff\x01", 3)
    assert data["headers"]["content-type"] == ["application/octet-stream"]
    blob = value(results["blob"][0])
    assert (blob["body"], blob["headers"]["content-type"]) == ("a,b", ["text/csv"])
    form = value(results["form"][0])
    assert form["headers"]["content-type"][0].startswith("multipart/form-data; boundary=")
    assert "Zürich" in form["body"]


def test_all_methods(results: Results) -> None:
    assert [value(each)["method"] for each in results["methods"]] == ["POST", "PUT", "PATCH", "DELETE"]


def test_answers_of_all_kinds(results: Results) -> None:
    text, document, data, empty, *without = results["answers"]
    assert value(text) == "grüße"
    assert value(document) == {"b": 1, "a": [1.0, "ü"]}
    assert data["data"] == {"kind": "blob", "bytes": [0, 255, 254]}
    assert value(empty) == ""
    assert [value(each) for each in without] == ["", ""]
    assert results["null"][0]["data"]["kind"] == "null"
    assert "error" not in results["null"][0]
    assert results["handler"][0]["data"]["kind"] == "null"
    assert value(results["handler"][1]) == ""


def test_a_key_makes_it_once_in_whatever_region(host: Served, results: Results) -> None:
    assert [value(each) for each in results["once"]] == [1, 1, 1]
    replayed = [each["headers"]["idempotency-replayed"] for each in results["once"]]
    assert replayed == ["false", "true", "true"]
    assert host.seen(KEY) == 1


def test_errors_bring_our_body(results: Results) -> None:
    errors = [each["error"] for each in results["refused"]]
    assert {each["name"] for each in errors} == {"FunctionsHttpError"}
    assert [each["status"] for each in errors] == [402, 409, 500, 422, 400, 404, 503]
    codes = [each["body"].get("code") for each in errors]
    assert codes == [
        "http_exception",
        None,
        "workflow_error",
        "invalid_input",
        "invalid_json",
        "NOT_FOUND",
        "BOOT_ERROR",
    ]
    assert errors[0]["body"]["message"] == "no money"
    assert errors[1]["body"] == {"why": 1}
    assert errors[3]["body"]["errors"][0]["loc"] == ["name"]


def test_what_is_pending_is_no_error(results: Results) -> None:
    (pending,) = results["pending"]
    assert value(pending)["status"] == "PENDING"
    assert pending["headers"]["location"].startswith("/workflows/v1/held:")


def test_faults_of_the_host_are_relay_errors(start_host: Start) -> None:
    host = start_host(OPEN, workflows_max=1, calls_per_caller_max=9, caller_running_max=9)
    key = fresh_key()
    host.begin("held", key)
    (result,) = drive(host, {"full": [{"function": "hello", "kind": "json", "body": {}}]})["full"]
    assert result["error"]["name"] == "FunctionsRelayError"
    assert result["error"]["body"]["code"] == "overloaded"
    assert result["error"]["body"]["retryable"] is True
    host.open(key)


def test_users_and_anonymous_callers_are_let_in(start_host: Start) -> None:
    """Where verification is on. A bad token is an error as that of any function."""
    with project() as signer:
        host = test_auth.started(start_host, signer)
        token = signer.token("ada")
        calls: list[dict[str, Any]] = [
            {"function": "guarded"},
            {"function": "guarded/user", "headers": {"Authorization": f"Bearer {token}"}},
            {"function": "guarded/user"},
            {"function": "guarded", "headers": {"Authorization": "Bearer nonsense"}},
        ]
        anonymous, user, nobody, bad = drive(host, {"all": calls}, test_auth.PUBLISHABLE)["all"]
    assert (anonymous["data"]["value"]["mode"], anonymous["data"]["value"]["id"]) == ("publishable", None)
    assert (user["data"]["value"]["mode"], user["data"]["value"]["id"]) == ("user", "ada")
    assert (nobody["error"]["status"], nobody["error"]["body"]["code"]) == (401, "INVALID_CREDENTIALS")
    assert bad["error"]["body"]["code"] == "UNAUTHORIZED_INVALID_JWT_FORMAT"


def test_too_large_a_body_of_a_known_caller_is_told_while_it_is_still_sent(start_host: Start) -> None:
    """Node's fetch tells of a connection that is reset, and not of the answer that came before."""
    with project() as signer:
        host = test_auth.started(start_host, signer)
        call = {
            "function": "guarded/user",
            "kind": "zeros",
            "body": int(10.1 * 2**20),
            "headers": {"Authorization": f"Bearer {signer.token('ada')}"},
        }
        found = drive(host, {"all": [call] * 8}, test_auth.PUBLISHABLE)["all"]
    assert [each["error"].get("status") for each in found] == [413] * 8, found
    assert {each["error"]["body"]["code"] for each in found} == {"payload_too_large"}
