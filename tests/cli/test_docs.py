"""The user's page names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import click

from outlast.cli.main import outlast as top
from outlast.cli.remote import CONNECTION_BROKEN, UNREACHABLE
from outlast.host.embedded import EmbeddedPostgresError
from outlast.host.secret_key import SecretKeyError
from outlast.host.settings import SettingsError
from outlast.store.wake import BadWakeUrl

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")


def test_every_command_is_on_the_page() -> None:
    for name, command in top.all_commands(click.Context(top)).items():
        assert f"`{name}" in PAGE, name
        for sub in getattr(command, "commands", {}):
            assert sub in PAGE, f"{name} {sub}"


def test_the_error_codes_on_the_page_are_those_of_the_command() -> None:
    folder = Path(__file__).parents[2] / "runtime" / "outlast" / "cli"
    text = "".join(each.read_text("utf-8") for each in folder.glob("*.py"))
    raised = set(re.findall(r'CommandFailed\(\s*"(\w+)"', text)) | set(re.findall(r'return "(\w+)", ', text))
    raised |= {
        UNREACHABLE,
        CONNECTION_BROKEN,
        SettingsError.code,
        SecretKeyError.code,
        EmbeddedPostgresError.code,
        BadWakeUrl.code,
    }
    listed = PAGE.partition("The command's own are")[2].partition("\n\n")[0]
    assert set(listed.split("`")[1::2]) == raised - {"failed"}
