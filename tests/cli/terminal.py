"""A terminal for a command to write to: what people see."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
from pathlib import Path

from tests.forked import COMMAND, start

TIMEOUT_S = 45.0


def seen_on_terminal(project: Path, *arguments: str, columns: int = 100, **environment: str) -> str:
    """What `outlast ARGUMENTS` shows on a terminal of that width, colours as escape sequences."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with os.fdopen(slave, "wb", buffering=0) as screen:
        process = start(
            [*COMMAND, *arguments], env | {"TERM": "xterm-256color"} | environment, project, screen
        )  # fmt: skip
    shown = b""
    try:
        while chunk := _read(master):
            shown += chunk
        process.wait(TIMEOUT_S)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)
    return shown.decode().replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""
