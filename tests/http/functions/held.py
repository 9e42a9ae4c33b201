"""Workflows that run until a test lets them go."""

from datetime import timedelta

from _shared.gates import gate, witness  # type: ignore[import-not-found]

from outlast import step, workflow


@step
async def hold(key: str) -> str:
    witness(key)
    await gate(key)
    return f"let go of {key}"


@workflow
async def held(key: str) -> dict[str, str]:
    return {"said": await hold(key)}


@workflow(duplicates="conflict")
async def exclusive(key: str) -> str:
    return await hold(key)


@workflow(timeout=timedelta(milliseconds=100))
async def hurried(key: str) -> str:
    return await hold(key)


@step
async def first(key: str) -> str:
    return key


@step
async def last(key: str, fail: bool) -> str:
    if fail:
        raise ValueError("the password is hunter2")
    return key


@workflow
async def staged(key: str, fail: bool = False) -> dict[str, str]:
    await first(key)
    await hold(key)
    await last(key, fail)
    return {"key": key}
