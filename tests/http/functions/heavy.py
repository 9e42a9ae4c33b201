"""Functions that say how large a body they take, and one that reads what it gets."""

from typing import Any

from outlast import Request, handler, standard_webhook, workflow

ASKED = 4 * 1024 * 1024


@workflow(body_bytes_max=ASKED)
async def heavy(request: Request) -> int:
    return len(request.body)


@workflow(body_bytes_max=1024**3)
async def boundless(request: Request) -> int:
    return len(request.body)


@workflow(body_bytes_max=1000)
async def light(value: Any = None) -> Any:
    return value


@handler(body_bytes_max=ASKED)
async def handled(request: Request) -> int:
    return len(request.body)


@handler
async def reading(request: Request) -> int:
    return len(request.json())


@workflow(webhook=standard_webhook("HTTP_HOOK_SECRET"), body_bytes_max=ASKED)
async def delivered(request: Request) -> int:
    return len(request.body)
