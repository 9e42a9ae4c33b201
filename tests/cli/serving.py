"""`outlast serve` as a process, for the command to talk to."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 40.0
_SERVING = re.compile(r"(http://127\.0\.0\.1:\d+)/functions/v1/")


@contextmanager
def serving(project: Path, port: int = 0, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL of a host that serves `project/functions`, and its process, which is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "outlast", "serve", "--port", str(port)],
        cwd=project,
        env=os.environ | {"OUTLAST_LOG_FORMAT": "text"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield _url(lines), process
    finally:
        process.kill()
        process.wait()
        reader.join(START_TIMEOUT_S)
        assert process.stdout is not None
        process.stdout.close()


def _url(lines: queue.SimpleQueue[str | None]) -> str:
    said = ""
    while (line := lines.get(timeout=START_TIMEOUT_S)) is not None:
        said += line
        if match := _SERVING.search(line):
            return match[1]
    raise AssertionError(f"the host did not start: {said}")
