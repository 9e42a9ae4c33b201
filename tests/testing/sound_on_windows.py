"""Workflows for without_posix.py."""

from __future__ import annotations

import asyncio

from outlast import sleep, step, workflow


@step
def in_a_thread() -> str:
    return "of a thread"


@step(max_attempts=2)
async def told(text: str) -> str:
    await asyncio.sleep(1)
    return text


@workflow
async def told_over_http(text: str) -> str:
    return await told(text)


@workflow
async def everything(text: str) -> str:
    await sleep(14 * 24 * 3600)
    first, second = await asyncio.gather(told(f"{text} fortnight later"), in_a_thread.aio())
    return f"{first}, {second}"


@step
def plus_one(number: int) -> int:
    return number + 1


@workflow
def plain(number: int) -> int:
    _ = sleep(3600)
    return plus_one(number)


@workflow
async def over_a_set() -> list[str]:
    return sorted([await told(each) for each in sorted({"a", "b", "c"})])


@step
async def talk() -> str:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello over a socket\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()


@workflow
async def talks() -> str:
    return await talk()
