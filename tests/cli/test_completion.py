"""Completion in a real bash on a terminal: what is completed is what is meant, and nothing of it is run."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.cli.conftest import SECRET, workflow
from tests.cli.stand_in import Reply, StandIn

LIMIT_S = 30.0
PROMPT = "ready> "


class Terminal:
    """A bash that somebody types into."""

    def __init__(self, project: Path, url: str) -> None:
        bin_folder = Path(sys.executable).parent
        env = {
            "HOME": str(project), "PATH": f"{bin_folder}:/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8",
            "PS1": PROMPT, "OUTLAST_URL": url, "SUPABASE_SECRET_KEY": SECRET,
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }  # fmt: skip
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            env=env, cwd=project, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._seen = ""
        self.until(PROMPT)

    def type(self, keys: str) -> None:
        """Press these."""
        self._seen = ""
        os.write(self._ours, keys.encode())

    def until(self, text: str) -> str:
        """Wait until it shows `text`; all that it showed."""
        end = time.monotonic() + LIMIT_S
        while text not in self._seen:
            assert select.select([self._ours], [], [], end - time.monotonic())[0], self._seen
            self._seen += os.read(self._ours, 4096).decode("utf-8", "replace")
        return self._seen

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(LIMIT_S)
        os.close(self._ours)


@pytest.fixture
def terminal(project: Path, host: StandIn) -> Iterator[Terminal]:
    opened = Terminal(project, host.url)
    try:
        opened.type('eval "$(outlast completion bash)"; bind "set bell-style none"\n')
        opened.until(PROMPT)
        yield opened
    finally:
        opened.close()


CASES = (
    ("rls:ada:$(touch${IFS}run)", "rl", r"\$\(touch\$\{IFS\}run\)"),
    ("rls:`id`;touch run *", "rls:", r"touch\ run\ \*"),
    ("odd:k=v", "odd:k=", "v"),
    ("odd:of two", r"odd:of\ t", r"of\ two"),
)
"""An id, what is typed of it, and what is shown after a TAB."""


def test_what_is_completed_is_one_word(terminal: Terminal, host: StandIn, project: Path) -> None:
    for workflow_id, typed, shown in CASES:
        host.on("GET", "/workflows/v1", Reply(document={"workflows": [workflow(workflow_id)]}))
        terminal.type(f"outlast workflows steps {typed}\t")
        terminal.until(shown)
        terminal.type("\n")
        terminal.until(PROMPT)
        assert unquote(host.seen[-1].path).startswith(f"/workflows/v1/{workflow_id}/steps")
        assert not (project / "run").exists()
    terminal.type('outlast workflows cancel "a b" --why "it hangs" --mo\t')
    terminal.until("--mode")
    (project / "input of one").touch()
    terminal.type("\x15outlast check --from inp\t")  # Ctrl-U: the line is taken back
    terminal.until(r"of\ one")
