"""The page of a callback can be sent for every type that it asks for: as a browser does, by its very form."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from tests.databases import TEMPLATE, new_database
from tests.hosts import LIMIT_S, Host, Hosts, ask
from tests.http.test_callbacks_page import HEADERS, PUBLIC, link_of, result

FUNCTION = """
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Literal

from pydantic import BaseModel

from outlast import callback, receive, workflow

Rating = Literal[1, 2, 3]
Mixed = Literal["yes", 1, "1", True, None]
MaybeRating = Literal[1, 2] | None
MaybeFlag = bool | None
MaybeNumber = int | None
Numbers = list[int]
Ratings = list[Rating]
Pair = tuple[int, str]


class Size(IntEnum):
    S = 1
    L = 2


class Color(Enum):
    RED = "red"
    GOLD = 7.5


class Place(BaseModel):
    town: str


class Order(BaseModel):
    value: str
    amount: int | None = None
    n: int = 3
    share: float = 0.5
    price: Decimal = Decimal("1.20")
    when: date | None = None
    note: str | None = None
    name: str = "N. N."
    tags: list[str] = []
    rating: Rating = 2
    size: Size | None = None
    wanted: list[Literal[1, 2]] = [1]
    place: Place | None = None
    flag: bool | None = True


MaybePlace = Place | None


@dataclass
class Bare:
    words: list[str] = field(default_factory=lambda: ["made"])


@workflow
async def asks(of: str) -> object:
    of = globals()[of]
    await callback("verdict", of=of)
    answer = await receive("verdict", of=of)
    return {"got": answer}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("forms")
    functions = folder / "functions"
    functions.mkdir()
    (functions / "asks.py").write_text(FUNCTION)
    with new_database(postgres, TEMPLATE) as url:
        hosts = Hosts(folder, functions, url)
        yield hosts.start(public_url=PUBLIC)
        hosts.close()


class Page(HTMLParser):
    """The one form of a page, as a browser has it: what it sends if nothing is touched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self.buttons: dict[str, str] = {}
        """By what stands on it."""
        self.options: dict[str, list[str]] = {}
        self.needed: set[str] = set()
        self._name = ""
        self._value = ""
        self._several = False
        self._text = ""
        self.feed(text.replace("\r\n", "\n"))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = {name: value or "" for name, value in attrs}
        self._value, self._text = given.get("value", ""), ""
        if tag in ("input", "select", "textarea"):
            self._name, self._several = given["name"], "multiple" in given
            if tag == "input":
                self.fields.setdefault(self._name, []).append(self._value)
            if "required" in given:
                self.needed.add(self._name)
        if tag == "option":
            self.options.setdefault(self._name, []).append(self._value)
            if "selected" in given:
                self.fields.setdefault(self._name, []).append(self._value)

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "button":
            self.buttons[self._text] = self._value
        elif tag == "textarea":
            self.fields[self._name] = [self._text.removeprefix("\n").replace("\n", "\r\n")]
        elif tag == "select" and not self._several:
            self.fields.setdefault(self._name, self.options[self._name][:1])


def open_page(host: Host, of: str) -> tuple[str, str, Page]:
    """A workflow that asks for this type: its id, its link, and what a browser shows."""
    headers = {**HEADERS, "idempotency-key": secrets.token_hex(8), "prefer": "respond-async"}
    url = f"{host.url}/functions/v1/asks"
    answer = ask("POST", url, json={"of": of}, headers=headers, timeout=LIMIT_S)
    link = link_of(host, answer.headers["workflow-id"], "verdict")
    page = ask("GET", link, headers={"accept": "text/html"}, timeout=LIMIT_S)
    assert page.status_code == 200
    return answer.headers["workflow-id"], link, Page(page.text)


def send(host: Host, link: str, fields: dict[str, list[str]]) -> httpx.Response:
    return ask(
        "POST", link, data=fields, headers={"accept": "text/html", "origin": host.url}, timeout=LIMIT_S
    )


def got(host: Host, workflow_id: str) -> Any:
    return result(host, workflow_id)["output"]["got"]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ("Rating", {"1": 1, "2": 2, "3": 3}),
        ("Mixed", {"yes": "yes", "1": "1", "Yes": True, "None": None}),
        ("MaybeRating", {"1": 1, "2": 2, "None": None}),
        ("MaybeFlag", {"Yes": True, "No": False, "None": None}),
        ("Size", {"1": 1, "2": 2}),
        ("Color", {"red": "red", "7.5": 7.5}),
    ],
)
def test_each_button_sends_its_choice(host: Host, of: str, said: dict[str, Any]) -> None:
    for label, value in said.items():
        workflow_id, link, page = open_page(host, of)
        assert list(page.buttons) == list(said)
        assert send(host, link, {"value": [page.buttons[label]]}).status_code == 200
        assert (got(host, workflow_id), type(got(host, workflow_id))) == (value, type(value))


UNTOUCHED = {
    "value": "", "amount": None, "n": 3, "share": 0.5, "price": "1.20", "when": None, "note": None,
    "name": "N. N.", "tags": [], "rating": 2, "size": None, "wanted": [1], "place": None, "flag": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("touched", "changed"),
    [
        ({}, {}),
        ({name: [""] for name in UNTOUCHED if name != "rating"}, {"name": "", "wanted": [], "flag": None}),
        (
            {
                "amount": ["5"], "when": ["2026-02-03"], "note": ["n"], "tags": ["a b\r\n\r\nc,d\r\n"],
                "rating": ["3"], "size": ["2"], "wanted": ["", "1", "2"], "place": ['{"town":\r\n"A"}'],
                "flag": ["false"],
            },
            {
                "amount": 5, "when": "2026-02-03", "note": "n", "tags": ["a b", "c,d"], "rating": 3,
                "size": 2, "wanted": [1, 2], "place": {"town": "A"}, "flag": False,
            },
        ),
    ],
)  # fmt: skip
def test_a_model_is_sent_as_it_is_shown(
    host: Host, touched: dict[str, list[str]], changed: dict[str, Any]
) -> None:
    workflow_id, link, page = open_page(host, "Order")
    assert page.fields.keys() == UNTOUCHED.keys()
    assert page.needed == {"value"}
    sent = send(host, link, {**page.fields, **touched})
    assert sent.status_code == 200, sent.text
    assert got(host, workflow_id) == {**UNTOUCHED, **changed}


@pytest.mark.parametrize(
    ("of", "typed", "value"),
    [
        ("MaybeNumber", "", None),
        ("MaybeNumber", "7", 7),
        ("Numbers", "", []),
        ("Numbers", "1\r\n2", [1, 2]),
        ("Numbers", "[1, 2]", [1, 2]),
        ("Pair", "1\r\nb", [1, "b"]),
    ],
)
def test_one_field_is_all_of_it(host: Host, of: str, typed: str, value: Any) -> None:
    workflow_id, link, page = open_page(host, of)
    assert send(host, link, {**page.fields, "value": [typed]}).status_code == 200
    assert got(host, workflow_id) == value


def test_several_of_a_few_choices_are_picked(host: Host) -> None:
    workflow_id, link, page = open_page(host, "Ratings")
    assert page.options == {"value": ["1", "2", "3"]}
    assert send(host, link, {"value": [*page.fields["value"], "1", "3"]}).status_code == 200
    assert got(host, workflow_id) == [1, 3]


def test_a_model_or_nothing(host: Host) -> None:
    for town, value in (("", None), ("A", {"town": "A"})):
        workflow_id, link, page = open_page(host, "MaybePlace")
        assert (page.fields, page.needed) == ({"town": [""]}, set())
        assert send(host, link, {"town": [town]}).status_code == 200
        assert got(host, workflow_id) == value


def test_a_default_that_is_not_shown_stays(host: Host) -> None:
    workflow_id, link, page = open_page(host, "Bare")
    assert send(host, link, page.fields).status_code == 200
    assert got(host, workflow_id) == {"words": ["made"]}


def test_what_was_typed_is_still_there_where_it_does_not_fit(host: Host) -> None:
    workflow_id, link, page = open_page(host, "Order")
    typed = {**page.fields, "value": ['<"v">'], "n": ["many"], "tags": ["a\r\nb"], "rating": ["1"]}
    refused = send(host, link, typed)
    assert (refused.status_code, refused.headers["sb-error-code"]) == (422, "invalid_input")
    again = Page(refused.text)
    assert again.fields == typed
    assert send(host, link, {**again.fields, "n": ["4"]}).status_code == 200
    assert got(host, workflow_id) == {**UNTOUCHED, "value": '<"v">', "n": 4, "tags": ["a", "b"], "rating": 1}
