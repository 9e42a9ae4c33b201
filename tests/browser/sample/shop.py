"""A small shop: orders that are charged and shipped, refunds, mails, a nightly report."""

import asyncio
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, Field

from outlast import Queue, Rate, cron, publish, receive, sleep, step, workflow

mails = Queue("mail", concurrency=2, rate=Rate(100, per=60))


class Order(BaseModel):
    order: str = Field(description="Its number, such as A-1042")
    customer: str
    cents: int = Field(ge=1, description="What it costs")
    express: bool = False
    speed: Literal["standard", "express"] = "standard"
    note: str | None = None


class CardDeclined(Exception):
    pass


@step
async def reserve(order: str) -> str:
    await asyncio.sleep(0.02)
    print(f"reserved stock for {order}")  # noqa: T201 - what a step prints is shown
    return "shelf 7"


@step(max_attempts=4, backoff=0.05, retry_on=ConnectionError)
async def charge(order: str, cents: int) -> str:
    await asyncio.sleep(0.05)
    if cents > 90_000:
        raise CardDeclined(f"the card was declined for {cents / 100:.2f} EUR")
    return f"ch_{order.lower()}"


@step
async def pack(order: str, shelf: str) -> dict[str, object]:
    await asyncio.sleep(0.03)
    return {"parcel": f"P-{order}", "grams": 840, "from": shelf}


@workflow
async def shop(order: Order) -> dict[str, object]:
    """Take an order: reserve, charge, pack, and hand it to the carrier in the evening."""
    shelf = await reserve(order.order)
    payment = await charge(order.order, order.cents)
    parcel = await pack(order.order, shelf)
    await publish("progress", {"packed": True, "parcel": parcel["parcel"]})
    if not order.express:
        await sleep(timedelta(hours=6))
    return {"order": order.order, "payment": payment, **parcel}


@step
async def check(order: str) -> bool:
    """Whether it may be given back: what a later version asks first."""
    return order.startswith("A-")


@workflow
async def refund(order: str, cents: int) -> str:
    """Give money back, once somebody has approved it."""
    answer = await receive("approval", timeout=timedelta(days=7))
    return f"{order}: {cents} {answer}"


@workflow(queue=mails)
async def mail(to: str, template: str = "receipt") -> str:
    """Send one mail; two at a time."""
    return await send(to, template)


@step
async def send(to: str, template: str) -> str:
    await asyncio.sleep(0.05)
    return f"{template} to {to}"


@workflow(schedule=cron("0 3 * * *", tz="Europe/Berlin"))
async def report() -> dict[str, int]:
    """Yesterday's sales, each night."""
    return {"orders": 42, "cents": 194_350}
