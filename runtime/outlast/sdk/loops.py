"""Whether the caller is on an event loop."""

from __future__ import annotations

import asyncio


def on_a_loop() -> bool:
    """Whether an event loop runs in this thread. Then blocking would stop it, and calls can be awaited."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
