"""Logs as functions do: with a logger of its own, and with the context's."""

import logging

from outlast import context, step, workflow

logger = logging.getLogger(__name__)


@step(max_attempts=2, backoff=0)
async def told() -> None:
    attempt = context().attempt
    logger.warning("attempt %d", attempt, extra={"order": 7})
    if attempt == 1:
        raise ValueError("again")


@workflow
async def logs(text: str) -> str:
    logger.warning("body %s", text, extra={"order": 7})
    context().logger.warning("own", extra={"order": 8})
    await told()
    return text
