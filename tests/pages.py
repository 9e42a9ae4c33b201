"""Pages of the docs whose code is run as printed: their blocks, their functions and their commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.hosts import SECRET, Host

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="SKIPPED LOUDLY: curl is not here, which the page calls with"
)


def page_of(name: str) -> str:
    """The text of a page."""
    return (Path(__file__).parents[1] / "docs" / f"{name}.md").read_text("utf-8")


def blocks_in(text: str, language: str) -> list[str]:
    """The code of that language, block by block."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def functions_in(blocks: Iterable[str]) -> dict[str, str]:
    """The files that blocks are, under the names in their first lines."""
    return {re.match(r"# functions/(\w+)\.py\n", each)[1]: each for each in blocks}  # type: ignore[index]


def write_functions(folder: Path, functions: Mapping[str, str]) -> Path:
    """The folder of functions with these files, within `folder`."""
    made = folder / "functions"
    made.mkdir()
    for name, text in functions.items():
        (made / f"{name}.py").write_text(text)
    return made


def run_script(host: Host, script: str, *, limit_s: float = 60, **env: str) -> list[str]:
    """What a script of a page prints, line by line, where `outlast` is this one and the host is known."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    known = {"URL": host.url, "KEY": SECRET, "OUTLAST_URL": host.url, "SUPABASE_SECRET_KEY": SECRET}
    done = subprocess.run(
        ["bash", "-euc", script.replace("curl -s", "curl -s -w '\\n'")],
        env={**os.environ, "PATH": path, **known, **env},
        capture_output=True, text=True, timeout=limit_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line]
