"""Commands that are made of a row of the tables."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from outlast.cli.failures import CommandFailed
from outlast.cli.tables import listing_command, verb_command
from tests.cli.stand_in import Reply, StandIn
from tests.rows import NOTES, REST

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
    host.on("POST", "/workflows/v1/a%2Fb/rest", Reply(document={"workflow_id": "a/b", "status": "PENDING"}))
    command = verb_command(REST)
    ran = CliRunner().invoke(command, ["a/b", "5", "--url", host.url])
    assert ran.output == "rested a/b\n"
    assert urlsplit(host.seen[-1].path).query == "seconds=5"
    ran = CliRunner().invoke(command, ["a/b", "5", "--json", "--url", host.url])
    assert json.loads(ran.output) == {"workflow_id": "a/b", "status": "PENDING"}


@pytest.mark.parametrize("arguments", [[], ["a"], ["a", "0"], ["a", "61"], ["a", "5", "6"]])
def test_arguments_are_checked(arguments: list[str], host: StandIn) -> None:
    assert CliRunner().invoke(verb_command(REST), [*arguments, "--url", host.url]).exit_code == 2
    assert host.seen == []


def test_a_refusal_fails(host: StandIn) -> None:
    host.on("POST", "/workflows/v1/a/rest", Reply(409, {"code": "workflow_ended", "detail": "it has ended"}))
    ran = CliRunner().invoke(verb_command(REST), ["a", "5", "--url", host.url])
    assert isinstance(ran.exception, CommandFailed)
