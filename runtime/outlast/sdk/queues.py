"""Supabase Queues: which one a workflow consumes."""

from __future__ import annotations

import re

from outlast.core.errors import UsageError

PREFIX = "pgmq:"
_NAME = re.compile(r"[a-z0-9_-]{1,47}")
"""As Supabase's dashboard makes them: pgmq itself takes no longer ones, and doesn't tell case apart."""


def queue_name(queue: str | None) -> str | None:
    """The name of a queue, of `pgmq:NAME`. Raises UsageError."""
    if queue is None:
        return None
    name = queue.removeprefix(PREFIX) if isinstance(queue, str) and queue.startswith(PREFIX) else ""
    if not _NAME.fullmatch(name):
        raise UsageError(
            'workflow(queue) names a Supabase Queue, "pgmq:NAME", by up to 47 lower-case letters, digits, '
            f'"_" and "-", not {queue!r:.100}'
        )
    return name
