"""Functions that aren't durable: handlers and mounted ASGI applications."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from outlast.core.errors import OutlastError
from outlast.sdk.definitions import HandlerDefinition
from outlast.sdk.http import HTTPException, Request, Response
from outlast.sdk.running import Host, enter_host
from outlast.web.answers import JSON, Answer, json_answer, text_pairs
from outlast.web.calls import Call
from outlast.web.invoke import check_method
from outlast.web.problems import Problem

_logger = logging.getLogger("outlast.function")


class ASGIApp(Protocol):
    """Any ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        ...


async def serve_handler(
    call: Call,
    function: str,
    subpath: str,
    definition: HandlerDefinition,
    host: Host,
    bytes_max: int,
    send: Send,
) -> None:
    """Call a handler and send what it returns: a Response, an ASGI response, text, bytes or JSON."""
    check_method(call, definition.methods)
    body = await call.body(bytes_max)
    request = Request(call.method, subpath, call.query.decode("latin-1"), call.text_headers(), body)
    enter_host(host)
    result: Any = None
    try:
        if definition.is_async:
            result = await definition.fn(request)
        else:
            result = await asyncio.to_thread(definition.fn, request)
        answer = _answer_of(result)
    except OutlastError:
        raise
    except HTTPException as error:
        answer = _refusal(error)
    except Exception:
        _logger.exception("%s failed", function)
        answer = Problem(500, "function_error", "the function failed with an uncaught exception").answer()
    if answer is None:
        await result(call.scope, call.receive, send)
    else:
        await answer.send(send)


async def serve_app(call: Call, function: str, app: ASGIApp, host: Host, send: Send) -> None:
    """Mount an ASGI application at its function's path."""
    enter_host(host)
    root = call.scope.get("root_path", "") + f"/functions/v1/{function}"
    await app({**call.scope, "root_path": root}, call.receive, send)


def _answer_of(result: Any) -> Answer | None:
    """What a handler returned as an answer; None if it is an ASGI response that sends itself."""
    if isinstance(result, Response):
        return Answer(result.status, result.body, text_pairs(result.headers.pairs()))
    if callable(result):
        return None
    if isinstance(result, str | bytes):
        return _answer_of(Response(result))
    return Answer(200, to_json(result), [JSON])


def _refusal(error: HTTPException) -> Answer:
    headers = tuple(error.headers.items())
    if error.detail is None or isinstance(error.detail, str):
        return Problem(error.status, "http_exception", error.detail or "refused", headers=headers).answer()
    return json_answer(error.detail, error.status, text_pairs(headers))
