"""How tests see and steer what runs in a host: files in a folder of theirs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

FOLDER = Path(os.environ["HTTP_FOLDER"])


def witness(key: str) -> None:
    """Say that the work of `key` is being done now."""
    with (FOLDER / f"{key}.seen").open("a") as file:
        file.write("x")


async def gate(key: str) -> None:
    """Wait until a test opens the gate."""
    while not (FOLDER / f"{key}.open").exists():
        await asyncio.sleep(0.01)
