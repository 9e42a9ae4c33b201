"""Models whose validators raise what pydantic lets pass."""

import asyncio
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from outlast import callback, receive, step, workflow

RAISED: dict[str, type[BaseException]] = {
    "KeyError": KeyError,
    "StopIteration": StopIteration,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
}


def look_up(name: str) -> str:
    if name in RAISED:
        raise RAISED[name](f"no {name} of theirs")
    return name


Name = Annotated[str, AfterValidator(look_up)]


class Named(BaseModel):
    name: Name
    padding: str = Field(default="", max_length=200_000)


@workflow
async def validating(named: Named) -> str:
    return named.name


@workflow
async def by_parameter(name: Name) -> str:
    return await say(name)


@step
async def say(name: str) -> Name:
    return name


@workflow
async def linking() -> Any:
    await callback("named", of=Named)
    return (await receive("named", of=Named)).name


class Drawn(BaseModel):
    """Whoever builds it by `model_construct` is asked at its way back from JSON."""

    name: Name


@workflow
async def answering(name: str) -> Drawn:
    return Drawn.model_construct(name=name)
