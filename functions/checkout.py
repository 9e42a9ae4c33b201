"""The widget store: reserve stock, or sleep until it is restocked; charge the card; ship."""

import asyncio
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, Field

from outlast import HTTPException, context, sleep, step, transaction, workflow

RESTOCK_CHECK = timedelta(seconds=5)  # a day, in a store where restocking takes a week


class Order(BaseModel):
    sku: str = "widget"
    quantity: int = Field(default=1, ge=1, le=1000)
    card: str = Field(pattern=r"^\d{4}$", description="The card's last four digits")


class Receipt(BaseModel):
    sku: str
    quantity: int
    payment: str
    shipment: int


class CardDeclined(Exception):
    pass


@transaction
async def reserve(tx: Any, sku: str, quantity: int) -> bool:
    """Take `quantity` off the shelf, if there is so much."""
    taken = await tx.execute(
        "update widgets set stock = stock - %s where sku = %s and stock >= %s", (quantity, sku, quantity)
    )
    return bool(taken.rowcount)


@transaction
async def put_back(tx: Any, sku: str, quantity: int) -> None:
    await tx.execute("update widgets set stock = stock + %s where sku = %s", (quantity, sku))


@step(max_attempts=5, retry_on=ConnectionError)
async def charge(card: str, quantity: int) -> str:
    """Ask the payment provider. It may be asked twice: the workflow's id is its idempotency key."""
    await asyncio.sleep(0.1)
    if card == "0000":
        raise CardDeclined("the card was declined")
    return f"payment of {quantity * 999} cents for {context().workflow_id}"


@transaction
async def ship(tx: Any, sku: str, quantity: int, payment: str) -> int:
    """Hand over to the warehouse. The row is there exactly once, whatever happens."""
    cursor = await tx.execute(
        "insert into shipments (sku, quantity, payment) values (%s, %s, %s) returning id",
        (sku, quantity, payment),
    )
    row = await cursor.fetchone()
    return int(row[0])


@workflow(idempotency="required")
async def checkout(order: Order) -> Receipt:
    """Buy widgets. The order waits for stock as long as it takes, and holds nothing while it waits."""
    while not await reserve(order.sku, order.quantity):
        await sleep(RESTOCK_CHECK)
    try:
        payment = await charge(order.card, order.quantity)
    except CardDeclined as declined:
        await put_back(order.sku, order.quantity)
        raise HTTPException(402, str(declined)) from declined
    shipment = await ship(order.sku, order.quantity, payment)
    return Receipt(sku=order.sku, quantity=order.quantity, payment=payment, shipment=shipment)


@workflow
async def restock(sku: str = "widget", quantity: int = 10) -> dict[str, int]:
    """The truck arrives: POST /functions/v1/checkout/restock."""
    return {"stock": await add_stock(sku, quantity)}


@transaction
async def add_stock(tx: Any, sku: str, quantity: int) -> int:
    cursor = await tx.execute(
        """
        insert into widgets as w (sku, stock) values (%s, %s)
        on conflict (sku) do update set stock = w.stock + excluded.stock
        returning stock
        """,
        (sku, quantity),
    )
    row = await cursor.fetchone()
    return int(row[0])
