"""Functions that say themselves whom they let in, and tell who came."""

from typing import Any

from outlast import Request, context, handler, start, start_once, step, workflow


def told() -> dict[str, Any]:
    caller = context().caller
    return {
        "mode": caller.mode,
        "id": caller.id,
        "role": caller.role,
        "email": caller.email,
        "key": caller.key_name,
        "app": dict(caller.app_metadata),
        "user": dict(caller.user_metadata),
    }


@step
async def tell() -> dict[str, Any]:
    return told()


@workflow
async def guarded() -> dict[str, Any]:
    return {**(await tell()), "same": told()}


@workflow(auth="user")
async def user() -> dict[str, Any]:
    return told()


@workflow(auth="publishable")
async def publishable() -> dict[str, Any]:
    return told()


@workflow(auth="secret")
async def secret() -> dict[str, Any]:
    return told()


@workflow(auth="secret:crons")
async def crons() -> dict[str, Any]:
    return told()


@workflow(auth="none")
async def nobody() -> dict[str, Any]:
    return told()


@workflow(auth=["user", "secret:crons", "none"])
async def several() -> dict[str, Any]:
    return told()


@workflow(auth=["user", "publishable"])
def either() -> dict[str, Any]:
    return told()


@handler(auth="user")
async def handled(request: Request) -> dict[str, Any]:
    return told()


@workflow
async def parent() -> dict[str, Any]:
    child = await start(guarded)
    return {"child": child.workflow_id, "told": await child.result()}


@handler
async def starting(request: Request) -> dict[str, Any]:
    begun = await start(guarded)
    return {"begun": begun.workflow_id, "told": await begun.result()}


@handler
async def once(request: Request) -> dict[str, Any]:
    begun = await start_once("order-1", guarded)
    return {"begun": begun.workflow_id, "told": await begun.result()}


@workflow
async def failing() -> None:
    raise ValueError("the password is hunter2")


@step
async def breaks() -> None:
    raise ValueError("the password is hunter2")


@workflow
async def failing_step() -> str:
    try:
        await breaks()
    except ValueError:
        return "caught"
    return "not"
