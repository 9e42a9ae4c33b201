"""What was sold of each widget, each night; and what was delivered put on the shelves, with its progress."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from outlast import context, cron, map_, now, rows, transaction, workflow


class Delivery(BaseModel):
    id: int
    sku: str
    quantity: int


@transaction
async def count(tx: Any, sku: str, day: str) -> int:
    sold = "select coalesce(sum(quantity), 0) from shipments where sku = %s and created_at::date = %s::date"
    row = await (await tx.execute(sold, (sku, day))).fetchone()
    return int(row[0])


@workflow
async def sales(widget: dict[str, str]) -> int:
    return await count(widget["sku"], widget["day"])


@workflow(schedule=cron("0 3 * * *", tz="Europe/Berlin"))
async def report() -> dict[str, int]:
    """Yesterday's sales, a workflow for each widget: by itself each night, or POST /functions/v1/report."""
    tick = context().tick
    day = ((tick.nominal if tick else now()) - timedelta(days=1)).date().isoformat()
    widgets = rows("select sku, %s::text as day from widgets order by sku", day)
    found = await map_(sales, widgets, key=lambda widget: widget["sku"], tolerate=0.1)
    return {str(sku): quantity for sku, quantity in found.ok}


@transaction
async def shelve(tx: Any, delivery: Delivery) -> bool:
    """Put it on the shelf, once: both updates and the record are one commit."""
    shelved = "update deliveries set shelved_at = now() where id = %s and shelved_at is null"
    if not (await tx.execute(shelved, (delivery.id,))).rowcount:
        return False
    more = "update widgets set stock = stock + %s where sku = %s"
    await tx.execute(more, (delivery.quantity, delivery.sku))
    return True


@workflow
async def stock(delivery: Delivery) -> bool:
    return await shelve(delivery)


@workflow
async def unload() -> dict[str, int]:
    """All that was delivered, 20 at a time: POST /functions/v1/report/unload. Events tell how far it is."""
    waiting = rows("select id, sku, quantity from deliveries where shelved_at is null order by id")
    return {"shelved": sum(await map_(stock, waiting, concurrency=20))}
