"""The example of docs/functions.md, and every other way to read a request."""

from typing import Any

from outlast import Request, handler, start, workflow


@workflow
async def _remind(user: str, text: str) -> str:
    return f"{user}: {text}"


@handler
async def slack(request: Request) -> dict[str, str]:
    form = await request.form()
    if form["command"] == "/remind":
        await start(_remind, str(form["user_id"]), str(form["text"]))
    return {"text": "I will."}


async def _awaited(request: Request) -> Any:
    kind = request.query_params["kind"]
    if kind == "json":
        return {"json": await request.json()}
    if kind == "text":
        return await request.text()
    if kind == "body":
        return [len(await request.body()), len(request.body), type(await request.body()).__name__]
    if kind == "unawaited":
        return request.json()["a"]
    form = await request.form()
    return [[name, value if isinstance(value, str) else [value.filename, value.content_type, value.size,
            (await value.read()).decode("latin-1")]] for name, value in form.multi_items()]  # fmt: skip


def _plain(request: Request) -> Any:
    kind = request.query_params["kind"]
    if kind == "json":
        return {"json": request.json()}
    if kind == "text":
        return request.text()
    if kind == "body":
        return [len(request.body()), len(request.body), type(bytes(request.body())).__name__]
    if kind == "unawaited":
        return request.json()["a"]
    return [[name, value if isinstance(value, str) else [value.filename, value.content_type, value.size,
            value.read().decode("latin-1")]] for name, value in request.form().multi_items()]  # fmt: skip


@handler
async def awaited(request: Request) -> Any:
    return await _awaited(request)


@handler
def plain(request: Request) -> Any:
    return _plain(request)


@workflow
async def recorded(request: Request) -> Any:
    return await _awaited(request)


@workflow
def recorded_plain(request: Request) -> Any:
    return _plain(request)


@handler
async def seen(request: Request) -> dict[str, Any]:
    return {
        "url": request.url,
        "tags": request.query_params.getlist("tag"),
        "cookies": request.cookies,
        "client": request.client and request.client.host,
        "header": [request.headers["X-Mine"], request.headers.getlist("x-MINE")],
    }
