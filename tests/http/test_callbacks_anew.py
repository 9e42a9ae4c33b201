"""Links that an earlier generation of a workflow gave out, or a removed one, beside those of the new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.databases import TEMPLATE, new_database
from tests.hosts import LIMIT_S, SECRET, Host, Hosts, ask, until

FUNCTION = """
from pathlib import Path

from outlast import callback, publish, receive, step, workflow

HERE = Path(__file__).parent.parent


@step
async def pick(of: str) -> str:
    return (HERE / of).read_text()


@step
async def check(answer: str) -> str:
    if answer in ("none", "reject"):
        raise ValueError(answer)
    return answer


@workflow
async def ask_one(case: str) -> list[str]:
    who = await pick(case)
    await callback(f"verdict-{who}", expires=3600)
    return [who, await check(await receive(f"verdict-{who}", timeout=3600, default="none"))]
"""
HEADERS = {"apikey": SECRET}
PUBLIC = "https://example.org"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("anew")
    (folder / "functions").mkdir()
    (folder / "functions" / "ask_one.py").write_text(FUNCTION)
    with new_database(postgres, TEMPLATE) as url:
        hosts = Hosts(folder, folder / "functions", url)
        yield hosts.start(public_url=PUBLIC)
        hosts.close()


class Case:
    """A workflow that asks somebody, and may be let do so anew."""

    def __init__(self, host: Host, folder: Path, name: str) -> None:
        self._host, self._file, self._name = host, folder / name, name
        self.id = f"ask_one:{name}"

    def ask(self, who: str) -> str:
        """Let it begin, and ask this one; the link."""
        self._file.write_text(who)
        headers = {**HEADERS, "idempotency-key": self._name, "prefer": "respond-async"}
        url = f"{self._host.url}/functions/v1/ask_one"
        begun = ask("POST", url, json={"case": self._name}, headers=headers, timeout=LIMIT_S)
        assert begun.status_code == 202, begun.text
        return self._link()

    def ask_anew(self, who: str) -> str:
        """Rewind it after its end, and let it ask this one; the new link."""
        self._file.write_text(who)
        self.do("rewind", {"to": "pick"})
        return self._link()

    def do(self, verb: str, given: Any = None) -> None:
        """A verb."""
        url = f"{self._host.url}/workflows/v1/{self.id}/{verb}"
        answer = ask("POST", url, json=given or {}, headers=HEADERS, timeout=LIMIT_S)
        assert answer.status_code in (200, 201, 202), answer.text

    def end(self) -> tuple[str, Any]:
        """Its status and result."""
        url = f"{self._host.url}/workflows/v1/{self.id}?wait=20"
        found = ask("GET", url, headers=HEADERS, timeout=LIMIT_S).json()
        return found["status"], found["output"]

    def _link(self) -> str:
        url = f"{self._host.url}/workflows/v1/{self.id}/steps"

        def link() -> str | None:
            steps = ask("GET", url, headers=HEADERS, timeout=LIMIT_S).json()["steps"]
            made = [each["output"] for each in steps if each["name"].startswith("callback")]
            return made[0]["url"] if made and made[0] else None

        return self._host.url + until(link, "the link").removeprefix(PUBLIC)


@pytest.fixture
def case(host: Host, request: pytest.FixtureRequest) -> Case:
    return Case(host, Path(host.log).parent, request.node.name.removeprefix("test_")[:40])


def looked(link: str) -> str:
    """What a GET says."""
    return said(ask("GET", link, timeout=LIMIT_S))


def answered(link: str, body: str) -> str:
    """What a POST says."""
    return said(ask("POST", link, json=body, timeout=LIMIT_S))


def said(answer: httpx.Response) -> str:
    told = answer.json()
    return str(told.get("code") or next(iter(told)))


def test_a_link_of_before_answers_nobody_elses_question(case: Case) -> None:
    to_ann = case.ask("ann")
    case.do("cancel")
    to_ben = case.ask_anew("ben")
    assert looked(to_ann) == "callback_over"
    assert answered(to_ann, "yes of ann") == "callback_over"
    assert looked(to_ben) == "open"
    assert answered(to_ben, "yes of ben") == "sent"
    assert case.end() == ("SUCCESS", ["ben", "yes of ben"])


def test_an_answer_of_before_uses_up_nobody_elses_link(case: Case) -> None:
    to_ann = case.ask("ann")
    assert answered(to_ann, "reject") == "sent"
    assert case.end()[0] == "ERROR"
    to_ben = case.ask_anew("ben")
    assert looked(to_ben) == "open"
    assert answered(to_ben, "yes of ben") == "sent"
    assert looked(to_ann) == "callback_over"
    assert case.end() == ("SUCCESS", ["ben", "yes of ben"])


def test_of_the_same_question_links_and_answers_of_before_count_on(case: Case) -> None:
    first = case.ask("ann")
    case.do("cancel")
    second = case.ask_anew("ann")
    assert first != second
    assert [looked(first), looked(second)] == ["open", "open"]
    assert answered(first, "reject") == "sent"
    assert answered(second, "yes") == "callback_used"
    assert case.end()[0] == "ERROR"
    # Its answer comes again.
    case.ask_anew("ann")
    assert case.end()[0] == "ERROR"
    to_ben = case.ask_anew("ben")
    assert looked(to_ben) == "open"
    case.do("cancel")
    third = case.ask_anew("ann")
    assert [looked(each) for each in (first, second, third)] == ["callback_used"] * 3


def test_an_answer_that_a_fork_took_along_uses_up_none_of_its_links(case: Case) -> None:
    to_ann = case.ask("ann")
    assert answered(to_ann, "reject") == "sent"
    assert case.end()[0] == "ERROR"
    case.do("fork", {"from": "failed"})
    case.id += "~2"
    assert case.end()[0] == "ERROR"
    to_ben = case.ask_anew("ben")
    assert looked(to_ben) == "open"
    assert answered(to_ben, "yes of ben") == "sent"
    assert looked(to_ann) == "callback_used"
    assert case.end() == ("SUCCESS", ["ben", "yes of ben"])


def test_a_link_of_what_was_removed_answers_no_other_workflow_of_its_id(case: Case) -> None:
    old = case.ask("ann")
    case.do("cancel")
    case.do("delete")
    assert looked(old) == "callback_over"
    new = case.ask("ann")
    assert looked(old) == "callback_over"
    assert answered(old, "yes") == "callback_over"
    assert answered(new, "yes of the new one") == "sent"
    assert case.end() == ("SUCCESS", ["ann", "yes of the new one"])
