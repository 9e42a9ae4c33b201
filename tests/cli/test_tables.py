"""Commands that are made of a row of the tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from outlast.cli.cells import pairs_of
from outlast.cli.command import CommandGroup
from outlast.cli.failures import CommandFailed
from outlast.cli.tables import listing_command, resource_commands
from outlast.cli.verbs import verb_command
from tests.cli.stand_in import Reply, StandIn
from tests.rows import BOXES, CHANGE, FILL, MAKE, NOTES, REST, add_rows

ROWS = [{"number": 1, "text": {"a": 1}, "author": None}, {"number": 2, "text": "b\tc", "author": "ada"}]


def test_a_resource_is_listed_with_all_its_columns(host: StandIn) -> None:
    host.on("GET", "/workflows/v1/a%2Fb/notes", Reply(document={"notes": ROWS, "next": None}))
    command = listing_command(NOTES)
    ran = CliRunner().invoke(command, ["a/b", "--author", "ada", "--url", host.url])
    assert ran.output == '1\t{"a": 1}\t\n2\tb\\tc\tada\n'
    assert parse_qs(urlsplit(host.seen[-1].path).query)["author"] == ["ada"]
    ran = CliRunner().invoke(command, ["a/b", "--json", "--url", host.url])
    assert json.loads(ran.output) == {"notes": ROWS}


def test_a_verb_is_done_with_its_arguments(host: StandIn) -> None:
    host.on("POST", "/workflows/v1/a%2Fb/rest", Reply(document={"number": 7}))
    command = verb_command(REST)
    ran = CliRunner().invoke(command, ["a/b", "5", "--url", host.url])
    assert ran.output == "rested a/b: number 7\n"
    assert json.loads(host.seen[-1].body) == {"seconds": 5}
    ran = CliRunner().invoke(command, ["a/b", "5", "--json", "--url", host.url])
    assert json.loads(ran.output) == {"number": 7}


@pytest.mark.parametrize("arguments", [[], ["a"], ["a", "0"], ["a", "61"], ["a", "5", "6"]])
def test_arguments_are_checked(arguments: list[str], host: StandIn) -> None:
    assert CliRunner().invoke(verb_command(REST), [*arguments, "--url", host.url]).exit_code == 2
    assert host.seen == []


def test_a_refusal_fails(host: StandIn) -> None:
    host.on("POST", "/workflows/v1/a/rest", Reply(409, {"code": "workflow_ended", "detail": "it has ended"}))
    ran = CliRunner().invoke(verb_command(REST), ["a", "5", "--url", host.url])
    assert isinstance(ran.exception, CommandFailed)


BOX = {"name": "a b", "things": 1000, "shut": False, "lasts_s": 90}


def test_any_noun_has_a_group_of_commands(host: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    add_rows(monkeypatch)
    boxes = resource_commands(BOXES)
    assert isinstance(boxes, CommandGroup)
    assert list(boxes.commands) == ["list", "show", "things", "fill", "set", "make"]
    host.on("GET", "/boxes/v1", Reply(document={"boxes": [BOX], "next": None}))
    assert CliRunner().invoke(boxes, ["list", "--shut", "--url", host.url]).output == "a b\t1000\tfalse\t90\n"
    assert parse_qs(urlsplit(host.seen[-1].path).query)["shut"] == ["true"]
    CliRunner().invoke(boxes, ["list", "--url", host.url])
    assert "shut" not in parse_qs(urlsplit(host.seen[-1].path).query)
    host.on("GET", "/boxes/v1/a%20b", Reply(document=BOX))
    ran = CliRunner().invoke(boxes, ["show", "a b", "--url", host.url])
    assert ran.output == "name\ta b\nthings\t1000\nshut\tfalse\nlasts_s\t90\n"
    host.on("GET", "/boxes/v1/a%20b/things", Reply(document={"things": [{"number": 1}], "next": None}))
    assert CliRunner().invoke(boxes, ["things", "a b", "--url", host.url]).output == "1\n"


def test_people_read_counts_times_and_flags_as_such() -> None:
    rows = pairs_of(BOXES, {**BOX, "lasts_s": None}) + pairs_of(BOXES, {"lasts_s": 90})
    assert rows == [("Name", "a b"), ("Things", "1000+"), ("Shut", "no"), ("Lasts s", "1 min 30 s")]


def test_each_kind_of_argument_is_read(host: StandIn) -> None:
    host.on("POST", "/boxes/v1/a%20b/fill", Reply(document=BOX))
    arguments = ["--what", "sand", "--key", "k", "--weight", "1.5", "--within", "5m"]
    arguments += ["--since", "2026-01-31T09:30:00+02:00", "--gently", "--label", '{"a": [null]}']
    ran = CliRunner().invoke(verb_command(FILL), ["a b", "9", *arguments, "--url", host.url])
    assert ran.output == "filled a b\n"
    given = json.loads(host.seen[-1].body)
    assert datetime.fromisoformat(given.pop("since")) == datetime(2026, 1, 31, 7, 30, tzinfo=UTC)
    assert given == {
        "count": 9, "what": "sand", "key": "k", "weight": 1.5, "within": 300, "gently": True,
        "label": {"a": [None]},
    }  # fmt: skip


def test_what_is_left_out_is_not_sent_and_default_is_null(host: StandIn) -> None:
    host.on("PATCH", "/boxes/v1/a", Reply(document=BOX))
    CliRunner().invoke(verb_command(CHANGE), ["a", "--room", "default", "--lasts", "90", "--url", host.url])
    assert json.loads(host.seen[-1].body) == {"room": None, "lasts": 90}
    CliRunner().invoke(verb_command(CHANGE), ["a", "--url", host.url])
    assert host.seen[-1].body == b""


def test_a_verb_of_none_in_particular_prints_what_it_returns(host: StandIn) -> None:
    host.on("POST", "/boxes/v1", Reply(document={"number": 7}))
    assert CliRunner().invoke(verb_command(MAKE), ["c", "--url", host.url]).output == "made: number 7\n"
    assert json.loads(host.seen[-1].body) == {"name": "c"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["10"], "1 to 9"),
        (["x"], "not a valid int"),
        (["1", "--what", "gravel"], "1 to 5 characters"),
        (["1", "--weight", "-1"], "0 on"),
        (["1", "--within", "2h"], "0 to 3,600"),
        (["1", "--within", "soon"], "no duration"),
        (["1", "--since", "soon"], "no time"),
        (["1", "--label", "{"], "not JSON"),
    ],
)
def test_each_argument_is_checked(arguments: list[str], told: str, host: StandIn) -> None:
    ran = CliRunner().invoke(verb_command(FILL), ["a", *arguments, "--url", host.url])
    assert (ran.exit_code, host.seen) == (2, [])
    assert told in ran.output
