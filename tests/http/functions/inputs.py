"""Every way in which a body becomes parameters."""

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, Field

from outlast import Request, workflow


class Order(BaseModel):
    sku: str
    quantity: int = Field(ge=1)
    card: str = Field(default="", min_length=0, max_length=19)


@workflow
async def anything(value: Any = None) -> Any:
    return {"value": value}


@workflow
async def typed(n: int, when: date = date(2026, 1, 1), mode: Literal["a", "b"] = "a") -> dict[str, Any]:
    return {"n": n, "when": when.isoformat(), "mode": mode}


@workflow
async def listed(
    rating: Literal[1, 2, 3],
    tags: list[str] | None = None,
    numbers: set[int] | None = None,
    picked: tuple[Literal["a", 1], ...] = (),
    filter: dict[str, int] | None = None,
    either: str | list[str] = "",
) -> Any:
    return [rating, tags or [], sorted(numbers or ()), picked, filter, either]


class Listed(BaseModel):
    each: list[int] = Field(alias="eachOf")


@workflow
async def modelled(given: Listed) -> Any:
    return given.each


@workflow
async def order(order: Order) -> dict[str, Any]:
    return order.model_dump()


@workflow
async def numbers(numbers: list[int]) -> int:
    return len(numbers)


@workflow
async def open_ended(**fields: Any) -> dict[str, Any]:
    return fields


@workflow(headers=("x-of-the-app",))
async def request(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "query_string": request.query_string,
        "headers": {name: request.headers.get_all(name) for name in request.headers},
        "size": len(request.body),
        "body": request.body.decode("utf-8", "backslashreplace"),
    }


@workflow(headers=("X-GitHub-Event", "x-mine"))
async def asking(request: Request) -> list[tuple[str, str]]:
    return request.headers.pairs()


@workflow
async def both(request: Request, n: int) -> dict[str, Any]:
    return {"n": n, "body": request.text(), "path": request.path}


@workflow(methods=["POST", "PUT"])
async def writes(n: int = 0) -> int:
    return n


@workflow(idempotency="required")
async def keyed(n: int = 0) -> int:
    return n
