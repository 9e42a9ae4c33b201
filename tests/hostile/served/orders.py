"""Workflows whose input and output are models."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from outlast import HTTPException, step, workflow


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: str = Field(pattern=r"^[A-Z]{2}-[0-9]{1,4}$")
    quantity: int = Field(ge=1, le=1000)
    size: Size = Size.SMALL


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer: UUID
    lines: list[Line] = Field(min_length=1, max_length=5)
    wanted: date | None = None
    note: Annotated[str, Field(max_length=200)] = ""
    rates: dict[str, float] = {}
    payment: Literal["card", "invoice"] = "card"


class Receipt(BaseModel):
    customer: UUID
    pieces: int
    total: Decimal
    order: Order


@step
async def price(lines: list[Line]) -> Decimal:
    return sum((line.quantity * Decimal("1.5") for line in lines), Decimal(0))


@workflow
async def orders(order: Order) -> Receipt:
    """Take an order."""
    pieces = sum(line.quantity for line in order.lines)
    return Receipt(customer=order.customer, pieces=pieces, total=await price(order.lines), order=order)


@workflow(idempotency="required", methods=["POST"])
async def once(order: Order, urgent: bool = False) -> str:
    """One order per key."""
    return f"{order.customer} {urgent}"


@workflow(methods=["GET", "POST"])
async def search(
    text: Annotated[str, Field(min_length=1, max_length=40)],
    limit: Annotated[int, Field(ge=1, le=100)] = 10,
    sizes: list[Size] | None = None,
    ratio: float = 0.5,
    since: date | None = None,
) -> list[str]:
    """Find orders."""
    return [text][:limit]


@workflow(methods=["GET", "POST"])
async def delay(by: timedelta, exact: bool) -> timedelta:
    """At most a month."""
    kept = max(timedelta(0), min(by, timedelta(days=30)))
    return kept if exact else kept + timedelta(seconds=1)


@workflow(methods=["GET", "POST"])
async def refused(status: Literal[403, 404, 409]) -> None:
    """Refuse the call as asked."""
    raise HTTPException(status, "as you wish")
