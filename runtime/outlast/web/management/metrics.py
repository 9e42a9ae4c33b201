"""The metrics over HTTP, for holders of a secret key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from outlast.web.callers.admission import Admission
from outlast.web.http.answers import NO_STORE, Answer
from outlast.web.http.calls import Call

METRICS = "/metrics"

Scrape = Callable[[str], Awaitable[tuple[str, bytes]]]
"""Gives the content type that suits an `Accept`, and the metrics in it."""


async def metrics(admission: Admission, scrape: Scrape, call: Call) -> Answer:
    """All metrics of the host. Raises ProblemError (401)."""
    # guard: metrics-for-anybody
    await admission.to_operation(call)
    return await scraped(scrape, call.header(b"accept") or "")


async def scraped(scrape: Scrape, accept: str) -> Answer:
    """The answer to a scrape."""
    content_type, body = await scrape(accept)
    return Answer(200, body, [(b"content-type", content_type.encode()), NO_STORE])
