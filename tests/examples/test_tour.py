"""The README's tour, as printed: every command that is shown with an answer gives that answer."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import SECRET, Host, Hosts

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
_BLOCK = re.compile(r"```console\n(.*?)```|(\*\*Kill the host\*\*)", re.DOTALL)
_PRINTED_URL = "localhost:8000"


def tour() -> Iterator[tuple[str, str] | None]:
    """The tour's commands with their printed answers; None where the reader is to kill the host."""
    section = README.split("## The tour")[1].split("\n## ")[0]
    for match in _BLOCK.finditer(section):
        if match[2]:
            yield None
            continue
        for command in match[1].split("$ ")[1:]:
            line, _, answer = command.partition("\n")
            yield line, answer.strip()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Hosts]:
    """A fresh project with this repository's functions and tables, on an embedded database."""
    shutil.copytree(ROOT / "supabase", tmp_path / "supabase")
    hosts = Hosts(tmp_path, ROOT / "functions")
    yield hosts
    hosts.close()


def run(line: str, host: Host, cwd: Path) -> str:
    """A command of the tour, against `host`; what it printed."""
    words = shlex.split(line)
    if words[0] == "outlast":
        words = [sys.executable, "-m", "outlast", *words[1:], "--url", host.url]
    elif shutil.which(words[0]) is None:
        pytest.skip(f"the tour needs {words[0]}")
    words = [word.replace(_PRINTED_URL, host.url.removeprefix("http://")) for word in words]
    env = {"PATH": "/usr/bin:/bin", "SUPABASE_SECRET_KEY": SECRET}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}\n{host.said()}"
    return done.stdout.strip()


def test_the_tour_goes_as_the_readme_says(project: Hosts) -> None:
    host = project.start()
    commands = 0
    for command in tour():
        if command is None:
            host.kill()
            host = project.start()
            continue
        line, answer = command
        printed = run(line, host, project.folder)
        assert printed == answer if answer else printed
        commands += 1
    assert commands >= 8


def test_a_declined_card_gives_the_widgets_back(project: Hosts) -> None:
    host = project.start()
    order = '{"quantity": 3, "card": "%s"}'
    buy = f"curl -s {_PRINTED_URL}/functions/v1/checkout -H 'Idempotency-Key: %s' -d '{order}'"
    declined = run(buy % ("declined", "0000"), host, project.folder)
    assert '"status":402' in declined
    assert "the card was declined" in declined
    assert '"quantity":3' in run(buy % ("paid", "4242"), host, project.folder)


def test_the_first_two_commands_are_those_of_the_makefile() -> None:
    start = README.split("## Start")[1].split("```console\n")[1].split("```")[0]
    targets = [line.removeprefix("$ make ") for line in start.strip().splitlines()]
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["serve", "test"]
    assert all(f"\n{target}: " in makefile for target in targets)
