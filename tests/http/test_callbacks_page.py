"""docs/callbacks.md: its function and commands work as printed, over a socket, behind a prefix."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.databases import TEMPLATE, new_database
from tests.hosts import LIMIT_S, SECRET, Host, Hosts, ask, until
from tests.pages import needs_curl

PAGE = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text("utf-8")
(FUNCTION,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
LOOK = """

from outlast import handler


@handler
async def outbox(request: object) -> list[str]:
    return [link for _, link in OUTBOX]
"""
HEADERS = {"apikey": SECRET}
PUBLIC = "https://example.org/jobs"
NEW = "sb_secret_a_newer_one_0123456789"


@pytest.fixture(scope="module")
def module_database(postgres: str) -> Iterator[str]:
    with new_database(postgres, TEMPLATE) as url:
        yield url


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("callbacks")
    functions = folder / "functions"
    functions.mkdir()
    (functions / "expense.py").write_text(FUNCTION + LOOK)
    hosts = Hosts(folder, functions, module_database)
    yield hosts
    hosts.close()


@pytest.fixture(scope="module")
def host(hosts: Hosts) -> Host:
    """A host with the function of the page."""
    return hosts.start(public_url=PUBLIC)


def begin(host: Host, key: str, function: str = "expense") -> tuple[str, str]:
    """An expense (or another) that waits for its verdict: its id, and the link as a proxy passes it on."""
    headers = {**HEADERS, "idempotency-key": key, "prefer": "respond-async"}
    url = f"{host.url}/functions/v1/{function}"
    given = {"boss": "b", "cents": 5} if function == "expense" else {}
    answer = ask("POST", url, json=given, headers=headers, timeout=LIMIT_S)
    assert answer.status_code == 202, answer.text
    workflow_id = answer.headers["workflow-id"]
    return workflow_id, link_of(host, workflow_id, "verdict")


def link_of(host: Host, workflow_id: str, topic: str) -> str:
    """The link of its callback."""
    steps = f"{host.url}/workflows/v1/{workflow_id}/steps"

    def link() -> str | None:
        found = ask("GET", steps, headers=HEADERS, timeout=LIMIT_S).json()["steps"]
        outputs = [each["output"] for each in found if each["name"] == f"callback {topic}"]
        return str(outputs[0]["url"]) if outputs and outputs[0] else None

    made = until(link, "the link")
    assert made.startswith(f"{PUBLIC}/callbacks/v1/")
    return host.url + made.removeprefix(PUBLIC)


def post(link: str, body: Any) -> httpx.Response:
    return ask("POST", link, json=body, timeout=LIMIT_S)


def result(host: Host, workflow_id: str) -> Any:
    url = f"{host.url}/workflows/v1/{workflow_id}?wait=20"
    return ask("GET", url, headers=HEADERS, timeout=LIMIT_S).json()


@needs_curl
def test_its_commands(host: Host) -> None:
    workflow_id, link = begin(host, "curl")
    run = subprocess.run(
        ["bash", "-euc", COMMANDS], env={**os.environ, "LINK": link}, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    codes = re.findall(r'"code":"(\w+)"', run.stdout)
    assert codes == ["invalid_input", "callback_used"]
    assert run.stdout.count('{"sent":true}') == 1
    assert result(host, workflow_id)["output"] == "approve"


def test_two_that_answer_at_once_are_one(host: Host) -> None:
    workflow_id, link = begin(host, "race")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda each: post(link, each), ["approve", "reject"] * 4))
    taken = {each.request.content for each in answers if each.status_code == 202}
    assert len(taken) == 1
    assert {each.status_code for each in answers} == {202, 409}
    broken = ask("POST", link, content=b"{", timeout=LIMIT_S)
    assert (broken.status_code, broken.json()["code"]) == (409, "callback_used")
    assert result(host, workflow_id)["output"].encode() in taken.pop()


def test_several_who_answer_the_same_at_once_are_several(hosts: Hosts) -> None:
    (hosts.folder / "functions" / "poll.py").write_text(POLL)
    host = hosts.start(public_url=PUBLIC)
    workflow_id, link = begin(host, "poll", "poll")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: post(link, "approve").status_code, range(12)))
    assert sorted(answers) == [202] * 3 + [409] * 9
    assert result(host, workflow_id)["output"] == ["approve"] * 3


POLL = """
from typing import Literal

from outlast import callback, receive, workflow

Vote = Literal["approve", "reject"]


@workflow
async def poll() -> list[str]:
    await callback("verdict", uses=3, of=Vote)
    return [await receive("verdict", of=Vote) for _ in range(3)]
"""


def test_a_link_whose_type_a_deploy_has_renamed_can_wait(hosts: Hosts) -> None:
    file = hosts.folder / "functions" / "vote.py"
    file.write_text(VOTE)
    host = hosts.start(public_url=PUBLIC)
    workflow_id, link = begin(host, "vote", "vote")
    path = link.removeprefix(host.url)
    file.write_text(VOTE.replace("Vote", "Ballot"))
    renamed = hosts.start(public_url=PUBLIC)
    for accept in ("text/html", "application/json"):
        for method in ("GET", "POST"):
            answer = ask(method, renamed.url + path, headers={"accept": accept}, timeout=LIMIT_S)
            assert (answer.status_code, answer.headers["sb-error-code"]) == (503, "BOOT_ERROR")
    assert "vote: a callback's link can't be answered: its answers must fit Vote, which " in renamed.said()
    file.write_text(VOTE)
    again = hosts.start(public_url=PUBLIC)
    assert post(again.url + path, "a").status_code == 202
    assert result(again, workflow_id)["output"] == "a"
    file.write_text(VOTE.replace("Vote", "Ballot"))
    over = hosts.start(public_url=PUBLIC)
    assert ask("GET", over.url + path, timeout=LIMIT_S).json()["code"] == "callback_used"


VOTE = """
from typing import Literal

from outlast import callback, receive, workflow

Vote = Literal["a", "b"]


@workflow
async def vote() -> str:
    await callback("verdict", of=Vote)
    return await receive("verdict", of=Vote)
"""


def test_an_answer_races_with_a_cancel(host: Host, module_database: str) -> None:
    for number in range(6):
        workflow_id, link = begin(host, f"cancel-{number}")
        cancel = f"{host.url}/workflows/v1/{workflow_id}/cancel"
        with ThreadPoolExecutor(2) as threads:
            answering = threads.submit(post, link, "approve")
            threads.submit(ask, "POST", cancel, headers=HEADERS, timeout=LIMIT_S).result()
        found = result(host, workflow_id)
        assert answering.result().status_code in (202, 410)
        assert found["status"] in ("SUCCESS", "CANCELLED")
        if found["status"] == "SUCCESS":
            assert answering.result().status_code == 202
        assert post(link, "reject").status_code in (409, 410)


def test_of_what_was_removed_it_tells_that_it_is_over(host: Host, module_database: str) -> None:
    workflow_id, link = begin(host, "removed")
    post(link, "approve")
    result(host, workflow_id)
    with psycopg.connect(module_database, autocommit=True) as connection:
        connection.execute("delete from outlast.workflow_status where workflow_id = %s", [workflow_id])
    answer = post(link, "approve")
    assert (answer.status_code, answer.json()["code"]) == (410, "callback_over")


def test_one_that_has_expired(hosts: Hosts) -> None:
    (hosts.folder / "functions" / "brief.py").write_text(BRIEF)
    host = hosts.start(public_url=PUBLIC)
    answer = ask("POST", f"{host.url}/functions/v1/brief", json={}, headers=HEADERS, timeout=LIMIT_S)
    link = host.url + answer.json().removeprefix(PUBLIC)
    for method in ("GET", "POST"):
        expired = ask(method, link, timeout=LIMIT_S)
        assert (expired.status_code, expired.json()["code"]) == (410, "callback_expired")


BRIEF = """
from outlast import callback, sleep, workflow


@workflow
async def brief() -> str:
    link = await callback("t", expires=0.01)
    await sleep(0.02)
    return link
"""


def test_the_page_of_one_that_is_over(host: Host) -> None:
    workflow_id, link = begin(host, "over")
    cancel = f"{host.url}/workflows/v1/{workflow_id}/cancel"
    assert ask("POST", cancel, headers=HEADERS, timeout=LIMIT_S).status_code == 200
    for accept in ("text/html", "application/json"):
        page = ask("GET", link, headers={"accept": accept}, timeout=LIMIT_S)
        assert (page.status_code, page.headers["sb-error-code"]) == (410, "callback_over")
        assert workflow_id not in page.text


def test_a_link_of_before_a_rewind_answers_no_other_callback(hosts: Hosts) -> None:
    (hosts.folder / "functions" / "turns.py").write_text(TURNS)
    host = hosts.start(public_url=PUBLIC)
    workflow_id, link = begin(host, "turns", "turns")
    assert post(link, "approve").status_code == 202
    assert result(host, workflow_id)["status"] == "ERROR"
    rewind = f"{host.url}/workflows/v1/{workflow_id}/rewind"
    assert ask("POST", rewind, json={"to": "1"}, headers=HEADERS, timeout=LIMIT_S).status_code == 200

    other = link_of(host, workflow_id, "second")
    for method in ("GET", "POST"):
        answer = ask(method, link, json="approve", timeout=LIMIT_S)
        assert (answer.status_code, answer.json()["code"]) == (410, "callback_over")
    assert post(other, "reject").status_code == 202
    assert result(host, workflow_id)["output"] == "reject"


TURNS = """
from outlast import callback, receive, step, workflow

TOPICS = ["verdict"]


@step
async def whose() -> str:
    return TOPICS.pop() if TOPICS else "second"


@workflow
async def turns() -> str:
    topic = await whose()
    await callback(topic)
    answer = await receive(topic)
    if topic == "verdict":
        raise ValueError(answer)
    return answer
"""


def test_a_browser_and_the_log(host: Host) -> None:
    workflow_id, link = begin(host, "browser")
    page = ask("GET", link, headers={"accept": "text/html"}, timeout=LIMIT_S)
    assert page.status_code == 200
    assert page.headers["x-robots-tag"] == "noindex, nofollow"
    origin = {"accept": "text/html", "origin": host.url}
    sent = ask("POST", link, data={"value": "approve"}, headers=origin, timeout=LIMIT_S)
    assert (sent.status_code, "Thank you" in sent.text) == (200, True)
    assert result(host, workflow_id)["output"] == "approve"
    again = ask("POST", link, data={"value": "reject"}, headers=origin, timeout=LIMIT_S)
    assert again.status_code == 409
    # What is said of a request comes after its answer.
    until(lambda: "/callbacks/v1/… 409" in host.said(), "the log to say it")
    assert link.rpartition("/")[2] not in host.said()


def test_a_validator_that_fails_is_told_on_a_page_and_not_where_the_link_is(hosts: Hosts) -> None:
    (hosts.folder / "functions" / "validated.py").write_text(VALIDATED)
    host = hosts.start(public_url=PUBLIC)
    _, link = begin(host, "validated", "validated")
    for accept, kind in (("text/html", "text/html"), ("application/json", "application/json")):
        answer = ask("POST", link, data={"n": "1"}, headers={"accept": accept}, timeout=LIMIT_S)
        assert (answer.status_code, answer.headers["sb-error-code"]) == (500, "function_error")
        assert answer.headers["content-type"].startswith(kind)
    until(lambda: host.said().count("validated.py:") >= 2, "the log to name the line")
    assert link.rpartition("/")[2] not in host.said()


VALIDATED = """
from outlast import callback, receive, workflow
from pydantic import BaseModel, field_validator


class Answer(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def check(cls, n: int) -> int:
        return {}[n]


@workflow
async def validated() -> int:
    await callback("verdict", of=Answer)
    return (await receive("verdict", of=Answer)).n
"""


def test_a_key_that_is_rotated(hosts: Hosts, host: Host) -> None:
    _, link = begin(host, "rotated")
    path = link.removeprefix(host.url)
    rotating = hosts.start(
        SUPABASE_SECRET_KEY="", SUPABASE_SECRET_KEYS=f'{{"default": "{NEW}", "old": "{SECRET}"}}'
    )
    assert post(rotating.url + path, "maybe").status_code == 422
    rotated = hosts.start(SUPABASE_SECRET_KEY=NEW)
    answer = post(rotated.url + path, "approve")
    assert (answer.status_code, answer.json()["code"]) == (404, "callback_unknown")
    assert post(rotating.url + path, "approve").status_code == 202
