"""Functions that call the project's Data API, for the caller and for themselves."""

from typing import Any

from outlast import Request, context, handler, sleep, step, workflow


@step
async def as_caller() -> Any:
    answer = await context().supabase.table("notes").select("*").execute()
    return answer.data[0]


@step
async def as_admin() -> Any:
    answer = await context().supabase_admin.table("notes").select("*").execute()
    return answer.data[0]


@step
def as_caller_def() -> Any:
    return context().supabase.table("notes").select("*").execute().data[0]


@step
async def twice() -> bool:
    here = context()
    return here.supabase is here.supabase and here.supabase is not here.supabase_admin


@workflow(auth=["user", "publishable", "secret", "none"])
async def reaching() -> list[Any]:
    return [await as_caller(), await as_admin(), await as_caller_def.aio(), await twice()]


@workflow(auth="user")
def reaching_def() -> Any:
    return as_caller_def()


@workflow(auth="user")
async def from_the_body() -> None:
    await context().supabase.table("notes").select("*").execute()


@workflow(auth=["user", "publishable", "secret"])
async def after_a_sleep() -> Any:
    await sleep(0.3)
    return await as_caller()


@handler(auth="user")
async def at_once(request: Request) -> Any:
    here = context()
    answer = await here.supabase.table("notes").select("*").execute()
    return [here.function, here.workflow_id, answer.data[0]]


@handler(auth="user")
def at_once_def(request: Request) -> Any:
    return context().supabase.table("notes").select("*").execute().data[0]
