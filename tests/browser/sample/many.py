"""What is large or odd: thousands of steps, values of megabytes, texts that would be scripts."""

import asyncio

from outlast import step, workflow

HOSTILE = (
    '<script>window.pwned = 1</script><img src=x onerror="window.pwned = 1">\'"></textarea></title>&lt;',
    "\u202egnp.exe\u202c \u200b\u2066",
    "\x01\x1b[31m \x7f",
    "{{ 7 * 7 }}{% raw %}${7*7}",
)


@step
async def one(number: int) -> int:
    return number


@workflow
async def steps(count: int = 100) -> int:
    """So many steps, a thousand at a time."""
    for first in range(0, count, 1000):
        await asyncio.gather(*(one(each) for each in range(first, min(count, first + 1000))))
    return count


@step(name="<b onclick=alert(1)>bold</b>")
async def odd(text: str) -> str:
    return text


@workflow
async def hostile(text: str = "", size: int = 0) -> dict[str, object]:
    """Gives back what must never be taken for markup."""
    await odd("".join(HOSTILE))
    return {"texts": [*HOSTILE, text], "large": "x" * size, "<key>": "</script>"}


@workflow
async def failing(text: str) -> None:
    """Fails with a text of somebody's choice."""
    raise ValueError(text)
