"""Functions that want too much."""

from outlast import HTTPException, Request, Response, handler, step, workflow

_kept: list[bytearray] = []


@step
async def much(mb: int) -> str:
    return "x" * (mb * 1_000_000)


@workflow
async def returns(mb: int) -> str:
    return "x" * (mb * 1_000_000)


@workflow
async def answers(mb: int) -> Response:
    return Response(b"\xff" * (mb * 1_000_000))


@workflow
async def records(mb: int) -> int:
    return len(await much(mb))


@workflow
async def raises(mb: int) -> None:
    raise ValueError("x" * (mb * 1_000_000))


@workflow
async def refuses(mb: int) -> None:
    raise HTTPException(400, "x" * (mb * 1_000_000))


@step
async def raise_much(mb: int) -> None:
    error = ValueError("x" * (mb * 1_000_000))
    error.more = ["y" * (mb * 1_000_000)]  # type: ignore[attr-defined]
    raise error


@workflow
async def raises_in_step(mb: int) -> None:
    await raise_much(mb)


@handler
async def hands_out(request: Request) -> str:
    return "x" * (int(request.query["mb"]) * 1_000_000)


@workflow
async def leaks(mb: int) -> int:
    _kept.append(bytearray(b"x" * (mb * 1_000_000)))
    return len(_kept)


def deeper(n: int) -> int:
    return deeper(n + 1) + 1


@workflow
async def recurses() -> int:
    return deeper(0)


async def deeper_still(n: int) -> int:
    return await deeper_still(n + 1) + 1


@workflow
async def recurses_awaiting() -> int:
    return await deeper_still(0)


@workflow
async def nests() -> object:
    found: list[object] = []
    for _ in range(100_000):
        found = [found]
    return found
