"""`context().supabase`, against a stand-in for the Data API that tells which credentials it was sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import SECRET, until
from tests.http.conftest import Start
from tests.http.harness import Served, check_problem
from tests.http.test_auth import PUBLISHABLE, a_user, bearer, started
from tests.tokens import Project, elliptic, now_s, project

ADMIN = {"apikey": SECRET, "authorization": f"Bearer {SECRET}"}
ANON = {"apikey": PUBLISHABLE, "authorization": f"Bearer {PUBLISHABLE}"}


@pytest.fixture(scope="module")
def signer() -> Iterator[Project]:
    with project(elliptic()) as made:
        yield made


@pytest.fixture(scope="module")
def reaching(start_host: Start, signer: Project) -> Served:
    return started(start_host, signer, moment_s="0.05")


def test_the_caller_and_the_project(reaching: Served, signer: Project) -> None:
    token = signer.token(a_user())
    answer = reaching.call("reaching", {}, headers=bearer(token))
    assert answer.status_code == 200, answer.text
    mine = {"apikey": PUBLISHABLE, "authorization": f"Bearer {token}"}
    assert answer.json() == [mine, ADMIN, mine, True]


def test_callers_without_a_token_are_what_their_key_is(reaching: Served) -> None:
    for headers, expected in [({"apikey": PUBLISHABLE}, ANON), ({"apikey": SECRET}, ADMIN), ({}, ANON)]:
        answer = reaching.call("reaching", {}, headers=headers)
        assert answer.json()[0] == expected, answer.text


def test_def_functions_get_the_blocking_client(reaching: Served, signer: Project) -> None:
    token = signer.token(a_user())
    for function in ("reaching/reaching_def", "reaching/at_once_def"):
        answer = reaching.call(function, {}, headers=bearer(token))
        assert answer.json()["authorization"] == f"Bearer {token}", answer.text


def test_handlers_have_it_too(reaching: Served, signer: Project) -> None:
    token = signer.token(a_user())
    function, workflow, told = reaching.call("reaching/at_once", {}, headers=bearer(token)).json()
    assert (function, workflow) == ("reaching/at_once", "")
    assert told["authorization"] == f"Bearer {token}"


def failure_of(host: Served, answer_id: str) -> tuple[str, str]:
    (row,) = host.query("select error from outlast.workflow_status where workflow_id = %s", answer_id)
    return row[0]["failure"]["type"], row[0]["failure"]["message"]


def test_a_body_that_reaches_out_is_told_where_to_do_it(reaching: Served, signer: Project) -> None:
    answer = reaching.call("reaching/from_the_body", {}, headers=bearer(signer.token(a_user())))
    check_problem(answer, 500, "workflow_error", more={"workflow_id"})
    kind, message = failure_of(reaching, answer.headers["workflow-id"])
    assert kind == "UsageError"
    assert "@step" in message


def test_a_woken_workflow_has_no_token_and_says_what_to_do(reaching: Served, signer: Project) -> None:
    answer = reaching.call("reaching/after_a_sleep", {}, headers=bearer(signer.token(a_user())))
    kind, message = failure_of(reaching, answer.headers["workflow-id"])
    assert kind == "CallerTokenGone"
    assert 'role="caller"' in message
    assert "supabase_admin" in message


def test_keys_are_the_hosts_and_are_there_after_a_sleep(reaching: Served) -> None:
    for headers, expected in [({"apikey": PUBLISHABLE}, ANON), ({"apikey": SECRET}, ADMIN)]:
        answer = reaching.call("reaching/after_a_sleep", {}, headers=headers)
        assert answer.json() == expected, answer.text


def test_an_expired_token_is_not_used(reaching: Served, signer: Project) -> None:
    """Let in by the leeway for clocks; whoever is asked next may have none."""
    token = signer.token(a_user(), exp=now_s() - 3)
    answer = reaching.call("reaching/reaching_def", {}, headers=bearer(token))
    assert failure_of(reaching, answer.headers["workflow-id"])[0] == "CallerTokenGone"


def test_without_address_or_key_it_says_what_to_set(start_host: Start) -> None:
    host = start_host()
    answer = host.call("reaching", {}, headers={"apikey": SECRET})
    assert "SUPABASE_URL" in failure_of(host, answer.headers["workflow-id"])[1]
    with project() as signer:
        host = start_host(SUPABASE_URL=signer.url)
        answer = host.call("reaching", {})
        assert "SUPABASE_PUBLISHABLE_KEY" in failure_of(host, answer.headers["workflow-id"])[1]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files are counted in /proc")
def test_clients_are_closed_with_their_workflow(reaching: Served, signer: Project) -> None:
    def sockets() -> int:
        folder = f"/proc/{reaching.process.worker_pid()}/fd"
        links = [_link(f"{folder}/{each}") for each in os.listdir(folder)]  # noqa: PTH208
        return sum(each.startswith("socket:") for each in links)

    headers = bearer(signer.token(a_user()))
    reaching.call("reaching", {}, headers=headers)
    reaching.client.get("/healthz")
    before = sockets()
    for _ in range(10):
        assert reaching.call("reaching", {}, headers=headers).status_code == 200
        assert reaching.call("reaching/at_once", {}, headers=headers).status_code == 200
    until(lambda: sockets() <= before + 2, "the clients' connections to be closed")


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return ""
