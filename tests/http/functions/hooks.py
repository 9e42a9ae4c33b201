"""Functions that whoever knows a shared secret may call. The secrets' variables are set by the tests."""

from typing import Any

from _shared.gates import gate, witness  # type: ignore[import-not-found]

from outlast import Request, database_webhook, handler, standard_webhook, step, workflow

STANDARD = "HTTP_HOOK_SECRET"
DATABASE = "HTTP_DATABASE_SECRET"


@step
async def done(key: str) -> str:
    witness(key)
    return key


@workflow(webhook=standard_webhook(STANDARD))
async def hooks(user: dict[str, Any], email_data: dict[str, Any], **later: Any) -> dict[str, Any]:
    return {"id": await done(user["id"]), "token": email_data.get("token"), "later": sorted(later)}


@workflow(webhook=standard_webhook(STANDARD))
async def silent(key: str) -> None:
    await done(key)


@workflow(webhook=standard_webhook(STANDARD, respond="async"))
async def slow(key: str, fail: bool = False) -> str:
    await done(key)
    if fail:
        raise ValueError("the password is hunter2")
    await gate(key)
    return key


@workflow(webhook=standard_webhook(STANDARD, key=("user.id", "user.n")))
async def by_payload(user: dict[str, Any]) -> str:
    return await done(user["id"])


@workflow(webhook=standard_webhook(STANDARD, tolerance=3600))
async def patient(key: str = "") -> str:
    return key


@workflow(webhook=standard_webhook(STANDARD))
async def request(request: Request) -> dict[str, Any]:
    return {"headers": sorted(request.headers), "size": len(request.body), "query": request.query}


@workflow(webhook=standard_webhook("HTTP_UNSET_SECRET"))
async def unset() -> None: ...


@workflow(webhook=standard_webhook("HTTP_MALFORMED_SECRET"))
async def malformed() -> None: ...


@handler(webhook=standard_webhook(STANDARD))
async def plain(request: Request) -> dict[str, Any]:
    return {"body": request.text(), "webhook-id": request.headers.get("webhook-id")}


@workflow(webhook=database_webhook(DATABASE, key=("type", "record.id", "record.updated_at")))
async def order(
    type: str,
    table: str,
    schema: str,
    record: dict[str, Any] | None,
    old_record: dict[str, Any] | None,
) -> dict[str, Any]:
    assert record is not None
    return {"done": await done(str(record["id"])), "what": [type, schema, table], "old": old_record}


@workflow(webhook=database_webhook(DATABASE, key_header="X-Event-Id"))
async def event(key: str) -> str:
    return await done(key)


@workflow(webhook=database_webhook(DATABASE))
async def each(key: str = "") -> str:
    return await done(key or "each")


@workflow(webhook=database_webhook(DATABASE, header="Authorization"), methods=["POST", "GET"])
async def bearer(request: Request) -> list[str]:
    return sorted(request.headers)


@handler(webhook=database_webhook(DATABASE))
async def trigger(request: Request) -> list[str]:
    return sorted(request.headers)


@workflow(webhook=standard_webhook(STANDARD, respond="async"))
async def signed(
    type: str,
    table: str,
    schema: str,
    record: dict[str, Any] | None,
    old_record: dict[str, Any] | None,
) -> None: ...
