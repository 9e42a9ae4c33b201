"""A workflow that publishes what it does."""

from typing import Any

from _shared.gates import gate, witness  # type: ignore[import-not-found]

from outlast import publish, step, workflow


@step
async def hold(key: str) -> str:
    witness(key)
    await gate(key)
    return key


@workflow
async def telling(key: str = "x", fail: bool = False) -> str:
    await publish("progress", {"done": 1, "of": 2})
    await hold(key)
    await publish("progress", {"done": 2, "of": 2})
    await publish("odd\nname", "é\n")
    if fail:
        raise ValueError("the password is hunter2")
    return "told"


@workflow
def counting(to: int = 3) -> int:
    for number in range(to):
        publish("count", number)  # type: ignore[unused-awaitable]
    return to


@workflow
async def values(value: Any = None) -> None:
    await publish("value", value)
