"""Functions that say how large a body they take, and one that reads what it gets."""

import time
from typing import Any

from _shared.gates import FOLDER, witness  # type: ignore[import-not-found]
from pydantic import BaseModel, field_validator

from outlast import Request, handler, standard_webhook, workflow

ASKED = 4 * 1024 * 1024


class Slow(BaseModel):
    """It takes as long to be read as its test wants."""

    key: str
    padding: str = ""

    @field_validator("key")
    @classmethod
    def held(cls, key: str) -> str:
        if key == "stop":
            raise StopIteration
        witness(key)
        while not (FOLDER / f"{key}.open").exists():
            time.sleep(0.01)
        return key


@workflow
async def slow(slow: Slow) -> str:
    return slow.key


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
