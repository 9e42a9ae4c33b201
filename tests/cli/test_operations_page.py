"""docs/operations.md: its commands and its code run as they are printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from outlast.functions.options import declared_retentions
from outlast.sdk.workflows import Workflow
from tests.cli.conftest import Runs

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
FUNCTION = "from outlast import workflow\n\n@workflow\ndef hello(): ...\n"
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("outlast ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_run(call: Runs, project: Path, database: str, line: str) -> None:
    (project / "functions").mkdir()
    (project / "functions" / "hello.py").write_text(
        "from outlast import workflow\n\n@workflow\ndef hello(): ...\n"
    )
    environment = {"SUPABASE_DB_URL": database, "SUPABASE_SECRET_KEY": "sb_secret_of_the_tests_0123456789"}
    ran = call(*shlex.split(line, comments=True)[1:], **environment)
    # The server of the tests may have autovacuum off: that is a finding, not a fault of the command.
    assert ran.status == 0 or "autovacuum_off_everywhere" in ran.out, ran.err


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 7


def test_its_functions_say_how_long_they_keep_what_has_ended() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, Any] = {}
    exec(block, found)  # noqa: S102 - our own page
    defined = {name: each.definition for name, each in found.items() if isinstance(each, Workflow)}
    assert declared_retentions(defined) == {"ping": 172_800.0, "invoice": None}
