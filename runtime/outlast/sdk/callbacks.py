"""`callback`: a link by which whoever gets it answers a workflow, without an account or a key."""

from __future__ import annotations

from typing import Any

from outlast.core.callbacks import USES_MAX
from outlast.core.errors import UsageError
from outlast.sdk.calls import ask
from outlast.sdk.durations import Duration, positive_seconds_of
from outlast.sdk.messages import VALUES, topic_of
from outlast.sdk.operations import Callback
from outlast.sdk.running import line_here

EXPIRES_S = 7 * 24 * 3600.0
EXPIRES_S_MAX = 366 * 24 * 3600.0


def callback(
    topic: str | None = None, *, expires: Duration = EXPIRES_S, uses: int | None = 1, of: Any = Any
) -> Any:
    """A URL that sends a message of `topic` to this workflow: for a mail, a chat, another service.

    `await callback("approval")` in an `async def` workflow, `callback("approval")` in a `def` one. A GET
    shows a page with a button and does nothing; a POST (JSON, a form, or nothing) sends what it bears, which
    `receive(topic)` gets. It holds for `expires` (seconds or a timedelta, a year at most; a week) and for
    `uses` answers (None: any number). `of` is a type with a name in the workflow's file: what doesn't fit it
    is refused, and is no use. The URL is recorded: a replay gives the same. Raises UsageError outside a
    workflow, and where OUTLAST_PUBLIC_URL or the project's secret key isn't set.
    """
    given = topic_of(topic, "callback")
    expires_s = positive_seconds_of(expires, "callback(expires)")
    if expires_s is None or expires_s > EXPIRES_S_MAX:
        raise UsageError(f"callback(expires) is 366 days at most, not {expires!r:.100}")
    if uses is not None and (
        isinstance(uses, bool) or not isinstance(uses, int) or not 1 <= uses <= USES_MAX
    ):
        raise UsageError(
            f"callback(uses) is a whole number from 1 to {USES_MAX:,}, or None, not {uses!r:.100}"
        )
    VALUES.codec(of)  # refuses what JSON can't carry
    line = line_here("callback")
    if line is None:
        raise UsageError("callback belongs in a workflow's body: its steps get the URL as an argument")
    return ask(Callback(given, expires_s, uses, of), line, "callback")
